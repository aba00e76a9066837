package engine

import (
	"fmt"
	"math/big"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// What a key or a request column of a decimal type is compared with is equal to one of its values, or refused: a rounded value would be
// that of another key.

// exactParam is the type of a parameter that is compared with a key of type t: that of all digits where t is a decimal.
func exactParam(t vector.Type) vector.Type {
	if t.Kind == vector.Decimal {
		return vector.Type{Kind: vector.Text, Shown: codec.OIDNumeric}
	}
	return t
}

// exactDecimal refuses a number that last of v, a decimal read of it, is not equal to.
func exactDecimal(v *vector.Vector, text string) error {
	written, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil // what is no number was refused before
	}
	if read, ok := new(big.Rat).SetString(string(codec.AppendText(nil, v, v.N-1, codec.Defaults))); ok && read.Cmp(written) != 0 {
		return fail(codeUnsupported, "%s does not fit %s, the type that it is compared with, exactly", text, v.Type)
	}
	return nil
}

// exactArg is a parameter's value as one of a key of type t.
func exactArg(have *vector.Vector, t vector.Type) (*vector.Vector, error) {
	if t.Kind != vector.Decimal || have.Type.Kind != vector.Text {
		return have, nil
	}
	v := vector.New(t, 1)
	if have.IsNull(0) {
		v.AppendNull()
		return v, nil
	}
	text := string(have.Bytes(0))
	if err := codec.AppendParsed(v, []byte(text), codec.Defaults); err != nil {
		return nil, err
	}
	return v, exactDecimal(v, text)
}

// exactSQL is the SQL of a key of type t of an expression of DuckDB's that has type have.
func exactSQL(sql string, have, t vector.Type) string {
	if t.Kind == vector.Decimal && have.Kind == vector.Decimal && have.Scale > t.Scale {
		sql = fmt.Sprintf("__numeric_fixed(CAST(%s AS VARCHAR), %d, %d)", sql, t.Precision, t.Scale)
	}
	return fmt.Sprintf("CAST(%s AS %s)", sql, t.DuckDB())
}
