package materialize

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// NoFilesError is the error of a source whose path matches no file.
type NoFilesError struct {
	Path  string   // as it was given
	Roots Roots    // where it was looked for
	Near  []string // paths of files of that name
	// Folder is a path of the files in the folder that Path is; "" where it is none.
	Folder string
}

func (e *NoFilesError) Error() string { return "no file matches: " + e.Path }

// What a search for files of a name costs at most.
const (
	maxNear       = 3
	maxNearLooked = 20_000 // entries of directories
)

// walk gives the entries below the roots, by their path relative to their root, until fn returns false.
func (r Roots) walk(ctx context.Context, fn func(rel string, d fs.DirEntry) bool) {
	looked := 0
	for _, root := range r {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if looked++; looked > maxNearLooked || ctx.Err() != nil {
				return fs.SkipAll
			}
			if err != nil {
				return nil // what cannot be read is not proposed
			}
			if rel, err := filepath.Rel(root, path); err == nil && !fn(rel, d) {
				looked = maxNearLooked
				return fs.SkipAll
			}
			return nil
		})
	}
}

// noFiles is the error of a path that matches nothing. Near are paths of files under the roots, relative to them, whose names are
// the path's last part, or match it.
func (r Roots) noFiles(ctx context.Context, glob string) error {
	e := &NoFilesError{Path: glob, Roots: r}
	name := filepath.Base(glob)
	for _, root := range r {
		dir := glob
		if !filepath.IsAbs(glob) {
			dir = filepath.Join(root, glob)
		}
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && r.inside(resolved) {
			if info, err := os.Stat(resolved); err == nil && info.IsDir() {
				e.Folder = folderPath(ctx, resolved, glob)
				return e
			}
		}
	}
	r.walk(ctx, func(rel string, d fs.DirEntry) bool {
		if ok, err := doublestar.Match(name, d.Name()); err == nil && ok && d.Type().IsRegular() {
			near := rel
			if top, _, deep := strings.Cut(rel, string(filepath.Separator)); deep && strings.ContainsAny(name, "*?[{") { // one path for all of a folder
				near = filepath.Join(top, "**", name)
			}
			if !slices.Contains(e.Near, near) {
				e.Near = append(e.Near, near)
			}
		}
		return len(e.Near) < maxNear
	})
	return e
}

// folderPath is a path of the files in a folder, which path names, by the ending of the first one.
func folderPath(ctx context.Context, dir, path string) string {
	out := filepath.Join(path, "**", "*"+fileEndings[0])
	Roots{dir}.walk(ctx, func(_ string, d fs.DirEntry) bool {
		for _, end := range fileEndings {
			if d.Type().IsRegular() && strings.HasSuffix(strings.ToLower(d.Name()), end) {
				out = filepath.Join(path, "**", "*"+end)
				return false
			}
		}
		return true
	})
	return out
}

// fileEndings are those of files that sources read.
var fileEndings = []string{".parquet", ".csv", ".csv.gz"}

// FileNamed is the path of a source over the file, or the folder of files, of a name below the file roots, without regard to case;
// "" where there is none.
func (m *Manager) FileNamed(ctx context.Context, name string) string {
	var file, folder, inside string // the folder, as long as no file in it was seen
	m.cfg.Roots.walk(ctx, func(rel string, d fs.DirEntry) bool {
		base := strings.ToLower(d.Name())
		if d.IsDir() {
			if base == strings.ToLower(name) && folder == "" {
				folder = rel
			}
			return true
		}
		for _, end := range fileEndings {
			switch {
			case !d.Type().IsRegular():
			case base == strings.ToLower(name)+end:
				file = rel
			case folder != "" && inside == "" && strings.HasSuffix(base, end) && strings.HasPrefix(rel, folder+string(filepath.Separator)):
				inside = filepath.Join(folder, "**", "*"+end)
			}
		}
		return file == ""
	})
	if file != "" {
		return file
	}
	return inside
}

// FirstColumns are the columns of the first file that a path matches, none where they cannot be read.
func (m *Manager) FirstColumns(ctx context.Context, conn *duck.Conn, path string) []schema.Column {
	files, err := m.cfg.Roots.List(ctx, path)
	if err != nil || len(files) == 0 {
		return nil
	}
	cols, err := Columns(ctx, conn, files[0].Path, &schema.File{Format: FormatOf(path)})
	if err != nil {
		return nil
	}
	return cols
}

// FormatOf is the format of files that a path's ending says: Parquet unless it is that of CSV.
func FormatOf(path string) string {
	if strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".csv.gz") {
		return "csv"
	}
	return "parquet"
}

// maxHeader is how many bytes of a CSV file are looked at for its delimiter.
const maxHeader = 64 << 10

// OtherDelimiter is what probably stands between the values of the CSV files of a source whose header has not its delimiter, as a literal of
// SQL; "" where nothing else does.
func (m *Manager) OtherDelimiter(ctx context.Context, r *schema.Relation) string {
	if r.File.Format != "csv" {
		return ""
	}
	files, err := m.cfg.Roots.List(ctx, r.File.Path)
	if err != nil || len(files) == 0 {
		return "" // who reads them says so
	}
	in, err := openText(files[0].Path)
	if err != nil {
		return ""
	}
	defer in.Close()
	header, err := bufio.NewReader(io.LimitReader(in, maxHeader)).ReadString('\n')
	if err != nil || strings.Contains(header, r.File.Separator()) {
		return ""
	}
	for _, d := range [][2]string{{";", "';'"}, {"\t", `E'\t'`}, {"|", "'|'"}, {",", "','"}} {
		if strings.Contains(header, d[0]) {
			return d[1]
		}
	}
	return ""
}
