package pgfunc

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

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
		replace(text,text,text)	CASE WHEN $2 = '' THEN $1 WHEN strlen($2) > 32 THEN __replace($1, $2, $3) ELSE replace($1, $2, $3) END
		strpos(text,text) ;; position(text,text)	CASE WHEN strlen($2) > 32 THEN __strpos($1, $2) ELSE CAST(strpos($1, $2) AS int4) END
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
	`)
	// DuckDB compares what it looks for with every place of the text, and does not look whether its statement is to end.
	ours("__strpos(text,text)", "int4", func(a args, out *vector.Vector) error {
		i := strings.Index(a.s(0), a.s(1))
		if i >= 0 {
			i = utf8.RuneCountInString(a.s(0)[:i])
		}
		out.AppendInt(int64(i + 1))
		return nil
	})
	ours("__replace(text,text,text)", "text", func(a args, out *vector.Vector) error {
		s, from, to := a.s(0), a.s(1), a.s(2)
		if n := strings.Count(s, from); len(s)+n*(len(to)-len(from)) > maxText {
			return errTooLong()
		}
		out.AppendString(strings.ReplaceAll(s, from, to))
		return nil
	})
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
			out.AppendString(substring(a.s(0), a.n(1), -1))
			return nil
		})
	}
	for _, c := range []string{"substr(text,int4,int4)", "substring(text,int4,int4)"} {
		ours(c, "text", func(a args, out *vector.Vector) error {
			if a.n(2) < 0 {
				return bad("22011", "negative substring length not allowed")
			}
			out.AppendString(substring(a.s(0), a.n(1), a.n(2)))
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
		s, n := a.s(0), a.n(1)
		if n < 0 {
			n = max(0, int64(utf8.RuneCountInString(s))+n)
		}
		out.AppendString(s[:cut(s, n)])
		return nil
	})
	ours("right(text,int4)", "text", func(a args, out *vector.Vector) error {
		s, n := a.s(0), a.n(1)
		all := int64(utf8.RuneCountInString(s))
		if n < 0 {
			n = max(0, all+n)
		}
		out.AppendString(s[cut(s, all-min(n, all)):])
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
		s, err := splitPart(a.call, a.s(0), a.s(1), a.n(2))
		return putText(out, s, err)
	})
	ours("translate(text,text,text)", "text", func(a args, out *vector.Vector) error {
		out.AppendString(translate(a.call, a.s(0), a.s(1), a.s(2)))
		return nil
	})
	overlay := func(out *vector.Vector, s, with string, from, n int64) error {
		if from <= 0 {
			return bad("22011", "negative substring length not allowed")
		}
		head, tail := substring(s, 1, from-1), substring(s, from+n, -1)
		if len(head)+len(with)+len(tail) > maxText {
			return errTooLong()
		}
		out.AppendString(head + with + tail)
		return nil
	}
	ours("overlay(text,text,int4)", "text", func(a args, out *vector.Vector) error {
		return overlay(out, a.s(0), a.s(1), a.n(2), int64(utf8.RuneCountInString(a.s(1))))
	})
	ours("overlay(text,text,int4,int4)", "text", func(a args, out *vector.Vector) error {
		return overlay(out, a.s(0), a.s(1), a.n(2), a.n(3))
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
	for _, name := range []string{"btrim", "ltrim", "rtrim"} {
		ours(name+"(bytea,bytea)", "bytea", func(a args, out *vector.Vector) error {
			b := a.b(0)
			var set [256]bool
			for _, c := range a.b(1) {
				set[c] = true
			}
			if name != "rtrim" {
				for len(b) > 0 && set[b[0]] {
					b = b[1:]
				}
			}
			if name != "ltrim" {
				for len(b) > 0 && set[b[len(b)-1]] {
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
		case "UTF8", "UNICODE", "SQLASCII":
			if i := vector.BadText(a.b(0)); i >= 0 {
				return bad("22021", "%s", vector.BadTextMessage(a.b(0)[i:]))
			}
			out.AppendBytes(a.b(0))
		case "LATIN1", "ISO88591":
			n := 0
			for _, c := range a.b(0) {
				n += utf8.RuneLen(rune(c))
			}
			if n > maxText {
				return errTooLong()
			}
			b := make([]byte, 0, n)
			for _, c := range a.b(0) {
				b = utf8.AppendRune(b, rune(c))
			}
			out.AppendBytes(b)
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
			b := make([]byte, 0, utf8.RuneCount(a.b(0)))
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
		s, err := formatText(a.call, a.s(0), a.texts(1))
		return putText(out, s, err)
	})
	ours("format(text)", "text", func(a args, out *vector.Vector) error {
		s, err := formatText(a.call, a.s(0), nil)
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
				return nil
			}
			s, err := normalized(a.call, f, a.s(0))
			return putText(out, s, err)
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
	// "char" is one byte, kept as a text of at most one character; beyond ASCII as \ooo, which is how it is written.
	ours("__text_char(text)", "char", func(a args, out *vector.Vector) error {
		s, err := TextIn(a.s(0), 18, -1)
		return putText(out, s, err)
	})
	ours("__int_char(int4)", "char", func(a args, out *vector.Vector) error {
		n := a.n(0)
		if n < -128 || n > 127 {
			return bad("22003", `"char" out of range`)
		}
		out.AppendString(charText(byte(n)))
		return nil
	})
	ours("__char_int(char)", "int4", func(a args, out *vector.Vector) error {
		out.AppendInt(int64(int8(charByte(a.s(0)))))
		return nil
	})
	// Lengths of character types.
	for _, cutting := range []bool{false, true} {
		suffix := map[bool]string{true: "_cut", false: ""}[cutting]
		for _, fixed := range []bool{false, true} {
			name := map[bool]string{true: "__bpchar", false: "__varchar"}[fixed]
			limit := func(s string, n int) (string, error) {
				chars := utf8.RuneCountInString(s)
				if chars > n {
					i := cut(s, int64(n))
					if !cutting && strings.Trim(s[i:], " ") != "" {
						return "", bad("22001", "value too long for type %s(%d)", map[bool]string{true: "character", false: "character varying"}[fixed], n)
					}
					s = s[:i]
				}
				if fixed && chars < n {
					s += strings.Repeat(" ", n-chars)
				}
				return s, nil
			}
			ours(name+suffix+"(text,int4)", "text", func(a args, out *vector.Vector) error {
				s, err := limit(a.s(0), int(a.n(1)))
				return putText(out, s, err)
			})
			ours(name+suffix+"s(_text,int4)", "_text", func(a args, out *vector.Vector) error {
				for _, x := range a.texts(0) {
					if x == nil {
						out.Child[0].AppendNull()
						continue
					}
					s, err := limit(*x, int(a.n(1)))
					if err != nil {
						return err
					}
					a.call.Work(workPerElement + len(s))
					out.Child[0].AppendString(s)
				}
				out.CloseNested()
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
	put := func(p string) {
		a.call.Work(workPerElement + len(p))
		if null != nil && p == *null {
			out.Child[0].AppendNull()
		} else {
			out.Child[0].AppendString(p)
		}
	}
	s := a.s(0)
	switch {
	case s == "":
	case a.null(1):
		for i, r := range s {
			put(s[i : i+utf8.RuneLen(r)])
		}
	case a.s(1) == "":
		put(s)
	default:
		for part := range strings.SplitSeq(s, a.s(1)) {
			put(part)
		}
	}
	out.CloseNested()
	return nil
}

// normalized is s in a form of Unicode's, which may have many times its length.
func normalized(c *duck.Call, f norm.Form, s string) (string, error) {
	var b strings.Builder
	var it norm.Iter
	for it.InitString(f, s); !it.Done(); {
		part := it.Next()
		c.Work(32 + len(part))
		if b.Len()+len(part) > maxText {
			return "", errTooLong()
		}
		b.Write(part)
	}
	return b.String(), nil
}
