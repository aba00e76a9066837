package functions

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

// subject is an aggregate bound to types, whose value tests/oracle computes.
type subject struct {
	def       *Definition
	types     []vector.Type // with those of constants
	constants []string
	agg       Aggregate
}

func (s *subject) String() string {
	return fmt.Sprint(s.def.Name, s.agg.ArgTypes(), strings.Join(s.constants, ""))
}

// bind binds the aggregate of a name to the types of its arguments of rows and to constants.
func bind(name string, types []vector.Type, constants []string, opt Options) (Aggregate, error) {
	d, ok := Lookup(name)
	if !ok {
		panic("no aggregate " + name)
	}
	args, all := append([]vector.Type(nil), types...), make([]string, len(types))
	for _, c := range constants {
		args, all = append(args, int64s), append(all, c)
	}
	return d.Bind(args, all, opt)
}

func mustBind(name string, types []vector.Type, constants ...string) Aggregate {
	a, err := bind(name, types, constants, Options{MaxState: 1 << 20})
	if err != nil {
		panic(err)
	}
	return a
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

// candidates are the types that subjects are made of, and partners those of a second argument.
var (
	candidates = []vector.Type{bools, int16s, int32s, int64s, real32, double64, money, wide, fraction, vector.DecimalOf(29, 0), texts, uuids,
		blobs, dates, stamps, periods, vector.ListOf(int64s)}
	partners = []vector.Type{int32s, money, wide, double64, stamps}
)

// subjects is every aggregate of the list over all candidates that it takes, alone, beside a partner, and with each sample of its
// constants. A first argument of a pair is one of every other candidate: pairs are many.
func subjects() []*subject {
	var out []*subject
	seen := map[string]bool{}
	for _, d := range Aggregates {
		sets := [][]string{nil}
		for _, p := range d.Parameters {
			var more [][]string
			for _, set := range sets {
				for _, sample := range p.Samples {
					more = append(more, append(append([]string(nil), set...), sample))
				}
			}
			sets = more
		}
		for _, set := range sets {
			try := func(types ...vector.Type) {
				if a, err := bind(d.Name, types, set, Options{MaxState: 1 << 20}); err == nil {
					if s := (&subject{def: d, types: types, constants: set, agg: a}); !seen[s.String()] {
						seen[s.String()], out = true, append(out, s)
					}
				}
			}
			try()
			for i, t := range candidates {
				try(t)
				for j, u := range partners {
					if (i+j)%2 == 0 {
						try(t, u)
					}
				}
			}
		}
	}
	return out
}

// oracle is the value of rows, as text.
func (s *subject) oracle(in *Input, rows []int) string {
	f := &oracle.Feature{Func: s.def.Name, Constants: s.constants}
	for i := range in.Args {
		f.Args = append(f.Args, func(r *oracle.Row) any { return r.Cells[strconv.Itoa(i)] })
	}
	var all []*oracle.Row
	for _, row := range rows {
		r := &oracle.Row{TS: in.TS[row], Cells: map[string]any{}}
		if in.Tie != nil {
			r.PK = int64(in.Tie.Bytes(row)[0])
		}
		for i, v := range in.Args {
			r.Cells[strconv.Itoa(i)] = cellOf(v, row)
		}
		all = append(all, r)
	}
	return f.Aggregate(all)
}

// cellOf is value i of v as the oracle takes it.
func cellOf(v *vector.Vector, i int) any {
	if v.IsNull(i) {
		return nil
	}
	switch v.Type.Kind {
	case vector.Bool:
		return v.I64[i] != 0
	case vector.Int16:
		return int16(v.I64[i])
	case vector.Int32:
		return int32(v.I64[i])
	case vector.Int64:
		return v.I64[i]
	case vector.Float32:
		return float32(v.F64[i])
	case vector.Float64:
		return v.F64[i]
	case vector.Decimal:
		return oracle.Wide{Unscaled: v.I128[i].BigInt(), Scale: int(v.Type.Scale)}
	case vector.Text:
		return string(v.Bytes(i))
	case vector.Bytes, vector.Interval:
		return oracle.Bytes(v.Bytes(i))
	case vector.UUID:
		b := v.Bytes(i)
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	case vector.List:
		return "a list"
	}
	return oracle.Instant(v.I64[i])
}

// show is value i of v as the oracle prints it.
func show(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	var out []string
	switch v.Type.Kind {
	case vector.List:
		for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
			out = append(out, oracle.Text(cellOf(v.Child[0], j)))
		}
		return "{" + strings.Join(out, ",") + "}"
	case vector.Map:
		for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
			name, _ := json.Marshal(oracle.Text(cellOf(v.Child[0], j)))
			value := oracle.Text(cellOf(v.Child[1], j))
			switch v.Child[1].Type.Kind {
			case vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.Float32, vector.Float64:
				if value == "NaN" || strings.HasSuffix(value, "Infinity") {
					value = strconv.Quote(value)
				}
			default:
				value = strconv.Quote(value)
			}
			out = append(out, string(name)+":"+value)
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	return oracle.Text(cellOf(v, i))
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
	for _, t := range s.agg.ArgTypes() {
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
