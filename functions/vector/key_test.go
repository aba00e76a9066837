package vector

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// Keys decode to what was encoded, and their bytes order as the values do.
func TestKeyRoundTripAndOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, typ := range []Type{T(Int64), T(Float64), DecimalOf(38, 2), T(Text), T(UUID), T(Bool), T(TimestampTZ)} {
		v := New(typ, 0)
		for range 300 {
			switch typ.Buffer() {
			case BufI64:
				v.AppendInt([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, r.Int64()}[r.IntN(6)])
			case BufF64:
				v.AppendFloat([]float64{0, -1, math.Inf(1), math.Inf(-1), math.NaN(), r.NormFloat64()}[r.IntN(6)])
			case BufI128:
				v.AppendInt128(Int128FromParts(r.Int64(), r.Uint64()))
			case BufBytes:
				b := make([]byte, r.IntN(4))
				for i := range b {
					b[i] = []byte{0, 1, 0xff, 'a'}[r.IntN(4)]
				}
				v.AppendBytes(b)
			}
			if r.IntN(10) == 0 {
				v.AppendNull()
			}
		}
		out := New(typ, 0)
		for i := range v.N {
			k := AppendKey(nil, v, i)
			rest, err := DecodeKey(out, append(k, 7))
			if err != nil || len(rest) != 1 || Compare(v, i, out, i) != 0 {
				t.Fatalf("%s: value %d of %v: rest %v, %v", typ, i, v, rest, err)
			}
			j := r.IntN(v.N)
			if c := bytes.Compare(k, AppendKey(nil, v, j)); c != Compare(v, i, v, j) {
				t.Fatalf("%s: order of %d and %d: %d", typ, i, j, c)
			}
			for cut := range len(k) {
				if _, err := DecodeKey(New(typ, 1), k[:cut]); err == nil {
					t.Fatalf("%s: a key cut to %d bytes decodes", typ, cut)
				}
			}
		}
	}
}
