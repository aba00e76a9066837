package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/storage/event"
)

// chunkBytes is how much encoded data a Builder holds before it ingests it.
const chunkBytes = 32 << 20

// BuildFiles says where Builders write their sstables. They are moved into the database, so Dir must be a directory on its
// volume. FS may be another than the database's as long as it is the same disk's. A file is synced before it is moved; what a crash leaves
// in Dir is nobody's.
type BuildFiles struct {
	FS     vfs.FS
	Dir    string
	Writer sstable.WriterOptions // comparer, filter and compression as the database's; TableFormat is set by the Builder
}

// Builder loads a group in bulk. It is used by one goroutine. Nobody may read or write the group until Finish.
type Builder struct {
	s     *Store
	g     *Group
	files BuildFiles
	f     *folder
	meta  groupMeta
	rows  int64
	keys  int64
	kinds [3][]pair // records, nodes, days
	bytes int
	buf   []byte
	pos   uint64
	err   error
}

type pair struct{ key, val []byte }

// Build starts a bulk load, after dropping whatever the prefix has: what an abandoned Builder left, for one. Days up to
// settledThrough, inclusive, are entered as settled, and rows out of retention are pruned at once; NotSettled: none are.
func (s *Store) Build(g *Group, settledThrough int64) (*Builder, error) {
	if s.o.BuildFiles.FS == nil {
		return nil, errors.New("tiles: no place for the files of a build")
	}
	if err := s.Drop(g.Prefix); err != nil {
		return nil, err
	}
	settledThrough = min(max(settledThrough, noDay), 1<<31-2)
	return &Builder{s: s, g: g, files: s.o.BuildFiles, f: newFolder(g),
		meta: groupMeta{settled: settledThrough, publishing: settledThrough, horizon: s.horizonOf(g, settledThrough)}}, nil
}

// SetPosition says at which position the rows are; the default is 0. It is recorded by Finish.
func (b *Builder) SetPosition(pos uint64) { b.pos = pos }

// Abort gives up and drops what was loaded. After Finish it does nothing.
func (b *Builder) Abort() error {
	if errors.Is(b.err, errFinished) {
		return nil
	}
	b.err = errFinished
	b.kinds = [3][]pair{}
	return b.s.Drop(b.g.Prefix)
}

var errFinished = errors.New("tiles: builder is finished")

// NotSettled is a day before all days: the settledThrough of a group of which no day is settled.
const NotSettled = noDay

// AddKey loads all rows from ≤ i < to of one key. Each key is given once, in any order; rows are sorted; rows.Key is not read.
func (b *Builder) AddKey(key []byte, rows *event.Rows, from, to int) error {
	if b.err != nil {
		return b.err
	}
	b.err = b.add(key, b.f.rows(rows), from, to)
	if b.err == nil && b.bytes >= chunkBytes {
		b.err = b.flush()
	}
	return b.err
}

func (b *Builder) add(key []byte, rows *batchRows, from, to int) error {
	days := b.s.o.Days
	most := math.MaxInt64/days.Length() - 1 // days whose ends are times
	for i := from; i < to; i++ {
		if d := days.Of(rows.TS[i]); d <= -most || d >= most {
			return fmt.Errorf("%w: %d", ErrRange, rows.TS[i])
		}
		if i > from && event.Compare(rows.Rows, i-1, rows.Rows, i) > 0 { // elements of one row's list are equal
			return fmt.Errorf("tiles: rows of key %x are not in order", key)
		}
	}
	rec, err := b.s.plant(b.f, &b.meta, rows, from, to, func(day, rows int64) error {
		b.rows += rows
		b.put(2, appendDayKey(nil, b.g.Prefix, day, key), nil)
		return nil
	}, func(day int64, level int, bucket int64, n *node) error {
		b.buf = appendNode(b.buf[:0], n, b.s.bucketStart(day, level, bucket))
		b.put(1, appendNodeKey(nil, b.g.Prefix, key, day, level, bucket), b.buf)
		return nil
	})
	if err != nil || rec == nil {
		return err
	}
	b.keys++
	b.buf = appendRecord(b.buf[:0], rec)
	b.put(0, appendRecordKey(nil, b.g.Prefix, key), b.buf)
	return nil
}

// plant makes the record and the trees of a key of which there is nothing yet; nil where no row is kept. Days that have a tree go
// to index, with their rows, and nodes that the record does not hold to out.
func (s *Store) plant(f *folder, m *groupMeta, rows *batchRows, from, to int, index func(day, rows int64) error, out sink) (*record, error) {
	days := s.o.Days
	rec := &record{days: newDays(f.g, 8, 256)}
	pruned := span{rows, from, from}
	for pruned.to < to && days.Of(rows.TS[pruned.to]) < m.horizon {
		pruned.to++
	}
	for from = pruned.to; f.g.Lifetime && !pruned.empty(); {
		era := f.g.era(rows.TS[pruned.from])
		own := pruned.era(f.g, era)
		pruned.from = own.to
		var err error
		rec.life, err = rec.life.put(f, era, event.Interval{Lo: rows.TS[own.from], Hi: rows.TS[own.to-1]}, func(to *table) (bool, error) {
			f.fold(to, rows, own.from, own.to)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := from; i < to; {
		day := days.Of(rows.TS[i])
		end := i + 1
		for end < to && days.Of(rows.TS[end]) == day {
			end++
		}
		settled := day <= m.settled
		var pack []byte
		_, err := s.grow(f, rows, i, end, day, 0, 0, func(day int64, level int, bucket int64, n *node) error {
			if level == 0 {
				if pack = s.inline(n, days.Start(day)); pack != nil {
					return nil
				}
			}
			return out(day, level, bucket, n)
		})
		if err != nil {
			return nil, err
		}
		if err := index(day, int64(end-i)); err != nil {
			return nil, err
		}
		if settled {
			rec.days.open(day, 1)
			f.fold(rec.days, rows, i, end)
			rec.days.push(pack)
		} else {
			rec.days.open(day, 0)
			rec.days.rowsOnly(pack)
		}
		i = end
	}
	if rec.life == nil && rec.days.n() == 0 {
		return nil, nil
	}
	return rec, nil
}

func (b *Builder) put(kind int, key, val []byte) {
	b.kinds[kind] = append(b.kinds[kind], pair{key, bytes.Clone(val)})
	b.bytes += len(key) + len(val) + 64
}

// flush writes what is held, an sstable for each kind of key.
func (b *Builder) flush() error {
	var paths []string
	for k := range b.kinds {
		if len(b.kinds[k]) == 0 {
			continue
		}
		slices.SortFunc(b.kinds[k], func(x, y pair) int { return bytes.Compare(x.key, y.key) })
		path := b.files.FS.PathJoin(b.files.Dir, fmt.Sprintf("tiles-%d-%d.sst", b.g.Prefix, tableNumber.Add(1)))
		paths = append(paths, path)
		if err := b.table(path, b.kinds[k]); err != nil {
			return errors.Join(err, b.remove(paths))
		}
		b.kinds[k] = nil
	}
	b.bytes = 0
	if len(paths) == 0 {
		return nil
	}
	if err := b.s.db.Ingest(context.Background(), paths); err != nil {
		return errors.Join(fmt.Errorf("tiles: ingesting group %d: %w", b.g.Prefix, err), b.remove(paths))
	}
	return nil
}

// tableNumber keeps names of concurrent Builders apart. A name left by a crash is overwritten.
var tableNumber atomic.Uint64

func (b *Builder) table(path string, pairs []pair) error {
	file, err := b.files.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	o := b.files.Writer
	o.TableFormat = b.s.db.TableFormat()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), o)
	for _, p := range pairs {
		if err := w.Set(p.key, p.val); err != nil {
			return errors.Join(fmt.Errorf("tiles: writing %s: %w", path, err), w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("tiles: writing %s: %w", path, err)
	}
	return nil
}

func (b *Builder) remove(paths []string) error {
	var errs []error
	for _, p := range paths {
		if _, err := b.files.FS.Stat(p); err == nil {
			errs = append(errs, b.files.FS.Remove(p))
		}
	}
	return errors.Join(errs...)
}

// Finish loads the rest and makes the group readable, synced.
func (b *Builder) Finish() error {
	if b.err == nil {
		b.err = b.flush()
	}
	if b.err != nil {
		return b.err
	}
	b.err = errFinished
	return b.s.update(pebble.Sync, func(t *txn) error {
		// Whatever the cache knows of the prefix, absences too, is from before the load.
		lo, _ := groupBounds(b.g.Prefix)
		b.s.cache.touchPrefix(lo[:keyHead-1], t.version)
		meta := b.meta
		if err := t.set(appendHead(nil, b.g.Prefix, kindMeta), &meta, 0); err != nil {
			return err
		}
		return t.set(appendHead(nil, b.g.Prefix, kindPosition), &position{pos: b.pos, rows: b.rows, keys: b.keys}, 0)
	})
}

// Rebuild replaces all that the group has of one key by rows from ≤ i < to, sorted: what a key that Broken lists waits for. The
// rows are all of the key's at the group's position, which the caller holds still. It commits, unsynced.
func (s *Store) Rebuild(g *Group, key []byte, rows *event.Rows, from, to int) error {
	f := newFolder(g)
	err := s.update(pebble.NoSync, func(t *txn) error {
		m, err := t.meta(g)
		if err != nil {
			return err
		}
		old, err := t.record(g, key)
		if err != nil {
			return err
		}
		var grown, keys int64
		if old != nil {
			keys--
			for i, day := range old.days.ids {
				w, err := t.tree(f, key, day, old, i)
				if err != nil {
					return err
				}
				root, err := w.need(0, 0)
				if err != nil {
					return err
				}
				grown -= root.count()
				if err := w.harvest(0, 0, nil); err != nil {
					return err
				}
				if _, err := w.place(nil, true); err != nil {
					return err
				}
				if err := t.batch.Delete(appendDayKey(nil, g.Prefix, day, key), nil); err != nil {
					return err
				}
			}
		}
		rec, err := s.plant(f, m, f.rows(rows), from, to, func(day, rows int64) error {
			grown += rows
			return t.set1(appendDayKey(nil, g.Prefix, day, key))
		}, func(day int64, level int, bucket int64, n *node) error {
			return t.set(appendNodeKey(nil, g.Prefix, key, day, level, bucket), n, s.bucketStart(day, level, bucket))
		})
		if err != nil {
			return err
		}
		if rec != nil {
			keys++
			err = t.set(appendRecordKey(nil, g.Prefix, key), rec, 0)
		} else if old != nil {
			err = t.del(appendRecordKey(nil, g.Prefix, key))
		}
		if err = errors.Join(err, t.batch.Delete(appendBrokenKey(nil, g.Prefix, key), nil)); err != nil {
			return err
		}
		return t.count(g, 0, grown, keys)
	})
	if err != nil {
		return fmt.Errorf("tiles: rebuilding key %x of group %d: %w", key, g.Prefix, err)
	}
	return nil
}

// Broken lists at most limit entity keys behind one (nil: from the first on) whose lifetime state waits for Rebuild, ascending: a row was
// deleted that it held and that an aggregate cannot take back. Until then LIFETIME reads of such a key fail with ErrNotRetained.
func (s *Store) Broken(g *Group, after []byte, limit int) (keys [][]byte, err error) {
	lo, hi := kindBounds(g.Prefix, kindBroken)
	if after != nil {
		lo = append(appendBrokenKey(nil, g.Prefix, after), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return nil, fmt.Errorf("tiles: keys to rebuild: %w", err)
	}
	for ok := it.First(); ok && len(keys) < limit; ok = it.Next() {
		keys = append(keys, bytes.Clone(it.Key()[keyHead:]))
	}
	return keys, it.Close()
}
