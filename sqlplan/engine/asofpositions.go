package engine

import (
	"context"
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// FOR SYSTEM_TIME AS OF of the right side of an ASOF JOIN is one time for all rows, or an expression over the left side: then each row
// is joined to what was known at its own time. The versions of events are read once for all positions, by those who can
// (materialize.Versions); positions are else joined one after the other.

// maxPositionJoins bounds the positions that are joined one after the other in one statement.
const maxPositionJoins = 10_000

// oneTime reports whether the time of FOR SYSTEM_TIME AS OF is a literal or a parameter, and so one for all rows.
func oneTime(n *pg_query.Node) bool {
	if n == nil || uncast(n).GetParamRef() != nil {
		return true
	}
	_, _, ok := constantText(n)
	return ok
}

// rowPositions are the positions at which the rows of a left side are joined.
type rowPositions struct {
	byTime map[int64]uint64 // by the time that a row says
	all    []uint64         // distinct, ascending
}

func newRowPositions(byTime map[int64]uint64) *rowPositions {
	p := &rowPositions{byTime: byTime}
	for _, at := range byTime {
		p.all = append(p.all, at)
	}
	slices.Sort(p.all)
	p.all = slices.Compact(p.all)
	return p
}

// positionsOf finds the positions that the rows of left say; nil where all say one.
func (p *asofPlan) positionsOf(b *binder, f *asofFeatures, left string) (*rowPositions, uint64, error) {
	rows, err := b.s.conn.Query(b.ctx, fmt.Sprintf("SELECT DISTINCT CAST(%s AS TIMESTAMPTZ) AS t FROM %s AS %s ORDER BY t", f.asOfSQL, left, duck.QuoteIdent(p.leftAlias)))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	byTime := map[int64]uint64{}
	after := uint64(0)
	for {
		ch, err := rows.Next()
		if err != nil {
			return nil, 0, err
		}
		if ch == nil {
			break
		}
		for i := range ch.N {
			if ch.Cols[0].IsNull(i) {
				return nil, 0, at(hint(fail("22004", "the time of FOR SYSTEM_TIME AS OF is NULL in a row of the left side"), "Leave such rows out: … WHERE … IS NOT NULL"), b.sql, f.place(f.asOf))
			}
			t := ch.Cols[0].I64[i]
			after = b.s.e.log.PositionFrom(after, t)
			byTime[t] = after
		}
	}
	out := newRowPositions(byTime)
	switch len(out.all) {
	case 0:
		return nil, b.position, nil
	case 1:
		return nil, out.all[0], nil
	}
	return out, 0, nil
}

// mergeEach runs the point-in-time join of one group for labels of many positions.
func (s *Session) mergeEach(ctx context.Context, cat *schema.Catalog, req joinRequest, positions []uint64, merge func(joinRequest) error) error {
	g, err := s.e.mat.Group(req.Group)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(req.Outputs, func(o pointintime.Output) bool { return o.Window.Following }) { // a label is complete through one time a position
		fromRuns := !req.AdHoc && !req.Flags.NoRuns
		g, v, err := s.e.mat.VersionsOrFolded(ctx, cat, g, positions[0], positions[len(positions)-1], fromRuns)
		if err != nil {
			return err
		}
		if v != nil {
			req.versions, req.of = v, g
			return merge(req)
		}
	}
	same := map[uint64]uint64{} // positions at which the rows are the same
	for _, p := range positions {
		if same[p], err = s.e.mat.SamePosition(cat, req.Group, p); err != nil {
			return err
		}
	}
	var each []uint64
	for _, p := range positions {
		each = append(each, same[p])
	}
	slices.Sort(each)
	if each = slices.Compact(each); len(each) > maxPositionJoins {
		return hint(fail("54000", "the left side names %d positions, and events that are joined to attributes, labels and files that are gone are read at each: %d at most", len(each), maxPositionJoins),
			"Join fewer rows in a statement.")
	}
	for _, p := range each {
		one := req
		one.Position, one.Labels = p, labelsAt(req.Labels, func(at uint64) bool { return same[at] == p })
		if err := merge(one); err != nil {
			return err
		}
	}
	return nil
}

// labelsAt gives the labels of some positions.
func labelsAt(all pointintime.LabelSource, wanted func(uint64) bool) pointintime.LabelSource {
	return func(ctx context.Context, emit func(*pointintime.Labels) error) error {
		return all(ctx, func(l *pointintime.Labels) error {
			some := pointintime.Labels{Key: vector.New(l.Key.Type, 0), T: vector.New(l.T.Type, 0)}
			for i, at := range l.Position {
				if wanted(at) {
					some.Row = append(some.Row, l.Row[i])
					some.Key.AppendFrom(l.Key, i)
					some.T.AppendFrom(l.T, i)
				}
			}
			if len(some.Row) == 0 {
				return nil
			}
			return emit(&some)
		})
	}
}

// joinVersions is join of labels that have positions, over the row versions of all of them.
func (e *Engine) joinVersions(ctx context.Context, spec pointintime.JoinSpec, v *materialize.Versions) error {
	spec.Snapshot, spec.Life = v.Snapshot, v.Life
	if v.Snapshot == nil {
		spec.Events = []pointintime.EventSource{func(ctx context.Context, emit func(*event.Rows) error) error { return v.Scan(ctx, emit) }}
	}
	return pointintime.Join(ctx, spec)
}
