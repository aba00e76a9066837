package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// over is a call of an aggregate of DuckDB's with the clauses of the call that it stands for.
func over(f *pg_query.FuncCall, name string, args ...*pg_query.Node) *pg_query.Node {
	n := call(name, args...)
	c := n.GetFuncCall()
	c.AggFilter, c.AggDistinct, c.Over, c.AggOrder = f.AggFilter, f.AggDistinct, f.Over, f.AggOrder
	return copyOf(n)
}

// runs reports whether DuckDB's own sum of doubles adds them one after the other, as PostgreSQL does: not in windows, whose frames it
// puts together from parts, nor of a constant, which it multiplies.
func runs(f *pg_query.FuncCall, x *pg_query.Node) bool {
	return f.Over == nil && !f.AggDistinct && len(f.AggOrder) == 0 && hasColumn(x)
}

func hasColumn(n *pg_query.Node) (has bool) {
	walk(n, func(m proto.Message) bool {
		_, is := m.(*pg_query.ColumnRef)
		has = has || is
		return !has
	})
	return has
}

// floatTotal is the sum of doubles; one that is infinite without an infinite value is out of range.
func floatTotal(f *pg_query.FuncCall, x *pg_query.Node) *pg_query.Node {
	return call("__float8_total", over(f, "sum", x), over(f, "bool_or", call("isinf", copyOf(x))))
}

func countStar(f *pg_query.FuncCall) *pg_query.Node {
	n := call("count")
	c := n.GetFuncCall()
	c.AggStar, c.AggFilter, c.Over = true, f.AggFilter, f.Over
	return copyOf(n)
}

// aggregate emits an aggregate.
func (a *analyzer) aggregate(f *pg_query.FuncCall, p *proc, vs []value, result OID, at int32) (value, error) {
	out := typed(nil, result, at)
	if f.AggDistinct {
		for _, v := range vs {
			if err := unordered(v.t, "equality", at); err != nil {
				return out, err
			}
			if keyed(v) && p.name != "count" && !(v.t == oidNumeric && distinctByKey(p.name)) {
				return out, fail("0A000", at, "%s(DISTINCT …) of %s without a fixed scale is not supported", p.name, typeName(v.t))
			}
		}
		for _, s := range f.AggOrder {
			found := false
			for _, v := range vs {
				found = found || same3(key(v), s.GetSortBy().Node)
			}
			if !found {
				return out, fail("42P10", location(s.GetSortBy().Node), "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
			}
		}
	}
	var x value
	if len(vs) > 0 {
		x = vs[0]
	}
	byKey := f.AggDistinct && x.t == oidNumeric && !x.dec && distinctByKey(p.name)
	if byKey {
		f.AggDistinct, f.AggOrder = false, nil
	} else if f.AggDistinct && len(f.AggOrder) == 0 && p.name != "count" { // PostgreSQL sorts to find equal values
		f.AggOrder = []*pg_query.Node{{Node: &pg_query.Node_SortBy{SortBy: &pg_query.SortBy{Node: key(value{n: copyOf(x.n), t: x.t, dec: x.dec}),
			SortbyDir: pg_query.SortByDir_SORTBY_DEFAULT, SortbyNulls: pg_query.SortByNulls_SORTBY_NULLS_DEFAULT}}}}
	}
	list := func(n *pg_query.Node) *pg_query.Node {
		if byKey {
			return call("__numeric_distinct", over(f, "list", n))
		}
		return over(f, "list", n)
	}
	switch p.name {
	case "count":
		if len(vs) == 0 {
			out.n = countStar(f)
		} else {
			if f.AggDistinct {
				x.n = key(x)
			}
			out.n = over(f, "count", x.n)
		}
		return out, nil
	case "sum":
		switch {
		case x.t == oidInt2 || x.t == oidInt4:
			out.n = castTo(over(f, "sum", x.n), "int8")
			return out, nil
		case x.t == oidInt8:
			return decimalValue(castTo(over(f, "sum", x.n), "numeric", 38, 0), 38, 0, at), nil
		case x.t == oidNumeric && x.dec:
			return decimalValue(castTo(over(f, "sum", x.n), "numeric", 38, x.scale), 38, x.scale, at), nil
		case x.t == oidNumeric:
			out.n = call("__numeric_sum", list(x.n))
			return out, nil
		case x.t == oidFloat8 && runs(f, x.n):
			out.n = floatTotal(f, x.n)
			return out, nil
		case x.t == oidFloat8:
			out.n = call("__float8_sum", list(x.n))
			return out, nil
		case x.t == oidFloat4:
			out.n = call("__float4_sum", list(x.n))
			return out, nil
		case x.t == oidInterval:
			out.n = call("__interval_sum", list(x.n))
			return out, nil
		}
	case "avg":
		switch {
		case isInt(x.t):
			out.n = call("__numeric_avg", castTo(over(f, "sum", x.n), "text"), over(f, "count", copyOf(x.n)))
			return out, nil
		case x.t == oidNumeric && x.dec:
			out.n = call("__numeric_avg", castTo(over(f, "sum", x.n), "text"), over(f, "count", copyOf(x.n)))
			return out, nil
		case x.t == oidNumeric:
			n := over(f, "count", copyOf(x.n))
			if byKey {
				n = call("len", list(copyOf(x.n)))
			}
			out.n = call("__numeric_avg", call("__numeric_sum", list(x.n)), n)
			return out, nil
		case isFloat(x.t) && runs(f, x.n):
			x.n = castTo(x.n, "float8")
			out.n = call("__float8_mean", floatTotal(f, x.n), over(f, "count", copyOf(x.n)))
			return out, nil
		case isFloat(x.t):
			out.n = call("__float8_avg", list(castTo(x.n, "float8")))
			return out, nil
		case x.t == oidInterval:
			out.n = call("__interval_avg", list(x.n))
			return out, nil
		}
	case "min", "max":
		switch {
		case x.t == oidNumeric && x.dec:
			x.n, x.at, x.mod = over(f, p.name, x.n), at, -1
			return x, nil
		case x.t == oidNumeric || x.t == oidBPChar || x.t == oidTimeTZ || hasDimensions(x.t) && comparableType(x.t):
			out.n, out.t = over(f, "arg_"+p.name, x.n, key(value{n: copyOf(x.n), t: x.t})), x.t
			return out, nil
		case x.t == oidInet:
			out.n = over(f, "arg_"+p.name, x.n, key(value{n: copyOf(x.n), t: x.t}))
			return out, nil
		case comparableType(x.t):
			out.n = castNode(over(f, p.name, x.n), physical(x.t))
			return out, nil
		}
	case "bool_and", "bool_or":
		out.n = over(f, p.name, x.n)
		return out, nil
	case "every":
		out.n = over(f, "bool_and", x.n)
		return out, nil
	case "bit_and", "bit_or", "bit_xor":
		if isInt(x.t) {
			out.n = castTo(over(f, p.name, x.n), shortName(x.t))
			return out, nil
		}
	case "array_agg":
		if isArray(x.t) {
			return typed(call("__dims_agg", list(a.dimensions(x).n)), Dimensional(x.t), at), nil
		}
		out.n = list(textual(x).n)
		return out, nil
	case "range_agg":
		out.n = call("__range_agg", rangeName(vs), list(x.n))
		return out, nil
	case "range_intersect_agg":
		out.n = call("__range_common", rangeName(vs), list(x.n))
		return out, nil
	case "string_agg":
		if x.t != oidBytea {
			if _, ok := constText(vs[1].n); !ok {
				out.n = call("__string_agg", list(x.n), over(f, "list", vs[1].n))
				if f.AggDistinct {
					return out, fail("0A000", at, "string_agg(DISTINCT …) with a separator that is no constant is not supported")
				}
				return out, nil
			}
			out.n = call("__string_agg_const", list(x.n), vs[1].n)
			return out, nil
		}
	case "json_agg", "jsonb_agg":
		j, err := a.toJSON(x, at)
		if err != nil {
			return out, err
		}
		if f.AggDistinct {
			if j = x; x.t != oidText && !isInt(x.t) {
				return out, fail("0A000", at, "%s(DISTINCT …) of %s is not supported", p.name, typeName(x.t))
			}
			out.n = call("__json_agg_of", castTo(str(a.env.settings()), "text"), castTo(str(shortName(x.t)), "text"), list(x.n))
		} else {
			name := "__json_agg"
			if x.t == oidRecord || isArray(x.t) || a.structured {
				name = "__json_agg_lines"
			}
			out.n = call(name, list(castTo(j.n, "text")))
		}
		if p.name == "jsonb_agg" {
			return a.convert(typed(castTo(out.n, "json"), oidJSON, at), oidJSONB, explicit)
		}
		out.n = castTo(out.n, "json")
		return out, nil
	case "json_object_agg", "jsonb_object_agg":
		k, err := a.settled(vs[0])
		if err != nil {
			return out, err
		}
		if k, err = a.convert(k, oidText, explicit); err != nil {
			return out, err
		}
		j, err := a.toJSON(vs[1], at)
		if err != nil {
			return out, err
		}
		out.n = castTo(call("__json_object_agg", list(k.n), over(f, "list", castTo(j.n, "text"))), "json")
		if p.name == "jsonb_object_agg" {
			return a.convert(typed(out.n, oidJSON, at), oidJSONB, explicit)
		}
		return out, nil
	case "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop":
		kind := p.name
		switch kind {
		case "stddev":
			kind = "stddev_samp"
		case "variance":
			kind = "var_samp"
		}
		if result == oidNumeric {
			if isInt(x.t) {
				x.n = castTo(x.n, "text")
			}
			out.n = call("__numeric_spread", castTo(str(kind), "text"), list(asText(x)))
		} else {
			out.n = call("__float8_spread", castTo(str(kind), "text"), list(castTo(x.n, "float8")))
		}
		return out, nil
	case "corr", "covar_pop", "covar_samp", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy":
		out.n = call("__float8_regression", castTo(str(p.name), "text"), list(vs[0].n), over(f, "list", vs[1].n))
		if result == oidInt8 {
			out.n = castTo(out.n, "int8")
		}
		return out, nil
	}
	return out, fail("0A000", at, "aggregate %s(%s) is not supported", p.name, typeNames(typesOf(vs)))
}

// distinctByKey reports whether an aggregate of different numerics is computed of their list.
func distinctByKey(name string) bool {
	return name == "sum" || name == "avg" || name == "min" || name == "max"
}

func constText(n *pg_query.Node) (string, bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	if c, ok := n.GetAConst().GetVal().(*pg_query.A_Const_Sval); ok {
		return c.Sval.GetSval(), true
	}
	return "", false
}

// orderedSet emits an aggregate WITHIN GROUP.
func (a *analyzer) orderedSet(n *pg_query.Node, f *pg_query.FuncCall, name string, vs, order []value, at int32) (value, error) {
	if len(order) != 1 {
		return value{}, fail("0A000", at, "%s of several columns is not supported", name)
	}
	x := order[0]
	x.at = at
	sort := f.AggOrder[0].GetSortBy()
	desc := sort.SortbyDir == pg_query.SortByDir_SORTBY_DESC
	g := &pg_query.FuncCall{AggFilter: f.AggFilter, Over: f.Over}
	values := func(n *pg_query.Node, keep *pg_query.Node) *pg_query.Node {
		g.AggOrder = []*pg_query.Node{{Node: &pg_query.Node_SortBy{SortBy: &pg_query.SortBy{Node: keep, SortbyDir: sort.SortbyDir, SortbyNulls: pg_query.SortByNulls_SORTBY_NULLS_DEFAULT}}}}
		return over(g, "list", n)
	}
	_ = desc
	var err error
	fraction := func() (value, bool, error) {
		v := vs[0]
		if isArray(v.t) {
			v, err := a.coerce(v, arrayOf(oidFloat8), -1, implicit)
			return v, true, err
		}
		if !v.unknown() && !canCoerce(v.t, oidFloat8, implicit) {
			return v, false, a.functionMissing(name, append(typesOf(vs), x.t), false, at)
		}
		v, err := a.coerce(v, oidFloat8, -1, implicit)
		return v, false, err
	}
	switch name {
	case "percentile_cont":
		t := oidFloat8
		if x.t == oidInterval {
			t = oidInterval
		} else if x, err = a.coerce(x, oidFloat8, -1, implicit); err != nil {
			return x, err
		}
		p, many, err := fraction()
		if err != nil {
			return p, err
		}
		out := typed(nil, t, at)
		if many {
			out.t = arrayOf(t)
		}
		fn := "__percentile_cont"
		if many {
			fn += "s"
		}
		if t == oidInterval {
			fn += "_interval"
		}
		out.n = call(fn, p.n, values(x.n, copyOf(x.n)))
		return out, nil
	case "percentile_disc":
		p, many, err := fraction()
		if err != nil {
			return p, err
		}
		if x, err = a.settled(x); err != nil {
			return x, err
		}
		l := values(textual(x).n, key(value{n: copyOf(x.n), t: x.t, dec: x.dec}))
		if many {
			return value{}, fail("0A000", at, "percentile_disc of several fractions is not supported")
		}
		return typed(castNode(call("list_extract", l, call("__disc_index", copyOf(p.n), copyOf(l))), physical(x.t)), x.t, at), nil
	case "mode":
		if x, err = a.settled(x); err != nil {
			return x, err
		}
		l := values(textual(x).n, key(value{n: copyOf(x.n), t: x.t, dec: x.dec}))
		return typed(castNode(call("list_extract", l, call("__mode_index", copyOf(l))), physical(x.t)), x.t, at), nil
	}
	return value{}, fail("0A000", at, "%s WITHIN GROUP is not supported", name)
}

// window emits a window function.
func (a *analyzer) window(f *pg_query.FuncCall, p *proc, vs []value, result OID, at int32) (value, error) {
	out := typed(nil, result, at)
	args := nodesOf(vs)
	switch p.name {
	case "row_number", "rank", "dense_rank", "percent_rank", "cume_dist":
		out.n = over(f, p.name)
	case "ntile":
		out.n = castTo(over(f, "ntile", castTo(args[0], "int8")), "int4")
	case "lag", "lead", "first_value", "last_value", "nth_value":
		if len(vs) == 3 {
			same, form, err := a.unify([]value{vs[0], vs[2]}, "CASE")
			if err != nil {
				return out, err
			}
			args[0], args[2] = same[0].n, same[1].n
			out.dec, out.prec, out.scale = form.dec, form.prec, form.scale
			out.t = form.t
		} else if hasDimensions(vs[0].t) {
			out.t = vs[0].t
		} else if vs[0].t == oidNumeric {
			out.dec, out.prec, out.scale = vs[0].dec, vs[0].prec, vs[0].scale
		}
		if len(args) > 1 {
			args[1] = castTo(args[1], "int8")
		}
		out.n = over(f, p.name, args...)
	default:
		return out, fail("0A000", at, "window function %s is not supported", p.name)
	}
	return out, nil
}

// list emits a set-returning function as a list of its rows; the value's type is that of a row.
func (a *analyzer) list(p *proc, vs []value, c candidate, result OID, at int32) (value, error) {
	if result == oidRecord {
		return value{}, fail("0A000", at, "function %s is supported in FROM only", p.name)
	}
	if p.name == "unnest" && isMultirange(vs[0].t) {
		return typed(call("__range_list", rangeName(vs), vs[0].n), result, at), nil
	}
	if p.name == "unnest" {
		return typed(a.flat(vs[0]).n, result, at), nil
	}
	v, vs, ok := a.arrayCall(signature(p), vs, result, at)
	if ok {
		return v, nil
	}
	fn := pgfunc.Find(signature(p))
	if fn == nil {
		return value{}, fail("0A000", at, "function %s(%s) is not supported", p.name, typeNames(p.args))
	}
	n, err := a.emit(fn, vs)
	return typed(n, result, at), err
}
