package exact

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// Random sums of shifted integers, merged and taken apart, against big.Rat.
func TestFixed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	value := func(f *Fixed) *big.Rat {
		x, e := f.Big()
		return scale2(new(big.Rat).SetInt(x), e)
	}
	for range 3000 {
		var f, g, h Fixed
		want, part := new(big.Rat), new(big.Rat)
		for range r.IntN(12) {
			m := make([]uint64, 1+r.IntN(4))
			for i := range m {
				m[i] = []uint64{0, 1, math.MaxUint64, r.Uint64()}[r.IntN(4)]
			}
			neg, e := r.IntN(2) == 0, r.IntN(700)-350
			x := new(big.Int)
			for i := len(m) - 1; i >= 0; i-- {
				x.Or(x.Lsh(x, 64), new(big.Int).SetUint64(m[i]))
			}
			if neg {
				x.Neg(x)
			}
			v := scale2(new(big.Rat).SetInt(x), e)
			want.Add(want, v)
			if r.IntN(2) == 0 {
				f.Add(neg, m, e)
			} else {
				g.AddBig(x, e)
				part.Add(part, v)
			}
			h.Add(neg, m, e)
		}
		f.Merge(&g)
		if value(&f).Cmp(want) != 0 || value(&h).Cmp(want) != 0 {
			t.Fatalf("%s and %s, want %s", value(&f), value(&h), want)
		}
		a, b := f.Append(nil), h.Append(nil)
		if !bytes.Equal(a, b) {
			t.Fatalf("%x and %x", a, b)
		}
		var d Fixed
		rest, err := d.MergeEncoded(append(a, 7))
		if err != nil || len(rest) != 1 || value(&d).Cmp(want) != 0 || !bytes.Equal(d.Append(nil), a) {
			t.Fatalf("%x decodes to %s, want %s: %v", a, value(&d), want, err)
		}
		f.Unmerge(&g)
		if value(&f).Cmp(new(big.Rat).Sub(want, part)) != 0 {
			t.Fatal("Unmerge")
		}
	}
}

func scale2(x *big.Rat, e int) *big.Rat {
	p := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(max(e, -e))))
	if e < 0 {
		return x.Quo(x, p)
	}
	return x.Mul(x, p)
}

// Quotients against big.Rat, roots by their defining inequality.
func TestRounding(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	number := func() *big.Int {
		x := new(big.Int).SetUint64(r.Uint64() >> r.IntN(64))
		return x.Add(x.Lsh(x, uint(r.IntN(200))), big.NewInt(int64(r.IntN(2))))
	}
	for range 5000 {
		num, den, e := number(), number(), r.IntN(2600)-1300
		if den.Sign() == 0 {
			continue
		}
		exact := scale2(new(big.Rat).SetFrac(num, den), e)
		want, _ := exact.Float64()
		if got, ok := Quotient(num, den, e); ok == math.IsInf(want, 0) || ok && got != want {
			t.Fatalf("%s/%s·2^%d = %g, want %g", num, den, e, got, want)
		}
		if got, ok := Quotient(new(big.Int).Neg(num), den, e); ok && got != 0-want {
			t.Fatalf("-%s/%s·2^%d = %g, want %g", num, den, e, got, -want)
		}
		got, ok := Root(num, den, e)
		if !ok {
			t.Fatal("a root cannot overflow here")
		}
		// (got + its lower neighbour)/2 ≤ root ≤ (got + its upper neighbour)/2
		for _, side := range []float64{math.Inf(-1), math.Inf(1)} {
			mid := new(big.Rat).SetFloat64(got)
			mid.Add(mid, new(big.Rat).SetFloat64(math.Nextafter(got, side)))
			mid.Mul(mid, big.NewRat(1, 2))
			c := mid.Mul(mid, mid).Cmp(exact)
			if got > 0 && (side < 0 && c > 0 || side > 0 && c < 0) {
				t.Fatalf("√(%s/%s·2^%d) is not %g", num, den, e, got)
			}
		}
	}
	// Roots of squares of 54 bits are ties, and of their neighbours nearly so.
	for range 5000 {
		half := new(big.Int).SetUint64(r.Uint64()>>10 | 1<<53 | 1)
		square := new(big.Int).Mul(half, half)
		for _, d := range []int64{-1, 0, 1} {
			num := new(big.Int).Add(square, big.NewInt(d))
			got, _ := Root(num, big.NewInt(1), 0)
			if want, _ := slowRoot(num, big.NewInt(1), 0); got != want {
				t.Fatalf("√(%s²%+d) = %g, want %g", half, d, got, want)
			}
		}
	}
	for _, x := range []float64{0, 1, 4, 2.25, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		m := new(big.Rat).SetFloat64(x)
		if got, _ := Root(m.Num(), m.Denom(), 0); got != math.Sqrt(x) {
			t.Errorf("√%g = %g", x, got)
		}
	}
}
