package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

func pgxConnect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, sql string, args ...any) pgconn.CommandTag {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	tag, err := conn.Exec(ctx, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag
}

// wantCode wants an error of a SQLSTATE.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("%s: %v, not %s", what, err, code)
	}
}

// typed is a column of the round trip with values that pgx sends in binary.
type typed struct {
	sql    string
	values []any
}

func roundTrips() []typed {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []typed{
		{"boolean", []any{true, false}},
		{"smallint", []any{int16(0), int16(math.MinInt16), int16(math.MaxInt16)}},
		{"integer", []any{int32(0), int32(math.MinInt32), int32(math.MaxInt32)}},
		{"bigint", []any{int64(0), int64(math.MinInt64), int64(math.MaxInt64)}},
		{"real", []any{float32(0.1), float32(math.Inf(-1)), float32(math.MaxFloat32)}},
		{"double precision", []any{0.1, math.Inf(1), math.SmallestNonzeroFloat64, -math.MaxFloat64}},
		{"numeric(38,10)", []any{pgtype.Numeric{Int: big.NewInt(-12345678901), Exp: -10, Valid: true}, pgtype.Numeric{Int: big.NewInt(1), Exp: -10, Valid: true}}},
		{"text", []any{"", "plain", "日本 😀 'quoted' \\ \t\n"}},
		{"bytea", []any{[]byte{}, []byte{0, 255, '\\', '\''}}},
		{"uuid", []any{pgtype.UUID{Bytes: [16]byte{0xa0, 1, 2, 15: 0xff}, Valid: true}}},
		{"date", []any{day(2024, 2, 29), day(1969, 12, 31), day(1, 1, 1)}},
		{"timestamptz", []any{time.Date(2024, 2, 29, 23, 59, 59, 999_999_000, time.UTC), day(1900, 1, 1)}},
		{"timestamp", []any{time.Date(2024, 2, 29, 23, 59, 59, 1000, time.UTC)}},
		{"time", []any{pgtype.Time{Microseconds: 86_399_999_999, Valid: true}}},
		{"interval", []any{pgtype.Interval{Months: 14, Days: -3, Microseconds: 5_000_001, Valid: true}}},
		{"json", []any{`{"a": [1, null, "x"]}`}},
		{"bigint[]", []any{[]int64{1, -2, math.MaxInt64}, []int64{}}},
		{"text[]", []any{[]string{"a", "", `quote " and \`, "NULL"}}},
	}
}

// equalValues compares what came back with what was sent.
func equalValues(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case pgtype.Numeric:
		y, ok := b.(pgtype.Numeric)
		if !ok {
			return false
		}
		p, err := x.Value()
		q, err2 := y.Value()
		r, ok := new(big.Rat).SetString(fmt.Sprint(p))
		s, ok2 := new(big.Rat).SetString(fmt.Sprint(q))
		return err == nil && err2 == nil && ok && ok2 && r.Cmp(s) == 0
	}
	return reflect.DeepEqual(a, b)
}

// Values of every type come back as they were sent, with parameters and results in text and in binary, from a cast, an
// event table and an ordinary one.
func TestPgxTypes(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := pgxConnect(t, s.DSN("default_query_exec_mode="+strings.ReplaceAll(mode.String(), " ", "_")))
			for i, c := range roundTrips() {
				name := fmt.Sprintf("t_%d_%d", mode, i)
				exec1(t, conn, fmt.Sprintf("CREATE TABLE ev_%s (id bigint PRIMARY KEY, v %s, ts timestamptz NOT NULL) WITH (event_time = 'ts')", name, c.sql))
				exec1(t, conn, fmt.Sprintf("CREATE TABLE o_%s (id bigint, v %s)", name, c.sql))
				tables := []string{"ev_" + name, "o_" + name}
				if mode == pgx.QueryExecModeSimpleProtocol && (c.sql == "bytea" || strings.HasSuffix(c.sql, "[]")) {
					tables = tables[:1] // the literals '\x…' and '{…}' mean other things to DuckDB, which alone knows the column's type, or have quotes
				}
				for j, v := range append(c.values, nil) {
					exec1(t, conn, "INSERT INTO ev_"+name+" VALUES ($1, $2, '2024-01-01')", j, v)
					if len(tables) > 1 {
						exec1(t, conn, "INSERT INTO o_"+name+" VALUES ($1, $2)", j, v)
					}
					for _, table := range tables {
						checkValue(t, conn, "SELECT v FROM "+table+" WHERE id = $1", v, j)
					}
					if v != nil && len(tables) > 1 {
						checkValue(t, conn, "SELECT $1::"+c.sql, v, v)
					}
				}
			}
		})
	}
}

// checkValue runs a query of one value and compares it.
func checkValue(t *testing.T, conn *pgx.Conn, sql string, want any, args ...any) {
	t.Helper()
	if want == nil {
		var got any
		if err := conn.QueryRow(context.Background(), sql, args...).Scan(&got); err != nil || got != nil {
			t.Errorf("%s with %v: %v, %v; want NULL", sql, args, got, err)
		}
		return
	}
	into := reflect.New(reflect.TypeOf(want))
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(into.Interface()); err != nil {
		t.Errorf("%s with %v: %v", sql, args, err)
	} else if got := into.Elem().Interface(); !equalValues(want, got) {
		t.Errorf("%s with %v: %#v, want %#v", sql, args, got, want)
	}
}

func TestPgxStatements(t *testing.T) {
	ctx := context.Background()
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := pgxConnect(t, s.DSN())
	exec1(t, conn, strings.TrimSuffix(eventsTable, ";\n"))
	// Prepared statements: described, run many times, closed.
	d, err := conn.Prepare(ctx, "put", "INSERT INTO ev (id, k, amount, note, ts) VALUES ($1, $2, $3, $4, $5)")
	if err != nil || !reflect.DeepEqual(d.ParamOIDs, []uint32{20, 20, 1700, 25, 1184}) || len(d.Fields) != 0 {
		t.Fatalf("%v, %+v", err, d)
	}
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 20 {
		if tag := exec1(t, conn, "put", i, i%3, "1.25", nil, at.Add(time.Duration(i)*time.Hour)); tag.String() != "INSERT 0 1" {
			t.Errorf("tag %q", tag)
		}
	}
	if err := conn.Deallocate(ctx, "put"); err != nil {
		t.Error(err)
	}
	// Expressions beside parameters: types come from the columns that they are assigned to, or are text.
	if tag := exec1(t, conn, "INSERT INTO ev (id, k, note, ts) VALUES ($1, $2::bigint + 0, upper($3), now()), ($4, 1, $5, $6)", 50, 1, "x", 51, "y", at); tag.String() != "INSERT 0 2" {
		t.Errorf("tag %q", tag)
	}
	if tag := exec1(t, conn, "UPDATE ev SET note = $1, amount = $2 WHERE id >= $3", "changed", "7.5", 50); tag.RowsAffected() != 2 {
		t.Errorf("tag %q", tag)
	}
	checkValue(t, conn, "SELECT note || amount::text FROM ev WHERE id = 51", "changed7.50")
	var a, c string
	if err := conn.QueryRow(ctx, "SELECT $1, note, $2 || '!' FROM ev WHERE id = $3", "x", "y", 50).Scan(&a, new(string), &c); err != nil || a+c != "xy!" {
		t.Errorf("parameters without a type: %q, %v", a+c, err)
	}
	exec1(t, conn, "DELETE FROM ev WHERE id >= $1", 50)
	// A batch is one round trip; an error in it undoes it all.
	b := &pgx.Batch{}
	b.Queue("INSERT INTO ev (id, k, ts) VALUES ($1, 1, $2)", 100, at)
	b.Queue("SELECT count(*) FROM ev")
	b.Queue("INSERT INTO ev (id, k, ts) VALUES ($1, 1, $2)", 100, at)
	wantCode(t, "a batch with a key twice", conn.SendBatch(ctx, b).Close(), "23505")
	checkValue(t, conn, "SELECT count(*) FROM ev", int64(20))
	// Transactions.
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if tag := exec1(t, conn, "UPDATE ev SET amount = amount + 1 WHERE k = $1", 1); tag.RowsAffected() != 7 {
		t.Errorf("tag %q", tag)
	}
	checkValue(t, conn, "SELECT count(*) FROM ev WHERE amount = 2.25", int64(7))
	other := pgxConnect(t, s.DSN())
	checkValue(t, other, "SELECT count(*) FROM ev WHERE amount = 2.25", int64(0))
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	checkValue(t, conn, "SELECT count(*) FROM ev WHERE amount = 2.25", int64(0))
	if tx, err = conn.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	exec1(t, conn, "DELETE FROM ev WHERE k = 0")
	_, err = conn.Exec(ctx, "SELECT nothing")
	wantCode(t, "an unknown column", err, "42703")
	_, err = conn.Exec(ctx, "SELECT 1")
	wantCode(t, "a statement in a failed block", err, "25P02")
	if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("COMMIT of a failed block: %v", err)
	}
	checkValue(t, conn, "SELECT count(*) FROM ev", int64(20))
	// COPY in text and csv, out and back in.
	for _, format := range []string{"text", "csv"} {
		var out, again bytes.Buffer
		if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM ev ORDER BY id) TO STDOUT (FORMAT "+format+")"); err != nil {
			t.Fatal(err)
		}
		exec1(t, conn, "DELETE FROM ev")
		if tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(out.Bytes()), "COPY ev FROM STDIN (FORMAT "+format+")"); err != nil || tag.String() != "COPY 20" {
			t.Fatalf("%q, %v", tag, err)
		}
		if _, err := conn.PgConn().CopyTo(ctx, &again, "COPY (SELECT * FROM ev ORDER BY id) TO STDOUT (FORMAT "+format+")"); err != nil {
			t.Fatal(err)
		}
		if out.String() != again.String() || strings.Count(out.String(), "\n") != 20 {
			t.Errorf("%s: %q became %q", format, out.String(), again.String())
		}
	}
	// Lookups with a prepared parameter and with an array of keys.
	exec1(t, conn, "CREATE ENTITY ent (k bigint)")
	exec1(t, conn, "CREATE FEATURE spend ON ent AS SELECT k, sum(amount) AS total, count(*) AS n FROM ev GROUP BY k WINDOW LIFETIME")
	for range 3 {
		checkValue(t, conn, "SELECT spend_n FROM ent WHERE k = $1", int64(7), int64(1))
		checkValue(t, conn, "SELECT spend_total FROM ent WHERE k = $1", pgtype.Numeric{Int: big.NewInt(875), Exp: -2, Valid: true}, int64(1))
	}
	rows, err := conn.Query(ctx, "SELECT k, spend_n FROM ent WHERE k = ANY($1)", []int64{0, 1, 2, 99})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int64]int64{}
	var k, n int64
	if _, err := pgx.ForEachRow(rows, []any{&k, &n}, func() error { counts[k] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	if want := map[int64]int64{0: 7, 1: 7, 2: 6, 99: 0}; !reflect.DeepEqual(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
}

// A long statement ends soon after it is cancelled, by the client or by statement_timeout, and the session goes on.
func TestCancel(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	const long = "SELECT count(*) FROM generate_series(1, 1000000) a(i), generate_series(1, 1000000) b(j) WHERE i * j % 7 = 8"
	pc := connectTo(t, s.DSN())
	began := time.Now()
	time.AfterFunc(300*time.Millisecond, func() { _ = pc.CancelRequest(context.Background()) }) // it fails the test by its absence
	_, err := pc.Exec(context.Background(), long).ReadAll()
	wantCode(t, "a cancelled statement", err, "57014")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the cancelled statement ended after %v", took)
	}
	if got := answer(pc, "SELECT 1").text; !strings.HasSuffix(got, "SELECT 1\n\ntransaction status I") {
		t.Errorf("after a cancel: %s", got)
	}
	conn := pgxConnect(t, s.DSN())
	exec1(t, conn, "SET statement_timeout = '200ms'")
	began = time.Now()
	_, err = conn.Exec(context.Background(), long)
	wantCode(t, "a statement past its timeout", err, "57014")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the statement ended %v after it began, its timeout is 200 ms", took)
	}
	exec1(t, conn, "SELECT 1")
}
