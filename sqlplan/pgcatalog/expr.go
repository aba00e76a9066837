package pgcatalog

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// column finds the column that a reference means: by its last name, and the one before it where it has two.
func (sc *scope) column(fields []*pg_query.Node) uint32 {
	name := fields[len(fields)-1].GetString_().GetSval()
	alias := ""
	if len(fields) > 1 {
		alias = fields[len(fields)-2].GetString_().GetSval()
	}
	for ; sc != nil; sc = sc.outer {
		for _, r := range sc.rels {
			if alias != "" && r.alias != alias {
				continue
			}
			for _, c := range r.columns {
				if c.Name == name {
					return c.Type
				}
			}
		}
	}
	return 0
}

// castType is the type of PostgreSQL's own that a name means, nil where it is another.
func castType(t *pg_query.TypeName) *Type {
	w := t.GetNames()
	if len(w) == 0 || len(w) > 2 {
		return nil
	}
	name := w[len(w)-1].GetString_().GetSval()
	schema := ""
	if len(w) == 2 {
		schema = w[0].GetString_().GetSval()
	}
	var typ *Type
	switch schema {
	case "", "pg_catalog":
		typ = typesByName()[name]
	case "information_schema":
		typ = typesByName()["information_schema."+name]
	}
	if typ != nil && len(t.ArrayBounds) > 0 {
		typ = builtinTypes()[typ.Array]
	}
	return typ
}

// element is the type of an array's elements, array the array of a type; 0 where it is not known.
func (a *analyzer) element(oid uint32) uint32 {
	if t := builtinTypes()[oid]; t != nil {
		return t.Elem
	}
	return 0
}

func (a *analyzer) array(oid uint32) uint32 {
	if oid == oidUnknown {
		oid = oidText
	}
	if t := builtinTypes()[oid]; t != nil {
		return t.Array
	}
	return 0
}

// heldAs is the SQL type that values of a type only catalogs have are held as, "" of the others.
func heldAs(oid uint32) string {
	switch {
	case registered(oid):
		return "int8"
	case arrayElements[oid] != 0 && catalogType(oid):
		return heldAs(arrayElements[oid]) + "[]"
	}
	switch oid {
	case oidOID, oidXID, oidCID, oidXID8:
		return "int8"
	case oidInt2Vector:
		return "int2[]"
	case oidOIDVector:
		return "int8[]"
	case oidName, oidChar, oidNodeTree, oidACLItem, oidCString, oidTID, oidAnyArray, oidVarchar, oidBPChar:
		return "text"
	case oidTimestampTZ:
		return "timestamptz"
	case oidInt4:
		return "int4"
	}
	return ""
}

func typeNode(name string) *pg_query.TypeName {
	base, array := strings.CutSuffix(name, "[]")
	t := &pg_query.TypeName{Names: []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode(base)}, Typemod: -1}
	if array {
		t.ArrayBounds = []*pg_query.Node{pg_query.MakeIntNode(-1)}
	}
	return t
}

func callNode(name string, args ...*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: &pg_query.FuncCall{Funcname: []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode(name)},
		Args: args, Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}}}
}

func moved(n *pg_query.Node) *pg_query.Node { return &pg_query.Node{Node: n.Node} }

// expr analyzes an expression, which it may change in place, and is its type; 0 where it is not known.
func (a *analyzer) expr(n *pg_query.Node, sc *scope) uint32 {
	if n == nil {
		return 0
	}
	switch x := n.Node.(type) {
	case nil:
		return 0
	case *pg_query.Node_ColumnRef:
		if f := x.ColumnRef.Fields; f[len(f)-1].GetString_() != nil {
			return sc.column(f)
		}
		return 0
	case *pg_query.Node_AConst:
		switch x.AConst.Val.(type) {
		case *pg_query.A_Const_Ival:
			return oidInt4
		case *pg_query.A_Const_Boolval:
			return oidBool
		case *pg_query.A_Const_Sval:
			return oidUnknown
		}
		if x.AConst.Isnull {
			return oidUnknown
		}
		return 0
	case *pg_query.Node_TypeCast:
		return a.cast(n, x.TypeCast, sc)
	case *pg_query.Node_CollateClause:
		return a.expr(x.CollateClause.Arg, sc)
	case *pg_query.Node_FuncCall:
		return a.call(n, x.FuncCall, sc)
	case *pg_query.Node_AExpr:
		return a.operator(x.AExpr, sc)
	case *pg_query.Node_CaseExpr:
		a.expr(x.CaseExpr.Arg, sc)
		out := a.expr(x.CaseExpr.Defresult, sc) // its type counts first
		for _, w := range x.CaseExpr.Args {
			when := w.GetCaseWhen()
			a.expr(when.Expr, sc)
			out = either(out, a.expr(when.Result, sc))
		}
		return out
	case *pg_query.Node_CoalesceExpr:
		return a.common(x.CoalesceExpr.Args, sc)
	case *pg_query.Node_MinMaxExpr:
		return a.common(x.MinMaxExpr.Args, sc)
	case *pg_query.Node_AArrayExpr:
		return a.array(a.common(x.AArrayExpr.Elements, sc))
	case *pg_query.Node_SubLink:
		s := x.SubLink
		a.expr(s.Testexpr, sc)
		columns := a.selectStmt(s.Subselect.GetSelectStmt(), sc)
		switch {
		case s.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK && len(columns) > 0:
			return columns[0].Type
		case s.SubLinkType == pg_query.SubLinkType_ARRAY_SUBLINK && len(columns) > 0:
			return a.array(columns[0].Type)
		case s.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK, s.SubLinkType == pg_query.SubLinkType_ANY_SUBLINK, s.SubLinkType == pg_query.SubLinkType_ALL_SUBLINK:
			return oidBool
		}
		return 0
	case *pg_query.Node_SqlvalueFunction:
		switch x.SqlvalueFunction.Op {
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg_query.SQLValueFunctionOp_SVFOP_USER,
			pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
			return oidName
		}
		return 0
	case *pg_query.Node_AIndirection:
		return a.indirection(x.AIndirection, sc)
	case *pg_query.Node_BoolExpr, *pg_query.Node_NullTest, *pg_query.Node_BooleanTest:
		a.below(n, sc)
		return oidBool
	}
	a.below(n, sc)
	return 0
}

// below analyzes the expressions in a node of another kind.
func (a *analyzer) below(n *pg_query.Node, sc *scope) {
	var visit func(m protoreflect.Message)
	child := func(m protoreflect.Message) {
		switch x := m.Interface().(type) {
		case *pg_query.Node:
			a.expr(x, sc)
		case *pg_query.SelectStmt:
			a.selectStmt(x, sc)
		default:
			visit(m)
		}
	}
	visit = func(m protoreflect.Message) {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case fd.Kind() != protoreflect.MessageKind:
			case fd.IsList():
				for i := range v.List().Len() {
					child(v.List().Get(i).Message())
				}
			default:
				child(v.Message())
			}
			return true
		})
	}
	// The node's own message, not the node: that would come back here.
	n.ProtoReflect().Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if s, ok := v.Message().Interface().(*pg_query.SelectStmt); ok {
			a.selectStmt(s, sc)
		} else {
			visit(v.Message())
		}
		return true
	})
}

// either is the type of what is one of two types: the first that is known, or the one that only the other can become by itself.
func either(x, y uint32) uint32 {
	if x == 0 || x == oidUnknown {
		if y != 0 {
			return y
		}
	}
	rank := func(t uint32) int {
		return slices.Index([]uint32{oidInt2, oidInt4, oidInt8, oidNumeric, oidFloat4, oidFloat8}, t)
	}
	integer := func(t uint32) bool { return t == oidInt2 || t == oidInt4 || t == oidInt8 }
	if i, j := rank(x), rank(y); i >= 0 && j > i || integer(x) && (y == oidOID || registered(y)) || x == oidChar && y == oidText {
		return y
	}
	return x
}

func (a *analyzer) common(l []*pg_query.Node, sc *scope) uint32 {
	out := uint32(0)
	for _, n := range l {
		out = either(out, a.expr(n, sc))
	}
	return out
}

// registeredName is the name of a type such as regclass, "" of another.
func registeredName(oid uint32) string {
	if registered(oid) {
		return builtinTypes()[oid].Name
	}
	return ""
}

// asText makes an expression of a type such as regclass the name that it is shown as, and one of a vector its numbers.
func (a *analyzer) asText(n *pg_query.Node, typ uint32) {
	switch {
	case registered(typ):
		n.Node = callNode(registeredName(typ)+"out", moved(n)).Node
	case registered(a.element(typ)) && builtinTypes()[typ].isArray():
		n.Node = callNode("__regarrayout", pg_query.MakeAConstStrNode(registeredName(a.element(typ)), 0), moved(n)).Node
	case typ == oidInt2Vector || typ == oidOIDVector:
		n.Node = callNode("array_to_string", moved(n), pg_query.MakeAConstStrNode(" ", 0)).Node
	}
}

func isTextual(oid uint32) bool {
	oid = baseType(oid)
	return oid == oidText || oid == oidName || oid == oidVarchar || oid == oidUnknown || oid == oidBPChar || oid == oidCString
}

func (a *analyzer) cast(n *pg_query.Node, c *pg_query.TypeCast, sc *scope) uint32 {
	from := a.expr(c.Arg, sc)
	t := castType(c.TypeName)
	if t == nil {
		return 0
	}
	to := baseType(t.OID)
	switch {
	case registered(to):
		name := registeredName(to)
		s, literal := c.Arg.GetAConst().GetVal().(*pg_query.A_Const_Sval)
		switch {
		case literal && isObjectID(s.Sval.GetSval()):
			c.TypeName = typeNode("int8")
		case literal, isTextual(from), c.Arg.GetParamRef() != nil:
			n.Node = callNode(name+"in", c.Arg).Node
			n.GetFuncCall().Location = c.Location
		default:
			c.TypeName = typeNode("int8")
		}
	case isTextual(to) && (registered(from) || registered(a.element(from)) || from == oidInt2Vector || from == oidOIDVector):
		a.asText(c.Arg, from)
		c.TypeName = typeNode("text")
	case to == oidInt2Vector || to == oidOIDVector:
		if s, ok := c.Arg.GetAConst().GetVal().(*pg_query.A_Const_Sval); ok {
			c.Arg = pg_query.MakeAConstStrNode("{"+strings.Join(strings.Fields(s.Sval.GetSval()), ",")+"}", 0)
		}
		c.TypeName = typeNode(heldAs(to))
	case to == oidChar:
		// 'table'::"char" is its first byte.
		n.Node = callNode("left", &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: c.Arg, TypeName: typeNode("text")}}}, pg_query.MakeAConstIntNode(1, 0)).Node
	case t.isArray() && strings.HasPrefix(c.Arg.GetAConst().GetSval().GetSval(), "{") && strings.ContainsAny(c.Arg.GetAConst().GetSval().GetSval(), `"\`):
		// DuckDB's notation of lists has other quotes.
		var elements []*pg_query.Node
		for _, e := range arrayOf(c.Arg.GetAConst().GetSval().GetSval()) {
			elements = append(elements, pg_query.MakeAConstStrNode(e, 0))
		}
		c.Arg = &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: elements}}}
		if held := heldAs(to); held != "" {
			c.TypeName = typeNode(held)
		}
	case catalogType(to) || t.Kind == "d":
		held := heldAs(to)
		if held == "" {
			held = builtinTypes()[to].Name
		}
		c.TypeName = typeNode(held)
	}
	if t.Kind == "d" {
		return withModifier(t.OID)
	}
	return to
}

func isObjectID(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (a *analyzer) indirection(x *pg_query.A_Indirection, sc *scope) uint32 {
	typ := a.expr(x.Arg, sc)
	for _, n := range x.Indirection {
		i := n.GetAIndices()
		if i == nil {
			typ = 0 // a field
			_, name := functionName(x.Arg.GetFuncCall())
			for _, c := range systemTable[name] {
				if c.Name == n.GetString_().GetSval() {
					typ = c.Type
				}
			}
			continue
		}
		for _, bound := range []**pg_query.Node{&i.Lidx, &i.Uidx} {
			if *bound == nil {
				continue
			}
			a.expr(*bound, sc)
			if typ == oidInt2Vector || typ == oidOIDVector { // they count from 0
				*bound = &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP, Name: []*pg_query.Node{pg_query.MakeStrNode("+")},
					Lexpr: *bound, Rexpr: pg_query.MakeAConstIntNode(1, 0)}}}
			}
		}
		if !i.IsSlice {
			typ = a.element(typ)
		}
	}
	return typ
}

var comparisons = []string{"=", "<>", "!=", "<", ">", "<=", ">=", "~", "~*", "!~", "!~*", "~~", "!~~", "~~*", "!~~*", "@>", "<@", "&&", "?", "^@"}

func (a *analyzer) operator(x *pg_query.A_Expr, sc *scope) uint32 {
	l := a.expr(x.Lexpr, sc)
	var r uint32
	if list := x.Rexpr.GetList(); list != nil {
		for _, n := range list.Items {
			t := a.expr(n, sc)
			if name := registeredName(l); name != "" && t == oidUnknown {
				n.Node = callNode(name+"in", moved(n)).Node
			}
			r = either(r, t)
		}
	} else {
		r = a.expr(x.Rexpr, sc)
	}
	if x.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY || x.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL {
		return oidBool
	}
	name := ""
	if len(x.Name) > 0 {
		name = x.Name[len(x.Name)-1].GetString_().GetSval()
	}
	// A literal beside a value of regclass and its kin is read as one.
	for _, side := range []struct {
		n         *pg_query.Node
		own, that uint32
	}{{x.Lexpr, l, r}, {x.Rexpr, r, l}} {
		if reg := registeredName(side.that); reg != "" && side.own == oidUnknown && side.n.GetAConst().GetSval() != nil && name != "||" {
			side.n.Node = callNode(reg+"in", moved(side.n)).Node
		}
	}
	switch x.Kind {
	case pg_query.A_Expr_Kind_AEXPR_NULLIF:
		return l
	case pg_query.A_Expr_Kind_AEXPR_OP:
	default:
		return oidBool
	}
	switch {
	case slices.Contains(comparisons, name):
		if strings.Contains(name, "~") {
			a.asText(x.Lexpr, l)
		}
		return oidBool
	case name == "||":
		if t := builtinTypes()[l]; t != nil && t.isArray() {
			return l
		}
		if t := builtinTypes()[r]; t != nil && t.isArray() {
			return r
		}
		a.asText(x.Lexpr, l)
		a.asText(x.Rexpr, r)
		return oidText
	case slices.Contains([]string{"+", "-", "*", "/", "%", "&", "|", "#", "<<", ">>"}, name):
		order := []uint32{oidInt2, oidInt4, oidInt8}
		if i, j := slices.Index(order, l), slices.Index(order, r); i >= 0 && j >= 0 {
			return order[max(i, j)]
		} else if x.Lexpr == nil {
			return r
		}
	}
	return 0
}

// polymorphic are PostgreSQL's types that stand for any.
var polymorphic = map[uint32]string{2283: "element", 2277: "array", 2776: "element", 3500: "element", 5077: "element", 5078: "array", 5079: "element"}

func (a *analyzer) call(n *pg_query.Node, f *pg_query.FuncCall, sc *scope) uint32 {
	if t := trueType(n, f); t != 0 {
		return t
	}
	args := make([]uint32, len(f.Args))
	for i, x := range f.Args {
		args[i] = a.expr(x, sc)
	}
	for _, x := range f.AggOrder {
		a.expr(x, sc)
	}
	a.expr(f.AggFilter, sc)
	if f.Over != nil {
		for _, l := range [][]*pg_query.Node{f.Over.PartitionClause, f.Over.OrderClause} {
			for _, x := range l {
				a.expr(x, sc)
			}
		}
	}
	_, name := functionName(f)
	if len(args) > 0 && (args[0] == oidInt2Vector || args[0] == oidOIDVector) {
		minusOne := func() {
			n.Node = (&pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP, Name: []*pg_query.Node{pg_query.MakeStrNode("-")},
				Lexpr: moved(n), Rexpr: pg_query.MakeAConstIntNode(1, 0)}}}).Node
		}
		switch name { // they count from 0
		case "array_upper", "array_lower", "generate_subscripts", "array_position":
			minusOne()
			return oidInt4
		}
	}
	if name == "age" && len(args) == 1 && args[0] == oidXID {
		n.Node = callNode("__xidage", f.Args[0]).Node
		return oidInt4
	}
	for i, t := range args {
		switch name {
		case "format", "concat", "concat_ws", "quote_ident", "quote_literal", "string_agg", "lower", "upper", "length", "replace", "split_part", "substring", "regexp_replace", "left", "right":
			a.asText(f.Args[i], t)
		}
	}
	return a.callType(f, args)
}

// trueType writes out information_schema's functions of whole rows: the type or modifier of a column, which of a domain are those of
// what it is over.
func trueType(n *pg_query.Node, f *pg_query.FuncCall) uint32 {
	_, name := functionName(f)
	columns, ok := map[string][2]string{"_pg_truetypid": {"typbasetype", "atttypid"}, "_pg_truetypmod": {"typtypmod", "atttypmod"}}[name]
	if !ok || len(f.Args) != 2 {
		return 0
	}
	var rows [2]*pg_query.Node
	for i, x := range f.Args {
		fields := x.GetColumnRef().GetFields()
		if len(fields) == 0 {
			return 0
		}
		rows[i] = fields[0]
	}
	column := func(row *pg_query.Node, name string) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(row.GetString_().GetSval()), pg_query.MakeStrNode(name)}, 0)
	}
	domain := &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP, Name: []*pg_query.Node{pg_query.MakeStrNode("=")},
		Lexpr: column(rows[1], "typtype"), Rexpr: pg_query.MakeAConstStrNode("d", 0)}}}
	when := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: domain, Result: column(rows[1], columns[0])}}}
	n.Node = &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{when}, Defresult: column(rows[0], columns[1])}}
	return map[string]uint32{"_pg_truetypid": oidOID, "_pg_truetypmod": oidInt4}[name]
}

// callType is the type of a call's result.
func (a *analyzer) callType(f *pg_query.FuncCall, args []uint32) uint32 {
	schema, name := functionName(f)
	arg := func(i int) uint32 {
		if i < len(args) {
			return args[i]
		}
		return 0
	}
	if schema == "information_schema" {
		return map[string]uint32{"_pg_char_max_length": oidInt4, "_pg_char_octet_length": oidInt4, "_pg_numeric_precision": oidInt4,
			"_pg_numeric_precision_radix": oidInt4, "_pg_numeric_scale": oidInt4, "_pg_datetime_precision": oidInt4, "_pg_interval_type": oidText, "_pg_index_position": oidInt4}[name]
	}
	switch name {
	case "array_agg":
		return a.array(arg(0))
	case "unnest":
		return a.element(arg(0))
	case "string_agg":
		return oidText
	case "current_database", "current_schema":
		return oidName
	case "array_append", "array_cat", "array_remove", "array_replace":
		return arg(0)
	case "array_prepend":
		return arg(1)
	}
	out := uint32(0)
	for _, p := range procs()[name] {
		if len(p.Args) != len(f.Args) && !(f.AggStar && len(p.Args) == 0) {
			continue
		}
		exact := len(args) > 0
		for i, t := range p.Args {
			exact = exact && arg(i) == t
		}
		ret := p.Returns
		switch polymorphic[ret] {
		case "element":
			ret = arg(0)
			if len(p.Args) > 0 && polymorphic[p.Args[0]] == "array" {
				ret = a.element(arg(0))
			}
		case "array":
			ret = arg(0)
			if len(p.Args) > 0 && polymorphic[p.Args[0]] == "element" {
				ret = a.array(arg(0))
			}
		}
		if exact {
			return ret
		}
		if out != 0 && out != ret {
			if !isTextual(ret) || !isTextual(out) {
				out = oidUnknown // several; it depends on what the arguments are taken as
				continue
			}
			ret = oidText
		}
		out = ret
	}
	if out == 0 { // variadic ones
		for _, p := range procs()[name] {
			if out != 0 && out != p.Returns || polymorphic[p.Returns] != "" {
				return 0
			}
			out = p.Returns
		}
	}
	if out == oidUnknown {
		return 0
	}
	return out
}
