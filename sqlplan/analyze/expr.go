package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// expr analyzes an expression. What it cannot type is left, with its parts analyzed, for the rules of package rewrite.
func (a *analyzer) expr(n *pg_query.Node, sc *scope) (value, error) {
	if n == nil {
		return value{}, nil
	}
	at := location(n)
	if a.depth++; a.depth > maxDepth {
		return value{}, fail("54001", at, "stack depth limit exceeded")
	}
	defer func() { a.depth-- }()
	switch x := n.Node.(type) {
	case *pg_query.Node_AConst:
		return a.constant(x.AConst, at)
	case *pg_query.Node_ParamRef:
		return a.param(x.ParamRef), nil
	case *pg_query.Node_TypeCast:
		return a.typeCast(n, x.TypeCast, sc)
	case *pg_query.Node_ColumnRef:
		return a.columnRef(n, x.ColumnRef, sc)
	case *pg_query.Node_AExpr:
		return a.aExpr(n, x.AExpr, sc)
	case *pg_query.Node_BoolExpr:
		return a.boolExpr(n, x.BoolExpr, sc)
	case *pg_query.Node_NullTest:
		v, err := a.expr(x.NullTest.Arg, sc)
		if err != nil {
			return v, err
		}
		if v.row != nil {
			return a.rowIsNull(v, x.NullTest.Nulltesttype == pg_query.NullTestType_IS_NULL, at), nil
		}
		if v.unknown() && v.param > 0 && a.alone { // IS NULL gives no type
			a.late = append(a.late, lateParam{v.param, v.at})
		} else if v, err = a.settled(v); err != nil {
			return v, err
		}
		x.NullTest.Arg = v.n
		return typed(n, oidBool, at), nil
	case *pg_query.Node_BooleanTest:
		v, err := a.boolean(x.BooleanTest.Arg, sc, booleanTestName(x.BooleanTest.Booltesttype))
		if err != nil {
			return v, err
		}
		x.BooleanTest.Arg = v.n
		if k := x.BooleanTest.Booltesttype; v.t != 0 && (k == pg_query.BoolTestType_IS_UNKNOWN || k == pg_query.BoolTestType_IS_NOT_UNKNOWN) {
			out := isNull(v.n)
			if k == pg_query.BoolTestType_IS_NOT_UNKNOWN {
				out = not(out)
			}
			return typed(out, oidBool, at), nil
		}
		return typed(n, oidBool, at), nil
	case *pg_query.Node_CaseExpr:
		return a.caseExpr(n, x.CaseExpr, sc)
	case *pg_query.Node_CoalesceExpr:
		vs, err := a.exprs(x.CoalesceExpr.Args, sc)
		if err != nil {
			return value{}, err
		}
		vs, out, err := a.unify(vs, "COALESCE")
		if err != nil {
			return out, err
		}
		x.CoalesceExpr.Args = nodesOf(vs)
		out.n, out.at = n, at
		return out, nil
	case *pg_query.Node_MinMaxExpr:
		return a.minMax(n, x.MinMaxExpr, sc)
	case *pg_query.Node_FuncCall:
		return a.funcCall(n, x.FuncCall, sc)
	case *pg_query.Node_SubLink:
		return a.subLink(n, x.SubLink, sc)
	case *pg_query.Node_AArrayExpr:
		return a.arrayExpr(n, x.AArrayExpr, sc, 0)
	case *pg_query.Node_AIndirection:
		return a.indirection(n, x.AIndirection, sc)
	case *pg_query.Node_RowExpr:
		vs, err := a.exprs(x.RowExpr.Args, sc)
		if err != nil {
			return value{}, err
		}
		for i, v := range vs {
			if v.t == 0 {
				x.RowExpr.Args[i] = v.n
			}
		}
		return value{n: n, t: oidRecord, mod: -1, row: vs, at: at}, nil
	case *pg_query.Node_CollateClause:
		v, err := a.expr(x.CollateClause.Arg, sc)
		if err != nil {
			return v, err
		}
		x.CollateClause.Arg = v.n
		if v.t == 0 {
			return untypedValue(n), nil
		}
		name := x.CollateClause.Collname[len(x.CollateClause.Collname)-1].GetString_().GetSval()
		if !slices.Contains([]string{"default", "C", "POSIX", "ucs_basic"}, name) {
			if a.env.Collation != nil && a.env.Collation(name) {
				return v, fail("0A000", x.CollateClause.Location, "collation %q is not supported", name)
			}
			return v, fail("42704", x.CollateClause.Location, "collation %q for encoding \"UTF8\" does not exist", name)
		}
		if v, err = a.settled(v); err != nil {
			return v, err
		}
		if !isString(v.t) {
			return v, fail("42804", x.CollateClause.Location, "collations are not supported by type %s", typeName(v.t))
		}
		return v, nil
	case *pg_query.Node_SqlvalueFunction:
		return a.sqlValue(n, x.SqlvalueFunction)
	case *pg_query.Node_GroupingFunc:
		for i, g := range x.GroupingFunc.Args {
			v, err := a.expr(g, sc)
			if err != nil {
				return v, err
			}
			x.GroupingFunc.Args[i] = key(v)
		}
		return typed(castTo(n, "int4"), oidInt4, at), nil
	case *pg_query.Node_NamedArgExpr:
		v, err := a.expr(x.NamedArgExpr.Arg, sc)
		x.NamedArgExpr.Arg = v.n
		return v, err
	case *pg_query.Node_SetToDefault:
		return untypedValue(n), nil
	case *pg_query.Node_XmlExpr, *pg_query.Node_XmlSerialize:
		return value{}, fail("0A000", at, "XML is not supported")
	}
	a.untyped = true
	return untypedValue(n), nil
}

// maxDepth bounds how deep expressions and queries nest.
const maxDepth = 2000

func (a *analyzer) exprs(l []*pg_query.Node, sc *scope) ([]value, error) {
	out := make([]value, len(l))
	for i, n := range l {
		v, err := a.expr(n, sc)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func nodesOf(vs []value) []*pg_query.Node {
	out := make([]*pg_query.Node, len(vs))
	for i, v := range vs {
		out[i] = v.n
	}
	return out
}

func typesOf(vs []value) []OID {
	out := make([]OID, len(vs))
	for i, v := range vs {
		out[i] = v.t
	}
	return out
}

func anyUntyped(vs []value) bool {
	return slices.ContainsFunc(vs, func(v value) bool { return v.t == 0 })
}

// unify makes the alternatives of an expression alike; out is one of them without an expression.
func (a *analyzer) unify(vs []value, what string) (same []value, out value, err error) {
	if anyUntyped(vs) {
		return vs, untypedValue(nil), nil
	}
	for _, v := range vs {
		if v.t == oidRecord {
			return nil, value{}, fail("0A000", v.at, "values of type record are not supported here")
		}
	}
	t, with, ok := commonType(typesOf(vs))
	if !ok {
		for _, v := range vs {
			if v.t == with {
				if what == "ARRAY" || category(t) == category(with) {
					break
				}
				return nil, value{}, fail("42804", v.at, "%s types %s and %s cannot be matched", what, typeName(t), typeName(with))
			}
		}
		at := int32(-1)
		for _, v := range vs {
			if v.t == with {
				at = v.at
			}
		}
		return nil, value{}, fail("42804", at, "%s types %s and %s cannot be matched", what, typeName(t), typeName(with))
	}
	mod := commonMod(vs, t)
	if vs, err = a.alike(vs, t, implicit); err != nil {
		return nil, value{}, err
	}
	out = value{t: t, mod: mod}
	if t == oidNumeric {
		out.dec, out.prec, out.scale = true, 1, 0
		for i, v := range vs {
			if !v.dec {
				out.dec = false
			}
			if i == 0 || v.dec {
				out.prec, out.scale = max(out.prec, v.prec), max(out.scale, v.scale)
			}
		}
	}
	return vs, out, nil
}

func (a *analyzer) constant(c *pg_query.A_Const, at int32) (value, error) {
	if c.Isnull {
		return value{n: null(), t: oidUnknown, null: true, mod: -1, at: at}, nil
	}
	switch v := c.Val.(type) {
	case *pg_query.A_Const_Ival:
		if err := a.junk(at); err != nil {
			return value{}, err
		}
		return typed(castTo(pg_query.MakeAConstIntNode(int64(v.Ival.GetIval()), 0), "int4"), oidInt4, at), nil
	case *pg_query.A_Const_Fval:
		s := v.Fval.GetFval()
		if err := a.junk(at); err != nil {
			return value{}, err
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			if n == int64(int32(n)) {
				return typed(castTo(str(s), "int4"), oidInt4, at), nil
			}
			return typed(castTo(str(s), "int8"), oidInt8, at), nil
		}
		return a.literal(s, oidNumeric, -1, at)
	case *pg_query.A_Const_Boolval:
		return typed(castTo(str(map[bool]string{true: "true", false: "false"}[v.Boolval.GetBoolval()]), "bool"), oidBool, at), nil
	case *pg_query.A_Const_Sval:
		s := v.Sval.GetSval()
		return value{n: castTo(str(s), "text"), t: oidUnknown, lit: &s, mod: -1, at: at}, nil
	case *pg_query.A_Const_Bsval:
		s := v.Bsval.GetBsval()
		if s[0] == 'x' || s[0] == 'X' {
			var b strings.Builder
			for _, c := range strings.ToLower(s[1:]) {
				d := strings.IndexRune("0123456789abcdef", c)
				if d < 0 {
					return value{}, fail("22P02", at, "%q is not a valid hexadecimal digit", string(c))
				}
				fmt.Fprintf(&b, "%04b", d)
			}
			s = "b" + b.String()
		}
		if bad := strings.TrimLeft(s[1:], "01"); bad != "" {
			return value{}, fail("22P02", at, "%q is not a valid binary digit", string([]rune(bad)[0]))
		}
		return typed(castTo(str(s[1:]), "text"), oidBit, at), nil
	}
	a.untyped = true
	return untypedValue(&pg_query.Node{Node: &pg_query.Node_AConst{AConst: c}}), nil
}

// junk refuses the numbers that PostgreSQL has since version 16: 0x10, 0b1, 1_000.
func (a *analyzer) junk(at int32) error {
	if at < 0 || int(at) >= len(a.env.SQL) {
		return nil
	}
	s := a.env.SQL[at:]
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] == '_') {
		n++
	}
	if s = s[:n]; len(s) > 1 && s[0] == '0' && strings.ContainsAny(s[1:2], "xXbBoO") || strings.Contains(s, "_") && s != "" && s[0] >= '0' && s[0] <= '9' {
		return fail("42601", at, "trailing junk after numeric literal at or near \"%s\"", s)
	}
	return nil
}

// boolean analyzes a condition of a clause.
func (a *analyzer) boolean(n *pg_query.Node, sc *scope, clause string) (value, error) {
	v, err := a.expr(n, sc)
	if err != nil || v.t == 0 {
		return v, err
	}
	if v.t != oidBool && !v.unknown() {
		return v, fail("42804", v.at, "argument of %s must be type boolean, not type %s", clause, typeName(v.t))
	}
	return a.coerce(v, oidBool, -1, implicit)
}

func booleanTestName(k pg_query.BoolTestType) string {
	return map[pg_query.BoolTestType]string{pg_query.BoolTestType_IS_TRUE: "IS TRUE", pg_query.BoolTestType_IS_NOT_TRUE: "IS NOT TRUE",
		pg_query.BoolTestType_IS_FALSE: "IS FALSE", pg_query.BoolTestType_IS_NOT_FALSE: "IS NOT FALSE",
		pg_query.BoolTestType_IS_UNKNOWN: "IS UNKNOWN", pg_query.BoolTestType_IS_NOT_UNKNOWN: "IS NOT UNKNOWN"}[k]
}

func (a *analyzer) boolExpr(n *pg_query.Node, b *pg_query.BoolExpr, sc *scope) (value, error) {
	name := map[pg_query.BoolExprType]string{pg_query.BoolExprType_AND_EXPR: "AND", pg_query.BoolExprType_OR_EXPR: "OR", pg_query.BoolExprType_NOT_EXPR: "NOT"}[b.Boolop]
	for i, x := range b.Args {
		v, err := a.boolean(x, sc, name)
		if err != nil {
			return v, err
		}
		b.Args[i] = v.n
	}
	return typed(n, oidBool, b.Location), nil
}

func (a *analyzer) caseExpr(n *pg_query.Node, c *pg_query.CaseExpr, sc *scope) (value, error) {
	at := c.Location
	var results []value
	var test value
	if c.Arg != nil {
		var err error
		if test, err = a.expr(c.Arg, sc); err != nil {
			return test, err
		}
		if test.unknown() {
			if test, err = a.settled(test); err != nil {
				return test, err
			}
		}
	}
	if c.Defresult != nil { // PostgreSQL prefers the type of ELSE
		v, err := a.expr(c.Defresult, sc)
		if err != nil {
			return v, err
		}
		results = append(results, v)
	} else {
		results = append(results, value{n: null(), t: oidUnknown, null: true, mod: -1, at: at})
	}
	untyped := test.t == 0 && c.Arg != nil
	for _, w := range c.Args {
		cw := w.GetCaseWhen()
		if c.Arg != nil {
			v, err := a.expr(cw.Expr, sc)
			if err != nil {
				return v, err
			}
			if untyped || v.t == 0 {
				untyped = true
				cw.Expr = v.n
			} else {
				eq, err := a.binary("=", value{n: copyOf(test.n), t: test.t, mod: test.mod, dec: test.dec, prec: test.prec, scale: test.scale, at: test.at}, v, cw.Location)
				if err != nil {
					return eq, err
				}
				cw.Expr = eq.n
			}
		} else {
			v, err := a.boolean(cw.Expr, sc, "CASE/WHEN")
			if err != nil {
				return v, err
			}
			cw.Expr = v.n
		}
		v, err := a.expr(cw.Result, sc)
		if err != nil {
			return v, err
		}
		results = append(results, v)
	}
	if untyped {
		c.Arg = test.n
		if c.Defresult != nil {
			c.Defresult = results[0].n
		}
		for i, w := range c.Args {
			w.GetCaseWhen().Result = results[i+1].n
		}
		a.untyped = true
		return untypedValue(n), nil
	}
	c.Arg = nil
	vs, out, err := a.unify(results, "CASE")
	if err != nil {
		return out, err
	}
	if c.Defresult != nil {
		c.Defresult = vs[0].n
	}
	for i, w := range c.Args {
		w.GetCaseWhen().Result = vs[i+1].n
	}
	out.n, out.at = n, at
	return out, nil
}

func (a *analyzer) minMax(n *pg_query.Node, m *pg_query.MinMaxExpr, sc *scope) (value, error) {
	vs, err := a.exprs(m.Args, sc)
	if err != nil {
		return value{}, err
	}
	name := "LEAST"
	if m.Op == pg_query.MinMaxOp_IS_GREATEST {
		name = "GREATEST"
	}
	vs, out, err := a.unify(vs, name)
	if err != nil {
		return out, err
	}
	m.Args = nodesOf(vs)
	out.n, out.at = n, m.Location
	if out.t == oidNumeric && !out.dec {
		list := &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: m.Args}}}
		out.n = call("__numeric_extreme", castTo(str(name), "text"), castNode(list, physical(arrayOf(oidNumeric))))
		return out, nil
	}
	if len(vs) > 0 && (out.t == oidNumeric && !out.dec || hasDimensions(out.t) || out.t == oidBPChar || out.t == oidJSONB) {
		return out, fail("0A000", m.Location, "%s of %s without a fixed scale is not supported", name, typeName(out.t))
	}
	return out, nil
}

// typeOf is the type of a type's name. ok is false for one that the analyzer does not know.
func (a *analyzer) typeOf(t *pg_query.TypeName) (oid OID, mod int32, ok bool, err error) {
	mod = -1
	if t == nil || len(t.Names) == 0 || len(t.Names) > 2 || t.Setof || t.PctType {
		return 0, mod, false, nil
	}
	if len(t.Names) == 2 && t.Names[0].GetString_().GetSval() != "pg_catalog" {
		return 0, mod, false, nil
	}
	name := t.Names[len(t.Names)-1].GetString_().GetSval()
	k := typeByName[name]
	if k == nil {
		return 0, mod, false, nil
	}
	if k.oid == oidRecord || k.kind == 'p' {
		return 0, mod, false, nil
	}
	oid = k.oid
	var mods []int
	for _, m := range t.Typmods {
		i, isInt := m.GetAConst().GetVal().(*pg_query.A_Const_Ival)
		if !isInt {
			if e := m.GetAExpr(); e != nil && e.Lexpr == nil && len(e.Name) == 1 && e.Name[0].GetString_().GetSval() == "-" {
				mods = append(mods, -int(e.Rexpr.GetAConst().GetIval().GetIval()))
				continue
			}
			return 0, mod, false, nil
		}
		mods = append(mods, int(i.Ival.GetIval()))
	}
	if len(mods) > 0 {
		if mod, err = typmod(k, mods, t.Location); err != nil {
			return oid, mod, true, err
		}
	} else if oid == oidBit && len(t.Names) == 2 || oid == oidBPChar && len(t.Names) == 2 {
		mod = -1
	}
	if len(t.ArrayBounds) > 0 {
		oid = arrayOf(oid)
	}
	return oid, mod, oid != 0, nil
}

func typmod(k *pgType, mods []int, at int32) (int32, error) {
	switch k.oid {
	case oidNumeric:
		p, s := mods[0], 0
		if len(mods) > 1 {
			s = mods[1]
		}
		switch {
		case len(mods) > 2:
			return -1, fail("22023", at, "invalid NUMERIC type modifier")
		case p < 1 || p > 1000:
			return -1, fail("22023", at, "NUMERIC precision %d must be between 1 and 1000", p)
		case s < -1000 || s > 1000:
			return -1, fail("22023", at, "NUMERIC scale %d must be between -1000 and 1000", s)
		}
		return numericMod(p, s), nil
	case oidVarchar, oidBPChar:
		name := map[OID]string{oidVarchar: "varchar", oidBPChar: "char"}[k.oid]
		switch {
		case mods[0] < 1:
			return -1, fail("22023", at, "length for type %s must be at least 1", name)
		case mods[0] > 10485760:
			return -1, fail("22023", at, "length for type %s cannot exceed 10485760", name)
		}
		return int32(mods[0]) + 4, nil
	case oidBit, oidVarbit:
		name := map[OID]string{oidVarbit: "varbit", oidBit: "bit"}[k.oid]
		if mods[0] < 1 {
			return -1, fail("22023", at, "length for type %s must be at least 1", name)
		}
		return int32(mods[0]), nil
	case oidTime, oidTimestamp, oidTimestampTZ, oidTimeTZ:
		if mods[0] < 0 {
			return -1, fail("22023", at, "%s(%d) precision must not be negative", strings.ToUpper(strings.Fields(k.sql)[0]), mods[0])
		}
		return int32(min(mods[0], 6)), nil
	case oidInterval:
		precision := 0xffff
		if len(mods) > 1 {
			precision = min(mods[1], 6)
		}
		return int32(mods[0])<<16 | int32(precision), nil
	}
	return -1, fail("42601", at, "type modifier is not allowed for type %q", k.name)
}

// typeCast is a cast. One to the type and modifier that a column has already is the column; what any other one gives shows no column.
func (a *analyzer) typeCast(n *pg_query.Node, k *pg_query.TypeCast, sc *scope) (value, error) {
	to, mod, ok, err := a.typeOf(k.TypeName)
	if err != nil {
		return value{}, err
	}
	v, err := a.castTo(n, k, to, mod, ok, sc)
	if v.of.t != to || v.of.mod != mod {
		v.of = column{}
	}
	return v, err
}

func (a *analyzer) castTo(n *pg_query.Node, k *pg_query.TypeCast, to OID, mod int32, ok bool, sc *scope) (value, error) {
	if arr := k.Arg.GetAArrayExpr(); arr != nil && ok && isArray(to) {
		v, err := a.arrayExpr(k.Arg, arr, sc, to)
		if err != nil || v.t == 0 {
			k.Arg = v.n
			return untypedOr(v, n), err
		}
		return a.coerce(v, to, mod, explicit)
	}
	v, err := a.expr(k.Arg, sc)
	if err != nil {
		return v, err
	}
	if ok && v.t == to && v.mod == mod && mod != -1 && v.n.GetColumnRef() != nil {
		return v, nil
	}
	if v.lit != nil && (!ok || isRegType(to)) { // as it was written, for the rules of package rewrite
		v.n = str(*v.lit)
	}
	if !ok || v.t == 0 || v.t == oidRecord {
		if ok && v.t == 0 && !isArray(to) && to != oidNumeric && !isRegType(to) { // the rules of package rewrite write the cast; the type is known from here
			k.Arg = v.n
			if slices.Contains([]OID{oidBool, oidInt2, oidInt4, oidInt8, oidFloat8, oidText}, to) {
				return typed(n, to, k.Location), nil
			}
		}
		k.Arg = v.n
		a.untyped = true
		return untypedValue(n), nil
	}
	if isRegType(to) || isRegType(v.t) {
		a.untyped = true
		k.Arg = v.n
		return untypedValue(n), nil
	}
	if !v.unknown() && !canCoerce(v.t, to, explicit) {
		return v, fail("42846", k.Location, "cannot cast type %s to %s", typeName(v.t), typeName(to))
	}
	if v.unknown() && v.param > 0 {
		return a.coerce(v, to, mod, explicit)
	}
	if v.lit != nil { // the length of a literal's type cuts it, as an explicit cast does
		out, err := a.coerce(v, to, -1, explicit)
		if err != nil || out.t == 0 {
			return out, err
		}
		if (to == oidNumeric || to == oidInterval) && mod >= 0 {
			return a.literal(*v.lit, to, mod, v.at)
		}
		if mod < 0 {
			return out, nil
		}
		return a.modify(out, mod, explicit)
	}
	out, err := a.coerce(v, to, mod, explicit)
	out.at = v.at
	return out, err
}

func isRegType(t OID) bool {
	switch t {
	case oidRegclass, oidRegtype, oidRegproc, 2202, 4089, 4096, 2203, 2204, 4191:
		return true
	}
	return false
}

func untypedOr(v value, n *pg_query.Node) value {
	if v.t == 0 {
		return untypedValue(n)
	}
	return v
}

// row comparisons

func (a *analyzer) rowIsNull(v value, isNullTest bool, at int32) value {
	var parts []*pg_query.Node
	for _, x := range v.row {
		t := isNull(x.n)
		if !isNullTest {
			t = not(t)
		}
		parts = append(parts, t)
	}
	if len(parts) == 1 {
		return typed(parts[0], oidBool, at)
	}
	return typed(logic(pg_query.BoolExprType_AND_EXPR, parts...), oidBool, at)
}

// rowCompare compares rows as SQL does: = and <> by all of their values, < and its kin by the first that differs.
func (a *analyzer) rowCompare(name string, l, r value, at int32) (value, error) {
	if len(l.row) != len(r.row) {
		return value{}, fail("42601", at, "unequal number of entries in row expressions")
	}
	if len(l.row) == 0 {
		return value{}, fail("0A000", at, "cannot compare rows of zero length")
	}
	pair := func(name string, i int) (*pg_query.Node, error) {
		x, y := l.row[i], r.row[i]
		x.n, y.n = copyOf(x.n), copyOf(y.n)
		v, err := a.binary(name, x, y, at)
		return v.n, err
	}
	var parts []*pg_query.Node
	switch name {
	case "=", "<>":
		for i := range l.row {
			p, err := pair(name, i)
			if err != nil {
				return value{}, err
			}
			parts = append(parts, p)
		}
		kind := pg_query.BoolExprType_AND_EXPR
		if name == "<>" {
			kind = pg_query.BoolExprType_OR_EXPR
		}
		if len(parts) == 1 {
			return typed(parts[0], oidBool, at), nil
		}
		return typed(logic(kind, parts...), oidBool, at), nil
	case "<", ">", "<=", ">=":
		strict := name[:1]
		last := len(l.row) - 1
		out, err := pair(name, last)
		if err != nil {
			return value{}, err
		}
		for i := last - 1; i >= 0; i-- {
			less, err := pair(strict, i)
			if err != nil {
				return value{}, err
			}
			eq, err := pair("=", i)
			if err != nil {
				return value{}, err
			}
			out = logic(pg_query.BoolExprType_OR_EXPR, less, logic(pg_query.BoolExprType_AND_EXPR, eq, out))
		}
		return typed(out, oidBool, at), nil
	}
	return value{}, fail("0A000", at, "operator %s of rows is not supported", name)
}
