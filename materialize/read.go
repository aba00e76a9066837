package materialize

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// Flags switch mechanisms off, for tests: all values stay equal.
type Flags struct {
	NoRuns     bool // scan and sort the relation's rows for each read
	NoPartials bool // fold rows where daily partials exist
	NoTiles    bool // read runs where tiles exist
	NoLevels   bool // fold rows where the online store has states of part of a day
}

// RunsServe reports whether a group's runs hold what a read at a position needs: row versions that went before the floor
// are not in them, nor what attributes changed of rows that they have.
func (m *Manager) RunsServe(cat *schema.Catalog, g *Group, position uint64) bool {
	return g.Manifest != nil && position >= g.floor && m.overtaken.serves(g.Schema.ID, position)
}

// ScanAt gives the group's live rows at a position, in no order and from several goroutines at once. What emit is given is
// valid during the call; emit must not use DuckDB.
func (m *Manager) ScanAt(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64, emit func(*event.Rows) error) error {
	return m.scanTimes(ctx, cat, g, position, nil, emit)
}

// scanTimes is ScanAt of the events of some times, nil: all. By the log, others are given too.
func (m *Manager) scanTimes(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64, times *event.Interval, emit func(*event.Rows) error) error {
	b, err := baseOf(cat, g.Relation)
	if err != nil {
		return err
	}
	if b.Logged() && position < m.cfg.Log.Position() {
		return m.scanAsOf(ctx, cat, g, position, emit)
	}
	rows, ids, err := m.baseSQL(ctx, b, position)
	if err != nil {
		return err
	}
	_, err = m.scanSQL(ctx, cat, g, baseRows{sql: rows, fileIDs: ids, times: times}, position, true, emit)
	if errors.Is(err, errMoved) {
		return m.scanAsOf(ctx, cat, g, position, emit)
	}
	return err
}

// CompleteThrough is up to which event time, inclusive, a group's relation is complete at a position, for labels: an event table up to
// its watermark, or the clock where it declares none; files up to the option that says so, or their newest event, less the
// watermark's delay. An event view is as complete as the relation under it. event.Forever: nothing is.
func (m *Manager) CompleteThrough(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64) (int64, error) {
	b, err := baseOf(cat, g.Relation)
	if err != nil {
		return 0, err
	}
	switch {
	case b.Logged() && b.Watermark == nil:
		return m.cfg.Clock().UnixMicro(), nil
	case b.Logged():
		return m.Watermark(b, position)
	case b.File.CompleteThrough != 0:
		return b.File.CompleteThrough, nil
	}
	newest := int64(event.Forever)
	if c, err := m.Group(g); err == nil && c.Manifest != nil && c.Schema == g && position >= c.Manifest.Position {
		newest = newestTime(c.Manifest)
	} else if newest, err = m.newestEvent(ctx, cat, g, b, position); err != nil {
		return 0, err
	}
	return less(newest, b.Watermark), nil
}

// Watermark is the watermark at a position of an event table that declares one: the newest event time that it had been given, less the
// delay. Rows that went since count; event.Forever before the first one.
func (m *Manager) Watermark(table *schema.Relation, position uint64) (int64, error) {
	newest, ok, err := m.cfg.Log.Newest(reclog.SourceID(table.ID), position)
	if err != nil || !ok {
		return event.Forever, err
	}
	return less(newest, table.Watermark), nil
}

// less is a newest event time less a watermark's delay.
func less(newest int64, w *schema.Watermark) int64 {
	if w == nil || newest < event.Forever+w.Delay {
		return newest
	}
	return newest - w.Delay
}

// newestEvent is the newest event time of a group over files, event.Forever where it has no rows.
func (m *Manager) newestEvent(ctx context.Context, cat *schema.Catalog, g *schema.Group, b *schema.Relation, position uint64) (int64, error) {
	rows, _, err := m.baseSQL(ctx, b, position)
	if err != nil {
		return 0, err
	}
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	from := baseRows{sql: rows}
	if from.attributes, err = newAttributes(conn, m.cfg.Log).of(ctx, cat, g, position); err != nil {
		return 0, err
	}
	res, err := conn.Query(ctx, newestSQL(cat, g, from))
	if err != nil {
		return 0, err
	}
	defer res.Close()
	ch, err := res.Next()
	if err != nil || ch == nil || ch.Cols[0].IsNull(0) {
		return event.Forever, err
	}
	return ch.Cols[0].I64[0], nil
}

// View is the online stores and the log at one instant. It must be closed.
type View struct {
	m        *Manager
	cat      *schema.Catalog
	tiles    *tiles.View
	position uint64            // a position that the tiles hold
	live     map[uint32]*Group // before the view was opened
	distant  []*tiles.Reader   // of a gateway, which has no tiles
}

// View opens a view of what is committed.
func (m *Manager) View(cat *schema.Catalog) *View {
	if m.distant != nil {
		return &View{m: m, cat: cat}
	}
	p := m.cfg.Log.Position() // before the snapshot: the tiles then hold it
	live := *m.live.Load()
	return &View{m: m, cat: cat, tiles: m.cfg.Tiles.View(p), position: p, live: live}
}

// Position is the newest position that the view holds.
func (v *View) Position() (uint64, error) {
	if v.tiles == nil {
		return 0, ErrElsewhere
	}
	return reclog.PositionIn(v.tiles.Snapshot())
}

// Close releases the view.
func (v *View) Close() {
	if v.tiles == nil {
		for _, r := range v.distant {
			r.Release()
		}
		return
	}
	v.tiles.Close()
}

// Source gives the pieces of one group's keys at one position.
type Source struct {
	m        *Manager
	cat      *schema.Catalog
	group    *Group
	position uint64
	flags    Flags
	stats    *event.ReadStats
	online   *tiles.Reader  // nil: history only
	distant  *distantSource // of a gateway; nil: the store is here
	past     func(key []byte) event.Pieces
}

// Source is a group's source in the view, or at an older position (asOf, nil: the newest). What reads cost is added to stats.
func (v *View) Source(g *Group, asOf *uint64, flags Flags, stats *event.ReadStats) *Source {
	s := &Source{m: v.m, cat: v.cat, group: g, position: v.position, flags: flags, stats: stats}
	switch {
	case v.m.distant != nil:
		if g.Tiles != nil && asOf == nil {
			s.online, s.distant = v.distantSource(g, stats)
		}
	case asOf != nil && *asOf < v.position:
		s.position = *asOf
	case g.Tiles != nil && g.Schema.Ready && !flags.NoTiles && v.steady(g.Schema.ID) && v.m.overtaken.since(g.Schema.ID) == 0:
		s.online = v.tiles.Reader(g.Tiles, stats)
		s.online.NoLevels = flags.NoLevels
	}
	return s
}

// steady reports whether the committer kept a group's tiles when the view was opened: it was published before, and is the
// same still. A group that was replaced, dropped or is being refreshed is read from its runs.
func (v *View) steady(group uint32) bool {
	was, is := v.live[group], (*v.m.live.Load())[group]
	return was != nil && is != nil && was.Tiles != nil && is.Tiles != nil && was.tilesEra == is.tilesEra
}

// Position is the position that the source reads.
func (s *Source) Position() uint64 { return s.position }

// Key is the pieces of a key: from the online store where it serves the read, from runs otherwise.
func (s *Source) Key(ctx context.Context, key []byte) (event.Pieces, error) {
	if s.online != nil {
		if s.distant != nil {
			s.distant.ctx = ctx
		}
		return s.online.Key(key), nil
	}
	return s.History(ctx, key)
}

// History is the pieces of a key from runs and the log's tail, or from a scan of the rows where no run serves the read.
func (s *Source) History(ctx context.Context, key []byte) (event.Pieces, error) {
	if s.past == nil {
		if err := s.openPast(ctx); err != nil {
			return nil, err
		}
	}
	return s.past(key), nil
}

func (s *Source) openPast(ctx context.Context) error {
	if s.m.distant != nil {
		return ErrElsewhere
	}
	if s.flags.NoRuns || !s.m.RunsServe(s.cat, s.group, s.position) {
		all := event.NewRows(s.group.Schema.Layout, 0)
		var mu sync.Mutex // of all
		err := s.m.ScanAt(ctx, s.cat, s.group.Schema, s.position, func(r *event.Rows) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range r.N() {
				all.Append(r, i)
			}
			if int64(all.N())*64 > s.m.cfg.Memory {
				return fmt.Errorf("%w: more rows than memory_limit holds", ErrTooManyRows)
			}
			return nil
		})
		if err != nil {
			return err
		}
		sorted, err := runs.NewTail(s.group.Schema.Layout, all)
		if err != nil {
			return err
		}
		snap := &runs.Snapshot{Store: s.m.runs, Tail: sorted, NoPartials: true,
			Manifest: &runs.Manifest{Layout: s.group.Schema.Layout, Partials: len(s.group.Partials), Partitions: 1}}
		s.past = func(key []byte) event.Pieces { return snap.Key(key, s.stats) }
		return nil
	}
	snap, err := s.m.Snapshot(ctx, s.cat, s.group, s.position)
	if errors.Is(err, ErrTooManyRows) { // the background is behind with folding them
		folded, e := s.m.FoldTail(ctx, s.group.Schema)
		if e != nil {
			return e
		}
		if folded.Schema.ID == s.group.Schema.ID && s.m.RunsServe(s.cat, folded, s.position) {
			s.group = folded
			snap, err = s.m.Snapshot(ctx, s.cat, folded, s.position)
		}
	}
	if err != nil {
		return err
	}
	if s.flags.NoPartials {
		snap.NoPartials = true
	}
	s.past = func(key []byte) event.Pieces { return snap.Key(key, s.stats) }
	return nil
}
