package pgsource

import (
	"strconv"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// every type that there are columns for, with values at its edges, as PostgreSQL's input functions read them.
var everyType = []struct {
	typ    string
	values []string
}{
	{"boolean", []string{"t", "f"}},
	{"smallint", []string{"-32768", "32767", "0"}},
	{"integer", []string{"-2147483648", "2147483647"}},
	{"bigint", []string{"-9223372036854775808", "9223372036854775807"}},
	{"real", []string{"3.4028235e38", "1e-45", "NaN", "-Infinity", "0.1", "-0"}},
	{"double precision", []string{"1.7976931348623157e308", "5e-324", "NaN", "Infinity", "0.1", "-0"}},
	{"numeric(12,2)", []string{"9999999999.99", "-0.01", "0.00"}},
	{"numeric(38,0)", []string{"99999999999999999999999999999999999999", "-1"}},
	{"numeric(38,38)", []string{"0.00000000000000000000000000000000000001"}},
	{"numeric", []string{"12345.678900000", "-1", "0.000000001"}},
	{"text", []string{"", "ä\t\n\\'\"€", "NULL", "\\N"}},
	{"varchar(20)", []string{"twenty", ""}},
	{"bytea", []string{"\\x", "\\x00ff5c27"}},
	{"uuid", []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
	{"date", []string{"2024-02-29", "0001-01-01", "0044-03-15 BC", "infinity", "-infinity", "9999-12-31"}},
	{"time", []string{"00:00:00", "23:59:59.999999", "24:00:00"}},
	{"timestamp", []string{"2024-02-29 12:34:56.123456", "0044-03-15 00:00:00 BC", "infinity", "1969-12-31 23:59:59.999999"}},
	{"timestamp(3)", []string{"2024-02-29 12:34:56.123"}},
	{"timestamptz", []string{"2024-02-29 12:34:56.123456+05:30", "-infinity", "0044-03-15 00:00:00+00 BC"}},
	{"timestamptz(0)", []string{"2024-02-29 12:34:56+00"}},
	{"interval", []string{"1 year 2 mons -3 days 04:05:06.789", "-1 day", "0"}},
	{"json", []string{`{"a": [1, null, "ä"]}`, "null", `"x"`}},
	{"jsonb", []string{`{"b": 1, "a": [1, null, "ä"]}`, "null"}},
	{"integer[]", []string{"{1,NULL,-2147483648}", "{}"}},
	{"text[]", []string{`{"a,b",NULL,"NULL","","\"q\\"}`, "{}"}},
	{"double precision[]", []string{"{NaN,0.1}"}},
	{"timestamptz[]", []string{`{"2024-01-01 00:00:00+00",NULL}`}},
	{"numeric(8,3)[]", []string{"{1.250,NULL}"}},
	{"uuid[]", []string{"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}},
}

// Every value of every type is the same as in PostgreSQL, found by a reading of the table, by replication, and by a reading of snapshots.
func TestTypes(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, app, "SET TimeZone = 'UTC'")
	exec(t, conn, "SET TimeZone = 'UTC'", connection(t, pg, ""))
	columns, names := []string{"id bigint PRIMARY KEY"}, []string{"id"}
	for i, c := range everyType {
		name := "c" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		columns, names = append(columns, name+" "+c.typ), append(names, name)
	}
	exec(t, app, "CREATE TABLE every ("+strings.Join(columns, ", ")+")")
	fill := func(first int) {
		most := 0
		for _, c := range everyType {
			most = max(most, len(c.values))
		}
		for k := range most + 1 {
			cells := []string{strconv.Itoa(first + k)}
			for _, c := range everyType {
				if k < len(c.values) {
					cells = append(cells, "'"+strings.ReplaceAll(c.values[k], "'", "''")+"'")
				} else {
					cells = append(cells, "NULL")
				}
			}
			exec(t, app, "INSERT INTO every VALUES ("+strings.Join(cells, ", ")+")")
		}
	}
	fill(1)
	exec(t, conn, "CREATE SOURCE followed WITH (connector = 'postgres', connection = 'app', table = 'every')", "CREATE SOURCE compared WITH (connector = 'postgres', connection = 'app', table = 'every', mode = 'snapshot')")
	eventually(t, conn, "SELECT name, state FROM tilehouse.sources WHERE kind = 'postgres source' ORDER BY 1", "compared|running", "followed|running")
	fill(101)
	exec(t, app, "UPDATE every SET id = id + 1000 WHERE id < 3")
	exec(t, conn, "REFRESH SOURCE compared")
	eventually(t, conn, "SELECT count(*), max(id) FROM followed", texts(t, app, "SELECT count(*), max(id) FROM every")...)
	for _, name := range names {
		want := texts(t, app, "SELECT id, "+name+" FROM every ORDER BY id")
		for _, source := range []string{"followed", "compared"} {
			got := texts(t, conn, "SELECT id, "+name+" FROM "+source+" ORDER BY id")
			for i := range want {
				if name == "caj" { // a numeric without precision has nine digits here
					want[i] = padded(want[i])
				}
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("%s.%s: %q, want %q", source, name, got, want)
					break
				}
			}
		}
	}
	same(t, "differences of nothing", texts(t, conn, "SELECT count(*) FROM compared_versions WHERE NOT __initial AND id > 200 AND id < 1000"), []string{"0"})
	exec(t, conn, "REFRESH SOURCE compared", "REFRESH SOURCE followed")
	same(t, "versions", texts(t, conn, "SELECT (SELECT count(*) FROM compared_versions), (SELECT count(*) FROM followed_versions)"), texts(t, conn, "SELECT 18, 18"))
}

func padded(line string) string {
	id, v, _ := strings.Cut(line, "|")
	if v == "NULL" {
		return line
	}
	whole, frac, _ := strings.Cut(v, ".")
	return id + "|" + whole + "." + frac + strings.Repeat("0", 9-len(frac))
}
