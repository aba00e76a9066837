package archive

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// link writes a file under a name of its own and gives it its name, unless that is taken: false. Then it is whole and on disk, and so is
// its name, whoever gave it.
func link(fsys vfs.FS, dir, name string, write func(w io.Writer) error) (made bool, err error) {
	temp := path.Join(dir, newDir, random())
	f, err := fsys.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, err
	}
	defer func() {
		_ = fsys.Remove(temp) // swept later otherwise
	}()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	err = fsys.Link(temp, name)
	if made = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return made, syncDir(fsys, path.Dir(name))
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes a folder whose parent is there, and syncs its name.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(path.Dir(dir)); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return syncDir(fsys, path.Dir(dir))
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // which does not fail
	return hex.EncodeToString(b)
}
