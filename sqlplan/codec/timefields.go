package codec

import (
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// read takes the pieces of a text in turn, by the rules of PostgreSQL's DecodeDateTime, or DecodeTimeOnly where a value of type time is
// wanted, and checks what they say together.
func (m *moment) read(list []piece, s *Settings) fault {
	for i, p := range list {
		var got fieldMask
		var f fault
		switch p.sort {
		case dateLike:
			got, f = m.dateLike(i, list, s.Order)
		case clockLike:
			if !m.clockOnly { // PostgreSQL lets a label stand before a value of type time
				if m.label != 0 && m.label != labelClock {
					return malformed
				}
				m.label = 0
			}
			if got, f = timeFields, m.clock(p.text); f == good && !m.clockOnly && m.clockTooFar() {
				f = noField
			}
		case zoneOffset:
			got, f = fieldZone, m.displacement(p.text)
		case number:
			if m.label != 0 {
				got, f = m.labelled(p.text)
			} else {
				got, f = m.bare(i, list, s.Order)
			}
		default:
			if w, ok := timeWords[p.text]; ok && w.kind == wordFiller {
				continue
			}
			got, f = m.word(i, list, s)
		}
		if f != good {
			return f
		}
		if m.seen&got != 0 {
			return malformed
		}
		m.seen |= got
	}
	return m.check()
}

// dateLike reads a date, the name of a zone, or after a date hhmmss-zz.
func (m *moment) dateLike(i int, list []piece, order DateOrder) (fieldMask, fault) {
	p := list[i]
	if m.clockOnly {
		if i == 0 && len(list) >= 2 && (list[len(list)-1].sort == dateLike || list[1].sort == clockLike) {
			return m.date(p.text, order)
		}
		return m.zoneOrClock(p)
	}
	switch {
	case m.label == labelJulian:
		n, rest, over := leading(p.text)
		if over {
			return 0, noField
		}
		m.setJulian(n)
		m.label = 0
		return dateFields | timeFields | fieldZone, m.displacement(rest)
	case m.label != 0 || m.seen&(fieldMonth|fieldDay) == fieldMonth|fieldDay:
		return m.zoneOrClock(p)
	}
	return m.date(p.text, order)
}

func (m *moment) zoneOrClock(p piece) (fieldMask, fault) {
	if isDigit(p.text[0]) || !m.clockOnly && m.label != 0 {
		if !m.clockOnly && m.label != 0 {
			if m.label != labelClock {
				return 0, malformed
			}
			m.label = 0
		}
		at := strings.IndexByte(p.text, '-')
		if m.seen&timeFields == timeFields || at < 0 {
			return 0, malformed
		}
		if f := m.displacement(p.text[at:]); f != good {
			return 0, f
		}
		seen := m.seen
		if m.clockOnly {
			seen |= dateFields
		}
		got, f := m.runTogether(p.text[:at], seen)
		return got | fieldZone, f
	}
	return m.zoneNamed(p, strangeZone)
}

func (m *moment) zoneNamed(p piece, unknown fault) (fieldMask, fault) {
	loc, err := LoadZone(p.raw)
	if strings.Contains(p.raw, "//") || strings.Contains(p.raw, "/.") {
		err = fs.ErrNotExist // a path that the file system takes
	}
	if err != nil {
		if loc = posixZone(p.raw); loc == nil {
			m.badZone = p.text
			return 0, unknown
		}
	}
	m.loc = loc
	return fieldZone, good
}

// leading is the number at the start of s, and what follows; over says that it is beyond 32 bits.
func leading(s string) (n int64, rest string, over bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	n = digitsValue([]byte(s[:i]))
	return n, s[i:], n > math.MaxInt32
}

// fraction reads a point and digits, or none, as microseconds.
func fraction(s string) (int64, fault) {
	if s == "." {
		return 0, good
	}
	if s[0] != '.' || !allDigits([]byte(s[1:])) {
		return 0, malformed
	}
	return fractionMicros([]byte(s[1:])), good
}

const unixJulianDay = 2440588 // the Julian day of 1970-01-01

func (m *moment) setJulian(n int64) {
	m.y, m.m, m.d = dateOf(n - unixJulianDay)
	m.julian = true
}

// date reads a date with punctuation: the name of a month where there is one, then the numbers in turn.
func (m *moment) date(s string, order DateOrder) (fieldMask, fault) {
	var parts []string
	for i := 0; i < len(s) && len(parts) < maxTimePieces; {
		for i < len(s) && !isAlnum(s[i]) {
			i++
		}
		if i == len(s) {
			return 0, malformed
		}
		is := isDigit
		if isLetter(s[i]) {
			is = isLetter
		}
		j := i
		for j < len(s) && is(s[j]) {
			j++
		}
		parts = append(parts, s[i:j])
		i = j + 1 // the mark that ended it, whichever it is
	}
	seen, all, named := m.seen, fieldMask(0), false
	for i, part := range parts {
		if !isLetter(part[0]) {
			continue
		}
		w, ok := timeWords[part]
		if ok && w.kind == wordFiller {
			continue
		}
		if !ok || w.kind != wordMonth || seen&fieldMonth != 0 {
			return 0, malformed
		}
		m.m, named = w.value, true
		seen, all = seen|fieldMonth, all|fieldMonth
		parts[i] = ""
	}
	for _, part := range parts {
		if part == "" {
			continue
		}
		got, f := m.number(part, named, seen, order)
		if f != good {
			return 0, f
		}
		if seen&got != 0 {
			return 0, malformed
		}
		seen, all = seen|got, all|got
	}
	if seen&^(fieldDayOfYear|fieldZone) != dateFields {
		return 0, malformed
	}
	return all, good
}

// number reads a number as the next field of a date, or of the time after one.
func (m *moment) number(s string, named bool, seen fieldMask, order DateOrder) (fieldMask, fault) {
	n, rest, over := leading(s)
	switch {
	case over:
		return 0, noField
	case len(rest) == len(s):
		return 0, malformed
	case strings.HasPrefix(rest, "."):
		if len(s)-len(rest) > 2 {
			return m.runTogether(s, seen|dateFields)
		}
		us, f := fraction(rest)
		if f != good {
			return 0, f
		}
		m.micros = us
	case rest != "":
		return 0, malformed
	}
	year := func() (fieldMask, fault) {
		m.y, m.shortYear = n, len(s) <= 2
		return fieldYear, good
	}
	month := func() (fieldMask, fault) { m.m = n; return fieldMonth, good }
	day := func() (fieldMask, fault) { m.d = n; return fieldDay, good }
	have := seen & dateFields
	if len(s) == 3 && have == fieldYear && n >= 1 && n <= 366 {
		m.dayOfYear = n
		return fieldDayOfYear | fieldMonth | fieldDay, good
	}
	switch have {
	case 0:
		switch {
		case len(s) >= 3 || order == YMD:
			return year()
		case order == DMY:
			return day()
		}
		return month()
	case fieldYear, fieldDay:
		return month()
	case fieldMonth:
		if named && (len(s) >= 3 || order == YMD) {
			return year()
		}
		return day()
	case fieldYear | fieldMonth:
		if named && len(s) >= 3 && m.shortYear {
			m.d, m.y, m.shortYear = m.y, n, false // the first number was the day
			return fieldDay, good
		}
		return day()
	case fieldMonth | fieldDay:
		return year()
	case dateFields:
		return m.runTogether(s, seen)
	}
	return 0, malformed
}

// runTogether reads yyyymmdd, yymmdd, hhmmss or hhmm, the time with a fraction.
func (m *moment) runTogether(s string, seen fieldMask) (fieldMask, fault) {
	n := strings.IndexByte(s, '.')
	if n >= 0 {
		end := n + 1
		for end < len(s) && isDigit(s[end]) {
			end++
		}
		m.micros = fractionMicros([]byte(s[n+1 : end]))
		s = s[:n]
	} else if seen&dateFields != dateFields && len(s) >= 6 {
		n = len(s)
		m.d, m.m, m.y = two(s[n-2:]), two(s[n-4:n-2]), wrapped(s[:n-4])
		if n == 6 {
			m.shortYear = true
		}
		return dateFields, good
	}
	if seen&timeFields == timeFields || len(s) != 4 && len(s) != 6 {
		return 0, malformed
	}
	if m.hour, m.minute, m.second = two(s), two(s[2:]), 0; len(s) == 6 {
		m.second = two(s[4:])
	}
	return timeFields, good
}

func two(s string) int64 { return digitsValue([]byte(s[:2])) }

// wrapped is a number as PostgreSQL's 32 bits keep it.
func wrapped(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return int64(int32(n))
}

// clock reads HH:MM[:SS[.ffffff]], or MM:SS.ffffff.
func (m *moment) clock(s string) fault {
	var over bool
	var rest string
	if m.hour, rest, over = leading(s); over {
		return noField
	}
	if !strings.HasPrefix(rest, ":") {
		return malformed
	}
	if m.minute, rest, over = leading(rest[1:]); over {
		return noField
	}
	var f fault
	switch {
	case rest == "":
		m.second, m.micros = 0, 0
	case rest[0] == '.':
		if m.micros, f = fraction(rest); f != good {
			return f
		}
		m.hour, m.minute, m.second = 0, m.hour, m.minute
	case rest[0] == ':':
		if m.second, rest, over = leading(rest[1:]); over {
			return noField
		}
		if m.micros = 0; rest != "" {
			if m.micros, f = fraction(rest); f != good {
				return f
			}
		}
	default:
		return malformed
	}
	if m.minute > 59 || m.second > 60 {
		return noField
	}
	return good
}

// clockTooFar says that the time is beyond 24:00:00.
func (m *moment) clockTooFar() bool {
	return m.hour > 24 || m.minute > 59 || m.second > 60 ||
		((m.hour*60+m.minute)*60+m.second)*microsPerSecond+m.micros > microsPerDay
}

// displacement reads ±HH[[:]MM[:SS]], below 16 hours.
func (m *moment) displacement(s string) fault {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return malformed
	}
	// A part may have a sign of its own, which only 0 survives.
	part := func(s string) (n int64, rest string, over bool) {
		if len(s) > 1 && s[0] == '-' && isDigit(s[1]) {
			n, rest, over = leading(s[1:])
			return n, rest, over || n > 0
		}
		return leading(s)
	}
	h, rest, over := part(s[1:])
	var mi, sec int64
	switch {
	case over:
		return noZone
	case strings.HasPrefix(rest, ":"):
		if mi, rest, over = part(rest[1:]); !over && strings.HasPrefix(rest, ":") {
			sec, rest, over = part(rest[1:])
		}
	case rest == "" && len(s) > 3:
		h, mi = h/100, h%100
	}
	if over || h > 15 || mi > 59 || sec > 59 {
		return noZone
	}
	if m.offset = int((h*60+mi)*60 + sec); s[0] == '-' {
		m.offset = -m.offset
	}
	if rest != "" {
		return malformed
	}
	return good
}

// labelled reads the number after a label.
func (m *moment) labelled(s string) (got fieldMask, f fault) {
	label := m.label
	m.label, m.special = 0, "" // a label makes a name before it mean nothing, in PostgreSQL too
	n, rest, over := leading(s)
	if over {
		return 0, noField
	}
	if rest != "" && (rest[0] != '.' || label != labelJulian && label != labelClock && label != labelSecond) {
		return 0, malformed
	}
	switch label {
	case labelYear:
		m.y, got = n, fieldYear
	case labelMonth:
		if m.seen&fieldMonth != 0 && m.seen&fieldHour != 0 {
			m.minute, got = n, fieldMinute
		} else {
			m.m, got = n, fieldMonth
		}
	case labelDay:
		m.d, got = n, fieldDay
	case labelHour:
		m.hour, got = n, fieldHour
	case labelMinute:
		m.minute, got = n, fieldMinute
	case labelSecond:
		if m.second, got = n, fieldSecond; rest != "" {
			m.micros, f = fraction(rest)
			got |= fieldFraction
		}
	case labelJulian:
		m.setJulian(n)
		if got = dateFields; rest != "" {
			part, err := strconv.ParseFloat("0"+rest, 64)
			if err != nil && rest != "." {
				return 0, malformed
			}
			us := int64(part * float64(microsPerDay))
			m.hour, m.minute, m.second, m.micros = us/3600e6, us/60e6%60, us/1e6%60, us%1e6
			got |= timeFields
		}
	case labelClock:
		if got, f = m.runTogether(s, m.seen|dateFields); f == good && got != timeFields {
			f = malformed
		}
	default:
		return 0, malformed
	}
	return got, f
}

// bare reads a number without a label.
func (m *moment) bare(i int, list []piece, order DateOrder) (fieldMask, fault) {
	s := list[i].text
	point := strings.IndexByte(s, '.')
	if m.clockOnly {
		switch {
		case point >= 0 && i == 0 && len(list) >= 2 && list[len(list)-1].sort == dateLike:
			return m.date(s, order)
		case point > 2 || point < 0 && len(s) > 4:
			return m.runTogether(s, m.seen|dateFields)
		case point >= 0:
			return 0, malformed
		}
		return m.number(s, false, m.seen|dateFields, order)
	}
	switch {
	case point >= 0 && m.seen&dateFields == 0:
		return m.date(s, order)
	case point > 2, len(s) >= 6 && (m.seen&dateFields == 0 || m.seen&timeFields == 0):
		return m.runTogether(s, m.seen)
	}
	return m.number(s, m.textMonth, m.seen, order)
}

// word reads letters: an abbreviation of a zone, a word of the language, or the name of a zone.
func (m *moment) word(i int, list []piece, s *Settings) (fieldMask, fault) {
	p := list[i]
	if offset, ok := zoneAbbreviations[p.text]; ok {
		if m.offset = offset; summerAbbreviations[p.text] {
			return fieldZone | fieldSummerZone, good
		}
		return fieldZone, good
	}
	if zone, ok := movingAbbreviations[p.text]; ok {
		loc, err := LoadZone(zone)
		if err != nil {
			return 0, malformed
		}
		m.loc, m.abbreviation = loc, p.text
		return fieldZone | fieldMovingZone, good
	}
	w, ok := timeWords[p.text]
	if !ok {
		return m.zoneNamed(p, malformed)
	}
	switch w.kind {
	case wordMonth:
		if m.clockOnly {
			return 0, malformed
		}
		got := fieldMonth
		if m.seen&fieldMonth != 0 && !m.textMonth && m.seen&fieldDay == 0 && m.m >= 1 && m.m <= 31 {
			m.d, got = m.m, fieldDay // the number before was the day
		}
		m.textMonth, m.m = true, w.value
		return got, good
	case wordDay:
		if m.clockOnly {
			return 0, malformed
		}
		return fieldWeekday, good
	case wordSummer:
		m.offset += int(w.value)
		return fieldSummer | fieldSummerZone, good
	case wordHalf:
		m.half = byte(w.value)
		return fieldHalf, good
	case wordEra:
		m.bc = w.value == 1
		return fieldEra, good
	case wordLabel:
		m.label = byte(w.value)
		return 0, good
	case wordISOTime:
		if !m.clockOnly && m.seen&dateFields != dateFields || i+1 >= len(list) {
			return 0, malformed
		}
		if next := list[i+1].sort; next != number && next != clockLike && next != dateLike {
			return 0, malformed
		}
		m.label = byte(w.value)
		return 0, good
	}
	return m.named(p.text, s)
}

// named reads a moment by its name.
func (m *moment) named(name string, s *Settings) (fieldMask, fault) {
	now := s.now().In(s.zone())
	_, offset := now.Zone()
	local := now.UnixMicro() + int64(offset)*microsPerSecond
	day := floorDiv(local, microsPerDay)
	got := dateFields
	m.special = ""
	switch name {
	case "allballs":
		m.hour, m.minute, m.second, m.micros, m.offset = 0, 0, 0, 0, 0
		return timeFields | fieldZone, good
	case "now":
		us := local - day*microsPerDay
		m.hour, m.minute, m.second, m.micros = us/3600e6, us/60e6%60, us/1e6%60, us%1e6
		if m.clockOnly {
			return timeFields, good
		}
		m.offset, got = offset, dateFields|timeFields|fieldZone
	case "yesterday":
		day--
	case "tomorrow":
		day++
	case "today":
	case "epoch", "infinity", "-infinity":
		if !m.clockOnly {
			m.special = name
			return fieldSpecial, good
		}
	default:
		return 0, malformed
	}
	if m.clockOnly {
		return 0, malformed
	}
	m.y, m.m, m.d = dateOf(day)
	return got, good
}

// check puts the fields together and finds those out of range.
func (m *moment) check() fault {
	if f := m.checkDate(); f != good {
		return f
	}
	if m.half != 0 && m.hour > 12 {
		return noField
	}
	switch {
	case m.half == 'a' && m.hour == 12:
		m.hour = 0
	case m.half == 'p' && m.hour != 12:
		m.hour += 12
	}
	if m.special != "" {
		return good
	}
	if m.clockOnly {
		if m.clockTooFar() {
			return noField
		}
		if m.seen&timeFields != timeFields {
			return malformed
		}
		have := m.seen & dateFields
		if m.loc != nil && m.abbreviation == "" && have != dateFields && !fixed(m.loc) {
			return malformed // a zone with several offsets says nothing without a date
		}
		if (m.seen&fieldZone == 0 || m.abbreviation != "") && have != 0 && have != dateFields {
			return malformed
		}
	} else if m.seen&dateFields != dateFields {
		return malformed
	}
	if m.seen&fieldSummer != 0 && (m.seen&fieldZone == 0 || m.loc != nil) {
		return malformed
	}
	return good
}

func (m *moment) checkDate() fault {
	if m.seen&fieldYear != 0 && !m.julian {
		switch {
		case m.bc:
			if m.y <= 0 {
				return noField
			}
			m.y = 1 - m.y
		case m.shortYear:
			switch {
			case m.y < 70:
				m.y += 2000
			case m.y < 100:
				m.y += 1900
			}
		case m.y <= 0:
			return noField
		}
	}
	if m.seen&fieldDayOfYear != 0 {
		m.y, m.m, m.d = dateOf(daysOf(m.y, 1, 1) + m.dayOfYear - 1)
	}
	if m.seen&fieldMonth != 0 && (m.m < 1 || m.m > 12) || m.seen&fieldDay != 0 && (m.d < 1 || m.d > 31) {
		return noMonth
	}
	if m.seen&dateFields == dateFields && m.d > daysIn(m.y, m.m) {
		return noField
	}
	return good
}
