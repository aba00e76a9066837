package pgfunc

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
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
}

func (r *jsonReader) fail(detail string) error {
	return &codec.Error{Code: "22P02", Message: "invalid input syntax for type " + r.typ, Detail: detail}
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
	var b strings.Builder
	for {
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
			return "", r.fail(fmt.Sprintf(`Escape sequence "\%s" is invalid.`, string([]rune(r.s[r.i:])[:1])))
		}
		r.i++
	}
}

func parseJSON(s, typ string) (*jsonValue, error) {
	r := &jsonReader{s: s, typ: typ}
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

func checkJSON(s, typ string) error { _, err := parseJSON(s, typ); return err }

// mustJSON reads what is known to be json.
func mustJSON(s string) *jsonValue {
	v, err := parseJSON(s, "json")
	if err != nil {
		return &jsonValue{kind: 'n', raw: "null"}
	}
	return v
}

func jsonString(b *strings.Builder, s string) {
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
func (v *jsonValue) normal() *jsonValue {
	out := &jsonValue{kind: v.kind, text: v.text}
	switch v.kind {
	case '#':
		out.text = mustNum(v.text).String()
	case 'a':
		for _, x := range v.list {
			out.list = append(out.list, x.normal())
		}
	case 'o':
		at := map[string]int{}
		for i, k := range v.keys {
			if j, ok := at[k]; ok {
				out.list[j] = v.list[i].normal()
				continue
			}
			at[k] = len(out.keys)
			out.keys, out.list = append(out.keys, k), append(out.list, v.list[i].normal())
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
func (v *jsonValue) write(b *strings.Builder, indent int) {
	line := func(n int) {
		if indent >= 0 {
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

func (v *jsonValue) String() string {
	var b strings.Builder
	v.write(&b, -1)
	return b.String()
}

// JSONBIn is the text of the jsonb that a text means.
func JSONBIn(s string) (string, error) {
	v, err := parseJSON(s, "jsonb")
	if err != nil {
		return "", err
	}
	return v.normal().String(), nil
}

// jsonbKey is bytes that sort as jsonb does.
func jsonbKey(s string) []byte { return mustJSON(s).normal().key(nil, true) }

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

// at is an element of an array, or nil.
func (v *jsonValue) at(i int64) *jsonValue {
	if v.kind != 'a' {
		return nil
	}
	if i < 0 {
		i += int64(len(v.list))
	}
	if i < 0 || i >= int64(len(v.list)) {
		return nil
	}
	return v.list[i]
}

// field is a field of an object, the last of its name, or nil.
func (v *jsonValue) field(k string) *jsonValue {
	if v.kind != 'o' {
		return nil
	}
	for i := len(v.keys) - 1; i >= 0; i-- {
		if v.keys[i] == k {
			return v.list[i]
		}
	}
	return nil
}

func (v *jsonValue) path(p []*string) *jsonValue {
	for _, s := range p {
		if v == nil || s == nil {
			return nil
		}
		if v.kind == 'a' {
			i, err := strconv.ParseInt(strings.TrimSpace(*s), 10, 32)
			if err != nil {
				return nil
			}
			v = v.at(i)
			continue
		}
		v = v.field(*s)
	}
	return v
}

// asText is what ->> gives; ok is false for NULL.
func (v *jsonValue) asText(b bool) (string, bool) {
	switch {
	case v == nil || v.kind == 'n':
		return "", false
	case v.kind == 's':
		return v.text, true
	}
	return v.form(b), true
}

// form is v as json (as it was written) or jsonb.
func (v *jsonValue) form(b bool) string {
	if b {
		return v.String()
	}
	return v.raw
}

func jsonbContains(x, y *jsonValue, top bool) bool {
	switch {
	case x.kind == 'o' && y.kind == 'o':
		for i, k := range y.keys {
			f := x.field(k)
			if f == nil || !jsonbContains(f, y.list[i], false) {
				return false
			}
		}
		return true
	case x.kind == 'a' && y.kind == 'a':
		for _, e := range y.list {
			found := false
			for _, f := range x.list {
				if jsonbContains(f, e, false) && (f.kind == e.kind) {
					found = true
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	case x.kind == 'a' && top && y.kind != 'o': // an array contains a scalar of its elements
		for _, f := range x.list {
			if f.kind == y.kind && f.text == y.text && f.kind != 'a' && f.kind != 'o' {
				return true
			}
		}
		return false
	case x.kind == '#' && y.kind == '#':
		return cmpNum(mustNum(x.text), mustNum(y.text)) == 0
	}
	return x.kind == y.kind && x.text == y.text && x.kind != 'a' && x.kind != 'o'
}

func (v *jsonValue) exists(k string) bool {
	switch v.kind {
	case 'o':
		return v.field(k) != nil
	case 'a':
		for _, x := range v.list {
			if x.kind == 's' && x.text == k {
				return true
			}
		}
	case 's':
		return v.text == k
	}
	return false
}

// typeName is what json_typeof gives.
func (v *jsonValue) typeName() string {
	return map[byte]string{'n': "null", 'b': "boolean", '#': "number", 's': "string", 'a': "array", 'o': "object"}[v.kind]
}

// setPath is jsonb_set and jsonb_insert.
func setPath(v *jsonValue, p []*string, put *jsonValue, create, insert, after, remove bool, depth int) (*jsonValue, error) {
	if len(p) == 0 {
		return v, nil
	}
	if p[0] == nil {
		return nil, bad("22004", "path element at position %d is null", depth+1)
	}
	out := &jsonValue{kind: v.kind, text: v.text, keys: append([]string{}, v.keys...), list: append([]*jsonValue{}, v.list...)}
	last := len(p) == 1
	switch v.kind {
	case 'o':
		for i, k := range out.keys {
			if k != *p[0] {
				continue
			}
			if !last {
				x, err := setPath(out.list[i], p[1:], put, create, insert, after, remove, depth+1)
				out.list[i] = x
				return out, err
			}
			if insert {
				return nil, withHint(bad("22023", "cannot replace existing key"), "Try using the function jsonb_set to replace key value.")
			}
			if remove {
				out.keys, out.list = append(out.keys[:i], out.keys[i+1:]...), append(out.list[:i], out.list[i+1:]...)
				return out, nil
			}
			out.list[i] = put
			return out, nil
		}
		if last && (create || insert) && !remove {
			out.keys, out.list = append(out.keys, *p[0]), append(out.list, put)
			sort.Sort((*byKey)(out))
		}
		return out, nil
	case 'a':
		n, err := strconv.ParseInt(*p[0], 10, 32)
		if err != nil {
			return nil, bad("22P02", `path element at position %d is not an integer: "%s"`, depth+1, *p[0])
		}
		if n < 0 {
			n += int64(len(out.list))
			if n < 0 && !(last && (create || insert)) {
				return out, nil
			}
		}
		inside := n >= 0 && n < int64(len(out.list))
		switch {
		case !last && inside:
			x, err := setPath(out.list[n], p[1:], put, create, insert, after, remove, depth+1)
			out.list[n] = x
			return out, err
		case !last:
			return out, nil
		case remove && inside:
			out.list = append(out.list[:n], out.list[n+1:]...)
		case remove:
		case insert:
			at := min(max(n, 0), int64(len(out.list)))
			if inside && after {
				at = n + 1
			}
			out.list = append(out.list[:at], append([]*jsonValue{put}, out.list[at:]...)...)
		case inside:
			out.list[n] = put
		case create && n < 0:
			out.list = append([]*jsonValue{put}, out.list...)
		case create:
			out.list = append(out.list, put)
		}
		return out, nil
	}
	if depth == 0 {
		if remove {
			return nil, bad("22023", "cannot delete path in scalar")
		}
		return nil, bad("22023", "cannot set path in scalar")
	}
	return v, nil
}

// toJSONText is a value of a type as json.
func toJSONText(b *strings.Builder, typ string, v *vector.Vector, i int, set *codec.Settings) {
	if v.IsNull(i) {
		b.WriteString("null")
		return
	}
	if v.Type.Kind == vector.List {
		b.WriteByte('[')
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			if j > v.Off[i] {
				b.WriteByte(',')
			}
			toJSONText(b, strings.TrimPrefix(typ, "_"), v.Child[0], int(j), set)
		}
		b.WriteByte(']')
		return
	}
	switch typ {
	case "bool":
		b.WriteString(strconv.FormatBool(v.I64[i] != 0))
		return
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		s := Out(typ, v, i, set)
		if s == "NaN" || strings.HasSuffix(s, "Infinity") {
			jsonString(b, s)
		} else {
			b.WriteString(s)
		}
		return
	case "json", "jsonb":
		b.Write(v.Bytes(i))
		return
	case "timestamp", "timestamptz", "date":
		jsonString(b, strings.Replace(jsonMoment(typ, v, i, set), " ", "T", 1))
		return
	}
	jsonString(b, Out(typ, v, i, set))
}

// jsonMoment is a moment as json has it: with T, and an offset with minutes.
func jsonMoment(typ string, v *vector.Vector, i int, set *codec.Settings) string {
	s := Out(typ, v, i, set)
	if typ != "timestamptz" || !finite(v.I64[i]) {
		return s
	}
	bc := ""
	if strings.HasSuffix(s, " BC") {
		s, bc = strings.TrimSuffix(s, " BC"), " BC"
	}
	if at := strings.LastIndexAny(s, "+-"); at > 10 && len(s)-at == 3 {
		s += ":00"
	}
	return s + bc
}

func putJSON(out *vector.Vector, v *jsonValue, b bool) error {
	if v == nil {
		out.AppendNull()
		return nil
	}
	out.AppendString(v.form(b))
	return nil
}

func init() {
	for _, typ := range []string{"json", "jsonb"} {
		b := typ == "jsonb"
		ours(typ+" -> text", typ, func(a args, out *vector.Vector) error { return putJSON(out, mustJSON(a.s(0)).field(a.s(1)), b) })
		ours(typ+" -> int4", typ, func(a args, out *vector.Vector) error { return putJSON(out, mustJSON(a.s(0)).at(a.n(1)), b) })
		text := func(out *vector.Vector, v *jsonValue) error {
			s, ok := v.asText(b)
			if !ok {
				out.AppendNull()
				return nil
			}
			out.AppendString(s)
			return nil
		}
		ours(typ+" ->> text", "text", func(a args, out *vector.Vector) error { return text(out, mustJSON(a.s(0)).field(a.s(1))) })
		ours(typ+" ->> int4", "text", func(a args, out *vector.Vector) error { return text(out, mustJSON(a.s(0)).at(a.n(1))) })
		for _, c := range []string{typ + " #> _text", typ + "_extract_path(" + typ + ",_text)"} {
			ours(c, typ, func(a args, out *vector.Vector) error { return putJSON(out, mustJSON(a.s(0)).path(a.texts(1)), b) })
		}
		for _, c := range []string{typ + " #>> _text", typ + "_extract_path_text(" + typ + ",_text)"} {
			ours(c, "text", func(a args, out *vector.Vector) error { return text(out, mustJSON(a.s(0)).path(a.texts(1))) })
		}
		ours(typ+"_array_length("+typ+")", "int4", func(a args, out *vector.Vector) error {
			v := mustJSON(a.s(0))
			if v.kind == 'o' {
				return bad("22023", "cannot get array length of a non-array")
			}
			if v.kind != 'a' {
				return bad("22023", "cannot get array length of a scalar")
			}
			return putInt(out, int64(len(v.list)), nil)
		})
		ours(typ+"_typeof("+typ+")", "text", func(a args, out *vector.Vector) error {
			out.AppendString(mustJSON(a.s(0)).typeName())
			return nil
		})
		ours(typ+"_object_keys("+typ+")", "_text", func(a args, out *vector.Vector) error {
			v := mustJSON(a.s(0))
			if v.kind == 'a' {
				return bad("22023", "cannot call %s_object_keys on an array", typ)
			}
			if v.kind != 'o' {
				return bad("22023", "cannot call %s_object_keys on a scalar", typ)
			}
			return putTexts(out, v.keys)
		})
		for _, asText := range []bool{false, true} {
			fn, result := typ+"_array_elements", "_"+typ
			if asText {
				fn, result = fn+"_text", "_text"
			}
			ours(fn+"("+typ+")", result, func(a args, out *vector.Vector) error {
				v := mustJSON(a.s(0))
				if v.kind == 'o' {
					if b {
						return bad("22023", "cannot extract elements from an object")
					}
					return bad("22023", "cannot call %s on a non-array", fn)
				}
				if v.kind != 'a' {
					if b {
						return bad("22023", "cannot extract elements from a scalar")
					}
					return bad("22023", "cannot call %s on a scalar", fn)
				}
				for _, x := range v.list {
					if !asText {
						out.Child[0].AppendString(x.form(b))
					} else if s, ok := x.asText(b); ok {
						out.Child[0].AppendString(s)
					} else {
						out.Child[0].AppendNull()
					}
				}
				out.CloseNested()
				return nil
			})
			fn, result = typ+"_each", "_"+typ
			if asText {
				fn, result = fn+"_text", "_text"
			}
			object := func(a args) (*jsonValue, error) {
				v := mustJSON(a.s(0))
				if v.kind == 'o' {
					return v, nil
				}
				if b {
					return v, bad("22023", "cannot call %s on a non-object", fn)
				}
				if v.kind == 'a' {
					return v, bad("22023", "cannot deconstruct an array as an object")
				}
				return v, bad("22023", "cannot deconstruct a scalar")
			}
			ours(fn+"("+typ+")#key", "_text", func(a args, out *vector.Vector) error {
				v, err := object(a)
				if err != nil {
					return err
				}
				return putTexts(out, v.keys)
			})
			ours(fn+"("+typ+")#value", result, func(a args, out *vector.Vector) error {
				v, err := object(a)
				if err != nil {
					return err
				}
				for _, x := range v.list {
					if !asText {
						out.Child[0].AppendString(x.form(b))
					} else if s, ok := x.asText(b); ok {
						out.Child[0].AppendString(s)
					} else {
						out.Child[0].AppendNull()
					}
				}
				out.CloseNested()
				return nil
			})
		}
		ours(typ+"_strip_nulls("+typ+")", typ, func(a args, out *vector.Vector) error {
			var strip func(v *jsonValue) *jsonValue
			strip = func(v *jsonValue) *jsonValue {
				o := &jsonValue{kind: v.kind, text: v.text}
				for i, x := range v.list {
					if v.kind == 'o' && x.kind == 'n' {
						continue
					}
					if v.kind == 'o' {
						o.keys = append(o.keys, v.keys[i])
					}
					o.list = append(o.list, strip(x))
				}
				return o
			}
			v := strip(mustJSON(a.s(0)))
			if b {
				out.AppendString(v.String())
			} else {
				var w strings.Builder
				v.compact(&w)
				out.AppendString(w.String())
			}
			return nil
		})
		for _, call := range []string{"_object(_text)", "_object(_text,_text)"} {
			ours(typ+call, typ, func(a args, out *vector.Vector) error {
				l := a.texts(0)
				var keys, vals []*string
				if len(a.v) == 1 {
					if len(l)%2 == 1 {
						return bad("2202E", "array must have even number of elements")
					}
					for i := 0; i < len(l); i += 2 {
						keys, vals = append(keys, l[i]), append(vals, l[i+1])
					}
				} else {
					keys, vals = l, a.texts(1)
					if len(keys) != len(vals) {
						return bad("2202E", "mismatched array dimensions")
					}
				}
				var w strings.Builder
				w.WriteByte('{')
				for i, k := range keys {
					if k == nil {
						return bad("22004", "null value not allowed for object key")
					}
					if i > 0 {
						w.WriteString(", ")
					}
					jsonString(&w, *k)
					w.WriteString(" : ")
					if vals[i] == nil {
						w.WriteString("null")
					} else {
						jsonString(&w, *vals[i])
					}
				}
				w.WriteByte('}')
				if b {
					s, err := JSONBIn(w.String())
					return putText(out, s, err)
				}
				out.AppendString(w.String())
				return nil
			})
		}
		build := func(object bool) run {
			return func(a args, out *vector.Vector) error {
				l := a.texts(0)
				for i, s := range l {
					if s == nil {
						none := "null"
						l[i] = &none
					}
				}
				var w strings.Builder
				if object {
					if len(l)%2 == 1 {
						return withHint(bad("22023", "argument list must have even number of elements"), "The arguments of "+typ+"_build_object() must consist of alternating keys and values.")
					}
					w.WriteByte('{')
					for i := 0; i < len(l); i += 2 {
						if i > 0 {
							w.WriteString(", ")
						}
						if *l[i] == "null" {
							if b {
								return bad("22023", "argument %d: key must not be null", i+1)
							}
							return withHint(bad("22023", "argument %d cannot be null", i+1), "Object keys should be text.")
						}
						k := mustJSON(*l[i])
						if k.kind == 'a' || k.kind == 'o' {
							return bad("22023", "key value must be scalar, not array, composite, or json")
						}
						jsonString(&w, k.text)
						w.WriteString(" : " + *l[i+1])
					}
					w.WriteByte('}')
				} else {
					w.WriteByte('[')
					for i, s := range l {
						if i > 0 {
							w.WriteString(", ")
						}
						w.WriteString(*s)
					}
					w.WriteByte(']')
				}
				if b {
					s, err := JSONBIn(w.String())
					return putText(out, s, err)
				}
				out.AppendString(w.String())
				return nil
			}
		}
		ours("__"+typ+"_build_object(_text)", typ, build(true))
		ours("__"+typ+"_build_array(_text)", typ, build(false))
		for _, k := range []string{"object", "array"} {
			add(&Function{Call: typ + "_build_" + k + "(any)", SQL: "__" + typ + "_build_" + k + "($1)", JSON: true})
			empty := map[string]string{"object": "{}", "array": "[]"}[k]
			add(&Function{Call: typ + "_build_" + k + "()", SQL: "CAST('" + empty + "' AS " + map[bool]string{true: "text", false: "json"}[b] + ")"})
		}
	}
	ours("__row_to_json(_text,_text)", "text", func(a args, out *vector.Vector) error {
		keys, vals := a.texts(0), a.texts(1)
		var w strings.Builder
		w.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				w.WriteByte(',')
			}
			jsonString(&w, *k)
			w.WriteByte(':')
			if vals[i] == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*vals[i])
			}
		}
		w.WriteByte('}')
		out.AppendString(w.String())
		return nil
	})
	ours("__to_json(text,text,any)", "text", func(a args, out *vector.Vector) error {
		if a.null(2) {
			out.AppendNull()
			return nil
		}
		var w strings.Builder
		toJSONText(&w, a.s(1), a.v[2], a.i, settingsOf(a.b(0)))
		out.AppendString(w.String())
		return nil
	}, nulls)
	ours("__json_agg(_text)", "text", func(a args, out *vector.Vector) error {
		var w strings.Builder
		w.WriteByte('[')
		for i, s := range a.texts(0) {
			if i > 0 {
				w.WriteString(", ")
			}
			if s == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*s)
			}
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_agg_lines(_text)", "text", func(a args, out *vector.Vector) error {
		var w strings.Builder
		w.WriteByte('[')
		for i, s := range a.texts(0) {
			if i > 0 {
				w.WriteString(", \n ")
			}
			if s == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*s)
			}
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_agg_of(text,text,anyarray)", "text", func(a args, out *vector.Vector) error {
		var w strings.Builder
		w.WriteByte('[')
		c, from, to := a.elements(2)
		for j := from; j < to; j++ {
			if j > from {
				w.WriteString(", ")
			}
			toJSONText(&w, a.s(1), c, j, settingsOf(a.b(0)))
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_object_agg(_text,_text)", "text", func(a args, out *vector.Vector) error {
		var w strings.Builder
		w.WriteString("{ ")
		vals := a.texts(1)
		for i, k := range a.texts(0) {
			if k == nil {
				return bad("22023", "field name must not be null")
			}
			if i > 0 {
				w.WriteString(", ")
			}
			jsonString(&w, *k)
			w.WriteString(" : ")
			if vals[i] == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*vals[i])
			}
		}
		w.WriteString(" }")
		out.AppendString(w.String())
		return nil
	})
	ours("__jsonb_key(jsonb)", "bytea", func(a args, out *vector.Vector) error { out.AppendBytes(jsonbKey(a.s(0))); return nil })
	ours("cast(json as jsonb)", "jsonb", func(a args, out *vector.Vector) error {
		s, err := JSONBIn(a.s(0))
		return putText(out, s, err)
	})
	sql("cast(jsonb as json)\tCAST($1 AS json)")
	ours("jsonb @> jsonb", "bool", func(a args, out *vector.Vector) error {
		out.AppendBool(jsonbContains(mustJSON(a.s(0)), mustJSON(a.s(1)), true))
		return nil
	})
	ours("jsonb <@ jsonb", "bool", func(a args, out *vector.Vector) error {
		out.AppendBool(jsonbContains(mustJSON(a.s(1)), mustJSON(a.s(0)), true))
		return nil
	})
	ours("jsonb ? text", "bool", func(a args, out *vector.Vector) error { out.AppendBool(mustJSON(a.s(0)).exists(a.s(1))); return nil })
	for _, op := range []string{"?|", "?&"} {
		ours("jsonb "+op+" _text", "bool", func(a args, out *vector.Vector) error {
			v := mustJSON(a.s(0))
			all := op == "?&"
			r := all
			for _, k := range a.texts(1) {
				if k != nil && v.exists(*k) != all {
					r = !all
				}
			}
			out.AppendBool(r)
			return nil
		})
	}
	ours("jsonb || jsonb", "jsonb", func(a args, out *vector.Vector) error {
		x, y := mustJSON(a.s(0)), mustJSON(a.s(1))
		if x.kind == 'o' && y.kind == 'o' {
			o := &jsonValue{kind: 'o', keys: append(append([]string{}, x.keys...), y.keys...), list: append(append([]*jsonValue{}, x.list...), y.list...)}
			out.AppendString(o.normal().String())
			return nil
		}
		list := func(v *jsonValue) []*jsonValue {
			if v.kind == 'a' {
				return v.list
			}
			return []*jsonValue{v}
		}
		o := &jsonValue{kind: 'a', list: append(append([]*jsonValue{}, list(x)...), list(y)...)}
		out.AppendString(o.String())
		return nil
	})
	remove := func(v *jsonValue, keys map[string]bool) (*jsonValue, error) {
		if v.kind != 'a' && v.kind != 'o' {
			return nil, bad("22023", "cannot delete from scalar")
		}
		o := &jsonValue{kind: v.kind}
		for i, x := range v.list {
			if v.kind == 'o' && keys[v.keys[i]] || v.kind == 'a' && x.kind == 's' && keys[x.text] {
				continue
			}
			if v.kind == 'o' {
				o.keys = append(o.keys, v.keys[i])
			}
			o.list = append(o.list, x)
		}
		return o, nil
	}
	ours("jsonb - text", "jsonb", func(a args, out *vector.Vector) error {
		o, err := remove(mustJSON(a.s(0)), map[string]bool{a.s(1): true})
		if err != nil {
			return err
		}
		out.AppendString(o.String())
		return nil
	})
	ours("jsonb - _text", "jsonb", func(a args, out *vector.Vector) error {
		keys := map[string]bool{}
		for _, k := range a.texts(1) {
			if k != nil {
				keys[*k] = true
			}
		}
		o, err := remove(mustJSON(a.s(0)), keys)
		if err != nil {
			return err
		}
		out.AppendString(o.String())
		return nil
	})
	ours("jsonb - int4", "jsonb", func(a args, out *vector.Vector) error {
		v := mustJSON(a.s(0))
		if v.kind == 'o' {
			return bad("22023", "cannot delete from object using integer index")
		}
		if v.kind != 'a' {
			return bad("22023", "cannot delete from scalar")
		}
		n := a.n(1)
		if n < 0 {
			n += int64(len(v.list))
		}
		o := &jsonValue{kind: 'a'}
		for i, x := range v.list {
			if int64(i) != n {
				o.list = append(o.list, x)
			}
		}
		out.AppendString(o.String())
		return nil
	})
	for _, c := range []string{"jsonb #- _text", "jsonb_delete_path(jsonb,_text)"} {
		ours(c, "jsonb", func(a args, out *vector.Vector) error {
			v, err := setPath(mustJSON(a.s(0)), a.texts(1), nil, false, false, false, true, 0)
			if err != nil {
				return err
			}
			out.AppendString(v.String())
			return nil
		})
	}
	ours("jsonb_set(jsonb,_text,jsonb,bool)", "jsonb", func(a args, out *vector.Vector) error {
		v, err := setPath(mustJSON(a.s(0)), a.texts(1), mustJSON(a.s(2)), a.t(3), false, false, false, 0)
		if err != nil {
			return err
		}
		out.AppendString(v.String())
		return nil
	})
	ours("jsonb_insert(jsonb,_text,jsonb,bool)", "jsonb", func(a args, out *vector.Vector) error {
		v, err := setPath(mustJSON(a.s(0)), a.texts(1), mustJSON(a.s(2)), false, true, a.t(3), false, 0)
		if err != nil {
			return err
		}
		out.AppendString(v.String())
		return nil
	})
	ours("jsonb_pretty(jsonb)", "text", func(a args, out *vector.Vector) error {
		var w strings.Builder
		mustJSON(a.s(0)).write(&w, 0)
		out.AppendString(w.String())
		return nil
	})
	field := func(doc, name string) *jsonValue {
		v := mustJSON(doc)
		return v.field(name)
	}
	ours("__json_field_text(text,text)", "text", func(a args, out *vector.Vector) error {
		s, ok := field(a.s(0), a.s(1)).asText(false)
		if !ok {
			out.AppendNull()
			return nil
		}
		out.AppendString(s)
		return nil
	})
	ours("__json_field(text,text)", "text", func(a args, out *vector.Vector) error { return putJSON(out, field(a.s(0), a.s(1)), false) })
	ours("__json_fields(text,text)", "_text", func(a args, out *vector.Vector) error {
		v := mustJSON(a.s(0))
		if v.kind != 'a' {
			return bad("22023", "cannot call json_to_recordset on a non-array")
		}
		for _, x := range v.list {
			if s, ok := x.field(a.s(1)).asText(false); ok {
				out.Child[0].AppendString(s)
			} else {
				out.Child[0].AppendNull()
			}
		}
		out.CloseNested()
		return nil
	})
	// Casts of jsonb to scalars.
	number := func(v *jsonValue, typ string) (num, error) {
		if v.kind != '#' {
			kinds := map[byte]string{'n': "null", 'b': "boolean", 's': "string", 'a': "array", 'o': "object"}
			return num{}, bad("22023", "cannot cast jsonb %s to type %s", kinds[v.kind], typ)
		}
		return mustNum(v.text), nil
	}
	ours("cast(jsonb as numeric)", "numeric", func(a args, out *vector.Vector) error {
		n, err := number(mustJSON(a.s(0)), "numeric")
		return putNum(out, n, err)
	})
	for _, t := range []struct {
		name, sql string
		low, high int64
	}{{"int2", "smallint", -1 << 15, 1<<15 - 1}, {"int4", "integer", -1 << 31, 1<<31 - 1}, {"int8", "bigint", -1 << 63, 1<<63 - 1}} {
		ours("cast(jsonb as "+t.name+")", t.name, func(a args, out *vector.Vector) error {
			n, err := number(mustJSON(a.s(0)), t.sql)
			if err != nil {
				return err
			}
			x, err := numInt(n, t.low, t.high, t.sql)
			return putInt(out, x, err)
		})
	}
	for t, s := range map[string]string{"float4": "real", "float8": "double precision"} {
		ours("cast(jsonb as "+t+")", t, func(a args, out *vector.Vector) error {
			n, err := number(mustJSON(a.s(0)), s)
			if err != nil {
				return err
			}
			f, err := numFloat(n)
			return putFloat(out, f, err)
		})
	}
	ours("cast(jsonb as bool)", "bool", func(a args, out *vector.Vector) error {
		v := mustJSON(a.s(0))
		if v.kind != 'b' {
			kinds := map[byte]string{'n': "null", '#': "numeric", 's': "string", 'a': "array", 'o': "object"}
			return bad("22023", "cannot cast jsonb %s to type boolean", kinds[v.kind])
		}
		out.AppendBool(v.text == "true")
		return nil
	})
	_ = big.NewInt
}

// compact writes v as json_strip_nulls does.
func (v *jsonValue) compact(b *strings.Builder) {
	switch v.kind {
	case 'a', 'o':
		open, end := "[", "]"
		if v.kind == 'o' {
			open, end = "{", "}"
		}
		b.WriteString(open)
		for i, x := range v.list {
			if i > 0 {
				b.WriteByte(',')
			}
			if v.kind == 'o' {
				jsonString(b, v.keys[i])
				b.WriteByte(':')
			}
			x.compact(b)
		}
		b.WriteString(end)
	default:
		v.write(b, -1)
	}
}
