package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/zeebo/xxh3"
)

// A run file is an Arrow file, its content, followed by the xxh3 of each of the content's pages, 8 bytes each, little-endian.
// The manifest keeps the xxh3 of those. The Arrow library trusts lengths that it reads, and asks for as much memory as a damaged
// one says: no byte reaches it that is not what was written.

const (
	pageBytes = 32 << 10 // of content under one checksum; the last page may be shorter
	sumBytes  = 8
)

// pages is the number of pages of so many bytes of content.
func pages(content int64) int64 { return (content + pageBytes - 1) / pageBytes }

// summer computes the checksums of a content's pages as it is written.
type summer struct {
	page *xxh3.Hasher
	fill int // bytes of the page so far
	sums []byte
}

func newSummer() *summer { return &summer{page: xxh3.New()} }

func (s *summer) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), pageBytes-s.fill)
		_, _ = s.page.Write(p[:n]) // a hash takes everything
		if s.fill += n; s.fill == pageBytes {
			s.end()
		}
		p = p[n:]
	}
}

func (s *summer) end() {
	s.sums = binary.LittleEndian.AppendUint64(s.sums, s.page.Sum64())
	s.page.Reset()
	s.fill = 0
}

// finish is the checksums of all pages.
func (s *summer) finish() []byte {
	if s.fill > 0 {
		s.end()
	}
	return s.sums
}

// checkedReader reads a content and compares every page it touches with its checksum. Errors of damage wrap ErrCorrupt. It may
// be used by several goroutines.
type checkedReader struct {
	r    io.ReaderAt
	name string
	size int64 // of the content, in bytes
	sums []byte
}

// newCheckedReader reads the checksums of a file.
func newCheckedReader(r io.ReaderAt, want File) (*checkedReader, error) {
	c := &checkedReader{r: r, name: want.Name, size: want.Content, sums: make([]byte, pages(want.Content)*sumBytes)}
	if _, err := r.ReadAt(c.sums, c.size); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("runs: read %s: %w", want.Name, err)
	}
	if got := xxh3.Hash(c.sums); got != want.Sum {
		return nil, fmt.Errorf("%w: the checksum of %s is %x, not %x", ErrCorrupt, want.Name, got, want.Sum)
	}
	return c, nil
}

// scratch holds buffers of whole pages.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// ReadAt implements io.ReaderAt.
func (c *checkedReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	end := min(off+int64(len(p)), c.size)
	from := off / pageBytes * pageBytes
	to := min(pages(end)*pageBytes, c.size)
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	if int64(cap(*buf)) < to-from {
		*buf = make([]byte, to-from)
	}
	b := (*buf)[:to-from]
	if _, err := c.r.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("runs: read %s: %w", c.name, err)
	}
	for at := int64(0); at < int64(len(b)); at += pageBytes {
		i := (from + at) / pageBytes * sumBytes
		if xxh3.Hash(b[at:min(at+pageBytes, int64(len(b)))]) != binary.LittleEndian.Uint64(c.sums[i:]) {
			return 0, fmt.Errorf("%w: bytes %d to %d of %s are not what was written", ErrCorrupt, from+at, min(from+at+pageBytes, c.size), c.name)
		}
	}
	n := copy(p, b[off-from:end-from])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
