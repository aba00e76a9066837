package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Arrays of more than one dimension, or whose elements do not count from 1, are kept as PostgreSQL's text of them, with elements as
// Defaults writes them: values of kind Text that are shown as the array type.

// MaxDimensions is how many dimensions an array has at most, MaxArrayElements how many elements: PostgreSQL's limits.
const (
	MaxDimensions    = 6
	MaxArrayElements = 1<<27 - 1
)

// Array is an array of any dimensions; its elements, texts, are in row-major order, nil for NULL. One without elements has no dimensions.
type Array struct {
	Dims, Lower []int
	Elems       []*string
}

// Plain reports whether a is empty, or has one dimension that counts from 1.
func (a *Array) Plain() bool {
	return len(a.Dims) == 0 || len(a.Dims) == 1 && a.Lower[0] == 1
}

type dimensionReader struct {
	s    string
	i    int
	leaf int // the level of elements, counted from 1; 0: none was seen
	out  Array
}

func (r *dimensionReader) bad(format string, args ...any) error {
	return &Error{Code: "22P02", Message: "malformed array literal: " + quoted([]byte(r.s)), Detail: fmt.Sprintf(format, args...)}
}

func (r *dimensionReader) space() {
	for r.i < len(r.s) && isSpace(r.s[r.i]) {
		r.i++
	}
}

func (r *dimensionReader) at(c byte) bool { return r.i < len(r.s) && r.s[r.i] == c }

func (r *dimensionReader) number() (int, bool) {
	from := r.i
	if r.at('-') || r.at('+') {
		r.i++
	}
	for r.i < len(r.s) && isDigit(r.s[r.i]) {
		r.i++
	}
	n, err := strconv.ParseInt(r.s[from:r.i], 10, 32)
	return int(n), err == nil
}

// ParseArray reads the text of an array as array_in does, and leaves its elements as they are written. Errors: 22P02, 2202E, 54000.
func ParseArray(s string) (*Array, error) {
	r := &dimensionReader{s: s}
	var dims, lower []int
	for r.space(); r.at('['); r.space() {
		r.i++
		n, ok := r.number()
		if !ok {
			return nil, r.bad(`"[" must introduce explicitly-specified array dimensions.`)
		}
		low := 1
		if r.at(':') {
			r.i++
			low = n
			if n, ok = r.number(); !ok {
				return nil, r.bad("Missing array dimension value.")
			}
		}
		if !r.at(']') {
			return nil, r.bad(`Missing "]" after array dimensions.`)
		}
		r.i++
		if len(dims) >= MaxDimensions {
			return nil, &Error{Code: "54000", Message: fmt.Sprintf("number of array dimensions (%d) exceeds the maximum allowed (%d)", len(dims)+1, MaxDimensions)}
		}
		if n < low {
			return nil, &Error{Code: "2202E", Message: "upper bound cannot be less than lower bound"}
		}
		dims, lower = append(dims, n-low+1), append(lower, low)
	}
	if dims != nil {
		if !r.at('=') {
			return nil, r.bad(`Missing "=" after array dimensions.`)
		}
		r.i++
		if r.space(); !r.at('{') {
			return nil, r.bad(`Array contents must start with "{".`)
		}
	} else if !r.at('{') {
		return nil, r.bad(`Array value must start with "{" or dimension information.`)
	}
	if err := r.level(1); err != nil {
		return nil, err
	}
	if r.space(); r.i < len(r.s) {
		return nil, r.bad("Junk after closing right brace.")
	}
	if len(r.out.Elems) == 0 {
		r.out.Dims = nil
	}
	if dims != nil {
		if fmt.Sprint(dims) != fmt.Sprint(r.out.Dims) {
			return nil, r.bad("Specified array dimensions do not match array contents.")
		}
		r.out.Lower = lower
		return &r.out, nil
	}
	for range r.out.Dims {
		r.out.Lower = append(r.out.Lower, 1)
	}
	return &r.out, nil
}

// level reads what a brace begins.
func (r *dimensionReader) level(depth int) error {
	if depth > MaxDimensions {
		return &Error{Code: "54000", Message: fmt.Sprintf("number of array dimensions (%d) exceeds the maximum allowed (%d)", depth, MaxDimensions)}
	}
	r.i++
	n := 0
	for {
		r.space()
		switch {
		case r.i >= len(r.s):
			return r.bad("Unexpected end of input.")
		case r.at('}') && n == 0 && depth == 1:
			r.i++
			return nil
		case r.at('}') || r.at(','):
			return r.bad(`Unexpected "%c" character.`, r.s[r.i])
		case r.at('{') && r.leaf == depth:
			return r.bad(`Unexpected "{" character.`)
		case r.at('{'):
			if err := r.level(depth + 1); err != nil {
				return err
			}
		case r.leaf != 0 && r.leaf != depth:
			return r.bad("Unexpected array element.")
		default:
			r.leaf = depth
			if err := r.element(); err != nil {
				return err
			}
		}
		n++
		r.space()
		switch {
		case r.at(','):
			r.i++
			continue
		case r.at('}'):
			r.i++
		case r.i >= len(r.s):
			return r.bad("Unexpected end of input.")
		default:
			return r.bad("Unexpected array element.")
		}
		break
	}
	for len(r.out.Dims) < depth {
		r.out.Dims = append(r.out.Dims, 0)
	}
	if d := &r.out.Dims[depth-1]; *d == 0 {
		*d = n
	} else if *d != n {
		return r.bad("Multidimensional arrays must have sub-arrays with matching dimensions.")
	}
	return nil
}

func (r *dimensionReader) element() error {
	var b strings.Builder
	if r.at('"') {
		for r.i++; ; r.i++ {
			if r.i >= len(r.s) {
				return r.bad("Unexpected end of input.")
			}
			c := r.s[r.i]
			if c == '"' {
				r.i++
				break
			}
			if c == '\\' {
				if r.i++; r.i >= len(r.s) {
					return r.bad("Unexpected end of input.")
				}
				c = r.s[r.i]
			}
			b.WriteByte(c)
		}
		s := b.String()
		r.out.Elems = append(r.out.Elems, &s)
		return nil
	}
	keep, escaped := 0, false
	for ; r.i < len(r.s) && r.s[r.i] != ',' && r.s[r.i] != '}'; r.i++ {
		c := r.s[r.i]
		switch c {
		case '{':
			return r.bad(`Unexpected "{" character.`)
		case '"':
			return r.bad("Unexpected array element.")
		case '\\':
			if r.i++; r.i >= len(r.s) {
				return r.bad("Unexpected end of input.")
			}
			b.WriteByte(r.s[r.i])
			keep, escaped = b.Len(), true
			continue
		}
		if b.WriteByte(c); !isSpace(c) {
			keep = b.Len()
		}
	}
	s := b.String()[:keep]
	if !escaped && strings.EqualFold(s, "null") {
		r.out.Elems = append(r.out.Elems, nil)
		return nil
	}
	r.out.Elems = append(r.out.Elems, &s)
	return nil
}

// String is the array as array_out writes it.
func (a *Array) String() string {
	if len(a.Dims) == 0 {
		return "{}"
	}
	var out []byte
	for _, l := range a.Lower {
		if l != 1 {
			for i, d := range a.Dims {
				out = fmt.Appendf(out, "[%d:%d]", a.Lower[i], a.Lower[i]+d-1)
			}
			out = append(out, '=')
			break
		}
	}
	k := 0
	var level func(d int)
	level = func(d int) {
		out = append(out, '{')
		for i := range a.Dims[d] {
			if i > 0 {
				out = append(out, ',')
			}
			if d+1 < len(a.Dims) {
				level(d + 1)
				continue
			}
			if e := a.Elems[k]; e == nil {
				out = append(out, "NULL"...)
			} else {
				at := len(out)
				if out = append(out, *e...); needsQuotes(out[at:]) {
					out = quoteElement(out, at)
				}
			}
			k++
		}
		out = append(out, '}')
	}
	level(0)
	return string(out)
}

// elementType is the type of the elements of an array type; ok is false for other types.
func elementType(array uint32) (t vector.Type, ok bool) {
	switch array {
	case oidNumericArray:
		return vector.Type{Kind: vector.Text, Shown: OIDNumeric}, true
	case oidJSONBArray:
		return vector.Type{Kind: vector.Text, Shown: OIDJSONB}, true
	}
	if t, ok = TypeOf(array); !ok || t.Kind != vector.List {
		return vector.Type{}, false
	}
	e := t.Elem[0]
	if elem := shownElements[array]; elem != 0 && elem != OID(e) {
		e.Shown = elem
	}
	return e, true
}

const oidJSONBArray = 3807

// IsArray reports whether an object id is that of an array type whose values can be kept as text.
func IsArray(oid uint32) bool {
	_, ok := elementType(oid)
	return ok
}

// each makes elements anew: f gets a vector of one that holds the element.
func (a *Array) each(t vector.Type, f func(v *vector.Vector) (string, error)) error {
	for i, e := range a.Elems {
		if e == nil {
			continue
		}
		v, err := ParseText(t, *e, Defaults)
		if err != nil {
			return err
		}
		s, err := f(v)
		if err != nil {
			return err
		}
		a.Elems[i] = &s
	}
	return nil
}

// shownArray is the text of an array that is kept as text as a session's settings write it.
func shownArray(text string, oid uint32, s *Settings) string {
	t, ok := elementType(oid)
	if !ok || t.Kind == vector.Text && t.Shown == 0 {
		return text
	}
	a, err := ParseArray(text)
	if err != nil {
		return text
	}
	if err := a.each(t, func(v *vector.Vector) (string, error) { return string(AppendText(nil, v, 0, s)), nil }); err != nil {
		return text
	}
	return a.String()
}

// appendDimensionsBinary is the binary form of an array that is kept as text.
func appendDimensionsBinary(dst []byte, text string, oid uint32) ([]byte, error) {
	t, ok := elementType(oid)
	if !ok {
		return dst, badSyntaxOf("array", []byte(text))
	}
	a, err := ParseArray(text)
	if err != nil {
		return dst, err
	}
	nulls := uint32(0)
	for _, e := range a.Elems {
		if e == nil {
			nulls = 1
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(a.Dims)))
	dst = binary.BigEndian.AppendUint32(dst, nulls)
	dst = binary.BigEndian.AppendUint32(dst, OID(t))
	for i, d := range a.Dims {
		dst = binary.BigEndian.AppendUint32(dst, uint32(d))
		dst = binary.BigEndian.AppendUint32(dst, uint32(int32(a.Lower[i])))
	}
	for _, e := range a.Elems {
		if e == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		v, err := ParseText(t, *e, Defaults)
		if err != nil {
			return dst, err
		}
		if v.Type.Kind == vector.Float64 && v.F64[0] != v.F64[0] {
			v.F64[0] = math.Float64frombits(0x7ff8 << 48) // PostgreSQL's NaN, where Go's has a further bit
		}
		at := len(dst)
		if dst, err = AppendBinary(append(dst, 0, 0, 0, 0), v, 0, Defaults); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, nil
}

// dimensionsOfBinary is the text of an array's binary form.
func dimensionsOfBinary(b []byte, oid uint32) (string, error) {
	t, ok := elementType(oid)
	bad := &Error{Code: "22P03", Message: "incorrect binary data format"}
	if !ok || len(b) < 12 {
		return "", bad
	}
	n, elem := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[8:])
	if n > MaxDimensions {
		return "", &Error{Code: "54000", Message: fmt.Sprintf("number of array dimensions (%d) exceeds the maximum allowed (%d)", n, MaxDimensions)}
	}
	if elem != OID(t) {
		return "", &Error{Code: "42804", Message: fmt.Sprintf("binary data has array element type %d instead of expected %d", elem, OID(t))}
	}
	b = b[12:]
	a := &Array{}
	count := 1
	for range n {
		if len(b) < 8 {
			return "", bad
		}
		d, low := int64(binary.BigEndian.Uint32(b)), int(int32(binary.BigEndian.Uint32(b[4:])))
		if d > MaxArrayElements || int64(count)*d > MaxArrayElements {
			return "", &Error{Code: "54000", Message: fmt.Sprintf("array size exceeds the maximum allowed (%d)", MaxArrayElements)}
		}
		count *= int(d)
		a.Dims, a.Lower, b = append(a.Dims, int(d)), append(a.Lower, low), b[8:]
	}
	if n == 0 || count == 0 {
		a.Dims, a.Lower, count = nil, nil, 0
	}
	// Every element takes at least its length word, so a wrong count cannot make the loop long.
	if uint64(count)*4 > uint64(len(b)) {
		return "", bad
	}
	for range count {
		if len(b) < 4 {
			return "", bad
		}
		size := int64(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size == -1 {
			a.Elems = append(a.Elems, nil)
			continue
		}
		if size < 0 || size > int64(len(b)) {
			return "", bad
		}
		v := vector.New(t, 1)
		if err := AppendDecoded(v, b[:size], Defaults); err != nil {
			return "", err
		}
		s := string(AppendText(nil, v, 0, Defaults))
		a.Elems, b = append(a.Elems, &s), b[size:]
	}
	if len(b) != 0 {
		return "", bad
	}
	return a.String(), nil
}

// dimensional is a parameter of an array type that is no list: of more than one dimension, or whose elements do not count from 1. ok is
// false for others, and for what is no array's form.
func dimensional(t vector.Type, text bool, b []byte) (v *vector.Vector, ok bool, err error) {
	oid := OID(t)
	if _, known := elementType(oid); t.Kind != vector.List || !known {
		return nil, false, nil
	}
	var s string
	if text {
		if s = strings.TrimLeft(string(b), spaces); !strings.HasPrefix(s, "[") && !(strings.HasPrefix(s, "{") && strings.HasPrefix(strings.TrimLeft(s[1:], spaces), "{")) {
			return nil, false, nil
		}
		a, err := ParseArray(s)
		if err != nil || a.Plain() {
			return nil, false, err
		}
	} else {
		if len(b) < 20 {
			return nil, false, nil
		}
		n, low := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[16:])
		if n == 0 || n == 1 && low == 1 {
			return nil, false, nil
		}
		if s, err = dimensionsOfBinary(b, oid); err != nil {
			return nil, false, err
		}
	}
	v = vector.New(vector.Type{Kind: vector.Text, Shown: oid}, 1)
	v.AppendString(s)
	return v, true, nil
}
