package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// The keys of what a file says of itself, in its key-value metadata.
const (
	metaArchive = "tilehouse.archive" // the archive's id
	metaEntries = "tilehouse.entries" // [first, last]
	metaCovers  = "tilehouse.covers"  // [[partition, from, to], …]: what the file's messages are, to exclusive
	metaNext    = "tilehouse.next"    // [offset, …] by partition: the archive's end after the last entry
)

// groupRows and groupBytes are about how many rows, and bytes of their values, a row group has.
const (
	groupRows  = 16 << 10
	groupBytes = 16 << 20
)

// Range is offsets of a partition, To exclusive.
type Range struct {
	Partition int32
	From, To  int64
}

// about is what a file says of itself.
type about struct {
	archive     string
	first, last uint64
	covers      []Range
	next        []int64
}

// fileWriter writes a file of entries. What it writes follows from what it is given alone.
type fileWriter struct {
	schema *arrow.Schema
	out    *sealer
	w      *pqarrow.FileWriter
}

func newFileWriter(to io.Writer, columns []Column, codec compress.Compression, dictionary bool) (*fileWriter, error) {
	schema := arrowSchema(columns)
	props := parquet.NewWriterProperties(parquet.WithCompression(codec), parquet.WithDictionaryDefault(dictionary), parquet.WithMaxRowGroupLength(1<<40), parquet.WithCreatedBy("tilehouse"))
	out := &sealer{to: to}
	w, err := pqarrow.NewFileWriter(schema, out, props, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	return &fileWriter{schema: schema, out: out, w: w}, err
}

// group writes rows as a row group.
func (f *fileWriter) group(rows *vector.Chunk) error {
	rec := record(f.schema, rows)
	defer rec.Release()
	f.w.NewBufferedRowGroup()
	return f.w.WriteBuffered(rec)
}

// finish writes what the file says of itself, and its end.
func (f *fileWriter) finish(a about) error {
	covers := make([][3]int64, len(a.covers))
	for i, r := range a.covers {
		covers[i] = [3]int64{int64(r.Partition), r.From, r.To}
	}
	for _, m := range []struct {
		key   string
		value any
	}{{metaEntries, [2]uint64{a.first, a.last}}, {metaCovers, covers}, {metaNext, a.next}} {
		b, err := json.Marshal(m.value)
		if err != nil {
			return err
		}
		if err := f.w.AppendKeyValueMetadata(m.key, string(b)); err != nil {
			return err
		}
	}
	if err := f.w.AppendKeyValueMetadata(metaArchive, a.archive); err != nil {
		return err
	}
	f.out.hold() // the last row group is written now, and the footer
	if err := f.w.Close(); err != nil {
		return err
	}
	return f.out.end()
}

// fileReader reads a file of entries.
type fileReader struct {
	about
	columns []Column
	r       *file.Reader
	a       *pqarrow.FileReader
	group   int // the next one
}

// openFile reads what a file says of itself, if its bytes have its sum. Errors: wrapping ErrCorrupt; those of reading.
func openFile(from *io.SectionReader, columns []Column) (f *fileReader, err error) {
	defer corrupt(&err)
	if err := sealed(from, from.Size()); err != nil {
		return nil, err
	}
	r, err := file.NewParquetReader(from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	f = &fileReader{columns: columns, r: r}
	meta := r.MetaData().KeyValueMetadata()
	read := func(key string, to any) error {
		v := meta.FindValue(key)
		if v == nil {
			return fmt.Errorf("%w: it does not say %s", ErrCorrupt, key)
		}
		if err := json.Unmarshal([]byte(*v), to); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrCorrupt, key, err)
		}
		return nil
	}
	var entries [2]uint64
	var covers [][3]int64
	if err := read(metaEntries, &entries); err != nil {
		return nil, err
	}
	if err := read(metaCovers, &covers); err != nil {
		return nil, err
	}
	if err := read(metaNext, &f.next); err != nil {
		return nil, err
	}
	if v := meta.FindValue(metaArchive); v != nil {
		f.archive = *v
	}
	f.first, f.last = entries[0], entries[1]
	for _, c := range covers {
		f.covers = append(f.covers, Range{int32(c[0]), c[1], c[2]})
	}
	return f, nil
}

// corrupt makes an error of what the library says of bad bytes by a panic.
func corrupt(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, p)
	}
}

// read is the next row group's rows, io.EOF after the last one.
func (f *fileReader) read(ctx context.Context) (_ *vector.Chunk, err error) {
	defer corrupt(&err)
	if f.a == nil {
		if f.a, err = pqarrow.NewFileReader(f.r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	if f.group == f.r.NumRowGroups() {
		return nil, io.EOF
	}
	leaves := make([]int, f.r.MetaData().Schema.NumColumns())
	for i := range leaves {
		leaves[i] = i
	}
	table, err := f.a.ReadRowGroups(ctx, leaves, []int{f.group})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer table.Release()
	f.group++
	if int(table.NumCols()) != len(f.columns) {
		return nil, fmt.Errorf("%w: it has %d columns, not %d", ErrCorrupt, table.NumCols(), len(f.columns))
	}
	types := make([]vector.Type, len(f.columns))
	for i, c := range f.columns {
		types[i] = c.Type
	}
	out := vector.NewChunk(types, int(table.NumRows()))
	for i, v := range out.Cols {
		if name := table.Column(i).Name(); name != f.columns[i].Name {
			return nil, fmt.Errorf("%w: column %d is %q, not %q", ErrCorrupt, i+1, name, f.columns[i].Name)
		}
		for _, part := range table.Column(i).Data().Chunks() {
			if err := appendArray(v, part, 0, part.Len()); err != nil {
				return nil, err
			}
		}
		if v.N != int(table.NumRows()) {
			return nil, fmt.Errorf("%w: column %q has %d values, not %d", ErrCorrupt, f.columns[i].Name, v.N, table.NumRows())
		}
	}
	out.N = int(table.NumRows())
	return out, nil
}

// inMemory is a file's bytes.
func inMemory(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// encodeEntry is the file of an entry.
func encodeEntry(columns []Column, a about, rows *vector.Chunk) ([]byte, error) {
	var b bytes.Buffer
	w, err := newFileWriter(&b, columns, compress.Codecs.Snappy, false)
	if err != nil {
		return nil, err
	}
	for from := 0; from < rows.N; from += groupRows {
		part := rows
		if rows.N > groupRows {
			part = vector.NewChunk(rows.Types(), groupRows)
			part.AppendRange(rows, from, min(from+groupRows, rows.N))
		}
		if err := w.group(part); err != nil {
			return nil, err
		}
	}
	if err := w.finish(a); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// merged is what a run says of itself that is made of entries which are added one by one.
func (a *about) merge(next *about) {
	if a.last == 0 {
		*a = about{archive: next.archive, first: next.first, last: next.last, covers: slices.Clone(next.covers), next: next.next}
		return
	}
	a.last, a.next = next.last, next.next
	for _, r := range next.covers {
		i := slices.IndexFunc(a.covers, func(have Range) bool { return have.Partition == r.Partition })
		if i < 0 {
			a.covers = append(a.covers, r)
		} else {
			a.covers[i].To = r.To
		}
	}
}
