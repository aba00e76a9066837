package materialize

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// TestBatches makes batches of random length while rows are committed, deleted, folded and settled between their builds; some
// are discarded, and some bring rows of their own. Published features have the model's values at once, from tiles and runs, and
// what was discarded leaves nothing.
func TestBatches(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 200, 8, 0)
	values := map[uint32]func(int64) int64{}
	for round := range uint32(8) {
		b := w.m.Begin(false)
		var steps []*Built
		future := w.reg.Current()
		for i := range 1 + md.rng.Uint32N(3) {
			factor := int64(md.rng.IntN(4)) + 1
			id := 100*round + i + 1
			req := w.request(id, tableID, fmt.Sprintf("v * %d", factor), true)
			for j, k := range req.Keys { // a key of its own: a group for each feature
				k.SQL = fmt.Sprintf("(k + 0 * %d)", id)
				req.Keys[j] = k
			}
			built, err := b.Build(t.Context(), func() (*schema.Catalog, error) { return future, nil }, req)
			must(t, err)
			steps = append(steps, built)
			next := w.reg.Current().Clone().Index()
			for _, s := range steps {
				must(t, s.Put(next))
			}
			future = next.Index()
			w.commit(md, md.rng.IntN(30), 9, md.rng.IntN(10))
			switch md.rng.IntN(3) {
			case 0:
				must(t, w.m.FlushTails(t.Context(), true))
			case 1:
				must(t, w.m.Settle(t.Context()))
			}
			values[id] = func(v int64) int64 { return v * factor }
		}
		if md.rng.IntN(3) == 0 {
			must(t, b.Discard(nil))
			for _, s := range steps {
				delete(values, s.req.Feature.ID)
			}
			continue
		}
		var rows []reclog.Change
		n, next := 0, w.nextID(md)
		if md.rng.IntN(2) == 0 {
			n = md.rng.IntN(20)
			rows = append(rows, reclog.Change{Source: tableID, Inserts: md.random(n, 9)})
		}
		version := w.reg.Current().Version
		must(t, b.Publish(t.Context(), rows, func(c *schema.Catalog) error {
			for _, s := range steps {
				if err := s.Put(c); err != nil {
					return err
				}
				c.Index()
			}
			return nil
		}))
		if now := w.reg.Current().Version; now != version+1 {
			t.Fatalf("%d catalog versions for one batch", now-version)
		}
		for i := range n {
			in := rows[0].Inserts
			md.rows = append(md.rows, &row{id: next + uint64(i), ts: in.Cols[0].I64[i], k: in.Cols[1].I64[i], v: in.Cols[2].I64[i], added: w.log.Position()})
		}
		w.commit(md, md.rng.IntN(10), 9, md.rng.IntN(10))
		if md.rng.IntN(3) == 0 {
			w.reopen(nil)
		}
		for id, value := range values {
			w.check(md.rows, md.rng, id, 10, value)
		}
		if got := w.tilePrefixes(); got != len(values) {
			t.Fatalf("tiles of %d groups for %d features", got, len(values))
		}
	}
}

// nextID is the id that the next row of the table gets.
func (w *world) nextID(md *model) uint64 {
	next := uint64(1)
	for _, r := range md.rows {
		next = max(next, r.id+1)
	}
	return next
}

// TestUncommittedIsRemoved opens a directory in which a crash left what a transaction had built: a table that was never
// committed, its projection, and features' groups.
func TestUncommittedIsRemoved(t *testing.T) {
	w := newWorld(t)
	r := &schema.Relation{ID: tableID, Name: "t", Kind: schema.EventTable, Columns: testColumns, EventTime: "ts"}
	future := w.reg.Current().Clone()
	future.Relations[r.ID] = r
	b := w.m.Begin(false)
	built, err := b.Build(t.Context(), func() (*schema.Catalog, error) { return future.Index(), nil }, w.request(1, tableID, "v", true))
	must(t, err)
	must(t, built.Put(future))
	projected := func() bool {
		conn, err := w.db.Connect()
		must(t, err)
		defer conn.Close()
		_, found, err := projectedTo(t.Context(), conn, tableID)
		must(t, err)
		return found
	}
	if !projected() {
		t.Fatal("the table was not read")
	}
	w.reopen(nil)
	w.empty()
	if projected() {
		t.Error("the projection of a table that was never committed is still there")
	}
}

// TestOvertaken publishes over a source that was refreshed, and over a group that was replaced.
func TestOvertaken(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.source()
	rows := w.write(md, "a.parquet", 50, 0, 3)
	w.refresh(md, rows, nil)
	publish := func(b *Batch, built *Built) error { return b.Publish(t.Context(), nil, built.Put) }

	b := w.m.Begin(false)
	built, err := b.Build(t.Context(), w.m.current, w.request(1, sourceID, "v", false))
	must(t, err)
	w.refresh(md, w.write(md, "b.parquet", 50, 0, 3), nil)
	if err := publish(b, built); !errors.Is(err, ErrOvertaken) {
		t.Fatal("a refresh went unnoticed:", err)
	}

	b = w.m.Begin(false)
	built, err = b.Build(t.Context(), w.m.current, w.request(1, sourceID, "v", false))
	must(t, err)
	w.feature(2, sourceID, "v", false)
	if err := publish(b, built); !errors.Is(err, ErrOvertaken) {
		t.Fatal("a group in the way went unnoticed:", err)
	}
	b = w.m.Begin(false)
	built, err = b.Build(t.Context(), w.m.current, w.request(1, sourceID, "v", false))
	must(t, err)
	must(t, publish(b, built))
	if g := w.reg.Current().Groups; len(g) != 1 {
		t.Errorf("%d groups, not one that both features share", len(g))
	}
}
