package functions

import (
	"fmt"
	"math"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// The parts that PartialSQL texts are put together from. Every text has the shape
//
//	SELECT k0, …, <state columns> FROM (SELECT <key> AS k0, …, <argument> AS a0, … FROM <from> WHERE …) GROUP BY k0, …
//
// so that keys and arguments, which are arbitrary expressions, are evaluated once and cannot capture the names used above
// them. A group whose state is empty may be absent from the result. Built-ins are written so that a user's macro of the same
// name cannot shadow them (Dialect.fn); the window functions row_number and rank cannot be shadowed (a test creates the macros).

// keyNames is "k0, k1, " with a trailing separator, or "".
func keyNames(in PartialInput) string {
	var b strings.Builder
	for i := range in.Keys {
		fmt.Fprintf(&b, "k%d, ", i)
	}
	return b.String()
}

// base is the innermost query: keys as k0…, then the columns given as "expression AS name", of rows where all of notNull hold.
func base(d Dialect, in PartialInput, columns []string, notNull ...string) string {
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, k := range in.Keys {
		fmt.Fprintf(&b, "%s AS k%d, ", k, i)
	}
	b.WriteString(strings.Join(append(columns, "1 AS one"), ", "))
	fmt.Fprintf(&b, " FROM %s", in.From)
	var conds []string
	if in.Where != "" {
		conds = append(conds, "("+in.Where+")")
	}
	for _, x := range notNull {
		conds = append(conds, "("+x+") IS NOT NULL")
	}
	if len(conds) > 0 {
		b.WriteString(" WHERE " + strings.Join(conds, " AND "))
	}
	b.WriteString(d.fence() + ") AS q0")
	return b.String()
}

// groupBy is a GROUP BY of the keys and the columns more, or "" where there are none.
func groupBy(in PartialInput, more ...string) string {
	names := more
	for i := len(in.Keys) - 1; i >= 0; i-- {
		names = append([]string{fmt.Sprintf("k%d", i)}, names...)
	}
	if len(names) == 0 {
		return ""
	}
	return " GROUP BY " + strings.Join(names, ", ")
}

// partitionBy is the PARTITION BY of a window over the keys and the columns more, or "" where there are none.
func partitionBy(in PartialInput, more ...string) string {
	if s := groupBy(in, more...); s != "" {
		return "PARTITION BY " + strings.TrimPrefix(s, " GROUP BY ")
	}
	return ""
}

// normal is x with −0 written as +0: the engine groups the two together and would keep either.
func normal(d Dialect, t vector.Type, x string) string {
	if t.Buffer() == vector.BufF64 {
		return fmt.Sprintf("CASE WHEN %s = 0 THEN %s ELSE %s END", x, d.cast("0", t), x)
	}
	return x
}

// chunkOf is the chunk of the DOUBLE x as package exact defines it. It searches outward from chunk 32, which holds [2⁻¹², 2²⁰).
func chunkOf(d Dialect, x string) string {
	a, inf := d.fn("abs")+"("+x+")", d.double(math.Inf(1))
	var b strings.Builder
	fmt.Fprintf(&b, "CASE WHEN %s >= %s THEN CASE", a, d.pow2(-12))
	for c := 32; c < 64; c++ {
		fmt.Fprintf(&b, " WHEN %s < %s THEN %d", a, d.pow2(32*c-1004), c)
	}
	fmt.Fprintf(&b, " WHEN %s < %s THEN 64 WHEN %s = %s THEN 65 WHEN %s = -%s THEN 66 ELSE 67 END ELSE CASE", a, inf, x, inf, x, inf)
	for c := 31; c > 0; c-- {
		fmt.Fprintf(&b, " WHEN %s >= %s THEN %d", a, d.pow2(32*c-1036), c)
	}
	b.WriteString(" ELSE 0 END END")
	return b.String()
}

// scaled is x·2^(1036−32c) of a DOUBLE x in chunk c: exact, because both factors of a product by a power of two are, and below
// 2³². Infinities and NaN become 2⁻⁵², which is one unit of their chunk.
func scaled(d Dialect, x, c string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CASE %s", c)
	for k := range 32 { // the likely chunks first
		for _, i := range []int{32 - k, 33 + k} {
			fmt.Fprintf(&b, " WHEN %d THEN %s * %s", i, x, d.pow2(1036-32*i))
		}
	}
	fmt.Fprintf(&b, " WHEN 0 THEN %s * %s * %s ELSE %s END", x, d.pow2(1000), d.pow2(36), d.pow2(-52))
	return b.String()
}

// scale turns a relation with a DOUBLE column x that is not NULL into one with its chunk c, a BIGINT, and its value z scaled to
// the chunk. names are the other columns to keep, each followed by a comma.
func scale(d Dialect, relation, names, x, c, z string) string {
	return fmt.Sprintf("(SELECT %[1]s%[2]s, %[3]s AS %[4]s FROM (SELECT %[1]s%[5]s, %[6]s AS %[2]s FROM %[7]s%[8]s) AS q1%[8]s) AS q2",
		names, c, scaled(d, x, c), z, x, d.bigint(chunkOf(d, x)), relation, d.fence())
}

// digits turns a relation with a DOUBLE column a0 that is not NULL into one with BIGINT columns c, whole and fraction, the
// three integers of exact.Digits. names are the other columns to keep, each followed by a comma.
func digits(d Dialect, relation, names string) string {
	return digitsOf(d, relation, names, "a0", "c", "whole", "fraction")
}

func digitsOf(d Dialect, relation, names, x, c, whole, fraction string) string {
	return fmt.Sprintf("(SELECT %[1]s%[2]s, %[3]s, %[4]s AS %[5]s FROM (SELECT %[1]s%[2]s, z, %[6]s AS %[3]s FROM %[7]s%[8]s) AS q3%[8]s) AS q4",
		names, c, whole, d.bigint("(z - "+whole+") * "+d.pow2(52)), fraction, d.bigint(d.fn("floor")+"(z)"),
		scale(d, relation, names, x, c, "z"), d.fence())
}

// chunkSum is the sum of the integers of a chunk over the columns of digits: at most 2⁸⁴ a row.
func chunkSum(d Dialect) string {
	return d.cast(d.wide(d.sum("whole"))+" * "+d.wide("4503599627370496")+" + "+d.wide(d.sum("fraction")), vector.DecimalOf(38, 0))
}

// wideLimb is the radix of the two parts that a wide decimal is summed in.
const wideLimb = 10_000_000_000_000_000_000

// narrowDigits is the largest precision whose sums of 10¹⁰ values fit 38 digits: sums of wider ones are taken in two parts.
const narrowDigits = 28

// decimalLimbs are the digits of decimals of type t, width ≤ 19 at a time, lowest first, each with the sign of the number, as
// integers; from is relation, whose column a0 they are read off, as text: no two engines divide decimals alike. names are
// the other columns to keep, each followed by a comma.
func decimalLimbs(d Dialect, t vector.Type, relation, names string, width int) (limbs []string, from string) {
	n := (int(t.Precision) + width - 1) / width
	length := n*width + 1 // with room for the zero before the point, which DuckDB leaves out where no digit stands there
	strip := func(x, c string) string { return fmt.Sprintf("%s(%s, '%s', '')", d.fn("replace"), x, c) }
	from = fmt.Sprintf("(SELECT %s%s(%s, %d, '0') AS u, CASE WHEN a0 < 0 THEN -1 ELSE 1 END AS g FROM %s%s) AS q1",
		names, d.fn("lpad"), strip(strip(d.text("a0"), "."), "-"), length, relation, d.fence())
	for i := range n {
		part := fmt.Sprintf("%s(u, %d, %d)", d.fn("substr"), length-width*(i+1)+1, width)
		if width > 18 {
			limbs = append(limbs, "g * "+d.wide(part))
		} else {
			limbs = append(limbs, "g * "+d.bigint(part))
		}
	}
	return limbs, from
}

// integerSum is the columns of an exact sum of integers or decimals a0: (s) or, for wide decimals, (hi, lo) of the unscaled
// value hi·10¹⁹ + lo; from is a0's relation with what the columns need. Engines raise where a sum passes 38 digits, so wide
// decimals are cut up.
func integerSum(d Dialect, t vector.Type, relation, names string) (columns, from string) {
	if t.Kind != vector.Decimal {
		return d.total("a0"), relation
	}
	if t.Precision <= narrowDigits {
		return d.cast(d.fn("sum")+"(a0)", vector.DecimalOf(38, t.Scale)), relation
	}
	limbs, from := decimalLimbs(d, t, relation, names, 19)
	return d.total(limbs[1]) + ", " + d.total(limbs[0]), from
}

// stateColumns checks that an engine returned columns with the buffers that a fold reads.
func stateColumns(name string, cols []*vector.Vector, want ...vector.Buffer) error {
	if len(cols) < len(want) {
		return fmt.Errorf("functions: %s: the engine returned %d state columns, not %d", name, len(cols), len(want))
	}
	for i, b := range want {
		if cols[i].Type.Buffer() != b {
			return fmt.Errorf("functions: %s: the engine returned %s as state column %d", name, cols[i].Type, i)
		}
	}
	return nil
}
