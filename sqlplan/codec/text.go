package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	mathbits "math/bits"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// AppendText appends value i of v, which is not NULL, as PostgreSQL's output function writes it.
func AppendText(dst []byte, v *vector.Vector, i int, s *Settings) []byte {
	if v.Type.Shown != 0 {
		if isVector(v.Type) {
			return appendVectorText(dst, v, i)
		}
		if v.Type.Kind == vector.Int64 && len(v.Child) == 1 { // an object id with its name
			return append(dst, v.Child[0].Bytes(i)...)
		}
		if v.Type.Kind == vector.Text && s != Defaults {
			if t, multi := RangeOf(v.Type.Shown); t != nil && t.Kind != vector.Text && t.Kind != vector.Int32 && t.Kind != vector.Int64 {
				return append(dst, t.shownRange(string(v.Bytes(i)), multi, s)...)
			}
			if s.FloatDigits < 0 && Geometric(v.Type.Shown) {
				if g, err := ParseShape(v.Type.Shown, string(v.Bytes(i))); err == nil {
					return append(dst, g.Text(s)...)
				}
			}
			if IsArray(v.Type.Shown) {
				return append(dst, shownArray(string(v.Bytes(i)), v.Type.Shown, s)...)
			}
		}
	}
	switch v.Type.Kind {
	case vector.Bool:
		if v.I64[i] != 0 {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case vector.Int16, vector.Int32, vector.Int64:
		return strconv.AppendInt(dst, v.I64[i], 10)
	case vector.Float32:
		return appendFloat(dst, v.F64[i], 32, s)
	case vector.Float64:
		return appendFloat(dst, v.F64[i], 64, s)
	case vector.Decimal:
		return appendDecimal(dst, v.I128[i], int(v.Type.Scale))
	case vector.Text, vector.JSON:
		return append(dst, v.Bytes(i)...)
	case vector.Bytes:
		return appendBytea(dst, v.Bytes(i), s.ByteaEscape)
	case vector.UUID:
		return appendUUID(dst, v.Bytes(i))
	case vector.Date:
		if s.Dates != DatesISO {
			return appendStyledDate(dst, v.I64[i], s)
		}
		return appendDate(dst, v.I64[i])
	case vector.Time:
		return appendTime(dst, v.I64[i])
	case vector.Timestamp:
		if s.Dates != DatesISO {
			return appendStyledTimestamp(dst, v.I64[i], false, s)
		}
		return appendTimestamp(dst, v.I64[i], ' ')
	case vector.TimestampTZ:
		if s.Dates != DatesISO {
			return appendStyledTimestamp(dst, v.I64[i], true, s)
		}
		return appendTimestampTZ(dst, v.I64[i], s.zone(), ' ', false)
	case vector.Interval:
		m, d, us := IntervalParts(v.Bytes(i))
		return appendInterval(dst, m, d, us, s.Intervals)
	case vector.List:
		if isArray(v.Type) {
			return appendArray(dst, v, i, s)
		}
		return appendJSON(dst, v, i, s)
	case vector.Map:
		return appendJSON(dst, v, i, s)
	case vector.Null, vector.Invalid:
	}
	panic(fmt.Sprintf("codec: %s has no text", v.Type))
}

// IntervalParts reads the 16 bytes of an Interval value.
func IntervalParts(b []byte) (months, days int32, micros int64) {
	return int32(binary.LittleEndian.Uint32(b)), int32(binary.LittleEndian.Uint32(b[4:])), int64(binary.LittleEndian.Uint64(b[8:]))
}

// AppendIntervalParts appends the 16 bytes of an Interval value.
func AppendIntervalParts(dst []byte, months, days int32, micros int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(months))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(days))
	return binary.LittleEndian.AppendUint64(dst, uint64(micros))
}

// appendFloat writes x as float8out (bits 64) or float4out (bits 32) does.
func appendFloat(dst []byte, x float64, bits int, s *Settings) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	case x == 0:
		if math.Signbit(x) {
			dst = append(dst, '-')
		}
		return append(dst, '0')
	}
	limit, digits := 15, 16
	if bits == 32 {
		limit, digits = 6, 7
	}
	var buf [32]byte
	var e []byte
	if s.FloatDigits < 0 {
		// printf's %.*g: that many digits, trailing zeros dropped, exponent form from 10^digits.
		digits = max(digits+s.FloatDigits, 1)
		limit = digits
		e = strconv.AppendFloat(buf[:0], x, 'e', digits-1, 64)
	} else {
		e = strconv.AppendFloat(buf[:0], x, 'e', -1, bits)
		if onBoundary(x, bits, e) {
			// PostgreSQL does not trust a reader to round a tie to even, so a decimal that lies exactly between two floats
			// is no output for either: the next digits decide.
			for p := 1; p < 18; p++ {
				e = strconv.AppendFloat(buf[:0], x, 'e', p, bits)
				if back, err := strconv.ParseFloat(string(e), bits); err == nil && back == x && !onBoundary(x, bits, e) {
					break
				}
			}
		} else {
			evenTie(x, e)
		}
	}
	return layoutFloat(dst, e, limit)
}

// evenTie makes the last digit of the shortest form e even where x lies exactly between e and the decimal below, as PostgreSQL
// rounds. Only a float with few bits after the point, or an integer too large to be written whole, can.
func evenTie(x float64, e []byte) {
	mark := bytes.IndexByte(e, 'e')
	if (e[mark-1]-'0')%2 == 0 {
		return
	}
	b := math.Float64bits(x)
	exp := int(b>>52&0x7ff) - 1075
	if places := -(exp + mathbits.TrailingZeros64(b|1<<52)); places > 25 || places <= 0 && math.Abs(x) < 1<<24 {
		return
	}
	digits := mark - 1
	if e[0] == '-' {
		digits--
	}
	digits = max(digits, 1)
	var buf [40]byte
	next := strconv.AppendFloat(buf[:0], x, 'e', digits, 64)
	if next[bytes.IndexByte(next, 'e')-1] != '5' {
		return
	}
	// The form with one digit more rounds correctly, so it must be compared with x itself.
	if dec, ok := new(big.Rat).SetString(string(next)); ok && dec.Cmp(new(big.Rat).SetFloat64(x)) == 0 {
		if up, err := strconv.ParseFloat(string(e), 64); err == nil && math.Abs(up) > math.Abs(x) {
			e[mark-1]--
		}
	}
}

// layoutFloat rewrites d.ddde±xx as PostgreSQL lays it out: fixed for exponents in [−4, limit), else exponent form.
func layoutFloat(dst, e []byte, limit int) []byte {
	if e[0] == '-' {
		dst = append(dst, '-')
		e = e[1:]
	}
	mark := len(e) - 1
	for e[mark] != 'e' {
		mark--
	}
	exp, _ := strconv.Atoi(string(e[mark+1:]))
	var digits [24]byte
	d := append(digits[:0], e[0])
	if mark > 2 {
		d = append(d, e[2:mark]...)
	}
	for len(d) > 1 && d[len(d)-1] == '0' {
		d = d[:len(d)-1]
	}
	switch {
	case exp < -4 || exp >= limit:
		dst = append(dst, d[0])
		if len(d) > 1 {
			dst = append(append(dst, '.'), d[1:]...)
		}
		dst = append(dst, 'e')
		if exp < 0 {
			dst, exp = append(dst, '-'), -exp
		} else {
			dst = append(dst, '+')
		}
		if exp < 10 {
			dst = append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(exp), 10)
	case exp < 0:
		dst = append(dst, "0.0000"[:1-exp]...)
		return append(dst, d...)
	}
	for i := 0; i <= exp || i < len(d); i++ {
		if i == exp+1 {
			dst = append(dst, '.')
		}
		if i < len(d) {
			dst = append(dst, d[i])
		} else {
			dst = append(dst, '0')
		}
	}
	return dst
}

// onBoundary reports whether the decimal e lies exactly half way between x and a neighbouring float. That takes a float
// whose half way points have no more digits than the shortest form: integers, or nearly, that are not too large.
func onBoundary(x float64, bits int, e []byte) bool {
	x = math.Abs(x)
	if bits == 64 && (x < 1<<50 || x > 1e42) || bits == 32 && (x < 1<<20 || x > 1e22) {
		return false
	}
	if e[0] == '-' {
		e = e[1:]
	}
	dec, ok := new(big.Rat).SetString(string(e))
	if !ok {
		return false
	}
	var up, down float64
	if bits == 64 {
		up, down = math.Nextafter(x, math.Inf(1)), math.Nextafter(x, 0)
	} else {
		up, down = float64(math.Nextafter32(float32(x), float32(math.Inf(1)))), float64(math.Nextafter32(float32(x), 0))
	}
	dec.Add(dec, dec)
	at := new(big.Rat).SetFloat64(x)
	for _, n := range []float64{up, down} {
		if mid := new(big.Rat).SetFloat64(n); mid != nil && mid.Add(mid, at).Cmp(dec) == 0 {
			return true
		}
	}
	return false
}

func appendBytea(dst, b []byte, escape bool) []byte {
	if !escape {
		return hex.AppendEncode(append(dst, '\\', 'x'), b)
	}
	for _, c := range b {
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func appendUUID(dst, b []byte) []byte {
	for i, g := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[g[0]:g[1]])
	}
	return dst
}

// appendArray writes a list as array_out does: {a,"b c",NULL}.
func appendArray(dst []byte, v *vector.Vector, i int, s *Settings) []byte {
	dst = append(dst, '{')
	c := v.Child[0]
	for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
		if j > int(v.Off[i]) {
			dst = append(dst, ',')
		}
		if c.IsNull(j) {
			dst = append(dst, "NULL"...)
			continue
		}
		at := len(dst)
		dst = AppendText(dst, c, j, s)
		if needsQuotes(dst[at:]) {
			dst = quoteElement(dst, at)
		}
	}
	return append(dst, '}')
}

func needsQuotes(b []byte) bool {
	if len(b) == 0 || len(b) == 4 && isWord(b, "null") {
		return true
	}
	for _, c := range b {
		switch c {
		case '{', '}', ',', '"', '\\', ' ', '\t', '\n', '\r', '\v', '\f':
			return true
		}
	}
	return false
}

// quoteElement puts dst[at:] in double quotes, in place.
func quoteElement(dst []byte, at int) []byte {
	extra := 2
	for _, c := range dst[at:] {
		if c == '"' || c == '\\' {
			extra++
		}
	}
	r := len(dst) - 1
	for range extra {
		dst = append(dst, 0)
	}
	w := len(dst) - 1
	dst[w] = '"'
	for w--; r >= at; r-- {
		dst[w] = dst[r]
		w--
		if dst[r] == '"' || dst[r] == '\\' {
			dst[w] = '\\'
			w--
		}
	}
	dst[at] = '"'
	return dst
}

// isWord compares b with a word in lower case, ignoring ASCII case.
func isWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 32
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
