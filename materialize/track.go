package materialize

import "context"

// Tracked is work on a relation's rows that stands among the jobs without being a build.
type Tracked struct{ j *job }

// Track begins such work on an object: what it does in a word. End ends it.
func (m *Manager) Track(ctx context.Context, object, stage string) *Tracked {
	j := m.jobs.begin(ctx, object, 0, 0)
	j.stage(stage)
	return &Tracked{j}
}

// Expect says of how many rows the work is.
func (t *Tracked) Expect(rows int64) { t.j.expect(rows, 0, 0) }

// Done says how many rows are done so far.
func (t *Tracked) Done(rows int64) {
	t.j.change(func(k *Job) {
		if k.Rows, k.work = rows, float64(rows); k.Total > 0 && rows > k.Total {
			k.Total, k.workTotal = rows, float64(rows)
		}
	})
}

// End ends the work.
func (t *Tracked) End(err error) { t.j.end(err) }
