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
	// The root of a floor has the floor of the root: 260 bits give 130 of it.
	shift := max(0, 260-num.BitLen()+den.BitLen())
	shift += (e - shift) & 1
	q, r := new(big.Int).QuoRem(new(big.Int).Lsh(num, uint(shift)), den, new(big.Int))
	s := new(big.Int).Sqrt(q)
	more := r.Sign() != 0 || new(big.Int).Mul(s, s).Cmp(q) != 0
	x = round(appendWords(nil, s), (e-shift)/2, more)
	return x, !math.IsInf(x, 0)
}
