package reading

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// What is written to a file has PostgreSQL's values: as text in csv, and as numbers in Parquet, which are read back.
func TestExpressionsExported(t *testing.T) {
	expressions, peer, _ := expressionsAndPeers(t)
	dir := t.TempDir()
	ctx := context.Background()
	ours, err := pgconn.Connect(ctx, harness.Start(t, harness.Options{Threads: 2, MemoryLimit: 512 << 20, ExportRoot: dir, FileRoots: []string{dir}}).DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close(ctx)
	for _, c := range []*pgconn.PgConn{ours, peer} {
		for _, sql := range []string{"CREATE TABLE rows " + valuesTable, "INSERT INTO rows VALUES " + valuesRows, "CREATE TABLE back (id int, v numeric)", valuesZone} {
			if got := simple(c, sql); got != "" {
				t.Fatalf("%s: %s", sql, got)
			}
		}
	}
	for _, e := range expressions {
		var bad []string
		in := " FROM rows t"
		for _, row := range []string{"1", "2", "3", "4"} {
			if sqlState.MatchString(simple(peer, "SELECT "+e+in+" WHERE id = "+row)) {
				bad = append(bad, row)
			}
		}
		if len(bad) == 4 {
			if got, want := simple(ours, "COPY (SELECT "+e+in+") TO 'x.csv' WITH (OVERWRITE true)"), simple(peer, "SELECT "+e+in); got != want {
				t.Errorf("%s: %s, PostgreSQL has %s", e, got, want)
			}
			continue
		}
		if len(bad) > 0 {
			in += " WHERE id NOT IN (" + strings.Join(bad, ", ") + ")"
		}
		sql := "COPY (SELECT id, (" + e + ")::text AS v" + in + " ORDER BY id) TO "
		var want bytes.Buffer
		if _, err := peer.CopyTo(ctx, &want, sql+"STDOUT WITH (FORMAT csv, NULL 'no value')"); err != nil {
			var refused *pgconn.PgError
			if errors.As(err, &refused) {
				if got := simple(ours, sql+"'x.csv' WITH (OVERWRITE true)"); got != refused.Code {
					t.Errorf("%s: %s, PostgreSQL has %s", e, got, refused.Code)
				}
				continue
			}
			t.Fatal(err)
		}
		if got := simple(ours, sql+"'x.csv' WITH (OVERWRITE true, NULL 'no value')"); got != "" {
			t.Errorf("%s: %s", e, got)
			continue
		}
		written, err := os.ReadFile(filepath.Join(dir, "x.csv"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := records(t, written), records(t, want.Bytes()); got != want {
			t.Errorf("%s: %s, PostgreSQL has %s", e, got, want)
		}
		kind := simple(peer, "SELECT pg_typeof("+e+") FROM rows t LIMIT 1")
		if kind != "numeric|" {
			continue
		}
		if got := simple(ours, "COPY (SELECT id, "+e+" AS v"+in+") TO 'x.parquet' WITH (OVERWRITE true)"); got != "" {
			if got != "0A000" {
				t.Errorf("%s to Parquet: %s", e, got)
			}
			continue
		}
		for _, sql := range []string{"DELETE FROM back", "COPY back FROM 'x.parquet'"} {
			if got := simple(ours, sql); got != "" {
				t.Fatalf("%s: %s: %s", e, sql, got)
			}
		}
		const digits = "trim_scale(v)"
		if got, want := simple(ours, "SELECT "+digits+" FROM back ORDER BY id"), simple(peer, "SELECT "+digits+" FROM (SELECT id, "+e+" AS v"+in+") s ORDER BY id"); got != want {
			t.Errorf("%s through Parquet: %s, PostgreSQL has %s", e, got, want)
		}
	}
}

// records are those of a csv file, for comparison.
func records(t *testing.T, text []byte) string {
	t.Helper()
	r, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%q", r)
}
