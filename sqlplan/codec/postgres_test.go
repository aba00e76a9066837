package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// scalars are the types of values that PostgreSQL has.
var scalars = []vector.Type{
	vector.T(vector.Bool), vector.T(vector.Int16), vector.T(vector.Int32), vector.T(vector.Int64), vector.T(vector.Float32),
	vector.T(vector.Float64), vector.DecimalOf(38, 9), vector.DecimalOf(12, 2), vector.DecimalOf(38, 0), vector.DecimalOf(4, 4),
	vector.T(vector.Text), vector.T(vector.Bytes), vector.T(vector.UUID), vector.T(vector.Date), vector.T(vector.Time),
	vector.T(vector.Timestamp), vector.T(vector.TimestampTZ), vector.T(vector.Interval), vector.T(vector.JSON),
}

// appendRandom appends a value of v's type, edges preferred.
func appendRandom(r *rand.Rand, v *vector.Vector) {
	pick := func(xs ...int64) int64 { return xs[r.IntN(len(xs))] }
	switch v.Type.Kind {
	case vector.Bool:
		v.AppendBool(r.IntN(2) == 0)
	case vector.Int16:
		v.AppendInt(pick(0, math.MinInt16, math.MaxInt16, int64(int16(r.Uint64()))))
	case vector.Int32:
		v.AppendInt(pick(0, math.MinInt32, math.MaxInt32, int64(int32(r.Uint64()))))
	case vector.Int64:
		v.AppendInt(pick(0, math.MinInt64, math.MaxInt64, r.Int64()-r.Int64()))
	case vector.Float32:
		v.AppendFloat([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), float64(r.Float32()),
			float64(math.Float32frombits(r.Uint32() % 0x7f800000)), float64(float32(r.IntN(1 << 26))), float64(math.Float32frombits(r.Uint32() % 0x7f800000 &^ 0x7fffff)),
			float64(float32(math.Pow10(r.IntN(70) - 35)))}[r.IntN(10)])
	case vector.Float64:
		v.AppendFloat([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), r.NormFloat64(),
			math.Float64frombits(r.Uint64() % 0x7ff0000000000000), float64(r.Int64N(1 << 55)), math.Ldexp(1, r.IntN(200)-50), math.Pow10(r.IntN(600) - 300),
			math.Ldexp(float64(r.Int64N(1<<53)), r.IntN(70))}[r.IntN(11)])
	case vector.Decimal:
		limit := pow10[v.Type.Precision]
		hi, lo := r.Uint64(), r.Uint64()
		switch r.IntN(4) {
		case 0:
			hi, lo = 0, lo%100
		case 1:
			p := pow10[r.IntN(int(v.Type.Precision))]
			hi, lo = p[0], p[1]
		case 2:
			hi = 0
		}
		for hi > limit[0] || hi == limit[0] && lo >= limit[1] {
			lo = lo>>1 | hi<<63
			hi >>= 1
		}
		x := vector.Int128FromParts(int64(hi), lo)
		if r.IntN(2) == 0 {
			x = x.Negate()
		}
		v.AppendInt128(x)
	case vector.Text:
		v.AppendString([]string{"", "a", "NULL", "null", "a b", `q"u\o`, "{x,y}", "é漢😀", "tab\tnl\n", "\v", `\.`, "'"}[r.IntN(12)])
	case vector.Bytes:
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.AppendBytes(b)
	case vector.UUID:
		b := make([]byte, 16)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.AppendBytes(b)
	case vector.Date:
		v.AppendInt(pick(0, -1, minDay, maxDay, vector.PosInfinity, vector.NegInfinity, r.Int64N(40000)-20000, minDay+r.Int64N(maxDay-minDay)))
	case vector.Time:
		v.AppendInt(pick(0, microsPerDay-1, microsPerDay, r.Int64N(microsPerDay), r.Int64N(86400)*1e6, r.Int64N(864000)*1e5))
	case vector.Timestamp, vector.TimestampTZ:
		// A day from each end, so that no zone's local time leaves the range.
		v.AppendInt(pick(0, -1, 1, minMicros+microsPerDay, maxMicros-microsPerDay, vector.PosInfinity, vector.NegInfinity,
			r.Int64N(4e15)-2e15, (r.Int64N(4e9)-2e9)*1e6, minMicros+microsPerDay+r.Int64N(maxMicros-microsPerDay)))
	case vector.Interval:
		us := pick(0, 1, -1, -3600e6, r.Int64N(2e13)-1e13, (r.Int64N(2000)-1000)*1e6, r.Int64N(2e12)-1e12)
		m := pick(0, 1, -1, 12, -12, 13, int64(r.IntN(100)-50))
		d := pick(0, 1, -1, int64(r.IntN(100)-50))
		v.AppendBytes(AppendIntervalParts(nil, int32(m), int32(d), us))
	case vector.JSON:
		v.AppendString([]string{"null", "1", `"x"`, `{"a": [1, 2.50, null]}`, `[]`, ` true `}[r.IntN(6)])
	}
}

// Values sent in our binary form and shown by PostgreSQL as text are the text we write, and PostgreSQL's binary form of them
// is ours; the same for arrays, in four zones and all interval styles.
func TestOutputEqualsPostgreSQL(t *testing.T) {
	conn := connect(t)
	ctx := context.Background()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const n = 250
	for _, zone := range []string{"UTC", "America/St_Johns", "Europe/Amsterdam", "Asia/Kolkata"} {
		for _, style := range []string{"postgres", "iso_8601", "postgres_verbose", "sql_standard"} {
			if zone != "UTC" && style != "postgres" {
				continue
			}
			set := &Settings{}
			for _, kv := range [][2]string{{"TimeZone", zone}, {"IntervalStyle", style}, {"bytea_output", map[bool]string{true: "hex", false: "escape"}[style == "postgres"]},
				{"extra_float_digits", map[string]string{"postgres": "1", "iso_8601": "0", "postgres_verbose": "-3", "sql_standard": "-15"}[style]}} {
				set.Set(kv[0], kv[1])
				if _, err := conn.Exec(ctx, fmt.Sprintf("SET %s = '%s'", kv[0], kv[1])).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			for _, typ := range scalars {
				v, list := vector.New(typ, n), vector.New(vector.ListOf(typ), n)
				for range n {
					appendRandom(r, v)
					for k := r.IntN(4); k > 0; k-- {
						if r.IntN(4) == 0 {
							list.Child[0].AppendNull()
						} else {
							appendRandom(r, list.Child[0])
						}
					}
					list.CloseNested()
				}
				compare(t, conn, v, set)
				compare(t, conn, list, set)
			}
		}
	}
}

func connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx) })
	return c.PgConn()
}

func compare(t *testing.T, conn *pgconn.PgConn, v *vector.Vector, set *Settings) {
	t.Helper()
	ctx := context.Background()
	batch := &pgconn.Batch{}
	var ours [][2][]byte
	for i := range v.N {
		bin, err := AppendBinary([]byte{}, v, i, set)
		if err != nil {
			t.Fatalf("%s value %d: %v", v.Type, i, err)
		}
		ours = append(ours, [2][]byte{AppendText(nil, v, i, set), bin})
		for f := range int16(2) {
			batch.ExecParams("SELECT $1", [][]byte{bin}, []uint32{OID(v.Type)}, []int16{1}, []int16{f})
		}
	}
	mr := conn.ExecBatch(ctx, batch)
	defer mr.Close()
	for i := range v.N {
		for f := range 2 {
			if !mr.NextResult() {
				t.Fatalf("%s: %v (value %q)", v.Type, mr.Close(), ours[i][0])
			}
			res := mr.ResultReader().Read()
			if res.Err != nil {
				t.Fatalf("%s: %v (value %q)", v.Type, res.Err, ours[i][0])
			}
			got := res.Rows[0][0]
			if !bytes.Equal(got, ours[i][f]) {
				t.Errorf("%s, format %d: PostgreSQL %q, ours %q (text %q, %+v)", v.Type, f, got, ours[i][f], ours[i][0], set)
			}
		}
		for f := range int16(2) {
			if f == 0 && set.FloatDigits < 0 {
				continue
			}
			back, err := DecodeParam(v.Type, f, append([]byte{}, ours[i][f]...), set)
			if err != nil {
				t.Errorf("%s: %q does not read back: %v", v.Type, ours[i][f], err)
				continue
			}
			if f == 0 && set.Intervals == StyleSQLStandard {
				continue // its signs mean something only under the same setting
			}
			if again, _ := AppendBinary(nil, back, 0, set); !bytes.Equal(again, ours[i][1]) {
				t.Errorf("%s, format %d: %q reads back as %q", v.Type, f, ours[i][f], AppendText(nil, back, 0, set))
			}
		}
	}
}

// inputs are texts for each type, right and wrong.
var inputs = map[vector.Kind]string{
	vector.Bool:    "t|true| TRUE |y|yes|on|1|tru|f|fa|no|n|off|of|0|o||2|truex|o n|ye|yess",
	vector.Int16:   "0|-0|+5| 7 |32767|32768|-32768|-32769|1.0|x||99999999999999999999|1_0|0x10|- 5",
	vector.Int32:   "2147483647|2147483648|-2147483648|-2147483649|1e3|  12\t|",
	vector.Int64:   "9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809|--1",
	vector.Float32: "1|1.5|1e38|1e39|1e-45|1e-46|nan|NaN|inf|-inf|+inf|Infinity|-Infinity|x|.5|5.|1e|.|3.4028235e38|1e+20|-nan|0e400",
	vector.Float64: "1|-1.25|1e308|1e309|1e-323|1e-324|1e-400|nan|inf|+Infinity|infinit|x| 2 |1e5|.5e-1|0.1e|1e23|-0|1_000|1d5|1e0x",
	vector.Decimal: "1|1.005|1e3|-1.5e-3|1e-20|123456789012345678901234567890|99999999999999999999999999999|.5|5.|.|e5|1e|1e5x|inf|-Infinity| 1 |+1|--1|0e99|1e28|1e29|1e400|0.0000000005|0.00000000049999|-0.0000000005|999999.9999999995",
	vector.Text:    "a||\t",
	vector.Bytes:   `\x|\x00ff|\x0|\xgg|\x 00 ff|abc|a\\b|a\001b|a\4|\377|\400|\`,
	vector.UUID:    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11|{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}|a0eebc999c0b4ef8bb6d6bb9bd380a11|a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11|{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1|{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|x|a-0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
	vector.Date: "2024-02-29|2023-02-29|2024-13-01|2024-00-10|1999-01-08|January 8, 1999|1/8/1999|1/18/1999|18/1/1999|01/02/03|1999-Jan-08|Jan-08-1999|08-Jan-1999|" +
		"19990108|990108|January 8, 99 BC|0044-03-15 BC|4714-11-24 BC|4714-11-23 BC|5874897-12-31|5874898-01-01|epoch|infinity|-infinity|x||2024-01-01 12:34|" +
		"2024-01-01T00:00:00Z|Mon Jan 8 1999|2024/01/05|2024.01.05|8 January 1999|12-25-2020|2024-1-5|10000-01-01|0000-01-01|2024-01-01 25:00|2024-01|20240230|jan",
	vector.Time: "04:05:06.789|04:05:06|04:05|040506|04:05 AM|04:05 PM|12:00 AM|12:00 PM|13:00 PM|24:00:00|24:00:01|23:59:60|23:59:61|allballs|04:05:06.7894567|04:05:06.9999999|x|" +
		"25:00|4:5:6|2024-01-01 04:05:06|0405|00:60|T04:05:06",
	vector.Timestamp: "2024-01-01 00:00:00|2024-01-01T12:34:56.789|2024-01-01 12:34:56.1234565|2024-01-01 12:34:56.12345650001|2024-01-01 24:00:00|2024-01-01 23:59:60|2024-01-01|" +
		"2024-01-01 12|20240101T123456|20240101 123456|Jan 1 2024 3:04:05 PM|2024-01-01 00:00:00+05|epoch|infinity|-infinity|+infinity|294246-12-31 23:59:59.999999|294277-01-01|" +
		"4714-11-24 00:00:00 BC|4714-11-23 23:59:59 BC|1969-12-31 23:59:59.999999|2024-01-01 12:60|2024-01-01 12:00:61|x|2024-02-30 00:00:00|2024-01-01 12:34 bogus|2024-01-01  12:34|2024-01-01,12:34",
	vector.TimestampTZ: "2024-01-01 00:00:00+00|2024-01-01 00:00:00Z|2024-01-01T00:00:00+05:30|2024-01-01 00:00:00-0330|2024-01-01 00:00:00 PST|2024-01-01 00:00:00 America/New_York|" +
		"2024-03-10 02:30:00 America/New_York|2024-11-03 01:30:00 America/New_York|2024-07-01 00:00:00 Europe/Amsterdam|2024-03-31 02:30|2024-10-27 02:30|2024-10-27 01:59:59|2024-10-27 03:00|" +
		"2024-01-01|1900-01-01 00:00|1937-06-30 12:00|0001-01-01 00:00 BC|2024-01-01 00:00:00+16|2024-01-01 00:00:00+15:59:59|2024-01-01 00:00:00 utc|infinity|epoch|2024-06-15 12:00:00 CEST|" +
		"2024-01-01 12:00:00.5+01|x|2024-01-01 00:00:00 Nowhere/City|2500-07-01 00:00|2024-01-01 00:00:00+1|2024-01-01 00:00:00 +02:00",
	vector.Interval: "1 day|1 day 02:03:04|P1DT2H|7 days|-1 day|1 year 2 mons|-1 year -2 mons +3 days -04:05:06.7|1.5 days|1.5 months|1.5 years|1.5 weeks|1 week|2 hours 30 min|90 min|1-2|-1-2|" +
		"1-2 3 4:05:06|3 4:05:06|1 day ago|@ 1 minute|1|1.5|-1.5|100000 hours|04:05|04:05:06.5|-04:05|P1Y2M3DT4H5M6.7S|PT1.5H|P1W|P-1D|PT0S|P|x||1 fortnight|1 century|2 decades|1 millennium|" +
		"500 ms|10 us|1 microsecond|1 d 2 h 3 m 4 s|1 mon|1 day 1 day|200000000 years|3000000000 days|1 day -1 hour|0.1 sec|1e3 days|1 2|1 day 2|ago|1 hour 00:01|00:60|1:2:3:4|12:34.5|-0.5 days|1 yr 1 mon 1 wk",
	vector.JSON: `{}|[]|1|"a"|null|{"a":1|tru||{'a':1}|[1,]|{"a":1} x|"\u0000"| {"a" : 1 } |01|1.|-|1e5`,
}

// Every spelling is taken or refused as PostgreSQL does, with its SQLSTATE, and means the same.
func TestInputEqualsPostgreSQL(t *testing.T) {
	conn := connect(t)
	ctx := context.Background()
	for _, zone := range []string{"UTC", "Europe/Amsterdam"} {
		for _, order := range []string{"MDY", "DMY", "YMD"} {
			set := &Settings{}
			for _, kv := range [][2]string{{"TimeZone", zone}, {"DateStyle", "ISO, " + order}} {
				set.Set(kv[0], kv[1])
				if _, err := conn.Exec(ctx, fmt.Sprintf("SET %s = '%s'", kv[0], kv[1])).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			for _, typ := range scalars {
				if typ.Kind == vector.Decimal && typ.Precision != 38 {
					continue
				}
				for _, in := range strings.Split(inputs[typ.Kind], "|") {
					theirs, code := input(t, conn, typ, in)
					v, err := ParseText(typ, in, set)
					ours, ourCode := "", ""
					if err != nil {
						var ce *Error
						if !errors.As(err, &ce) {
							t.Fatalf("%s %q: %v is no *Error", typ, in, err)
						}
						ourCode = ce.Code
					} else {
						ours = string(AppendText(nil, v, 0, set))
					}
					if ours != theirs || ourCode != code {
						t.Errorf("%s %q (%s, %s): PostgreSQL %q %s, ours %q %s", typ, in, zone, order, theirs, code, ours, ourCode)
					}
				}
			}
		}
	}
	for _, in := range []string{"{1,2,NULL}", "{}", " { 1 , 2 } ", "{1,2", "1,2", "{1,,2}", "{1,2}}", "{null,Null}", `{"1","2"}`, "{x}", "[1:2]={1,2}", `{"NULL"}`, "{99999999999}", "", "{,}", "{1,}"} {
		checkArray(t, conn, vector.ListOf(vector.T(vector.Int32)), in)
	}
	for _, in := range []string{`{a,b c,"d e"}`, `{"a\"b",c\,d,"\\"}`, `{ a b , c }`, `{NULL,"NULL",nul\l}`, `{""}`, `{a"b}`, `{"a"b}`, `{'x'}`, "{é}", `{a\ }`} {
		checkArray(t, conn, vector.ListOf(vector.T(vector.Text)), in)
	}
}

func input(t *testing.T, conn *pgconn.PgConn, typ vector.Type, in string) (out, code string) {
	t.Helper()
	sql := "SELECT $1::" + typ.String()
	// The parameter is declared as the type itself, so that the type's input function reads it; the cast adds the typmod.
	res := conn.ExecParams(context.Background(), sql, [][]byte{[]byte(in)}, []uint32{OID(typ)}, nil, nil).Read()
	if res.Err != nil {
		var pe *pgconn.PgError
		if !errors.As(res.Err, &pe) {
			t.Fatal(res.Err)
		}
		return "", pe.Code
	}
	return string(res.Rows[0][0]), ""
}

func checkArray(t *testing.T, conn *pgconn.PgConn, typ vector.Type, in string) {
	t.Helper()
	theirs, code := input(t, conn, typ, in)
	v, err := ParseText(typ, in, Defaults)
	if err != nil {
		if c := err.(*Error).Code; c != code {
			t.Errorf("%s %q: PostgreSQL %q %s, ours %s", typ, in, theirs, code, c)
		}
		return
	}
	if ours := string(AppendText(nil, v, 0, Defaults)); ours != theirs && theirs != "[1:2]={1,2}" {
		t.Errorf("%s %q: PostgreSQL %q %s, ours %q", typ, in, theirs, code, ours)
	}
}

// The words that depend on the clock take it from the settings.
func TestWordsOfTheClock(t *testing.T) {
	loc, err := LoadZone("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	set := &Settings{Zone: loc, Now: func() time.Time { return time.Date(2024, 5, 1, 20, 0, 0, 5000, time.UTC) }}
	for in, want := range map[string]string{
		"now": "2024-05-02 05:00:00.000005+09", "today": "2024-05-02 00:00:00+09", "tomorrow": "2024-05-03 00:00:00+09",
		"yesterday": "2024-05-01 00:00:00+09",
	} {
		v, err := ParseText(vector.T(vector.TimestampTZ), in, set)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendText(nil, v, 0, set)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
