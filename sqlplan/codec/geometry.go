package codec

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// Object ids of the geometric types. Their values are kept as PostgreSQL's text of them, with the settings of Defaults.
const (
	oidPoint, oidLseg, oidPath, oidBox, oidPolygon, oidLine, oidCircle = 600, 601, 602, 603, 604, 628, 718
)

// geometricTypes are the geometric types by object id, with the object ids of their arrays.
var geometricTypes = map[uint32]struct {
	name  string
	array uint32
}{oidPoint: {"point", 1017}, oidLseg: {"lseg", 1018}, oidPath: {"path", 1019}, oidBox: {"box", 1020}, oidPolygon: {"polygon", 1027}, oidLine: {"line", 629}, oidCircle: {"circle", 719}}

// Geometric reports whether an object id is a geometric type's.
func Geometric(oid uint32) bool { return geometricTypes[oid].array != 0 }

// Shape is a value of a geometric type: coordinates in the order in which PostgreSQL sends them, x before y. Open is of paths.
type Shape struct {
	OID    uint32
	Coords []float64
	Open   bool
}

// maxShapePoints bounds a path's or polygon's points: more have no value of PostgreSQL's either.
const maxShapePoints = 1 << 25

// shapeReader reads the text of a geometric value as PostgreSQL's input functions do.
type shapeReader struct {
	name, whole string
	s           string // what is left
}

func (r *shapeReader) bad() error {
	return &Error{Code: "22P02", Message: "invalid input syntax for type " + r.name + ": " + quoted([]byte(r.whole))}
}

func (r *shapeReader) space() { r.s = strings.TrimLeft(r.s, spaces) }

func (r *shapeReader) take(c byte) bool {
	if r.s != "" && r.s[0] == c {
		r.s = r.s[1:]
		return true
	}
	return false
}

// number reads a double precision with the spaces around it.
func (r *shapeReader) number() (float64, error) {
	r.space()
	n := floatPrefix(r.s)
	if n == 0 {
		return 0, r.bad()
	}
	text := r.s[:n]
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || x == 0 && strings.Trim(mantissa(text), "+-0.") != "" {
		return 0, &Error{Code: "22003", Message: quoted([]byte(text)) + " is out of range for type double precision"}
	}
	r.s = r.s[n:]
	r.space()
	return x, nil
}

func mantissa(s string) string {
	if strings.ContainsAny(s, "xXnN") {
		return ""
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i]
	}
	return s
}

// floatPrefix is the length of the number that s begins with, 0 where there is none.
func floatPrefix(s string) int {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(s) >= i+len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			return i + len(word)
		}
	}
	digits := 0
	count := func() {
		for i < len(s) && isDigit(s[i]) {
			i, digits = i+1, digits+1
		}
	}
	if count(); i < len(s) && s[i] == '.' {
		i++
		count()
	}
	if digits == 0 {
		return 0
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		for j < len(s) && isDigit(s[j]) {
			j++
			i = j
		}
	}
	return i
}

// pair reads x,y with or without parentheses.
func (r *shapeReader) pair() (x, y float64, err error) {
	r.space()
	paren := r.take('(')
	if x, err = r.number(); err != nil {
		return 0, 0, err
	}
	if !r.take(',') {
		return 0, 0, r.bad()
	}
	if y, err = r.number(); err != nil {
		return 0, 0, err
	}
	if paren {
		if !r.take(')') {
			return 0, 0, r.bad()
		}
		r.space()
	}
	return x, y, nil
}

// only reports whether the first byte of what is left occurs nowhere after it.
func (r *shapeReader) only() bool { return strings.LastIndexByte(r.s, r.s[0]) == 0 }

// points reads n points, with the parentheses or, where they may be, brackets around them.
func (r *shapeReader) points(n int, brackets bool) (coords []float64, open bool, err error) {
	depth := 0
	r.space()
	switch {
	case strings.HasPrefix(r.s, "["):
		if !brackets {
			return nil, false, r.bad()
		}
		open, depth = true, 1
		r.s = r.s[1:]
	case strings.HasPrefix(r.s, "("):
		if inner := strings.TrimLeft(r.s[1:], spaces); strings.HasPrefix(inner, "(") || r.only() {
			depth, r.s = 1, inner
		}
	}
	for range n {
		x, y, err := r.pair()
		if err != nil {
			return nil, false, err
		}
		coords = append(coords, x, y)
		r.take(',')
	}
	for ; depth > 0; depth-- {
		if !r.take(')') && !(open && depth == 1 && r.take(']')) {
			return nil, false, r.bad()
		}
		r.space()
	}
	return coords, open, nil
}

// count is how many points a text has commas for, 0 where that is no number of points.
func (r *shapeReader) count() int {
	n := strings.Count(r.s, ",")
	if n%2 == 0 || n > maxShapePoints {
		return 0
	}
	return (n + 1) / 2
}

// ParseShape reads the text of a geometric value. Errors: 22P02, 22003.
func ParseShape(oid uint32, s string) (*Shape, error) {
	r := &shapeReader{name: geometricTypes[oid].name, whole: s, s: s}
	out := &Shape{OID: oid}
	var err error
	switch oid {
	case oidPoint:
		var x, y float64
		x, y, err = r.pair()
		out.Coords = []float64{x, y}
	case oidLseg:
		out.Coords, _, err = r.points(2, true)
	case oidBox:
		if out.Coords, _, err = r.points(2, false); err == nil {
			out.order()
		}
	case oidPath:
		n := r.count()
		if n == 0 {
			return nil, r.bad()
		}
		r.space()
		paren := strings.HasPrefix(r.s, "(") && r.only()
		if paren {
			r.s = r.s[1:]
		}
		if out.Coords, out.Open, err = r.points(n, true); err == nil && paren {
			if !r.take(')') {
				return nil, r.bad()
			}
			r.space()
		}
	case oidPolygon:
		n := r.count()
		if n == 0 {
			return nil, r.bad()
		}
		out.Coords, _, err = r.points(n, false)
	case oidLine:
		err = r.line(out)
	case oidCircle:
		err = r.circle(out)
	}
	if err == nil && r.s != "" {
		err = r.bad()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// order makes a box's first corner the upper right one.
func (s *Shape) order() {
	for i := range 2 {
		if less(s.Coords[i], s.Coords[i+2]) {
			s.Coords[i], s.Coords[i+2] = s.Coords[i+2], s.Coords[i]
		}
	}
}

// less is PostgreSQL's: NaN is greater than all else.
func less(a, b float64) bool { return a < b || math.IsNaN(b) && !math.IsNaN(a) }

// near is PostgreSQL's equality of coordinates.
func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-6 }

func samePoint(a, b []float64) bool {
	if math.IsNaN(a[0] + a[1] + b[0] + b[1]) {
		same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
		return same(a[0], b[0]) && same(a[1], b[1])
	}
	return near(a[0], b[0]) && near(a[1], b[1])
}

func (r *shapeReader) line(out *Shape) error {
	r.space()
	if r.take('{') {
		for i := range 3 {
			x, err := r.number()
			if err != nil {
				return err
			}
			out.Coords = append(out.Coords, x)
			if !r.take(",,}"[i]) {
				return r.bad()
			}
		}
		if r.space(); r.s != "" {
			return r.bad()
		}
		if near(out.Coords[0], 0) && near(out.Coords[1], 0) {
			return &Error{Code: "22P02", Message: "invalid line specification: A and B cannot both be zero"}
		}
		return nil
	}
	p, _, err := r.points(2, true)
	if err != nil {
		return err
	}
	if r.s != "" {
		return r.bad()
	}
	if samePoint(p[:2], p[2:]) {
		return &Error{Code: "22P02", Message: "invalid line specification: must be two distinct points"}
	}
	switch {
	case near(p[0], p[2]):
		out.Coords = []float64{-1, 0, p[0]}
	case near(p[1], p[3]):
		out.Coords = []float64{0, -1, p[1]}
	default:
		m := (p[1] - p[3]) / (p[0] - p[2])
		c := p[1] - m*p[0]
		finite := !math.IsInf(p[0], 0) && !math.IsInf(p[1], 0) && !math.IsInf(p[2], 0) && !math.IsInf(p[3], 0)
		switch {
		case finite && (math.IsInf(p[1]-p[3], 0) || math.IsInf(p[0]-p[2], 0) || math.IsInf(m, 0) || math.IsInf(c, 0)):
			return &Error{Code: "22003", Message: "value out of range: overflow"}
		case finite && (m == 0 || m*p[0] == 0 && p[0] != 0):
			return &Error{Code: "22003", Message: "value out of range: underflow"}
		}
		if c == 0 {
			c = 0 // not −0
		}
		out.Coords = []float64{m, -1, c}
	}
	return nil
}

func (r *shapeReader) circle(out *Shape) error {
	depth := 0
	r.space()
	if r.take('<') {
		depth = 1
	} else if strings.HasPrefix(r.s, "(") {
		if inner := strings.TrimLeft(r.s[1:], spaces); strings.HasPrefix(inner, "(") {
			depth, r.s = 1, inner
		}
	}
	x, y, err := r.pair()
	if err != nil {
		return err
	}
	r.take(',')
	radius, err := r.number()
	if err != nil {
		return err
	}
	if radius < 0 {
		return r.bad()
	}
	for ; depth > 0; depth-- {
		if !r.take(')') && !(depth == 1 && r.take('>')) {
			return r.bad()
		}
		r.space()
	}
	out.Coords = []float64{x, y, radius}
	return nil
}

// Text is the value as PostgreSQL's output function writes it.
func (s *Shape) Text(set *Settings) string {
	var b []byte
	points := func(open, closing string) {
		b = append(b, open...)
		for i := 0; i+1 < len(s.Coords); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendFloat(append(appendFloat(append(b, '('), s.Coords[i], 64, set), ','), s.Coords[i+1], 64, set), ')')
		}
		b = append(b, closing...)
	}
	switch s.OID {
	case oidPoint, oidBox:
		points("", "")
	case oidLseg:
		points("[", "]")
	case oidPath:
		if s.Open {
			points("[", "]")
		} else {
			points("(", ")")
		}
	case oidPolygon:
		points("(", ")")
	case oidLine:
		b = append(b, '{')
		for i, x := range s.Coords {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendFloat(b, x, 64, set)
		}
		b = append(b, '}')
	case oidCircle:
		r := s.Coords[2]
		s := &Shape{OID: oidPoint, Coords: s.Coords[:2]}
		b = append(b, '<')
		b = append(append(b, s.Text(set)...), ',')
		b = append(appendFloat(b, r, 64, set), '>')
	}
	return string(b)
}

// appendBinary appends the value as PostgreSQL's send function writes it.
func (s *Shape) appendBinary(dst []byte) []byte {
	switch s.OID {
	case oidPath:
		dst = append(dst, 1)
		if s.Open {
			dst[len(dst)-1] = 0
		}
		fallthrough
	case oidPolygon:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.Coords)/2))
	}
	for _, x := range s.Coords {
		bits := math.Float64bits(x)
		if x != x {
			bits = 0x7ff8 << 48 // PostgreSQL's NaN
		}
		dst = binary.BigEndian.AppendUint64(dst, bits)
	}
	return dst
}

// shapeOfBinary reads a geometric value of the binary form. Errors: 08P01, 22P03.
func shapeOfBinary(b []byte, oid uint32) (*Shape, error) {
	s := &Shape{OID: oid}
	short := &Error{Code: "08P01", Message: "insufficient data left in message"}
	n := map[uint32]int{oidPoint: 2, oidLseg: 4, oidBox: 4, oidLine: 3, oidCircle: 3}[oid]
	if oid == oidPath {
		if len(b) < 1 {
			return nil, short
		}
		s.Open, b = b[0] == 0, b[1:]
	}
	if n == 0 {
		if len(b) < 4 {
			return nil, short
		}
		points := int64(int32(binary.BigEndian.Uint32(b)))
		if points <= 0 || points > maxShapePoints {
			return nil, &Error{Code: "22P03", Message: `invalid number of points in external "` + geometricTypes[oid].name + `" value`}
		}
		n, b = 2*int(points), b[4:]
	}
	if len(b) < 8*n {
		return nil, short
	}
	if len(b) > 8*n {
		return nil, &Error{Code: "22P03", Message: "incorrect binary data format"}
	}
	for i := range n {
		s.Coords = append(s.Coords, math.Float64frombits(binary.BigEndian.Uint64(b[8*i:])))
	}
	switch {
	case oid == oidBox:
		s.order()
	case oid == oidLine && near(s.Coords[0], 0) && near(s.Coords[1], 0):
		return nil, &Error{Code: "22P03", Message: "invalid line specification: A and B cannot both be zero"}
	case oid == oidCircle && s.Coords[2] < 0:
		return nil, &Error{Code: "22P03", Message: `invalid radius in external "circle" value`}
	}
	return s, nil
}
