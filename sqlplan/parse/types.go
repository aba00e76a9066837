package parse

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

var typeKinds = map[string]vector.Kind{
	"bool": vector.Bool, "boolean": vector.Bool,
	"int2": vector.Int16, "smallint": vector.Int16,
	"int4": vector.Int32, "int": vector.Int32, "integer": vector.Int32,
	"int8": vector.Int64, "bigint": vector.Int64,
	"float4": vector.Float32, "real": vector.Float32,
	"float8": vector.Float64, "double": vector.Float64,
	"numeric": vector.Decimal, "decimal": vector.Decimal,
	"text": vector.Text, "varchar": vector.Text, "bpchar": vector.Text, "name": vector.Text, "string": vector.Text,
	"bytea": vector.Bytes, "blob": vector.Bytes,
	"uuid": vector.UUID,
	"date": vector.Date, "time": vector.Time, "timestamp": vector.Timestamp, "timestamptz": vector.TimestampTZ,
	"interval": vector.Interval,
	"json":     vector.JSON, "jsonb": vector.JSON,
}

// Precision and scale of numeric without parameters, and its greatest precision.
const (
	BareNumericPrecision = 38
	BareNumericScale     = 9
	MaxNumericPrecision  = 38
)

// TypeOf is the engine's type of a type name. Errors are *Error without a position: 42704 for an unknown name, 0A000 for a
// type of PostgreSQL's that cannot be stored, 22023 for parameters out of range. Lengths of character types and precisions
// of times are accepted only where they change no value: varchar(n) is refused, timestamp(6) is not.
func TypeOf(t *pg_query.TypeName) (vector.Type, error) {
	none := vector.Type{}
	if t == nil || len(t.Names) == 0 {
		return none, &Error{Code: codeUndefinedType, Message: "a type is missing"}
	}
	names := make([]string, len(t.Names))
	for i, n := range t.Names {
		names[i] = n.GetString_().GetSval()
	}
	full := strings.Join(names, ".")
	if t.Setof || t.PctType {
		return none, &Error{Code: codeUnsupported, Message: fmt.Sprintf("type %s cannot be the type of a column", full)}
	}
	name := names[len(names)-1]
	kind, known := typeKinds[name]
	if !known || len(names) > 2 || (len(names) == 2 && names[0] != "pg_catalog") {
		if pg := unstorable[name]; pg {
			return none, &Error{Code: codeUnsupported, Message: fmt.Sprintf("type %s is not supported", name)}
		}
		return none, &Error{Code: codeUndefinedType, Message: fmt.Sprintf(`type "%s" does not exist`, full)}
	}
	typ, err := parameters(t, name, kind)
	if err != nil {
		return none, err
	}
	for range t.ArrayBounds {
		if len(t.ArrayBounds) > 6 {
			return none, &Error{Code: codeTooLong, Message: "arrays have at most 6 dimensions"}
		}
		typ = vector.ListOf(typ)
	}
	return typ, nil
}

// BareNumeric reports whether a type is numeric without precision and scale.
func BareNumeric(t *pg_query.TypeName) bool {
	names := t.GetNames()
	return len(names) > 0 && typeKinds[names[len(names)-1].GetString_().GetSval()] == vector.Decimal && len(t.Typmods) == 0 && len(t.ArrayBounds) == 0
}

var unstorable = map[string]bool{
	"char": true, "bit": true, "varbit": true, "timetz": true, "money": true, "inet": true, "cidr": true, "macaddr": true, "macaddr8": true, "tid": true, "xid8": true, "lseg": true,
	"xml": true, "point": true, "line": true, "box": true, "path": true, "polygon": true, "circle": true, "tsvector": true,
	"tsquery": true, "int4range": true, "int8range": true, "numrange": true, "tsrange": true, "tstzrange": true,
	"daterange": true, "serial": true, "bigserial": true, "smallserial": true, "oid": true, "regclass": true,
}

func parameters(t *pg_query.TypeName, name string, kind vector.Kind) (vector.Type, error) {
	var mods []int
	for _, m := range t.Typmods {
		c := m.GetAConst()
		if _, ok := c.GetVal().(*pg_query.A_Const_Ival); !ok {
			return vector.Type{}, &Error{Code: codeParameter, Message: "parameters of a type are whole numbers"}
		}
		mods = append(mods, int(c.GetIval().GetIval()))
	}
	switch {
	case kind == vector.Decimal:
		switch {
		case len(mods) == 0:
			return vector.DecimalOf(BareNumericPrecision, BareNumericScale), nil
		case len(mods) > 2:
			return vector.Type{}, &Error{Code: codeParameter, Message: "numeric has at most two parameters"}
		}
		scale := 0
		if len(mods) == 2 {
			scale = mods[1]
		}
		if mods[0] < 1 || mods[0] > MaxNumericPrecision {
			return vector.Type{}, &Error{Code: codeParameter, Message: fmt.Sprintf("NUMERIC precision %d must be between 1 and %d", mods[0], MaxNumericPrecision)}
		}
		if scale < 0 || scale > mods[0] {
			return vector.Type{}, &Error{Code: codeParameter, Message: fmt.Sprintf("NUMERIC scale %d must be between 0 and precision %d", scale, mods[0])}
		}
		return vector.DecimalOf(uint8(mods[0]), uint8(scale)), nil
	case len(mods) == 0:
		return vector.T(kind), nil
	case kind == vector.Timestamp, kind == vector.TimestampTZ, kind == vector.Time:
		if mods[0] == 6 {
			return vector.T(kind), nil
		}
	}
	return vector.Type{}, &Error{Code: codeUnsupported, Message: fmt.Sprintf("parameters of type %s are not supported", name),
		Hint: "leave them out"}
}
