package duck

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

func open(t testing.TB, o Options) *DB {
	t.Helper()
	db, err := Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func connect(t testing.TB, db *DB) *Conn {
	t.Helper()
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func exec(t testing.TB, c *Conn, sql string, args ...*vector.Vector) int64 {
	t.Helper()
	n, err := c.Exec(context.Background(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// read is all rows of a query.
func read(c *Conn, sql string, args ...*vector.Vector) (*vector.Chunk, error) {
	r, err := c.Query(context.Background(), sql, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var types []vector.Type
	for _, col := range r.Columns() {
		types = append(types, col.Type)
	}
	out := vector.NewChunk(types, 0)
	for {
		ch, err := r.Next()
		if err != nil || ch == nil {
			return out, err
		}
		ch.Check()
		for i := range ch.N {
			out.AppendRow(ch, i)
		}
	}
}

// texts is the first column of a query, printed.
func texts(t testing.TB, c *Conn, sql string, args ...*vector.Vector) []string {
	t.Helper()
	ch, err := read(c, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return column0(ch)
}

func column0(ch *vector.Chunk) []string {
	var out []string
	for i := range ch.N {
		v := ch.Cols[0]
		s := "NULL"
		switch {
		case v.IsNull(i):
		case v.Type.Buffer() == vector.BufNested:
			s = string(appendJSON(nil, v, i))
		default:
			s = string(appendText(nil, v, i))
		}
		out = append(out, s)
	}
	return out
}

func text(s string) *vector.Vector {
	v := vector.New(vector.T(vector.Text), 1)
	v.AppendString(s)
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rss is the process's resident memory in MiB.
func rss(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc") // Only Linux tells.
	}
	pages, err := strconv.Atoi(string(bytes.Fields(b)[1]))
	must(t, err)
	return pages * os.Getpagesize() >> 20
}
