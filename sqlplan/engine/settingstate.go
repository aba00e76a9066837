package engine

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// settingState is what a session has set. The maps are not changed in place, so that a state kept for a rollback costs nothing.
type settingState struct {
	set  map[string]string // what holds now, by key
	kept map[string]string // what holds after COMMIT: without SET LOCAL
}

func noSettings() settingState {
	return settingState{set: map[string]string{}, kept: map[string]string{}}
}

// Setting is the value of a setting as it is kept, "" for an unknown one.
func (s *Session) Setting(name string) string {
	key := settingKey(name)
	d, ok := settings[key]
	if ok && d.show != nil {
		return d.show(s)
	}
	if v, ok := s.set[key]; ok {
		return v
	}
	return s.initialSetting(key)
}

// initialSetting is what RESET gives a setting: what the client said when it connected, or its default.
func (s *Session) initialSetting(key string) string {
	if v, ok := s.initial[key]; ok {
		return v
	}
	if d, ok := settings[key]; ok {
		return d.initial
	}
	return ""
}

// settingText is the value of a setting as SHOW prints it.
func (s *Session) settingText(d *setting) string { return d.text(s.Setting(d.name)) }

// customName is a name that a session may give a setting of its own.
var customName = regexp.MustCompile(`^[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*(\.[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)+$`)

// changeable is the setting of a name, where the session may change it.
func (s *Session) changeable(name string) (*setting, error) {
	key := settingKey(name)
	d, ok := settings[key]
	if !ok {
		switch {
		case !strings.Contains(name, "."):
			return nil, unknownSetting(name)
		case strings.HasPrefix(key, "tilehouse."):
			e := hint(fail("42602", "invalid configuration parameter name %q", name), "SELECT name, setting FROM tilehouse.settings lists them.")
			e.Detail = `"tilehouse" is a reserved prefix.`
			return nil, e
		case !customName.MatchString(name):
			e := fail("42602", "invalid configuration parameter name %q", name)
			e.Detail = "Custom parameter names must be two or more simple identifiers separated by dots."
			return nil, e
		case len(s.set) > maxCustomSettings:
			return nil, fail("53400", "too many settings: the limit is %d", maxCustomSettings)
		}
		return wordSetting(key, "", "set by the session"), nil
	}
	switch d.context {
	case byNobody:
		return nil, fail("55P02", "parameter %q cannot be changed", d.name)
	case byRestart:
		return nil, fail("55P02", "parameter %q cannot be changed without restarting the server", d.name)
	case byReload:
		return nil, fail("55P02", "parameter %q cannot be changed now", d.name)
	}
	return d, nil
}

// setSetting is SET name = value; local is SET LOCAL.
func (s *Session) setSetting(name, value string, local bool) error {
	d, err := s.changeable(name)
	if err != nil {
		return err
	}
	if value, err = d.normalise(s, value); err != nil {
		return err
	}
	if d.show != nil {
		return nil // the check has done it
	}
	s.putSetting(settingKey(name), value, local)
	if d.name == sessionAuthorization { // it is the role that it names
		s.putSetting("role", "none", local)
	}
	return nil
}

// resetSetting is RESET name, and SET name TO DEFAULT.
func (s *Session) resetSetting(name string, local bool) error {
	d, err := s.changeable(name)
	if err != nil {
		return err
	}
	key := settingKey(name)
	if d.show != nil {
		return nil
	}
	s.putSetting(key, s.initialSetting(key), local)
	if d.name == sessionAuthorization {
		s.putSetting("role", "none", local)
	}
	return nil
}

func (s *Session) putSetting(key, value string, local bool) {
	s.set = maps.Clone(s.set)
	s.set[key] = value
	if !local {
		s.kept = maps.Clone(s.kept)
		s.kept[key] = value
	}
	s.settingsChanged()
}

// resetSettings is RESET ALL.
func (s *Session) resetSettings() {
	keep := func(m map[string]string) map[string]string {
		out := map[string]string{}
		for key, v := range m {
			if d, ok := settings[key]; !ok {
				out[key] = "" // a name that was set goes on to exist, as in PostgreSQL
			} else if d.hidden {
				out[key] = v
			}
		}
		return out
	}
	s.set, s.kept = keep(s.set), keep(s.kept)
	s.settingsChanged()
}

// restoreSettings puts back what was set when a transaction or savepoint began.
func (s *Session) restoreSettings(st settingState) {
	s.settingState = st
	s.settingsChanged()
}

// settingsChanged takes over what other parts of the session have from settings.
func (s *Session) settingsChanged() {
	s.settingsVersion++
	zone := s.Setting("TimeZone")
	if loc, err := codec.LoadZone(zone); err == nil {
		s.location = loc
	}
	before := pgfunc.SettingsText(&s.codecs)
	s.codecs = codec.Settings{}
	for _, name := range []string{"TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits"} {
		s.codecs.Set(name, s.Setting(name))
	}
	if encoding := s.Setting("client_encoding"); pgfunc.SettingsText(&s.codecs) != before || encoding != s.encoding {
		s.encoding = encoding
		s.textsVersion++
	}
	s.rolesChanged()
}

// ReportedSettings are the settings that the client is told of: all, or those whose value is not what the client knows.
func (s *Session) ReportedSettings(all bool) map[string]string {
	if !all && s.settingsVersion == s.toldVersion {
		return nil
	}
	s.toldVersion = s.settingsVersion
	out := map[string]string{}
	for _, d := range settings {
		if !d.reported {
			continue
		}
		if v := s.settingText(d); all || s.told[d.name] != v {
			out[d.name] = v
			s.told[d.name] = v
		}
	}
	return out
}

// timeout is a setting of milliseconds.
func (s *Session) timeout(name string) time.Duration {
	n, err := strconv.Atoi(s.Setting(name))
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// Timeout is a setting that is a time, 0 for none.
func (s *Session) Timeout(name string) time.Duration { return s.timeout(name) }

// searchPath is the schemas of search_path, with the role's name for $user.
func (s *Session) searchPath() []string {
	var out []string
	for _, name := range splitIdentifiers(s.Setting("search_path")) {
		if name == "$user" {
			name = roleName(s, s.role)
		}
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

// splitIdentifiers reads a list of identifiers as search_path keeps it.
func splitIdentifiers(list string) (out []string) {
	for list = strings.TrimSpace(list); list != ""; {
		if list[0] == '"' {
			end := 1
			for end < len(list) && (list[end] != '"' || end+1 < len(list) && list[end+1] == '"') {
				if list[end] == '"' {
					end++
				}
				end++
			}
			out = append(out, strings.ReplaceAll(list[1:min(end, len(list))], `""`, `"`))
			list = list[min(end+1, len(list)):]
		} else {
			end := strings.IndexByte(list, ',')
			if end < 0 {
				end = len(list)
			}
			out = append(out, strings.ToLower(strings.TrimSpace(list[:end])))
			list = list[end:]
		}
		list = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(list), ","))
	}
	return out
}

var _ session.Session = (*Session)(nil)

// SettingsVersion is at least 1, and another one after the value of a setting changed.
func (s *Session) SettingsVersion() uint64 { return s.settingsVersion }
