package materialize

import (
	"context"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// tail is what the log holds of a group after its runs: the rows that came, and the row versions that went. It grows with
// each read and is dropped when the runs are rebuilt; flushTail bounds it.
type tail struct {
	group  *schema.Group
	upTo   uint64 // positions (manifest's, upTo] are in it
	rows   *event.Rows
	dead   map[uint64]uint64  // row id → the position at which it went
	days   map[string][]int64 // days of deleted rows by key, ascending, for keys whose day partials are stale
	sorted *runs.Sorted
}

// Snapshot is a group's rows at a position not before the manifest's. base is the group's base relation.
func (m *Manager) Snapshot(ctx context.Context, cat *schema.Catalog, g *Group, position uint64) (*runs.Snapshot, error) {
	snap := &runs.Snapshot{Store: m.runs, Manifest: g.Manifest}
	r := cat.Relations[g.Schema.Relation]
	b := base(cat, r)
	if b.Kind == schema.FileSource {
		snap.Dead = deadFiles(b.File, position)
		snap.NoPartials = position < g.Manifest.Position
		return snap, nil
	}
	m.tailMu.Lock()
	defer m.tailMu.Unlock()
	t := m.tails[g.Schema.ID]
	keep := true
	if t == nil || t.group != g.Schema || position < t.upTo {
		keep = t == nil || t.group != g.Schema // a read of an older position does not take away what newer ones have
		t = &tail{group: g.Schema, upTo: g.Manifest.Position, rows: event.NewRows(g.Schema.Layout, 0), dead: map[uint64]uint64{}, days: map[string][]int64{}}
	}
	if position > t.upTo {
		next, err := m.extend(ctx, cat, b, t, position)
		if err != nil {
			return nil, err
		}
		t = next
	}
	if keep {
		m.tails[g.Schema.ID] = t
	}
	if t.sorted != nil {
		snap.Tail = t.sorted
	}
	if len(t.dead) > 0 {
		dead, days := t.dead, t.days
		snap.Dead = func(id uint64) bool { _, gone := dead[id]; return gone }
		snap.Dirty = func(key []byte, dst []int64) []int64 { return append(dst, days[string(key)]...) }
	}
	return snap, nil
}

// extend is t with the changes up to position. t itself stays as readers have it.
func (m *Manager) extend(ctx context.Context, cat *schema.Catalog, b *schema.Relation, t *tail, position uint64) (*tail, error) {
	next := &tail{group: t.group, upTo: position, rows: event.NewRows(t.group.Layout, t.rows.N()), dead: map[uint64]uint64{}, days: map[string][]int64{}, sorted: t.sorted}
	for id, p := range t.dead {
		next.dead[id] = p
	}
	for k, d := range t.days {
		next.days[k] = d
	}
	for i := range t.rows.N() {
		next.rows.Append(t.rows, i)
	}
	grown := false
	types := columnTypes(b)
	err := m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), t.upTo, position, types, func(pos uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
		for _, id := range deleted {
			next.dead[id] = pos
		}
		if ins == nil || ins.N == 0 {
			return nil
		}
		rows, err := m.eval.rows(ctx, cat, t.group, ins, consecutive(first, ins.N))
		if err != nil {
			return err
		}
		for i := range rows.N() {
			next.rows.Append(rows, i)
		}
		grown = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := m.dirtyDays(ctx, cat, b, t, next); err != nil {
		return nil, err
	}
	if grown {
		if next.sorted, err = runs.NewTail(t.group.Layout, next.rows); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// dirtyDays notes the key and day of every row that went since t and that the runs hold. The log keeps deleted rows' changes,
// so the old rows are found by scanning it once more only when something was deleted.
func (m *Manager) dirtyDays(ctx context.Context, cat *schema.Catalog, b *schema.Relation, t, next *tail) error {
	if len(next.dead) == len(t.dead) {
		return nil
	}
	wanted := map[uint64]bool{}
	for id := range next.dead {
		if _, old := t.dead[id]; !old {
			wanted[id] = true
		}
	}
	return m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, next.upTo, columnTypes(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
		if ins == nil {
			return nil
		}
		gone := &vector.Chunk{}
		var ids []int64
		for i := range ins.N {
			id := first + uint64(i)
			if !wanted[id] {
				continue
			}
			if gone.Cols == nil {
				gone = vector.NewChunk(columnTypes(b), 1)
			}
			gone.AppendRow(ins, i)
			ids = append(ids, int64(id))
		}
		if len(ids) == 0 {
			return nil
		}
		rows, err := m.eval.rows(ctx, cat, t.group, gone, ids)
		if err != nil {
			return err
		}
		for i := range rows.N() {
			key, day := string(rows.Key.Bytes(i)), event.DayOf(rows.TS[i])
			days := next.days[key]
			if at, found := slices.BinarySearch(days, day); !found {
				next.days[key] = slices.Insert(slices.Clone(days), at, day)
			}
		}
		return nil
	})
}

// deadFiles hides the rows of files that are not visible at a position.
func deadFiles(f *schema.File, position uint64) func(uint64) bool {
	hidden := map[uint32]bool{}
	for i := range f.Files {
		if !f.Files[i].Live(position) {
			hidden[f.Files[i].ID] = true
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	return func(id uint64) bool { return hidden[uint32(id>>fileRowBits)] }
}
