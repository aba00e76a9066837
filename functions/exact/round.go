package exact

import (
	"math"
	"math/big"
)

// Quotient is num/den·2^e, den ≠ 0, rounded once to the nearest double, ties to even; a zero is +0. ok is false where it is
// beyond the largest double.
func Quotient(num, den *big.Int, e int) (x float64, ok bool) {
	if num.Sign() == 0 {
		return 0, true
	}
	// 130 bits of the quotient are more than round needs.
	shift := max(0, 130-num.BitLen()+den.BitLen())
	q, r := new(big.Int).QuoRem(new(big.Int).Lsh(num, uint(shift)), den, new(big.Int))
	x = round(appendWords(nil, q), e-shift, r.Sign() != 0)
	if q.Sign() < 0 {
		x = 0 - x
	}
	return x, !math.IsInf(x, 0)
}

// Root is the square root of num/den·2^e, num ≥ 0 and den > 0, rounded as Quotient.
func Root(num, den *big.Int, e int) (x float64, ok bool) {
	if num.Sign() == 0 {
		return 0, true
	}
	if e&1 != 0 {
		num, e = new(big.Int).Lsh(num, 1), e-1
	}
	// The root of the quotient, which is brought near 1, is at most one unit in the last place off: the squares of the points
	// half-way to its neighbours say where the exact root is.
	k := (num.BitLen() - den.BitLen()) >> 1
	y, _ := Quotient(num, den, -2*k)
	f, exp := math.Frexp(math.Sqrt(y))
	m := uint64(math.Ldexp(f, 53))
	if m == 1<<52 || k+e/2 < -1000 { // the neighbours are not equally far, or the result has fewer bits
		return slowRoot(num, den, e)
	}
	// against compares the square of half·2^(exp−54) with the number.
	shift := 108 - 2*exp - 2*k
	right := num
	if shift > 0 {
		right = new(big.Int).Lsh(num, uint(shift))
	}
	against := func(half uint64) int {
		a := new(big.Int).SetUint64(half)
		a.Mul(a.Mul(a, a), den)
		if shift < 0 {
			a.Lsh(a, uint(-shift))
		}
		return a.Cmp(right)
	}
	if c := against(2*m + 1); c < 0 || c == 0 && m&1 != 0 {
		m++
	} else if c := against(2*m - 1); c > 0 || c == 0 && m&1 != 0 {
		m--
	}
	x = math.Ldexp(float64(m), exp-53+k+e/2)
	return x, !math.IsInf(x, 0)
}

// slowRoot is Root of an even e by an integer root of 130 bits.
func slowRoot(num, den *big.Int, e int) (x float64, ok bool) {
	// The root of a floor has the floor of the root: 260 bits give 130 of it.
	shift := max(0, 260-num.BitLen()+den.BitLen())
	shift += (e - shift) & 1
	q, r := new(big.Int).QuoRem(new(big.Int).Lsh(num, uint(shift)), den, new(big.Int))
	s := new(big.Int).Sqrt(q)
	more := r.Sign() != 0 || new(big.Int).Mul(s, s).Cmp(q) != 0
	x = round(appendWords(nil, s), (e-shift)/2, more)
	return x, !math.IsInf(x, 0)
}
