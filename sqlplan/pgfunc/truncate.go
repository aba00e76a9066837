package pgfunc

import (
	"math"
	"math/big"

	"github.com/tilehouse/tilehouse/functions/vector"
)

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
