package parse

import (
	"math"
	"math/big"
	"strings"
)

// Microseconds of the units that have a fixed length; a day is 86,400 s.
const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	week   = 7 * day
)

const monthHint = "a month has no fixed length: write 30 DAYS"

// unitMicros is the length of a unit of an interval by its PostgreSQL names, 0 for months and longer, -1 for no unit.
func unitMicros(u string) int64 {
	switch u {
	case "us", "usec", "usecs", "usecond", "useconds", "microsecond", "microseconds":
		return 1
	case "ms", "msec", "msecs", "msecond", "mseconds", "millisecond", "milliseconds":
		return 1000
	case "s", "sec", "secs", "second", "seconds":
		return second
	case "m", "min", "mins", "minute", "minutes":
		return minute
	case "h", "hr", "hrs", "hour", "hours":
		return hour
	case "d", "day", "days":
		return day
	case "w", "week", "weeks":
		return week
	case "mon", "mons", "month", "months", "y", "yr", "yrs", "year", "years", "c", "cent", "century", "centuries",
		"decade", "decades", "dec", "decs", "mil", "mils", "millennium", "millennia", "qtr", "quarter", "quarters":
		return 0
	}
	return -1
}

// ParseDuration reads PostgreSQL interval text of fixed length: weeks, days (86,400 s), hours, minutes, seconds and
// smaller, with fractions, signs, "ago", HH:MM[:SS[.f]] and ISO 8601 (P7D, PT36H, P1DT2H). A bare number is seconds.
// Fractions are rounded to microseconds, half away from zero. Errors are *Error without a position: 22007 for text that
// is no interval, 22008 beyond 64 bits, 22023 for months and longer.
func ParseDuration(s string) (int64, error) {
	bad := func() (int64, error) {
		return 0, &Error{Code: codeBadTime, Message: `invalid input syntax for type interval: "` + s + `"`}
	}
	d := durationReader{rest: strings.ToLower(strings.TrimSpace(s))}
	if d.rest == "" || len(d.rest) > 1000 {
		return bad()
	}
	var ok bool
	if d.rest[0] == 'p' {
		d.rest = d.rest[1:]
		ok = d.iso()
	} else {
		ok = d.postgres()
	}
	switch {
	case d.months:
		return 0, &Error{Code: codeParameter, Message: `duration "` + s + `" has months or years`, Hint: monthHint}
	case !ok:
		return bad()
	}
	// Half away from zero, in one rounding of the exact sum.
	num, den := d.sum.Num(), d.sum.Denom()
	twice := new(big.Int).Lsh(new(big.Int).Abs(num), 1)
	twice.Add(twice, den).Quo(twice, new(big.Int).Lsh(den, 1))
	if num.Sign() < 0 {
		twice.Neg(twice)
	}
	if !twice.IsInt64() || twice.Int64() == math.MinInt64 {
		return 0, &Error{Code: "22008", Message: `interval field value out of range: "` + s + `"`}
	}
	return twice.Int64(), nil
}

// durationReader sums the parts of an interval exactly.
type durationReader struct {
	rest   string
	sum    big.Rat
	months bool
}

func (d *durationReader) add(n *big.Rat, micros int64) {
	d.sum.Add(&d.sum, new(big.Rat).Mul(n, new(big.Rat).SetInt64(micros)))
}

// number takes [sign] digits [. digits]. The length of the whole text bounds it; there is no exponent.
func (d *durationReader) number() (*big.Rat, bool) {
	i, digits := 0, 0
	if i < len(d.rest) && (d.rest[i] == '-' || d.rest[i] == '+') {
		i++
	}
	for dot := false; i < len(d.rest); i++ {
		switch c := d.rest[i]; {
		case '0' <= c && c <= '9':
			digits++
			continue
		case c == '.' && !dot:
			dot = true
			continue
		}
		break
	}
	if digits == 0 {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(strings.TrimSuffix(strings.TrimPrefix(d.rest[:i], "+"), "."))
	d.rest = d.rest[i:]
	return r, ok
}

func (d *durationReader) letters() string {
	i := 0
	for i < len(d.rest) && 'a' <= d.rest[i] && d.rest[i] <= 'z' {
		i++
	}
	w := d.rest[:i]
	d.rest = d.rest[i:]
	return w
}

func (d *durationReader) iso() bool {
	clock, parts := false, 0
	for d.rest != "" {
		if d.rest[0] == 't' && !clock {
			clock = true
			d.rest = d.rest[1:]
			if d.rest == "" {
				return false
			}
			continue
		}
		n, ok := d.number()
		if !ok || d.rest == "" {
			return false
		}
		u := d.rest[0]
		d.rest = d.rest[1:]
		parts++
		switch {
		case !clock && u == 'w':
			d.add(n, week)
		case !clock && u == 'd':
			d.add(n, day)
		case clock && u == 'h':
			d.add(n, hour)
		case clock && u == 'm':
			d.add(n, minute)
		case clock && u == 's':
			d.add(n, second)
		case !clock && (u == 'm' || u == 'y'):
			d.months = true
		default:
			return false
		}
	}
	return parts > 0
}

func (d *durationReader) postgres() bool {
	d.rest = strings.TrimSpace(strings.TrimPrefix(d.rest, "@"))
	parts, clock := 0, false
	for d.rest != "" {
		if parts > 0 && d.rest == "ago" {
			d.sum.Neg(&d.sum)
			return true
		}
		sign := d.rest[0]
		n, ok := d.number()
		if !ok {
			return false
		}
		parts++
		if strings.HasPrefix(d.rest, ":") {
			if clock || !d.clock(n, sign == '-') {
				return false
			}
			clock = true
		} else {
			d.rest = strings.TrimLeft(d.rest, " \t\n")
			w := d.letters()
			switch u := unitMicros(w); {
			case w == "" && d.rest == "":
				// A trailing bare number is seconds, and only alone: "7 days 3" would be a slip of the pen.
				if parts > 1 {
					return false
				}
				d.add(n, second)
			case u < 0:
				return false
			case u == 0:
				d.months = true
			default:
				d.add(n, u)
			}
		}
		d.rest = strings.TrimLeft(d.rest, " \t\n,")
	}
	return parts > 0
}

// clock takes :MM[:SS[.f]] after the hours h.
func (d *durationReader) clock(h *big.Rat, negative bool) bool {
	if !h.IsInt() {
		return false
	}
	total := new(big.Rat).Mul(new(big.Rat).Abs(h), new(big.Rat).SetInt64(hour))
	for i, unit := range []int64{minute, second} {
		if !strings.HasPrefix(d.rest, ":") {
			if i == 0 {
				return false
			}
			break
		}
		d.rest = d.rest[1:]
		if d.rest == "" || d.rest[0] == '-' || d.rest[0] == '+' {
			return false
		}
		n, ok := d.number()
		if !ok || n.Cmp(big.NewRat(60, 1)) >= 0 || (unit == minute && !n.IsInt()) {
			return false
		}
		total.Add(total, n.Mul(n, new(big.Rat).SetInt64(unit)))
	}
	if negative {
		total.Neg(total)
	}
	d.sum.Add(&d.sum, total)
	return true
}
