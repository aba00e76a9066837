package engine

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// PostgreSQL takes $1 and '{1,2}' in x = ANY ($1) for arrays of x's type; DuckDB wants an array that says its type. typeArrays
// asks DuckDB for x's type, by a statement in which the array stands in one CASE with ARRAY[x], and then writes the cast into n.
func (s *Session) typeArrays(b *binder, n *pg_query.Node) error {
	var found []*pg_query.A_Expr
	params := 0
	parse.Walk(n, func(m proto.Message) bool {
		switch x := m.(type) {
		case *pg_query.A_Expr:
			if x.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY || x.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL {
				if x.Rexpr.GetParamRef() != nil || x.Rexpr.GetAConst().GetSval() != nil {
					found = append(found, x)
				}
			}
		case *pg_query.ParamRef:
			params = max(params, int(x.Number))
		}
		return true
	})
	if len(found) == 0 {
		return nil
	}
	arrays := make([]*pg_query.Node, len(found))
	numbers := make([]int, len(found))
	for i, e := range found {
		arrays[i] = e.Rexpr
		if numbers[i] = int(e.Rexpr.GetParamRef().GetNumber()); numbers[i] == 0 {
			params++
			numbers[i] = params
		}
		e.Rexpr = caseOf(&pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: &pg_query.ParamRef{Number: int32(numbers[i])}}}, e.Lexpr)
	}
	sql, err := b.duckSQL(clone(n))
	for i, e := range found {
		e.Rexpr = arrays[i]
	}
	if err != nil {
		return err
	}
	types, _, err := s.described(b.ctx, sql)
	if err != nil {
		return err
	}
	for i, e := range found {
		if k := numbers[i] - 1; k >= len(types) || types[k].Kind != vector.List {
			continue // DuckDB refuses it, and says why
		}
		c, err := selectText(fmt.Sprintf("SELECT NULL::%s", types[numbers[i]-1]), nil)
		if err != nil {
			return err
		}
		cast := c.GetSelectStmt().TargetList[0].GetResTarget().Val
		cast.GetTypeCast().Arg = arrays[i]
		e.Rexpr = cast
	}
	return nil
}

// caseOf is CASE WHEN true THEN array ELSE ARRAY[element] END, which has the type of the latter.
func caseOf(array, element *pg_query.Node) *pg_query.Node {
	yes := &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Val: &pg_query.A_Const_Boolval{Boolval: &pg_query.Boolean{Boolval: true}}}}}
	when := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: yes, Result: array}}}
	list := &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: []*pg_query.Node{element}}}}
	return &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{when}, Defresult: list}}}
}
