package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/tilehouse/tilehouse/functions/vector"
)

const partitions = 4

var testColumns = []Column{{"partition", vector.T(vector.Int32)}, {"message_offset", vector.T(vector.Int64)}, {"by", vector.T(vector.Text)}}

func types(columns []Column) []vector.Type {
	out := make([]vector.Type, len(columns))
	for i, c := range columns {
		out[i] = c.Type
	}
	return out
}

func newSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TILEHOUSE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TILEHOUSE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// newArchive makes an archive on a file system.
func newArchive(t *testing.T, fsys vfs.FS, segment uint64) Doc {
	t.Helper()
	if err := fsys.MkdirAll("/archives", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syncDir(fsys, "/"); err != nil {
		t.Fatal(err)
	}
	doc, made, err := create(fsys, "/archives/a", []Fact{{"topic", "events"}}, []int64{5, 0, 7}, segment)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	return doc
}

func open(t *testing.T, fsys vfs.FS, doc Doc) *Archive {
	t.Helper()
	a, err := Open(fsys, "/archives/a", doc.ID, testColumns)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rowsOf are rows of the offsets of ranges.
func rowsOf(covers []Range, by string) *vector.Chunk {
	c := vector.NewChunk(types(testColumns), 0)
	for _, r := range covers {
		for o := r.From; o < r.To; o++ {
			c.Cols[0].AppendInt(int64(r.Partition))
			c.Cols[1].AppendInt(o)
			c.Cols[2].AppendString(by)
			c.N++
		}
	}
	return c
}

// whole reads an archive from after an entry on: each offset once, in order, as the position says. It gives the position after the last entry.
func whole(t *testing.T, a *Archive, after Position) Position {
	t.Helper()
	at := after
	next := append([]int64(nil), after.Next...)
	s := a.From(at.Entry)
	defer s.Close()
	for {
		r, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return at
		}
		for {
			rows, err := r.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows.N {
				p, o := rows.Cols[0].I64[i], rows.Cols[1].I64[i]
				for int(p) >= len(next) {
					next = append(next, 0)
				}
				if o < next[p] && at.Entry+1 != r.f.first { // of a run of which entries were read one by one
					continue
				}
				if o != next[p] {
					t.Fatalf("after entry %d comes offset %d of partition %d, not %d", at.Entry, o, p, next[p])
				}
				next[p]++
			}
		}
		at = r.Position()
		r.Close()
		if diff := cmp.Diff(at.Next, next); diff != "" {
			t.Fatalf("the position after entry %d is not what its messages say: %s", at.Entry, diff)
		}
	}
}

func TestEntriesAreOneOrder(t *testing.T) {
	fsys := vfs.NewMem()
	doc := newArchive(t, fsys, 4)
	a, b := open(t, fsys, doc), open(t, fsys, doc)
	end, err := a.End()
	if err != nil || end.Entry != 0 || !cmp.Equal(end.Next, []int64{5, 0, 7}) {
		t.Fatalf("an empty archive ends at %+v (%v)", end, err)
	}
	covers := []Range{{Partition: 0, From: 5, To: 8}, {Partition: 3, From: 0, To: 2}}
	after, added, err := a.Add(end, covers, rowsOf(covers, "a"))
	if err != nil || !added || after.Entry != 1 || !cmp.Equal(after.Next, []int64{8, 0, 7, 2}) {
		t.Fatal(after, added, err)
	}
	if _, added, err := b.Add(end, covers, rowsOf(covers, "b")); added || err != nil {
		t.Fatalf("the number of another's entry was taken: %v", err)
	}
	if got, more, err := b.After(end); err != nil || !more || !cmp.Equal(got, after) {
		t.Fatal(got, more, err)
	}
	if _, _, err := b.Add(after, covers, rowsOf(covers, "b")); !errors.Is(err, ErrBehind) {
		t.Fatalf("an entry that does not begin at the end: %v", err)
	}
	for i := range int64(8) {
		c := []Range{{Partition: 1, From: i, To: i + 1}}
		if after, added, err = b.Add(after, c, rowsOf(c, "b")); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	if err := a.Merge(t.Context(), after.Entry); err != nil {
		t.Fatal(err)
	}
	entries, runs, err := b.list()
	if err != nil || !cmp.Equal(entries, []uint64{9}) || !cmp.Equal(runs, []uint64{1, 2}) {
		t.Fatal(entries, runs, err)
	}
	if got := whole(t, b, Position{Next: doc.Start}); !cmp.Equal(got, after) {
		t.Fatal(got, after)
	}
	third := Position{Entry: 3, Next: []int64{8, 2, 7, 2}} // a follower that had read a part of what was merged
	if got := whole(t, b, third); !cmp.Equal(got, after) {
		t.Fatal(got, after)
	}
	// A server that slept since entry 2 adds number 3, which is free again.
	late := Position{Entry: 2, Next: []int64{8, 1, 7, 2}}
	c := []Range{{Partition: 1, From: 1, To: 3}}
	if _, added, err := a.Add(late, c, rowsOf(c, "late")); added || err != nil {
		t.Fatalf("an entry was added at a number that was merged: %v", err)
	}
	// It ends before it looks for the run: the entry stays, and is void.
	if err := writeRaw(a, 3, late, c); err != nil {
		t.Fatal(err)
	}
	for _, from := range []Position{{Next: doc.Start}, late, third} {
		if got := whole(t, b, from); !cmp.Equal(got, after) {
			t.Fatal(got, after)
		}
	}
	if end, err := b.End(); err != nil || !cmp.Equal(end, after) {
		t.Fatal(end, err)
	}
	if entries, _, _ := open(t, fsys, doc).list(); !cmp.Equal(entries, []uint64{9}) {
		t.Fatalf("Open leaves a void entry: %v", entries)
	}
}

// writeRaw links an entry, whatever there is.
func writeRaw(a *Archive, n uint64, at Position, covers []Range) error {
	b, err := encodeEntry(a.columns, about{archive: a.Doc.ID, first: n, last: n, covers: covers, next: at.Next}, rowsOf(covers, "raw"))
	if err != nil {
		return err
	}
	_, err = link(a.fs, a.dir, a.entry(n), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	return err
}

func TestMergedBytesFollowFromTheEntries(t *testing.T) {
	var first []byte
	for range 2 {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll("/archives", 0o777); err != nil {
			t.Fatal(err)
		}
		doc, _, err := create(fsys, "/archives/a", nil, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		a := open(t, fsys, doc)
		a.Doc.ID = "x" // which is random
		at := Position{}
		for i := range int64(3) {
			c := []Range{{Partition: 0, From: i * 10, To: i*10 + 10}}
			if at, _, err = a.Add(at, c, rowsOf(c, "x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Merge(t.Context(), at.Entry); err != nil {
			t.Fatal(err)
		}
		b, err := readFile(fsys, a.run(1))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		} else if string(first) != string(b) {
			t.Fatal("two runs of the same entries differ")
		}
	}
}

func TestFactsAreAgreedOn(t *testing.T) {
	fsys := vfs.NewMem()
	newArchive(t, fsys, 4)
	_, made, err := Create(fsys, "/archives/a", []Fact{{"topic", "events"}, {"later", ""}}, nil)
	if made || err != nil {
		t.Fatal(made, err)
	}
	for _, facts := range [][]Fact{{{"topic", "others"}}, {}, {{"topic", "events"}, {"later", "x"}}} {
		var d *Differs
		if _, _, err := Create(fsys, "/archives/a", facts, nil); !errors.As(err, &d) {
			t.Fatalf("%v: %v", facts, err)
		}
	}
	if _, err := Open(fsys, "/archives/a", "another", testColumns); !errors.Is(err, ErrOther) {
		t.Fatal(err)
	}
	if _, err := Open(fsys, "/archives/b", "another", testColumns); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	if _, _, err := Create(fsys, "/elsewhere/a", nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an archive below a folder that is not there: %v", err)
	}
}

func TestEveryType(t *testing.T) {
	columns := []Column{{"b", vector.T(vector.Bool)}, {"i2", vector.T(vector.Int16)}, {"i4", vector.T(vector.Int32)}, {"i8", vector.T(vector.Int64)}, {"f4", vector.T(vector.Float32)},
		{"f8", vector.T(vector.Float64)}, {"n", vector.DecimalOf(38, 9)}, {"n5", vector.DecimalOf(5, 2)}, {"t", vector.T(vector.Text)}, {"y", vector.T(vector.Bytes)}, {"u", vector.T(vector.UUID)}, {"d", vector.T(vector.Date)}, {"c", vector.T(vector.Time)},
		{"ts", vector.T(vector.Timestamp)}, {"tz", vector.T(vector.TimestampTZ)}, {"iv", vector.T(vector.Interval)}, {"j", vector.T(vector.JSON)},
		{"l", vector.ListOf(vector.T(vector.Text))}, {"ln", vector.ListOf(vector.DecimalOf(10, 2))}, {"lu", vector.ListOf(vector.T(vector.UUID))}}
	rng := newSeed(t)
	c := vector.NewChunk(types(columns), 0)
	var random func(v *vector.Vector)
	random = func(v *vector.Vector) {
		if rng.IntN(4) == 0 {
			v.AppendNull()
			return
		}
		switch v.Type.Kind {
		case vector.Bool:
			v.AppendBool(rng.IntN(2) == 0)
		case vector.Int16:
			v.AppendInt(int64(int16(rng.Uint32())))
		case vector.Int32:
			v.AppendInt(int64(int32(rng.Uint32())))
		case vector.Date:
			v.AppendInt([]int64{int64(rng.IntN(40000)) - 20000, vector.PosInfinity, vector.NegInfinity}[rng.IntN(3)])
		case vector.Time:
			v.AppendInt(rng.Int64N(86_400_000_000))
		case vector.Int64:
			v.AppendInt(int64(rng.Uint64()))
		case vector.Timestamp, vector.TimestampTZ:
			v.AppendInt([]int64{rng.Int64N(1 << 52), -rng.Int64N(1 << 52), vector.PosInfinity, vector.NegInfinity}[rng.IntN(4)])
		case vector.Float32:
			v.AppendFloat(float64(float32(rng.NormFloat64())))
		case vector.Float64:
			v.AppendFloat([]float64{rng.NormFloat64(), math.Inf(-1), math.Copysign(0, -1)}[rng.IntN(3)])
		case vector.Decimal:
			v.AppendInt128(vector.Int128FromInt64(rng.Int64N(199_99) - 9999))
		case vector.UUID, vector.Interval:
			b := make([]byte, 16)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			v.AppendBytes(b)
		case vector.Text, vector.JSON:
			v.AppendString([]string{"", "null", "é", "[1, 2]"}[rng.IntN(4)])
		case vector.Bytes:
			v.AppendBytes([]byte{0xff, 0, byte(rng.Uint32())}[:rng.IntN(4)])
		case vector.List:
			for range rng.IntN(4) {
				random(v.Child[0])
			}
			v.CloseNested()
		default:
			t.Fatal(v.Type)
		}
	}
	for range 200 {
		for _, v := range c.Cols {
			random(v)
		}
		c.N++
	}
	fsys := vfs.NewMem()
	doc := newArchive(t, fsys, 1)
	a, err := Open(fsys, "/archives/a", doc.ID, columns)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := a.End()
	if _, added, err := a.Add(end, []Range{{Partition: 1, From: 0, To: 200}}, c); err != nil || !added {
		t.Fatal(err)
	}
	for _, merged := range []bool{false, true} {
		r, err := a.Next(0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range c.Cols {
			for row := range c.N {
				if w, g := shown(v, row), shown(got.Cols[i], row); w != g {
					t.Fatalf("merged %v: column %s, row %d is %s, not %s", merged, columns[i].Name, row, g, w)
				}
			}
		}
		r.Close()
		if err := a.Merge(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// shown is a value, to the bit.
func shown(v *vector.Vector, i int) string {
	switch {
	case v.IsNull(i):
		return "NULL"
	case v.Type.Kind == vector.List:
		out := "["
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			out += shown(v.Child[0], int(j)) + ","
		}
		return out + "]"
	case v.Type.Buffer() == vector.BufF64:
		return fmt.Sprintf("%x", math.Float64bits(v.F64[i]))
	case v.Type.Buffer() == vector.BufI128:
		return v.I128[i].BigInt().String()
	case v.Type.Buffer() == vector.BufI64:
		return fmt.Sprint(v.I64[i])
	}
	return fmt.Sprintf("%q", v.Bytes(i))
}

// TestBadBytes changes bytes of an entry's file: it is an error to open it.
func TestBadBytes(t *testing.T) {
	rng := newSeed(t)
	covers := []Range{{Partition: 0, From: 0, To: 50}}
	good, err := encodeEntry(testColumns, about{archive: "x", first: 1, last: 1, covers: covers, next: []int64{50}}, rowsOf(covers, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		b := append([]byte(nil), good...)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if rng.IntN(3) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		if _, err := openFile(inMemory(b), testColumns); !errors.Is(err, ErrCorrupt) && !bytes.Equal(b, good) {
			t.Fatal(err)
		}
	}
}

var errCrash = errors.New("the server ended here")

// faults is a file system whose calls end a server before or after what they do.
type faults struct {
	vfs.FS
	mu   sync.Mutex
	rng  *rand.Rand
	rate float64
}

// crash says whether a call fails, and whether what it does is done.
func (f *faults) crash() (fails, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.rng.IntN(4) {
		runtime.Gosched()
	}
	return f.rng.Float64() < f.rate, f.rng.IntN(2) == 0
}

func (f *faults) do(call func() error) error {
	fails, done := f.crash()
	if fails && !done {
		return errCrash
	}
	err := call()
	if fails && err == nil {
		err = errCrash
	}
	return err
}

func (f *faults) Link(from, to string) error {
	return f.do(func() error { return f.FS.Link(from, to) })
}
func (f *faults) Remove(name string) error { return f.do(func() error { return f.FS.Remove(name) }) }
func (f *faults) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.do(func() error { file, err = f.FS.Create(name, c); return err })
	if err != nil && file != nil {
		_ = file.Close()
		file = nil
	}
	return file, err
}

// TestManyAdders lets servers that all believe to own random partitions add what they read of them, end at any step, sleep with what they
// know, and merge. Each offset is there once, for a reader of all of it and for those that followed.
func TestManyAdders(t *testing.T) {
	rng := newSeed(t)
	const servers, steps = 5, 120
	mem := vfs.NewMem()
	doc := newArchive(t, mem, 7)
	var all sync.WaitGroup
	for s := range servers {
		fsys := &faults{FS: mem, rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(s))), rate: 0.01}
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(s)))
		all.Go(func() {
			var a *Archive
			var at, slept Position
			for step := range steps {
				if a == nil {
					var err error
					if a, err = Open(fsys, "/archives/a", doc.ID, testColumns); err == nil {
						at, err = a.End()
					}
					if err != nil {
						a = nil
						if !errors.Is(err, errCrash) {
							t.Error(err)
							return
						}
						continue
					}
				}
				if own.IntN(20) == 0 {
					slept = at
				}
				from := at
				if own.IntN(10) == 0 && len(slept.Next) > 0 { // what it knew once
					from = slept
				}
				var covers []Range
				for p := range int32(partitions) {
					if own.IntN(2) == 0 {
						covers = append(covers, Range{Partition: p, From: from.Of(p), To: from.Of(p) + 1 + own.Int64N(5)})
					}
				}
				next, added, err := a.Add(from, covers, rowsOf(covers, fmt.Sprint(s, step)))
				switch {
				case err != nil && !errors.Is(err, errCrash):
					t.Error(err)
					return
				case err != nil: // it ends, and begins anew
					a = nil
					continue
				case added:
					at = next
				}
				for {
					p, more, err := a.After(at)
					if err != nil {
						t.Error(err)
						return
					}
					if at = p; !more {
						break
					}
				}
				if own.IntN(5) == 0 {
					if err := a.Merge(t.Context(), at.Entry); err != nil && !errors.Is(err, errCrash) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	followed := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(followed)
		a := open(t, mem, doc)
		at := Position{Next: doc.Start}
		for more := true; more && !t.Failed(); {
			select {
			case <-ended:
				more = false
			default:
				runtime.Gosched()
			}
			at = whole(t, a, at)
		}
		if end, err := a.End(); err != nil || !cmp.Equal(at, end) {
			t.Errorf("who followed is at %+v, and the archive ends at %+v (%v)", at, end, err)
		}
	}()
	all.Wait()
	close(ended)
	<-followed
	a := open(t, mem, doc)
	end := whole(t, a, Position{Next: doc.Start})
	if err := a.Merge(t.Context(), end.Entry); err != nil {
		t.Fatal(err)
	}
	if got := whole(t, a, Position{Next: doc.Start}); !cmp.Equal(got, end) {
		t.Fatal(got, end)
	}
	entries, runs, _ := a.list()
	t.Logf("%d entries, of which %d are not merged; ends %v", end.Entry, len(entries), end.Next)
	if len(runs) != int(end.Entry/7) || len(entries) != int(end.Entry%7) {
		t.Fatalf("%d runs and %d entries of %d", len(runs), len(entries), end.Entry)
	}
}

// TestMachineCrashes takes the power away at any moment, with what is not on disk lost in part. What a reader was given before is there
// afterwards, and the archive goes on from it.
func TestMachineCrashes(t *testing.T) {
	rng := newSeed(t)
	mem := vfs.NewCrashableMem()
	doc := newArchive(t, mem, 5)
	given := Position{Next: doc.Start}
	for range 40 {
		a := open(t, mem, doc)
		if given = whole(t, a, given); t.Failed() {
			return
		}
		end, err := a.End()
		if err != nil || end.Entry < given.Entry {
			t.Fatal(end, given, err)
		}
		var clone *vfs.MemFS
		moment := rng.IntN(60)
		seen := 0
		// The power goes at some call of the file system, in the middle of what a server does.
		cut := &moments{FS: mem, at: func() {
			if seen == moment {
				clone = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			}
			seen++
		}}
		b, err := Open(cut, "/archives/a", doc.ID, testColumns)
		if err != nil {
			t.Fatal(err)
		}
		reader := open(t, mem, doc)
		for clone == nil {
			covers := []Range{{Partition: 1, From: end.Of(1), To: end.Of(1) + 2}}
			next, added, err := b.Add(end, covers, rowsOf(covers, "x"))
			if err != nil || !added {
				t.Fatal(added, err)
			}
			end = next
			if clone == nil {
				if given = whole(t, reader, given); t.Failed() { // as another server
					return
				}
			}
			if end.Entry%5 == 0 && clone == nil {
				if err := b.Merge(t.Context(), end.Entry); err != nil {
					t.Fatal(err)
				}
			}
		}
		mem = clone
	}
	t.Logf("%d entries", given.Entry)
}

// moments calls at before each call that changes a file system.
type moments struct {
	vfs.FS
	at func()
}

func (m *moments) Link(from, to string) error { m.at(); return m.FS.Link(from, to) }
func (m *moments) Remove(name string) error   { m.at(); return m.FS.Remove(name) }
func (m *moments) OpenDir(name string) (vfs.File, error) {
	m.at()
	return m.FS.OpenDir(name)
}
func (m *moments) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	m.at()
	return m.FS.Create(name, c)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	doc, _, err := Create(vfs.Default, path.Join(dir, "a"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"old", "young"} {
		if err := os.WriteFile(path.Join(dir, "a", newDir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * sweepAfter)
	if err := os.Chtimes(path.Join(dir, "a", newDir, "old"), long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(vfs.Default, path.Join(dir, "a"), doc.ID, nil); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(path.Join(dir, "a", newDir))
	if len(left) != 1 || left[0].Name() != "young" {
		t.Fatal(left)
	}
}
