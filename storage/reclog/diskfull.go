package reclog

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pollSpace is how often a write that found no space is tried again.
const pollSpace = 50 * time.Millisecond

const ballastName = "ballast"

// markerPrefix begins the names of Pebble's markers, whose names say which manifest holds.
const markerPrefix = "marker."

// spaceFS hides from Pebble that the disk is full, because Pebble ends the process when a write to its WAL or manifest
// fails. A write that finds no space first frees the ballast, a file that keeps space allocated for just this, and then
// waits for space. Meanwhile the committer admits nothing, so that what waits is at most one group, background work, and
// rows staged by bulks. A failed sync is passed on: what it left behind is unknown, and trying again would hide a loss.
type spaceFS struct {
	vfs.FS
	path    string // of the ballast
	dir     string
	reserve int64
	giveUp  atomic.Bool  // do not wait any more
	full    atomic.Bool  // no space was found, or the ballast is missing
	waiting atomic.Int32 // writes that wait for space
	mu      sync.Mutex   // over the ballast
	tried   time.Time    // when the ballast was last asked for; under mu
}

func newSpaceFS(inner vfs.FS, dir string, reserve int64) *spaceFS {
	return &spaceFS{FS: inner, path: inner.PathJoin(dir, ballastName), dir: dir, reserve: reserve}
}

func isNoSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// retry runs op until it has found space.
func (f *spaceFS) retry(op func() error) error {
	err := op()
	if !isNoSpace(err) {
		return err
	}
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	f.full.Store(true)
	f.dropBallast()
	for {
		if err = op(); !isNoSpace(err) || f.giveUp.Load() {
			return err
		}
		time.Sleep(pollSpace)
	}
}

func (f *spaceFS) dropBallast() {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Absence is the usual case of a second caller; any other failure leaves the caller waiting for space, as it would anyway.
	_ = f.FS.Remove(f.path)
}

// takeBallast allocates the ballast anew and so proves that there is space.
func (f *spaceFS) takeBallast() error {
	if f.reserve <= 0 {
		f.full.Store(false)
		return nil
	}
	err := func() error {
		file, err := f.FS.Create(f.path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		err = file.Preallocate(0, f.reserve)
		if err == nil {
			_, err = file.Write([]byte("space kept free for the log's last writes\n"))
		}
		if err == nil {
			err = file.Sync()
		}
		return errors.Join(err, file.Close())
	}()
	if err != nil {
		_ = f.FS.Remove(f.path)
		f.full.Store(true)
		return err
	}
	f.full.Store(false)
	return nil
}

// admit reports ErrDiskFull unless there is space to write bytes more. Urgent writes, which free space, may go below the
// reserve as long as the ballast is there.
func (f *spaceFS) admit(bytes int64, urgent bool) error {
	if f.full.Load() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.waiting.Load() > 0 || time.Since(f.tried) < pollSpace/2 {
			return ErrDiskFull
		}
		f.tried = time.Now()
		if !f.room(bytes) {
			return ErrDiskFull
		}
		if err := f.takeBallast(); err != nil {
			return errors.Join(ErrDiskFull, err)
		}
		return nil
	}
	if !urgent && !f.room(bytes) {
		return ErrDiskFull
	}
	return nil
}

// room reports whether the file system says that bytes and the reserve are free; one that does not say has room.
func (f *spaceFS) room(bytes int64) bool {
	if f.reserve <= 0 {
		return true
	}
	u, err := f.FS.GetDiskUsage(f.dir)
	return err != nil || u.AvailBytes >= uint64(f.reserve+bytes)
}

func (f *spaceFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &spaceFile{File: file, fs: f}, nil
}

// Create makes a file. Pebble makes a manifest, then a marker that names it, and syncs the directory once: a loss of power between may
// leave the marker alone where a file system does not keep the order of its directories' changes. So what a marker names is there first.
func (f *spaceFS) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	if strings.HasPrefix(f.PathBase(name), markerPrefix) {
		if err := f.syncDir(); err != nil {
			return nil, err
		}
	}
	err = f.retry(func() (err error) { file, err = f.FS.Create(name, c); return })
	return f.wrap(file, err)
}

func (f *spaceFS) syncDir() error {
	d, err := f.FS.OpenDir(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *spaceFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (file vfs.File, err error) {
	err = f.retry(func() (err error) { file, err = f.FS.OpenReadWrite(name, c, o...); return })
	return f.wrap(file, err)
}

func (f *spaceFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.retry(func() (err error) { file, err = f.FS.ReuseForWrite(from, to, c); return })
	return f.wrap(file, err)
}

func (f *spaceFS) Link(from, to string) error {
	return f.retry(func() error { return f.FS.Link(from, to) })
}

func (f *spaceFS) Rename(from, to string) error {
	return f.retry(func() error { return f.FS.Rename(from, to) })
}

func (f *spaceFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.retry(func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f *spaceFS) Unwrap() vfs.FS { return f.FS }

type spaceFile struct {
	vfs.File
	fs *spaceFS
}

func (f *spaceFile) Write(p []byte) (done int, err error) {
	err = f.fs.retry(func() error {
		// A full disk may have taken the front of p.
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}

func (f *spaceFile) WriteAt(p []byte, off int64) (done int, err error) {
	err = f.fs.retry(func() error {
		n, err := f.File.WriteAt(p[done:], off+int64(done))
		done += n
		return err
	})
	return done, err
}

// Preallocate is only advice: without space for it, the writes that follow find none and wait.
func (f *spaceFile) Preallocate(off, n int64) error {
	if err := f.File.Preallocate(off, n); !isNoSpace(err) {
		return err
	}
	return nil
}
