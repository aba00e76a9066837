package materialize

import (
	"context"
	"errors"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

// buildTiles loads a group's tiles from its runs: packs of what is retained, and states of what is settled.
func (m *Manager) buildTiles(ctx context.Context, g *Group, job *job) error {
	job.stage("loading the online store")
	newest := newestTime(g.Manifest)
	settled := event.DayOf(newest-m.lateness(g)) - 1
	b, err := m.cfg.Tiles.Build(g.Tiles, settled)
	if err != nil {
		return err
	}
	snap := &runs.Snapshot{Store: m.runs, Manifest: g.Manifest}
	r, err := snap.Reader(nil)
	if err != nil {
		return err
	}
	err = snap.Keys(ctx, func(key []byte) error {
		if err := r.Seek(key); err != nil {
			return err
		}
		rows, from, to, err := r.Rows(event.Interval{Lo: event.Forever, Hi: maxTime})
		if err != nil {
			return err
		}
		job.key()
		return b.AddKey(key, rows, from, to)
	})
	if err != nil {
		return errors.Join(err, b.Abort())
	}
	g.tilesAt = g.Schema.Position
	b.SetPosition(g.tilesAt)
	return b.Finish()
}

// maxTime is past every event time.
const maxTime = 1<<63 - 1

// newestTime is the greatest event time of a manifest's rows; 0 where there are none.
func newestTime(m *runs.Manifest) int64 {
	var t int64
	for _, s := range m.Segments {
		if s.Kind == runs.KindRows && s.Rows > 0 {
			t = max(t, s.Span.Hi-1)
		}
	}
	return t
}

// lateness is that of the group's relation, in microseconds.
func (m *Manager) lateness(g *Group) int64 {
	if r := m.cfg.Catalog.Current().Relations[g.Schema.Relation]; r != nil {
		return r.Lateness
	}
	return 0
}
