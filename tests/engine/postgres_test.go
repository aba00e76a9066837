package engine_test

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// load makes table t (c0, c1, …) of the rows.
func load(t *testing.T, conn *pgconn.PgConn, table string, data *vector.Chunk) {
	t.Helper()
	var cols []string
	for i, v := range data.Cols {
		cols = append(cols, fmt.Sprintf("c%d %s", i, v.Type))
	}
	ctx := context.Background()
	if _, err := conn.Exec(ctx, "CREATE TABLE "+table+" ("+strings.Join(cols, ", ")+")").ReadAll(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	escape := strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r")
	for row := range data.N {
		for i, v := range data.Cols {
			if i > 0 {
				b.WriteByte('\t')
			}
			if v.IsNull(row) {
				b.WriteString("\\N")
			} else {
				b.WriteString(escape.Replace(string(codec.AppendText(nil, v, row, codec.Defaults))))
			}
		}
		b.WriteByte('\n')
	}
	if _, err := conn.CopyFrom(ctx, strings.NewReader(b.String()), "COPY "+table+" FROM STDIN"); err != nil {
		t.Fatal(err)
	}
}

// columnType is the type of a result column.
func columnType(f pgconn.FieldDescription) (vector.Type, error) {
	t, ok := codec.TypeOf(f.DataTypeOID)
	if !ok {
		return t, fmt.Errorf("column %s has type %d", f.Name, f.DataTypeOID)
	}
	list := t.Kind == vector.List
	if list {
		t = t.Elem[0]
	}
	if t.Kind == vector.Decimal {
		if f.TypeModifier < 4 {
			return t, fmt.Errorf("column %s is numeric without precision", f.Name)
		}
		t = vector.DecimalOf(uint8((f.TypeModifier-4)>>16), uint8(f.TypeModifier-4))
	}
	if list {
		t = vector.ListOf(t)
	}
	return t, nil
}

func postgresQuery(conn *pgconn.PgConn) query {
	return func(sql string, each func(c *vector.Chunk) error) error {
		r := conn.ExecParams(context.Background(), sql, nil, nil, nil, nil)
		var types []vector.Type
		for _, f := range r.FieldDescriptions() {
			typ, err := columnType(f)
			if err != nil {
				r.Close()
				return err
			}
			types = append(types, typ)
		}
		c := vector.NewChunk(types, 0)
		for r.NextRow() {
			for i, b := range r.Values() {
				if b == nil {
					c.Cols[i].AppendNull()
				} else if err := codec.AppendParsed(c.Cols[i], b, codec.Defaults); err != nil {
					r.Close()
					return err
				}
			}
			c.N++
		}
		if _, err := r.Close(); err != nil {
			return err
		}
		return each(c)
	}
}

func connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// rowsOf are random rows of (k, ts, tie, one column a type).
func rowsOf(r *rand.Rand, n int, value func(r *rand.Rand, v *vector.Vector)) *vector.Chunk {
	c := vector.NewChunk(append([]vector.Type{vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Bytes)}, types...), n)
	for range n {
		c.Cols[0].AppendInt(r.Int64N(groups))
		c.Cols[1].AppendInt([]int64{0, -1, math.MaxInt64, math.MinInt64, r.Int64N(4)}[r.IntN(5)])
		c.Cols[2].AppendBytes([][]byte{{}, {0}, {1}, {1, 0}, {0xff}}[r.IntN(5)])
		for _, v := range c.Cols[3:] {
			value(r, v)
		}
		c.N++
	}
	return c
}

// TestPostgreSQL shares one server, because starting one takes a second.
func TestPostgreSQL(t *testing.T) {
	conn := connect(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	t.Run("connect", func(t *testing.T) {
		if _, err := functions.Connect(functions.PostgreSQL, functions.Query(postgresQuery(conn))); err != nil {
			t.Errorf("%.2000s", err)
		}
	})
	t.Run("states", func(t *testing.T) {
		data := rowsOf(rand.New(rand.NewPCG(seed, 1)), 1500, random)
		load(t, conn, "t", data)
		compareAll(t, functions.PostgreSQL, postgresQuery(conn), data, bindings(t))
	})
	t.Run("values", func(t *testing.T) {
		data := rowsOf(rand.New(rand.NewPCG(seed, 2)), 1500, moderate)
		load(t, conn, "v", data)
		for _, b := range bindings(t) {
			compareValues(t, postgresQuery(conn), data, b)
		}
	})
}

// moderate appends values whose sums fit their types, so that PostgreSQL computes them.
func moderate(r *rand.Rand, v *vector.Vector) {
	switch v.Type.Kind {
	case vector.Int64:
		if r.IntN(10) == 0 {
			v.AppendNull()
		} else {
			v.AppendInt([]int64{0, -1, 1 << 62, -1 << 62, r.Int64() >> r.IntN(60)}[r.IntN(5)])
		}
	case vector.Float32, vector.Float64:
		if r.IntN(10) == 0 {
			v.AppendNull()
			return
		}
		x := []float64{0, 1, -2.5, float64(r.IntN(100000)) / 100, r.NormFloat64(), r.NormFloat64() * 1e6}[r.IntN(6)]
		if r.IntN(300) == 0 {
			x = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(3)]
		}
		v.AppendFloat(float64(float32(x)))
		if v.Type.Kind == vector.Float64 {
			v.F64[v.N-1] = x
		}
	case vector.Decimal:
		if v.Type.Precision == 12 {
			random(r, v)
			return
		}
		if r.IntN(10) == 0 {
			v.AppendNull()
			return
		}
		m := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Type.Precision)-3-max(0, 16-int64(v.Type.Scale))), nil) // a thousand of them fit, and their average
		x := new(big.Int).Mul(m, big.NewInt(int64(r.IntN(2001)-1000)))
		x.Quo(x, big.NewInt(1000)).Add(x, big.NewInt(int64(r.IntN(2000)-1000)))
		v.AppendInt128(vector.Int128FromParts(new(big.Int).Rsh(x, 64).Int64(), new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()))
	default:
		random(r, v)
	}
}

// inPostgreSQL is what PostgreSQL writes for an aggregate, with x, y for the arguments and k for a constant; "" where it has
// nothing for it. approximate is true where the result is rounded on the way.
func inPostgreSQL(b binding) (sql string, approximate bool) {
	t := vector.Type{}
	if args := b.agg.ArgTypes(); len(args) > 0 {
		t = args[0]
	}
	float := t.Buffer() == vector.BufF64
	order := "x"
	if t.Kind == vector.Text {
		order = `x COLLATE "C"`
	}
	agg := func(by string) string { return "array_agg(x ORDER BY " + by + ") FILTER (WHERE x IS NOT NULL)" }
	switch name := b.agg.Definition().Name; name {
	case "count":
		if len(b.columns) == 0 {
			return "count(*)", false
		}
		return "count(x)", false
	case "count_distinct":
		return "count(DISTINCT x)", false
	case "sum":
		if float {
			return "sum(x::float8)", true // PostgreSQL's sum of real is real
		}
		return "sum(x)", false
	case "avg":
		if float {
			return "avg(x)", true
		}
		// PostgreSQL's own avg has some 16 digits in all; its division of this many is exact enough to be rounded again.
		return "sum(x)::numeric(120,60) / count(x)", false
	case "min", "max":
		if t.Kind == vector.UUID || t.Kind == vector.Bytes {
			return "(" + agg(map[string]string{"min": "x", "max": "x DESC"}[name]) + ")[1]", false
		}
		return name + "(" + order + ")", false
	case "bool_and", "bool_or":
		return name + "(x)", false
	case "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp":
		if float {
			return name + "(x)", true
		}
		return name + "(x::numeric(98,40))", true // of integers and short decimals its square roots have some nine digits
	case "corr", "covar_pop", "covar_samp", "regr_slope", "regr_intercept":
		return name + "(x, y)", true
	case "median":
		if !float {
			return "", false
		}
		return "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)", true
	case "first", "last", "first_k", "last_k":
		if t.Kind == vector.Interval || t.Kind == vector.JSON {
			return "", false // PostgreSQL orders intervals by their length, and json not at all
		}
		by := "c1, " + order
		if strings.HasPrefix(name, "last") {
			by = "c1 DESC, " + order + " DESC"
		}
		if name == "first" || name == "last" {
			return "(" + agg(by) + ")[1]", false
		}
		return "(" + agg(by) + ")[1:k]", false
	case "top_k":
		return "(" + agg(order+" DESC") + ")[1:k]", false
	case "bottom_k":
		return "(" + agg(order) + ")[1:k]", false
	case "histogram":
		bounds := strings.Split(strings.Trim(b.constants[0], "{}"), ",")
		var counts []string
		for i := range len(bounds) + 1 {
			counts = append(counts, fmt.Sprintf("count(*) FILTER (WHERE width_bucket(x::%[1]s, ARRAY[%[2]s]::%[1]s[]) = %[3]d)",
				map[bool]string{true: "float8", false: "numeric"}[float], strings.Join(bounds, ", "), i))
		}
		return "CASE WHEN count(x) > 0 THEN ARRAY[" + strings.Join(counts, ", ") + "] END", false
	}
	return "", false
}

// compareValues compares an aggregate's values with PostgreSQL's: equal after a cast to the aggregate's type or, where PostgreSQL
// rounds on the way, within what its way loses.
func compareValues(t *testing.T, run query, data *vector.Chunk, b binding) {
	t.Helper()
	sql, approximate := inPostgreSQL(b)
	if sql == "" {
		return
	}
	var args []string
	in := &functions.Input{TS: data.Cols[1].I64}
	for i, c := range b.columns {
		args = append(args, fmt.Sprintf("c%d AS %s", c+3, []string{"x", "y"}[i]))
		in.Args = append(in.Args, data.Cols[c+3])
	}
	if len(b.constants) > 0 {
		sql = strings.ReplaceAll(sql, "[1:k]", "[1:"+b.constants[0]+"]")
	}
	typ := b.agg.ResultType()
	sql = fmt.Sprintf("SELECT c0, CAST(%s AS %s) FROM (SELECT c0, c1%s FROM v) AS q GROUP BY c0", sql, typ, strings.Join(append([]string{""}, args...), ", "))
	states := map[int64]functions.State{}
	for row := range data.N {
		g := data.Cols[0].I64[row]
		if states[g] == nil {
			states[g] = b.agg.New()
		}
		states[g].Update(in, row)
	}
	err := run(sql, func(c *vector.Chunk) error {
		for i := range c.N {
			g := c.Cols[0].I64[i]
			out := vector.New(typ, 1)
			if err := states[g].Finalize(out); err != nil {
				return err
			}
			got, want := string(codec.AppendText(nil, out, 0, codec.Defaults)), string(codec.AppendText(nil, c.Cols[1], i, codec.Defaults))
			if out.IsNull(0) || c.Cols[1].IsNull(i) {
				got, want = fmt.Sprint(out.IsNull(0)), fmt.Sprint(c.Cols[1].IsNull(i))
			}
			if got == want || approximate && near(b, in, data, g, got, want) {
				continue
			}
			t.Errorf("%s: group %d: %s, PostgreSQL %s\n%s", b.name, g, got, want, sql)
			return nil
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v\n%s", b.name, err, sql)
	}
}

// near reports whether two doubles differ by no more than the rounding of n additions of values as large as the group's: PostgreSQL
// adds deviations from a running mean, so that an error of the mean is one of every sum.
func near(b binding, in *functions.Input, data *vector.Chunk, group int64, got, want string) bool {
	x, err1 := strconv.ParseFloat(got, 64)
	y, err2 := strconv.ParseFloat(want, 64)
	if err1 != nil || err2 != nil || math.IsNaN(x) || math.IsNaN(y) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return false
	}
	size := math.Abs(x)
	switch b.agg.Definition().Name {
	case "sum", "avg", "covar_pop", "covar_samp", "regr_slope", "regr_intercept", "corr", "median":
		greatest := []float64{1, 1} // what terms that cancel may have been
		for row := range data.N {
			if data.Cols[0].I64[row] != group {
				continue
			}
			for i, v := range in.Args {
				if !v.IsNull(row) && !math.IsNaN(v.F64[row]) && !math.IsInf(v.F64[row], 0) {
					greatest[i] = max(greatest[i], math.Abs(v.F64[row]))
				}
			}
		}
		size = max(size, greatest[0]*greatest[1])
	}
	return math.Abs(x-y) <= 100*0x1p-52*size
}
