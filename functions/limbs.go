package functions

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// cutNumbers is a relation whose numbers are cut into limbs: a number is Σ limb[i]·radix^i units.
type cutNumbers struct {
	from  string   // the relation
	limbs []string // its columns, BIGINT, lowest first, of magnitudes of at most 2²²
	chunk string   // the column of a double's chunk (package exact), which says its unit; "" for integers and decimals, whose unit is 1
	radix int64
}

// cutUp cuts up column x, which is not NULL, a BIGINT, a DOUBLE or a decimal of type t, into columns whose names begin with prefix.
// names are the other columns to keep, each followed by a comma.
func cutUp(d Dialect, t vector.Type, relation, names, x, prefix string) *cutNumbers {
	c := &cutNumbers{radix: 1 << 21}
	var exprs []string
	low := func(x string) string { return fmt.Sprintf("(%s & 2097151)", x) }
	switch {
	case t.Buffer() == vector.BufF64:
		c.chunk = prefix + "c"
		relation = digitsOf(d, relation, names, x, c.chunk, "whole", "fraction")
		names += c.chunk + ", "
		// A double in its chunk is a signed whole part of 33 bits and a fraction of 52.
		exprs = []string{low("fraction"), low(d.shift("fraction", 21)), d.shift("fraction", 42) + " + 1024 * (whole & 2047)", d.shift("whole", 11)}
	case t.Kind == vector.Decimal:
		c.radix = 1_000_000
		exprs, relation = decimalLimbs(d, t, relation, names, 6)
	default:
		exprs = []string{low(x), low(d.shift(x, 21)), d.shift(x, 42)}
	}
	var list []string
	for i, e := range exprs {
		c.limbs = append(c.limbs, fmt.Sprintf("%s%d", prefix, i))
		list = append(list, e+" AS "+c.limbs[i])
	}
	c.from = "(SELECT " + names + strings.Join(list, ", ") + " FROM " + relation + d.fence() + ") AS q7"
	return c
}

// polynomial is the coefficients of the product of polynomials with the coefficients a and b. Where they are large, products
// are of 38 digits.
func polynomial(d Dialect, a, b []string, large bool) []string {
	out := make([]string, len(a)+len(b)-1)
	for i, x := range a {
		for j, y := range b {
			if large {
				x = d.wide(a[i])
				y = d.wide(y)
			}
			if out[i+j] != "" {
				out[i+j] += " + "
			}
			out[i+j] += x + " * " + y
		}
	}
	return out
}

// unit is the exponent of the unit of the numbers of a result row, whose chunk stands in cols[0] if there is one; special is true
// where they are NaN or infinite.
func (c *cutNumbers) unit(name string, cols []*vector.Vector, i int) (e int, special bool, err error) {
	if c.chunk == "" {
		return 0, false, nil
	}
	if err := stateColumns(name, cols, vector.BufI64); err != nil {
		return 0, false, err
	}
	return chunkUnit(name, cols[0].I64[i])
}

// chunkUnit is the exponent of the unit of a chunk of package exact.
func chunkUnit(name string, chunk int64) (e int, special bool, err error) {
	if chunk < 0 || chunk > 67 {
		return 0, false, badState(name, "the engine returned an unknown chunk")
	}
	return int(32*chunk - 1088), chunk > 64, nil
}

// value is Σ cols[j]·radix^j of row i.
func (c *cutNumbers) value(name string, cols []*vector.Vector, n, i int) (*big.Int, error) {
	want := make([]vector.Buffer, n)
	for j := range want {
		want[j] = vector.BufI128
	}
	if err := stateColumns(name, cols, want...); err != nil {
		return nil, err
	}
	sum, radix := new(big.Int), big.NewInt(c.radix)
	for j := n - 1; j >= 0; j-- {
		sum.Add(sum.Mul(sum, radix), cols[j].I128[i].BigInt())
	}
	return sum, nil
}
