package materialize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Errors of single files that a statement reads.
var (
	ErrNoFile    = errors.New("no such file or directory") // 58P01
	ErrDirectory = errors.New("is a directory")            // 42809
)

// Resolve is the file of a path, absolute with links resolved; a relative path is looked for under each root. Errors: ErrNoRoot,
// ErrOutsideRoots, ErrNoFile, ErrDirectory.
func (r Roots) Resolve(path string) (string, error) {
	if len(r) == 0 {
		return "", ErrNoRoot
	}
	candidates := []string{filepath.Clean(path)}
	if !filepath.IsAbs(path) {
		candidates = nil
		for _, root := range r {
			candidates = append(candidates, filepath.Join(root, path))
		}
	}
	for _, c := range candidates {
		if !r.inside(c) && !filepath.IsAbs(path) {
			return "", fmt.Errorf("%w: %s", ErrOutsideRoots, path)
		}
		real, err := filepath.EvalSymlinks(c)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !r.inside(real) {
			return "", fmt.Errorf("%w: %s", ErrOutsideRoots, path)
		}
		info, err := os.Stat(real)
		switch {
		case err != nil:
			return "", err
		case info.IsDir():
			return "", fmt.Errorf("%s %w", path, ErrDirectory)
		case !info.Mode().IsRegular():
			return "", fmt.Errorf("%w: %s is no regular file", ErrOutsideRoots, path)
		}
		return real, nil
	}
	if filepath.IsAbs(path) && !r.inside(filepath.Clean(path)) { // whether it is there is nobody's business
		return "", fmt.Errorf("%w: %s", ErrOutsideRoots, path)
	}
	return "", ErrNoFile
}

// Resolve is Roots.Resolve of the manager's roots.
func (m *Manager) Resolve(path string) (string, error) { return m.cfg.Roots.Resolve(path) }

// ParquetColumns are the columns of a Parquet file.
func (m *Manager) ParquetColumns(ctx context.Context, file string) ([]schema.Column, error) {
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return Columns(ctx, conn, file, &schema.File{Format: "parquet"})
}

// EachParquet gives the named columns of a Parquet file, in chunks that are valid during the call. A column whose file type widens to
// the column's, or is a time without a zone, is of the column's type; others are of the file's.
func (m *Manager) EachParquet(ctx context.Context, file string, columns []schema.Column, emit func(*vector.Chunk) error) error {
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	r := &schema.Relation{Columns: columns, File: &schema.File{Format: "parquet"}}
	have, err := Columns(ctx, conn, file, r.File)
	if err != nil {
		return err
	}
	r.File.Stored = map[string]vector.Type{}
	items := make([]string, len(columns))
	for i, c := range columns {
		items[i] = duck.QuoteIdent(c.Name)
		for _, h := range have {
			if h.Name == c.Name && widens(h.Type, c.Type) {
				r.File.Stored[c.Name] = h.Type
				items[i] = storedColumn(r, c)
			}
		}
	}
	list := ""
	for i, it := range items {
		if i > 0 {
			list += ", "
		}
		list += it
	}
	return conn.EachChunk(ctx, fmt.Sprintf("SELECT %s FROM read_parquet(%s)", list, duck.QuoteLiteral(file)), emit)
}
