package duck

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Every type of DuckDB, with its extremes, arrives as the type and value that doc.go promises.
func TestTypes(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 1}))
	tt := vector.T
	for _, x := range []struct {
		sql  string
		typ  vector.Type
		want string
	}{
		{"true", tt(vector.Bool), "true"},
		{"(-128)::tinyint", tt(vector.Int16), "-128"}, {"255::utinyint", tt(vector.Int16), "255"}, {"(-32768)::smallint", tt(vector.Int16), "-32768"},
		{"65535::usmallint", tt(vector.Int32), "65535"}, {"(-2147483648)::int", tt(vector.Int32), "-2147483648"},
		{"4294967295::uinteger", tt(vector.Int64), "4294967295"}, {"(-9223372036854775808)::bigint", tt(vector.Int64), "-9223372036854775808"},
		{"18446744073709551615::ubigint", vector.DecimalOf(38, 0), "18446744073709551615"},
		{"99999999999999999999999999999999999999::hugeint", vector.DecimalOf(38, 0), "99999999999999999999999999999999999999"},
		{"(-99999999999999999999999999999999999999)::hugeint", vector.DecimalOf(38, 0), "-99999999999999999999999999999999999999"},
		{"99999999999999999999999999999999999999::uhugeint", vector.DecimalOf(38, 0), "99999999999999999999999999999999999999"},
		{"(-12345678901234567890123456789012345678)::bignum", vector.DecimalOf(38, 0), "-12345678901234567890123456789012345678"},
		{"0::bignum", vector.DecimalOf(38, 0), "0"}, {"300::bignum", vector.DecimalOf(38, 0), "300"},
		{"1.5::float", tt(vector.Float32), "1.5"}, {"'-inf'::double", tt(vector.Float64), "-Infinity"}, {"'nan'::double", tt(vector.Float64), "NaN"},
		{"(-12.34)::decimal(4,2)", vector.DecimalOf(4, 2), "-12.34"}, {"1234567.89::decimal(9,2)", vector.DecimalOf(9, 2), "1234567.89"},
		{"(-1234567890123456.78)::decimal(18,2)", vector.DecimalOf(18, 2), "-1234567890123456.78"},
		{"'-1234567890123456789012345678.0123456789'::decimal(38,10)", vector.DecimalOf(38, 10), "-1234567890123456789012345678.0123456789"},
		{"'twelve bytes'", tt(vector.Text), "twelve bytes"}, {"'thirteen byte' || 's é'", tt(vector.Text), "thirteen bytes é"}, {"''", tt(vector.Text), ""},
		{`'\x00\xFF'::blob`, tt(vector.Bytes), `\x00ff`}, {"'0101100111'::bit", tt(vector.Text), "0101100111"}, {"'1'::bit", tt(vector.Text), "1"},
		{"'0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'::uuid", tt(vector.UUID), "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"},
		{"'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid", tt(vector.UUID), "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		{"'1969-12-31'::date", tt(vector.Date), "1969-12-31"}, {"'infinity'::date", tt(vector.Date), "infinity"}, {"'-infinity'::date", tt(vector.Date), "-infinity"},
		{"'23:59:59.999999'::time", tt(vector.Time), "23:59:59.999999"}, {"'12:34:56.789123456'::time_ns", tt(vector.Time), "12:34:56.789123"},
		{"'12:34:56.7+05:30'::timetz", tt(vector.Text), "12:34:56.7+05:30"}, {"'00:00:00-15:59:59'::timetz", tt(vector.Text), "00:00:00-15:59:59"},
		{"'2020-01-02 03:04:05.000006'::timestamp", tt(vector.Timestamp), "2020-01-02T03:04:05.000006"},
		{"'infinity'::timestamp", tt(vector.Timestamp), "infinity"}, {"'-infinity'::timestamp_ns", tt(vector.Timestamp), "-infinity"},
		{"'infinity'::timestamp_s", tt(vector.Timestamp), "infinity"}, {"'-infinity'::timestamp_ms", tt(vector.Timestamp), "-infinity"},
		{"'1969-12-31 23:59:59'::timestamp_s", tt(vector.Timestamp), "1969-12-31T23:59:59"},
		{"'1969-12-31 23:59:59.123'::timestamp_ms", tt(vector.Timestamp), "1969-12-31T23:59:59.123"},
		{"'2020-01-02 03:04:05.123456789'::timestamp_ns", tt(vector.Timestamp), "2020-01-02T03:04:05.123456"},
		{"'2020-01-02 03:04:05+02'::timestamptz", tt(vector.TimestampTZ), "2020-01-02T01:04:05+00:00"}, {"'-infinity'::timestamptz", tt(vector.TimestampTZ), "-infinity"},
		{"interval '14 months 3 days -04:05:06.7'", tt(vector.Interval), "1 year 2 mons 3 days -04:05:06.7"}, {"interval '0 days'", tt(vector.Interval), "00:00:00"},
		{"'b'::enum('a','b','ccccccccccccccccc')", tt(vector.Text), "b"}, {"'{\"a\": 1}'::json", tt(vector.JSON), `{"a": 1}`},
		{"[1, NULL, 3]", vector.ListOf(tt(vector.Int32)), "[1,null,3]"}, {"[]::int[]", vector.ListOf(tt(vector.Int32)), "[]"},
		{"[['a'], [], NULL, ['b', 'c']]", vector.ListOf(vector.ListOf(tt(vector.Text))), `[["a"],[],null,["b","c"]]`},
		{"map {'z': 1, 'a': NULL, 'm': 3}", vector.MapOf(tt(vector.Text), tt(vector.Int32)), `{"a":null,"m":3,"z":1}`},
		{"[map {2: ['x'], 1: ['y', 'z']}, map {}, map {1: []}]", vector.ListOf(vector.MapOf(tt(vector.Int32), vector.ListOf(tt(vector.Text)))), `[{"1":["y","z"],"2":["x"]},{},{"1":[]}]`},
		{"map {[2]: 'b', [1]: 'a'}", tt(vector.JSON), `[[[2],"b"],[[1],"a"]]`},
		{`{'a': 1, 'b"c': [1.50, NULL], 'd': {'e': DATE '2020-01-01', 'f': NULL, 'g': 'nan'::double}, 'h': '\x01'::blob, 'j': '[1]'::json}`, tt(vector.JSON),
			`{"a":1,"b\"c":[1.50,null],"d":{"e":"2020-01-01","f":null,"g":"NaN"},"h":"\\x01","j":[1]}`},
		{"union_value(k := 'x')::union(i int, k varchar)", tt(vector.JSON), `"x"`}, {"5::union(i int, k varchar)", tt(vector.JSON), "5"},
	} {
		// The column holds the value, NULLs and, past the first chunk, the value again.
		sql := fmt.Sprintf("SELECT CASE WHEN i %% 3 = 0 THEN %s END FROM range(5000) r(i)", x.sql)
		ch, err := read(c, sql)
		if err != nil {
			t.Errorf("%s: %v", x.sql, err)
			continue
		}
		if !ch.Cols[0].Type.Equal(x.typ) {
			t.Errorf("%s: type %s, want %s", x.sql, ch.Cols[0].Type, x.typ)
		}
		for i, got := range column0(ch) {
			want := "NULL"
			if i%3 == 0 {
				want = x.want
			}
			if got != want {
				t.Errorf("%s: row %d is %s, want %s", x.sql, i, got, want)
				break
			}
		}
		for i := range ch.N { // garbage under NULLs must not show
			if v := ch.Cols[0]; v.IsNull(i) && (v.I64 != nil && v.I64[i] != 0 || v.F64 != nil && v.F64[i] != 0 || v.I128 != nil && v.I128[i] != vector.Int128{} || v.Off != nil && v.Off[i] != v.Off[i+1]) {
				t.Errorf("%s: row %d is NULL but not zero", x.sql, i)
				break
			}
		}
		// A constant, and the same inside a struct and a list, where other physical forms of vectors occur.
		got, list := texts(t, c, "SELECT "+x.sql), texts(t, c, fmt.Sprintf("SELECT [NULL, %s, NULL]", x.sql))
		if len(got) != 1 || got[0] != x.want || !strings.HasPrefix(list[0], "[null,") || !strings.HasSuffix(list[0], ",null]") {
			t.Errorf("%s: constant %q, list %q", x.sql, got, list)
		}
	}
	for sql, state := range map[string]string{
		"100000000000000000000000000000000000000::hugeint":       "22003",
		"(-100000000000000000000000000000000000000)::hugeint":    "22003",
		"340282366920938463463374607431768211455::uhugeint":      "22003",
		"1000000000000000000000000000000000000000000000::bignum": "22003",
		"make_timestamp(1)::variant":                             "0A000",
	} {
		if _, err := read(c, "SELECT "+sql); SQLState(err) != state {
			t.Errorf("%s: %v (%s), want %s", sql, err, SQLState(err), state)
		}
	}
	if ch, err := read(c, "SELECT unnest([NULL, NULL])"); err != nil || ch.N != 2 || !ch.Cols[0].IsNull(1) {
		t.Errorf("untyped NULLs: %v, %v", ch, err)
	}
}

// Vectors that DuckDB keeps as dictionaries, constants or selections arrive as their values do through text.
func TestPhysicalForms(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	exec(t, c, `CREATE TABLE d AS SELECT i, 'label ' || (i % 7) || ' long enough for the heap' AS s, [i % 3, NULL, i] AS l,
		{'k': 'constant text that is long', 'v': [i % 5]} AS st, map([i % 4, 9 - i % 4], ['x' || i, NULL]) AS m FROM range(20000) r(i)`)
	for _, q := range []string{
		"SELECT s, s FROM d WHERE i % 11 = 3 ORDER BY i", "SELECT 'only one' || 'constant', 'only oneconstant' FROM d",
		"SELECT [s, 'k'], '[' || s || ', k]' FROM d WHERE i % 5 = 2", "SELECT l, l::varchar FROM d WHERE i % 13 = 1",
		"SELECT [{'a': s}, {'a': 'c'}], '[{''a'': ' || s || '}, {''a'': c}]' FROM d WHERE i % 3 = 1",
		"SELECT a.l, b.l::varchar FROM d a JOIN d b ON a.i = b.i WHERE a.i % 4 = 1",
		"SELECT list(s ORDER BY i), list(s ORDER BY i)::varchar FROM d GROUP BY i % 100", "SELECT m, map_from_entries(list_sort(map_entries(m)))::varchar FROM d WHERE i % 3 = 1",
		"SELECT a2, a2::varchar FROM (SELECT i, array_value('text ' || i, NULL) AS a2 FROM d UNION ALL SELECT 1, NULL) WHERE i % 3 = 1", "SELECT [[i, i + 1]::int[2]], [[i, i + 1]]::varchar FROM d WHERE i % 3 = 1",
		"SELECT st.v, st.v::varchar FROM d WHERE i % 2 = 0", "SELECT unnest([l, NULL, l[2:3]]) AS u, u::varchar FROM d",
		"SELECT CASE WHEN i % 3 = 0 THEN l END, CASE WHEN i % 3 = 0 THEN l END::varchar FROM d LIMIT 5000 OFFSET 1777",
	} {
		r, err := c.Query(t.Context(), q)
		must(t, err)
		rows := 0
		for ch, err := r.Next(); ch != nil || err != nil; ch, err = r.Next() {
			must(t, err)
			for i := range ch.N {
				got, want := "NULL", "NULL"
				if v := ch.Cols[0]; !v.IsNull(i) {
					if got = string(appendJSON(nil, v, i)); v.Type.Buffer() != vector.BufNested {
						got = string(v.Bytes(i))
					}
				}
				if v := ch.Cols[1]; !v.IsNull(i) {
					want = string(v.Bytes(i))
				}
				norm := strings.NewReplacer(`"`, "", "'", "", " ", "", "=", ":", "null", "NULL")
				if norm.Replace(got) != norm.Replace(want) {
					t.Fatalf("%s: row %d: %s, DuckDB prints %s", q, rows+i, got, want)
				}
			}
			rows += ch.N
		}
		if rows < 100 {
			t.Errorf("%s: %d rows", q, rows)
		}
	}
}

// random appends n random values, a tenth NULL, extremes included.
func random(r *rand.Rand, v *vector.Vector, n int) {
	for range n {
		if r.IntN(10) == 0 {
			v.AppendNull()
			continue
		}
		switch t := v.Type; t.Kind {
		case vector.Bool:
			v.AppendBool(r.IntN(2) == 0)
		case vector.Int16:
			v.AppendInt([]int64{-1 << 15, 1<<15 - 1, int64(r.IntN(9))}[r.IntN(3)])
		case vector.Int32:
			v.AppendInt([]int64{-1 << 31, 1<<31 - 1, int64(r.IntN(9))}[r.IntN(3)])
		case vector.Date:
			v.AppendInt([]int64{vector.PosInfinity, vector.NegInfinity, r.Int64N(40000) - 20000}[r.IntN(3)])
		case vector.Time:
			v.AppendInt(r.Int64N(86_400_000_001))
		case vector.Int64:
			v.AppendInt(int64(r.Uint64()))
		case vector.Timestamp, vector.TimestampTZ:
			v.AppendInt([]int64{vector.PosInfinity, vector.NegInfinity, int64(r.Uint64() >> 6), -int64(r.Uint64() >> 8)}[r.IntN(4)])
		case vector.Float32:
			v.AppendFloat(float64(float32(r.NormFloat64())))
		case vector.Float64:
			v.AppendFloat(r.NormFloat64())
		case vector.Decimal:
			x := power10(t.Precision).Sub(vector.Int128FromInt64(1 + int64(r.IntN(3))))
			if r.IntN(2) == 0 {
				x = x.Negate()
			}
			v.AppendInt128(x)
		case vector.Text:
			v.AppendString(strings.Repeat("é", r.IntN(9)) + strings.Repeat("\x00a", r.IntN(3)))
		case vector.JSON:
			v.AppendString(fmt.Sprintf(`{"a":%d}`, r.IntN(1000)))
		case vector.Bytes, vector.UUID, vector.Interval:
			b := make([]byte, 16)
			if t.Kind == vector.Bytes {
				b = b[:r.IntN(15)]
			}
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			v.AppendBytes(b)
		case vector.List:
			random(r, v.Child[0], r.IntN(5))
			v.CloseNested()
		case vector.Map:
			for k := range r.IntN(4) {
				v.Child[0].AppendInt(int64(k * 3))
				random(r, v.Child[1], 1)
			}
			v.CloseNested()
		default:
			panic(t.String())
		}
	}
}

// same says whether two vectors hold the same values.
func same(a *vector.Vector, i int, b *vector.Vector, j int) bool {
	if a.IsNull(i) || b.IsNull(j) {
		return a.IsNull(i) && b.IsNull(j)
	}
	if a.Type.Buffer() != vector.BufNested {
		return vector.Compare(a, i, b, j) == 0
	}
	n := a.Off[i+1] - a.Off[i]
	if n != b.Off[j+1]-b.Off[j] {
		return false
	}
	for c := range a.Child {
		for k := range n {
			if !same(a.Child[c], int(a.Off[i]+k), b.Child[c], int(b.Off[j]+k)) {
				return false
			}
		}
	}
	return true
}

var roundTrip = []vector.Type{
	vector.T(vector.Bool), vector.T(vector.Int16), vector.T(vector.Int32), vector.T(vector.Int64), vector.T(vector.Float32), vector.T(vector.Float64),
	vector.DecimalOf(4, 1), vector.DecimalOf(9, 0), vector.DecimalOf(18, 18), vector.DecimalOf(38, 9), vector.T(vector.Text), vector.T(vector.Bytes),
	vector.T(vector.UUID), vector.T(vector.Date), vector.T(vector.Time), vector.T(vector.Timestamp), vector.T(vector.TimestampTZ), vector.T(vector.Interval),
	vector.T(vector.JSON), vector.ListOf(vector.T(vector.Int64)), vector.ListOf(vector.ListOf(vector.T(vector.Text))), vector.ListOf(vector.T(vector.Interval)),
	vector.MapOf(vector.T(vector.Int64), vector.T(vector.Text)), vector.MapOf(vector.T(vector.Int32), vector.ListOf(vector.DecimalOf(12, 2))),
}

// What the appender and parameters take in, a query gives back.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := connect(t, open(t, Options{Threads: 1}))
	var defs []string
	for i, typ := range roundTrip {
		defs = append(defs, fmt.Sprintf("c%d %s", i, typ.DuckDB()))
	}
	exec(t, c, "CREATE TABLE t (n bigint, "+strings.Join(defs, ", ")+")")
	types := append([]vector.Type{vector.T(vector.Int64)}, roundTrip...)
	whole := vector.NewChunk(types, 0)
	a, err := c.Appender("", "main", "t")
	must(t, err)
	for _, n := range []int{0, 1, 63, 64, 2048, 2049, 5000} {
		part := vector.NewChunk(types, 0)
		for range n {
			part.Cols[0].AppendInt(int64(whole.N + part.N))
			for _, v := range part.Cols[1:] {
				random(r, v, 1)
			}
			part.N++
		}
		for i := range n {
			whole.AppendRow(part, i)
		}
		must(t, a.Append(part))
		for _, v := range part.Cols { // the appender must have copied
			clear(v.Data)
		}
	}
	must(t, a.Close())
	got, err := read(c, "SELECT * FROM t ORDER BY n")
	must(t, err)
	if got.N != whole.N {
		t.Fatalf("%d rows, appended %d", got.N, whole.N)
	}
	for k, typ := range types {
		if !got.Cols[k].Type.Equal(typ) {
			t.Errorf("column of %s has type %s", typ, got.Cols[k].Type)
			continue
		}
		for i := range whole.N {
			if !same(got.Cols[k], i, whole.Cols[k], i) {
				t.Fatalf("%s: row %d differs: %v", typ, i, got.Cols[k].Type)
			}
		}
		// The first rows again as parameters.
		s, err := c.Prepare(t.Context(), "SELECT $1::"+typ.DuckDB())
		must(t, err)
		for i := range 100 {
			arg := vector.New(typ, 1)
			arg.AppendFrom(whole.Cols[k], i)
			rows, err := s.Query(t.Context(), arg)
			if err != nil {
				t.Fatalf("%s: row %d as a parameter: %v", typ, i, err)
			}
			ch, err := rows.Next()
			if err != nil || !ch.Cols[0].Type.Equal(typ) || !same(ch.Cols[0], 0, arg, 0) {
				t.Fatalf("%s: row %d as a parameter: %v, %v", typ, i, ch, err)
			}
			rows.Close()
		}
		s.Close()
	}
}

// Values that DuckDB has no room for are refused, by the appender and as parameters, and the appender casts.
func TestUnfitValues(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 1}))
	for _, x := range []struct {
		typ   vector.Type
		fill  func(v *vector.Vector)
		state string
	}{
		{vector.T(vector.Int16), func(v *vector.Vector) { v.AppendInt(1 << 15) }, "22003"},
		{vector.T(vector.Int32), func(v *vector.Vector) { v.AppendInt(-1<<31 - 1) }, "22003"},
		{vector.T(vector.Date), func(v *vector.Vector) { v.AppendInt(1<<31 - 1) }, "22003"},
		{vector.DecimalOf(4, 2), func(v *vector.Vector) { v.AppendInt128(vector.Int128FromInt64(10000)) }, "22003"},
		{vector.DecimalOf(38, 0), func(v *vector.Vector) { v.AppendInt128(power10(38)) }, "22003"},
		{vector.T(vector.Text), func(v *vector.Vector) { v.AppendString("a\xff") }, "22021"},
		{vector.T(vector.UUID), func(v *vector.Vector) { v.AppendString("short") }, "22003"},
		{vector.T(vector.Invalid), func(v *vector.Vector) { v.AppendNull() }, "XX000"},
	} {
		exec(t, c, "CREATE OR REPLACE TABLE u (a "+map[bool]string{true: x.typ.DuckDB(), false: "int"}[x.typ.Kind != vector.Invalid]+")")
		v := vector.New(x.typ, 1)
		x.fill(v)
		if x.typ.Kind != vector.Invalid {
			if _, err := read(c, "SELECT $1", v); SQLState(err) != x.state {
				t.Errorf("%s as a parameter: %v", x.typ, err)
			}
		}
		a, err := c.Appender("", "", "u")
		must(t, err)
		if err := a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{v}}); SQLState(err) != x.state {
			t.Errorf("%s appended: %v", x.typ, err)
		}
		if err := a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{v}}); SQLState(err) != "55000" {
			t.Errorf("%s appended after an error: %v", x.typ, err)
		}
		must(t, a.Close())
	}
	// A character cut in two by two values is invalid, though the bytes together are not.
	v := vector.New(vector.T(vector.Text), 2)
	v.AppendString("\xc3")
	v.AppendString("\xa9")
	if SQLState(checkText(v, 0, 2)) != "22021" {
		t.Error("a character cut in two passes")
	}
	exec(t, c, "CREATE OR REPLACE TABLE u (a date, b numeric(10,2), c json)")
	a, err := c.Appender("memory", "main", "u")
	must(t, err)
	b := vector.New(vector.T(vector.Int64), 1)
	b.AppendInt(7)
	must(t, a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{text("2020-01-01"), b, text("[1]")}}))
	must(t, a.Close())
	if got := texts(t, c, "SELECT a || ' ' || b || ' ' || c FROM u"); got[0] != "2020-01-01 7.00 [1]" {
		t.Errorf("cast by the appender: %q", got)
	}
	a, err = c.Appender("", "", "u")
	must(t, err)
	err = a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{text("no date"), b, text("{")}})
	if SQLState(err) != "22P02" {
		t.Errorf("bad casts: %v", err)
	}
	must(t, a.Close())
	if _, err := c.Appender("", "", "nope"); SQLState(err) != "42P01" {
		t.Errorf("appender of no table: %v (%s)", err, SQLState(err))
	}
}
