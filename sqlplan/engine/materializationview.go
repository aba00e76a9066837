package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// maxDayLines bounds the days of a group that tilehouse.materializations lists: the newest ones.
const maxDayLines = 4_000

// materialization is a line of tilehouse.materializations. Negative numbers are not known.
type materialization struct {
	group       uint32
	relation    string
	part, state string
	span        event.Interval // Lo ≥ Hi: none
	days        int64
	rows, bytes int64
	position    uint64
	lag         time.Duration
}

func (l *materialization) values() []string {
	number := func(n int64) string {
		if n < 0 {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	from, to := "NULL", "NULL"
	if l.span.Lo < l.span.Hi && l.span.Lo != event.Forever {
		from = timeLiteral(l.span.Lo)
	}
	if l.span.Lo < l.span.Hi && l.span.Hi != farTime {
		to = timeLiteral(l.span.Hi)
	}
	lag := "NULL"
	if l.lag >= 0 {
		lag = fmt.Sprintf("to_microseconds(%d)", l.lag.Microseconds())
	}
	return []string{fmt.Sprint(l.group), duck.QuoteLiteral(l.relation), duck.QuoteLiteral(l.part), duck.QuoteLiteral(l.state), from, to,
		number(l.days), number(l.rows), "NULL", "NULL", "NULL", number(l.bytes), fmt.Sprint(l.position), lag}
}

// materializationRows are, of each group, its files, its days and its tiles; then builds, rows left out and what builds keep.
func materializationRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, g := range sorted(cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
		live, err := s.e.mat.Group(g)
		if err != nil {
			return nil, err
		}
		lines, err := s.groupLines(cat, live)
		if err != nil {
			return nil, err
		}
		for i := range lines {
			lines[i].group, lines[i].relation = g.ID, cat.Relations[g.Relation].Name
			out = append(out, lines[i].values())
		}
	}
	kept, err := s.retentionLines(cat)
	if err != nil {
		return nil, err
	}
	return slices.Concat(out, kept, s.buildRows(cat)), nil
}

func (s *Session) groupLines(cat *schema.Catalog, live *materialize.Group) ([]materialization, error) {
	ready := "ready"
	if since := s.e.mat.OvertakenSince(live.Schema.ID); since > 0 {
		ready = fmt.Sprintf("serves positions before %d, until it is built anew: attributes changed", since)
	}
	settled := int64(tiles.NotSettled)
	var out []materialization
	if live.Tiles != nil {
		st, err := s.e.tiles.Stats(live.Tiles)
		if err != nil {
			return nil, err
		}
		if settled, err = s.e.tiles.SettledThrough(live.Tiles); err != nil {
			return nil, err
		}
		retained, some, err := s.e.tiles.RetainedFrom(live.Tiles)
		if err != nil {
			return nil, err
		}
		all := event.Interval{Lo: event.Forever, Hi: farTime}
		if some {
			all.Lo = retained * event.Day
		}
		out = append(out, materialization{part: "online tiles", state: ready, span: all, days: -1, rows: st.Rows, bytes: st.Bytes, position: s.e.log.Position()})
		if settled != tiles.NotSettled {
			out = append(out, materialization{part: "settled days", state: ready, span: event.Interval{Lo: all.Lo, Hi: (settled + 1) * event.Day}, days: -1, rows: -1, bytes: -1, position: s.e.log.Position()})
		}
	}
	if live.Manifest == nil {
		return out, nil
	}
	lag, err := s.e.mat.Lag(context.Background(), cat, live)
	if err != nil {
		return nil, err
	}
	days := map[int64]*materialization{}
	for i := range live.Manifest.Segments {
		seg := &live.Manifest.Segments[i]
		part := "row run"
		if seg.Kind == runs.KindDays {
			part = "daily partials"
		}
		out = append(out, materialization{part: part, state: ready, span: seg.Span, days: daysOf(seg.Span), rows: seg.Rows, bytes: seg.Bytes(), position: seg.Position, lag: lag})
		seg.Days.Each(func(day, rows int64) {
			d := days[day]
			if d == nil {
				d = &materialization{part: "day", span: event.Interval{Lo: day * event.Day, Hi: (day + 1) * event.Day}, days: 1, position: live.Manifest.Position, lag: lag}
				if d.state = "open"; day <= settled {
					d.state = "settled"
				}
				days[day] = d
			}
			if seg.Kind == runs.KindRows {
				d.rows += rows
			}
			d.bytes += seg.Bytes() * rows / max(seg.Rows, 1)
		})
	}
	list := slices.Sorted(maps.Keys(days))
	for _, day := range list[max(0, len(list)-maxDayLines):] {
		out = append(out, *days[day])
	}
	return out, nil
}
