package tiles

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// folds is a Visitor as an assembly is: one state a partial, reused.
type folds struct {
	g      *Group
	states []functions.State
	inputs []functions.Input
}

func newFolds(g *Group) *folds {
	f := &folds{g: g, inputs: make([]functions.Input, len(g.Partials))}
	for i, p := range g.Partials {
		f.states = append(f.states, p.Agg.New())
		f.inputs[i].Args = make([]*vector.Vector, len(p.Args))
	}
	return f
}

func (f *folds) State(_ event.PieceKind, _ event.Interval, encoded func(int) []byte) error {
	for p, s := range f.states {
		if b := encoded(p); b != nil {
			if err := s.MergeEncoded(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *folds) Rows(_ event.PieceKind, _ event.Interval, r *event.Rows, from, to int) error {
	for p, s := range f.states {
		in, part := &f.inputs[p], &f.g.Partials[p]
		in.TS, in.Tie = r.TS, r.Tie
		for i, c := range part.Args {
			in.Args[i] = r.Cols[c]
		}
		for i := from; i < to; i++ {
			if part.Passes(r, i) {
				s.Update(in, i)
			}
		}
	}
	return nil
}

const benchRowsPerDay = 20

func benchGroup(b *testing.B) *Group {
	g := testGroup(b, 9, 30*event.Day, false)
	i64 := vector.T(vector.Int64)
	g.Partials[3] = event.Partial{Agg: bind(b, "avg", 0, i64), Args: []int{0}, Filter: -1}
	g.Partials[4] = event.Partial{Agg: bind(b, "min", 0, i64), Args: []int{0}, Filter: -1}
	return g
}

func benchStore(b *testing.B, o Options, keys int64) (*Store, *Group) {
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}, Cache: pebble.NewCache(256 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	o.BuildFiles = BuildFiles{FS: vfs.Default, Dir: b.TempDir()}
	s, g := Open(db, o), benchGroup(b)
	b.Cleanup(s.Close)
	build, err := s.Build(g, day0-1)
	if err != nil {
		b.Fatal(err)
	}
	id := int64(0)
	for k := range keys {
		rows := event.NewRows(g.Layout, 0)
		for d := int64(day0 - 31); d <= day0; d++ {
			for i := range int64(benchRowsPerDay) {
				id++
				addRow(rows, keyOf(k), d*event.Day+i*(event.Day/benchRowsPerDay), id)
			}
		}
		if err := build.AddKey(keyOf(k), rows, 0, rows.N()); err != nil {
			b.Fatal(err)
		}
	}
	if err := build.Finish(); err != nil {
		b.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		b.Fatal(err)
	}
	return s, g
}

func lookups(b *testing.B, s *Store, g *Group, keys int64) {
	f := newFolds(g)
	now := int64(day0)*event.Day + event.Day/2 + 7
	stats := &event.ReadStats{}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range int64(b.N) {
		v := s.View(0)
		p := v.Reader(g, stats).Key(keyOf(i * 7919 % keys))
		for _, w := range [...]int64{7, 30} {
			for _, st := range f.states {
				st.Reset()
			}
			if err := p.Cover(event.Interval{Lo: now - w*event.Day, Hi: now}, f); err != nil {
				b.Fatal(err)
			}
		}
		v.Close()
	}
	b.ReportMetric(float64(stats.PointReads)/float64(b.N), "reads/op")
	b.ReportMetric(float64(stats.States+stats.Rows)/float64(b.N), "pieces/op")
}

// Ten values over 7 and 30 days of five partials: pieces of a cached key, folded.
func BenchmarkLookupHot(b *testing.B) {
	s, g := benchStore(b, Options{}, 100)
	lookups(b, s, g, 100)
}

// The same with every value read from Pebble and decoded.
func BenchmarkLookupCold(b *testing.B) {
	s, g := benchStore(b, Options{CacheBytes: -1}, 3000)
	lookups(b, s, g, 3000)
}

func BenchmarkView(b *testing.B) {
	db := openDB(b, vfs.NewMem())
	defer db.Close()
	s := Open(db, Options{})
	defer s.Close()
	for range b.N {
		s.View(0).Close()
	}
}

// One row of a key with benchRowsPerDay rows a day; the batch is not committed to disk.
func BenchmarkApplyOne(b *testing.B) {
	s, g := benchStore(b, Options{}, 1000)
	ins := event.NewRows(g.Layout, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range int64(b.N) {
		ins.Key.Reset()
		ins.TS, ins.RowID = ins.TS[:0], ins.RowID[:0]
		ins.Tie.Reset()
		for _, c := range ins.Cols {
			c.Reset()
		}
		addRow(ins, keyOf(i*7919%1000), day0*event.Day+i%event.Day, 1<<30+i)
		batch := s.db.NewBatch()
		done, err := s.Apply(batch, g, uint64(i), nil, ins)
		if err != nil {
			b.Fatal(err)
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			b.Fatal(err)
		}
		done(true)
		_ = batch.Close()
	}
}

// A bulk load of keys with 640 rows over 32 days each.
func BenchmarkBuild(b *testing.B) {
	benchStore(b, Options{}, int64(b.N))
	b.ReportMetric(float64(b.N)*32*benchRowsPerDay/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkSettleDay(b *testing.B) {
	s, g := benchStore(b, Options{}, int64(b.N))
	b.ResetTimer()
	if err := s.Settle(context.Background(), g, day0, nil); err != nil {
		b.Fatal(err)
	}
}
