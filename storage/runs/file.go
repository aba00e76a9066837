package runs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Bounds of a record batch of a run file.
const (
	batchRows  = 8192
	batchBytes = 4 << 20
)

// stateType is the type of a column of encoded states.
var stateType = vector.T(vector.Bytes)

// dirTypes are the columns of a key file: key, first batch, first row in it, last batch, end of the rows in it
// (exclusive), rows, least and greatest ts.
var dirTypes = []vector.Type{vector.T(vector.Bytes), vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64),
	vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64), vector.T(vector.Int64)}

// Columns of a key file.
const (
	dirKey = iota
	dirFirst
	dirFrom
	dirLast
	dirTo
	dirRows
	dirMin
	dirMax
)

// Compression is how the buffers of run files are compressed.
type Compression string

// The compressions.
const (
	Plain Compression = ""
	LZ4   Compression = "lz4"
	Zstd  Compression = "zstd"
)

// outFile is an Arrow file being written under a temporary name.
type outFile struct {
	fs     vfs.FS
	name   string // final
	f      vfs.File
	buf    *bufio.Writer
	sum    *summer
	n      int64 // bytes of content
	schema *arrow.Schema
	w      *ipc.FileWriter
	batch  int // batches written
}

const tempSuffix = ".tmp"

func createFile(fs vfs.FS, name string, types []vector.Type, c Compression) (*outFile, error) {
	f, err := fs.Create(name+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("runs: create %s: %w", name, err)
	}
	o := &outFile{fs: fs, name: name, f: f, sum: newSummer(), schema: schemaOf(types)}
	o.buf = bufio.NewWriterSize(f, 1<<18)
	opts := []ipc.Option{ipc.WithSchema(o.schema)}
	switch c {
	case Plain:
	case LZ4:
		opts = append(opts, ipc.WithLZ4())
	case Zstd:
		opts = append(opts, ipc.WithZstd())
	default:
		return nil, errors.Join(fmt.Errorf("runs: no compression %q", c), o.abort())
	}
	if o.w, err = ipc.NewFileWriter(o, opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("runs: create %s: %w", name, err), o.abort())
	}
	return o, nil
}

// Write takes the bytes of the Arrow writer.
func (o *outFile) Write(p []byte) (int, error) {
	o.sum.write(p)
	o.n += int64(len(p))
	return o.buf.Write(p)
}

func (o *outFile) write(cols []*vector.Vector, from, to int) error {
	o.batch++
	if err := o.w.Write(recordOf(o.schema, cols, from, to)); err != nil {
		return fmt.Errorf("runs: write %s: %w", o.name, err)
	}
	return nil
}

// finish syncs the file and gives it its name. The directory is not synced.
func (o *outFile) finish(base string) (File, error) {
	err := o.w.Close()
	sums := o.sum.finish()
	if err == nil {
		_, err = o.buf.Write(sums)
	}
	if err == nil {
		err = o.buf.Flush()
	}
	if err == nil {
		err = o.f.Sync()
	}
	if err != nil {
		return File{}, errors.Join(fmt.Errorf("runs: write %s: %w", o.name, err), o.abort())
	}
	f := o.f
	o.f = nil
	if err = f.Close(); err == nil {
		err = o.fs.Rename(o.name+tempSuffix, o.name)
	}
	if err != nil {
		return File{}, errors.Join(fmt.Errorf("runs: write %s: %w", o.name, err), o.fs.Remove(o.name+tempSuffix))
	}
	return File{Name: base, Bytes: o.n + int64(len(sums)), Content: o.n, Sum: xxh3.Hash(sums)}, nil
}

// abort removes the temporary file.
func (o *outFile) abort() error {
	if o.f == nil {
		return nil
	}
	err := o.f.Close()
	o.f = nil
	return errors.Join(err, o.fs.Remove(o.name+tempSuffix))
}

// segmentWriter writes the files of a segment, partition after partition, key after key in byte order, rows in order.
type segmentWriter struct {
	fs         vfs.FS
	dir        string
	seg        Segment
	rows, dirs *outFile
	cur        *event.Rows // rows of the batch being filled
	dir1       []*vector.Vector
	key        []byte // of the open key
	first      int
	from       int
	count      int64
	lo, hi     int64
	spanned    bool
	part       int
	days       dayCounter
}

func newSegmentWriter(o StoreOptions, seg Segment, l event.Layout, partitions int) (*segmentWriter, error) {
	fs, dir, c := o.FS, o.Dir, o.Compression
	w := &segmentWriter{fs: fs, dir: dir, seg: seg, cur: newRows(l, true, 0), part: -1, days: dayCounter{calendar: o.Days}}
	w.seg.Parts = make([]Part, partitions)
	w.seg.Rows, w.seg.Keys = 0, 0
	for _, t := range dirTypes {
		w.dir1 = append(w.dir1, vector.New(t, 0))
	}
	w.seg.RowFile.Name, w.seg.KeyFile.Name = seg.ID+".rows.arrow", seg.ID+".keys.arrow"
	var err error
	if w.rows, err = createFile(fs, fs.PathJoin(dir, w.seg.RowFile.Name), rowTypes(l, true), c); err != nil {
		return nil, err
	}
	if w.dirs, err = createFile(fs, fs.PathJoin(dir, w.seg.KeyFile.Name), dirTypes, c); err != nil {
		return nil, errors.Join(err, w.rows.abort())
	}
	return w, nil
}

// partition starts the next partition.
func (w *segmentWriter) partition() error {
	if err := w.endPartition(); err != nil {
		return err
	}
	w.part++
	w.seg.Parts[w.part] = Part{RowFrom: w.rows.batch, KeyFrom: w.dirs.batch}
	return nil
}

func (w *segmentWriter) endPartition() error {
	if w.part < 0 {
		return nil
	}
	if err := w.flushRows(); err != nil {
		return err
	}
	if err := w.flushDir(); err != nil {
		return err
	}
	p := &w.seg.Parts[w.part]
	p.RowTo, p.KeyTo = w.rows.batch, w.dirs.batch
	return nil
}

// begin starts a key, whose rows follow. A key without rows leaves no trace.
func (w *segmentWriter) begin(key []byte) {
	w.key = append(w.key[:0], key...)
	w.first, w.from, w.count = w.rows.batch, len(w.cur.TS), 0
}

// add appends rows from ≤ i < to of r to the open key.
func (w *segmentWriter) add(r *event.Rows, from, to int) error {
	for from < to {
		if len(w.cur.TS) >= batchRows || (len(w.cur.TS) > 0 && len(w.cur.TS)%64 == 0 && rowsBytes(w.cur) >= batchBytes) {
			if err := w.flushRows(); err != nil {
				return err
			}
		}
		if w.count == 0 {
			w.first, w.from, w.lo = w.rows.batch, len(w.cur.TS), r.TS[from]
		}
		// A batch is filled in steps of 64 rows, so that its bytes are seen soon enough.
		n := min(to-from, batchRows-len(w.cur.TS), 64-len(w.cur.TS)%64)
		if len(w.cur.Cols) == 0 || fixedOnly(w.cur) {
			n = min(to-from, batchRows-len(w.cur.TS))
		}
		appendRows(w.cur, r, from, from+n)
		w.days.add(r.TS, from, from+n)
		from += n
		w.count += int64(n)
		w.hi = r.TS[from-1]
	}
	return nil
}

func fixedOnly(r *event.Rows) bool {
	for _, v := range r.Cols {
		if !fixedWidth(v.Type) {
			return false
		}
	}
	return r.Tie == nil
}

// end ends the open key.
func (w *segmentWriter) end() error {
	if w.count == 0 {
		return nil
	}
	d := w.dir1
	d[dirKey].AppendBytes(w.key)
	for c, x := range []int64{int64(w.first), int64(w.from), int64(w.rows.batch), int64(len(w.cur.TS)), w.count, w.lo, w.hi} {
		d[c+1].AppendInt(x)
	}
	w.seg.Rows += w.count
	w.seg.Keys++
	if w.seg.Kind == KindRows {
		iv := event.Interval{Lo: w.lo, Hi: w.hi}
		if w.hi < math.MaxInt64 {
			iv.Hi++
		}
		if w.spanned {
			iv = event.Interval{Lo: min(iv.Lo, w.seg.Span.Lo), Hi: max(iv.Hi, w.seg.Span.Hi)}
		}
		w.seg.Span, w.spanned = iv, true
	}
	if d[dirKey].N >= batchRows || len(d[dirKey].Data) >= batchBytes {
		return w.flushDir()
	}
	return nil
}

func (w *segmentWriter) flushRows() error {
	n := len(w.cur.TS)
	if n == 0 {
		return nil
	}
	err := w.rows.write(rowColumns(w.cur), 0, n)
	resetRows(w.cur)
	return err
}

func (w *segmentWriter) flushDir() error {
	n := w.dir1[dirKey].N
	if n == 0 {
		return nil
	}
	err := w.dirs.write(w.dir1, 0, n)
	for _, v := range w.dir1 {
		v.Reset()
	}
	return err
}

// finish makes the segment durable.
func (w *segmentWriter) finish() (Segment, error) {
	err := w.endPartition()
	w.seg.Days = w.days.done()
	if err == nil {
		w.seg.RowFile, err = w.rows.finish(w.seg.RowFile.Name)
	}
	if err == nil {
		w.seg.KeyFile, err = w.dirs.finish(w.seg.KeyFile.Name)
	}
	if err == nil {
		err = syncDir(w.fs, w.dir)
	}
	if err != nil {
		return Segment{}, errors.Join(err, w.abort())
	}
	return w.seg, nil
}

// abort removes what was written, also files that have their names already: no manifest knows them.
func (w *segmentWriter) abort() error {
	err := errors.Join(w.rows.abort(), w.dirs.abort())
	for _, o := range []*outFile{w.rows, w.dirs} {
		if _, e := w.fs.Stat(o.name); e == nil {
			err = errors.Join(err, w.fs.Remove(o.name))
		}
	}
	return err
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("runs: sync %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// inFile is an open run file. batch may be called by several goroutines.
type inFile struct {
	f     vfs.File
	r     *checkedReader
	types []vector.Type
	name  string
}

// Lost reports whether a file is not in dir, has another size, or is of another version of the format.
func (f File) Lost(fs vfs.FS, dir string) (bool, error) {
	info, err := fs.Stat(fs.PathJoin(dir, f.Name))
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	}
	return f.Content == 0 || info.Size() != f.Bytes, nil
}

func openFile(fs vfs.FS, dir string, want File, types []vector.Type) (*inFile, error) {
	f, err := fs.Open(fs.PathJoin(dir, want.Name))
	if err != nil {
		return nil, fmt.Errorf("runs: open %s: %w", want.Name, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() != want.Bytes {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", ErrCorrupt, want.Name, st.Size(), want.Bytes)
	}
	in := &inFile{f: f, types: types, name: want.Name}
	if err == nil {
		in.r, err = newCheckedReader(f, want)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return in, nil
}

// reader parses the footer. An Arrow reader serves one goroutine.
func (f *inFile) reader() (*ipc.FileReader, error) {
	r, err := ipc.NewFileReader(io.NewSectionReader(f.r, 0, f.r.size))
	if err != nil {
		return nil, fmt.Errorf("runs: open %s: %w", f.name, err)
	}
	if !r.Schema().Equal(schemaOf(f.types)) {
		return nil, fmt.Errorf("%w: %s has another layout", ErrCorrupt, f.name)
	}
	return r, nil
}

// batch reads batch i.
func (f *inFile) batch(r *ipc.FileReader, i int) ([]*vector.Vector, error) {
	rec, err := r.RecordBatchAt(i)
	if err != nil {
		return nil, fmt.Errorf("runs: read %s, batch %d: %w", f.name, i, err)
	}
	return columnsOf(f.types, rec)
}
