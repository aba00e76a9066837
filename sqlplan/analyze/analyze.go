package analyze

import (
	"errors"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// Column is a column of a relation, or an output.
type Column struct {
	Name string
	Type vector.Type // of an output: with the OID and modifier that clients see
	// Raw: a column of jsonb whose values may be written otherwise than PostgreSQL writes them.
	Raw bool
	Origin
}

// Origin is the column of a relation that an output shows as it is; zero: of none.
type Origin struct {
	Table  uint32 // the relation's object id
	Number int16  // the column's, from 1
}

// Env is what an analysis needs to know. Settings must not be nil.
type Env struct {
	// Relation gives the columns of a table that is read; known is false for one whose columns have other types than the
	// engine says: expressions over it are left as they are.
	Relation func(rv *pg_query.RangeVar) (cols []Column, known bool, err error)
	// Expands reports whether a call is of a function that package rewrite expands, and Foreign whether a function that PostgreSQL
	// does not have may be called. They may be nil.
	Expands func(name string, args []*pg_query.Node) bool
	// Returns is the type of what such a function gives, 0 where it is not known. It may be nil.
	Returns func(name string, args int) OID
	Own     func(name string) bool // whether a function is the user's own; it may be nil
	Foreign func(name string) bool
	// Params are the types that the client gave of $1, $2, …; 0: none.
	Params    []OID
	Settings  *codec.Settings
	Collation func(name string) bool // whether PostgreSQL has a collation; it may be nil
	SQL       string                 // the statement, into which locations point
	// Random names the generator of random() (pgfunc.NewRandom); "": DuckDB's.
	Random string
	// Source is the subquery in FROM that an INSERT takes its rows from: its VALUES and what has no type in it are assigned to
	// SourceTargets by place.
	Source        *pg_query.SelectStmt
	SourceTargets []Target
	// Clause is what the outputs are, in errors of aggregates among them: UPDATE, RETURNING, check constraints; "": a SELECT's list.
	Clause string
	// Role is what CURRENT_USER is, SessionRole what SESSION_USER is.
	Role, SessionRole, Database string
	Encoding                    string // of the client, as SHOW writes it
}

func (e *Env) settings() string { return pgfunc.SettingsText(e.Settings) }

// Result is what an analysis found.
type Result struct {
	// Outputs are the columns that a client sees, nil where they are not all known.
	Outputs []Column
	// Known are the outputs, those whose type is not known with none.
	Known []Column
	// Params are the types of $1, $2, … as far as they are known; Invalid: not.
	Params []vector.Type
	// Whole: no expression was left to the rules of package rewrite.
	Whole bool

	resolved map[*pg_query.FuncCall]bool
}

// Resolved reports whether a call of the query, as it was before it was changed, was given PostgreSQL's meaning.
func (r *Result) Resolved(f *pg_query.FuncCall) bool { return r.resolved[f] }

type analyzer struct {
	env         *Env
	params      map[int32]OID
	untyped     bool // something was left as it was
	lenient     bool // a relation's columns are not known
	depth       int
	clause      string // the clause that is analyzed, where that matters
	inAggregate bool
	inWindow    bool
	setsAllowed int
	structured  bool // what json_agg collects are rows
	aggregates  map[*pg_query.Node]bool
	resolved    map[*pg_query.FuncCall]bool
	rowNames    map[*pg_query.Node][]column
	alone       bool // the query is a statement, and no part of one
	late        []lateParam
}

// lateParam is a place of a parameter that gives it no type.
type lateParam struct{ number, at int32 }

// Knows reports whether PostgreSQL has a function of a name that Query gives its meaning.
func Knows(name string) bool { return len(procs[name]) > 0 }

// Query analyzes a SELECT, which is changed into one for DuckDB. Errors are *Error, or those of Env.Relation.
func Query(n *pg_query.Node, env *Env) (*Result, error) {
	a := newAnalyzer(env)
	a.alone = true
	cols, err := a.query(n, nil, false)
	if err != nil {
		return nil, err
	}
	if err := a.checkLate(); err != nil {
		return nil, err
	}
	return a.result(cols), nil
}

// checkLate refuses a parameter whose type was not given by its first place but by a later one, as PostgreSQL does.
func (a *analyzer) checkLate() error {
	for _, l := range a.late {
		if t := a.params[l.number]; t != 0 && t != oidUnknown {
			return fail("42P08", l.at, "could not determine data type of parameter $%d", l.number)
		}
	}
	return nil
}

func newAnalyzer(env *Env) *analyzer {
	return &analyzer{env: env, params: map[int32]OID{}, aggregates: map[*pg_query.Node]bool{}, resolved: map[*pg_query.FuncCall]bool{}, rowNames: map[*pg_query.Node][]column{}}
}

// result is what the analysis of a query with these outputs found.
func (a *analyzer) result(cols []column) *Result {
	out := &Result{Whole: !a.untyped, resolved: a.resolved}
	whole := true
	for _, c := range cols {
		k := Column{Name: c.name, Origin: c.origin}
		if c.t != 0 {
			k.Type = wireType(c)
		}
		whole = whole && c.t != 0
		out.Known = append(out.Known, k)
	}
	if whole {
		out.Outputs = out.Known
	}
	for i, t := range a.params {
		for int(i) > len(out.Params) {
			out.Params = append(out.Params, vector.Type{})
		}
		if t != 0 && t != oidUnknown {
			out.Params[i-1] = wireType(column{t: t, mod: -1})
		}
	}
	return out
}

// wireType is a column's type as clients see it.
func wireType(c column) vector.Type {
	if hasDimensions(c.t) {
		return vector.Type{Kind: vector.Text, Shown: plainArray(c.t), Mod: c.mod + 1}
	}
	t := pgfunc.Physical(c.t)
	if c.dec {
		t = vector.DecimalOf(uint8(c.prec), uint8(c.scale))
	}
	t.Shown, t.Mod = c.t, c.mod+1
	return t
}

// param is a parameter: of the type that the client gave, of the one that was found before, or of none yet.
func (a *analyzer) param(p *pg_query.ParamRef) value {
	i := p.Number
	if t := a.params[i]; t != 0 {
		return a.paramValue(i, p.Location)
	}
	if int(i) <= len(a.env.Params) && i > 0 {
		if t := a.env.Params[i-1]; t != 0 && t != oidUnknown {
			if types[t] == nil {
				a.untyped = true
				return untypedValue(&pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: p}})
			}
			a.params[i] = t
			return a.paramValue(i, p.Location)
		}
	}
	if _, seen := a.params[i]; !seen {
		a.params[i] = 0
	}
	return value{n: &pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: p}}, t: oidUnknown, param: i, mod: -1, at: p.Location}
}

func (a *analyzer) paramValue(i int32, at int32) value {
	t := a.params[i]
	n := &pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: &pg_query.ParamRef{Number: i, Location: at}}}
	return typed(castNode(n, physical(t)), t, at)
}

// setParam notes the type that a parameter's place gives it.
func (a *analyzer) setParam(i int32, t OID, at int32) error {
	if t == oidUnknown || polymorphic(t) {
		t = oidText
	}
	if old := a.params[i]; old != 0 && old != t {
		if !canCoerce(old, t, implicit) {
			return fail("42P08", at, "inconsistent types deduced for parameter $%d", i)
		}
		return nil
	}
	a.params[i] = t
	return nil
}

func walk(m proto.Message, visit func(proto.Message) bool) { parse.Walk(m, visit) }

func replaceParams(n *pg_query.Node, with func(i int32) *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		x, ok := m.(*pg_query.Node)
		if !ok {
			return true
		}
		if p := x.GetParamRef(); p != nil {
			x.Node = with(p.Number).Node
			return false
		}
		return true
	})
}

func asErr(err error, target any) bool { return errors.As(err, target) }
