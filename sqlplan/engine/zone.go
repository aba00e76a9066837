package engine

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// useZone makes the session's time zone that of its connection to DuckDB, or UTC where utc says so.
func (s *Session) useZone(ctx context.Context, utc bool) error {
	want := "UTC"
	if !utc && (s.set["timezone"] != "" || s.initial["timezone"] != "") {
		var err error
		if want, err = duckZone(s.Setting("TimeZone")); err != nil {
			return err
		}
	}
	if want == s.zone {
		return nil
	}
	if _, err := s.conn.Exec(ctx, "SET TimeZone = "+duck.QuoteLiteral(want)); err != nil {
		return err
	}
	s.zone = want
	return nil
}

// duckZone is DuckDB's name of a time zone. It knows PostgreSQL's names, and fixed offsets of whole hours.
func duckZone(name string) (string, error) {
	posix := name
	if name[0] == '<' {
		posix = name[strings.IndexByte(name, '>')+1:]
	}
	if posix[0] != '+' && posix[0] != '-' {
		return name, nil
	}
	var hours, minutes int
	text := strings.TrimLeft(posix, "+-")
	if n, _ := fmt.Sscanf(text, "%d:%d", &hours, &minutes); n == 0 || minutes != 0 || hours > 14 || hours > 12 && posix[0] == '+' {
		return "", hint(fail(codeUnsupported, "time zone %q is not supported in this statement", name), "Use the name of a zone, such as Asia/Kolkata.")
	}
	if hours == 0 {
		return "UTC", nil
	}
	return fmt.Sprintf("Etc/GMT%c%d", posix[0], hours), nil // which count west, as POSIX does
}

// zoneWords are what makes an expression's value depend on the session's time zone, or may: conversions between times with and
// without zone, their parts and texts, and steps of days and more.
var zoneWords = regexp.MustCompile(`(?i)\b(date|time|timestamp|text|varchar|day|days|week|weeks|month|months|year|years|quarter|date_trunc|date_part|extract|to_char|to_date|to_timestamp|strftime|strptime|age|date_bin|time_bucket|date_diff|datediff|make_timestamptz|timezone|now|today|current_date|current_time)\b`)

// fixedTime is a literal that says its zone.
var fixedTime = regexp.MustCompile(`(?i)'[^']*[+-]\d\d(:\d\d)*( BC)?'::timestamp with time zone`)

// refuseZone refuses to compute a stored expression in a session whose time zone could change its value: features and views have
// the same values for everybody, in UTC.
func (s *Session) refuseZone(name string, expressions ...string) error {
	if zone := s.location.String(); zone == "UTC" || zone == "" && s.Setting("TimeZone") == "UTC" {
		return nil
	}
	for _, e := range expressions {
		if zoneWords.MatchString(fixedTime.ReplaceAllString(e, "")) {
			return hint(fail(codeUnsupported, "%q cannot be read together with other expressions in time zone %s: its definition may depend on the zone, which is UTC for definitions", name, s.Setting("TimeZone")), "SET TimeZone = 'UTC' for this statement.")
		}
	}
	return nil
}
