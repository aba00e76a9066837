package runs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

var everyType = event.Layout{Tie: true, Columns: []vector.Type{vector.T(vector.Int64), vector.T(vector.Float64), vector.DecimalOf(38, 4),
	vector.T(vector.Text), vector.ListOf(vector.T(vector.Text)), vector.MapOf(vector.T(vector.Int64), vector.T(vector.Float64)), vector.T(vector.Null)}}

func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// randomRows has keys of mixed forms, ties of all kinds, times at the ends of their range, and NULLs.
func randomRows(r *rand.Rand, l event.Layout, n int, words bool) *event.Rows {
	rows := event.NewRows(l, n)
	for i := range n {
		k := uint64(r.IntN(1 + n/8))
		if r.IntN(4) == 0 {
			k = 1
		}
		switch {
		case words || r.IntN(2) == 0:
			rows.Key.AppendBytes(appendWord(nil, k<<40|k))
		default:
			rows.Key.AppendBytes(bytes.Repeat([]byte{byte(k)}, int(k%50)))
		}
		ts := int64(i)
		switch r.IntN(5) {
		case 0:
			ts = r.Int64N(20)
		case 1:
			ts = []int64{math.MinInt64, math.MaxInt64, math.MaxInt64 - 1, -1}[r.IntN(4)]
		}
		rows.TS = append(rows.TS, ts)
		rows.RowID = append(rows.RowID, int64(r.Perm(3)[0]*n+i))
		if rows.Tie != nil {
			rows.Tie.AppendBytes([]byte("tie")[:r.IntN(4)])
		}
		for c, v := range rows.Cols {
			randomValue(r, v, l.Columns[c])
		}
	}
	return rows
}

func randomValue(r *rand.Rand, v *vector.Vector, t vector.Type) {
	if r.IntN(7) == 0 {
		v.AppendNull()
		return
	}
	switch t.Buffer() {
	case vector.BufI64:
		v.AppendInt(r.Int64())
	case vector.BufF64:
		v.AppendFloat([]float64{math.NaN(), math.Inf(-1), math.Copysign(0, -1), r.NormFloat64()}[r.IntN(4)])
	case vector.BufI128:
		v.AppendInt128(vector.Int128FromParts(r.Int64(), r.Uint64()))
	case vector.BufBytes:
		v.AppendBytes(bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(20)))
	case vector.BufNested:
		for range r.IntN(4) {
			for c, e := range t.Elem {
				randomValue(r, v.Child[c], e)
			}
		}
		v.CloseNested()
	default:
		v.AppendNull()
	}
}

// text renders row i, with NaN and -0 told apart.
func text(r *event.Rows, i int) string {
	out := fmt.Sprintf("%d %d", r.TS[i], r.RowID[i])
	if r.Tie != nil {
		out += fmt.Sprintf(" %x", r.Tie.Bytes(i))
	}
	for _, v := range r.Cols {
		out += " " + valueText(v, i)
	}
	return out
}

func valueText(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return fmt.Sprint(v.I64[i])
	case vector.BufF64:
		return fmt.Sprintf("%x", math.Float64bits(v.F64[i]))
	case vector.BufI128:
		return v.I128[i].BigInt().String()
	case vector.BufBytes:
		return fmt.Sprintf("%x", v.Bytes(i))
	}
	out := "["
	for j := v.Off[i]; j < v.Off[i+1]; j++ {
		for _, c := range v.Child {
			out += valueText(c, int(j)) + ","
		}
	}
	return out + "]"
}

// sortedByKey is the oracle: the rows of every key, in order.
func sortedByKey(rows *event.Rows, keep func(i int) bool) map[string][]string {
	order := make([]int, rows.N())
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(rows.TS[a], rows.TS[b]), tieOf(rows, a, b), cmp.Compare(rows.RowID[a], rows.RowID[b]))
	})
	out := map[string][]string{}
	for _, i := range order {
		if keep == nil || keep(i) {
			k := string(rows.Key.Bytes(i))
			out[k] = append(out[k], text(rows, i))
		}
	}
	return out
}

func tieOf(rows *event.Rows, a, b int) int {
	if rows.Tie == nil {
		return 0
	}
	return bytes.Compare(rows.Tie.Bytes(a), rows.Tie.Bytes(b))
}

func slice(rows *event.Rows, l event.Layout, from, to int) *event.Rows {
	out := event.NewRows(l, to-from)
	for i := from; i < to; i++ {
		out.Append(rows, i)
	}
	return out
}

// fill adds rows in chunks from two goroutines.
func fill(t *testing.T, b *Builder, l event.Layout, rows *event.Rows) {
	t.Helper()
	var wg sync.WaitGroup
	const chunk = 61
	for g := range 2 {
		wg.Go(func() {
			for i := g * chunk; i < rows.N(); i += 2 * chunk {
				if err := b.Add(slice(rows, l, i, min(i+chunk, rows.N()))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
}

// Whatever the layout, the keys' form, the partitions and the budget, sorting gives what the oracle gives, and closing
// gives all memory and the spill file back.
func TestSort(t *testing.T) {
	r := seeded(t)
	for round := range 30 {
		l := []event.Layout{everyType, {Columns: everyType.Columns[:3]}, {Tie: true}, {}}[round%4]
		rows := randomRows(r, l, r.IntN(1500), round%3 > 0)
		fs := vfs.NewMem()
		budget := NewBudget([]int64{1, 20 << 10, 1 << 30}[r.IntN(3)])
		b, err := NewBuilder(l, BuilderOptions{Partitions: 1 + r.IntN(9), Budget: budget, FS: fs, SpillPath: "spill", RowIDs: true})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, b, l, rows)
		want := sortedByKey(rows, nil)
		var s Sorter
		for p := range b.Partitions() {
			sorted, err := s.Sort(b, p, SortOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var last []byte
			for n, g := range sorted.ByKey() {
				key := sorted.AppendKey(nil, int(g))
				if n > 0 && bytes.Compare(last, key) >= 0 {
					t.Fatal("keys do not ascend")
				}
				last = key
				if sorted.Find(key) != int(g) || PartitionOf(key, b.Partitions()) != p {
					t.Fatalf("key %x is not found where it is", key)
				}
				var got []string
				for i := sorted.First[g]; i < sorted.First[g+1]; i++ {
					got = append(got, text(sorted.Rows, i))
				}
				if !slices.Equal(got, want[string(key)]) {
					t.Fatalf("key %x:\n got %v\nwant %v", key, got, want[string(key)])
				}
				delete(want, string(key))
			}
			b.Release(p)
		}
		if len(want) > 0 {
			t.Fatalf("%d keys missing", len(want))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if names, _ := fs.List(""); len(names) > 0 || budget.Used() != 0 {
			t.Fatalf("left: %v, %d bytes", names, budget.Used())
		}
	}
}

// Within and Bounds keep exactly the rows of known keys inside their bounds, under the other's numbers.
func TestSortWithin(t *testing.T) {
	r := seeded(t)
	for round := range 20 {
		l := everyType
		rows, others := randomRows(r, l, 400, round%2 == 0), randomRows(r, event.Layout{}, 60, round%3 == 0)
		var filter KeyFilter
		a, _ := NewBuilder(event.Layout{}, BuilderOptions{Partitions: 3, RowIDs: true, Record: &filter})
		fill(t, a, event.Layout{}, others)
		b, _ := NewBuilder(l, BuilderOptions{Partitions: 3, RowIDs: true, Within: &filter})
		fill(t, b, l, rows)
		var sa, sb Sorter
		for p := range 3 {
			within, err := sa.Sort(a, p, SortOptions{})
			if err != nil {
				t.Fatal(err)
			}
			bounds := make([]event.Interval, within.Groups())
			for g := range bounds {
				bounds[g] = event.Interval{Lo: r.Int64N(300), Hi: r.Int64N(300)}
			}
			got, err := sb.Sort(b, p, SortOptions{Within: within, Bounds: bounds})
			if err != nil {
				t.Fatal(err)
			}
			want := sortedByKey(rows, func(i int) bool {
				g := within.Find(rows.Key.Bytes(i))
				return PartitionOf(rows.Key.Bytes(i), 3) == p && g >= 0 && rows.TS[i] >= bounds[g].Lo && rows.TS[i] < bounds[g].Hi
			})
			for g := range got.Groups() {
				var have []string
				for i := got.First[g]; i < got.First[g+1]; i++ {
					have = append(have, text(got.Rows, i))
				}
				if key := within.AppendKey(nil, g); !slices.Equal(have, want[string(key)]) {
					t.Fatalf("key %x: got %v, want %v", key, have, want[string(key)])
				}
			}
		}
	}
}

// pieces collects the rows of a cover.
type pieces struct{ got []string }

func (c *pieces) State(event.PieceKind, event.Interval, func(int) []byte) error {
	return errors.New("a state where only rows are")
}

func (c *pieces) Rows(_ event.PieceKind, _ event.Interval, r *event.Rows, from, to int) error {
	for i := from; i < to; i++ {
		c.got = append(c.got, text(r, i))
	}
	return nil
}

func writeSegment(t *testing.T, st *Store, l event.Layout, rows *event.Rows, id string, parts int) (Segment, error) {
	b, err := NewBuilder(l, BuilderOptions{Partitions: parts, RowIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fill(t, b, l, rows)
	return st.WriteRows(context.Background(), id, 7, b)
}

// Rows of two overlapping segments, large enough for keys that span batches, come back by key and interval, before and
// after compaction.
func TestSegments(t *testing.T) {
	r := seeded(t)
	for round := range 3 {
		l := everyType
		n := []int{40_000, 900, 0}[round]
		rows := randomRows(r, l, n, false)
		st, err := Open(StoreOptions{FS: vfs.NewMem(), Dir: "d", Compression: []Compression{Plain, LZ4, Zstd}[r.IntN(3)], CacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		m := Manifest{Layout: l, Partitions: 3}
		for i := range 2 {
			seg, err := writeSegment(t, st, l, slice(rows, l, i*n/2, (i+1)*n/2), fmt.Sprint("s", i), 3)
			if err == nil {
				m, err = m.Replace(nil, seg)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		dead := map[uint64]bool{}
		for range n / 10 {
			dead[uint64(rows.RowID[r.IntN(n)])] = true
		}
		isDead := func(id uint64) bool { return dead[id] }
		for pass := range 2 {
			snap := &Snapshot{Store: st, Manifest: &m, Dead: isDead}
			if pass == 1 {
				seg, err := st.Compact(context.Background(), &m, []string{"s0", "s1"}, "c", Drop{Rows: isDead})
				if err != nil {
					t.Fatal(err)
				}
				old := m.Segments
				if m, err = m.Replace([]string{"s0", "s1"}, seg); err != nil {
					t.Fatal(err)
				}
				for _, s := range old {
					if err := st.Remove(s); err != nil {
						t.Fatal(err)
					}
				}
				snap.Dead = nil
				alive := 0
				for _, id := range rows.RowID {
					if !dead[uint64(id)] {
						alive++
					}
				}
				if seg.Rows != int64(alive) {
					t.Fatalf("%d rows after compaction, not %d", seg.Rows, alive)
				}
			}
			rd, err := snap.Reader(nil)
			if err != nil {
				t.Fatal(err)
			}
			keys := [][]byte{[]byte("unknown"), nil, appendWord(nil, 1<<40|1)}
			for range min(n, 60) {
				keys = append(keys, rows.Key.Bytes(r.IntN(n)))
			}
			for _, k := range keys {
				iv := event.Interval{Lo: r.Int64N(int64(n+1)) - 1, Hi: r.Int64N(int64(n + 100))}
				switch r.IntN(3) {
				case 0:
					iv.Lo = event.Forever
				case 1:
					iv.Hi = math.MaxInt64
				}
				if n > 900 && r.IntN(8) != 0 {
					continue
				}
				want := sortedByKey(rows, func(i int) bool {
					return string(k) == string(rows.Key.Bytes(i)) && !isDead(uint64(rows.RowID[i])) && rows.TS[i] >= iv.Lo && rows.TS[i] < iv.Hi
				})[string(k)]
				if err := rd.Seek(k); err != nil {
					t.Fatal(err)
				}
				got, from, to, err := rd.Rows(iv)
				if err != nil {
					t.Fatal(err)
				}
				var have []string
				for i := from; i < to; i++ {
					have = append(have, text(got, i))
				}
				if !slices.Equal(have, want) {
					t.Fatalf("pass %d, key %x in %v: %d rows, want %d", pass, k, iv, len(have), len(want))
				}
				var c pieces
				if err := snap.Key(k, nil).Cover(iv, &c); err != nil {
					t.Fatal(err)
				}
				slices.Sort(c.got)
				slices.Sort(want)
				if !slices.Equal(c.got, want) {
					t.Fatalf("pass %d, key %x in %v: cover has %d rows, want %d", pass, k, iv, len(c.got), len(want))
				}
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A key of many batches is cut exactly, also where times tie over the edge of a batch.
func TestLongKey(t *testing.T) {
	const n = 3*batchRows + 100
	rows := event.NewRows(event.Layout{}, n)
	for i := range n {
		rows.Key.AppendBytes(appendWord(nil, 5))
		rows.TS = append(rows.TS, int64(i/3))
		rows.RowID = append(rows.RowID, int64(i))
	}
	st, err := Open(StoreOptions{FS: vfs.NewMem(), Dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	seg, err := writeSegment(t, st, event.Layout{}, rows, "s", 1)
	if err != nil {
		t.Fatal(err)
	}
	rd, err := (&Snapshot{Store: st, Manifest: &Manifest{Partitions: 1, Segments: []Segment{seg}}}).Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rd.Seek(appendWord(nil, 5)); err != nil {
		t.Fatal(err)
	}
	for edge := 0; edge <= n; edge += batchRows {
		for d := range int64(5) {
			for _, length := range []int64{0, 1, 2, batchRows / 3, n} {
				iv := event.Interval{Lo: int64(edge/3) + d - 2}
				iv.Hi = iv.Lo + length
				first := min(max(0, int(iv.Lo)*3), n)
				last := max(first, min(max(0, int(iv.Hi)*3), n))
				got, from, to, err := rd.Rows(iv)
				if err != nil || to-from != last-first || (to > from && (got.RowID[from] != int64(first) || got.RowID[to-1] != int64(last-1))) {
					t.Fatalf("%v: rows %d to %d, want %d to %d, %v", iv, from, to, first, last, err)
				}
			}
		}
	}
}

// An error at any file operation makes writing fail without a file that looks finished, and reading fail without a panic.
func TestFileErrors(t *testing.T) {
	r := seeded(t)
	l := everyType
	rows := randomRows(r, l, 300, false)
	boom := errors.New("boom")
	for at := int64(0); ; at++ {
		mem := vfs.NewMem()
		count := int64(-1)
		failed := false
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpStat || op.Kind == errorfs.OpMkdirAll || op.Kind == errorfs.OpList {
				return nil
			}
			if count++; count == at {
				failed = true
				return boom
			}
			return nil
		}))
		st, err := Open(StoreOptions{FS: fs, Dir: "d"})
		if failed && errors.Is(err, boom) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seg, err := writeSegment(t, st, l, rows, "s", 2)
		if !failed {
			if err != nil {
				t.Fatal(err)
			}
			if at < 4 {
				t.Fatalf("only %d operations", at)
			}
			_ = seg
			return
		}
		if !errors.Is(err, boom) {
			t.Fatalf("operation %d failed, writing gave %v", at, err)
		}
		if names, _ := mem.List("d"); len(names) > 0 {
			t.Fatalf("operation %d: files left: %v", at, names)
		}
	}
}

// A damaged or cut file is an error: with verification always, without it never a panic.
func TestDamage(t *testing.T) {
	r := seeded(t)
	l := everyType
	rows := randomRows(r, l, 500, false)
	mem := vfs.NewMem()
	st, err := Open(StoreOptions{FS: mem, Dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	seg, err := writeSegment(t, st, l, rows, "s", 2)
	if err != nil {
		t.Fatal(err)
	}
	m := Manifest{Layout: l, Partitions: 2, Segments: []Segment{seg}}
	for round := range 400 {
		f := []File{seg.RowFile, seg.KeyFile}[round%2]
		name := "d/" + f.Name
		whole := readAll(t, mem, name)
		bad := slices.Clone(whole)
		if round%10 == 0 {
			bad = bad[:r.IntN(len(bad))]
		} else {
			bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
		}
		writeAll(t, mem, name, bad)
		s2, err := Open(StoreOptions{FS: mem, Dir: "d"})
		if err != nil {
			t.Fatal(err)
		}
		if err = readEverything(s2, &m, rows); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("damage to %s gives %v", name, err)
		}
		if err := s2.Close(); err != nil {
			t.Fatal(err)
		}
		writeAll(t, mem, name, whole)
	}
	if err := readEverything(st, &m, rows); err != nil {
		t.Fatal(err)
	}
}

func readEverything(st *Store, m *Manifest, rows *event.Rows) error {
	rd, err := (&Snapshot{Store: st, Manifest: m}).Reader(nil)
	if err != nil {
		return err
	}
	for i := range rows.N() {
		if err := rd.Seek(rows.Key.Bytes(i)); err != nil {
			return err
		}
		if _, _, _, err := rd.Rows(event.Interval{Lo: event.Forever, Hi: maxTS}); err != nil {
			return err
		}
	}
	return nil
}

func readAll(t *testing.T, fs vfs.FS, name string) []byte {
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func writeAll(t *testing.T, fs vfs.FS, name string, b []byte) {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(b)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckedReader reads any range of contents of any size around the page's as it was written, and damage nowhere.
func TestCheckedReader(t *testing.T) {
	r := seeded(t)
	for _, size := range []int{1, pageBytes - 1, pageBytes, pageBytes + 1, 3*pageBytes + 17} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(r.Uint32())
		}
		s := newSummer()
		for rest := content; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			s.write(rest[:n])
			rest = rest[n:]
		}
		sums := s.finish()
		want := File{Name: "f", Bytes: int64(size + len(sums)), Content: int64(size), Sum: xxh3.Hash(sums)}
		file := slices.Concat(content, sums)
		c, err := newCheckedReader(bytes.NewReader(file), want)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			from := r.IntN(size)
			p := make([]byte, 1+r.IntN(size))
			n, err := c.ReadAt(p, int64(from))
			if end := min(from+len(p), size); n != end-from || !bytes.Equal(p[:n], content[from:end]) || (n < len(p)) != (err == io.EOF) {
				t.Fatalf("%d bytes at %d of %d: %d bytes, %v", len(p), from, size, n, err)
			}
		}
		at := r.IntN(len(file))
		file[at] ^= 1
		if c, err = newCheckedReader(bytes.NewReader(file), want); at >= size {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("damage of the checksums gives %v", err)
			}
			continue
		}
		if _, err := c.ReadAt(make([]byte, 1), int64(at)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("damage at %d of %d gives %v", at, size, err)
		}
	}
}
