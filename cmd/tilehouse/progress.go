package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

const (
	// jobsEvery is how often the server is asked how far its jobs are.
	jobsEvery = 200 * time.Millisecond
	// linesEvery is how often a job is printed where the output is no terminal.
	linesEvery = 2 * time.Second
	// barWidth is the width of a bar without what stands beside it, in characters.
	barWidth = 30
	// barSteps is what a whole bar counts.
	barSteps = 100
)

// jobRow is a row of tilehouse.jobs. What may be NULL is a pointer.
type jobRow struct {
	ID                   int64
	Object, Stage        string
	Rows, Kept           int64
	Total, Percent, Left *int64 // rows, 0 to 100, seconds
	Keys, Days, Rate     int64  // rate: rows a second
	Started              time.Time
	Ended                *time.Time
	Error                string
}

// readJobs are the jobs of a server that run and the last that ended, oldest first.
func readJobs(ctx context.Context, conn *pgx.Conn) ([]jobRow, error) {
	rows, err := conn.Query(ctx, `SELECT id, object, stage, rows, kept_rows, total_rows, percent, seconds_left, keys, days,
		rows_per_second, started, ended, error FROM tilehouse.jobs ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[jobRow])
}

// numbers is a job's progress beside its bar: rows, days, keys, speed, time left.
func (j *jobRow) numbers() string {
	var b strings.Builder
	b.WriteString(humanize.Comma(j.Rows + j.Kept))
	if j.Total != nil {
		b.WriteString(" of " + humanize.Comma(*j.Total))
	}
	b.WriteString(" rows")
	if j.Kept > 0 {
		fmt.Fprintf(&b, " (%s kept)", humanize.Comma(j.Kept))
	}
	if j.Days > 0 {
		fmt.Fprintf(&b, ", %s days", humanize.Comma(j.Days))
	}
	if j.Keys > 0 {
		fmt.Fprintf(&b, ", %s keys", humanize.Comma(j.Keys))
	}
	if j.Ended != nil {
		fmt.Fprintf(&b, ", %s rows/s, took %s", humanize.Comma(j.Rate), j.Ended.Sub(j.Started).Round(100*time.Millisecond))
		return b.String()
	}
	fmt.Fprintf(&b, ", %s rows/s", humanize.Comma(j.Rate))
	if j.Left != nil {
		fmt.Fprintf(&b, ", %s left", time.Duration(*j.Left)*time.Second)
	}
	return b.String()
}

// percent is how much is done, 0 where that is not known.
func (j *jobRow) percent() int64 {
	if j.Percent == nil {
		return 0
	}
	return *j.Percent
}

// line is a job in one line of text.
func (j *jobRow) line() string {
	s := fmt.Sprintf("%s: %s, ", j.Object, j.Stage)
	if j.Percent != nil && j.Ended == nil {
		s += fmt.Sprintf("%d %%, ", *j.Percent)
	}
	s += j.numbers()
	if j.Error != "" {
		s += ": " + j.Error
	}
	return s
}

// display shows running jobs as they go on.
type display interface {
	show(jobs []jobRow)
	close()
}

// newDisplay draws bars on a terminal, and prints lines elsewhere.
func newDisplay(out io.Writer) display {
	if onTerminal(out) {
		return &bars{out: out, jobs: map[int64]*bar{}}
	}
	return &lines{out: out, told: map[int64]time.Time{}}
}

func onTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// bars draws a bar for each running job. They go as their jobs end.
type bars struct {
	out  io.Writer
	p    *mpb.Progress
	jobs map[int64]*bar
}

type bar struct {
	b    *mpb.Bar
	next chan jobRow // what to draw; the newest is taken
	last jobRow      // of the goroutine that draws
}

// row is what is to be drawn.
func (b *bar) row() *jobRow {
	select {
	case b.last = <-b.next:
	default:
	}
	return &b.last
}

func (bs *bars) show(jobs []jobRow) {
	running := map[int64]bool{}
	for _, j := range jobs {
		if j.Ended != nil {
			continue
		}
		running[j.ID] = true
		b := bs.jobs[j.ID]
		if b == nil {
			if bs.p == nil {
				bs.p = mpb.New(mpb.WithOutput(bs.out), mpb.WithWidth(barWidth), mpb.WithRefreshRate(jobsEvery/2))
			}
			b = &bar{next: make(chan jobRow, 1), last: j}
			b.b = bs.p.AddBar(barSteps, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(
				decor.Any(func(decor.Statistics) string { r := b.row(); return fmt.Sprintf("  %s: %-24s", r.Object, r.Stage) })),
				mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return fmt.Sprintf("%3d %%  %s", b.last.percent(), b.last.numbers()) })))
			bs.jobs[j.ID] = b
		}
		select {
		case <-b.next:
		default:
		}
		b.next <- j
		b.b.SetCurrent(min(j.percent(), barSteps-1)) // a full bar would go before its job ends
	}
	for id, b := range bs.jobs {
		if !running[id] {
			b.b.Abort(true)
			delete(bs.jobs, id)
		}
	}
}

func (bs *bars) close() {
	for _, b := range bs.jobs {
		b.b.Abort(true)
	}
	if bs.p != nil {
		bs.p.Wait()
	}
}

// lines prints a line for each running job from time to time.
type lines struct {
	out  io.Writer
	told map[int64]time.Time
}

func (l *lines) show(jobs []jobRow) {
	now := time.Now()
	for i := range jobs {
		j := &jobs[i]
		if _, known := l.told[j.ID]; !known {
			l.told[j.ID] = j.Started
		}
		if j.Ended == nil && now.Sub(l.told[j.ID]) >= linesEvery {
			l.told[j.ID] = now
			fmt.Fprintln(l.out, j.line())
		}
	}
}

func (l *lines) close() {}

// follow shows a server's jobs until ctx ends or, where idle is set, until none runs any more. It returns the jobs that ended
// meanwhile.
func follow(ctx context.Context, conn *pgx.Conn, d display, idle bool) ([]jobRow, error) {
	defer d.close()
	var began int64 = -1 // the greatest id of a job that had ended before
	running := map[int64]bool{}
	for {
		jobs, err := readJobs(context.WithoutCancel(ctx), conn) // a cancelled query would cost the connection
		if err != nil {
			return nil, err
		}
		var ended []jobRow
		busy := false
		for _, j := range jobs {
			if j.Ended == nil {
				busy, running[j.ID] = true, true
			} else if running[j.ID] || began >= 0 && j.ID > began {
				ended = append(ended, j)
			}
		}
		if began < 0 {
			began = 0
			for _, j := range jobs {
				if j.Ended != nil {
					began = max(began, j.ID)
				}
			}
		}
		if idle && !busy {
			return ended, nil
		}
		d.show(jobs)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(jobsEvery):
		}
	}
}

// watchJobs shows the jobs that run while a statement does, by a connection of its own. What it returns ends that, and comes back
// when nothing more is drawn.
func watchJobs(ctx context.Context, conn *pgx.Conn, out io.Writer) (end func() error) {
	watching, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := follow(watching, conn, newDisplay(out), false)
		done <- err
	}()
	return func() error {
		stop()
		return <-done
	}
}
