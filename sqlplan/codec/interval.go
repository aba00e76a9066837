package codec

import (
	"math"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// appendInterval writes an interval in a style, as PostgreSQL's EncodeInterval.
func appendInterval(dst []byte, months, days int32, us int64, style IntervalStyle) []byte {
	year, mon := int64(months)/12, int64(months)%12
	switch style {
	case StyleISO8601:
		return appendISOInterval(dst, year, mon, int64(days), us)
	case StylePostgresVerbose:
		return appendVerboseInterval(dst, year, mon, int64(days), us)
	case StyleSQLStandard:
		return appendSQLInterval(dst, year, mon, int64(days), us)
	case StylePostgres:
	}
	empty, before := true, false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if !empty {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(append(dst, ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		empty, before = false, n < 0
	}
	part(year, "year")
	part(mon, "mon")
	part(int64(days), "day")
	if us == 0 && !empty {
		return dst
	}
	if !empty {
		dst = append(dst, ' ')
	}
	switch {
	case us < 0:
		dst = append(dst, '-')
	case before:
		dst = append(dst, '+')
	}
	return appendHours(dst, us, true)
}

// appendHours writes |us| as [H]H:MM:SS.
func appendHours(dst []byte, us int64, pad bool) []byte {
	u := uint64(us)
	if us < 0 {
		u = -u
	}
	s := u / 1e6
	if h := s / 3600; h < 10 && pad {
		dst = append(dst, '0')
	}
	dst = strconv.AppendUint(dst, s/3600, 10)
	dst = append2(append(dst, ':'), int64(s/60%60))
	dst = append2(append(dst, ':'), int64(s%60))
	return appendFraction(dst, int64(u%1e6))
}

// timeParts splits microseconds into hours, minutes, seconds and microseconds, all of the sign of us.
func timeParts(us int64) (h, m, s, f int64) {
	return us / 3_600_000_000, us / 60_000_000 % 60, us / microsPerSecond % 60, us % microsPerSecond
}

// appendSeconds writes seconds and a fraction of one sign.
func appendSeconds(dst []byte, s, f int64) []byte {
	if s < 0 || f < 0 {
		dst = append(dst, '-')
		s, f = -s, -f
	}
	return appendFraction(strconv.AppendInt(dst, s, 10), f)
}

func appendISOInterval(dst []byte, year, mon, day, us int64) []byte {
	if year == 0 && mon == 0 && day == 0 && us == 0 {
		return append(dst, "PT0S"...)
	}
	part := func(n int64, unit byte) {
		if n != 0 {
			dst = append(strconv.AppendInt(dst, n, 10), unit)
		}
	}
	dst = append(dst, 'P')
	part(year, 'Y')
	part(mon, 'M')
	part(day, 'D')
	if us != 0 {
		h, m, s, f := timeParts(us)
		dst = append(dst, 'T')
		part(h, 'H')
		part(m, 'M')
		if s != 0 || f != 0 {
			dst = append(appendSeconds(dst, s, f), 'S')
		}
	}
	return dst
}

func appendVerboseInterval(dst []byte, year, mon, day, us int64) []byte {
	dst = append(dst, '@')
	empty, before := true, false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if empty {
			before = n < 0
		}
		if before {
			n = -n
		}
		dst = strconv.AppendInt(append(dst, ' '), n, 10)
		dst = append(append(dst, ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		empty = false
	}
	part(year, "year")
	part(mon, "mon")
	part(day, "day")
	h, m, s, f := timeParts(us)
	part(h, "hour")
	part(m, "min")
	if s != 0 || f != 0 {
		if empty {
			before = s < 0 || f < 0
		}
		if before {
			s, f = -s, -f
		}
		dst = append(appendSeconds(append(dst, ' '), s, f), " sec"...)
		if s != 1 && s != -1 || f != 0 {
			dst = append(dst, 's')
		}
		empty = false
	}
	if empty {
		dst = append(dst, " 0"...)
	}
	if before {
		dst = append(dst, " ago"...)
	}
	return dst
}

func appendSQLInterval(dst []byte, year, mon, day, us int64) []byte {
	negative := year < 0 || mon < 0 || day < 0 || us < 0
	positive := year > 0 || mon > 0 || day > 0 || us > 0
	yearMonth, dayTime := year != 0 || mon != 0, day != 0 || us != 0
	sign := func(n int64) byte {
		if n < 0 {
			return '-'
		}
		return '+'
	}
	abs := func(n int64) int64 { return max(n, -n) }
	yearPart := func() {
		dst = strconv.AppendInt(dst, abs(year), 10)
		dst = strconv.AppendInt(append(dst, '-'), abs(mon), 10)
	}
	switch {
	case !negative && !positive:
		return append(dst, '0')
	case negative && positive || yearMonth && dayTime:
		dst = append(dst, sign(min(year, mon)))
		yearPart()
		dst = strconv.AppendInt(append(dst, ' ', sign(day)), abs(day), 10)
		return appendHours(append(dst, ' ', sign(us)), us, false)
	}
	if negative {
		dst = append(dst, '-')
	}
	switch {
	case yearMonth:
		yearPart()
		return dst
	case day != 0:
		dst = append(strconv.AppendInt(dst, abs(day), 10), ' ')
	}
	return appendHours(dst, us, false)
}

// span accumulates an interval; bad is set when a field overflows.
type span struct {
	months, days int64
	us           int64
	bad          bool
	seen         uint32 // the units given: each may be given once
}

func (p *span) addMicros(n float64) {
	n = math.RoundToEven(n)
	if math.Abs(n) > 9.2e18 {
		p.bad = true
		return
	}
	x := int64(n)
	if sum := p.us + x; (sum < p.us) != (x < 0) {
		p.bad = true
	} else {
		p.us = sum
	}
}

// addWhole adds n whole units of size microseconds, without a detour over doubles.
func (p *span) addWhole(n, size int64) {
	if n > math.MaxInt64/size || n < -math.MaxInt64/size {
		p.bad = true
		return
	}
	x := n * size
	if sum := p.us + x; (sum < p.us) != (x < 0) && x != 0 {
		p.bad = true
	} else {
		p.us = sum
	}
}

func (p *span) addDays(n float64) {
	whole := math.Trunc(n)
	p.days += int64(whole)
	p.addMicros((n - whole) * float64(microsPerDay))
}

// unit is a unit of intervals: whole months, whole days, or microseconds.
type unit struct {
	months, days, us int64
	bit              uint32 // its own in span.seen
}

// Bits of units that are needed by name.
const (
	bitMicro = 1 << iota
	bitMilli
	bitSecond
	bitMinute
	bitHour
	bitDay
	bitMonth
	bitOther
	bitSeconds = bitMicro | bitMilli | bitSecond
	bitClock   = bitSeconds | bitMinute | bitHour
)

var units = func() map[string]unit {
	m := map[string]unit{}
	add := func(u unit, names string) {
		for _, n := range strings.Fields(names) {
			m[n] = u
		}
	}
	add(unit{us: 1, bit: bitMicro}, "us usec usecs usecond useconds microsecon microsecond microseconds")
	add(unit{us: 1000, bit: bitMilli}, "ms msec msecs msecond mseconds millisecon millisecond milliseconds")
	add(unit{us: 1e6, bit: bitSecond}, "s sec secs second seconds")
	add(unit{us: 60e6, bit: bitMinute}, "m min mins minute minutes")
	add(unit{us: 3600e6, bit: bitHour}, "h hr hrs hour hours")
	add(unit{days: 1, bit: bitDay}, "d day days")
	add(unit{days: 7, bit: bitOther}, "w week weeks")
	add(unit{months: 1, bit: bitMonth}, "mon mons month months")
	add(unit{months: 12, bit: bitOther << 1}, "y yr yrs year years")
	add(unit{months: 120, bit: bitOther << 2}, "dec decs decade decades")
	add(unit{months: 1200, bit: bitOther << 3}, "c cent century centuries")
	add(unit{months: 12000, bit: bitOther << 4}, "mil mils millennia millennium")
	return m
}()

// claim notes that a unit is given; false says that it was before, which PostgreSQL refuses.
func (p *span) claim(bits uint32) bool {
	again := p.seen&bits != 0
	p.seen |= bits
	return !again
}

// add adds sign·(whole.frac) units. A fraction of a year becomes months, of a month days of which a month has 30, of a day time.
func (p *span) add(negative bool, whole int64, frac float64, u unit) {
	if u.us == 0 && whole > math.MaxInt32 {
		p.bad = true
		return
	}
	if negative {
		whole, frac = -whole, -frac
	}
	switch {
	case u.us > 0:
		p.addWhole(whole, u.us)
		p.addMicros(frac * float64(u.us))
	case u.days > 0:
		p.days += whole * u.days
		p.addDays(frac * float64(u.days))
	case u.months == 1:
		p.months += whole
		p.addDays(frac * 30)
	default:
		p.months += whole*u.months + int64(math.RoundToEven(frac*float64(u.months)))
	}
}

// parseInterval reads interval_in's spellings: PostgreSQL's, SQL's and ISO 8601's with designators.
func parseInterval(t vector.Type, in []byte) (months, days int32, us int64, err error) {
	if len(in) > maxTimeText {
		return 0, 0, 0, badSyntax(t, in)
	}
	b := trimSpace(in)
	var p span
	ok := false
	if len(b) > 0 && (b[0] == 'P' || b[0] == 'p') {
		ok = p.iso(b[1:])
	} else {
		ok = p.words(b)
	}
	if !ok {
		return 0, 0, 0, badSyntax(t, in)
	}
	if !p.bad && p.months != int64(int32(p.months)) {
		return 0, 0, 0, &Error{Code: "22008", Message: "interval out of range"}
	}
	if p.bad || p.days != int64(int32(p.days)) {
		return 0, 0, 0, &Error{Code: "22015", Message: "interval field value out of range: " + quoted(in)}
	}
	return int32(p.months), int32(p.days), p.us, nil
}

// quantity reads [sign]digits[.digits]; n is 0 where there is none.
func quantity(b []byte) (negative bool, whole int64, frac float64, n int, overflow bool) {
	i := 0
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		negative = b[i] == '-'
		i++
	}
	start := i
	for i < len(b) && isDigit(b[i]) {
		d := int64(b[i] - '0')
		if whole > (math.MaxInt64-d)/10 {
			overflow = true
		} else {
			whole = whole*10 + d
		}
		i++
	}
	seen := i - start
	if i < len(b) && b[i] == '.' {
		j := i
		for i++; i < len(b) && isDigit(b[i]); i++ {
			seen++
		}
		frac, _ = strconv.ParseFloat("0"+string(b[j:i]), 64)
	}
	if seen == 0 {
		return false, 0, 0, 0, false
	}
	return negative, whole, frac, i, overflow
}

// iso reads what follows the P of 'P1Y2M3DT4H5M6.7S' or 'P1W'.
func (p *span) iso(b []byte) bool {
	inTime, seen := false, false
	for len(b) > 0 {
		if b[0] == 'T' || b[0] == 't' {
			if inTime {
				return false
			}
			inTime, seen = true, false
			b = b[1:]
			continue
		}
		neg, whole, frac, n, over := quantity(b)
		if n == 0 || n >= len(b) {
			return false
		}
		p.bad = p.bad || over
		c := b[n]
		b = b[n+1:]
		u, ok := unit{}, true
		switch {
		case !inTime && (c == 'Y' || c == 'y'):
			u.months = 12
		case !inTime && (c == 'M' || c == 'm'):
			u.months = 1
		case !inTime && (c == 'W' || c == 'w'):
			u.days = 7
		case !inTime && (c == 'D' || c == 'd'):
			u.days = 1
		case inTime && (c == 'H' || c == 'h'):
			u.us = 3600e6
		case inTime && (c == 'M' || c == 'm'):
			u.us = 60e6
		case inTime && (c == 'S' || c == 's'):
			u.us = 1e6
		default:
			ok = false
		}
		if !ok {
			return false
		}
		p.add(neg, whole, frac, u)
		seen = true
	}
	return seen
}

// words reads '1 year -2 mons 3 days 04:05:06.7 ago', '1-2', '3 4:05:06' and '5'.
func (p *span) words(b []byte) bool {
	seen, ago := false, false
	for i := 0; i < len(b); {
		c := b[i]
		if isSpace(c) || c == '@' && !seen {
			i++
			continue
		}
		if isLetter(c) {
			if !seen || !isWord(trimSpace(b[i:]), "ago") {
				return false
			}
			ago = true
			break
		}
		sign := i
		if (c == '+' || c == '-') && i+1 < len(b) && isSpace(b[i+1]) {
			return false
		}
		neg, whole, frac, n, over := quantity(b[i:])
		if n == 0 {
			return false
		}
		p.bad = p.bad || over
		i += n
		if i < len(b) && b[i] == ':' && frac == 0 {
			used, ok := p.clock(b[sign:])
			if !ok || !p.claim(bitClock) {
				return false
			}
			i, seen = sign+used, true
			continue
		}
		if i+1 < len(b) && b[i] == '-' && isDigit(b[i+1]) && frac == 0 {
			_, mon, _, used, _ := quantity(b[i+1:])
			if mon > 11 {
				p.bad = true
			}
			if !p.claim(bitMonth) {
				return false
			}
			p.add(neg, whole, 0, unit{months: 12})
			p.add(neg, mon, 0, unit{months: 1})
			i, seen = i+1+used, true
			continue
		}
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		j := i
		for j < len(b) && isLetter(b[j]) {
			j++
		}
		switch w := strings.ToLower(string(b[i:j])); {
		case j > i && w != "ago":
			u, ok := units[w]
			bits := u.bit
			if bits == bitSecond && frac != 0 {
				bits = bitSeconds
			}
			if !ok || !p.claim(bits) {
				return false
			}
			p.add(neg, whole, frac, u)
			i = j
		case j == i && i < len(b):
			// A bare number before a clock counts days: '3 4:05:06'.
			if !hasClock(b[i:]) || !p.claim(bitDay) {
				return false
			}
			p.add(neg, whole, frac, unit{days: 1})
		default:
			if !p.claim(bitSecond) {
				return false
			}
			p.add(neg, whole, frac, unit{us: 1e6})
		}
		seen = true
	}
	if ago {
		p.months, p.days, p.us = -p.months, -p.days, -p.us
	}
	return seen
}

// hasClock reports whether b starts with a signed number and a colon.
func hasClock(b []byte) bool {
	_, _, frac, n, _ := quantity(b)
	return n > 0 && frac == 0 && n < len(b) && b[n] == ':'
}

// clock reads [sign]H:MM[:SS[.f]] and returns its length.
func (p *span) clock(b []byte) (int, bool) {
	neg, h, _, i, over := quantity(b)
	p.bad = p.bad || over
	var rest [2]int64
	k := 0
	for k < 2 && i < len(b) && b[i] == ':' {
		j := i + 1
		for i = j; i < len(b) && isDigit(b[i]); i++ {
		}
		if i == j {
			return 0, false
		}
		rest[k] = digitsValue(b[j:i])
		k++
	}
	us := int64(0)
	if i < len(b) && b[i] == '.' {
		j := i + 1
		for i = j; i < len(b) && isDigit(b[i]); i++ {
		}
		us = fractionMicros(b[j:i])
		if k == 1 {
			h, rest[0], rest[1] = 0, h, rest[0]
		}
	}
	if rest[0] > 59 || rest[1] > 60 {
		p.bad = true
	}
	p.add(neg, h, 0, unit{us: 3600e6})
	p.add(neg, rest[0], 0, unit{us: 60e6})
	p.add(neg, rest[1], 0, unit{us: 1e6})
	p.add(neg, us, 0, unit{us: 1})
	return i, true
}
