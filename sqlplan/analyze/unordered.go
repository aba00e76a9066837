package analyze

import "github.com/tilehouse/tilehouse/sqlplan/codec"

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
