package pgfunc

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// minScale is the digits after the point up to the last that is not 0.
func minScale(n num) int {
	_, fraction, _ := strings.Cut(n.String(), ".")
	return len(strings.TrimRight(fraction, "0"))
}

// limit is n as numeric(precision, scale).
func limit(n num, precision, scale int) (num, error) {
	if n.special == 'N' {
		return n, nil
	}
	tooLarge := func(what string) error {
		e := bad("22003", "numeric field overflow").(interface{ Error() string })
		return withDetail(e, fmt.Sprintf("A field with precision %d, scale %d %s.", precision, scale, what))
	}
	if n.special != 0 {
		return n, tooLarge("cannot hold an infinite value")
	}
	n = n.at(scale)
	if n.v.Sign() != 0 {
		if digits := digitsOf(n.v) - n.scale; digits > precision-scale {
			bound := fmt.Sprintf("10^%d", precision-scale)
			if precision == scale {
				bound = "1"
			}
			return n, tooLarge("must round to an absolute value less than " + bound)
		}
	}
	return n, nil
}

func numArg(a args, k int) num { return mustNum(a.s(k)) }

func putNum(out *vector.Vector, n num, err error) error {
	if err == nil {
		n, err = checkNum(n)
	}
	if err != nil {
		return err
	}
	out.AppendString(n.String())
	return nil
}

// numKey is bytes that sort as the numerics do, equal for equal values.
func numKey(n num) []byte {
	switch {
	case n.special == 'N':
		return []byte{4}
	case n.special == '+':
		return []byte{3}
	case n.special == '-':
		return []byte{0}
	case n.v.Sign() == 0:
		return []byte{2, 0}
	}
	s := new(big.Int).Abs(n.v).String()
	exp := len(s) - n.scale + 1<<20
	s = strings.TrimRight(s, "0")
	b := []byte{byte(exp >> 16), byte(exp >> 8), byte(exp)}
	b = append(b, s...)
	if n.v.Sign() > 0 {
		return append([]byte{2, 1}, b...)
	}
	for i := range b {
		b[i] = ^b[i]
	}
	return append(append([]byte{1}, b...), 0xff)
}

func floatNum(f float64, digits int) (num, bool) {
	switch {
	case math.IsNaN(f):
		return numNaN, true
	case math.IsInf(f, 1):
		return num{special: '+'}, true
	case math.IsInf(f, -1):
		return num{special: '-'}, true
	}
	return parseNum(strconv.FormatFloat(f, 'g', digits, 64))
}

func numFloat(n num) (float64, error) {
	if n.special == 'N' {
		return math.Float64frombits(0x7ff8 << 48), nil // PostgreSQL's, where Go's has a further bit
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil && math.IsInf(f, 0) && n.special == 0 {
		return 0, bad("22003", `"%s" is out of range for type double precision`, n.String())
	}
	return f, nil
}

func numInt(n num, low, high int64, name string) (int64, error) {
	switch n.special {
	case 'N':
		return 0, bad("0A000", "cannot convert NaN to %s", name)
	case '+', '-':
		return 0, bad("0A000", "cannot convert infinity to %s", name)
	}
	v := n.at(0).v
	if !v.IsInt64() || v.Int64() < low || v.Int64() > high {
		return 0, bad("22003", "%s out of range", name)
	}
	return v.Int64(), nil
}

func init() {
	codec.RegisterText(1700, func(s string, _ *codec.Settings) (string, error) { return NumericIn(s, -1) })
	ours("__numeric_key(numeric)", "bytea", func(a args, out *vector.Vector) error { out.AppendBytes(numKey(numArg(a, 0))); return nil })
	ours("__numeric_mod(numeric,int4,int4)", "numeric", func(a args, out *vector.Vector) error {
		n, err := limit(numArg(a, 0), int(a.n(1)), int(a.n(2)))
		return putNum(out, n, err)
	})
	// A decimal of DuckDB's is a number.
	ours("__numeric_decimal(numeric,int4,int4)", "numeric", func(a args, out *vector.Vector) error {
		n, err := limit(numArg(a, 0), int(a.n(1)), int(a.n(2)))
		if err == nil && n.special != 0 {
			return withHint(bad("0A000", "NaN is not supported as a value of numeric(%d,%d)", a.n(1), a.n(2)), "A numeric without a precision holds it.")
		}
		return putNum(out, n, err)
	})
	ours("__numeric_array_mod(_numeric,int4,int4)", "_numeric", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		for j := from; j < to; j++ {
			if c.IsNull(j) {
				out.Child[0].AppendNull()
				continue
			}
			n, err := limit(mustNum(string(c.Bytes(j))), int(a.n(1)), int(a.n(2)))
			if err := putNum(out.Child[0], n, err); err != nil {
				return err
			}
		}
		out.CloseNested()
		return nil
	})
	ours("__numeric_array_int8(_numeric)", "_int8", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		for j := from; j < to; j++ {
			if c.IsNull(j) {
				out.Child[0].AppendNull()
				continue
			}
			n, err := numInt(mustNum(string(c.Bytes(j))), math.MinInt64, math.MaxInt64, "bigint")
			if err != nil {
				return err
			}
			out.Child[0].AppendInt(n)
		}
		out.CloseNested()
		return nil
	})
	ours("__numeric_array_key(_numeric)", "_bytea", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		for j := from; j < to; j++ {
			if c.IsNull(j) {
				out.Child[0].AppendNull()
				continue
			}
			out.Child[0].AppendBytes(numKey(mustNum(string(c.Bytes(j)))))
		}
		out.CloseNested()
		return nil
	})
	ours("__numeric_distinct(_numeric)", "_numeric", func(a args, out *vector.Vector) error {
		l := numsOf(a, 0)
		slices.SortStableFunc(l, cmpNum)
		for _, n := range slices.CompactFunc(l, func(a, b num) bool { return cmpNum(a, b) == 0 }) {
			if err := putNum(out.Child[0], n, nil); err != nil {
				return err
			}
		}
		out.CloseNested()
		return nil
	})
	// What DuckDB computes with has a fixed scale, in which a numeric without a precision may not fit.
	ours("__numeric_fixed(numeric,int4,int4)", "numeric", func(a args, out *vector.Vector) error {
		n, whole := numArg(a, 0), int(a.n(1)-a.n(2))
		if n.special != 0 || cmpNum(n.trunc(int(a.n(2))), n) != 0 || len(strings.TrimLeft(n.trunc(0).String(), "-0")) > whole {
			return bad("0A000", "numeric %s, which has no precision of its own, does not fit numeric(%d,%d), as which it is read here", n, a.n(1), a.n(2))
		}
		return putNum(out, n, nil)
	})
	binary := func(op string, f func(a, b num) (num, error)) {
		ours("numeric "+op+" numeric", "numeric", func(a args, out *vector.Vector) error {
			n, err := f(numArg(a, 0), numArg(a, 1))
			return putNum(out, n, err)
		})
	}
	plain := func(f func(a, b num) num) func(a, b num) (num, error) {
		return func(a, b num) (num, error) { return f(a, b), nil }
	}
	binary("+", plain(func(a, b num) num { return addNum(a, b, 1) }))
	binary("-", plain(func(a, b num) num { return addNum(a, b, -1) }))
	binary("*", plain(mulNum))
	binary("/", divNum)
	binary("%", modNum)
	two := func(name string, f func(a, b num) (num, error)) {
		ours(name+"(numeric,numeric)", "numeric", func(a args, out *vector.Vector) error {
			n, err := f(numArg(a, 0), numArg(a, 1))
			return putNum(out, n, err)
		})
	}
	two("mod", modNum)
	two("div", divTrunc)
	for call, f := range map[string]func(c *duck.Call, a, b num) (num, error){
		"numeric ^ numeric": powNum, "pow(numeric,numeric)": powNum, "power(numeric,numeric)": powNum, "log(numeric,numeric)": logNum,
	} {
		ours(call, "numeric", func(a args, out *vector.Vector) error {
			n, err := f(a.call, numArg(a, 0), numArg(a, 1))
			return putNum(out, n, err)
		})
	}
	gcd := func(a, b num) (num, error) {
		if a.special != 0 || b.special != 0 {
			return numNaN, nil
		}
		s := max(a.scale, b.scale)
		return num{v: new(big.Int).GCD(nil, nil, new(big.Int).Abs(a.at(s).v), new(big.Int).Abs(b.at(s).v)), scale: s}, nil
	}
	two("gcd", gcd)
	two("lcm", func(a, b num) (num, error) {
		g, err := gcd(a, b)
		if err != nil || g.special != 0 {
			return g, err
		}
		if g.v.Sign() == 0 {
			return num{v: new(big.Int), scale: g.scale}, nil
		}
		p := new(big.Int).Mul(a.at(g.scale).v, b.at(g.scale).v)
		return num{v: p.Quo(p.Abs(p), g.v), scale: g.scale}, nil
	})
	one := func(call string, f func(n num) (num, error)) {
		ours(call, "numeric", func(a args, out *vector.Vector) error {
			n, err := f(numArg(a, 0))
			return putNum(out, n, err)
		})
	}
	neg := func(n num) (num, error) {
		switch n.special {
		case 'N':
			return n, nil
		case '+':
			return num{special: '-'}, nil
		case '-':
			return num{special: '+'}, nil
		}
		return num{v: new(big.Int).Neg(n.v), scale: n.scale}, nil
	}
	one("- numeric", neg)
	abs := func(n num) (num, error) {
		if n.sign() < 0 {
			return neg(n)
		}
		return n, nil
	}
	one("abs(numeric)", abs)
	one("@ numeric", abs)
	one("sign(numeric)", func(n num) (num, error) {
		if n.special == 'N' {
			return n, nil
		}
		return intNum(int64(n.sign())), nil
	})
	floor := func(n num, up bool) num {
		if n.special != 0 {
			return n
		}
		t := n.trunc(0)
		if cmpNum(t, n) != 0 && up == (n.v.Sign() > 0) {
			t.v = new(big.Int).Add(t.v, big.NewInt(int64(n.v.Sign())))
		}
		return t
	}
	one("floor(numeric)", func(n num) (num, error) { return floor(n, false), nil })
	one("ceil(numeric)", func(n num) (num, error) { return floor(n, true), nil })
	one("ceiling(numeric)", func(n num) (num, error) { return floor(n, true), nil })
	one("round(numeric)", func(n num) (num, error) { return n.at(0), nil })
	one("trunc(numeric)", func(n num) (num, error) { return n.trunc(0), nil })
	one("sqrt(numeric)", sqrtNum)
	log10 := func(c *duck.Call, n num) (num, error) { return logNum(c, intNum(10), n) }
	for call, f := range map[string]func(c *duck.Call, n num) (num, error){
		"ln(numeric)": lnNum, "exp(numeric)": expNum, "log(numeric)": log10, "log10(numeric)": log10,
	} {
		ours(call, "numeric", func(a args, out *vector.Vector) error {
			n, err := f(a.call, numArg(a, 0))
			return putNum(out, n, err)
		})
	}
	one("trim_scale(numeric)", func(n num) (num, error) {
		if n.special != 0 {
			return n, nil
		}
		return n.trunc(minScale(n)), nil
	})
	ours("scale(numeric)", "int4", func(a args, out *vector.Vector) error {
		n := numArg(a, 0)
		if n.special != 0 {
			out.AppendNull()
			return nil
		}
		out.AppendInt(int64(n.scale))
		return nil
	})
	ours("min_scale(numeric)", "int4", func(a args, out *vector.Vector) error {
		n := numArg(a, 0)
		if n.special != 0 {
			out.AppendNull()
			return nil
		}
		out.AppendInt(int64(minScale(n)))
		return nil
	})
	ours("round(numeric,int4)", "numeric", func(a args, out *vector.Vector) error {
		return putNum(out, numArg(a, 0).at(int(min(max(a.n(1), -2000), 2000))), nil)
	})
	ours("trunc(numeric,int4)", "numeric", func(a args, out *vector.Vector) error {
		n := numArg(a, 0)
		return putNum(out, n.trunc(int(min(max(a.n(1), -2000), 2000))), nil)
	})
	ours("factorial(int8)", "numeric", func(a args, out *vector.Vector) error {
		switch n := a.n(0); {
		case n < 0:
			return bad("22003", "factorial of a negative number is undefined")
		case n > 32177:
			return errOverflow()
		default:
			return putNum(out, num{v: new(big.Int).MulRange(1, n)}, nil)
		}
	})
	ours("width_bucket(numeric,numeric,numeric,int4)", "int4", func(a args, out *vector.Vector) error {
		x, low, high, count := numArg(a, 0), numArg(a, 1), numArg(a, 2), a.n(3)
		switch {
		case count <= 0:
			return bad("2201G", "count must be greater than zero")
		case x.special == 'N' || low.special == 'N' || high.special == 'N':
			return bad("2201G", "operand, lower bound, and upper bound cannot be NaN")
		case low.special != 0 || high.special != 0:
			return bad("2201G", "lower and upper bounds must be finite")
		case cmpNum(low, high) == 0:
			return bad("2201G", "lower bound cannot equal upper bound")
		}
		up := cmpNum(low, high) < 0
		below, above := cmpNum(x, low) < 0, cmpNum(x, high) >= 0
		if !up {
			below, above = cmpNum(x, low) > 0, cmpNum(x, high) <= 0
		}
		switch {
		case below:
			out.AppendInt(0)
		case above:
			if count == math.MaxInt32 {
				return bad("22003", "integer out of range")
			}
			out.AppendInt(count + 1)
		default:
			n, d := addNum(x, low, -1), addNum(high, low, -1)
			q, err := divTrunc(mulNum(n, intNum(count)), d)
			if err != nil {
				return err
			}
			out.AppendInt(q.v.Int64() + 1)
		}
		return nil
	})
	for _, t := range []struct {
		name      string
		low, high int64
		sql       string
	}{{"int2", math.MinInt16, math.MaxInt16, "smallint"}, {"int4", math.MinInt32, math.MaxInt32, "integer"}, {"int8", math.MinInt64, math.MaxInt64, "bigint"}} {
		ours("cast(numeric as "+t.name+")", t.name, func(a args, out *vector.Vector) error {
			n, err := numInt(numArg(a, 0), t.low, t.high, t.sql)
			if err != nil {
				return err
			}
			out.AppendInt(n)
			return nil
		})
		for _, f := range []string{"float4", "float8"} {
			ours("cast("+f+" as "+t.name+")", t.name, func(a args, out *vector.Vector) error {
				x := math.RoundToEven(a.f(0))
				if math.IsNaN(x) || x < float64(t.low) || x >= float64(t.high)+1 || t.name == "int8" && x >= 9223372036854775808.0 {
					return bad("22003", "%s out of range", t.sql)
				}
				out.AppendInt(int64(x))
				return nil
			})
		}
	}
	ours("cast(numeric as float8)", "float8", func(a args, out *vector.Vector) error {
		f, err := numFloat(numArg(a, 0))
		out.AppendFloat(f)
		return err
	})
	ours("cast(numeric as float4)", "float4", func(a args, out *vector.Vector) error {
		n := numArg(a, 0)
		f, err := strconv.ParseFloat(n.String(), 32)
		if err != nil && n.special == 0 {
			return bad("22003", `"%s" is out of range for type real`, n.String())
		}
		out.AppendFloat(f)
		return nil
	})
	ours("cast(float8 as numeric)", "numeric", func(a args, out *vector.Vector) error {
		n, _ := floatNum(a.f(0), 15)
		return putNum(out, n, nil)
	})
	ours("cast(float4 as numeric)", "numeric", func(a args, out *vector.Vector) error {
		n, _ := floatNum(a.f(0), 6)
		return putNum(out, n, nil)
	})
	ours("__numeric_extreme(text,_numeric)", "numeric", func(a args, out *vector.Vector) error {
		var best *num
		for _, s := range a.texts(1) {
			if s == nil {
				continue
			}
			n := mustNum(*s)
			if best == nil || a.s(0) == "GREATEST" && cmpNum(n, *best) > 0 || a.s(0) == "LEAST" && cmpNum(n, *best) < 0 {
				best = &n
			}
		}
		if best == nil {
			out.AppendNull()
			return nil
		}
		return putNum(out, *best, nil)
	})
	ours("generate_series(numeric,numeric)", "_numeric", func(a args, out *vector.Vector) error {
		return numericSeries(a.call, out, numArg(a, 0), numArg(a, 1), intNum(1))
	})
	ours("generate_series(numeric,numeric,numeric)", "_numeric", func(a args, out *vector.Vector) error {
		return numericSeries(a.call, out, numArg(a, 0), numArg(a, 1), numArg(a, 2))
	})
}

// maxSeries bounds the elements of a series that is made as a list.
const maxSeries = 10_000_000

func numericSeries(c *duck.Call, out *vector.Vector, from, to, step num) error {
	names := []string{"start value", "stop value", "step size"}
	for i, n := range []num{from, to, step} {
		if n.special == 'N' {
			return bad("22023", "%s cannot be NaN", names[i])
		}
		if n.special != 0 {
			return bad("22023", "%s cannot be infinity", names[i])
		}
	}
	if step.v.Sign() == 0 {
		return bad("22023", "step size cannot equal zero")
	}
	s := max(from.scale, step.scale)
	for x, n := from.at(s), 0; cmpNum(x, to)*step.v.Sign() <= 0; n++ {
		if n > maxSeries {
			return bad("54000", "a series of numeric has more than %d elements", maxSeries)
		}
		text := x.String()
		c.Work(workPerElement + 8*len(text))
		out.Child[0].AppendString(text)
		x = addNum(x, step, 1)
	}
	out.CloseNested()
	return nil
}
