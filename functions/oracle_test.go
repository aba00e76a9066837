package functions

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"sort"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// subject is an aggregate bound to types, with the naive computation of its value.
type subject struct {
	name      string
	types     []vector.Type
	constants []*vector.Vector
	max       int
	oracle    func(s *subject, in *Input, rows []int) string
}

func (s *subject) bind() Aggregate {
	d, ok := Lookup(s.name)
	if !ok {
		panic("no aggregate " + s.name)
	}
	types := s.types
	for _, c := range s.constants {
		if c != nil {
			types = append(types[:len(types):len(types)], c.Type)
		}
	}
	a, err := d.Bind(types, s.constants, Options{MaxState: s.max})
	if err != nil {
		panic(err)
	}
	return a
}

func k(n int64) []*vector.Vector {
	v := vector.New(vector.T(vector.Int32), 1)
	v.AppendInt(n)
	return []*vector.Vector{nil, v}
}

var (
	int16s   = vector.T(vector.Int16)
	int32s   = vector.T(vector.Int32)
	int64s   = vector.T(vector.Int64)
	real32   = vector.T(vector.Float32)
	double64 = vector.T(vector.Float64)
	money    = vector.DecimalOf(12, 2)
	wide     = vector.DecimalOf(38, 4)
	fraction = vector.DecimalOf(38, 38)
	texts    = vector.T(vector.Text)
	uuids    = vector.T(vector.UUID)
	blobs    = vector.T(vector.Bytes)
	bools    = vector.T(vector.Bool)
	dates    = vector.T(vector.Date)
	stamps   = vector.T(vector.TimestampTZ)
	periods  = vector.T(vector.Interval)
)

// subjects covers every aggregate of the list; TestListComplete holds it to that.
func subjects() []*subject {
	var out []*subject
	add := func(name string, o func(*subject, *Input, []int) string, c []*vector.Vector, types ...vector.Type) {
		out = append(out, &subject{name: name, types: types, constants: c, oracle: o, max: 1 << 20})
	}
	add("count", oracleCount, nil)
	add("count", oracleCount, nil, texts)
	add("count", oracleCount, nil, vector.ListOf(int64s))
	for _, t := range []vector.Type{int16s, int32s, int64s, money, wide, fraction, vector.DecimalOf(29, 0), real32, double64} {
		add("sum", oracleSum, nil, t)
		add("avg", oracleAvg, nil, t)
	}
	for _, t := range []vector.Type{int16s, int64s, wide, real32, double64, texts, uuids, blobs, dates, stamps} {
		add("min", oracleExtreme, nil, t)
		add("max", oracleExtreme, nil, t)
		add("count_distinct", oracleDistinct, nil, t)
		add("approx_count_distinct", oracleApprox, nil, t)
	}
	for _, t := range []vector.Type{bools, int64s, wide, double64, texts, uuids, periods, stamps} {
		add("last", oracleLast, nil, t)
		add("latest", oracleLast, nil, t)
		add("last_k", oracleLast, k(1), t)
		add("last_k", oracleLast, k(4), t)
	}
	add("sum_map", oracleSumMap, nil, texts, int32s)
	add("sum_map", oracleSumMap, nil, int64s, money)
	add("sum_map", oracleSumMap, nil, bools, wide)
	add("sum_map", oracleSumMap, nil, double64, double64)
	return out
}

func live(v *vector.Vector, rows []int) []int {
	var out []int
	for _, r := range rows {
		if !v.IsNull(r) {
			out = append(out, r)
		}
	}
	return out
}

func oracleCount(_ *subject, in *Input, rows []int) string {
	if len(in.Args) > 0 {
		rows = live(in.Args[0], rows)
	}
	return fmt.Sprint(len(rows))
}

func bigOf(v *vector.Vector, r int) *big.Int {
	if v.Type.Kind == vector.Decimal {
		return v.I128[r].BigInt()
	}
	return big.NewInt(v.I64[r])
}

// total is the sum of values: text of the result with its SQL limits.
func total(v *vector.Vector, rows []int, n int64) string {
	if v.Type.Buffer() == vector.BufF64 {
		t, plain := new(big.Rat), 0.0
		for _, r := range rows {
			if x := v.F64[r]; math.IsNaN(x) || math.IsInf(x, 0) {
				plain += x
			} else {
				t.Add(t, new(big.Rat).SetFloat64(x))
			}
		}
		if plain != 0 {
			return fmt.Sprint(plain)
		}
		f, _ := t.Quo(t, new(big.Rat).SetInt64(n)).Float64()
		if math.IsInf(f, 0) {
			return "22003"
		}
		return fmt.Sprint(f + 0)
	}
	t := new(big.Int)
	for _, r := range rows {
		t.Add(t, bigOf(v, r))
	}
	if v.Type.Kind == vector.Int16 || v.Type.Kind == vector.Int32 {
		if !t.IsInt64() {
			return "22003"
		}
	} else if len(new(big.Int).Abs(t).String()) > 38 {
		return "22003"
	}
	return t.String()
}

func oracleSum(_ *subject, in *Input, rows []int) string {
	if rows = live(in.Args[0], rows); len(rows) == 0 {
		return "NULL"
	}
	return total(in.Args[0], rows, 1)
}

func oracleAvg(_ *subject, in *Input, rows []int) string {
	v := in.Args[0]
	if rows = live(v, rows); len(rows) == 0 {
		return "NULL"
	}
	if v.Type.Buffer() == vector.BufF64 {
		return total(v, rows, int64(len(rows)))
	}
	t := new(big.Int)
	for _, r := range rows {
		t.Add(t, bigOf(v, r))
	}
	scale := max(int(v.Type.Scale), 16)
	t.Mul(t, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-int(v.Type.Scale))), nil))
	text := new(big.Rat).SetFrac(t, big.NewInt(int64(len(rows)))).FloatString(0) // half away from zero
	if len(strings.TrimPrefix(text, "-")) > 38 {
		return "22003"
	}
	if text == "-0" {
		return "0"
	}
	return text
}

func oracleExtreme(s *subject, in *Input, rows []int) string {
	v := in.Args[0]
	if rows = live(v, rows); len(rows) == 0 {
		return "NULL"
	}
	sort.Slice(rows, func(a, b int) bool { return vector.Compare(v, rows[a], v, rows[b]) < 0 })
	if s.name == "min" {
		return show(v, rows[0])
	}
	return show(v, rows[len(rows)-1])
}

func distinct(v *vector.Vector, rows []int) map[string][]int {
	m := map[string][]int{}
	for _, r := range live(v, rows) {
		m[show(v, r)] = append(m[show(v, r)], r)
	}
	return m
}

func oracleDistinct(_ *subject, in *Input, rows []int) string {
	return fmt.Sprint(len(distinct(in.Args[0], rows)))
}

// oracleApprox computes ranks from the hexadecimal text, as the engines' SQL does, and estimates with math.Log.
func oracleApprox(_ *subject, in *Input, rows []int) string {
	ranks := map[string]int{}
	for _, r := range live(in.Args[0], rows) {
		h := fmt.Sprintf("%x", md5.Sum(appendCanonical(nil, in.Args[0], r)))
		t := strings.TrimLeft(h[3:16], "0")
		rank := 4*(13-len(t)) + 1
		if t != "" {
			for _, first := range "248" {
				if rune(t[0]) < first {
					rank++
				}
			}
		}
		ranks[h[:3]] = max(ranks[h[:3]], rank)
	}
	if len(ranks) == 0 {
		return "NULL"
	}
	sum := 4096 - float64(len(ranks))
	for _, r := range ranks {
		sum += math.Pow(2, -float64(r))
	}
	e := 0.7213 / (1 + 1.079/4096) * 4096 * 4096 / sum
	if e <= 2.5*4096 && len(ranks) < 4096 {
		e = 4096 * math.Log(4096/float64(4096-len(ranks)))
	}
	return fmt.Sprint(int64(math.Round(e)))
}

func oracleLast(s *subject, in *Input, rows []int) string {
	v := in.Args[0]
	if s.name != "latest" { // for it a NULL is a value like any other, and before any other
		rows = live(v, rows)
	}
	if len(rows) == 0 {
		return "NULL"
	}
	sort.Slice(rows, func(a, b int) bool {
		i, j := rows[a], rows[b]
		if in.TS[i] != in.TS[j] {
			return in.TS[i] > in.TS[j]
		}
		if in.Tie != nil {
			if c := bytes.Compare(in.Tie.Bytes(i), in.Tie.Bytes(j)); c != 0 {
				return c > 0
			}
		}
		return bytes.Compare(vector.AppendKey(nil, v, i), vector.AppendKey(nil, v, j)) > 0
	})
	if s.constants == nil {
		return show(v, rows[0])
	}
	var out []string
	for _, r := range rows[:min(len(rows), int(s.constants[1].I64[0]))] {
		out = append(out, show(v, r))
	}
	return "[" + strings.Join(out, ",") + "]"
}

func oracleSumMap(_ *subject, in *Input, rows []int) string {
	m := distinct(in.Args[0], live(in.Args[1], rows))
	if len(m) == 0 {
		return "NULL"
	}
	var groups [][]int
	for _, g := range m {
		groups = append(groups, g)
	}
	sort.Slice(groups, func(a, b int) bool { return vector.Compare(in.Args[0], groups[a][0], in.Args[0], groups[b][0]) < 0 })
	var out []string
	for _, g := range groups {
		t := total(in.Args[1], g, 1)
		if t == "22003" {
			return t
		}
		out = append(out, show(in.Args[0], g[0])+"="+t)
	}
	return "{" + strings.Join(out, ",") + "}"
}

// show is value i of v as text that tells different values apart; −0 is 0, decimals are unscaled.
func show(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return fmt.Sprint(v.I64[i])
	case vector.BufF64:
		return fmt.Sprint(v.F64[i] + 0)
	case vector.BufI128:
		return v.I128[i].BigInt().String()
	case vector.BufBytes:
		return fmt.Sprintf("%x", v.Bytes(i))
	}
	var out []string
	for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
		if e := show(v.Child[0], j); v.Type.Kind == vector.Map {
			out = append(out, e+"="+show(v.Child[1], j))
		} else {
			out = append(out, e)
		}
	}
	if v.Type.Kind == vector.Map {
		return "{" + strings.Join(out, ",") + "}"
	}
	return "[" + strings.Join(out, ",") + "]"
}

// fill appends a random value of v's type, with a taste for edges and for repetition.
func fill(r *rand.Rand, v *vector.Vector) {
	if r.IntN(8) == 0 {
		v.AppendNull()
		return
	}
	switch v.Type.Kind {
	case vector.Bool:
		v.AppendBool(r.IntN(2) == 0)
	case vector.Int16:
		v.AppendInt(int64([]int16{0, -1, math.MaxInt16, math.MinInt16, int16(r.IntN(9))}[r.IntN(5)]))
	case vector.Int32:
		v.AppendInt(int64([]int32{0, -1, math.MaxInt32, math.MinInt32, int32(r.IntN(9))}[r.IntN(5)]))
	case vector.Int64, vector.Date, vector.TimestampTZ:
		v.AppendInt([]int64{0, -1, math.MaxInt64, vector.NegInfinity, r.Int64N(9), r.Int64()}[r.IntN(6)])
	case vector.Float32:
		v.AppendFloat(float64([]float32{0, 0.5, -3, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1)), r.Float32()}[r.IntN(7)]))
	case vector.Float64:
		x := math.Ldexp(1, r.IntN(2098)-1074)
		v.AppendFloat([]float64{0, math.Copysign(0, -1), math.Nextafter(x, 0), -x, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
			float64(r.IntN(1000)) / 100, r.NormFloat64(), r.NormFloat64(), 1, 2, 3, -1, -2}[r.IntN(16)])
	case vector.Decimal:
		m := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Type.Precision)), nil)
		m.Sub(m, big.NewInt(1))
		x := []*big.Int{m, new(big.Int).Neg(m), big.NewInt(0), big.NewInt(int64(r.IntN(2000) - 1000)), new(big.Int).Rsh(m, uint(r.IntN(100)))}[r.IntN(5)]
		hi := new(big.Int).Rsh(x, 64).Int64()
		v.AppendInt128(vector.Int128FromParts(hi, new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()))
	case vector.UUID, vector.Interval:
		b := make([]byte, 16)
		b[r.IntN(16)] = byte(r.IntN(3))
		v.AppendBytes(b)
	case vector.Bytes, vector.Text:
		v.AppendString([]string{"", "a", "ab", "b", "a\x00", "zebra", "ünïcode", fmt.Sprint(r.IntN(50))}[r.IntN(8)])
	case vector.List:
		v.CloseNested()
	default:
		panic(v.Type.String())
	}
}

// input is n random rows for a subject.
func (s *subject) input(r *rand.Rand, n int) *Input {
	in := &Input{}
	for _, t := range s.types {
		v := vector.New(t, n)
		for range n {
			fill(r, v)
		}
		in.Args = append(in.Args, v)
	}
	if r.IntN(2) == 0 {
		in.Tie = vector.New(blobs, n)
	}
	for range n {
		in.TS = append(in.TS, []int64{0, 1, -1, math.MaxInt64, math.MinInt64, r.Int64N(5)}[r.IntN(6)])
		if in.Tie != nil {
			in.Tie.AppendBytes([]byte{byte(r.IntN(3))})
		}
	}
	return in
}
