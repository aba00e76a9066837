package materialize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Versions are the row versions that a group had at any of many positions, for a read at all of them: either a snapshot of runs and the
// log's tail, or a scan of the log. They cost what one position costs, and a note of what changed in between.
type Versions struct {
	Snapshot *runs.Snapshot                                                // nil: Scan
	Scan     func(ctx context.Context, emit func(*event.Rows) error) error // as ScanAt gives rows, with row ids
	Life     func(rowID uint64) (from, to uint64)                          // at positions from ≤ p < to the version is there
}

// Versions are the row versions of a group at positions least ≤ p ≤ most; runs says whether runs may be read. nil: these positions have
// to be read one by one, because events are joined to attributes that changed in between, or files that are gone were read from.
// Errors: ErrTooManyRows as Snapshot.
func (m *Manager) Versions(ctx context.Context, cat *schema.Catalog, g *Group, least, most uint64, fromRuns bool) (*Versions, error) {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return nil, err
	}
	if !fromRuns || !m.RunsServe(cat, g, least) || !m.overtaken.serves(g.Schema.ID, most) {
		if !b.Logged() || len(g.Schema.Joins) > 0 {
			return nil, nil
		}
		return m.loggedVersions(ctx, cat, b, g.Schema, least, most)
	}
	snap := &runs.Snapshot{Store: m.runs, Manifest: g.Manifest, NoPartials: true}
	if !m.segments.pin(snap) {
		return nil, ErrReplaced
	}
	v := &Versions{Snapshot: snap}
	if !b.Logged() {
		v.Life = lifeOfFiles(b.File)
	} else {
		t, err := m.tailAt(ctx, cat, b, g, most)
		if err != nil {
			return nil, err
		}
		snap.Tail = t.sorted
		if v.Life, err = m.lifeInRuns(ctx, b, g, t, least, most); err != nil {
			return nil, err
		}
	}
	snap.Dead = func(id uint64) bool { from, to := v.Life(id); return from > most || to <= least }
	return v, nil
}

// lifeOfFiles says at which positions the rows of files are visible. Files that the relation does not know, which are newer than the
// statement, never are.
func lifeOfFiles(f *schema.File) func(uint64) (from, to uint64) {
	lives := make(map[uint32][2]uint64, len(f.Files))
	for _, v := range f.Files {
		to := v.Removed
		if to == 0 {
			to = math.MaxUint64
		}
		lives[v.ID] = [2]uint64{v.Added, to}
	}
	return func(id uint64) (uint64, uint64) {
		l, known := lives[uint32(id>>fileRowBits)]
		if !known {
			return math.MaxUint64, math.MaxUint64
		}
		return l[0], l[1]
	}
}

// lifeInRuns says at which positions the row versions of an event table's runs and tail are there, as far as it matters to positions
// least ≤ p ≤ most.
func (m *Manager) lifeInRuns(ctx context.Context, b *schema.Relation, g *Group, t tailView, least, most uint64) (func(uint64) (from, to uint64), error) {
	births, err := m.births(ctx, b, least, most)
	if err != nil {
		return nil, err
	}
	unborn := uint64(noRow)
	if most < t.upTo {
		if unborn, err = m.firstAfter(ctx, b, most, t.upTo); err != nil {
			return nil, err
		}
	}
	maps := t.dead
	if len(g.dead) > 0 {
		maps = append(slices.Clone(maps), g.dead)
	}
	return func(id uint64) (from, to uint64) {
		if id >= unborn {
			return math.MaxUint64, math.MaxUint64
		}
		to = math.MaxUint64
		for _, m := range maps {
			if at, ok := m[id]; ok {
				to = at
				break
			}
		}
		return births.of(id), to
	}, nil
}

// births say at which position rows came: by the first row of each position that brought any, ascending.
type births struct{ rows, positions []uint64 }

// of is the position at which a row came; 0: before them.
func (b *births) of(row uint64) uint64 {
	i := sort.Search(len(b.rows), func(i int) bool { return b.rows[i] > row })
	if i == 0 {
		return 0
	}
	return b.positions[i-1]
}

// births are those of positions after < p ≤ upTo.
func (m *Manager) births(ctx context.Context, b *schema.Relation, after, upTo uint64) (*births, error) {
	out := &births{}
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), after, upTo, func(v reclog.Version) error {
		if n := len(out.rows); !v.Delete && (n == 0 || out.positions[n-1] != v.Position) {
			out.rows, out.positions = append(out.rows, v.RowID), append(out.positions, v.Position)
		}
		return nil
	})
	return out, err
}

// ends say at which position rows went, by row, ascending.
type ends []struct{ row, position uint64 }

// endBytes is what one takes.
const endBytes = 16

// of is the position at which a row went; math.MaxUint64: it did not.
func (e ends) of(row uint64) uint64 {
	i := sort.Search(len(e), func(i int) bool { return e[i].row >= row })
	if i == len(e) || e[i].row != row {
		return math.MaxUint64
	}
	return e[i].position
}

// ends are those of positions up to upTo. Errors: ErrTooManyRows where they do not fit the memory.
func (m *Manager) ends(ctx context.Context, b *schema.Relation, upTo uint64) (ends, error) {
	var out ends
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), 0, upTo, func(v reclog.Version) error {
		if !v.Delete {
			return nil
		}
		if int64(len(out))*endBytes > m.cfg.Memory {
			return fmt.Errorf("%w: more than %d rows of %s went", ErrTooManyRows, len(out), b.Name)
		}
		out = append(out, struct{ row, position uint64 }{v.RowID, v.Position})
		return nil
	})
	slices.SortFunc(out, func(a, b struct{ row, position uint64 }) int { return cmp.Compare(a.row, b.row) })
	return out, err
}

// loggedVersions replays the log once, for positions that runs do not serve.
func (m *Manager) loggedVersions(ctx context.Context, cat *schema.Catalog, b *schema.Relation, g *schema.Group, least, most uint64) (*Versions, error) {
	went, err := m.ends(ctx, b, most)
	if err != nil {
		return nil, err
	}
	births, err := m.births(ctx, b, least, most)
	if err != nil {
		return nil, err
	}
	v := &Versions{Life: func(id uint64) (from, to uint64) { return births.of(id), went.of(id) }}
	v.Scan = func(ctx context.Context, emit func(*event.Rows) error) error {
		many, ids := vector.NewChunk(columnTypes(b), 0), []int64(nil)
		flush := func() error {
			rows, err := m.eval.rows(ctx, cat, g, many, ids, most)
			many.Reset()
			ids = ids[:0]
			if err != nil {
				return err
			}
			return emit(rows)
		}
		err := m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, most, RowSchema(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
			if ins == nil {
				return nil
			}
			for i := range ins.N {
				id := first + uint64(i)
				if went.of(id) <= least {
					continue
				}
				many.AppendRow(ins, i)
				ids = append(ids, int64(id))
			}
			if many.N < evaluatedRows {
				return nil
			}
			return flush()
		})
		if err == nil && many.N > 0 {
			err = flush()
		}
		return err
	}
	return v, nil
}

// SamePosition is the least position at which a group has the same rows as at a position, where that is known: of files, the one at
// which they changed last.
func (m *Manager) SamePosition(cat *schema.Catalog, g *schema.Group, position uint64) (uint64, error) {
	b, err := baseOf(cat, g.Relation)
	if err != nil || b.Logged() || len(g.Joins) > 0 {
		return position, err
	}
	same := uint64(0)
	for _, f := range b.File.Files {
		for _, at := range []uint64{f.Added, f.Removed} {
			if at <= position {
				same = max(same, at)
			}
		}
	}
	return same, nil
}

// VersionsOrFolded is Versions, of the group as it is once its tail was folded where that does not fit the memory.
func (m *Manager) VersionsOrFolded(ctx context.Context, cat *schema.Catalog, g *Group, least, most uint64, fromRuns bool) (*Group, *Versions, error) {
	v, err := m.Versions(ctx, cat, g, least, most, fromRuns)
	if errors.Is(err, ErrTooManyRows) {
		if g, err = m.FoldTail(ctx, g.Schema); err != nil {
			return nil, nil, err
		}
		v, err = m.Versions(ctx, cat, g, least, most, fromRuns)
	}
	return g, v, err
}
