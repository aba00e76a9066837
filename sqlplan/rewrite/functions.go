package rewrite

import (
	"fmt"
	"regexp"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// Function is a function that DuckDB does not have, one of the user's own or of PostgreSQL's catalog: an expression over its
// arguments, which takes the place of its calls.
type Function struct {
	Name    string
	Args    []string             // names; "" for one that the body knows as $n only
	Types   []*pg_query.TypeName // of the arguments, which are cast to them; nil: as they come
	Returns *pg_query.TypeName   // what the result is cast to; nil: as it comes
	Body    *pg_query.Node       // without calls of functions of the user's own; columns and parameters of it are arguments
	Strict  bool                 // NULL where an argument is NULL
	Table   bool                 // Body is a subquery that takes the place of the call in FROM
}

// Lookup finds the function that a call means. space is the schema that it is written with, "" where it has none; inFrom says that
// the call stands in FROM. It gives nil for a function that is DuckDB's own or nobody's.
type Lookup func(space, name string, args []*pg_query.Node, inFrom bool) (*Function, error)

// maxInlined bounds the calls that one statement's are expanded to: functions nest, and each may use an argument twice.
const maxInlined = 10_000

// Inline puts the bodies of functions in place of their calls in n, which is changed. An argument is cast to its type wherever
// the body has it, and the result to the function's: what the call says of types is what the text says. Nothing is captured, because
// a body has no names but its arguments', and these are replaced in it alone.
// What lookup does not answer must be listed in allowed.go.
func Inline(n *pg_query.Node, lookup Lookup) error { return inline(n, lookup, false) }

func inline(n *pg_query.Node, lookup Lookup, checked bool) error {
	if lookup == nil {
		lookup = func(string, string, []*pg_query.Node, bool) (*Function, error) { return nil, nil }
	}
	var err error
	left := maxInlined
	known := newCalls()
	known.off = checked
	parse.Walk(n, func(m proto.Message) bool {
		node, ok := m.(*pg_query.Node)
		if err != nil || !ok {
			return err == nil
		}
		inFrom := node.GetRangeFunction()
		call := node.GetFuncCall()
		if inFrom != nil {
			known.from(inFrom)
			call = onlyCall(inFrom)
		}
		space, name := functionName(call.GetFuncname())
		if name == "" {
			err = known.check(call)
			return err == nil
		}
		var f *Function
		if f, err = lookup(space, name, call.Args, inFrom != nil); err != nil {
			err = &CallError{err, int(call.Location)}
			return false
		}
		if f == nil || f.Table != (inFrom != nil) {
			err = known.check(call)
			return err == nil
		}
		if left--; left < 0 {
			err = located(call, "54001", fmt.Sprintf("the statement's functions expand to more than %d calls", maxInlined), "")
			return false
		}
		var body *pg_query.Node
		if body, err = f.expand(call, known); err != nil {
			return false
		}
		if inFrom != nil {
			alias := inFrom.Alias
			if alias == nil {
				alias = &pg_query.Alias{Aliasname: name}
			}
			body = &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{
				Lateral: inFrom.Lateral, Subquery: body.GetSubLink().GetSubselect(), Alias: alias}}}
		}
		node.Node = body.Node
		return true // calls among the arguments come next
	})
	return err
}

// functionName is the schema that a call is written with and the name, "" where the engine's functions are not meant.
func functionName(words []*pg_query.Node) (space, name string) {
	switch {
	case len(words) == 1:
		return "", words[0].GetString_().GetSval()
	case len(words) == 2 && slices.Contains([]string{publicSchema, "pg_catalog", "information_schema"}, words[0].GetString_().GetSval()):
		return words[0].GetString_().GetSval(), words[1].GetString_().GetSval()
	}
	return "", ""
}

// onlyCall is the call of a function in FROM, nil where that is more than one.
func onlyCall(f *pg_query.RangeFunction) *pg_query.FuncCall {
	if f.Ordinality || f.IsRowsfrom || len(f.Functions) != 1 || len(f.Coldeflist) > 0 {
		return nil
	}
	l := f.Functions[0].GetList().GetItems()
	if len(l) == 0 {
		return nil
	}
	return l[0].GetFuncCall()
}

// CallError is an error of a call of a function.
type CallError struct {
	Err    error // *parse.Error, or what Lookup said
	Offset int   // bytes: of the call in the statement
}

func (e *CallError) Error() string { return e.Err.Error() }

// Unwrap is the error without its place.
func (e *CallError) Unwrap() error { return e.Err }

func located(call *pg_query.FuncCall, code, message, hint string) error {
	return &CallError{&parse.Error{Code: code, Message: message, Hint: hint}, int(call.Location)}
}

func typeOf(t *pg_query.TypeName) *pg_query.TypeName { return proto.Clone(t).(*pg_query.TypeName) }

// expand is the expression that a call stands for.
func (f *Function) expand(call *pg_query.FuncCall, known *calls) (*pg_query.Node, error) {
	switch {
	case call.Over != nil || call.AggDistinct || call.AggFilter != nil || len(call.AggOrder) > 0 || call.AggWithinGroup || call.AggStar:
		return nil, located(call, "42809", fmt.Sprintf("%s is no aggregate and no window function", f.Name), "")
	case len(call.Args) != len(f.Args) || call.FuncVariadic:
		return nil, located(call, "42883", fmt.Sprintf("function %s is called with %d arguments and has %d", f.Name, len(call.Args), len(f.Args)), "")
	}
	uses := make([]int, len(f.Args))
	out := copyOf(f.Body)
	if f.Types == nil { // PostgreSQL's own
		known.trust(out)
	}
	f.arguments(out, func(n *pg_query.Node, i int) {
		uses[i]++
		n.Node = copyOf(call.Args[i]).Node
		if f.Types != nil {
			n.Node = f.typed(n, f.Types[i], fmt.Sprintf("argument %d of function %s", i+1, f.Name)).Node
		}
	})
	var isNull []*pg_query.Node
	for i, a := range call.Args {
		if a.GetNamedArgExpr() != nil {
			return nil, located(call, "0A000", fmt.Sprintf("function %s is called by position", f.Name), "")
		}
		if f.Strict {
			uses[i]++
			isNull = append(isNull, &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: &pg_query.NullTest{Arg: copyOf(a), Nulltesttype: pg_query.NullTestType_IS_NULL}}})
		}
		if f.Types != nil && uses[i] != 1 && parse.Volatile(a) != "" { // PostgreSQL's own are given the session's constants
			return nil, located(call, "0A000", fmt.Sprintf("%s is volatile, and function %s uses the argument %d times", parse.Volatile(a), f.Name, uses[i]), "Compute it in a subquery first.")
		}
	}
	if f.Returns != nil {
		out = f.typed(out, f.Returns, fmt.Sprintf("the result of function %s", f.Name))
	}
	if len(isNull) > 0 {
		some := isNull[0]
		if len(isNull) > 1 {
			some = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_OR_EXPR, Args: isNull}}}
		}
		when := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: some, Result: &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}}}}
		out = &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{when}, Defresult: out}}}
	}
	return out, nil
}

// typed is a value as of a declared type: cast to it, or, where that is numeric without a precision, of its own scale.
func (f *Function) typed(n *pg_query.Node, t *pg_query.TypeName, what string) *pg_query.Node {
	if !parse.BareNumeric(t) {
		return cast(n, typeOf(t))
	}
	if c := n.GetAConst(); c.GetSval() != nil {
		if !number.MatchString(c.GetSval().GetSval()) {
			return cast(n, typeOf(t)) // which says what is wrong with it
		}
		n = &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Val: &pg_query.A_Const_Fval{Fval: &pg_query.Float{Fval: c.GetSval().GetSval()}}, Location: c.Location}}}
	}
	if n.GetAConst() != nil && !n.GetAConst().Isnull && n.GetAConst().GetFval() != nil {
		return n
	}
	// Beside a NULL of few digits an integer becomes a decimal and a decimal stays what it is. A value of another type, which PostgreSQL does
	// not take for a numeric either, is an error of the first row; what its type is, DuckDB knows when it plans.
	null := cast(&pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}, &pg_query.TypeName{
		Names:   []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("numeric")},
		Typmods: []*pg_query.Node{pg_query.MakeAConstIntNode(1, -1), pg_query.MakeAConstIntNode(0, -1)}, Typemod: -1})
	kept := &pg_query.Node{Node: &pg_query.Node_CoalesceExpr{CoalesceExpr: &pg_query.CoalesceExpr{Args: []*pg_query.Node{copyOf(n), null}}}}
	text := func(s string) *pg_query.Node { return pg_query.MakeAConstStrNode(s, -1) }
	call := func(name string, arg *pg_query.Node) *pg_query.Node {
		return pg_query.MakeFuncCallNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, []*pg_query.Node{arg}, -1)
	}
	others := &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_IN, Name: []*pg_query.Node{pg_query.MakeStrNode("=")},
		Lexpr: call("typeof", copyOf(n)), Rexpr: pg_query.MakeListNode([]*pg_query.Node{text("DOUBLE"), text("FLOAT"), text("VARCHAR")})}}}
	when := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: others, Result: call("error", text(what+" is numeric, and is given another type: cast it, as CAST(… AS numeric(18,6))"))}}}
	return &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{when}, Defresult: kept}}}
}

// number is a text that is a numeric literal.
var number = regexp.MustCompile(`^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*$`)

// arguments gives visit every mention of an argument in the body n, with its index. What visit puts there is not looked at.
func (f *Function) arguments(n *pg_query.Node, visit func(n *pg_query.Node, i int)) {
	parse.Walk(n, func(m proto.Message) bool {
		node, ok := m.(*pg_query.Node)
		if !ok {
			return true
		}
		if i := f.argument(node); i >= 0 {
			visit(node, i)
			return false
		}
		return true
	})
}

// argument is the index of the argument that n names: x, f.x or $1; −1 where it names none.
func (f *Function) argument(n *pg_query.Node) int {
	if p := n.GetParamRef(); p != nil && p.Number >= 1 && int(p.Number) <= len(f.Args) {
		return int(p.Number) - 1
	}
	w := words(n.GetColumnRef().GetFields())
	if len(w) == 2 && w[0] == f.Name {
		w = w[1:]
	}
	if len(w) == 1 && w[0] != "" {
		for i, a := range f.Args {
			if a == w[0] {
				return i
			}
		}
	}
	return -1
}

// Unknown is a name in the body that is no argument's, nil where there is none.
func (f *Function) Unknown() *pg_query.Node {
	var found *pg_query.Node
	parse.Walk(f.Body, func(m proto.Message) bool {
		if n, ok := m.(*pg_query.Node); ok && found == nil && (n.GetColumnRef() != nil || n.GetParamRef() != nil || n.GetSubLink() != nil) && f.argument(n) < 0 {
			found = n
		}
		return found == nil
	})
	return found
}
