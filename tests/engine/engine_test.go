package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

const (
	groups = 40
	rows   = 6000
)

var types = []vector.Type{
	vector.T(vector.Bool), vector.T(vector.Int16), vector.T(vector.Int32), vector.T(vector.Int64), vector.T(vector.Float32),
	vector.T(vector.Float64), vector.DecimalOf(12, 2), vector.DecimalOf(28, 5), vector.DecimalOf(38, 0), vector.DecimalOf(38, 4),
	vector.DecimalOf(38, 38), vector.T(vector.Text), vector.T(vector.Bytes), vector.T(vector.UUID), vector.T(vector.Date),
	vector.T(vector.Time), vector.T(vector.Timestamp), vector.T(vector.TimestampTZ), vector.T(vector.Interval), vector.T(vector.JSON),
}

// random appends a value of v's type: NULLs, edges, values that tie, and plain ones.
func random(r *rand.Rand, v *vector.Vector) {
	if r.IntN(10) == 0 {
		v.AppendNull()
		return
	}
	pick := func(xs ...int64) { v.AppendInt(xs[r.IntN(len(xs))]) }
	switch v.Type.Kind {
	case vector.Bool:
		pick(0, 1)
	case vector.Int16:
		pick(0, -1, math.MaxInt16, math.MinInt16, int64(r.IntN(100)))
	case vector.Int32:
		pick(0, -1, math.MaxInt32, math.MinInt32, int64(r.IntN(100)))
	case vector.Int64:
		pick(0, -1, math.MaxInt64, math.MinInt64, r.Int64(), int64(r.IntN(100)))
	case vector.Date:
		pick(0, -1, vector.PosInfinity, vector.NegInfinity, int64(r.IntN(40000)-20000))
	case vector.Time:
		pick(0, 86_399_999_999, r.Int64N(86_400_000_000))
	case vector.Timestamp, vector.TimestampTZ:
		pick(0, -1, vector.PosInfinity, vector.NegInfinity, r.Int64N(4e15)-2e15)
	case vector.Float32:
		v.AppendFloat(float64([]float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.SmallestNonzeroFloat32, float32(math.NaN()), float32(math.Inf(-1)), r.Float32()}[r.IntN(7)]))
	case vector.Float64:
		x := math.Ldexp(1, r.IntN(2098)-1074)
		x = []float64{x, math.Nextafter(x, 0), math.Nextafter(x, math.Inf(1)), math.Float64frombits(r.Uint64())}[r.IntN(4)]
		v.AppendFloat([]float64{0, math.Copysign(0, -1), x, -x, x, -x, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
			float64(r.IntN(100000)) / 100, -float64(r.IntN(100)), r.NormFloat64()}[r.IntN(14)])
	case vector.Decimal:
		m := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Type.Precision)), nil)
		m.Sub(m, big.NewInt(1))
		small := big.NewInt(int64(r.IntN(2000) - 1000))
		if v.Type.Precision == 12 {
			m.SetInt64(999_999_999_999)
		}
		x := []*big.Int{m, new(big.Int).Neg(m), small, small, new(big.Int).Neg(new(big.Int).Rsh(m, uint(r.IntN(60))))}[r.IntN(5)]
		v.AppendInt128(vector.Int128FromParts(new(big.Int).Rsh(x, 64).Int64(), new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()))
	case vector.UUID:
		b := make([]byte, 16)
		b[r.IntN(16)] = byte(r.IntN(256))
		v.AppendBytes(b)
	case vector.Interval:
		b := make([]byte, 16)
		b[[]int{0, 1, 4, 5, 8, 9}[r.IntN(6)]] = byte(r.IntN(4))
		v.AppendBytes(b)
	case vector.Bytes:
		v.AppendString([]string{"", "\x00", "a\x00b", "\xff\xfe", fmt.Sprint(r.IntN(50))}[r.IntN(5)])
	case vector.JSON:
		v.AppendString([]string{"{}", `{"a":1}`, `{"a": 1}`, fmt.Sprint(r.IntN(50))}[r.IntN(4)])
	case vector.Text:
		v.AppendString([]string{"", "a", "A", "ä", "z", "ﬀ", "日本", "😀", fmt.Sprint(r.IntN(50))}[r.IntN(9)])
	}
}

// table is rows of (k, ts, tie, one column a type), in an engine and as vectors.
func table(t *testing.T, r *rand.Rand, conn *duck.Conn) *vector.Chunk {
	t.Helper()
	ctx := context.Background()
	all := append([]vector.Type{vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Bytes)}, types...)
	var cols []string
	for i, typ := range all {
		cols = append(cols, fmt.Sprintf("c%d %s", i, typ.DuckDB()))
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE t ("+strings.Join(cols, ", ")+")"); err != nil {
		t.Fatal(err)
	}
	app, err := conn.Appender("", "", "t")
	if err != nil {
		t.Fatal(err)
	}
	whole, part := vector.NewChunk(all, rows), vector.NewChunk(all, 1000)
	for i := range rows {
		whole.Cols[0].AppendInt(r.Int64N(groups))
		whole.Cols[1].AppendInt([]int64{0, -1, math.MaxInt64, math.MinInt64, r.Int64N(4)}[r.IntN(5)])
		whole.Cols[2].AppendBytes([][]byte{{}, {0}, {1}, {1, 0}, {0xff}}[r.IntN(5)])
		for _, v := range whole.Cols[3:] {
			random(r, v)
		}
		whole.N++
		if part.AppendRow(whole, i); part.N == 1000 {
			if err := app.Append(part); err != nil {
				t.Fatal(err)
			}
			part.Reset()
		}
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	return whole
}

// binding is an aggregate and the columns of the table that it takes.
type binding struct {
	agg       functions.Aggregate
	columns   []int
	constants []string
	name      string
}

// bindings are every aggregate of the list over every type that it takes, pairs of types being many one of four, with each sample of
// its constants.
func bindings(t *testing.T) (out []binding) {
	seen := map[string]bool{}
	for _, d := range functions.Aggregates {
		sets := [][]string{nil}
		for _, p := range d.Parameters {
			var more [][]string
			for _, set := range sets {
				for _, sample := range p.Samples {
					more = append(more, append(append([]string(nil), set...), sample))
				}
			}
			sets = more
		}
		n := len(out)
		for _, set := range sets {
			add := func(cols ...int) {
				var args []vector.Type
				var key []string // what the aggregate sees
				for _, c := range cols {
					args = append(args, types[c])
				}
				for range set {
					args = append(args, vector.T(vector.Int64))
				}
				a, err := d.Bind(args, append(make([]string, len(cols)), set...), functions.Options{MaxState: 1 << 30})
				if err != nil {
					return
				}
				for i, t := range a.ArgTypes() {
					if !t.Equal(types[cols[i]]) { // the binder would add a cast, which DuckDB makes of decimals and others by rules of its own
						return
					}
					key = append(key, t.String())
				}
				name := fmt.Sprint(d.Name, key, set)
				if !seen[name] {
					seen[name] = true
					out = append(out, binding{a, cols, set, name})
				}
			}
			add()
			for i := range types {
				add(i)
				for j := range types {
					if (i+j)%4 == 0 || i == j {
						add(i, j)
					}
				}
			}
		}
		if len(out) == n {
			t.Errorf("%s takes none of the types", d.Name)
		}
	}
	return out
}

func TestDuckDBComputesTheSameStates(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	db, err := duck.Open("", duck.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	data := table(t, r, conn)
	all := bindings(t)
	compareAll(t, functions.DuckDB, duckQuery(conn), data, all)
}

// query runs SQL and calls each with its rows, in chunks.
type query func(sql string, each func(c *vector.Chunk) error) error

func duckQuery(conn *duck.Conn) query {
	return func(sql string, each func(c *vector.Chunk) error) error {
		res, err := conn.Query(context.Background(), sql)
		if err != nil {
			return err
		}
		defer res.Close()
		for {
			c, err := res.Next()
			if err != nil || c == nil {
				return err
			}
			if err := each(c); err != nil {
				return err
			}
		}
	}
}

func compareAll(t *testing.T, d functions.Dialect, q query, data *vector.Chunk, all []binding) {
	t.Helper()
	for i, b := range all {
		form := []string{"keyed", "single"}[i%2]
		compare(t, d, q, data, b, form)
		if b.agg.Definition().Ordered {
			compare(t, d, q, data, b, "tied")
		}
	}
	t.Logf("%d bound aggregates", len(all))
}

// compare groups the table by SQL and in Go, and compares states.
func compare(t *testing.T, d functions.Dialect, run query, data *vector.Chunk, b binding, form string) {
	t.Helper()
	a, name := b.agg, b.name+" "+form
	in := functions.PartialInput{From: "t", TS: "c1"}
	goIn := &functions.Input{TS: data.Cols[1].I64}
	for _, c := range b.columns {
		in.Args = append(in.Args, fmt.Sprintf("c%d", c+3))
		goIn.Args = append(goIn.Args, data.Cols[c+3])
	}
	group := func(row int) int64 { return data.Cols[0].I64[row] }
	switch form {
	case "keyed":
		in.Keys, in.Where = []string{"c0", "c0 % 2"}, "c0 <> 7"
	case "single":
		in.From, group = "(SELECT * FROM t WHERE c0 < 20) AS u", func(row int) int64 { return -1 }
	case "tied":
		in.Keys, in.Tie, goIn.Tie = []string{"c0"}, "c2", data.Cols[2]
	}
	want := map[int64]functions.State{}
	for row := range data.N {
		if k := data.Cols[0].I64[row]; form == "keyed" && k == 7 || form == "single" && k >= 20 {
			continue
		}
		g := group(row)
		if want[g] == nil {
			want[g] = a.New()
		}
		want[g].Update(goIn, row)
	}
	q := a.PartialSQL(d, in)
	got := map[int64]functions.State{}
	err := run(q.SQL, func(c *vector.Chunk) error {
		if n := len(c.Cols); n != len(in.Keys)+q.Columns {
			return fmt.Errorf("%d columns, not %d keys and %d", n, len(in.Keys), q.Columns)
		}
		for i := range c.N {
			g := int64(-1)
			if len(in.Keys) > 0 {
				g = c.Cols[0].I64[i]
			}
			if got[g] == nil {
				got[g] = a.New()
			}
			if err := q.Fold(got[g], c.Cols[len(in.Keys):], i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v\n%.3000s", name, err, q.SQL)
		return
	}
	for g, s := range want {
		if got[g] == nil {
			got[g] = a.New() // an empty state may be absent
		}
		if x, y := got[g].Append(nil), s.Append(nil); !bytes.Equal(x, y) {
			t.Errorf("%s: group %d: %s %.80x, Go %.80x\n%.1500s", name, g, d, x, y, q.SQL)
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d groups, not %d", name, len(got), len(want))
	}
}
