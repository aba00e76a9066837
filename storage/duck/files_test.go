package duck

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Parquet numbers its rows itself; CSV is numbered by a window without an order over the bare scan, which DuckDB computes in
// the order of the file while rows keep their insertion order. Filters stand outside.
func TestRowNumbersOfFiles(t *testing.T) {
	dir := t.TempDir()
	c := connect(t, open(t, Options{ReadRoots: []string{dir}, Threads: 2}))
	var csv strings.Builder
	csv.WriteString("id,s\n")
	for i := range 300_000 { // several buffers of the parallel reader, and lines inside quotes
		if i%1000 == 5 {
			fmt.Fprintf(&csv, "%d,\"multi\nline %d\"\n", i, i)
		} else {
			fmt.Fprintf(&csv, "%d,row number %d with more text\n", i, i)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "a.csv"), []byte(csv.String()), 0o600))
	for i, n := range []int{200_000, 100_000} {
		exec(t, c, fmt.Sprintf("COPY (SELECT i AS id, 'x' || i AS s FROM range(%d) r(i)) TO '%s/p%d.parquet' (FORMAT parquet, ROW_GROUP_SIZE 20000)", n, dir, i))
	}
	scan := "read_csv('" + dir + "/a.csv', header = true, columns = {'id': 'BIGINT', 's': 'VARCHAR'})"
	for _, q := range []string{
		"SELECT count(*) || ' ' || count(*) FILTER (n <> id) FROM (SELECT id, row_number() OVER () - 1 AS n FROM " + scan + ")",
		"SELECT count(*) * 7 + 1 || ' ' || count(*) FILTER (n <> id) FROM (SELECT id, row_number() OVER () - 1 AS n FROM " + scan + ") WHERE id % 7 = 3",
		"SELECT count(*) || ' ' || count(*) FILTER (file_row_number <> id OR file_index <> (filename LIKE '%p1.parquet')::int) FROM read_parquet('" + dir + "/p*.parquet', file_row_number = true, filename = true)",
	} {
		for range 3 {
			if got := texts(t, c, q); got[0] != "300000 0" {
				t.Errorf("%s: %q", q, got)
			}
		}
	}
}

// Broken and odd files are errors that name the file.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	c := connect(t, open(t, Options{ReadRoots: []string{dir}, Threads: 2}))
	file := func(name string, body []byte) {
		must(t, os.WriteFile(filepath.Join(dir, name), body, 0o600))
	}
	exec(t, c, "COPY (SELECT i, i::double AS x, 't' || i AS s FROM range(50000) r(i)) TO '"+dir+"/good.parquet' (FORMAT parquet)")
	exec(t, c, "COPY (SELECT i, i::double AS y FROM range(10) r(i)) TO '"+dir+"/other.parquet' (FORMAT parquet)")
	exec(t, c, "COPY (SELECT i || 'a' AS i, i::double AS x, 't' AS s FROM range(10) r(i)) TO '"+dir+"/text.parquet' (FORMAT parquet)")
	good, err := os.ReadFile(filepath.Join(dir, "good.parquet"))
	must(t, err)
	file("truncated.parquet", good[:len(good)/2])
	file("empty.parquet", nil)
	bad := bytes.Clone(good)
	for i := 2000; i < 2400; i++ {
		bad[i] ^= 0x5a
	}
	file("corrupt.parquet", bad)
	file("value.csv", []byte("id,ts,x\n1,2020-01-01,5\n2,2020-01-01,abc\n"))
	file("wide.csv", []byte("id,ts,x\n"+strings.Repeat("1,2020-01-01,5\n", 30000)+"2,2020-01-01,6,7\n"))
	file("ragged.csv", []byte("id,ts,x\n1,2020-01-01,5\n2,2020-01-01\n3,2020-01-01,7,9\n"))
	columns := "', header = true, columns = {'id': 'INTEGER', 'ts': 'DATE', 'x': 'INTEGER'})"
	for _, x := range []struct{ from, state, says string }{
		{"read_parquet('" + dir + "/truncated.parquet')", "XX001", "truncated.parquet"}, {"read_parquet('" + dir + "/empty.parquet')", "XX001", "empty.parquet"},
		{"read_parquet('" + dir + "/corrupt.parquet')", "XX001", "corrupt.parquet"}, {"read_parquet('" + dir + "/none.parquet')", "58P01", "none.parquet"},
		{"read_parquet(['" + dir + "/good.parquet', '" + dir + "/other.parquet'], union_by_name = false)", "42804", "other.parquet\": schema mismatch"},
		{"read_parquet(['" + dir + "/good.parquet', '" + dir + "/text.parquet'], union_by_name = false)", "22P02", "0a"},
		{"read_csv('" + dir + "/value.csv" + columns, "22P02", "value.csv\", line 3, column \"x\": Could not convert string \"abc\" to 'INTEGER' (\"2,2020-01-01,abc\")"},
		{"read_csv('" + dir + "/wide.csv" + columns, "22P04", "wide.csv\", line 30002: Expected Number of Columns: 3 Found: 4 (\"2,2020-01-01,6,7\")"},
		{"read_csv('" + dir + "/ragged.csv" + columns, "22P04", "ragged.csv\": It was not possible"},
	} {
		_, err := read(c, "SELECT * FROM "+x.from)
		if e, ok := err.(*Error); !ok || e.SQLState != x.state || !strings.Contains(e.Message, x.says) || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: %s %v", x.from, SQLState(err), err)
		}
	}
}

// A sort of many times the memory limit spills, is right, and stays in bounds; without a place to spill it fails.
func TestSortSpills(t *testing.T) {
	const n, sortSQL = 2_000_000, "SELECT i, hash(i) AS h, 'some text to make it wide ' || i AS s FROM range(2000000) r(i) ORDER BY h"
	before := rss(t)
	c := connect(t, open(t, Options{Threads: 2, TempDir: t.TempDir(), MemoryLimit: 48 << 20}))
	r, err := c.Query(t.Context(), sortSQL)
	must(t, err)
	rows, sum, top := 0, int64(0), rss(t)
	last := vector.New(r.Columns()[1].Type, 1)
	for {
		ch, err := r.Next()
		must(t, err)
		if ch == nil {
			break
		}
		h := ch.Cols[1]
		for i := range ch.N {
			if i == 0 && last.N > 0 && vector.Compare(last, 0, h, 0) > 0 || i > 0 && vector.Compare(h, i-1, h, i) > 0 {
				t.Fatalf("row %d is out of order", rows+i)
			}
			sum += ch.Cols[0].I64[i]
		}
		last.Reset()
		last.AppendFrom(h, ch.N-1)
		rows += ch.N
		top = max(top, rss(t))
	}
	if rows != n || sum != n*(n-1)/2 {
		t.Errorf("%d rows, sum %d", rows, sum)
	}
	t.Logf("%d MiB resident before, at most %d MiB while reading, under a limit of 48 MiB", before, top)
	if top > before+48+100 {
		t.Errorf("%d MiB resident before, %d MiB under a limit of 48 MiB", before, top)
	}
	for state, o := range map[string]Options{
		"53200": {Threads: 2, MemoryLimit: 48 << 20},
		"53100": {Threads: 2, MemoryLimit: 48 << 20, TempDir: t.TempDir(), MaxTempBytes: 8 << 20},
	} {
		if _, err := connect(t, open(t, o)).Exec(t.Context(), sortSQL); SQLState(err) != state || strings.Contains(err.Error(), "PRAGMA") {
			t.Errorf("%v (%s), want %s", err, SQLState(err), state)
		}
	}
}
