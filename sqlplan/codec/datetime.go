package codec

import (
	"math"
	"strconv"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

const (
	microsPerSecond = int64(1_000_000)
	microsPerDay    = 86_400 * microsPerSecond

	// pgEpochDays and pgEpochMicros are 2000-01-01, from which PostgreSQL's binary dates and timestamps count.
	pgEpochDays   = int64(10957)
	pgEpochMicros = pgEpochDays * microsPerDay
)

// The ranges of PostgreSQL: from 4714-11-24 BC (both), dates to 5874897-12-31, timestamps to the end of 294246, the last
// whole year that microseconds since 1970 hold.
var (
	minDay    = daysOf(-4713, 11, 24)
	maxDay    = daysOf(5874897, 12, 31)
	minMicros = minDay * microsPerDay
	maxMicros = daysOf(294247, 1, 1)*microsPerDay - 1
)

// daysOf is the number of days from 1970-01-01 to a date of the proleptic Gregorian calendar; year 0 is 1 BC.
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) (year, month, day int64) {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func append2(dst []byte, n int64) []byte { return append(dst, '0'+byte(n/10%10), '0'+byte(n%10)) }

// appendYMD writes the date without the BC mark; bc says that one is due.
func appendYMD(dst []byte, days int64) (out []byte, bc bool) {
	y, m, d := dateOf(days)
	if bc = y <= 0; bc {
		y = 1 - y
	}
	if y < 10000 {
		dst = append2(append2(dst, y/100), y%100)
	} else {
		dst = strconv.AppendInt(dst, y, 10)
	}
	dst = append2(append(dst, '-'), m)
	return append2(append(dst, '-'), d), bc
}

func appendInfinity(dst []byte, x int64) ([]byte, bool) {
	switch x {
	case vector.PosInfinity:
		return append(dst, "infinity"...), true
	case vector.NegInfinity:
		return append(dst, "-infinity"...), true
	}
	return dst, false
}

func appendDate(dst []byte, days int64) []byte {
	if out, ok := appendInfinity(dst, days); ok {
		return out
	}
	dst, bc := appendYMD(dst, days)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendClock writes microseconds since midnight, the fraction without trailing zeros.
func appendClock(dst []byte, us int64) []byte {
	s := us / microsPerSecond
	dst = append2(dst, s/3600)
	dst = append2(append(dst, ':'), s/60%60)
	dst = append2(append(dst, ':'), s%60)
	return appendFraction(dst, us%microsPerSecond)
}

func appendFraction(dst []byte, us int64) []byte {
	if us == 0 {
		return dst
	}
	var f [7]byte
	f[0] = '.'
	for i := 6; i > 0; i-- {
		f[i] = '0' + byte(us%10)
		us /= 10
	}
	n := 7
	for f[n-1] == '0' {
		n--
	}
	return append(dst, f[:n]...)
}

func appendTime(dst []byte, us int64) []byte { return appendClock(dst, us) }

func appendTimestamp(dst []byte, us int64, sep byte) []byte {
	if out, ok := appendInfinity(dst, us); ok {
		return out
	}
	days := floorDiv(us, microsPerDay)
	dst, bc := appendYMD(dst, days)
	dst = appendClock(append(dst, sep), us-days*microsPerDay)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendTimestampTZ writes the time in the zone with its offset; minutes forces them, as JSON has it.
func appendTimestampTZ(dst []byte, us int64, loc *time.Location, sep byte, minutes bool) []byte {
	if out, ok := appendInfinity(dst, us); ok {
		return out
	}
	offset := 0
	if loc != time.UTC {
		_, offset = time.Unix(floorDiv(us, microsPerSecond), 0).In(loc).Zone()
	}
	local := us + int64(offset)*microsPerSecond
	days := floorDiv(local, microsPerDay)
	dst, bc := appendYMD(dst, days)
	dst = appendClock(append(dst, sep), local-days*microsPerDay)
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append2(append(dst, sign), int64(offset/3600))
	if offset%3600 != 0 || minutes {
		dst = append2(append(dst, ':'), int64(offset/60%60))
		if offset%60 != 0 {
			dst = append2(append(dst, ':'), int64(offset%60))
		}
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// utcOf is the instant of a local time in a zone, both microseconds since 1970. A time that the zone skips is read with the
// offset before the gap, one that it has twice with the offset after, as PostgreSQL does.
func utcOf(local int64, loc *time.Location) int64 {
	if loc == time.UTC {
		return local
	}
	sec := floorDiv(local, microsPerSecond)
	t := time.Unix(sec-86400, 0).In(loc)
	_, before := t.Zone()
	_, end := t.ZoneBounds()
	offset := before
	if !end.IsZero() {
		boundary := end.Unix()
		_, after := end.Zone()
		bt, at := sec-int64(before), sec-int64(after)
		switch {
		case bt < boundary && at < boundary:
		case bt > boundary && at >= boundary:
			offset = after
		case bt > at:
		default:
			offset = after
		}
	}
	return local - int64(offset)*microsPerSecond
}

// fractionMicros reads the digits after the point of a second, rounding to the nearest microsecond, ties to even as
// PostgreSQL's arithmetic in doubles has it.
func fractionMicros(digits []byte) int64 {
	if len(digits) <= 6 {
		n := int64(0)
		for i := range 6 {
			n *= 10
			if i < len(digits) {
				n += int64(digits[i] - '0')
			}
		}
		return n
	}
	f, _ := strconv.ParseFloat("0."+string(digits), 64)
	return int64(math.RoundToEven(f * 1e6))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
