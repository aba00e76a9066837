package pgcatalog

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/postgres"
)

var rewrite = flag.Bool("rewrite", false, "write catalog.gz anew")

var assigned = regexp.MustCompile(`\b1[2-6]\d{3}\b`)

// notExported are relations whose rows are another server's state.
var notExported = map[string]bool{"pg_statistic": true, "pg_database": true, "pg_shdepend": true, "pg_db_role_setting": true,
	"pg_extension": true, "pg_shdescription": true}

// rowsExported are conditions on the rows that are exported of a relation: not those of plpgsql, which is not there, and no role
// but PostgreSQL's predefined ones.
var rowsExported = map[string]string{
	"pg_proc": "proname NOT LIKE 'plpgsql%'",
	"pg_depend": "'pg_extension'::regclass NOT IN (classid, refclassid) AND NOT (classid = 'pg_collation'::regclass AND objid >= 12000) AND NOT (classid = 'pg_language'::regclass AND objid >= 12000) AND " +
		"NOT (classid = 'pg_proc'::regclass AND objid IN (SELECT oid FROM pg_proc WHERE proname LIKE 'plpgsql%'))",
	"pg_init_privs":  "classoid <> 'pg_language'::regclass",
	"pg_language":    "lanname <> 'plpgsql'",
	"pg_authid":      "oid <> 10",
	"pg_collation":   "oid < 12000", // the others are the operating system's
	"pg_description": "NOT (classoid = 'pg_proc'::regclass AND objoid IN (SELECT oid FROM pg_proc WHERE proname LIKE 'plpgsql%') OR classoid = 'pg_language'::regclass AND objoid = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql') OR classoid = 'pg_extension'::regclass OR classoid = 'pg_collation'::regclass AND objoid >= 12000)",
}

// expressions are columns of type pg_node_tree as SQL.
var expressions = map[string]string{
	"proargdefaults": "pg_get_expr(proargdefaults, 0)", "prosqlbody": "pg_get_function_sqlbody(oid)", "ev_action": "''", "ev_qual": "''",
	"conbin": "pg_get_expr(conbin, conrelid)", "adbin": "pg_get_expr(adbin, adrelid)",
}

// The embedded catalogs are what a new PostgreSQL 15 says of itself.
func TestExport(t *testing.T) {
	conn, err := pgx.Connect(context.Background(), postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out bytes.Buffer
	if err := export(conn, &out); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		w.Write(out.Bytes())
		w.Close()
		if err := os.WriteFile("catalog.gz", packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes, %d packed", out.Len(), packed.Len())
		return
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	have, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Split(string(have), "\n"), strings.Split(out.String(), "\n"); string(have) != out.String() {
		for i := range min(len(a), len(b)) {
			// Object ids from 12000 on are given by initdb, after those of the operating system's collations.
			if assigned.ReplaceAllString(a[i], "#") != assigned.ReplaceAllString(b[i], "#") {
				t.Fatalf("line %d of catalog.gz is\n%s\nand PostgreSQL says\n%s\nwrite it anew with -rewrite", i+1, a[i], b[i])
			}
		}
		if len(a) != len(b) {
			t.Fatalf("catalog.gz has %d lines, PostgreSQL %d", len(a), len(b))
		}
	}
}

// export writes the catalogs: for each relation a line "R schema name kind", a line "C name type notnull" for each column, and
// either the view's definition after "V ", and with few parentheses after "P ", or its rows in COPY's text format, each after a blank.
func export(conn *pgx.Conn, out *bytes.Buffer) error {
	ctx := context.Background()
	type column struct{ Name, Type, Cast, NotNull string }
	type relation struct{ OID, Schema, Name, Kind, Definition, Pretty string }
	rows, err := conn.Query(ctx, `SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) ELSE '' END, CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid, true) ELSE '' END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') ORDER BY 2, 3`)
	if err != nil {
		return err
	}
	relations, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil {
		return err
	}
	for _, r := range relations {
		fmt.Fprintf(out, "R %s %s %s\n", r.Schema, r.Name, r.Kind)
		rows, err := conn.Query(ctx, `SELECT attname::text, atttypid::oid::text, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 't' ELSE 'f' END FROM pg_attribute WHERE attrelid::oid::text = $1 AND attnum > 0 ORDER BY attnum`, r.OID)
		if err != nil {
			return err
		}
		columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
		if err != nil {
			return err
		}
		var list []string
		for _, c := range columns {
			fmt.Fprintf(out, "C %s %s %s\n", c.Name, c.Type, c.NotNull)
			name := `"` + c.Name + `"`
			switch {
			case c.Cast == "pg_node_tree" && expressions[c.Name] != "":
				name = expressions[c.Name]
			case strings.HasPrefix(c.Cast, "reg"):
				name += "::oid"
			case c.Cast == "aclitem[]":
				name = "replace(" + name + "::text, 'postgres', 'tilehouse')"
			}
			list = append(list, name)
		}
		if r.Kind == "v" {
			fmt.Fprintf(out, "V %s\nP %s\n", strings.ReplaceAll(r.Definition, "\n", "\\n"), strings.ReplaceAll(r.Pretty, "\n", "\\n"))
			continue
		}
		if notExported[r.Name] {
			continue
		}
		where := ""
		if w := rowsExported[r.Name]; w != "" {
			where = " WHERE " + w
		}
		var text bytes.Buffer
		sql := fmt.Sprintf("COPY (SELECT %s FROM %s.%s%s ORDER BY %s) TO STDOUT", strings.Join(list, ", "), r.Schema, r.Name, where, order(r.Name, len(list)))
		if _, err := conn.PgConn().CopyTo(ctx, &text, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		for line := range strings.Lines(text.String()) {
			out.WriteString(" " + line)
		}
	}
	// Functions whose rows never change stand as tables of a schema that nobody can name.
	functions := map[string]string{"pg_get_keywords": "word 25, catcode 18, barelabel 16, catdesc 25, baredesc 25", "pg_timezone_abbrevs": "abbrev 25, utc_offset 1186, is_dst 16", "ts_token_type": "tokid 23, alias 25, description 25"}
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		columns := functions[name]
		fmt.Fprintf(out, "R functions %s r\n", name)
		for c := range strings.SplitSeq(columns, ", ") {
			fmt.Fprintf(out, "C %s f\n", c)
		}
		var text bytes.Buffer
		if _, err := conn.PgConn().CopyTo(ctx, &text, "COPY (SELECT * FROM "+name+"("+functionArguments[name]+") ORDER BY 1) TO STDOUT"); err != nil {
			return err
		}
		for line := range strings.Lines(text.String()) {
			out.WriteString(" " + line)
		}
	}
	// What PostgreSQL says of its settings, whatever their values are.
	out.WriteString("R facts pg_settings r\n")
	var columns []string
	for c := range strings.SplitSeq(settingFacts, ", ") {
		fmt.Fprintf(out, "C %s f\n", c)
		name, _, _ := strings.Cut(c, " ")
		columns = append(columns, name)
	}
	var text bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &text, "COPY (SELECT "+strings.Join(columns, ", ")+" FROM pg_settings WHERE name !~ '[.]' ORDER BY name COLLATE \"C\") TO STDOUT"); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		out.WriteString(" " + line)
	}
	return nil
}

// settingFacts are the columns of pg_settings that are the same in every PostgreSQL 15, and their types.
const settingFacts = "name 25, unit 25, category 25, short_desc 25, extra_desc 25, context 25, vartype 25, min_val 25, max_val 25, enumvals 1009"

// functionArguments are arguments of functions whose rows are exported: there is one parser of texts.
var functionArguments = map[string]string{"ts_token_type": "'default'"}

// order is by the first columns, but for what aggregates of clients' queries show in the order of the table.
func order(name string, n int) string {
	if name == "pg_opclass" {
		return "ctid"
	}
	out := make([]string, min(n, 4))
	for i := range out {
		out[i] = fmt.Sprint(i + 1)
	}
	return strings.Join(out, ", ")
}
