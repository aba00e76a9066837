package crash

import (
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type opKind int

const (
	opCreate opKind = iota
	opReuse
	opLink
	opRename
	opRemove
	opRemoveAll
	opMkdir
	opPreallocate
	opWrite
	opSync
)

// op is a call that changes a file system.
type op struct {
	kind     opKind
	name, to string
	off, n   int64 // bytes written or allocated
}

// hook is asked before every op and told of its end. With an error the op is not done, but for the first n bytes of a write.
type hook interface {
	begin(o *op) (end func(), err error)
}

// hookFS calls a hook around every op of a file system. Reads pass.
type hookFS struct {
	vfs.FS
	hook hook
}

func (f *hookFS) do(o op, call func() error) error {
	end, err := f.hook.begin(&o)
	if err != nil {
		return err
	}
	defer end()
	return call()
}

func (f *hookFS) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.do(op{kind: opCreate, name: name}, func() (err error) { file, err = f.FS.Create(name, c); return })
	return f.wrap(name, file, err)
}

func (f *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (file vfs.File, err error) {
	file, err = f.FS.OpenReadWrite(name, c, o...)
	return f.wrap(name, file, err)
}

func (f *hookFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.wrap(name, file, err)
}

func (f *hookFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.do(op{kind: opReuse, name: from, to: to}, func() (err error) { file, err = f.FS.ReuseForWrite(from, to, c); return })
	return f.wrap(to, file, err)
}

func (f *hookFS) Link(from, to string) error {
	return f.do(op{kind: opLink, name: from, to: to}, func() error { return f.FS.Link(from, to) })
}

func (f *hookFS) Rename(from, to string) error {
	return f.do(op{kind: opRename, name: from, to: to}, func() error { return f.FS.Rename(from, to) })
}

func (f *hookFS) Remove(name string) error {
	return f.do(op{kind: opRemove, name: name}, func() error { return f.FS.Remove(name) })
}

func (f *hookFS) RemoveAll(name string) error {
	return f.do(op{kind: opRemoveAll, name: name}, func() error { return f.FS.RemoveAll(name) })
}

func (f *hookFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.do(op{kind: opMkdir, name: dir}, func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f *hookFS) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	if d, ok := f.hook.(interface{ usage() vfs.DiskUsage }); ok {
		return d.usage(), nil
	}
	return f.FS.GetDiskUsage(name)
}

func (f *hookFS) Unwrap() vfs.FS { return f.FS }

func (f *hookFS) wrap(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookFile{File: file, fs: f, name: name}, nil
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	name string
	off  atomic.Int64 // of the next Write
}

// write does a write, or the part of it that the hook lets pass.
func (f *hookFile) write(off int64, p []byte, call func(p []byte) (int, error)) (int, error) {
	o := op{kind: opWrite, name: f.name, off: off, n: int64(len(p))}
	end, err := f.fs.hook.begin(&o)
	if end == nil {
		return 0, err
	}
	defer end()
	n, failed := call(p[:o.n])
	if failed != nil {
		return n, failed
	}
	return n, err
}

func (f *hookFile) Write(p []byte) (int, error) {
	n, err := f.write(f.off.Load(), p, f.File.Write)
	f.off.Add(int64(n))
	return n, err
}

func (f *hookFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(off, p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *hookFile) Preallocate(off, n int64) error {
	return f.fs.do(op{kind: opPreallocate, name: f.name, off: off, n: n}, func() error { return f.File.Preallocate(off, n) })
}

func (f *hookFile) Sync() error {
	return f.fs.do(op{kind: opSync, name: f.name}, f.File.Sync)
}

func (f *hookFile) SyncData() error {
	return f.fs.do(op{kind: opSync, name: f.name}, f.File.SyncData)
}

func (f *hookFile) SyncTo(n int64) (whole bool, err error) {
	err = f.fs.do(op{kind: opSync, name: f.name}, func() (err error) { whole, err = f.File.SyncTo(n); return })
	return whole, err
}
