package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

const oidTID, oidMacaddr, oidMacaddr8, oidXID8 OID = 27, 829, 774, 5069

// unordered is the refusal to compare values of a type with each other, as grouping, DISTINCT and ORDER BY do: of one that PostgreSQL
// cannot compare either, or of one that is kept as texts of another order; nil for others. of is "equality" or "ordering".
func unordered(t OID, of string, at int32) error {
	switch elem := max(elemOf(t), 0); {
	case t == oidJSON, codec.Geometric(t), elem == oidJSON, elem != 0 && codec.Geometric(elem):
		e := fail("42883", at, "could not identify an %s operator for type %s", of, typeName(t))
		if of == "ordering" {
			e.Hint = "Use an explicit ordering operator or modify the query."
		}
		return e
	case t == oidTID, t == oidXID8, elem == oidTID, elem == oidXID8:
		return fail("0A000", at, "comparing values of type %s is not supported", typeName(t))
	}
	return nil
}

// Orders reports whether values of a type have an order.
func Orders(t OID) bool { return unordered(t, "ordering", -1) == nil }

// Key is what is equal, and sorts, as PostgreSQL's values of a type do: n is a column that holds them.
func Key(n *pg_query.Node, t vector.Type) *pg_query.Node {
	v := value{n: n}
	v.t, v.mod, v.dec, v.prec, v.scale = columnValue(t)
	return key(v)
}
