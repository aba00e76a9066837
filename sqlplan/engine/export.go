package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// exports is the directory that COPY … TO 'file' writes below, and nothing outside of it, by whatever links. A file is written
// under another name first and is there whole or not at all:
//
//	root/.tilehouse-exports/<random>  ──sync, link or rename──►  root/training/2024-06.parquet
//
// A nil *exports is a server without such a directory.
type exports struct {
	root *os.Root
	path string // of root: absolute, links resolved
}

// exportStage is where files stand until they are whole.
const exportStage = ".tilehouse-exports"

// openExports opens a directory for exports, and removes what a process that was killed left there. "" is none.
func openExports(dir string) (*exports, error) {
	if dir == "" {
		return nil, nil
	}
	path, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(path, 0o755)
	}
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, fmt.Errorf("export root %s: %w", dir, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("export root %s: %w", dir, err)
	}
	if err := root.RemoveAll(exportStage); err != nil {
		return nil, errors.Join(fmt.Errorf("export root %s: %w", dir, err), root.Close())
	}
	return &exports{root, path}, nil
}

func (x *exports) close() error {
	if x == nil {
		return nil
	}
	return x.root.Close()
}

// directories are what DuckDB must be allowed to write below.
func (x *exports) directories() []string {
	if x == nil {
		return nil
	}
	return []string{x.path}
}

// exportTarget is a file to be written.
type exportTarget struct {
	name      string // relative to the root, clean
	overwrite bool
	options   string // of DuckDB's COPY
}

// SQLSTATEs of files.
const (
	codeDuplicateFile = "58P02"
	codeUndefinedFile = "58P01"
	codeDenied        = "42501"
)

// exportTarget reads the file name and the options of COPY … TO 'file'.
func (s *Session) exportTarget(st *parse.SQL, n *pg_query.CopyStmt) (*exportTarget, error) {
	x := s.e.exports
	if x == nil {
		return nil, hint(fail(codeDenied, "COPY to a file of the server needs a directory for exports, and none is configured"), `Start the server with --export-root DIR, or use COPY … TO STDOUT or psql's \copy.`)
	}
	name := filepath.Clean(n.Filename)
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(x.path, name)
		if err != nil {
			return nil, outsideExports(n.Filename)
		}
		name = rel
	}
	if !filepath.IsLocal(name) || name == "." || strings.HasPrefix(name, exportStage) {
		return nil, outsideExports(n.Filename)
	}
	t := &exportTarget{name: name}
	return t, t.read(st, n, s.encoding)
}

func outsideExports(name string) *session.Error {
	return hint(fail(codeDenied, "%q lies outside the directory for exports", name), "Files are written below the directory given with --export-root only: COPY … TO 'training/set.parquet'.")
}

// read reads the options. Without a FORMAT the name's extension says it, without an ENCODING the client's.
func (t *exportTarget) read(st *parse.SQL, n *pg_query.CopyStmt, encoding string) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(t.name)), ".")
	var of []string // the options that are of one format
	compression := ""
	csv := map[string]string{"header": "false"}
	for _, o := range n.Options {
		d := o.GetDefElem()
		value := copyOption(d)
		refuse := func(format string, args ...any) error {
			return at(fail(codeInvalidParameter, format, args...), st.Text, int(d.Location))
		}
		switch d.Defname {
		case "format":
			format = strings.ToLower(value)
		case "overwrite":
			switch strings.ToLower(value) {
			case "true", "on", "1":
				t.overwrite = true
			case "false", "off", "0":
			default:
				return refuse("COPY option overwrite must be true or false, not %q", value)
			}
		case "compression":
			if compression = strings.ToLower(value); !slices.Contains([]string{"uncompressed", "snappy", "gzip", "zstd"}, compression) {
				return at(hint(fail(codeInvalidParameter, "COPY compression %q is not supported", value), "Compressions: snappy, zstd, gzip, uncompressed."), st.Text, int(d.Location))
			}
			of = append(of, "parquet")
		case "header":
			csv["header"] = map[bool]string{true: "true", false: "false"}[value != "false" && value != "off" && value != "0"]
			of = append(of, "csv")
		case "delimiter", "quote", "escape":
			if len(value) != 1 {
				return refuse("COPY %s must be a single one-byte character", d.Defname)
			}
			csv[d.Defname] = duck.QuoteLiteral(value)
			of = append(of, "csv")
		case "null":
			csv["nullstr"] = duck.QuoteLiteral(value)
			of = append(of, "csv")
		case "encoding":
			encoding = value
		default:
			return at(fail(codeUnsupported, "COPY option %q is not supported", d.Defname), st.Text, int(d.Location))
		}
	}
	if format != "parquet" && format != "csv" {
		return hint(fail(codeUnsupported, "COPY to a file has no format %q", format), "COPY … TO 'set.parquet' WITH (FORMAT parquet); formats: parquet, csv.")
	}
	if i := slices.IndexFunc(of, func(f string) bool { return f != format }); i >= 0 {
		return fail(codeInvalidParameter, "an option for format %s is given, and the format is %s", of[i], format)
	}
	if e, name, _ := codec.EncodingNamed(encoding); format == "csv" && (e != nil || name == "") {
		return hint(fail(codeUnsupported, "COPY to a file in encoding %q is not supported", encoding), "COPY … TO 'set.csv' WITH (FORMAT csv, ENCODING 'UTF8').")
	}
	t.options = "FORMAT parquet"
	if compression != "" {
		t.options += ", COMPRESSION " + compression
	}
	if format == "csv" {
		t.options = "FORMAT csv"
		for _, name := range []string{"header", "delimiter", "quote", "escape", "nullstr"} {
			if v, ok := csv[name]; ok {
				t.options += ", " + strings.ToUpper(name) + " " + v
			}
		}
	}
	return nil
}

// copyOption is the value of an option of COPY as text; without one it is true.
func copyOption(d *pg_query.DefElem) string {
	switch {
	case d.Arg.GetString_() != nil:
		return d.Arg.GetString_().Sval
	case d.Arg.GetBoolean() != nil:
		return fmt.Sprint(d.Arg.GetBoolean().Boolval)
	case d.Arg.GetInteger() != nil:
		return fmt.Sprint(d.Arg.GetInteger().Ival)
	case d.Arg.GetFloat() != nil:
		return d.Arg.GetFloat().Fval
	}
	return "true"
}

// check refuses a target that is there and may not be replaced: unless OVERWRITE says so, and always if a source reads it.
func (x *exports) check(cat *schema.Catalog, t *exportTarget) error {
	is, err := x.root.Stat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := x.root.Lstat(t.name); err != nil {
			return nil
		}
		return outsideExports(t.name) // a link to nothing
	case err != nil:
		return exportError(t, err)
	case !is.Mode().IsRegular():
		return fail(codeWrongObject, "%q is no file", t.name)
	case !t.overwrite:
		return hint(fail(codeDuplicateFile, "file %q already exists", t.name), "Write to another one, or COPY … WITH (OVERWRITE true).")
	}
	for _, r := range cat.Relations {
		if r.File == nil {
			continue
		}
		for i := range r.File.Files {
			f := &r.File.Files[i]
			if read, err := os.Stat(f.Path); f.Removed == 0 && err == nil && os.SameFile(read, is) {
				return hint(fail(codeDependent, "file %q is one that source %q reads", t.name, r.Name), "Write to another one, and REFRESH SOURCE %s.", r.Name)
			}
		}
	}
	return nil
}

func exportError(t *exportTarget, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fail(codeDenied, "file %q cannot be written: permission denied", t.name)
	case errors.Is(err, fs.ErrExist):
		return hint(fail(codeDuplicateFile, "file %q already exists", t.name), "Write to another one, or COPY … WITH (OVERWRITE true).")
	case strings.Contains(err.Error(), "path escapes from parent"): // os.Root has no sentinel for it
		return outsideExports(t.name)
	}
	var pe *fs.PathError
	var le *os.LinkError
	if errors.As(err, &pe) {
		err = pe.Err
	} else if errors.As(err, &le) {
		err = le.Err
	}
	return fmt.Errorf("file %q cannot be written: %w", t.name, err)
}

// export runs the SELECT into a file, and is how many rows it has. A statement that fails or is cancelled leaves none.
func (s *Session) export(ctx context.Context, cat *schema.Catalog, st *parse.SQL, plan *queryPlan, typed *typedQuery, t *exportTarget, args []*vector.Vector) (rows int64, err error) {
	x := s.e.exports
	if err := x.check(cat, t); err != nil {
		return 0, err
	}
	if dir := filepath.Dir(t.name); dir != "." {
		if err := x.root.MkdirAll(dir, 0o755); err != nil {
			return 0, exportError(t, err)
		}
	}
	if err := x.root.MkdirAll(exportStage, 0o700); err != nil {
		return 0, exportError(t, err)
	}
	stage := filepath.Join(exportStage, rand.Text())
	defer func() {
		if e := x.root.Remove(stage); err == nil && e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = exportError(t, e)
		}
	}()
	defer s.dropTemps()
	b := &binder{ctx: ctx, s: s, cat: cat, position: s.position(), sql: st.Text, refs: map[string]string{}}
	if err := s.beginDuck(ctx); err != nil {
		return 0, err
	}
	if err := plan.execute(b, st, args); err != nil {
		return 0, err
	}
	var sql string
	if typed == nil {
		sql, err = b.duckSQL(clone(st.Node))
	} else if sql, err = b.typedSQL(typed); err == nil {
		sql = t.fileSQL(typed, sql)
	}
	if err != nil {
		return 0, err
	}
	rows, err = s.countedRows(ctx, fmt.Sprintf("COPY (%s) TO %s (%s, USE_TMP_FILE false)", sql, duck.QuoteLiteral(filepath.Join(x.path, stage)), t.options), args)
	if err != nil {
		return 0, err
	}
	return rows, x.publish(stage, t)
}

// publish gives a staged file its name, once it is on disk.
func (x *exports) publish(stage string, t *exportTarget) error {
	if err := x.sync(stage); err != nil {
		return exportError(t, err)
	}
	if t.overwrite {
		if err := x.root.Rename(stage, t.name); err != nil {
			return exportError(t, err)
		}
	} else if err := x.root.Link(stage, t.name); err != nil { // unlike a rename, it does not replace a file that came meanwhile
		return exportError(t, err)
	}
	if err := x.sync(filepath.Dir(t.name)); err != nil {
		return exportError(t, err)
	}
	return nil
}

func (x *exports) sync(name string) error {
	f, err := x.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
