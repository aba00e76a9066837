package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// jobColumns are the columns of tilehouse.jobs.
var jobColumns = slices.Concat(numbers("id"), text("object", "stage"),
	numbers("rows", "kept_rows", "total_rows", "days", "keys", "percent", "rows_per_second", "seconds_left"), times("started", "ended"), text("error"))

func jobRows(s *Session, _ *schema.Catalog) ([][]string, error) {
	var out [][]string
	now := time.Now()
	for _, j := range s.e.mat.Jobs() {
		ended := "NULL"
		if !j.Ended.IsZero() {
			ended = timeLiteral(j.Ended.UnixMicro())
		}
		total, percent, left := progress(&j, now)
		out = append(out, []string{fmt.Sprint(j.ID), duck.QuoteLiteral(j.Object), duck.QuoteLiteral(j.Stage), fmt.Sprint(j.Rows), fmt.Sprint(j.Kept),
			total, fmt.Sprint(j.Days()), fmt.Sprint(j.Keys), percent, fmt.Sprint(int64(j.Rate(now))), left, timeLiteral(j.Started.UnixMicro()), ended, duck.QuoteLiteral(j.Error)})
	}
	return out, nil
}

// progress is a job's rows in all, percent and seconds left as literals, NULL where they are not known.
func progress(j *materialize.Job, now time.Time) (total, percent, left string) {
	total, percent, left = "NULL", "NULL", "NULL"
	if p, ok := j.Percent(); ok {
		total, percent = fmt.Sprint(j.Total), fmt.Sprint(int64(p))
	}
	if l, ok := j.Left(now); ok {
		left = fmt.Sprint(int64(l.Seconds()))
	}
	return total, percent, left
}

// buildRows are the rows of tilehouse.materializations for builds that run, rows that are no events, and what is
// kept of interrupted builds.
func (s *Session) buildRows(cat *schema.Catalog) [][]string {
	var out [][]string
	now := time.Now()
	for _, j := range s.e.mat.Jobs() {
		r := cat.Relations[j.Relation]
		if !j.Ended.IsZero() || r == nil {
			continue
		}
		from, to := "NULL", "NULL"
		if j.Days() > 0 {
			from, to = timeLiteral(j.Span.Lo), timeLiteral(j.Span.Hi)
		}
		total, percent, left := progress(&j, now)
		out = append(out, []string{fmt.Sprint(j.Group), duck.QuoteLiteral(r.Name), "'build for ' || " + duck.QuoteLiteral(j.Object), duck.QuoteLiteral(j.Stage),
			from, to, fmt.Sprint(j.Days()), fmt.Sprint(j.Rows + j.Kept), total, percent, left, "NULL", "NULL", "NULL"})
	}
	for _, g := range sorted(cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
		var n int64
		for _, f := range materialize.RejectedRows(cat, g, nil) {
			n += f.Rows
		}
		if n > 0 {
			out = append(out, []string{fmt.Sprint(g.ID), duck.QuoteLiteral(cat.Relations[g.Relation].Name), "'rows left out'", "'NULL or infinite key or time'",
				"NULL", "NULL", "NULL", fmt.Sprint(n), "NULL", "NULL", "NULL", "NULL", fmt.Sprint(g.Position), "NULL"})
		}
	}
	for _, k := range s.e.mat.Kept() {
		if r := cat.Relations[k.Relation]; r != nil {
			out = append(out, []string{"NULL", duck.QuoteLiteral(r.Name), "'rows kept for ' || " + duck.QuoteLiteral(k.Object), "'unfinished'",
				"NULL", "NULL", "NULL", fmt.Sprint(k.Rows), "NULL", "NULL", "NULL", fmt.Sprint(k.Bytes), "NULL", "NULL"})
		}
	}
	return out
}

// noticeRejectedOf tells, for each feature over a source, of the rejected rows in files that came since the source was as given.
func (s *Session) noticeRejectedOf(before *schema.Relation) {
	cat := s.e.catalog.Current()
	old := map[uint32]bool{}
	for i := range before.File.Files {
		old[before.File.Files[i].ID] = true
	}
	for _, g := range sorted(cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
		var features []string
		for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
			if f.Group == g.ID {
				features = append(features, f.Name)
			}
		}
		if r := cat.Relations[g.Relation]; r != nil && materialize.Base(cat, r).ID == before.ID {
			s.noticeRejected(cat, g, "features "+strings.Join(features, ", "), func(file uint32) bool { return !old[file] })
		}
	}
}

// refreshes are the columns of tilehouse.sources that say when a file source is refreshed.
func (s *Session) refreshes(r *schema.Relation) []string {
	st := s.e.mat.Refreshes(r.ID)
	every, last, next, failed := "NULL", "NULL", "NULL", "NULL"
	if r.File.RefreshEvery > 0 {
		every = duck.QuoteLiteral(durationText(r.File.RefreshEvery))
	}
	if !st.Last.IsZero() {
		last = timeLiteral(st.Last.UnixMicro())
	}
	if !st.Next.IsZero() {
		next = timeLiteral(st.Next.UnixMicro())
	}
	if st.Error != "" {
		failed = duck.QuoteLiteral(st.Error)
	}
	return []string{every, last, next, failed}
}

// daysOf is how many days an interval touches.
func daysOf(iv event.Interval) int64 {
	if iv.Lo >= iv.Hi {
		return 0
	}
	return event.DayOf(iv.Hi-1) - event.DayOf(iv.Lo) + 1
}
