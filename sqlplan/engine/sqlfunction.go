package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// functionsOf finds functions of the user's own for the rewriter.
func functionsOf(cat *schema.Catalog) rewrite.Lookup {
	if len(cat.Functions) == 0 {
		return nil
	}
	return func(space, name string, _ []*pg_query.Node, _ bool) (*rewrite.Function, error) {
		f := cat.Function(name)
		if f == nil || space == "pg_catalog" {
			return nil, nil
		}
		return compileFunction(f)
	}
}

// compileFunction reads a stored function's texts.
func compileFunction(f *schema.Function) (*rewrite.Function, error) {
	out := &rewrite.Function{Name: f.Name, Args: f.Args, Strict: f.Strict}
	parsed, err := pg_query.Parse("SELECT " + f.Body)
	if err != nil {
		return nil, err
	}
	out.Body = parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
	for _, t := range append(slices.Clone(f.Types), f.Returns) {
		n, err := pg_query.Parse("SELECT NULL::" + t)
		if err != nil {
			return nil, err
		}
		out.Types = append(out.Types, n.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName)
	}
	out.Returns, out.Types = out.Types[len(f.Types)], out.Types[:len(f.Types)]
	return out, nil
}

const functionForm = "CREATE FUNCTION f(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT x + 1 $$"

// bindCreateFunction binds CREATE FUNCTION … LANGUAGE sql.
func (s *Session) bindCreateFunction(st *parse.SQL, n *pg_query.CreateFunctionStmt) (bound, error) {
	no := func(format string, args ...any) *session.Error {
		return hint(fail(codeUnsupported, format, args...), "%s", functionForm)
	}
	if n.IsProcedure {
		return bound{}, no("procedures are not supported")
	}
	name := n.Funcname[len(n.Funcname)-1].GetString_().GetSval()
	if len(n.Funcname) > 1 && n.Funcname[0].GetString_().GetSval() != "public" {
		return bound{}, fail("3F000", "schema %q does not exist", n.Funcname[0].GetString_().GetSval())
	}
	f := &schema.Function{Name: name, SQL: st.Text}
	add := func(t *pg_query.TypeName) (string, error) {
		typ, err := parse.TypeOf(t)
		if err != nil {
			return "", at(asError(err), st.Text, int(t.GetLocation()))
		}
		if parse.BareNumeric(t) { // a value keeps its scale
			return "numeric", nil
		}
		return typ.String(), nil
	}
	for _, p := range n.Parameters {
		a := p.GetFunctionParameter()
		switch a.Mode {
		case pg_query.FunctionParameterMode_FUNC_PARAM_IN, pg_query.FunctionParameterMode_FUNC_PARAM_DEFAULT:
		default:
			return bound{}, no("function %q: only IN arguments are supported", name)
		}
		if a.Defexpr != nil {
			return bound{}, no("function %q: defaults of arguments are not supported", name)
		}
		if a.Name != "" && slices.Contains(f.Args, a.Name) {
			return bound{}, fail("42P13", "parameter name %q used more than once", a.Name)
		}
		t, err := add(a.ArgType)
		if err != nil {
			return bound{}, err
		}
		f.Args, f.Types = append(f.Args, a.Name), append(f.Types, t)
	}
	if n.ReturnType == nil || n.ReturnType.Setof {
		return bound{}, no("function %q must return one value", name)
	}
	var err error
	if f.Returns, err = add(n.ReturnType); err != nil {
		return bound{}, err
	}
	language, body, volatility := "", "", ""
	for _, o := range n.Options {
		d := o.GetDefElem()
		switch d.Defname {
		case "language":
			language = strings.ToLower(d.Arg.GetString_().GetSval())
		case "volatility":
			volatility = d.Arg.GetString_().GetSval()
		case "strict":
			f.Strict = d.Arg.GetBoolean().GetBoolval()
		case "as":
			body = d.Arg.GetList().GetItems()[0].GetString_().GetSval()
		case "parallel", "cost", "leakproof":
		default:
			return bound{}, at(no("function %q: option %s is not supported", name, strings.ToUpper(d.Defname)), st.Text, int(d.Location))
		}
	}
	if language != "" && language != "sql" || language == "" && n.SqlBody == nil {
		return bound{}, no("function %q: language %q is not supported", name, language)
	}
	if volatility != "immutable" {
		return bound{}, hint(fail("42P13", "function %q must be IMMUTABLE", name), "It is written into the definitions that call it, and must give the same value whenever it is evaluated: %s", functionForm)
	}
	expr, err := functionBody(name, body, n.SqlBody)
	if err != nil {
		return bound{}, err
	}
	return s.definition(func(ctx context.Context) (string, error) {
		return "CREATE FUNCTION", s.createFunction(ctx, f, clone(expr), n.Replace)
	}), nil
}

// functionBody is the expression that a function is: of AS $$ SELECT … $$, or of RETURN.
func functionBody(name, text string, returned *pg_query.Node) (*pg_query.Node, error) {
	only := func() error {
		return hint(fail("42P13", "function %q must be one SELECT of one expression, without FROM", name), "%s", functionForm)
	}
	var expr *pg_query.Node
	if returned != nil {
		if expr = returned.GetReturnStmt().GetReturnval(); expr == nil {
			return nil, only()
		}
	} else {
		parsed, err := parse.Parse(text)
		if err != nil {
			e := *asError(err)
			e.Message, e.Position = fmt.Sprintf("function %q: %s", name, e.Message), 0
			return nil, &e
		}
		q, ok := parsed.(*parse.SQL)
		if !ok || q.Node.GetSelectStmt() == nil || !q.Clauses.Empty() {
			return nil, only()
		}
		sel := q.Node.GetSelectStmt()
		plain := &pg_query.SelectStmt{TargetList: sel.TargetList, LimitOption: sel.LimitOption, Op: sel.Op}
		if len(sel.TargetList) != 1 || !proto.Equal(plain, sel) {
			return nil, only()
		}
		expr = sel.TargetList[0].GetResTarget().Val
	}
	if v := parse.Volatile(expr); v != "" {
		return nil, hint(fail("42P13", "function %q calls %s, which is volatile", name, v), "A function gives the same value whenever it is evaluated: take the time as an argument.")
	}
	return expr, nil
}

// createFunction checks a body and defines the function.
func (s *Session) createFunction(ctx context.Context, f *schema.Function, body *pg_query.Node, replace bool) error {
	cat := s.catalog()
	if err := rewrite.Inline(body, functionsOf(cat)); err != nil {
		return asError(err)
	}
	checked := &rewrite.Function{Name: f.Name, Args: f.Args, Body: body}
	if n := checked.Unknown(); n != nil {
		if n.GetSubLink() != nil {
			return fail(codeUnsupported, "function %q: subqueries are not supported", f.Name)
		}
		text, err := parse.Deparse(n)
		if err != nil {
			return asError(err)
		}
		return hint(fail(codeUndefinedColumn, "function %q: %s is no argument of it", f.Name, text), "Arguments: %s.", strings.Join(f.Args, ", "))
	}
	if _, known := functions.Lookup(f.Name); known {
		return fail("42723", "function %q is built in", f.Name)
	}
	builtIn, err := s.builtIn(ctx, f.Name)
	if err != nil {
		return err
	}
	if builtIn {
		return hint(fail("42723", "function %q is built in", f.Name), "Give it another name: a built-in one would go on to be called elsewhere.")
	}
	if f.Body, err = parse.Deparse(body); err != nil {
		return asError(err)
	}
	compiled, err := compileFunction(f)
	if err != nil {
		return asError(err)
	}
	if err := s.checkFunction(ctx, f, compiled); err != nil {
		return err
	}
	id, err := s.e.log.Sequence("function")
	if err != nil {
		return err
	}
	var readers []string
	err = s.define(func(c *schema.Catalog) error {
		next := *f
		next.ID = uint32(id)
		if old := c.Function(f.Name); old != nil {
			same := slices.Equal(old.Types, f.Types)
			switch {
			case !replace && same:
				return hint(fail("42723", "function %q already exists with same argument types", f.Name), "CREATE OR REPLACE FUNCTION %s …", f.Name)
			case !same:
				return hint(fail(codeUnsupported, "function %q already exists with other argument types", f.Name), "A name has one function: give this one another, or DROP FUNCTION %s first.", f.Name)
			case old.Returns != f.Returns:
				return hint(fail("42P13", "cannot change the return type of function %q", f.Name), "DROP FUNCTION %s first.", f.Name)
			}
			next.ID, next.Comment = old.ID, old.Comment
			readers = nil
			if old.Body != f.Body || old.Strict != f.Strict {
				readers = namesOf(functionReaders(c, f.Name))
			}
		}
		c.Functions[next.ID] = &next
		return nil
	})
	if err == nil && len(readers) > 0 {
		s.notice(session.Notice{Message: fmt.Sprintf("definitions keep function %q as it was when they were made: %s", f.Name, strings.Join(readers, ", ")),
			Hint: "REFRESH FEATURE, or CREATE OR REPLACE, takes the new one."})
	}
	return err
}

func namesOf(objects []any) []string {
	out := make([]string, len(objects))
	for i, o := range objects {
		out[i] = named(o)
	}
	slices.Sort(out)
	return out
}

// builtIn reports whether DuckDB has a function of a name, which calls of it would have meant so far.
func (s *Session) builtIn(ctx context.Context, name string) (bool, error) {
	rows, err := s.conn.Query(ctx, "SELECT count(*) FROM duckdb_functions() WHERE function_name = "+duck.QuoteLiteral(name))
	if err != nil {
		return false, asError(err)
	}
	defer rows.Close()
	ch, err := rows.Next()
	if err != nil || ch == nil {
		return false, asError(err)
	}
	return ch.Cols[0].I64[0] > 0, nil
}

// checkFunction types a function's body over arguments of its types.
func (s *Session) checkFunction(ctx context.Context, f *schema.Function, compiled *rewrite.Function) error {
	rel := &schema.Relation{Name: f.Name, Columns: []schema.Column{{Name: "__none", Type: vector.T(vector.Bool)}}}
	call := &pg_query.FuncCall{Funcname: []*pg_query.Node{pg_query.MakeStrNode(f.Name)}}
	for i, t := range compiled.Types {
		typ, err := parse.TypeOf(t)
		if err != nil {
			return asError(err)
		}
		name := fmt.Sprintf("__arg%d", i)
		rel.Columns = append(rel.Columns, schema.Column{Name: name, Type: typ})
		call.Args = append(call.Args, pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, 0))
	}
	n := &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: call}}
	if err := rewrite.Inline(n, func(_, name string, _ []*pg_query.Node, _ bool) (*rewrite.Function, error) {
		if name == f.Name {
			return compiled, nil
		}
		return nil, nil
	}); err != nil {
		return asError(err)
	}
	x := &exprBinder{s: s, sql: "", rel: rel, alias: f.Name}
	x.add(parse.Expr{Node: n, Text: f.Body, Position: -1})
	if err := x.bind(ctx); err != nil {
		e := *asError(err)
		e.Message, e.Position, e.Hint = fmt.Sprintf("function %q: %s", f.Name, e.Message), 0, ""
		return &e
	}
	return nil
}

// functionReaders are the features, event views and feature views whose definitions call a function.
func functionReaders(c *schema.Catalog, name string) []any {
	calls := func(sql string) bool {
		if !strings.Contains(strings.ToLower(sql), strings.ToLower(name)) {
			return false
		}
		parsed, err := parse.Parse(sql)
		if err != nil {
			return false
		}
		var body *pg_query.Node
		switch st := parsed.(type) {
		case *parse.CreateFeature:
			body = &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: st.Body.Select}}
		case *parse.CreateEventView:
			body = &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: st.Select}}
		case *parse.CreateFeatureView:
			body = st.Body.Node
		}
		found := false
		parse.Walk(body, func(m proto.Message) bool {
			if f, ok := m.(*pg_query.FuncCall); ok && len(f.Funcname) > 0 && f.Funcname[len(f.Funcname)-1].GetString_().GetSval() == name {
				found = true
			}
			return !found
		})
		return found
	}
	var out []any
	for _, f := range c.Features {
		if calls(f.SQL) {
			out = append(out, f)
		}
	}
	for _, r := range c.Relations {
		if r.View != nil && calls(r.SQL) {
			out = append(out, r)
		}
	}
	for _, v := range c.FeatureViews {
		if calls(v.SQL) {
			out = append(out, v)
		}
	}
	return out
}

// bindDropFunction binds DROP FUNCTION.
func (s *Session) bindDropFunction(st *parse.SQL, n *pg_query.DropStmt) (bound, error) {
	type target struct {
		name  string
		types []string // nil: any
	}
	var targets []target
	for _, o := range n.Objects {
		w := o.GetObjectWithArgs()
		t := target{name: w.Objname[len(w.Objname)-1].GetString_().GetSval()}
		if !w.ArgsUnspecified {
			t.types = []string{}
			for _, a := range w.Objargs {
				typ, err := parse.TypeOf(a.GetTypeName())
				if err != nil {
					return bound{}, err
				}
				if name := typ.String(); !parse.BareNumeric(a.GetTypeName()) {
					t.types = append(t.types, name)
				} else {
					t.types = append(t.types, "numeric")
				}
			}
		}
		targets = append(targets, t)
	}
	cascade := n.Behavior == pg_query.DropBehavior_DROP_CASCADE
	return s.definition(func(context.Context) (string, error) {
		var notices []session.Notice
		err := s.define(func(c *schema.Catalog) error {
			notices = notices[:0]
			for _, t := range targets {
				f := c.Function(t.name)
				if f == nil || t.types != nil && !slices.Equal(t.types, f.Types) {
					missing := fmt.Sprintf("function %s does not exist", t.name)
					if t.types != nil {
						missing = fmt.Sprintf("function %s(%s) does not exist", t.name, strings.Join(t.types, ", "))
					}
					if n.MissingOk {
						notices = append(notices, session.Notice{Message: missing + ", skipping"})
						continue
					}
					return at(fail("42883", "%s", missing), st.Text, wordIn(st.Text, t.name))
				}
				also := map[any]bool{}
				for _, r := range functionReaders(c, t.name) {
					if has(c, r) {
						removeObject(c, r, func(o any) { also[o] = true })
					}
				}
				var gone []any
				for o := range also {
					gone = append(gone, o)
				}
				if len(gone) > 0 && !cascade {
					e := hint(fail(codeDependent, "cannot drop function %s because other objects depend on it", t.name), "Use DROP … CASCADE to drop them too.")
					e.Detail = "Readers: " + strings.Join(namesOf(gone), ", ") + "."
					return at(e, st.Text, wordIn(st.Text, t.name))
				}
				if note := cascadeNotice(namesOf(gone)); note != nil {
					notices = append(notices, *note)
				}
				delete(c.Functions, f.ID)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		for _, note := range notices {
			s.notice(note)
		}
		return "DROP FUNCTION", nil
	}), nil
}
