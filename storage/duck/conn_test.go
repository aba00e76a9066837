package duck

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

const endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range + b.range) = 1"

// A context that ends interrupts whatever runs, at once when it ended before, and leaves the connection usable and no
// goroutine behind.
func TestCancel(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	before := runtime.NumGoroutine()
	check := func(what string, err error, want error) {
		t.Helper()
		if SQLState(err) != "57014" || !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
		if got := texts(t, c, "SELECT 1"); got[0] != "1" {
			t.Errorf("after %s: %v", what, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Query(ctx, endless)
	check("a query of an ended context", err, context.Canceled)
	for _, after := range []time.Duration{0, 50 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		start := time.Now()
		_, err := c.Exec(ctx, endless)
		cancel()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("canceled after %s, it took %s", after, took)
		}
		check("exec", err, context.DeadlineExceeded)
	}
	ctx, cancel = context.WithCancel(t.Context())
	r, err := c.Query(ctx, "SELECT i, hash(i) FROM range(100000000) r(i)")
	must(t, err)
	_, err = r.Next()
	must(t, err)
	cancel()
	for err == nil {
		_, err = r.Next()
	}
	_, again := r.Next()
	if again != err {
		t.Errorf("the error of a canceled result changes: %v", again)
	}
	r.Close()
	check("a stream", err, context.Canceled)
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// While a result is open its connection refuses everything, and the result is whole all the same; another connection is free.
func TestOneResultAtATime(t *testing.T) {
	db := open(t, Options{Threads: 2})
	c, d := connect(t, db), connect(t, db)
	exec(t, c, "CREATE TABLE t AS SELECT i FROM range(300000) r(i)")
	s, err := c.Prepare(t.Context(), "SELECT 1")
	must(t, err)
	defer s.Close()
	a, err := c.Appender("", "", "t")
	must(t, err)
	r1, err := c.Query(t.Context(), "SELECT i FROM t")
	must(t, err)
	r2, err := d.Query(t.Context(), "SELECT i + 1 FROM t")
	must(t, err)
	col := vector.New(vector.T(vector.Int64), 1)
	col.AppendInt(-1)
	n1, n2, sum1, sum2 := 0, 0, int64(0), int64(0)
	for {
		ch1, err := r1.Next()
		must(t, err)
		ch2, err := r2.Next()
		must(t, err)
		if ch1 == nil || ch2 == nil {
			break
		}
		for i, v := range []*vector.Chunk{ch1, ch2} {
			for _, x := range v.Cols[0].I64 {
				*[]*int64{&sum1, &sum2}[i] += x
			}
		}
		if n1, n2 = n1+ch1.N, n2+ch2.N; n1 < 10000 {
			_, err1 := c.Query(t.Context(), "SELECT 1")
			_, err2 := s.Exec(t.Context())
			_, err3 := c.Appender("", "", "t")
			for _, err := range []error{err1, err2, err3, a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{col}})} {
				if SQLState(err) != "55006" {
					t.Fatalf("a busy connection: %v", err)
				}
			}
		}
	}
	if n1 != 300000 || n2 != 300000 || sum2-sum1 != 300000 {
		t.Errorf("%d and %d rows, sums %d and %d", n1, n2, sum1, sum2)
	}
	r2.Close()
	must(t, a.Append(&vector.Chunk{N: 1, Cols: []*vector.Vector{col}}))
	must(t, a.Close())
	if got := texts(t, d, "SELECT min(i) FROM t"); got[0] != "-1" {
		t.Errorf("appended after the result: %q", got)
	}
	// A result dropped half way holds no snapshot: the checkpoint would wait for it.
	r1, err = c.Query(t.Context(), "SELECT i FROM t")
	must(t, err)
	_, err = r1.Next()
	must(t, err)
	r1.Close()
	exec(t, d, "DROP TABLE t")
	exec(t, d, "FORCE CHECKPOINT")
	c.Close()
	if _, err := c.Query(t.Context(), "SELECT 1"); SQLState(err) != "08003" {
		t.Errorf("a closed connection: %v", err)
	}
}

// A failure while streaming comes after rows, and the connection goes on.
func TestErrorMidStream(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	r, err := c.Query(t.Context(), "SELECT CASE WHEN i = 500000 THEN error('boom') ELSE i END FROM range(1000000) r(i)")
	must(t, err)
	rows := 0
	for {
		ch, err := r.Next()
		if err != nil {
			if err.Error() != "boom" || rows == 0 || rows > 500000 {
				t.Errorf("%d rows, then %v", rows, err)
			}
			break
		}
		if ch == nil {
			t.Fatal("no error")
		}
		rows += ch.N
	}
	exec(t, c, "SELECT 1")
}

// While a reader rests, another thread computes ahead and fails: the reader then sees that error, and not the interrupt by which DuckDB ends the
// statement's threads. Where somebody interrupts the statement, it is that.
func TestErrorOfAnotherThread(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the linker gives DuckDB's calls away on Linux only")
	}
	const group = 122_880 // rows that one thread takes
	entered, fail := make(chan bool, 1), make(chan bool, 1)
	slow := Scalar{Name: "fails", Params: []vector.Type{vector.T(vector.Int64)}, Result: vector.T(vector.Int64), Volatile: true, Run: func(_ *Call, args []*vector.Vector, i int, out *vector.Vector) error {
		if args[0].I64[i]%group != group/2 {
			out.AppendInt(0)
			return nil
		}
		select {
		case entered <- true:
		default: // another one fails, too
		}
		select {
		case <-fail:
		case <-time.After(100 * time.Millisecond): // the reader computes it itself
		}
		return &Error{SQLState: "22012", Message: "boom"}
	}}
	c := connect(t, open(t, Options{Threads: 2, Scalars: []Scalar{slow}}))
	exec(t, c, fmt.Sprintf("CREATE TABLE t AS SELECT i FROM range(%d) r(i)", 4*group))
	ahead := 0
	for try := 0; ahead < 3 && try < 40; try++ {
		r, err := c.Query(t.Context(), "SELECT i, fails(i) FROM (SELECT DISTINCT i FROM t)")
		for rested := false; err == nil; {
			if len(entered) > 0 && !rested {
				fail <- true
				time.Sleep(20 * time.Millisecond)
				rested = true
				ahead++
			}
			var ch *vector.Chunk
			if ch, err = r.Next(); err == nil && ch == nil {
				t.Fatal("no error")
			}
		}
		if err.Error() != "boom" {
			t.Fatalf("it failed with %v", err)
		}
		for _, c := range []chan bool{entered, fail} {
			for len(c) > 0 {
				<-c
			}
		}
	}
	if ahead == 0 {
		t.Error("no thread failed while its reader rested: the test shows nothing")
	}

	r, err := c.Query(t.Context(), "SELECT i FROM range(1000000000) r(i)")
	must(t, err)
	_, err = r.Next()
	must(t, err)
	m.Interrupt(c.c)
	for err == nil {
		_, err = r.Next()
	}
	if SQLState(err) != "57014" {
		t.Errorf("an interrupted statement: %v", err)
	}
	exec(t, c, "SELECT 1")
}

func TestStatements(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 1}))
	if n := exec(t, c, "CREATE TABLE t (a int, b text)"); n != 0 {
		t.Errorf("CREATE changed %d", n)
	}
	if n := exec(t, c, "INSERT INTO t SELECT i, $1 FROM range(10) r(i)", text("x")); n != 10 {
		t.Errorf("INSERT changed %d", n)
	}
	for _, x := range []struct{ sql, params, columns string }{
		{"SELECT a, b AS \"B b\" FROM t WHERE a = $1 AND b LIKE $2", "[integer text]", "[{a integer} {B b text}]"},
		{"SELECT $1 + 1, a FROM t", "[invalid]", "[{unknown invalid}]"},
		{"INSERT INTO t VALUES ($1, $2)", "[integer text]", "[]"}, {"INSERT INTO t VALUES (1, 'x') RETURNING a AS \"Count\"", "[]", "[{Count integer}]"},
		{"UPDATE t SET a = $1 RETURNING b", "[integer]", "[{b text}]"}, {"DELETE FROM t", "[]", "[]"}, {"CREATE TABLE u (a int)", "[]", "[]"},
		{"MERGE INTO t USING (SELECT 1 a) s ON t.a = s.a WHEN MATCHED THEN DELETE", "[]", "[]"}, {"BEGIN", "[]", "[]"},
		{"CREATE TABLE u AS SELECT 1 AS x", "[]", "[]"}, {"EXPLAIN SELECT 1", "[]", "[{explain_key text} {explain_value text}]"},
		{"SELECT 1 = any($1::bigint[]) AS x, [1.5] AS l, map {'a': 1} AS m", "[bigint[]]", "[{x boolean} {l numeric(2,1)[]} {m map(text, integer)}]"},
	} {
		s, err := c.Prepare(t.Context(), x.sql)
		if err != nil {
			t.Errorf("%s: %v", x.sql, err)
			continue
		}
		if p, cols := fmt.Sprint(s.Params()), fmt.Sprint(s.Columns()); p != x.params || cols != x.columns {
			t.Errorf("%s: parameters %s, columns %s", x.sql, p, cols)
		}
		s.Close()
	}
	if _, err := c.Exec(t.Context(), "SELECT $1"); SQLState(err) != "08P01" {
		t.Errorf("a missing parameter: %v", err)
	}
	if _, err := c.Exec(t.Context(), "SELECT 1\x00"); SQLState(err) != "42601" {
		t.Errorf("a zero byte: %v", err)
	}
	// Session defaults, and quoting.
	got := texts(t, c, "SELECT current_setting('TimeZone') || ' ' || (7 / 2) || ' ' || (7 / 2.0) || ' ' || (SELECT list(x ORDER BY x DESC) FROM (VALUES (1), (NULL), (2)) v(x))::varchar")
	if got[0] != "UTC 3 3.5 [NULL, 2, 1]" {
		t.Errorf("session: %q", got)
	}
	for _, s := range []string{`a"b`, `it's`, `back\slash`, "", "é\n;--"} {
		ch, err := read(c, "SELECT "+QuoteLiteral(s)+" AS "+QuoteIdent(s+"x"))
		if err != nil || column0(ch)[0] != s {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// An appender works in the connection's transaction, and constraints fail it.
func TestAppenderTransaction(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 1}))
	exec(t, c, "CREATE TABLE t (a bigint PRIMARY KEY)")
	load := func(from, n int) error {
		a, err := c.Appender("", "main", "t")
		must(t, err)
		v := vector.New(vector.T(vector.Int64), n)
		for i := range n {
			v.AppendInt(int64(from + i))
		}
		if err := a.Append(&vector.Chunk{N: n, Cols: []*vector.Vector{v}}); err != nil {
			t.Error(a.Close())
			return err
		}
		return a.Close()
	}
	exec(t, c, "BEGIN")
	must(t, load(0, 1000))
	exec(t, c, "ROLLBACK")
	must(t, load(0, 10))
	if err := load(5, 10); SQLState(err) != "23505" {
		t.Errorf("a duplicate: %v (%s)", err, SQLState(err))
	}
	if got := texts(t, c, "SELECT count(*) FROM t"); got[0] != "10" {
		t.Errorf("%s rows", got)
	}
}

// The lock holds: no files outside the roots, no settings, no extensions. Init runs before it, and a file is a database.
func TestLock(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a.csv"), []byte("a\n1\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(other, "a.csv"), []byte("a\n1\n"), 0o600))
	path := filepath.Join(dir, "db.duckdb")
	db, err := Open(path, Options{ReadRoots: []string{dir}, Threads: 1, Init: []string{"CREATE OR REPLACE MACRO twice(x) AS 2 * x"}})
	must(t, err)
	c, err := db.Connect()
	must(t, err)
	if got := texts(t, c, "SELECT twice(a) FROM read_csv("+QuoteLiteral(filepath.Join(dir, "a.csv"))+")"); got[0] != "2" {
		t.Errorf("a file under the root: %q", got)
	}
	for _, sql := range []string{
		"SELECT * FROM read_csv(" + QuoteLiteral(filepath.Join(other, "a.csv")) + ")", "SELECT * FROM read_text(" + QuoteLiteral(dir+"/../../etc/passwd") + ")",
		"COPY (SELECT 1) TO " + QuoteLiteral(filepath.Join(other, "b.csv")), "ATTACH " + QuoteLiteral(filepath.Join(other, "x.db")), "INSTALL spatial", "LOAD spatial",
		"SET memory_limit = '1GB'", "SET GLOBAL enable_external_access = true", "RESET lock_configuration", "SET threads = 3", "PRAGMA threads = 4",
	} {
		if _, err := c.Exec(t.Context(), sql); SQLState(err) != "42501" {
			t.Errorf("%s: %v (%s)", sql, err, SQLState(err))
		}
	}
	exec(t, c, "CREATE TABLE t AS SELECT 42 AS a")
	if err := db.Close(); SQLState(err) != "55006" {
		t.Errorf("closing with an open connection: %v", err)
	}
	c.Close()
	db, err = Open(path, Options{})
	must(t, err)
	c, err = db.Connect()
	must(t, err)
	if got := texts(t, c, "SELECT a FROM t"); got[0] != "42" {
		t.Errorf("after reopening: %q", got)
	}
	c.Close()
	must(t, db.Close())
	if _, err := db.Connect(); SQLState(err) != "57P01" {
		t.Errorf("a closed engine: %v", err)
	}
	if _, err := Open("", Options{Init: []string{"CREATE TABLE"}}); SQLState(err) != "42601" || !strings.Contains(err.Error(), "CREATE TABLE") {
		t.Errorf("a bad Init: %v", err)
	}
	if _, err := Open(other+"/no/such/dir/x.db", Options{}); SQLState(err) != "58030" && SQLState(err) != "58P01" {
		t.Errorf("a bad path: %v (%s)", err, SQLState(err))
	}
}

var statements = flag.Int("statements", 10_000, "how many statements TestMemoryStaysFlat runs")

// Statements, results, errors, parameters and appenders leave nothing behind.
func TestMemoryStaysFlat(t *testing.T) {
	n := *statements
	c := connect(t, open(t, Options{Threads: 1, MemoryLimit: 256 << 20}))
	exec(t, c, "CREATE TABLE t (a bigint, s text, l bigint[])")
	s, err := c.Prepare(t.Context(), "SELECT $1 || 'and some text beyond twelve bytes', [1, 2], {'a': $1}, 'b'::enum('a', 'b')")
	must(t, err)
	defer s.Close()
	l := vector.New(vector.ListOf(vector.T(vector.Int64)), 1)
	l.Child[0].AppendInt(1)
	l.CloseNested()
	i64 := vector.New(vector.T(vector.Int64), 1)
	i64.AppendInt(1)
	x := text(strings.Repeat("x", 100))
	row := &vector.Chunk{N: 1, Cols: []*vector.Vector{i64, x, l}}
	base := 0
	for i := range n {
		if i == n/5 {
			base = rss(t)
		}
		if i%20 == 0 {
			if _, err := c.Exec(t.Context(), "SELECT nope"); err == nil {
				t.Fatal("no error")
			}
			exec(t, c, "BEGIN")
			a, err := c.Appender("", "", "t")
			must(t, err)
			must(t, a.Append(row))
			must(t, a.Close())
			exec(t, c, "ROLLBACK")
			exec(t, c, "SELECT $1, $2", l, x)
			continue
		}
		r, err := s.Query(t.Context(), x)
		must(t, err)
		if i%2 == 0 {
			ch, err := r.Next()
			if err != nil || ch.N != 1 {
				t.Fatal(err)
			}
		}
		r.Close()
	}
	if now := rss(t); now > base+16 {
		t.Errorf("%d MiB resident after a fifth of the statements, %d MiB at the end", base, now)
	} else {
		t.Logf("%d MiB resident after a fifth of %d statements, %d MiB at the end", base, n, now)
	}
}

// An appender gives its rows to the table by their size: what it collects itself is in no memory limit.
func TestAppenderBatches(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 1}))
	exec(t, c, "CREATE TABLE t (s VARCHAR)")
	a, err := c.Appender("", "main", "t")
	must(t, err)
	col := vector.New(vector.T(vector.Text), 64)
	for range 64 {
		col.AppendBytes(make([]byte, 1024))
	}
	const chunks = 3*maxBuffered/(64<<10) - 1
	for range chunks {
		must(t, a.Append(&vector.Chunk{N: col.N, Cols: []*vector.Vector{col}}))
	}
	count := func() int {
		n, err := strconv.Atoi(texts(t, c, "SELECT count(*) FROM t")[0])
		must(t, err)
		return n
	}
	if n := count(); n < chunks*64/2 || n >= chunks*64 {
		t.Errorf("%d rows of %d are in the table before the end", n, chunks*64)
	}
	must(t, a.Close())
	if n := count(); n != chunks*64 {
		t.Errorf("%d rows of %d", n, chunks*64)
	}
}
