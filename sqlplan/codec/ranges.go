package codec

import (
	"encoding/binary"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// RangeType is a type of ranges, and that of multiranges over it. Their values are kept as PostgreSQL's text of them, with the settings of
// Defaults.
type RangeType struct {
	Name, MultiName string
	OID, Array      uint32
	Multi           uint32 // of the multirange type
	MultiArray      uint32
	Elem            uint32 // the bounds' type
	Kind            vector.Kind
}

// RangeTypes are PostgreSQL's own range types.
var RangeTypes = []RangeType{
	{"int4range", "int4multirange", 3904, 3905, 4451, 6150, OIDInt4, vector.Int32},
	{"int8range", "int8multirange", 3926, 3927, 4536, 6157, OIDInt8, vector.Int64},
	{"numrange", "nummultirange", 3906, 3907, 4532, 6151, OIDNumeric, vector.Text},
	{"tsrange", "tsmultirange", 3908, 3909, 4533, 6152, OIDTimestamp, vector.Timestamp},
	{"tstzrange", "tstzmultirange", 3910, 3911, 4534, 6153, OIDTimestampTZ, vector.TimestampTZ},
	{"daterange", "datemultirange", 3912, 3913, 4535, 6155, OIDDate, vector.Date},
}

// RangeOf is the range type of an object id of one of its two types, nil for others.
func RangeOf(oid uint32) (r *RangeType, multi bool) {
	for i := range RangeTypes {
		if r := &RangeTypes[i]; r.OID == oid || r.Multi == oid {
			return r, r.Multi == oid
		}
	}
	return nil, false
}

// Range is a range as its text says it. A bound that is nil is infinite.
type Range struct {
	Empty              bool
	Lower, Upper       *string
	LowerInc, UpperInc bool
}

// ParseRange reads the text of a range as range_in does, without looking at its bounds. Errors: 22P02.
func ParseRange(s string) (Range, error) {
	r, rest, err := parseRange(s, s)
	if err == nil && strings.TrimLeft(rest, spaces) != "" {
		if r.Empty {
			return r, badRange(s, `Junk after "empty" key word.`)
		}
		return r, badRange(s, "Junk after right parenthesis or bracket.")
	}
	return r, err
}

const spaces = " \t\n\v\f\r"

func badRange(s, detail string) error {
	return &Error{Code: "22P02", Message: "malformed range literal: " + quoted([]byte(s)), Detail: detail}
}

// parseRange reads a range at the start of s; whole is the text for errors.
func parseRange(s, whole string) (r Range, rest string, err error) {
	t := strings.TrimLeft(s, spaces)
	if len(t) >= 5 && strings.EqualFold(t[:5], "empty") {
		return Range{Empty: true}, t[5:], nil
	}
	if t == "" || t[0] != '[' && t[0] != '(' {
		return r, "", badRange(whole, "Missing left parenthesis or bracket.")
	}
	r.LowerInc, t = t[0] == '[', t[1:]
	bound := func() (*string, error) {
		if t != "" && (t[0] == ',' || t[0] == ')' || t[0] == ']') {
			return nil, nil
		}
		var b strings.Builder
		quote := false
		for {
			if t == "" {
				return nil, badRange(whole, "Unexpected end of input.")
			}
			c := t[0]
			if !quote && (c == ',' || c == ')' || c == ']') {
				break
			}
			t = t[1:]
			switch {
			case c == '\\':
				if t == "" {
					return nil, badRange(whole, "Unexpected end of input.")
				}
				b.WriteByte(t[0])
				t = t[1:]
			case c == '"' && !quote:
				quote = true
			case c == '"' && t != "" && t[0] == '"':
				b.WriteByte('"')
				t = t[1:]
			case c == '"':
				quote = false
			default:
				b.WriteByte(c)
			}
		}
		out := b.String()
		return &out, nil
	}
	if r.Lower, err = bound(); err != nil {
		return r, "", err
	}
	if t == "" || t[0] != ',' {
		return r, "", badRange(whole, "Missing comma after lower bound.")
	}
	t = t[1:]
	if r.Upper, err = bound(); err != nil {
		return r, "", err
	}
	switch {
	case t == "":
		return r, "", badRange(whole, "Unexpected end of input.")
	case t[0] == ',':
		return r, "", badRange(whole, "Too many commas.")
	}
	r.UpperInc = t[0] == ']'
	return r, t[1:], nil
}

// String is the range as range_out writes it.
func (r Range) String() string {
	if r.Empty {
		return "empty"
	}
	b := []byte{'('}
	if r.LowerInc {
		b[0] = '['
	}
	if r.Lower != nil {
		b = appendBound(b, *r.Lower)
	}
	b = append(b, ',')
	if r.Upper != nil {
		b = appendBound(b, *r.Upper)
	}
	if r.UpperInc {
		return string(append(b, ']'))
	}
	return string(append(b, ')'))
}

func appendBound(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, `"\()[],`+spaces) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, s[i])
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// ParseMultirange reads the text of a multirange as multirange_in does. Errors: 22P02.
func ParseMultirange(s string) ([]Range, error) {
	bad := func(detail string) error {
		return &Error{Code: "22P02", Message: "malformed multirange literal: " + quoted([]byte(s)), Detail: detail}
	}
	t := strings.TrimLeft(s, spaces)
	if t == "" || t[0] != '{' {
		return nil, bad("Missing left brace.")
	}
	var out []Range
	for t = strings.TrimLeft(t[1:], spaces); ; {
		if t == "" {
			return nil, bad("Unexpected end of input.")
		}
		if t[0] == '}' && len(out) == 0 {
			break
		}
		if c := t[0]; c != '[' && c != '(' && c != 'e' && c != 'E' {
			return nil, bad("Expected range start.")
		}
		r, rest, err := parseRange(t, s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		if t = strings.TrimLeft(rest, spaces); t == "" {
			return nil, bad("Unexpected end of input.")
		}
		if t[0] == '}' {
			break
		}
		if t[0] != ',' {
			return nil, bad("Expected comma or end of multirange.")
		}
		t = strings.TrimLeft(t[1:], spaces)
	}
	if strings.TrimLeft(t[1:], spaces) != "" {
		return nil, bad("Junk after closing right brace.")
	}
	return out, nil
}

// MultirangeText is a multirange as multirange_out writes it.
func MultirangeText(l []Range) string {
	parts := make([]string, len(l))
	for i, r := range l {
		parts[i] = r.String()
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// element is a bound's value in a vector of one.
func (t *RangeType) element(s string) (*vector.Vector, error) {
	return ParseText(vector.T(t.Kind), s, Defaults)
}

// shownRange is the text of a range or multirange as a session's settings write it.
func (t *RangeType) shownRange(text string, multi bool, s *Settings) string {
	again := func(r *Range) {
		for _, b := range []**string{&r.Lower, &r.Upper} {
			if *b == nil {
				continue
			}
			if v, err := t.element(**b); err == nil {
				out := string(AppendText(nil, v, 0, s))
				*b = &out
			}
		}
	}
	if multi {
		l, err := ParseMultirange(text)
		if err != nil {
			return text
		}
		for i := range l {
			again(&l[i])
		}
		return MultirangeText(l)
	}
	r, err := ParseRange(text)
	if err != nil {
		return text
	}
	again(&r)
	return r.String()
}

// The flags of a range's binary form.
const (
	rangeEmpty = 1 << iota
	rangeLowerInc
	rangeUpperInc
	rangeLowerInf
	rangeUpperInf
)

func (t *RangeType) appendBinary(dst []byte, r Range) ([]byte, error) {
	flags := byte(0)
	if r.Empty {
		return append(dst, rangeEmpty), nil
	}
	if r.LowerInc {
		flags |= rangeLowerInc
	}
	if r.UpperInc {
		flags |= rangeUpperInc
	}
	if r.Lower == nil {
		flags |= rangeLowerInf
	}
	if r.Upper == nil {
		flags |= rangeUpperInf
	}
	dst = append(dst, flags)
	for _, b := range []*string{r.Lower, r.Upper} {
		if b == nil {
			continue
		}
		v, err := t.element(*b)
		if err != nil {
			return dst, err
		}
		v.Type.Shown = t.Elem
		at := len(dst)
		if dst, err = AppendBinary(append(dst, 0, 0, 0, 0), v, 0, Defaults); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, nil
}

// appendRangeBinary is the binary form of a range's or multirange's text.
func (t *RangeType) appendRangeBinary(dst []byte, text string, multi bool) ([]byte, error) {
	if !multi {
		r, err := ParseRange(text)
		if err != nil {
			return dst, err
		}
		return t.appendBinary(dst, r)
	}
	l, err := ParseMultirange(text)
	if err != nil {
		return dst, err
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(l)))
	for _, r := range l {
		at := len(dst)
		if dst, err = t.appendBinary(append(dst, 0, 0, 0, 0), r); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, nil
}

// ofBinary reads a range of the binary form.
func (t *RangeType) ofBinary(b []byte) (Range, error) {
	bad := &Error{Code: "22P03", Message: "incorrect binary data format"}
	if len(b) == 0 {
		return Range{}, &Error{Code: "08P01", Message: "insufficient data left in message"}
	}
	flags := b[0]
	b = b[1:]
	r := Range{Empty: flags&rangeEmpty != 0, LowerInc: flags&rangeLowerInc != 0, UpperInc: flags&rangeUpperInc != 0}
	for i, inf := range []byte{rangeLowerInf, rangeUpperInf} {
		if r.Empty || flags&inf != 0 {
			continue
		}
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return r, &Error{Code: "08P01", Message: "insufficient data left in message"}
		}
		n := int(binary.BigEndian.Uint32(b))
		v := vector.New(vector.T(t.Kind), 1)
		v.Type.Shown = t.Elem
		if err := AppendDecoded(v, b[4:4+n], Defaults); err != nil {
			return r, err
		}
		text := string(AppendText(nil, v, 0, Defaults))
		if i == 0 {
			r.Lower = &text
		} else {
			r.Upper = &text
		}
		b = b[4+n:]
	}
	if len(b) != 0 {
		return r, bad
	}
	if r.Empty {
		return Range{Empty: true}, nil
	}
	r.LowerInc, r.UpperInc = r.LowerInc && r.Lower != nil, r.UpperInc && r.Upper != nil
	return r, nil
}

// textOfBinary is the text of a range or multirange from its binary form. It is not canonical yet.
func (t *RangeType) textOfBinary(b []byte, multi bool) (string, error) {
	if !multi {
		r, err := t.ofBinary(b)
		return r.String(), err
	}
	short := &Error{Code: "08P01", Message: "insufficient data left in message"}
	if len(b) < 4 {
		return "", short
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(n)*5 > uint64(len(b)) { // a length word and the flags at least
		return "", short
	}
	var l []Range
	for range n {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return "", short
		}
		size := int(binary.BigEndian.Uint32(b))
		r, err := t.ofBinary(b[4 : 4+size])
		if err != nil {
			return "", err
		}
		l, b = append(l, r), b[4+size:]
	}
	if len(b) != 0 {
		return "", &Error{Code: "22P03", Message: "incorrect binary data format"}
	}
	return MultirangeText(l), nil
}
