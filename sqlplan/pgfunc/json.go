package pgfunc

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// jsonValue is a value of json: kind is n(ull), b(oolean), # (number), s(tring), a(rray) or o(bject).
type jsonValue struct {
	kind byte
	text string // of a string, number or boolean
	list []*jsonValue
	keys []string
	raw  string // as it was written
}

// maxJSONDepth bounds how deep values nest.
const maxJSONDepth = 6000

type jsonReader struct {
	s     string
	i     int
	depth int
	typ   string
	call  *duck.Call
}

// jsonBytes is what a value takes in memory, beside its text: itself, and its place among others and their keys.
const jsonBytes = 200

func (r *jsonReader) fail(detail string) error {
	return &codec.Error{Code: "22P02", Message: "invalid input syntax for type json", Detail: detail}
}

func (r *jsonReader) token() string {
	s := r.s[r.i:]
	if s == "" {
		return ""
	}
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_' || s[n] >= 0x80 || (s[n] == '-' || s[n] == '+' || s[n] == '.')) {
		n++
	}
	if n == 0 {
		_, n = utf8.DecodeRuneInString(s)
	}
	return s[:n]
}

func (r *jsonReader) unexpected(want string) error {
	t := r.token()
	if t == "" {
		return r.fail("The input string ended unexpectedly.")
	}
	if c := t[0]; (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80) && t != "true" && t != "false" && t != "null" || c == '\'' || len(t) > 1 && (c == '-' || c >= '0' && c <= '9') && !jsonNumber(t) {
		return r.fail(fmt.Sprintf(`Token "%s" is invalid.`, t))
	}
	return r.fail(fmt.Sprintf(`Expected %s, but found "%s".`, want, t))
}

func (r *jsonReader) space() {
	for r.i < len(r.s) && (r.s[r.i] == ' ' || r.s[r.i] == '\t' || r.s[r.i] == '\n' || r.s[r.i] == '\r') {
		r.i++
	}
}

func jsonNumber(s string) bool {
	t := strings.TrimPrefix(s, "-")
	digits := func() bool {
		n := 0
		for n < len(t) && t[n] >= '0' && t[n] <= '9' {
			n++
		}
		t = t[n:]
		return n > 0
	}
	if strings.HasPrefix(t, "0") {
		t = t[1:]
	} else if !digits() {
		return false
	}
	if strings.HasPrefix(t, ".") {
		t = t[1:]
		if !digits() {
			return false
		}
	}
	if t != "" && (t[0] == 'e' || t[0] == 'E') {
		t = t[1:]
		if t != "" && (t[0] == '+' || t[0] == '-') {
			t = t[1:]
		}
		if !digits() {
			return false
		}
	}
	return t == ""
}

func (r *jsonReader) value(want string) (*jsonValue, error) {
	r.space()
	if r.depth++; r.depth > maxJSONDepth {
		return nil, bad("54001", "stack depth limit exceeded")
	}
	defer func() { r.depth-- }()
	r.call.Work(32)
	r.call.Hold(jsonBytes)
	from := r.i
	if r.i >= len(r.s) {
		return nil, r.unexpected(want)
	}
	v := &jsonValue{}
	switch c := r.s[r.i]; {
	case c == '{':
		v.kind = 'o'
		r.i++
		r.space()
		if r.i < len(r.s) && r.s[r.i] == '}' {
			r.i++
			break
		}
		for first := true; ; first = false {
			r.space()
			if r.i >= len(r.s) || r.s[r.i] != '"' {
				if first {
					return nil, r.unexpected(`string or "}"`)
				}
				return nil, r.unexpected("string")
			}
			k, err := r.str()
			if err != nil {
				return nil, err
			}
			r.space()
			if r.i >= len(r.s) || r.s[r.i] != ':' {
				return nil, r.unexpected(`":"`)
			}
			r.i++
			x, err := r.value("JSON value")
			if err != nil {
				return nil, err
			}
			v.keys, v.list = append(v.keys, k), append(v.list, x)
			r.space()
			if r.i < len(r.s) && r.s[r.i] == ',' {
				r.i++
				continue
			}
			if r.i < len(r.s) && r.s[r.i] == '}' {
				r.i++
				break
			}
			return nil, r.unexpected(`"," or "}"`)
		}
	case c == '[':
		v.kind = 'a'
		r.i++
		r.space()
		if r.i < len(r.s) && r.s[r.i] == ']' {
			r.i++
			break
		}
		for first := true; ; first = false {
			want := "JSON value"
			if first {
				want = `array element or "]"`
				if r.space(); r.i < len(r.s) && strings.IndexByte(`{["`, r.s[r.i]) < 0 {
					want = "JSON value"
				}
			}
			x, err := r.value(want)
			if err != nil {
				return nil, err
			}
			v.list = append(v.list, x)
			r.space()
			if r.i < len(r.s) && r.s[r.i] == ',' {
				r.i++
				continue
			}
			if r.i < len(r.s) && r.s[r.i] == ']' {
				r.i++
				break
			}
			return nil, r.unexpected(`"," or "]"`)
		}
	case c == '"':
		s, err := r.str()
		if err != nil {
			return nil, err
		}
		v.kind, v.text = 's', s
	default:
		t := r.token()
		switch {
		case t == "true" || t == "false":
			v.kind, v.text = 'b', t
		case t == "null":
			v.kind = 'n'
		case jsonNumber(t):
			if n, _ := parseNum(t); r.typ == "jsonb" && n.special != 0 {
				return nil, errOverflow()
			}
			v.kind, v.text = '#', t
		default:
			return nil, r.unexpected(want)
		}
		r.i += len(t)
	}
	v.raw = r.s[from:r.i]
	return v, nil
}

func (r *jsonReader) str() (string, error) {
	r.i++
	// Most strings have nothing escaped, and are a part of the text.
	plain := r.i
	for plain < len(r.s) && r.s[plain] != '"' && r.s[plain] != '\\' && r.s[plain] >= 0x20 {
		plain++
	}
	r.call.Work(plain - r.i)
	if plain < len(r.s) && r.s[plain] == '"' {
		s := r.s[r.i:plain]
		r.i = plain + 1
		return s, nil
	}
	var b strings.Builder
	b.WriteString(r.s[r.i:plain])
	r.i = plain
	for {
		r.call.Work(1)
		if r.i >= len(r.s) {
			return "", r.fail("Token \"" + r.s[strings.LastIndexByte(r.s[:r.i], '"'):] + "\" is invalid.")
		}
		c := r.s[r.i]
		switch {
		case c == '"':
			r.i++
			return b.String(), nil
		case c < 0x20:
			return "", r.fail(fmt.Sprintf("Character with value 0x%02x must be escaped.", c))
		case c != '\\':
			b.WriteByte(c)
			r.i++
			continue
		}
		r.i++
		if r.i >= len(r.s) {
			return "", r.fail("The input string ended unexpectedly.")
		}
		switch c := r.s[r.i]; c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			hex := func(i int) (rune, bool) {
				if i+4 > len(r.s) {
					return 0, false
				}
				x, err := strconv.ParseUint(r.s[i:i+4], 16, 32)
				return rune(x), err == nil
			}
			x, ok := hex(r.i + 1)
			if !ok {
				return "", r.fail(`"\u" must be followed by four hexadecimal digits.`)
			}
			r.i += 4
			if utf16.IsSurrogate(x) {
				low, ok := rune(0), false
				if strings.HasPrefix(r.s[r.i+1:], `\u`) {
					low, ok = hex(r.i + 3)
				}
				pair := utf16.DecodeRune(x, low)
				if !ok || pair == utf8.RuneError {
					if r.typ == "json" {
						b.WriteString("\uFFFD")
						r.i++
						continue
					}
					if x >= 0xdc00 {
						return "", r.fail("Unicode low surrogate must follow a high surrogate.")
					}
					return "", r.fail("Unicode low surrogate must follow a high surrogate.")
				}
				r.i += 6
				x = pair
			}
			if x == 0 && r.typ == "jsonb" {
				return "", &codec.Error{Code: "22P05", Message: "unsupported Unicode escape sequence", Detail: `\u0000 cannot be converted to text.`}
			}
			b.WriteRune(x)
		default:
			return "", r.fail(fmt.Sprintf(`Escape sequence "\%s" is invalid.`, firstRune(r.s[r.i:])))
		}
		r.i++
	}
}

func parseJSON(c *duck.Call, s, typ string) (*jsonValue, error) {
	r := &jsonReader{s: s, typ: typ, call: c}
	v, err := r.value("JSON value")
	if err != nil {
		return nil, err
	}
	r.space()
	if r.i < len(s) {
		return nil, r.unexpected("end of input")
	}
	return v, nil
}

// firstRune is the first character of s.
func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

// mustJSON reads what is known to be json.
func mustJSON(c *duck.Call, s string) *jsonValue {
	v, err := parseJSON(c, s, "json")
	if err != nil {
		return &jsonValue{kind: 'n', raw: "null"}
	}
	return v
}

// json is an argument that is json.
func (a args) json(k int) *jsonValue { return mustJSON(a.call, a.s(k)) }

// jsonWriter is a text of json that a function makes.
type jsonWriter struct {
	strings.Builder
	call *duck.Call
}

// grows says that the text is about to have n more bytes.
func (w *jsonWriter) grows(n int) {
	w.call.Work(n)
	w.call.Length(w.Len() + n)
	if n > 1<<16 {
		w.Grow(n)
	}
}

func jsonString(b *jsonWriter, s string) {
	b.grows(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"':
			b.WriteString(`\"`)
		case '\\':
			b.WriteString(`\\`)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < 0x20 {
				fmt.Fprintf(b, `\u%04x`, c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
}

// normal makes v what jsonb keeps: the last of equal keys, keys by length and bytes, numbers as numeric.
func (v *jsonValue) normal(c *duck.Call) *jsonValue {
	c.Work(32)
	c.Hold(jsonBytes)
	out := &jsonValue{kind: v.kind, text: v.text}
	switch v.kind {
	case '#':
		out.text = mustNum(v.text).String()
		c.Work(len(out.text))
		c.Hold(len(out.text))
	case 'a':
		for _, x := range v.list {
			out.list = append(out.list, x.normal(c))
		}
	case 'o':
		at := map[string]int{}
		for i, k := range v.keys {
			if j, ok := at[k]; ok {
				out.list[j] = v.list[i].normal(c)
				continue
			}
			at[k] = len(out.keys)
			out.keys, out.list = append(out.keys, k), append(out.list, v.list[i].normal(c))
		}
		sort.Sort((*byKey)(out))
	}
	return out
}

type byKey jsonValue

func (o *byKey) Len() int { return len(o.keys) }
func (o *byKey) Less(i, j int) bool {
	if len(o.keys[i]) != len(o.keys[j]) {
		return len(o.keys[i]) < len(o.keys[j])
	}
	return o.keys[i] < o.keys[j]
}
func (o *byKey) Swap(i, j int) {
	o.keys[i], o.keys[j] = o.keys[j], o.keys[i]
	o.list[i], o.list[j] = o.list[j], o.list[i]
}

// write appends v as jsonb_out does; indent ≥ 0 is jsonb_pretty's.
func (v *jsonValue) write(b *jsonWriter, indent int) {
	b.grows(16)
	line := func(n int) {
		if indent >= 0 {
			b.grows(4*n + 1)
			b.WriteByte('\n')
			b.WriteString(strings.Repeat("    ", n))
		}
	}
	deeper := indent
	if indent >= 0 {
		deeper++
	}
	switch v.kind {
	case 'n':
		b.WriteString("null")
	case 'b', '#':
		b.grows(len(v.text))
		b.WriteString(v.text)
	case 's':
		jsonString(b, v.text)
	case 'a', 'o':
		open, end := "[", "]"
		if v.kind == 'o' {
			open, end = "{", "}"
		}
		b.WriteString(open)
		for i, x := range v.list {
			if i > 0 {
				b.WriteByte(',')
				if indent < 0 {
					b.WriteByte(' ')
				}
			}
			line(deeper)
			if v.kind == 'o' {
				jsonString(b, v.keys[i])
				b.WriteString(": ")
			}
			x.write(b, deeper)
		}
		line(indent)
		b.WriteString(end)
	}
}

// shown is v as jsonb_out writes it.
func (v *jsonValue) shown(c *duck.Call) string {
	b := &jsonWriter{call: c}
	v.write(b, -1)
	return b.String()
}

// JSONBIn is the text of the jsonb that a text means.
func JSONBIn(s string) (string, error) { return jsonbIn(nil, s) }

func jsonbIn(c *duck.Call, s string) (string, error) {
	v, err := parseJSON(c, s, "jsonb")
	if err != nil {
		return "", err
	}
	return v.normal(c).shown(c), nil
}

// jsonbKey is bytes that sort as jsonb does.
func jsonbKey(c *duck.Call, s string) []byte { return mustJSON(c, s).normal(c).key(nil, true) }

func (v *jsonValue) key(b []byte, top bool) []byte {
	// Object > Array > Boolean > Number > String > Null, and an empty array at the top is the least.
	switch v.kind {
	case 'n':
		return append(b, 1)
	case 's':
		return append(append(append(b, 2), v.text...), 0)
	case '#':
		k := numKey(mustNum(v.text))
		return append(append(append(b, 3), k...), 0)
	case 'b':
		if v.text == "true" {
			return append(b, 4, 1)
		}
		return append(b, 4, 0)
	case 'a':
		if top && len(v.list) == 0 {
			return append(b, 0)
		}
		b = binary.BigEndian.AppendUint32(append(b, 5), uint32(len(v.list)))
		for _, x := range v.list {
			b = x.key(b, false)
		}
		return b
	}
	b = binary.BigEndian.AppendUint32(append(b, 6), uint32(len(v.list)))
	for i, x := range v.list {
		b = append(append(b, v.keys[i]...), 0)
		b = x.key(b, false)
	}
	return b
}
