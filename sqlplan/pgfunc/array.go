package pgfunc

import (
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// equalAt reports whether elements of arrays are equal; types are vectors of one kind.
func equalAt(call *duck.Call, c *vector.Vector, i int, d *vector.Vector, j int) bool {
	call.Work(workOfElement(c, i) + workOfElement(d, j))
	if c.Type.Kind == vector.Text && c.Type.Shown == 1700 {
		return cmpNum(mustNum(string(c.Bytes(i))), mustNum(string(d.Bytes(j)))) == 0
	}
	return vector.Compare(c, i, d, j) == 0
}

// workOfElement is the work of looking at an element.
func workOfElement(c *vector.Vector, i int) int {
	if c.Type.Buffer() == vector.BufBytes {
		return 8 + int(c.Off[i+1]-c.Off[i])
	}
	return 8
}

func contains(a args, x, y int) bool { // x has all elements of y
	c, from, to := a.elements(x)
	d, dfrom, dto := a.elements(y)
	for j := dfrom; j < dto; j++ {
		found := false
		if !d.IsNull(j) {
			for i := from; i < to && !found; i++ {
				found = !c.IsNull(i) && equalAt(a.call, c, i, d, j)
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// anyAll compares x with the elements of an array.
func anyAll(op, word, typ string, a args, out *vector.Vector) error {
	x := a.v[1]
	c, from, to := a.elements(2)
	sawNull := x.IsNull(a.i)
	all := word == "ALL"
	if from == to {
		out.AppendBool(all)
		return nil
	}
	for j := from; j < to; j++ {
		a.call.Work(workOfElement(c, j) + workOfElement(x, a.i))
		if x.IsNull(a.i) || c.IsNull(j) {
			sawNull = true
			continue
		}
		var ok bool
		var err error
		switch strings.TrimPrefix(op, "!") {
		case "~~":
			ok, err = like(a.call, string(x.Bytes(a.i)), string(c.Bytes(j)), `\`)
		case "~~*":
			ok, err = like(a.call, strings.ToLower(string(x.Bytes(a.i))), strings.ToLower(string(c.Bytes(j))), `\`)
		case "~":
			ok, err = matches(a.call, string(x.Bytes(a.i)), string(c.Bytes(j)), regexFlags{})
		case "~*":
			ok, err = matches(a.call, string(x.Bytes(a.i)), string(c.Bytes(j)), regexFlags{insensitive: true})
		default:
			var k int
			switch typ {
			case "numeric":
				k = cmpNum(mustNum(string(x.Bytes(a.i))), mustNum(string(c.Bytes(j))))
			case "interval":
				k = intervalOf(x, a.i).compare(intervalOf(c, j))
			case "jsonb":
				k = strings.Compare(string(jsonbKey(a.call, string(x.Bytes(a.i)))), string(jsonbKey(a.call, string(c.Bytes(j)))))
			default:
				k = vector.Compare(x, a.i, c, j)
			}
			ok = map[string]bool{"=": k == 0, "<>": k != 0, "<": k < 0, ">": k > 0, "<=": k <= 0, ">=": k >= 0}[op]
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(op, "!") {
			ok = !ok
		}
		if ok != all {
			out.AppendBool(ok)
			return nil
		}
	}
	if sawNull {
		out.AppendNull()
		return nil
	}
	out.AppendBool(all)
	return nil
}

func init() {
	ours("__any_all(text,any,anyarray)", "bool", func(a args, out *vector.Vector) error {
		if a.null(2) {
			out.AppendNull()
			return nil
		}
		f := strings.Fields(a.s(0))
		return anyAll(f[0], f[1], f[2], a, out)
	}, nulls)
	sql(`
		cardinality(anyarray)	CAST(len($1) AS int4)
		array_length(anyarray,int4)	CASE WHEN $2 = 1 AND len($1) > 0 THEN CAST(len($1) AS int4) END
		array_upper(anyarray,int4)	CASE WHEN $2 = 1 AND len($1) > 0 THEN CAST(len($1) AS int4) END
		array_lower(anyarray,int4)	CASE WHEN $2 = 1 AND len($1) > 0 THEN 1 END
		array_ndims(anyarray)	CASE WHEN len($1) > 0 THEN 1 END
		array_dims(anyarray)	CASE WHEN len($1) > 0 THEN '[1:' || CAST(len($1) AS text) || ']' END
		array_append(anycompatiblearray,anycompatible)	list_append(coalesce($1, array_slice(list_append($1, $2), 1, 0)), $2)
		array_prepend(anycompatible,anycompatiblearray)	list_prepend($1, coalesce($2, array_slice(list_prepend($1, $2), 1, 0)))
		array_cat(anycompatiblearray,anycompatiblearray)	CASE WHEN $1 IS NULL THEN $2 WHEN $2 IS NULL THEN $1 ELSE list_concat($1, $2) END
		anycompatiblearray || anycompatiblearray	CASE WHEN $1 IS NULL THEN $2 WHEN $2 IS NULL THEN $1 ELSE list_concat($1, $2) END
		anycompatiblearray || anycompatible	list_append(coalesce($1, array_slice(list_append($1, $2), 1, 0)), $2)
		anycompatible || anycompatiblearray	list_prepend($1, coalesce($2, array_slice(list_prepend($1, $2), 1, 0)))
		generate_subscripts(anyarray,int4)	CASE WHEN $2 = 1 THEN CAST(generate_series(1, len($1)) AS int4[]) END
		trim_array(anyarray,int4)	CASE WHEN $2 < 0 OR $2 > len($1) THEN error('tilehouse 2202E: number of elements to trim must be between 0 and ' || CAST(len($1) AS text)) ELSE array_slice($1, 1, len($1) - $2) END
		array_to_string(anyarray,text)	__array_join($1, $2, NULL)
		array_to_string(anyarray,text,text)	__array_join($1, $2, $3)
		generate_series(int4,int4)	CAST(generate_series(CAST($1 AS int8), CASE WHEN __fits(CAST(least(greatest((CAST($2 AS double) - CAST($1 AS double)) / 1, 0), 9e15) AS int8), 8.0) IS NULL THEN NULL ELSE CAST($2 AS int8) END) AS int4[])
		generate_series(int4,int4,int4)	CAST(generate_series(CAST($1 AS int8), CASE WHEN __fits(CAST(least(greatest((CAST($2 AS double) - CAST($1 AS double)) / (CASE WHEN $3 = 0 THEN 1 ELSE CAST($3 AS double) END), 0), 9e15) AS int8), 8.0) IS NULL THEN NULL ELSE CAST($2 AS int8) END, CASE WHEN $3 = 0 THEN error('tilehouse 22023: step size cannot equal zero') ELSE CAST($3 AS int8) END) AS int4[])
		generate_series(int8,int8)	generate_series($1, CASE WHEN __fits(CAST(least(greatest((CAST($2 AS double) - CAST($1 AS double)) / 1, 0), 9e15) AS int8), 8.0) IS NULL THEN NULL ELSE $2 END)
		generate_series(int8,int8,int8)	generate_series($1, CASE WHEN __fits(CAST(least(greatest((CAST($2 AS double) - CAST($1 AS double)) / (CASE WHEN $3 = 0 THEN 1 ELSE CAST($3 AS double) END), 0), 9e15) AS int8), 8.0) IS NULL THEN NULL ELSE $2 END, CASE WHEN $3 = 0 THEN error('tilehouse 22023: step size cannot equal zero') ELSE $3 END)
		array_fill(anyelement,_int4)	array_resize(array_slice(list_append(NULL, $1), 1, 0), __fits(list_extract($2, 1)::bigint, 16.0), $1)
	`)
	// By an index of the elements to keep, DuckDB picks them whatever their type.
	add(&Function{Call: "array_remove(anycompatiblearray,anycompatible)", SQL: "CASE WHEN len($1) = 0 THEN $1 ELSE list_select($1, __array_keep($1, $2)) END"})
	// Where equal elements may differ in their texts, keys of them are compared.
	sql(`
		__numeric_array_remove(_numeric,numeric)	CASE WHEN len($1) = 0 THEN $1 ELSE list_select($1, __array_keep(__numeric_array_key($1), __numeric_key($2))) END
		__numeric_array_replace(_numeric,numeric,numeric)	list_select(list_append($1, $3), __array_swap(__numeric_array_key($1), __numeric_key($2)))
	`)
	ours("__array_keep(anyarray,any)", "_int8", func(a args, out *vector.Vector) error {
		if a.null(0) {
			out.AppendNull()
			return nil
		}
		c, from, to := a.elements(0)
		x := a.v[1]
		for j := from; j < to; j++ {
			gone := c.IsNull(j) && x.IsNull(a.i) || !c.IsNull(j) && !x.IsNull(a.i) && equalAt(a.call, c, j, x, a.i)
			if !gone {
				out.Child[0].AppendInt(int64(j - from + 1))
			}
		}
		out.CloseNested()
		return nil
	}, nulls)
	// What replaces stands behind the last element.
	add(&Function{Call: "array_replace(anycompatiblearray,anycompatible,anycompatible)", SQL: "list_select(list_append($1, $3), __array_swap($1, $2))"})
	ours("__array_swap(anyarray,any)", "_int8", func(a args, out *vector.Vector) error {
		if a.null(0) {
			out.AppendNull()
			return nil
		}
		c, from, to := a.elements(0)
		x := a.v[1]
		for j := from; j < to; j++ {
			if c.IsNull(j) && x.IsNull(a.i) || !c.IsNull(j) && !x.IsNull(a.i) && equalAt(a.call, c, j, x, a.i) {
				out.Child[0].AppendInt(int64(to - from + 1))
			} else {
				out.Child[0].AppendInt(int64(j - from + 1))
			}
		}
		out.CloseNested()
		return nil
	}, nulls)
	find := func(a args, from int) []int {
		c, begin, end := a.elements(0)
		x := a.v[1]
		var out []int
		for j := begin; j < end; j++ {
			if j-begin+1 < from {
				continue
			}
			if c.IsNull(j) && x.IsNull(a.i) || !c.IsNull(j) && !x.IsNull(a.i) && equalAt(a.call, c, j, x, a.i) {
				out = append(out, j-begin+1)
			}
		}
		return out
	}
	for _, c := range []string{"array_position(anycompatiblearray,anycompatible)", "array_position(anycompatiblearray,anycompatible,int4)"} {
		ours(c, "int4", func(a args, out *vector.Vector) error {
			if a.null(0) {
				out.AppendNull()
				return nil
			}
			from := 1
			if len(a.v) > 2 {
				if a.null(2) {
					return bad("22004", "initial position must not be null")
				}
				from = int(a.n(2))
			}
			l := find(a, from)
			if len(l) == 0 {
				out.AppendNull()
				return nil
			}
			out.AppendInt(int64(l[0]))
			return nil
		}, nulls)
	}
	ours("array_positions(anycompatiblearray,anycompatible)", "_int4", func(a args, out *vector.Vector) error {
		if a.null(0) {
			out.AppendNull()
			return nil
		}
		for _, n := range find(a, 1) {
			out.Child[0].AppendInt(int64(n))
		}
		out.CloseNested()
		return nil
	}, nulls)
	ours("anyarray @> anyarray", "bool", func(a args, out *vector.Vector) error { out.AppendBool(contains(a, 0, 1)); return nil })
	ours("anyarray <@ anyarray", "bool", func(a args, out *vector.Vector) error { out.AppendBool(contains(a, 1, 0)); return nil })
	ours("anyarray && anyarray", "bool", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		d, dfrom, dto := a.elements(1)
		for i := from; i < to; i++ {
			for j := dfrom; j < dto; j++ {
				if !c.IsNull(i) && !d.IsNull(j) && equalAt(a.call, c, i, d, j) {
					out.AppendBool(true)
					return nil
				}
			}
		}
		out.AppendBool(false)
		return nil
	})
	ours("__array_join(anyarray,text,text)", "text", func(a args, out *vector.Vector) error {
		if a.null(0) || a.null(1) {
			out.AppendNull()
			return nil
		}
		c, from, to := a.elements(0)
		a.call.Hold((to - from) * arrayBytes)
		parts := make([]string, 0, to-from)
		size := 0
		for j := from; j < to; j++ {
			a.call.Work(workPerElement)
			switch {
			case !c.IsNull(j):
				parts = append(parts, elementText(c, j, a.set))
			case !a.null(2):
				parts = append(parts, a.s(2))
			default:
				continue
			}
			if size += len(parts[len(parts)-1]) + len(a.b(1)); size > maxText {
				return errTooLong()
			}
		}
		out.AppendString(strings.Join(parts, a.s(1)))
		return nil
	}, nulls)
}

// OverNumerics is the function where the elements of its arrays are numerics, and says whether it is of their keys.
func (f *Function) OverNumerics() (fn *Function, keys bool) {
	switch f.Call {
	case "array_remove(anycompatiblearray,anycompatible)":
		return byCall["__numeric_array_remove(_numeric,numeric)"], false
	case "array_replace(anycompatiblearray,anycompatible,anycompatible)":
		return byCall["__numeric_array_replace(_numeric,numeric,numeric)"], false
	case "anyarray @> anyarray", "anyarray <@ anyarray", "anyarray && anyarray", "array_positions(anycompatiblearray,anycompatible)",
		"array_position(anycompatiblearray,anycompatible)", "array_position(anycompatiblearray,anycompatible,int4)":
		return f, true
	}
	return f, false
}

func elementText(c *vector.Vector, j int, set *codec.Settings) string {
	return Out("", c, j, set)
}
