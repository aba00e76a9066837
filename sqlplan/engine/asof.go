package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// describe sets the placeholders to empty relations with the right columns, so that DuckDB can tell names and types.
func (p *asofPlan) describe(b *binder) error {
	cols, shown, err := p.leftColumns(b)
	if err != nil {
		return err
	}
	p.columns = cols
	number := schema.Column{Name: rowNumberColumn, Type: vector.T(vector.Int64)}
	b.setRef(p.leftName(), fmt.Sprintf("(SELECT %s WHERE false)", nullColumns(append(slices.Clone(cols), number))), append(shown, bigintColumns(rowNumberColumn)...))
	for i := range p.joins {
		f := &p.joins[i]
		columns := append(f.columns(), number)
		b.setRef(p.joinName(i), fmt.Sprintf("(SELECT %s WHERE false)", nullColumns(columns)), analyzedColumns(columns))
		if err := p.writeExpressions(b, f); err != nil {
			return err
		}
		if err := p.checkTypes(b, f); err != nil {
			return err
		}
	}
	return nil
}

// leftColumns are the columns of the left side, and as analyses read them.
func (p *asofPlan) leftColumns(b *binder) ([]schema.Column, []analyze.Column, error) {
	var err error
	if p.typed, err = b.piece(p.leftQuery()); err != nil {
		return nil, nil, err
	}
	sql, err := p.leftSQL(b)
	if err != nil {
		return nil, nil, err
	}
	params, columns, err := b.s.described(b.ctx, sql)
	if err != nil {
		return nil, nil, err
	}
	b.noteParams(params)
	var cols []schema.Column
	if types := p.typed.shown(typesOf(columns)); types != nil {
		shown := make([]analyze.Column, len(types))
		for i, c := range p.typed.Outputs {
			shown[i] = analyze.Column{Name: c.Name, Type: types[i], Origin: c.Origin}
			held := types[i] // as DuckDB says it, where it does
			if len(columns) == len(types) && columns[i].Type.Kind != vector.Invalid {
				held = columns[i].Type
			}
			cols = append(cols, schema.Column{Name: c.Name, Type: held})
		}
		return cols, shown, nil
	}
	for _, c := range columns {
		cols = append(cols, schema.Column{Name: c.Name, Type: c.Type})
	}
	return cols, analyzedColumns(cols), nil
}

// leftQuery selects the left side.
func (p *asofPlan) leftQuery() *pg_query.Node {
	return selectNode([]*pg_query.Node{starTarget()}, p.left)
}

// leftSQL is that for DuckDB.
func (p *asofPlan) leftSQL(b *binder) (string, error) {
	if p.typed != nil {
		return b.typedPiece(p.typed)
	}
	return b.duckSQL(clone(p.leftQuery()))
}

// writeExpressions writes the keys and the cut of a join, over the left side, for DuckDB.
func (p *asofPlan) writeExpressions(b *binder, f *asofFeatures) error {
	f.keySQL = make([]string, len(f.keys))
	var err error
	for i, k := range f.keys {
		if f.keySQL[i], err = p.overLeft(b, k, f.keyTypes[i]); err != nil {
			return err
		}
	}
	if f.each {
		if f.asOfSQL, err = p.overLeft(b, f.asOf, vector.T(vector.TimestampTZ)); err != nil {
			return err
		}
	}
	if f.time != nil {
		f.timeSQL, err = p.overLeft(b, f.time, vector.T(vector.TimestampTZ))
		return err
	}
	if slices.ContainsFunc(p.columns, func(c schema.Column) bool { return c.Name == eventTimeName }) {
		f.timeSQL = duck.QuoteIdent(p.leftAlias) + "." + duck.QuoteIdent(eventTimeName)
		return nil
	}
	name := "<time>"
	if i := slices.IndexFunc(p.columns, isTime); i >= 0 && !slices.ContainsFunc(p.columns[i+1:], isTime) {
		name = p.columns[i].Name
	}
	return at(hint(fail(codeDefinition, "ASOF JOIN says no time, and %q has no column %s", p.leftAlias, eventTimeName), "AND %s.%s > %s.ts", p.leftAlias, name, f.alias), b.sql, f.position)
}

// overLeft is the SQL of an expression over the left side that is compared with a key of a type, or with the time.
func (p *asofPlan) overLeft(b *binder, n *pg_query.Node, to vector.Type) (string, error) {
	n, err := likeKey(n, to)
	if err != nil {
		return "", err
	}
	sql, err := b.pieceExpr(n, placeholder(p.leftName(), p.leftAlias), to)
	if err != nil || sql != "" {
		return sql, err
	}
	list, err := b.s.expressions(b.ctx, []*pg_query.Node{n}, fmt.Sprintf("(SELECT %s) AS %s", nullColumns(p.columns), duck.QuoteIdent(p.leftAlias)))
	if err != nil {
		return "", err
	}
	return list[0], nil
}

// checkTypes refuses keys and times of other types than the entity's, at bind time.
func (p *asofPlan) checkTypes(b *binder, f *asofFeatures) error {
	items := append(slices.Clone(f.keySQL), f.timeSQL)
	if f.each {
		items = append(items, f.asOfSQL)
	}
	from := fmt.Sprintf("(SELECT %s WHERE false) AS %s", nullColumns(p.columns), duck.QuoteIdent(p.leftAlias))
	types, err := b.s.types(b.ctx, items, from)
	if err != nil {
		if e := locate(asError(err), b.sql); e.Position > 0 {
			return e
		}
		return at(asError(err), b.sql, f.position)
	}
	for i, k := range f.keyTypes {
		if f.view != nil && i >= len(f.view.Keys) {
			if !requestFits(types[i], k) {
				return at(hint(fail(codeTypeMismatch, "request column %q of %s is %s, but the left side has %s", f.keyNames[i], f.alias, k, types[i]), "Cast it: … = CAST(… AS %s)", k), b.sql, f.place(f.keys[i]))
			}
			continue
		}
		if !types[i].Equal(k) && !widens(types[i], k) && types[i].Kind != vector.Null {
			return at(hint(fail(codeTypeMismatch, "key %q of %s is %s, but the left side has %s", f.keyNames[i], f.alias, k, types[i]), "Cast it: … = CAST(… AS %s)", k), b.sql, f.place(f.keys[i]))
		}
	}
	times := []string{"an ASOF JOIN", "FOR SYSTEM_TIME AS OF"}
	for i, t := range types[len(f.keyTypes):] {
		if t.Kind != vector.TimestampTZ && t.Kind != vector.Timestamp && t.Kind != vector.Date {
			return at(hint(fail(codeTypeMismatch, "the time of %s must be timestamptz, not %s", times[i], t), "Cast it: CAST(… AS timestamptz)"), b.sql, f.place([]*pg_query.Node{f.time, f.asOf}[i]))
		}
	}
	return nil
}

// place is where an expression of the join stands, or the join.
func (f *asofFeatures) place(n *pg_query.Node) int {
	if n != nil {
		if at := nodeLocation(n); at >= 0 {
			return at
		}
	}
	return f.position
}

// execute drains the left side, merges every join and sets the placeholders to the temporary tables.
func (p *asofPlan) execute(b *binder, args []*vector.Vector) error {
	s := b.s
	table := s.temp("left")
	cols := make([]string, len(p.columns))
	items := make([]string, len(p.columns), len(p.columns)+1)
	for i, c := range p.columns {
		// The table's own names are none that could hide DuckDB's number of a row.
		cols[i] = fmt.Sprintf("c%d %s", i, c.Type.DuckDB())
		items[i] = fmt.Sprintf("c%d AS %s", i, duck.QuoteIdent(c.Name))
	}
	if _, err := s.conn.Exec(b.ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", table, strings.Join(cols, ", "))); err != nil {
		return err
	}
	sql, err := p.leftSQL(b)
	if err != nil {
		return err
	}
	if _, err := s.exec(b.ctx, fmt.Sprintf("INSERT INTO temp.main.%s %s", table, sql), args); err != nil {
		return err
	}
	left := fmt.Sprintf("(SELECT %s FROM temp.main.%s)", strings.Join(append(items, "rowid AS "+rowNumberColumn), ", "), table)
	b.refs[p.leftName()] = left
	for i := range p.joins {
		table, err := p.merge(b, &p.joins[i], left, args)
		if err != nil {
			return err
		}
		b.refs[p.joinName(i)] = table
	}
	return nil
}

// merge computes a join's values for every row of left, a relation with row numbers, and returns the relation that stands for the
// join.
func (p *asofPlan) merge(b *binder, f *asofFeatures, left string, args []*vector.Vector) (string, error) {
	s := b.s
	t := f.timeSQL
	var keys []string
	for i, sql := range f.keySQL {
		keys = append(keys, fmt.Sprintf("CAST(%s AS %s)", sql, f.keyTypes[i].DuckDB()))
	}

	position := b.position
	var each *rowPositions
	var err error
	if f.each {
		if each, position, err = p.positionsOf(b, f, left); err != nil {
			return "", err
		}
	} else if f.asOf != nil {
		if position, err = s.positionOf(f.asOf, args); err != nil {
			return "", err
		}
	}
	reads, err := f.groups(b)
	if err != nil {
		return "", err
	}
	for i := range reads {
		g := reads[i].Group
		if g == nil {
			g = reads[i].Adhoc
		}
		if err := s.refuseOwnWrites(b.cat, g); err != nil {
			return "", err
		}
		s.readsGroup(b.cat, g, nil)
	}
	tables := []string{}
	for i := range reads {
		name := s.temp("values") // each group's values come in its own order: they meet again by row number
		if err := s.valuesTable(b.ctx, name, f, reads[i]); err != nil {
			return "", err
		}
		items := []string{rowNumberColumn}
		for _, k := range reads[i].Keys {
			items = append(items, keys[k])
		}
		items = append(items, fmt.Sprintf("CAST(%s AS TIMESTAMPTZ)", t))
		if each != nil {
			items = append(items, fmt.Sprintf("CAST(%s AS TIMESTAMPTZ)", f.asOfSQL))
		}
		labels := fmt.Sprintf("SELECT %s FROM %s AS %s", strings.Join(items, ", "), left, duck.QuoteIdent(p.leftAlias))
		if err := s.mergeGroup(b.ctx, b.cat, &reads[i], f, labels, position, each, name); err != nil {
			return "", err
		}
		tables = append(tables, name)
	}
	if f.view != nil {
		for _, o := range f.view.Outputs {
			if err := b.s.refuseZone(f.view.Name, o.SQL); err != nil {
				return "", err
			}
		}
	}
	return p.placeholderSQL(f, left, t, keys, tables, reads), nil
}

// groupMerge is what one group computes of a join: Outputs index f.computed(), Keys f.keys.
type groupMerge struct {
	Relation uint32
	Group    *schema.Group // nil: an ad hoc window that no group holds
	Adhoc    *schema.Group
	Outputs  []int
	Keys     []int
	Specs    []pointintime.Output
}

// groups splits a join's outputs by the group that serves them.
func (f *asofFeatures) groups(b *binder) ([]groupMerge, error) {
	var all []int
	for i := range f.keys {
		all = append(all, i)
	}
	if f.adHoc == nil {
		var out []groupMerge
		add := func(read *readPlan, keys []int, from int) {
			for _, g := range read.groups {
				m := groupMerge{Relation: g.group.Relation, Group: g.group, Keys: keys}
				for _, o := range g.outputs {
					m.Outputs = append(m.Outputs, from+o.at)
					m.Specs = append(m.Specs, pointintime.Output{Partial: o.partial, Window: o.window})
				}
				out = append(out, m)
			}
		}
		if v := f.read.view; v != nil {
			from := 0
			for _, p := range v.parts {
				add(p.read, p.keys, from)
				from += len(p.base)
			}
			return out, nil
		}
		add(f.read, all, 0)
		return out, nil
	}
	m := groupMerge{Relation: f.adHoc.relation.ID, Keys: all}
	holder := b.cat.GroupFor(f.adHoc.relation.ID, f.adHoc.keys, f.adHoc.from, f.adHoc.fingerprints())
	if holder == nil {
		holder = f.adHoc.group(0, nil)
		m.Adhoc = holder
	} else {
		m.Group = holder
	}
	for i, o := range f.outputs {
		m.Outputs = append(m.Outputs, i)
		m.Specs = append(m.Specs, pointintime.Output{Partial: holder.Partial(f.adHoc.partials[o.partial].Fingerprint), Window: o.window})
	}
	return []groupMerge{m}, nil
}

func (s *Session) valuesTable(ctx context.Context, name string, f *asofFeatures, m groupMerge) error {
	decl := []string{rowNumberColumn + " BIGINT"}
	outputs := f.computed()
	for _, o := range m.Outputs {
		decl = append(decl, duck.QuoteIdent(outputs[o].name)+" "+outputs[o].typ.DuckDB())
	}
	_, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", name, strings.Join(decl, ", ")))
	return err
}

// mergeGroup runs the point-in-time join of one group and appends its rows to a table. Labels and values share the connection,
// which alone sees its temporary tables: the first value comes after the last label.
func (s *Session) mergeGroup(ctx context.Context, cat *schema.Catalog, m *groupMerge, f *asofFeatures, labels string, position uint64, each *rowPositions, table string) error {
	g := m.Group
	if g == nil {
		g = m.Adhoc
	}
	merge := func(req joinRequest) error {
		app, err := s.conn.Appender("temp", "main", table)
		if err != nil {
			return err
		}
		req.Sink = app.Append
		err = s.e.join(ctx, cat, req)
		if e := app.Close(); err == nil {
			err = e
		}
		return err
	}
	req := joinRequest{
		Group: g, AdHoc: m.Group == nil, Position: position, Flags: s.readFlags(),
		Outputs: m.Specs, Inclusive: f.inclusive, Stats: s.reads,
		Labels: s.labelReader(labels, len(m.Keys), each),
	}
	if each != nil {
		return s.mergeEach(ctx, cat, req, each.all, merge)
	}
	return merge(req)
}

// labelReader turns (row number, keys…, time), the columns of a query, and the time of its position where each is given, into labels.
func (s *Session) labelReader(query string, keys int, each *rowPositions) pointintime.LabelSource {
	return func(ctx context.Context, emit func(*pointintime.Labels) error) error {
		return s.conn.Each(ctx, query, func() func(*vector.Chunk) error {
			l := pointintime.Labels{Key: vector.New(vector.T(vector.Bytes), 0)}
			return func(ch *vector.Chunk) error {
				l.Row, l.T = ch.Cols[0].I64, ch.Cols[1+keys]
				l.Key.Reset()
				vector.AppendKeys(l.Key, ch.Cols[1:1+keys], ch.N)
				if l.Position = l.Position[:0]; each != nil {
					for _, t := range ch.Cols[2+keys].I64[:ch.N] {
						l.Position = append(l.Position, each.byTime[t])
					}
				}
				return emit(&l)
			}
		})
	}
}

// placeholderSQL is the relation that stands for a join: row number, keys, time and values. Where the statement names neither
// the keys nor the time, the values are enough.
func (p *asofPlan) placeholderSQL(f *asofFeatures, left, t string, keys, tables []string, reads []groupMerge) string {
	from, number := "", ""
	join := func(relation, alias string) {
		if n := alias + "." + rowNumberColumn; from == "" {
			from, number = relation+" AS "+alias, n
		} else {
			from += fmt.Sprintf(" JOIN %s AS %s ON %s = %s", relation, alias, n, number)
		}
	}
	var items []string
	if !f.bare || len(tables) == 0 {
		join(left, duck.QuoteIdent(p.leftAlias))
		for i, k := range keys {
			name := f.keyNames[i]
			if f.view != nil {
				name = f.rowColumn(i)
			}
			items = append(items, k+" AS "+duck.QuoteIdent(name))
		}
		items = append(items, fmt.Sprintf("CAST(%s AS TIMESTAMPTZ) AS %s", t, eventTimeName))
	}
	for i, table := range tables {
		join("temp.main."+table, fmt.Sprintf("__v%d", i))
	}
	for i, o := range f.computed() {
		at := slices.IndexFunc(reads, func(r groupMerge) bool { return slices.Contains(r.Outputs, i) })
		items = append(items, fmt.Sprintf("__v%d.%s", at, duck.QuoteIdent(o.name)))
	}
	sql := fmt.Sprintf("SELECT %s FROM %s", strings.Join(append(items, number), ", "), from)
	if f.view != nil {
		return f.derive(sql)
	}
	return "(" + sql + ")"
}

func isTime(c schema.Column) bool { return c.Type.Kind == vector.TimestampTZ }
