package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

func (a *analyzer) between(n *pg_query.Node, e *pg_query.A_Expr, sc *scope) (value, error) {
	at := e.Location
	x, err := a.expr(e.Lexpr, sc)
	if err != nil {
		return x, err
	}
	items := e.Rexpr.GetList().GetItems()
	bounds, err := a.exprs(items, sc)
	if err != nil {
		return x, err
	}
	if x.t == 0 || anyUntyped(bounds) {
		e.Lexpr, items[0], items[1] = x.n, bounds[0].n, bounds[1].n
		for i, v := range bounds {
			if v.lit != nil {
				items[i] = str(*v.lit)
			}
		}
		a.untyped = true
		return typed(n, oidBool, at), nil
	}
	compare := func(name string, b value) (*pg_query.Node, error) {
		y := x
		y.n, b.n = copyOf(x.n), copyOf(b.n)
		v, err := a.binary(name, y, b, at)
		return v.n, err
	}
	pair := func(low, high value) (*pg_query.Node, error) {
		g, err := compare(">=", low)
		if err != nil {
			return nil, err
		}
		l, err := compare("<=", high)
		if err != nil {
			return nil, err
		}
		return logic(pg_query.BoolExprType_AND_EXPR, g, l), nil
	}
	out, err := pair(bounds[0], bounds[1])
	if err != nil {
		return x, err
	}
	if e.Kind == pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM || e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM {
		other, err := pair(bounds[1], bounds[0])
		if err != nil {
			return x, err
		}
		out = logic(pg_query.BoolExprType_OR_EXPR, out, other)
	}
	if e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN || e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM {
		out = not(out)
	}
	return typed(out, oidBool, at), nil
}

// anyArray is x op ANY (array) and x op ALL (array).
func (a *analyzer) anyArray(n *pg_query.Node, e *pg_query.A_Expr, sc *scope, name string) (value, error) {
	at := e.Location
	l, err := a.expr(e.Lexpr, sc)
	if err != nil {
		return l, err
	}
	r, err := a.expr(e.Rexpr, sc)
	if err != nil {
		return r, err
	}
	if l.t == 0 || r.t == 0 {
		e.Lexpr, e.Rexpr = l.n, r.n
		a.untyped = true
		return typed(n, oidBool, at), nil
	}
	word := "ANY"
	if e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL {
		word = "ALL"
	}
	r = a.flat(r)
	elem := elemOf(r.t)
	if r.unknown() {
		elem = oidUnknown
	} else if elem == 0 {
		return r, fail("42809", at, "op ANY/ALL (array) requires array on right side")
	}
	found := findOperator(name, l.t, elem, false)
	if len(found) != 1 {
		return l, a.operatorMissing(name, l.t, elem, false, len(found) > 1, at)
	}
	if found[0].op.result != oidBool {
		return l, fail("42809", at, "op ANY/ALL (array) requires operator to yield boolean")
	}
	args := found[0].args
	if concrete, _, ok := solve(args, []OID{l.t, elem}, oidBool); ok && !isArray(l.t) {
		args = concrete
	}
	if l, err = a.coerce(l, args[0], -1, implicit); err != nil {
		return l, err
	}
	want := args[1]
	if polymorphic(want) {
		return l, fail("0A000", at, "operator %s %s of arrays is not supported", name, word)
	}
	if r.unknown() {
		r, err = a.known(r, arrayOf(want), -1)
	} else if isInt(elem) && isInt(want) || elem == want {
	} else {
		r, err = a.convertArray(r, arrayOf(want))
	}
	if err != nil || r.t == 0 {
		return typed(n, oidBool, at), err
	}
	l = textual(l)
	if isInt(l.t) && elemOf(r.t) != l.t {
		l.n, r.n = castTo(l.n, "int8"), castNode(r.n, physical(arrayOf(oidInt8)))
		l.t, r.t = oidInt8, arrayOf(oidInt8)
	} else if isMoment(l.t) && elemOf(r.t) != l.t {
		return l, fail("0A000", at, "operator %s %s of %s and %s is not supported", name, word, typeName(l.t), typeName(r.t))
	}
	switch name {
	case "=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*":
		if !comparableType(l.t) {
			return l, fail("0A000", at, "operator %s %s of %s is not supported", name, word, typeName(l.t))
		}
		if lt := found[0].args[0]; lt == oidBPChar || lt == oidTimeTZ || lt == oidInet {
			return l, fail("0A000", at, "operator %s %s of %s is not supported", name, word, typeName(lt))
		}
		if isRange(l.t) || isMultirange(l.t) {
			if !isComparison(name) {
				return l, fail("0A000", at, "operator %s %s of %s is not supported", name, word, typeName(l.t))
			}
			l.n, r.n = key(l), call("__range_keys", castTo(str(shortName(l.t)), "text"), r.n)
		}
		return typed(call("__any_all", castTo(str(name+" "+word+" "+shortName(l.t)), "text"), l.n, r.n), oidBool, at), nil
	}
	return l, fail("0A000", at, "operator %s %s is not supported", name, word)
}

// arrayExpr is ARRAY[…]; want is the array type that it is cast to, 0: none.
func (a *analyzer) arrayExpr(n *pg_query.Node, x *pg_query.A_ArrayExpr, sc *scope, want OID) (value, error) {
	at := x.Location
	nested := len(x.Elements) > 0 && x.Elements[0].GetAArrayExpr() != nil
	var vs []value
	for _, e := range x.Elements {
		var v value
		var err error
		if inner := e.GetAArrayExpr(); inner != nil {
			v, err = a.arrayExpr(e, inner, sc, want)
		} else {
			v, err = a.expr(e, sc)
		}
		if err != nil {
			return v, err
		}
		vs = append(vs, v)
	}
	if anyUntyped(vs) {
		x.Elements = nodesOf(vs)
		for i, v := range vs {
			if v.lit != nil {
				x.Elements[i] = str(*v.lit)
			}
		}
		a.untyped = true
		return untypedValue(n), nil
	}
	if nested || slices.ContainsFunc(vs, func(v value) bool { return isArray(v.t) }) {
		return a.nested(vs, want, at)
	}
	if len(vs) == 0 {
		if want == 0 {
			e := fail("42P18", at, "cannot determine type of empty array")
			e.Hint = "Explicitly cast to the desired type, for example ARRAY[]::integer[]."
			return value{}, e
		}
		return typed(castNode(n, physical(want)), want, at), nil
	}
	elem := OID(0)
	mod := int32(-1)
	if want != 0 {
		elem = elemOf(want)
		for i, v := range vs {
			if !v.unknown() && !canCoerce(v.t, elem, explicit) {
				return v, fail("42846", v.at, "cannot cast type %s to %s", typeName(v.t), typeName(elem))
			}
			var err error
			if vs[i], err = a.coerce(v, elem, -1, explicit); err != nil {
				return v, err
			}
		}
	} else {
		same, out, err := a.unify(vs, "ARRAY")
		if err != nil {
			return out, err
		}
		vs, elem = same, out.t
	}
	if arrayOf(elem) == 0 {
		return value{}, fail("42704", at, "could not find array type for data type %s", typeName(elem))
	}
	for i := range vs {
		vs[i] = textual(vs[i])
	}
	x.Elements = nodesOf(vs)
	out := typed(castNode(n, physical(arrayOf(elem))), arrayOf(elem), at)
	out.mod = mod
	return out, nil
}

// indirection is x[i], x[i:j] and (x).field.
func (a *analyzer) indirection(n *pg_query.Node, x *pg_query.A_Indirection, sc *scope) (value, error) {
	at := location(n)
	v, err := a.expr(x.Arg, sc)
	if err != nil {
		return v, err
	}
	x.Arg = v.n
	for i, ind := range x.Indirection {
		if ind.GetString_() != nil || ind.GetAStar() != nil {
			if v.t != 0 && v.t != oidRecord {
				return v, fail("42809", at, "column notation .%s applied to type %s, which is not a composite type", ind.GetString_().GetSval(), typeName(v.t))
			}
			a.untyped = true
			return untypedValue(n), nil
		}
		ix := ind.GetAIndices()
		index := func(e *pg_query.Node) (*pg_query.Node, error) {
			if e == nil {
				return nil, nil
			}
			w, err := a.expr(e, sc)
			if err != nil || w.t == 0 {
				return w.n, err
			}
			if !w.unknown() && !canCoerce(w.t, oidInt4, assignment) {
				return nil, fail("42804", w.at, "array subscript must have type integer")
			}
			if w, err = a.coerce(w, oidInt4, -1, assignment); err != nil {
				return nil, err
			}
			return w.n, nil
		}
		if v.t == oidJSONB && !ix.IsSlice {
			w, err := a.expr(ix.Uidx, sc)
			if err != nil {
				return w, err
			}
			if w.unknown() {
				if w, err = a.coerce(w, oidText, -1, implicit); err != nil {
					return w, err
				}
			}
			if v, err = a.binary("->", v, w, at); err != nil {
				return v, err
			}
			continue
		}
		if isArray(v.t) && (hasDimensions(v.t) || len(x.Indirection) > i+1 && x.Indirection[i+1].GetAIndices() != nil) {
			return a.allSubscripts(x.Indirection[i:], v, index, at)
		}
		lower, err := index(ix.Lidx)
		if err != nil {
			return v, err
		}
		upper, err := index(ix.Uidx)
		if err != nil {
			return v, err
		}
		if v.t == 0 {
			ix.Lidx, ix.Uidx = lower, upper
			a.untyped = true
			return untypedValue(n), nil
		}
		if !isArray(v.t) {
			return v, fail("42804", at, "cannot subscript type %s because it does not support subscripting", typeName(v.t))
		}
		if !ix.IsSlice {
			out := typed(call("__array_get", v.n, upper), elemOf(v.t), at)
			out.n = castNode(call("list_extract", v.n, when(op(">=", upper, integer(1)), copyOf(upper), castTo(null(), "int4"))), physical(elemOf(v.t)))
			out.mod = v.mod
			v = out
			continue
		}
		if lower == nil {
			lower = integer(1)
		}
		if upper == nil {
			upper = call("len", copyOf(v.n))
		}
		// DuckDB counts negative places from the end, and gives an empty list for none.
		low := call("greatest", lower, integer(1))
		anyNull := logic(pg_query.BoolExprType_OR_EXPR, isNull(copyOf(lower)), isNull(copyOf(upper)))
		empty := castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{}}}, physical(v.t))
		slice := when(op("<", copyOf(upper), integer(1)), when(isNull(copyOf(v.n)), castNode(null(), physical(v.t)), empty), call("list_slice", copyOf(v.n), low, copyOf(upper)))
		v = typed(when(anyNull, castNode(null(), physical(v.t)), slice), v.t, at)
	}
	return v, nil
}

// allSubscripts are subscripts of an array in any number of dimensions.
func (a *analyzer) allSubscripts(l []*pg_query.Node, v value, index func(*pg_query.Node) (*pg_query.Node, error), at int32) (value, error) {
	slice := slices.ContainsFunc(l, func(n *pg_query.Node) bool { return n.GetAIndices().GetIsSlice() })
	var lower, upper []*pg_query.Node
	for _, ind := range l {
		ix := ind.GetAIndices()
		if ix == nil {
			return v, fail("0A000", at, "fields of elements of arrays are not supported")
		}
		low, err := index(ix.Lidx)
		if err != nil {
			return v, err
		}
		high, err := index(ix.Uidx)
		if err != nil {
			return v, err
		}
		if slice && !ix.IsSlice { // x[2] among slices is x[1:2]
			low = integer(1)
		}
		lower, upper = append(lower, low), append(upper, high)
	}
	return a.subscripts(v, lower, upper, slice, at), nil
}

// subLink is a subquery in an expression.
func (a *analyzer) subLink(n *pg_query.Node, s *pg_query.SubLink, sc *scope) (value, error) {
	at := s.Location
	if sub := s.Subselect.GetSelectStmt(); s.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK && sub.GetOp() == pg_query.SetOperation_SETOP_NONE && len(sub.GetTargetList()) == 0 && len(sub.GetValuesLists()) == 0 {
		sub.TargetList = []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(integer(1), 0)} // DuckDB has no SELECT of nothing
	}
	cols, err := a.query(s.Subselect, sc, false)
	if err != nil {
		return value{}, err
	}
	switch s.SubLinkType {
	case pg_query.SubLinkType_EXISTS_SUBLINK:
		return typed(n, oidBool, at), nil
	case pg_query.SubLinkType_EXPR_SUBLINK, pg_query.SubLinkType_ARRAY_SUBLINK:
		if cols == nil {
			a.untyped = true
			return untypedValue(n), nil
		}
		if len(cols) != 1 {
			return value{}, fail("42601", at, "subquery must return only one column")
		}
		c := cols[0]
		if s.SubLinkType == pg_query.SubLinkType_ARRAY_SUBLINK {
			if c.t == 0 {
				a.untyped = true
				return untypedValue(n), nil
			}
			if isArray(c.t) {
				if !hasDimensions(c.t) {
					cols[0].out = a.dimensions(c.value(columnNode("__s", "__c1"))).n
					s.Subselect = wrapQuery(s.Subselect, cols)
				}
				return typed(call("__dims_nest", n), Dimensional(c.t), at), nil
			}
			if c.dec {
				return typed(castNode(castNode(n, physical(arrayOf(oidNumeric))), physical(arrayOf(oidNumeric))), arrayOf(oidNumeric), at), nil
			}
			return typed(n, arrayOf(c.t), at), nil
		}
		return value{n: n, t: c.t, mod: c.mod, dec: c.dec, prec: c.prec, scale: c.scale, at: at}, nil
	case pg_query.SubLinkType_ANY_SUBLINK, pg_query.SubLinkType_ALL_SUBLINK:
		l, err := a.expr(s.Testexpr, sc)
		if err != nil {
			return l, err
		}
		s.Testexpr = l.n
		if cols == nil || l.t == 0 {
			a.untyped = true
			return typed(n, oidBool, at), nil
		}
		name := "="
		if len(s.OperName) > 0 {
			name, _ = operatorName(s.OperName)
		}
		left := []value{l}
		if l.row != nil {
			left = l.row
		}
		if len(left) < len(cols) {
			return l, fail("42601", at, "subquery has too many columns")
		}
		if len(left) > len(cols) {
			return l, fail("42601", at, "subquery has too few columns")
		}
		if len(left) > 1 && name != "=" && name != "<>" {
			return l, fail("0A000", at, "comparing rows with a subquery by %s is not supported", name)
		}
		changed := false
		for i := range left {
			if cols[i].t == 0 || left[i].t == 0 {
				a.untyped = true
				return typed(n, oidBool, at), nil
			}
			c := cols[i].value(columnNode("__s", "__c"+itoa(i+1)))
			x, y, _, err := a.comparable(name, left[i], c, at)
			if err != nil {
				return l, err
			}
			if !comparableType(x.t) {
				return l, fail("0A000", at, "operator %s of %s is not supported", name, typeName(x.t))
			}
			left[i].n, left[i].t = key(x), x.t
			cols[i].out = key(y)
			changed = changed || cols[i].out.GetColumnRef() == nil
		}
		if l.row == nil {
			s.Testexpr = left[0].n
		} else {
			s.Testexpr.GetRowExpr().Args = nodesOf(left)
		}
		if changed {
			s.Subselect = wrapQuery(s.Subselect, cols)
		}
		return typed(n, oidBool, at), nil
	}
	a.untyped = true
	return untypedValue(n), nil
}
