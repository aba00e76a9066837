package codec

import (
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// maxTimeText bounds the text of a date, time or interval in bytes (PostgreSQL's MAXDATELEN is 128).
const maxTimeText = 128

// moment is what a date/time text says.
type moment struct {
	special          string // epoch, infinity, -infinity, now, today, tomorrow, yesterday, or ""
	y, m, d          int64
	hasDate          bool
	hasMonth, hasDay bool // while a date is read from separate words
	hasYear          bool
	yearDigits       int   // 1 or 2: a year of this century or the last, unless BC
	clockOnly        bool  // a value of type time is wanted
	micros           int64 // since midnight; 24:00:00 and leap seconds reach or pass a day
	hasTime          bool
	bc               bool
	half             byte // 'a', 'p' or 0
	offset           int  // seconds east
	hasOffset        bool
	loc              *time.Location
}

var months = map[string]int64{
	"jan": 1, "january": 1, "feb": 2, "february": 2, "mar": 3, "march": 3, "apr": 4, "april": 4, "may": 5, "jun": 6, "june": 6,
	"jul": 7, "july": 7, "aug": 8, "august": 8, "sep": 9, "sept": 9, "september": 9, "oct": 10, "october": 10, "nov": 11,
	"november": 11, "dec": 12, "december": 12,
}

var weekdays = map[string]bool{
	"sun": true, "sunday": true, "mon": true, "monday": true, "tue": true, "tues": true, "tuesday": true, "wed": true,
	"weds": true, "wednesday": true, "thu": true, "thur": true, "thurs": true, "thursday": true, "fri": true, "friday": true,
	"sat": true, "saturday": true,
}

// zoneAbbreviations are the common ones of PostgreSQL's default set, in hours east.
var zoneAbbreviations = map[string]int{
	"utc": 0, "gmt": 0, "ut": 0, "z": 0, "zulu": 0, "wet": 0, "west": 1, "bst": 1, "cet": 1, "cest": 2, "mez": 1, "mesz": 2,
	"eet": 2, "eest": 3, "msk": 3, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
	"akst": -9, "akdt": -8, "hst": -10, "jst": 9, "kst": 9, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13,
}

// fault says why a text is no moment.
type fault uint8

const (
	good        fault = iota
	malformed         // 22007
	noField           // 22008
	noMonth           // 22008, with the hint at DateStyle
	noZone            // 22009: displacement out of range
	strangeZone       // 22023: no zone of that name
)

func timeError(t vector.Type, in []byte, f fault) *Error {
	switch f {
	case noField, noMonth:
		e := &Error{Code: "22008", Message: "date/time field value out of range: " + quoted(in)}
		if f == noMonth {
			e.Hint = `Perhaps you need a different "datestyle" setting.`
		}
		return e
	case strangeZone:
		return &Error{Code: "22023", Message: "time zone not recognized: " + quoted(in)}
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
	if len(in) > maxTimeText {
		return 0, badSyntax(t, in)
	}
	var m moment
	b := trimSpace(in)
	if !m.iso(b) {
		m = moment{clockOnly: t.Kind == vector.Time}
		if f := m.scan(b, s.Order); f != good {
			return 0, timeError(t, in, f)
		}
		if f := m.check(); f != good {
			return 0, timeError(t, in, f)
		}
	}
	if t.Kind == vector.Time {
		if m.special == "now" {
			return m.wordMicros(s) % microsPerDay, nil
		}
		if m.special != "" || !m.hasTime {
			return 0, badSyntax(t, in)
		}
		if m.micros > microsPerDay {
			return 0, timeError(t, in, noField)
		}
		return m.micros, nil
	}
	switch m.special {
	case "":
	case "infinity":
		return vector.PosInfinity, nil
	case "-infinity":
		return vector.NegInfinity, nil
	case "epoch":
		return 0, nil
	default:
		local := m.wordMicros(s)
		switch t.Kind {
		case vector.Date:
			return floorDiv(local, microsPerDay), nil
		case vector.TimestampTZ:
			return utcOf(local, s.zone()), nil
		}
		return local, nil
	}
	if !m.hasDate {
		return 0, badSyntax(t, in)
	}
	days := daysOf(m.y, m.m, m.d)
	if t.Kind == vector.Date {
		if days < minDay || days > maxDay {
			return 0, tooFar(t, in)
		}
		return days, nil
	}
	if days < minDay || days > maxMicros/microsPerDay+1 {
		return 0, tooFar(t, in)
	}
	us := days*microsPerDay + m.micros
	if t.Kind == vector.TimestampTZ {
		switch {
		case m.hasOffset:
			us -= int64(m.offset) * microsPerSecond
		case m.loc != nil:
			us = utcOf(us, m.loc)
		default:
			us = utcOf(us, s.zone())
		}
	}
	if us < minMicros || us > maxMicros {
		return 0, tooFar(t, in)
	}
	return us, nil
}

// wordMicros is the local time that now, today, tomorrow or yesterday names.
func (m *moment) wordMicros(s *Settings) int64 {
	now := s.now().In(s.zone())
	_, offset := now.Zone()
	local := now.UnixMicro() + int64(offset)*microsPerSecond
	if m.special == "now" {
		return local
	}
	day := floorDiv(local, microsPerDay)
	switch m.special {
	case "tomorrow":
		day++
	case "yesterday":
		day--
	}
	return day*microsPerDay + m.micros
}

// iso reads the spelling that programs write, YYYY-MM-DD[{ |T}HH:MM:SS[.ffffff][Z|±HH[:MM]]], with all fields in range; false
// leaves the text to scan.
func (m *moment) iso(b []byte) bool {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
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
	m.hasDate = true
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
	m.micros, m.hasTime = ((h*60+mi)*60+sec)*microsPerSecond, true
	i := 19
	if i < len(b) && b[i] == '.' {
		j := i + 1
		for i = j; i < len(b) && isDigit(b[i]); i++ {
		}
		m.micros += fractionMicros(b[j:i])
	}
	if i == len(b) {
		return true
	}
	if b[i] == 'Z' && i+1 == len(b) {
		m.hasOffset = true
		return true
	}
	if b[i] != '+' && b[i] != '-' {
		return false
	}
	var ok bool
	m.offset, ok = parseOffset(b[i:])
	m.hasOffset = ok
	return ok
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

// parseOffset reads ±HH[[:]MM[[:]SS]] as seconds; ok is false unless all of b is one and it is below 16 hours.
func parseOffset(b []byte) (seconds int, ok bool) {
	if len(b) < 2 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	var part [3]int
	if colons := strings.Count(string(b), ":"); colons > 0 {
		for i, p := range strings.Split(string(b[1:]), ":") {
			if i > 2 || len(p) < 1 || len(p) > 2 || !allDigits([]byte(p)) {
				return 0, false
			}
			part[i] = int(number([]byte(p)))
		}
	} else {
		d := b[1:]
		if !allDigits(d) || len(d) > 6 {
			return 0, false
		}
		if len(d)%2 == 1 {
			d = append([]byte{'0'}, d...)
		}
		for i := 0; i < len(d); i += 2 {
			part[i/2] = int(number(d[i : i+2]))
		}
	}
	if part[0] > 15 || part[1] > 59 || part[2] > 59 {
		return 0, false
	}
	seconds = (part[0]*60+part[1])*60 + part[2]
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// number is the value of decimal digits, saturating far above any field.
func number(b []byte) int64 {
	n := int64(0)
	for _, c := range b {
		if n = n*10 + int64(c-'0'); n > 1<<40 {
			n = 1 << 40
		}
	}
	return n
}

// scan reads the free spellings: fields in any order, told apart by their punctuation, as PostgreSQL's ParseDateTime does.
func (m *moment) scan(b []byte, order DateOrder) fault {
	i := 0
	for i < len(b) {
		c := b[i]
		switch {
		case isSpace(c) || c == ',':
			i++
		case isLetter(c):
			j := i
			for j < len(b) && (isLetter(b[j]) || b[j] == '_' || b[j] == '/' || j > i && b[j] == '-' && j+1 < len(b) && isLetter(b[j+1])) {
				j++
			}
			w := strings.ToLower(string(b[i:j]))
			if (w == "t" || w == "j") && j < len(b) && isDigit(b[j]) {
				if w == "j" || !m.hasDate && !m.clockOnly {
					return malformed
				}
				i = j
				continue
			}
			if f := m.word(w, string(b[i:j])); f != good {
				return f
			}
			i = j
		case isDigit(c):
			n, f := m.digits(b[i:], order)
			if f != good {
				return f
			}
			i += n
		case c == '-' && m.hasMonth && !m.hasDate:
			i++ // Jan-08-1999
		case c == '+' || c == '-':
			j := i + 1
			for j < len(b) && (isDigit(b[j]) || b[j] == ':') {
				j++
			}
			if j == i+1 {
				if w := b[j:]; c == '-' && isWord(w, "infinity") && m.empty() {
					m.special = "-infinity"
					return good
				}
				return malformed
			}
			if m.hasOffset || m.loc != nil || !m.hasDate && !m.hasTime {
				return malformed
			}
			off, ok := parseOffset(b[i:j])
			if !ok {
				return noZone
			}
			m.offset, m.hasOffset = off, true
			i = j
		default:
			return malformed
		}
	}
	return good
}

func (m *moment) empty() bool {
	return m.special == "" && !m.hasDate && !m.hasTime && !m.hasMonth && !m.hasDay && !m.hasYear
}

func (m *moment) word(w, original string) fault {
	if n, ok := months[w]; ok {
		if m.hasDate || m.hasMonth {
			return malformed
		}
		m.m, m.hasMonth = n, true
		return good
	}
	if weekdays[w] {
		return good
	}
	switch w {
	case "am", "pm":
		m.half = w[0]
		return good
	case "ad", "bc":
		m.bc = w == "bc"
		return good
	case "epoch", "infinity", "inf", "now", "today", "tomorrow", "yesterday":
		if !m.empty() && !(m.hasTime && w[0] == 't' || m.hasTime && w[0] == 'y') {
			return malformed
		}
		if m.special = w; w == "inf" {
			m.special = "infinity"
		}
		return good
	case "allballs":
		m.hasTime = true
		return good
	case "at", "on":
		return good
	}
	if m.hasOffset || m.loc != nil {
		return malformed
	}
	if h, ok := zoneAbbreviations[w]; ok {
		m.offset, m.hasOffset = h*3600, true
		return good
	}
	if !strings.Contains(w, "/") {
		return malformed
	}
	loc, err := LoadZone(original)
	if err != nil {
		return strangeZone
	}
	m.loc = loc
	return good
}

// digits reads the field at the start of b, which begins with a digit, and returns its length.
func (m *moment) digits(b []byte, order DateOrder) (int, fault) {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	next := byte(0)
	if n < len(b) {
		next = b[n]
	}
	switch {
	case next == ':':
		return m.clock(b)
	case !m.hasDate && !m.hasMonth && (next == '-' || next == '/' || next == '.' && !m.hasTime):
		return m.delimited(b, next, order)
	case !m.hasDate && m.hasMonth && next == '-' && n+1 < len(b) && isDigit(b[n+1]):
		return m.loose(b[:n], order), good
	case (m.hasDate || m.clockOnly) && !m.hasTime && (n == 4 || n == 6):
		h, mi, sec := number(b[:2]), number(b[2:4]), int64(0)
		if n == 6 {
			sec = number(b[4:6])
		}
		us := int64(0)
		if next == '.' {
			j := n + 1
			for n = j; n < len(b) && isDigit(b[n]); n++ {
			}
			us = fractionMicros(b[j:n])
		}
		return n, m.setClock(h, mi, sec, us)
	case !m.hasDate && !m.hasMonth && !m.hasYear && (n == 8 || n == 6):
		m.y, m.yearDigits = number(b[:n-4]), n-4
		m.m, m.d, m.hasDate = number(b[n-4:n-2]), number(b[n-2:n]), true
		return n, good
	case !m.hasDate:
		if m.loose(b[:n], order) == 0 {
			return 0, malformed
		}
		return n, good
	}
	return 0, malformed
}

// loose takes a number beside the name of a month. With order YMD the first one is the year, else a short one the day; a
// long number after a short year makes that the day.
func (m *moment) loose(b []byte, order DateOrder) int {
	x := number(b)
	switch {
	case m.hasYear && !m.hasDay && len(b) > 2 && m.yearDigits <= 2:
		m.d, m.y, m.yearDigits, m.hasDay = m.y, x, len(b), true
	case !m.hasDay && (m.hasYear || len(b) <= 2 && order != YMD):
		m.d, m.hasDay = x, true
	case !m.hasYear:
		m.y, m.yearDigits, m.hasYear = x, len(b), true
	default:
		return 0
	}
	m.hasDate = m.hasDay && m.hasMonth && m.hasYear
	return len(b)
}

// delimited reads three fields with one punctuation mark between them.
func (m *moment) delimited(b []byte, mark byte, order DateOrder) (int, fault) {
	var f [3][]byte
	i := 0
	for k := range f {
		j := i
		for j < len(b) && (isDigit(b[j]) || k == 1 && isLetter(b[j])) {
			j++
		}
		if f[k] = b[i:j]; j == i {
			return 0, malformed
		}
		i = j
		if k < 2 {
			if i >= len(b) || b[i] != mark {
				return 0, malformed
			}
			i++
		}
	}
	if isLetter(f[1][0]) {
		n, ok := months[strings.ToLower(string(f[1]))]
		if !ok {
			return 0, malformed
		}
		if m.m = n; len(f[0]) > 2 {
			m.y, m.d, m.yearDigits = number(f[0]), number(f[2]), len(f[0])
		} else {
			m.d, m.y, m.yearDigits = number(f[0]), number(f[2]), len(f[2])
		}
		m.hasDate = true
		return i, good
	}
	if !allDigits(f[1]) {
		return 0, malformed
	}
	a, c, e := number(f[0]), number(f[1]), number(f[2])
	switch {
	case len(f[0]) > 2 || order == YMD:
		m.y, m.m, m.d, m.yearDigits = a, c, e, len(f[0])
	case order == DMY:
		m.d, m.m, m.y, m.yearDigits = a, c, e, len(f[2])
	default:
		m.m, m.d, m.y, m.yearDigits = a, c, e, len(f[2])
	}
	m.hasDate = true
	return i, good
}

// clock reads HH:MM[:SS[.ffffff]].
func (m *moment) clock(b []byte) (int, fault) {
	var p [3]int64
	i, k := 0, 0
	for {
		j := i
		for j < len(b) && isDigit(b[j]) {
			j++
		}
		if j == i {
			return 0, malformed
		}
		p[k] = number(b[i:j])
		i = j
		if k == 2 || i >= len(b) || b[i] != ':' {
			break
		}
		k++
		i++
	}
	us := int64(0)
	if i < len(b) && b[i] == '.' {
		j := i + 1
		for i = j; i < len(b) && isDigit(b[i]); i++ {
		}
		us = fractionMicros(b[j:i])
		if k == 1 {
			// MM:SS.fff, as PostgreSQL reads two fields with a fraction.
			p = [3]int64{0, p[0], p[1]}
		}
	}
	return i, m.setClock(p[0], p[1], p[2], us)
}

func (m *moment) setClock(h, mi, sec, us int64) fault {
	if m.hasTime {
		return malformed
	}
	m.hasTime = true
	if h > 24 || mi > 59 || sec > 60 || h == 24 && mi+sec+us > 0 {
		return noField
	}
	m.micros = ((h*60+mi)*60+sec)*microsPerSecond + us
	return good
}

// check puts the fields together and finds those out of range.
func (m *moment) check() fault {
	if m.half != 0 {
		h := m.micros / (3600 * microsPerSecond)
		if !m.hasTime || h > 12 {
			return noField
		}
		switch {
		case m.half == 'a' && h == 12:
			m.micros -= 12 * 3600 * microsPerSecond
		case m.half == 'p' && h < 12:
			m.micros += 12 * 3600 * microsPerSecond
		}
	}
	if m.special != "" {
		return good
	}
	if !m.hasDate {
		if m.hasMonth || m.hasDay || m.hasYear || !m.hasTime {
			return malformed
		}
		return good
	}
	if m.yearDigits > 0 && m.yearDigits <= 2 && !m.bc {
		if m.y += 1900; m.y < 1970 {
			m.y += 100
		}
	}
	if m.bc {
		if m.y <= 0 {
			return noField
		}
		m.y = 1 - m.y
	} else if m.y == 0 {
		return noField
	}
	if m.m < 1 || m.m > 12 || m.d < 1 || m.d > 31 {
		return noMonth
	}
	if m.y > 6_000_000 {
		return noField
	}
	if m.d > daysIn(m.y, m.m) {
		return noField
	}
	return good
}
