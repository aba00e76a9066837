package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A change of an ordinary table has two steps. It stages the rows: one SELECT, of DuckDB's, computes every row as it will be, in
// a temporary table, with the row ids of those that it replaces. Then it checks the staged rows against the table's constraints,
// in PostgreSQL's order and with its messages, and writes them. DuckDB's tables have no constraints of their own: nothing
// else writes them, and a table's keys hold between transactions because changes of tables that have any take the table's lock.

// rowWrite is a bound INSERT, UPDATE or DELETE of an ordinary table.
type rowWrite struct {
	s    *Session
	cat  *schema.Catalog
	st   *parse.SQL // the statement
	part *part      // the SELECT that stages
	// generated computes the generated columns of what part stages; nil: there are none, or part computes them.
	generated *part
	table     *tables.Object
	view      *viewTarget // that it is written through; nil: none
	alias     string      // by which RETURNING knows the table
	kind      byte        // 'i', 'u' or 'd'
	// from are the columns of FROM or USING that the staged rows keep for RETURNING.
	from      []fromColumn
	returning *part         // a SELECT over the written rows; nil: none
	met       bool          // the target's rows are those that ON CONFLICT met, with the number of the proposed row
	conflict  *conflictPlan // nil: none
	joined    bool          // FROM or USING may match a row more than once
	set       []string      // UPDATE: the columns that it sets
	params    []vector.Type
	columns   []session.Column // of RETURNING
	ctes      []*rowWrite
	event     *schema.Relation // the event table that it is a change of; nil: of an ordinary table
	// where is the place of a row in the data of COPY, nil of other statements.
	where func(row int64, whole bool) string
	// maybeFew, keyed and short are of changes of few rows: whether it can be one, the columns that its condition gives, and the
	// plan at a catalog.
	maybeFew bool
	keyed    []string
	short    *fewPlan
	shortAt  *tables.Catalog
}

// fromColumn is a column of a relation in FROM, kept in the staged rows.
type fromColumn struct {
	qualifier, name string
	staged          string // its name there
	typ             vector.Type
}

const (
	stagedRowID    = "__rowid"
	targetRef      = "__target_rows"
	stagedRef      = "__staged_rows"
	maxWriteRounds = 5 // of a statement outside a block that another transaction overtook
)

// writeTarget finds the table that a statement writes: an event table as if it were an ordinary one.
func (s *Session) writeTarget(ctx context.Context, rv *pg_query.RangeVar, sql, verb string) (*tables.Object, error) {
	if r := eventTableOf(s.catalog(), rv); r != nil {
		return eventTarget(r, sql, rv, verb)
	}
	o, err := s.target(ctx, rv, sql)
	if err != nil {
		return nil, err
	}
	switch o.Kind {
	case tables.Table:
		return o, nil
	case tables.MaterializedView:
		return nil, fail(codeWrongObject, "cannot change materialized view %q", o.Name)
	case tables.View: // of COPY, which does not write through one
		return nil, hint(fail("55000", "cannot %s view %q", verb, o.Name), "Copy into the table that it reads.")
	case tables.Sequence:
		return nil, fail(codeWrongObject, "cannot change sequence %q", o.Name)
	}
	return nil, at(fail(codeWrongObject, "cannot open relation %q", o.Name), sql, int(rv.Location))
}

// bindWrite binds an INSERT, UPDATE or DELETE of an ordinary table.
func (s *Session) bindWrite(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	volatile := volatileIn(st) // before binding changes the statement
	w, err := s.planWrite(ctx, cat, st, st.Node, given)
	if err != nil {
		return bound{}, err
	}
	out := bound{params: w.params}
	if w.returning != nil {
		out.columns = w.columns
	}
	out.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.replayable(st.Text, volatile, args, func() (session.Result, error) { return s.runWrite(ctx, w, args) })
	}
	return out, nil
}

// planWrite plans one writing statement.
func (s *Session) planWrite(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.Node, given []vector.Type) (w *rowWrite, err error) {
	few := maybeFew(n) // before binding changes the statement
	var keyed []string
	switch {
	case n.GetInsertStmt() != nil:
		w, err = s.planInsert(ctx, cat, st, n.GetInsertStmt(), given)
	case n.GetUpdateStmt() != nil:
		keyed = equalColumns(n.GetUpdateStmt().WhereClause)
		w, err = s.planUpdate(ctx, cat, st, n.GetUpdateStmt(), given)
	default:
		keyed = equalColumns(n.GetDeleteStmt().WhereClause)
		w, err = s.planDelete(ctx, cat, st, n.GetDeleteStmt(), given)
	}
	if err != nil {
		return nil, err
	}
	w.maybeFew, w.keyed = few && w.view == nil, keyed
	return w, nil
}

// binderAt is a binder of a statement's parts, for what is executed or only described.
func (s *Session) binderAt(ctx context.Context, cat *schema.Catalog, sql string, describe bool) *binder {
	b := &binder{ctx: ctx, s: s, cat: cat, describe: describe, sql: sql, refs: map[string]string{}}
	if !describe {
		b.position = s.position()
	}
	return b
}

// describeStage plans and describes a staging SELECT that is not analyzed.
func (w *rowWrite) describeStage(ctx context.Context, st *parse.SQL, stage *pg_query.Node, given []vector.Type) ([]session.Column, error) {
	s := w.s
	w.st = st
	b := s.binderAt(ctx, w.cat, st.Text, true)
	if err := w.describeTarget(b, false); err != nil {
		return nil, err
	}
	w.part = &part{node: stage}
	var err error
	if w.part.plan, err = s.planQuery(b, &parse.SQL{Text: st.Text, Plain: st.Plain, Node: stage, Clauses: st.Clauses}); err != nil {
		return nil, err
	}
	params, columns, err := s.describeNode(ctx, b, stage, given)
	if err != nil {
		return nil, withoutCandidates(err)
	}
	w.params, w.part.columns = params, columns
	return columns, nil
}

// withoutCandidates takes DuckDB's guesses out of an error: they name what only stages rows.
func withoutCandidates(err error) error {
	e := asError(err)
	if strings.HasPrefix(e.Hint, "Candidate bindings") {
		e.Hint = ""
	}
	return e
}

// targetRows are the table's rows with their ids, as a relation of DuckDB's, for a part that is analyzed or not; "" for an INSERT.
func (w *rowWrite) targetRows(b *binder, typed bool) (string, error) {
	if !b.describe && w.event == nil && (w.kind != 'i' || w.conflict != nil) {
		w.s.readsTable(w.table)
	}
	if w.kind == 'i' {
		return "", nil
	}
	more := ", rowid AS " + stagedRowID
	if w.met {
		more += ", 0::BIGINT AS __met"
	}
	switch {
	case w.event == nil:
		return tableRows(w.table, more, typed), nil
	case w.met:
		return fmt.Sprintf("(SELECT %s, 0::BIGINT AS %s, 0::BIGINT AS __met WHERE false)", nullColumns(w.event.Columns), stagedRowID), nil
	}
	return b.relationSQL(w.event, true)
}

// checkTypes refuses values whose types PostgreSQL does not assign to their columns. types are of the columns in order.
func (w *rowWrite) checkTypes(sql string, columns []*tables.Column, types []session.Column, nodes []*pg_query.Node) error {
	for i, c := range columns {
		t := types[i].Type
		if c == nil || tableAssignable(t, c.Type) {
			continue
		}
		place := -1
		if i < len(nodes) && nodes[i] != nil {
			if isUnknown(uncast(nodes[i])) && nodes[i].GetTypeCast() == nil {
				continue
			}
			place = nodeLocation(nodes[i])
		}
		return at(hint(fail(codeTypeMismatch, "column %q is of type %s but expression is of type %s", c.Name, columnWord(c), typeWord(t)), "You will need to rewrite or cast the expression."), sql, place)
	}
	return nil
}

// runWrite executes a plan, in a transaction of its own where none is open.
func (s *Session) runWrite(ctx context.Context, w *rowWrite, args []*vector.Vector) (session.Result, error) {
	own := s.tx == nil
	short, err := w.few(ctx)
	if err != nil {
		return nil, err
	}
	if short != nil {
		if r, err := s.runFew(ctx, w, short, args); !errors.Is(err, errNotFew) {
			return r, err
		}
	}
	for round := 1; ; round++ {
		var res *writeResult
		err := s.inTransaction(ctx, func(ctx context.Context) error {
			if err := s.lockFor(ctx, w); err != nil {
				return err
			}
			if err := s.beginOrdinary(ctx); err != nil {
				return err
			}
			if !s.asBound(w.table) {
				return errStalePlan
			}
			var err error
			res, err = w.execute(ctx, args)
			return err
		})
		if errors.Is(err, errStalePlan) && own {
			return nil, err
		}
		if e := asError(err); e != nil {
			s.dropTemps()
			if own && e.Code == codeConflict && round < maxWriteRounds {
				continue
			}
			return nil, err
		}
		return w.result(ctx, res, args)
	}
}

// writeResult is what a write did.
type writeResult struct {
	rows    int64
	written string // the temporary table of the written rows that RETURNING reads
}

// result is the rows of RETURNING, or none.
func (w *rowWrite) result(ctx context.Context, res *writeResult, args []*vector.Vector) (session.Result, error) {
	s := w.s
	tag := map[byte]string{'i': "INSERT 0", 'u': "UPDATE", 'd': "DELETE"}[w.kind]
	if w.returning == nil {
		s.dropTemps()
		return noRows{fmt.Sprintf("%s %d", tag, res.rows)}, nil
	}
	sql, err := w.returningSQL(ctx, res.written, false)
	if err != nil {
		s.dropTemps()
		return nil, err
	}
	rows, err := s.query(ctx, sql, args)
	if err != nil {
		s.dropTemps()
		return nil, err
	}
	return &duckRows{noRows: noRows{tag}, s: s, rows: rows, done: s.dropTemps, columns: w.columns}, nil
}

// returningSQL is RETURNING over the written rows.
func (w *rowWrite) returningSQL(ctx context.Context, written string, describe bool) (string, error) {
	b := w.s.binderAt(ctx, w.cat, w.st.Text, describe)
	b.refs[stagedRef] = written
	return w.returning.sql(b, w.st, nil)
}

// bindReturning plans RETURNING: a SELECT over the written rows, whose * shows the table's columns and those of FROM.
func (w *rowWrite) bindReturning(ctx context.Context, sql string, list []*pg_query.Node, given []vector.Type) error {
	if len(list) == 0 {
		return nil
	}
	var targets []*pg_query.Node
	add := func(qualifier, name, as string) {
		t := pg_query.MakeResTargetNodeWithVal(columnRef(qualifier, name, 0), 0)
		t.GetResTarget().Name = as
		targets = append(targets, t)
	}
	for _, item := range list {
		rt := item.GetResTarget()
		if ref := rt.Val.GetColumnRef(); ref != nil && ref.Fields[len(ref.Fields)-1].GetAStar() != nil {
			of := ""
			if len(ref.Fields) > 1 {
				of = ref.Fields[len(ref.Fields)-2].GetString_().GetSval()
			}
			if of == "" || of == w.alias {
				for _, c := range w.shown() {
					add(w.alias, c.Name, c.Name)
				}
			}
			known := of == "" || of == w.alias
			for _, f := range w.from {
				if of == "" || of == f.qualifier {
					add(w.alias, f.staged, f.name)
					known = true
				}
			}
			if !known {
				return at(fail(codeUndefinedTable, "missing FROM-clause entry for table %q", of), sql, int(ref.Location))
			}
			continue
		}
		t := clone(item)
		name := ""
		if r := t.GetResTarget(); r.Name == "" {
			name = parse.FigureColumnName(r.Val)
		}
		if err := w.useStaged(sql, t); err != nil {
			return err
		}
		if r := t.GetResTarget(); name != "" && (r.Val.GetColumnRef() == nil || nodeNames(r.Val.GetColumnRef().Fields)[len(r.Val.GetColumnRef().Fields)-1] != name) {
			r.Name = name // DuckDB would take a column's own name for the output's
		}
		targets = append(targets, t)
	}
	n := selectNode(targets, w.written())
	b := w.s.binderAt(ctx, w.cat, sql, true)
	cols := declaredColumns(w.table)
	for _, f := range w.from {
		cols = append(cols, analyze.Column{Name: f.staged, Type: f.typ})
	}
	b.setRef(stagedRef, w.emptyStage(), cols)
	st := &parse.SQL{Text: sql, Plain: sql}
	p, err := w.s.typedPart(b, st, n, given, assignment{clause: "RETURNING"}, true)
	if err != nil {
		return err
	}
	if p == nil {
		p = &part{node: n, plan: &queryPlan{}}
		if p.params, p.columns, err = w.s.describeNode(ctx, b, n, given); err != nil {
			return withoutCandidates(err)
		}
	}
	w.returning, w.columns = p, p.columns
	if w.view == nil {
		w.noteOrigins(targets)
	}
	w.mergeParams(p.params)
	return nil
}

// noteOrigins notes which columns of RETURNING are the table's as they stand.
func (w *rowWrite) noteOrigins(targets []*pg_query.Node) {
	oid := ordinaryOID(w.table.ID)
	if w.event != nil {
		oid = objectOID(relationOIDs, w.event.ID)
	}
	for i, t := range targets {
		f := t.GetResTarget().GetVal().GetColumnRef().GetFields()
		if len(f) == 0 || len(targets) != len(w.columns) {
			continue
		}
		if at := w.table.ColumnIndex(f[len(f)-1].GetString_().GetSval()); at >= 0 {
			w.columns[i].Table, w.columns[i].Number = oid, int16(at+1)
		}
	}
}

// useStaged makes references to columns of FROM those of the staged rows.
func (w *rowWrite) useStaged(sql string, n *pg_query.Node) error {
	var bad error
	parse.Walk(n, func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok || bad != nil {
			return bad == nil
		}
		names := nodeNames(ref.Fields)
		name := names[len(names)-1]
		if len(names) > 1 {
			qualifier := names[len(names)-2]
			if qualifier == w.alias {
				ref.Fields = ref.Fields[len(ref.Fields)-2:]
				return true
			}
			for _, f := range w.from {
				if f.qualifier == qualifier && f.name == name {
					ref.Fields = []*pg_query.Node{pg_query.MakeStrNode(w.alias), pg_query.MakeStrNode(f.staged)}
				}
			}
			return true
		}
		own := w.named().Column(name) != nil
		for _, f := range w.from {
			switch {
			case f.name != name:
			case own:
				bad = at(fail("42702", "column reference %q is ambiguous", name), sql, int(ref.Location))
			default:
				ref.Fields = []*pg_query.Node{pg_query.MakeStrNode(w.alias), pg_query.MakeStrNode(f.staged)}
				return true
			}
		}
		return true
	})
	return bad
}

// emptyStage is the shape of the written rows.
func (w *rowWrite) emptyStage() string {
	cols := make([]string, 0, len(w.table.Columns)+len(w.from))
	for i := range w.table.Columns {
		c := &w.table.Columns[i]
		cols = append(cols, fmt.Sprintf("NULL::%s AS %s", duckColumnType(c), duck.QuoteIdent(c.Name)))
	}
	for _, f := range w.from {
		cols = append(cols, fmt.Sprintf("NULL::%s AS %s", f.typ.DuckDB(), f.staged))
	}
	return "(SELECT " + strings.Join(cols, ", ") + " WHERE false)"
}

// stage computes the rows into a temporary table, and returns its name.
func (w *rowWrite) stage(ctx context.Context, args []*vector.Vector) (string, error) {
	s := w.s
	b := s.binderAt(ctx, w.cat, w.st.Text, false)
	rows, err := w.targetRows(b, w.part.typed != nil)
	if err != nil {
		return "", err
	}
	if rows != "" {
		b.refs[targetRef] = rows
	}
	sql, err := w.stageSQL(b, args)
	if err != nil {
		return "", err
	}
	if w.returning != nil && w.joined { // in the order of the rows, which a join does not keep
		sql = fmt.Sprintf("SELECT * FROM (%s) AS x ORDER BY %s", sql, stagedRowID)
	}
	table := s.temp("staged")
	if _, err := s.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", table, sql), args); err != nil {
		return "", err
	}
	return "temp.main." + table, nil
}

// execute stages, checks and writes.
func (w *rowWrite) execute(ctx context.Context, args []*vector.Vector) (*writeResult, error) {
	staged, err := w.stage(ctx, args)
	if err != nil {
		return nil, err
	}
	return w.apply(ctx, staged, args)
}

// apply checks the staged rows and writes them.
func (w *rowWrite) apply(ctx context.Context, staged string, args []*vector.Vector) (*writeResult, error) {
	switch w.kind {
	case 'i':
		return w.insert(ctx, staged, args)
	case 'u':
		return w.update(ctx, staged)
	}
	return w.remove(ctx, staged)
}

// insert writes staged rows that are new.
func (w *rowWrite) insert(ctx context.Context, staged string, args []*vector.Vector) (*writeResult, error) {
	s := w.s
	c := &rowCheck{s: s, table: w.table, where: w.where}
	if err := c.rows(ctx, staged, nil); err != nil {
		return nil, err
	}
	if w.conflict != nil {
		return w.upsert(ctx, c, staged, args)
	}
	if err := c.keys(ctx, staged, false); err != nil {
		return nil, err
	}
	list := quotedColumns(tableColumnNames(w.table.Columns))
	n, err := s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", duckName(w.table), list, list, staged))
	if err != nil {
		return nil, err
	}
	return &writeResult{n, staged}, c.referencesOf(ctx, staged, nil)
}

// once keeps the first of the staged rows of a row that FROM or USING matches more than once: it is changed once.
func (w *rowWrite) once(ctx context.Context, staged string) error {
	if !w.joined {
		return nil
	}
	_, err := w.s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE rowid NOT IN (SELECT min(rowid) FROM %s GROUP BY %s)", staged, staged, stagedRowID))
	return err
}

// update replaces the rows of the staged row ids.
func (w *rowWrite) update(ctx context.Context, staged string) (*writeResult, error) {
	if err := w.once(ctx, staged); err != nil {
		return nil, err
	}
	return w.replace(ctx, staged)
}

// replace checks staged rows that replace others, writes them, and does what references to the table ask for.
func (w *rowWrite) replace(ctx context.Context, staged string) (*writeResult, error) {
	s := w.s
	c := &rowCheck{s: s, table: w.table}
	if err := c.rows(ctx, staged, w.set); err != nil {
		return nil, err
	}
	if c.touches(w.set) {
		if err := c.keys(ctx, staged, true); err != nil {
			return nil, err
		}
	}
	followers, err := c.oldKeys(ctx, staged, w.set)
	if err != nil {
		return nil, err
	}
	sets := make([]string, 0, len(w.table.Columns))
	for i := range w.table.Columns {
		name := w.table.Columns[i].Name
		if slices.Contains(w.set, name) || w.table.Columns[i].Generated != "" {
			q := duck.QuoteIdent(name)
			sets = append(sets, fmt.Sprintf("%s = __s.%s", q, q))
		}
	}
	n, err := s.conn.Exec(ctx, fmt.Sprintf("UPDATE %s AS __t SET %s FROM %s AS __s WHERE __t.rowid = __s.%s", duckName(w.table), strings.Join(sets, ", "), staged, stagedRowID))
	if err != nil {
		return nil, err
	}
	if err := c.referencesOf(ctx, staged, w.set); err != nil {
		return nil, err
	}
	return &writeResult{n, staged}, c.follow(ctx, followers)
}

// remove deletes the rows of the staged row ids.
func (w *rowWrite) remove(ctx context.Context, staged string) (*writeResult, error) {
	s := w.s
	c := &rowCheck{s: s, table: w.table}
	if err := w.once(ctx, staged); err != nil {
		return nil, err
	}
	followers, err := c.oldKeys(ctx, staged, nil)
	if err != nil {
		return nil, err
	}
	n, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE rowid IN (SELECT %s FROM %s)", duckName(w.table), stagedRowID, staged))
	if err != nil {
		return nil, err
	}
	return &writeResult{n, staged}, c.follow(ctx, followers)
}
