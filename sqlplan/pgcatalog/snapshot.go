package pgcatalog

import (
	"fmt"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Snapshot is PostgreSQL's catalogs over the objects that there were when it was made. It is safe for concurrent use, and implements
// duck.Provider.
type Snapshot struct {
	o        *Objects
	settings []Setting

	mu       sync.Mutex // guards what follows
	built    bool
	live     map[string]*rows  // rows of our objects by relation of pg_catalog
	index    map[string]lookup // by relation and column
	referred map[uint32]bool   // tables that refer to others or are referred to
	names    map[string]map[string][]row
	comments map[[3]int64]string // by object, catalog and column
	columns  map[[2]int64]row    // by relation and number

	pathOnce sync.Once
	pathOIDs []int64
}

// lookup are the places of rows by the value of a column.
type lookup map[int64]row

// row is a row of a relation.
type row struct {
	rel *Relation
	c   *vector.Chunk
	i   int
}

// rows are rows of our objects.
type rows struct {
	rel    *Relation
	chunks []*vector.Chunk
}

// New is a snapshot of objects and settings.
func New(o *Objects, settings []Setting) *Snapshot {
	return &Snapshot{o: o, settings: settings, live: map[string]*rows{}, index: map[string]lookup{}, names: map[string]map[string][]row{}}
}

// Objects are the objects that it shows.
func (s *Snapshot) Objects() *Objects { return s.o }

// build makes the rows of our objects. s.mu is held.
func (s *Snapshot) build() {
	if !s.built {
		s.built = true
		s.addObjects()
	}
}

// functionPrefix begins the names of functions in FROM as relations.
const functionPrefix = "function:"

// IsFunction reports whether a name of Rows is that of a function, whose rows are made when they are asked for.
func IsFunction(relation string) bool { return strings.HasPrefix(relation, functionPrefix) }

// Plain begins the name of a relation that is read without its system columns.
const Plain = "plain:"

// Rows are the rows of a table of pg_catalog or information_schema, known as "schema.name", with its system columns (tableoid, xmin,
// xmax, cmin, cmax, ctid) last, or as Plain + "schema.name".
func (s *Snapshot) Rows(relation string) (names []string, types []vector.Type, out []*vector.Chunk, err error) {
	if name, ok := strings.CutPrefix(relation, functionPrefix); ok {
		return s.functionRows(name)
	}
	name, plain := strings.CutPrefix(relation, Plain)
	r := static()[name]
	if r == nil || r.View != "" {
		return nil, nil, nil, fmt.Errorf("there is no table %s", relation)
	}
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	types = r.types()
	s.mu.Lock()
	defer s.mu.Unlock()
	out = s.chunks(r)
	if !plain {
		names = append(names, "tableoid", "xmin", "xmax", "cmin", "cmax", "ctid")
		types, out = s.withSystemColumns(r, types, out)
	}
	return names, types, out, nil
}

// withSystemColumns adds the system columns to a table's rows. s.mu is held.
func (s *Snapshot) withSystemColumns(r *Relation, types []vector.Type, chunks []*vector.Chunk) ([]vector.Type, []*vector.Chunk) {
	types = append(types, vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Text))
	oid := s.oidOf(r)
	out := make([]*vector.Chunk, len(chunks))
	for block, c := range chunks {
		wide := &vector.Chunk{N: c.N, Cols: append([]*vector.Vector{}, c.Cols...)}
		for k := range 6 {
			v := vector.New(types[len(r.Columns)+k], c.N)
			for j := range c.N {
				switch k {
				case 0:
					v.AppendInt(oid)
				case 5:
					v.AppendString(fmt.Sprintf("(%d,%d)", block, j+1))
				case 1:
					v.AppendInt(1)
				default:
					v.AppendInt(0)
				}
			}
			wide.Cols = append(wide.Cols, v)
		}
		out[block] = wide
	}
	return types, out
}

// chunks are all rows of a table, PostgreSQL's own and ours. s.mu is held.
func (s *Snapshot) chunks(r *Relation) []*vector.Chunk {
	s.build()
	out := append([]*vector.Chunk{}, r.Rows()...)
	if l := s.live[r.Name]; l != nil && r.Schema == "pg_catalog" {
		if replaced[r.Name] {
			out = nil
		}
		out = append(out, l.chunks...)
	}
	return out
}

// oidOf is the object id of a relation of PostgreSQL's own. s.mu is held.
func (s *Snapshot) oidOf(r *Relation) int64 {
	schema := int64(SchemaCatalog)
	if r.Schema != "pg_catalog" {
		schema = InformationSchema()
	}
	class := static()["pg_catalog.pg_class"]
	for _, c := range class.Rows() {
		for i := range c.N {
			w := row{class, c, i}
			if w.text("relname") == r.Name && w.int("relnamespace") == schema {
				return w.int("oid")
			}
		}
	}
	return 0
}

// InformationSchema is the object id of schema information_schema.
var InformationSchema = sync.OnceValue(func() int64 {
	r := static()["pg_catalog.pg_namespace"]
	for _, c := range r.Rows() {
		for i := range c.N {
			if w := (row{r, c, i}); w.text("nspname") == "information_schema" {
				return w.int("oid")
			}
		}
	}
	panic("pgcatalog: there is no information_schema")
})

// by finds a row of a table of pg_catalog by the value of one of its columns; ok is false where there is none.
func (s *Snapshot) by(relation, column string, value int64) (row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := relation + "." + column
	l := s.index[key]
	if l == nil {
		l = lookup{}
		r := static()["pg_catalog."+relation]
		at := r.Index(column)
		for _, c := range s.chunks(r) {
			for i := range c.N {
				l[c.Cols[at].I64[i]] = row{r, c, i}
			}
		}
		s.index[key] = l
	}
	w, ok := l[value]
	return w, ok
}

// all calls f for every row of a table of pg_catalog until it returns false.
func (s *Snapshot) all(relation string, f func(row) bool) {
	s.mu.Lock()
	r := static()["pg_catalog."+relation]
	chunks := s.chunks(r)
	s.mu.Unlock()
	for _, c := range chunks {
		for i := range c.N {
			if !f(row{r, c, i}) {
				return
			}
		}
	}
}

func (w row) col(name string) *vector.Vector {
	at := w.rel.Index(name)
	if at < 0 {
		panic(fmt.Sprintf("%s has no column %s", w.rel.Name, name))
	}
	return w.c.Cols[at]
}

func (w row) null(name string) bool   { return w.col(name).IsNull(w.i) }
func (w row) int(name string) int64   { return w.col(name).I64[w.i] }
func (w row) bool(name string) bool   { return w.col(name).I64[w.i] != 0 }
func (w row) text(name string) string { return string(w.col(name).Bytes(w.i)) }

// ints and texts are the elements of a list.
func (w row) ints(name string) []int64 {
	v := w.col(name)
	return v.Child[0].I64[v.Off[w.i]:v.Off[w.i+1]]
}

func (w row) texts(name string) []string {
	v := w.col(name)
	var out []string
	for j := v.Off[w.i]; j < v.Off[w.i+1]; j++ {
		out = append(out, string(v.Child[0].Bytes(int(j))))
	}
	return out
}

// cells are values of a row by column; those that are left out have the table's defaults, NULL, or nothing's value.
type cells map[string]any

// add adds a row of ours to a table of pg_catalog. s.mu is held.
func (s *Snapshot) add(relation string, values cells) {
	l := s.live[relation]
	if l == nil {
		r := static()["pg_catalog."+relation]
		if r == nil {
			panic("pgcatalog: no table " + relation)
		}
		l = &rows{rel: r}
		s.live[relation] = l
	}
	n := len(l.chunks)
	if n == 0 || l.chunks[n-1].N == chunkRows {
		l.chunks = append(l.chunks, vector.NewChunk(l.rel.types(), 64))
		n++
	}
	c := l.chunks[n-1]
	defaults := rowDefaults[relation]
	used := 0
	for i, column := range l.rel.Columns {
		v, ok := values[column.Name]
		if ok {
			used++
		} else if v, ok = defaults[column.Name]; !ok {
			v = nil
			if column.NotNull {
				v = zero{}
			}
		}
		appendValue(c.Cols[i], v)
	}
	if used != len(values) {
		panic(fmt.Sprintf("pgcatalog: %s has no such columns: %v", relation, values))
	}
	c.N++
}

// zero is 0, false, ” or {}.
type zero struct{}

// appendValue appends a value of Go's; nil is NULL.
func appendValue(v *vector.Vector, x any) {
	switch x := x.(type) {
	case nil:
		v.AppendNull()
	case zero:
		switch v.Type.Buffer() {
		case vector.BufI64:
			v.AppendInt(0)
		case vector.BufF64:
			v.AppendFloat(0)
		case vector.BufNested:
			v.CloseNested()
		case vector.BufI128:
			v.AppendInt128(vector.Int128{})
		default:
			v.AppendString("")
		}
	case bool:
		v.AppendBool(x)
	case int:
		if v.Type.Buffer() == vector.BufF64 {
			v.AppendFloat(float64(x))
		} else {
			v.AppendInt(int64(x))
		}
	case int16:
		v.AppendInt(int64(x))
	case int32:
		v.AppendInt(int64(x))
	case uint32:
		v.AppendInt(int64(x))
	case int64:
		v.AppendInt(x)
	case byte:
		if x == 0 {
			v.AppendString("")
		} else {
			v.AppendString(string(rune(x)))
		}
	case string:
		v.AppendString(x)
	case []string:
		if x == nil {
			v.AppendNull()
			return
		}
		for _, e := range x {
			v.Child[0].AppendString(e)
		}
		v.CloseNested()
	case []int:
		for _, e := range x {
			v.Child[0].AppendInt(int64(e))
		}
		v.CloseNested()
	case []uint32:
		for _, e := range x {
			v.Child[0].AppendInt(int64(e))
		}
		v.CloseNested()
	case []int64:
		for _, e := range x {
			v.Child[0].AppendInt(e)
		}
		v.CloseNested()
	default:
		panic(fmt.Sprintf("pgcatalog: a value of %T", x))
	}
}
