package codec

import (
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// fieldMask is a set of the fields of a date/time text.
type fieldMask uint32

const (
	fieldYear fieldMask = 1 << iota
	fieldMonth
	fieldDay
	fieldDayOfYear
	fieldHour
	fieldMinute
	fieldSecond
	fieldFraction
	fieldZone
	fieldSummer // the word DST
	fieldSummerZone
	fieldMovingZone
	fieldHalf
	fieldEra
	fieldWeekday
	fieldSpecial

	dateFields = fieldYear | fieldMonth | fieldDay
	timeFields = fieldHour | fieldMinute | fieldSecond | fieldFraction
)

// moment is what a date/time text says.
type moment struct {
	clockOnly            bool // a value of type time is wanted
	seen                 fieldMask
	special              string // epoch, infinity, -infinity, or ""
	y, m, d, dayOfYear   int64
	hour, minute, second int64
	micros               int64 // of the second; rounding may make it a whole one
	shortYear            bool  // one or two digits: a year of this century or the last, unless BC
	textMonth            bool
	julian               bool
	bc                   bool
	half                 byte // 'a', 'p' or 0
	label                byte // what the next number is, or 0
	offset               int  // seconds east
	loc                  *time.Location
	abbreviation         string // of loc, when that is not the zone itself
	badZone              string
}

// fault says why a text is no moment.
type fault uint8

const (
	good        fault = iota
	malformed         // 22007
	noField           // 22008
	noMonth           // 22008, with the hint at DateStyle
	noZone            // 22009: displacement out of range
	strangeZone       // 22023: no zone of the name badZone
)

func timeError(t vector.Type, in []byte, f fault) *Error {
	switch f {
	case noField, noMonth:
		e := &Error{Code: "22008", Message: "date/time field value out of range: " + quoted(in)}
		if f == noMonth {
			e.Hint = `Perhaps you need a different "datestyle" setting.`
		}
		return e
	case noZone:
		return &Error{Code: "22009", Message: "time zone displacement out of range: " + quoted(in)}
	}
	return badSyntax(t, in)
}

func tooFar(t vector.Type, in []byte) *Error {
	name := "timestamp"
	if t.Kind == vector.Date {
		name = "date"
	}
	return &Error{Code: "22008", Message: name + " out of range: " + quoted(in)}
}

// parseMoment reads in as a value of the date or time type t.
func parseMoment(t vector.Type, in []byte, s *Settings) (int64, error) {
	m := moment{clockOnly: t.Kind == vector.Time}
	if m.clockOnly || !m.iso(trimSpace(in)) {
		m = moment{clockOnly: t.Kind == vector.Time}
		size := maxTimestampText
		if t.Kind == vector.Date || t.Kind == vector.Time {
			size = maxTimeText
		}
		var room [8]piece
		list, f := pieces(room[:0], in, size)
		if f == good {
			f = m.read(list, s)
		}
		if f == strangeZone {
			return 0, &Error{Code: "22023", Message: "time zone " + quoted([]byte(m.badZone)) + " not recognized"}
		}
		if f != good {
			return 0, timeError(t, in, f)
		}
	}
	micros := ((m.hour*60+m.minute)*60+m.second)*microsPerSecond + m.micros
	if t.Kind == vector.Time {
		if m.seen&timeFields != timeFields {
			return 0, badSyntax(t, in)
		}
		return micros, nil
	}
	switch m.special {
	case "infinity":
		return vector.PosInfinity, nil
	case "-infinity":
		return vector.NegInfinity, nil
	case "epoch":
		return 0, nil
	}
	days := daysOf(m.y, m.m, m.d)
	if t.Kind == vector.Date {
		if days < minDay || days > maxDay {
			return 0, tooFar(t, in)
		}
		return days, nil
	}
	// A day beyond the range may be one within it in UTC.
	if days < minDay-31 || days > maxMicros/microsPerDay+31 {
		return 0, tooFar(t, in)
	}
	// Labelled hours have no bound but 32 bits of seconds, in which PostgreSQL's arithmetic wraps; the test after is its own, from 2000 on.
	micros = int64(int32((m.hour*60+m.minute)*60+m.second))*microsPerSecond + m.micros
	us := days*microsPerDay + micros
	if us < pgEpochMicros && days > pgEpochDays || us > pgEpochMicros && days < pgEpochDays-1 {
		return 0, tooFar(t, in)
	}
	if t.Kind == vector.TimestampTZ {
		switch {
		case m.abbreviation != "":
			us -= int64(movingOffset(m.abbreviation, m.loc, us)) * microsPerSecond
		case m.loc != nil:
			us = utcOf(us, m.loc)
		case m.seen&fieldZone != 0:
			us -= int64(m.offset) * microsPerSecond
		default:
			us = utcOf(us, s.zone())
		}
	}
	if us < minMicros || us > maxMicros {
		return 0, tooFar(t, in)
	}
	return us, nil
}

// iso reads the spelling that programs write, YYYY-MM-DD[{ |T}HH:MM:SS[.ffffff][Z|±HH[:MM]]], with all fields in range; false
// leaves the text to scan.
func (m *moment) iso(b []byte) bool {
	if len(b) < 10 || len(b) > 64 || b[4] != '-' || b[7] != '-' {
		return false
	}
	n2 := func(i int) int64 {
		if !isDigit(b[i]) || !isDigit(b[i+1]) {
			return 1000
		}
		return int64(b[i]-'0')*10 + int64(b[i+1]-'0')
	}
	hi, lo := n2(0), n2(2)
	m.y, m.m, m.d = hi*100+lo, n2(5), n2(8)
	if hi > 99 || lo > 99 || m.y == 0 || m.m < 1 || m.m > 12 || m.d < 1 || m.d > daysIn(m.y, m.m) {
		return false
	}
	m.seen = dateFields
	if len(b) == 10 {
		return true
	}
	if len(b) < 19 || b[10] != ' ' && b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return false
	}
	h, mi, sec := n2(11), n2(14), n2(17)
	if h > 23 || mi > 59 || sec > 59 {
		return false
	}
	m.hour, m.minute, m.second = h, mi, sec
	i := 19
	if i < len(b) && b[i] == '.' {
		j := i + 1
		for i = j; i < len(b) && isDigit(b[i]); i++ {
		}
		if i == j {
			return false
		}
		m.micros = fractionMicros(b[j:i])
	}
	m.seen |= timeFields
	if i == len(b) {
		return true
	}
	if b[i] == 'Z' && i+1 == len(b) {
		m.seen |= fieldZone
		return true
	}
	if b[i] != '+' && b[i] != '-' || i+1 == len(b) || !isDigit(b[i+1]) {
		return false
	}
	m.seen |= fieldZone
	return m.displacement(string(b[i:])) == good
}

func daysIn(y, m int64) int64 {
	if m == 2 {
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (m+m/8)%2
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// digitsValue is the value of decimal digits, saturating far above any field.
func digitsValue(b []byte) int64 {
	n := int64(0)
	for _, c := range b {
		if n = n*10 + int64(c-'0'); n > 1<<40 {
			n = 1 << 40
		}
	}
	return n
}
