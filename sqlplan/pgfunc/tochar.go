package pgfunc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Templates of to_char, to_date and to_timestamp.

// maxTemplate is how many bytes a template may have: each of them may be a pattern.
const maxTemplate = 1 << 16

func checkTemplate(f string) error {
	if len(f) > maxTemplate {
		return bad("54000", "a template of %d bytes is too long: at most %d are supported", len(f), maxTemplate)
	}
	return nil
}

// dateKeywords are the patterns, the longest first where one begins another.
var dateKeywords = []string{"HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
	"A.M.", "P.M.", "AM", "PM", "a.m.", "p.m.", "am", "pm", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "I",
	"BC", "AD", "B.C.", "A.D.", "bc", "ad", "b.c.", "a.d.", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy",
	"DDD", "DD", "D", "WW", "W", "CC", "J", "Q", "RM", "rm", "TZH", "TZM", "TZ", "tz", "OF"}

// node is a pattern with its modifiers, or a text.
type node struct {
	key    string
	text   string // where key is ""
	quoted bool
	fill   bool // FM
	th     string
}

// parseDateFormat reads a template. Keywords are matched in upper case where their case says nothing.
func parseDateFormat(f string) ([]node, error) {
	if err := checkTemplate(f); err != nil {
		return nil, err
	}
	var out []node
	for i := 0; i < len(f); {
		if strings.HasPrefix(f[i:], `"`) {
			j := i + 1
			var b strings.Builder
			for j < len(f) && f[j] != '"' {
				if f[j] == '\\' && j+1 < len(f) {
					j++
				}
				b.WriteByte(f[j])
				j++
			}
			for _, r := range b.String() {
				out = append(out, node{text: string(r), quoted: true})
			}
			i = j + 1
			continue
		}
		if strings.HasPrefix(f[i:], `\"`) {
			out = append(out, node{text: `"`})
			i += 2
			continue
		}
		n := node{}
		at := i
		for {
			up := strings.ToUpper(f[at:min(at+2, len(f))])
			if up == "FM" {
				n.fill = true
				at += 2
				continue
			}
			if up == "FX" {
				at += 2
				continue
			}
			if up == "TM" {
				return nil, bad("0A000", "pattern TM of dates is not supported")
			}
			break
		}
		key := ""
		for _, k := range dateKeywords {
			if len(k) > len(key) && len(f)-at >= len(k) && strings.EqualFold(f[at:at+len(k)], k) {
				key = k
			}
		}
		if key != "" {
			written := f[at : at+len(key)]
			switch key {
			case "MONTH", "MON", "DAY", "DY": // as it is written
				key = caseOf(written)
			default:
				key = written
				if up := strings.ToUpper(written); up != "AM" && up != "PM" && up != "A.M." && up != "P.M." && up != "BC" && up != "AD" && up != "B.C." && up != "A.D." && up != "RM" && up != "TZ" {
					key = up
				} else if written != strings.ToLower(written) {
					key = up
				}
			}
			n.key = key
			at += len(written)
			if at+2 <= len(f) && strings.EqualFold(f[at:at+2], "TH") {
				n.th = f[at : at+2]
				at += 2
			}
			out = append(out, n)
			i = at
			continue
		}
		if at > i { // modifiers without a keyword
			i = at
			continue
		}
		r := firstRune(f[i:])
		out = append(out, node{text: r})
		i += len(r)
	}
	return out, nil
}

// caseOf is MONTH, Month or month by how it is written.
func caseOf(s string) string {
	switch {
	case s[0] >= 'a':
		return strings.ToLower(s)
	case len(s) > 1 && s[1] >= 'a':
		return s[:1] + strings.ToLower(s[1:])
	}
	return strings.ToUpper(s)
}

var (
	monthNames = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	dayNames   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	romanMonth = []string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}
)

func ordinal(s, th string) string {
	if th == "" {
		return s
	}
	digits := strings.TrimLeft(s, " -+")
	end := "th"
	if n := len(digits); n > 0 && !(n > 1 && digits[n-2] == '1') {
		switch digits[n-1] {
		case '1':
			end = "st"
		case '2':
			end = "nd"
		case '3':
			end = "rd"
		}
	}
	if th[0] < 'a' {
		end = strings.ToUpper(end)
	}
	return s + end
}

// named writes a name as its keyword is written.
func named(key, name string, width int, fill bool) string {
	switch {
	case key[0] >= 'a':
		name = strings.ToLower(name)
	case len(key) > 1 && key[1] < 'a':
		name = strings.ToUpper(name)
	}
	if !fill && width > 0 {
		name = fmt.Sprintf("%-*s", width, name)
	}
	return name
}

// dateText is to_char of a moment whose clock shows us; x is set for an interval.
func dateText(format string, us int64, x *interval, zone string, offset int) (string, error) {
	nodes, err := parseDateFormat(format)
	if err != nil {
		return "", err
	}
	var c civil
	year := int64(0)
	var hour, minute, sec, frac int64
	if x == nil {
		c = civilOf(us)
		year = c.y
		hour, minute, sec, frac = c.us/usHour, c.us/usMinute%60, c.us/usSecond%60, c.us%usSecond
	} else {
		year = x.m / 12
		c.m, c.d = int(x.m%12), int(x.d)
		hour, minute, sec, frac = x.us/usHour, x.us/usMinute%60, x.us/usSecond%60, x.us%usSecond
		c.yday = int(x.m/12*360 + x.m%12*30 + x.d)
	}
	bc := func(y int64) int64 {
		if x == nil && y <= 0 {
			return 1 - y
		}
		return y
	}
	var b strings.Builder
	for _, n := range nodes {
		if n.key == "" {
			b.WriteString(n.text)
			continue
		}
		number := func(v int64, width int) {
			s := ""
			switch {
			case n.fill:
				s = strconv.FormatInt(v, 10)
			case v < 0:
				s = fmt.Sprintf("%0*d", width+1, v)
			default:
				s = fmt.Sprintf("%0*d", width, v)
			}
			b.WriteString(ordinal(s, n.th))
		}
		noInterval := func() error {
			if x != nil {
				return bad("22007", `invalid format specification for an interval value`)
			}
			return nil
		}
		up := strings.ToUpper(n.key)
		switch up {
		case "HH24":
			number(hour, 2)
		case "HH", "HH12":
			h := hour % 12
			if h == 0 {
				h = 12
			}
			number(h, 2)
		case "MI":
			number(minute, 2)
		case "SS":
			number(sec, 2)
		case "MS":
			b.WriteString(ordinal(fmt.Sprintf("%03d", frac/1000), n.th))
		case "US":
			b.WriteString(ordinal(fmt.Sprintf("%06d", frac), n.th))
		case "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
			k := int(up[2] - '0')
			b.WriteString(ordinal(fmt.Sprintf("%06d", frac)[:k], n.th))
		case "SSSS", "SSSSS":
			b.WriteString(ordinal(strconv.FormatInt(hour*3600+minute*60+sec, 10), n.th))
		case "AM", "PM", "A.M.", "P.M.":
			s := "AM"
			if hour%24 >= 12 {
				s = "PM"
			}
			if strings.Contains(n.key, ".") {
				s = s[:1] + "." + s[1:] + "."
			}
			if n.key[0] >= 'a' {
				s = strings.ToLower(s)
			}
			b.WriteString(s)
		case "Y,YYY":
			y := bc(year)
			b.WriteString(ordinal(fmt.Sprintf("%d,%03d", y/1000, y%1000), n.th))
		case "YYYY", "IYYY", "YYY", "IYY", "YY", "IY", "Y", "I":
			y := year
			if up[0] == 'I' {
				if err := noInterval(); err != nil {
					return "", err
				}
				y, _ = isoWeek(c)
			}
			y = bc(y)
			w := len(up)
			if w < 4 {
				y %= int64(math.Pow10(w))
			}
			number(y, w)
		case "CC":
			cc := int64(0)
			if x != nil {
				cc = year / 100
			} else if year > 0 {
				cc = (year-1)/100 + 1
			} else {
				cc = year/100 - 1
			}
			if cc <= 99 && cc >= -99 {
				number(cc, 2)
			} else {
				b.WriteString(ordinal(strconv.FormatInt(cc, 10), n.th))
			}
		case "BC", "AD", "B.C.", "A.D.":
			if err := noInterval(); err != nil {
				return "", err
			}
			s := "AD"
			if year <= 0 {
				s = "BC"
			}
			if strings.Contains(n.key, ".") {
				s = s[:1] + "." + s[1:] + "."
			}
			if n.key[0] >= 'a' {
				s = strings.ToLower(s)
			}
			b.WriteString(s)
		case "MONTH", "MON":
			if err := noInterval(); err != nil {
				return "", err
			}
			name, width := monthNames[c.m-1], 9
			if up == "MON" {
				name, width = name[:3], 0
			}
			b.WriteString(named(n.key, name, width, n.fill))
		case "DAY", "DY":
			if err := noInterval(); err != nil {
				return "", err
			}
			name, width := dayNames[c.weekday], 9
			if up == "DY" {
				name, width = name[:3], 0
			}
			b.WriteString(named(n.key, name, width, n.fill))
		case "MM":
			number(int64(c.m), 2)
		case "DD":
			number(int64(c.d), 2)
		case "DDD":
			number(int64(c.yday), 3)
		case "IDDD":
			if err := noInterval(); err != nil {
				return "", err
			}
			_, w := isoWeek(c)
			number(int64((w-1)*7+(c.weekday+6)%7+1), 3)
		case "D":
			if err := noInterval(); err != nil {
				return "", err
			}
			b.WriteString(ordinal(strconv.Itoa(c.weekday+1), n.th))
		case "ID":
			if err := noInterval(); err != nil {
				return "", err
			}
			b.WriteString(ordinal(strconv.Itoa((c.weekday+6)%7+1), n.th))
		case "WW":
			number(int64((c.yday-1)/7+1), 2)
		case "IW":
			if err := noInterval(); err != nil {
				return "", err
			}
			_, w := isoWeek(c)
			number(int64(w), 2)
		case "W":
			b.WriteString(ordinal(strconv.Itoa((c.d-1)/7+1), n.th))
		case "J":
			b.WriteString(ordinal(strconv.FormatInt(dayOf(c.y, c.m, c.d)+2440588, 10), n.th))
		case "Q":
			if c.m > 0 {
				b.WriteString(ordinal(strconv.Itoa((c.m-1)/3+1), n.th))
			}
		case "RM":
			if c.m == 0 && x != nil {
				continue
			}
			s := romanMonth[(c.m+11)%12]
			if n.key == "rm" {
				s = strings.ToLower(s)
			}
			if !n.fill {
				s = fmt.Sprintf("%-4s", s)
			}
			b.WriteString(s)
		case "TZ":
			if err := noInterval(); err != nil {
				return "", err
			}
			s := zone
			if n.key == "tz" {
				s = strings.ToLower(s)
			}
			b.WriteString(s)
		case "TZH", "TZM", "OF":
			if err := noInterval(); err != nil {
				return "", err
			}
			sign, o := "+", offset
			if o < 0 {
				sign, o = "-", -o
			}
			switch up {
			case "TZH":
				b.WriteString(fmt.Sprintf("%s%02d", sign, o/3600))
			case "TZM":
				b.WriteString(fmt.Sprintf("%02d", o/60%60))
			default:
				b.WriteString(fmt.Sprintf("%s%02d", sign, o/3600))
				if o/60%60 != 0 {
					b.WriteString(fmt.Sprintf(":%02d", o/60%60))
				}
			}
		}
	}
	return b.String(), nil
}
