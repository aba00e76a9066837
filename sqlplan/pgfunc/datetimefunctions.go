package pgfunc

import (
	"math"
	"strconv"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

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
		f.scalar.Run = func(_ *duck.Call, v []*vector.Vector, i int, out *vector.Vector) error {
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
