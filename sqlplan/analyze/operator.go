package analyze

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

func operatorName(l []*pg_query.Node) (string, bool) {
	if len(l) == 2 && l[0].GetString_().GetSval() == "pg_catalog" {
		l = l[1:]
	}
	if len(l) != 1 {
		return "", false
	}
	return l[0].GetString_().GetSval(), true
}

func (a *analyzer) aExpr(n *pg_query.Node, e *pg_query.A_Expr, sc *scope) (value, error) {
	name, ok := operatorName(e.Name)
	at := e.Location
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		if s := e.Rexpr.GetSubLink(); s != nil && e.Lexpr.GetRowExpr() != nil && s.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK {
			return value{}, fail("0A000", at, "comparing a row with a subquery is not supported")
		}
		var l value
		var err error
		if e.Lexpr != nil {
			if l, err = a.expr(e.Lexpr, sc); err != nil {
				return l, err
			}
		}
		r, err := a.expr(e.Rexpr, sc)
		if err != nil {
			return r, err
		}
		if l.row != nil && r.row != nil && ok {
			return a.rowCompare(name, l, r, at)
		}
		if !ok || r.t == 0 || e.Lexpr != nil && l.t == 0 {
			return a.leave(n, e, l, r, name), nil
		}
		if e.Lexpr == nil {
			return a.prefix(name, r, at)
		}
		return a.binary(name, l, r, at)
	case pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE, pg_query.A_Expr_Kind_AEXPR_SIMILAR:
		return a.like(n, e, sc, name)
	case pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		l, err := a.expr(e.Lexpr, sc)
		if err != nil {
			return l, err
		}
		r, err := a.expr(e.Rexpr, sc)
		if err != nil {
			return r, err
		}
		if l.t == 0 || r.t == 0 || l.row != nil || r.row != nil {
			if l.row != nil || r.row != nil {
				return l, fail("0A000", at, "IS DISTINCT FROM of rows is not supported")
			}
			e.Lexpr, e.Rexpr = l.n, r.n
			return typed(n, oidBool, at), nil
		}
		l, r, _, err = a.comparable("=", l, r, at)
		if err != nil {
			return l, err
		}
		e.Lexpr, e.Rexpr = key(l), key(r)
		return typed(n, oidBool, at), nil
	case pg_query.A_Expr_Kind_AEXPR_NULLIF:
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
			return untypedValue(n), nil
		}
		if l.unknown() && r.unknown() {
			if l, err = a.settled(l); err != nil {
				return l, err
			}
		}
		x, y, _, err := a.comparable("=", l, r, at)
		if err != nil {
			return l, err
		}
		if l.unknown() {
			l = x
		}
		first := l
		out := first
		out.n = when(op("=", key(x), key(y)), castNode(null(), a.duckTypeOf(first)), copyOf(first.n))
		out.at = at
		return out, nil
	case pg_query.A_Expr_Kind_AEXPR_IN:
		return a.in(n, e, sc, name)
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return a.between(n, e, sc)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		return a.anyArray(n, e, sc, name)
	}
	a.untyped = true
	return untypedValue(n), nil
}

// duckTypeOf is the type that DuckDB keeps v in.
func (a *analyzer) duckTypeOf(v value) *pg_query.TypeName {
	if v.t == oidNumeric && v.dec {
		return duckTypeName("numeric", v.prec, v.scale)
	}
	return physical(v.t)
}

var booleanOperators = []string{"=", "<>", "!=", "<", ">", "<=", ">=", "~", "~*", "!~", "!~*", "~~", "!~~", "~~*", "!~~*"}

// leave puts analyzed operands back into an operator that is left to the rules of package rewrite.
func (a *analyzer) leave(n *pg_query.Node, e *pg_query.A_Expr, l, r value, name string) value {
	e.Lexpr, e.Rexpr = l.n, r.n
	// A literal beside what has no type stays as it was written: DuckDB decides what it is.
	for _, v := range []*value{&l, &r} {
		if v.lit != nil || v.null {
			side := &e.Lexpr
			if v == &r {
				side = &e.Rexpr
			}
			if v.lit != nil {
				*side = str(*v.lit)
			}
		}
	}
	a.untyped = true
	if slices.Contains(booleanOperators, name) {
		return typed(n, oidBool, e.Location)
	}
	return untypedValue(n)
}

func (a *analyzer) operatorMissing(name string, l, r OID, prefix, ambiguous bool, at int32) error {
	sig := typeName(l) + " " + name + " " + typeName(r)
	if prefix {
		sig = name + " " + typeName(r)
	}
	if ambiguous {
		e := fail("42725", at, "operator is not unique: %s", sig)
		e.Hint = "Could not choose a best candidate operator. You might need to add explicit type casts."
		return e
	}
	e := fail("42883", at, "operator does not exist: %s", sig)
	e.Hint = "No operator matches the given name and argument types. You might need to add explicit type casts."
	if prefix {
		e.Hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
	}
	return e
}

func (a *analyzer) prefix(name string, r value, at int32) (value, error) {
	found := findOperator(name, 0, r.t, true)
	if len(found) != 1 {
		return r, a.operatorMissing(name, 0, r.t, true, len(found) > 1, at)
	}
	t := found[0].args[0]
	if c, ok := r.n.GetTypeCast().GetArg().GetAConst().GetVal().(*pg_query.A_Const_Ival); ok && name == "-" && r.t == oidInt4 && r.lit == nil {
		return typed(castTo(str("-"+itoa(int(c.Ival.GetIval()))), "int4"), oidInt4, at), nil // PostgreSQL's parser does the same
	}
	if s, ok := r.n.GetTypeCast().GetArg().GetAConst().GetVal().(*pg_query.A_Const_Sval); ok && name == "-" && (r.t == oidInt8 || r.t == oidNumeric) && r.lit == nil && !strings.HasPrefix(s.Sval.GetSval(), "-") && strings.Trim(s.Sval.GetSval(), "0123456789.") == "" {
		out := r
		out.n, out.at = castNode(str("-"+s.Sval.GetSval()), r.n.GetTypeCast().TypeName), at
		if strings.Trim(s.Sval.GetSval(), "0.") == "" {
			return r, nil
		}
		return out, nil
	}
	r, err := a.coerce(r, t, -1, implicit)
	if err != nil {
		return r, err
	}
	out := typed(nil, found[0].op.result, at)
	switch {
	case name == "+":
		out = r
		return out, nil
	case name == "-" && (isInt(t) || isFloat(t) || t == oidNumeric && r.dec):
		out = r
		out.mod, out.at = -1, at
		if isFloat(t) {
			out.n = castTo(op("*", castTo(str("-1"), shortName(t)), r.n), shortName(t))
			return out, nil
		}
		out.n = op("-", nil, paren(r.n))
		return out, nil
	case name == "@" && isInt(t):
		out.n = castTo(call("abs", r.n), shortName(t))
		return out, nil
	}
	return a.byTable(name+" "+shortName(t), []value{r}, found[0].op.result, at, "operator "+name+" "+typeName(t))
}

// paren keeps the deparser from writing --1.
func paren(n *pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_CoalesceExpr{CoalesceExpr: &pg_query.CoalesceExpr{Args: []*pg_query.Node{n}}}}
}

func isComparison(name string) bool {
	switch name {
	case "=", "<>", "!=", "<", ">", "<=", ">=":
		return true
	}
	return false
}

// comparable resolves a comparison and gives operands that DuckDB compares, by way of key, as PostgreSQL does.
func (a *analyzer) comparable(name string, l, r value, at int32) (x, y value, result OID, err error) {
	found := findOperator(name, l.t, r.t, false)
	if len(found) != 1 {
		return l, r, 0, a.operatorMissing(name, l.t, r.t, false, len(found) > 1, at)
	}
	args := found[0].args
	lt, rt := args[0], args[1]
	if polymorphic(lt) || polymorphic(rt) {
		concrete, _, ok := solve(args, typesOf([]value{l, r}), found[0].op.result)
		if !ok {
			return l, r, 0, a.operatorMissing(name, l.t, r.t, false, false, at)
		}
		lt, rt = concrete[0], concrete[1]
	}
	if l, err = a.coerce(l, lt, -1, implicit); err != nil {
		return l, r, 0, err
	}
	if r, err = a.coerce(r, rt, -1, implicit); err != nil {
		return l, r, 0, err
	}
	result = found[0].op.result
	// Comparisons across types: both sides become one that holds all values of both.
	switch {
	case lt == rt && lt == oidNumeric:
		whole := max(l.prec-l.scale, r.prec-r.scale)
		if !(l.dec && r.dec && whole+max(l.scale, r.scale) <= maxDecimal) {
			l, r = textual(l), textual(r)
		}
	case lt == rt:
	case isInt(lt) && isInt(rt):
		wide := lt
		if intDigits(rt) > intDigits(lt) {
			wide = rt
		}
		if l, err = a.convert(l, wide, implicit); err == nil {
			r, err = a.convert(r, wide, implicit)
		}
	case isFloat(lt) && isFloat(rt):
		if l, err = a.convert(l, oidFloat8, implicit); err == nil {
			r, err = a.convert(r, oidFloat8, implicit)
		}
	case isMoment(lt) && isMoment(rt):
		wide := oidTimestamp
		if lt == oidTimestampTZ || rt == oidTimestampTZ {
			wide = oidTimestampTZ
		}
		if l, err = a.convert(l, wide, implicit); err == nil {
			r, err = a.convert(r, wide, implicit)
		}
	case isString(lt) && isString(rt):
	default:
		return l, r, 0, fail("0A000", at, "operator %s of %s and %s is not supported", name, typeName(lt), typeName(rt))
	}
	return l, r, result, err
}

func isMoment(t OID) bool { return t == oidDate || t == oidTimestamp || t == oidTimestampTZ }

// comparableTypes are those whose DuckDB values, or whose keys, compare as PostgreSQL's values do.
func comparableType(t OID) bool {
	if e := elemOf(t); e != 0 {
		return isInt(e) || isFloat(e) || isString(e) && e != oidBPChar || e == oidBool || isMoment(e) || e == oidTime || e == oidUUID || e == oidInterval
	}
	switch t {
	case oidBool, oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidText, oidVarchar, oidBPChar, oidName, oidChar, oidBytea, oidUUID,
		oidDate, oidTime, oidTimestamp, oidTimestampTZ, oidInterval, oidJSONB, oidOid, oidInet, oidCidr, oidTimeTZ, oidBit, oidVarbit:
		return true
	}
	return false
}

// binary is l op r.
func (a *analyzer) binary(name string, l, r value, at int32) (value, error) {
	if l.t == oidRecord || r.t == oidRecord {
		if l.row != nil && r.row != nil {
			return a.rowCompare(name, l, r, at)
		}
		return l, fail("0A000", at, "operator %s of rows is not supported", name)
	}
	if isComparison(name) {
		if name == "!=" {
			name = "<>"
		}
		x, y, result, err := a.comparable(name, l, r, at)
		if err != nil {
			return l, err
		}
		if !comparableType(x.t) || !comparableType(y.t) {
			return l, fail("0A000", at, "operator %s of %s is not supported", name, typeName(x.t))
		}
		return typed(op(name, key(x), key(y)), result, at), nil
	}
	found := findOperator(name, l.t, r.t, false)
	if len(found) != 1 {
		return l, a.operatorMissing(name, l.t, r.t, false, len(found) > 1, at)
	}
	args, result := found[0].args, found[0].op.result
	declared := args
	if slices.ContainsFunc(args, polymorphic) {
		concrete, out, ok := solve(args, typesOf([]value{l, r}), result)
		if !ok {
			return l, a.operatorMissing(name, l.t, r.t, false, false, at)
		}
		args, result = concrete, out
	}
	var err error
	if l, err = a.coerce(l, args[0], -1, implicit); err != nil {
		return l, err
	}
	if r, err = a.coerce(r, args[1], -1, implicit); err != nil {
		return l, err
	}
	if v, ok := a.arithmetic(name, l, r, result, at); ok {
		return v, nil
	}
	sig := shortName(declared[0]) + " " + name + " " + shortName(declared[1])
	if declared[0] == oidNumeric || declared[1] == oidNumeric {
		l, r = textual(l), textual(r)
	}
	return a.byTable(sig, []value{l, r}, result, at, "operator "+name+" of "+typeName(args[0])+" and "+typeName(args[1]))
}

// arithmetic is what DuckDB's own operators compute as PostgreSQL's do.
func (a *analyzer) arithmetic(name string, l, r value, result OID, at int32) (value, bool) {
	switch {
	case isInt(l.t) && isInt(r.t) && isInt(result):
		t := shortName(result)
		x, y := l.n, r.n
		if l.t != result {
			x = castTo(x, t)
		}
		if r.t != result {
			y = castTo(y, t)
		}
		switch name {
		case "+", "-", "*":
			return typed(op(name, x, y), result, at), true
		case "/":
			return typed(castTo(call("divide", x, guarded(y)), t), result, at), true
		case "%":
			return typed(castTo(call("mod", x, guarded(y)), t), result, at), true
		}
	case l.t == oidNumeric && r.t == oidNumeric && l.dec && r.dec:
		switch name {
		case "+", "-":
			scale := max(l.scale, r.scale)
			if prec := max(l.prec-l.scale, r.prec-r.scale) + scale + 1; prec <= maxDecimal {
				return decimalValue(castTo(op(name, l.n, r.n), "numeric", prec, scale), prec, scale, at), true
			}
		case "*":
			if prec := l.prec + r.prec; prec <= maxDecimal && l.scale+r.scale <= prec {
				return decimalValue(castTo(op(name, l.n, r.n), "numeric", prec, l.scale+r.scale), prec, l.scale+r.scale, at), true
			}
		}
	}
	return value{}, false
}

// guarded is a divisor that raises PostgreSQL's error where it is zero.
func guarded(n *pg_query.Node) *pg_query.Node {
	if c := n.GetTypeCast().GetArg().GetAConst(); c != nil && !c.Isnull {
		if i, ok := c.Val.(*pg_query.A_Const_Ival); ok && i.Ival.GetIval() != 0 {
			return n
		}
	}
	return when(op("=", n, integer(0)), call("error", str("tilehouse 22012: division by zero")), copyOf(n))
}

// byTable emits what the list of functions has for a signature.
func (a *analyzer) byTable(sig string, vs []value, result OID, at int32, what string) (value, error) {
	fn := pgfunc.Find(sig)
	if fn == nil {
		return value{}, fail("0A000", at, "%s is not supported", what)
	}
	n, err := a.emit(fn, vs)
	if err != nil {
		return value{}, err
	}
	if fn.SQL != "" { // or DuckDB would give a constant NULL a type of its own
		n = castNode(n, physical(result))
	}
	return typed(n, result, at), nil
}

func (a *analyzer) like(n *pg_query.Node, e *pg_query.A_Expr, sc *scope, name string) (value, error) {
	at := e.Location
	l, err := a.expr(e.Lexpr, sc)
	if err != nil {
		return l, err
	}
	pattern, escape := e.Rexpr, (*pg_query.Node)(nil)
	similar := e.Kind == pg_query.A_Expr_Kind_AEXPR_SIMILAR
	if f := e.Rexpr.GetFuncCall(); f != nil && len(f.Funcname) > 0 {
		switch f.Funcname[len(f.Funcname)-1].GetString_().GetSval() {
		case "like_escape", "similar_to_escape":
			pattern = f.Args[0]
			if len(f.Args) > 1 {
				escape = f.Args[1]
			}
		}
	}
	r, err := a.expr(pattern, sc)
	if err != nil {
		return r, err
	}
	if l.t == 0 || r.t == 0 {
		e.Lexpr = l.n
		if r.t == 0 && pattern == e.Rexpr {
			e.Rexpr = r.n
		}
		a.untyped = true
		return typed(n, oidBool, at), nil
	}
	opName := name
	if similar {
		opName = map[string]string{"~": "~", "!~": "!~"}[name]
	}
	found := findOperator(opName, l.t, r.t, false)
	if len(found) != 1 {
		return l, a.operatorMissing(opName, l.t, r.t, false, len(found) > 1, at)
	}
	if l, err = a.coerce(l, found[0].args[0], -1, implicit); err != nil {
		return l, err
	}
	if r, err = a.coerce(r, found[0].args[1], -1, implicit); err != nil {
		return r, err
	}
	x, y := l.n, r.n
	if l.t == oidBytea {
		return l, fail("0A000", at, "operator %s of bytea is not supported", name)
	}
	if l.t == oidName || l.t == oidBPChar || isString(l.t) {
		esc := str(`\`)
		if escape != nil {
			v, err := a.expr(escape, sc)
			if err != nil {
				return v, err
			}
			if v, err = a.coerce(v, oidText, -1, implicit); err != nil {
				return v, err
			}
			esc = v.n
		}
		var out *pg_query.Node
		negative := strings.HasPrefix(name, "!")
		switch {
		case similar:
			out = call("__similar", castTo(x, "text"), castTo(y, "text"), castTo(esc, "text"))
		default:
			constPattern, isConst := y.GetTypeCast().GetArg().GetAConst().GetVal().(*pg_query.A_Const_Sval)
			plain := isConst && escape == nil && !strings.Contains(constPattern.Sval.GetSval(), `\`)
			insensitive := strings.HasSuffix(name, "*")
			switch {
			case plain && !insensitive:
				out = &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_LIKE,
					Name: []*pg_query.Node{pg_query.MakeStrNode("~~")}, Lexpr: x, Rexpr: str(constPattern.Sval.GetSval())}}}
			case insensitive:
				out = call("__ilike", x, y, castTo(esc, "text"))
			default:
				out = call("__like", x, y, castTo(esc, "text"))
			}
		}
		if negative {
			out = not(out)
		}
		return typed(out, oidBool, at), nil
	}
	return l, fail("0A000", at, "operator %s of %s is not supported", name, typeName(l.t))
}

// in is x IN (list).
func (a *analyzer) in(n *pg_query.Node, e *pg_query.A_Expr, sc *scope, name string) (value, error) {
	at := e.Location
	l, err := a.expr(e.Lexpr, sc)
	if err != nil {
		return l, err
	}
	list := e.Rexpr.GetList().GetItems()
	vs, err := a.exprs(list, sc)
	if err != nil {
		return l, err
	}
	if l.t == 0 || anyUntyped(vs) {
		e.Lexpr = l.n
		for i, v := range vs {
			if v.lit != nil {
				list[i] = str(*v.lit)
			} else {
				list[i] = v.n
			}
		}
		a.untyped = true
		return typed(n, oidBool, at), nil
	}
	join := pg_query.BoolExprType_OR_EXPR
	if name == "<>" {
		join = pg_query.BoolExprType_AND_EXPR
	}
	rows := l.row != nil || slices.ContainsFunc(vs, func(v value) bool { return v.row != nil })
	t, _, ok := commonType(append(typesOf(vs), l.t))
	if !rows && ok && comparableType(t) && t != oidRecord {
		all := append([]value{l}, vs...)
		same, err := a.alike(all, t, implicit)
		if err != nil {
			return l, err
		}
		e.Lexpr = key(same[0])
		for i := range vs {
			list[i] = key(same[i+1])
		}
		return typed(n, oidBool, at), nil
	}
	var parts []*pg_query.Node
	for _, v := range vs {
		x := l
		x.n = copyOf(l.n)
		p, err := a.binary(name, x, v, at)
		if err != nil {
			return p, err
		}
		parts = append(parts, p.n)
	}
	if len(parts) == 1 {
		return typed(parts[0], oidBool, at), nil
	}
	return typed(logic(join, parts...), oidBool, at), nil
}

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
	if l, err = a.coerce(l, found[0].args[0], -1, implicit); err != nil {
		return l, err
	}
	want := found[0].args[1]
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
		return value{}, fail("0A000", at, "arrays of more than one dimension are not supported")
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
		if i > 0 || len(x.Indirection) > 1 {
			return v, fail("0A000", at, "arrays of more than one dimension are not supported")
		}
		if !ix.IsSlice {
			out := typed(call("__array_get", v.n, upper), elemOf(v.t), at)
			out.n = castNode(call("list_extract", v.n, when(op(">=", upper, integer(1)), copyOf(upper), castTo(null(), "int4"))), physical(elemOf(v.t)))
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
				return value{}, fail("0A000", at, "arrays of more than one dimension are not supported")
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
