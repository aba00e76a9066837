package reclog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// agingRow is a row version: its key, which says its event time, too, and the positions at which it came and went (0: it lives).
type agingRow struct {
	key        int64
	came, went uint64
}

// aging is what is known of a log of which old rows are deleted and trimmed: sources 1 and 2, of which 2 is kept whole.
type aging struct {
	rows    map[SourceID]map[uint64]agingRow // every version there ever was, by row id
	kept    int64                            // the key from which rows of source 1 are read
	trimmed uint64                           // positions up to here are not brought forward
	last    uint64                           // the newest position that was acknowledged
	now     int64                            // keys lie around it
	used    map[int64]bool
}

func newAging() *aging {
	return &aging{rows: map[SourceID]map[uint64]agingRow{1: {}, 2: {}}, kept: math.MinInt64, used: map[int64]bool{}}
}

func (a *aging) clone() *aging {
	out := *a
	out.rows, out.used = map[SourceID]map[uint64]agingRow{}, maps.Clone(a.used)
	for s, m := range a.rows {
		out.rows[s] = maps.Clone(m)
	}
	return &out
}

// keys are n new ones, most of them near now.
func (a *aging) keys(r *rand.Rand, n int) []int64 {
	out := make([]int64, 0, n)
	for len(out) < n {
		k := a.now - r.Int64N(4_000_000)
		if r.IntN(5) == 0 {
			k = a.now - 40_000_000 + r.Int64N(60_000_000)
		}
		if !a.used[k] && k >= 0 {
			a.used[k] = true
			out = append(out, k)
		}
	}
	if r.IntN(2) == 0 {
		slices.Sort(out)
	}
	return out
}

// alive are some rows of a source that live.
func (a *aging) alive(r *rand.Rand, s SourceID, n int) []uint64 {
	var out []uint64
	for id, row := range a.rows[s] {
		if row.went == 0 && len(out) < n && r.IntN(3) == 0 {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// txn is a random transaction.
func (a *aging) txn(r *rand.Rand) *Txn {
	a.now += r.Int64N(1_500_000)
	t := &Txn{}
	for range 1 + r.IntN(2) {
		s := SourceID(1 + r.IntN(5)/4)
		c := insert(s, a.keys(r, []int{0, 1, 1, 3, 60, 60, 5000}[r.IntN(7)])...)
		c.Time = 3
		if len(t.Changes) == 0 || t.Changes[0].Source != s {
			c.Deletes = a.alive(r, s, []int{0, 0, 1, 40}[r.IntN(4)])
		}
		t.Changes = append(t.Changes, c)
	}
	return t
}

func (a *aging) committed(t *Txn, got Committed) {
	a.last = got.Position
	for i, c := range t.Changes {
		for _, id := range c.Deletes {
			row := a.rows[c.Source][id]
			row.went = got.Position
			a.rows[c.Source][id] = row
		}
		if c.Inserts != nil {
			for j, k := range c.Inserts.Cols[0].I64 {
				a.rows[c.Source][got.FirstRowID[i]+uint64(j)] = agingRow{key: k, came: got.Position}
			}
		}
	}
}

// expired are the transactions that delete the rows before a key.
func (a *aging) expired(before int64) []*Txn {
	var ids []uint64
	for id, row := range a.rows[1] {
		if row.went == 0 && row.key < before {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []*Txn
	for part := range slices.Chunk(ids, 700) {
		out = append(out, &Txn{Changes: []Change{{Source: 1, Deletes: part}}})
	}
	return out
}

// testTime is the event time of a key.
func testTime(key int64) int64 { return 1_700_000_000_000_000 + key }

// replayed is a source at a position, as a reader finds it: row ids to keys.
func replayed(t testing.TB, l *Log, s SourceID, pos uint64) map[uint64]int64 {
	t.Helper()
	dead, out := map[uint64]bool{}, map[uint64]int64{}
	err := l.Versions(context.Background(), s, 0, pos, func(v Version) error {
		if v.Delete {
			dead[v.RowID] = true
		}
		return nil
	})
	if err == nil {
		err = l.Scan(context.Background(), s, 0, pos, Schema{Types: testSchema}, func(_ uint64, _ []uint64, first uint64, c *vector.Chunk) error {
			for i := 0; c != nil && i < c.N; i++ {
				if id := first + uint64(i); !dead[id] {
					if _, twice := out[id]; twice {
						return fmt.Errorf("row %d is there twice", id)
					}
					out[id] = c.Cols[0].I64[i]
					if string(c.Cols[1].Bytes(i)) != fmt.Sprint("row ", out[id]) || c.Cols[2].I64[i] != testTime(out[id]) {
						return fmt.Errorf("row %d has columns of another", id)
					}
				}
			}
			return nil
		})
	}
	if err != nil {
		t.Fatalf("source %d at position %d: %v", s, pos, err)
	}
	return out
}

// at is a source at a position as the model has it; only what is read of source 1 before the last trim.
func (a *aging) at(s SourceID, pos uint64) map[uint64]int64 {
	out := map[uint64]int64{}
	for id, row := range a.rows[s] {
		if row.came <= pos && (row.went == 0 || row.went > pos) && a.read(s, row.key, pos) {
			out[id] = row.key
		}
	}
	return out
}

func (a *aging) read(s SourceID, key int64, pos uint64) bool {
	return s == 2 || pos >= a.trimmed || key >= a.kept
}

// difference says how the log differs from the model, at the newest position and some others; "": it does not.
func (a *aging) difference(t testing.TB, l *Log, r *rand.Rand) string {
	t.Helper()
	last := l.Position()
	for _, pos := range []uint64{last, a.trimmed, r.Uint64N(last + 1), r.Uint64N(last + 1), r.Uint64N(last + 1)} {
		for s := range a.rows {
			got, want := replayed(t, l, s, pos), a.at(s, pos)
			maps.DeleteFunc(got, func(_ uint64, key int64) bool { return !a.read(s, key, pos) })
			if !maps.Equal(got, want) {
				return fmt.Sprintf("source %d at position %d of %d (trimmed %d, kept from %d): %d rows, the model has %d", s, pos, last, a.trimmed, a.kept, len(got), len(want))
			}
		}
		if pos == 0 {
			continue
		}
		// A time leads to its position, or to one at which everything is the same.
		found := l.PositionAt(l.TimeOf(pos))
		for s := range a.rows {
			got, want := replayed(t, l, s, found), a.at(s, pos)
			maps.DeleteFunc(got, func(_ uint64, key int64) bool { return !a.read(s, key, pos) })
			if !maps.Equal(got, want) && l.TimeOf(pos) != 0 {
				return fmt.Sprintf("position %d has a time that leads to %d, where source %d differs", pos, found, s)
			}
		}
	}
	for s, rows := range a.rows {
		var ids []uint64
		live := 0
		for id, row := range rows {
			if row.went == 0 {
				live++
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		c, err := l.Rows(context.Background(), s, ids, Schema{Types: testSchema})
		if err != nil {
			return err.Error()
		}
		for i, id := range ids {
			if c.Cols[0].I64[i] != rows[id].key {
				return fmt.Sprintf("source %d, row %d has key %d", s, id, c.Cols[0].I64[i])
			}
		}
		owners, err := l.Owners(s, c, []int{0})
		if err != nil || !slices.Equal(owners, ids) {
			return fmt.Sprintf("source %d: primary keys belong to other rows (%v)", s, err)
		}
		keys := 0
		each(t, l, sourceKey(KeyPrimary, s), func(k, v []byte) { keys++ })
		if keys != live {
			return fmt.Sprintf("source %d: %d primary keys of %d rows", s, keys, live)
		}
	}
	return ""
}

// logBytes are the keys and values of a source's changes.
func logBytes(t testing.TB, l *Log, s SourceID) (n int) {
	each(t, l, sourceKey(KeyLog, s), func(k, v []byte) { n += len(k) + len(v) })
	return n
}

// Random transactions, of which old rows are deleted and trimmed again and again: what is read stays as the model has it, at every position,
// and after reopening; row ids are never given twice; once everything has aged, the log is empty.
func TestTrimAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fs, a := vfs.NewMem(), newAging()
	l := mustOpen(t, fs)
	defer func() { _ = l.Close() }()
	commit := func(txn *Txn) {
		t.Helper()
		var newest uint64
		for id := range a.rows[1] {
			newest = max(newest, id)
		}
		got, err := l.Commit(t.Context(), txn)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range txn.Changes {
			if c.Source == 1 && c.Inserts != nil && c.Inserts.N > 0 && got.FirstRowID[i] <= newest {
				t.Fatalf("row id %d is given again", got.FirstRowID[i])
			}
		}
		a.committed(txn, got)
	}
	trim := func(before int64) Trimmed {
		t.Helper()
		inserted := l.Position()
		for _, txn := range a.expired(before) {
			commit(txn)
		}
		if r.IntN(2) == 0 { // a late row, which nobody has deleted yet
			k := before - 1
			for a.used[k] {
				k--
			}
			a.used[k] = true
			commit(&Txn{Changes: []Change{insert(1, k)}})
		}
		had, err := l.Trimmed(1)
		if err != nil {
			t.Fatal(err)
		}
		a.kept, a.trimmed = before, l.Position()
		got, err := l.Trim(t.Context(), TrimRequest{Source: 1, Time: 2, Before: testTime(before), Inserted: inserted, Position: l.Position()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		now, err := l.Trimmed(1)
		if err != nil || now != got || got.Before != testTime(before) || got.Position != a.trimmed || got.Rows < had.Rows || got.Bytes < had.Bytes {
			t.Fatalf("trimmed %+v, and it says %+v, before it %+v, %v", got, now, had, err)
		}
		return got
	}
	check := func() {
		t.Helper()
		if d := a.difference(t, l, r); d != "" {
			t.Fatal(d)
		}
	}
	for range 5 {
		for range 12 {
			commit(a.txn(r))
		}
		check()
		trim(a.now - 15_000_000)
		check()
		if r.IntN(2) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, fs)
			check()
		}
	}
	whole := logBytes(t, l, 1)
	inserted := 0
	for range a.rows[1] {
		inserted++
	}
	trim(a.now + 100_000_000)
	check()
	sum := trim(a.now + 100_000_000) // the deletes of the last time
	check()
	left := logBytes(t, l, 1)
	t.Logf("%d row versions, %d bytes of the log, after all aged %d; %d rows and %d bytes trimmed", inserted, whole, left, sum.Rows, sum.Bytes)
	if live := len(a.at(1, l.Position())); left > 200*(live+3) || sum.Rows < uint64(inserted-live-2) {
		t.Fatalf("%d bytes are left of a log of %d rows; %d of %d rows were trimmed", left, live, sum.Rows, inserted)
	}
	positions := 0
	each(t, l, []byte{KeyPosition}, func(k, v []byte) { positions++ })
	if positions > int(l.Position())*4/5 {
		t.Fatalf("%d of %d positions are left", positions, l.Position())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, fs)
	commit(a.txn(r))
	check()
}

// A constant stream of which the last days are kept takes a constant number of bytes on disk.
func TestTrimKeepsDiskFlat(t *testing.T) {
	fs := vfs.NewMem()
	l, err := Open("db", Options{FS: fs, ReserveBytes: -1, MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, r := newAging(), rand.New(rand.NewPCG(1, 1))
	const perDay, keep = 4000, 4
	var sizes []uint64
	for day := range int64(24) {
		for i := int64(0); i < perDay; {
			n := min(perDay-i, []int64{1, 20, 400}[r.IntN(3)])
			keys := make([]int64, n)
			for j := range keys {
				keys[j] = day*perDay + i
				i++
			}
			c := insert(1, keys...)
			c.Time = 3
			got, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}})
			if err != nil {
				t.Fatal(err)
			}
			a.committed(&Txn{Changes: []Change{c}}, got)
		}
		inserted := l.Position()
		for _, txn := range a.expired((day - keep + 1) * perDay) {
			got, err := l.Commit(t.Context(), txn)
			if err != nil {
				t.Fatal(err)
			}
			a.committed(txn, got)
		}
		if _, err := l.Trim(t.Context(), TrimRequest{Source: 1, Time: 2, Before: testTime((day - keep + 1) * perDay), Inserted: inserted, Position: l.Position()}, nil); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, l.db.Metrics().DiskSpaceUsage())
	}
	t.Logf("bytes on disk, day after day: %v", sizes)
	mean := func(sizes []uint64) (n uint64) {
		for _, s := range sizes {
			n += s / uint64(len(sizes))
		}
		return n
	}
	if early, late := mean(sizes[6:12]), mean(sizes[18:]); late > early+early/3 {
		t.Fatalf("%d bytes on the days 7 to 12, and %d on the last six", early, late)
	}
	if got, want := len(replayed(t, l, 1, l.Position())), keep*perDay; got != want {
		t.Fatalf("%d rows, not %d", got, want)
	}
}

// The power fails while rows are written, deleted and trimmed. What was acknowledged and has not aged is there, what was deleted for
// its age does not come back, and trimming goes on.
func TestTrimCrash(t *testing.T) {
	for _, seed := range seeds(t)[:(*crashSeeds+1)/2] {
		r := rand.New(rand.NewPCG(seed, 3))
		fs, a := vfs.NewCrashableMem(), newAging()
		for round := range 3 {
			l, err := Open("db", Options{FS: fs, ReserveBytes: 1 << 20, MemTableBytes: 128 << 10})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			var mu sync.Mutex // of what follows, so that a crash finds the model and the disk of one moment
			var pending *Txn
			var done sync.WaitGroup
			stop := make(chan struct{})
			wr := rand.New(rand.NewPCG(seed, uint64(100+round)))
			done.Go(func() {
				commit := func(txn *Txn) bool {
					mu.Lock()
					pending = txn
					mu.Unlock()
					got, err := l.Commit(context.Background(), txn)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						a.committed(txn, got)
						pending = nil
					}
					return err == nil
				}
				for {
					for range 6 {
						mu.Lock()
						txn := a.txn(wr)
						mu.Unlock()
						select {
						case <-stop:
							return
						default:
						}
						if !commit(txn) {
							return
						}
					}
					before, inserted := a.now-15_000_000, l.Position()
					for _, txn := range a.expired(before) {
						if !commit(txn) {
							return
						}
					}
					mu.Lock()
					a.kept, a.trimmed = before, l.Position()
					mu.Unlock()
					if _, err := l.Trim(context.Background(), TrimRequest{Source: 1, Time: 2, Before: testTime(before), Inserted: inserted, Position: l.Position()}, nil); err != nil {
						return
					}
				}
			})
			time.Sleep(time.Duration(r.IntN(120_000)) * time.Microsecond)
			mu.Lock()
			without, maybe := a.clone(), pending
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 10, 50, 100}[r.IntN(4)], RNG: r})
			mu.Unlock()
			close(stop)
			done.Wait()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = Open("db", Options{FS: crashed, ReserveBytes: 1 << 20}); err != nil {
				t.Fatalf("seed %d: after the crash: %v", seed, err)
			}
			a, fs = without, crashed
			a.trimmed = min(a.trimmed, l.Position())
			if maybe != nil {
				a = a.fateOf(t, l, maybe)
			}
			if d := a.difference(t, l, r); d != "" {
				t.Fatalf("seed %d, round %d: %s", seed, round, d)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fateOf is the model with or without a transaction of which it is not known whether it was committed: the log's last one, or not there.
func (a *aging) fateOf(t testing.TB, l *Log, txn *Txn) *aging {
	last, with := l.Position(), a.clone()
	if last <= a.last {
		return a
	}
	got := Committed{Position: last, FirstRowID: make([]uint64, len(txn.Changes))}
	next := map[SourceID]uint64{}
	for i, c := range txn.Changes {
		if next[c.Source] == 0 {
			if err := l.Scan(t.Context(), c.Source, last-1, last, Schema{Types: testSchema}, func(_ uint64, _ []uint64, first uint64, rows *vector.Chunk) error {
				if next[c.Source] == 0 && rows != nil {
					next[c.Source] = first
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		got.FirstRowID[i] = next[c.Source]
		if c.Inserts != nil {
			next[c.Source] += uint64(c.Inserts.N)
		}
	}
	with.committed(txn, got)
	return with
}

// Trimming finds no space at its n-th write: it says so, what is read is as before, and with space again it goes on.
func TestTrimWithoutSpace(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	outcomes := map[bool]int{}
	for n := int32(0); n < 40; n += 8 {
		var on atomic.Bool
		var count atomic.Int32
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpMkdirAll,
				errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate:
				if on.Load() && count.Add(1) > n {
					return syscall.ENOSPC
				}
			}
			return nil
		})
		l, err := Open("db", Options{FS: errorfs.Wrap(vfs.NewMem(), inj), ReserveBytes: 1 << 20, MemTableBytes: 32 << 10,
			Fatal: func(msg string) { panic("fatal: " + msg) }, StallTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		a := newAging()
		for range 25 {
			txn := a.txn(r)
			got, err := l.Commit(t.Context(), txn)
			if err != nil {
				t.Fatal(err)
			}
			a.committed(txn, got)
		}
		req := TrimRequest{Source: 1, Time: 2, Before: testTime(a.now - 3_000_000), Inserted: l.Position()}
		for _, txn := range a.expired(a.now - 3_000_000) {
			got, err := l.Commit(t.Context(), txn)
			if err != nil {
				t.Fatal(err)
			}
			a.committed(txn, got)
		}
		req.Position = l.Position()
		a.kept, a.trimmed = a.now-3_000_000, req.Position
		ended := make(chan error, 1)
		on.Store(true)
		go func() {
			_, err := l.Trim(context.Background(), req, nil)
			ended <- err
		}()
		time.Sleep(20 * time.Millisecond)
		if d := a.difference(t, l, r); d != "" { // reads go on
			t.Fatalf("%d, on a full disk: %s", n, d)
		}
		on.Store(false)
		if err = <-ended; err != nil && !errors.Is(err, ErrDiskFull) {
			t.Fatalf("%d: %v", n, err)
		}
		outcomes[err == nil]++
		commitSoon(t, l, 1_000_000_000_000)
		a.rows[1][func() (id uint64) {
			for k := range replayed(t, l, 1, l.Position()) {
				id = max(id, k)
			}
			return id
		}()] = agingRow{key: 1_000_000_000_000, came: l.Position()}
		if _, err := l.Trim(t.Context(), req, nil); err != nil {
			t.Fatalf("%d, with space again: %v", n, err)
		}
		if d := a.difference(t, l, r); d != "" {
			t.Fatalf("%d, with space again: %s", n, d)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("trims that went through: %d, that were refused: %d", outcomes[true], outcomes[false])
}

// A source that is dropped while it is trimmed leaves nothing behind.
func TestTrimOfDroppedSource(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	a, r := newAging(), rand.New(rand.NewPCG(1, 2))
	for range 60 {
		txn := a.txn(r)
		got, err := l.Commit(t.Context(), txn)
		if err != nil {
			t.Fatal(err)
		}
		a.committed(txn, got)
	}
	for _, txn := range a.expired(a.now) {
		if _, err := l.Commit(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
	}
	dropped := false
	_, err := l.Trim(t.Context(), TrimRequest{Source: 1, Time: 2, Before: testTime(a.now), Inserted: l.Position(), Position: l.Position()}, func(time.Duration) {
		if !dropped {
			dropped = true
			if err := l.DropSource(1); err != nil {
				t.Error(err)
			}
		}
	})
	if !dropped || !errors.Is(err, ErrClosed) {
		t.Fatalf("dropped: %t; %v", dropped, err)
	}
	if n := logBytes(t, l, 1); n != 0 {
		t.Fatalf("%d bytes of the log are left", n)
	}
	if s, err := l.Trimmed(1); err != nil || s.Rows != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A chunk of which rows were trimmed is read by a schema that has a wider type, and one column more: each of the other rows has its own.
func TestTrimmedChunkOfWidenedColumns(t *testing.T) {
	for _, n := range []int64{40, 5000} { // one chunk within the change, chunks of a bulk
		l := mustOpen(t, vfs.NewMem())
		var keys []int64
		for i := range n {
			keys = append(keys, i*7919%n)
		}
		c := insert(1, keys...)
		c.Time = 3
		got, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}})
		if err != nil {
			t.Fatal(err)
		}
		before, inserted := n/2, l.Position()
		var old []uint64
		for i, k := range keys {
			if k < before {
				old = append(old, got.FirstRowID[0]+uint64(i))
			}
		}
		if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 1, Deletes: old}}}); err != nil {
			t.Fatal(err)
		}
		sum, err := l.Trim(t.Context(), TrimRequest{Source: 1, Time: 2, Before: testTime(before), Inserted: inserted, Position: l.Position()}, nil)
		if err != nil || sum.Rows != uint64(len(old)) {
			t.Fatalf("%d of %d rows were trimmed, %v", sum.Rows, len(old), err)
		}
		missing := vector.New(vector.T(vector.Int64), 1)
		missing.AppendInt(77)
		wide := Schema{Types: append(slices.Clone(testSchema), vector.T(vector.Int64)), Missing: []*vector.Vector{nil, nil, nil, nil, missing}}
		wide.Types[3] = vector.DecimalOf(20, 4)
		check := func(id uint64, c *vector.Chunk, i int) {
			k := keys[id-got.FirstRowID[0]]
			if c.Cols[0].I64[i] != k || k < before || c.Cols[3].I128[i] != vector.Int128FromInt64(k*10_000) || c.Cols[4].I64[i] != 77 {
				t.Fatalf("row %d of key %d: %d, %v, %d", id, k, c.Cols[0].I64[i], c.Cols[3].I128[i], c.Cols[4].I64[i])
			}
		}
		var ids []uint64
		if err := l.Scan(t.Context(), 1, 0, l.Position(), wide, func(_ uint64, _ []uint64, first uint64, c *vector.Chunk) error {
			for i := 0; c != nil && i < c.N; i++ {
				check(first+uint64(i), c, i)
				ids = append(ids, first+uint64(i))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(ids) != len(keys)-len(old) {
			t.Fatalf("%d rows of %d less %d", len(ids), len(keys), len(old))
		}
		rows, err := l.Rows(t.Context(), 1, ids, wide)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			check(id, rows, i)
		}
		// Another column is none of the event time, and nothing goes by it.
		if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 1, Deletes: ids}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Trim(t.Context(), TrimRequest{Source: 1, Time: 1, Before: testTime(n), Inserted: l.Position(), Position: l.Position()}, nil); !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
