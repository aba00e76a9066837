package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// writeBuffer is how many bytes of a run are written at once.
const writeBuffer = 1 << 20

// errMerged: another server has merged the segment.
var errMerged = errors.New("archive: merged by another")

// merge makes the run of a segment, unless another server does meanwhile. Only the rows of a row group and of an entry are in memory. An entry
// that it reads may be void: then there is a run, and this one is not linked.
func (a *Archive) merge(ctx context.Context, segment uint64) error {
	_, err := link(a.fs, a.dir, a.run(segment), func(file io.Writer) error {
		to := bufio.NewWriterSize(file, writeBuffer)
		w, err := newFileWriter(to, a.columns, compress.Codecs.Zstd, true)
		if err != nil {
			return err
		}
		var all about
		var rows *vector.Chunk
		flush := func() error {
			if rows == nil || rows.N == 0 {
				return nil
			}
			err := w.group(rows)
			rows.Reset()
			return err
		}
		for n := (segment-1)*a.Doc.Segment + 1; n <= segment*a.Doc.Segment; n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			b, err := readFile(a.fs, a.entry(n))
			if errors.Is(err, fs.ErrNotExist) {
				return errMerged
			}
			if err != nil {
				return err
			}
			f, err := openFile(inMemory(b), a.columns)
			if err == nil {
				err = f.is(a, n, n)
			}
			if err != nil {
				return fmt.Errorf("entry %d: %w", n, err)
			}
			all.merge(&f.about)
			for {
				part, err := f.read(ctx)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return fmt.Errorf("entry %d: %w", n, err)
				}
				if rows == nil {
					rows = vector.NewChunk(part.Types(), groupRows)
				}
				rows.AppendRange(part, 0, part.N)
				if rows.N >= groupRows || bytesOf(rows) >= groupBytes {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if err := w.finish(all); err != nil {
			return err
		}
		return to.Flush()
	})
	if errors.Is(err, errMerged) {
		if done, err := a.has(a.run(segment)); err != nil {
			return err
		} else if !done {
			return fmt.Errorf("%w: segment %d lacks entries, and has no run", ErrBehind, segment)
		}
		err = nil
	}
	if err != nil {
		return err
	}
	return syncDir(a.fs, path.Join(a.dir, runsDir)) // whoever linked it: its entries are deleted next
}

func bytesOf(c *vector.Chunk) (n int) {
	for _, v := range c.Cols {
		n += v.MemBytes()
	}
	return n
}
