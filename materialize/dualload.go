package materialize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A load brings a dual source up to its batch side's files, in two steps. What the files say is worked out while others commit: nobody but
// loads changes rows of the batch side. Then, with the stream side held, what that means for rows of the stream side, and all of it is one
// transaction of the log together with the boundary, in one version of the catalog.
//
//	plan:    files ─► boundary, rows wanted ─► rows that came, rows that went
//	publish: hold the stream side ─► its rows that go, and that come back ─► commit rows and catalog ─► let it go

const (
	// firstRows is how many rows of a new dual source are committed at once, before anybody sees it.
	firstRows = 262_144
	// dualRowBytes is a bound of what a row takes in memory, beside its texts, while it is loaded and committed.
	dualRowBytes = 64
)

// Loaded reports what a load did to a dual source.
type Loaded struct {
	Name     string
	Moved    bool
	Boundary *int64 // microseconds UTC; nil: none yet
	Came     int64  // rows of the batch side
	Went     int64  // rows of the batch side
	Replaced int64  // rows of the stream side that the batch side's took the place of, or the boundary passed
	Lacked   int64  // of these, those that the batch side lacks; of dual sources with a key
	Returned int64  // rows of the stream side that are there again, because the batch side's are not
}

// dualLoad is a load on its way.
type dualLoad struct {
	m      *Manager
	cat    *schema.Catalog
	rel    *schema.Relation // as it was, or as it will begin
	dual   schema.Dual      // as it will be
	batch  *schema.Relation
	stream *schema.Relation
	conn   *duck.Conn
	fresh  bool // the dual source is not in the catalog
	moved  bool // the boundary is another one
	whole  bool // rows of the stream side may come back
	files  []schema.FileVersion
	rows   string // the batch side's rows that are looked at, with their origin
	out    Loaded

	deletes []uint64
	inserts *vector.Chunk
}

func (l *dualLoad) close() {
	if l.conn != nil {
		l.conn.Close()
	}
}

// LoadDuals brings the dual sources over a file source, 0: over any, up to its files.
func (m *Manager) LoadDuals(ctx context.Context, batch uint32) ([]Loaded, error) {
	m.build.Lock()
	defer m.build.Unlock()
	return m.loadDuals(ctx, batch)
}

// staleDuals are the dual sources that are not up to their batch side.
func staleDuals(cat *schema.Catalog, batch uint32) []*schema.Relation {
	var out []*schema.Relation
	for _, r := range cat.Relations {
		if r.Dual == nil || batch != 0 && r.Dual.Batch != batch {
			continue
		}
		if b := cat.Relations[r.Dual.Batch]; b != nil && r.Dual.Stale(b) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *schema.Relation) int { return int(a.ID) - int(b.ID) })
	return out
}

func (m *Manager) loadDuals(ctx context.Context, batch uint32) ([]Loaded, error) {
	var out []Loaded
	for _, r := range staleDuals(m.cfg.Catalog.Current(), batch) {
		done, err := m.loadDual(ctx, r)
		if err != nil {
			return out, fmt.Errorf("dual source %q: %w", r.Name, err)
		}
		out = append(out, *done)
	}
	return out, nil
}

func (m *Manager) loadDual(ctx context.Context, r *schema.Relation) (*Loaded, error) {
	job := m.jobs.begin(ctx, r.Name, r.ID, 0)
	l, err := m.planDual(ctx, m.cfg.Catalog.Current(), r, false)
	if err == nil {
		err = m.publish(ctx, nil, nil, func(*schema.Catalog) error { return nil }, l)
	}
	job.end(err)
	l.close()
	if err != nil {
		return nil, err
	}
	m.poke()
	return &l.out, nil
}

// LoadDual gives a dual source that the batch defines its rows: those that there are are in the log when it returns, and what the stream side
// does from then on comes with Publish.
func (b *Batch) LoadDual(ctx context.Context, cat *schema.Catalog, r *schema.Relation) error {
	b.locks = true
	defer b.lock()()
	job := b.m.jobs.begin(ctx, r.Name, r.ID, 0)
	l, err := b.m.planDual(ctx, cat, r, true)
	if err == nil {
		err = l.first(ctx)
	}
	job.end(err)
	if err != nil {
		l.close()
		return err
	}
	b.duals = append(b.duals, l)
	return nil
}

// Loads are what the batch loaded, once it is published.
func (b *Batch) Loads() []Loaded {
	var out []Loaded
	for _, l := range b.loaded {
		out = append(out, l.out)
	}
	return out
}

// planDual works out what the batch side's files say. What it returns must be closed, also after an error.
func (m *Manager) planDual(ctx context.Context, cat *schema.Catalog, r *schema.Relation, fresh bool) (*dualLoad, error) {
	l := &dualLoad{m: m, cat: cat, rel: r, dual: *r.Dual, fresh: fresh, out: Loaded{Name: r.Name}}
	if l.batch, l.stream = cat.Relations[r.Dual.Batch], cat.Relations[r.Dual.Stream]; l.batch == nil || l.stream == nil {
		return l, errNoRelation
	}
	var err error
	if l.conn, err = m.cfg.DB.Connect(); err != nil {
		return l, err
	}
	at := m.cfg.Log.Position()
	l.files, _ = live(l.batch.File, at)
	if err := unchanged(l.files); err != nil {
		return l, err
	}
	l.dual.Loaded, l.dual.Through = max(at, 1), l.batch.File.CompleteThrough
	if err := l.bound(ctx); err != nil {
		return l, err
	}
	l.moved = fresh || !sameTime(l.dual.Boundary, r.Dual.Boundary)
	l.out.Moved, l.out.Boundary = l.moved, l.dual.Boundary
	l.whole = fresh || l.dual.Boundary == nil || r.Dual.Boundary != nil && *l.dual.Boundary < *r.Dual.Boundary
	return l, l.compare(ctx)
}

func sameTime(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// bound finds the boundary.
func (l *dualLoad) bound(ctx context.Context) error {
	if l.dual.Boundary = l.dual.Fixed; !l.dual.Auto {
		return nil
	}
	through := l.batch.File.CompleteThrough
	if through == 0 {
		ts, src := duck.QuoteIdent(l.batch.EventTime), noRowsSQL(l.batch)
		if len(l.files) > 0 {
			src = filesSQL(l.batch, l.files, "")
		}
		newest, err := l.numbers(ctx, fmt.Sprintf("SELECT coalesce(epoch_us(max(%[1]s)), %[2]d) FROM %[3]s WHERE isfinite(%[1]s)", ts, int64(event.Forever), src))
		if err != nil {
			return err
		}
		if through = less(newest[0], l.batch.Watermark); through == event.Forever {
			return nil
		}
	}
	midnight := through - ((through%dayMicros)+dayMicros)%dayMicros
	l.dual.Boundary = &midnight
	return nil
}

const dayMicros = 86_400_000_000

// keys are the key's columns of a table, with a comma before each.
func (l *dualLoad) keys(of string) string {
	var b strings.Builder
	for _, k := range l.dual.Key {
		b.WriteString(", " + of + duck.QuoteIdent(k))
	}
	return b.String()
}

// sameKey is the condition that rows of two tables have the same key.
func (l *dualLoad) sameKey(a, b string) string {
	out := make([]string, len(l.dual.Key))
	for i, k := range l.dual.Key {
		out[i] = fmt.Sprintf("%s.%s = %s.%[2]s", a, duck.QuoteIdent(k), b)
	}
	return strings.Join(out, " AND ")
}

// add takes rows to be inserted. Errors: ErrTooManyRows, beyond the memory of one load.
func (l *dualLoad) add(ch *vector.Chunk) error {
	bytes := int64(l.inserts.N+ch.N) * dualRowBytes
	for i, v := range l.inserts.Cols {
		if !ch.Cols[i].Type.Equal(v.Type) {
			return fmt.Errorf("column %d of %q is %s, not %s", i, l.rel.Name, ch.Cols[i].Type, v.Type)
		}
		bytes += int64(len(v.Data))
	}
	if bytes > max(l.m.cfg.Memory, firstRows*dualRowBytes) {
		return fmt.Errorf("%w: a load of dual source %q of more rows than memory_limit holds", ErrTooManyRows, l.rel.Name)
	}
	for i, v := range l.inserts.Cols {
		v.AppendRange(ch.Cols[i], 0, ch.N)
	}
	l.inserts.N += ch.N
	return nil
}

// first commits the rows of a dual source that nobody knows yet, some at a time.
func (l *dualLoad) first(ctx context.Context) error {
	l.inserts = vector.NewChunk(columnTypes(l.rel), 0)
	key, err := l.logKey()
	if err != nil {
		return err
	}
	var under chan error // the last commit: the next rows are read meanwhile
	wait := func() error {
		if under == nil {
			return nil
		}
		err := <-under
		under = nil
		return err
	}
	defer func() { _ = wait() }() // after another error, which is reported
	commit := func() error {
		if err := wait(); err != nil || l.inserts.N == 0 {
			return err
		}
		under = make(chan error, 1)
		go func(rows *vector.Chunk, done chan<- error) {
			_, err := l.m.cfg.Log.Commit(ctx, &reclog.Txn{Changes: []reclog.Change{{Source: reclog.SourceID(l.rel.ID), Inserts: rows, Key: key}}})
			done <- err
		}(l.inserts, under)
		l.inserts = vector.NewChunk(columnTypes(l.rel), 0)
		return nil
	}
	add := func(ch *vector.Chunk) error {
		if err := l.add(ch); err != nil || l.inserts.N < firstRows {
			return err
		}
		return commit()
	}
	if err := l.read(ctx, fmt.Sprintf("SELECT r.* FROM %s AS r SEMI JOIN want AS w ON r.%[2]s = w.%[2]s", l.rows, schema.DualOrigin), func(ch *vector.Chunk) error {
		l.out.Came += int64(ch.N)
		return add(ch)
	}); err != nil {
		return err
	}
	// Most of the stream side's, too; Publish looks at what changed since.
	if err := l.m.proj.bring(ctx, l.stream, l.m.cfg.Log.Position()); err != nil {
		return err
	}
	if err := l.read(ctx, l.streamRows(false), add); err != nil {
		return err
	}
	return errors.Join(commit(), wait())
}

func (l *dualLoad) logKey() ([]int, error) {
	d, err := newDualStream(l.cat, l.rel)
	if err != nil {
		return nil, err
	}
	return d.key, nil
}

// streamRows are the rows that the stream side gives, or only those that the dual source has not.
func (l *dualLoad) streamRows(lacking bool) string {
	stored := l.stream.Stored()
	cols := make([]string, len(l.rel.Columns))
	for i, c := range l.rel.Columns {
		cols[i] = fmt.Sprintf("s.%s AS %s", duck.QuoteIdent(stored[l.dual.Places[i]].Name), duck.QuoteIdent(c.Name))
	}
	sql := fmt.Sprintf("SELECT * FROM (SELECT %s, s.%s AS %s FROM %s AS s) AS s WHERE %s", strings.Join(cols, ", "), rowIDColumn, schema.DualOrigin, ProjectionTable(l.stream.ID), l.streams("s"))
	if lacking {
		sql += fmt.Sprintf(" AND NOT EXISTS (FROM %s AS d WHERE d.%[2]s = s.%[2]s AND d.%[3]s NOT IN (SELECT id FROM gone))", l.table(), schema.DualOrigin, rowIDColumn)
	}
	return sql
}

// streams is the condition that a row of the stream side, with its origin, is one of the dual source's after the load.
func (l *dualLoad) streams(of string) string {
	b := l.dual.Boundary
	if b == nil {
		return "true"
	}
	cond := fmt.Sprintf("%s.%s >= make_timestamptz(%d)", of, duck.QuoteIdent(l.rel.EventTime), *b)
	if len(l.dual.Key) == 0 {
		return cond
	}
	if !l.moved { // else what is there came before the load
		cond = fmt.Sprintf("(%s OR %s.%s >= %d)", cond, of, schema.DualOrigin, l.dual.Since)
	}
	return fmt.Sprintf("%s AND NOT EXISTS (FROM want AS w WHERE %s)", cond, l.sameKey("w", of))
}

// finish adds what becomes of the stream side's rows, which is held. It gives the transaction's change, and what the load leaves out.
func (l *dualLoad) finish(ctx context.Context) (reclog.Change, LeftOut, error) {
	c := reclog.Change{Source: reclog.SourceID(l.rel.ID)}
	var n LeftOut
	at := l.m.cfg.Log.Position()
	if err := l.m.proj.bring(ctx, l.rel, at); err != nil {
		return c, n, err
	}
	if err := l.mend(ctx); err != nil {
		return c, n, err
	}
	stays := l.streams("d")
	if l.whole {
		if err := l.m.proj.bring(ctx, l.stream, at); err != nil {
			return c, n, err
		}
	}
	if l.fresh { // nothing has followed the stream side yet
		stays += fmt.Sprintf(" AND EXISTS (FROM %s AS s WHERE s.%s = d.%s)", ProjectionTable(l.stream.ID), rowIDColumn, schema.DualOrigin)
	}
	goes := fmt.Sprintf("FROM %s AS d WHERE %s AND NOT (%s)", l.table(), l.ofStream("d"), stays)
	gone, err := l.ids(ctx, fmt.Sprintf("SELECT d.%s %s AND d.%[1]s NOT IN (SELECT id FROM kept)", rowIDColumn, goes), l.deletes)
	if err != nil {
		return c, n, err
	}
	l.out.Replaced += int64(len(gone) - len(l.deletes))
	if l.moved && len(l.dual.Key) > 0 && l.dual.Boundary != nil {
		if n.Lacked, err = l.lacked(ctx, goes); err != nil {
			return c, n, err
		}
	}
	if l.whole {
		before := l.inserts.N
		if err := l.read(ctx, l.streamRows(true), l.add); err != nil {
			return c, n, err
		}
		l.out.Returned = int64(l.inserts.N - before)
	}
	if l.moved {
		if l.dual.Since, err = l.m.cfg.Log.NextRow(reclog.SourceID(l.stream.ID)); err != nil {
			return c, n, err
		}
	}
	l.out.Lacked = n.Lacked
	slices.Sort(gone)
	c.Deletes, c.Inserts = gone, l.inserts
	if c.Key, err = l.logKey(); err != nil {
		return c, n, err
	}
	c.Mark, err = l.mark(at)
	return c, n, err
}

// lacked counts the rows that the boundary passes, and the batch side has not. Of a new dual source these are rows that it never had.
func (l *dualLoad) lacked(ctx context.Context, goes string) (int64, error) {
	passed := fmt.Sprintf("d.%s < make_timestamptz(%d) AND NOT EXISTS (FROM want AS w WHERE %s)", duck.QuoteIdent(l.rel.EventTime), *l.dual.Boundary, l.sameKey("w", "d"))
	sql := fmt.Sprintf("SELECT count(*) %s AND %s", goes, passed)
	if l.fresh {
		stored := l.stream.Stored()
		cols := []string{duck.QuoteIdent(stored[l.dual.Places[l.rel.ColumnIndex(l.rel.EventTime)]].Name) + " AS " + duck.QuoteIdent(l.rel.EventTime)}
		for _, k := range l.dual.Key {
			cols = append(cols, duck.QuoteIdent(stored[l.dual.Places[l.rel.ColumnIndex(k)]].Name)+" AS "+duck.QuoteIdent(k))
		}
		sql = fmt.Sprintf("SELECT count(*) FROM (SELECT %s FROM %s) AS d WHERE %s", strings.Join(cols, ", "), ProjectionTable(l.stream.ID), passed)
	}
	n, err := l.numbers(ctx, sql)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// mark is what the watermark of a dual source rises to by a load: the batch side is complete up to the boundary, and of a new one the stream
// side is what it is. nil where the stream side has no watermark.
func (l *dualLoad) mark(at uint64) (*int64, error) {
	w := l.rel.Watermark
	if w == nil {
		return nil, nil
	}
	var out *int64
	if b := l.dual.Boundary; b != nil && *b < math.MaxInt64-w.Delay {
		t := *b - 1 + w.Delay
		out = &t
	}
	if l.fresh {
		newest, ok, err := l.m.cfg.Log.Newest(reclog.SourceID(l.stream.ID), at)
		if err != nil {
			return nil, err
		}
		if ok && (out == nil || newest > *out) {
			out = &newest
		}
	}
	return out, nil
}

// current is an error where the load was planned over sides that have changed since.
func (l *dualLoad) current(c *schema.Catalog) error {
	b, s := c.Relations[l.dual.Batch], c.Relations[l.dual.Stream]
	if b == nil || s == nil || c.Relations[l.rel.ID] == nil {
		return errNoRelation
	}
	if !slices.Equal(b.File.Files, l.batch.File.Files) || b.File.CompleteThrough != l.dual.Through || s.Altered != l.stream.Altered {
		return ErrOvertaken
	}
	return nil
}

// put notes in a catalog what the load made of the dual source.
func (l *dualLoad) put(c *schema.Catalog, position uint64) {
	now := *c.Relations[l.rel.ID] // a comment may have changed meanwhile
	d := l.dual
	if l.moved {
		d.SetAt = position
	}
	now.Dual = &d
	c.Relations[now.ID] = &now
}

// commitLoads commits rows and loads, and the catalog that write writes, as one transaction. The stream sides stay held until release.
func (m *Manager) commitLoads(ctx context.Context, c *schema.Catalog, rows []reclog.Change, loads []*dualLoad, write func(b *pebble.Batch) error) (release func(), err error) {
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	txn := &reclog.Txn{Changes: slices.Clone(rows)}
	type left struct {
		source reclog.SourceID
		n      LeftOut
	}
	var lefts []left
	holds := map[uint32]bool{}
	for _, l := range loads {
		if err := l.current(c); err != nil {
			return release, err
		}
		if !holds[l.stream.ID] {
			let, err := m.cfg.Log.Hold(ctx, reclog.SourceID(l.stream.ID))
			if err != nil {
				return release, err
			}
			held, holds[l.stream.ID] = append(held, let), true
		}
		change, n, err := l.finish(ctx)
		if err != nil {
			return release, err
		}
		txn.Changes, lefts = append(txn.Changes, change), append(lefts, left{change.Source, n})
	}
	txn.Extra = func(b *pebble.Batch, position uint64) error {
		for i, l := range loads {
			l.put(c, position)
			sum, err := readLeftOut(m.cfg.Log.DB(), lefts[i].source)
			if err != nil {
				return err
			}
			sum.Lacked += lefts[i].n.Lacked
			if err := b.DeleteRange(leftOutKey(lefts[i].source, 0), leftOutKey(lefts[i].source, position), nil); err != nil {
				return err
			}
			if err := b.Set(leftOutKey(lefts[i].source, position), sum.append(nil), nil); err != nil {
				return err
			}
		}
		return write(b)
	}
	_, err = m.cfg.Log.Commit(ctx, txn)
	return release, err
}

func (l *dualLoad) exec(ctx context.Context, sql string) error {
	_, err := l.conn.Exec(ctx, sql)
	return err
}

// read gives a query's rows in chunks that are valid during the call.
func (l *dualLoad) read(ctx context.Context, sql string, each func(*vector.Chunk) error) error {
	return l.conn.EachChunk(ctx, sql, each)
}

// numbers are the values of a query's one row of integers.
func (l *dualLoad) numbers(ctx context.Context, sql string) (out []int64, err error) {
	err = l.read(ctx, sql, func(ch *vector.Chunk) error {
		for _, c := range ch.Cols {
			out = append(out, c.I64[0])
		}
		return nil
	})
	return out, err
}

// ids are the row ids that a query gives, behind others.
func (l *dualLoad) ids(ctx context.Context, sql string, others []uint64) ([]uint64, error) {
	out := slices.Clone(others)
	err := l.read(ctx, sql, func(ch *vector.Chunk) error {
		for _, id := range ch.Cols[0].I64[:ch.N] {
			out = append(out, uint64(id))
		}
		return nil
	})
	return out, err
}
