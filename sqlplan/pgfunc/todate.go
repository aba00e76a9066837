package pgfunc

import (
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// fromChar are the parts that to_date and to_timestamp read.
type fromChar struct {
	hh, mi, ss, ssss, us                      int64
	year, month, day, ddd, week, iw, iyear    int64
	cc, j, q, d, id                           int64
	bc, pm, am, clock12                       bool
	hasYear, hasIYear, hasTZ, hasSSSS, hasJ   bool
	yearDigits                                int
	tzSign, tzh, tzm                          int64
	hasMonth, hasDay, hasDDD, hasIW, hasOwnID bool
}

// readDate reads a text by a template.
func readDate(s, format string) (fromChar, error) {
	var f fromChar
	nodes, err := parseDateFormat(format)
	if err != nil {
		return f, err
	}
	fx := strings.Contains(strings.ToUpper(format), "FX")
	if fx {
		return f, bad("0A000", "pattern FX is not supported")
	}
	isSpace := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	isSep := func(c byte) bool {
		return c < 0x80 && c > 0x20 && c != 0x7f && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
	}
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	extra := 0
	for i, n := range nodes {
		if s == "" {
			break
		}
		if n.key == "" {
			c := n.text[0]
			if n.quoted {
				s = s[min(runeLen(s), len(s)):]
				continue
			}
			if isSpace(c) || isSep(c) {
				// A separator in the template takes any of the input's, or none.
				extra++
				if isSpace(s[0]) || isSep(s[0]) && !(s[0] == '-' && i+1 < len(nodes) && nodes[i+1].key != "" && isTZ(nodes[i+1].key)) {
					s = s[1:]
					extra--
				}
			} else {
				extra--
				if !(isSep(s[0]) && false) {
					s = s[min(runeLen(s), len(s)):]
				}
				extra = max(extra, 0)
			}
			continue
		}
		for s != "" && isSpace(s[0]) {
			s = s[1:]
			if extra > 0 {
				extra--
			}
		}
		if s != "" && isSep(s[0]) && extra > 0 && s[0] != '-' && s[0] != '+' {
			s = s[1:]
		}
		next := i+1 < len(nodes) && nodes[i+1].key != "" && startsWithDigit(nodes[i+1].key)
		number := func(width int) (int64, int, error) {
			j := 0
			if j < len(s) && (s[j] == '-' || s[j] == '+') {
				j++
			}
			for j < len(s) && isDigit(s[j]) && (!next && !n.fill || j < width) {
				j++
			}
			v, err := strconv.ParseInt(strings.TrimPrefix(s[:j], "+"), 10, 64)
			if err != nil {
				e := bad("22007", `invalid value "%s" for "%s"`, s[:min(width, len(s))], n.key)
				if len(s) < width && s != "" && isDigit(s[0]) {
					return 0, 0, withDetail(bad("22007", `source string too short for "%s" formatting field`, n.key), "")
				}
				return 0, 0, withDetail(e, "Value must be an integer.")
			}
			s = s[j:]
			if n.th != "" && len(s) >= 2 {
				s = s[2:]
			}
			return v, j, nil
		}
		var v int64
		digits := 0
		read := func(width int) bool {
			v, digits, err = number(width)
			return err == nil
		}
		name := func(list []string, short bool) (int64, bool) {
			for k, m := range list {
				if short {
					m = m[:3]
				}
				if len(s) >= len(m) && strings.EqualFold(s[:len(m)], m) {
					s = s[len(m):]
					return int64(k + 1), true
				}
			}
			word := s
			if j := strings.IndexAny(word, " "); j > 0 {
				word = word[:j]
			}
			err = withDetail(bad("22007", `invalid value "%s" for "%s"`, word, n.key), "The given value did not match any of the allowed values for this field.")
			return 0, false
		}
		switch up := strings.ToUpper(n.key); up {
		case "HH24":
			if read(2) {
				f.hh = v
			}
		case "HH", "HH12":
			if read(2) {
				f.hh, f.clock12 = v, true
			}
		case "MI":
			if read(2) {
				f.mi = v
			}
		case "SS":
			if read(2) {
				f.ss = v
			}
		case "MS":
			if read(3) {
				for range max(3-digits, 0) {
					v *= 10
				}
				f.us += v * 1000
			}
		case "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
			w := 6
			if up != "US" {
				w = int(up[2] - '0')
			}
			if read(w) {
				for range max(6-digits, 0) {
					v *= 10
				}
				f.us += v
			}
		case "SSSS", "SSSSS":
			if read(5) {
				f.ssss, f.hasSSSS = v, true
			}
		case "AM", "PM", "A.M.", "P.M.":
			m := len(n.key)
			if len(s) < m {
				return f, withDetail(bad("22007", `invalid value "%s" for "%s"`, s, n.key), "The given value did not match any of the allowed values for this field.")
			}
			switch w := strings.ToUpper(s[:m]); w {
			case "AM", "A.M.":
				f.am = true
			case "PM", "P.M.":
				f.pm = true
			default:
				return f, withDetail(bad("22007", `invalid value "%s" for "%s"`, s[:m], n.key), "The given value did not match any of the allowed values for this field.")
			}
			f.clock12 = true
			s = s[m:]
		case "BC", "AD", "B.C.", "A.D.":
			m := min(len(n.key), len(s))
			f.bc = strings.HasPrefix(strings.ToUpper(s[:m]), "B")
			s = s[m:]
		case "Y,YYY":
			j := strings.IndexByte(s, ',')
			if j < 0 {
				return f, bad("22007", `invalid input string for "Y,YYY"`)
			}
			th, e1 := strconv.Atoi(s[:j])
			k := j + 1
			for k < len(s) && isDigit(s[k]) && k < j+4 {
				k++
			}
			rest, e2 := strconv.Atoi(s[j+1 : k])
			if e1 != nil || e2 != nil {
				return f, bad("22007", `invalid input string for "Y,YYY"`)
			}
			f.year, f.hasYear, f.yearDigits = int64(th*1000+rest), true, 4
			s = s[k:]
		case "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "I":
			if !read(len(up)) {
				break
			}
			y := v
			if digits < 4 && len(up) < 4 || len(up) < 4 {
				y = adjustYear(v)
			}
			if up[0] == 'I' {
				f.iyear, f.hasIYear = y, true
			} else {
				f.year, f.hasYear, f.yearDigits = y, true, len(up)
			}
		case "CC":
			if read(2) {
				f.cc = v
			}
		case "MONTH", "MON":
			if k, ok := name(monthNames, up == "MON"); ok {
				f.month, f.hasMonth = k, true
			}
		case "DAY", "DY":
			if k, ok := name(dayNames, up == "DY"); ok {
				f.d = k
			}
		case "MM":
			if read(2) {
				f.month, f.hasMonth = v, true
			}
		case "DD":
			if read(2) {
				f.day, f.hasDay = v, true
			}
		case "DDD":
			if read(3) {
				f.ddd, f.hasDDD = v, true
			}
		case "IDDD":
			if read(3) {
				f.ddd, f.hasDDD = v, true
			}
		case "D":
			if read(1) {
				f.d = v
			}
		case "ID":
			if read(1) {
				f.id, f.hasOwnID = v, true
			}
		case "WW":
			if read(2) {
				f.week = v
			}
		case "IW":
			if read(2) {
				f.iw, f.hasIW = v, true
			}
		case "W":
			if read(1) {
				f.q = 0
				f.week = -v
			}
		case "J":
			if read(7) {
				f.j, f.hasJ = v, true
			}
		case "Q":
			read(1)
		case "RM":
			found := false
			for k := 11; k >= 0 && !found; k-- {
				if m := romanMonth[k]; len(s) >= len(m) && strings.EqualFold(s[:len(m)], m) {
					f.month, f.hasMonth, found = int64(k+1), true, true
					s = s[len(m):]
				}
			}
			if !found {
				err = bad("22007", `invalid value for "RM"`)
			}
		case "TZH":
			sign := int64(1)
			if s != "" && (s[0] == '-' || s[0] == '+') {
				if s[0] == '-' {
					sign = -1
				}
				s = s[1:]
			}
			if read(2) {
				f.tzSign, f.tzh, f.hasTZ = sign, v, true
			}
		case "TZM":
			if read(2) {
				f.tzm, f.hasTZ = v, true
				if f.tzSign == 0 {
					f.tzSign = 1
				}
			}
		default:
			return f, bad("0A000", `formatting field "%s" is only supported in to_char`, n.key)
		}
		if err != nil {
			return f, err
		}
		extra = 0
	}
	return f, nil
}

func isTZ(k string) bool { return strings.HasPrefix(k, "TZ") }

func runeLen(s string) int { return len(firstRune(s)) }

func startsWithDigit(k string) bool {
	switch strings.ToUpper(k) {
	case "AM", "PM", "A.M.", "P.M.", "BC", "AD", "B.C.", "A.D.", "MONTH", "MON", "DAY", "DY", "RM", "TZ", "OF", "TZH":
		return false
	}
	return true
}

// adjustYear is a year of one to three digits, near 2020.
func adjustYear(y int64) int64 {
	switch {
	case y < 70:
		return y + 2000
	case y < 100:
		return y + 1900
	case y < 520:
		return y + 2000
	case y < 1000:
		return y + 1000
	}
	return y
}

// moment is what the parts say, in microseconds of no zone.
func (f fromChar) moment(text string) (int64, error) {
	rangeErr := func() error { return bad("22008", `date/time field value out of range: "%s"`, text) }
	hh, mi, ss := f.hh, f.mi, f.ss
	if f.hasSSSS {
		hh, mi, ss = f.ssss/3600, f.ssss/60%60, f.ssss%60
	}
	if f.clock12 {
		if hh < 1 || hh > 12 {
			return 0, withHint(bad("22007", `hour "%d" is invalid for the 12-hour clock`, hh), "Use the 24-hour clock, or give an hour between 1 and 12.")
		}
		if f.pm && hh < 12 {
			hh += 12
		} else if f.am && hh == 12 {
			hh = 0
		}
	}
	y := f.year
	if f.hasYear {
		if f.cc != 0 && f.yearDigits <= 2 {
			y = f.year % 100
			if y != 0 {
				y += (f.cc - 1) * 100
			} else {
				y = f.cc * 100
			}
		}
		if f.bc && y > 0 {
			y = 1 - y
		} else if y < 0 {
			y = y + 1
		} else if y == 0 && f.bc {
			y = 1 - y
		}
	} else if f.cc != 0 {
		y = (f.cc-1)*100 + 1
	}
	month, day := f.month, f.day
	switch {
	case f.hasJ:
		c := civilDay(f.j - 2440588)
		y, month, day = c.y, int64(c.m), int64(c.d)
	case f.hasIW && f.hasIYear:
		// The Monday of ISO week 1 holds January 4th.
		jan4 := dayOf(f.iyear, 1, 4)
		monday := jan4 - int64((civilDay(jan4).weekday+6)%7)
		id := f.id
		if id == 0 {
			id = 1
		}
		c := civilDay(monday + (f.iw-1)*7 + id - 1)
		y, month, day = c.y, int64(c.m), int64(c.d)
	case f.hasIYear && f.hasDDD:
		jan4 := dayOf(f.iyear, 1, 4)
		monday := jan4 - int64((civilDay(jan4).weekday+6)%7)
		c := civilDay(monday + f.ddd - 1)
		y, month, day = c.y, int64(c.m), int64(c.d)
	case f.hasDDD:
		if !f.hasYear {
			return 0, bad("22007", "cannot calculate day of year without year information")
		}
		if f.ddd < 1 || f.ddd > 366 {
			return 0, rangeErr()
		}
		c := civilDay(dayOf(y, 1, 1) + f.ddd - 1)
		y, month, day = c.y, int64(c.m), int64(c.d)
	case f.week > 0:
		c := civilDay(dayOf(y, 1, 1) + (f.week-1)*7)
		y, month, day = c.y, int64(c.m), int64(c.d)
	case f.week < 0:
		day = (-f.week-1)*7 + 1
	}
	if f.hasIYear && !f.hasIW && !f.hasDDD {
		y = f.iyear
	}
	if !f.hasYear && !f.hasIYear && !f.hasJ && f.cc == 0 {
		y = 0 // 1 BC
	}
	if month == 0 && !f.hasMonth {
		month = 1
	}
	if day == 0 && !f.hasDay {
		day = 1
	}
	if month < 1 || month > 12 || day < 1 || day > int64(daysIn(y, int(month))) {
		return 0, rangeErr()
	}
	if hh < 0 || hh > 23 && !(hh == 24 && mi == 0 && ss == 0) || mi < 0 || mi > 59 || ss < 0 || ss > 59 {
		return 0, rangeErr()
	}
	return checkTimestamp(dayOf(y, int(month), int(day))*usDay + hh*usHour + mi*usMinute + ss*usSecond + f.us)
}

func init() {
	toChar := func(call string, f func(a args) (string, bool, error), o ...option) {
		ours(call, "text", func(a args, out *vector.Vector) error {
			s, null, err := f(a)
			if null && err == nil {
				out.AppendNull()
				return nil
			}
			return putText(out, s, err)
		}, o...)
	}
	toChar("to_char(timestamp,text)", func(a args) (string, bool, error) {
		if !finite(a.n(0)) || a.s(1) == "" {
			return "", true, nil
		}
		s, err := dateText(a.s(1), a.n(0), nil, "", 0)
		return s, false, err
	})
	toChar("to_char(timestamptz,text)", func(a args) (string, bool, error) {
		if !finite(a.n(0)) || a.s(1) == "" {
			return "", true, nil
		}
		z := zoneOf(a.set)
		name, off := time.UnixMicro(a.n(0)).In(z).Zone()
		s, err := dateText(a.s(1), local(a.n(0), z), nil, name, off)
		return s, false, err
	}, settings)
	toChar("to_char(interval,text)", func(a args) (string, bool, error) {
		if a.s(1) == "" {
			return "", true, nil
		}
		x := a.span(0)
		s, err := dateText(a.s(1), 0, &x, "", 0)
		return s, false, err
	})
	toChar("to_char(numeric,text)", func(a args) (string, bool, error) {
		s, err := numberText(a.s(1), numArg(a, 0), 0, nil)
		return s, false, err
	})
	for _, t := range []string{"int4", "int8"} {
		toChar("to_char("+t+",text)", func(a args) (string, bool, error) {
			s, err := numberText(a.s(1), intNum(a.n(0)), 0, nil)
			return s, false, err
		})
	}
	for t, digits := range map[string]int{"float4": 6, "float8": 15} {
		toChar("to_char("+t+",text)", func(a args) (string, bool, error) {
			f := a.f(0)
			n, _ := floatNum(f, -1)
			s, err := numberText(a.s(1), n, digits, &f)
			return s, false, err
		})
	}
	ours("to_number(text,text)", "numeric", func(a args, out *vector.Vector) error {
		n, null, err := readNumber(a.s(0), a.s(1))
		if null && err == nil {
			out.AppendNull()
			return nil
		}
		return putNum(out, n, err)
	})
	ours("to_date(text,text)", "date", func(a args, out *vector.Vector) error {
		f, err := readDate(a.s(0), a.s(1))
		if err != nil {
			return err
		}
		us, err := f.moment(a.s(0))
		return putInt(out, dateOf(us), err)
	})
	ours("to_timestamp(text,text)", "timestamptz", func(a args, out *vector.Vector) error {
		f, err := readDate(a.s(0), a.s(1))
		if err != nil {
			return err
		}
		us, err := f.moment(a.s(0))
		if err != nil {
			return err
		}
		if f.hasTZ {
			return putInt(out, us-f.tzSign*(f.tzh*3600+f.tzm*60)*usSecond, nil)
		}
		return putInt(out, instant(us, zoneOf(a.set)), nil)
	}, settings)
}
