package engine

import (
	"context"
	"fmt"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// leastRetention is the shortest retention, in microseconds: whole days are kept.
const leastRetention = event.Day

// retainedWindow refuses the window of a feature that reads further back than its table keeps events.
func (s *Session) retainedWindow(cat *schema.Catalog, r *schema.Relation, w schema.Window) *session.Error {
	b := materialize.Base(cat, r)
	switch {
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

// retainedTime refuses an event view whose event time is not that of its table, where the table drops rows by theirs.
func retainedTime(base, view *schema.Relation, time schema.Expr) *session.Error {
	if base.Retention == 0 || time.Column == base.ColumnIndex(base.EventTime) {
		return nil
	}
	return hint(fail(codeUnsupported, "event view %q has an event time of its own, and table %q drops rows by %q", view.Name, base.Name, base.EventTime),
		"The view's event time is %s itself, or the table has no option retention.", base.EventTime)
}

// notKept refuses a read at an instant whose window begins before what its table keeps.
func notKept(table *schema.Relation, kept, lo, when int64) error {
	return hint(fail(codeInvalidParameter, "the value at %s needs events of %q from %s on, which are kept from %s on", formatTime(when), table.Name, endText(lo), formatTime(kept)),
		"Read at later times only: retention = '%s' of the table drops whole days.", durationText(table.Retention))
}

// kept refuses the read of a group at an instant where its table does not keep all events of some window.
func (g *groupRead) kept(e *Engine, cat *schema.Catalog, when int64) error {
	from, table, err := e.mat.KeptFrom(cat, g.group.Relation)
	if err != nil || from == event.Forever {
		return err
	}
	for i := range g.outputs {
		if iv := g.outputs[i].window.Interval(when, false); iv.Lo < from && iv.Lo < iv.Hi {
			return notKept(table, from, iv.Lo, when)
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
		if r.Retention == 0 {
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
		out = append(out, []string{"NULL", duck.QuoteLiteral(r.Name), duck.QuoteLiteral("retention"), duck.QuoteLiteral(state), "NULL", timeLiteral(kept), "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", fmt.Sprint(s.e.log.Position()), "NULL"})
	}
	return out, nil
}
