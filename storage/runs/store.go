package runs

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// MaxSegments bounds the segments of a manifest that is read, and with them the open files and cursors of a read.
const MaxSegments = 512

// DefaultCacheBytes is the bound of a store's cache of decoded batches.
const DefaultCacheBytes = 64 << 20

// maxIdleReaders bounds the parsed footers kept for a file; more are parsed when more goroutines read at once.
const maxIdleReaders = 4

// StoreOptions configure a Store.
type StoreOptions struct {
	FS          vfs.FS
	Dir         string // holds the run files; created by Open
	CacheBytes  int64  // of decoded batches; 0: DefaultCacheBytes
	Compression Compression
	Days        event.Days // what daily partials are of; 0: UTC days. All stores of a directory have the same
}

// Store is the run files of a directory, with a cache of their batches. It is safe for concurrent use.
type Store struct {
	opt   StoreOptions
	mu    sync.Mutex
	files map[string]*handle
	cache map[batchID]*list.Element // of *cached
	lru   *list.List                // most recent first
	held  int64
}

type batchID struct {
	file  string
	batch int
}

type cached struct {
	id    batchID
	cols  []*vector.Vector
	bytes int64
}

// handle is an open file with parsed footers that no goroutine uses.
type handle struct {
	in   *inFile
	mu   sync.Mutex
	idle []*ipc.FileReader
}

// Open opens a store and removes files that an interrupted write left under a temporary name.
func Open(opt StoreOptions) (*Store, error) {
	if opt.CacheBytes == 0 {
		opt.CacheBytes = DefaultCacheBytes
	}
	if err := opt.FS.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	if err := syncDir(opt.FS, opt.FS.PathDir(opt.Dir)); err != nil { // or a loss of power would take all files with the directory
		return nil, err
	}
	names, err := opt.FS.List(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, tempSuffix) {
			if err := opt.FS.Remove(opt.FS.PathJoin(opt.Dir, n)); err != nil {
				return nil, fmt.Errorf("runs: %w", err)
			}
		}
	}
	return &Store{opt: opt, files: map[string]*handle{}, cache: map[batchID]*list.Element{}, lru: list.New()}, nil
}

// Remove deletes the files of a segment that no manifest and no reader has any more.
func (s *Store) Remove(seg Segment) error {
	var err error
	for _, f := range []File{seg.RowFile, seg.KeyFile} {
		s.mu.Lock()
		if h := s.files[f.Name]; h != nil {
			err = errors.Join(err, h.in.f.Close())
			delete(s.files, f.Name)
		}
		for e := s.lru.Front(); e != nil; {
			next := e.Next()
			if c := e.Value.(*cached); c.id.file == f.Name {
				s.drop(e)
			}
			e = next
		}
		s.mu.Unlock()
		err = errors.Join(err, s.opt.FS.Remove(s.opt.FS.PathJoin(s.opt.Dir, f.Name)))
	}
	return err
}

// Close closes the files. No reader may be in use.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, h := range s.files {
		err = errors.Join(err, h.in.f.Close())
	}
	s.files, s.cache = map[string]*handle{}, map[batchID]*list.Element{}
	s.lru.Init()
	s.held = 0
	return err
}

// file opens a file, or finds it open.
func (s *Store) file(f File, types []vector.Type) (*handle, error) {
	s.mu.Lock()
	h := s.files[f.Name]
	s.mu.Unlock()
	if h != nil {
		return h, nil
	}
	in, err := openFile(s.opt.FS, s.opt.Dir, f, types)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.files[f.Name]; have != nil {
		return have, in.f.Close()
	}
	h = &handle{in: in}
	s.files[f.Name] = h
	return h, nil
}

// batch is batch i of a file, from the cache or read. bytes is what was read.
func (s *Store) batch(h *handle, i int) (cols []*vector.Vector, bytes int64, err error) {
	id := batchID{h.in.name, i}
	s.mu.Lock()
	if e := s.cache[id]; e != nil {
		s.lru.MoveToFront(e)
		s.mu.Unlock()
		return e.Value.(*cached).cols, 0, nil
	}
	s.mu.Unlock()
	h.mu.Lock()
	var r *ipc.FileReader
	if n := len(h.idle); n > 0 {
		r, h.idle = h.idle[n-1], h.idle[:n-1]
	}
	h.mu.Unlock()
	if r == nil {
		if r, err = h.in.reader(); err != nil {
			return nil, 0, err
		}
	}
	if cols, err = h.in.batch(r, i); err != nil {
		return nil, 0, err
	}
	h.mu.Lock()
	if len(h.idle) < maxIdleReaders {
		h.idle = append(h.idle, r)
	}
	h.mu.Unlock()
	for _, c := range cols {
		bytes += int64(c.MemBytes())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache[id] == nil {
		s.cache[id] = s.lru.PushFront(&cached{id, cols, bytes})
		s.held += bytes
		for s.held > s.opt.CacheBytes && s.lru.Len() > 1 {
			s.drop(s.lru.Back())
		}
	}
	return cols, bytes, nil
}

// drop takes a batch out of the cache. Readers that have it keep it.
func (s *Store) drop(e *list.Element) {
	c := e.Value.(*cached)
	s.lru.Remove(e)
	delete(s.cache, c.id)
	s.held -= c.bytes
}
