package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// bind is an aggregate of the list. maxState 0 is the default.
func bind(t testing.TB, name string, maxState int, args ...vector.Type) functions.Aggregate {
	t.Helper()
	d, ok := functions.Lookup(name)
	if !ok {
		t.Fatalf("no aggregate %s", name)
	}
	a, err := d.Bind(args, make([]string, len(args)), functions.Options{MaxState: maxState})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// testGroup has a partial with an inverse, ones without, a filtered one, and one that becomes too large.
func testGroup(t testing.TB, prefix uint32, retain int64, lifetime bool) *Group {
	i64, text := vector.T(vector.Int64), vector.T(vector.Text)
	return &Group{
		Prefix: prefix, Retain: retain, Lifetime: lifetime,
		Layout: event.Layout{Keys: []vector.Type{i64}, Tie: true, Columns: []vector.Type{i64, text, vector.T(vector.Bool)}},
		Partials: []event.Partial{
			{Agg: bind(t, "count", 0), Filter: -1},
			{Agg: bind(t, "sum", 0, i64), Args: []int{0}, Filter: 2},
			{Agg: bind(t, "max", 0, i64), Args: []int{0}, Filter: -1},
			{Agg: bind(t, "last", 0, text), Args: []int{1}, Filter: -1},
			{Agg: bind(t, "count_distinct", 60, i64), Args: []int{0}, Filter: -1},
		},
	}
}

func keyOf(k int64) []byte {
	v := vector.New(vector.T(vector.Int64), 1)
	v.AppendInt(k)
	return vector.AppendKey(nil, v, 0)
}

// addRow appends a row whose values follow from id.
func addRow(r *event.Rows, key []byte, ts, id int64) {
	r.Key.AppendBytes(key)
	r.TS, r.RowID = append(r.TS, ts), append(r.RowID, id)
	r.Tie.AppendBytes([]byte(fmt.Sprintf("%03d", id*7%50)))
	if id%11 == 0 {
		r.Cols[0].AppendNull()
	} else {
		r.Cols[0].AppendInt(id*id%1000 - 300)
	}
	r.Cols[1].AppendString(fmt.Sprintf("v%d", id%17))
	if id%13 == 0 {
		r.Cols[2].AppendNull()
	} else {
		r.Cols[2].AppendBool(id%3 != 0)
	}
}

// tally is a Visitor that folds pieces into states, and checks what it is given.
type tally struct {
	t      testing.TB
	g      *Group
	iv     event.Interval
	states []functions.State
	kinds  map[event.PieceKind]int
}

func newTally(t testing.TB, g *Group, iv event.Interval) *tally {
	y := &tally{t: t, g: g, iv: iv, kinds: map[event.PieceKind]int{}}
	for _, p := range g.Partials {
		y.states = append(y.states, p.Agg.New())
	}
	return y
}

func (y *tally) State(kind event.PieceKind, span event.Interval, encoded func(int) []byte) error {
	if span.Lo < y.iv.Lo || span.Hi > y.iv.Hi {
		y.t.Errorf("%s %v is not in %v", kind, span, y.iv)
	}
	y.kinds[kind]++
	for p, s := range y.states {
		if b := encoded(p); b != nil {
			if err := s.MergeEncoded(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (y *tally) Rows(kind event.PieceKind, span event.Interval, r *event.Rows, from, to int) error {
	y.kinds[kind]++
	for p := range y.states {
		in := y.g.Partials[p].Input(r)
		for i := from; i < to; i++ {
			if r.TS[i] < max(y.iv.Lo, span.Lo) || r.TS[i] >= min(y.iv.Hi, span.Hi) {
				y.t.Errorf("row at %d is not in %v of %v", r.TS[i], span, y.iv)
			}
			if y.g.Partials[p].Passes(r, i) {
				y.states[p].Update(in, i)
			}
		}
	}
	return nil
}

func (y *tally) bytes() [][]byte {
	var out [][]byte
	for _, s := range y.states {
		out = append(out, s.Append(nil))
	}
	return out
}

// naive is the oracle: a list of rows.
type naive struct {
	key []byte
	ts  int64
	id  int64
}

func oracle(t testing.TB, g *Group, rows []naive, key []byte, iv event.Interval) [][]byte {
	in := event.NewRows(g.Layout, 0)
	for _, r := range rows {
		if bytes.Equal(r.key, key) && iv.Lo <= r.ts && r.ts < iv.Hi {
			addRow(in, r.key, r.ts, r.id)
		}
	}
	y := newTally(t, g, event.Interval{Lo: event.Forever, Hi: 1<<63 - 1})
	if err := y.Rows(event.PieceRun, y.iv, in, 0, in.N()); err != nil {
		t.Fatal(err)
	}
	return y.bytes()
}

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

const day0 = 20_000 // 2024-10-04

func TestModel(t *testing.T) {
	for _, o := range []Options{
		{PackRows: 8, FoldKeys: 1}, {PackRows: 8, FoldKeys: 2}, {PackRows: 8, NoPacks: true}, {PackRows: 8, NoLevels: true}, {}, {NoInline: true}, {PackRows: 3, CacheBytes: -1}, {PackRows: 8, CacheBytes: 200 << 10},
	} {
		for _, lifetime := range []bool{false, true} {
			t.Run(fmt.Sprintf("pack%d-nopacks%v-noinline%v-nolevels%v-cache%d-life%v", o.PackRows, o.NoPacks, o.NoInline, o.NoLevels, o.CacheBytes, lifetime), func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				runModel(t, rand.New(rand.NewPCG(seed, 1)), o, lifetime)
			})
		}
	}
}

type model struct {
	t       *testing.T
	r       *rand.Rand
	fs      vfs.FS
	db      *pebble.DB
	s       *Store
	g       *Group
	o       Options
	rows    []naive
	lost    map[string]bool // keys whose lifetime state is broken
	horizon int64
	pruned  map[string][2]int64 // event times folded, by key
	nextID  int64
	pos     uint64
	fresh   []added // rows that were given to Add since the tiles' position
	reads   int
	refused int
}

// added is rows of one position.
type added struct {
	pos  uint64
	rows []naive
}

// interrupt is a context that ends after some looks at it.
type interrupt struct {
	context.Context
	looks int
}

func (c *interrupt) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// fold takes fresh rows to the tiles, all or some.
func (m *model) foldFresh() {
	err := m.s.Fold(&interrupt{context.Background(), m.r.IntN(5)}, m.g)
	if err != nil && !errors.Is(err, context.Canceled) {
		m.t.Fatal(err)
	}
}

// waits reports whether there are fresh rows.
func (m *model) waits() bool {
	_, _, waits, err := m.s.Fresh(m.g)
	if err != nil {
		m.t.Fatal(err)
	}
	return waits
}

// settleFresh takes all fresh rows to the tiles.
func (m *model) settleFresh() {
	if err := m.s.FoldAll(context.Background(), m.g); err != nil {
		m.t.Fatal(err)
	}
	for _, a := range m.fresh {
		for _, x := range a.rows {
			if event.DayOf(x.ts) < m.horizon {
				m.fold(x)
			}
		}
	}
	m.fresh = nil
}

// replay gives the store the fresh rows again that it lost with its process.
func (m *model) replay() {
	pos, _, err := m.s.Position(m.db, m.g)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, a := range m.fresh {
		if a.pos > pos {
			m.add(a)
		}
	}
}

func (m *model) add(a added) {
	b := m.db.NewBatch()
	defer b.Close()
	rows := event.NewRows(m.g.Layout, 0)
	for _, x := range a.rows {
		addRow(rows, x.key, x.ts, x.id)
	}
	done, err := m.s.Add(b, m.g, a.pos, rows)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	done(true)
}

// commitFresh commits insertions that stay fresh, or are not committed after all.
func (m *model) commitFresh(now int64) {
	b := m.db.NewBatch()
	defer b.Close()
	var dones []func(bool)
	var all []added
	pos := m.pos
	for range 1 + m.r.IntN(3) {
		pos++
		a, rows := added{pos: pos}, event.NewRows(m.g.Layout, 0)
		for range 1 + m.r.IntN(8) {
			x := naive{m.key(), m.ts(now), m.nextID}
			m.nextID++
			a.rows = append(a.rows, x)
			addRow(rows, x.key, x.ts, x.id)
		}
		done, err := m.s.Add(b, m.g, pos, rows)
		if err != nil {
			m.t.Fatal(err)
		}
		all, dones = append(all, a), append(dones, done)
	}
	if m.r.IntN(3) == 0 {
		m.read(now) // before the commit
	}
	commit := m.r.IntN(8) != 0
	if commit {
		if err := b.Commit(pebble.NoSync); err != nil {
			m.t.Fatal(err)
		}
		m.pos, m.fresh = pos, append(m.fresh, all...)
		for _, a := range all {
			m.rows = append(m.rows, a.rows...)
		}
		if m.r.IntN(3) == 0 {
			m.read(now) // before the outcome is told
		}
	}
	for _, done := range dones {
		done(commit)
	}
}

// runModel makes random changes and compares reads with the oracle. what follow returns for a model is called after each change.
func runModel(t *testing.T, r *rand.Rand, o Options, lifetime bool, follow ...func(m *model) func(now int64)) {
	m := &model{t: t, r: r, fs: vfs.NewMem(), o: o, nextID: 1, horizon: noDay, lost: map[string]bool{}, pruned: map[string][2]int64{}}
	m.db = openDB(t, m.fs)
	m.s = Open(m.db, m.o)
	m.g = testGroup(t, 7, 4*event.Day+1, lifetime)
	if lifetime && r.IntN(3) > 0 {
		m.g.Eras = []int64{(day0-8)*event.Day + r.Int64N(event.Day), (day0 - 3) * event.Day, (day0+2)*event.Day + r.Int64N(event.Day)}
	}
	now := int64(day0)
	var followers []func(now int64)
	for _, f := range follow {
		followers = append(followers, f(m))
	}
	for range 250 {
		switch k := r.IntN(40); {
		case k == 0:
			if err := m.s.Settle(context.Background(), m.g, now-1-r.Int64N(2), nil); err != nil {
				t.Fatal(err)
			}
		case k == 1:
			m.prune()
		case k == 2:
			m.s.Close()
			if err := m.db.Close(); err != nil {
				t.Fatal(err)
			}
			m.db = openDB(t, m.fs)
			m.s = Open(m.db, m.o)
			m.replay()
		case k == 3:
			now++
		case k < 6:
			m.settleFresh()
			m.rebuild()
		case k < 15:
			m.commitFresh(now)
		case k < 18:
			m.foldFresh()
		case k < 25 && m.waits():
			m.commitFresh(now)
		default:
			m.commit(now)
		}
		for _, f := range followers {
			f(now)
		}
		for range 6 {
			m.read(now)
		}
	}
	m.settleFresh()
	m.checkWhole()
	t.Logf("%d rows, %d reads, %d refused", len(m.rows), m.reads, m.refused)
	m.s.Close()
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) key() []byte { return keyOf(m.r.Int64N(4) - 1) }

// ts is an event time: mostly near, at day edges, in bursts.
func (m *model) ts(now int64) int64 {
	d := now - m.r.Int64N(4)
	switch m.r.IntN(12) {
	case 0:
		return d * event.Day
	case 1:
		return d*event.Day - 1
	case 2:
		return d*event.Day + 1
	case 3:
		return (now-m.r.Int64N(12))*event.Day + m.r.Int64N(event.Day)
	case 4, 5, 6:
		return d*event.Day + 40_000_000_000 + m.r.Int64N(1_000_000)
	case 7:
		return d*event.Day + 40_000_000_000 + m.r.Int64N(4)
	}
	return d*event.Day + m.r.Int64N(event.Day)
}

func (m *model) commit(now int64) {
	m.settleFresh()
	b := m.db.NewBatch()
	defer b.Close()
	kept, before := slices.Clone(m.rows), m.rows
	prunedBefore := map[string][2]int64{}
	for k, v := range m.pruned {
		prunedBefore[k] = v
	}
	lost := map[string]bool{}
	var done func(bool)
	for range 1 + m.r.IntN(3) {
		ins, del := event.NewRows(m.g.Layout, 0), event.NewRows(m.g.Layout, 0)
		n, key, at := m.r.IntN(6), m.key(), m.ts(now)
		burst := m.r.IntN(25) == 0
		if burst {
			n = 100
		}
		same := m.r.IntN(2) == 0
		var fresh []naive
		for range n {
			x := naive{m.key(), m.ts(now), m.nextID}
			if burst {
				if x.key, x.ts = key, at; !same {
					x.ts += m.r.Int64N(1_000_000)
				}
			}
			m.nextID++
			fresh = append(fresh, x)
			addRow(ins, x.key, x.ts, x.id)
			if m.r.IntN(20) == 0 { // comes and goes at once
				addRow(del, x.key, x.ts, x.id)
				fresh = fresh[:len(fresh)-1]
			}
		}
		dels := m.r.IntN(4)
		if m.r.IntN(20) == 0 {
			dels = len(kept) / 2
		}
		for range min(dels, len(kept)) {
			i := m.r.IntN(len(kept))
			x := kept[i]
			addRow(del, x.key, x.ts, x.id)
			kept[i] = kept[len(kept)-1]
			kept = kept[:len(kept)-1]
			if event.DayOf(x.ts) < m.horizon {
				lost[string(x.key)] = true
			}
		}
		for _, x := range fresh {
			if event.DayOf(x.ts) < m.horizon {
				m.fold(x)
			}
		}
		kept = append(kept, fresh...)
		m.pos++
		var err error
		if done, err = m.s.Apply(b, m.g, m.pos, del, ins); err != nil {
			m.t.Fatal(err)
		}
	}
	commit := m.r.IntN(8) != 0
	if commit {
		if err := b.Commit(pebble.NoSync); err != nil {
			m.t.Fatal(err)
		}
		m.rows = kept
	} else {
		m.rows, m.pruned = before, prunedBefore
	}
	done(commit)
	m.listBroken()
	if commit && m.g.Lifetime {
		for k := range lost {
			if !m.lost[k] {
				m.t.Fatalf("a row of key %x was deleted from its lifetime state, and nobody was told", k)
			}
		}
	}
}

func (m *model) listBroken() {
	keys, err := m.s.Broken(m.g, nil, 1<<30)
	if err != nil {
		m.t.Fatal(err)
	}
	clear(m.lost)
	for _, k := range keys {
		m.lost[string(k)] = true
	}
	var paged [][]byte // a pass over them meets each once
	for after := []byte(nil); ; after = paged[len(paged)-1] {
		some, err := m.s.Broken(m.g, after, 1+m.r.IntN(3))
		if err != nil {
			m.t.Fatal(err)
		}
		if len(some) == 0 {
			break
		}
		paged = append(paged, some...)
	}
	if !slices.EqualFunc(keys, paged, bytes.Equal) {
		m.t.Fatalf("keys to rebuild: %x, some at a time: %x", keys, paged)
	}
}

func (m *model) fold(x naive) {
	p, ok := m.pruned[string(x.key)]
	if !ok {
		p = [2]int64{x.ts, x.ts}
	}
	m.pruned[string(x.key)] = [2]int64{min(p[0], x.ts), max(p[1], x.ts)}
}

func (m *model) prune() {
	if err := m.s.Prune(context.Background(), m.g); err != nil {
		m.t.Fatal(err)
	}
	h, _, err := m.s.RetainedFrom(m.g)
	if err != nil {
		m.t.Fatal(err)
	}
	m.horizon = h
	for _, x := range m.rows { // fresh ones are folded later, or were
		if event.DayOf(x.ts) < h {
			m.fold(x)
		}
	}
}

func (m *model) rebuild() {
	for k := range m.lost {
		rows := event.NewRows(m.g.Layout, 0)
		for _, x := range m.rows {
			if string(x.key) == k {
				addRow(rows, x.key, x.ts, x.id)
			}
		}
		rows = sorted(m.g, rows).rows
		if err := m.s.Rebuild(m.g, []byte(k), rows, 0, rows.N()); err != nil {
			m.t.Fatal(err)
		}
	}
	if m.listBroken(); len(m.lost) > 0 {
		m.t.Fatalf("rebuilt keys still wait: %v", m.lost)
	}
}

func (m *model) read(now int64) {
	edge := func() int64 {
		if len(m.rows) > 0 && m.r.IntN(2) == 0 {
			return m.rows[m.r.IntN(len(m.rows))].ts + m.r.Int64N(3) - 1
		}
		return m.ts(now + 1)
	}
	iv := event.Interval{Lo: edge(), Hi: edge()}
	switch m.r.IntN(6) {
	case 0:
		iv.Lo = event.Forever
		if n := len(m.g.Eras); n > 0 && m.r.IntN(2) == 0 {
			iv.Lo = m.g.Eras[m.r.IntN(n)]
		}
	case 1:
		iv.Hi = 1<<63 - 1
	case 2, 3:
		iv.Lo, iv.Hi = min(iv.Lo, iv.Hi), max(iv.Lo, iv.Hi)
	}
	key := m.key()
	y := newTally(m.t, m.g, iv)
	v := m.s.View(m.pos)
	defer v.Close()
	stats := &event.ReadStats{}
	r := v.Reader(m.g, stats)
	if m.r.IntN(4) == 0 && !m.waits() {
		r = m.s.Reader(m.db, m.g, stats)
	}
	err := r.Key(key).Cover(iv, y)
	m.reads++
	if errors.Is(err, ErrNotRetained) {
		m.refused++
		p, ok := m.pruned[string(key)]
		cut := ok && p[0] < iv.Hi && iv.Lo <= p[1] // a superset of what the store may refuse
		// Deletions leave the bounds of the lifetime state, and a level's day has only the day's bounds.
		if m.g.Lifetime && !m.lost[string(key)] && event.DayOf(iv.Lo) >= m.horizon && iv.Lo > event.Forever {
			m.t.Fatalf("%v: %v", iv, err)
		}
		if m.g.Lifetime && (iv.Lo == event.Forever || slices.Contains(m.g.Eras, iv.Lo)) && iv.Hi > m.horizon*event.Day && !m.lost[string(key)] && cut {
			m.t.Fatalf("%v: %v", iv, err)
		}
		if !m.g.Lifetime && event.DayOf(iv.Lo) >= m.horizon {
			m.t.Fatalf("%v: %v", iv, err)
		}
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if iv.Lo < iv.Hi && !m.g.Lifetime && event.DayOf(iv.Lo) < m.horizon {
		m.t.Fatalf("%v reaches below day %d", iv, m.horizon)
	}
	if want := oracle(m.t, m.g, m.rows, key, iv); !equal(y.bytes(), want) {
		m.t.Fatalf("key %x, %v: %x, want %x (pieces %v)", key, iv, y.bytes(), want, y.kinds)
	}
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// checkWhole compares keys, counts and the consistency of the index with the list of rows.
func (m *model) checkWhole() {
	keys, days := map[string]bool{}, map[string]bool{}
	var rows int64
	for _, x := range m.rows {
		d := event.DayOf(x.ts)
		if d >= m.horizon {
			keys[string(x.key)] = true
			days[string(appendDayKey(nil, 7, d, x.key))] = true
			rows++
		}
		if m.g.Lifetime {
			keys[string(x.key)] = true
		}
	}
	var got []string
	err := m.s.Keys(m.db, m.g, nil, func(k []byte) (bool, error) { got = append(got, string(k)); return true, nil })
	if err != nil || !slices.IsSorted(got) || len(got) < len(keys) || !m.g.Lifetime && len(got) != len(keys) {
		m.t.Fatalf("keys %x, want %d: %v", got, len(keys), err)
	}
	st, err := m.s.Stats(m.g)
	if err != nil || st.Rows != rows || st.Keys != int64(len(got)) {
		m.t.Fatalf("stats %+v, want %d rows, %d keys: %v", st, rows, len(got), err)
	}
	if pos, ok, err := m.s.Position(m.db, m.g); err != nil || !ok || pos > m.pos {
		m.t.Fatalf("position %d %v %v", pos, ok, err)
	}
	n := 0
	lo, hi := kindBounds(7, kindDay)
	it, err := m.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		m.t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if !days[string(it.Key())] {
			m.t.Fatalf("index has %x", it.Key())
		}
		n++
	}
	if n != len(days) {
		m.t.Fatalf("index has %d days, want %d", n, len(days))
	}
	m.checkNodes()
}

// checkNodes walks every record: each node of the database is named by a parent.
func (m *model) checkNodes() {
	named := 0
	f := newFolder(m.g)
	err := m.s.Keys(m.db, m.g, nil, func(k []byte) (bool, error) {
		b := m.db.NewBatch()
		defer b.Close()
		t := m.s.begin(b)
		defer t.finish(false)
		rec, err := t.record(m.g, k)
		if err != nil {
			return false, err
		}
		for i, d := range rec.days.ids {
			w, err := t.tree(f, k, d, rec, i)
			if err == nil {
				err = w.harvest(0, 0, newRows(&m.g.Layout, 0))
			}
			if err == nil {
				_, err = w.place(nil, true)
			}
			if err != nil {
				return false, err
			}
		}
		named += len(t.overlay)
		return true, nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	lo, hi := kindBounds(7, kindNode)
	it, err := m.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		m.t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if n != named {
		m.t.Fatalf("%d nodes in the database, %d named", n, named)
	}
}
