package engine

import (
	"context"
	"fmt"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// leastRetention is the shortest retention, in microseconds: whole days are kept.
const leastRetention = event.Day

// retainedWindow refuses the window of a feature that reads further back than its table keeps events.
func (s *Session) retainedWindow(cat *schema.Catalog, r *schema.Relation, w schema.Window) *session.Error {
	b := materialize.Base(cat, r)
	switch {
	case w.Lifetime && b.KeptFrom != nil && w.Start < *b.KeptFrom:
		return hint(fail(codeInvalidParameter, "a lifetime needs every event, and table %q keeps those from %s on", b.Name, formatTime(*b.KeptFrom)),
			"A window, or WITH (start = '%s'): events before it do not exist for the feature.", formatTime(*b.KeptFrom))
	case b.Retention == 0:
		return nil
	case w.Lifetime:
		return hint(fail(codeInvalidParameter, "a lifetime needs every event, and table %q keeps those of %s", b.Name, durationText(b.Retention)),
			"A window of up to %s, or a table without the option retention.", durationText(b.Retention))
	case w.Length+w.Delay+w.Hop > b.Retention:
		return hint(fail(codeInvalidParameter, "the window reads back %s with delay and hop, and table %q keeps events of %s", durationText(w.Length+w.Delay+w.Hop), b.Name, durationText(b.Retention)),
			"A window of up to %s, or a table with a longer retention.", durationText(b.Retention))
	}
	return nil
}

// retained refuses a retention that some reader of a table does not fit, a feature or an event view.
func (s *Session) retained(cat *schema.Catalog, r *schema.Relation) error {
	for _, v := range sorted(cat.Relations, func(v *schema.Relation) string { return v.Name }) {
		if v.View == nil || v.View.Base != r.ID {
			continue
		}
		if time := v.View.Items[v.ColumnIndex(v.EventTime)]; r.Retention != 0 && time != duck.QuoteIdent(r.Inside(r.EventTime)) {
			return retainedTime(r, v, schema.Expr{Column: -1})
		}
	}
	for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
		for _, id := range f.Attributes {
			if b := materialize.Base(cat, cat.Relations[id]); b.ID == r.ID && r.Retention != 0 {
				return hint(fail(codeDependent, "feature %q joins rows of table %q as of its events, and needs all of them", f.Name, r.Name), "DROP FEATURE %s first.", f.Name)
			}
		}
		if materialize.Base(cat, cat.Relations[f.Relation]).ID != r.ID {
			continue
		}
		for _, o := range f.Outputs {
			if err := s.retainedWindow(cat, r, o.Window); err != nil {
				err.Code = codeDependent
				return hint(err, "Feature %q reads it so in column %q. DROP FEATURE %s first, or keep events for longer.", f.Name, o.Name, f.Name)
			}
		}
	}
	return nil
}

// changeRetention gives next, which a table is to become, what a change of its retention leaves behind: what is dropped stays dropped,
// and a shorter retention drops at once. newest is the newest event time, nil where there are no events.
func (s *Session) changeRetention(c *schema.Catalog, next *schema.Relation, newest *int64) error {
	kept, _, err := s.e.mat.KeptFrom(c, next.ID)
	if err != nil {
		return err
	}
	if newest != nil && next.Retention != 0 {
		kept = max(kept, materialize.KeptBefore(*newest, next.Retention))
	}
	if next.KeptFrom = nil; kept != event.Forever {
		next.KeptFrom = &kept
	}
	return nil
}

// newestEvent is the newest event time of a table, nil where it has no rows.
func (s *Session) newestEvent(ctx context.Context, cat *schema.Catalog, r *schema.Relation) (*int64, error) {
	b := s.binderAt(ctx, cat, "", false)
	sql, err := b.relationSQL(r, false)
	if err != nil {
		return nil, err
	}
	defer s.dropTemps()
	ch, err := s.one(ctx, fmt.Sprintf("SELECT max(%s) FROM %s", duck.QuoteIdent(r.EventTime), sql))
	if err != nil || ch == nil || ch.Cols[0].IsNull(0) {
		return nil, err
	}
	newest := ch.Cols[0].I64[0]
	return &newest, nil
}

// retainedTime refuses an event view whose event time is not that of its table, where the table drops rows by theirs.
func retainedTime(base, view *schema.Relation, time schema.Expr) *session.Error {
	if base.Retention == 0 || time.Column == base.PlaceOf(base.EventTime) {
		return nil
	}
	return hint(fail(codeUnsupported, "event view %q has an event time of its own, and table %q drops rows by %q", view.Name, base.Name, base.EventTime),
		"The view's event time is %s itself, or the table has no option retention.", base.EventTime)
}

// notKept refuses a read at an instant whose window begins before what its table keeps.
func notKept(table *schema.Relation, kept, lo, when int64) error {
	if table.Retention == 0 {
		return hint(fail(codeInvalidParameter, "the value at %s needs events of %q from %s on, which are kept from %s on", formatTime(when), table.Name, endText(lo), formatTime(kept)),
			"Read at later times only: the retention that the table had dropped whole days.")
	}
	return hint(fail(codeInvalidParameter, "the value at %s needs events of %q from %s on, which are kept from %s on", formatTime(when), table.Name, endText(lo), formatTime(kept)),
		"Read at later times only: retention = '%s' of the table drops whole days.", durationText(table.Retention))
}

// kept refuses the read of a group at an instant where its table does not keep all events of some window.
func (g *groupRead) kept(e *Engine, cat *schema.Catalog, when int64) error {
	from, _, err := e.mat.KeptFrom(cat, g.group.Relation)
	if err != nil {
		return err
	}
	return g.keptFrom(cat, from, when)
}

// keptFrom refuses the read of a group at an instant where a window begins before what is kept; event.Forever: everything is.
func (g *groupRead) keptFrom(cat *schema.Catalog, from, when int64) error {
	if from == event.Forever {
		return nil
	}
	for i := range g.outputs {
		if iv := g.outputs[i].window.Interval(when, false); iv.Lo < from && iv.Lo < iv.Hi {
			return notKept(materialize.Base(cat, cat.Relations[g.group.Relation]), from, iv.Lo, when)
		}
	}
	return nil
}

// keptLabels are the labels of a join, and an error at the first whose window begins before what the table keeps.
func (e *Engine) keptLabels(cat *schema.Catalog, req *joinRequest) (pointintime.LabelSource, error) {
	from, table, err := e.mat.KeptFrom(cat, req.Group.Relation)
	if err != nil || from == event.Forever {
		return req.Labels, err
	}
	return func(ctx context.Context, emit func(*pointintime.Labels) error) error {
		return req.Labels(ctx, func(l *pointintime.Labels) error {
			for i := range l.T.N {
				if l.T.IsNull(i) || l.Key.IsNull(i) { // no event counts
					continue
				}
				for o := range req.Outputs {
					if iv := req.Outputs[o].Window.Interval(l.T.I64[i], req.Inclusive); iv.Lo < from && iv.Lo < iv.Hi {
						return notKept(table, from, iv.Lo, l.T.I64[i])
					}
				}
			}
			return emit(l)
		})
	}, nil
}

// retentionLines are the lines of tilehouse.materializations about what tables dropped.
func (s *Session) retentionLines(cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.Retention == 0 && r.KeptFrom == nil {
			continue
		}
		kept, _, err := s.e.mat.KeptFrom(cat, r.ID)
		if err != nil {
			return nil, err
		}
		if kept == event.Forever {
			continue
		}
		state := "being dropped"
		if s.e.mat.Dropped(r.ID, kept) {
			state = "dropped"
		}
		logged, err := s.logLines(r)
		if err != nil {
			return nil, err
		}
		out = append(out, logged...)
		out = append(out, []string{"NULL", duck.QuoteLiteral(r.Name), duck.QuoteLiteral("retention"), duck.QuoteLiteral(state), "NULL", timeLiteral(kept), "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", fmt.Sprint(s.e.log.Position()), "NULL"})
	}
	return out, nil
}

// logLines are the lines of tilehouse.materializations about what the log has of a table whose rows it does not keep for good, and what was
// trimmed of it.
func (s *Session) logLines(r *schema.Relation) ([][]string, error) {
	source := reclog.SourceID(r.ID)
	bytes, err := s.e.log.SourceBytes(source)
	if err != nil {
		return nil, err
	}
	trimmed, err := s.e.log.Trimmed(source)
	if err != nil {
		return nil, err
	}
	line := func(part, state, to, rows string, bytes, position uint64) []string {
		return []string{"NULL", duck.QuoteLiteral(r.Name), duck.QuoteLiteral(part), duck.QuoteLiteral(state), "NULL", to, "NULL", rows, "NULL", "NULL", "NULL", fmt.Sprint(bytes), fmt.Sprint(position), "NULL"}
	}
	state, to := s.e.mat.TrimState(r.ID), "NULL"
	if state == "" {
		state = "trimmed"
	}
	if trimmed.Before != event.Forever {
		to = timeLiteral(trimmed.Before)
	} else if state == "trimmed" {
		state = "nothing yet"
	}
	return [][]string{line("log", "ready", "NULL", "NULL", bytes, s.e.log.Position()), line("log, trimmed", state, to, fmt.Sprint(trimmed.Rows), trimmed.Bytes, trimmed.Position)}, nil
}
