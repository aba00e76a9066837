// Command databasesql runs database/sql with lib/pq and with pgx, section by section; what it prints is compared between two
// servers. Where the server is, it reads from libpq's environment variables.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	pgxstdlib "github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
)

type section struct {
	name   string
	sample bool
	run    func(db *sql.DB)
}

// failure is what must panics with: the section ends, the next one begins.
type failure struct{ error }

func must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func show(values ...any) {
	var b strings.Builder
	for _, v := range values {
		switch x := v.(type) {
		case nil:
			fmt.Fprint(&b, "  nil")
		case []byte:
			fmt.Fprintf(&b, "  []byte(%q)", x)
		case string:
			fmt.Fprintf(&b, "  %q", x)
		case time.Time:
			fmt.Fprintf(&b, "  %s", x.UTC().Format(time.RFC3339Nano))
		default:
			fmt.Fprintf(&b, "  %T(%v)", x, x)
		}
	}
	fmt.Println(b.String())
}

// state is the SQLSTATE of an error of either driver.
func state(err error) string {
	var a *pq.Error
	var b *pgconn.PgError
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &a):
		return fmt.Sprintf("%s %s %s %s", a.Code, a.Severity, a.Constraint, a.Position)
	case errors.As(err, &b):
		return fmt.Sprintf("%s %s %s %d", b.Code, b.Severity, b.ConstraintName, b.Position)
	}
	return err.Error()
}

func exec(db interface {
	Exec(string, ...any) (sql.Result, error)
}, q string, args ...any) int64 {
	r, err := db.Exec(q, args...)
	must(err)
	n, _ := r.RowsAffected()
	return n
}

// rows shows all rows of a query with the Go types that the driver gives.
func rows(db interface {
	Query(string, ...any) (*sql.Rows, error)
}, q string, args ...any) {
	r, err := db.Query(q, args...)
	must(err)
	defer r.Close()
	types, err := r.ColumnTypes()
	must(err)
	for r.Next() {
		values, into := make([]any, len(types)), make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		must(r.Scan(into...))
		show(values...)
	}
	must(r.Err())
}

func sections(driver string) []section {
	t := func(name string) string { return strings.ReplaceAll(driver, "/", "") + "_" + name } // tables of one driver
	return []section{
		{"types", true, func(db *sql.DB) {
			for _, c := range []struct {
				typ string
				v   any
			}{
				{"boolean", true}, {"smallint", int64(-3)}, {"integer", int64(7)}, {"bigint", int64(1) << 62}, {"real", 1.5}, {"double precision", 0.1}, {"numeric", "12345678901234567890.125"}, {"numeric(8,2)", "1.5"},
				{"text", "日 'x'"}, {"varchar(5)", "ab"}, {"char(4)", "ab"}, {"bytea", []byte{0, 255}}, {"uuid", "00000000-0000-0000-0000-000000000007"}, {"date", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
				{"timestamp", time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC)}, {"timestamptz", time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC)}, {"interval", "1 mon 2 days 03:04:05"}, {"json", `{"a": 1}`}, {"jsonb", `{"b": 1}`}, {"time", "01:02:03"},
			} {
				fmt.Print("  ", c.typ)
				rows(db, "SELECT $1::"+c.typ+", NULL::"+c.typ, c.v)
			}
		}},
		{"arrays", true, func(db *sql.DB) {
			if driver == "lib/pq" {
				var a []string
				var n []int64
				must(db.QueryRow("SELECT $1::text[], $2::bigint[]", pq.Array([]string{"a", `q"\`, ""}), pq.Array([]int64{1, 2})).Scan(pq.Array(&a), pq.Array(&n)))
				show(a, n)
				rows(db, "SELECT 1 WHERE 3 = ANY($1)", pq.Array([]int64{1, 3}))
				return
			}
			rows(db, "SELECT $1::text[]::text, 1 WHERE 3 = ANY($2)", []string{"a", ""}, []int32{1, 3})
		}},
		{"column_types", true, func(db *sql.DB) {
			r, err := db.Query("SELECT 1 AS i, 2::bigint AS b, 1.5::numeric(10,3) AS n, 'x'::varchar(9) AS v, 'y'::text AS t, now() AS z, true AS o")
			must(err)
			defer r.Close()
			types, err := r.ColumnTypes()
			must(err)
			for _, c := range types {
				length, hasLength := c.Length()
				precision, scale, hasScale := c.DecimalSize()
				show(c.Name(), c.DatabaseTypeName(), length, hasLength, precision, scale, hasScale, fmt.Sprint(c.ScanType()))
			}
		}},
		{"writes", true, func(db *sql.DB) {
			exec(db, "CREATE TABLE "+t("w")+" (id serial PRIMARY KEY, name text UNIQUE, n numeric(8,2))")
			var id int
			must(db.QueryRow("INSERT INTO "+t("w")+" (name, n) VALUES ($1, $2) RETURNING id", "a", 1.5).Scan(&id))
			show(id, exec(db, "INSERT INTO "+t("w")+" (name) VALUES ($1), ($2)", "b", "c"), exec(db, "UPDATE "+t("w")+" SET n = $1 WHERE name > $2", "2.25", "a"))
			show(exec(db, "INSERT INTO "+t("w")+" (name, n) VALUES ('a', 9) ON CONFLICT (name) DO UPDATE SET n = excluded.n"), exec(db, "DELETE FROM "+t("w")+" WHERE name = $1", "c"))
			rows(db, "SELECT id, name, n FROM "+t("w")+" ORDER BY id")
			_, err := db.Exec("INSERT INTO "+t("w")+" (name) VALUES ($1)", "a")
			show(state(err))
		}},
		{"prepared", true, func(db *sql.DB) {
			s, err := db.Prepare("SELECT $1::int + $2, coalesce($3, 'none')")
			must(err)
			defer s.Close()
			for i := range 3 {
				var a int
				var b string
				must(s.QueryRow(i, 10, sql.NullString{String: "x", Valid: i > 0}).Scan(&a, &b))
				show(a, b)
			}
			_, err = db.Prepare("SELECT nothing")
			show(state(err))
		}},
		{"transactions", true, func(db *sql.DB) {
			ctx := context.Background()
			exec(db, "CREATE TABLE "+t("tx")+" (i integer PRIMARY KEY)")
			tx, err := db.BeginTx(ctx, nil)
			must(err)
			exec(tx, "INSERT INTO "+t("tx")+" VALUES (1)")
			exec(tx, "SAVEPOINT s")
			_, err = tx.Exec("INSERT INTO " + t("tx") + " VALUES (1)")
			show(state(err))
			exec(tx, "ROLLBACK TO SAVEPOINT s")
			exec(tx, "INSERT INTO "+t("tx")+" VALUES (2)")
			must(tx.Commit())
			for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
				tx, err = db.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: level == sql.LevelSerializable})
				must(err)
				var is string
				must(tx.QueryRow("SHOW transaction_isolation").Scan(&is))
				_, err = tx.Exec("DELETE FROM " + t("tx"))
				show(is, state(err))
				must(tx.Rollback())
			}
			tx, err = db.Begin()
			must(err)
			_, err = tx.Exec("SELECT 1/0")
			show(state(err), tx.Commit() != nil)
			rows(db, "SELECT i FROM "+t("tx")+" ORDER BY i")
		}},
		{"multiple_results", true, func(db *sql.DB) {
			if driver != "lib/pq" {
				return // pgx sends one statement a message
			}
			r, err := db.Query("SELECT 1; SELECT 'two'")
			must(err)
			defer r.Close()
			for {
				for r.Next() {
					var v any
					must(r.Scan(&v))
					show(v)
				}
				if !r.NextResultSet() {
					break
				}
			}
			must(r.Err())
		}},
		{"many_rows", true, func(db *sql.DB) {
			r, err := db.Query("SELECT i, i::text FROM generate_series(1, $1::int) AS g(i)", 5000)
			must(err)
			defer r.Close()
			n := 0
			for r.Next() {
				var i int
				var s string
				must(r.Scan(&i, &s))
				n += i + len(s)
			}
			must(r.Err())
			show(n)
		}},
		{"copy_in", true, func(db *sql.DB) {
			exec(db, "CREATE TABLE "+t("cp")+" (i integer, s text, at timestamptz)")
			at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
			if driver == "lib/pq" {
				tx, err := db.Begin()
				must(err)
				s, err := tx.Prepare(pq.CopyIn(t("cp"), "i", "s", "at"))
				must(err)
				for i := range 100 {
					_, err = s.Exec(i, "tab\there", at)
					must(err)
				}
				_, err = s.Exec()
				must(err)
				must(s.Close())
				must(tx.Commit())
			} else {
				c, err := db.Conn(context.Background())
				must(err)
				defer c.Close()
				must(c.Raw(func(raw any) error {
					_, err := raw.(*pgxstdlib.Conn).Conn().PgConn().CopyFrom(context.Background(), strings.NewReader("1\ttab\\there\t2024-01-02 03:04:05Z\n"), "COPY "+t("cp")+" FROM STDIN")
					return err
				}))
			}
			rows(db, "SELECT count(*), min(s), max(at) FROM "+t("cp"))
		}},
		{"cancelled", false, func(db *sql.DB) {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			_, err := db.ExecContext(ctx, "SELECT pg_sleep(20)")
			show(err != nil)
			rows(db, "SELECT 1")
		}},
		{"errors", true, func(db *sql.DB) {
			for _, q := range []string{"SELEC", "SELECT * FROM nope", "SELECT nocol", "SELECT 'x'::int", "SELECT 1/0", "SELECT nofunc(1)"} {
				_, err := db.Exec(q)
				show(q, state(err))
			}
		}},
		{"listen", false, func(db *sql.DB) {
			if driver != "lib/pq" {
				c, err := db.Conn(context.Background())
				must(err)
				defer c.Close()
				must(c.Raw(func(raw any) error {
					conn := raw.(*pgxstdlib.Conn).Conn()
					if _, err := conn.Exec(context.Background(), "LISTEN ch"); err != nil {
						return err
					}
					if _, err := conn.Exec(context.Background(), "NOTIFY ch, 'hi'"); err != nil {
						return err
					}
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
					defer cancel()
					n, err := conn.WaitForNotification(ctx)
					if err == nil {
						show(n.Channel, n.Payload)
					}
					return err
				}))
				return
			}
			l := pq.NewListener("", time.Second, time.Second, nil)
			defer l.Close()
			must(l.Listen("ch"))
			exec(db, "NOTIFY ch, 'hi'")
			select {
			case n := <-l.Notify:
				show(n.Channel, n.Extra)
			case <-time.After(2 * time.Second):
				show("nothing heard")
			}
		}},
	}
}

func run(s section, db *sql.DB) {
	defer func() {
		if f, ok := recover().(failure); ok {
			fmt.Println("error:", strings.SplitN(f.Error(), "\n", 2)[0])
		}
	}()
	s.run(db)
}

func main() {
	for _, driver := range []string{"lib/pq", "pgx"} {
		name := map[string]string{"lib/pq": "postgres", "pgx": "pgx"}[driver]
		for _, s := range sections(driver) {
			if os.Getenv("CLIENTS_SAMPLE") != "" && !s.sample {
				continue
			}
			fmt.Printf("== %s:%s\n", driver, s.name)
			db, err := sql.Open(name, "")
			if err != nil {
				panic(err)
			}
			run(s, db)
			db.Close()
		}
	}
}
