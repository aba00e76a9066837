package pgfunc

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Arrays of any dimensions are kept as text (codec.Array), where those of one dimension that count from 1 are lists of DuckDB's. Functions
// here take and give such texts; __dims_… are their names.

// Dimensional reports whether arrays of an element type, by its name, can have more than one dimension.
func Dimensional(elem string) bool {
	t := infoByName[elem]
	return t != nil && t.array != 0 && codec.IsArray(t.array)
}

// arrayIn is the array that a text means: a list, or where it is none a text.
func arrayIn(c *duck.Call, e *typeInfo, s string, set *codec.Settings) (*vector.Vector, error) {
	a, err := parseArray(c, s)
	if err != nil {
		return nil, err
	}
	out := vector.New(vector.ListOf(vector.T(e.kind)), 1)
	plain := a.Plain()
	for i, x := range a.Elems {
		if x == nil {
			out.Child[0].AppendNull()
			continue
		}
		c.Work(256 + len(*x))
		v, err := inCall(c, e.oid, -1, *x, set)
		if err != nil {
			return nil, err
		}
		if plain {
			out.Child[0].AppendFrom(v, 0)
			continue
		}
		text := Out(e.name, v, 0, codec.Defaults)
		a.Elems[i] = &text
	}
	if plain {
		out.CloseNested()
		return out, nil
	}
	out = vector.New(vector.T(vector.Text), 1)
	out.AppendString(a.String())
	return out, nil
}

// ArrayText is the text that an array type's value is kept as where it may have any dimensions.
func ArrayText(array uint32, s string, set *codec.Settings) (string, error) {
	return arrayText(nil, array, s, set)
}

func arrayText(c *duck.Call, array uint32, s string, set *codec.Settings) (string, error) {
	e := elemOfOID[array]
	if e == nil {
		return s, nil
	}
	v, err := arrayIn(c, e, s, set)
	if err != nil {
		return "", err
	}
	return textOfList(c, e.name, v, 0), nil
}

// textOfList is the text of an array in either form.
func textOfList(c *duck.Call, elem string, v *vector.Vector, i int) string {
	if v.Type.Kind != vector.List {
		return string(v.Bytes(i))
	}
	c.Hold(int(v.Off[i+1]-v.Off[i]) * arrayBytes)
	a := &codec.Array{}
	for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
		if v.Child[0].IsNull(j) {
			a.Elems = append(a.Elems, nil)
			continue
		}
		s := Out(elem, v.Child[0], j, codec.Defaults)
		c.Work(128 + len(s))
		a.Elems = append(a.Elems, &s)
	}
	if n := len(a.Elems); n > 0 {
		a.Dims, a.Lower = []int{n}, []int{1}
	}
	return a.String()
}

// arrayBytes is what an element of an array takes in memory, beside its text.
const arrayBytes = 64

func mustArray(c *duck.Call, s string) *codec.Array {
	a, err := parseArray(c, s)
	if err != nil {
		return &codec.Array{}
	}
	return a
}

// parseArray is codec.ParseArray for a call.
func parseArray(c *duck.Call, s string) (*codec.Array, error) {
	n := strings.Count(s, ",") + 1
	c.Work(len(s) + n)
	c.Hold(n * arrayBytes)
	return codec.ParseArray(s)
}

// array is an argument that is an array of any dimensions.
func (a args) array(k int) *codec.Array { return mustArray(a.call, a.s(k)) }

// elementKey is what orders and compares as a value of a type does; ok is false where there is none.
func elementKey(c *duck.Call, elem, s string) (key []byte, ok bool) {
	t := infoByName[elem]
	if t == nil {
		return nil, false
	}
	if r, _ := codec.RangeOf(t.oid); r != nil {
		return rangeKey(c, r, s), true
	}
	switch elem {
	case "numeric":
		return numKey(mustNum(s)), true
	case "jsonb":
		return jsonbKey(c, s), true
	case "bpchar":
		return []byte(strings.TrimRight(s, " ")), true
	case "json", "interval", "timetz", "inet", "cidr":
		return nil, false
	}
	v, err := codec.ParseText(vector.T(t.kind), s, codec.Defaults)
	if err != nil {
		return nil, false
	}
	return vector.AppendKey(nil, v, 0), true
}

// ComparesDimensions reports whether arrays of an element type, by its name, compare.
func ComparesDimensions(elem string) bool {
	switch elem {
	case "json", "interval", "timetz", "inet", "cidr", "macaddr", "money":
		return false
	}
	return infoByName[elem] != nil
}

// arrayKey orders arrays as array_cmp does: by their elements, their number, and their dimensions.
func arrayKey(c *duck.Call, elem, s string) []byte {
	a := mustArray(c, s)
	var out []byte
	v := vector.New(vector.T(vector.Bytes), 1)
	for _, e := range a.Elems {
		if e == nil { // NULL is greater than all others
			out = append(out, 2)
			continue
		}
		c.Work(256)
		k, _ := elementKey(c, elem, *e)
		v.Reset()
		v.AppendBytes(k)
		out = vector.AppendKey(out, v, 0)
	}
	out = append(out, 0, byte(len(a.Dims)))
	for i, d := range a.Dims {
		out = binary.BigEndian.AppendUint32(out, uint32(d))
		out = binary.BigEndian.AppendUint32(out, uint32(int32(a.Lower[i]))^1<<31)
	}
	return out
}

func incompatible(format string, args ...any) error {
	return withDetail(bad("2202E", "cannot concatenate incompatible arrays"), fmt.Sprintf(format, args...))
}

// catArrays is array_cat.
func catArrays(x, y *codec.Array) (*codec.Array, error) {
	switch {
	case len(x.Dims) == 0:
		return y, nil
	case len(y.Dims) == 0:
		return x, nil
	}
	out := &codec.Array{Elems: append(slices.Clone(x.Elems), y.Elems...)}
	same := func(a, b []int) error {
		if !slices.Equal(a, b) {
			return incompatible("Arrays with differing %s dimensions are not compatible for concatenation.", "element")
		}
		return nil
	}
	switch len(x.Dims) - len(y.Dims) {
	case 0:
		if err := same(x.Dims[1:], y.Dims[1:]); err != nil {
			return nil, err
		}
		out.Dims, out.Lower = slices.Clone(x.Dims), x.Lower
		out.Dims[0] += y.Dims[0]
	case -1:
		if !slices.Equal(x.Dims, y.Dims[1:]) {
			return nil, incompatible("Arrays with differing dimensions are not compatible for concatenation.")
		}
		out.Dims, out.Lower = slices.Clone(y.Dims), y.Lower
		out.Dims[0]++
	case 1:
		if !slices.Equal(y.Dims, x.Dims[1:]) {
			return nil, incompatible("Arrays with differing dimensions are not compatible for concatenation.")
		}
		out.Dims, out.Lower = slices.Clone(x.Dims), x.Lower
		out.Dims[0]++
	default:
		return nil, incompatible("Arrays of %d and %d dimensions are not compatible for concatenation.", len(x.Dims), len(y.Dims))
	}
	return out, nil
}

// nestArrays is the array whose elements are arrays, which must be alike; nil stands for NULL.
func nestArrays(c *duck.Call, l []*string, mismatch error) (*codec.Array, error) {
	out := &codec.Array{}
	empty := false
	for _, s := range l {
		a := &codec.Array{}
		if s != nil {
			a = mustArray(c, *s)
		}
		switch {
		case len(a.Dims) == 0:
			empty = true
			continue
		case out.Dims == nil:
			if len(a.Dims) >= codec.MaxDimensions {
				return nil, bad("54000", "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(a.Dims)+1, codec.MaxDimensions)
			}
			out.Dims, out.Lower = append([]int{0}, a.Dims...), append([]int{1}, a.Lower...)
		case !slices.Equal(out.Dims[1:], a.Dims) || !slices.Equal(out.Lower[1:], a.Lower):
			return nil, mismatch
		}
		out.Dims[0]++
		out.Elems = append(out.Elems, a.Elems...)
	}
	if empty && out.Dims != nil {
		return nil, mismatch
	}
	return out, nil
}

// sliceArray is x[a:b][c:d]…; bounds beyond the array's are cut, and dimensions without bounds are whole.
func sliceArray(a *codec.Array, low, high []int64) *codec.Array {
	none := &codec.Array{}
	if len(low) > len(a.Dims) || len(a.Dims) == 0 {
		return none
	}
	from, to := make([]int, len(a.Dims)), make([]int, len(a.Dims))
	out := &codec.Array{}
	for i, d := range a.Dims {
		first, last := int64(a.Lower[i]), int64(a.Lower[i]+d-1)
		if i < len(low) {
			first, last = max(first, low[i]), min(last, high[i])
		}
		if first > last {
			return none
		}
		from[i], to[i] = int(first)-a.Lower[i], int(last)-a.Lower[i]
		out.Dims, out.Lower = append(out.Dims, to[i]-from[i]+1), append(out.Lower, 1)
	}
	var level func(d, at int)
	level = func(d, at int) {
		for k := from[d]; k <= to[d]; k++ {
			if d+1 < len(a.Dims) {
				level(d+1, (at+k)*a.Dims[d+1])
			} else {
				out.Elems = append(out.Elems, a.Elems[at+k])
			}
		}
	}
	level(0, 0)
	return out
}

// elementAt is x[i][j]…: ok is false for NULL.
func elementAt(a *codec.Array, at []int64) (string, bool) {
	if len(at) != len(a.Dims) {
		return "", false
	}
	k := 0
	for i, d := range a.Dims {
		n := at[i] - int64(a.Lower[i])
		if n < 0 || n >= int64(d) {
			return "", false
		}
		k = k*d + int(n)
	}
	if len(a.Dims) == 0 || a.Elems[k] == nil {
		return "", false
	}
	return *a.Elems[k], true
}

func dimensionsText(a *codec.Array) string {
	var b strings.Builder
	for i, d := range a.Dims {
		fmt.Fprintf(&b, "[%d:%d]", a.Lower[i], a.Lower[i]+d-1)
	}
	return b.String()
}

// ints are the elements of a list of integers; ok is false where one is NULL.
func (a args) ints(k int) (out []int64, ok bool) {
	c, from, to := a.elements(k)
	for j := from; j < to; j++ {
		if c.IsNull(j) {
			return nil, false
		}
		out = append(out, c.I64[j])
	}
	return out, true
}

func init() {
	text := func(out *vector.Vector, a *codec.Array, err error) error {
		if err != nil {
			return err
		}
		return putText(out, a.String(), nil)
	}
	ours("__dims_of(text,anyarray)", "text", func(a args, out *vector.Vector) error {
		out.AppendString(textOfList(a.call, a.s(0), a.v[1], a.i))
		return nil
	})
	ours("__dims_in(text,text,text)", "text", func(a args, out *vector.Vector) error {
		t := infoByName[a.s(1)]
		if t == nil {
			return fmt.Errorf("no type %q", a.s(1))
		}
		s, err := arrayText(a.call, t.array, a.s(2), settingsOf(a.b(0)))
		return putText(out, s, err)
	})
	ours("__dims_out(text,text,text)", "text", func(a args, out *vector.Vector) error {
		out.AppendString(Out("_"+a.s(1), a.v[2], a.i, settingsOf(a.b(0))))
		return nil
	})
	ours("__dims_cast(text,text,text,text)", "text", func(a args, out *vector.Vector) error {
		set, from, to := settingsOf(a.b(0)), infoByName[a.s(1)], infoByName[a.s(2)]
		x := a.array(3)
		for i, e := range x.Elems {
			if e == nil {
				continue
			}
			a.call.Work(512 + len(*e))
			v, err := inCall(a.call, from.oid, -1, *e, codec.Defaults)
			if err != nil {
				return err
			}
			s := Out(from.name, v, 0, set)
			if from.name == "bool" {
				s = strconv.FormatBool(v.I64[0] != 0)
			}
			if to.kind == vector.Int16 || to.kind == vector.Int32 || to.kind == vector.Int64 {
				if n, ok := parseNum(s); ok && from.kind != vector.Text || from.name == "numeric" {
					s = roundNum(n).String()
				}
			}
			if v, err = inCall(a.call, to.oid, -1, s, set); err != nil {
				return err
			}
			s = Out(to.name, v, 0, codec.Defaults)
			x.Elems[i] = &s
		}
		return text(out, x, nil)
	})
	number := func(call string, f func(a *codec.Array, n int) (int, bool)) {
		ours(call, "int4", func(a args, out *vector.Vector) error {
			x, n := a.array(0), 1
			if len(a.v) > 1 {
				n = int(a.n(1))
			}
			if k, ok := f(x, n); ok {
				out.AppendInt(int64(k))
			} else {
				out.AppendNull()
			}
			return nil
		})
	}
	within := func(f func(a *codec.Array, n int) int) func(a *codec.Array, n int) (int, bool) {
		return func(a *codec.Array, n int) (int, bool) {
			if n < 1 || n > len(a.Dims) {
				return 0, false
			}
			return f(a, n-1), true
		}
	}
	number("__dims_ndims(text)", func(a *codec.Array, _ int) (int, bool) { return len(a.Dims), len(a.Dims) > 0 })
	number("__dims_cardinality(text)", func(a *codec.Array, _ int) (int, bool) { return len(a.Elems), true })
	number("__dims_length(text,int4)", within(func(a *codec.Array, n int) int { return a.Dims[n] }))
	number("__dims_lower(text,int4)", within(func(a *codec.Array, n int) int { return a.Lower[n] }))
	number("__dims_upper(text,int4)", within(func(a *codec.Array, n int) int { return a.Lower[n] + a.Dims[n] - 1 }))
	ours("__dims_dims(text)", "text", func(a args, out *vector.Vector) error {
		if x := a.array(0); len(x.Dims) > 0 {
			out.AppendString(dimensionsText(x))
		} else {
			out.AppendNull()
		}
		return nil
	})
	ours("__dims_subscripts(text,int4,bool)", "_int4", func(a args, out *vector.Vector) error {
		if x, n := a.array(0), int(a.n(1)); n >= 1 && n <= len(x.Dims) {
			low, d := x.Lower[n-1], x.Dims[n-1]
			for i := range d {
				if a.t(2) {
					i = d - 1 - i
				}
				out.Child[0].AppendInt(int64(low + i))
			}
		}
		out.CloseNested()
		return nil
	})
	ours("__dims_get(text,_int8)", "text", func(a args, out *vector.Vector) error {
		at, ok := a.ints(1)
		if !ok {
			out.AppendNull()
			return nil
		}
		if s, ok := elementAt(a.array(0), at); ok {
			out.AppendString(s)
		} else {
			out.AppendNull()
		}
		return nil
	})
	ours("__dims_slice(text,_int8,_int8)", "text", func(a args, out *vector.Vector) error {
		low, ok1 := a.ints(1)
		high, ok2 := a.ints(2)
		if !ok1 || !ok2 {
			out.AppendNull()
			return nil
		}
		return text(out, sliceArray(a.array(0), low, high), nil)
	})
	ours("__dims_cat(text,text)", "text", func(a args, out *vector.Vector) error {
		switch {
		case a.null(0) && a.null(1):
			out.AppendNull()
		case a.null(0):
			out.AppendString(a.s(1))
		case a.null(1):
			out.AppendString(a.s(0))
		default:
			x, err := catArrays(a.array(0), a.array(1))
			return text(out, x, err)
		}
		return nil
	}, nulls)
	ours("__dims_nest(_text)", "text", func(a args, out *vector.Vector) error {
		x, err := nestArrays(a.call, a.texts(0), bad("2202E", "multidimensional arrays must have array expressions with matching dimensions"))
		return text(out, x, err)
	})
	ours("__dims_agg(_text)", "text", func(a args, out *vector.Vector) error {
		l := a.texts(0)
		for _, s := range l {
			if s == nil {
				return bad("22004", "cannot accumulate null arrays")
			}
			if len(mustArray(a.call, *s).Dims) == 0 {
				return bad("2202E", "cannot accumulate empty arrays")
			}
		}
		x, err := nestArrays(a.call, l, bad("2202E", "cannot accumulate arrays of different dimensionality"))
		return text(out, x, err)
	})
	ours("__dims_trim(text,int4)", "text", func(a args, out *vector.Vector) error {
		x, n := a.array(0), a.n(1)
		d := 0
		if len(x.Dims) > 0 {
			d = x.Dims[0]
		}
		if n < 0 || n > int64(d) {
			return bad("2202E", "number of elements to trim must be between 0 and %d", d)
		}
		if d == 0 {
			return text(out, x, nil)
		}
		return text(out, sliceArray(x, []int64{math.MinInt32}, []int64{int64(x.Lower[0]) + int64(d) - 1 - n}), nil)
	})
	ours("__dims_fill(text,text,_int4,_int4)", "text", func(a args, out *vector.Vector) error {
		if a.null(2) || a.null(3) {
			return bad("22004", "dimension array or low bound array cannot be null")
		}
		dims, ok1 := a.ints(2)
		low, ok2 := a.ints(3)
		if !ok1 || !ok2 {
			return bad("22004", "dimension values cannot be null")
		}
		if len(dims) > codec.MaxDimensions {
			return bad("54000", "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(dims), codec.MaxDimensions)
		}
		if len(low) == 0 {
			low = slices.Repeat([]int64{1}, len(dims))
		}
		if len(low) != len(dims) {
			return withDetail(bad("2202E", "wrong number of array subscripts"), "Low bound array has different size than dimensions array.")
		}
		x, n := &codec.Array{}, int64(1)
		for i, d := range dims {
			if d < 0 || n*max(d, 1) > codec.MaxArrayElements {
				return bad("54000", "array size exceeds the maximum allowed (%d)", codec.MaxArrayElements)
			}
			n *= d
			x.Dims, x.Lower = append(x.Dims, int(d)), append(x.Lower, int(low[i]))
		}
		if n == 0 || len(dims) == 0 {
			return text(out, &codec.Array{}, nil)
		}
		var e *string
		if !a.null(1) {
			if e = a.array(1).Elems[0]; e != nil && n*int64(len(*e)+1) > maxText || n > maxText {
				return errTooLong()
			}
		}
		a.call.Hold(int(n) * 8)
		x.Elems = slices.Repeat([]*string{e}, int(n))
		return text(out, x, nil)
	}, nulls)
	ours("__dims_replace(text,text,text,text)", "text", func(a args, out *vector.Vector) error {
		if a.null(1) {
			out.AppendNull()
			return nil
		}
		x, from, to := a.array(1), a.array(2).Elems[0], a.array(3).Elems[0]
		size := 0
		for i, e := range x.Elems {
			if to != nil {
				size += len(*to)
				a.call.Length(size)
			}
			if e == nil && from == nil || e != nil && from != nil && sameElement(a.call, a.s(0), *e, *from) {
				x.Elems[i] = to
			}
		}
		return text(out, x, nil)
	}, nulls)
	ours("__dims_key(text,text)", "bytea", func(a args, out *vector.Vector) error {
		out.AppendBytes(arrayKey(a.call, a.s(0), a.s(1)))
		return nil
	})
	for i := range typeList {
		t := &typeList[i]
		if t.oid == 705 || t.oid == 790 || t.oid == 829 {
			continue
		}
		list := func(a args, x *codec.Array, out *vector.Vector) error {
			for _, e := range x.Elems {
				if e == nil {
					out.Child[0].AppendNull()
					continue
				}
				a.call.Work(256 + len(*e))
				v, err := inCall(a.call, t.oid, -1, *e, codec.Defaults)
				if err != nil {
					return err
				}
				out.Child[0].AppendFrom(v, 0)
			}
			out.CloseNested()
			return nil
		}
		// Of all elements, and of an array that has one dimension; the second argument is the error for others.
		ours("__dims_flat_"+t.name+"(text)", "_"+t.name, func(a args, out *vector.Vector) error { return list(a, a.array(0), out) })
		ours("__dims_list_"+t.name+"(text,text)", "_"+t.name, func(a args, out *vector.Vector) error {
			x := a.array(0)
			if !x.Plain() {
				return bad(a.s(1)[:5], "%s", a.s(1)[6:])
			}
			return list(a, x, out)
		})
	}
}

func sameElement(c *duck.Call, elem, x, y string) bool {
	a, ok := elementKey(c, elem, x)
	b, _ := elementKey(c, elem, y)
	return ok && string(a) == string(b) || x == y
}

// roundNum rounds a number to an integer as a cast does.
func roundNum(n num) num {
	r, err := limit(n, 1000, 0)
	if err != nil {
		return n
	}
	return r
}
