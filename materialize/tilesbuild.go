package materialize

import (
	"context"
	"errors"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// buildTiles loads a group's tiles from its runs, without the dead rows: packs of what is retained, and states of what is
// settled. Its memory is the rows of one key.
func (m *Manager) buildTiles(ctx context.Context, g *Group, dead func(uint64) bool, job *job) error {
	job.stage("loading the online store")
	b, err := m.cfg.Tiles.Build(g.Tiles, m.settledBy(g, newestTime(g.Manifest)))
	if err != nil {
		return err
	}
	snap := &runs.Snapshot{Store: m.runs, Manifest: g.Manifest, Dead: dead}
	r, err := snap.Reader(nil)
	if err != nil {
		return errors.Join(err, b.Abort())
	}
	err = snap.Keys(ctx, func(key []byte) error {
		if err := r.Seek(key); err != nil {
			return err
		}
		rows, from, to, err := r.Rows(event.Interval{Lo: event.Forever, Hi: maxTime})
		if err != nil {
			return err
		}
		job.loaded(to - from)
		return b.AddKey(key, rows, from, to)
	})
	if err != nil {
		return errors.Join(err, b.Abort())
	}
	g.tilesAt = g.Manifest.Position
	b.SetPosition(min(g.tilesAt, m.cfg.Log.Position())) // that of files being refreshed is not known yet
	return b.Finish()
}

// maxTime is past every event time.
const maxTime = 1<<63 - 1

// newestTime is the greatest event time of a manifest's rows; event.Forever where there are none.
func newestTime(m *runs.Manifest) int64 {
	t := int64(event.Forever)
	for _, s := range m.Segments {
		if s.Kind == runs.KindRows && s.Rows > 0 {
			t = max(t, s.Span.Hi-1)
		}
	}
	return t
}

// settledBy is the newest day that is settled when a group's newest event time is newest; tiles.NotSettled where it has no rows.
func (m *Manager) settledBy(g *Group, newest int64) int64 {
	if newest == event.Forever {
		return tiles.NotSettled
	}
	lateness := g.lateness
	cat := m.cfg.Catalog.Current()
	if r := cat.Relations[g.Schema.Relation]; r != nil {
		lateness = max(lateness, r.Lateness)
	}
	for _, f := range cat.Features {
		if f.Group == g.Schema.ID {
			lateness = max(lateness, f.Lateness)
		}
	}
	return m.cfg.Days.Of(newest-lateness) - 1
}
