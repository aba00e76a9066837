package functions

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// ErrEngine is wrapped by the error of Connect about an engine that computes other states than Go does.
var ErrEngine = errors.New("the engine computes other partial states")

// Query runs SQL on one session of an engine and calls each with its rows, a chunk at a time. each is not called where there are
// none, and its error ends the query and is returned.
type Query func(sql string, each func(c *vector.Chunk) error) error

// Engine is an engine that was found to compute the states that Go computes.
type Engine struct{ dialect Dialect }

// edgeTable is the temporary relation of edge values, which Connect makes and drops.
const edgeTable = "tilehouse_edge_values"

// Connect computes every aggregate's states of some hundred edge values in the engine and compares them with Go's, byte by byte. It
// takes about a second of DuckDB's time, so it is called before an engine's first states are asked for and not when the server
// starts: the server folds its states in Go. Errors: one wrapping ErrEngine that names the aggregate and the statement, and those of query.
func Connect(d Dialect, query Query) (*Engine, error) {
	edges := edgeValues(d)
	none := func(*vector.Chunk) error { return nil }
	relation := map[bool]string{true: "VIEW", false: "TABLE"}[d == Spark]
	if err := query("CREATE TEMPORARY "+relation+" "+edgeTable+" AS "+edges.sql(d), none); err != nil {
		return nil, fmt.Errorf("edge values: %w", err)
	}
	var errs []error
	for _, c := range edges.checks(d) {
		if err := c.run(d, query, edges); err != nil {
			errs = append(errs, err)
			break
		}
	}
	if err := query("DROP "+relation+" "+edgeTable, none); err != nil {
		errs = append(errs, fmt.Errorf("edge values: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Engine{d}, nil
}

// Partial is the engine's computation of an aggregate's states.
func (e *Engine) Partial(a Aggregate, in PartialInput) PartialQuery {
	return a.PartialSQL(e.dialect, in)
}

// edges are rows of (k, ts, tie, a column for each type): a value of each type in every row, or NULL.
type edges struct {
	types []vector.Type
	cols  []*vector.Vector
	rows  int
}

func edgeValues(d Dialect) *edges {
	all := []vector.Type{vector.T(vector.Bool), vector.T(vector.Int32), vector.T(vector.Int64), vector.DecimalOf(12, 2), vector.DecimalOf(38, 4),
		vector.DecimalOf(38, 38), vector.T(vector.Float32), vector.T(vector.Float64), vector.T(vector.Text), vector.T(vector.Bytes), vector.T(vector.Date),
		vector.T(vector.TimestampTZ)}
	e := &edges{}
	var values []*vector.Vector
	for _, t := range all {
		if d.Has(t) {
			v := vector.New(t, 0)
			appendEdges(v)
			e.types, values, e.rows = append(e.types, t), append(values, v), max(e.rows, v.N)
		}
	}
	// Shorter lists repeat, each with a NULL at its end, and lengths that share few factors pair values in many ways.
	for _, v := range values {
		v.AppendNull()
		out := vector.New(v.Type, e.rows)
		for i := range e.rows {
			out.AppendFrom(v, i%v.N)
		}
		e.cols = append(e.cols, out)
	}
	return e
}

// appendEdges appends values that engines are known to differ on, or might.
func appendEdges(v *vector.Vector) {
	switch t := v.Type; t.Kind {
	case vector.Bool:
		v.AppendBool(true)
		v.AppendBool(false)
		v.AppendBool(true)
	case vector.Int32:
		for _, x := range []int64{0, 1, -1, math.MaxInt32, math.MinInt32, 1 << 21, -1<<21 - 1, 7} {
			v.AppendInt(x)
		}
	case vector.Int64:
		for _, x := range []int64{0, -1, math.MaxInt64, math.MinInt64, 1<<42 - 1, -1 << 42, 1<<53 + 1, 5, -7} {
			v.AppendInt(x)
		}
	case vector.Date:
		for _, x := range []int64{0, -1, 19_000, -200_000} {
			v.AppendInt(x)
		}
	case vector.TimestampTZ:
		for _, x := range []int64{0, -1, 1_700_000_000_123_456, -2_000_000_000_000_001, 1} {
			v.AppendInt(x)
		}
	case vector.Decimal:
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
		for _, x := range []*big.Int{new(big.Int).Sub(most, big.NewInt(1)), new(big.Int).Sub(big.NewInt(1), most), new(big.Int), big.NewInt(-5), big.NewInt(1_000_000),
			new(big.Int).Quo(most, big.NewInt(7)), big.NewInt(99)} {
			v.AppendInt128(int128Of(x))
		}
	case vector.Float32:
		for _, x := range []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.SmallestNonzeroFloat32, 0.1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			v.AppendFloat(float64(x))
		}
	case vector.Float64:
		for _, x := range []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1, 12.5, 1e15 + 0.3} {
			v.AppendFloat(x)
			v.AppendFloat(-x)
		}
		// Where chunks begin, then powers of two at every distance from there, and the numbers beside.
		for e := -1036; e < 1024; e += 32 {
			v.AppendFloat(math.Ldexp(1, e))
			v.AppendFloat(-math.Nextafter(math.Ldexp(1, e), 0))
		}
		for e := -1074; e < 1024; e += 31 {
			for _, x := range []float64{math.Ldexp(1, e), math.Ldexp(1.984375, e)} {
				v.AppendFloat(-x)
				v.AppendFloat(math.Nextafter(x, 0))
			}
		}
	case vector.Text:
		for _, s := range []string{"", "a", "A", "B", "ä", "z", "日本", "😀", "ﬀ", "O'Hara", `\`, "%"} {
			v.AppendString(s)
		}
	default:
		for _, s := range []string{"", "\x00", "a\x00b", "\xff\xfe", "'"} {
			v.AppendString(s)
		}
	}
}

func int128Of(x *big.Int) vector.Int128 {
	low := new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64))
	return vector.Int128FromParts(new(big.Int).Rsh(x, 64).Int64(), low.Uint64())
}

// key, time and tie are the same everywhere: few keys and times, so that groups are large and times tie.
func (e *edges) key(row int) int64  { return int64(row % 5) }
func (e *edges) time(row int) int64 { return int64(row*row%11) - 5 }
func (e *edges) tie(row int) []byte { return []byte{0, byte(row % 3)}[row%2:] }

// sql is the relation as a SELECT.
func (e *edges) sql(d Dialect) string {
	var b strings.Builder
	for row := range e.rows {
		if row > 0 {
			b.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&b, "SELECT %s AS k, %s AS ts, %s AS tie", d.bigint(fmt.Sprint(e.key(row))), d.bigint(fmt.Sprint(e.time(row))), d.bytes(e.tie(row)))
		for i, v := range e.cols {
			fmt.Fprintf(&b, ", %s AS c%d", d.literal(v, row), i)
		}
	}
	return b.String()
}

// literal is value i of v.
func (d Dialect) literal(v *vector.Vector, i int) string {
	t := v.Type
	var text string
	switch {
	case v.IsNull(i):
		return d.cast("NULL", t)
	case t.Kind == vector.Bool:
		return fmt.Sprint(v.I64[i] != 0)
	case t.Kind == vector.Date:
		return "(" + d.cast("'1970-01-01'", t) + fmt.Sprintf(" + %d)", v.I64[i])
	case t.Kind == vector.TimestampTZ:
		return d.instant(v.I64[i])
	case t.Kind == vector.Bytes:
		return d.bytes(v.Bytes(i))
	case t.Kind == vector.Decimal:
		text = string(appendDecimal(nil, v.I128[i], int(t.Scale)))
	case t.Buffer() == vector.BufI64:
		text = fmt.Sprint(v.I64[i])
	case t.Kind == vector.Text:
		return "'" + strings.ReplaceAll(d.escape(string(v.Bytes(i))), "'", "''") + "'"
	case math.IsInf(v.F64[i], 0):
		text = map[bool]string{true: "Infinity", false: "-Infinity"}[v.F64[i] > 0]
	case t.Kind == vector.Float32:
		text = fmt.Sprintf("%.9g", v.F64[i])
	default:
		text = fmt.Sprintf("%.17g", v.F64[i])
	}
	return d.cast("'"+text+"'", t)
}

// escape is the text of a literal but for its quotes.
func (d Dialect) escape(s string) string {
	if d == Spark {
		return strings.ReplaceAll(s, `\`, `\\`)
	}
	return s
}

func (d Dialect) bytes(b []byte) string {
	switch d {
	case DuckDB:
		return fmt.Sprintf("system.main.unhex('%X')", b)
	case PostgreSQL:
		return fmt.Sprintf(`'\x%x'::bytea`, b)
	default:
		return fmt.Sprintf("X'%X'", b)
	}
}

// instant is a timestamptz of microseconds since 1970.
func (d Dialect) instant(micros int64) string {
	switch d {
	case DuckDB:
		return fmt.Sprintf("system.main.make_timestamptz(%d)", micros)
	case PostgreSQL:
		return fmt.Sprintf("(TIMESTAMPTZ '1970-01-01 00:00:00Z' + %d * INTERVAL '1 microsecond')", micros)
	default:
		return fmt.Sprintf("timestamp_micros(%d)", micros)
	}
}

// check is an aggregate and the columns that it takes.
type check struct {
	agg  Aggregate
	args []int
}

// checks are every aggregate over the types that it takes: alone, and in pairs as maps and pairs of numbers take them.
func (e *edges) checks(d Dialect) (out []check) {
	for _, def := range Aggregates {
		var constants []string
		for _, p := range def.Parameters {
			constants = append(constants, p.Samples[len(p.Samples)-1])
		}
		seen := map[string]bool{}
		try := func(args ...int) {
			var types []vector.Type
			for _, a := range args {
				types = append(types, e.types[a])
			}
			for range constants {
				types = append(types, vector.T(vector.Int64))
			}
			a, err := def.Bind(types, append(make([]string, len(args)), constants...), Options{MaxState: math.MaxInt32})
			if err != nil {
				return
			}
			for i, t := range a.ArgTypes() {
				if !t.Equal(types[i]) { // what casts do is no matter of states
					return
				}
			}
			if key := fmt.Sprint(a.ArgTypes()); !seen[key] {
				seen[key], out = true, append(out, check{a, args})
			}
		}
		try()
		for i := range e.types {
			try(i)
			try(i, len(e.types)-1-i)
			try(i, i)
		}
	}
	return out
}

// run compares the states of a check, by key.
func (c *check) run(d Dialect, query Query, e *edges) error {
	in := PartialInput{From: edgeTable, Keys: []string{"k"}, TS: "ts", Tie: "tie"}
	rows := &Input{Tie: vector.New(vector.T(vector.Bytes), e.rows)}
	for row := range e.rows {
		rows.TS = append(rows.TS, e.time(row))
		rows.Tie.AppendBytes(e.tie(row))
	}
	for _, a := range c.args {
		in.Args, rows.Args = append(in.Args, fmt.Sprintf("c%d", a)), append(rows.Args, e.cols[a])
	}
	want, got := map[int64]State{}, map[int64]State{}
	for row := range e.rows {
		if k := e.key(row); want[k] == nil {
			want[k], got[k] = c.agg.New(), c.agg.New()
		}
		want[e.key(row)].Update(rows, row)
	}
	q := c.agg.PartialSQL(d, in)
	differs := func(what string) error {
		return fmt.Errorf("%w: %s: %s%v: %s: %s", ErrEngine, d, c.agg.Definition().Name, c.agg.ArgTypes(), what, q.SQL)
	}
	err := query(q.SQL, func(chunk *vector.Chunk) error {
		if len(chunk.Cols) != 1+q.Columns || chunk.Cols[0].Type.Buffer() != vector.BufI64 {
			return differs("the result has other columns")
		}
		for i := range chunk.N {
			s := got[chunk.Cols[0].I64[i]]
			if s == nil || chunk.Cols[0].IsNull(i) {
				return differs("the result has a key that no row has")
			}
			if err := q.Fold(s, chunk.Cols[1:], i); err != nil {
				return differs(err.Error())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, s := range want {
		if x, y := got[k].Append(nil), s.Append(nil); !bytes.Equal(x, y) {
			return differs(fmt.Sprintf("%.40x is not %.40x", x, y))
		}
	}
	return nil
}
