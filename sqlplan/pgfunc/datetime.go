package pgfunc

import (
	"math"
	"math/big"
	"strconv"
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

// trunc is date_trunc of a moment of no zone.
func truncMoment(unit string, us int64, typ string) (int64, error) {
	if !finite(us) {
		switch unitName(unit) {
		case "microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century", "millennium":
			return us, nil
		}
		return us, errUnit(unit, typ)
	}
	c := civilOf(us)
	day := dayOf(c.y, c.m, c.d) * usDay
	yearStart := func(y int64) int64 { return dayOf(y, 1, 1) * usDay }
	switch unitName(unit) {
	case "microseconds":
		return us, nil
	case "milliseconds":
		return floorDiv(us, 1000) * 1000, nil
	case "second":
		return floorDiv(us, usSecond) * usSecond, nil
	case "minute":
		return floorDiv(us, usMinute) * usMinute, nil
	case "hour":
		return floorDiv(us, usHour) * usHour, nil
	case "day":
		return day, nil
	case "week":
		return day - int64((c.weekday+6)%7)*usDay, nil
	case "month":
		return dayOf(c.y, c.m, 1) * usDay, nil
	case "quarter":
		return dayOf(c.y, (c.m-1)/3*3+1, 1) * usDay, nil
	case "year":
		return yearStart(c.y), nil
	case "decade":
		return yearStart(floorDiv(c.y, 10) * 10), nil
	case "century":
		return yearStart(floorDiv(c.y+99, 100)*100 - 99), nil
	case "millennium":
		return yearStart(floorDiv(c.y+999, 1000)*1000 - 999), nil
	}
	return us, errUnit(unit, typ)
}

func truncInterval(unit string, x interval) (interval, error) {
	cut := func(v, n int64) int64 { return v / n * n }
	switch u := unitName(unit); u {
	case "millennium":
		return interval{m: cut(x.m, 12000)}, nil
	case "century":
		return interval{m: cut(x.m, 1200)}, nil
	case "decade":
		return interval{m: cut(x.m, 120)}, nil
	case "year":
		return interval{m: cut(x.m, 12)}, nil
	case "quarter":
		return interval{m: cut(x.m, 3)}, nil
	case "month":
		return interval{m: x.m}, nil
	case "day":
		return interval{x.m, x.d, 0}, nil
	case "hour":
		return interval{x.m, x.d, cut(x.us, usHour)}, nil
	case "minute":
		return interval{x.m, x.d, cut(x.us, usMinute)}, nil
	case "second":
		return interval{x.m, x.d, cut(x.us, usSecond)}, nil
	case "milliseconds":
		return interval{x.m, x.d, cut(x.us, 1000)}, nil
	case "microseconds":
		return x, nil
	case "week":
		return x, withDetail(errUnitUnsupported(unit, "interval"), "Months usually have fractional weeks.")
	}
	return x, errUnit(unit, "interval")
}

// field is a part of a moment: a number with a scale.
type fieldValue struct {
	n    int64
	div  int64 // the value is n/div
	big  *big.Int
	null bool
	inf  int
}

func (f fieldValue) num() num {
	if f.inf != 0 {
		return num{special: map[int]byte{1: '+', -1: '-'}[f.inf]}
	}
	v := f.big
	if v == nil {
		v = big.NewInt(f.n)
	}
	scale := map[int64]int{0: 0, 1: 0, 1000: 3, 1_000_000: 6}[f.div]
	return num{v: v, scale: scale}
}

func (f fieldValue) float() float64 {
	if f.inf != 0 {
		return math.Inf(f.inf)
	}
	if f.big != nil {
		x, _ := new(big.Float).SetInt(f.big).Float64()
		return x / float64(max(f.div, 1))
	}
	return float64(f.n) / float64(max(f.div, 1))
}

// momentField is extract() of a moment whose clock shows us; utc is the instant, offset the zone's seconds; kind is the type.
func momentField(unit string, us, utc int64, offset int, kind string) (fieldValue, error) {
	u := unitName(unit)
	name := map[string]string{"date": "date", "timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}[kind]
	if !finite(us) {
		switch u {
		case "year", "decade", "century", "millennium", "julian", "isoyear", "epoch":
			if us > 0 {
				return fieldValue{inf: 1}, nil
			}
			return fieldValue{inf: -1}, nil
		case "microseconds", "milliseconds", "second", "minute", "hour":
			if kind == "date" {
				return fieldValue{}, errUnitUnsupported(unit, name)
			}
			return fieldValue{null: true}, nil
		case "day", "month", "quarter", "week", "dow", "isodow", "doy":
			return fieldValue{null: true}, nil
		case "timezone", "timezone_hour", "timezone_minute":
			if kind == "timestamptz" {
				return fieldValue{null: true}, nil
			}
			return fieldValue{}, errUnitUnsupported(unit, name)
		}
		return fieldValue{}, errUnit(unit, name)
	}
	c := civilOf(us)
	whole := func(n int64) (fieldValue, error) { return fieldValue{n: n, div: 1}, nil }
	if kind == "date" {
		switch u {
		case "microseconds", "milliseconds", "second", "minute", "hour", "timezone", "timezone_hour", "timezone_minute":
			return fieldValue{}, errUnitUnsupported(unit, name)
		}
	}
	year := c.y
	bc := func(y int64) int64 {
		if y <= 0 {
			return y - 1
		}
		return y
	}
	switch u {
	case "microseconds":
		return whole(c.us % usMinute)
	case "milliseconds":
		return fieldValue{n: c.us % usMinute, div: 1000}, nil
	case "second":
		return fieldValue{n: c.us % usMinute, div: 1_000_000}, nil
	case "minute":
		return whole(c.us / usMinute % 60)
	case "hour":
		return whole(c.us / usHour)
	case "day":
		return whole(int64(c.d))
	case "month":
		return whole(int64(c.m))
	case "quarter":
		return whole(int64(c.m-1)/3 + 1)
	case "week":
		_, w := isoWeek(c)
		return whole(int64(w))
	case "year":
		return whole(bc(year))
	case "decade":
		return whole(floorDiv(year, 10))
	case "century":
		if year > 0 {
			return whole((year + 99) / 100)
		}
		return whole(-((99 - (year - 1)) / 100))
	case "millennium":
		if year > 0 {
			return whole((year + 999) / 1000)
		}
		return whole(-((999 - (year - 1)) / 1000))
	case "isoyear":
		y, _ := isoWeek(c)
		return whole(bc(y))
	case "dow":
		return whole(int64(c.weekday))
	case "isodow":
		return whole(int64((c.weekday+6)%7) + 1)
	case "doy":
		return whole(int64(c.yday))
	case "julian":
		jd := dayOf(c.y, c.m, c.d) + 2440588
		if kind == "date" {
			return whole(jd)
		}
		n := divJulian(jd, c.us)
		return n, nil
	case "epoch":
		if kind == "date" {
			return whole(us / usSecond)
		}
		return fieldValue{n: utc, div: 1_000_000}, nil
	case "timezone":
		if kind == "timestamptz" {
			return whole(int64(offset))
		}
		return fieldValue{}, errUnitUnsupported(unit, name)
	case "timezone_hour":
		if kind == "timestamptz" {
			return whole(int64(offset / 3600))
		}
		return fieldValue{}, errUnitUnsupported(unit, name)
	case "timezone_minute":
		if kind == "timestamptz" {
			return whole(int64(offset / 60 % 60))
		}
		return fieldValue{}, errUnitUnsupported(unit, name)
	}
	return fieldValue{}, errUnit(unit, name)
}

// divJulian is a Julian day with its fraction, of 20 digits as PostgreSQL's division gives it.
func divJulian(jd, us int64) fieldValue {
	return fieldValue{n: jd, div: 1, big: nil, null: false, inf: 0}
}

func intervalField(unit string, x interval) (fieldValue, error) {
	whole := func(n int64) (fieldValue, error) { return fieldValue{n: n, div: 1}, nil }
	switch unitName(unit) {
	case "microseconds":
		return whole(x.us % usMinute)
	case "milliseconds":
		return fieldValue{n: x.us % usMinute, div: 1000}, nil
	case "second":
		return fieldValue{n: x.us % usMinute, div: 1_000_000}, nil
	case "minute":
		return whole(x.us / usMinute % 60)
	case "hour":
		return whole(x.us / usHour)
	case "day":
		return whole(x.d)
	case "month":
		return whole(x.m % 12)
	case "quarter":
		return whole(x.m%12/3 + 1)
	case "year":
		return whole(x.m / 12)
	case "decade":
		return whole(x.m / 120)
	case "century":
		return whole(x.m / 1200)
	case "millennium":
		return whole(x.m / 12000)
	case "epoch":
		// A year has 365.25 days, a month 30.
		b := new(big.Int).Mul(big.NewInt(x.m/12), big.NewInt(31557600))
		b.Add(b, new(big.Int).Mul(big.NewInt(x.m%12), big.NewInt(2592000)))
		b.Add(b, new(big.Int).Mul(big.NewInt(x.d), big.NewInt(86400)))
		b.Mul(b, big.NewInt(usSecond)).Add(b, big.NewInt(x.us))
		return fieldValue{big: b, div: 1_000_000}, nil
	case "week", "dow", "doy", "isodow", "isoyear", "julian", "timezone", "timezone_hour", "timezone_minute":
		return fieldValue{}, errUnitUnsupported(unit, "interval")
	}
	return fieldValue{}, errUnit(unit, "interval")
}

func timeField(unit string, us int64) (fieldValue, error) {
	whole := func(n int64) (fieldValue, error) { return fieldValue{n: n, div: 1}, nil }
	const name = "time without time zone"
	switch unitName(unit) {
	case "microseconds":
		return whole(us % usMinute)
	case "milliseconds":
		return fieldValue{n: us % usMinute, div: 1000}, nil
	case "second":
		return fieldValue{n: us % usMinute, div: 1_000_000}, nil
	case "minute":
		return whole(us / usMinute % 60)
	case "hour":
		return whole(us / usHour)
	case "epoch":
		return fieldValue{n: us, div: 1_000_000}, nil
	case "day", "month", "quarter", "year", "decade", "century", "millennium", "week", "dow", "doy", "isodow", "isoyear", "julian", "timezone", "timezone_hour", "timezone_minute":
		return fieldValue{}, errUnitUnsupported(unit, name)
	}
	return fieldValue{}, errUnit(unit, name)
}

// age is the difference of two moments in years, months, days and time.
func age(a, b int64) interval {
	swap := a < b
	if swap {
		a, b = b, a
	}
	x, y := civilOf(a), civilOf(b)
	us := x.us - y.us
	d, m, yr := int64(x.d-y.d), int64(x.m-y.m), x.y-y.y
	for us < 0 {
		us += usDay
		d--
	}
	for d < 0 {
		// The days of the month of the earlier (if a < b, of the later).
		c := y
		if swap {
			c = civil{y: x.y, m: x.m}
			c = y
		}
		d += int64(daysIn(c.y, c.m))
		m--
	}
	for m < 0 {
		m += 12
		yr--
	}
	out := interval{yr*12 + m, d, us}
	if swap {
		out = interval{-out.m, -out.d, -out.us}
	}
	return out
}

func (x interval) justifyHours() interval {
	x.d += x.us / usDay
	x.us %= usDay
	if x.d > 0 && x.us < 0 {
		x.us += usDay
		x.d--
	} else if x.d < 0 && x.us > 0 {
		x.us -= usDay
		x.d++
	}
	return x
}

func (x interval) justifyDays() interval {
	x.m += x.d / 30
	x.d %= 30
	if x.m > 0 && x.d < 0 {
		x.d += 30
		x.m--
	} else if x.m < 0 && x.d > 0 {
		x.d -= 30
		x.m++
	}
	return x
}

func (x interval) justify() interval {
	x.d += x.us / usDay
	x.us %= usDay
	x.m += x.d / 30
	x.d %= 30
	if x.m > 0 && (x.d < 0 || x.d == 0 && x.us < 0) {
		x.d += 30
		x.m--
	} else if x.m < 0 && (x.d > 0 || x.d == 0 && x.us > 0) {
		x.d -= 30
		x.m++
	}
	if x.d > 0 && x.us < 0 {
		x.us += usDay
		x.d--
	} else if x.d < 0 && x.us > 0 {
		x.us -= usDay
		x.d++
	}
	return x
}

func putInt(out *vector.Vector, n int64, err error) error {
	if err == nil {
		out.AppendInt(n)
	}
	return err
}

func putInterval(out *vector.Vector, x interval, err error) error {
	if err == nil {
		x.append(out)
	}
	return err
}

func dateToTimestamp(d int64) (int64, error) {
	if !finite(d) {
		return d, nil
	}
	if d < minDate || d > floorDiv(maxTimestamp, usDay) {
		return d, bad("22008", "date out of range for timestamp")
	}
	return d * usDay, nil
}

func dateOf(us int64) int64 {
	if !finite(us) {
		return us
	}
	return floorDiv(us, usDay)
}

func negate(x interval) interval { return interval{-x.m, -x.d, -x.us} }

func init() {
	reg := func(call, result string, f run, o ...option) { ours(call, result, f, o...) }
	for _, sign := range []string{"+", "-"} {
		dir := func(x interval) interval {
			if sign == "-" {
				return negate(x)
			}
			return x
		}
		reg("timestamp "+sign+" interval", "timestamp", func(a args, out *vector.Vector) error {
			t, err := addInterval(a.n(0), dir(a.span(1)))
			return putInt(out, t, err)
		})
		reg("timestamptz "+sign+" interval", "timestamptz", func(a args, out *vector.Vector) error {
			t, err := addIntervalTZ(a.n(0), dir(a.span(1)), zoneOf(a.set))
			return putInt(out, t, err)
		}, settings)
		reg("date "+sign+" interval", "timestamp", func(a args, out *vector.Vector) error {
			t, err := dateToTimestamp(a.n(0))
			if err == nil {
				t, err = addInterval(t, dir(a.span(1)))
			}
			return putInt(out, t, err)
		})
		reg("date "+sign+" int4", "date", func(a args, out *vector.Vector) error {
			n := a.n(1)
			if sign == "-" {
				n = -n
			}
			d := a.n(0)
			if finite(d) {
				if d += n; d < minDate || d >= maxDate {
					return errDate()
				}
			}
			return putInt(out, d, nil)
		})
		reg("time "+sign+" interval", "time", func(a args, out *vector.Vector) error {
			t := (a.n(0) + dir(a.span(1)).us%usDay) % usDay
			if t < 0 {
				t += usDay
			}
			return putInt(out, t, nil)
		})
		reg("interval "+sign+" interval", "interval", func(a args, out *vector.Vector) error {
			var x interval
			var err error
			if sign == "+" {
				x, err = a.span(0).plus(a.span(1))
			} else {
				x, err = a.span(0).minus(a.span(1))
			}
			return putInterval(out, x, err)
		})
	}
	sql(`
		interval + timestamp	__timestamp_plus_interval($2, $1)
		interval + date	__date_plus_interval($2, $1)
		interval + time	__time_plus_interval($2, $1)
		int4 + date	__date_plus_int4($2, $1)
		float8 * interval	__interval_times_float8($2, $1)
		time + date	__date_plus_time($2, $1)
	`)
	reg("interval + timestamptz", "timestamptz", func(a args, out *vector.Vector) error {
		t, err := addIntervalTZ(a.n(1), a.span(0), zoneOf(a.set))
		return putInt(out, t, err)
	}, settings)
	reg("date + time", "timestamp", func(a args, out *vector.Vector) error {
		t, err := dateToTimestamp(a.n(0))
		if err == nil && finite(t) {
			t += a.n(1)
		}
		return putInt(out, t, err)
	})
	reg("date - date", "int4", func(a args, out *vector.Vector) error {
		if !finite(a.n(0)) || !finite(a.n(1)) {
			return bad("22008", "cannot subtract infinite dates")
		}
		return putInt(out, a.n(0)-a.n(1), nil)
	})
	reg("time - time", "interval", func(a args, out *vector.Vector) error {
		return putInterval(out, interval{us: a.n(0) - a.n(1)}, nil)
	})
	for _, t := range []string{"timestamp", "timestamptz"} {
		reg(t+" - "+t, "interval", func(a args, out *vector.Vector) error {
			if !finite(a.n(0)) || !finite(a.n(1)) {
				return bad("22008", "cannot subtract infinite timestamps")
			}
			us := a.n(0) - a.n(1)
			if (us < a.n(0)) != (a.n(1) > 0) && a.n(1) != 0 {
				return errInterval()
			}
			return putInterval(out, interval{us: us}.justifyHours(), nil)
		})
	}
	reg("- interval", "interval", func(a args, out *vector.Vector) error {
		x := a.span(0)
		if x.m == math.MinInt32 || x.d == math.MinInt32 || x.us == math.MinInt64 {
			return errInterval()
		}
		return putInterval(out, negate(x), nil)
	})
	reg("interval * float8", "interval", func(a args, out *vector.Vector) error {
		x, err := a.span(0).times(a.f(1))
		return putInterval(out, x, err)
	})
	reg("interval / float8", "interval", func(a args, out *vector.Vector) error {
		x, err := a.span(0).divide(a.f(1))
		return putInterval(out, x, err)
	})
	// Casts.
	reg("cast(date as timestamptz)", "timestamptz", func(a args, out *vector.Vector) error {
		t, err := dateToTimestamp(a.n(0))
		return putInt(out, instant(t, zoneOf(a.set)), err)
	}, settings)
	reg("cast(timestamp as timestamptz)", "timestamptz", func(a args, out *vector.Vector) error {
		return putInt(out, instant(a.n(0), zoneOf(a.set)), nil)
	}, settings)
	reg("cast(timestamptz as timestamp)", "timestamp", func(a args, out *vector.Vector) error {
		return putInt(out, local(a.n(0), zoneOf(a.set)), nil)
	}, settings)
	reg("cast(timestamptz as date)", "date", func(a args, out *vector.Vector) error {
		return putInt(out, dateOf(local(a.n(0), zoneOf(a.set))), nil)
	}, settings)
	reg("cast(timestamptz as time)", "time", func(a args, out *vector.Vector) error {
		if !finite(a.n(0)) {
			out.AppendNull()
			return nil
		}
		return putInt(out, civilOf(local(a.n(0), zoneOf(a.set))).us, nil)
	}, settings)
	reg("cast(time as interval)", "interval", func(a args, out *vector.Vector) error { return putInterval(out, interval{us: a.n(0)}, nil) })
	reg("cast(interval as time)", "time", func(a args, out *vector.Vector) error {
		t := a.span(0).us % usDay
		if t < 0 {
			t += usDay
		}
		return putInt(out, t, nil)
	})
	for _, t := range []string{"time", "timestamp", "timestamptz"} {
		reg("__round_"+t+"(int8,int4)", t, func(a args, out *vector.Vector) error { return nil })
		f := byCall["__round_"+t+"(int8,int4)"]
		f.scalar.Params[0] = typeNamed(t)
		f.scalar.Run = func(v []*vector.Vector, i int, out *vector.Vector) error {
			x := v[0].I64[i]
			if !finite(x) {
				out.AppendInt(x)
				return nil
			}
			const since2000 = 946684800 * usSecond
			unit := int64(math.Pow10(6 - int(v[1].I64[i])))
			base := int64(0)
			if t != "time" {
				base = since2000
			}
			out.AppendInt(roundTo(x-base, unit) + base)
			return nil
		}
	}
	reg("__interval_mod(interval,int4)", "interval", func(a args, out *vector.Vector) error {
		x, err := intervalMod(a.span(0), int32(a.n(1)))
		return putInterval(out, x, err)
	})
	// date_trunc, extract.
	reg("date_trunc(text,timestamp)", "timestamp", func(a args, out *vector.Vector) error {
		t, err := truncMoment(a.s(0), a.n(1), "timestamp without time zone")
		return putInt(out, t, err)
	})
	truncTZ := func(a args, z *time.Location, out *vector.Vector) error {
		us := a.n(1)
		switch unitName(a.s(0)) { // units below the day do not depend on the zone's changes
		case "microseconds", "milliseconds", "second":
			t, err := truncMoment(a.s(0), us, "timestamp with time zone")
			return putInt(out, t, err)
		case "minute", "hour":
			l := local(us, z)
			t, err := truncMoment(a.s(0), l, "timestamp with time zone")
			return putInt(out, us-(l-t), err)
		}
		t, err := truncMoment(a.s(0), local(us, z), "timestamp with time zone")
		return putInt(out, instant(t, z), err)
	}
	reg("date_trunc(text,timestamptz)", "timestamptz", func(a args, out *vector.Vector) error { return truncTZ(a, zoneOf(a.set), out) }, settings)
	reg("date_trunc(text,timestamptz,text)", "timestamptz", func(a args, out *vector.Vector) error {
		z, err := zoneNamed(a.s(2))
		if err != nil {
			return err
		}
		return truncTZ(a, z, out)
	})
	reg("date_trunc(text,interval)", "interval", func(a args, out *vector.Vector) error {
		x, err := truncInterval(a.s(0), a.span(1))
		return putInterval(out, x, err)
	})
	fieldOf := func(kind string, a args) (fieldValue, error) {
		switch kind {
		case "interval":
			return intervalField(a.s(0), a.span(1))
		case "time":
			return timeField(a.s(0), a.n(1))
		case "date":
			us := a.n(1)
			if finite(us) {
				us *= usDay
			}
			return momentField(a.s(0), us, us, 0, "date")
		case "timestamptz":
			l := local(a.n(1), zoneOf(a.set))
			off := 0
			if finite(l) {
				off = int((l - a.n(1)) / usSecond)
			}
			return momentField(a.s(0), l, a.n(1), off, kind)
		}
		return momentField(a.s(0), a.n(1), a.n(1), 0, kind)
	}
	for _, kind := range []string{"date", "timestamp", "timestamptz", "interval", "time"} {
		var o []option
		if kind == "timestamptz" {
			o = append(o, settings)
		}
		reg("extract(text,"+kind+")", "numeric", func(a args, out *vector.Vector) error {
			f, err := fieldOf(kind, a)
			if err != nil {
				return err
			}
			if f.null {
				out.AppendNull()
				return nil
			}
			if unitName(a.s(0)) == "julian" && kind != "date" && f.inf == 0 {
				l := a.n(1)
				if kind == "timestamptz" {
					l = local(l, zoneOf(a.set))
				}
				c := civilOf(l)
				q, err := divNum(intNum(c.us), intNum(usDay))
				return putNum(out, addNum(intNum(f.n), q, 1), err)
			}
			return putNum(out, f.num(), nil)
		}, o...)
		reg("date_part(text,"+kind+")", "float8", func(a args, out *vector.Vector) error {
			if kind == "date" { // goes by way of timestamp
				us, err := dateToTimestamp(a.n(1))
				if err != nil {
					return err
				}
				f, err := momentField(a.s(0), us, us, 0, "timestamp")
				if f.null && err == nil {
					out.AppendNull()
					return nil
				}
				return putFloat(out, f.float(), err)
			}
			f, err := fieldOf(kind, a)
			if err != nil {
				return err
			}
			if f.null {
				out.AppendNull()
				return nil
			}
			x := f.float()
			if unitName(a.s(0)) == "julian" && f.inf == 0 {
				l := a.n(1)
				if kind == "timestamptz" {
					l = local(l, zoneOf(a.set))
				}
				x += float64(civilOf(l).us) / float64(usDay)
			}
			out.AppendFloat(x)
			return nil
		}, o...)
	}
	// age
	reg("age(timestamp,timestamp)", "interval", func(a args, out *vector.Vector) error {
		if !finite(a.n(0)) || !finite(a.n(1)) {
			return errTimestamp()
		}
		return putInterval(out, age(a.n(0), a.n(1)), nil)
	})
	reg("age(timestamptz,timestamptz)", "interval", func(a args, out *vector.Vector) error {
		if !finite(a.n(0)) || !finite(a.n(1)) {
			return errTimestamp()
		}
		z := zoneOf(a.set)
		return putInterval(out, age(local(a.n(0), z), local(a.n(1), z)), nil)
	}, settings)
	sql(`
		age(timestamp)	__age_timestamp_timestamp(CAST(CAST(now() AS date) AS timestamp), $1)
		now() ;; transaction_timestamp() ;; statement_timestamp() ;; clock_timestamp()	now()
		isfinite(date)	isfinite($1)
		isfinite(timestamp)	isfinite($1)
		isfinite(interval)	($1 IS NOT NULL OR NULL)
	`)
	reg("isfinite(timestamptz)", "bool", func(a args, out *vector.Vector) error { out.AppendBool(finite(a.n(0))); return nil })
	reg("justify_hours(interval)", "interval", func(a args, out *vector.Vector) error { return putInterval(out, a.span(0).justifyHours(), nil) })
	reg("justify_days(interval)", "interval", func(a args, out *vector.Vector) error { return putInterval(out, a.span(0).justifyDays(), nil) })
	reg("justify_interval(interval)", "interval", func(a args, out *vector.Vector) error { return putInterval(out, a.span(0).justify(), nil) })
	// make_*
	date := func(y, m, d int64) (int64, error) {
		fail := bad("22008", "date field value out of range: %d-%02d-%02d", y, m, d)
		if y == 0 {
			return 0, fail
		}
		if y < 0 {
			y++
		}
		if m < 1 || m > 12 || d < 1 || d > int64(daysIn(y, int(m))) {
			return 0, fail
		}
		n := dayOf(y, int(m), int(d))
		if n < minDate || n >= maxDate {
			return 0, bad("22008", "date out of range: %d-%02d-%02d", y, m, d)
		}
		return n, nil
	}
	clock := func(h, m int64, s float64) (int64, error) {
		if h < 0 || h > 24 || m < 0 || m > 59 || math.IsNaN(s) || s < 0 || s > 60 || h == 24 && (m > 0 || s > 0) {
			return 0, bad("22008", "time field value out of range: %d:%02d:%s", h, m, secondsText(s))
		}
		return h*usHour + m*usMinute + int64(math.RoundToEven(s*1e6)), nil
	}
	reg("make_date(int4,int4,int4)", "date", func(a args, out *vector.Vector) error {
		d, err := date(a.n(0), a.n(1), a.n(2))
		return putInt(out, d, err)
	})
	reg("make_time(int4,int4,float8)", "time", func(a args, out *vector.Vector) error {
		t, err := clock(a.n(0), a.n(1), a.f(2))
		return putInt(out, t, err)
	})
	stamp := func(a args) (int64, error) {
		d, err := date(a.n(0), a.n(1), a.n(2))
		if err != nil {
			return 0, err
		}
		t, err := clock(a.n(3), a.n(4), a.f(5))
		if err != nil {
			return 0, err
		}
		return checkTimestamp(d*usDay + t)
	}
	reg("make_timestamp(int4,int4,int4,int4,int4,float8)", "timestamp", func(a args, out *vector.Vector) error {
		t, err := stamp(a)
		return putInt(out, t, err)
	})
	reg("make_timestamptz(int4,int4,int4,int4,int4,float8)", "timestamptz", func(a args, out *vector.Vector) error {
		t, err := stamp(a)
		return putInt(out, instant(t, zoneOf(a.set)), err)
	}, settings)
	reg("make_timestamptz(int4,int4,int4,int4,int4,float8,text)", "timestamptz", func(a args, out *vector.Vector) error {
		t, err := stamp(a)
		if err != nil {
			return err
		}
		z, err := zoneNamed(a.s(6))
		if err != nil {
			return err
		}
		return putInt(out, instant(t, z), nil)
	})
	reg("make_interval(int4,int4,int4,int4,int4,int4,float8)", "interval", func(a args, out *vector.Vector) error {
		s := a.f(6)
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return errInterval()
		}
		x := interval{a.n(0)*12 + a.n(1), a.n(2)*7 + a.n(3), a.n(4)*usHour + a.n(5)*usMinute + int64(math.RoundToEven(s*1e6))}
		x, err := x.check()
		return putInterval(out, x, err)
	})
	reg("to_timestamp(float8)", "timestamptz", func(a args, out *vector.Vector) error {
		s := a.f(0)
		switch {
		case math.IsNaN(s):
			return bad("22008", "timestamp cannot be NaN")
		case math.IsInf(s, 1):
			return putInt(out, vector.PosInfinity, nil)
		case math.IsInf(s, -1):
			return putInt(out, vector.NegInfinity, nil)
		case s < -210866803200 || s >= 9224318016000:
			return bad("22008", "timestamp out of range: \"%s\"", strconv.FormatFloat(s, 'g', -1, 64))
		}
		const epoch2000 = 946684800
		return putInt(out, int64(math.RoundToEven((s-epoch2000)*1e6))+epoch2000*usSecond, nil)
	})
	// AT TIME ZONE
	reg("timezone(text,timestamptz)", "timestamp", func(a args, out *vector.Vector) error {
		z, err := zoneNamed(a.s(0))
		if err != nil {
			return err
		}
		return putInt(out, local(a.n(1), z), nil)
	})
	reg("timezone(text,timestamp)", "timestamptz", func(a args, out *vector.Vector) error {
		z, err := zoneNamed(a.s(0))
		if err != nil {
			return err
		}
		return putInt(out, instant(a.n(1), z), nil)
	})
	offset := func(a args) (int64, error) {
		x := a.span(0)
		if x.m != 0 || x.d != 0 {
			return 0, bad("22023", `interval time zone "%s" must not include months or days`, string(codec.AppendText(nil, a.v[0], a.i, codec.Defaults)))
		}
		return x.us, nil
	}
	reg("timezone(interval,timestamptz)", "timestamp", func(a args, out *vector.Vector) error {
		off, err := offset(a)
		t := a.n(1)
		if finite(t) {
			t += off
		}
		return putInt(out, t, err)
	})
	reg("timezone(interval,timestamp)", "timestamptz", func(a args, out *vector.Vector) error {
		off, err := offset(a)
		t := a.n(1)
		if finite(t) {
			t -= off
		}
		return putInt(out, t, err)
	})
	// date_bin
	for _, t := range []string{"timestamp", "timestamptz"} {
		reg("date_bin(interval,"+t+","+t+")", t, func(a args, out *vector.Vector) error {
			x := a.span(0)
			if !finite(a.n(1)) || !finite(a.n(2)) {
				if !finite(a.n(1)) {
					return putInt(out, a.n(1), nil)
				}
				return bad("22008", "origin out of range")
			}
			if x.m != 0 {
				return bad("0A000", "timestamps cannot be binned into intervals containing months or years")
			}
			stride := x.d*usDay + x.us
			if stride <= 0 {
				return bad("22008", "stride must be greater than zero")
			}
			return putInt(out, a.n(2)+floorDiv(a.n(1)-a.n(2), stride)*stride, nil)
		})
		series := func(step interval, a args, out *vector.Vector) error {
			if step.span().Sign() == 0 {
				return bad("22023", "step size cannot equal zero")
			}
			if !finite(a.n(0)) || !finite(a.n(1)) {
				return bad("0A000", "a series between infinite timestamps is not supported")
			}
			up := step.span().Sign() > 0
			for x, n := a.n(0), 0; up && x <= a.n(1) || !up && x >= a.n(1); n++ {
				if n > maxSeries {
					return bad("54000", "a series of timestamps has more than %d elements", maxSeries)
				}
				out.Child[0].AppendInt(x)
				var err error
				if t == "timestamptz" {
					x, err = addIntervalTZ(x, step, zoneOf(a.set))
				} else {
					x, err = addInterval(x, step)
				}
				if err != nil {
					return err
				}
			}
			out.CloseNested()
			return nil
		}
		var o []option
		if t == "timestamptz" {
			o = append(o, settings)
		}
		reg("generate_series("+t+","+t+",interval)", "_"+t, func(a args, out *vector.Vector) error { return series(a.span(2), a, out) }, o...)
	}
	for _, t := range []string{"timestamp", "timestamptz", "date", "time"} {
		if t == "date" {
			continue
		}
		reg("overlaps("+t+","+t+","+t+","+t+")", "bool", func(a args, out *vector.Vector) error {
			get := func(k int) *int64 {
				if a.null(k) {
					return nil
				}
				x := a.n(k)
				return &x
			}
			r := overlaps(get(0), get(1), get(2), get(3))
			if r == nil {
				out.AppendNull()
				return nil
			}
			out.AppendBool(*r)
			return nil
		}, nulls)
		if t == "time" {
			continue
		}
		reg("overlaps("+t+",interval,"+t+",interval)", "bool", func(a args, out *vector.Vector) error {
			ends := [4]*int64{}
			for k := range 2 {
				if a.null(2 * k) {
					continue
				}
				x := a.n(2 * k)
				ends[2*k] = &x
				if !a.null(2*k + 1) {
					y, err := addIntervalTZ(x, a.span(2*k+1), zoneOf(a.set))
					if err != nil {
						return err
					}
					ends[2*k+1] = &y
				}
			}
			r := overlaps(ends[0], ends[1], ends[2], ends[3])
			if r == nil {
				out.AppendNull()
				return nil
			}
			out.AppendBool(*r)
			return nil
		}, nulls, settings)
	}
	reg("timeofday()", "text", func(a args, out *vector.Vector) error {
		out.AppendString(time.Now().UTC().Format("Mon Jan 02 15:04:05.000000 2006 MST"))
		return nil
	}, volatile)
}

func secondsText(s float64) string {
	t := strconv.FormatFloat(s, 'g', -1, 64)
	if s < 10 && s >= 0 {
		return "0" + t
	}
	return t
}

// overlaps is OVERLAPS; nil is NULL.
func overlaps(ts1, te1, ts2, te2 *int64) *bool {
	order := func(s, e *int64) (*int64, *int64, bool) {
		if s == nil {
			if e == nil {
				return nil, nil, false
			}
			return e, nil, true
		}
		if e != nil && *s > *e {
			return e, s, true
		}
		return s, e, true
	}
	s1, e1, ok := order(ts1, te1)
	if !ok {
		return nil
	}
	s2, e2, ok := order(ts2, te2)
	if !ok {
		return nil
	}
	yes, no := true, false
	switch {
	case *s1 > *s2:
		if e2 == nil {
			return nil
		}
		if *s1 < *e2 {
			return &yes
		}
		if e1 == nil {
			return nil
		}
		return &no
	case *s1 < *s2:
		if e1 == nil {
			return nil
		}
		if *s2 < *e1 {
			return &yes
		}
		if e2 == nil {
			return nil
		}
		return &no
	}
	if e1 == nil || e2 == nil {
		return nil
	}
	return &yes
}
