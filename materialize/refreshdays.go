package materialize

import (
	"context"
	"errors"
	"slices"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// rangeEntryBytes is what a key's day costs while a range of days is built anew.
const rangeEntryBytes = 64

// errWide is the error of a range that holds so many keys and days that building all of them is no more work.
var errWide = errors.New("the range is too wide to be built by itself")

// RefreshDays builds the days that a span of times touches anew: their events are read from the relation, take the place of the
// runs' rows of these days, and are folded into partials, and the tiles of the keys that they have are loaded again. Other days stay as
// they are, except that row versions which went leave the runs: positions before are read from the log. A group of which nothing was
// built, which attributes overtook, or whose range does not fit the memory is built anew as a whole; all reports that.
func (m *Manager) RefreshDays(ctx context.Context, f *schema.Feature, span event.Interval, notice func(string)) (all bool, err error) {
	m.build.Lock()
	defer m.build.Unlock()
	def := m.cfg.Catalog.Current().Groups[f.Group]
	if def == nil {
		return false, errGroupGone
	}
	g := (*m.live.Load())[def.ID]
	if g == nil || g.Schema != def || g.Manifest == nil || m.overtaken.since(def.ID) != 0 {
		return true, m.rebuildLocked(ctx, def)
	}
	at := m.cfg.Log.Position()
	if err := m.flushTail(ctx, g, true); err != nil {
		return false, err
	}
	if g = (*m.live.Load())[def.ID]; g == nil {
		return false, errGroupGone
	}
	job := m.jobs.begin(ctx, f.Name, f.Relation, def.ID)
	job.notice = notice
	err = m.refreshDays(ctx, g, max(at, g.Manifest.Position), m.wholeDays(span), job)
	job.end(err)
	if errors.Is(err, errWide) {
		return true, m.rebuildLocked(ctx, g.Schema)
	}
	return false, err
}

// refreshDays is RefreshDays of a group whose runs have everything up to position at.
func (m *Manager) refreshDays(ctx context.Context, g *Group, at uint64, days event.Interval, job *job) (err error) {
	cat := m.cfg.Catalog.Current()
	o := m.newOverlay(g)
	o.job = job
	defer func() {
		if err != nil {
			err = errors.Join(err, o.discard())
		}
	}()
	job.stage("looking for the keys of the range")
	touched, err := m.daysIn(ctx, o.man, days)
	if err != nil {
		return err
	}
	b, err := o.builder()
	if err != nil {
		return err
	}
	defer b.Close()
	job.stage("reading rows")
	position := g.Manifest.Position
	if err := m.scanTimes(ctx, cat, g.Schema, at, &days, func(rows *event.Rows) error {
		job.read(rows)
		return b.Add(within(g.Schema.Layout, rows, days))
	}); err != nil {
		return err
	}
	job.counted()
	if err := b.Finish(); err != nil {
		return err
	}
	job.stage("writing runs")
	drop := runs.Drop{Times: days}
	if len(g.dead) > 0 {
		drop.Rows = func(id uint64) bool { _, yes := g.dead[id]; return yes }
	}
	var dead func(uint64) bool
	if base, err := baseOf(cat, g.Schema.Relation); err == nil && base.Kind == schema.FileSource {
		dead = deadFiles(base.File, position)
		drop.Rows = dead
	}
	if err := o.purge(ctx, drop); err != nil {
		return err
	}
	if err := o.add(ctx, b, position, dead, touched, maxTime); err != nil {
		return err
	}
	if err := o.compact(ctx); err != nil {
		return err
	}
	if err := m.publishRuns(ctx, []*runsChange{{o: o, floor: position, dead: map[uint64]uint64{}}}, nil, nil); err != nil {
		return err
	}
	fresh := o.man
	o.fresh = nil // published: nothing to discard, whatever follows
	live := (*m.live.Load())[g.Schema.ID]
	if live == nil || live.Tiles == nil {
		return nil
	}
	job.stage("loading the online store")
	came, err := m.daysIn(ctx, fresh, days)
	if err != nil {
		return err
	}
	for key := range came {
		touched[key] = nil
	}
	for key := range touched {
		if err := errors.Join(ctx.Err(), m.mendKey(ctx, cat, live, []byte(key))); err != nil {
			return err
		}
		job.loaded(1)
	}
	return nil
}

// daysIn are the days in a span of which a manifest has rows, dead ones too, by key. Errors: errWide.
func (m *Manager) daysIn(ctx context.Context, man runs.Manifest, span event.Interval) (map[string][]int64, error) {
	snap := &runs.Snapshot{Store: m.runs, Manifest: &man, NoPartials: true}
	r, err := snap.Reader(nil)
	if err != nil {
		return nil, err
	}
	out := map[string][]int64{}
	entries := int64(0)
	return out, snap.Keys(ctx, func(key []byte) error {
		if err := r.Seek(key); err != nil {
			return err
		}
		rows, from, to, err := r.Rows(span)
		if err != nil || from == to {
			return err
		}
		var days []int64
		for i := from; i < to; i++ {
			if d := m.cfg.Days.Of(rows.TS[i]); len(days) == 0 || days[len(days)-1] != d {
				days = append(days, d)
			}
		}
		if entries += int64(len(days)) + 1; entries*rangeEntryBytes > m.cfg.Memory {
			return errWide
		}
		out[string(key)] = slices.Clip(days)
		return nil
	})
}

// within are the rows of some times.
func within(l event.Layout, rows *event.Rows, span event.Interval) *event.Rows {
	if !slices.ContainsFunc(rows.TS, func(t int64) bool { return t < span.Lo || t >= span.Hi }) {
		return rows
	}
	out := event.NewRows(l, rows.N())
	for i, t := range rows.TS {
		if span.Lo <= t && t < span.Hi {
			out.Append(rows, i)
		}
	}
	return out
}
