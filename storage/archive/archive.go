package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Version is that of the bytes of an archive.
const Version = 1

// DefaultSegment is how many entries are merged into one run.
const DefaultSegment = 1024

// The names in an archive's folder.
const (
	docName    = "archive.json"
	entriesDir = "entries"
	runsDir    = "runs"
	newDir     = "new"
	suffix     = ".parquet"
)

// sweepAfter is how old a file must be that was never linked to be deleted.
const sweepAfter = 24 * time.Hour

// Errors.
var (
	// ErrNone: the folder is not an archive's.
	ErrNone = errors.New("archive: there is no archive")
	// ErrOther: the folder is another archive's than before.
	ErrOther = errors.New("archive: it was made anew")
	// ErrBehind: the archive has less than what was read of it before.
	ErrBehind = errors.New("archive: it has lost entries")
)

// Fact is something that all servers of an archive agree on.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Doc is what archive.json says.
type Doc struct {
	Version int     `json:"version"`
	ID      string  `json:"id"` // 32 hexadecimal digits
	Segment uint64  `json:"segment"`
	Facts   []Fact  `json:"facts"`
	Start   []int64 `json:"start"` // the archive's end before its first entry, by partition
}

// Differs says what a server takes for another fact than the archive does.
type Differs struct{ Name, Archive, Server string }

func (d *Differs) Error() string {
	return fmt.Sprintf("archive: %s is %q there, not %q", d.Name, d.Archive, d.Server)
}

// Position is a place between two entries. The zero one of a Doc's Start is before the first.
type Position struct {
	Entry uint64  // the last one before; 0: none
	Next  []int64 // by partition, the first offset that no entry up to there covers
}

// Of is the end of a partition: 0 of one that came later than the archive and has no entries.
func (p Position) Of(partition int32) int64 {
	if int(partition) < len(p.Next) {
		return p.Next[partition]
	}
	return 0
}

// Archive is an open archive. It is safe for concurrent use by any number of goroutines and processes.
type Archive struct {
	Doc     Doc
	fs      vfs.FS
	dir     string
	columns []Column
	settled atomic.Uint64 // entries up to here are known to be on disk in the folder
}

// Create makes an archive in the folder dir, whose parent must be there, or reads the one that is: doc is its document then, but for what
// the facts say. Errors: *Differs, a version that is not known, those of files.
func Create(fsys vfs.FS, dir string, facts []Fact, start []int64) (doc Doc, made bool, err error) {
	return create(fsys, dir, facts, start, DefaultSegment)
}

func create(fsys vfs.FS, dir string, facts []Fact, start []int64, segment uint64) (doc Doc, made bool, err error) {
	for _, d := range []string{dir, path.Join(dir, entriesDir), path.Join(dir, runsDir), path.Join(dir, newDir)} {
		if err := makeDir(fsys, d); err != nil {
			return doc, false, err
		}
	}
	doc = Doc{Version: Version, ID: random(), Segment: segment, Facts: facts, Start: start}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return doc, false, err
	}
	made, err = link(fsys, dir, path.Join(dir, docName), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return doc, false, err
	}
	if doc, err = readDoc(fsys, dir); err != nil {
		return doc, false, err
	}
	return doc, made, doc.compare(facts)
}

// compare compares facts, of which either side may have more.
func (d *Doc) compare(facts []Fact) error {
	here := map[string]string{}
	for _, f := range facts {
		here[f.Name] = f.Value
	}
	for _, f := range d.Facts {
		if f.Value != here[f.Name] {
			return &Differs{f.Name, f.Value, here[f.Name]}
		}
		delete(here, f.Name)
	}
	for _, f := range facts {
		if v, left := here[f.Name]; left && v != "" {
			return &Differs{f.Name, "", v}
		}
	}
	return nil
}

func readDoc(fsys vfs.FS, dir string) (doc Doc, err error) {
	b, err := readFile(fsys, path.Join(dir, docName))
	if errors.Is(err, fs.ErrNotExist) {
		return doc, ErrNone
	}
	if err != nil {
		return doc, err
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return doc, fmt.Errorf("%w: %s: %w", ErrCorrupt, docName, err)
	}
	if doc.Version != Version {
		return doc, fmt.Errorf("archive: its version is %d, and only %d is known", doc.Version, Version)
	}
	if doc.Segment == 0 {
		return doc, fmt.Errorf("%w: %s has no segments", ErrCorrupt, docName)
	}
	return doc, nil
}

// Open opens the archive in a folder, whose files have the columns. It deletes what crashes left. Errors: ErrNone; ErrOther where its id is another.
func Open(fsys vfs.FS, dir, id string, columns []Column) (*Archive, error) {
	a := &Archive{fs: fsys, dir: dir, columns: columns}
	doc, err := readDoc(fsys, dir)
	if err != nil {
		return nil, err
	}
	if doc.ID != id {
		return nil, ErrOther
	}
	a.Doc = doc
	return a, a.sweep()
}

// Check looks whether the folder is still there, and the archive's. Errors: ErrNone, ErrOther, those of files.
func (a *Archive) Check() error {
	doc, err := readDoc(a.fs, a.dir)
	if err == nil && doc.ID != a.Doc.ID {
		err = ErrOther
	}
	return err
}

// sweep deletes files that were never linked, and void entries.
func (a *Archive) sweep() error {
	names, err := a.fs.List(path.Join(a.dir, newDir))
	if err != nil {
		return err
	}
	for _, n := range names {
		at := path.Join(a.dir, newDir, n)
		if st, err := a.fs.Stat(at); err == nil && !st.ModTime().IsZero() && time.Since(st.ModTime()) > sweepAfter {
			_ = a.fs.Remove(at) // another server may have
		}
	}
	entries, runs, err := a.list()
	if err != nil {
		return err
	}
	for _, n := range entries {
		if _, merged := slices.BinarySearch(runs, a.segment(n)); merged {
			_ = a.fs.Remove(a.entry(n))
		}
	}
	return nil
}

// segment is the number of an entry's segment, from 1.
func (a *Archive) segment(entry uint64) uint64 { return (entry-1)/a.Doc.Segment + 1 }

func (a *Archive) entry(n uint64) string {
	return path.Join(a.dir, entriesDir, fmt.Sprintf("%012d%s", n, suffix))
}

func (a *Archive) run(segment uint64) string {
	return path.Join(a.dir, runsDir, fmt.Sprintf("%012d%s", segment, suffix))
}

// list are the numbers of the entries and, read after them, of the runs, ascending.
func (a *Archive) list() (entries, runs []uint64, err error) {
	for _, l := range []struct {
		dir string
		to  *[]uint64
	}{{entriesDir, &entries}, {runsDir, &runs}} {
		names, err := a.fs.List(path.Join(a.dir, l.dir))
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNone
		}
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			number, ok := strings.CutSuffix(n, suffix)
			if x, err := strconv.ParseUint(number, 10, 64); ok && err == nil && x > 0 {
				*l.to = append(*l.to, x)
			}
		}
		slices.Sort(*l.to)
	}
	return entries, runs, nil
}

// End is the archive's end.
func (a *Archive) End() (Position, error) {
	for {
		entries, runs, err := a.list()
		if err != nil {
			return Position{}, err
		}
		var last uint64
		if len(runs) > 0 {
			last = runs[len(runs)-1] * a.Doc.Segment
		}
		if n := len(entries); n > 0 && entries[n-1] > last {
			last = entries[n-1]
		}
		if last == 0 {
			return Position{Next: slices.Clone(a.Doc.Start)}, nil
		}
		if p, ok, err := a.After(Position{Entry: last - 1}); ok || err != nil {
			return p, err
		} // it was merged between: there is a run by now
	}
}

// After is the position after the entry that follows at, or after the run that has it; false: there is none yet. What it says is on disk.
func (a *Archive) After(at Position) (Position, bool, error) {
	r, err := a.Next(at.Entry)
	if r == nil || err != nil {
		return at, false, err
	}
	defer r.Close()
	return r.Position(), true, nil
}

// Add adds an entry after at: rows, in the order of their offsets by partition, and what they cover, which begins for each
// partition at its end. False: another entry has the number, and the caller looks with After what it covers. The
// position is that after the entry. Errors: of files; whether there is an entry then is for After to say.
func (a *Archive) Add(at Position, covers []Range, rows *vector.Chunk) (Position, bool, error) {
	next := Position{Entry: at.Entry + 1, Next: slices.Clone(at.Next)}
	for _, r := range covers {
		if r.From != at.Of(r.Partition) || r.To <= r.From {
			return at, false, fmt.Errorf("%w: entry %d cannot cover offsets %d to %d of partition %d: it is at %d", ErrBehind, next.Entry, r.From, r.To, r.Partition, at.Of(r.Partition))
		}
		for len(next.Next) <= int(r.Partition) {
			next.Next = append(next.Next, 0)
		}
		next.Next[r.Partition] = r.To
	}
	b, err := encodeEntry(a.columns, about{archive: a.Doc.ID, first: next.Entry, last: next.Entry, covers: covers, next: next.Next}, rows)
	if err != nil {
		return at, false, err
	}
	made, err := link(a.fs, a.dir, a.entry(next.Entry), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil || !made {
		return at, false, err
	}
	void, err := a.has(a.run(a.segment(next.Entry)))
	if err != nil {
		return at, false, err
	}
	if void {
		_ = a.fs.Remove(a.entry(next.Entry)) // what is left of it nobody counts
		return at, false, nil
	}
	a.settle(next.Entry)
	return next, true, nil
}

func (a *Archive) settle(entry uint64) {
	for have := a.settled.Load(); have < entry && !a.settled.CompareAndSwap(have, entry); have = a.settled.Load() {
	}
}

func (a *Archive) has(name string) (bool, error) {
	_, err := a.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Reader reads an entry, or the entries of a run from its first on.
type Reader struct {
	f     *fileReader
	c     io.Closer
	ready []*vector.Chunk // rows that were read and not given
}

// Next opens the entry after one, or the run that has it, whose entries up to after are then in it, too; nil: there is none
// yet. Errors: wrapping ErrCorrupt; those of files.
func (a *Archive) Next(after uint64) (*Reader, error) {
	n := after + 1
	name, runName := a.entry(n), a.run(a.segment(n))
	b, err := readFile(a.fs, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	there := err == nil
	merged, err := a.has(runName) // after the entry was looked for: a run is there before its entries go, and before an entry is void
	switch {
	case err != nil:
		return nil, err
	case merged:
		return a.openRun(runName, n)
	case !there:
		return nil, nil
	}
	f, err := openFile(inMemory(b), a.columns)
	if err == nil {
		err = f.is(a, n, n)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", n, err)
	}
	if a.settled.Load() < n {
		if err := syncDir(a.fs, path.Join(a.dir, entriesDir)); err != nil {
			return nil, err
		}
		a.settle(n)
	}
	return &Reader{f: f}, nil
}

func (a *Archive) openRun(name string, n uint64) (*Reader, error) {
	last := a.segment(n) * a.Doc.Segment
	if a.settled.Load() < last {
		if err := syncDir(a.fs, path.Join(a.dir, runsDir)); err != nil {
			return nil, err
		}
	}
	of, err := a.fs.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := of.Stat()
	if err != nil {
		return nil, errors.Join(err, of.Close())
	}
	f, err := openFile(io.NewSectionReader(of, 0, st.Size()), a.columns)
	if err == nil {
		err = f.is(a, last-a.Doc.Segment+1, last)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run %d: %w", a.segment(n), err), of.Close())
	}
	a.settle(last)
	return &Reader{f: f, c: of}, nil
}

func (f *fileReader) is(a *Archive, first, last uint64) error {
	switch {
	case f.archive != a.Doc.ID:
		return fmt.Errorf("%w: it is of another archive", ErrCorrupt)
	case f.first != first || f.last != last:
		return fmt.Errorf("%w: it says to be entries %d to %d", ErrCorrupt, f.first, f.last)
	}
	return nil
}

// Position is that after the reader's last entry.
func (r *Reader) Position() Position { return Position{Entry: r.f.last, Next: r.f.next} }

// Covers is what the reader's messages are.
func (r *Reader) Covers() []Range { return r.f.covers }

// Read is the next rows, which are the caller's; io.EOF: there are no more.
func (r *Reader) Read(ctx context.Context) (*vector.Chunk, error) {
	if len(r.ready) > 0 {
		rows := r.ready[0]
		r.ready = r.ready[1:]
		return rows, nil
	}
	return r.f.read(ctx)
}

// More reports whether there are rows that were not given.
func (r *Reader) More() bool { return len(r.ready) > 0 || r.f.group < r.f.r.NumRowGroups() }

// Close closes the reader.
func (r *Reader) Close() {
	if r.c != nil {
		_ = r.c.Close() // it was read
	}
}

// Merge merges the complete segments of the entries up to through that are not merged, and deletes their entries.
func (a *Archive) Merge(ctx context.Context, through uint64) error {
	_, runs, err := a.list()
	if err != nil {
		return err
	}
	for segment := uint64(1); segment*a.Doc.Segment <= through; segment++ {
		if _, done := slices.BinarySearch(runs, segment); done {
			continue
		}
		if done, err := a.has(a.run(segment)); err != nil {
			return err
		} else if done { // by another server meanwhile
			continue
		}
		if err := a.merge(ctx, segment); err != nil {
			return err
		}
	}
	return a.sweep()
}
