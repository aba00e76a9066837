package codec

import (
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the binary runs where no zone database is installed
)

// IntervalStyle is how intervals are written.
type IntervalStyle uint8

// The styles.
const (
	StylePostgres IntervalStyle = iota
	StyleISO8601
	StylePostgresVerbose
	StyleSQLStandard
)

// DateOrder is how a date of three short numbers is read.
type DateOrder uint8

// The orders.
const (
	MDY DateOrder = iota
	DMY
	YMD
)

// Settings are the session settings that values depend on. The zero value is PostgreSQL's defaults in UTC, except that
// FloatDigits is the setting minus one. Settings are read only while in use.
type Settings struct {
	Zone        *time.Location // nil: UTC
	Order       DateOrder
	Dates       DateOutput
	Intervals   IntervalStyle
	ByteaEscape bool // bytea_output = escape
	// FloatDigits is extra_float_digits − 1: 0 or more is the shortest text that reads back, −1…−16 is that many digits fewer
	// than 16 (double precision) or 7 (real).
	FloatDigits int
	// Encoding is the client's, nil for UTF-8. Values are read and written in UTF-8 all the same: a gateway applies it to what it sends
	// and receives.
	Encoding *Encoding
	// Now gives the time that the words now, today, tomorrow and yesterday mean; nil: time.Now.
	Now func() time.Time
}

// Defaults are PostgreSQL's default settings in UTC.
var Defaults = &Settings{}

// Set changes the setting of a PostgreSQL name. Names that no codec depends on, and values that have no meaning, are ignored:
// whoever keeps the settings has checked them.
func (s *Settings) Set(name, value string) {
	switch strings.ToLower(name) {
	case "timezone":
		if loc, err := LoadZone(value); err == nil {
			s.Zone = loc
		}
	case "datestyle":
		for _, w := range strings.FieldsFunc(strings.ToUpper(value), func(r rune) bool { return r == ',' || r == ' ' }) {
			switch w {
			case "MDY", "US", "NONEURO", "NONEUROPEAN":
				s.Order = MDY
			case "DMY", "EURO", "EUROPEAN":
				s.Order = DMY
			case "YMD":
				s.Order = YMD
			case "ISO":
				s.Dates = DatesISO
			case "SQL":
				s.Dates = DatesSQL
			case "POSTGRES":
				s.Dates = DatesPostgres
			case "GERMAN":
				s.Dates = DatesGerman
			}
		}
	case "intervalstyle":
		switch strings.ToLower(value) {
		case "postgres":
			s.Intervals = StylePostgres
		case "iso_8601":
			s.Intervals = StyleISO8601
		case "postgres_verbose":
			s.Intervals = StylePostgresVerbose
		case "sql_standard":
			s.Intervals = StyleSQLStandard
		}
	case "bytea_output":
		s.ByteaEscape = strings.EqualFold(value, "escape")
	case "client_encoding":
		s.Encoding, _, _ = EncodingNamed(value)
	case "extra_float_digits":
		if n, err := strconv.Atoi(value); err == nil {
			s.FloatDigits = n - 1
		}
	}
}

func (s *Settings) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

func (s *Settings) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// maxZones bounds the cache of zones; there are some 600 names, and fixed offsets without number.
const maxZones = 1024

var zones = struct {
	sync.RWMutex
	m map[string]*time.Location
}{m: map[string]*time.Location{}}

// LoadZone returns the time zone of a PostgreSQL name: an IANA name in any case of its common spellings, a number of hours
// east of UTC, an ISO offset as "+05:30" taken as PostgreSQL takes it (POSIX: hours west), or "<+05>-05". Errors: 22023.
func LoadZone(name string) (*time.Location, error) {
	zones.RLock()
	loc := zones.m[name]
	zones.RUnlock()
	if loc != nil {
		return loc, nil
	}
	loc, err := loadZone(name)
	if err != nil {
		return nil, err
	}
	zones.Lock()
	if len(zones.m) < maxZones {
		zones.m[name] = loc
	}
	zones.Unlock()
	return loc, nil
}

func loadZone(name string) (*time.Location, error) {
	bad := &Error{Code: "22023", Message: `invalid value for parameter "TimeZone": ` + quoted([]byte(name))}
	if len(name) > 64 || name == "" || strings.EqualFold(name, "local") {
		return nil, bad
	}
	switch strings.ToUpper(name) {
	case "UTC", "GMT", "Z", "ZULU", "UT", "UCT":
		return time.UTC, nil
	}
	if hours, err := strconv.ParseFloat(name, 64); err == nil && name[0] != '+' {
		if !(hours > -16 && hours < 16) {
			return nil, bad
		}
		return fixedZone(int(hours * 3600)), nil
	}
	if name[0] == '<' {
		// A POSIX zone "<abbreviation>offset": the offset counts west of UTC.
		if _, rest, ok := strings.Cut(name, ">"); ok {
			if off, ok := parseOffset([]byte(signed(rest))); ok {
				return fixedZone(-off), nil
			}
		}
		return nil, bad
	}
	if name[0] == '+' || name[0] == '-' {
		if off, ok := parseOffset([]byte(name)); ok {
			return fixedZone(-off), nil
		}
		return nil, bad
	}
	for _, n := range []string{name, strings.ToUpper(name), titleZone(name)} {
		if loc, err := time.LoadLocation(n); err == nil {
			return loc, nil
		}
	}
	return nil, bad
}

func signed(s string) string {
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		return "+" + s
	}
	return s
}

// titleZone is the name with each word capitalized, as almost all IANA names are.
func titleZone(name string) string {
	b := []byte(strings.ToLower(name))
	up := true
	for i, c := range b {
		if up && c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
		up = c == '/' || c == '_' || c == '-'
	}
	return string(b)
}

func fixedZone(seconds int) *time.Location { return time.FixedZone("", seconds) }

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
			part[i] = int(digitsValue([]byte(p)))
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
			part[i/2] = int(digitsValue(d[i : i+2]))
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
