// Package exact holds accumulators whose result does not depend on the order in which values were added, nor on how they
// were split over partial sums, and from which values can be taken away again without a trace.
//
//	Sum     doubles:  {chunk → 128-bit integer} + counts of +Inf, −Inf and NaN, rounded once, when it is read
//	Int192  integers and decimals: a 192-bit integer
//	Fixed   products and powers of any of them: a fixed-point number of the words in use
//
// Quotient and Root turn what is worked out of such sums into a double, rounded once.
//
// # Sum
//
// A finite double x ≠ 0 belongs to chunk c, 0 ≤ c ≤ 64, when 2^(32c−1036) ≤ |x| < 2^(32c−1004); chunk 0 also holds
// everything smaller. It is then an integer of at most 84 bits in units of 2^(32c−1088), and a chunk is the sum of such
// integers in 128 bits. The chunk is a function of the value alone, so equal multisets have equal chunks: no carry moves
// between chunks until the sum is rounded. [2⁻¹², 2²⁰) is chunk 32: amounts of money touch one chunk, rarely two.
//
// # Invariants
//
//   - A chunk overflows only after 2⁴³ values, an Int192 of 128-bit values only after 2⁶³: more than a store holds, so
//     neither checks. Sums read from hostile bytes may wrap; they do not panic.
//   - A chunk that comes back to zero leaves no trace in the encoding. Zeros, of either sign, never leave one.
//
// # Bytes
//
// Minimal integer: two's complement, little-endian, without redundant sign bytes; zero has no bytes.
//
// Sum: its chunks that are not zero, ascending, each
//
//	byte   chunk 0…64; 65, 66, 67: the number of +Inf, −Inf, NaN
//	byte   z<<4 | (n−1): z low bytes of the integer are zero and left out, n bytes follow
//	n      the integer >> 8z, minimal
//
// The encoding has no length of its own: it ends where the bytes end. Decoding accepts canonical encodings only.
//
// The package does not know vectors, SQL or NULL, and does not count values.
package exact
