package engine

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Transactions of one change of few rows each are written together: the first to come leads, takes the table's lock, and writes
// what has come meanwhile in its own transaction of DuckDB's, so that one sync of the disk serves all. Those that come while it
// commits wait, and one of them leads them. Each change is checked against those before it, and fails alone; an error of the
// transaction itself sends all of its changes to be written one by one.

// fewJob is a change of few rows that is to be written.
type fewJob struct {
	s    *Session
	w    *rowWrite
	p    *fewPlan
	args []*vector.Vector

	ids    *vector.Vector // of the rows, but of an INSERT
	rows   *vector.Chunk  // nil: none
	broken *vector.Vector // the number of the check that each breaks; nil: there are none

	done  chan struct{} // closed when err holds, or the job is to lead
	lead  bool
	taken bool // by a leader; writeGroups.mu
	err   error
}

// maxGroup bounds the changes that one transaction writes.
const maxGroup = 64

// errAlone sends a change to be written by itself.
var errAlone = errors.New("the changes written together failed")

// groupKey is what must be the same of changes that are written together: what they lock, and what their SQL depends on.
type groupKey struct {
	table  uint64
	insert bool
	zone   string
}

// writeGroups are the changes that wait for a leader, by what they change; an entry without changes has a leader.
type writeGroups struct {
	mu      sync.Mutex
	waiting map[groupKey][]*fewJob
}

// write writes a change in a transaction of its own or of others'.
func (g *writeGroups) write(ctx context.Context, j *fewJob) error {
	if j.w.kind != 'i' && !j.p.quick { // whoever waits for it would wait for a scan
		return j.alone(ctx)
	}
	key := groupKey{table: j.w.table.ID, insert: j.w.kind == 'i'}
	if !key.insert {
		key.zone = j.s.zone
	}
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = map[groupKey][]*fewJob{}
	}
	if others, led := g.waiting[key]; led {
		g.waiting[key] = append(others, j)
		g.mu.Unlock()
		select {
		case <-j.done:
		case <-ctx.Done():
			if g.leave(key, j) {
				return ctx.Err()
			}
			<-j.done // it is being written
		}
		if !j.lead {
			return j.retried(ctx)
		}
	} else {
		g.waiting[key] = nil
		g.mu.Unlock()
	}
	g.leadGroup(ctx, key, j)
	return j.retried(ctx)
}

// leave takes a job out of those that wait; it reports whether it did so in time.
func (g *writeGroups) leave(key groupKey, j *fewJob) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if j.taken {
		return false
	}
	for i, other := range g.waiting[key] {
		if other == j {
			g.waiting[key] = append(g.waiting[key][:i:i], g.waiting[key][i+1:]...)
			break
		}
	}
	return true
}

// retried is the job's own error; one that failed for others' sake runs by itself.
func (j *fewJob) retried(ctx context.Context) error {
	if errors.Is(j.err, errAlone) {
		j.err = nil
		return j.alone(ctx)
	}
	return j.err
}

// leadGroup writes a job and what waits with it, and makes the next one lead.
func (g *writeGroups) leadGroup(ctx context.Context, key groupKey, j *fewJob) {
	var others []*fewJob
	defer func() {
		for _, o := range others {
			close(o.done)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if rest := g.waiting[key]; len(rest) > 0 {
			next := rest[0]
			g.waiting[key] = rest[1:]
			next.lead, next.taken = true, true
			close(next.done)
		} else {
			delete(g.waiting, key)
		}
	}()
	err := j.s.inTransaction(ctx, func(ctx context.Context) error {
		return j.s.writeTogether(ctx, j, func() []*fewJob {
			g.mu.Lock()
			defer g.mu.Unlock()
			rest := g.waiting[key]
			n := min(len(rest), maxGroup-1)
			others = rest[:n:n]
			g.waiting[key] = rest[n:]
			for _, o := range others {
				o.taken = true
			}
			return others
		})
	})
	if err == nil {
		return
	}
	if len(others) == 0 && !errors.Is(err, errAlone) {
		if j.err == nil {
			j.err = err
		}
		return
	}
	for _, o := range append(others, j) {
		if o.err == nil || !errors.Is(o.err, errStalePlan) {
			o.err = errAlone
		}
	}
}

// alone writes a job in a transaction of its own, anew where another one overtook it.
func (j *fewJob) alone(ctx context.Context) error {
	for round := 1; ; round++ {
		if j.w.kind != 'i' {
			j.reset()
		}
		j.err = nil
		err := j.s.inTransaction(ctx, func(ctx context.Context) error {
			if err := j.s.writeTogether(ctx, j, nil); err != nil {
				return err
			}
			return j.err
		})
		if err == nil || errors.Is(err, errStalePlan) || errors.Is(err, errNotFew) {
			return err
		}
		if e := asError(err); e.Code != codeConflict || round >= maxWriteRounds {
			return err
		}
	}
}

func (j *fewJob) reset() { j.ids, j.rows, j.broken = nil, nil, nil }

// writeTogether checks and writes changes of one table in the open transaction; more are those that joined it while it waited
// for the table. What is wrong with a change is its err; the error is the transaction's.
func (s *Session) writeTogether(ctx context.Context, j *fewJob, more func() []*fewJob) error {
	if err := s.lockFor(ctx, j.w); err != nil {
		return err
	}
	if err := s.beginOrdinary(ctx); err != nil {
		return err
	}
	now := s.tabs.ByID[j.w.table.ID]
	if now == nil {
		return errStalePlan
	}
	rules, err := s.rulesOf(ctx, now)
	if err != nil {
		return err
	}
	if rules == nil || rules.document != j.p.rules.document {
		return errStalePlan
	}
	jobs := []*fewJob{j}
	b := &fewBatch{s: s, rules: rules}
	if more != nil {
		if others := more(); len(others) > 0 {
			jobs = append(jobs, others...)
			ctx = context.WithoutCancel(ctx) // the leader's end is not theirs
		}
	}
	var current []*fewJob
	for _, j := range jobs {
		if rules.document != j.p.rules.document {
			j.err = errStalePlan
			continue
		}
		current = append(current, j)
	}
	if current, err = b.manyTogether(ctx, current); err != nil {
		return err
	}
	for _, j := range current {
		if err := b.write(ctx, j); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}

// write checks a change, and writes it, or notes its rows for flush.
func (b *fewBatch) write(ctx context.Context, j *fewJob) error {
	if j.rows == nil && (j.w.kind != 'i' || j.s == b.s) {
		if err := j.stage(ctx, b.s); err != nil {
			if errors.Is(err, errNotFew) {
				j.err = err
				return nil
			}
			return err
		}
	}
	if j.rows == nil {
		return nil
	}
	taken, broken, err := b.check(ctx, j)
	if err != nil || broken != nil {
		j.err = broken
		return err
	}
	if j.w.kind != 'i' {
		return b.replace(ctx, []*fewJob{j})
	}
	b.note(taken)
	if b.rows == nil {
		b.rows = &vector.Chunk{}
		for _, c := range j.rows.Cols {
			b.rows.Cols = append(b.rows.Cols, vector.New(c.Type, j.rows.N))
		}
	}
	for i, c := range j.rows.Cols {
		b.rows.Cols[i].AppendRange(c, 0, j.rows.N)
	}
	b.rows.N += j.rows.N
	return nil
}

// maxInserted is how many rows one statement inserts; more, and lists, are cheaper to append.
const maxInserted = 32

// flush inserts the rows that were noted.
func (b *fewBatch) flush(ctx context.Context) error {
	if b.rows == nil {
		return nil
	}
	o := b.rules.table
	all := make([]int, len(o.Columns))
	for i := range all {
		all[i] = i
	}
	if b.rows.N > maxInserted || b.rules.nested(all) {
		return b.append()
	}
	for row := 0; row < b.rows.N; {
		n := 1 << (bits.Len(uint(b.rows.N-row)) - 1) // a few statements do for all numbers of rows
		st, err := b.s.statement(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", duckName(o), quotedColumns(tableColumnNames(o.Columns)), marks(n, len(o.Columns))))
		if err != nil {
			return err
		}
		var args []*vector.Vector
		for range n {
			args = append(args, values(b.rows.Cols, row)...)
			row++
		}
		if _, err := st.Exec(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// marks are rows of parameters, numbered from 1.
func marks(rows, columns int) string {
	var out strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			out.WriteString("(")
		case i%columns == 0:
			out.WriteString("), (")
		default:
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "$%d", i+1)
	}
	return out.String() + ")"
}

// append inserts the rows by DuckDB's appender, whose columns are the table's.
func (b *fewBatch) append() error {
	o := b.rules.table
	space := o.Schema
	if space == "public" {
		space = "main"
	}
	app, err := b.s.conn.Appender(tablesDatabase, space, o.Name)
	if err != nil {
		return err
	}
	err = app.Append(b.rows)
	if e := app.Close(); err == nil {
		err = e
	}
	return err
}
