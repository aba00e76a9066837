package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/featurelog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// sample gives rows of an online read of a view to the feature log, as often as the view's log_fraction says.
func (l *lookup) sample(view *materialize.View, when int64) error {
	if l.parts == nil || l.parts.read.view.LogFraction == 0 || l.s.reads != nil {
		return nil
	}
	v := l.parts.read.view
	var position uint64
	for i := range l.keys.N {
		if rand.Float64() >= v.LogFraction {
			continue
		}
		if position == 0 {
			var err error
			if position, err = view.Position(); err != nil {
				return err
			}
		}
		r := featurelog.Record{View: v.ID, Instant: when, Position: position, Bound: len(l.keys.Cols), Row: &vector.Chunk{N: 1}}
		add := func(name string, from *vector.Vector) {
			to := vector.New(from.Type, 1)
			to.AppendFrom(from, i)
			r.Columns, r.Row.Cols = append(r.Columns, name), append(r.Row.Cols, to)
		}
		for k, c := range v.BoundColumns() {
			add(c.Name, l.keys.Cols[k])
		}
		for o, out := range l.parts.read.outputs {
			add(out.Name, l.values[o])
		}
		l.s.e.features.Add(r)
	}
	return nil
}

// dropLogs removes the logs of the views that are in before and not in the catalog any more.
func (s *Session) dropLogs(before *schema.Catalog) error {
	now := s.e.catalog.Current()
	for id := range before.FeatureViews {
		if now.FeatureViews[id] == nil {
			if err := s.e.features.Drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowText is some columns of a record as a JSON object of their values' texts.
func (s *Session) rowText(r *featurelog.Record, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		name, _ := json.Marshal(r.Columns[i]) // a string has a JSON form
		value := []byte("null")
		if !r.Row.Cols[i].IsNull(0) {
			value, _ = json.Marshal(s.valueText(r.Row.Cols[i]))
		}
		fmt.Fprintf(&b, ", %s: %s", name, value)
	}
	return "{" + strings.TrimPrefix(b.String(), ", ") + "}"
}

// skewRead is tilehouse.skew('view', since => time) in FROM: what was logged, compared with the same reads made again.
type skewRead struct {
	name  string // of the placeholder
	view  *schema.FeatureView
	since *pg_query.Node // a SELECT of a timestamptz; nil: everything logged
	typed *typedQuery    // it, analyzed; nil: it has DuckDB's meaning
}

// skewColumns are the columns of tilehouse.skew.
var skewColumns = slices.Concat(text("column_name"), numbers("rows", "equal", "different"), text("example"))

// planSkews replaces tilehouse.skew in FROM by placeholders.
func (s *Session) planSkews(b *binder, st *parse.SQL) ([]*skewRead, error) {
	var out []*skewRead
	var err error
	parse.Walk(st.Node, func(m proto.Message) bool {
		n, ok := m.(*pg_query.Node)
		if !ok || err != nil || n.GetRangeFunction() == nil {
			return err == nil
		}
		rf := n.GetRangeFunction()
		if len(rf.Functions) != 1 {
			return true
		}
		call := rf.Functions[0].GetList().GetItems()[0].GetFuncCall()
		if call == nil || len(call.Funcname) != 2 || call.Funcname[0].GetString_().GetSval() != "tilehouse" || call.Funcname[1].GetString_().GetSval() != "skew" {
			return true
		}
		r, e := newSkew(b, call)
		if e != nil {
			err = e
			return false
		}
		r.name = fmt.Sprintf("__skew_%d", len(out))
		out = append(out, r)
		alias := rf.Alias
		n.Node = placeholder(r.name, "skew").Node
		if alias != nil {
			n.GetRangeVar().Alias = alias
		}
		return true
	})
	return out, err
}

func newSkew(b *binder, call *pg_query.FuncCall) (*skewRead, error) {
	const usage = "SELECT * FROM tilehouse.skew('view', since => now() - INTERVAL '1 day')"
	refuse := func(n *pg_query.Node, code, format string, args ...any) error {
		place := int(call.Location)
		if n != nil {
			place = max(nodeLocation(n), place)
		}
		return at(hint(fail(code, format, args...), usage), b.sql, place)
	}
	if len(call.Args) == 0 || len(call.Args) > 2 {
		return nil, refuse(nil, "42883", "tilehouse.skew takes a feature view's name, and since when")
	}
	name, null, ok := constantText(call.Args[0])
	if !ok || null {
		return nil, refuse(call.Args[0], codeUnsupported, "the feature view of tilehouse.skew must be a literal")
	}
	r := &skewRead{view: b.cat.FeatureView(name)}
	if r.view == nil {
		return nil, refuse(call.Args[0], codeUndefinedObject, "feature view %q does not exist", name)
	}
	if len(call.Args) == 2 {
		r.since = call.Args[1]
		if named := r.since.GetNamedArgExpr(); named != nil {
			if named.Name != "since" {
				return nil, refuse(r.since, "42883", "tilehouse.skew has no argument %q", named.Name)
			}
			r.since = named.Arg
		}
		parse.Walk(r.since, func(m proto.Message) bool {
			if _, ok := m.(*pg_query.ParamRef); ok {
				r.since = nil
			}
			return r.since != nil
		})
		if r.since == nil {
			return nil, refuse(nil, codeUnsupported, "since of tilehouse.skew cannot be a parameter")
		}
		since, err := castNode(r.since, "timestamptz")
		if err != nil {
			return nil, err
		}
		r.since = selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(since, 0)})
		if r.typed, err = b.piece(r.since); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// describe sets the placeholder to an empty relation.
func (r *skewRead) describe(b *binder) {
	b.setRef(r.name, fmt.Sprintf("(SELECT %s WHERE false)", nullColumns(skewColumns)), analyzedColumns(skewColumns))
}

// tally is what skew counts of one column.
type tally struct {
	rows, equal int
	example     string // of the first difference
}

// execute makes the logged reads again, at their instants and positions, and sets the placeholder to what came out.
func (r *skewRead) execute(b *binder) error {
	s := b.s
	since := everything
	if r.since != nil {
		write := func() (string, error) { return b.duckSQL(clone(r.since)) }
		if r.typed != nil {
			write = func() (string, error) { return b.typedPiece(r.typed) }
		}
		sql, err := write()
		if err != nil {
			return err
		}
		rows, err := s.conn.Query(b.ctx, sql)
		if err != nil {
			return err
		}
		ch, err := rows.Next()
		if err == nil && ch != nil && !ch.Cols[0].IsNull(0) {
			since = ch.Cols[0].I64[0]
		}
		rows.Close()
		if err != nil {
			return err
		}
	}
	if err := s.e.features.Flush(b.ctx); err != nil {
		return err
	}
	tallies := map[string]*tally{}
	batches := map[string]*skewBatch{} // by their columns
	if err := s.e.features.Scan(b.ctx, r.view.ID, since, false, func(rec featurelog.Record) (bool, error) {
		a, err := r.take(b, &rec, batches)
		if err == nil && a != nil && a.full() {
			err = r.compare(b, a, tallies)
		}
		return true, err
	}); err != nil {
		return err
	}
	// The oldest read first, so that the example is the same each time.
	for _, a := range slices.SortedFunc(maps.Values(batches), func(a, b *skewBatch) int { return slices.Compare(a.positions, b.positions) }) {
		if err := r.compare(b, a, tallies); err != nil {
			return err
		}
	}
	parts := []string{fmt.Sprintf("SELECT %s WHERE false", nullColumns(skewColumns))}
	for _, o := range r.view.Outputs {
		t := tallies[o.Name]
		if t == nil {
			t = &tally{}
		}
		example := "NULL"
		if t.example != "" {
			example = duck.QuoteLiteral(t.example)
		}
		parts = append(parts, fmt.Sprintf("SELECT %s, %d, %d, %d, %s", duck.QuoteLiteral(o.Name), t.rows, t.equal, t.rows-t.equal, example))
	}
	b.refs[r.name] = "(" + strings.Join(parts, " UNION ALL ") + ")"
	return nil
}

// sameValue reports whether two values are of one type and have equal bits.
func sameValue(a *vector.Vector, i int, b *vector.Vector, j int) bool {
	if !a.Type.Equal(b.Type) || a.IsNull(i) != b.IsNull(j) {
		return false
	}
	if a.IsNull(i) {
		return true
	}
	switch a.Type.Buffer() {
	case vector.BufI64:
		return a.I64[i] == b.I64[j]
	case vector.BufF64:
		return math.Float64bits(a.F64[i]) == math.Float64bits(b.F64[j])
	case vector.BufI128:
		return a.I128[i] == b.I128[j]
	case vector.BufNested:
		n := a.Off[i+1] - a.Off[i]
		if n != b.Off[j+1]-b.Off[j] {
			return false
		}
		for k := range n {
			for c := range a.Child {
				if !sameValue(a.Child[c], int(a.Off[i]+k), b.Child[c], int(b.Off[j]+k)) {
					return false
				}
			}
		}
		return true
	}
	return bytes.Equal(a.Bytes(i), b.Bytes(j))
}
