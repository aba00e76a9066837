package engine

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// refuseBare refuses a call of which an argument is numeric without a precision.
func (b *boundAggregates) refuseBare(exprs *exprBinder, c *parse.AggregateCall) error {
	for _, a := range c.Args {
		if at := slices.Index(exprs.texts, a.Text); at >= 0 && bareNumeric(exprs.exprs[at].Node, exprs.bound[at].Type, exprs.rel) {
			return hint(fail(codeTypeMismatch, "the argument of %s is numeric without a precision", c.Name), "Say how exact it is: %s(CAST(%s AS numeric(18,2))).", c.Name, a.Text)
		}
	}
	return nil
}

// bareNumeric reports whether an expression of type numeric has no precision of its own, because it is made of a column or a cast
// that has none: what PostgreSQL computes without bounds cannot be stored as a state without saying how exactly. A cast to
// numeric(p, s) around it settles that.
func bareNumeric(n *pg_query.Node, t vector.Type, r *schema.Relation) bool {
	if t.Kind != vector.Decimal {
		return false
	}
	bare := false
	var look func(m proto.Message) bool
	look = func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.TypeCast:
			bare = bare || parse.BareNumeric(n.TypeName)
			return false // what is cast has the type that it is cast to
		case *pg_query.ColumnRef:
			if i := r.ColumnIndex(n.Fields[len(n.Fields)-1].GetString_().GetSval()); i >= 0 {
				bare = bare || r.Columns[i].Bare
			}
		case *pg_query.CaseWhen: // its condition is no part of the value
			parse.Walk(n.Result, look)
			return false
		case *pg_query.NullTest, *pg_query.BooleanTest, *pg_query.BoolExpr:
			return false
		}
		return !bare
	}
	parse.Walk(n, look)
	return bare
}
