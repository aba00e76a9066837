package codec

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Encoding is a client's encoding other than UTF-8: one of a byte a character, of which the first 128 are ASCII's. A nil *Encoding is UTF-8
// and changes nothing.
type Encoding struct {
	name  string
	table *charmap.Charmap
}

// The encodings of one byte whose tables are PostgreSQL's. KOI8U and WIN1255 have other characters there, and those of more bytes have
// characters that PostgreSQL maps to others than the tables that browsers use.
var encodings = []*Encoding{
	{"LATIN1", charmap.ISO8859_1}, {"LATIN2", charmap.ISO8859_2}, {"LATIN3", charmap.ISO8859_3}, {"LATIN4", charmap.ISO8859_4},
	{"LATIN5", charmap.ISO8859_9}, {"LATIN6", charmap.ISO8859_10}, {"LATIN7", charmap.ISO8859_13}, {"LATIN8", charmap.ISO8859_14},
	{"LATIN9", charmap.ISO8859_15}, {"LATIN10", charmap.ISO8859_16}, {"ISO_8859_5", charmap.ISO8859_5}, {"ISO_8859_6", charmap.ISO8859_6},
	{"ISO_8859_7", charmap.ISO8859_7}, {"ISO_8859_8", charmap.ISO8859_8}, {"WIN866", charmap.CodePage866}, {"WIN874", charmap.Windows874},
	{"WIN1250", charmap.Windows1250}, {"WIN1251", charmap.Windows1251}, {"WIN1252", charmap.Windows1252}, {"WIN1253", charmap.Windows1253},
	{"WIN1254", charmap.Windows1254}, {"WIN1256", charmap.Windows1256}, {"WIN1257", charmap.Windows1257},
	{"WIN1258", charmap.Windows1258}, {"KOI8R", charmap.KOI8R},
}

// encodingAliases are further names of encodings, as letters and digits.
var encodingAliases = map[string]string{"iso88591": "LATIN1", "iso88592": "LATIN2", "iso88593": "LATIN3", "iso88594": "LATIN4", "iso88599": "LATIN5",
	"iso885910": "LATIN6", "iso885913": "LATIN7", "iso885914": "LATIN8", "iso885915": "LATIN9", "iso885916": "LATIN10", "alt": "WIN866", "win": "WIN1251",
	"koi8": "KOI8R", "abc": "WIN1258", "tcvn": "WIN1258", "tcvn5712": "WIN1258", "vscii": "WIN1258", "windows866": "WIN866", "windows874": "WIN874",
	"windows1250": "WIN1250", "windows1251": "WIN1251", "windows1252": "WIN1252", "windows1253": "WIN1253", "windows1254": "WIN1254",
	"windows1256": "WIN1256", "windows1257": "WIN1257", "windows1258": "WIN1258"}

// otherEncodings are PostgreSQL's further encodings of clients, as letters and digits.
var otherEncodings = map[string]bool{"koi8u": true, "win1255": true, "windows1255": true, "big5": true, "euccn": true, "eucjis2004": true, "eucjp": true, "euckr": true, "euctw": true, "gb18030": true, "gbk": true,
	"johab": true, "mskanji": true, "muleinternal": true, "shiftjis": true, "shiftjis2004": true, "sjis": true, "uhc": true, "win932": true,
	"win936": true, "win949": true, "win950": true, "windows932": true, "windows936": true, "windows949": true, "windows950": true}

// EncodingNamed finds an encoding by any of PostgreSQL's names. canonical is its name as SHOW writes it, "" for one that PostgreSQL has and
// this does not; known is false for other names. UTF8 and SQL_ASCII, whose bytes PostgreSQL takes for UTF-8, are nil.
func EncodingNamed(name string) (e *Encoding, canonical string, known bool) {
	clean := strings.ToLower(strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, name))
	switch {
	case clean == "utf8", clean == "unicode":
		return nil, "UTF8", true
	case clean == "sqlascii":
		return nil, "SQL_ASCII", true
	case otherEncodings[clean]:
		return nil, "", true
	}
	if a, ok := encodingAliases[clean]; ok {
		clean = strings.ToLower(a)
	}
	for _, e := range encodings {
		if strings.ToLower(strings.ReplaceAll(e.name, "_", "")) == clean {
			return e, e.name, true
		}
	}
	return nil, "", false
}

func ascii[T string | []byte](b T) bool {
	for i := range len(b) {
		if b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// controls reports whether the bytes from 0x80 to 0x9f are the control characters of these numbers, as in all of ISO 8859.
func (e *Encoding) controls() bool {
	return strings.HasPrefix(e.name, "LATIN") || strings.HasPrefix(e.name, "ISO")
}

// Decode is text of a client's in UTF-8; b itself where that is the same. Errors: 22P05 for a byte that is no character; then the text
// before it is returned.
func (e *Encoding) Decode(b []byte) ([]byte, error) {
	if e == nil || ascii(b) {
		return b, nil
	}
	out := make([]byte, 0, len(b)+len(b)/2)
	for _, c := range b {
		if c < utf8.RuneSelf {
			out = append(out, c)
			continue
		}
		r := e.table.DecodeByte(c)
		if r == utf8.RuneError && c < 0xa0 && e.controls() {
			r = rune(c)
		}
		if r == utf8.RuneError {
			return out, &Error{Code: "22P05", Message: fmt.Sprintf(`character with byte sequence 0x%02x in encoding "%s" has no equivalent in encoding "UTF8"`, c, e.name)}
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// DecodeString is Decode of a string.
func (e *Encoding) DecodeString(s string) (string, error) {
	if e == nil || ascii(s) {
		return s, nil
	}
	b, err := e.Decode([]byte(s))
	return string(b), err
}

// Encode turns b[from:], which is UTF-8, into the client's encoding, in place. Errors: 22P05 for a character that it does not have.
func (e *Encoding) Encode(b []byte, from int) ([]byte, error) {
	if e == nil || ascii(b[from:]) {
		return b, nil
	}
	w := from
	for i := from; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			b[w] = c
			w, i = w+1, i+1
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		c, ok := e.table.EncodeRune(r)
		if !ok && r < 0xa0 && e.controls() {
			c, ok = byte(r), true
		}
		if !ok || r == utf8.RuneError {
			return b, &Error{Code: "22P05", Message: fmt.Sprintf(`character with byte sequence % #x in encoding "UTF8" has no equivalent in encoding "%s"`, b[i:i+n], e.name)}
		}
		b[w] = c
		w, i = w+1, i+n
	}
	return b[:w], nil
}

// EncodeString is Encode of a string.
func (e *Encoding) EncodeString(s string) (string, error) {
	if e == nil || ascii(s) {
		return s, nil
	}
	b, err := e.Encode([]byte(s), 0)
	return string(b), err
}

// EncodeValue is Encode of a value's text (format 0) or binary form (format 1): of the texts in it.
func (e *Encoding) EncodeValue(b []byte, from int, t vector.Type, format int16) ([]byte, error) {
	if e == nil || ascii(b[from:]) {
		return b, nil
	}
	whole, elements := texts(t)
	switch {
	case format == 0 || whole:
		return e.Encode(b, from)
	case elements:
		out, err := eachElement(b[from:], func(dst, elem []byte) ([]byte, error) {
			at := len(dst)
			return e.Encode(append(dst, elem...), at)
		})
		return append(b[:from], out...), err
	}
	return b, nil
}

// DecodeValue is Decode of a value's text (format 0) or binary form (format 1): of the texts in it.
func (e *Encoding) DecodeValue(b []byte, t vector.Type, format int16) ([]byte, error) {
	if e == nil || ascii(b) {
		return b, nil
	}
	whole, elements := texts(t)
	switch {
	case format == 0 || whole:
		return e.Decode(b)
	case elements:
		return eachElement(b, func(dst, elem []byte) ([]byte, error) {
			text, err := e.Decode(elem)
			return append(dst, text...), err
		})
	}
	return b, nil
}

// texts reports whether the binary form of a type's values is text, or that of an array whose elements are.
func texts(t vector.Type) (whole, elements bool) {
	text := func(oid uint32) bool {
		switch oid {
		case OIDText, OIDVarchar, OIDBPChar, OIDName, OIDJSON, OIDJSONB, OIDUnknown:
			return true
		}
		return false
	}
	oid := OID(t)
	if text(oid) {
		return true, false
	}
	if elem, ok := elementType(oid); ok {
		return false, text(OID(elem))
	}
	return t.Kind == vector.Map || t.Kind == vector.List && !isArray(t), false
}

// eachElement writes an array's binary form anew with other elements. What is no such form is left as it is, for whoever reads it.
func eachElement(b []byte, f func(dst, elem []byte) ([]byte, error)) ([]byte, error) {
	if len(b) < 12 || binary.BigEndian.Uint32(b) > MaxDimensions {
		return b, nil
	}
	head := 12 + 8*int(binary.BigEndian.Uint32(b))
	if len(b) < head {
		return b, nil
	}
	out := append(make([]byte, 0, len(b)+len(b)/2), b[:head]...)
	for rest := b[head:]; len(rest) > 0; {
		if len(rest) < 4 {
			return b, nil
		}
		n := int64(int32(binary.BigEndian.Uint32(rest)))
		out = append(out, rest[:4]...)
		if rest = rest[4:]; n < 0 {
			continue
		}
		if n > int64(len(rest)) {
			return b, nil
		}
		at := len(out)
		var err error
		if out, err = f(out, rest[:n]); err != nil {
			return out, err
		}
		binary.BigEndian.PutUint32(out[at-4:], uint32(len(out)-at))
		rest = rest[n:]
	}
	return out, nil
}
