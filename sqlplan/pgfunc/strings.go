package pgfunc

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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

func init() {
	sql(`
		lower(text)	lower($1)
		upper(text)	upper($1)
		length(text) ;; char_length(text) ;; character_length(text)	CAST(length($1) AS int4)
		length(bpchar) ;; char_length(bpchar) ;; character_length(bpchar)	CAST(length(rtrim($1, ' ')) AS int4)
		octet_length(text) ;; octet_length(bpchar)	CAST(strlen($1) AS int4)
		octet_length(bytea) ;; length(bytea)	CAST(octet_length($1) AS int4)
		bit_length(text)	CAST(strlen($1) * 8 AS int4)
		bit_length(bytea)	CAST(octet_length($1) * 8 AS int4)
		reverse(text)	reverse($1)
		replace(text,text,text)	CASE WHEN $2 = '' THEN $1 ELSE replace($1, $2, $3) END
		strpos(text,text) ;; position(text,text)	CAST(strpos($1, $2) AS int4)
		starts_with(text,text) ;; text ^@ text	starts_with($1, $2)
		btrim(text)	trim($1, ' ')
		ltrim(text)	ltrim($1, ' ')
		rtrim(text)	rtrim($1, ' ')
		btrim(text,text)	trim($1, $2)
		ltrim(text,text)	ltrim($1, $2)
		rtrim(text,text)	rtrim($1, $2)
		md5(text)	md5($1)
		md5(bytea)	md5($1)
		text || text	($1 || $2)
		bytea || bytea	($1 || $2)
		text || anynonarray	($1 || $2)
		anynonarray || text	($1 || $2)
		bit_count(bytea)	bit_count(CAST($1 AS bit))
		~~(text,text)	__like($1, $2, '\')
		like(text,text)	__like($1, $2, '\')
		like(bpchar,text)	__like($1, $2, '\')
		notlike(text,text)	NOT __like($1, $2, '\')
		text ~~ text ;; name ~~ text ;; bpchar ~~ text	__like($1, $2, '\')
		text !~~ text ;; name !~~ text ;; bpchar !~~ text	NOT __like($1, $2, '\')
		text ~~* text ;; name ~~* text ;; bpchar ~~* text	__ilike($1, $2, '\')
		text !~~* text ;; name !~~* text ;; bpchar !~~* text	NOT __ilike($1, $2, '\')
		gen_random_uuid()	uuid()
		pg_client_encoding()	CAST('UTF8' AS text)
	`)
	text1("initcap(text)", initcap)
	text1("quote_ident(text)", quoteIdent)
	text1("quote_literal(text)", quoteLiteral)
	ours("quote_nullable(text)", "text", func(a args, out *vector.Vector) error {
		if a.null(0) {
			out.AppendString("NULL")
		} else {
			out.AppendString(quoteLiteral(a.s(0)))
		}
		return nil
	}, nulls)
	sql(`
		quote_literal(anyelement)	__quote_literal_any($1)
		quote_nullable(anyelement)	__quote_nullable_any($1)
	`)
	for _, c := range []string{"substr(text,int4)", "substring(text,int4)"} {
		ours(c, "text", func(a args, out *vector.Vector) error {
			out.AppendString(string(substring([]rune(a.s(0)), a.n(1), -1)))
			return nil
		})
	}
	for _, c := range []string{"substr(text,int4,int4)", "substring(text,int4,int4)"} {
		ours(c, "text", func(a args, out *vector.Vector) error {
			if a.n(2) < 0 {
				return bad("22011", "negative substring length not allowed")
			}
			out.AppendString(string(substring([]rune(a.s(0)), a.n(1), a.n(2))))
			return nil
		})
	}
	bytesRange := func(b []byte, from, n int64) []byte {
		end := int64(len(b)) + 1
		if n >= 0 {
			end = min(end, from+n)
		}
		from = max(from, 1)
		if end <= from {
			return nil
		}
		return b[from-1 : end-1]
	}
	for _, c := range []string{"substr(bytea,int4)", "substring(bytea,int4)"} {
		ours(c, "bytea", func(a args, out *vector.Vector) error { out.AppendBytes(bytesRange(a.b(0), a.n(1), -1)); return nil })
	}
	for _, c := range []string{"substr(bytea,int4,int4)", "substring(bytea,int4,int4)"} {
		ours(c, "bytea", func(a args, out *vector.Vector) error {
			if a.n(2) < 0 {
				return bad("22011", "negative substring length not allowed")
			}
			out.AppendBytes(bytesRange(a.b(0), a.n(1), a.n(2)))
			return nil
		})
	}
	ours("left(text,int4)", "text", func(a args, out *vector.Vector) error {
		r, n := []rune(a.s(0)), a.n(1)
		if n < 0 {
			n = max(0, int64(len(r))+n)
		}
		out.AppendString(string(r[:min(n, int64(len(r)))]))
		return nil
	})
	ours("right(text,int4)", "text", func(a args, out *vector.Vector) error {
		r, n := []rune(a.s(0)), a.n(1)
		if n < 0 {
			n = max(0, int64(len(r))+n)
		}
		out.AppendString(string(r[int64(len(r))-min(n, int64(len(r))):]))
		return nil
	})
	for _, left := range []bool{true, false} {
		name := map[bool]string{true: "lpad", false: "rpad"}[left]
		ours(name+"(text,int4)", "text", func(a args, out *vector.Vector) error {
			s, err := pad(a.s(0), a.n(1), " ", left)
			return putText(out, s, err)
		})
		ours(name+"(text,int4,text)", "text", func(a args, out *vector.Vector) error {
			s, err := pad(a.s(0), a.n(1), a.s(2), left)
			return putText(out, s, err)
		})
	}
	ours("repeat(text,int4)", "text", func(a args, out *vector.Vector) error {
		n := max(a.n(1), 0)
		if int64(len(a.b(0)))*n > maxText {
			return errTooLong()
		}
		out.AppendString(strings.Repeat(a.s(0), int(n)))
		return nil
	})
	ours("split_part(text,text,int4)", "text", func(a args, out *vector.Vector) error {
		s, err := splitPart(a.s(0), a.s(1), a.n(2))
		return putText(out, s, err)
	})
	ours("translate(text,text,text)", "text", func(a args, out *vector.Vector) error {
		out.AppendString(translate(a.s(0), a.s(1), a.s(2)))
		return nil
	})
	overlay := func(s, with []rune, from, n int64) ([]rune, error) {
		if from <= 0 {
			return nil, bad("22011", "negative substring length not allowed")
		}
		if n < 0 {
			n = int64(len(with))
		}
		out := append([]rune{}, substring(s, 1, from-1)...)
		return append(append(out, with...), substring(s, from+n, -1)...), nil
	}
	ours("overlay(text,text,int4)", "text", func(a args, out *vector.Vector) error {
		r, err := overlay([]rune(a.s(0)), []rune(a.s(1)), a.n(2), -1)
		return putText(out, string(r), err)
	})
	ours("overlay(text,text,int4,int4)", "text", func(a args, out *vector.Vector) error {
		s, with, from, n := []rune(a.s(0)), []rune(a.s(1)), a.n(2), a.n(3)
		if from <= 0 {
			return bad("22011", "negative substring length not allowed")
		}
		o := append([]rune{}, substring(s, 1, from-1)...)
		o = append(append(o, with...), substring(s, from+n, -1)...)
		return putText(out, string(o), nil)
	})
	overlayBytes := func(s, with []byte, from, n int64) ([]byte, error) {
		if from <= 0 {
			return nil, bad("22011", "negative substring length not allowed")
		}
		o := append([]byte{}, bytesRange(s, 1, from-1)...)
		return append(append(o, with...), bytesRange(s, from+n, -1)...), nil
	}
	ours("overlay(bytea,bytea,int4)", "bytea", func(a args, out *vector.Vector) error {
		b, err := overlayBytes(a.b(0), a.b(1), a.n(2), int64(len(a.b(1))))
		return putBytes(out, b, err)
	})
	ours("overlay(bytea,bytea,int4,int4)", "bytea", func(a args, out *vector.Vector) error {
		b, err := overlayBytes(a.b(0), a.b(1), a.n(2), a.n(3))
		return putBytes(out, b, err)
	})
	ours("position(bytea,bytea)", "int4", func(a args, out *vector.Vector) error {
		out.AppendInt(int64(strings.Index(a.s(0), a.s(1)) + 1))
		return nil
	})
	for name, trim := range map[string]func(s, cut string) string{"btrim": strings.Trim, "ltrim": strings.TrimLeft, "rtrim": strings.TrimRight} {
		_ = trim
		ours(name+"(bytea,bytea)", "bytea", func(a args, out *vector.Vector) error {
			b, set := a.b(0), a.s(1)
			if name != "rtrim" {
				for len(b) > 0 && strings.IndexByte(set, b[0]) >= 0 {
					b = b[1:]
				}
			}
			if name != "ltrim" {
				for len(b) > 0 && strings.IndexByte(set, b[len(b)-1]) >= 0 {
					b = b[:len(b)-1]
				}
			}
			out.AppendBytes(b)
			return nil
		})
	}
	ours("ascii(text)", "int4", func(a args, out *vector.Vector) error {
		r, n := utf8.DecodeRune(a.b(0))
		if n == 0 {
			r = 0
		}
		out.AppendInt(int64(r))
		return nil
	})
	ours("chr(int4)", "text", func(a args, out *vector.Vector) error {
		n := a.n(0)
		switch {
		case n < 0:
			return bad("22023", "character number must be positive")
		case n == 0:
			return bad("54000", "null character not permitted")
		case n > 0x10ffff || n >= 0xd800 && n <= 0xdfff:
			return bad("54000", "requested character too large for encoding: %d", n)
		}
		out.AppendString(string(rune(n)))
		return nil
	})
	for _, t := range []string{"int4", "int8"} {
		ours("to_hex("+t+")", "text", func(a args, out *vector.Vector) error {
			n := uint64(a.n(0))
			if t == "int4" {
				n = uint64(uint32(a.n(0)))
			}
			out.AppendString(strconv.FormatUint(n, 16))
			return nil
		})
	}
	ours("string_to_array(text,text)", "_text", stringToArray, nulls)
	ours("string_to_array(text,text,text)", "_text", stringToArray, nulls)
	ours("string_to_table(text,text)", "_text", stringToArray, nulls)
	ours("string_to_table(text,text,text)", "_text", stringToArray, nulls)
	ours("encode(bytea,text)", "text", func(a args, out *vector.Vector) error {
		s, err := encode(a.b(0), a.s(1))
		return putText(out, s, err)
	})
	ours("decode(text,text)", "bytea", func(a args, out *vector.Vector) error {
		b, err := decode(a.s(0), a.s(1))
		return putBytes(out, b, err)
	})
	ours("convert_from(bytea,name)", "text", func(a args, out *vector.Vector) error {
		switch enc := strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(a.s(1))); enc {
		case "UTF8", "UNICODE":
			if !utf8.Valid(a.b(0)) {
				b := a.b(0)
				for i := 0; i < len(b); {
					r, n := utf8.DecodeRune(b[i:])
					if r == utf8.RuneError && n <= 1 {
						return bad("22021", `invalid byte sequence for encoding "UTF8": 0x%02x`, b[i])
					}
					i += n
				}
			}
			out.AppendBytes(a.b(0))
		case "LATIN1", "ISO88591":
			var b strings.Builder
			for _, c := range a.b(0) {
				b.WriteRune(rune(c))
			}
			out.AppendString(b.String())
		case "SQLASCII":
			out.AppendBytes(a.b(0))
		default:
			return bad("0A000", "encoding %s is not supported", a.s(1))
		}
		return nil
	})
	ours("convert_to(text,name)", "bytea", func(a args, out *vector.Vector) error {
		switch enc := strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(a.s(1))); enc {
		case "UTF8", "UNICODE", "SQLASCII":
			out.AppendBytes(a.b(0))
		case "LATIN1", "ISO88591":
			var b []byte
			for _, r := range a.s(0) {
				if r > 255 {
					return bad("22P05", `character with byte sequence %s in encoding "UTF8" has no equivalent in encoding "LATIN1"`, hexBytes(string(r)))
				}
				b = append(b, byte(r))
			}
			out.AppendBytes(b)
		default:
			return bad("0A000", "encoding %s is not supported", a.s(1))
		}
		return nil
	})
	for name, sum := range map[string]func([]byte) []byte{
		"sha224": func(b []byte) []byte { s := sha256.Sum224(b); return s[:] }, "sha256": func(b []byte) []byte { s := sha256.Sum256(b); return s[:] },
		"sha384": func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }, "sha512": func(b []byte) []byte { s := sha512.Sum512(b); return s[:] },
	} {
		ours(name+"(bytea)", "bytea", func(a args, out *vector.Vector) error { out.AppendBytes(sum(a.b(0))); return nil })
	}
	_ = md5.Size
	ours("get_byte(bytea,int4)", "int4", func(a args, out *vector.Vector) error {
		b, n := a.b(0), a.n(1)
		if n < 0 || n >= int64(len(b)) {
			return bad("2202E", "index %d out of valid range, 0..%d", n, len(b)-1)
		}
		out.AppendInt(int64(b[n]))
		return nil
	})
	ours("set_byte(bytea,int4,int4)", "bytea", func(a args, out *vector.Vector) error {
		b, n := append([]byte{}, a.b(0)...), a.n(1)
		if n < 0 || n >= int64(len(b)) {
			return bad("2202E", "index %d out of valid range, 0..%d", n, len(b)-1)
		}
		b[n] = byte(a.n(2))
		out.AppendBytes(b)
		return nil
	})
	ours("get_bit(bytea,int8)", "int4", func(a args, out *vector.Vector) error {
		b, n := a.b(0), a.n(1)
		if n < 0 || n >= int64(len(b))*8 {
			return bad("2202E", "index %d out of valid range, 0..%d", n, len(b)*8-1)
		}
		out.AppendInt(int64(b[n/8] >> (n % 8) & 1))
		return nil
	})
	ours("set_bit(bytea,int8,int4)", "bytea", func(a args, out *vector.Vector) error {
		b, n := append([]byte{}, a.b(0)...), a.n(1)
		if n < 0 || n >= int64(len(b))*8 {
			return bad("2202E", "index %d out of valid range, 0..%d", n, len(b)*8-1)
		}
		if v := a.n(2); v != 0 && v != 1 {
			return bad("22023", "new bit must be 0 or 1")
		}
		b[n/8] = b[n/8]&^(1<<(n%8)) | byte(a.n(2))<<(n%8)
		out.AppendBytes(b)
		return nil
	})
	add(&Function{Call: "format(text,any)", SQL: "__format($1, $2)"})
	add(&Function{Call: "concat(any)", SQL: "__concat($1)"})
	add(&Function{Call: "concat_ws(text,any)", SQL: "__concat_ws($1, $2)"})
	ours("__format(text,_text)", "text", func(a args, out *vector.Vector) error {
		s, err := formatText(a.s(0), a.texts(1))
		return putText(out, s, err)
	})
	ours("format(text)", "text", func(a args, out *vector.Vector) error {
		s, err := formatText(a.s(0), nil)
		return putText(out, s, err)
	})
	ours("__concat(_text)", "text", func(a args, out *vector.Vector) error {
		var b strings.Builder
		for _, s := range a.texts(0) {
			if s != nil {
				b.WriteString(*s)
			}
		}
		out.AppendString(b.String())
		return nil
	})
	ours("__concat_ws(text,_text)", "text", func(a args, out *vector.Vector) error {
		var l []string
		size := 0
		for _, s := range a.texts(1) {
			if s != nil {
				l = append(l, *s)
				if size += len(*s) + len(a.b(0)); size > maxText {
					return errTooLong()
				}
			}
		}
		out.AppendString(strings.Join(l, a.s(0)))
		return nil
	})
	for _, form := range []string{"normalize(text,text)", "is_normalized(text,text)"} {
		result := map[bool]string{true: "bool", false: "text"}[strings.HasPrefix(form, "is")]
		ours(form, result, func(a args, out *vector.Vector) error {
			f, ok := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}[strings.ToUpper(a.s(1))]
			if !ok {
				return bad("22023", "invalid normalization form: %s", a.s(1))
			}
			if result == "bool" {
				out.AppendBool(f.IsNormalString(a.s(0)))
			} else {
				out.AppendString(f.String(a.s(0)))
			}
			return nil
		})
	}
	ours("unistr(text)", "text", func(a args, out *vector.Vector) error {
		s := a.s(0)
		var b strings.Builder
		for i := 0; i < len(s); {
			if s[i] != '\\' {
				b.WriteByte(s[i])
				i++
				continue
			}
			rest := s[i+1:]
			n := 0
			switch {
			case strings.HasPrefix(rest, `\`):
				b.WriteByte('\\')
				i += 2
				continue
			case strings.HasPrefix(rest, "U"):
				rest, n = rest[1:], 8
			case strings.HasPrefix(rest, "u"):
				rest, n = rest[1:], 4
			case strings.HasPrefix(rest, "+"):
				rest, n = rest[1:], 6
			default:
				n = 4
			}
			if len(rest) < n {
				return withHint(bad("42601", "invalid Unicode escape"), `Unicode escapes must be \XXXX, \+XXXXXX, \uXXXX, or \UXXXXXXXX.`)
			}
			x, err := strconv.ParseUint(rest[:n], 16, 32)
			if err != nil {
				return withHint(bad("42601", "invalid Unicode escape"), `Unicode escapes must be \XXXX, \+XXXXXX, \uXXXX, or \UXXXXXXXX.`)
			}
			b.WriteRune(rune(x))
			i = len(s) - len(rest) + n
		}
		out.AppendString(b.String())
		return nil
	})
	// Lengths of character types.
	for _, cut := range []bool{false, true} {
		suffix := map[bool]string{true: "_cut", false: ""}[cut]
		for _, fixed := range []bool{false, true} {
			name := map[bool]string{true: "__bpchar", false: "__varchar"}[fixed]
			ours(name+suffix+"(text,int4)", "text", func(a args, out *vector.Vector) error {
				r, n := []rune(a.s(0)), int(a.n(1))
				if len(r) > n {
					if !cut && strings.Trim(string(r[n:]), " ") != "" {
						return bad("22001", "value too long for type %s(%d)", map[bool]string{true: "character", false: "character varying"}[fixed], n)
					}
					r = r[:n]
				}
				s := string(r)
				if fixed && len(r) < n {
					s += strings.Repeat(" ", n-len(r))
				}
				out.AppendString(s)
				return nil
			})
		}
	}
	ours("__quote_literal_any(any)", "text", func(a args, out *vector.Vector) error {
		out.AppendString(quoteLiteral(Out("", a.v[0], a.i, a.set)))
		return nil
	})
	ours("__quote_nullable_any(any)", "text", func(a args, out *vector.Vector) error {
		if a.null(0) {
			out.AppendString("NULL")
		} else {
			out.AppendString(quoteLiteral(Out("", a.v[0], a.i, a.set)))
		}
		return nil
	}, nulls)
}

func hexBytes(s string) string {
	var l []string
	for i := range len(s) {
		l = append(l, fmt.Sprintf("0x%02x", s[i]))
	}
	return strings.Join(l, " ")
}

func stringToArray(a args, out *vector.Vector) error {
	if a.null(0) {
		out.AppendNull()
		return nil
	}
	var null *string
	if len(a.v) > 2 && !a.null(2) {
		s := a.s(2)
		null = &s
	}
	s := a.s(0)
	var parts []string
	switch {
	case s == "":
	case a.null(1):
		for _, r := range s {
			parts = append(parts, string(r))
		}
	case a.s(1) == "":
		parts = []string{s}
	default:
		parts = strings.Split(s, a.s(1))
	}
	for _, p := range parts {
		if null != nil && p == *null {
			out.Child[0].AppendNull()
		} else {
			out.Child[0].AppendString(p)
		}
	}
	out.CloseNested()
	return nil
}
