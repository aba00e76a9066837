package duck

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// beyond makes DuckDB's allocator beyond its bound until the function that it returns is called.
func beyond(t *testing.T) (enough func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("texts are bounded on Linux only")
	}
	limits.Lock()
	defer limits.Unlock()
	before := limits.sum
	limits.sum = 0
	setBound(1)
	return func() {
		limits.Lock()
		limits.sum = before
		limits.Unlock()
		limited(0)
	}
}

// What computes rows is refused long texts once the process takes too much, by whatever call, and the connection goes on.
func TestBoundOfTexts(t *testing.T) {
	c := connect(t, open(t, Options{MemoryLimit: 1 << 30}))
	exec(t, c, "CREATE TABLE t AS SELECT i, repeat('x', 1000) AS s FROM range(100000) r(i)")
	enough := beyond(t)
	for _, sql := range []string{
		"SELECT repeat('x', 2000000 + i) FROM range(3) r(i)",
		"SELECT upper(repeat('x', 2000000 + i)) AS u FROM range(3) r(i) ORDER BY u",
		"CREATE TABLE u AS SELECT repeat('x', 2000000 + i) FROM range(3) r(i)",
		"INSERT INTO t SELECT i, repeat('x', 2000000 + i) FROM range(3) r(i)",
		"SELECT string_agg(s, ',') FROM t",
		"SELECT repeat('x', 2000000)", // while it is planned
	} {
		if _, err := read(c, sql); err == nil {
			t.Errorf("%s: no error", sql)
		} else if of := (*Error)(nil); !errors.As(err, &of) || of.SQLState != "53200" || of.Message != tooMuchText || of.Hint != fewerTexts {
			t.Errorf("%s: %v", sql, err)
		}
		if _, err := c.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s executed: no error", sql)
		}
	}
	for _, sql := range []string{"SELECT count(*), sum(length(s)) FROM t", "SELECT repeat('x', 500000 + i) FROM range(1) r(i)"} {
		if _, err := read(c, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	enough()
	if _, err := read(c, "SELECT repeat('x', 2000000 + i) FROM range(3) r(i)"); err != nil {
		t.Error(err)
	}
}

// A commit is never refused: what a transaction wrote while there was room is kept when there is none any more.
func TestBoundSparesCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := Open(path, Options{MemoryLimit: 1 << 30, Threads: 4})
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "CREATE TABLE t (i bigint PRIMARY KEY, s text)")
	for k := range 4 {
		exec(t, c, "BEGIN")
		exec(t, c, fmt.Sprintf("INSERT INTO t SELECT %d + i, repeat('x', 3000000 + i) FROM range(10) r(i)", 10*k))
		enough := beyond(t)
		_, err := c.Exec(t.Context(), "COMMIT")
		enough()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, Options{MemoryLimit: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c = connect(t, db)
	defer c.Close()
	got, err := read(c, "SELECT count(*)::bigint, sum(length(s))::bigint FROM t")
	if err != nil {
		t.Fatal(err)
	}
	if n, sum := got.Cols[0].I64[0], got.Cols[1].I64[0]; n != 40 || sum != 4*(10*3000000+45) {
		t.Errorf("%d rows, %d bytes", n, sum)
	}
}

// A commit that fails does so as an error of the statement, through the function that stands before it.
func TestBoundLetsCommitsFail(t *testing.T) {
	db := open(t, Options{})
	a, b := connect(t, db), connect(t, db)
	exec(t, a, "CREATE TABLE t (i bigint PRIMARY KEY)")
	for i := range 50 {
		exec(t, a, "BEGIN")
		exec(t, b, "BEGIN")
		for _, c := range []*Conn{a, b} {
			exec(t, c, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		}
		exec(t, a, "COMMIT")
		if _, err := b.Exec(t.Context(), "COMMIT"); err == nil || !strings.Contains(err.Error(), "constraint") {
			t.Fatalf("the second commit: %v", err)
		}
	}
}

// Statements of many sessions, of which some are refused, some commit, and all end.
func TestBoundUnderLoad(t *testing.T) {
	db := open(t, Options{MemoryLimit: 1 << 30, Threads: 4})
	setup := connect(t, db)
	exec(t, setup, "CREATE TABLE t (session bigint, s text)")
	var sessions sync.WaitGroup
	enough := beyond(t)
	defer enough()
	for k := range 8 {
		c := connect(t, db)
		sessions.Go(func() {
			for i := range 40 {
				if _, err := read(c, fmt.Sprintf("SELECT upper(repeat('x', %d + i)), lower(repeat('Y', 1200000 + i)) FROM range(5) r(i)", 900000+20000*i)); err == nil {
					t.Error("not refused")
				}
				if _, err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO t SELECT %d, repeat('x', 100000 + i) FROM range(2) r(i)", k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sessions.Wait()
	got, err := read(setup, "SELECT count(*)::bigint FROM t")
	if err != nil || got.Cols[0].I64[0] != 640 {
		t.Errorf("%v rows, %v", got, err)
	}
}
