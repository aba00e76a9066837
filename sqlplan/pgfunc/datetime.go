package pgfunc

import (
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

const (
	usSecond = int64(1_000_000)
	usMinute = 60 * usSecond
	usHour   = 60 * usMinute
	usDay    = 24 * usHour
)

// interval is an interval's months, days and microseconds.
type interval struct{ m, d, us int64 }

func intervalOf(v *vector.Vector, i int) interval {
	m, d, us := codec.IntervalParts(v.Bytes(i))
	return interval{int64(m), int64(d), us}
}

func (x interval) append(out *vector.Vector) {
	out.AppendBytes(codec.AppendIntervalParts(nil, int32(x.m), int32(x.d), x.us))
}

func errInterval() error  { return bad("22008", "interval out of range") }
func errTimestamp() error { return bad("22008", "timestamp out of range") }
func errDate() error      { return bad("22008", "date out of range") }

func (x interval) check() (interval, error) {
	if x.m != int64(int32(x.m)) || x.d != int64(int32(x.d)) {
		return x, errInterval()
	}
	return x, nil
}

func (x interval) plus(y interval) (interval, error) {
	us := x.us + y.us
	if (us > x.us) != (y.us > 0) && y.us != 0 {
		return x, errInterval()
	}
	return interval{x.m + y.m, x.d + y.d, us}.check()
}

func (x interval) minus(y interval) (interval, error) {
	us := x.us - y.us
	if (us < x.us) != (y.us > 0) && y.us != 0 {
		return x, errInterval()
	}
	return interval{x.m - y.m, x.d - y.d, us}.check()
}

// span is what intervals are compared by: months of 30 days, in microseconds.
func (x interval) span() *big.Int {
	s := new(big.Int).Mul(big.NewInt(x.m*30+x.d), big.NewInt(usDay))
	return s.Add(s, big.NewInt(x.us))
}

func (x interval) compare(y interval) int { return x.span().Cmp(y.span()) }

// round6 rounds to microseconds' precision of seconds, as TSROUND.
func round6(x float64) float64 { return math.RoundToEven(x*1e6) / 1e6 }

func (x interval) times(f float64) (interval, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return x, errInterval()
	}
	rm, rd := float64(x.m)*f, float64(x.d)*f
	if math.IsNaN(rm) || rm > math.MaxInt32 || rm < math.MinInt32 || rd > math.MaxInt32 || rd < math.MinInt32 {
		return x, errInterval()
	}
	out := interval{int64(rm), int64(rd), 0}
	monthDays := round6((rm - float64(out.m)) * 30)
	sec := round6((float64(x.d)*f - float64(out.d) + monthDays - float64(int64(monthDays))) * 86400)
	if math.Abs(sec) >= 86400 {
		out.d += int64(sec / 86400)
		sec -= float64(int64(sec/86400) * 86400)
	}
	out.d += int64(monthDays)
	us := math.RoundToEven(float64(x.us)*f + sec*1e6)
	if us >= 9.3e18 || us <= -9.3e18 {
		return x, errInterval()
	}
	out.us = int64(us)
	return out.check()
}

func (x interval) divide(f float64) (interval, error) {
	if f == 0 {
		return x, errZero()
	}
	rm, rd := float64(x.m)/f, float64(x.d)/f
	out := interval{int64(rm), int64(rd), 0}
	monthDays := round6((rm - float64(out.m)) * 30)
	sec := round6((rd - float64(out.d) + monthDays - float64(int64(monthDays))) * 86400)
	if math.Abs(sec) >= 86400 {
		out.d += int64(sec / 86400)
		sec -= float64(int64(sec/86400) * 86400)
	}
	out.d += int64(monthDays)
	us := math.RoundToEven(float64(x.us)/f + sec*1e6)
	if us >= 9.3e18 || us <= -9.3e18 {
		return x, errInterval()
	}
	out.us = int64(us)
	return out.check()
}

// intervalMod applies INTERVAL(p) and fields.
func intervalMod(x interval, mod int32) (interval, error) {
	fields, precision := mod>>16&0x7fff, mod&0xffff
	const year, month, day, hour, minute, second = 1 << 2, 1 << 1, 1 << 3, 1 << 10, 1 << 11, 1 << 12
	switch {
	case fields == 0x7fff:
	case fields == year:
		x = interval{m: x.m / 12 * 12}
	case fields&^(year|month) == 0:
		x = interval{m: x.m}
	case fields == day:
		x.us = 0
	case fields&second != 0:
	case fields&minute != 0:
		x.us = x.us / usMinute * usMinute
	case fields&hour != 0:
		x.us = x.us / usHour * usHour
	}
	if precision < 6 {
		unit := int64(math.Pow10(6 - int(precision)))
		x.us = roundTo(x.us, unit)
	}
	return x, nil
}

// roundTo rounds to a multiple of unit, halves away from zero.
func roundTo(x, unit int64) int64 {
	if x >= 0 {
		return (x + unit/2) / unit * unit
	}
	return -((-x + unit/2) / unit * unit)
}

// Moments: microseconds since 1970 of no zone.

func finite(us int64) bool { return us != vector.PosInfinity && us != vector.NegInfinity }

// civil are the parts of a moment.
type civil struct {
	y       int64
	m, d    int
	us      int64 // of the day
	weekday int
	yday    int
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func civilOf(us int64) civil {
	days := floorDiv(us, usDay)
	c := civilDay(days)
	c.us = us - days*usDay
	return c
}

func civilDay(days int64) civil {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	y := yoe + era*400
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	c := civil{d: int(doy - (153*mp+2)/5 + 1)}
	if mp < 10 {
		c.m = int(mp + 3)
	} else {
		c.m = int(mp - 9)
		y++
	}
	c.y = y
	c.weekday = int(((days+4)%7 + 7) % 7)
	c.yday = int(days-dayOf(y, 1, 1)) + 1
	return c
}

// dayOf is the day number of a date.
func dayOf(y int64, m, d int) int64 {
	if m <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	mp := int64((m + 9) % 12)
	doy := (153*mp+2)/5 + int64(d) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

func daysIn(y int64, m int) int {
	if m == 2 {
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return [...]int{31, 0, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m-1]
}

// Bounds of timestamps: 4713-11-24 BC to 294247-01-10, the last that 64 bits of microseconds since 1970 hold. PostgreSQL counts
// from 2000, and so has 30 years more.
var (
	minTimestamp = dayOf(-4713, 11, 24) * usDay
	maxTimestamp = int64(math.MaxInt64 - 1)
	minDate      = dayOf(-4713, 11, 24)
	maxDate      = dayOf(5874898, 1, 1)
)

func checkTimestamp(us int64) (int64, error) {
	if us < minTimestamp || us >= maxTimestamp {
		return us, errTimestamp()
	}
	return us, nil
}

// addMonths is a day some months later, at most the end of that month.
func addMonths(days, months int64) int64 {
	c := civilDay(days)
	n := c.y*12 + int64(c.m) - 1 + months
	y, m := floorDiv(n, 12), int(n-floorDiv(n, 12)*12)+1
	return dayOf(y, m, min(c.d, daysIn(y, m)))
}

func addInterval(us int64, x interval) (int64, error) {
	if !finite(us) {
		return us, nil
	}
	if x.m != 0 {
		days := floorDiv(us, usDay)
		rest := us - days*usDay
		days = addMonths(days, x.m)
		if days < minDate || days > floorDiv(maxTimestamp, usDay) {
			return us, errTimestamp()
		}
		us = days*usDay + rest
	}
	if x.d > 1<<40 || x.d < -(1<<40) {
		return us, errTimestamp()
	}
	sum := us + x.d*usDay
	if (sum > us) != (x.d > 0) && x.d != 0 {
		return us, errTimestamp()
	}
	out := sum + x.us
	if (out > sum) != (x.us > 0) && x.us != 0 {
		return us, errTimestamp()
	}
	return checkTimestamp(out)
}

// local is the moment that a clock of a zone shows, and instant the instant at which it does.
func local(us int64, z *time.Location) int64 {
	if !finite(us) || z == time.UTC {
		return us
	}
	_, off := time.UnixMicro(us).In(z).Zone()
	return us + int64(off)*usSecond
}

func instant(us int64, z *time.Location) int64 {
	if !finite(us) || z == time.UTC {
		return us
	}
	// The offset before the moment decides where a clock shows it twice or never.
	_, before := time.UnixMicro(us - usDay).In(z).Zone()
	_, after := time.UnixMicro(us + usDay).In(z).Zone()
	try := func(off int) (int64, bool) {
		t := us - int64(off)*usSecond
		_, o := time.UnixMicro(t).In(z).Zone()
		return t, o == off
	}
	a, okA := try(before)
	b, okB := try(after)
	switch {
	case before == after || okA && !okB:
		return a
	case okB && !okA:
		return b
	case okA && okB: // twice: standard time, which is the later
		if a > b {
			return a
		}
		return b
	}
	return us - int64(before)*usSecond // never: the clock was put forward
}

func addIntervalTZ(us int64, x interval, z *time.Location) (int64, error) {
	if !finite(us) {
		return us, nil
	}
	if x.m != 0 || x.d != 0 {
		l, err := addInterval(local(us, z), interval{x.m, x.d, 0})
		if err != nil {
			return us, err
		}
		us = instant(l, z)
	}
	return addInterval(us, interval{us: x.us})
}

// zoneNamed is a time zone by name, abbreviation or offset.
func zoneNamed(name string) (*time.Location, error) {
	if z, err := codec.LoadZone(name); err == nil {
		return z, nil
	}
	return nil, bad("22023", `time zone "%s" not recognized`, name)
}

func isoWeek(c civil) (year int64, week int) {
	t := time.Date(int(c.y), time.Month(c.m), c.d, 0, 0, 0, 0, time.UTC)
	y, w := t.ISOWeek()
	return int64(y), w
}

func unitName(s string) string {
	u := strings.ToLower(strings.TrimSpace(s))
	alias := map[string]string{"years": "year", "y": "year", "yr": "year", "yrs": "year", "months": "month", "mon": "month", "mons": "month", "days": "day", "d": "day",
		"hours": "hour", "h": "hour", "hr": "hour", "hrs": "hour", "minutes": "minute", "m": "minute", "min": "minute", "mins": "minute",
		"seconds": "second", "s": "second", "sec": "second", "secs": "second", "milliseconds": "milliseconds", "millisecond": "milliseconds", "ms": "milliseconds", "msec": "milliseconds", "msecs": "milliseconds",
		"microsecond": "microseconds", "us": "microseconds", "usec": "microseconds", "usecs": "microseconds", "weeks": "week", "w": "week", "decades": "decade", "decs": "decade", "dec": "decade",
		"centuries": "century", "c": "century", "cent": "century", "millennia": "millennium", "mil": "millennium", "mils": "millennium", "millenniums": "millennium", "quarters": "quarter", "qtr": "quarter"}
	if a, ok := alias[u]; ok {
		return a
	}
	return u
}

func errUnit(unit, typ string) error {
	return bad("22023", `unit "%s" not recognized for type %s`, unit, typ)
}

func errUnitUnsupported(unit, typ string) error {
	return bad("0A000", `unit "%s" not supported for type %s`, unit, typ)
}
