package materialize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// maxTailRows is how many rows, come or gone, a tail may have before it is folded into the runs. A read after a write sorts
// the tail anew, so this bounds what such a read costs, some milliseconds; while more come than the background is given time for
// (settleRest), up to settleRows of them.
const maxTailRows = 32_768

// tail is what the log holds of a group after its runs: the rows that came, and the row versions that went. It grows with
// reads and serves every position up to its own: what came or went later is hidden by row id and position.
type tail struct {
	mu     sync.Mutex
	schema *schema.Group // whose manifest's position it begins after
	upTo   uint64        // positions (manifest's, upTo] are in it
	rows   *event.Rows   // as they came; sorted is a copy
	first  uint64        // least row id among the positions of the tail; 0: no row came
	sorted *runs.Sorted
	dead   layers[uint64, uint64]  // row id → the position at which it went
	days   layers[string, []int64] // key → days of rows that went and that the runs hold
}

// layers is a map that grows while readers use what it was: immutable maps, merged so that each is at least twice as large
// as the next. A lookup asks a logarithmic number of them, and an entry is copied as often.
type layers[K comparable, V any] []map[K]V

// with is l and what m has. join makes one value of two.
func (l layers[K, V]) with(m map[K]V, join func(old, new V) V) layers[K, V] {
	if len(m) == 0 {
		return l
	}
	out := slices.Clone(l)
	for len(out) > 0 && len(out[len(out)-1]) < 2*len(m) {
		merged := make(map[K]V, len(m)+len(out[len(out)-1]))
		for k, v := range out[len(out)-1] {
			merged[k] = v
		}
		for k, v := range m {
			if old, have := merged[k]; have {
				v = join(old, v)
			}
			merged[k] = v
		}
		m, out = merged, out[:len(out)-1]
	}
	return append(out, m)
}

func (l layers[K, V]) len() int {
	n := 0
	for _, m := range l {
		n += len(m)
	}
	return n
}

// joinDays is two ascending lists of days as one.
func joinDays(a, b []int64) []int64 {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

func newer(_, p uint64) uint64 { return p }

// tailOf is the tail of a group's runs.
func (m *Manager) tailOf(g *Group) *tail {
	m.tailMu.Lock()
	defer m.tailMu.Unlock()
	t := m.tails[g.Schema.ID]
	if t == nil || t.schema != g.Schema {
		fresh := &tail{schema: g.Schema, upTo: g.Manifest.Position, rows: event.NewRows(g.Schema.Layout, 0)}
		// A statement with an older catalog does not take away what newer ones have.
		if t == nil || t.schema.Position <= g.Schema.Position {
			m.tails[g.Schema.ID] = fresh
		}
		t = fresh
	}
	return t
}

// Snapshot is a group's rows at a position that RunsServe approves of. The files it reads stay as long as it is referenced.
func (m *Manager) Snapshot(ctx context.Context, cat *schema.Catalog, g *Group, position uint64) (*runs.Snapshot, error) {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return nil, err
	}
	snap := &runs.Snapshot{Store: m.runs, Manifest: g.Manifest, NoPartials: position < g.Manifest.Position}
	if !m.segments.pin(snap) {
		return nil, ErrReplaced
	}
	if b.Kind == schema.FileSource {
		snap.Dead = deadFiles(b.File, position)
		return snap, nil
	}
	v, err := m.tailAt(ctx, cat, b, g, position)
	if err != nil {
		return nil, err
	}
	snap.Tail, snap.Dirty = v.sorted, v.dirty()
	snap.Dead, err = m.deadRows(ctx, b, g, v, position)
	return snap, err
}

// ErrReplaced is the error of a statement whose runs were replaced, and their files removed, between its binding and its
// beginning to read: more than retireAfter.
var ErrReplaced = errors.New("the feature's runs were replaced while the statement began; run it again") // 40001

// tailView is a tail as it was at some moment.
type tailView struct {
	upTo   uint64
	sorted *runs.Sorted
	dead   layers[uint64, uint64]
	days   layers[string, []int64]
}

// tailAt is a group's tail, brought up to a position at least.
func (m *Manager) tailAt(ctx context.Context, cat *schema.Catalog, b *schema.Relation, g *Group, position uint64) (tailView, error) {
	t := m.tailOf(g)
	t.mu.Lock()
	defer t.mu.Unlock()
	if position > t.upTo {
		if err := m.extend(ctx, cat, b, t, position); err != nil {
			return tailView{}, err
		}
	}
	if t.rows.N()+t.dead.len() > maxTailRows {
		m.poke()
	}
	return tailView{upTo: t.upTo, sorted: t.sorted, dead: t.dead, days: t.days}, nil
}

// dirty is Snapshot.Dirty.
func (v *tailView) dirty() func(key []byte, dst []int64) []int64 {
	if len(v.days) == 0 {
		return nil
	}
	days := v.days
	return func(key []byte, dst []int64) []int64 {
		from := len(dst)
		for _, m := range days {
			dst = append(dst, m[string(key)]...)
		}
		slices.Sort(dst[from:])
		return dst[:from+len(slices.Compact(dst[from:]))]
	}
}

// deadRows is Snapshot.Dead at a position: rows that had gone, and those that had not come.
func (m *Manager) deadRows(ctx context.Context, b *schema.Relation, g *Group, v tailView, position uint64) (func(uint64) bool, error) {
	born := uint64(noRow) // the least row id that came after the position
	if position < v.upTo {
		var err error
		if born, err = m.firstAfter(ctx, b, position, v.upTo); err != nil {
			return nil, err
		}
	}
	if len(v.dead) == 0 && len(g.dead) == 0 && born == noRow {
		return nil, nil
	}
	maps := v.dead
	if len(g.dead) > 0 {
		maps = append(slices.Clone(maps), g.dead)
	}
	return func(id uint64) bool {
		if id >= born {
			return true
		}
		for _, m := range maps {
			if at, ok := m[id]; ok && at <= position {
				return true
			}
		}
		return false
	}, nil
}

// noRow is no row's id: it is greater than every one.
const noRow = math.MaxUint64

// firstAfter is the id of the first row that came at positions after < p ≤ upTo; noRow where none came.
func (m *Manager) firstAfter(ctx context.Context, b *schema.Relation, after, upTo uint64) (uint64, error) {
	found := errors.New("found")
	born := uint64(noRow)
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), after, upTo, func(v reclog.Version) error {
		if v.Delete {
			return nil
		}
		born = v.RowID
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return born, err
}

// deletes are the row ids that went at positions after < p ≤ upTo, and when.
func (m *Manager) deletes(ctx context.Context, b *schema.Relation, after, upTo uint64) (map[uint64]uint64, error) {
	out := map[uint64]uint64{}
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), after, upTo, func(v reclog.Version) error {
		if v.Delete {
			out[v.RowID] = v.Position
		}
		return nil
	})
	return out, err
}

// evaluatedRows is of how many rows of the log expressions are evaluated at once, at least where there are as many.
const evaluatedRows = 16 << 10

// changes gives the event rows of g that came at positions after < p ≤ upTo, and says which row ids went, when, and the least
// row id that came (0: none). It reads the log, but for what is recent. What it gives is not to be changed.
func (m *Manager) changes(ctx context.Context, cat *schema.Catalog, b *schema.Relation, g *schema.Group, after, upTo uint64, emit func(*event.Rows) error) (dead map[uint64]uint64, first uint64, err error) {
	came, since := m.recent.after(g.ID, after, upTo)
	if dead, first, err = m.logged(ctx, cat, b, g, after, since, emit); err != nil {
		return nil, 0, err
	}
	for _, c := range came {
		if first == 0 {
			first = c.first
		}
		if err := emit(c.rows); err != nil {
			return nil, 0, err
		}
	}
	return dead, first, nil
}

// logged is changes, from the log alone.
func (m *Manager) logged(ctx context.Context, cat *schema.Catalog, b *schema.Relation, g *schema.Group, after, upTo uint64, emit func(*event.Rows) error) (dead map[uint64]uint64, first uint64, err error) {
	if dead = map[uint64]uint64{}; after == upTo {
		return dead, 0, nil
	}
	var many *vector.Chunk // rows of several chunks, which are evaluated at once where no position decides
	var ids []int64
	flush := func(pos uint64) error {
		if many == nil || many.N == 0 {
			return nil
		}
		rows, err := m.eval.rows(ctx, cat, g, many, ids, pos)
		many.Reset()
		ids = ids[:0]
		if err != nil {
			return err
		}
		return emit(rows)
	}
	err = m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), after, upTo, RowSchema(b), func(pos uint64, deleted []uint64, id uint64, ins *vector.Chunk) error {
		for _, d := range deleted {
			dead[d] = pos
		}
		if ins == nil || ins.N == 0 {
			return nil
		}
		if first == 0 {
			first = id
		}
		if ids = append(ids, consecutive(id, ins.N)...); many == nil {
			many = vector.NewChunk(ins.Types(), ins.N)
		}
		many.AppendRange(ins, 0, ins.N)
		if len(g.Joins) == 0 && many.N < evaluatedRows {
			return nil
		}
		return flush(pos)
	})
	if err == nil {
		err = flush(upTo)
	}
	return dead, first, err
}

// tailRowBytes is a bound of what a row of a tail takes beside its columns of variable length, twice over: as it came, and sorted.
const tailRowBytes = 128

// extend adds the changes up to position to t, all of them or none. Errors: ErrTooManyRows where one commit brought more than
// the memory holds; the background folds them into the runs.
func (m *Manager) extend(ctx context.Context, cat *schema.Catalog, b *schema.Relation, t *tail, position uint64) error {
	fresh := event.NewRows(t.schema.Layout, 0)
	dead, came, err := m.changes(ctx, cat, b, t.schema, t.upTo, position, func(rows *event.Rows) error {
		for i := range rows.N() {
			fresh.Append(rows, i)
		}
		if n := fresh.N() + t.rows.N(); n > maxTailRows && int64(n)*tailRowBytes > m.cfg.Memory {
			m.poke()
			return fmt.Errorf("%w: %d rows came after the feature's runs, and are being added to them", ErrTooManyRows, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	first := t.first
	if first == 0 {
		first = came
	}
	// The days of rows that the tail itself holds are read from rows in any case.
	wanted := map[uint64]bool{}
	for id := range dead {
		if first == 0 || id < first {
			wanted[id] = true
		}
	}
	days, err := m.daysOf(ctx, cat, b, t.schema, wanted, t.upTo, position)
	if err != nil {
		return err
	}
	sorted := t.sorted
	if n := t.rows.N(); fresh.N() > 0 {
		for i := range fresh.N() {
			t.rows.Append(fresh, i)
		}
		if sorted, err = runs.NewTail(t.schema.Layout, t.rows); err != nil {
			truncate(t.rows, t.schema.Layout, n)
			return err
		}
	}
	t.upTo, t.first, t.sorted = position, first, sorted
	t.dead, t.days = t.dead.with(dead, newer), t.days.with(days, joinDays)
	return nil
}

// truncate leaves the first n rows.
func truncate(r *event.Rows, l event.Layout, n int) {
	kept := event.NewRows(l, n)
	for i := range n {
		kept.Append(r, i)
	}
	*r = *kept
}

// daysOf finds the keys and days of rows that went at positions after < p ≤ upTo: among the committer's notes, or, of
// positions before the server began to take them, in the log.
func (m *Manager) daysOf(ctx context.Context, cat *schema.Catalog, b *schema.Relation, g *schema.Group, wanted map[uint64]bool, after, upTo uint64) (map[string][]int64, error) {
	days := map[string][]int64{}
	if len(wanted) == 0 {
		return days, nil
	}
	add := func(ch *vector.Chunk, ids []int64) error {
		rows, err := m.eval.rows(ctx, cat, g, ch, ids, upTo)
		if err != nil {
			return err
		}
		for i := range rows.N() {
			k := string(rows.Key.Bytes(i))
			days[k] = append(days[k], m.cfg.Days.Of(rows.TS[i]))
		}
		return nil
	}
	if noted, complete := m.graves.between(reclog.SourceID(b.ID), after, upTo); complete {
		for _, n := range noted {
			if err := add(n.rows, signed(n.ids)); err != nil {
				return nil, err
			}
		}
	} else {
		rows, ids, err := m.oldRows(ctx, b, wanted, upTo)
		if err != nil {
			return nil, err
		}
		if err := add(rows, ids); err != nil {
			return nil, err
		}
	}
	for k, d := range days {
		days[k] = joinDays(nil, d)
	}
	return days, nil
}

// oldRows are rows, live or not, found in the log by their ids, with their ids, ascending.
func (m *Manager) oldRows(ctx context.Context, b *schema.Relation, wanted map[uint64]bool, upTo uint64) (*vector.Chunk, []int64, error) {
	out := vector.NewChunk(columnTypes(b), len(wanted))
	var ids []int64
	err := m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, upTo, RowSchema(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
		if ins == nil {
			return nil
		}
		for i := range ins.N {
			if id := first + uint64(i); wanted[id] {
				out.AppendRow(ins, i)
				ids = append(ids, int64(id))
			}
		}
		return nil
	})
	if err == nil && len(ids) != len(wanted) {
		err = fmt.Errorf("relation %s: %d of %d deleted rows are not in the log", b.Name, len(wanted)-len(ids), len(wanted))
	}
	return out, ids, err
}

// deadFiles hides the rows of files that are not visible at a position; files that the relation does not know, which are
// newer than the statement, are not.
func deadFiles(f *schema.File, position uint64) func(uint64) bool {
	visible := map[uint32]bool{}
	for i := range f.Files {
		if f.Files[i].Live(position) {
			visible[f.Files[i].ID] = true
		}
	}
	if len(visible) == len(f.Files) {
		return nil
	}
	return func(id uint64) bool { return !visible[uint32(id>>fileRowBits)] }
}

// Lag is how long ago the oldest commit was that a group's runs lack, 0 where they have all.
func (m *Manager) Lag(ctx context.Context, cat *schema.Catalog, g *Group) (time.Duration, error) {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil || g.Manifest == nil || !b.Logged() {
		return 0, nil // files change together with their groups
	}
	found := errors.New("found")
	first := uint64(0)
	err = m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), g.Manifest.Position, m.cfg.Log.Position(), func(v reclog.Version) error {
		first = v.Position
		return found
	})
	if err != nil && !errors.Is(err, found) {
		return 0, err
	}
	if first == 0 {
		return 0, nil
	}
	return max(0, m.cfg.Clock().Sub(time.UnixMicro(m.cfg.Log.TimeOf(first)))), nil
}
