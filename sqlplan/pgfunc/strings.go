package pgfunc

import (
	"encoding/base64"
	"encoding/hex"
	"math"
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

// substring is the characters [from, from+n) of s, counted from 1; n < 0: to the end.
func substring(s string, from, n int64) string {
	end := int64(math.MaxInt64)
	if n >= 0 {
		end = from + n
	}
	if from = max(from, 1); end <= from {
		return ""
	}
	s = s[cut(s, from-1):]
	if n < 0 {
		return s
	}
	return s[:cut(s, end-from)]
}

// cut is the byte behind n characters, the end where there are fewer.
func cut(s string, n int64) int {
	if n >= int64(len(s)) {
		return len(s)
	}
	if i := byteOffset(s, n); i >= 0 {
		return i
	}
	return len(s)
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
	quotes, slashes := strings.Count(s, "'"), strings.Count(s, `\`)
	var b strings.Builder
	b.Grow(len(s) + quotes + slashes + 3)
	if slashes > 0 {
		b.WriteByte('E')
	}
	b.WriteByte('\'')
	for quotes+slashes > 0 {
		i := strings.IndexAny(s, `'\`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i+1])
		b.WriteByte(s[i])
		s = s[i+1:]
	}
	b.WriteString(s)
	b.WriteByte('\'')
	return b.String()
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
func formatText(c *duck.Call, f string, vals []*string) (string, error) {
	var b strings.Builder
	next := 0
	for i := 0; i < len(f); i++ {
		c.Work(16)
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
		c.Work(len(s))
		pad := width - utf8.RuneCountInString(s)
		if b.Len()+max(pad, 0)+len(s) > maxText {
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
	n = max(n, 0)
	if n > maxText/4 {
		return "", errTooLong()
	}
	more := n - int64(utf8.RuneCountInString(s))
	if more <= 0 || fill == "" {
		return s[:cut(s, n)], nil
	}
	with := int64(utf8.RuneCountInString(fill))
	var b strings.Builder
	b.Grow(len(s) + int(more/with+1)*len(fill))
	if !left {
		b.WriteString(s)
	}
	for range more / with {
		b.WriteString(fill)
	}
	b.WriteString(fill[:cut(fill, more%with)])
	if left {
		b.WriteString(s)
	}
	return b.String(), nil
}

func splitPart(c *duck.Call, s, sep string, n int64) (string, error) {
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
	if n < 0 {
		n += int64(strings.Count(s, sep)) + 2
	}
	for ; n > 0; n-- {
		c.Work(16)
		part, rest, more := strings.Cut(s, sep)
		if n == 1 {
			return part, nil
		}
		if !more {
			break
		}
		s = rest
	}
	return "", nil
}

func translate(c *duck.Call, s, from, to string) string {
	c.Hold(len(from) * 32)
	with := map[rune]rune{} // −1: nothing
	for _, r := range from {
		c.Work(32)
		t, w := utf8.DecodeRuneInString(to)
		if to = to[w:]; w == 0 {
			t = -1
		}
		if _, ok := with[r]; !ok {
			with[r] = t
		}
	}
	return strings.Map(func(r rune) rune {
		c.Work(16)
		if t, ok := with[r]; ok {
			return t
		}
		return r
	}, s)
}

func initcap(s string) string {
	var b strings.Builder
	b.Grow(len(s))
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

func escapeBytes(b []byte) (string, error) {
	n := len(b)
	for _, c := range b {
		if c == '\\' {
			n++
		} else if c == 0 || c >= 0x80 {
			n += 3
		}
	}
	if n > maxText {
		return "", errTooLong()
	}
	var out strings.Builder
	out.Grow(n)
	for _, c := range b {
		switch {
		case c == '\\':
			out.WriteString(`\\`)
		case c == 0 || c >= 0x80:
			out.Write([]byte{'\\', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

func unescapeBytes(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
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
		if 2*len(b) > maxText {
			return "", errTooLong()
		}
		return hex.EncodeToString(b), nil
	case "base64":
		n := base64.StdEncoding.EncodedLen(len(b))
		if n += n / 76; n > maxText {
			return "", errTooLong()
		}
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		out.Grow(n)
		for len(s) > 76 {
			out.WriteString(s[:76] + "\n")
			s = s[76:]
		}
		out.WriteString(s)
		return out.String(), nil
	case "escape":
		return escapeBytes(b)
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

func putTexts(c *duck.Call, out *vector.Vector, l []string) error {
	for _, s := range l {
		c.Work(workPerElement + len(s))
		out.Child[0].AppendString(s)
	}
	out.CloseNested()
	return nil
}
