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
// them. A group whose state is empty may be absent from the result. Built-ins are written system.main.f, which a user's macro
// of the same name cannot shadow; the window functions row_number and rank cannot be shadowed (a test creates the macros).

// mustDuckDB panics on a dialect that the texts are not written in.
func mustDuckDB(d Dialect) {
	switch d {
	case DuckDB:
		return
	}
	panic(fmt.Sprintf("functions: unknown dialect %d", d))
}

// keyNames is "k0, k1, " with a trailing separator, or "".
func keyNames(in PartialInput) string {
	var b strings.Builder
	for i := range in.Keys {
		fmt.Fprintf(&b, "k%d, ", i)
	}
	return b.String()
}

// base is the innermost query: keys as k0…, then the columns given as "expression AS name", of rows where all of notNull hold.
func base(in PartialInput, columns []string, notNull ...string) string {
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
	b.WriteString(") AS q0")
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

// normal is x with −0 written as +0: the engine groups the two together and would keep either.
func normal(t vector.Type, x string) string {
	if t.Buffer() == vector.BufF64 {
		return fmt.Sprintf("CASE WHEN %s = 0 THEN 0::%s ELSE %s END", x, t.DuckDB(), x)
	}
	return x
}

func double(x float64) string {
	if math.IsInf(x, 1) {
		return "'inf'::DOUBLE"
	}
	s := fmt.Sprintf("%.17g", x)
	if !strings.Contains(s, "e") {
		s += "e0"
	}
	return s
}

func pow2(n int) string { return double(math.Ldexp(1, n)) }

// chunkOf is the chunk of the DOUBLE x as package exact defines it. It searches outward from chunk 32, which holds [2⁻¹², 2²⁰).
func chunkOf(x string) string {
	a := "system.main.abs(" + x + ")"
	var b strings.Builder
	fmt.Fprintf(&b, "CASE WHEN %s >= %s THEN CASE", a, pow2(-12))
	for c := 32; c < 64; c++ {
		fmt.Fprintf(&b, " WHEN %s < %s THEN %d", a, pow2(32*c-1004), c)
	}
	fmt.Fprintf(&b, " WHEN %s < 'inf'::DOUBLE THEN 64 WHEN %s = 'inf'::DOUBLE THEN 65 WHEN %s = '-inf'::DOUBLE THEN 66 ELSE 67 END ELSE CASE", a, x, x)
	for c := 31; c > 0; c-- {
		fmt.Fprintf(&b, " WHEN %s >= %s THEN %d", a, pow2(32*c-1036), c)
	}
	b.WriteString(" ELSE 0 END END")
	return b.String()
}

// scaled is x·2^(1036−32c) of a DOUBLE x in chunk c: exact, because both factors of a product by a power of two are, and below
// 2³². Infinities and NaN become 2⁻⁵², which is one unit of their chunk.
func scaled(x, c string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CASE %s", c)
	for d := range 32 { // the likely chunks first
		for _, i := range []int{32 - d, 33 + d} {
			fmt.Fprintf(&b, " WHEN %d THEN %s * %s", i, x, pow2(1036-32*i))
		}
	}
	fmt.Fprintf(&b, " WHEN 0 THEN %s * %s * %s ELSE %s END", x, pow2(1000), pow2(36), pow2(-52))
	return b.String()
}

// digits turns a relation with a DOUBLE column a0 that is not NULL into one with BIGINT columns c, whole and fraction, the
// three integers of exact.Digits. names are the other columns to keep, each followed by a comma.
func digits(relation, names string) string {
	return fmt.Sprintf(`(SELECT %[1]sc, whole, CAST((z - whole) * %[2]s AS BIGINT) AS fraction FROM (
  SELECT %[1]sc, z, CAST(system.main.floor(z) AS BIGINT) AS whole FROM (
    SELECT %[1]sc, %[3]s AS z FROM (SELECT %[1]sa0, CAST(%[4]s AS BIGINT) AS c FROM %[5]s) AS q1) AS q2) AS q3) AS q4`,
		names, pow2(52), scaled("a0", "c"), chunkOf("a0"), relation)
}

// chunkSum is the sum of the integers of a chunk over the columns of digits: at most 2⁸⁴ a row.
const chunkSum = "CAST(CAST(system.main.sum(whole) AS HUGEINT) * 4503599627370496::HUGEINT + CAST(system.main.sum(fraction) AS HUGEINT) AS DECIMAL(38,0))"

// wideLimb is the radix of the two parts that a wide decimal is summed in.
const wideLimb = 10_000_000_000_000_000_000

// narrowDigits is the largest precision whose sums of 10¹⁰ values fit 38 digits: sums of wider ones are taken in two parts.
const narrowDigits = 28

// integerSum is the columns of an exact sum of integers or decimals a0: (s) or, for wide decimals, (hi, lo) of the unscaled
// value hi·10¹⁹ + lo; from is a0's relation with what the columns need. DuckDB raises where a DECIMAL's sum passes 38 digits,
// so wide ones are cut up. DECIMAL division is not exact there: the unscaled value is read off the text.
func integerSum(t vector.Type, relation, names string) (columns, from string) {
	if t.Kind != vector.Decimal {
		return "CAST(system.main.sum(a0) AS DECIMAL(38,0))", relation
	}
	if t.Precision <= narrowDigits {
		return fmt.Sprintf("CAST(system.main.sum(a0) AS DECIMAL(38,%d))", t.Scale), relation
	}
	from = fmt.Sprintf("(SELECT %[1]su // %[2]d::HUGEINT AS hi, u %% %[2]d::HUGEINT AS lo FROM (SELECT %[1]sCAST(system.main.replace(CAST(a0 AS VARCHAR), '.', '') AS HUGEINT) AS u FROM %[3]s) AS q1) AS q2",
		names, uint64(wideLimb), relation)
	return "CAST(system.main.sum(hi) AS DECIMAL(38,0)), CAST(system.main.sum(lo) AS DECIMAL(38,0))", from
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
