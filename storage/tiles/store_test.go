package tiles

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// A pack decodes to what was encoded, whatever the types and values; cut or changed bytes never panic.
func TestPackRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	types := []vector.Type{vector.T(vector.Int64), vector.T(vector.Float64), vector.DecimalOf(38, 2), vector.T(vector.Text), vector.T(vector.Bool),
		vector.T(vector.UUID), vector.ListOf(vector.T(vector.Text)), vector.MapOf(vector.T(vector.Text), vector.T(vector.Int64)), vector.T(vector.Null),
		vector.ListOf(vector.ListOf(vector.T(vector.Float64)))}
	var fill func(v *vector.Vector, depth int)
	fill = func(v *vector.Vector, depth int) {
		if r.IntN(6) == 0 {
			v.AppendNull()
			return
		}
		switch v.Type.Buffer() {
		case vector.BufI64:
			v.AppendInt([]int64{0, 1, math.MaxInt64, math.MinInt64, r.Int64N(100), r.Int64()}[r.IntN(6)])
		case vector.BufF64:
			v.AppendFloat([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(-1), 12.34, 1e300, float64(r.IntN(1000)) / 100, r.NormFloat64()}[r.IntN(8)])
		case vector.BufI128:
			v.AppendInt128(vector.Int128FromParts([]int64{0, -1, r.Int64()}[r.IntN(3)], r.Uint64()))
		case vector.BufBytes:
			v.AppendString([]string{"", "a", "\x00\xff", "merchant", fmt.Sprint(r.IntN(1000))}[r.IntN(5)])
		case vector.BufNested:
			for range r.IntN(4) {
				for _, c := range v.Child {
					fill(c, depth+1)
				}
			}
			v.CloseNested()
		case vector.BufNone:
			v.AppendNull()
		}
	}
	for range 300 {
		l := event.Layout{Tie: r.IntN(2) == 0}
		for range r.IntN(5) {
			l.Columns = append(l.Columns, types[r.IntN(len(types))])
		}
		rows := newRows(&l, 0)
		start := []int64{0, -5, math.MinInt64 + 1, math.MaxInt64 - 300_000}[r.IntN(4)]
		ts := start
		for range r.IntN(200) {
			ts += r.Int64N(1000)
			rows.TS, rows.RowID = append(rows.TS, ts), append(rows.RowID, r.Int64())
			if l.Tie {
				rows.Tie.AppendString(fmt.Sprintf("tie%d", r.IntN(100)))
			}
			for _, c := range rows.Cols {
				fill(c, 0)
			}
		}
		b := appendPack(nil, start, rows)
		got, err := decodePack(&l, start, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b2 := appendPack(nil, start, got); !bytes.Equal(b, b2) {
			t.Fatalf("encoded again:\n%x\n%x", b, b2)
		}
		again := newRows(&l, 0)
		appendRows(again, got, 0, got.N())
		if b2 := appendPack(nil, start, again); !bytes.Equal(b, b2) || fmt.Sprint(again.TS, again.RowID) != fmt.Sprint(rows.TS, rows.RowID) {
			t.Fatalf("copied:\n%x\n%x", b, b2)
		}
		for c, v := range rows.Cols {
			one, two := vector.New(v.Type, 0), vector.New(v.Type, 0)
			for i := range v.N {
				one.AppendFrom(v, i)
				two.AppendFrom(got.Cols[c], i)
			}
			if fmt.Sprint(one.I64, one.I128, string(one.Data), one.Off) != fmt.Sprint(two.I64, two.I128, string(two.Data), two.Off) {
				t.Fatalf("column %d of %s differs", c, v.Type)
			}
			for i := range one.F64 {
				if math.Float64bits(one.F64[i]) != math.Float64bits(two.F64[i]) {
					t.Fatalf("float %x, want %x", two.F64[i], one.F64[i])
				}
			}
			for i := range v.N {
				if one.IsNull(i) != two.IsNull(i) {
					t.Fatalf("column %d of %s: NULL at %d", c, v.Type, i)
				}
			}
		}
		for range 20 {
			bad := bytes.Clone(b[:r.IntN(len(b)+1)])
			if _, err := decodePack(&l, start, bad, nil); err == nil && len(bad) < len(b) && len(l.Columns) > 0 && l.Columns[0].Kind != vector.Null {
				t.Fatalf("%d of %d bytes decode", len(bad), len(b))
			}
			bad = bytes.Clone(b)
			bad[r.IntN(len(bad))] ^= byte(1 << r.IntN(8))
			_, _ = decodePack(&l, start, bad, nil)
		}
	}
}

// Records and nodes that were tampered with are errors, never panics.
func TestTamperedTables(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	g := testGroup(t, 1, Unlimited, true)
	tab := newTable(len(g.Partials), 4, 64)
	days := newDays(g, 4, 64)
	for d := range int64(30) {
		tab.open(day0+d*d, d%2)
		days.open(day0+d*d, d%2)
		for p := range g.Partials {
			tab.push(make([]byte, p&^1)) // of two that are equal one is written
			days.push(make([]byte, p&^1))
		}
		days.push(make([]byte, d))
	}
	eras := newTable(len(g.Partials), 2, 0)
	for era := range int64(2) {
		eras.open(era, 1-era)
		eras.empty()
	}
	l := &life{min: []int64{-5, 7}, max: []int64{6, 1 << 60}, states: eras}
	for _, b := range [][]byte{appendRecord(nil, &record{days: days}), appendRecord(nil, &record{days: days, life: l}), appendTable([]byte{tagInner}, tab),
		appendMeta(nil, &groupMeta{1, 2, 3}), appendPosition(nil, &position{pos: 1, rows: 2, keys: 3}),
		appendPosition(nil, &position{pos: 1, rows: 2, keys: 3, foldTo: 4, through: []byte("x")})} {
		if _, _, err := decodeValue(g, 0, b); err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if _, _, err := decodeValue(g, 0, b[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		for range 2000 {
			bad := bytes.Clone(b)
			bad[r.IntN(len(bad))] = byte(r.Uint32())
			_, _, _ = decodeValue(g, 0, bad)
		}
	}
}

func apply(t testing.TB, s *Store, g *Group, pos uint64, del, ins *event.Rows) {
	t.Helper()
	b := s.db.NewBatch()
	defer b.Close()
	done, err := s.Apply(b, g, pos, del, ins)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	done(true)
}

// Lookups of 7 and 30 days read at most four values, and one more a level in days of bursts; two where settled days have few rows,
// and one until the head day got rows twice.
func TestReadBound(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := Open(db, Options{CacheBytes: -1})
	defer s.Close()
	g := testGroup(t, 3, 30*event.Day, false)
	id := int64(0)
	since := int64(day0 - 33)
	load := func(perDay func(d int64) int64, key []byte) {
		ins := event.NewRows(g.Layout, 0)
		for d := since; d <= day0; d++ {
			n := perDay(d)
			for i := range n {
				id++
				addRow(ins, key, d*event.Day+i*(event.Day/n), id)
			}
		}
		apply(t, s, g, 1, nil, ins)
	}
	normal, hot, sparse, once := keyOf(1), keyOf(2), keyOf(3), keyOf(4)
	load(func(int64) int64 { return 3 }, once)
	load(func(int64) int64 { return 3 }, sparse)
	load(func(int64) int64 { return 200 }, normal)
	load(func(d int64) int64 {
		if d == day0-30 || d == day0-7 || d == day0 {
			return 20_000
		}
		return 10
	}, hot)
	since = day0
	load(func(int64) int64 { return 1 }, sparse)
	if err := s.Settle(context.Background(), g, day0-1, nil); err != nil {
		t.Fatal(err)
	}
	now := int64(day0)*event.Day + 50_123_456_789
	for _, c := range []struct {
		key          []byte
		least, bound int64
	}{{once, 1, 1}, {sparse, 2, 2}, {normal, 4, 4}, {hot, 4, 4 + 3*2}} {
		stats := &event.ReadStats{}
		v := s.View(0)
		p := v.Reader(g, stats).Key(c.key)
		for _, w := range []int64{7, 30, 7, 30} {
			if err := p.Cover(event.Interval{Lo: now - w*event.Day, Hi: now}, newTally(t, g, event.Interval{Lo: now - w*event.Day, Hi: now})); err != nil {
				t.Fatal(err)
			}
		}
		if stats.PointReads > c.bound || stats.PointReads < c.least {
			t.Errorf("key %x: %d reads, bound %d", c.key, stats.PointReads, c.bound)
		}
		t.Logf("key %x: %+v", c.key, *stats)
		v.Close()
	}
}

// Rows inserted together are seen together, whoever reads while they are committed, deleted, settled and pruned.
func TestReadersSeeWholeCommits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := Open(db, Options{PackRows: 4, CacheBytes: 256 << 10})
	defer s.Close()
	g := testGroup(t, 3, Unlimited, true)
	g.Partials = g.Partials[:1]
	var stop atomic.Bool
	var wg sync.WaitGroup
	var reads atomic.Int64
	const keys = 3
	all := event.Interval{Lo: event.Forever, Hi: math.MaxInt64}
	// Every commit adds a row to, or takes one from, every key, on a day of its own choice: counts of keys are always equal, and
	// never below one committed before the view.
	var committed atomic.Int64
	counts := func() [keys]uint64 {
		var out [keys]uint64
		v := s.View(0)
		defer v.Close()
		r := v.Reader(g, nil)
		for k := range int64(keys) {
			y := newTally(t, g, all)
			if err := r.Key(keyOf(k)).Cover(all, y); err != nil {
				t.Error(err)
			}
			n := vector.New(vector.T(vector.Int64), 1)
			if err := y.states[0].Finalize(n); err != nil {
				t.Error(err)
			}
			out[k] = uint64(n.I64[0])
		}
		return out
	}
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				c := counts()
				for _, n := range c {
					if n != c[0] {
						t.Errorf("counts %v", c)
						stop.Store(true)
					}
				}
				reads.Add(1)
			}
		})
	}
	wg.Go(func() { // days are published meanwhile
		for d := int64(day0); d < day0+6 && !stop.Load(); d++ {
			if err := s.Settle(context.Background(), g, d, nil); err != nil {
				t.Error(err)
			}
			if err := s.Prune(context.Background(), g); err != nil {
				t.Error(err)
			}
		}
	})
	r := rand.New(rand.NewPCG(seed, 1))
	type row struct{ ts, id int64 }
	var live []row
	for i := int64(1); i <= 800 && !stop.Load(); i++ {
		ins, del := event.NewRows(g.Layout, 0), event.NewRows(g.Layout, 0)
		x := row{(day0+r.Int64N(6))*event.Day + r.Int64N(2)*r.Int64N(event.Day), i * keys}
		into := ins
		if len(live) > 30 && r.IntN(2) == 0 {
			at := r.IntN(len(live))
			x, into = live[at], del
			live[at] = live[len(live)-1]
			live = live[:len(live)-1]
		} else {
			live = append(live, x)
		}
		for k := range int64(keys) {
			addRow(into, keyOf(k), x.ts, x.id+k)
		}
		b := db.NewBatch()
		done, err := s.Apply(b, g, uint64(i), del, ins)
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(10) == 0 {
			done(false)
			live = undo(live, x, into == ins)
		} else {
			if err := b.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			done(true)
			committed.Store(int64(len(live)))
		}
		b.Close()
		if c := counts(); c[0] != uint64(len(live)) {
			t.Fatalf("commit %d: a later view counts %d of %d rows", i, c[0], len(live))
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d reads", reads.Load())
}

func undo[T comparable](live []T, x T, inserted bool) []T {
	if inserted {
		return live[:len(live)-1]
	}
	return append(live, x)
}

// A bulk load equals the same rows applied one commit at a time, settled and pruned.
func TestBuild(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, lifetime := range []bool{false, true} {
		for range 2 {
			r := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewMem()
			db := openDB(t, fs)
			o := Options{PackRows: 16, BuildFiles: BuildFiles{FS: fs, Dir: "load"}}
			if err := fs.MkdirAll("load", 0o755); err != nil {
				t.Fatal(err)
			}
			s := Open(db, o)
			g, h := testGroup(t, 1, 5*event.Day, lifetime), testGroup(t, 2, 5*event.Day, lifetime)
			b, err := s.Build(g, day0-2)
			if err != nil {
				t.Fatal(err)
			}
			b.SetPosition(9)
			id := int64(0)
			var list []naive
			for n, at := range r.Perm(40) {
				k := int64(at)
				ins := event.NewRows(g.Layout, 0)
				for range r.IntN(200) {
					id++
					x := naive{keyOf(k), (day0-r.Int64N(12))*event.Day + r.Int64N(3)*r.Int64N(event.Day/3), id}
					list = append(list, x)
					addRow(ins, x.key, x.ts, x.id)
				}
				apply(t, s, h, uint64(n+1), nil, ins)
				ord := sorted(g, ins).rows
				if err := b.AddKey(keyOf(k), ord, 0, ord.N()); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := b.Abort(); err != nil {
				t.Fatal(err)
			}
			if err := s.Settle(context.Background(), h, day0-2, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Prune(context.Background(), h); err != nil {
				t.Fatal(err)
			}
			sg, err1 := s.Stats(g)
			sh, err2 := s.Stats(h)
			if err1 != nil || err2 != nil || sg.Rows != sh.Rows || sg.Keys != sh.Keys {
				t.Fatalf("%+v %v, want %+v %v", sg, err1, sh, err2)
			}
			if pos, ok, err := s.Position(db, g); pos != 9 || !ok || err != nil {
				t.Fatalf("position %d %v %v", pos, ok, err)
			}
			v := s.View(0)
			rg, rh := v.Reader(g, nil), v.Reader(h, nil)
			for range 2000 {
				key := keyOf(r.Int64N(41))
				iv := event.Interval{Lo: (day0-r.Int64N(12))*event.Day + r.Int64N(2)*r.Int64N(event.Day), Hi: (day0-r.Int64N(8))*event.Day + r.Int64N(event.Day)}
				if r.IntN(5) == 0 {
					iv.Lo = event.Forever
				}
				x, y := newTally(t, g, iv), newTally(t, h, iv)
				ex, ey := rg.Key(key).Cover(iv, x), rh.Key(key).Cover(iv, y)
				if errors.Is(ex, ErrNotRetained) != errors.Is(ey, ErrNotRetained) && !lifetime {
					t.Fatalf("%v: %v, applied: %v", iv, ex, ey)
				}
				if ex == nil && !equal(x.bytes(), oracle(t, g, list, key, iv)) || ey == nil && !equal(y.bytes(), oracle(t, g, list, key, iv)) {
					t.Fatalf("%v of %x: %x, applied %x", iv, key, x.bytes(), y.bytes())
				}
			}
			v.Close()
			if names, err := fs.List("load"); err != nil || len(names) > 0 {
				t.Fatalf("left behind: %v %v", names, err)
			}
			if err := s.Drop(g.Prefix); err != nil {
				t.Fatal(err)
			}
			n := 0
			if err := s.Keys(db, g, nil, func([]byte) (bool, error) { n++; return true, nil }); err != nil || n > 0 {
				t.Fatalf("%d keys after Drop: %v", n, err)
			}
			if err := s.Keys(db, h, keyOf(37), func(k []byte) (bool, error) { n++; return n < 2, nil }); err != nil || n > 2 {
				t.Fatalf("%d keys: %v", n, err)
			}
			s.Close()
			db.Close()
		}
	}
}

// What cannot be applied is an error that leaves the store as it was and usable.
func TestApplyErrors(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := Open(db, Options{})
	defer s.Close()
	g := testGroup(t, 1, Unlimited, false)
	one := func(ts, id int64) *event.Rows {
		r := event.NewRows(g.Layout, 1)
		addRow(r, keyOf(1), ts, id)
		return r
	}
	apply(t, s, g, 1, nil, one(5, 1))
	for _, c := range []struct {
		del, ins *event.Rows
		want     error
	}{{one(5, 2), nil, ErrNoRow}, {one(6, 1), nil, ErrNoRow}, {nil, one(vector.PosInfinity, 3), ErrRange}, {nil, one(vector.NegInfinity, 3), ErrRange}} {
		b := db.NewBatch()
		if _, err := s.Apply(b, g, 2, nil, one(7, 9)); err != nil {
			t.Fatal(err)
		}
		done, err := s.Apply(b, g, 2, c.del, c.ins)
		if !errors.Is(err, c.want) || done != nil {
			t.Fatalf("%v, want %v", err, c.want)
		}
		b.Close()
	}
	// Event times near the ends of int64 are rows like others.
	for i, ts := range []int64{math.MinInt64 + 2, math.MaxInt64 - 1} {
		apply(t, s, g, 3, nil, one(ts, int64(10+i)))
		for _, iv := range []event.Interval{{Lo: event.Forever, Hi: math.MaxInt64}, {Lo: ts, Hi: ts + 1}} {
			y := newTally(t, g, iv)
			if err := s.Reader(db, g, nil).Key(keyOf(1)).Cover(iv, y); err != nil || len(y.kinds) == 0 {
				t.Fatalf("%v: %v, pieces %v", iv, err, y.kinds)
			}
		}
	}
	if st, err := s.Stats(g); err != nil || st.Rows != 3 || st.Keys != 1 {
		t.Fatalf("%+v %v", st, err)
	}
}

// Groups that an older version wrote are not there, so that they are built again.
func TestOlderFormat(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := Open(db, Options{})
	defer s.Close()
	g := testGroup(t, 1, Unlimited, false)
	if err := db.Set(appendHead(nil, g.Prefix, kindPosition), []byte{tagPosOld, 7, 2, 2}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if pos, ok, err := s.Position(db, g); ok || err != nil {
		t.Fatalf("position %d %v %v", pos, ok, err)
	}
}

// Reads of very many keys leave what is read again and again in the cache, and what becomes hot gets there: of twice as many bytes
// as are hot, among twenty reads of other keys for each of a hot one.
func TestCacheKeepsHot(t *testing.T) {
	const hot, cold, size = 1000, 200_000, 100
	c := newCache(2 * hot * (size + entryCost + 8))
	read := func(k uint64) bool {
		key := binary.BigEndian.AppendUint64(nil, k)
		_, ok, wanted := c.get(key, 1)
		if wanted {
			c.offer(key, raw("x"), size, 1)
		}
		return ok
	}
	share := func(from uint64) float64 {
		hits := 0
		for k := range uint64(hot) {
			if read(from + k) {
				hits++
			}
		}
		return float64(hits) / hot
	}
	mixed := func(from uint64, rounds int) {
		for i := range rounds {
			for k := range uint64(hot) {
				read(from + k)
				for j := range uint64(20) {
					read(1<<40 + (uint64(i)*hot*20+k*20+j)%cold)
				}
			}
		}
	}
	for _, from := range []uint64{0, 1 << 30} { // the hot keys change
		mixed(from, 12)
		if got := share(from); got < 0.7 {
			t.Errorf("hot keys from %d: %.2f of the reads hit", from, got)
		}
	}
	for i := range c.shards {
		if s := &c.shards[i]; s.used > s.limit {
			t.Errorf("shard %d holds %d bytes of %d", i, s.used, s.limit)
		}
	}
}
