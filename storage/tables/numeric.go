package tables

import (
	"fmt"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// NumericOID is pg_type's id of numeric, numericArrayOID that of arrays of it.
const (
	NumericOID      = 1700
	numericArrayOID = 1231
)

// Numeric is the type of a column of numeric without a precision, or with one that no decimal of DuckDB's has: a text of PostgreSQL's
// digits, each value with its own scale. Such texts are compared by keys of theirs.
func Numeric() vector.Type { return vector.Type{Kind: vector.Text, Shown: NumericOID} }

// Shown gives a column's type what a document does not keep: that its texts are numerics.
func (c *Column) Shown() {
	array := strings.HasSuffix(c.Declared, "[]")
	if c.Base != "numeric" || array != (c.Type.Kind == vector.List) { // or a text is an array of any dimensions
		return
	}
	mod := int32(-1)
	var precision, scale int32
	if n, _ := fmt.Sscanf(c.Declared, "numeric(%d,%d)", &precision, &scale); n == 2 {
		mod = (precision<<16 | scale&0x7ff) + 4
	}
	switch {
	case c.Type.Kind == vector.Text && strings.HasSuffix(c.Declared, "[]"): // arrays of any dimensions
	case c.Type.Kind == vector.Text:
		c.Type.Shown, c.Type.Mod = NumericOID, mod+1
	case c.Type.Kind == vector.List && c.Type.Elem[0].Kind == vector.Text:
		c.Type.Shown, c.Type.Mod, c.Type.Elem = numericArrayOID, mod+1, []vector.Type{Numeric()}
	}
}
