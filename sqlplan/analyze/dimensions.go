package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// An array that may have more than one dimension is a text for DuckDB (pgfunc), where others are lists. It has a type of its own
// here: the array type's object id with a bit that no object id of PostgreSQL's types has. Whatever takes an array takes both.
const dimensionBit OID = 1 << 31

// Dimensional is the type of values of an array type that may have more than one dimension.
func Dimensional(array OID) OID { return array | dimensionBit }

func hasDimensions(t OID) bool { return t&dimensionBit != 0 }

// plainArray is the type that PostgreSQL knows.
func plainArray(t OID) OID { return t &^ dimensionBit }

func plainTypes(l []OID) []OID {
	out := make([]OID, len(l))
	for i, t := range l {
		out[i] = plainArray(t)
	}
	return out
}

func elemName(t OID) *pg_query.Node { return castTo(str(shortName(elemOf(t))), "text") }

// dimensions makes an array one that may have more than one dimension.
func (a *analyzer) dimensions(v value) value {
	if !isArray(v.t) || hasDimensions(v.t) {
		return v
	}
	out := typed(call("__dims_of", elemName(v.t), v.n), Dimensional(v.t), v.at)
	out.mod = v.mod
	return out
}

// flat is the list of all elements of an array.
func (a *analyzer) flat(v value) value {
	if !hasDimensions(v.t) {
		return v
	}
	return typed(call("__dims_flat_"+shortName(elemOf(v.t)), v.n), plainArray(v.t), v.at)
}

// listed is the list of an array that must have one dimension; code and message are the error of others.
func (a *analyzer) listed(v value, code, message string) value {
	if !hasDimensions(v.t) {
		return v
	}
	return typed(call("__dims_list_"+shortName(elemOf(v.t)), v.n, castTo(str(code+" "+message), "text")), plainArray(v.t), v.at)
}

// convertDimensions makes an array of another element type, or form.
func (a *analyzer) convertDimensions(v value, to OID) (value, error) {
	from := v.t
	if plainArray(from) == plainArray(to) {
		if hasDimensions(to) {
			return a.dimensions(v), nil
		}
		return v, nil
	}
	if !hasDimensions(from) {
		out, err := a.convertArray(v, plainArray(to))
		if err != nil || !hasDimensions(to) {
			return out, err
		}
		return a.dimensions(out), nil
	}
	out := typed(call("__dims_cast", castTo(str(a.env.settings()), "text"), elemName(from), elemName(to), v.n), Dimensional(plainArray(to)), v.at)
	return out, nil
}

// singleton is an array of one element as text, by which functions take an element of any type.
func (a *analyzer) singleton(v value) *pg_query.Node {
	list := &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: []*pg_query.Node{textual(v).n}}}}
	return call("__dims_of", castTo(str(shortName(v.t)), "text"), castNode(list, physical(arrayOf(v.t))))
}

// arrayCall is a function or operator, by its signature, over arrays that may have more than one dimension; ok is false where it is
// emitted as for lists, over the arguments that it gives back.
func (a *analyzer) arrayCall(sig string, vs []value, result OID, at int32) (out value, args []value, ok bool) {
	any := false
	for _, v := range vs {
		any = any || hasDimensions(v.t)
	}
	nodes := func(name string, from int) *pg_query.Node {
		l := []*pg_query.Node{a.dimensions(vs[0]).n}
		for _, v := range vs[from:] {
			l = append(l, v.n)
		}
		return call(name, l...)
	}
	switch sig {
	case "array_fill(anyelement,_int4)", "array_fill(anyelement,_int4,_int4)":
		low := castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{}}}, physical(arrayOf(oidInt4)))
		if len(vs) > 2 {
			low = a.flat(vs[2]).n
		}
		return typed(call("__dims_fill", castTo(str(shortName(vs[0].t)), "text"), a.singleton(vs[0]), a.flat(vs[1]).n, low), Dimensional(arrayOf(vs[0].t)), at), nil, true
	case "generate_subscripts(anyarray,int4,bool)":
		return typed(nodes("__dims_subscripts", 1), result, at), nil, true
	}
	if !any {
		return out, vs, false
	}
	args = make([]value, len(vs))
	each := func(f func(v value) value) []value {
		for i, v := range vs {
			args[i] = f(v)
		}
		return args
	}
	switch sig {
	case "array_ndims(anyarray)", "array_dims(anyarray)", "array_length(anyarray,int4)", "array_upper(anyarray,int4)", "array_lower(anyarray,int4)":
		name := sig[len("array_"):]
		for i := range name {
			if name[i] == '(' {
				name = name[:i]
				break
			}
		}
		return typed(nodes("__dims_"+name, 1), result, at), nil, true
	case "cardinality(anyarray)":
		return typed(nodes("__dims_cardinality", 1), result, at), nil, true
	case "generate_subscripts(anyarray,int4)":
		n := nodes("__dims_subscripts", 1)
		n.GetFuncCall().Args = append(n.GetFuncCall().Args, castTo(str("false"), "bool"))
		return typed(n, result, at), nil, true
	case "trim_array(anyarray,int4)":
		return typed(nodes("__dims_trim", 1), Dimensional(vs[0].t), at), nil, true
	case "array_cat(anycompatiblearray,anycompatiblearray)", "anycompatiblearray || anycompatiblearray":
		return typed(call("__dims_cat", a.dimensions(vs[0]).n, a.dimensions(vs[1]).n), Dimensional(vs[0].t), at), nil, true
	case "array_replace(anycompatiblearray,anycompatible,anycompatible)":
		return typed(call("__dims_replace", elemName(vs[0].t), vs[0].n, a.singleton(vs[1]), a.singleton(vs[2])), vs[0].t, at), nil, true
	case "array_to_string(anyarray,text)", "array_to_string(anyarray,text,text)", "anyarray @> anyarray", "anyarray <@ anyarray", "anyarray && anyarray", "unnest(anyarray)":
		return out, each(a.flat), false
	case "array_append(anycompatiblearray,anycompatible)", "array_prepend(anycompatible,anycompatiblearray)", "anycompatiblearray || anycompatible", "anycompatible || anycompatiblearray":
		return out, each(func(v value) value { return a.listed(v, "22000", "argument must be empty or one-dimensional array") }), false
	case "array_position(anycompatiblearray,anycompatible)", "array_position(anycompatiblearray,anycompatible,int4)", "array_positions(anycompatiblearray,anycompatible)":
		return out, each(func(v value) value {
			return a.listed(v, "0A000", "searching for elements in multidimensional arrays is not supported")
		}), false
	case "array_remove(anycompatiblearray,anycompatible)":
		return out, each(func(v value) value {
			return a.listed(v, "0A000", "removing elements from multidimensional arrays is not supported")
		}), false
	}
	return out, each(func(v value) value {
		return a.listed(v, "0A000", "arrays of more than one dimension are not supported by "+sig)
	}), false
}

// nested is ARRAY[…] of arrays.
func (a *analyzer) nested(vs []value, want OID, at int32) (value, error) {
	t := want
	if t == 0 {
		var with OID
		var ok bool
		if t, with, ok = commonType(typesOf(vs)); !ok {
			return value{}, fail("42804", at, "ARRAY types %s and %s cannot be matched", typeName(t), typeName(with))
		}
	}
	if !isArray(t) {
		return value{}, fail("42804", at, "ARRAY types %s and %s cannot be matched", typeName(vs[0].t), typeName(t))
	}
	list := &pg_query.A_ArrayExpr{}
	for _, v := range vs {
		v, err := a.coerce(v, Dimensional(t), -1, explicit)
		if err != nil || v.t == 0 {
			return v, err
		}
		list.Elements = append(list.Elements, v.n)
	}
	texts := castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: list}}, physical(oidTextArray))
	return typed(call("__dims_nest", texts), Dimensional(t), at), nil
}

// subscripts is array[i][j]… and array[i:j][k:l]…; a subscript of a slice that is left out is nil.
func (a *analyzer) subscripts(v value, lower, upper []*pg_query.Node, slice bool, at int32) value {
	list := func(l []*pg_query.Node, otherwise string) *pg_query.Node {
		x := &pg_query.A_ArrayExpr{}
		for _, n := range l {
			if n == nil {
				n = str(otherwise)
			}
			x.Elements = append(x.Elements, castTo(n, "int8"))
		}
		return castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: x}}, physical(arrayOf(oidInt8)))
	}
	v = a.dimensions(v)
	if slice {
		return typed(call("__dims_slice", v.n, list(lower, "-2147483648"), list(upper, "2147483647")), v.t, at)
	}
	elem := elemOf(v.t)
	return typed(a.ofText(call("__dims_get", v.n, list(upper, "0")), elem), elem, at)
}

// dimensionLiteral is a text as an array of any dimensions.
func (a *analyzer) dimensionLiteral(s string, to OID, mod, at int32) (value, error) {
	text, err := pgfunc.ArrayText(plainArray(to), s, a.env.Settings)
	if err != nil {
		return value{}, a.located(err, at)
	}
	return value{n: castTo(str(text), "text"), t: Dimensional(plainArray(to)), mod: mod, at: at}, nil
}
