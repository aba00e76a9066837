package pgfunc

import (
	"math"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// Geometric values, MAC addresses, rows' places and transactions' numbers are the texts that PostgreSQL writes.

// xid8In reads a transaction's number of 64 bits as strtoull does: in decimal, octal or hexadecimal.
func xid8In(s string) (string, error) {
	fail := bad("22P02", `invalid input syntax for type xid8: "%s"`, s)
	t := strings.Trim(s, " \t\n\v\f\r")
	base := 10
	switch {
	case strings.HasPrefix(t, "0x"), strings.HasPrefix(t, "0X"):
		t, base = t[2:], 16
	case len(t) > 1 && t[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(t, base, 64)
	if err != nil {
		return "", fail
	}
	return strconv.FormatUint(n, 10), nil
}

func shape(a args, k int, oid uint32) (*codec.Shape, error) { return codec.ParseShape(oid, a.s(k)) }

// hypot is the length of a vector with the roundings of PostgreSQL's.
func hypot(x, y float64) float64 {
	x, y = math.Abs(x), math.Abs(y)
	switch {
	case math.IsInf(x, 0) || math.IsInf(y, 0):
		return math.Inf(1)
	case math.IsNaN(x) || math.IsNaN(y):
		return math.Float64frombits(0x7ff8 << 48) // PostgreSQL's NaN, where Go's has a further bit
	case x < y:
		x, y = y, x
	}
	if y == 0 {
		return x
	}
	yx := y / x
	return x * math.Sqrt(1+float64(yx*yx)) // rounded before the sum, as without fused operations
}

// The OIDs of the types that functions take and make.
const point, lseg, circle = 600, 601, 718

// twoPoints are a function's first two arguments.
func twoPoints(a args) (p, q *codec.Shape, err error) {
	if p, err = shape(a, 0, point); err != nil {
		return nil, nil, err
	}
	q, err = shape(a, 1, point)
	return p, q, err
}

func init() {
	ours("point(float8,float8)", "point", func(a args, out *vector.Vector) error {
		out.AppendString((&codec.Shape{OID: point, Coords: []float64{a.f(0), a.f(1)}}).Text(codec.Defaults))
		return nil
	})
	ours("lseg(point,point)", "lseg", func(a args, out *vector.Vector) error {
		p, q, err := twoPoints(a)
		if err != nil {
			return err
		}
		out.AppendString((&codec.Shape{OID: lseg, Coords: append(p.Coords, q.Coords...)}).Text(codec.Defaults))
		return nil
	})
	ours("circle(point,float8)", "circle", func(a args, out *vector.Vector) error {
		p, err := shape(a, 0, point)
		if err != nil {
			return err
		}
		out.AppendString((&codec.Shape{OID: circle, Coords: append(p.Coords, a.f(1))}).Text(codec.Defaults))
		return nil
	})
	ours("point <-> point", "float8", func(a args, out *vector.Vector) error {
		p, q, err := twoPoints(a)
		if err != nil {
			return err
		}
		d := hypot(p.Coords[0]-q.Coords[0], p.Coords[1]-q.Coords[1])
		if math.IsInf(d, 0) && !math.IsInf(p.Coords[0], 0) && !math.IsInf(p.Coords[1], 0) && !math.IsInf(q.Coords[0], 0) && !math.IsInf(q.Coords[1], 0) {
			return bad("22003", "value out of range: overflow")
		}
		out.AppendFloat(d)
		return nil
	})
}
