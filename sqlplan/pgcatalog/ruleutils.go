package pgcatalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// printer writes expressions and SELECTs as PostgreSQL's ruleutils do: parentheses around every operation (pretty: around those that
// need them), constants with their types, columns with their relations.
type printer struct {
	s       *Snapshot
	pretty  bool
	qualify bool // a column's relation is always named, as in views
	rels    []scoped
}

// errUnprinted says that something has no text here; what was written stands then.
var errUnprinted = errors.New("not printed")

// printed is an expression's text.
type printed struct {
	text  string
	typ   uint32
	plain bool           // it needs no parentheses as an operand
	lit   *pg_query.Node // where it is a constant that takes the type it is used as
}

// formatExpression is an expression over the columns of a table as pg_get_expr writes it, and sql itself where that is not known.
func (s *Snapshot) formatExpression(sql string, t *Table, as uint32, pretty bool) string {
	parsed, err := pg_query.Parse("SELECT " + sql)
	if err != nil || len(parsed.Stmts) != 1 {
		return sql
	}
	targets := parsed.Stmts[0].Stmt.GetSelectStmt().GetTargetList()
	if len(targets) != 1 || targets[0].GetResTarget().GetName() != "" {
		return sql
	}
	p := &printer{s: s, pretty: pretty}
	if t != nil {
		p.rels = []scoped{{alias: t.Name, columns: tableColumns(t)}}
	}
	w, err := p.expr(targets[0].GetResTarget().Val)
	if err != nil {
		return sql
	}
	if w.typ != oidUnknown { // a default is cast to its column's type without saying so
		return w.text
	}
	return p.as(w, as)
}

// expressionType is the type of an expression over the columns of a table, text where it is not known.
func (s *Snapshot) expressionType(sql string, t *Table) uint32 {
	parsed, err := pg_query.Parse("SELECT " + sql)
	if err != nil || len(parsed.Stmts) != 1 {
		return oidText
	}
	p := &printer{s: s, rels: []scoped{{alias: t.Name, columns: tableColumns(t)}}}
	for _, r := range parsed.Stmts[0].Stmt.GetSelectStmt().GetTargetList() {
		if w, err := p.expr(r.GetResTarget().Val); err == nil && w.typ != 0 && w.typ != oidUnknown {
			return w.typ
		}
	}
	return oidText
}

func tableColumns(t *Table) []Column {
	var out []Column
	for _, c := range t.Columns {
		if !c.Dropped {
			out = append(out, Column{Name: c.Name, Type: c.Type})
		}
	}
	return out
}

// formatView is a view's SELECT as pg_get_viewdef writes it, and sql itself where that is not known.
func (s *Snapshot) formatView(sql string, pretty bool) string {
	parsed, err := pg_query.Parse(sql)
	if err != nil || len(parsed.Stmts) != 1 || parsed.Stmts[0].Stmt.GetSelectStmt() == nil {
		return sql
	}
	p := &printer{s: s, pretty: pretty, qualify: true}
	text, err := p.query(parsed.Stmts[0].Stmt.GetSelectStmt())
	if err != nil {
		if text, err = parse.Deparse(parsed.Stmts[0].Stmt); err != nil {
			return sql
		}
		text = " " + text
	}
	return text + ";"
}

func (p *printer) query(sel *pg_query.SelectStmt) (string, error) {
	if sel.WithClause != nil || len(sel.ValuesLists) > 0 || len(sel.WindowClause) > 0 || len(sel.LockingClause) > 0 || sel.IntoClause != nil {
		return "", errUnprinted
	}
	if sel.Op != pg_query.SetOperation_SETOP_NONE {
		if len(sel.SortClause) > 0 || sel.LimitCount != nil || sel.LimitOffset != nil {
			return "", errUnprinted
		}
		l, err := (&printer{s: p.s, pretty: p.pretty, qualify: true}).query(sel.Larg)
		if err != nil {
			return "", err
		}
		r, err := (&printer{s: p.s, pretty: p.pretty, qualify: true}).query(sel.Rarg)
		if err != nil {
			return "", err
		}
		word := map[pg_query.SetOperation]string{pg_query.SetOperation_SETOP_UNION: "UNION", pg_query.SetOperation_SETOP_INTERSECT: "INTERSECT", pg_query.SetOperation_SETOP_EXCEPT: "EXCEPT"}[sel.Op]
		if sel.All {
			word += " ALL"
		}
		return l + "\n" + word + "\n" + r, nil
	}
	var from []string
	for _, n := range sel.FromClause {
		text, err := p.from(n)
		if err != nil {
			return "", err
		}
		from = append(from, text)
	}
	var targets []string
	for _, t := range sel.TargetList {
		r := t.GetResTarget()
		if f := r.Val.GetColumnRef().GetFields(); len(f) > 0 && f[len(f)-1].GetAStar() != nil {
			more, err := p.star(f)
			if err != nil {
				return "", err
			}
			targets = append(targets, more...)
			continue
		}
		w, err := p.expr(r.Val)
		if err != nil {
			return "", err
		}
		name := r.Name
		if name == "" {
			name = parse.FigureColumnName(r.Val)
		}
		text := p.as(w, 0)
		if f := r.Val.GetColumnRef().GetFields(); len(f) == 0 || f[len(f)-1].GetString_().GetSval() != name {
			text += " AS " + QuoteIdent(name)
		}
		targets = append(targets, text)
	}
	out := " SELECT "
	switch {
	case len(sel.DistinctClause) == 1 && sel.DistinctClause[0].Node == nil:
		out += "DISTINCT "
	case len(sel.DistinctClause) > 0:
		return "", errUnprinted
	}
	out += strings.Join(targets, ",\n    ")
	if len(from) > 0 {
		out += "\n   FROM " + strings.Join(from, ",\n    ")
	}
	for _, c := range []struct {
		word string
		n    *pg_query.Node
	}{{"\n  WHERE ", sel.WhereClause}} {
		if c.n != nil {
			w, err := p.expr(c.n)
			if err != nil {
				return "", err
			}
			out += c.word + p.as(w, oidBool)
		}
	}
	list := func(word string, nodes []*pg_query.Node, each func(n *pg_query.Node) (string, error)) error {
		var texts []string
		for _, n := range nodes {
			text, err := each(n)
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		if texts != nil {
			out += word + strings.Join(texts, ", ")
		}
		return nil
	}
	value := func(n *pg_query.Node) (string, error) {
		if n.GetAConst() != nil || n.GetGroupingSet() != nil {
			return "", errUnprinted
		}
		w, err := p.expr(n)
		return w.text, err
	}
	if err := list("\n  GROUP BY ", sel.GroupClause, value); err != nil {
		return "", err
	}
	if sel.HavingClause != nil {
		w, err := p.expr(sel.HavingClause)
		if err != nil {
			return "", err
		}
		out += "\n HAVING " + p.as(w, oidBool)
	}
	if err := list("\n  ORDER BY ", sel.SortClause, func(n *pg_query.Node) (string, error) {
		b := n.GetSortBy()
		text, err := value(b.Node)
		if b.SortbyDir == pg_query.SortByDir_SORTBY_DESC {
			text += " DESC"
		}
		switch b.SortbyNulls {
		case pg_query.SortByNulls_SORTBY_NULLS_FIRST:
			if b.SortbyDir != pg_query.SortByDir_SORTBY_DESC {
				text += " NULLS FIRST"
			}
		case pg_query.SortByNulls_SORTBY_NULLS_LAST:
			if b.SortbyDir == pg_query.SortByDir_SORTBY_DESC {
				text += " NULLS LAST"
			}
		}
		return text, err
	}); err != nil {
		return "", err
	}
	for _, c := range []struct {
		word string
		n    *pg_query.Node
	}{{"\n OFFSET ", sel.LimitOffset}, {"\n LIMIT ", sel.LimitCount}} {
		if c.n != nil {
			if c.n.GetAConst().GetIval() == nil {
				return "", errUnprinted
			}
			out += c.word + fmt.Sprint(c.n.GetAConst().GetIval().Ival)
		}
	}
	return out, nil
}

func (p *printer) star(f []*pg_query.Node) ([]string, error) {
	var out []string
	for _, r := range p.rels {
		if len(f) == 2 && f[0].GetString_().GetSval() != r.alias {
			continue
		}
		for _, c := range r.columns {
			out = append(out, QuoteIdent(r.alias)+"."+QuoteIdent(c.Name))
		}
	}
	if out == nil {
		return nil, errUnprinted
	}
	return out, nil
}

func (p *printer) from(n *pg_query.Node) (string, error) {
	switch {
	case n.GetRangeVar() != nil:
		rv := n.GetRangeVar()
		found := p.s.find(classes, strings.Replace(rv.Schemaname, "main", "public", 1), rv.Relname)
		if len(found) == 0 || len(rv.Alias.GetColnames()) > 0 {
			return "", errUnprinted
		}
		r := scoped{alias: rv.Relname}
		for i := int64(1); i <= found[0].int("relnatts"); i++ {
			name, typ, _ := p.s.columnName(found[0].int("oid"), i)
			r.columns = append(r.columns, Column{Name: name, Type: uint32(typ)})
		}
		text := p.s.qualified(classes, found[0])
		if rv.Alias != nil && rv.Alias.Aliasname != rv.Relname {
			r.alias = rv.Alias.Aliasname
			text += " " + QuoteIdent(r.alias)
		}
		p.rels = append(p.rels, r)
		return text, nil
	case n.GetJoinExpr() != nil:
		j := n.GetJoinExpr()
		if j.Alias != nil || j.IsNatural || len(j.UsingClause) > 0 {
			return "", errUnprinted
		}
		l, err := p.from(j.Larg)
		if err != nil {
			return "", err
		}
		r, err := p.from(j.Rarg)
		if err != nil {
			return "", err
		}
		word := map[pg_query.JoinType]string{pg_query.JoinType_JOIN_LEFT: "LEFT JOIN", pg_query.JoinType_JOIN_RIGHT: "RIGHT JOIN", pg_query.JoinType_JOIN_FULL: "FULL JOIN", pg_query.JoinType_JOIN_INNER: "JOIN"}[j.Jointype]
		on := ""
		if j.Quals != nil {
			w, err := p.expr(j.Quals)
			if err != nil {
				return "", err
			}
			on = " ON (" + w.text + ")"
			if p.pretty {
				on = " ON " + w.text
			}
		} else {
			word = "CROSS JOIN"
		}
		text := l + "\n     " + word + " " + r + on
		if !p.pretty {
			text = "(" + text + ")"
		}
		return text, nil
	}
	return "", errUnprinted
}

// as is an expression's text where a type is asked for; 0 asks for none.
func (p *printer) as(w printed, typ uint32) string {
	if w.lit == nil {
		return w.text
	}
	if typ == 0 {
		if typ = w.typ; typ == oidUnknown {
			typ = oidText
		}
	}
	c := w.lit.GetAConst()
	name := p.s.formatType(int64(typ), -1, false)
	switch v := c.Val.(type) {
	case *pg_query.A_Const_Sval:
		return quoteLiteral(v.Sval.Sval) + "::" + name
	case *pg_query.A_Const_Ival, *pg_query.A_Const_Fval:
		if typ == w.typ || typ == oidInt8 && w.typ == oidInt4 || typ == oidInt2 && w.typ == oidInt4 || !numeric(typ) {
			return w.text
		}
		if p.pretty && !strings.HasPrefix(w.text, "-") {
			return w.text + "::" + name
		}
		return "(" + w.text + ")::" + name
	}
	if c.Isnull {
		return "NULL::" + name
	}
	return w.text
}

func numeric(t uint32) bool {
	switch t {
	case oidInt2, oidInt4, oidInt8, oidNumeric, oidFloat4, oidFloat8:
		return true
	}
	return false
}

// operand is an expression's text as one side of an operation.
func (p *printer) operand(w printed, typ uint32) string {
	text := p.as(w, typ)
	if w.lit == nil && p.pretty && !w.plain {
		return "(" + text + ")"
	}
	return text
}

func (p *printer) operation(text string, typ uint32) printed {
	if !p.pretty {
		text = "(" + text + ")"
	}
	return printed{text: text, typ: typ}
}

func (p *printer) expr(n *pg_query.Node) (printed, error) {
	switch x := n.Node.(type) {
	case *pg_query.Node_ColumnRef:
		f := x.ColumnRef.Fields
		name := f[len(f)-1].GetString_().GetSval()
		for _, r := range p.rels {
			if len(f) > 1 && f[len(f)-2].GetString_().GetSval() != r.alias {
				continue
			}
			for _, c := range r.columns {
				if c.Name == name {
					text := QuoteIdent(name)
					if p.qualify {
						text = QuoteIdent(r.alias) + "." + text
					}
					return printed{text: text, typ: c.Type, plain: true}, nil
				}
			}
		}
	case *pg_query.Node_AConst:
		switch v := x.AConst.Val.(type) {
		case *pg_query.A_Const_Ival:
			return printed{text: fmt.Sprint(v.Ival.Ival), typ: oidInt4, plain: true, lit: n}, nil
		case *pg_query.A_Const_Fval:
			return printed{text: v.Fval.Fval, typ: oidNumeric, plain: true, lit: n}, nil
		case *pg_query.A_Const_Boolval:
			return printed{text: fmt.Sprint(v.Boolval.Boolval), typ: oidBool, plain: true}, nil
		case *pg_query.A_Const_Sval:
			return printed{text: quoteLiteral(v.Sval.Sval), typ: oidUnknown, plain: true, lit: n}, nil
		}
		if x.AConst.Isnull {
			return printed{text: "NULL", typ: oidUnknown, plain: true, lit: n}, nil
		}
	case *pg_query.Node_AExpr:
		return p.operator(x.AExpr)
	case *pg_query.Node_BoolExpr:
		var texts []string
		for _, a := range x.BoolExpr.Args {
			w, err := p.expr(a)
			if err != nil {
				return w, err
			}
			text := p.as(w, oidBool)
			if b := a.GetBoolExpr(); p.pretty && (b != nil && b.Boolop != pg_query.BoolExprType_NOT_EXPR || a.GetAExpr().GetKind() == pg_query.A_Expr_Kind_AEXPR_IN) {
				text = "(" + text + ")"
			}
			texts = append(texts, text)
		}
		switch x.BoolExpr.Boolop {
		case pg_query.BoolExprType_AND_EXPR:
			return p.operation(strings.Join(texts, " AND "), oidBool), nil
		case pg_query.BoolExprType_OR_EXPR:
			return p.operation(strings.Join(texts, " OR "), oidBool), nil
		}
		return p.operation("NOT "+texts[0], oidBool), nil
	case *pg_query.Node_NullTest:
		w, err := p.expr(x.NullTest.Arg)
		if err != nil {
			return w, err
		}
		word := " IS NULL"
		if x.NullTest.Nulltesttype == pg_query.NullTestType_IS_NOT_NULL {
			word = " IS NOT NULL"
		}
		return p.operation(p.operand(w, 0)+word, oidBool), nil
	case *pg_query.Node_TypeCast:
		t := castType(x.TypeCast.TypeName)
		if t == nil || len(x.TypeCast.TypeName.Typmods) > 0 {
			break
		}
		w, err := p.expr(x.TypeCast.Arg)
		if err != nil {
			return w, err
		}
		if w.typ == oidUnknown && w.lit != nil || w.lit != nil && w.typ != t.OID {
			return printed{text: p.as(w, t.OID), typ: t.OID, plain: true}, nil
		}
		name := p.s.formatType(int64(t.OID), -1, false)
		if p.pretty && w.plain {
			return printed{text: w.text + "::" + name, typ: t.OID, plain: true}, nil
		}
		return printed{text: "(" + w.text + ")::" + name, typ: t.OID, plain: true}, nil
	case *pg_query.Node_FuncCall:
		return p.call(x.FuncCall)
	case *pg_query.Node_CoalesceExpr:
		var args []printed
		typ := uint32(0)
		for _, a := range x.CoalesceExpr.Args {
			w, err := p.expr(a)
			if err != nil {
				return w, err
			}
			args, typ = append(args, w), either(typ, w.typ)
		}
		texts := make([]string, len(args))
		for i, w := range args {
			texts[i] = p.as(w, typ)
		}
		return printed{text: "COALESCE(" + strings.Join(texts, ", ") + ")", typ: typ, plain: true}, nil
	case *pg_query.Node_SqlvalueFunction:
		if text, err := parse.Deparse(n); err == nil {
			return printed{text: text, plain: true}, nil
		}
	}
	return printed{}, errUnprinted
}

// common is the type that both sides of an operator are taken as, 0 where each has its own.
func commonType(l, r printed) (left, right uint32) {
	text := func(t uint32) uint32 {
		if t == oidVarchar {
			return oidText
		}
		return t
	}
	switch {
	case l.typ == oidUnknown && l.lit != nil:
		return text(r.typ), 0
	case r.typ == oidUnknown && r.lit != nil:
		return 0, text(l.typ)
	case numeric(l.typ) && numeric(r.typ) && l.typ != r.typ:
		wide := uint32(oidNumeric)
		switch {
		case l.typ == oidFloat8 || r.typ == oidFloat8 || l.typ == oidFloat4 || r.typ == oidFloat4:
			wide = oidFloat8
		case l.typ != oidNumeric && r.typ != oidNumeric:
			return 0, 0 // PostgreSQL has operators for each two of the integers
		}
		return wide, wide
	}
	return 0, 0
}

// side is an operand that is taken as a type.
func (p *printer) side(w printed, as uint32) string {
	if w.lit == nil && as != 0 && as != w.typ && !(w.typ == oidFloat4 && as == oidFloat8) || w.lit == nil && w.typ == oidVarchar {
		if as == 0 || w.typ == oidVarchar {
			as = oidText
		}
		if p.pretty && w.plain {
			return w.text + "::" + p.s.formatType(int64(as), -1, false)
		}
		return "(" + w.text + ")::" + p.s.formatType(int64(as), -1, false)
	}
	return p.operand(w, as)
}

func (p *printer) operator(x *pg_query.A_Expr) (printed, error) {
	name := x.Name[len(x.Name)-1].GetString_().GetSval()
	if x.Lexpr == nil {
		r, err := p.expr(x.Rexpr)
		if err != nil || r.lit == nil || name != "-" || r.typ == oidUnknown {
			return r, errUnprinted
		}
		return printed{text: "'-" + r.text + "'::" + p.s.formatType(int64(r.typ), -1, false), typ: r.typ, plain: true}, nil
	}
	l, err := p.expr(x.Lexpr)
	if err != nil {
		return l, err
	}
	switch x.Kind {
	case pg_query.A_Expr_Kind_AEXPR_IN:
		var items []string
		for _, n := range x.Rexpr.GetList().GetItems() {
			w, err := p.expr(n)
			if err != nil {
				return w, err
			}
			items = append(items, p.as(w, l.typ))
		}
		word := " = ANY (ARRAY["
		if name == "<>" {
			word = " <> ALL (ARRAY["
		}
		if l.typ == oidVarchar { // compared as text
			open, end := strings.Replace(word, "(ARRAY[", "((ARRAY[", 1), "])::text[])"
			if p.pretty {
				open, end = word, "]::text[])"
			}
			return p.operation(p.side(l, oidText)+open+strings.Join(items, ", ")+end, oidBool), nil
		}
		return p.operation(p.operand(l, 0)+word+strings.Join(items, ", ")+"])", oidBool), nil
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN:
		items := x.Rexpr.GetList().GetItems()
		var parts []string
		for i, n := range items {
			w, err := p.expr(n)
			if err != nil {
				return w, err
			}
			a, b := commonType(l, w)
			parts = append(parts, p.operation(p.side(l, a)+[]string{" >= ", " <= "}[i]+p.side(w, b), oidBool).text)
		}
		return p.operation(strings.Join(parts, " AND "), oidBool), nil
	case pg_query.A_Expr_Kind_AEXPR_OP, pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE:
	default:
		return l, errUnprinted
	}
	r, err := p.expr(x.Rexpr)
	if err != nil {
		return r, err
	}
	a, b := commonType(l, r)
	typ := uint32(oidBool)
	switch name {
	case "+", "-", "*", "/", "%":
		typ = max(l.typ, r.typ)
		if a != 0 {
			typ = a
		} else if numeric(l.typ) && numeric(r.typ) {
			order := []uint32{oidInt2, oidInt4, oidInt8}
			for _, t := range order {
				if l.typ == t || r.typ == t {
					typ = t
				}
			}
		}
	case "||":
		typ = oidText
	}
	// A factor needs no parentheses in a sum.
	if p.pretty && (name == "+" || name == "-" || slices.Contains(comparisons, name)) {
		for _, s := range []struct {
			n *pg_query.Node
			w *printed
		}{{x.Lexpr, &l}, {x.Rexpr, &r}} {
			if e := s.n.GetAExpr(); e != nil && e.Kind == pg_query.A_Expr_Kind_AEXPR_OP {
				inner := e.Name[len(e.Name)-1].GetString_().GetSval()
				s.w.plain = s.w.plain || slices.Contains([]string{"*", "/", "%"}, inner) && (name == "+" || name == "-")
			}
		}
	}
	return p.operation(p.side(l, a)+" "+name+" "+p.side(r, b), typ), nil
}

func (p *printer) call(f *pg_query.FuncCall) (printed, error) {
	schema, name := functionName(f)
	if f.Over != nil || f.AggFilter != nil || len(f.AggOrder) > 0 || f.AggWithinGroup || f.FuncVariadic || f.Funcformat == pg_query.CoercionForm_COERCE_SQL_SYNTAX || schema != "" && schema != "pg_catalog" {
		return printed{}, errUnprinted
	}
	candidates := procs()[name]
	var args []printed
	var types []uint32
	for _, a := range f.Args {
		w, err := p.expr(a)
		if err != nil {
			return w, err
		}
		args, types = append(args, w), append(types, w.typ)
	}
	texts := make([]string, len(args))
	for i, w := range args {
		as := uint32(0)
		known := false
		for _, c := range candidates {
			if len(c.Args) != len(args) || c.Args[i] == oidAnyRange || c.Args[i] == oidAnyMultirange {
				continue
			}
			if known && as != c.Args[i] {
				as = 0
				break
			}
			as, known = c.Args[i], true
		}
		if polymorphic[as] != "" || as == 2276 {
			as = 0
		}
		texts[i] = p.as(w, as)
		if as != 0 && w.lit == nil && (w.typ == oidVarchar && as == oidText) {
			texts[i] = p.side(w, as)
		}
	}
	text := strings.Join(texts, ", ")
	switch {
	case f.AggStar:
		text = "*"
	case f.AggDistinct:
		text = "DISTINCT " + text
	}
	if len(candidates) == 0 {
		return printed{}, errUnprinted
	}
	return printed{text: QuoteIdent(name) + "(" + text + ")", typ: (&analyzer{}).callType(f, types), plain: true}, nil
}
