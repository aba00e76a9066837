package engine

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// setting is a run-time parameter of a session.
type setting struct {
	name     string // as SHOW prints it
	initial  string
	help     string
	reported bool                                 // sent to the client when it changes
	fixed    bool                                 // SET is refused
	check    func(v string) (string, error)       // normalises a value; nil: any
	apply    func(s *Session, v string) (e error) // takes effect; nil: read where needed
}

// settings are all that SET, SHOW and tilehouse.settings know, by lower-case name.
var settings = func() map[string]*setting {
	m := map[string]*setting{}
	for _, s := range []*setting{
		{name: "TimeZone", initial: "UTC", help: "how times are printed and literals without a zone are read", reported: true, check: checkZone, apply: applyZone},
		{name: "DateStyle", initial: "ISO, MDY", help: "how dates are printed", reported: true, check: oneOf("ISO, MDY", "iso", "iso, mdy", "iso, dmy", "iso, ymd")},
		{name: "IntervalStyle", initial: "postgres", help: "how intervals are printed", reported: true, check: oneOf("postgres", "postgres")},
		{name: "client_encoding", initial: "UTF8", help: "the client's encoding", reported: true, check: oneOf("UTF8", "utf8", "utf-8", "unicode")},
		{name: "server_encoding", initial: "UTF8", help: "the server's encoding", reported: true, fixed: true},
		{name: "server_version", initial: "15.0 (Tilehouse)", help: "the PostgreSQL version that clients see", reported: true, fixed: true},
		{name: "server_version_num", initial: "150000", help: "the same as a number", fixed: true},
		{name: "standard_conforming_strings", initial: "on", help: "backslashes in '…' are ordinary", reported: true, check: oneOf("on", "on", "true", "1")},
		{name: "integer_datetimes", initial: "on", help: "times are integers on the wire", reported: true, fixed: true},
		{name: "is_superuser", initial: "off", help: "whether the role is a superuser", reported: true, fixed: true},
		{name: "session_authorization", initial: DefaultRole, help: "the session's role", reported: true, fixed: true},
		{name: "application_name", initial: "", help: "the client's name of itself", reported: true},
		{name: "search_path", initial: `"$user", public`, help: "schemas that unqualified names are looked up in"},
		{name: "extra_float_digits", initial: "1", help: "precision of floats in text"},
		{name: "bytea_output", initial: "hex", help: "how bytea is printed", check: oneOf("hex", "hex")},
		{name: "client_min_messages", initial: "notice", help: "the least level of messages sent"},
		{name: "default_transaction_isolation", initial: "read committed", help: "isolation of new transactions"},
		{name: "transaction_isolation", initial: "read committed", help: "isolation of this transaction"},
		{name: "default_transaction_read_only", initial: "off", help: "whether new transactions are read only"},
		{name: "default_table_access_method", initial: "heap", help: "accepted", fixed: true},
		{name: "max_identifier_length", initial: "63", help: "bytes of an identifier", fixed: true},
		{name: "statement_timeout", initial: "0", help: "milliseconds that a statement may take; 0: any", check: checkMillis},
		{name: "lock_timeout", initial: "0", help: "accepted; there are no locks to wait for"},
		{name: "idle_in_transaction_session_timeout", initial: "0", help: "accepted"},
		{name: "row_security", initial: "off", help: "accepted"},
		{name: "synchronous_commit", initial: "on", help: "every commit is synced", check: oneOf("on", "on", "true")},
		{name: "tilehouse.read_time", initial: "", help: "the instant t of online reads; empty: the clock", check: checkTime},
		{name: "tilehouse.use_row_packs", initial: "on", help: "for tests: off reads edges from runs", check: checkBool},
		{name: "tilehouse.use_levels", initial: "on", help: "for tests: off folds rows where states of part of a day exist", check: checkBool},
		{name: "tilehouse.use_runs", initial: "on", help: "for tests: off scans and sorts the source's rows for each read", check: checkBool},
		{name: "tilehouse.use_partials", initial: "on", help: "for tests: off folds rows where daily partials exist", check: checkBool},
	} {
		m[strings.ToLower(s.name)] = s
	}
	return m
}()

func settingNames() []string { return slices.Sorted(maps.Keys(settings)) }

func oneOf(canonical string, accepted ...string) func(string) (string, error) {
	return func(v string) (string, error) {
		if slices.Contains(accepted, strings.ToLower(v)) {
			return canonical, nil
		}
		return "", hint(fail(codeInvalidParameter, "value %q is not supported", v), "Supported: %s.", canonical)
	}
}

func checkBool(v string) (string, error) {
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1":
		return "on", nil
	case "off", "false", "no", "0":
		return "off", nil
	}
	return "", hint(fail(codeInvalidParameter, "requires a Boolean value, not %q", v), "on or off.")
}

func checkZone(v string) (string, error) {
	if strings.EqualFold(v, "utc") || strings.EqualFold(v, "gmt") {
		return strings.ToUpper(v), nil
	}
	if _, err := time.LoadLocation(v); err != nil || v == "" || strings.EqualFold(v, "local") {
		return "", hint(fail(codeInvalidParameter, "time zone %q is not known", v), "A name such as Europe/Berlin, or UTC.")
	}
	return v, nil
}

func checkMillis(v string) (string, error) {
	if _, err := millis(v); err != nil {
		return "", hint(fail(codeInvalidParameter, "%q is no duration", v), "Milliseconds, or a number with a unit: ms, s, min, h.")
	}
	return v, nil
}

// millis reads a duration as PostgreSQL's settings do: a number of milliseconds, or a number with a unit.
func millis(v string) (time.Duration, error) {
	if d, err := time.ParseDuration(strings.ReplaceAll(strings.ReplaceAll(v, "min", "m"), " ", "")); err == nil {
		return d, nil
	}
	return time.ParseDuration(strings.TrimSpace(v) + "ms")
}

func checkTime(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if _, err := parseTime(v, time.UTC); err != nil {
		return "", hint(asError(err), "A time such as '2024-06-01 12:00Z', or '' for the clock.")
	}
	return v, nil
}

func applyZone(s *Session, v string) error {
	loc, err := time.LoadLocation(v)
	if err != nil {
		return fail(codeInvalidParameter, "unknown time zone %q", v)
	}
	s.location = loc
	return nil
}

// Setting is the value of a setting, "" for an unknown one.
func (s *Session) Setting(name string) string {
	if v, ok := s.set[strings.ToLower(name)]; ok {
		return v
	}
	if d, ok := settings[strings.ToLower(name)]; ok {
		return d.initial
	}
	return ""
}

// SettingsVersion is one more than the changes of settings so far.
func (s *Session) SettingsVersion() uint64 { return s.setVersion + 1 }

func unknownSetting(name string) *session.Error {
	switch strings.ToLower(name) {
	case "tables", "databases", "schemas", "columns": // what other databases show so
		return hint(fail(codeUndefinedObject, "unrecognized configuration parameter %q", name), "SELECT * FROM information_schema.tables, psql's \\d, or SHOW FEATURES, SHOW ENTITIES and SHOW SOURCES list what there is.")
	}
	return hint(fail(codeUndefinedObject, "unrecognized configuration parameter %q", name), "SELECT name, setting FROM tilehouse.settings lists them.")
}

// setSetting is SET name = value.
func (s *Session) setSetting(name, value string) error {
	key := strings.ToLower(name)
	d, ok := settings[key]
	if !ok {
		return unknownSetting(name)
	}
	if d.fixed {
		return fail("55P02", "parameter %q cannot be changed", d.name)
	}
	if d.check != nil {
		v, err := d.check(value)
		if err != nil {
			e := fail(codeInvalidParameter, "invalid value for parameter %q: %q", d.name, value)
			e.Hint = asError(err).Hint
			return e
		}
		value = v
	}
	if d.apply != nil {
		if err := d.apply(s, value); err != nil {
			return err
		}
	}
	s.set[key] = value
	s.setVersion++
	if d.reported {
		s.changed = append(s.changed, d.name)
	}
	return nil
}

// resetSetting is RESET name.
func (s *Session) resetSetting(name string) error {
	d, ok := settings[strings.ToLower(name)]
	if !ok {
		return unknownSetting(name)
	}
	if d.fixed {
		return nil
	}
	return s.setSetting(name, d.initial)
}

// ReportedSettings are the settings that the client is told of: all, or those changed since the last call.
func (s *Session) ReportedSettings(all bool) map[string]string {
	if !all && len(s.changed) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, d := range settings {
		if d.reported && (all || slices.Contains(s.changed, d.name)) {
			out[d.name] = s.Setting(d.name)
		}
	}
	s.changed = s.changed[:0]
	return out
}

var _ session.Session = (*Session)(nil)
