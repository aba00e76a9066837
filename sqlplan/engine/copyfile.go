package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// COPY … FROM 'file' takes a file below the file roots. In text, csv and binary it is COPY … FROM STDIN whose data the gateway reads from
// the file. Parquet is read by DuckDB, its columns by name: without a list, those that the file has.

// copyFile is a file that COPY reads.
type copyFile struct {
	name    string // as written
	path    string // resolved
	parquet bool
	columns []schema.Column // of Parquet
}

// copyFileOf resolves the file of COPY … FROM 'file'.
func (s *Session) copyFileOf(ctx context.Context, st *parse.SQL, n *pg_query.CopyStmt) (*copyFile, error) {
	f := &copyFile{name: n.Filename, parquet: strings.EqualFold(filepath.Ext(n.Filename), ".parquet")}
	for _, o := range n.Options {
		if d := o.GetDefElem(); d.Defname == "format" && d.Arg != nil {
			f.parquet = strings.EqualFold(copyOption(d), "parquet")
		}
	}
	var err error
	if f.path, err = s.e.mat.Resolve(f.name); err != nil {
		return nil, f.unreadable(err)
	}
	if !f.parquet {
		return f, nil
	}
	for _, o := range n.Options {
		if d := o.GetDefElem(); d.Defname != "format" {
			return nil, at(fail(codeInvalidParameter, "option %q is not of COPY from Parquet", d.Defname), st.Text, int(d.Location))
		}
	}
	if f.columns, err = s.e.mat.ParquetColumns(ctx, f.path); err != nil {
		return nil, hint(fail("22P04", "file %q cannot be read as Parquet: %s", f.name, asError(err).Message), "FORMAT text, csv and binary are read as PostgreSQL does.")
	}
	return f, nil
}

// unreadable says why a file cannot be read, as PostgreSQL does.
func (f *copyFile) unreadable(err error) error {
	const client = `COPY FROM instructs the server to read a file below one of the directories of --file-root. You may want a client-side facility such as psql's \copy.`
	switch {
	case errors.Is(err, materialize.ErrNoFile), errors.Is(err, fs.ErrNotExist):
		return hint(fail(codeUndefinedFile, "could not open file %q for reading: No such file or directory", f.name), client)
	case errors.Is(err, fs.ErrPermission):
		return hint(fail(codeDenied, "could not open file %q for reading: Permission denied", f.name), client)
	case errors.Is(err, materialize.ErrDirectory):
		return hint(fail(codeWrongObject, "%q is a directory", f.name), "CREATE SOURCE … WITH (connector = 'file', path = '%s') reads the files of a folder.", filepath.Join(f.name, "**", "*.parquet"))
	}
	return err
}

// names are the columns that COPY fills of a relation without a list.
func (f *copyFile) names() []string {
	var out []string
	for _, c := range f.columns {
		out = append(out, c.Name)
	}
	return out
}

// has refuses a list of columns of which the file lacks one.
func (f *copyFile) has(names []string) error {
	for _, n := range names {
		if !slices.Contains(f.names(), n) {
			return hint(fail(codeUndefinedColumn, "file %q has no column %q", f.name, n), "It has: %s.", strings.Join(f.names(), ", "))
		}
	}
	return nil
}

// fitsFile refuses a file without a list of columns that has others than the table.
func (s *Session) fitsFile(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CopyStmt, f *copyFile) error {
	have, err := s.relationColumns(ctx, cat, n.Relation)
	if err != nil {
		return nil // no such table: binding says so
	}
	var both []string
	other := ""
	for _, name := range f.names() {
		if slices.Contains(have, name) {
			both = append(both, name)
		} else if other == "" {
			other = name
		}
	}
	if other == "" {
		return nil
	}
	e := fail(codeUndefinedColumn, "file %q has column %q, and relation %q has none of that name", f.name, other, n.Relation.Relname)
	if len(both) == 0 {
		return at(hint(e, "The file has: %s. The relation has: %s.", strings.Join(f.names(), ", "), strings.Join(have, ", ")), st.Text, int(n.Relation.Location))
	}
	return at(hint(e, "COPY %s (%s) FROM %s reads the columns that both have.", n.Relation.Relname, strings.Join(both, ", "), duck.QuoteLiteral(f.name)), st.Text, int(n.Relation.Location))
}

// bindCopyFile makes of COPY … FROM STDIN one of a file.
func (s *Session) bindCopyFile(b bound, f *copyFile) bound {
	begin := b.run
	b.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		r, err := begin(ctx, args)
		if err != nil {
			return nil, err
		}
		in := r.(*copyIn)
		if !f.parquet {
			in.file = f
			return in, nil
		}
		err = s.copyParquet(ctx, in, f)
		tag, failed := in.Finish(err)
		if err == nil {
			err = failed
		}
		if err != nil {
			return nil, err
		}
		return noRows{tag}, nil
	}
	return b
}

// copyParquet gives the rows of a Parquet file to a COPY. A value is assigned to its column as INSERT does.
func (s *Session) copyParquet(ctx context.Context, in *copyIn, f *copyFile) error {
	columns := make([]schema.Column, len(in.columns))
	types := make([]vector.Type, len(in.columns))
	for i, c := range in.columns {
		columns[i], types[i] = schema.Column{Name: c.Name, Type: c.Type}, c.Type
	}
	return s.e.mat.EachParquet(ctx, f.path, columns, func(ch *vector.Chunk) error {
		rows := &vector.Chunk{N: ch.N, Cols: slices.Clone(ch.Cols)}
		for i, v := range ch.Cols {
			if v.Type.Equal(types[i]) {
				continue
			}
			if !assignable(v.Type, types[i]) {
				return hint(fail(codeTypeMismatch, "column %q is of type %s but file %q has %s", columns[i].Name, types[i], f.name, v.Type), "CREATE SOURCE over the file, and INSERT INTO … SELECT with the cast.")
			}
			cast := vector.New(types[i], ch.N)
			for row := range ch.N {
				if err := s.cast(cast, v, row); err != nil {
					return ofCopied(asError(err), in.table, columns[i].Name)
				}
			}
			rows.Cols[i] = cast
		}
		return in.Add(rows)
	})
}

// ofCopied says which column a value did not fit.
func ofCopied(e *session.Error, table, column string) *session.Error {
	c := *e
	c.Where = "COPY " + table + ", column " + column
	return &c
}

// File is where the data comes from instead of the client; nil: from the client.
func (c *copyIn) File() (io.ReadCloser, error) {
	if c.file == nil {
		return nil, nil
	}
	in, err := os.Open(c.file.path)
	if err != nil {
		return nil, asError(c.file.unreadable(err))
	}
	return in, nil
}
