package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/oracle"
)

// dataFile is a CSV file of a source, and the versions of its rows.
type dataFile struct {
	path string
	rows []oracle.Row
}

// Files that are added, changed and removed count from the REFRESH SOURCE that sees them, each refresh as one position; lookups,
// ASOF joins and EXPLAIN FEATURE read the oracle's values. A read as of an older position is right, or refused where a file no
// longer has the content of then.
func TestFiles(t *testing.T) {
	r := newRand(t)
	dir := t.TempDir()
	steps := 12
	if soak() {
		steps = 120
	}
	w := newWorldAt(t, r, worldOptions{base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro()}, dir)
	w.files = true
	var files []*dataFile
	write := func(f *dataFile) {
		var b strings.Builder
		b.WriteString(strings.Join(columnOrder, ",") + ",ts\n")
		for i := range f.rows {
			v := &f.rows[i]
			for _, c := range columnOrder {
				if x := v.Cells[c]; x != nil {
					b.WriteString(oracle.Text(x))
				}
				b.WriteByte(',')
			}
			b.WriteString(stamp(v.TS) + "\n")
		}
		if err := os.WriteFile(f.path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		w.note(fmt.Sprintf("write %d rows to %s", len(f.rows), filepath.Base(f.path)))
	}
	add := func() {
		f := &dataFile{path: filepath.Join(dir, fmt.Sprintf("part-%d.csv", w.nextID)), rows: w.fresh(20 + r.IntN(60))}
		write(f)
		files = append(files, f)
		w.versions = append(w.versions, f.rows...)
	}
	gone := func(f *dataFile) {
		for i := range w.versions {
			v := &w.versions[i]
			for j := range f.rows {
				if v.Removed == 0 && v.Cells["id"] == f.rows[j].Cells["id"] {
					v.Removed = w.position
				}
			}
		}
	}
	w.tick()
	add()
	add()
	w.exec(`CREATE SOURCE ev (id bigint, k bigint, shop text, cat text, qty integer, big bigint, amount numeric(12,2), price double precision, ts timestamptz)
		WITH (connector = 'file', path = '` + filepath.Join(dir, "*.csv") + `', event_time = 'ts')`)
	w.exec("CREATE ENTITY cust (k bigint)")
	w.exec("CREATE ENTITY pair (k bigint, shop text)")
	w.create("a", "d", "h", "st", "e", "p")
	for range steps {
		w.tick()
		for range 1 + r.IntN(2) {
			switch n := r.IntN(4); {
			case n == 0 && len(files) > 2:
				i := r.IntN(len(files))
				gone(files[i])
				if err := os.Remove(files[i].path); err != nil {
					t.Fatal(err)
				}
				w.note("remove " + filepath.Base(files[i].path))
				files = append(files[:i], files[i+1:]...)
			case n == 1:
				f := files[r.IntN(len(files))]
				if f.rows[0].Added == w.position { // written in this step already: the source never saw that
					continue
				}
				gone(f)
				f.rows = w.fresh(10 + r.IntN(40))
				write(f)
				w.versions = append(w.versions, f.rows...)
			default:
				add()
			}
		}
		w.exec("REFRESH SOURCE ev")
		switch r.IntN(6) {
		case 0:
			w.settle()
		case 1:
			w.refresh()
		case 2:
			w.restart()
		}
		for range 6 {
			w.read()
		}
	}
	t.Logf("%d values, %d reads of lost contents refused", w.values, w.lost)
	if soak() {
		t.Logf("soak: %d values over files that come, change and go, equal to the oracle's", w.values)
	}
}
