package materialize

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Events that are joined to attributes are evaluated once, when they come, with what is in force then. A version that comes
// later and was in force at an event that is there already changes that event: the group is overtaken. Its runs go on to serve the
// positions before; its tiles, and the runs at later positions, serve nothing more, so that reads join the rows themselves, until the
// background has built the group anew. The mark is in the batch of the commit that overtakes. A version that is newer than
// every event of its key, as those are that come as they happen, overtakes nothing and costs a look at the events after it.

// overtaken are the groups that attributes overtook, and the positions since when. It outlives the groups: a statement may still
// hold an older catalog.
type overtaken struct {
	mu sync.Mutex // of changes
	by atomic.Pointer[map[uint32]uint64]
}

func (o *overtaken) since(group uint32) uint64 {
	if by := o.by.Load(); by != nil {
		return (*by)[group]
	}
	return 0
}

// serves reports whether what was built of a group is right at a position, as far as attributes go.
func (o *overtaken) serves(group uint32, position uint64) bool {
	since := o.since(group)
	return since == 0 || position < since
}

// set marks a group as overtaken since a position; 0 takes the mark away.
func (o *overtaken) set(group uint32, position uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := map[uint32]uint64{}
	if by := o.by.Load(); by != nil {
		maps.Copy(next, *by)
	}
	if position == 0 {
		delete(next, group)
	} else {
		next[group] = position
	}
	o.by.Store(&next)
}

func overtakenKey(group uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{reclog.KeyOvertaken}, group)
}

// load reads the marks of a data directory, and removes those of groups that are gone.
func (o *overtaken) load(db *pebble.DB, cat *schema.Catalog) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{reclog.KeyOvertaken}, UpperBound: []byte{reclog.KeyOvertaken + 1}})
	if err != nil {
		return err
	}
	var errs []error
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != 5 || len(v) != 8 {
			errs = append(errs, fmt.Errorf("%w: key %x", reclog.ErrCorrupt, k))
			continue
		}
		group := binary.BigEndian.Uint32(k[1:])
		if cat.Groups[group] == nil {
			errs = append(errs, db.Delete(overtakenKey(group), pebble.NoSync))
			continue
		}
		o.set(group, binary.BigEndian.Uint64(v))
	}
	return errors.Join(append(errs, it.Error(), it.Close())...)
}

func positionBytes(p uint64) []byte { return binary.BigEndian.AppendUint64(nil, p) }

// catalogOf is the catalog in which a live group exists.
func (m *Manager) catalogOf(g *Group) *schema.Catalog {
	if g.joining != nil {
		return g.joining
	}
	return m.cfg.Catalog.Current()
}

// applyAttributes takes note of changes to relations of attributes, and marks the groups that they overtake, in the batch that
// commits them. The function returned takes the notes back where the batch is not committed. The apply lock is held.
func (m *Manager) applyAttributes(b *pebble.Batch, changes []reclog.Applied) (undo func(), err error) {
	ctx := context.Background()
	var noted, marked []uint32
	undo = func() {
		for _, id := range marked {
			m.overtaken.set(id, 0)
		}
		m.eval.mu.Lock()
		defer m.eval.mu.Unlock()
		for _, id := range noted {
			_ = m.eval.attributes.forget(ctx, id) // loaded anew when they are needed
		}
	}
	for _, g := range *m.live.Load() {
		for i, j := range g.Schema.Joins {
			cat := m.catalogOf(g)
			a, err := baseOf(cat, j.Relation)
			if err != nil || !a.Logged() {
				continue // being dropped, or files, which change by refreshes
			}
			for k := range changes {
				c := &changes[k]
				if c.Source != reclog.SourceID(a.ID) || m.overtaken.since(g.Schema.ID) != 0 {
					continue
				}
				if noted, err = m.noteAttributes(ctx, a, changes, noted); err != nil {
					return undo, err
				}
				over, err := m.overtakes(ctx, cat, g, i, func(at *attributes) string { return at.changed(a, c.Position-1, c.Position) }, c.Position, changes[:k])
				if err != nil {
					return undo, err
				}
				if over {
					m.overtaken.set(g.Schema.ID, c.Position)
					marked = append(marked, g.Schema.ID)
					if err := b.Set(overtakenKey(g.Schema.ID), positionBytes(c.Position), nil); err != nil {
						return undo, err
					}
				}
			}
		}
	}
	return undo, nil
}

// noteAttributes adds the changes of a batch to a relation's versions, once, and the relation to those noted.
func (m *Manager) noteAttributes(ctx context.Context, a *schema.Relation, changes []reclog.Applied, noted []uint32) ([]uint32, error) {
	for _, id := range noted {
		if id == a.ID {
			return noted, nil
		}
	}
	ev := m.eval
	ev.mu.Lock()
	defer ev.mu.Unlock()
	noted = append(noted, a.ID)
	if err := ev.attributes.bring(ctx, a, m.cfg.Log.Position()); err != nil {
		return noted, err
	}
	for i := range changes {
		c := &changes[i]
		if c.Source != reclog.SourceID(a.ID) {
			continue
		}
		if err := ev.attributes.change(ctx, a, c.Position, c.DeletedIDs, c.FirstInsertID, c.Inserted); err != nil {
			return noted, err
		}
		ev.attributes.at[a.ID] = c.Position
	}
	return noted, nil
}

// overtakes reports whether changed rows of the relation of a group's i-th join were in force at events that are there: those
// of the log and of earlier changes of a batch, or of files. It may say so of rows that changed nothing, never the other way round.
func (m *Manager) overtakes(ctx context.Context, cat *schema.Catalog, g *Group, i int, changed func(*attributes) string, position uint64, batch []reclog.Applied) (bool, error) {
	def, j := g.Schema, &g.Schema.Joins[i]
	b, err := baseOf(cat, def.Relation)
	if err != nil {
		return false, nil // being dropped
	}
	ev := m.eval
	ev.mu.Lock()
	defer ev.mu.Unlock()
	right := cat.Relations[j.Relation]
	time := duck.QuoteIdent(right.Inside(right.EventTime))
	cols, on := []string{}, []string{}
	where := []string{"isfinite(" + time + ")"}
	column := func(name string) string { return duck.QuoteIdent(schema.JoinColumn(i, name)) }
	for k, name := range j.Columns {
		where = append(where, duck.QuoteIdent(name)+" IS NOT NULL")
		cols = append(cols, duck.QuoteIdent(name)+" AS "+column(name))
		on = append(on, fmt.Sprintf("(%s) = %s", j.Keys[k].SQL, column(name)))
	}
	rows := fmt.Sprintf("FROM %s WHERE %s", rowsSQL(cat, right, changed(ev.attributes)), strings.Join(where, " AND "))
	first, err := one(ctx, ev.conn, fmt.Sprintf("SELECT min(%s) %s", time, rows))
	if err != nil || first == nil || first.IsNull(0) {
		return false, err
	}
	least := first.I64[0]
	pending := vector.NewChunk(columnTypes(b), 0)
	for k := range batch {
		if c := &batch[k]; c.Source == reclog.SourceID(b.ID) && c.Position < position && c.Inserted != nil {
			rows, err := fit(b, c.Inserted)
			if err != nil {
				return false, err
			}
			for row := range rows.N {
				pending.AppendRow(rows, row)
			}
		}
	}
	newest := g.marks.newest.Load()
	if pending.N == 0 && g.Manifest != nil && (g.Tiles != nil || b.Kind == schema.FileSource) && (newest < least || j.Strict && newest == least) {
		return false, nil
	}
	base, _, err := m.baseSQL(ctx, b, min(position, m.cfg.Log.Position()))
	if b.Kind == schema.FileSource {
		base, _, err = m.baseSQL(ctx, b, position)
	}
	if err != nil {
		return false, err
	}
	if pending.N > 0 {
		table, err := ev.load(ctx, b, pending, consecutive(0, pending.N))
		if err != nil {
			return false, err
		}
		base = fmt.Sprintf("(SELECT * FROM %s UNION ALL BY NAME SELECT * FROM %s)", base, table)
	}
	attrs, err := ev.attributes.of(ctx, cat, def, position)
	if err != nil {
		return false, err
	}
	op, at := ">=", timeOf(cat, def)
	if j.Strict {
		op = ">"
	}
	found, err := one(ctx, ev.conn, fmt.Sprintf("SELECT 1 FROM %s JOIN (SELECT %s, %s AS %s %s) ON %s AND %s %s %s WHERE isfinite(%[7]s) AND %[7]s >= make_timestamptz(%[10]d) LIMIT 1",
		joinSQL(cat, def, unnestSQL(cat, def, base), attrs, i, false), strings.Join(cols, ", "), time, column(right.Inside(right.EventTime)), rows,
		strings.Join(on, " AND "), at, op, column(right.Inside(right.EventTime)), least))
	return found != nil, err
}

// one is the first column of a query's first row, nil where it has none.
func one(ctx context.Context, conn *duck.Conn, sql string) (*vector.Vector, error) {
	res, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	ch, err := res.Next()
	if err != nil || ch == nil || ch.N == 0 {
		return nil, err
	}
	return ch.Cols[0], nil
}

// overtakenSince marks a group that was just built as overtaken where attributes changed since it began to read. The apply lock is
// held, so that nothing commits meanwhile; the group is not live yet.
func (m *Manager) overtakenSince(ctx context.Context, cat *schema.Catalog, g *Group) error {
	now := m.cfg.Log.Position()
	for i, j := range g.Schema.Joins {
		a, err := baseOf(cat, j.Relation)
		if err != nil {
			return err
		}
		if !a.Logged() || m.overtaken.since(g.Schema.ID) != 0 {
			continue
		}
		m.eval.mu.Lock()
		err = m.eval.attributes.bring(ctx, a, now)
		m.eval.mu.Unlock()
		if err != nil {
			return err
		}
		over, err := m.overtakes(ctx, cat, g, i, func(at *attributes) string { return at.changed(a, g.joinedAt, now) }, now, nil)
		if err != nil {
			return err
		}
		if over {
			if err := m.overtake(g.Schema.ID, g.joinedAt+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// overtake marks a group durably, apart from any commit.
func (m *Manager) overtake(group uint32, since uint64) error {
	if err := m.cfg.Log.DB().Set(overtakenKey(group), positionBytes(since), pebble.Sync); err != nil {
		return err
	}
	m.overtaken.set(group, since)
	return nil
}

// overtakenByFiles marks the groups that are joined to a source of which files come and go at a position. The apply lock is held.
func (m *Manager) overtakenByFiles(ctx context.Context, future *schema.Catalog, next *schema.Relation, position uint64, except map[uint32]*Group) error {
	var added []schema.FileVersion
	removed := false
	for _, f := range next.File.Files {
		if f.Added == position {
			added = append(added, f)
		}
		removed = removed || f.Removed == position
	}
	for id, g := range *m.live.Load() {
		if except[id] != nil || m.overtaken.since(id) != 0 {
			continue
		}
		for i, j := range g.Schema.Joins {
			a, err := baseOf(future, j.Relation)
			if err != nil || a.ID != next.ID {
				continue
			}
			over := removed
			if !over && len(added) > 0 {
				if over, err = m.overtakes(ctx, future, g, i, func(*attributes) string { return filesSQL(next, added, "") }, position, nil); err != nil {
					return err
				}
			}
			if over {
				if err := m.overtake(id, position); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// rejoinRest is how long overtaken groups wait after one was built anew, in times of what that took, so that attributes which
// keep changing the past do not occupy the server.
const rejoinRest = 2

// rejoin builds overtaken groups anew. The build lock is held.
func (m *Manager) rejoin(ctx context.Context) error {
	var errs []error
	for id, g := range *m.live.Load() {
		if m.overtaken.since(id) == 0 {
			continue
		}
		if wait := m.rejoinAfter.Sub(m.cfg.Clock()); wait > 0 {
			time.AfterFunc(wait, m.poke)
			break
		}
		began := m.cfg.Clock()
		if err := m.rebuildLocked(ctx, g.Schema); err != nil && !errors.Is(err, errGroupGone) {
			errs = append(errs, err)
		}
		m.rejoinAfter = m.cfg.Clock().Add(rejoinRest * m.cfg.Clock().Sub(began))
	}
	return errors.Join(errs...)
}

// readTails finds the newest event times of groups that are joined to attributes, before anything commits: whether a version
// overtakes a group is told by them.
func (m *Manager) readTails(ctx context.Context) error {
	cat := m.cfg.Catalog.Current()
	for _, g := range *m.live.Load() {
		b, err := baseOf(cat, g.Schema.Relation)
		if err != nil || len(g.Schema.Joins) == 0 || g.Manifest == nil || !b.Logged() || m.overtaken.since(g.Schema.ID) != 0 {
			continue
		}
		v, err := m.tailAt(ctx, cat, b, g, m.cfg.Log.Position())
		if errors.Is(err, ErrTooManyRows) {
			g.marks.raise(maxTime) // not known: every version is looked at closely
			continue
		}
		if err != nil {
			return err
		}
		if v.sorted != nil {
			g.marks.see(v.sorted.Rows)
		}
	}
	return nil
}

// OvertakenSince is the position since which attributes changed events of a group, so that what was built of it does not serve reads; 0: none.
func (m *Manager) OvertakenSince(group uint32) uint64 { return m.overtaken.since(group) }
