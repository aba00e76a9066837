package engine

import (
	"context"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// boundJoin is an ASOF join in a body's FROM: to which relation, and what the body calls it.
type boundJoin struct {
	schema.Join
	alias  string
	right  *schema.Relation
	merged []string // columns of USING, which are the left side's
}

// addJoin binds an ASOF join of the rows so far to a relation of attributes. Expressions may then name its columns.
func (x *exprBinder) addJoin(ctx context.Context, cat *schema.Catalog, j parse.Join) error {
	rv := j.Relation
	usage := func(err *session.Error, n *pg_query.Node) error {
		offset := j.Mark.Position
		if l := nodeLocation(n); l >= 0 {
			offset = l
		}
		if err.Hint == "" {
			err = hint(err, "ASOF JOIN %s a ON a.key = %s.key AND %[2]s.%s >= a.ts", rv.Relname, x.alias, x.rel.EventTime)
		}
		return at(err, x.sql, offset)
	}
	right := cat.Relation(rv.Relname)
	if right == nil || rv.Schemaname != "" && rv.Schemaname != "public" {
		err := x.s.noEventRelation(ctx, cat, rv.Relname)
		if err.Code == codeDefinition {
			err = hint(fail(codeDefinition, "%q is an ordinary table, of which a feature cannot tell which row was in force at an event", rv.Relname),
				"CREATE TABLE %s (…, ts timestamptz NOT NULL) WITH (event_time = 'ts'): each change is a row of its own.", rv.Relname)
		}
		return at(err, x.sql, int(rv.Location))
	}
	if v := cat.VersionsOf(right); v != nil { // as the row was known at the event
		right = v
	}
	if right.EventTime == "" {
		return at(noEventTime(cat, rv.Relname), x.sql, int(rv.Location))
	}
	if materialize.Base(cat, right).ID == materialize.Base(cat, x.rel).ID {
		return at(hint(fail(codeUnsupported, "relation %q cannot be joined to its own rows", materialize.Base(cat, right).Name), "What an event's predecessors say is an aggregate: last(x), first(x), max(x) … WINDOW 7 DAYS."), x.sql, int(rv.Location))
	}
	if base := materialize.Base(cat, right); base.Retention != 0 || base.KeptFrom != nil {
		return at(hint(fail(codeUnsupported, "relation %q has a retention, so that what was in force at an event may be gone", base.Name), "Keep attributes in an event table without the option retention."), x.sql, int(rv.Location))
	}
	b := boundJoin{Join: schema.Join{Relation: right.ID, Inner: j.Mark.Kind != parse.AsofLeft}, alias: rv.Relname, right: right}
	if rv.Alias != nil {
		b.alias = rv.Alias.Aliasname
	}
	timed := false
	time := func(op string) {
		b.Strict, timed = op == ">", true
	}
	equal := func(left *pg_query.Node, column string, n *pg_query.Node) error {
		i := right.ColumnIndex(column)
		if i < 0 {
			return usage(hint(fail(codeUndefinedColumn, "column %s.%s does not exist", b.alias, column), "Columns of %s: %s.", right.Name, columnNames(right.Columns)), n)
		}
		e, err := x.joinKey(ctx, left, n)
		if err != nil {
			return err
		}
		if t := right.Columns[i].Type; !e.Type.Equal(t) && !widens(e.Type, t) && !widens(t, e.Type) {
			return usage(hint(fail(codeTypeMismatch, "column %s.%s is %s, and is compared with %s", b.alias, column, t, e.Type), "Cast the other side to %s.", t), n)
		}
		b.Keys, b.Columns = append(b.Keys, e), append(b.Columns, right.Columns[i].Inside())
		return nil
	}
	terms := conjuncts(j.Node.Quals)
	if j.Mark.Match != nil {
		terms = append(terms, j.Mark.Match)
	}
	for i, u := range j.Node.UsingClause {
		name := u.GetString_().GetSval()
		if i == len(j.Node.UsingClause)-1 && j.Mark.Match == nil {
			if name != x.rel.EventTime || name != right.EventTime {
				return usage(fail(codeDefinition, "the last column of USING is the event time of both sides, %q and %q", x.rel.EventTime, right.EventTime), nil)
			}
			time(">=")
		} else if err := equal(columnRef(x.alias, name, 0), name, nil); err != nil {
			return err
		}
		b.merged = append(b.merged, name)
	}
	for _, t := range terms {
		if t.GetAConst().GetBoolval().GetBoolval() { // ON TRUE beside MATCH_CONDITION
			continue
		}
		e := t.GetAExpr()
		if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || e.Lexpr == nil {
			return usage(fail(codeUnsupported, "an ASOF JOIN takes equalities and one comparison of times"), t)
		}
		left, own, op := e.Lexpr, x.joinedColumn(&b, e.Rexpr), operator(e)
		if own == "" {
			left, own = e.Rexpr, x.joinedColumn(&b, e.Lexpr)
			op = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
		}
		switch {
		case own == "" || x.mentions(&b, left):
			return usage(fail(codeUnsupported, "a condition of ASOF JOIN compares an expression of the event with a column of %q", b.alias), t)
		case op == "=":
			if err := equal(left, own, t); err != nil {
				return err
			}
		case op == "<" || op == "<=":
			return usage(fail(codeUnsupported, "attributes are joined as they were at the event: a join that looks forward is not supported"), t)
		case op != ">" && op != ">=":
			return usage(fail(codeUnsupported, "an ASOF JOIN takes equalities and one comparison of times, not %s", operator(e)), t)
		case timed:
			return usage(fail(codeUnsupported, "an ASOF JOIN has one comparison of times, this one has two"), t)
		case own != right.EventTime || !x.isEventTime(left):
			return usage(fail(codeUnsupported, "attributes are joined as of the event: the times compared are the event times %s.%s and %s.%s", x.alias, x.rel.EventTime, b.alias, right.EventTime), t)
		default:
			time(op)
		}
	}
	if !timed {
		return usage(fail(codeDefinition, "ASOF JOIN to %q says no comparison of times", b.alias), nil)
	}
	if len(b.Keys) == 0 {
		return usage(fail(codeDefinition, "ASOF JOIN to %q says no equality", b.alias), nil)
	}
	if err := wholeVersionKey(cat, &b); err != nil {
		return usage(err, nil)
	}
	at := len(x.joins)
	x.joins = append(x.joins, b)
	wide := *x.rel
	wide.Columns = slices.Clone(x.rel.Columns)
	for _, c := range right.Columns {
		wide.Columns = append(wide.Columns, schema.Column{Name: schema.JoinColumn(at, c.Name), Kept: schema.JoinColumn(at, c.Inside()), Type: c.Type, Bare: c.Bare})
	}
	x.rel = &wide
	return nil
}

// joinKey binds an expression of the rows so far that a column of attributes must equal.
func (x *exprBinder) joinKey(ctx context.Context, n, term *pg_query.Node) (schema.Expr, error) {
	position := nodeLocation(term)
	if l := nodeLocation(n); l >= 0 {
		position = l
	}
	node, err := x.resolve(n)
	if err != nil {
		return schema.Expr{}, err
	}
	sql, from, err := x.plain(ctx, node)
	if err != nil {
		return schema.Expr{}, at(x.explain(asError(err)), x.sql, position)
	}
	types, err := x.s.types(ctx, sql, from)
	if err != nil {
		return schema.Expr{}, at(x.explain(asError(err)), x.sql, position)
	}
	return schema.Expr{SQL: sql[0], Type: types[0], Column: -1}, nil
}

// joinedColumn is the column of a join that an expression is, "" where it is none.
func (x *exprBinder) joinedColumn(b *boundJoin, n *pg_query.Node) string {
	ref := n.GetColumnRef()
	if ref == nil {
		return ""
	}
	name, star, ok := columnOf(ref, b.alias)
	if !ok || star || len(ref.Fields) == 1 && (b.right.ColumnIndex(name) < 0 || x.rel.ColumnIndex(name) >= 0) {
		return ""
	}
	return name
}

// mentions reports whether an expression names a column of a join.
func (x *exprBinder) mentions(b *boundJoin, n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok && x.joinedColumn(b, &pg_query.Node{Node: &pg_query.Node_ColumnRef{ColumnRef: ref}}) != "" {
			found = true
		}
		return !found
	})
	return found
}

// isEventTime reports whether an expression is the event time of the relation whose rows are aggregated.
func (x *exprBinder) isEventTime(n *pg_query.Node) bool {
	ref := n.GetColumnRef()
	if ref == nil {
		return false
	}
	name, star, ok := columnOf(ref, x.alias)
	return ok && !star && name == x.rel.EventTime
}

// resolveJoined gives a reference to a column of a join the name that it has inside. Errors: several columns have the name.
func (x *exprBinder) resolveJoined(ref *pg_query.ColumnRef, names []string) error {
	column := names[len(names)-1]
	var found []string
	for i := range x.joins {
		j := &x.joins[i]
		has := j.right.ColumnIndex(column) >= 0
		switch {
		case len(names) == 2 && names[0] == j.alias:
			if !has {
				return at(hint(fail(codeUndefinedColumn, "column %s does not exist", strings.Join(names, ".")), "Columns of %s: %s.", j.right.Name, columnNames(j.right.Columns)), x.sql, int(ref.Location))
			}
			found = append(found, schema.JoinColumn(i, column))
		case len(names) == 1 && has && !slices.Contains(j.merged, column):
			found = append(found, schema.JoinColumn(i, column))
		}
	}
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 || len(names) == 1 && x.rel.ColumnIndex(column) >= 0 {
		return at(hint(fail("42702", "column reference %q is ambiguous", column), "Write which: %s.%s or %s.%[2]s.", x.alias, column, x.joins[0].alias), x.sql, int(ref.Location))
	}
	ref.Fields = []*pg_query.Node{pg_query.MakeStrNode(found[0])}
	return nil
}
