package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

func runIn(t *testing.T, e *Engine, sql string) string {
	t.Helper()
	ctx := context.Background()
	s, err := e.Connect(ctx, session.ConnectInfo{User: DefaultRole, Database: DefaultRole})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out strings.Builder
	parts, err := s.Split(sql)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		st, err := s.Parse(ctx, p.SQL, nil)
		if err != nil {
			t.Fatalf("%s: %v", p.SQL, err)
		}
		r, err := st.Execute(ctx, nil)
		if err != nil {
			t.Fatalf("%s: %v", p.SQL, err)
		}
		for {
			ch, err := r.Next()
			if err != nil {
				t.Fatalf("%s: %v", p.SQL, err)
			}
			if ch == nil {
				break
			}
			for i := range ch.N {
				for j, c := range ch.Cols {
					if j > 0 {
						out.WriteByte('|')
					}
					if !c.IsNull(i) {
						out.Write(codec.AppendText(nil, c, i, codec.Defaults))
					}
				}
				out.WriteByte('\n')
			}
		}
		r.Close()
	}
	return out.String()
}

// narrow makes a column what earlier versions made of numeric without a precision.
func narrow(t *testing.T, e *Engine, table string, columns ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := e.db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT doc FROM "+tablesDocuments)
	if err != nil {
		t.Fatal(err)
	}
	var o *tables.Object
	for ch, err := rows.Next(); ch != nil || err != nil; ch, err = rows.Next() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range ch.N {
			if x, err := tables.Decode(ch.Cols[0].Bytes(i)); err != nil {
				t.Fatal(err)
			} else if x.Name == table {
				o = x
			}
		}
	}
	rows.Close()
	for _, name := range columns {
		c := o.Column(name)
		was := vector.DecimalOf(38, 9)
		if c.Type.Kind == vector.List {
			was = vector.ListOf(was)
		}
		c.Type = was
		if o.Kind != tables.View {
			if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ALTER %s SET DATA TYPE %s", duckName(o), duck.QuoteIdent(name), was.DuckDB())); err != nil {
				t.Fatal(err)
			}
		}
	}
	doc := vector.New(vector.T(vector.Text), 1)
	doc.AppendBytes(o.Encode())
	if _, err := conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET doc = $1 WHERE id = %d", tablesDocuments, o.ID), doc); err != nil {
		t.Fatal(err)
	}
}

// Columns of numeric without a precision that earlier versions wrote are read, compared and written as such when their directory is
// opened, and nothing else of the directory changes.
func TestWidenNumerics(t *testing.T) {
	ctx := context.Background()
	cfg := Config{Dir: t.TempDir(), MemoryLimit: 256 << 20, Threads: 1}
	open := func() *Engine {
		e, err := Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open()
	runIn(t, e, `CREATE TABLE o (id int PRIMARY KEY, v numeric NOT NULL UNIQUE, a numeric[], p numeric(10,2));
		INSERT INTO o VALUES (1, 1.5, '{1.5,2,NULL}', 3), (2, 100, NULL, 4), (3, -0.5, '{}', 5), (4, 0, '{0.10}', NULL);
		CREATE VIEW ov AS SELECT id, v FROM o; CREATE MATERIALIZED VIEW om AS SELECT id, v FROM o; CREATE TABLE other (x numeric(38,9)); INSERT INTO other VALUES (1)`)
	narrow(t, e, "o", "v", "a")
	narrow(t, e, "ov", "v")
	narrow(t, e, "om", "v")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		e = open()
		for sql, want := range map[string]string{
			"SELECT * FROM o ORDER BY v":      "3|-0.5|{}|5.00\n4|0|{0.1}|\n1|1.5|{1.5,2,NULL}|3.00\n2|100||4.00\n",
			"SELECT v FROM ov WHERE v = 1.50": "1.5\n",
			"SELECT sum(v) FROM om":           "101.0\n",
			"SELECT x FROM other":             "1.000000000\n",
			"SELECT atttypmod FROM pg_attribute WHERE attrelid = 'o'::regclass AND attnum > 0 ORDER BY attnum":                                             "-1\n-1\n-1\n655366\n",
			"INSERT INTO o VALUES (5, 1.5000, NULL, NULL) ON CONFLICT DO NOTHING RETURNING v":                                                              "",
			"BEGIN; INSERT INTO o VALUES (6, 'NaN', '{1.2345678901}', NULL) RETURNING v, a; REFRESH MATERIALIZED VIEW om; SELECT max(v) FROM om; ROLLBACK": "NaN|{1.2345678901}\nNaN\n",
		} {
			if got := runIn(t, e, sql); got != want {
				t.Errorf("%s:\n%swant\n%s", sql, got, want)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
