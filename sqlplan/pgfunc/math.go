package pgfunc

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

func errFloatOverflow() error  { return bad("22003", "value out of range: overflow") }
func errFloatUnderflow() error { return bad("22003", "value out of range: underflow") }
func errInput() error          { return bad("22003", "input is out of range") }

// checked is a float that a computation gave: PostgreSQL refuses infinities and zeros that come of finite numbers.
func checked(r float64, infOK, zeroOK bool) (float64, error) {
	if math.IsInf(r, 0) && !infOK {
		return r, errFloatOverflow()
	}
	if r == 0 && !zeroOK {
		return r, errFloatUnderflow()
	}
	return r, nil
}

func floatOp(op string, a, b float64) (float64, error) {
	inf := math.IsInf(a, 0) || math.IsInf(b, 0)
	switch op {
	case "+":
		return checked(a+b, inf, true)
	case "-":
		return checked(a-b, inf, true)
	case "*":
		return checked(a*b, inf, a == 0 || b == 0)
	}
	if b == 0 && !math.IsNaN(a) {
		return 0, errZero()
	}
	return checked(a/b, math.IsInf(a, 0), a == 0 || math.IsInf(b, 0))
}

func float32Op(op string, a, b float64) (float64, error) {
	x, y := float32(a), float32(b)
	inf := math.IsInf(a, 0) || math.IsInf(b, 0)
	switch op {
	case "+":
		return checked(float64(x+y), inf, true)
	case "-":
		return checked(float64(x-y), inf, true)
	case "*":
		return checked(float64(x*y), inf, a == 0 || b == 0)
	}
	if b == 0 && !math.IsNaN(a) {
		return 0, errZero()
	}
	return checked(float64(x/y), math.IsInf(a, 0), a == 0 || math.IsInf(b, 0))
}

func floatPow(a, b float64) (float64, error) {
	if a == 0 && b < 0 {
		return 0, bad("2201F", "zero raised to a negative power is undefined")
	}
	if a < 0 && math.Floor(b) != b && !math.IsInf(b, 0) {
		return 0, bad("2201F", "a negative number raised to a non-integer power yields a complex result")
	}
	r := math.Pow(a, b)
	return checked(r, math.IsInf(a, 0) || math.IsInf(b, 0), a == 0 || math.IsInf(b, 0) || math.IsInf(a, 0))
}

func putFloat(out *vector.Vector, f float64, err error) error {
	if err == nil {
		out.AppendFloat(f)
	}
	return err
}

func float1(call string, f func(x float64) (float64, error)) {
	ours(call, "float8", func(a args, out *vector.Vector) error {
		r, err := f(a.f(0))
		return putFloat(out, r, err)
	})
}

func simple(f func(float64) float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) { return f(x), nil }
}

// degrees of the inverse functions and the arguments of sind and its kin, exact where PostgreSQL's are.
func trigDegrees(f func(float64) float64, exact map[float64]float64) func(float64) (float64, error) {
	return func(x float64) (float64, error) {
		if math.IsNaN(x) {
			return x, nil
		}
		if math.IsInf(x, 0) {
			return x, errInput()
		}
		r := math.Mod(x, 360)
		if r < 0 {
			r += 360
		}
		if v, ok := exact[r]; ok {
			if math.IsInf(v, 0) {
				return v, nil
			}
			return v, nil
		}
		return f(r * math.Pi / 180), nil
	}
}

func gcd(a, b int64) uint64 {
	x, y := mag(a), mag(b)
	for y != 0 {
		x, y = y, x%y
	}
	return x
}

func mag(x int64) uint64 {
	if x < 0 {
		return uint64(-x)
	}
	return uint64(x)
}

func init() {
	for _, op := range []string{"+", "-", "*", "/"} {
		for _, l := range []string{"float4", "float8"} {
			for _, r := range []string{"float4", "float8"} {
				f, result := floatOp, "float8"
				if l == "float4" && r == "float4" {
					f, result = float32Op, "float4"
				}
				ours(l+" "+op+" "+r, result, func(a args, out *vector.Vector) error {
					x, err := f(op, a.f(0), a.f(1))
					return putFloat(out, x, err)
				})
			}
		}
	}
	for _, c := range []string{"float8 ^ float8", "power(float8,float8)", "pow(float8,float8)"} {
		ours(c, "float8", func(a args, out *vector.Vector) error {
			x, err := floatPow(a.f(0), a.f(1))
			return putFloat(out, x, err)
		})
	}
	sqrt := func(x float64) (float64, error) {
		if x < 0 {
			return 0, bad("2201F", "cannot take square root of a negative number")
		}
		return math.Sqrt(x), nil
	}
	float1("sqrt(float8)", sqrt)
	float1("|/ float8", sqrt)
	float1("cbrt(float8)", simple(math.Cbrt))
	float1("||/ float8", simple(math.Cbrt))
	for _, n := range []string{"ceil", "ceiling"} {
		float1(n+"(float8)", simple(math.Ceil))
	}
	float1("floor(float8)", simple(math.Floor))
	float1("round(float8)", simple(math.RoundToEven))
	float1("trunc(float8)", simple(math.Trunc))
	float1("sign(float8)", func(x float64) (float64, error) {
		switch {
		case x > 0:
			return 1, nil
		case x < 0:
			return -1, nil
		}
		return 0, nil
	})
	float1("abs(float8)", simple(math.Abs))
	float1("@ float8", simple(math.Abs))
	ours("abs(float4)", "float4", func(a args, out *vector.Vector) error { out.AppendFloat(math.Abs(a.f(0))); return nil })
	float1("exp(float8)", func(x float64) (float64, error) {
		return checked(math.Exp(x), math.IsInf(x, 0), math.IsInf(x, -1))
	})
	logs := func(f func(float64) float64) func(float64) (float64, error) {
		return func(x float64) (float64, error) {
			if x == 0 {
				return 0, bad("2201E", "cannot take logarithm of zero")
			}
			if x < 0 {
				return 0, bad("2201E", "cannot take logarithm of a negative number")
			}
			return f(x), nil
		}
	}
	float1("ln(float8)", logs(math.Log))
	float1("log(float8)", logs(math.Log10))
	float1("log10(float8)", logs(math.Log10))
	noInf := func(f func(float64) float64) func(float64) (float64, error) {
		return func(x float64) (float64, error) {
			if math.IsInf(x, 0) {
				return x, errInput()
			}
			return f(x), nil
		}
	}
	float1("sin(float8)", noInf(math.Sin))
	float1("cos(float8)", noInf(math.Cos))
	float1("tan(float8)", noInf(math.Tan))
	float1("cot(float8)", noInf(func(x float64) float64 { return 1 / math.Tan(x) }))
	unit := func(f func(float64) float64) func(float64) (float64, error) {
		return func(x float64) (float64, error) {
			if x < -1 || x > 1 {
				return x, errInput()
			}
			return f(x), nil
		}
	}
	float1("asin(float8)", unit(math.Asin))
	float1("acos(float8)", unit(math.Acos))
	float1("atan(float8)", simple(math.Atan))
	float1("sinh(float8)", simple(math.Sinh))
	float1("cosh(float8)", simple(math.Cosh))
	float1("tanh(float8)", simple(math.Tanh))
	float1("asinh(float8)", simple(math.Asinh))
	float1("acosh(float8)", func(x float64) (float64, error) {
		if x < 1 {
			return x, errInput()
		}
		return math.Acosh(x), nil
	})
	float1("atanh(float8)", unit(math.Atanh))
	inf := math.Inf(1)
	float1("sind(float8)", trigDegrees(math.Sin, map[float64]float64{0: 0, 30: 0.5, 90: 1, 150: 0.5, 180: 0, 210: -0.5, 270: -1, 330: -0.5}))
	float1("cosd(float8)", trigDegrees(math.Cos, map[float64]float64{0: 1, 60: 0.5, 90: 0, 120: -0.5, 180: -1, 240: -0.5, 270: 0, 300: 0.5}))
	float1("tand(float8)", trigDegrees(math.Tan, map[float64]float64{0: 0, 45: 1, 90: inf, 135: -1, 180: 0, 225: 1, 270: -inf, 315: -1}))
	degrees := func(f func(float64) float64, exact map[float64]float64) func(float64) (float64, error) {
		return func(x float64) (float64, error) {
			if x < -1 || x > 1 {
				return x, errInput()
			}
			if v, ok := exact[x]; ok {
				return v, nil
			}
			return f(x) * 180 / math.Pi, nil
		}
	}
	float1("asind(float8)", degrees(math.Asin, map[float64]float64{0: 0, 0.5: 30, 1: 90, -0.5: -30, -1: -90}))
	float1("acosd(float8)", degrees(math.Acos, map[float64]float64{0: 90, 0.5: 60, 1: 0, -0.5: 120, -1: 180}))
	float1("atand(float8)", func(x float64) (float64, error) {
		if v, ok := map[float64]float64{0: 0, 1: 45, -1: -45}[x]; ok {
			return v, nil
		}
		return math.Atan(x) * 180 / math.Pi, nil
	})
	float1("degrees(float8)", func(x float64) (float64, error) { return checked(x/(math.Pi/180), math.IsInf(x, 0), x == 0) })
	float1("radians(float8)", func(x float64) (float64, error) { return x * (math.Pi / 180), nil })
	ours("atan2(float8,float8)", "float8", func(a args, out *vector.Vector) error { out.AppendFloat(math.Atan2(a.f(0), a.f(1))); return nil })
	sql(`
		pi()	pi()
		random()	random()
		abs(int2)	CAST(abs($1) AS int2)
		abs(int4)	abs($1)
		abs(int8)	abs($1)
		mod(int2,int2)	CAST(mod($1, CASE WHEN $2 = 0 THEN error('tilehouse 22012: division by zero') ELSE $2 END) AS int2)
		mod(int4,int4)	CAST(mod($1, CASE WHEN $2 = 0 THEN error('tilehouse 22012: division by zero') ELSE $2 END) AS int4)
		mod(int8,int8)	CAST(mod($1, CASE WHEN $2 = 0 THEN error('tilehouse 22012: division by zero') ELSE $2 END) AS int8)
		int2 & int2	CAST(($1 & $2) AS int2)
		int4 & int4	($1 & $2)
		int8 & int8	($1 & $2)
		int2 | int2	CAST(($1 | $2) AS int2)
		int4 | int4	($1 | $2)
		int8 | int8	($1 | $2)
		int2 # int2	CAST(xor($1, $2) AS int2)
		int4 # int4	xor($1, $2)
		int8 # int8	xor($1, $2)
		~ int2	CAST(-$1 - CAST(1 AS int2) AS int2)
		~ int4	(-1 - $1)
		~ int8	(-1 - $1)
	`)
	for t, width := range map[string]int64{"int2": 32, "int4": 32, "int8": 64} {
		wrap := func(x int64) int64 {
			switch t {
			case "int2":
				return int64(int16(x))
			case "int4":
				return int64(int32(x))
			}
			return x
		}
		ours(t+" << int4", t, func(a args, out *vector.Vector) error {
			out.AppendInt(wrap(a.n(0) << uint(a.n(1)&(width-1))))
			return nil
		})
		ours(t+" >> int4", t, func(a args, out *vector.Vector) error {
			out.AppendInt(wrap(a.n(0) >> uint(a.n(1)&(width-1))))
			return nil
		})
	}
	for _, t := range []string{"int4", "int8"} {
		limit := uint64(math.MaxInt32)
		name := "integer"
		if t == "int8" {
			limit, name = math.MaxInt64, "bigint"
		}
		ours("gcd("+t+","+t+")", t, func(a args, out *vector.Vector) error {
			g := gcd(a.n(0), a.n(1))
			if g > limit {
				return bad("22003", "%s out of range", name)
			}
			out.AppendInt(int64(g))
			return nil
		})
		ours("lcm("+t+","+t+")", t, func(a args, out *vector.Vector) error {
			if a.n(0) == 0 || a.n(1) == 0 {
				out.AppendInt(0)
				return nil
			}
			hi, lo := bits.Mul64(mag(a.n(0))/gcd(a.n(0), a.n(1)), mag(a.n(1)))
			if hi != 0 || lo > limit {
				return bad("22003", "%s out of range", name)
			}
			out.AppendInt(int64(lo))
			return nil
		})
	}
	ours("width_bucket(float8,float8,float8,int4)", "int4", func(a args, out *vector.Vector) error {
		x, low, high, n := a.f(0), a.f(1), a.f(2), a.n(3)
		switch {
		case n <= 0:
			return bad("2201G", "count must be greater than zero")
		case math.IsNaN(x) || math.IsNaN(low) || math.IsNaN(high):
			return bad("2201G", "operand, lower bound, and upper bound cannot be NaN")
		case math.IsInf(low, 0) || math.IsInf(high, 0):
			return bad("2201G", "lower and upper bounds must be finite")
		case low == high:
			return bad("2201G", "lower bound cannot equal upper bound")
		case low < high && x < low || low > high && x > low:
			out.AppendInt(0)
		case low < high && x >= high || low > high && x <= high:
			out.AppendInt(n + 1)
		default:
			out.AppendInt(int64(float64(n)*((x-low)/(high-low))) + 1)
		}
		return nil
	})
	ours("cast(float8 as float4)", "float4", func(a args, out *vector.Vector) error {
		x := a.f(0)
		r := float64(float32(x))
		if math.IsInf(r, 0) && !math.IsInf(x, 0) {
			return errFloatOverflow()
		}
		if r == 0 && x != 0 {
			return errFloatUnderflow()
		}
		out.AppendFloat(r)
		return nil
	})
	_ = strconv.Itoa
}
