package pgfunc

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// maxText bounds the text that a function makes, in bytes.
const maxText = duck.MaxBatchText

func errTooLong() error { return bad("54000", "requested length too large") }

func text1(call string, f func(s string) string) {
	ours(call, "text", func(a args, out *vector.Vector) error { out.AppendString(f(a.s(0))); return nil })
}

// substring is the characters [from, from+n) of runes, counted from 1; n < 0: to the end.
func substring(r []rune, from, n int64) []rune {
	if n >= 0 {
		end := from + n
		from = max(from, 1)
		if end <= from {
			return nil
		}
		return r[min(from-1, int64(len(r))):min(end-1, int64(len(r)))]
	}
	return r[min(max(from, 1)-1, int64(len(r))):]
}

func quoteIdent(s string) string {
	plain := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '_')
	for i := 0; plain && i < len(s); i++ {
		c := s[i]
		plain = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_'
	}
	if plain && !keywords[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func quoteLiteral(s string) string {
	out := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		out = "E" + strings.ReplaceAll(out, `\`, `\\`)
	}
	return out
}

// keywords are those that are quoted as identifiers.
var keywords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
		current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc distinct do else end except
		false fetch for foreign from grant group having in initially intersect into lateral leading limit localtime localtimestamp not null
		offset on only or order placing primary references returning select session_user some symmetric table then to trailing true union
		unique user using variadic when where window with authorization binary collation concurrently cross current_schema freeze full ilike
		inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose
		between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping inout int integer interval
		least national nchar none normalize nullif numeric out overlay position precision real row setof smallint substring time timestamp treat
		trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`) {
		m[w] = true
	}
	return m
}()

// formatText is format().
func formatText(f string, vals []*string) (string, error) {
	var b strings.Builder
	next := 0
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		if i++; i >= len(f) {
			return "", withHint(bad("22023", "unterminated format() type specifier"), `For a single "%" use "%%".`)
		}
		if f[i] == '%' {
			b.WriteByte('%')
			continue
		}
		number := func() (int, bool) {
			s := i
			for i < len(f) && f[i] >= '0' && f[i] <= '9' {
				i++
			}
			n, err := strconv.Atoi(f[s:i])
			return n, err == nil
		}
		arg, width, left := -1, 0, false
		start := i
		if n, ok := number(); ok && i < len(f) && f[i] == '$' {
			if n == 0 {
				return "", bad("22023", "format specifies argument 0, but arguments are numbered from 1")
			}
			arg = n - 1
			i++
		} else {
			i = start
		}
		for i < len(f) && f[i] == '-' {
			left = true
			i++
		}
		take := func(at int) (*string, error) {
			if at >= len(vals) {
				return nil, bad("22023", "too few arguments for format()")
			}
			return vals[at], nil
		}
		if i < len(f) && f[i] == '*' {
			i++
			s := i
			at := next
			if n, ok := number(); ok && i < len(f) && f[i] == '$' {
				at = n - 1
				i++
			} else {
				i = s
				next++
			}
			v, err := take(at)
			if err != nil {
				return "", err
			}
			if v != nil {
				if width, err = strconv.Atoi(*v); err != nil {
					return "", bad("22P02", `invalid input syntax for type integer: "%s"`, *v)
				}
			}
			if width < 0 {
				left, width = true, -width
			}
		} else if n, ok := number(); ok {
			width = n
		}
		if i >= len(f) {
			return "", withHint(bad("22023", "unterminated format() type specifier"), `For a single "%" use "%%".`)
		}
		if !strings.ContainsRune("sIL", rune(f[i])) {
			r, _ := utf8.DecodeRuneInString(f[i:])
			return "", withHint(bad("22023", `unrecognized format() type specifier "%s"`, string(r)), `For a single "%" use "%%".`)
		}
		if arg < 0 {
			arg = next
		}
		next = arg + 1
		v, err := take(arg)
		if err != nil {
			return "", err
		}
		s := ""
		switch {
		case v == nil && f[i] == 'I':
			return "", bad("22004", "null values cannot be formatted as an SQL identifier")
		case v == nil && f[i] == 'L':
			s = "NULL"
		case v == nil:
		case f[i] == 'I':
			s = quoteIdent(*v)
		case f[i] == 'L':
			s = quoteLiteral(*v)
		default:
			s = *v
		}
		pad := width - utf8.RuneCountInString(s)
		if pad > maxText {
			return "", errTooLong()
		}
		if pad > 0 && !left {
			b.WriteString(strings.Repeat(" ", pad))
		}
		b.WriteString(s)
		if pad > 0 && left {
			b.WriteString(strings.Repeat(" ", pad))
		}
	}
	return b.String(), nil
}

func pad(s string, n int64, fill string, left bool) (string, error) {
	r, f := []rune(s), []rune(fill)
	n = max(n, 0)
	if n > maxText/4 {
		return "", errTooLong()
	}
	if int64(len(r)) >= n || len(f) == 0 {
		return string(r[:min(int64(len(r)), n)]), nil
	}
	var b strings.Builder
	if !left {
		b.WriteString(s)
	}
	for i := range int(n) - len(r) {
		b.WriteRune(f[i%len(f)])
	}
	if left {
		b.WriteString(s)
	}
	return b.String(), nil
}

func splitPart(s, sep string, n int64) (string, error) {
	if n == 0 {
		return "", bad("22023", "field position must not be zero")
	}
	if s == "" {
		return "", nil
	}
	if sep == "" {
		if n == 1 || n == -1 {
			return s, nil
		}
		return "", nil
	}
	parts := strings.Split(s, sep)
	if n < 0 {
		n += int64(len(parts)) + 1
	}
	if n < 1 || n > int64(len(parts)) {
		return "", nil
	}
	return parts[n-1], nil
}

func translate(s, from, to string) string {
	f, t := []rune(from), []rune(to)
	return strings.Map(func(r rune) rune {
		for i, c := range f {
			if c == r {
				if i < len(t) {
					return t[i]
				}
				return -1
			}
		}
		return r
	}, s)
}

func initcap(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		if in {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteRune(unicode.ToUpper(r))
		}
		in = unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	return b.String()
}

func escapeBytes(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		switch {
		case c == '\\':
			out.WriteString(`\\`)
		case c == 0 || c >= 0x80:
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func unescapeBytes(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		switch {
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3' && s[i+2] >= '0' && s[i+2] <= '7' && s[i+3] >= '0' && s[i+3] <= '7':
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i++
		default:
			return nil, bad("22P02", "invalid input syntax for type bytea")
		}
	}
	return out, nil
}

func encode(b []byte, format string) (string, error) {
	switch strings.ToLower(format) {
	case "hex":
		return hex.EncodeToString(b), nil
	case "base64":
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		for len(s) > 76 {
			out.WriteString(s[:76] + "\n")
			s = s[76:]
		}
		return out.String() + s, nil
	case "escape":
		return escapeBytes(b), nil
	}
	return "", bad("22023", `unrecognized encoding: "%s"`, format)
}

func decode(s, format string) ([]byte, error) {
	switch strings.ToLower(format) {
	case "hex":
		s = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
				return -1
			}
			return r
		}, s)
		for _, r := range s {
			if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
				return nil, bad("22023", `invalid hexadecimal digit: "%s"`, string(r))
			}
		}
		if len(s)%2 == 1 {
			return nil, bad("22023", "invalid hexadecimal data: odd number of digits")
		}
		return hex.DecodeString(s)
	case "base64":
		s = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
				return -1
			}
			return r
		}, s)
		for _, r := range s {
			if r != '=' && !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", r) {
				return nil, bad("22023", `invalid symbol "%s" found while decoding base64 sequence`, string(r))
			}
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, withHint(bad("22023", "invalid base64 end sequence"), "Input data is missing padding, is truncated, or is otherwise corrupted.")
		}
		return b, nil
	case "escape":
		return unescapeBytes(s)
	}
	return nil, bad("22023", `unrecognized encoding: "%s"`, format)
}

func putText(out *vector.Vector, s string, err error) error {
	if err == nil {
		out.AppendString(s)
	}
	return err
}

func putBytes(out *vector.Vector, b []byte, err error) error {
	if err == nil {
		out.AppendBytes(b)
	}
	return err
}

func putTexts(out *vector.Vector, l []string) error {
	for _, s := range l {
		out.Child[0].AppendString(s)
	}
	out.CloseNested()
	return nil
}
