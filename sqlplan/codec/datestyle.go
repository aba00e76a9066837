package codec

import (
	"strconv"
	"time"
)

// DateOutput is how dates and timestamps are written.
type DateOutput uint8

// The styles of DateStyle.
const (
	DatesISO DateOutput = iota
	DatesSQL
	DatesPostgres
	DatesGerman
)

// appendStyledDate writes a date in a style other than ISO.
func appendStyledDate(dst []byte, days int64, s *Settings) []byte {
	if out, ok := appendInfinity(dst, days); ok {
		return out
	}
	sep := map[DateOutput]byte{DatesSQL: '/', DatesPostgres: '-', DatesGerman: '.'}[s.Dates]
	dst, bc := appendNumbers(dst, days, sep, s.Order == DMY || s.Dates == DatesGerman)
	return appendBC(dst, bc)
}

// appendNumbers writes day, month and year, or month, day and year.
func appendNumbers(dst []byte, days int64, sep byte, dayFirst bool) (out []byte, bc bool) {
	y, m, d := dateOf(days)
	if bc = y <= 0; bc {
		y = 1 - y
	}
	first, second := m, d
	if dayFirst {
		first, second = d, m
	}
	dst = append2(dst, first)
	dst = append2(append(dst, sep), second)
	return appendYear(append(dst, sep), y), bc
}

func appendYear(dst []byte, y int64) []byte {
	if y < 10000 {
		return append2(append2(dst, y/100), y%100)
	}
	return strconv.AppendInt(dst, y, 10)
}

func appendBC(dst []byte, bc bool) []byte {
	if bc {
		return append(dst, " BC"...)
	}
	return dst
}

// appendStyledTimestamp writes a timestamp, with its zone's abbreviation where zoned, in a style other than ISO.
func appendStyledTimestamp(dst []byte, us int64, zoned bool, s *Settings) []byte {
	if out, ok := appendInfinity(dst, us); ok {
		return out
	}
	zone := ""
	if zoned {
		name, offset := time.Unix(floorDiv(us, microsPerSecond), 0).In(s.zone()).Zone()
		us += int64(offset) * microsPerSecond
		if zone = name; name == "" || name == "UTC" && offset != 0 {
			zone = string(appendOffset(nil, offset))
		}
	}
	days := floorDiv(us, microsPerDay)
	clock := us - days*microsPerDay
	var bc bool
	if s.Dates == DatesPostgres {
		y, m, d := dateOf(days)
		if bc = y <= 0; bc {
			y = 1 - y
		}
		weekday := time.Weekday(((days+4)%7 + 7) % 7) // 1970-01-01 was a Thursday
		dst = append(append(dst, weekday.String()[:3]...), ' ')
		month := time.Month(m).String()[:3]
		if s.Order == DMY {
			dst = append(append2(dst, d), ' ')
			dst = append(dst, month...)
		} else {
			dst = append2(append(append(dst, month...), ' '), d)
		}
		dst = appendClock(append(dst, ' '), clock)
		dst = appendYear(append(dst, ' '), y)
	} else {
		sep := byte('/')
		if s.Dates == DatesGerman {
			sep = '.'
		}
		dst, bc = appendNumbers(dst, days, sep, s.Order == DMY || s.Dates == DatesGerman)
		dst = appendClock(append(dst, ' '), clock)
	}
	if zone != "" {
		dst = append(append(dst, ' '), zone...)
	}
	return appendBC(dst, bc)
}

// appendOffset writes an offset in seconds east of UTC.
func appendOffset(dst []byte, offset int) []byte {
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append2(append(dst, sign), int64(offset/3600))
	if offset%3600 != 0 {
		dst = append2(append(dst, ':'), int64(offset/60%60))
		if offset%60 != 0 {
			dst = append2(append(dst, ':'), int64(offset%60))
		}
	}
	return dst
}
