package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// readAs puts a table some of whose columns are stored otherwise than their type is computed with into a subquery that reads
// them as that: jsonb is stored as DuckDB's JSON.
func (a *analyzer) readAs(n *pg_query.Node, rv *pg_query.RangeVar, alias string, cols []Column, own []column) error {
	stored := func(t vector.Type) bool {
		return t.Kind == vector.JSON && t.Shown == oidJSONB || t.Kind == vector.List && t.Elem[0].Kind == vector.JSON && t.Shown == arrayOf(oidJSONB)
	}
	if !slices.ContainsFunc(cols, func(c Column) bool { return stored(c.Type) }) {
		return nil
	}
	sub := &pg_query.SelectStmt{LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	outer := &pg_query.Alias{Aliasname: alias}
	table := copyOf(&pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: rv}})
	table.GetRangeVar().Alias = &pg_query.Alias{Aliasname: alias}
	for i, c := range cols {
		v := columnNode(alias, c.Name)
		switch {
		case !stored(c.Type):
		case c.Raw && c.Type.Kind == vector.JSON:
			var err error
			if v, err = a.emit(pgfunc.CastFunction(oidJSON, oidJSONB), []value{typed(v, oidJSON, -1)}); err != nil {
				return err
			}
		case c.Raw:
			w, err := a.convertArray(typed(v, arrayOf(oidJSON), -1), arrayOf(oidJSONB))
			if err != nil {
				return err
			}
			v = w.n
		default:
			v = castNode(v, physical(c.Type.Shown))
		}
		t := pg_query.MakeResTargetNodeWithVal(v, 0)
		t.GetResTarget().Name = c.Name
		sub.TargetList = append(sub.TargetList, t)
		outer.Colnames = append(outer.Colnames, pg_query.MakeStrNode(own[i].sql))
	}
	sub.FromClause = []*pg_query.Node{table}
	n.Node = &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sub}}, Alias: outer}}
	return nil
}
