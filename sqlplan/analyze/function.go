package analyze

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

func functionName(l []*pg_query.Node) (name string, ok bool) {
	switch {
	case len(l) == 1:
		return l[0].GetString_().GetSval(), true
	case len(l) == 2 && l[0].GetString_().GetSval() == "pg_catalog":
		return l[1].GetString_().GetSval(), true
	}
	return "", false
}

// leaveCall puts analyzed arguments back into a call that is left to DuckDB.
func (a *analyzer) leaveCall(n *pg_query.Node, f *pg_query.FuncCall, vs []value) value {
	for i, v := range vs {
		switch {
		case v.lit != nil:
			putArg(f, i, str(*v.lit))
		case v.null:
			putArg(f, i, null())
		default:
			putArg(f, i, v.n)
		}
	}
	a.untyped = true
	return untypedValue(n)
}

func putArg(f *pg_query.FuncCall, i int, n *pg_query.Node) {
	if na := f.Args[i].GetNamedArgExpr(); na != nil {
		na.Arg = n
		return
	}
	f.Args[i] = n
}

// plainClause is the clause that is analyzed, in the words of errors of what cannot stand in it; "" for one where all may stand.
func (a *analyzer) plainClause() string {
	if a.clause == "JOIN/ON" {
		return "JOIN conditions"
	}
	return a.clause
}

// sequenceResults are the functions of sequences, which package rewrite expands, and what they give.
var sequenceResults = map[string]OID{"nextval": oidInt8, "currval": oidInt8, "lastval": oidInt8, "setval": oidInt8}

// sequenceCall analyzes a call of a function of sequences whose name is a constant: it stays a constant, for package rewrite.
func (a *analyzer) sequenceCall(n *pg_query.Node, f *pg_query.FuncCall, name string, sc *scope) (v value, ok bool, err error) {
	t := sequenceResults[name]
	if t == 0 || f.Over != nil || f.AggStar || len(f.Args) > 3 {
		return v, false, nil
	}
	for i, arg := range f.Args {
		if i == 0 {
			if c := arg.GetTypeCast(); c != nil {
				arg = c.Arg
			}
			if arg.GetAConst().GetSval() == nil {
				return v, false, nil
			}
			f.Args[0] = arg
			continue
		}
		x, err := a.expr(arg, sc)
		if err != nil {
			return x, true, err
		}
		if x, err = a.coerce(x, []OID{0, oidInt8, oidBool}[i], -1, implicit); err != nil {
			return x, true, err
		}
		f.Args[i] = x.n
	}
	return typed(n, t, f.Location), true, nil
}

// funcCall analyzes a call of a function, aggregate or window function.
func (a *analyzer) funcCall(n *pg_query.Node, f *pg_query.FuncCall, sc *scope) (value, error) {
	at := f.Location
	name, ok := functionName(f.Funcname)
	if ok {
		if v, is, err := a.sequenceCall(n, f, name, sc); is {
			return v, err
		}
	}
	sets := a.setsAllowed
	kind := byte('f')
	if ok && len(procs[name]) > 0 {
		kind = procs[name][0].kind
	}
	aggregate := kind == 'a' && f.Over == nil
	if aggregate {
		if a.inAggregate {
			return value{}, fail("42803", at, "aggregate function calls cannot be nested")
		}
		if clause := a.plainClause(); clause != "" && a.clause != "window definitions" {
			return value{}, fail("42803", at, "aggregate functions are not allowed in %s", clause)
		}
		a.inAggregate = true
		defer func() { a.inAggregate = false }()
	}
	if f.Over != nil {
		if clause := a.plainClause(); clause != "" {
			return value{}, fail("42P20", at, "window functions are not allowed in %s", clause)
		}
		if a.inWindow {
			return value{}, fail("42P20", at, "window function calls cannot be nested")
		}
		if a.inAggregate {
			return value{}, fail("42803", at, "aggregate function calls cannot contain window function calls")
		}
		a.inWindow = true
		defer func() { a.inWindow = false }()
	}
	a.setsAllowed = 0
	var vs []value
	written := make([]*pg_query.Node, len(f.Args)) // constants, as functions that are expanded want them
	for i, arg := range f.Args {
		if arg.GetAConst() != nil {
			written[i] = copyOf(arg)
		}
	}
	names := make([]string, len(f.Args))
	named := false
	for i, arg := range f.Args {
		if na := arg.GetNamedArgExpr(); na != nil {
			names[i], named = na.Name, true
			arg = na.Arg
		}
		v, err := a.expr(arg, sc)
		if err != nil {
			a.setsAllowed = sets
			return v, err
		}
		vs = append(vs, v)
	}
	a.setsAllowed = sets
	if f.Over != nil {
		a.inWindow = false
		if f.Over.Name != "" && f.Over.PartitionClause == nil && f.Over.OrderClause == nil {
			if !sc.query.windows[f.Over.Name] {
				return value{}, fail("42704", f.Over.Location, "window %q does not exist", f.Over.Name)
			}
		} else if err := a.windowDef(f.Over, sc); err != nil {
			return value{}, err
		}
	}
	if f.AggFilter != nil {
		v, err := a.boolean(f.AggFilter, sc, "FILTER")
		if err != nil {
			return v, err
		}
		f.AggFilter = v.n
	}
	var order []value
	for _, s := range f.AggOrder {
		if err := a.sortUsing(s.GetSortBy()); err != nil {
			return value{}, err
		}
		v, err := a.expr(s.GetSortBy().Node, sc)
		if err != nil {
			return v, err
		}
		order = append(order, v)
		s.GetSortBy().Node = key(v)
	}
	if a.env.Own != nil && a.env.Own(name) { // a function of the user's
		return a.leaveCall(n, f, vs), nil
	}
	if !ok || anyUntyped(vs) || anyUntyped(order) {
		out := a.leaveCall(n, f, vs)
		switch {
		case ok && a.env.Returns != nil && a.env.Returns(name, len(f.Args)) != 0:
			out.t = a.env.Returns(name, len(f.Args))
		case ok && !named:
			out.t = a.resultIfCertain(name)
		}
		return out, nil
	}
	if slices.ContainsFunc(vs, func(v value) bool { return v.t == oidRecord }) {
		return a.rowCall(n, f, name, vs, at)
	}
	if !pgfunc.Named(name) && a.env.Expands != nil && a.env.Expands(name, f.Args) {
		a.leaveCall(n, f, vs)
		for i, w := range written {
			if w != nil {
				putArg(f, i, w)
			}
		}
		out := untypedValue(n)
		if p := procs[name]; len(p) > 0 && p[0].result == oidVoid {
			return voidValue(n), nil
		} else if len(p) == 1 && !p[0].set && isInt(p[0].result) {
			out.t = p[0].result
		} else if t := a.resultIfCertain(name); t != 0 {
			out.t = t
		} else if a.env.Returns != nil {
			out.t = a.env.Returns(name, len(f.Args))
		}
		return out, nil
	}
	in := typesOf(vs)
	if f.AggWithinGroup {
		return a.orderedSet(n, f, name, vs, order, at)
	}
	found, exists := findFunction(name, in, names, f.FuncVariadic)
	if len(found) != 1 && len(vs) == 1 && !f.AggStar && f.Over == nil {
		// A type's name called like a function is a cast.
		if k := typeByName[name]; k != nil && k.kind == 'b' && (vs[0].unknown() || canCoerce(in[0], k.oid, explicit)) && (len(found) == 0) {
			return a.coerce(vs[0], k.oid, -1, explicit)
		}
	}
	if !exists {
		if len(f.Funcname) == 1 && a.env.Foreign != nil && !a.env.Foreign(name) {
			return value{}, a.functionMissing(name, in, false, at)
		}
		return a.leaveCall(n, f, vs), nil
	}
	if len(found) != 1 {
		if f.Funcformat == pg_query.CoercionForm_COERCE_SQL_SYNTAX {
			name = "pg_catalog." + name
		}
		return value{}, a.functionMissing(name, in, len(found) > 1, at)
	}
	c := found[0]
	p := c.proc
	a.resolved[f] = true
	if p.kind == 'a' && len(f.Args) == 0 && !f.AggStar && !f.AggWithinGroup {
		return value{}, fail("42809", at, "%s(*) must be used to call a parameterless aggregate function", name)
	}
	if f.AggStar && len(p.args) > 0 {
		return value{}, a.functionMissing(name, in, false, at)
	}
	switch {
	case p.kind == 'w' && f.Over == nil:
		return value{}, fail("42809", at, "window function %s requires an OVER clause", name)
	case p.kind == 'f' && f.Over != nil:
		return value{}, fail("42809", at, "OVER specified, but %s is not a window function nor an aggregate function", name)
	case p.kind == 'f' && f.AggDistinct:
		return value{}, fail("42809", at, "DISTINCT specified, but %s is not an aggregate function", name)
	case p.kind == 'f' && f.AggStar:
		return value{}, fail("42809", at, "%s(*) specified, but %s is not an aggregate function", name, name)
	case p.kind == 'f' && f.AggFilter != nil:
		return value{}, fail("42809", at, "FILTER specified, but %s is not an aggregate function", name)
	case p.kind == 'f' && len(f.AggOrder) > 0:
		return value{}, fail("42809", at, "ORDER BY specified, but %s is not an aggregate function", name)
	case p.kind != 'f' && f.Over != nil && f.AggDistinct:
		return value{}, fail("0A000", at, "DISTINCT is not implemented for window functions")
	case p.kind != 'f' && f.Over != nil && len(f.AggOrder) > 0:
		return value{}, fail("0A000", at, "aggregate ORDER BY is not implemented for window functions")
	case p.kind == 'w' && f.AggFilter != nil:
		return value{}, fail("0A000", at, "FILTER is not implemented for non-aggregate window functions")
	}
	declared := c.args
	concrete, result, solved := solve(declared, in, p.result)
	if !solved {
		if slices.ContainsFunc(in, func(t OID) bool { return t != oidUnknown }) && !slices.Contains(in, oidUnknown) {
			return value{}, a.functionMissing(name, in, false, at)
		}
		return value{}, fail("42804", at, "could not determine polymorphic type because input has type unknown")
	}
	var err error
	for i := range vs {
		if p.name == "pg_typeof" {
			break
		}
		if vs[i], err = a.coerce(vs[i], concrete[i], -1, implicit); err != nil {
			return value{}, err
		}
	}
	if c.order != nil { // by position, with defaults
		byPosition := make([]value, len(c.order))
		for i, o := range c.order {
			if o >= 0 {
				byPosition[i] = vs[o]
			} else {
				byPosition[i] = a.defaultArg(p, i)
			}
		}
		vs, concrete = byPosition, p.args
	}
	if p.kind == 'a' {
		v, err := a.aggregate(f, p, vs, result, at)
		if err == nil && f.Over == nil {
			a.aggregates[v.n] = true
		}
		return v, err
	}
	if p.kind == 'w' {
		return a.window(f, p, vs, result, at)
	}
	if p.set {
		if sets == 0 || a.clause != "" {
			if clause := a.plainClause(); clause != "" && !slices.Contains([]string{"GROUP BY", "HAVING", "window definitions"}, clause) {
				return value{}, fail("0A000", at, "set-returning functions are not allowed in %s", clause)
			}
			return value{}, fail("0A000", at, "a set-returning function is not supported inside an expression")
		}
		v, err := a.list(p, vs, c, result, at)
		if err != nil {
			return v, err
		}
		v.n = call("unnest", v.n)
		return v, nil
	}
	if v, ok, err := a.special(p, vs, result, at); ok || err != nil {
		return v, err
	}
	if k := typeByName[name]; k != nil && len(vs) == 1 && k.oid == result && pgfunc.Find(signature(p)) == nil {
		return a.coerce(vs[0], result, -1, explicit)
	}
	if strings.HasPrefix(name, "pg_") && pgfunc.Find(signature(p)) == nil { // of the catalog, which is not this package's
		out := a.leaveCall(n, f, vs)
		if p.result == oidVoid {
			out = voidValue(n)
		}
		return out, nil
	}
	return a.scalar(p, c, vs, concrete, result, at)
}

// voidValue is the value of a function that gives none.
func voidValue(n *pg_query.Node) value {
	n = &pg_query.Node{Node: &pg_query.Node_CoalesceExpr{CoalesceExpr: &pg_query.CoalesceExpr{Args: []*pg_query.Node{castTo(n, "text"), str("")}}}}
	return typed(n, oidVoid, -1)
}

// signature is a function's key in the list of functions.
func signature(p *proc) string { return p.name + "(" + shortNames(p.args) + ")" }

// scalar emits a plain function of the list.
func (a *analyzer) scalar(p *proc, c candidate, vs []value, concrete []OID, result OID, at int32) (value, error) {
	if p.variadic != oidAny {
		v, listed, ok := a.arrayCall(signature(p), vs, result, at)
		if ok {
			return v, nil
		}
		vs = listed
	}
	fn := pgfunc.Find(signature(p))
	if fn == nil {
		return value{}, fail("0A000", at, "function %s(%s) is not supported", p.name, typeNames(p.args))
	}
	if p.variadic != 0 && c.variadic > 0 { // the rest is an array
		k := len(p.args) - 1
		rest := slices.Clone(vs[k:])
		elem := p.variadic
		if elem == oidAny {
			return a.variadicAny(fn, vs[:k], rest, result, at)
		}
		if isArray(elem) {
			elem = elemOf(elem)
		} else if polymorphic(elem) {
			elem = rest[0].t
		}
		list := &pg_query.A_ArrayExpr{}
		for _, v := range rest {
			list.Elements = append(list.Elements, textual(v).n)
		}
		vs = append(slices.Clone(vs[:k]), typed(castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: list}}, physical(arrayOf(elem))), arrayOf(elem), at))
	} else if p.variadic == oidAny {
		return value{}, fail("0A000", at, "VARIADIC of function %s is not supported", p.name)
	}
	n, err := a.emit(fn, vs)
	if err != nil {
		return value{}, err
	}
	if fn.Ranged {
		n = a.ofText(n, result)
	} else if fn.SQL != "" {
		n = castNode(n, physical(result))
	}
	return typed(n, result, at), nil
}

// variadicAny gives a function of VARIADIC "any" the texts of its arguments.
func (a *analyzer) variadicAny(fn *pgfunc.Function, vs, rest []value, result OID, at int32) (value, error) {
	list := &pg_query.A_ArrayExpr{}
	for _, v := range rest {
		v, err := a.settled(v)
		if err != nil {
			return v, err
		}
		w := v
		if fn.JSON {
			if w, err = a.toJSON(v, at); err != nil {
				return w, err
			}
			w.n = castTo(w.n, "text")
		} else if w, err = a.convert(v, oidText, explicit); err != nil {
			return w, err
		} else if v.t == oidBool {
			w.n = when(copyOf(v.n), str("t"), when(not(copyOf(v.n)), str("f"), castTo(null(), "text")))
		}
		list.Elements = append(list.Elements, w.n)
	}
	arr := castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: list}}, physical(oidTextArray))
	n, err := a.emit(fn, append(slices.Clone(vs), typed(arr, oidTextArray, at)))
	return typed(n, result, at), err
}

func (a *analyzer) functionMissing(name string, in []OID, ambiguous bool, at int32) error {
	if ambiguous {
		e := fail("42725", at, "function %s(%s) is not unique", name, typeNames(in))
		e.Hint = "Could not choose a best candidate function. You might need to add explicit type casts."
		return e
	}
	e := fail("42883", at, "function %s(%s) does not exist", name, typeNames(in))
	e.Hint = "No function matches the given name and argument types. You might need to add explicit type casts."
	return e
}

// resultIfCertain is the type of a function all of whose overloads give one type, 0 where they do not.
func (a *analyzer) resultIfCertain(name string) OID {
	t := OID(0)
	for _, p := range procs[name] {
		if p.set || polymorphic(p.result) || t != 0 && p.result != t {
			return 0
		}
		t = p.result
	}
	if t == oidText || t == oidBool {
		return t
	}
	return 0
}

// defaultArg is the default of parameter i.
func (a *analyzer) defaultArg(p *proc, i int) value {
	t := p.args[i]
	zero := map[OID]string{oidInt4: "0", oidFloat8: "0", oidBool: "false", oidText: "", oidJSONB: "{}"}
	s := zero[t]
	if p.name == "jsonb_set" || p.name == "jsonb_set_lax" {
		s = map[OID]string{oidBool: "true", oidText: "use_json_null"}[t]
	}
	if p.name == "normalize" || p.name == "is_normalized" {
		s = "NFC"
	}
	v, err := a.literal(s, t, -1, -1)
	if err != nil {
		return typed(castNode(null(), physical(t)), t, -1)
	}
	return v
}

// emit writes a function of the list over arguments.
func (a *analyzer) emit(fn *pgfunc.Function, vs []value) (*pg_query.Node, error) {
	args := make([]*pg_query.Node, 0, len(vs)+1)
	keys := false
	if slices.ContainsFunc(vs, func(v value) bool { return v.t == arrayOf(oidNumeric) }) {
		fn, keys = fn.OverNumerics()
	}
	if fn.Settings {
		args = append(args, castTo(str(a.env.settings()), "text"))
	}
	for _, v := range vs {
		if fn.Ranged {
			v.n = a.plainText(v)
		}
		arg := textual(v).n
		if keys && v.t == oidNumeric {
			arg = call("__numeric_key", arg)
		} else if keys && v.t == arrayOf(oidNumeric) {
			arg = call("__numeric_array_key", arg)
		}
		args = append(args, arg)
	}
	if fn.Ranged {
		args = append(args, rangeName(vs))
	}
	if fn.SQL == "" {
		return call(fn.Name, args...), nil
	}
	tree, err := fn.Template()
	if err != nil {
		return nil, err
	}
	n := copyOf(tree)
	used := map[int32]bool{}
	replaceParams(n, func(i int32) *pg_query.Node {
		arg := args[i-1]
		if used[i] {
			arg = copyOf(arg)
		}
		used[i] = true
		return arg
	})
	return n, nil
}

// rowCall is a function of a row: those that make JSON of it, count and the tests for NULL.
func (a *analyzer) rowCall(n *pg_query.Node, f *pg_query.FuncCall, name string, vs []value, at int32) (value, error) {
	switch name {
	case "row_to_json", "to_json", "to_jsonb":
		v, err := a.toJSON(vs[0], at)
		if err != nil {
			return v, err
		}
		if name == "to_jsonb" {
			return a.convert(v, oidJSONB, explicit)
		}
		return v, nil
	case "json_agg", "jsonb_agg":
		v, err := a.toJSON(vs[0], at)
		if err != nil {
			return v, err
		}
		p := procs[name][0]
		a.structured = true
		defer func() { a.structured = false }()
		return a.aggregate(f, p, []value{v}, p.result, at)
	case "count":
		one := typed(castTo(str("1"), "int4"), oidInt4, at)
		p := procs["count"][0]
		for _, c := range procs["count"] {
			if len(c.args) == 1 {
				p = c
			}
		}
		if f.AggDistinct {
			break
		}
		return a.aggregate(f, p, []value{one}, oidInt8, at)
	}
	return value{}, fail("0A000", at, "function %s of a row is not supported", name)
}

// toJSON is a value as json.
func (a *analyzer) toJSON(v value, at int32) (value, error) {
	if v.t == oidRecord {
		keys, vals := &pg_query.A_ArrayExpr{}, &pg_query.A_ArrayExpr{}
		names := a.rowNames[v.n]
		for i, x := range v.row {
			k := "f" + itoa(i+1)
			if names != nil {
				k = names[i].name
			}
			x, err := a.settled(x)
			if err != nil {
				return x, err
			}
			j, err := a.toJSON(x, at)
			if err != nil {
				return j, err
			}
			keys.Elements = append(keys.Elements, castTo(str(k), "text"))
			vals.Elements = append(vals.Elements, castTo(j.n, "text"))
		}
		list := func(x *pg_query.A_ArrayExpr) *pg_query.Node {
			return castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: x}}, physical(oidTextArray))
		}
		return typed(castTo(call("__row_to_json", list(keys), list(vals)), "json"), oidJSON, at), nil
	}
	v, err := a.settled(v)
	if err != nil {
		return v, err
	}
	if v.t == oidJSON {
		return v, nil
	}
	v = textual(v)
	return typed(castTo(call("__to_json", castTo(str(a.env.settings()), "text"), castTo(str(shortName(v.t)), "text"), v.n), "json"), oidJSON, at), nil
}

// special are functions whose emission depends on more than their signature.
func (a *analyzer) special(p *proc, vs []value, result OID, at int32) (v value, ok bool, err error) {
	one := func() value { return vs[0] }
	switch sig := signature(p); sig {
	case "pg_typeof(any)":
		return typed(castTo(str(typeName(vs[0].t)), "text"), oidRegtype, at), true, nil
	case "random()":
		if a.env.Random == "" {
			break
		}
		return typed(call("__random", castTo(str(a.env.Random), "text")), oidFloat8, at), true, nil
	case "setseed(float8)":
		if a.env.Random == "" {
			break
		}
		return typed(call("__setseed", castTo(str(a.env.Random), "text"), vs[0].n), oidVoid, at), true, nil
	case "current_database()":
		return typed(castTo(str(a.env.Database), "text"), oidName, at), true, nil
	case "pg_client_encoding()":
		return typed(castTo(str(a.env.Encoding), "text"), oidName, at), true, nil
	case "current_schema()":
		return typed(castTo(str("public"), "text"), oidName, at), true, nil
	case "current_user()":
		return typed(castTo(str(a.env.Role), "text"), oidName, at), true, nil
	case "session_user()":
		return typed(castTo(str(a.env.SessionRole), "text"), oidName, at), true, nil
	case "to_json(anyelement)":
		v, err = a.toJSON(vs[0], at)
		return v, true, err
	case "to_jsonb(anyelement)":
		if v, err = a.toJSON(vs[0], at); err == nil {
			v, err = a.convert(v, oidJSONB, explicit)
		}
		return v, true, err
	case "array_to_json(anyarray)":
		v, err = a.toJSON(vs[0], at)
		return v, true, err
	case "abs(numeric)":
		if one().dec {
			v = one()
			v.n, v.mod, v.at = castTo(call("abs", v.n), "numeric", v.prec, v.scale), -1, at
			return v, true, nil
		}
	case "round(numeric,int4)", "round(numeric)":
		n := 0
		isConst := true
		if len(vs) == 2 {
			n, isConst = intConst(vs[1].n)
		}
		if one().dec && isConst && n >= 0 && n <= one().scale {
			v = one()
			prec := min(maxDecimal, v.prec-v.scale+n+1)
			v.n, v.prec, v.scale, v.mod, v.at = castTo(call("round", v.n, integer(int64(n))), "numeric", prec, n), prec, n, -1, at
			return v, true, nil
		}
	}
	return v, false, nil
}

// intConst is the value of a constant integer.
func intConst(n *pg_query.Node) (int, bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	switch v := n.GetAConst().GetVal().(type) {
	case *pg_query.A_Const_Ival:
		return int(v.Ival.GetIval()), true
	case *pg_query.A_Const_Sval:
		s, neg := strings.CutPrefix(v.Sval.GetSval(), "-")
		if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
			return 0, false
		}
		n := 0
		for _, c := range s {
			n = n*10 + int(c-'0')
		}
		if neg {
			n = -n
		}
		return n, true
	}
	return 0, false
}
