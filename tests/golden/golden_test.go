package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Parallel()
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := w.command(t, d)
			w.checkTrace(t, d, out)
			return out
		})
	})
}

// command runs one command of a script and is what came back.
func (w *world) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	arg := func(name string) string {
		var v string
		d.MaybeScanArgs(t, name, &v)
		return v
	}
	path := func(name string) string { return filepath.Join(w.root, filepath.FromSlash(arg(name))) }
	done := func(err error) string {
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return ""
	}
	if p := path("path"); p != w.root {
		done(os.MkdirAll(filepath.Dir(p), 0o755))
	}
	switch d.Cmd {
	case "sql":
		return w.query(t, arg("session"), d.Input, d.HasArg("sort"), d.HasArg("types"))
	case "prepare":
		return w.prepare(t, arg("session"), arg("name"), d.Input)
	case "execute":
		return w.execute(t, arg("session"), arg("name"), d.Input, d.HasArg("sort"))
	case "copy":
		return w.copyIn(t, arg("session"), d.Input)
	case "copyout":
		return w.copyOut(t, arg("session"), d.Input)
	case "file":
		return done(os.WriteFile(path("path"), []byte(d.Input+"\n"), 0o644))
	case "parquet":
		return done(w.parquet(path("path"), d.Input))
	case "cut":
		return done(cut(path("path"), arg("bytes")))
	case "link":
		return done(os.Symlink(path("to"), path("path")))
	case "remove":
		return done(os.Remove(path("path")))
	case "clock":
		at, err := time.Parse("2006-01-02 15:04:05", d.Input)
		w.clock.Store(at.UnixMicro())
		return done(err)
	case "restart":
		w.stop(t)
		w.start(t, arg("roots") != "none")
		return ""
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

// cut takes bytes off the end of a file.
func cut(path, bytes string) error {
	n, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, fi.Size()-n)
}

// checkTrace holds what must be true after every command, whatever its script says.
func (w *world) checkTrace(t *testing.T, d *datadriven.TestData, out string) {
	t.Helper()
	if strings.Contains(out, " XX000: ") {
		t.Errorf("%s: an internal error:\n%s\n%s", d.Pos, d.Input, out)
	}
	before := w.state
	w.state = w.snapshot(t)
	if strings.Contains(w.state, "ERROR") {
		t.Fatalf("%s: the state cannot be read:\n%s", d.Pos, w.state)
	}
	if d.Cmd != "restart" && strings.Contains(out, "ERROR ") && w.state != before {
		t.Errorf("%s: a failed statement left a trace:\n%s\nbefore:\n%safter:\n%s", d.Pos, d.Input, before, w.state)
	}
}

// catalogState is a row of text for everything in the catalog.
const catalogState = `SELECT 'feature ' || name || ': ' || columns || ', ' || state || ', ' || fingerprint AS line FROM tilehouse.features
UNION ALL SELECT 'entity ' || name || '(' || keys || ')' FROM tilehouse.entities
UNION ALL SELECT 'source ' || name || ': ' || coalesce(files, 0)::text || ' files, ' || coalesce(rows, 0)::text || ' rows' FROM tilehouse.sources
UNION ALL SELECT 'connection ' || name || ': ' || definition FROM tilehouse.connections
UNION ALL SELECT 'secret ' || name || ': ' || backend FROM tilehouse.secrets
UNION ALL SELECT 'partial ' || fingerprint || ' of group ' || group_id::text || ': ' || features FROM tilehouse.partials
UNION ALL SELECT 'group ' || group_id::text || ': ' || part || ', ' || sum(rows)::text || ' rows' FROM tilehouse.materializations GROUP BY group_id, part
ORDER BY line`

// relationNames are the names of event tables and ordinary ones.
const relationNames = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1`

// snapshot is the committed state as text: the catalog's views, and the number of rows of every relation.
func (w *world) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(w.query(t, monitor, catalogState, false, false))
	var counts []string
	for _, row := range w.rows(t, monitor, relationNames) {
		counts = append(counts, fmt.Sprintf(`SELECT 'rows of %s' AS relation, count(*) AS n FROM "%s"`, row[0], row[0]))
	}
	if len(counts) > 0 {
		b.WriteString(w.query(t, monitor, strings.Join(counts, " UNION ALL "), true, false))
	}
	return b.String()
}
