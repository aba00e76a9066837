package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// boundUnnest is a list in a body's FROM, and how the body calls its elements.
type boundUnnest struct {
	schema.Unnest
	alias, name string
}

// addUnnest binds a list over the relation's columns and the elements of earlier lists. Expressions may then name its elements.
func (x *exprBinder) addUnnest(ctx context.Context, u parse.Unnest) error {
	node, err := x.resolve(u.List.Node)
	if err != nil {
		return err
	}
	lists, from, err := x.plain(ctx, node)
	if err != nil {
		return at(x.explain(asError(err)), x.sql, placeIn(u.List, asError(err)))
	}
	sql := lists[0]
	types, err := x.s.types(ctx, lists, from)
	if err != nil {
		return at(x.explain(asError(err)), x.sql, placeIn(u.List, asError(err)))
	}
	if types[0].Kind != vector.List {
		return at(hint(fail("42883", "function unnest(%s) does not exist", types[0]), "unnest takes a list: a column of type %s[], or string_to_array(x, ',').", types[0]), x.sql, u.List.Position)
	}
	// The element is called by its list, so that features which know it by different aliases share what they share.
	name := "unnest(" + strings.ReplaceAll(sql, `"`, "") + ")"
	column := name
	for n := 2; x.rel.ColumnIndex(column) >= 0; n++ {
		column = fmt.Sprintf("%s %d", name, n)
	}
	x.unnest = append(x.unnest, boundUnnest{schema.Unnest{List: sql, Column: column, Outer: u.Outer}, u.Alias, u.Column})
	wide := *x.rel
	wide.Columns = append(slices.Clone(x.rel.Columns), schema.Column{Name: column, Type: types[0].Elem[0]})
	x.rel = &wide
	return nil
}

// resolve is an expression in which elements of lists are named as they are called inside. Errors: a name that is a column, too.
func (x *exprBinder) resolve(n *pg_query.Node) (*pg_query.Node, error) {
	if len(x.unnest)+len(x.joins) == 0 {
		return n, nil
	}
	c := clone(n)
	var err error
	parse.Walk(c, func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok || err != nil {
			return err == nil
		}
		var names []string
		for _, f := range ref.Fields {
			names = append(names, f.GetString_().GetSval())
		}
		var found []*boundUnnest
		for i := range x.unnest {
			u := &x.unnest[i]
			if len(names) == 1 && names[0] == u.name || len(names) == 2 && names[0] == u.alias && names[1] == u.name {
				found = append(found, u)
			}
		}
		bare := len(names) == 1
		if len(found) > 1 || len(found) == 1 && bare && x.rel.ColumnIndex(names[0]) >= 0 {
			err = at(hint(fail("42702", "column reference %q is ambiguous", names[len(names)-1]), "Give the element another name: unnest(list) AS u(element), and write u.element."), x.sql, int(ref.Location))
			return false
		}
		if len(found) == 1 {
			ref.Fields = []*pg_query.Node{pg_query.MakeStrNode(found[0].Column)}
		} else if err = x.resolveJoined(ref, names); err != nil {
			return false
		}
		return false
	})
	return c, err
}
