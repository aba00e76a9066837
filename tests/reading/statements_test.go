package reading

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// valueOIDs are the types of the columns of valuesTable as parameters.
var valueOIDs = map[string]uint32{"id": 23, "k": 23, "a": 23, "b": 23, "c": 21, "g": 20, "d": 701, "f": 700, "s": 25, "n": 1700, "ts": 1184, "bo": 16,
	"da": 1082, "tm": 1114, "j": 3802, "ar": 1007}

// leastKeys is how many of the expressions are looked up as keys, at least: fewer would be a loss.
const leastKeys = 100

// drawn are a third of the expressions, drawn by a seed that is printed, and how many of them are keys at least; with TILEHOUSE_SOAK all.
// TILEHOUSE_SEED sets the seed.
func drawn(t *testing.T, expressions []string) ([]string, int) {
	if os.Getenv("TILEHOUSE_SOAK") != "" {
		return expressions, leastKeys
	}
	seed := rand.Uint64()
	if s := os.Getenv("TILEHOUSE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TILEHOUSE_SEED=%d", seed)
	order := rand.New(rand.NewPCG(seed, 1)).Perm(len(expressions))
	out := make([]string, len(expressions)/3)
	for i := range out {
		out[i] = expressions[order[i]]
	}
	return out, leastKeys / 6
}

// keyTypes are types that an entity's key can have.
var keyTypes = []string{"boolean", "smallint", "integer", "bigint", "text", "date", "timestamp with time zone", "double precision", "numeric(20,6)"}

// parameterized is an expression with parameters in the place of columns, and which columns these are.
func parameterized(e string) (string, []string) {
	var columns []string
	names := regexp.MustCompile(`\b(id|k|a|b|c|g|d|f|s|n|ts|bo|da|tm|j|ar)\b`)
	parts := strings.Split(e, "'")
	for i := 0; i < len(parts); i += 2 { // not in literals
		parts[i] = names.ReplaceAllStringFunc(parts[i], func(name string) string {
			for k, c := range columns {
				if c == name {
					return fmt.Sprintf("$%d", k+1)
				}
			}
			columns = append(columns, name)
			return fmt.Sprintf("$%d", len(columns))
		})
	}
	return strings.Join(parts, "'"), columns
}

// withParams runs a statement with parameters in a format, and gives its rows, which come in that format, or its SQLSTATE.
func withParams(c *pgconn.PgConn, sql string, values [][]byte, oids []uint32, format int16) string {
	formats := make([]int16, len(values))
	for i := range formats {
		formats[i] = format
	}
	r := c.ExecParams(context.Background(), sql, values, oids, formats, []int16{format}).Read()
	if refused := (*pgconn.PgError)(nil); errors.As(r.Err, &refused) {
		return refused.Code
	}
	if r.Err != nil {
		return r.Err.Error()
	}
	var b strings.Builder
	for _, row := range r.Rows {
		for i, v := range row {
			if v == nil {
				b.WriteString("NULL|")
			} else {
				fmt.Fprintf(&b, "%q:%d|", v, r.FieldDescriptions[i].DataTypeOID)
			}
		}
	}
	return b.String()
}

// valuesOf are the values of columns of a row, as a PostgreSQL sends them in a format.
func valuesOf(t *testing.T, peer *pgconn.PgConn, columns []string, row string, format int16) (values [][]byte, oids []uint32) {
	t.Helper()
	if len(columns) == 0 {
		return nil, nil
	}
	for _, c := range columns {
		oids = append(oids, valueOIDs[c])
	}
	r := peer.ExecParams(context.Background(), "SELECT "+strings.Join(columns, ", ")+" FROM rows WHERE id = "+row, nil, nil, nil, []int16{format}).Read()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Rows[0], oids
}

// An expression has PostgreSQL's value in every statement that reads features or relations by time, in each of its places, whether its
// operands are columns or parameters; so have what such a statement writes.
func TestExpressionsOfStatements(t *testing.T) {
	expressions, peer, ours := expressionsAndPeers(t)
	expressions, least := drawn(t, expressions)
	must := func(c *pgconn.PgConn, sql string) {
		t.Helper()
		if got := simple(c, sql); got != "" {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	for _, c := range []*pgconn.PgConn{ours, peer} {
		must(c, "CREATE TABLE rows "+valuesTable)
		must(c, "INSERT INTO rows VALUES "+valuesRows)
		must(c, "CREATE TABLE kept (id int, v text)")
		must(c, "CREATE TABLE once (o int, at timestamptz)")
		must(c, "INSERT INTO once VALUES (1, '0001-01-01 00:00:00Z')")
		must(c, valuesZone)
	}
	must(ours, "CREATE TABLE events (k int, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
	must(ours, "CREATE ENTITY e (k int)")
	must(ours, "CREATE FEATURE events_n ON e AS SELECT k, count(*) FROM events GROUP BY k WINDOW LIFETIME")
	keyed := map[string]string{} // entities by their key's type
	for i, kind := range keyTypes {
		name := fmt.Sprintf("of_%d", i)
		must(ours, fmt.Sprintf("CREATE TABLE events_%s (v %s, ts timestamptz NOT NULL) WITH (event_time = 'ts')", name, kind))
		must(ours, fmt.Sprintf("CREATE ENTITY %s (v %s)", name, kind))
		must(ours, fmt.Sprintf("CREATE FEATURE n_%s ON %s AS SELECT v, count(*) AS n FROM events_%[1]s GROUP BY v WINDOW LIFETIME", name, name))
		keyed[kind] = name
	}
	join := " ASOF JOIN e x ON x.k = t.k AND t.ts > x.ts"
	// Rows that PostgreSQL computes are read together, and each that it refuses by itself.
	type rowsOf struct{ expression, rows string }
	var all []rowsOf
	for _, e := range expressions {
		var computed []string
		for _, row := range []string{"1", "2", "3", "4"} {
			if sqlState.MatchString(simple(peer, "SELECT "+e+" FROM rows t WHERE id = "+row)) {
				all = append(all, rowsOf{e, row})
			} else {
				computed = append(computed, row)
			}
		}
		if len(computed) > 0 {
			all = append(all, rowsOf{e, strings.Join(computed, ", ")})
		}
	}
	each := func(t *testing.T, check func(t *testing.T, e, rows string)) {
		for _, a := range all {
			check(t, a.expression, a.rows)
		}
	}
	compare := func(t *testing.T, what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, PostgreSQL has %s", what, got, want)
		}
	}
	t.Run("CREATE TABLE AS", func(t *testing.T) {
		each(t, func(t *testing.T, e, rows string) {
			show := func(c *pgconn.PgConn, sql string) string {
				if got := simple(c, sql); got != "" {
					return got
				}
				defer simple(c, "DROP TABLE made")
				return simple(c, "SELECT v, pg_typeof(v) FROM made ORDER BY id")
			}
			want := show(peer, "CREATE TABLE made AS SELECT id, "+e+" AS v FROM rows t WHERE t.id IN ("+rows+")")
			sql := "CREATE TABLE made AS SELECT t.id, " + e + " AS v FROM rows t" + join + " WHERE x.events_n = 0 AND t.id IN (" + rows + ")"
			compare(t, sql, show(ours, sql), want)
		})
	})
	t.Run("INSERT", func(t *testing.T) {
		each(t, func(t *testing.T, e, rows string) {
			show := func(c *pgconn.PgConn, sql string) string {
				if got := simple(c, sql); got != "" {
					return got
				}
				defer simple(c, "DELETE FROM kept")
				return simple(c, "SELECT v FROM kept ORDER BY id")
			}
			want := show(peer, "INSERT INTO kept SELECT id, "+e+" FROM rows t WHERE t.id IN ("+rows+")")
			sql := "INSERT INTO kept SELECT t.id, " + e + " FROM rows t" + join + " WHERE x.events_n = 0 AND t.id IN (" + rows + ")"
			compare(t, sql, show(ours, sql), want)
		})
	})
	t.Run("keys", func(t *testing.T) {
		equal := 0
		each(t, func(t *testing.T, e, rows string) {
			from := " FROM rows t WHERE id IN (" + rows + ") ORDER BY id"
			kind, _, _ := strings.Cut(simple(peer, "SELECT pg_typeof("+e+")"+from), "|")
			want := simple(peer, "SELECT "+e+from)
			if kind == "numeric" {
				if kind = "numeric(20,6)"; !strings.Contains(simple(peer, "SELECT ("+e+")::numeric(20,6) = ("+e+")"+from), "f") {
					want = simple(peer, "SELECT ("+e+")::numeric(20,6)"+from)
				}
			}
			if keyed[kind] == "" {
				return
			}
			sql := "SELECT x.v FROM rows t ASOF JOIN " + keyed[kind] + " x ON x.v = (" + e + ") AND t.ts > x.ts WHERE t.id IN (" + rows + ") ORDER BY t.id"
			switch got := simple(ours, sql); {
			case got == want:
				equal++
			case !sqlState.MatchString(got):
				t.Errorf("%s: %s, PostgreSQL has %s", sql, got, want)
			}
		})
		if t.Logf("%d expressions are keys", equal); equal < least {
			t.Errorf("%d expressions are keys, %d wanted", equal, least)
		}
	})
	t.Run("relations by time", func(t *testing.T) {
		each(t, func(t *testing.T, e, rows string) {
			in := " WHERE t.id IN (" + rows + ") ORDER BY t.id"
			want := simple(peer, "SELECT "+e+", pg_typeof("+e+") FROM rows t"+in)
			right := " t ASOF JOIN (SELECT " + e + " AS v, id, ts FROM rows t WHERE id IN (" + rows + ")) x ON x.id = t.id AND t.ts + interval '1 hour' > x.ts"
			for _, sql := range []string{
				"SELECT " + e + ", pg_typeof(" + e + ") FROM rows t ASOF JOIN once x ON x.o = t.k - t.k + 1 AND t.ts > x.at" + in,
				"SELECT x.v, pg_typeof(x.v) FROM rows" + right + in,
				"SELECT x.v, pg_typeof(x.v) FROM rows" + right + " TOLERANCE '400000 days'" + in,
			} {
				compare(t, sql, simple(ours, sql), want)
			}
			same := "(SELECT " + e + " AS v, id, ts FROM rows t) x ON x.v = (" + e + ")"
			want = simple(peer, "SELECT count(DISTINCT t.id) FROM rows t JOIN "+same+" WHERE t.id IN ("+rows+")")
			sql := "SELECT count(*) FROM rows t ASOF JOIN " + same + " AND t.ts + interval '1000 years' > x.ts WHERE t.id IN (" + rows + ")"
			if got := simple(ours, sql); got != want && !(sqlState.MatchString(want) && sqlState.MatchString(got)) {
				t.Errorf("%s: %s, PostgreSQL has %s", sql, got, want)
			}
		})
	})
	t.Run("samples", func(t *testing.T) {
		each(t, func(t *testing.T, e, rows string) {
			in := " WHERE id IN (" + rows + ") ORDER BY id"
			want := simple(peer, "SELECT "+e+", pg_typeof("+e+") FROM rows t"+in)
			sql := "SELECT " + e + ", pg_typeof(" + e + ") FROM rows t TABLESAMPLE stratified (5, bo) REPEATABLE (1)" + in
			compare(t, sql, simple(ours, sql), want)
			want = simple(peer, "SELECT count(*) FROM (SELECT DISTINCT "+e+" AS v FROM rows t) s")
			sql = "SELECT count(*) FROM rows t TABLESAMPLE stratified (1, (" + e + "))"
			compare(t, sql, simple(ours, sql), want)
		})
	})
	// A parameter has the type of what it stands beside.
	for sql, want := range map[string]string{
		"SELECT x.events_n FROM rows t ASOF JOIN e x ON x.k = $1 AND $2 > x.ts":                                                                       "[23 1184]",
		"SELECT l.v FROM (SELECT t.n + $1 AS v, id, ts FROM rows t WHERE s = $2) l ASOF JOIN e x ON x.k = l.id AND l.ts > x.ts WHERE x.events_n = $3": "[1700 25 20]",
		"INSERT INTO kept SELECT 1, t.s || $1 FROM rows t ASOF JOIN e x ON x.k = t.k AND t.ts - $2::interval > x.ts WHERE t.g = $3":                   "[25 1186 20]",
		"CREATE TABLE made AS SELECT t.d * $1 AS v FROM rows t ASOF JOIN e x ON x.k = t.k AND t.ts > x.ts WHERE t.da = $2":                            "[701 1082]",
		"INSERT INTO kept SELECT 1, events_n FROM e WHERE k = $1":                                                                                     "[23]",
		"SELECT x.o FROM rows t ASOF JOIN once x ON x.o = $1 AND t.ts > x.at TOLERANCE '400000 days' WHERE t.n > $2":                                  "[23 1700]",
		"SELECT t.id FROM rows t TABLESAMPLE stratified ($1, (t.n + $2)) REPEATABLE ($3) WHERE t.g = $4":                                              "[20 1700 25 20]",
	} {
		d, err := ours.Prepare(context.Background(), "", sql, nil)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if got := fmt.Sprint(d.ParamOIDs); got != want {
			t.Errorf("%s: parameters %s, want %s", sql, got, want)
		}
	}
	for format, name := range []string{"text", "binary"} {
		t.Run("parameters, "+name, func(t *testing.T) {
			for i, e := range expressions {
				for k, row := range []string{"1", "2", "3", "4"} {
					p, columns := parameterized(e)
					values, oids := valuesOf(t, peer, columns, row, int16(format))
					want := withParams(peer, "SELECT "+p, values, oids, int16(format))
					forms := []string{
						"SELECT " + p + " FROM once t ASOF JOIN e x ON x.k = t.o AND now() > x.ts WHERE x.events_n = 0",
						"SELECT l.v FROM (SELECT " + p + " AS v, o FROM once) l ASOF JOIN e x ON x.k = l.o AND now() > x.ts WHERE x.events_n = 0",
						"SELECT " + p + " FROM once t ASOF JOIN once x ON x.o = t.o AND t.at >= x.at",
						"SELECT x.v FROM once t ASOF JOIN (SELECT " + p + " AS v, o, at FROM once) x ON x.o = t.o AND t.at >= x.at",
						"SELECT " + p + " FROM once t TABLESAMPLE stratified (1)",
					}
					for _, f := range []int{i + k, i + k + 2} { // of the four rows, each form has one
						sql := forms[f%len(forms)]
						compare(t, sql, withParams(ours, sql, values, oids, int16(format)), want)
					}
				}
			}
		})
	}
}
