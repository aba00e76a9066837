package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// normalise reads a value of the setting as PostgreSQL does and gives the form that is kept. Errors are 22023.
func (d *setting) normalise(s *Session, v string) (string, error) {
	var err error
	switch d.kind {
	case boolSetting:
		b, ok := readBool(v)
		if !ok {
			return "", fail(codeInvalidParameter, "parameter %q requires a Boolean value", d.name)
		}
		v = onOff(b)
	case intSetting, realSetting:
		if v, err = d.number(v); err != nil {
			return "", err
		}
	case enumSetting:
		if v, err = d.choose(v); err != nil {
			return "", err
		}
	}
	if d.check != nil {
		return d.check(s, v)
	}
	return v, nil
}

func (d *setting) invalid(v string) *session.Error {
	return fail(codeInvalidParameter, "invalid value for parameter %q: %q", d.name, v)
}

func (d *setting) choose(v string) (string, error) {
	if strings.EqualFold(v, "debug") {
		v = "debug2"
	}
	for _, c := range d.choices {
		if strings.EqualFold(c, v) {
			return c, nil
		}
	}
	if b, ok := readBool(v); ok { // off, on and their spellings, where they are among the choices
		for _, c := range d.choices {
			if c == onOff(b) && !strings.EqualFold(v, "o") {
				return c, nil
			}
		}
	}
	return "", hint(d.invalid(v), "Available values: %s.", strings.Join(d.choices, ", "))
}

// readBool reads a Boolean as PostgreSQL's settings do: on, off, and true, false, yes, no, 1, 0 and their beginnings.
func readBool(v string) (value, ok bool) {
	v = strings.ToLower(v)
	begins := func(word string, least int) bool { return len(v) >= least && strings.HasPrefix(word, v) }
	switch {
	case begins("true", 1), begins("yes", 1), v == "on", v == "1":
		return true, true
	case begins("false", 1), begins("no", 1), begins("off", 2), v == "0":
		return false, true
	}
	return false, false
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// settingUnit is a unit of time, in milliseconds, or of memory, in bytes.
type settingUnit struct {
	name string
	size float64
}

var timeUnits = []settingUnit{{"us", 0.001}, {"ms", 1}, {"s", 1e3}, {"min", 6e4}, {"h", 36e5}, {"d", 864e5}}
var memoryUnits = []settingUnit{{"B", 1}, {"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}}

// units are what a number of the setting can be given in; base is the size of what is meant without a unit.
func (d *setting) units() (units []settingUnit, base float64) {
	switch d.unit {
	case "":
		return nil, 1
	case "8kB":
		return memoryUnits, 8 << 10
	}
	for _, list := range [][]settingUnit{timeUnits, memoryUnits} {
		for _, u := range list {
			if u.name == d.unit {
				return list, u.size
			}
		}
	}
	return nil, 1
}

// number reads a number, with a unit where the setting has one, and keeps it in the setting's own unit.
func (d *setting) number(v string) (string, error) {
	text := strings.TrimSpace(v)
	end := 0
	for end < len(text) && strings.ContainsRune("0123456789+-.eExXabcdefABCDEF", rune(text[end])) {
		end++
	}
	var x float64
	err := strconv.ErrSyntax
	for ; end > 0; end-- { // "5e" is no number, but the 5 of a unit
		if x, err = readNumber(text[:end]); err == nil {
			break
		}
	}
	if err != nil {
		return "", d.invalid(v)
	}
	if unit := strings.TrimSpace(text[end:]); unit != "" {
		units, base := d.units()
		found := false
		for _, u := range units {
			if u.name == unit {
				x, found = x*u.size/base, true
			}
		}
		if !found {
			e := d.invalid(v)
			if units == nil {
				return "", e
			}
			names := make([]string, len(units))
			for i, u := range units {
				names[i] = strconv.Quote(u.name)
			}
			return "", hint(e, "Valid units for this parameter are %s, and %s.", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
		}
	}
	unit := ""
	if d.unit != "" {
		unit = " " + d.unit
	}
	if d.kind == realSetting {
		if x < d.min || x > d.max {
			return "", fail(codeInvalidParameter, "%s%s is outside the valid range for parameter %q (%s .. %s)", short(x), unit, d.name, short(d.min), short(d.max))
		}
		return strconv.FormatFloat(x, 'g', 15, 64), nil
	}
	x = math.RoundToEven(x)
	if x > math.MaxInt32 || x < math.MinInt32 {
		return "", hint(d.invalid(v), "Value exceeds integer range.")
	}
	if x < d.min || x > d.max {
		return "", fail(codeInvalidParameter, "%d%s is outside the valid range for parameter %q (%d .. %d)", int(x), unit, d.name, int(d.min), int(d.max))
	}
	return strconv.Itoa(int(x)), nil
}

func readNumber(s string) (float64, error) {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(n), nil
	}
	if strings.ContainsAny(s, "xX") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// text is a kept value as SHOW prints it: numbers in the largest unit that divides them.
func (d *setting) text(v string) string {
	units, base := d.units()
	n, err := strconv.ParseFloat(v, 64)
	if units == nil || err != nil || n <= 0 {
		return v
	}
	for i := len(units) - 1; i >= 0; i-- {
		u := units[i]
		if q := n * base / u.size; q >= 1 && q == math.Trunc(q) {
			return strconv.FormatFloat(q, 'f', -1, 64) + u.name
		}
	}
	return fmt.Sprint(v)
}

// only takes one value.
func only(value string) func(*Session, string) (string, error) {
	return func(_ *Session, v string) (string, error) {
		if strings.EqualFold(v, value) {
			return value, nil
		}
		return "", hint(fail(codeUnsupported, "value %q is not supported", v), "Supported: %s.", value)
	}
}

func checkZone(_ *Session, v string) (string, error) {
	name, err := zoneName(v)
	if err != nil {
		return "", hint(settings["timezone"].invalid(v), "A name such as Europe/Berlin, or UTC.")
	}
	return name, nil
}

// zoneName is the name that a time zone is shown under: its own, or that of a fixed offset as POSIX writes it.
func zoneName(v string) (string, error) {
	if hours, err := strconv.ParseFloat(v, 64); err == nil {
		v = offsetName(int(math.Round(hours * 3600)))
	}
	loc, err := codec.LoadZone(v)
	switch {
	case err != nil:
		return "", err
	case strings.EqualFold(v, "local"):
		return "", fail(codeInvalidParameter, "time zone %q is not known", v)
	case v[0] == '+' || v[0] == '-' || v[0] == '<':
		return v, nil
	}
	return loc.String(), nil
}

// offsetName is the POSIX name of an offset in seconds east of UTC, which counts west: <+02>-02.
func offsetName(east int) string {
	part := func(sign string, n int) string {
		out := fmt.Sprintf("%s%02d", sign, n/3600)
		if n%3600 != 0 {
			out += fmt.Sprintf(":%02d", n/60%60)
		}
		if n%60 != 0 {
			out += fmt.Sprintf(":%02d", n%60)
		}
		return out
	}
	if east < 0 {
		return "<" + part("-", -east) + ">" + part("+", -east)
	}
	return "<" + part("+", east) + ">" + part("-", east)
}

// checkDateStyle reads the words of DateStyle; one that is not said stays as it is.
func checkDateStyle(s *Session, v string) (string, error) {
	style, order, _ := strings.Cut(s.Setting("DateStyle"), ", ")
	saidStyle, saidOrder := "", ""
	say := func(into *string, word string) error {
		if *into != "" && *into != word {
			e := settings["datestyle"].invalid(v)
			e.Detail = `Conflicting "datestyle" specifications.`
			return e
		}
		*into = word
		return nil
	}
	for _, w := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		var err error
		switch u := strings.ToUpper(strings.Trim(w, `"'`)); {
		case u == "ISO":
			err = say(&saidStyle, "ISO")
		case u == "SQL":
			err = say(&saidStyle, "SQL")
		case strings.HasPrefix(u, "POSTGRES"):
			err = say(&saidStyle, "Postgres")
		case u == "GERMAN":
			err = say(&saidStyle, "German")
		case u == "YMD":
			err = say(&saidOrder, "YMD")
		case u == "DMY" || strings.HasPrefix(u, "EURO"):
			err = say(&saidOrder, "DMY")
		case u == "MDY" || u == "US" || strings.HasPrefix(u, "NONEURO"):
			err = say(&saidOrder, "MDY")
		case u == "DEFAULT":
			initialStyle, initialOrder, _ := strings.Cut(settings["datestyle"].initial, ", ")
			if saidStyle == "" {
				saidStyle = initialStyle
			}
			if saidOrder == "" {
				saidOrder = initialOrder
			}
		default:
			e := settings["datestyle"].invalid(v)
			e.Detail = fmt.Sprintf("Unrecognized key word: %q.", strings.ToLower(w))
			return "", e
		}
		if err != nil {
			return "", err
		}
	}
	if saidStyle == "German" && saidOrder == "" {
		saidOrder = "DMY"
	}
	if saidStyle != "" {
		style = saidStyle
	}
	if saidOrder != "" {
		order = saidOrder
	}
	return style + ", " + order, nil
}

func checkEncoding(_ *Session, v string) (string, error) {
	switch _, name, known := codec.EncodingNamed(v); {
	case !known:
		return "", settings["client_encoding"].invalid(v)
	case name == "":
		return "", hint(fail(codeUnsupported, "client_encoding %q is not supported", v), "SET client_encoding = 'UTF8'. Encodings of one byte a character are supported, too.")
	case v == "UNICODE": // which old JDBC drivers look for
		return v, nil
	default:
		return name, nil
	}
}

func checkLocale(_ *Session, v string) (string, error) {
	switch v {
	case "", "C", "POSIX", "C.UTF-8", "C.utf8", "en_US.UTF-8", "en_US.utf8", "en_US":
		return v, nil
	}
	return "", hint(fail(codeInvalidParameter, "invalid value for parameter: locale %q", v), "Supported: C.")
}

// checkPrintable replaces what is not printable ASCII by question marks, as PostgreSQL does of application_name.
func checkPrintable(_ *Session, v string) (string, error) {
	b := []byte(v)
	if len(b) > 63 {
		b = b[:63]
	}
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b), nil
}

func noTablespace(_ *Session, v string) (string, error) {
	if v == "" || v == `""` || v == "pg_default" {
		return v, nil
	}
	e := settings["default_tablespace"].invalid(v)
	e.Detail = fmt.Sprintf("Tablespace %q does not exist.", v)
	return "", e
}

func checkTime(_ *Session, v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if _, err := parseTime(v, time.UTC); err != nil {
		return "", hint(settings["tilehouse.read_time"].invalid(v), "A time such as '2024-06-01 12:00Z', or '' for the clock.")
	}
	return v, nil
}

// checkSwitch reads a Boolean option.
func checkSwitch(v string) (string, error) {
	b, ok := readBool(v)
	if !ok {
		return "", hint(fail(codeInvalidParameter, "requires a Boolean value, not %q", v), "on or off.")
	}
	return onOff(b), nil
}
