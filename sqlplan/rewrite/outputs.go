package rewrite

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// names remembers PostgreSQL's names of outputs, before any rule changes the expressions they come from.
func (c *context) names(n *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		s, ok := m.(*pg_query.SelectStmt)
		if !ok {
			return true
		}
		for _, t := range s.TargetList {
			r := t.GetResTarget()
			if r == nil || r.Name != "" || r.Val.GetColumnRef() != nil || r.Val.GetAIndirection() != nil {
				continue
			}
			name := parse.FigureColumnName(r.Val)
			// Inside, nothing can refer to a column called ?column?, and two of them would clash in DuckDB.
			if name != "?column?" || s == c.top {
				c.original[r] = name
			}
		}
		return true
	})
}

// columnNames writes PostgreSQL's name of an output that has no alias: DuckDB names them by their text.
func columnNames(c *context, m proto.Message) error {
	if r, ok := m.(*pg_query.ResTarget); ok {
		if name, ok := c.original[r]; ok {
			r.Name = name
		}
	}
	return nil
}

// seriesAlias: FROM generate_series(1, 3) n has a column n in PostgreSQL; DuckDB calls it otherwise unless n(n) is written. The
// same of unnest.
func seriesAlias(_ *context, m proto.Message) error {
	f, ok := m.(*pg_query.RangeFunction)
	if !ok || f.Ordinality || f.IsRowsfrom || len(f.Functions) != 1 || len(f.Coldeflist) > 0 {
		return nil
	}
	l := f.Functions[0].GetList().GetItems()
	if len(l) == 0 || l[0].GetFuncCall() == nil {
		return nil
	}
	w := words(l[0].GetFuncCall().Funcname)
	name := w[len(w)-1]
	if name != "generate_series" && name != "unnest" || len(l[0].GetFuncCall().Args) == 0 {
		return nil
	}
	if f.Alias == nil {
		f.Alias = &pg_query.Alias{Aliasname: name}
	}
	if len(f.Alias.Colnames) == 0 {
		f.Alias.Colnames = []*pg_query.Node{pg_query.MakeStrNode(f.Alias.Aliasname)}
	}
	return nil
}

// selectOfValues is VALUES … as SELECT * FROM (VALUES …), where values_names can name its columns.
func selectOfValues(v *pg_query.SelectStmt) *pg_query.Node {
	inner := &pg_query.SelectStmt{ValuesLists: v.ValuesLists, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	v.ValuesLists = nil
	v.TargetList = []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{{Node: &pg_query.Node_AStar{AStar: &pg_query.A_Star{}}}}, 0), 0)}
	v.FromClause = []*pg_query.Node{{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: inner}}, Alias: &pg_query.Alias{Aliasname: "*VALUES*"}}}}}
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: v}}
}

// valuesNames: the columns of VALUES in FROM are column1, column2, … where the alias does not name them.
func valuesNames(_ *context, m proto.Message) error {
	r, ok := m.(*pg_query.RangeSubselect)
	if !ok || r.Alias == nil {
		return nil
	}
	lists := r.Subquery.GetSelectStmt().GetValuesLists()
	if len(lists) == 0 {
		return nil
	}
	for i := len(r.Alias.Colnames); i < len(lists[0].GetList().GetItems()); i++ {
		r.Alias.Colnames = append(r.Alias.Colnames, pg_query.MakeStrNode(fmt.Sprintf("column%d", i+1)))
	}
	return nil
}

// unknownOutputs: an output that is the word NULL is text in PostgreSQL, and an integer in DuckDB.
func unknownOutputs(c *context, m proto.Message) error {
	s, ok := m.(*pg_query.SelectStmt)
	if !ok || s != c.top || c.setOperation {
		return nil
	}
	for _, t := range s.TargetList {
		if v := t.GetResTarget().GetVal(); v.GetAConst().GetIsnull() {
			v.Node = cast(v, typeName("text")).Node
		}
	}
	return nil
}

// locking: DuckDB has no row locks; its transactions conflict when they write. FOR UPDATE says nothing more.
func locking(_ *context, m proto.Message) error {
	if s, ok := m.(*pg_query.SelectStmt); ok {
		s.LockingClause = nil
	}
	return nil
}
