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
	left := location(e.Lexpr)
	v, err := a.operation(n, e, sc)
	if left >= 0 && left < v.at { // PostgreSQL's place of an operation is where its left operand begins
		v.at = left
	}
	return v, err
}

func (a *analyzer) operation(n *pg_query.Node, e *pg_query.A_Expr, sc *scope) (value, error) {
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
	if hasDimensions(l.t) || hasDimensions(r.t) {
		return a.dimensions(l), a.dimensions(r), result, nil
	}
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
	if hasDimensions(t) {
		return pgfunc.ComparesDimensions(shortName(elemOf(t)))
	}
	if e := elemOf(t); e != 0 {
		return isInt(e) || isFloat(e) || e == oidNumeric || isString(e) && e != oidBPChar || e == oidBool || isMoment(e) || e == oidTime || e == oidUUID || e == oidInterval
	}
	switch t {
	case oidBool, oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidText, oidVarchar, oidBPChar, oidName, oidChar, oidBytea, oidUUID,
		oidDate, oidTime, oidTimestamp, oidTimestampTZ, oidInterval, oidJSONB, oidOid, oidInet, oidCidr, oidTimeTZ, oidBit, oidVarbit, oidMacaddr, oidMacaddr8:
		return true
	}
	return isRange(t) || isMultirange(t)
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
				return decimalValue(castTo(op(name, widened(l, r, prec), r.n), "numeric", prec, scale), prec, scale, at), true
			}
		case "*":
			if prec := l.prec + r.prec; prec <= maxDecimal && l.scale+r.scale <= prec {
				return decimalValue(castTo(op(name, widened(l, r, prec), r.n), "numeric", prec, l.scale+r.scale), prec, l.scale+r.scale, at), true
			}
		}
	}
	return value{}, false
}

// shortDecimal is the most digits of a DECIMAL of eight bytes.
const shortDecimal = 18

// widened is l for an operator with r whose result has prec digits. DuckDB computes with eight bytes, and refuses what does not fit
// them, unless one side has more.
func widened(l, r value, prec int) *pg_query.Node {
	if prec <= shortDecimal || l.prec > shortDecimal || r.prec > shortDecimal {
		return l.n
	}
	return castTo(l.n, "numeric", shortDecimal+1, l.scale)
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
	v, vs, ok := a.arrayCall(sig, vs, result, at)
	if ok {
		return v, nil
	}
	fn := pgfunc.Find(sig)
	if fn == nil {
		return value{}, fail("0A000", at, "%s is not supported", what)
	}
	n, err := a.emit(fn, vs)
	if err != nil {
		return value{}, err
	}
	if fn.Ranged {
		n = a.ofText(n, result)
	} else if fn.SQL != "" { // or DuckDB would give a constant NULL a type of its own
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
