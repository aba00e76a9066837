package exact

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// edge is a random double with a taste for trouble.
func edge(r *rand.Rand) float64 {
	switch r.IntN(6) {
	case 0:
		x := math.Ldexp(1, r.IntN(2098)-1074)
		x = []float64{x, math.Nextafter(x, 0), math.Nextafter(x, math.Inf(1))}[r.IntN(3)]
		return []float64{x, -x}[r.IntN(2)]
	case 1:
		return float64(r.IntN(2_000_000)-1_000_000) / 100
	case 2:
		return []float64{0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64, 1}[r.IntN(6)]
	case 3:
		return math.Ldexp(r.Float64()-0.5, r.IntN(80)-40)
	}
	for {
		if x := math.Float64frombits(r.Uint64()); !math.IsNaN(x) && !math.IsInf(x, 0) {
			return x
		}
	}
}

// oracle is Σx / n in 4,500 bits, which hold every sum of doubles, rounded by math/big.
func oracle(xs []float64, n int64) (float64, bool) {
	t := new(big.Rat)
	for _, x := range xs {
		t.Add(t, new(big.Rat).SetFloat64(x))
	}
	f, _ := t.Quo(t, new(big.Rat).SetInt64(n)).Float64()
	return f + 0, !math.IsInf(f, 0)
}

func TestSumAgainstBig(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 4000 {
		xs := make([]float64, r.IntN(12))
		for i := range xs {
			if xs[i] = edge(r); i > 0 && r.IntN(4) == 0 {
				xs[i] = -xs[i-1] // cancellation
			}
		}
		parts := make([]Sum, 1+r.IntN(3))
		for _, i := range r.Perm(len(xs)) {
			p := &parts[r.IntN(len(parts))]
			p.Add(xs[i])
			if y := edge(r); r.IntN(3) == 0 {
				p.Add(y)
				parts[0].Sub(y)
			}
		}
		var one, all Sum
		for _, x := range xs {
			one.Add(x)
		}
		for i := range parts {
			if r.IntN(2) == 0 {
				all.Merge(&parts[i])
			} else if err := all.MergeEncoded(parts[i].Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(all.Append(nil), one.Append(nil)) {
			t.Fatalf("bytes of %v: %x and %x", xs, all.Append(nil), one.Append(nil))
		}
		n := []int64{1, 1, int64(len(xs)) + 1, 3, r.Int64N(math.MaxInt64) + 1}[r.IntN(5)]
		got, ok := all.Quo(n)
		want, wantOK := oracle(xs, n)
		if ok != wantOK || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%v / %d = %v, %v; want %v, %v", xs, n, got, ok, want, wantOK)
		}
		parts[0].Reset()
		parts[0].Merge(&all)
		parts[0].Unmerge(&one)
		if b := parts[0].Append(nil); len(b) != 0 {
			t.Fatalf("taken away: %x", b)
		}
	}
}

// Halfway cases: m + ½ulp exactly, and a hair more or less of it far below.
func TestSumHalfway(t *testing.T) {
	for e := -1074; e < 970; e++ {
		ulp := math.Ldexp(1, e)
		for m := range 4 {
			base := (math.Ldexp(1, 52) + float64(m)) * ulp
			for _, hair := range []float64{0, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64} {
				xs := []float64{base, ulp / 2, hair, -base, base}
				var s Sum
				for _, x := range xs {
					s.Add(x)
				}
				got, _ := s.Float64()
				if want, _ := oracle(xs, 1); got != want {
					t.Fatalf("%v: %v, want %v", xs, got, want)
				}
			}
		}
	}
}

func TestSumSpecials(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		add, sub []float64
		want     float64
	}{
		{[]float64{inf, 1}, nil, inf},
		{[]float64{-inf, 1}, nil, -inf},
		{[]float64{inf, -inf}, nil, math.NaN()},
		{[]float64{inf, -inf}, []float64{inf}, -inf},
		{[]float64{math.NaN(), inf, 2}, []float64{math.NaN(), inf}, 2},
		{[]float64{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64}, nil, math.MaxFloat64},
	} {
		var s Sum
		for _, x := range c.add {
			s.Add(x)
		}
		for _, x := range c.sub {
			s.Sub(x)
		}
		if got, ok := s.Float64(); !ok || got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%v less %v = %v, want %v", c.add, c.sub, got, c.want)
		}
	}
	var s Sum
	s.Add(math.MaxFloat64)
	s.Add(math.MaxFloat64)
	if x, ok := s.Float64(); ok {
		t.Errorf("twice the largest double = %v", x)
	}
	var tiny Sum
	tiny.Add(-math.SmallestNonzeroFloat64)
	if x, ok := tiny.Quo(3); !ok || math.Float64bits(x) != 0 {
		t.Errorf("a negative quotient below every double = %v", x)
	}
	if x, ok := s.Quo(2); !ok || x != math.MaxFloat64 {
		t.Errorf("its half = %v", x)
	}
}

func TestDigits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		x := edge(r)
		c, whole, frac := Digits(x)
		m := new(big.Float).SetMantExp(new(big.Float).SetFloat64(x), 1036-32*c)
		v := new(big.Float).SetPrec(200).SetMantExp(new(big.Float).SetInt64(frac), -52)
		if v.Add(v, new(big.Float).SetInt64(whole)); v.Cmp(m) != 0 || frac < 0 || frac >= 1<<52 {
			t.Fatalf("%x: chunk %d, %d, %d", x, c, whole, frac)
		}
	}
}

func TestInt192AgainstBig(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	toBig := func(hi int64, lo uint64) *big.Int {
		b := new(big.Int).Lsh(big.NewInt(hi), 64)
		return b.Add(b, new(big.Int).SetUint64(lo))
	}
	for range 20000 {
		var a Int192
		want := new(big.Int)
		for range r.IntN(8) {
			hi, lo := r.Int64()-r.Int64(), r.Uint64()
			if r.IntN(2) == 0 {
				hi >>= r.IntN(64)
			}
			switch r.IntN(5) {
			case 0:
				a.AddInt64(hi)
				want.Add(want, big.NewInt(hi))
			case 1:
				a.SubInt64(hi)
				want.Sub(want, big.NewInt(hi))
			case 2:
				a.AddInt128(hi, lo)
				want.Add(want, toBig(hi, lo))
			case 3:
				a.SubInt128(hi, lo)
				want.Sub(want, toBig(hi, lo))
			case 4:
				m := r.Uint64() >> (2 + r.IntN(60))
				a.AddMul(hi, lo, m)
				want.Add(want, new(big.Int).Mul(toBig(hi, lo), new(big.Int).SetUint64(m)))
			}
		}
		x, ok := a.Int64()
		if ok != want.IsInt64() || ok && x != want.Int64() {
			t.Fatalf("%v as int64: %d, %v", want, x, ok)
		}
		hi, lo, ok := a.Decimal()
		if ok != (want.CmpAbs(limit) < 0) || ok && toBig(hi, lo).Cmp(want) != 0 {
			t.Fatalf("%v as decimal: %v, %v", want, toBig(hi, lo), ok)
		}
		scale, n := []uint64{1, 100, 1e16}[r.IntN(3)], r.Int64N(math.MaxInt64>>r.IntN(62))+1
		hi, lo, ok = a.QuoDecimal(scale, n)
		p := new(big.Int).Mul(new(big.Int).Abs(want), new(big.Int).SetUint64(2*scale))
		p.Add(p, big.NewInt(n)).Div(p, new(big.Int).Lsh(big.NewInt(n), 1)) // floor(|a|·scale/n + ½)
		if want.Sign() < 0 {
			p.Neg(p)
		}
		if ok != (p.CmpAbs(limit) < 0) || ok && toBig(hi, lo).Cmp(p) != 0 {
			t.Fatalf("%v·%d/%d: %v, %v; want %v", want, scale, n, toBig(hi, lo), ok, p)
		}
		enc := a.AppendMinimal(nil)
		if back, err := Int192OfMinimal(enc); err != nil || back != a {
			t.Fatalf("%v: %x decodes to %v, %v", want, enc, back, err)
		}
		for _, ext := range []byte{0, 0xff} {
			if back, err := Int192OfMinimal(append(enc[:len(enc):len(enc)], ext)); err == nil && back == a {
				t.Fatalf("%v: a redundant byte is accepted", want)
			}
		}
	}
}

// What decodes, encodes to the same bytes; what does not is an error, never a panic.
func FuzzSum(f *testing.F) {
	f.Add([]byte{32, 0x80, 1})
	f.Add([]byte{0, 0, 1, 64, 0x95, 1, 2, 3, 4, 5, 6, 67, 0, 9})
	f.Add([]byte{32, 0xf0, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Sum
		if err := s.MergeEncoded(b); err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Fatal(err)
			}
			return
		}
		if got := s.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x encodes to %x", b, got)
		}
		s.Quo(7)
	})
}

var sink float64

func BenchmarkSum(b *testing.B) {
	xs := make([]float64, 1024)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range xs {
		xs[i] = float64(r.IntN(1_000_000)) / 100
	}
	var s, o Sum
	b.Run("Add", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			s.Add(xs[i&1023])
		}
	})
	b.Run("AddSub", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			s.Sub(xs[(i+7)&1023])
			s.Add(xs[i&1023])
		}
	})
	o.Add(12.34)
	o.Add(1e7)
	b.Run("Merge", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			s.Merge(&o)
		}
	})
	enc := o.Append(nil)
	b.Run("MergeEncoded", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			_ = s.MergeEncoded(enc)
		}
	})
	b.Run("Float64", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			sink, _ = s.Float64()
		}
	})
}
