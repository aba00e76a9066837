package pgfunc

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Function is a function, operator or cast of PostgreSQL's, and what computes it: an expression of DuckDB's, or a function of ours.
type Function struct {
	// Call is how PostgreSQL's catalog knows it: "lower(text)", "text || text", "- interval", "cast(text as int4)",
	// "json_each(json)#key" for a column of a function in FROM; or a name of ours, beginning with "__", that other expressions use.
	Call string
	Help string // one line
	// SQL is an expression over $1, $2, …; "" where the function is ours.
	SQL string
	// Name is a function of ours, in DuckDB; Settings says that it takes the session's settings first.
	Name     string
	Settings bool
	JSON     bool // a VARIADIC "any" gets json instead of texts
	// Ranged: SQL is over the texts of the arguments, and one more, the name of the range's type.
	Ranged bool

	scalar *duck.Scalar
	once   sync.Once
	tree   *pg_query.Node
	err    error
}

// Template is the tree of SQL, which must not be changed.
func (f *Function) Template() (*pg_query.Node, error) {
	f.once.Do(func() {
		r, err := pg_query.Parse("SELECT " + f.SQL)
		if err != nil {
			f.err = fmt.Errorf("template of %s: %w", f.Call, err)
			return
		}
		f.tree = r.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
	})
	return f.tree, f.err
}

var (
	list   []*Function
	byCall = map[string]*Function{}
)

// List is every function, in no order.
func List() []*Function { return list }

// Find is the function of a call, nil where there is none.
func Find(call string) *Function { return byCall[call] }

// Named reports whether the list has functions of a name.
func Named(name string) bool {
	namesOnce.Do(func() {
		for _, f := range list {
			if n, _, ok := strings.Cut(f.Call, "("); ok {
				names[n] = true
			}
		}
	})
	return names[name]
}

var (
	names     = map[string]bool{"pg_typeof": true, "to_json": true, "to_jsonb": true, "array_to_json": true, "row_to_json": true}
	namesOnce sync.Once
)

// Scalars are the functions of ours, to be registered with an engine.
func Scalars() []duck.Scalar {
	var out []duck.Scalar
	for _, f := range list {
		if f.scalar != nil {
			out = append(out, *f.scalar)
		}
	}
	return out
}

func add(f *Function) *Function {
	if byCall[f.Call] != nil {
		panic("pgfunc: " + f.Call + " is listed twice")
	}
	list = append(list, f)
	byCall[f.Call] = f
	return f
}

// sql lists functions that are expressions of DuckDB's: lines of a call, two tabs or more, and the expression.
func sql(lines string) {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		call, expr, ok := strings.Cut(line, "\t")
		if !ok {
			panic("pgfunc: no expression in " + line)
		}
		for _, c := range strings.Split(call, " ;; ") {
			add(&Function{Call: strings.TrimSpace(c), SQL: strings.TrimSpace(expr)})
		}
	}
}

// args are the arguments of a row.
type args struct {
	v    []*vector.Vector
	i    int
	set  *codec.Settings
	call *duck.Call
}

func (a args) null(k int) bool     { return a.v[k].IsNull(a.i) }
func (a args) b(k int) []byte      { return a.v[k].Bytes(a.i) }
func (a args) n(k int) int64       { return a.v[k].I64[a.i] }
func (a args) f(k int) float64     { return a.v[k].F64[a.i] }
func (a args) t(k int) bool        { return a.v[k].I64[a.i] != 0 }
func (a args) span(k int) interval { return intervalOf(a.v[k], a.i) }

// s is a text, which is the argument's own: nobody changes that, and what keeps it keeps all of the arguments.
func (a args) s(k int) string {
	b := a.v[k].Bytes(a.i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// workPerElement is the work of appending an element to a list, beside that of its bytes.
const workPerElement = 16

// texts are the elements of a list of texts; nil stands for NULL.
func (a args) texts(k int) []*string {
	c, from, to := a.elements(k)
	a.call.Hold((to - from) * int(unsafe.Sizeof((*string)(nil))+unsafe.Sizeof("")))
	out, texts := make([]*string, to-from), make([]string, to-from)
	for i := range out {
		a.call.Work(4)
		if !c.IsNull(from + i) {
			b := c.Bytes(from + i)
			texts[i] = unsafe.String(unsafe.SliceData(b), len(b))
			out[i] = &texts[i]
		}
	}
	return out
}

// elements are the first and the end of a list's elements in v.Child[0].
func (a args) elements(k int) (c *vector.Vector, from, to int) {
	v := a.v[k]
	return v.Child[0], int(v.Off[a.i]), int(v.Off[a.i+1])
}

type run func(a args, out *vector.Vector) error

type option func(*Function, *duck.Scalar)

// nulls: NULL arguments are given to the function.
func nulls(_ *Function, s *duck.Scalar) { s.Nulls = true }

// settings: the function depends on the session's settings.
func settings(f *Function, s *duck.Scalar) {
	f.Settings = true
	s.Params = append([]vector.Type{vector.T(vector.Text)}, s.Params...)
}

func volatile(_ *Function, s *duck.Scalar) { s.Volatile = true }

var nameOf = strings.NewReplacer(" ", "_", "(", "_", ")", "", ",", "_", "||", "cat", "+", "plus", "-", "minus", "*", "times", "/", "over", "%", "mod",
	"<", "lt", ">", "gt", "=", "eq", "@", "at", "?", "has", "#", "hash", "&", "and", "|", "or", "~", "tilde", "!", "not", "^", "pow", "\"", "")

// ours lists a function of ours. call is as in Function.Call; result is the type's name.
func ours(call, result string, fn run, opts ...option) *Function {
	f := &Function{Call: call, Name: "__" + nameOf.Replace(call)}
	if strings.HasPrefix(call, "__") {
		f.Name, _, _ = strings.Cut(call, "(")
	}
	s := &duck.Scalar{Name: f.Name, Params: paramsOf(call), Result: typeNamed(result)}
	for _, o := range opts {
		o(f, s)
	}
	skip := 0
	if f.Settings {
		skip = 1
	}
	s.Run = func(c *duck.Call, v []*vector.Vector, i int, out *vector.Vector) error {
		a := args{v: v[skip:], i: i, call: c}
		if skip > 0 {
			a.set = settingsOf(v[0].Bytes(i))
		} else {
			a.set = codec.Defaults
		}
		if err := fn(a, out); err != nil {
			return engineError(err)
		}
		return nil
	}
	f.scalar = s
	return add(f)
}

// paramsOf are the types that a call names.
func paramsOf(call string) []vector.Type {
	if before, _, ok := strings.Cut(call, ")#"); ok { // a column of a function in FROM
		call = before + ")"
	}
	var names []string
	switch {
	case strings.HasPrefix(call, "cast("):
		names = []string{strings.Fields(call[5:])[0]}
	case strings.HasSuffix(call, ")"):
		inner := call[strings.IndexByte(call, '(')+1 : len(call)-1]
		if inner != "" {
			names = strings.Split(inner, ",")
		}
	default:
		f := strings.Fields(call)
		if len(f) == 3 {
			names = []string{f[0], f[2]}
		} else {
			names = []string{f[1]}
		}
	}
	out := make([]vector.Type, len(names))
	for i, n := range names {
		out[i] = typeNamed(n)
	}
	return out
}

func engineError(err error) error {
	switch e := err.(type) {
	case *codec.Error:
		return &duck.Error{SQLState: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
	case *duck.Error:
		return e
	}
	return &duck.Error{SQLState: "XX000", Message: err.Error()}
}

func bad(code, format string, a ...any) error {
	return &codec.Error{Code: code, Message: fmt.Sprintf(format, a...)}
}
