package duck

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

type squares struct{ chunks int }

func (s squares) Rows(relation string) ([]string, []vector.Type, []*vector.Chunk, error) {
	if relation != "squares" {
		return nil, nil, nil, fmt.Errorf("no relation %s", relation)
	}
	types := []vector.Type{vector.T(vector.Int64), vector.T(vector.Text), vector.ListOf(vector.T(vector.Text))}
	var rows []*vector.Chunk
	for k := range s.chunks {
		c := vector.NewChunk(types, 0)
		for i := range 2048 {
			x := int64(k*2048 + i)
			c.Cols[0].AppendInt(x)
			if x%7 == 0 {
				c.Cols[1].AppendNull()
			} else {
				c.Cols[1].AppendString(fmt.Sprintf("a text longer than twelve bytes %d", x*x))
			}
			c.Cols[2].Child[0].AppendString(fmt.Sprint(x))
			c.Cols[2].CloseNested()
			c.N++
		}
		rows = append(rows, c)
	}
	return []string{"x", "square", "list"}, types, rows, nil
}

func (s squares) Call(function string, args []*vector.Vector, n int, out *vector.Vector) error {
	for i := range n {
		switch {
		case function == "fails":
			return fmt.Errorf("it failed")
		case function == "panics":
			panic("no")
		case args[0].IsNull(i):
			out.AppendNull()
		case function == "list":
			out.Child[0].AppendString(fmt.Sprintf("the number %d", args[0].I64[i]))
			out.CloseNested()
		default:
			out.AppendString(strings.Repeat("x", int(args[0].I64[i]%40)))
		}
	}
	return nil
}

// Rows and functions of Go are read in SQL, by their number alone.
func TestProvided(t *testing.T) {
	db, err := Open("", Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	number, release := Provide(squares{3})
	one := func(sql string, args ...any) string {
		t.Helper()
		rows, err := c.Query(context.Background(), fmt.Sprintf("SELECT ("+sql+")::VARCHAR", args...))
		if err != nil {
			return err.Error()
		}
		defer rows.Close()
		ch, err := rows.Next()
		if err != nil {
			return err.Error()
		}
		return string(ch.Cols[0].Bytes(0))
	}
	for _, k := range []struct{ sql, want string }{
		{"SELECT count(*) FROM __rows(%d, 'squares')", "6144"},
		{"SELECT sum(x) FROM __rows(%d, 'squares') WHERE square IS NULL", "2695021"},
		{"SELECT max(square) FROM __rows(%d, 'squares') a WHERE x = 5000 AND list = ['5000']", "a text longer than twelve bytes 25000000"},
		{"SELECT count(*) FROM __rows(%[1]d, 'squares') a JOIN __rows(%[1]d, 'squares') b ON a.square = b.square", "5266"},
		{"SELECT sum(length(__call_text(%[1]d, 'repeat', x))) FROM __rows(%[1]d, 'squares')", "119616"},
		{"SELECT string_agg(__call_texts(%[1]d, 'list', x)[1], ',') FROM __rows(%[1]d, 'squares') WHERE x < 3", "the number 0,the number 1,the number 2"},
		{"SELECT count(__call_text(%[1]d, 'repeat', NULL::BIGINT))", "0"},
	} {
		if got := one(k.sql, number); got != k.want {
			t.Errorf("%s: %s, want %s", k.sql, got, k.want)
		}
	}
	for _, sql := range []string{"SELECT count(*) FROM __rows(%d, 'cubes')", "SELECT __call_text(%d, 'fails', x) FROM range(3) r(x)", "SELECT __call_text(%d, 'panics', x) FROM range(3) r(x)"} {
		if got := one(sql, number); !strings.Contains(got, "cubes") && !strings.Contains(got, "failed") {
			t.Errorf("%s: %s", sql, got)
		}
	}
	release()
	if got := one("SELECT count(*) FROM __rows(%d, 'squares')", number); !strings.Contains(got, "gone") {
		t.Error(got)
	}
	kept.Lock()
	defer kept.Unlock()
	if len(kept.by) > 0 {
		t.Errorf("%d scans are kept", len(kept.by))
	}
}
