package rewrite

import (
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Divisions is what is known about the divisions of a statement, which are numbered in the order in which its tree is walked.
// What an operand is, only the engine knows that plans the statement: Rewrite writes divisions whose operands do not say it
// as questions to that engine, of the type that the quotient has as far as is known; the caller asks and rewrites until the answers
// stay.
type Divisions struct {
	Types map[int]duck.DivisionTypes // by number
	Token string                     // of the questions; "": nothing is asked, and / divides what is unknown as DuckDB does
	Asked int                        // questions written since Begin
	next  int
}

// Begin begins to write a statement, which may be several expressions; the first division has the number 0.
func (d *Divisions) Begin(token string) { d.Token, d.Asked, d.next = token, 0, 0 }

// numberDivisions numbers the divisions before anything is rewritten. Those of one SELECT with the same text are one: GROUP BY
// must find the expression of an output again.
func (c *context) numberDivisions(n *pg_query.Node) error {
	if c.opt.Divisions == nil {
		return nil
	}
	c.divisions = map[*pg_query.A_Expr]int{}
	var err error
	var scope func(m proto.Message)
	scope = func(top proto.Message) {
		known := map[string]int{}
		parse.Walk(top, func(m proto.Message) bool {
			if s, ok := m.(*pg_query.SelectStmt); ok && m != top {
				scope(s)
				return false
			}
			e, ok := m.(*pg_query.A_Expr)
			if !ok || !divides(e) {
				return err == nil
			}
			var text string
			if text, err = parse.Deparse(&pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: e}}); err != nil {
				return false
			}
			number, ok := known[text]
			if !ok {
				number = c.opt.Divisions.next
				c.opt.Divisions.next++
				known[text] = number
			}
			c.divisions[e] = number
			return true
		})
	}
	scope(n)
	return err
}

func divides(e *pg_query.A_Expr) bool {
	return e.Kind == pg_query.A_Expr_Kind_AEXPR_OP && len(e.Name) == 1 && e.Lexpr != nil && e.Name[0].GetString_().GetSval() == "/"
}

// divisions are quotients and remainders.
func divisions(c *context, m proto.Message) error {
	if err := quotient(c, m); err != nil {
		return err
	}
	return remainder(c, m)
}

// quotient: x / 0 is infinite or NULL in DuckDB and an error in PostgreSQL; guardDivisor. DuckDB divides decimals as doubles. They are divided by a function of ours: numeric(38, s) with the greater
// scale of both sides, at least 16, rounded half away from zero. Whole numbers beside a decimal are decimals; beside a double
// everything is one.
func quotient(c *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	if !ok || n.GetAExpr() == nil || !divides(n.GetAExpr()) {
		return nil
	}
	e := n.GetAExpr()
	var known duck.DivisionTypes
	var left, right bool
	known.Left, left = c.operand(e.Lexpr)
	known.Right, right = c.operand(e.Rexpr)
	if number, ok := c.divisions[e]; ok && (!left || !right) {
		d := c.opt.Divisions
		known = d.Types[number]
		if d.Token != "" {
			d.Asked++
			q := call(duck.TypesFunction, text(d.Token), text(strconv.Itoa(number)), question(e.Lexpr), question(e.Rexpr))
			if t := duckType(known.Quotient()); t != nil {
				q = cast(q, t)
			}
			n.Node = q.Node
			return nil
		}
	}
	t := known.Quotient()
	if t.Kind != vector.Decimal || !exact(known.Left, e.Lexpr) || !exact(known.Right, e.Rexpr) {
		return guardDivisor(&e.Rexpr)
	}
	n.Node = call(duck.DivideFunction(t.Scale), asDecimal(known.Left, e.Lexpr), asDecimal(known.Right, e.Rexpr)).Node
	return nil
}

// operand is the type of an operand that says it itself.
func (c *context) operand(n *pg_query.Node) (vector.Type, bool) {
	if f, ok := n.GetAConst().GetVal().(*pg_query.A_Const_Fval); ok {
		digits := f.Fval.GetFval()
		if strings.ContainsAny(digits, "eE") {
			return vector.T(vector.Float64), true
		}
		whole, fraction, _ := strings.Cut(digits, ".")
		if len(whole)+len(fraction) > 38 {
			return vector.Type{}, false
		}
		return vector.DecimalOf(38, uint8(len(fraction))), true
	}
	if f := n.GetFuncCall(); f != nil && len(f.Args) == 2 {
		if scale, ok := strings.CutPrefix(f.Funcname[len(f.Funcname)-1].GetString_().GetSval(), duck.DividePrefix); ok {
			s, err := strconv.ParseUint(scale, 10, 8)
			return vector.DecimalOf(38, uint8(s)), err == nil
		}
	}
	return c.typeOf(n)
}

// question is an operand in a question: a parameter without a type would keep the whole statement from being planned.
func question(n *pg_query.Node) *pg_query.Node {
	if n.GetParamRef() != nil {
		return &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
	}
	return n
}

// exact reports whether an operand is a decimal, a whole number, or takes the type of the other side.
func exact(t vector.Type, n *pg_query.Node) bool {
	switch t.Kind {
	case vector.Decimal, vector.Int16, vector.Int32, vector.Int64, vector.Null:
		return true
	case vector.Text, vector.Invalid:
		return untyped(n)
	}
	return false
}

// untyped reports whether n is a parameter or literal whose type the other side decides.
func untyped(n *pg_query.Node) bool {
	_, literal := stringConst(n)
	return literal || n.GetParamRef() != nil
}

func asDecimal(t vector.Type, n *pg_query.Node) *pg_query.Node {
	if t.Kind != vector.Decimal && untyped(n) {
		return cast(n, typeName("numeric", parse.BareNumericPrecision, parse.BareNumericScale))
	}
	return n
}

// remainder: x % 0, as x / 0, is infinite or NULL in DuckDB and an error in PostgreSQL. The divisor becomes
// CASE WHEN d = 0 THEN error(…) ELSE d END, unless it is a constant other than zero. The guard stands inside the division, so that a
// NULL on either side stays NULL only where PostgreSQL's does. A divisor that is volatile is read twice.
func remainder(_ *context, m proto.Message) error {
	var divisor **pg_query.Node
	switch n := m.(type) {
	case *pg_query.A_Expr:
		if n.Kind != pg_query.A_Expr_Kind_AEXPR_OP || len(n.Name) != 1 || n.Lexpr == nil {
			return nil
		}
		if n.Name[0].GetString_().GetSval() != "%" {
			return nil
		}
		divisor = &n.Rexpr
	case *pg_query.FuncCall:
		if len(n.Funcname) != 1 || len(n.Args) != 2 {
			return nil
		}
		if f := n.Funcname[0].GetString_().GetSval(); f != "mod" && f != "div" {
			return nil
		}
		divisor = &n.Args[1]
	default:
		return nil
	}
	return guardDivisor(divisor)
}

// guardDivisor makes a divisor that raises an error where it is zero.
func guardDivisor(divisor **pg_query.Node) error {
	if nonZero(*divisor) {
		return nil
	}
	isZero := &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP,
		Name: []*pg_query.Node{pg_query.MakeStrNode("=")}, Lexpr: copyOf(*divisor), Rexpr: pg_query.MakeAConstIntNode(0, 0)}}}
	when := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: isZero, Result: call("error", text(DivisionByZero))}}}
	*divisor = &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{when}, Defresult: *divisor}}}
	return nil
}

// nonZero reports whether n is a constant other than zero, or NULLIF(…, 0), which cannot be zero either.
func nonZero(n *pg_query.Node) bool {
	if k := n.GetTypeCast(); k != nil {
		// A cast can make zero of 0.4, but not of a whole number.
		_, ok := k.Arg.GetAConst().GetVal().(*pg_query.A_Const_Ival)
		return ok && nonZero(k.Arg)
	}
	if e := n.GetAExpr(); e != nil && e.Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF {
		v, ok := e.Rexpr.GetAConst().GetVal().(*pg_query.A_Const_Ival)
		return ok && v.Ival.GetIval() == 0
	}
	switch v := n.GetAConst().GetVal().(type) {
	case *pg_query.A_Const_Ival:
		return v.Ival.GetIval() != 0
	case *pg_query.A_Const_Fval:
		return strings.ContainsAny(strings.SplitN(strings.ToLower(v.Fval.GetFval()), "e", 2)[0], "123456789")
	}
	return n.GetAConst().GetIsnull()
}
