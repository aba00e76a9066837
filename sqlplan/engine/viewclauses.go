package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A view is kept as PostgreSQL's SQL, which has no place for clauses of ours. They stand in it as names that nobody else gives:
//
//	a ASOF LEFT JOIN b ON …      (a LEFT JOIN b ON …) AS __asof_…
//	SELECT … WINDOW 7 DAYS       SELECT … WINDOW __window_… AS ()
//	a FOR SYSTEM_TIME AS OF 't'  a TABLESAMPLE __then ('t')
//
// so the text can be parsed, changed and written again as any other. planQuery makes clauses of them again.

const (
	asofMark   = "__asof_"
	thenMark   = "__then"
	windowMark = "__window_"
)

// asofName is the mark of an ASOF join: its kind and its tolerance in microseconds, "n" for none. Names have at most 63 bytes.
func asofName(a *parse.AsofJoin) string {
	tolerance := "n"
	if a.HasTolerance {
		tolerance = strconv.FormatInt(a.Tolerance, 10)
	}
	return fmt.Sprintf("%s%d_%s", asofMark, a.Kind, tolerance)
}

// readAsof reads the mark of an ASOF join.
func readAsof(name string) (a parse.AsofJoin, ok bool) {
	rest, ok := strings.CutPrefix(name, asofMark)
	kind, tolerance, cut := strings.Cut(rest, "_")
	k, err := strconv.ParseUint(kind, 10, 8)
	if !ok || !cut || err != nil {
		return a, false
	}
	a.Kind, a.Position = parse.AsofKind(k), -1
	if tolerance != "n" {
		a.HasTolerance = true
		a.Tolerance, err = strconv.ParseInt(tolerance, 10, 64)
	}
	return a, err == nil
}

// windowName is the mark of a window: its length in microseconds, a word, and its spelling.
func windowName(w *parse.Window) string {
	word := "preceding"
	if w.Following {
		word = "following"
	}
	return fmt.Sprintf("%s%d_%s_%s", windowMark, w.Micros, word, w.Spelling)
}

// readWindow reads the mark of a window.
func readWindow(name string) (w parse.Window, ok bool) {
	rest, ok := strings.CutPrefix(name, windowMark)
	f := strings.SplitN(rest, "_", 3)
	if !ok || len(f) != 3 {
		return w, false
	}
	micros, err := strconv.ParseInt(f[0], 10, 64)
	return parse.Window{Micros: micros, Lifetime: micros == 0, Following: f[1] == "following", Spelling: f[2], Position: -1}, err == nil
}

// markClauses turns the clauses of a statement into marks of its tree, which then stand for them. Errors: one that has none.
func (s *Session) markClauses(st *parse.SQL) error {
	c := &st.Clauses
	if c.Empty() {
		return nil
	}
	for _, t := range c.SystemTime {
		if err := s.markThen(st, t); err != nil {
			return err
		}
	}
	for _, a := range c.Asof {
		j := a.Join
		if j.Alias != nil {
			return at(fail(codeUnsupported, "a view with a name for an ASOF JOIN as a whole is not supported"), st.Text, a.Position)
		}
		if a.Match != nil {
			if len(j.UsingClause) > 0 {
				return at(hint(fail(codeUnsupported, "a view with MATCH_CONDITION beside USING is not supported"), "ASOF JOIN … ON l.key = r.key AND l.time >= r.time"), st.Text, a.Position)
			}
			j.Quals = &pgNode{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: conditions(j.Quals, a.Match)}}}
			if l := j.Quals.GetBoolExpr().Args; len(l) == 1 {
				j.Quals = l[0]
			}
		}
		j.Alias = &pg_query.Alias{Aliasname: asofName(&a)}
	}
	for _, w := range c.Windows {
		for i := range w.Windows {
			w.Select.WindowClause = append(w.Select.WindowClause, &pgNode{Node: &pg_query.Node_WindowDef{WindowDef: &pg_query.WindowDef{
				Name: windowName(&w.Windows[i]), FrameOptions: defaultFrame}}})
		}
	}
	st.Clauses, s.marked = parse.Clauses{}, true
	return nil
}

// markThen puts the mark of FOR SYSTEM_TIME AS OF around a relation. The time is fixed, in UTC: views are read by sessions in other zones.
func (s *Session) markThen(st *parse.SQL, t parse.SystemTime) error {
	when, err := s.timeOf(t.Expr, nil)
	if err != nil {
		return at(asError(err), st.Text, max(nodeLocation(t.Expr), t.Position))
	}
	var node *pgNode
	parse.Walk(st.Node, func(m proto.Message) bool {
		if n, ok := m.(*pgNode); ok && n.GetRangeVar() == t.Relation {
			node = n
		}
		return node == nil
	})
	if node == nil {
		return at(fail(codeUnsupported, "FOR SYSTEM_TIME AS OF cannot stand here"), st.Text, t.Position)
	}
	node.Node = &pg_query.Node_RangeTableSample{RangeTableSample: &pg_query.RangeTableSample{Relation: &pgNode{Node: node.Node},
		Method: []*pgNode{pg_query.MakeStrNode(thenMark)}, Args: []*pgNode{pg_query.MakeAConstStrNode(formatTime(when), -1)}, Location: t.Relation.Location}}
	return nil
}

// unmarkThen takes the mark from around a relation, and is what it said; nil: n has none.
func unmarkThen(n *pgNode) *parse.SystemTime {
	t := n.GetRangeTableSample()
	if t == nil || len(t.Method) != 1 || t.Method[0].GetString_().GetSval() != thenMark || len(t.Args) != 1 {
		return nil
	}
	n.Node = t.Relation.Node
	rv := n.GetRangeVar()
	if rv == nil { // a view that was put there: no plan takes it, so it is refused
		rv = &pg_query.RangeVar{}
	}
	return &parse.SystemTime{Relation: rv, Expr: t.Args[0], Position: -1}
}

// defaultFrame is the frame of a window that says none, as PostgreSQL's parser has it.
const defaultFrame = 1058

// conditions are two conditions as one list, of which the first may say nothing.
func conditions(a, b *pgNode) []*pgNode {
	if a == nil || a.GetAConst().GetBoolval().GetBoolval() {
		return []*pgNode{b}
	}
	return []*pgNode{a, b}
}

// unmarkClauses makes clauses of the marks that views brought into a statement.
func (s *Session) unmarkClauses(st *parse.SQL) {
	if !s.marked {
		return
	}
	parse.Walk(st.Node, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pgNode:
			if t := unmarkThen(n); t != nil {
				st.Clauses.SystemTime = append(st.Clauses.SystemTime, *t)
			}
		case *pg_query.JoinExpr:
			if a, ok := readAsof(n.GetAlias().GetAliasname()); ok {
				n.Alias, a.Join = nil, n
				st.Clauses.Asof = append(st.Clauses.Asof, a)
			}
		case *pg_query.SelectStmt:
			var list []parse.Window
			n.WindowClause = slices.DeleteFunc(n.WindowClause, func(d *pgNode) bool {
				w, ok := readWindow(d.GetWindowDef().GetName())
				if ok {
					list = append(list, w)
				}
				return ok
			})
			if list != nil {
				st.Clauses.Windows = append(st.Clauses.Windows, parse.SelectWindow{Select: n, Windows: list, Position: -1})
			}
		case *pg_query.RangeTableSample:
			if !slices.ContainsFunc(st.Clauses.Samples, func(t parse.Sample) bool { return t.Node == n }) {
				t := parse.Sample{Node: n, Position: -1}
				for _, w := range n.Method {
					t.Method = w.GetString_().GetSval()
				}
				st.Clauses.Samples = append(st.Clauses.Samples, t)
			}
		}
		return true
	})
}

// notRewritten refuses to change what a view with clauses of ours names: it is shown as it was written.
func notRewritten(v *tables.Object, what string) *session.Error {
	return hint(fail(codeDependent, "cannot rename %s because view %q, which joins features, names it", what, v.Name), "DROP VIEW %s; rename it, and create the view anew.", qualifiedName(v))
}
