package engine

import (
	"context"
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
)

// writesInWith reports whether WITH has queries that write.
func writesInWith(w *pg_query.WithClause) bool {
	return slices.ContainsFunc(w.GetCtes(), func(n *pgNode) bool { return isWrite(n.GetCommonTableExpr().GetCtequery()) })
}

func isWrite(n *pgNode) bool {
	return n.GetInsertStmt() != nil || n.GetUpdateStmt() != nil || n.GetDeleteStmt() != nil
}

// writeTargetOf is the table that a writing statement names.
func writeTargetOf(n *pgNode) *pg_query.RangeVar {
	switch {
	case n.GetInsertStmt() != nil:
		return n.GetInsertStmt().Relation
	case n.GetUpdateStmt() != nil:
		return n.GetUpdateStmt().Relation
	}
	return n.GetDeleteStmt().GetRelation()
}

// bindWriteOrdinary binds a change of an ordinary table, with what its WITH may write.
func (s *Session) bindWriteOrdinary(ctx context.Context, cat *schema.Catalog, st *parse.SQL, with *pg_query.WithClause, given []vector.Type) (bound, error) {
	if writesInWith(with) {
		return s.bindWritingWith(ctx, cat, st, given)
	}
	if err := s.inlineViews(ctx, st.Node); err != nil {
		return bound{}, err
	}
	return s.bindWrite(ctx, cat, st, given)
}

// withPlan is a statement whose WITH queries write. All of its parts see the tables as they were before it: they are computed
// first, and written then.
type withPlan struct {
	writes []withWrite
	main   *rowWrite // the statement itself where it writes
	st     *parse.SQL
	read   *part // the statement itself where it reads
}

type withWrite struct {
	w    *rowWrite
	part string // placeholder of what it returns, "" where nothing
	now  bool   // it is written when it is computed: what it returns is known then only
}

// bindWritingWith binds a statement with writing WITH queries.
func (s *Session) bindWritingWith(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	if !st.Clauses.Empty() {
		return bound{}, fail(codeUnsupported, "ASOF JOIN, WINDOW, TABLESAMPLE and FOR SYSTEM_TIME cannot stand beside a WITH query that writes")
	}
	s.parts, s.partColumns = map[string]string{}, map[string][]analyze.Column{}
	defer func() { s.parts, s.partColumns = nil, nil }()
	var with *pg_query.WithClause
	n := st.Node
	switch {
	case n.GetSelectStmt() != nil:
		with = n.GetSelectStmt().WithClause
	case n.GetInsertStmt() != nil:
		with = n.GetInsertStmt().WithClause
	case n.GetUpdateStmt() != nil:
		with = n.GetUpdateStmt().WithClause
	default:
		with = n.GetDeleteStmt().WithClause
	}
	p := &withPlan{}
	out := bound{}
	var before []*pgNode // the WITH queries so far that only read
	for _, q := range with.Ctes {
		c := q.GetCommonTableExpr()
		if !isWrite(c.Ctequery) {
			before = append(before, q)
			continue
		}
		if rv := writeTargetOf(c.Ctequery); eventTableOf(cat, rv) != nil {
			return bound{}, at(fail(codeUnsupported, "a WITH query cannot write event table %q", rv.Relname), st.Text, int(rv.Location))
		}
		addWith(c.Ctequery, before, with.Recursive)
		if err := s.inlineViews(ctx, c.Ctequery); err != nil {
			return bound{}, err
		}
		w, err := s.planWrite(ctx, cat, st, c.Ctequery, given)
		if err != nil {
			return bound{}, err
		}
		out.params = mergedParams(out.params, w.params)
		part := ""
		if w.returning != nil {
			part = fmt.Sprintf("__part_%d", len(p.writes))
			s.parts[part], s.partColumns[part] = emptyColumns(w.columns), shownColumns(w.columns)
			read := selectNode([]*pgNode{starTarget()}, placeholder(part, part))
			before = append(before, &pgNode{Node: &pg_query.Node_CommonTableExpr{CommonTableExpr: &pg_query.CommonTableExpr{Ctename: c.Ctename, Aliascolnames: c.Aliascolnames, Ctequery: read}}})
		} else if place := readsName(st.Node, c.Ctename); place >= 0 {
			return bound{}, at(fail(codeUnsupported, "WITH query %q does not have a RETURNING clause", c.Ctename), st.Text, place)
		}
		p.writes = append(p.writes, withWrite{w: w, part: part, now: w.conflict != nil})
	}
	next := clone(st.Node)
	setWith(next, before, with.Recursive)
	if err := s.inlineViews(ctx, next); err != nil {
		return bound{}, err
	}
	p.st = &parse.SQL{Text: st.Text, Plain: st.Plain, Node: next, Clauses: st.Clauses}
	if isWrite(next) {
		if rv := writeTargetOf(next); eventTableOf(cat, rv) != nil {
			return bound{}, at(fail(codeUnsupported, "event table %q cannot be written beside a WITH query that writes", rv.Relname), st.Text, int(rv.Location))
		}
		w, err := s.planWrite(ctx, cat, p.st, next, given)
		if err != nil {
			return bound{}, err
		}
		p.main = w
		out.params = mergedParams(out.params, w.params)
		if w.returning != nil {
			out.columns = w.columns
		}
	} else {
		b := s.binderAt(ctx, cat, st.Text, true)
		var err error
		if p.read, err = s.typedPart(b, st, next, given, assignment{}, true); err != nil {
			return bound{}, err
		}
		if p.read == nil {
			b = s.binderAt(ctx, cat, st.Text, true)
			p.read = &part{node: next}
			if p.read.plan, err = s.planQuery(b, p.st); err != nil {
				return bound{}, err
			}
			if p.read.params, p.read.columns, err = s.describeNode(ctx, b, next, given); err != nil {
				return bound{}, err
			}
		}
		out.params, out.columns = mergedParams(out.params, p.read.params), p.read.columns
	}
	if err := p.check(); err != nil {
		return bound{}, err
	}
	out.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.runWith(ctx, cat, p, args)
	}
	return out, nil
}

// check refuses statements whose parts write the same rows.
func (p *withPlan) check() error {
	changes := map[uint64]int{}
	count := func(w *rowWrite) {
		if w.kind != 'i' || w.conflict != nil {
			changes[w.table.ID]++
		}
	}
	all := make([]*rowWrite, 0, len(p.writes)+1)
	for _, x := range p.writes {
		all = append(all, x.w)
	}
	if p.main != nil {
		all = append(all, p.main)
	}
	for _, w := range all {
		count(w)
	}
	for _, w := range all {
		if changes[w.table.ID] > 1 {
			return hint(fail(codeUnsupported, "two parts of one statement change rows of table %q", w.table.Name), "Write them as two statements.")
		}
	}
	return nil
}

func mergedParams(a, b []vector.Type) []vector.Type {
	w := rowWrite{params: a}
	w.mergeParams(b)
	return w.params
}

// emptyColumns is a relation of a result's columns without rows.
func emptyColumns(cols []session.Column) string {
	items := make([]string, len(cols))
	for i, c := range cols {
		items[i] = fmt.Sprintf("NULL::%s AS %s", c.Type.DuckDB(), duck.QuoteIdent(c.Name))
	}
	return "(SELECT " + strings.Join(items, ", ") + " WHERE false)"
}

// readsName is the place where a statement reads a relation of an unqualified name, −1 where it reads none.
func readsName(n *pgNode, name string) int {
	place := -1
	parse.Walk(n, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok && rv.Schemaname == "" && rv.Relname == name {
			place = int(rv.Location)
		}
		return place < 0
	})
	return place
}

// addWith puts WITH queries before those of a writing statement.
func addWith(n *pgNode, ctes []*pgNode, recursive bool) {
	if len(ctes) == 0 {
		return
	}
	var own *pg_query.WithClause
	switch {
	case n.GetInsertStmt() != nil:
		own = n.GetInsertStmt().WithClause
	case n.GetUpdateStmt() != nil:
		own = n.GetUpdateStmt().WithClause
	default:
		own = n.GetDeleteStmt().WithClause
	}
	all := make([]*pgNode, 0, len(ctes)+len(own.GetCtes()))
	for _, c := range ctes {
		all = append(all, clone(c))
	}
	setWith(n, append(all, own.GetCtes()...), recursive || own.GetRecursive())
}

// setWith gives a statement its WITH queries.
func setWith(n *pgNode, ctes []*pgNode, recursive bool) {
	var w *pg_query.WithClause
	if len(ctes) > 0 {
		w = &pg_query.WithClause{Ctes: ctes, Recursive: recursive}
	}
	switch {
	case n.GetSelectStmt() != nil:
		n.GetSelectStmt().WithClause = w
	case n.GetInsertStmt() != nil:
		n.GetInsertStmt().WithClause = w
	case n.GetUpdateStmt() != nil:
		n.GetUpdateStmt().WithClause = w
	default:
		n.GetDeleteStmt().WithClause = w
	}
}

// runWith computes all parts, and writes them.
func (s *Session) runWith(ctx context.Context, cat *schema.Catalog, p *withPlan, args []*vector.Vector) (session.Result, error) {
	s.parts = map[string]string{}
	defer func() { s.parts = nil }()
	var rows string // temporary table of the statement's own rows
	var res *writeResult
	err := s.inTransaction(ctx, func(ctx context.Context) error {
		if _, err := s.ordinary(ctx); err != nil { // a rollback has forgotten it
			return err
		}
		var locks []uint64
		for _, x := range p.writes {
			locks = append(locks, s.lockSet(x.w.table, false)...)
			s.changes(x.w.table, true)
		}
		if p.main != nil {
			locks = append(locks, s.lockSet(p.main.table, false)...)
			s.changes(p.main.table, true)
		}
		if err := s.takeLocks(ctx, locks); err != nil {
			return err
		}
		if err := s.beginOrdinary(ctx); err != nil {
			return err
		}
		staged := make([]string, len(p.writes))
		for i, x := range p.writes {
			var err error
			if staged[i], err = x.w.stage(ctx, args); err != nil {
				return err
			}
			written := staged[i]
			if x.now {
				got, err := x.w.apply(ctx, staged[i], args)
				if err != nil {
					return err
				}
				written = got.written
			} else if x.w.joined {
				if err := x.w.once(ctx, staged[i]); err != nil {
					return err
				}
			}
			if x.part == "" {
				continue
			}
			sql, err := x.w.returningSQL(ctx, written, false)
			if err != nil {
				return err
			}
			table := s.temp("part")
			if _, err := s.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", table, sql), args); err != nil {
				return err
			}
			s.parts[x.part] = "temp.main." + table
		}
		main := ""
		var err error
		if p.main != nil {
			if main, err = p.main.stage(ctx, args); err != nil {
				return err
			}
		} else {
			sql, err := p.read.sql(s.binderAt(ctx, cat, p.st.Text, false), p.st, args)
			if err != nil {
				return err
			}
			rows = s.temp("rows")
			if _, err := s.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", rows, sql), args); err != nil {
				return err
			}
		}
		for i, x := range p.writes {
			if !x.now {
				if _, err := x.w.apply(ctx, staged[i], args); err != nil {
					return err
				}
			}
		}
		if p.main != nil {
			res, err = p.main.apply(ctx, main, args)
		}
		return err
	})
	if err != nil {
		s.dropTemps()
		return nil, err
	}
	if p.main != nil {
		return p.main.result(ctx, res, args)
	}
	out, err := s.conn.Query(ctx, "SELECT * FROM temp.main."+rows)
	if err != nil {
		s.dropTemps()
		return nil, err
	}
	return &duckRows{noRows: noRows{"SELECT"}, s: s, rows: out, done: s.dropTemps, columns: p.read.columns}, nil
}
