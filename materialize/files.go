package materialize

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Errors of file sources.
var (
	ErrNoRoot        = errors.New("no file root is configured")          // 42501
	ErrOutsideRoots  = errors.New("path lies outside the file roots")    // 42501
	ErrTooManyFiles  = errors.New("too many files match")                // 54000
	ErrSchemaChanged = errors.New("file has another schema than source") // 42804
	// ErrFileChanged is the error of a read that needs a content which its file no longer has: of a position before the file was
	// changed or removed, or because no refresh has seen the change yet.
	ErrFileChanged = errors.New("file was changed or removed since the source read it") // 22023
)

// maxFiles bounds the files of one source.
const maxFiles = 100_000

// Roots are the directories under which file sources may read: absolute, links resolved.
type Roots []string

// NewRoots resolves directories. Errors: one that does not exist.
func NewRoots(dirs []string) (Roots, error) {
	var out Roots
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return nil, fmt.Errorf("file root %s: %w", d, err)
		}
		out = append(out, abs)
	}
	return out, nil
}

// inside reports whether path, absolute with links resolved, lies under a root.
func (r Roots) inside(path string) bool {
	return slices.ContainsFunc(r, func(root string) bool {
		rel, err := filepath.Rel(root, path)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	})
}

// List are the files that a glob matches, by path; a relative glob is looked for under each root. Ids and positions are not
// set. A file outside the roots, also by a link, is refused.
func (r Roots) List(ctx context.Context, glob string) ([]schema.FileVersion, error) {
	if len(r) == 0 {
		return nil, ErrNoRoot
	}
	var patterns []string
	if filepath.IsAbs(glob) {
		patterns = []string{filepath.Clean(glob)}
	} else {
		for _, root := range r {
			patterns = append(patterns, filepath.Join(root, glob))
		}
	}
	var out []schema.FileVersion
	for _, p := range patterns {
		base, rest := doublestar.SplitPattern(filepath.ToSlash(p))
		resolved, err := filepath.EvalSymlinks(base)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !r.inside(resolved) {
			return nil, fmt.Errorf("%w: %s", ErrOutsideRoots, glob)
		}
		err = doublestar.GlobWalk(os.DirFS(base), rest, func(path string, d fs.DirEntry) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			full := filepath.Join(base, path)
			real, err := filepath.EvalSymlinks(full)
			if err != nil || !r.inside(real) {
				return fmt.Errorf("%w: %s", ErrOutsideRoots, full)
			}
			info, err := os.Stat(real)
			if err != nil {
				return err
			}
			if len(out) == maxFiles {
				return fmt.Errorf("%w: %s matches more than %d", ErrTooManyFiles, glob, maxFiles)
			}
			out = append(out, schema.FileVersion{Path: full, Size: info.Size(), ModTime: info.ModTime().UnixNano()})
			return nil
		}, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b schema.FileVersion) int { return strings.Compare(a.Path, b.Path) })
	out = slices.CompactFunc(out, func(a, b schema.FileVersion) bool { return a.Path == b.Path })
	return out, nil
}

// Columns reads the columns of a file.
func Columns(ctx context.Context, conn *duck.Conn, path string, f *schema.File) ([]schema.Column, error) {
	scan := "read_parquet(" + duck.QuoteLiteral(path) + ")"
	if f.Format == "csv" {
		scan = "read_csv(" + duck.QuoteLiteral(path) + ", header = true, delim = " + duck.QuoteLiteral(f.Separator()) + ")"
	}
	st, err := conn.Prepare(ctx, "SELECT * FROM "+scan)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var out []schema.Column
	for _, c := range st.Columns() {
		out = append(out, schema.Column{Name: c.Name, Type: c.Type})
	}
	return out, nil
}

// checkColumns refuses a file that lacks a column of r or has it with another type.
func checkColumns(ctx context.Context, conn *duck.Conn, r *schema.Relation, path string) error {
	if r.File.Format == "csv" {
		return checkHeader(r, path) // its text is read as the source's types, and a value that is none is refused with its line
	}
	have, err := Columns(ctx, conn, path, r.File)
	if err != nil {
		return err
	}
	for _, c := range r.Columns {
		i := slices.IndexFunc(have, func(h schema.Column) bool { return h.Name == c.Name })
		switch {
		case i < 0:
			return fmt.Errorf("%w %q: %s lacks column %q", ErrSchemaChanged, r.Name, path, c.Name)
		case !have[i].Type.Equal(storedType(r, c)):
			return fmt.Errorf("%w %q: column %q of %s is %s, not %s", ErrSchemaChanged, r.Name, c.Name, path, have[i].Type, storedType(r, c))
		}
	}
	return nil
}

// checkHeader refuses a CSV file whose header is not r's columns, in their order: the file is read by place.
func checkHeader(r *schema.Relation, path string) error {
	in, err := openText(path)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := csv.NewReader(in)
	lines.Comma, _ = utf8.DecodeRuneInString(r.File.Separator())
	names, err := lines.Read()
	if err != nil {
		return fmt.Errorf("%w %q: the header of %s cannot be read: %w", ErrSchemaChanged, r.Name, path, err)
	}
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	if len(names) != len(r.Columns) {
		return fmt.Errorf("%w %q: %s has %d columns, not %d, and is read by place", ErrSchemaChanged, r.Name, path, len(names), len(r.Columns))
	}
	for i, c := range r.Columns {
		if names[i] == "" { // an index that was written without a name
			continue
		}
		if !strings.EqualFold(strings.TrimSpace(names[i]), c.Name) {
			return fmt.Errorf("%w %q: column %d of %s is %q, not %q", ErrSchemaChanged, r.Name, i+1, path, names[i], c.Name)
		}
	}
	return nil
}

// text is the text of a file.
type text struct {
	io.Reader
	io.Closer
}

// openText opens a file of text, which its ending may say is compressed.
func openText(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || !strings.HasSuffix(path, ".gz") {
		return f, err
	}
	in, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("file %s: %w", path, err)
	}
	return text{in, f}, nil
}

// live are the file versions visible at a position, and the ids by their place in that list.
func live(f *schema.File, position uint64) (files []schema.FileVersion, ids []uint32) {
	for i := range f.Files {
		if f.Files[i].Live(position) {
			files, ids = append(files, f.Files[i]), append(ids, f.Files[i].ID)
		}
	}
	return files, ids
}

// unchanged checks that files still have the contents that the source read. What replaced them must never be taken for them.
func unchanged(files []schema.FileVersion) error {
	for i := range files {
		f := &files[i]
		info, err := os.Stat(f.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || info.Size() != f.Size || info.ModTime().UnixNano() != f.ModTime {
			return fmt.Errorf("%w: %s", ErrFileChanged, f.Path)
		}
	}
	return nil
}

// compare are the versions that a listing adds to those live in f, and the ids of those it no longer has.
func compare(f *schema.File, listed []schema.FileVersion) (added []schema.FileVersion, removed []uint32) {
	have, seen := map[string]*schema.FileVersion{}, map[string]bool{}
	for i := range f.Files {
		if v := &f.Files[i]; v.Removed == 0 {
			have[v.Path] = v
		}
	}
	for _, l := range listed {
		if v := have[l.Path]; v != nil && v.Size == l.Size && v.ModTime == l.ModTime {
			seen[v.Path] = true
			continue
		}
		added = append(added, l)
	}
	for _, v := range f.Files {
		if v.Removed == 0 && !seen[v.Path] {
			removed = append(removed, v.ID)
		}
	}
	return added, removed
}
