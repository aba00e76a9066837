package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var testSchema = []vector.Type{vector.T(vector.Int64), vector.T(vector.Text), vector.T(vector.TimestampTZ), vector.DecimalOf(12, 2)}

func mustOpen(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	l, err := Open("db", Options{FS: fs, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rowsOf is a chunk of rows with the primary keys.
func rowsOf(keys ...int64) *vector.Chunk {
	c := vector.NewChunk(testSchema, len(keys))
	for _, k := range keys {
		c.Cols[0].AppendInt(k)
		c.Cols[1].AppendString(fmt.Sprint("row ", k))
		c.Cols[2].AppendInt(1_700_000_000_000_000 + k)
		c.Cols[3].AppendInt128(vector.Int128FromInt64(k * 100))
		c.N++
	}
	return c
}

func insert(s SourceID, keys ...int64) Change {
	return Change{Source: s, Inserts: rowsOf(keys...), Key: []int{0}}
}

// contents is what a log holds of a source by a naive replay of Scan: row id → primary key.
func contents(t testing.TB, l *Log, s SourceID) map[uint64]int64 {
	t.Helper()
	rows, last := map[uint64]int64{}, uint64(0)
	err := l.Scan(context.Background(), s, 0, l.Position(), Schema{Types: testSchema}, func(pos uint64, del []uint64, first uint64, c *vector.Chunk) error {
		if pos < last {
			return fmt.Errorf("position %d after %d", pos, last)
		}
		last = pos
		for _, id := range del {
			if _, ok := rows[id]; !ok {
				return fmt.Errorf("position %d deletes row %d, which is not there", pos, id)
			}
			delete(rows, id)
		}
		if c == nil {
			return nil
		}
		for i := range c.N {
			if _, ok := rows[first+uint64(i)]; ok {
				return fmt.Errorf("row %d came twice", first)
			}
			k := c.Cols[0].I64[i]
			if string(c.Cols[1].Bytes(i)) != fmt.Sprint("row ", k) {
				return fmt.Errorf("row %d has columns of another", first)
			}
			rows[first+uint64(i)] = k
		}
		return nil
	})
	if err != nil {
		t.Fatalf("source %d: %v", s, err)
	}
	return rows
}

// verify holds the indexes of the sources equal to those that a replay of the log gives, and finds anything left over.
func verify(t testing.TB, l *Log, sources ...SourceID) {
	t.Helper()
	keys, bulks := map[string]uint64{}, map[string]bool{}
	for _, s := range sources {
		rows := contents(t, l, s)
		ids := slices.Sorted(maps.Keys(rows))
		c, err := l.Rows(context.Background(), s, ids, Schema{Types: testSchema})
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if c.Cols[0].I64[i] != rows[id] {
				t.Fatalf("source %d, row %d: key %d, the log says %d", s, id, c.Cols[0].I64[i], rows[id])
			}
			keys[string(appendPrimary(nil, s, c, i, []int{0}))] = id
		}
		n := 0
		each(t, l, sourceKey(KeyLive, s), func(k, v []byte) {
			e, err := decodeLive(v)
			if err != nil {
				t.Fatal(err)
			}
			if n += e.n - e.ndead; e.n == e.ndead {
				t.Fatal("an entry of dead rows only")
			}
		})
		if n != len(rows) {
			t.Fatalf("source %d: %d rows indexed of %d", s, n, len(rows))
		}
		each(t, l, append(sourceKey(KeyLog, s), logChanges), func(k, v []byte) {
			ch, err := decodeChange(v)
			if err != nil {
				t.Fatal(err)
			}
			for j := range ch.sizes {
				bulks[string(bulkKey(s, ch.bulk, j))] = true
			}
		})
	}
	n := 0
	each(t, l, []byte{KeyPrimary}, func(k, v []byte) {
		id, _ := binary.Uvarint(v)
		if n++; keys[string(k)] != id {
			t.Fatalf("primary key %x is row %d, the log says %d", k, id, keys[string(k)])
		}
	})
	if n != len(keys) {
		t.Fatalf("%d primary keys of %d", n, len(keys))
	}
	each(t, l, []byte{KeyLog}, func(k, v []byte) {
		if k[5] == logBulk && !bulks[string(k)] {
			t.Fatalf("chunk %x of no change", k)
		}
	})
	each(t, l, []byte{KeyMeta, 's'}, func(k, v []byte) { t.Fatalf("marker %x is left", k) })
	last := int64(-1 << 62)
	for p := uint64(1); p <= l.Position(); p++ {
		at := l.TimeOf(p)
		if at <= last || l.PositionAt(at) != p || l.PositionAt(at-1) != p-1 {
			t.Fatalf("position %d at %d after %d: PositionAt gives %d and %d", p, at, last, l.PositionAt(at), l.PositionAt(at-1))
		}
		last = at
	}
}

func each(t testing.TB, l *Log, prefix []byte, fn func(k, v []byte)) {
	t.Helper()
	end := slices.Clone(prefix)
	end[len(end)-1]++
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: end})
	if err != nil {
		t.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		fn(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

// Random transactions of one goroutine against a map, with conflicts, duplicates, failing Extras, drops and reopens.
func TestRandomAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewMem()
	l := mustOpen(t, fs)
	defer func() { _ = l.Close() }()
	model := map[SourceID]map[int64]uint64{1: {}, 2: {}, 3: {}}
	used := map[SourceID]uint64{}
	for step := range 360 {
		txn, next := &Txn{}, map[SourceID]map[int64]uint64{}
		for s, m := range model {
			next[s] = maps.Clone(m)
		}
		var want error
		for range 1 + r.IntN(3) {
			c := Change{Source: SourceID(1 + r.IntN(3)), Key: []int{0}}
			m := next[c.Source]
			for k, id := range m {
				if r.IntN(len(m)+1) < 3 && id != 0 {
					delete(m, k)
					c.Deletes = append(c.Deletes, id)
				}
			}
			if r.IntN(20) == 0 {
				c.Deletes = append(c.Deletes, []uint64{0, 1 << 63, ^uint64(0), used[c.Source] + 1<<40}[r.IntN(4)])
				want = ErrConflict
			}
			c.Inserts = rowsOf()
			for range []int{0, 1, 1, 2, 40, 3000}[r.IntN(6)] {
				k := int64(r.IntN(20_000))
				if _, ok := m[k]; ok {
					if r.IntN(500) != 0 {
						continue
					}
					if want == nil {
						want = &UniqueError{}
					}
				}
				m[k] = 0 // its id comes with the commit
				c.Inserts.AppendRow(rowsOf(k), 0)
			}
			txn.Changes = append(txn.Changes, c)
		}
		if r.IntN(10) == 0 {
			txn.Extra = func(b *pebble.Batch, pos uint64) error {
				_ = b.Set([]byte{KeyFree, 1}, []byte{1}, nil)
				return errors.New("extra")
			}
			if want == nil {
				want = errors.New("extra")
			}
		}
		before := l.Position()
		got, err := l.Commit(t.Context(), txn)
		if (err != nil) != (want != nil) {
			t.Fatalf("step %d: %v, want %v", step, err, want)
		}
		if err != nil {
			if l.Position() != before {
				t.Fatalf("step %d: a failed commit took a position", step)
			}
		} else {
			if got.Position != before+1 {
				t.Fatalf("step %d: position %d after %d", step, got.Position, before)
			}
			for i, c := range txn.Changes {
				if c.Inserts.N > 0 && got.FirstRowID[i] <= used[c.Source] {
					t.Fatalf("step %d: row id %d again", step, got.FirstRowID[i])
				}
				for j := range c.Inserts.N {
					id := got.FirstRowID[i] + uint64(j)
					if next[c.Source][c.Inserts.Cols[0].I64[j]] == 0 {
						next[c.Source][c.Inserts.Cols[0].I64[j]] = id
					}
					used[c.Source] = max(used[c.Source], id)
				}
			}
			model = next
		}
		if r.IntN(100) == 0 {
			if err := l.DropSource(3); err != nil {
				t.Fatal(err)
			}
			model[3] = map[int64]uint64{}
		}
		if r.IntN(60) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, fs)
		}
		if step%60 == 59 {
			verify(t, l, 1, 2, 3)
			for s, m := range model {
				rows := contents(t, l, s)
				if len(rows) != len(m) {
					t.Fatalf("step %d: source %d has %d rows of %d", step, s, len(rows), len(m))
				}
				for k, id := range m {
					if rows[id] != k {
						t.Fatalf("step %d: source %d, row %d: key %d of %d", step, s, id, rows[id], k)
					}
				}
			}
		}
	}
	each(t, l, []byte{KeyFree}, func(k, v []byte) { t.Fatal("a failed Extra left a trace") })
}

func TestUniqueError(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(7, 41, 42)}}); err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]int64{{1, 42}, {5, 5}} {
		_, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(7, keys...)}})
		var u *UniqueError
		if !errors.As(err, &u) || u.Source != 7 || u.Values[0] != fmt.Sprint(keys[1]) {
			t.Fatalf("%v: %v", keys, err)
		}
	}
	verify(t, l, 7)
}

func TestOpenRefusals(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		dir := "db"
		if name == "disk" {
			dir = t.TempDir()
		}
		l, err := Open(dir, Options{FS: fs, ReserveBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{FS: fs}); !errors.Is(err, ErrInUse) {
			t.Fatalf("%s: in use: %v", name, err)
		}
		if err := l.db.Set(formatKey, []byte{formatVersion + 1}, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{FS: fs}); !errors.Is(err, ErrNewerFormat) {
			t.Fatalf("%s: newer: %v", name, err)
		}
	}
	// A database of a Pebble that is newer than this one: its version marker says so.
	fs := vfs.NewMem()
	if err := mustOpen(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("db/marker.format-version.999999.999", vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open("db", Options{FS: fs}); !errors.Is(err, ErrNewerFormat) {
		t.Fatalf("newer Pebble: %v", err)
	}
}

// A clock that stands, jumps back and forth: times still increase, across reopening too.
func TestClock(t *testing.T) {
	fs, now := vfs.NewMem(), time.UnixMicro(1000)
	for _, at := range []int64{1000, 1000, 500, 5000, -5, 4999, 7000} {
		now = time.UnixMicro(at)
		l, err := Open("db", Options{FS: fs, Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := l.Commit(t.Context(), &Txn{}); err != nil {
				t.Fatal(err)
			}
		}
		verify(t, l)
		if at == 7000 && l.TimeOf(l.Position()) != 7002 {
			t.Fatalf("time %d", l.TimeOf(l.Position()))
		}
		if l.TimeOf(0) != 0 || l.TimeOf(l.Position()+1) != 0 || l.PositionAt(1<<62) != l.Position() {
			t.Fatal("bounds")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

type testApplier func(b *pebble.Batch, changes []Applied) (func(bool), error)

func (testApplier) Schema(SourceID) Schema { return Schema{} }

func (f testApplier) Apply(b *pebble.Batch, c []Applied) (func(bool), error) { return f(b, c) }

// An Applier mirrors live rows into its own keyspace, and refuses some: only the guilty fail, and the mirror stays equal.
func TestApplier(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs)
	defer func() { _ = l.Close() }()
	outcomes := map[bool]int{}
	l.SetApplier(testApplier(func(b *pebble.Batch, changes []Applied) (func(bool), error) {
		last := l.Position()
		for _, c := range changes {
			if c.Position != last+1 {
				return nil, fmt.Errorf("position %d after %d", c.Position, last)
			}
			last = c.Position
			for i, id := range c.DeletedIDs {
				_ = b.Delete(binary.BigEndian.AppendUint64([]byte{KeyFree}, id), nil)
				if c.Deleted.Cols[0].I64[i] < 0 {
					return nil, errors.New("a deleted row is not what was inserted")
				}
			}
			for i := range c.Inserted.N {
				if c.Inserted.Cols[0].I64[i]%10 == 7 {
					return nil, errors.New("guilty")
				}
				_ = b.Set(binary.BigEndian.AppendUint64([]byte{KeyFree}, c.FirstInsertID+uint64(i)), []byte(c.Inserted.Cols[1].Bytes(i)), nil)
			}
		}
		return func(ok bool) { outcomes[ok]++ }, nil
	}))
	errs := make(chan error)
	const workers = 16
	for w := range workers {
		go func() {
			var mine []uint64
			for i := range 50 {
				k := int64(w*1000 + i)
				c := insert(1, k)
				if len(mine) > 3 {
					c.Deletes, mine = mine[:2:2], mine[2:]
				}
				got, err := l.Commit(context.Background(), &Txn{Changes: []Change{c}})
				if (err != nil) != (k%10 == 7) {
					errs <- fmt.Errorf("key %d: %v", k, err)
					return
				}
				if err != nil {
					mine = append(mine, c.Deletes...)
				} else {
					mine = append(mine, got.FirstRowID[0])
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	verify(t, l, 1)
	rows := contents(t, l, 1)
	each(t, l, []byte{KeyFree}, func(k, v []byte) {
		id := binary.BigEndian.Uint64(k[1:])
		if string(v) != fmt.Sprint("row ", rows[id]) {
			t.Fatalf("mirror of row %d: %s", id, v)
		}
		delete(rows, id)
	})
	if len(rows) != 0 || outcomes[false] != 0 || outcomes[true] == 0 {
		t.Fatalf("%d rows not mirrored, outcomes %v", len(rows), outcomes)
	}
}

// Rows written before a column was added have what the schema says in it, or NULL, in Scan, Rows and for the Applier; a reader by an
// older schema sees its columns.
func TestAddedColumn(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	seven := vector.New(vector.T(vector.Int64), 1)
	seven.AppendInt(7)
	wider := Schema{Types: append(slices.Clone(testSchema), vector.ListOf(vector.T(vector.Text)), vector.T(vector.Int64)), Missing: make([]*vector.Vector, 6)}
	wider.Missing[5] = seven
	var deleted []*vector.Chunk
	l.SetApplier(schemaApplier{wider, func(changes []Applied) {
		for _, c := range changes {
			if c.Deleted != nil {
				deleted = append(deleted, c.Deleted)
			}
		}
	}})
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 5, 6)}}); err != nil {
		t.Fatal(err)
	}
	check := func(c *vector.Chunk, i int, key int64) {
		t.Helper()
		if c.Check(); c.Cols[0].I64[i] != key || !c.Cols[4].IsNull(i) || c.Cols[5].IsNull(i) || c.Cols[5].I64[i] != 7 {
			t.Fatalf("row %d of %v", i, c)
		}
	}
	c, err := l.Rows(t.Context(), 1, []uint64{1}, wider)
	if err != nil || c.N != 1 {
		t.Fatalf("%v, %v", c, err)
	}
	check(c, 0, 5)
	// A row of the wider schema beside the two.
	wide, err := wider.Fit(insert(1, 9).Inserts)
	if err != nil {
		t.Fatal(err)
	}
	wide.Cols[5].I64[0] = 8
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 1, Inserts: wide, Key: insert(1, 9).Key}}}); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, schema := range []Schema{wider, {Types: testSchema}} {
		err = l.Scan(t.Context(), 1, 0, 2, schema, func(pos uint64, _ []uint64, _ uint64, c *vector.Chunk) error {
			if rows += c.N; len(c.Cols) != len(schema.Types) {
				return fmt.Errorf("%d columns", len(c.Cols))
			}
			c.Check()
			if pos == 1 && len(c.Cols) == 6 {
				check(c, 0, 5)
				check(c, 1, 6)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if rows != 6 {
		t.Fatalf("%d rows", rows)
	}
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 1, Deletes: []uint64{3, 1}}}}); err != nil {
		t.Fatal(err)
	}
	if len(deleted) != 1 || deleted[0].N != 2 || deleted[0].Cols[5].I64[0] != 8 {
		t.Fatalf("deleted: %v", deleted)
	}
	check(deleted[0], 1, 5)
	other := Schema{Types: append([]vector.Type{vector.T(vector.Text)}, testSchema[1:]...)}
	if _, err := l.Rows(t.Context(), 1, []uint64{2}, other); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("another type: %v", err)
	}
}

// schemaApplier has a schema and is told of changes.
type schemaApplier struct {
	schema Schema
	told   func([]Applied)
}

func (a schemaApplier) Schema(SourceID) Schema { return a.schema }
func (a schemaApplier) Apply(_ *pebble.Batch, changes []Applied) (func(bool), error) {
	a.told(changes)
	return nil, nil
}

func TestSequence(t *testing.T) {
	fs, last := vfs.NewMem(), uint64(0)
	for range 4 {
		l := mustOpen(t, fs)
		for range SequenceBlock + 3 {
			x, err := l.Sequence("source")
			if err != nil || x <= last {
				t.Fatalf("%d after %d, %v", x, last, err)
			}
			last = x
		}
		if x, err := l.Sequence("other" + fmt.Sprint(last)); err != nil || x != 1 {
			t.Fatalf("%d, %v", x, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Sequence("source"); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if _, err := l.Commit(t.Context(), &Txn{}); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestCancelled(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	hold, entered := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = l.Commit(context.Background(), &Txn{Extra: func(*pebble.Batch, uint64) error { close(entered); <-hold; return nil }})
	}()
	<-entered
	errs := make(chan error)
	go func() {
		_, err := l.Commit(ctx, &Txn{Changes: []Change{insert(1, 1)}})
		errs <- err
	}()
	time.Sleep(10 * time.Millisecond)
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(hold)
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 1)}}); err != nil {
		t.Fatal(err)
	}
	verify(t, l, 1)
}

func TestSourceEnd(t *testing.T) {
	for _, s := range []SourceID{0, 255, 1<<32 - 1} {
		if bytes.Compare(sourceEnd(KeyLive, s), liveKey(s, ^uint64(0))) <= 0 {
			t.Fatalf("source %d", s)
		}
	}
}
