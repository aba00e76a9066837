package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// joinRequest is the part of a point-in-time join that one group serves.
type joinRequest struct {
	Group     *schema.Group
	AdHoc     bool // the group is only a definition: nothing of it is materialized
	Position  uint64
	Flags     materialize.Flags
	Outputs   []pointintime.Output
	Inclusive bool
	Labels    pointintime.LabelSource
	Sink      func(*vector.Chunk) error
	Progress  func(pointintime.Progress)
	Stats     *event.ReadStats

	// Of labels with positions: what they are joined to, and the group that it is of. nil: labels have none.
	versions *materialize.Versions
	of       *materialize.Group
}

// join runs a point-in-time join over a group's runs, or over its relation's rows where there are none for the position.
func (e *Engine) join(ctx context.Context, cat *schema.Catalog, req joinRequest) error {
	g, err := req.of, error(nil)
	if g == nil {
		if g, err = e.mat.Group(req.Group); err != nil {
			return err
		}
	}
	var through int64
	if slices.ContainsFunc(req.Outputs, func(o pointintime.Output) bool { return o.Window.Following }) {
		// Of files that say nothing about it, this is a scan: it is made for labels only, which alone need it.
		if through, err = e.mat.CompleteThrough(ctx, cat, req.Group, req.Position); err != nil {
			return err
		}
	}
	labels, err := e.keptLabels(cat, &req)
	if err != nil {
		return err
	}
	spec := pointintime.JoinSpec{
		Layout: g.Schema.Layout, Partials: g.Partials, Outputs: req.Outputs, Inclusive: req.Inclusive, CompleteThrough: through,
		Labels: []pointintime.LabelSource{labels}, Sink: req.Sink, Progress: req.Progress, Stats: req.Stats,
		Options: pointintime.Options{Threads: e.cfg.Threads, Memory: e.memory.join, FS: e.cfg.FS, SpillPath: e.mat.SpillPath()},
	}
	if req.versions != nil {
		return e.joinVersions(ctx, spec, req.versions)
	}
	scan := func() error {
		spec.Events = []pointintime.EventSource{func(ctx context.Context, emit func(*event.Rows) error) error {
			return e.mat.ScanAt(ctx, cat, req.Group, req.Position, emit)
		}}
		return pointintime.Join(ctx, spec)
	}
	if req.AdHoc || req.Flags.NoRuns || !e.mat.RunsServe(cat, g, req.Position) {
		return scan()
	}
	if spec.Snapshot, err = e.mat.Snapshot(ctx, cat, g, req.Position); errors.Is(err, materialize.ErrTooManyRows) {
		if g, err = e.mat.FoldTail(ctx, req.Group); err != nil {
			return err
		}
		if !e.mat.RunsServe(cat, g, req.Position) { // it was replaced meanwhile, or the fold raised its floor
			return scan()
		}
		spec.Layout, spec.Partials = g.Schema.Layout, g.Partials
		spec.Snapshot, err = e.mat.Snapshot(ctx, cat, g, req.Position)
	}
	if err != nil {
		return err
	}
	if req.Flags.NoPartials {
		spec.Snapshot.NoPartials = true
	}
	return pointintime.Join(ctx, spec)
}
