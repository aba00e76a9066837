package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// maxEntityScan is how many keys a statement may read of an entity whose keys it does not bind.
const maxEntityScan = 1_000_000

// entityBatch is how many keys' values are assembled before they are written to the temporary table.
const entityBatch = 2048

// entityRead is an entity that stands as a relation in a statement which DuckDB finishes: expressions over its columns, several
// entities, ORDER BY, joins. Execution looks its keys up into a temporary table, which stands in the entity's place.
type entityRead struct {
	*entityRef
	node   *pg_query.Node // the placeholder
	name   string         // of the placeholder
	terms  []keyTerm      // one for each key, where literals and parameters bind them all
	source *keySource     // else what the statement binds them to; nil: nothing, and every key with an event is read
	outs   outputList
	read   *readPlan
}

// entity replaces an entity that stands in FROM. What binds its keys is found once all of FROM is known.
func (p *fromPlanner) entity(in *selectState, ref *entityRef) (*pg_query.Node, error) {
	r := &entityRead{entityRef: ref, name: fmt.Sprintf("__entity_%d", p.entities)}
	p.entities++
	r.node = placeholder(r.name, r.alias)
	if err := r.choose(p.b, p.st, in.sel); err != nil {
		return nil, err
	}
	if r.asOf != nil {
		p.q.times = append(p.q.times, r.asOf)
	}
	in.pending = append(in.pending, r)
	r.describe(p.b)
	return r.node, nil
}

// choose finds the outputs that the SELECT names.
func (r *entityRead) choose(b *binder, st *parse.SQL, sel *pg_query.SelectStmt) error {
	named, all := r.named(sel)
	for _, o := range r.outputs(b.cat) {
		label := o.output.Window.Following
		if label && named[o.output.Name] {
			return at(labelOnline(r.entity, o.output.Name), st.Text, r.offset)
		}
		if named[o.output.Name] || all && !label {
			r.outs = append(r.outs, o)
		}
	}
	qualified := r.qualified(sel)
	for _, name := range slices.Sorted(maps.Keys(qualified)) {
		if _, ok := r.outs.find(name); !ok && !slices.Contains(r.keys, name) {
			return at(noEntityColumn(r.entity, r.outputs(b.cat), name), st.Text, qualified[name])
		}
	}
	r.read = newReadPlan(b.cat, r.outs)
	return r.read.check(b.cat)
}

// usage are the ways to read the entity, for hints.
func (r *entityRead) usage() string {
	var eq, on []string
	for _, k := range r.keys {
		eq = append(eq, k+" = …")
		on = append(on, fmt.Sprintf("f.%s = l.%s", k, k))
	}
	return fmt.Sprintf("Bind every key: FROM %s WHERE %s; or read it at each row's time: FROM l ASOF JOIN %s f ON %s AND l.ts > f.ts.",
		r.entity.Name, strings.Join(eq, " AND "), r.entity.Name, strings.Join(on, " AND "))
}

// named are the names of columns in the SELECT that may be the entity's; all: a * takes every one.
func (r *entityRead) named(sel *pg_query.SelectStmt) (names map[string]bool, all bool) {
	names = map[string]bool{}
	references(sel, r.alias, func(ref *pg_query.ColumnRef) {
		if name, star, ok := columnOf(ref, r.alias); ok && star {
			all = true
		} else if ok {
			names[name] = true
		}
	})
	return names, all
}

// qualified are the columns that the SELECT names with the entity's alias, and where.
func (r *entityRead) qualified(sel *pg_query.SelectStmt) map[string]int {
	out := map[string]int{}
	references(sel, r.alias, func(ref *pg_query.ColumnRef) {
		if len(ref.Fields) == 2 {
			if name, star, ok := columnOf(ref, r.alias); ok && !star {
				out[name] = int(ref.Location)
			}
		}
	})
	return out
}

// columns are the keys and the outputs read.
func (r *entityRead) columns() []schema.Column {
	var out []schema.Column
	for i, k := range r.keys {
		out = append(out, schema.Column{Name: k, Type: r.entity.Keys[i].Type})
	}
	for _, o := range r.outs {
		out = append(out, schema.Column{Name: o.output.Name, Type: o.output.Type})
	}
	return out
}

// mention names the parameters that say keys and times, so that DuckDB tells their types.
func (r *entityRead) mention() string {
	text := ""
	for i, k := range r.terms {
		if k.param == 0 {
			continue
		}
		t := r.entity.Keys[i].Type
		if k.list {
			t = vector.ListOf(t)
		}
		text += fmt.Sprintf(" AND CAST($%d AS %s) IS NOT NULL", k.param, t.DuckDB())
	}
	for _, n := range []*pg_query.Node{r.asOf, r.at} {
		if n == nil {
			continue
		}
		if p := uncast(n).GetParamRef(); p != nil {
			text += fmt.Sprintf(" AND CAST($%d AS TIMESTAMPTZ) IS NOT NULL", p.Number)
		}
	}
	return text
}

// describe sets the placeholder to an empty relation with the right columns.
func (r *entityRead) describe(b *binder) {
	for i, k := range r.terms {
		if t := r.entity.Keys[i].Type; k.param > 0 {
			if k.list {
				t = vector.ListOf(t)
			}
			b.foundKey(k.param, exactParam(t))
		}
	}
	b.foundTime(r.asOf)
	b.foundTime(r.at)
	b.setRef(r.name, fmt.Sprintf("(SELECT %s WHERE false%s)", nullColumns(r.columns()), r.mention()), analyzedColumns(r.columns()))
}

// execute looks the keys up and sets the placeholder to the table of their values.
func (r *entityRead) execute(b *binder, st *parse.SQL, args []*vector.Vector) error {
	s := b.s
	plan := &lookupPlan{entityRef: r.entityRef, terms: r.terms, read: r.read}
	l, err := s.newLookup(b.cat, plan)
	if err != nil {
		return err
	}
	keys, err := r.keyRows(b, plan, args)
	if err != nil {
		return err
	}
	position, instant, err := s.times(st, r.entityRef, args)
	if err != nil {
		return err
	}
	if instant == nil { // one instant for all batches
		t := s.readTime()
		instant = &t
		if !s.toldOld && position == nil {
			l.tellOld(t)
		}
	}
	table := s.temp("entity")
	cols := r.columns()
	decl := make([]string, len(cols))
	for i, c := range cols {
		decl[i] = duck.QuoteIdent(c.Name) + " " + c.Type.DuckDB()
	}
	if _, err := s.conn.Exec(b.ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", table, strings.Join(decl, ", "))); err != nil {
		return err
	}
	app, err := s.conn.Appender("temp", "main", table)
	if err != nil {
		return err
	}
	for from := 0; from < keys.N; from += entityBatch {
		l.reset()
		var scratch []byte
		for i := from; i < min(from+entityBatch, keys.N); i++ {
			scratch = scratch[:0]
			for _, c := range keys.Cols {
				scratch = appendBound(scratch, c, i)
			}
			l.keys.AppendRow(keys, i)
			l.enc.AppendBytes(scratch)
		}
		if err = l.fill(b.ctx, position, instant); err == nil {
			err = app.Append(&vector.Chunk{Cols: append(slices.Clone(l.keys.Cols), l.values...), N: l.keys.N})
		}
		if err != nil {
			_ = app.Close()
			return err
		}
	}
	if err := app.Close(); err != nil {
		return err
	}
	b.refs[r.name] = "temp.main." + table
	return nil
}

// keyRows are the keys to read: those bound, or every one with an event in a partial of the entity.
func (r *entityRead) keyRows(b *binder, plan *lookupPlan, args []*vector.Vector) (*vector.Chunk, error) {
	types := make([]vector.Type, len(r.keys))
	for i, k := range r.entity.Keys {
		types[i] = k.Type
	}
	out := vector.NewChunk(types, 16)
	if r.terms != nil {
		bound, err := r.castArgs(b, args)
		if err != nil {
			return nil, err
		}
		return out, plan.keysOf(bound, out, vector.New(vector.T(vector.Bytes), 16))
	}
	if r.source != nil {
		sql, err := r.source.sql(b, r.entityRef)
		if err != nil {
			return nil, err
		}
		return out, r.appendKeys(b, out, sql, args)
	}
	if b.s.e.gateway != nil {
		return nil, at(hint(onGateway("entity %q is read with all keys bound", r.entity.Name), "%s", r.usage()), b.sql, r.offset)
	}
	var parts []string
	for _, f := range b.cat.FeaturesOf(r.entity.ID) {
		g := b.cat.Groups[f.Group]
		if g == nil {
			continue
		}
		rel, err := b.relationSQL(b.cat.Relations[g.Relation], false)
		if err != nil {
			return nil, err
		}
		if len(g.Unnest)+len(g.Joins) > 0 { // keys are elements of lists, or attributes
			if err := b.s.refuseMoved(b.ctx, b.cat, g); err != nil {
				return nil, err
			}
			var done func()
			if rel, done, err = b.s.e.mat.WidenedSQL(b.ctx, b.s.conn, b.cat, g, b.position); err != nil {
				return nil, err
			}
			defer done()
		}
		items, where := make([]string, len(g.Keys)), make([]string, len(g.Keys))
		for i, k := range g.Keys {
			items[i], where[i] = k.SQL, "("+k.SQL+") IS NOT NULL"
		}
		part := fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(items, ", "), rel, strings.Join(where, " AND "))
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return out, nil
	}
	return out, r.appendKeys(b, out, fmt.Sprintf("SELECT DISTINCT * FROM (%s)", strings.Join(parts, " UNION ALL ")), nil)
}

// appendKeys appends the keys that a query gives, unless they are too many.
func (r *entityRead) appendKeys(b *binder, out *vector.Chunk, sql string, args []*vector.Vector) error {
	rows, err := b.s.query(b.ctx, fmt.Sprintf("%s LIMIT %d", sql, maxEntityScan+1), args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return err
		}
		if out.N+ch.N > maxEntityScan {
			return at(hint(fail(codeStateTooLarge, "entity %q has more than %d keys, too many to read at a time", r.entity.Name, maxEntityScan), "%s", r.usage()), b.sql, r.offset)
		}
		for i := range ch.N {
			out.AppendRow(ch, i)
		}
	}
}

// castArgs are the arguments with those that bind keys as values of the keys' types: DuckDB may have typed them otherwise.
func (r *entityRead) castArgs(b *binder, args []*vector.Vector) ([]*vector.Vector, error) {
	out := slices.Clone(args)
	for i, term := range r.terms {
		if term.param == 0 || term.param > len(args) {
			continue
		}
		want := r.entity.Keys[i].Type
		if term.list {
			want = vector.ListOf(want)
		}
		have, err := exactArg(args[term.param-1], want)
		if err != nil {
			return nil, err
		}
		if out[term.param-1] = have; !have.Type.Equal(want) {
			v := vector.New(want, 1)
			if err := b.s.cast(v, have, 0); err != nil {
				return nil, fmt.Errorf("key %q: %w", r.keys[i], err)
			}
			out[term.param-1] = v
		}
	}
	return out, nil
}

// queryPlan is what this engine answers itself inside a statement that DuckDB finishes.
type queryPlan struct {
	steps    []planStep      // in the order in which they run
	marks    []proto.Message // joins, SELECTs, relations and samples whose clauses the plan takes
	times    []*pg_query.Node
	ordinary []*ordinaryJoin             // ASOF joins that DuckDB runs
	then     map[string]*schema.Relation // what is read FOR SYSTEM_TIME AS OF, by placeholder
}

// planStep is one replacement in FROM: one of its fields is set.
type planStep struct {
	asof   *asofPlan
	entity *entityRead
	skew   *skewRead
	sample *sampleRead
	then   *thenRead
}

// take notes that the plan answers the clauses of nodes.
func (q *queryPlan) take(nodes ...proto.Message) { q.marks = append(q.marks, nodes...) }

func (q *queryPlan) took(n proto.Message) bool { return slices.Contains(q.marks, n) }

// planQuery takes ASOF joins, entities and samples out of st's tree, puts what stands for them in their place and describes it
// to b. Clauses that no plan took are refused: silence would be a wrong answer.
func (s *Session) planQuery(b *binder, st *parse.SQL) (*queryPlan, error) {
	s.unmarkClauses(st)
	p := &fromPlanner{s: s, b: b, st: st, q: &queryPlan{}, shown: map[*pg_query.Node][]shownColumn{}}
	b.plan = p.q
	skews, err := s.planSkews(b, st)
	if err != nil {
		return nil, err
	}
	for _, r := range skews {
		r.describe(b)
		p.q.steps = append(p.q.steps, planStep{skew: r})
	}
	if err := p.walk(st.Node, nil); err != nil {
		return nil, err
	}
	return p.q, s.refuseLeftOver(b, st, p.q)
}

// execute makes the temporary tables that stand for the placeholders.
func (q *queryPlan) execute(b *binder, st *parse.SQL, args []*vector.Vector) error {
	for _, step := range q.steps {
		var err error
		switch {
		case step.asof != nil:
			err = step.asof.execute(b, args)
		case step.entity != nil:
			err = step.entity.execute(b, st, args)
		case step.skew != nil:
			err = step.skew.execute(b)
		case step.sample != nil:
			err = step.sample.execute(b, st, args)
		case step.then != nil:
			err = step.then.execute(b, st, args)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
