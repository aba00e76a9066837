package pgfunc

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Ranges and multiranges are kept as PostgreSQL's text of them, canonical and without the session's settings (codec.RangeType). A text
// that begins with a brace is a multirange's.

// bound is an end of a range.
type bound struct {
	lower, inf, inc bool
	text            string
	n               int64 // of all kinds but numeric
	num             num
}

// rangeValue is a range that is checked and canonical.
type rangeValue struct {
	empty  bool
	lo, hi bound
}

// discrete reports whether the values of a kind have neighbours.
func discrete(k vector.Kind) bool { return k == vector.Int32 || k == vector.Int64 || k == vector.Date }

func newBound(t *codec.RangeType, text *string, inc, lower bool, set *codec.Settings) (bound, error) {
	b := bound{lower: lower, inf: text == nil, inc: inc && text != nil}
	if text == nil {
		return b, nil
	}
	if t.Elem == codec.OIDNumeric {
		s, err := NumericIn(*text, -1)
		if err != nil {
			return b, err
		}
		b.text, b.num = s, mustNum(s)
		return b, nil
	}
	v, err := codec.ParseText(vector.T(t.Kind), *text, set)
	if err != nil {
		return b, err
	}
	b.n = v.I64[0]
	return b, nil
}

func (b bound) value(t *codec.RangeType) string {
	if t.Elem == codec.OIDNumeric {
		return b.text
	}
	v := vector.New(vector.T(t.Kind), 1)
	v.AppendInt(b.n)
	return string(codec.AppendText(nil, v, 0, codec.Defaults))
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (b bound) compareValue(t *codec.RangeType, o bound) int {
	if t.Elem == codec.OIDNumeric {
		return cmpNum(b.num, o.num)
	}
	return compareInts(b.n, o.n)
}

// compare orders ends as range_cmp_bounds does: by what lies within them.
func (b bound) compare(t *codec.RangeType, o bound) int {
	side := func(lower bool) int {
		if lower {
			return -1
		}
		return 1
	}
	switch {
	case b.inf && o.inf && b.lower == o.lower:
		return 0
	case b.inf:
		return side(b.lower)
	case o.inf:
		return -side(o.lower)
	}
	if c := b.compareValue(t, o); c != 0 {
		return c
	}
	switch {
	case b.inc && o.inc, !b.inc && !o.inc && b.lower == o.lower:
		return 0
	case !b.inc:
		return -side(b.lower)
	}
	return side(o.lower)
}

// makeRange is a range of its ends. Errors: 22000 where they are in the wrong order, 22003 and 22008 where a canonical end does not exist.
func makeRange(t *codec.RangeType, lo, hi bound) (rangeValue, error) {
	lo.lower, hi.lower = true, false
	lo.inc, hi.inc = lo.inc && !lo.inf, hi.inc && !hi.inf
	check := func() (empty bool, err error) {
		if lo.inf || hi.inf {
			return false, nil
		}
		c := lo.compareValue(t, hi)
		if c > 0 {
			return false, bad("22000", "range lower bound must be less than or equal to range upper bound")
		}
		return c == 0 && !(lo.inc && hi.inc), nil
	}
	empty, err := check()
	if err != nil || empty {
		return rangeValue{empty: empty}, err
	}
	if discrete(t.Kind) {
		next := func(b *bound) error {
			most, code, name := int64(math.MaxInt32), "22003", "integer"
			switch t.Kind {
			case vector.Int64:
				most, name = math.MaxInt64, "bigint"
			case vector.Date:
				if b.n == vector.PosInfinity || b.n == vector.NegInfinity {
					return nil
				}
				most, code, name = math.MaxInt32, "22008", "date"
			}
			if b.n >= most {
				return bad(code, "%s out of range", name)
			}
			b.n++
			b.inc = b.lower
			return nil
		}
		if !lo.inf && !lo.inc {
			if err := next(&lo); err != nil {
				return rangeValue{}, err
			}
		}
		if !hi.inf && hi.inc {
			if err := next(&hi); err != nil {
				return rangeValue{}, err
			}
		}
		if empty, err = check(); err != nil || empty {
			return rangeValue{empty: true}, nil
		}
	}
	return rangeValue{lo: lo, hi: hi}, nil
}

func rangeOfText(t *codec.RangeType, r codec.Range, set *codec.Settings) (rangeValue, error) {
	if r.Empty {
		return rangeValue{empty: true}, nil
	}
	lo, err := newBound(t, r.Lower, r.LowerInc, true, set)
	if err != nil {
		return rangeValue{}, err
	}
	hi, err := newBound(t, r.Upper, r.UpperInc, false, set)
	if err != nil {
		return rangeValue{}, err
	}
	return makeRange(t, lo, hi)
}

func (v rangeValue) text(t *codec.RangeType) string { return v.plain(t).String() }

func (v rangeValue) plain(t *codec.RangeType) codec.Range {
	if v.empty {
		return codec.Range{Empty: true}
	}
	r := codec.Range{LowerInc: v.lo.inc, UpperInc: v.hi.inc}
	if !v.lo.inf {
		s := v.lo.value(t)
		r.Lower = &s
	}
	if !v.hi.inf {
		s := v.hi.value(t)
		r.Upper = &s
	}
	return r
}

func multiText(t *codec.RangeType, l []rangeValue) string {
	out := make([]codec.Range, len(l))
	for i, v := range l {
		out[i] = v.plain(t)
	}
	return codec.MultirangeText(out)
}

// rangeIn is the canonical text of a range or multirange that a text means.
func rangeIn(c *duck.Call, t *codec.RangeType, multi bool, s string, set *codec.Settings) (string, error) {
	if !multi {
		r, err := codec.ParseRange(s)
		if err != nil {
			return "", err
		}
		v, err := rangeOfText(t, r, set)
		return v.text(t), err
	}
	holdRanges(c, s)
	l, err := codec.ParseMultirange(s)
	if err != nil {
		return "", err
	}
	vs := make([]rangeValue, len(l))
	for i, r := range l {
		if vs[i], err = rangeOfText(t, r, set); err != nil {
			return "", err
		}
	}
	return multiText(t, merged(t, vs)), nil
}

// rangeBytes is what a range of a multirange takes in memory, read and as its text was.
const rangeBytes = 600

func holdRanges(c *duck.Call, s string) {
	n := strings.Count(s, ",")/2 + 1
	c.Hold(n * rangeBytes)
	c.Work(len(s))
}

// rangesOf are the ranges of a canonical text: one of a range, unless it is empty, or those of a multirange.
func rangesOf(c *duck.Call, t *codec.RangeType, s string) []rangeValue {
	if strings.HasPrefix(s, "{") {
		holdRanges(c, s)
		l, _ := codec.ParseMultirange(s)
		out := make([]rangeValue, len(l))
		for i, r := range l {
			out[i], _ = rangeOfText(t, r, codec.Defaults)
		}
		return out
	}
	c.Hold(rangeBytes / 2)
	c.Work(256 + len(s))
	r, _ := codec.ParseRange(s)
	v, _ := rangeOfText(t, r, codec.Defaults)
	if v.empty {
		return nil
	}
	return []rangeValue{v}
}

// merged are ranges as a multirange has them: in order, none empty, and none that touch.
func merged(t *codec.RangeType, l []rangeValue) []rangeValue {
	l = slices.DeleteFunc(slices.Clone(l), func(v rangeValue) bool { return v.empty })
	slices.SortStableFunc(l, func(a, b rangeValue) int { return a.compare(t, b) })
	var out []rangeValue
	for _, v := range l {
		if n := len(out) - 1; n >= 0 && (out[n].overlaps(t, v) || out[n].adjacent(t, v)) {
			if v.hi.compare(t, out[n].hi) > 0 {
				out[n].hi = v.hi
			}
			continue
		}
		out = append(out, v)
	}
	return out
}

func (v rangeValue) compare(t *codec.RangeType, o rangeValue) int {
	switch {
	case v.empty && o.empty:
		return 0
	case v.empty:
		return -1
	case o.empty:
		return 1
	}
	if c := v.lo.compare(t, o.lo); c != 0 {
		return c
	}
	return v.hi.compare(t, o.hi)
}

func (v rangeValue) overlaps(t *codec.RangeType, o rangeValue) bool {
	return v.lo.compare(t, o.lo) >= 0 && v.lo.compare(t, o.hi) <= 0 || o.lo.compare(t, v.lo) >= 0 && o.lo.compare(t, v.hi) <= 0
}

func (v rangeValue) contains(t *codec.RangeType, o rangeValue) bool {
	return v.lo.compare(t, o.lo) <= 0 && v.hi.compare(t, o.hi) >= 0
}

func (v rangeValue) holds(t *codec.RangeType, x bound) bool {
	if !v.lo.inf {
		if c := v.lo.compareValue(t, x); c > 0 || c == 0 && !v.lo.inc {
			return false
		}
	}
	if !v.hi.inf {
		if c := v.hi.compareValue(t, x); c < 0 || c == 0 && !v.hi.inc {
			return false
		}
	}
	return true
}

// touch reports whether nothing lies between an upper and a lower end, and nothing in both.
func touch(t *codec.RangeType, upper, lower bound) bool {
	if upper.inf || lower.inf {
		return false
	}
	switch c := upper.compareValue(t, lower); {
	case c == 0:
		return upper.inc != lower.inc
	case c > 0 || !discrete(t.Kind):
		return false
	}
	upper.inc, lower.inc = !upper.inc, !lower.inc
	between, err := makeRange(t, upper, lower)
	return err == nil && between.empty
}

func (v rangeValue) adjacent(t *codec.RangeType, o rangeValue) bool {
	return touch(t, v.hi, o.lo) || touch(t, o.hi, v.lo)
}

// without are the parts of v that are not in o.
func (v rangeValue) without(t *codec.RangeType, o rangeValue) (out []rangeValue) {
	if !v.overlaps(t, o) {
		return []rangeValue{v}
	}
	if v.lo.compare(t, o.lo) < 0 {
		end := o.lo
		end.inc = !end.inc
		if r, err := makeRange(t, v.lo, end); err == nil && !r.empty {
			out = append(out, r)
		}
	}
	if v.hi.compare(t, o.hi) > 0 {
		start := o.hi
		start.inc = !start.inc
		if r, err := makeRange(t, start, v.hi); err == nil && !r.empty {
			out = append(out, r)
		}
	}
	return out
}

func (v rangeValue) common(t *codec.RangeType, o rangeValue) rangeValue {
	if !v.overlaps(t, o) {
		return rangeValue{empty: true}
	}
	out := v
	if o.lo.compare(t, v.lo) > 0 {
		out.lo = o.lo
	}
	if o.hi.compare(t, v.hi) < 0 {
		out.hi = o.hi
	}
	return out
}

// rangeTest is an operator between ranges and multiranges that gives a boolean.
func rangeTest(op string, t *codec.RangeType, x, y []rangeValue) (bool, error) {
	if op == "<@" {
		x, y, op = y, x, "@>"
	}
	if op == "@>" {
		i := 0
		for _, o := range y {
			for i < len(x) && x[i].hi.compare(t, o.hi) < 0 {
				i++
			}
			if i == len(x) || !x[i].contains(t, o) {
				return false, nil
			}
		}
		return true, nil
	}
	if len(x) == 0 || len(y) == 0 {
		return false, nil
	}
	firstX, lastX, firstY, lastY := x[0].lo, x[len(x)-1].hi, y[0].lo, y[len(y)-1].hi
	switch op {
	case "&&":
		return len(commonRanges(t, x, y, 1)) > 0, nil
	case "<<":
		return lastX.compare(t, firstY) < 0, nil
	case ">>":
		return firstX.compare(t, lastY) > 0, nil
	case "&<":
		return lastX.compare(t, lastY) <= 0, nil
	case "&>":
		return firstX.compare(t, firstY) >= 0, nil
	case "-|-":
		return touch(t, lastX, firstY) || touch(t, lastY, firstX), nil
	}
	return false, fmt.Errorf("range operator %s", op)
}

// commonRanges is what two multiranges have in common, at most so many ranges of it.
func commonRanges(t *codec.RangeType, x, y []rangeValue, most int) (out []rangeValue) {
	for len(x) > 0 && len(y) > 0 && len(out) < most {
		if c := x[0].common(t, y[0]); !c.empty {
			out = append(out, c)
		}
		if x[0].hi.compare(t, y[0].hi) < 0 {
			x = x[1:]
		} else {
			y = y[1:]
		}
	}
	return out
}

// withoutRanges is what is in x and not in y, which are multiranges.
func withoutRanges(t *codec.RangeType, x, y []rangeValue) (out []rangeValue) {
	for _, v := range x {
		for len(y) > 0 && y[0].hi.compare(t, v.lo) < 0 {
			y = y[1:]
		}
		rest := []rangeValue{v}
		for i := 0; len(rest) > 0 && i < len(y) && y[i].lo.compare(t, v.hi) <= 0; i++ {
			last := rest[len(rest)-1]
			rest = append(rest[:len(rest)-1], last.without(t, y[i])...)
		}
		out = append(out, rest...)
	}
	return out
}

// rangePair is an operator between two ranges, or two multiranges, that gives another one.
func rangePair(op string, t *codec.RangeType, x, y []rangeValue, multi bool) (string, error) {
	one := func(l []rangeValue) string {
		if len(l) == 0 {
			return "empty"
		}
		return l[0].text(t)
	}
	var out []rangeValue
	switch op {
	case "+", "merge":
		if !multi && op == "merge" && len(x) > 0 && len(y) > 0 {
			out = []rangeValue{x[0]}
			if y[0].lo.compare(t, x[0].lo) < 0 {
				out[0].lo = y[0].lo
			}
			if y[0].hi.compare(t, x[0].hi) > 0 {
				out[0].hi = y[0].hi
			}
			break
		}
		if out = merged(t, append(slices.Clone(x), y...)); !multi && len(out) > 1 {
			return "", bad("22000", "result of range union would not be contiguous")
		}
	case "*":
		out = merged(t, commonRanges(t, x, y, len(x)+len(y)))
	case "-":
		out = withoutRanges(t, x, y)
		if !multi && len(out) > 1 {
			return "", bad("22000", "result of range difference would not be contiguous")
		}
		out = merged(t, out)
	}
	if multi {
		return multiText(t, out), nil
	}
	return one(out), nil
}

// appendBoundKey appends what orders ends as compare does, among lower or among upper ends.
func appendBoundKey(dst []byte, t *codec.RangeType, b bound) []byte {
	if b.inf {
		if b.lower {
			return append(dst, 0)
		}
		return append(dst, 2)
	}
	dst = append(dst, 1)
	if t.Elem == codec.OIDNumeric {
		dst = append(append(dst, numKey(b.num)...), 0)
	} else {
		dst = binary.BigEndian.AppendUint64(dst, uint64(b.n)^1<<63)
	}
	if b.lower == b.inc {
		return append(dst, 0)
	}
	return append(dst, 1)
}

// rangeKey is what orders and compares as a range or multirange does.
func rangeKey(c *duck.Call, t *codec.RangeType, s string) []byte {
	l := rangesOf(c, t, s)
	if !strings.HasPrefix(s, "{") {
		if len(l) == 0 {
			return []byte{0}
		}
		return appendBoundKey(appendBoundKey([]byte{1}, t, l[0].lo), t, l[0].hi)
	}
	var out []byte
	for _, v := range l {
		out = appendBoundKey(appendBoundKey(append(out, 1), t, v.lo), t, v.hi)
	}
	return append(out, 0)
}
