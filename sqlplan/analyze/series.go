package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// seriesRows is a FROM in which DuckDB makes the values of a series one after the other, and the name of their column; nil where list is
// no series of integers between constants. A list of them all would take memory that grows with their number.
func seriesRows(list *pg_query.Node) (from, column *pg_query.Node) {
	f := uncast(list).GetFuncCall()
	if f == nil || len(f.Funcname) == 0 || f.Funcname[len(f.Funcname)-1].GetString_().GetSval() != "generate_series" {
		return nil, nil
	}
	args := make([]*pg_query.Node, len(f.Args))
	for i, arg := range f.Args {
		if c := arg.GetCaseExpr(); c != nil { // the end, of lists of a bounded length, and the step, guarded against 0
			if arg = c.Defresult; i == 2 && uncast(arg).GetAConst().GetIval().GetIval() == 0 {
				return nil, nil
			}
		}
		if c := uncast(arg).GetAConst(); c == nil || c.Isnull {
			return nil, nil
		}
		args[i] = castTo(copyOf(arg), "int8")
	}
	rows := call("generate_series", args...)
	return &pg_query.Node{Node: &pg_query.Node_RangeFunction{RangeFunction: &pg_query.RangeFunction{
		Functions: []*pg_query.Node{{Node: &pg_query.Node_List{List: &pg_query.List{Items: []*pg_query.Node{rows, {}}}}}},
		Alias:     &pg_query.Alias{Aliasname: "__series", Colnames: []*pg_query.Node{pg_query.MakeStrNode("__v")}}}}}, columnNode("__v")
}

func uncast(n *pg_query.Node) *pg_query.Node {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	return n
}
