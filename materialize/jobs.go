package materialize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxJobs bounds the finished jobs that are remembered.
const maxJobs = 100

// Job is what is known of one build, as tilehouse.jobs shows it.
type Job struct {
	ID      int64
	Object  string // the feature or source that asked for it
	Group   uint32
	Stage   string // what it does now; "done", "failed" or "cancelled" at the end
	Rows    int64  // rows read
	Total   int64  // rows there are to read, from the files' metadata or the table; 0 where it is not known
	Keys    int64  // keys loaded into the online store
	Started time.Time
	Ended   time.Time // zero while it runs
	Error   string
}

// jobs are the builds of a manager: running ones and the last that ended.
type jobs struct {
	mu   sync.Mutex
	next int64
	list []*job

	watch func(stage string) // for tests: told of every stage as it begins; nil: nobody
}

type job struct {
	mu    sync.Mutex
	j     Job
	watch func(stage string)

	notice func(text string) // tells the client, at most every noticeEvery; nil: nobody
	told   time.Time
}

// noticeEvery is the time between two notices of a build's progress; a shorter build gives none.
const noticeEvery = 2 * time.Second

// tell gives a notice if it is time for one. j.mu is held, so that notices come in order.
func (j *job) tell() {
	now := time.Now()
	if j.notice == nil || now.Sub(j.told) < noticeEvery {
		return
	}
	j.told = now
	text := fmt.Sprintf("%s: %s, %d rows", j.j.Object, j.j.Stage, j.j.Rows)
	if p, ok := j.j.Percent(); ok {
		text += fmt.Sprintf(" of %d (%.0f %%)", j.j.Total, p)
	}
	if j.j.Keys > 0 {
		text += fmt.Sprintf(", %d keys", j.j.Keys)
	}
	if left, ok := j.j.Left(now); ok && left > 0 {
		text += fmt.Sprintf(", %.0f rows/s, %s left", j.j.Rate(now), left.Round(time.Second))
	}
	j.notice(text)
}

func (js *jobs) begin(object string, group uint32) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.next++
	j := &job{watch: js.watch, told: time.Now(), j: Job{ID: js.next, Object: object, Group: group, Stage: "starting", Started: time.Now()}}
	js.list = append(js.list, j)
	if len(js.list) > maxJobs {
		js.list = slices.Delete(js.list, 0, 1)
	}
	return j
}

func (j *job) stage(s string) {
	j.mu.Lock()
	j.j.Stage = s
	j.mu.Unlock()
	if j.watch != nil {
		j.watch(s)
	}
}

func (j *job) add(rows int64) { j.mu.Lock(); j.j.Rows += rows; j.tell(); j.mu.Unlock() }

func (j *job) expect(rows int64) { j.mu.Lock(); j.j.Total = rows; j.mu.Unlock() }

func (j *job) key() { j.mu.Lock(); j.j.Keys++; j.tell(); j.mu.Unlock() }

func (j *job) end(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.j.Ended, j.j.Stage = time.Now(), "done"
	if err != nil {
		j.j.Stage, j.j.Error = "failed", err.Error()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		j.j.Stage = "cancelled"
	}
}

// Percent is how much of the rows was read, 0 to 100; false where it is not known how many there are.
func (j *Job) Percent() (float64, bool) {
	if j.Total <= 0 {
		return 0, false
	}
	return min(100*float64(j.Rows)/float64(j.Total), 100), true
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

// Left estimates the time until all rows are read; what follows, the writing of runs and tiles, is not in it. False where it
// cannot be said.
func (j *Job) Left(now time.Time) (time.Duration, bool) {
	rate := j.Rate(now)
	if !j.Ended.IsZero() || j.Total <= 0 || rate <= 0 {
		return 0, false
	}
	return time.Duration(float64(max(j.Total-j.Rows, 0)) / rate * float64(time.Second)), true
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
