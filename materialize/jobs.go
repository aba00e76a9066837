package materialize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tilehouse/tilehouse/storage/event"
)

// maxJobs bounds the finished jobs that are remembered.
const maxJobs = 100

// Job is what is known of one build, as tilehouse.jobs shows it.
type Job struct {
	ID       int64
	Object   string // the feature or source that asked for it
	Relation uint32 // that it reads
	Group    uint32
	Stage    string         // what it does now; "done", "failed" or "cancelled" at the end
	Rows     int64          // rows read
	Kept     int64          // rows that an interrupted build had read, and that are not read again
	Total    int64          // rows there are to read, Kept included, from the files' metadata or the table; 0 where it is not known
	Keys     int64          // keys loaded into the online store
	Span     event.Interval // times of the rows read; Lo ≥ Hi before the first
	Started  time.Time
	Ended    time.Time // zero while it runs
	Error    string

	// Work is counted in rows times passes over them: reading, writing runs, folding days, loading tiles.
	work, workTotal, workKept float64
}

// jobs are the builds of a manager: running ones and the last that ended.
type jobs struct {
	mu   sync.Mutex
	next int64
	list []*job

	watch  func(stage string) // for tests: told of every stage as it begins; nil: nobody
	tracer trace.Tracer
}

type job struct {
	lateness int64 // of the feature that is built, microseconds

	mu    sync.Mutex
	j     Job
	watch func(stage string)

	span   trace.Span
	notice func(text string) // tells the client, at most every noticeEvery; nil: nobody
	told   time.Time

	telling sync.Mutex
}

// noticeEvery is the time between two notices of a build's progress; a shorter build gives none.
const noticeEvery = 2 * time.Second

// Text is a job's progress in words.
func (j *Job) Text(now time.Time) string {
	text := fmt.Sprintf("%s: %s, %d rows", j.Object, j.Stage, j.Rows+j.Kept)
	if j.Total > 0 {
		text += fmt.Sprintf(" of %d", j.Total)
	}
	if j.Kept > 0 {
		text += fmt.Sprintf(" (%d kept from before)", j.Kept)
	}
	if j.Keys > 0 {
		text += fmt.Sprintf(", %d keys", j.Keys)
	}
	if p, ok := j.Percent(); ok {
		text += fmt.Sprintf(", %.0f %%", p)
	}
	if left, ok := j.Left(now); ok && left > 0 {
		text += fmt.Sprintf(", %.0f rows/s, %s left", j.Rate(now), left.Round(time.Second))
	}
	return text
}

func (js *jobs) begin(ctx context.Context, object string, relation, group uint32) *job {
	span := js.span(ctx, object, group)
	js.mu.Lock()
	defer js.mu.Unlock()
	js.next++
	j := &job{span: span, watch: js.watch, told: time.Now(), j: Job{ID: js.next, Object: object, Relation: relation, Group: group, Stage: "starting", Started: time.Now(), Span: noSpan}}
	js.list = append(js.list, j)
	if len(js.list) > maxJobs {
		js.list = slices.Delete(js.list, 0, 1)
	}
	return j
}

// change changes what is known of a job, and tells the client if it is time to. The client is told without the lock: it may
// be slow to take it.
func (j *job) change(f func(*Job)) {
	if j == nil {
		return
	}
	j.mu.Lock()
	f(&j.j)
	now := time.Now()
	text := ""
	if j.notice != nil && now.Sub(j.told) >= noticeEvery {
		j.told, text = now, j.j.Text(now)
	}
	j.mu.Unlock()
	if text != "" && j.telling.TryLock() { // rows are counted by several goroutines, and a client may be slow
		j.notice(text)
		j.telling.Unlock()
	}
}

func (j *job) stage(s string) {
	j.change(func(k *Job) { k.Stage = s })
	if j != nil {
		j.span.AddEvent(s)
	}
	if j != nil && j.watch != nil {
		j.watch(s)
	}
}

// expect says how many rows there are to read, of which kept were read before, and how often they are passed over after that.
func (j *job) expect(total, kept int64, passes int) {
	j.change(func(k *Job) {
		k.Total, k.Kept = total, kept
		k.workKept, k.workTotal = 2*float64(kept), float64(total)*float64(1+passes) // kept rows were read and written
		k.work = k.workKept
	})
}

// read counts rows read.
func (j *job) read(rows *event.Rows) {
	j.change(func(k *Job) {
		k.Rows += int64(rows.N())
		k.work += float64(rows.N())
		k.see(rows.TS)
	})
}

// noSpan is the span of no rows.
var noSpan = event.Interval{Lo: maxTime, Hi: event.Forever}

// saw extends the span of the rows by one of rows kept.
func (j *job) saw(iv event.Interval) {
	j.change(func(k *Job) { k.Span.Lo, k.Span.Hi = min(k.Span.Lo, iv.Lo), max(k.Span.Hi, iv.Hi) })
}

func (k *Job) see(ts []int64) {
	for _, t := range ts {
		k.Span.Lo, k.Span.Hi = min(k.Span.Lo, t), max(k.Span.Hi, t+1)
	}
}

// counted says that all rows were read: those that an event view leaves out are no work.
func (j *job) counted() {
	j.change(func(k *Job) {
		if k.Total > 0 {
			passes := k.workTotal/float64(k.Total) - 1
			k.workTotal = k.workTotal - passes*float64(k.Total-k.Rows-k.Kept)
			k.work += float64(k.Total - k.Rows - k.Kept)
		}
	})
}

// worked counts rows that a pass has seen.
func (j *job) worked(rows float64) { j.change(func(k *Job) { k.work += rows }) }

// object is what the job is for.
func (j *job) object() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.j.Object
}

// loaded counts a key of so many rows that the online store has.
func (j *job) loaded(rows int) {
	j.change(func(k *Job) { k.Keys++; k.work += float64(rows) })
}

func (j *job) end(err error) {
	defer j.endSpan(err)
	j.mu.Lock()
	defer j.mu.Unlock()
	k := &j.j
	k.Ended, k.Stage = time.Now(), "done"
	if err == nil {
		k.work = k.workTotal
		return
	}
	k.Stage, k.Error = "failed", err.Error()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		k.Stage = "cancelled"
	}
}

// Percent is how much of a job's work is done, 0 to 100; false where it is not known how much there is.
func (j *Job) Percent() (float64, bool) {
	if j.workTotal <= 0 {
		return 0, false
	}
	return min(100*j.work/j.workTotal, 100), true
}

// Rate is rows read a second, until now or the end.
func (j *Job) Rate(now time.Time) float64 {
	if !j.Ended.IsZero() {
		now = j.Ended
	}
	if d := now.Sub(j.Started).Seconds(); d > 0 {
		return float64(j.Rows) / d
	}
	return 0
}

// Left estimates the time until a job is done, from the work done so far. False where it cannot be said.
func (j *Job) Left(now time.Time) (time.Duration, bool) {
	did := j.work - j.workKept
	if !j.Ended.IsZero() || j.workTotal <= 0 || did <= 0 {
		return 0, false
	}
	return time.Duration(max(j.workTotal-j.work, 0) / did * float64(now.Sub(j.Started))), true
}

// Days are the days that the rows read so far lie in, from the first to the last.
func (j *Job) Days() int64 {
	if j.Span.Lo >= j.Span.Hi {
		return 0
	}
	return event.DayOf(j.Span.Hi-1) - event.DayOf(j.Span.Lo) + 1
}

// Jobs are the builds that run and the last that ended, oldest first.
func (m *Manager) Jobs() []Job {
	m.jobs.mu.Lock()
	defer m.jobs.mu.Unlock()
	out := make([]Job, len(m.jobs.list))
	for i, j := range m.jobs.list {
		j.mu.Lock()
		out[i] = j.j
		j.mu.Unlock()
	}
	return out
}
