package vector

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// AppendRange appends what AppendFrom appends value by value, on every buffer, with and without NULLs on either side.
func TestAppendRange(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fill := func(typ Type, n int, nulls bool) *Vector {
		v := New(typ, 0)
		for range n {
			switch {
			case nulls && r.IntN(3) == 0:
				v.AppendNull()
			case typ.Buffer() == BufI64:
				v.AppendInt(r.Int64())
			case typ.Buffer() == BufF64:
				v.AppendFloat(r.NormFloat64())
			case typ.Buffer() == BufI128:
				v.AppendInt128(Int128FromParts(r.Int64(), r.Uint64()))
			case typ.Buffer() == BufBytes:
				v.AppendString("äbc"[:r.IntN(4)])
			default:
				for range r.IntN(3) {
					v.Child[0].AppendInt(r.Int64())
				}
				v.CloseNested()
			}
		}
		return v
	}
	for _, typ := range []Type{T(Int64), T(Float64), DecimalOf(38, 2), T(Text), ListOf(T(Int64))} {
		for range 200 {
			src := fill(typ, r.IntN(150), r.IntN(2) == 0)
			fast := fill(typ, r.IntN(150), r.IntN(2) == 0)
			slow := New(typ, 0)
			for i := range fast.N {
				slow.AppendFrom(fast, i)
			}
			from := r.IntN(src.N + 1)
			to := from + r.IntN(src.N-from+1)
			fast.AppendRange(src, from, to)
			for i := from; i < to; i++ {
				slow.AppendFrom(src, i)
			}
			if !reflect.DeepEqual(fast, slow) {
				t.Fatalf("%s: values %d to %d of %d: %+v, not %+v", typ, from, to, src.N, fast, slow)
			}
		}
	}
}
