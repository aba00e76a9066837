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
	if strings.Contains(out, "ERROR XX000") {
		t.Errorf("%s: an internal error:\n%s\n%s", d.Pos, d.Input, out)
	}
	before := w.state
	w.state = w.snapshot(t)
	if d.Cmd != "restart" && strings.Contains(out, "ERROR ") && w.state != before {
		t.Errorf("%s: a failed statement left a trace:\n%s\nbefore:\n%safter:\n%s", d.Pos, d.Input, before, w.state)
	}
}

// snapshot is the committed state as text: the catalog's views, and the rows of every relation.
func (w *world) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, sql := range []string{
		"SELECT 'feature', name, columns, state, fingerprint FROM tilehouse.features ORDER BY name",
		"SELECT 'entity', name, keys FROM tilehouse.entities ORDER BY name",
		"SELECT 'source', name, files, rows FROM tilehouse.sources ORDER BY name",
		"SELECT 'partial', fingerprint, group_id, features FROM tilehouse.partials ORDER BY fingerprint",
		"SELECT 'materialization', group_id, part, rows FROM tilehouse.materializations ORDER BY group_id, part, rows",
		"SELECT 'setting', name, setting FROM tilehouse.settings WHERE false",
	} {
		b.WriteString(w.query(t, monitor, sql, false, false))
	}
	var tables []string
	for _, sql := range []string{
		"SELECT name FROM tilehouse.sources WHERE kind = 'event table' ORDER BY name",
		"SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' AND table_catalog = 'tables' AND table_type = 'BASE TABLE' ORDER BY table_name",
	} {
		for _, row := range w.rows(t, monitor, sql) {
			tables = append(tables, row[0])
		}
	}
	for _, name := range tables {
		fmt.Fprintf(&b, "rows of %s: %s\n", name, w.query(t, monitor, `SELECT count(*) FROM "`+name+`"`, false, false))
	}
	return b.String()
}
