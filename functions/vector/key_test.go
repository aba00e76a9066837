package vector

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// AppendKeys is AppendKey of every column of every row, but for NULLs.
func TestAppendKeys(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 2000 {
		n := r.IntN(70)
		cols := make([]*Vector, r.IntN(3))
		for c := range cols {
			cols[c] = New([]Type{T(Int64), T(Int64), T(Date), T(Float64), T(Text)}[r.IntN(5)], n)
			nulls := r.IntN(2) == 0
			for range n {
				switch v := cols[c]; {
				case nulls && r.IntN(9) == 0:
					v.AppendNull()
				case v.Type.Buffer() == BufI64:
					v.AppendInt(r.Int64() >> r.IntN(64))
				case v.Type.Buffer() == BufF64:
					v.AppendFloat(r.NormFloat64())
				default:
					v.AppendString(string([]byte{0, 'a', 0xff}[:r.IntN(4)]))
				}
			}
		}
		got, want := New(T(Bytes), 0), New(T(Bytes), 0)
		if r.IntN(3) == 0 { // what stands before stays
			got.AppendNull()
			want.AppendNull()
		}
		if r.IntN(3) == 0 {
			got.AppendString("before")
			want.AppendString("before")
		}
		for i := range n {
			var key []byte
			null := false
			for _, v := range cols {
				key = AppendKey(key, v, i)
				null = null || v.IsNull(i)
			}
			if null {
				want.AppendNull()
			} else {
				want.AppendBytes(key)
			}
		}
		AppendKeys(got, cols, n)
		(&Chunk{N: want.N, Cols: []*Vector{got}}).Check()
		for i := range want.N {
			if Compare(got, i, want, i) != 0 || got.IsNull(i) != want.IsNull(i) {
				t.Fatalf("key %d of %d rows of %d columns: %x, not %x", i, n, len(cols), got.Bytes(i), want.Bytes(i))
			}
		}
	}
}

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
