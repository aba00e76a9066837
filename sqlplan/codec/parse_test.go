package codec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Short decimals are the doubles that strconv reads, bit by bit, and whatever shortDecimal leaves is not one of them.
func TestShortDecimal(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	read := 0
	for range 200_000 {
		digits := fmt.Sprint(r.Uint64N(uint64(math.Pow10(1 + r.IntN(17)))))
		if at := r.IntN(len(digits) + 3); at <= len(digits) {
			digits = digits[:at] + "." + digits[at:]
		}
		s := []string{"", "-", "+", "", "--", "e"}[r.IntN(6)] + digits + []string{"", "", "", "e3", "."}[r.IntN(5)]
		x, ok := shortDecimal([]byte(s))
		if !ok {
			continue
		}
		read++
		if want, err := strconv.ParseFloat(s, 64); err != nil || math.Float64bits(want) != math.Float64bits(x) {
			t.Fatalf("%q: %v %x, strconv reads %v %x (%v)", s, x, math.Float64bits(x), want, math.Float64bits(want), err)
		}
	}
	if read < 50_000 {
		t.Errorf("only %d numbers were short decimals: the test has lost its point", read)
	}
	for _, s := range []string{"", ".", "-", "+.", "1.2.3", "1e5", "nan", "1 ", "0x1"} {
		if x, ok := shortDecimal([]byte(s)); ok {
			t.Errorf("%q is read as %v", s, x)
		}
	}
	if x, ok := shortDecimal([]byte("-0")); !ok || !math.Signbit(x) {
		t.Errorf("-0 is read as %v", x)
	}
}
