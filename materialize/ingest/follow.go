package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

const (
	// followEvery is how often a follower looks for the next entry, and followQuiet how often when none came for quietAfter.
	followEvery = 3 * time.Millisecond
	followQuiet = 12 * time.Millisecond
	quietAfter  = time.Second
	// applyBytes is about how many bytes of an archive's messages one transaction takes; it takes the rows of one read at least.
	applyBytes = 32 << 20
	// mergeWithin is how long a server waits at most before it merges a segment: another one may have done it then.
	mergeWithin = 2 * time.Second
	// mergeLater is for how long a server that is behind does not merge: it would read every entry twice, at the same time.
	mergeLater = time.Minute
)

// ErrNoArchiveRoot: the server has no folder that archives are below.
var ErrNoArchiveRoot = errors.New("the server has no folder for archives")

// ArchiveError is an error of an archive: of its folder, its files or what is in them.
type ArchiveError struct {
	Name string
	Err  error
}

func (e *ArchiveError) Error() string {
	err := e.Err
	var path *fs.PathError
	var link *os.LinkError
	switch { // without the path
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	why := strings.TrimPrefix(err.Error(), "archive: ")
	switch {
	case e.Full():
		why = "its disk is full"
	case errors.Is(err, syscall.EROFS):
		why = "its folder is on a file system that is mounted read-only"
	case errors.Is(err, fs.ErrPermission):
		why = "the server may not write, or not read, what is in its folder"
	case errors.Is(err, archive.ErrNone):
		why = "it is not in its folder, or the folder is not there"
	case errors.Is(err, fs.ErrNotExist):
		why = "the folder that it is in is not there"
	}
	return fmt.Sprintf("archive %q: %s", e.Name, why)
}

// Full reports whether there was no room for what was to be written.
func (e *ArchiveError) Full() bool {
	return errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT)
}

func (e *ArchiveError) Unwrap() error { return e.Err }

// MakeArchive makes the archive of a new source, or joins the one that is there, whose document it gives: its start is then the source's. made: it
// was not there. Errors: ErrNoArchiveRoot, *ArchiveError, of which *archive.Differs.
func (in *Ingest) MakeArchive(r *schema.Relation, facts []archive.Fact) (doc archive.Doc, made bool, err error) {
	if in.cfg.ArchiveRoot == "" {
		return doc, false, ErrNoArchiveRoot
	}
	doc, made, err = archive.Create(vfs.Default, filepath.Join(in.cfg.ArchiveRoot, r.Kafka.Archive), facts, r.Kafka.Start)
	if err != nil {
		err = &ArchiveError{r.Kafka.Archive, err}
	}
	return doc, made, err
}

// follower applies the entries of a source's archive, in their order, to the log of record, and lets a collector add to it.
type follower struct {
	*consumer
	added chan struct{} // the collector has added an entry

	// What follows belongs to read.
	arch      *archive.Archive
	collector *collector
	entries   *archive.Sequence
	reader    *archive.Reader // of entries that are not read to their end; nil: none
	after     uint64          // the newest entry that was read to its end
	next      []int64         // by partition, the first offset that was not read
	merges    chan struct{}   // segments may be complete
	unmerged  time.Time       // since when they may be, and merges was not told; zero: it was
}

func newFollower(c *consumer) *follower {
	return &follower{consumer: c, added: make(chan struct{}, 1)}
}

func (f *follower) failed(err error) error {
	if err == nil || errors.As(err, new(*ArchiveError)) {
		return err
	}
	return &ArchiveError{f.kafka.Archive, err}
}

// read applies entries from where the log is until something fails. What the collector fails at does not end it.
func (f *follower) read(ctx context.Context) error {
	r := f.cfg.Catalog.Current().Relations[f.id]
	if r == nil {
		return errGone
	}
	if f.cfg.ArchiveRoot == "" {
		return &ArchiveError{f.kafka.Archive, ErrNoArchiveRoot}
	}
	var err error
	if f.state, err = streams.Load(f.cfg.Log, reclog.SourceID(f.id)); err != nil {
		return err
	}
	if f.arch, err = archive.Open(vfs.Default, filepath.Join(f.cfg.ArchiveRoot, f.kafka.Archive), f.kafka.ArchiveID, ArchiveColumns(r)); err != nil {
		return f.failed(err)
	}
	end, err := f.arch.End()
	if err == nil && end.Entry < f.state.Entry {
		err = fmt.Errorf("%w: it ends with %d, and %d was read", archive.ErrBehind, end.Entry, f.state.Entry)
	}
	if err != nil {
		return f.failed(err)
	}
	f.last, f.marked, f.after, f.next, f.reader, f.merges = nil, streams.NoEvent, f.state.Entry, nil, nil, make(chan struct{}, 1)
	f.entries, f.unmerged = f.arch.From(f.after), f.cfg.Clock()
	f.grow(end.Next)
	f.showEnd(end.Entry)
	f.status.state(StateRunning, "", f.cfg.Clock())
	running, cancel := context.WithCancel(ctx)
	f.collector = newCollector(f, r, end)
	collected, merged := make(chan struct{}), make(chan struct{})
	go func() { defer close(collected); f.collector.keepRunning(running) }()
	go func() { defer close(merged); f.keepMerging(running) }()
	defer func() {
		cancel()
		<-collected
		<-merged
		if f.reader != nil {
			f.reader.Close()
		}
		f.entries.Close()
	}()
	return f.apply(ctx)
}

// apply applies what is there and what comes.
func (f *follower) apply(ctx context.Context) error {
	came, ticked := f.cfg.Clock(), f.cfg.Clock()
	for ctx.Err() == nil {
		records, failure := f.gather(ctx)
		now := f.cfg.Clock()
		if len(records) > 0 || now.Sub(ticked) >= tick { // partitions become idle, too
			if now.Sub(ticked) >= tick && len(records) == 0 {
				if err := f.arch.Check(); err != nil {
					return f.failed(err)
				}
			}
			if err := f.take(ctx, &load{records: records}); err != nil {
				return err
			}
			ticked = now
		}
		if failure != nil {
			return f.failed(failure)
		}
		if len(records) > 0 {
			came = now
			continue
		}
		every := followEvery
		if now.Sub(came) > quietAfter {
			every = followQuiet
		}
		select {
		case <-f.added:
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// gather reads messages that are not applied, as many as one transaction takes; none: there are none yet. What it read before an error it gives, too.
func (f *follower) gather(ctx context.Context) (out []message, err error) {
	r := f.cfg.Catalog.Current().Relations[f.id]
	if r == nil {
		return nil, errGone
	}
	bytes := 0
	for len(out) < batchMessages && bytes < applyBytes {
		if f.reader == nil {
			if f.reader, err = f.entries.Next(ctx); err != nil || f.reader == nil {
				f.askToMerge(err == nil)
				return out, err
			}
			for _, c := range f.reader.Covers() {
				if int(c.Partition) < len(f.next) && c.From > f.next[c.Partition] {
					return out, fmt.Errorf("%w: entry %d begins with offset %d of partition %d, and %d is the next one", archive.ErrCorrupt, f.after+1, c.From, c.Partition, f.next[c.Partition])
				}
			}
			f.grow(f.reader.Position().Next)
		}
		rows, err := f.reader.Read(ctx)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, fmt.Errorf("entry %d: %w", f.after+1, err)
		}
		if rows != nil {
			messages, err := ofEntry(rows, len(r.Columns), len(r.Stored()))
			if err != nil {
				return out, fmt.Errorf("entry %d: %w", f.after+1, err)
			}
			for _, m := range messages {
				if int(m.Partition) >= len(f.next) {
					return out, fmt.Errorf("%w: entry %d has a message of partition %d, which it does not cover", archive.ErrCorrupt, f.after+1, m.Partition)
				}
				if m.Offset < f.next[m.Partition] { // the log has it: of a run, or of an entry of which it has a part
					continue
				}
				f.next[m.Partition] = m.Offset + 1
				out = append(out, m)
				bytes += len(m.Key) + len(m.Value) + len(m.headers) + recordBytes
			}
		}
		if f.reader.More() {
			continue
		}
		p := f.reader.Position()
		f.reader.Close()
		before := f.after
		f.reader, f.after = nil, p.Entry
		if n := len(out); n > 0 {
			out[n-1].entry = p.Entry
		}
		f.collector.advance(p)
		f.showEnd(p.Entry)
		if p.Entry/f.arch.Doc.Segment > before/f.arch.Doc.Segment {
			if f.unmerged.IsZero() {
				f.unmerged = f.cfg.Clock()
			}
			f.askToMerge(false)
		}
	}
	return out, nil
}

// askToMerge lets segments be merged that may be complete: at once where all entries are read, else after a while.
func (f *follower) askToMerge(all bool) {
	if !f.unmerged.IsZero() && (all || f.cfg.Clock().Sub(f.unmerged) >= mergeLater) {
		f.unmerged = time.Time{}
		signal(f.merges)
	}
}

// grow makes room for the partitions of an archive's position.
func (f *follower) grow(next []int64) {
	now := f.cfg.Clock()
	s := f.state.Clone()
	for p := len(f.last); p < len(next); p++ {
		if p >= len(s.Partitions) {
			o := int64(0)
			if p < len(f.arch.Doc.Start) {
				o = f.arch.Doc.Start[p]
			}
			s.Partitions = append(s.Partitions, streams.Partition{Next: o, Newest: streams.NoEvent})
		}
		f.last = append(f.last, now)
		f.next = append(f.next, s.Partitions[p].Next)
	}
	f.state = s
	f.status.set(func(st *Status) {
		for p := range s.Partitions {
			e := st.partition(p)
			e.Next, e.Newest = s.Partitions[p].Next, s.Partitions[p].Newest
		}
	})
}

// showEnd notes that an entry is there.
func (f *follower) showEnd(entry uint64) {
	f.status.set(func(s *Status) { s.ArchiveEnd = max(s.ArchiveEnd, entry) })
}

// keepMerging merges segments that are complete. That it cannot shows in the log: nothing depends on it.
func (f *follower) keepMerging(ctx context.Context) {
	for {
		select {
		case <-f.merges:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(rand.N(mergeWithin)):
		case <-ctx.Done():
			return
		}
		end, err := f.arch.End()
		if err == nil {
			err = f.arch.Merge(ctx, end.Entry)
		}
		if err != nil && ctx.Err() == nil {
			f.cfg.Logger.Warn("merging the entries of an archive", "source", f.name, "error", f.failed(err))
		}
	}
}
