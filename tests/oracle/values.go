package oracle

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Values are nil (NULL), bool, int16, int32, int64, float32, float64, string and the types below.
type (
	// Dec is a decimal: Unscaled·10^−Scale.
	Dec struct {
		Unscaled int64
		Scale    int
	}
	// Wide is a decimal of any size.
	Wide struct {
		Unscaled *big.Int
		Scale    int
	}
	// Instant is a date or a time, in units since its origin; the greatest and the least int64 but one are the infinite ones.
	Instant int64
	// Bytes are a bytea.
	Bytes string
)

func (d Dec) String() string { return Wide{big.NewInt(d.Unscaled), d.Scale}.String() }

func (d Wide) rat() *big.Rat { return new(big.Rat).SetFrac(d.Unscaled, pow10(d.Scale)) }

func (d Wide) String() string { return decimal(d.rat(), d.Scale) }

// rat is a number exactly; ok is false where it is none or not finite.
func rat(v any) (x *big.Rat, ok bool) {
	switch v := v.(type) {
	case int16:
		return big.NewRat(int64(v), 1), true
	case int32:
		return big.NewRat(int64(v), 1), true
	case int64:
		return big.NewRat(v, 1), true
	case Dec:
		return Wide{big.NewInt(v.Unscaled), v.Scale}.rat(), true
	case Wide:
		return v.rat(), true
	case float32:
		x = new(big.Rat).SetFloat64(float64(v))
	case float64:
		x = new(big.Rat).SetFloat64(v)
	}
	return x, x != nil
}

// float is v as double precision.
func float(v any) float64 {
	switch v := v.(type) {
	case float32:
		return float64(v)
	case float64:
		return v
	}
	x, _ := rat(v)
	f, _ := x.Float64()
	return f
}

func isFloat(v any) bool {
	switch v.(type) {
	case float32, float64:
		return true
	}
	return false
}

// scale is the digits behind the point of a decimal, 0 of others.
func scale(v any) int {
	switch v := v.(type) {
	case Dec:
		return v.Scale
	case Wide:
		return v.Scale
	}
	return 0
}

// less orders values as PostgreSQL does: text by bytes, NaN above everything.
func less(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b != nil
	}
	switch x := a.(type) {
	case bool:
		return !x && b.(bool)
	case string:
		return x < b.(string)
	case Bytes:
		return x < b.(Bytes)
	case Instant:
		return x < b.(Instant)
	}
	if isFloat(a) {
		x, y := float(a), float(b)
		return x < y || math.IsNaN(y) && !math.IsNaN(x)
	}
	x, _ := rat(a)
	y, _ := rat(b)
	return x.Cmp(y) < 0
}

// Text is a value as PostgreSQL prints it; bytes are hexadecimal, instants numbers.
func Text(v any) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case bool:
		return map[bool]string{false: "f", true: "t"}[x]
	case string:
		return x
	case Bytes:
		return fmt.Sprintf("%x", string(x))
	case Instant:
		switch x {
		case math.MaxInt64:
			return "infinity"
		case -math.MaxInt64:
			return "-infinity"
		}
		return strconv.FormatInt(int64(x), 10)
	case float32:
		return double(float64(x), 32)
	case float64:
		return double(x, 64)
	}
	return fmt.Sprint(v)
}

// double is the shortest text that reads back as x: PostgreSQL's float8 with extra_float_digits = 1, and float4.
func double(x float64, bits int) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	x += 0 // there is no -0
	e := strconv.FormatFloat(x, 'e', -1, bits)
	if exp, _ := strconv.Atoi(e[strings.Index(e, "e")+1:]); x != 0 && (exp < -4 || exp >= map[int]int{32: 6, 64: 15}[bits]) {
		return e
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal rounds half away from zero.
func decimal(x *big.Rat, scale int) string {
	s := x.FloatString(scale)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}
