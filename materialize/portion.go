package materialize

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// DefaultPortionRows is how many rows a build reads between two checkpoints, unless Config says otherwise.
const DefaultPortionRows = 8 << 20

// maxPortions bounds the portions of a build, and with them the segments that it merges.
const maxPortions = 16

// portion is a part of a relation's rows that a build reads at once: whole files, a stretch of one file, or a range of row ids.
type portion struct {
	files    []schema.FileVersion // of a file source
	from, to int64                // rows of the only file; to ≤ 0: all of the files
	first    uint64               // row ids first ≤ id < end of a table; end 0: to the end
	end      uint64
}

// portionSize is how many rows the portions of a build of so many have.
func (m *Manager) portionSize(rows int64) int64 {
	size := m.cfg.PortionRows
	if size <= 0 {
		size = DefaultPortionRows
	}
	return max(size, (rows+maxPortions-1)/maxPortions)
}

// filePortions are what is left to read of live files. Rows of a CSV file have no place but by counting, so it is read at once.
func (m *Manager) filePortions(b *schema.Relation, files []schema.FileVersion, c *checkpoint) []portion {
	var left int64
	for i := range files {
		left += files[i].Rows - c.upto(files[i].ID)
	}
	size := m.portionSize(left)
	var out []portion
	var whole portion // gathers small files
	var rows int64
	flush := func() {
		if len(whole.files) > 0 {
			out = append(out, whole)
		}
		whole, rows = portion{}, 0
	}
	for _, f := range files {
		from := c.upto(f.ID)
		if n := f.Rows - from; n <= 0 {
			continue
		} else if from == 0 && (n <= size || b.File.Format == "csv") {
			if rows > 0 && rows+n > size {
				flush()
			}
			whole.files, rows = append(whole.files, f), rows+n
			continue
		}
		flush()
		for ; from < f.Rows; from += size {
			out = append(out, portion{files: []schema.FileVersion{f}, from: from, to: min(from+size, f.Rows)})
		}
	}
	flush()
	return out
}

// tablePortions are what is left to read of an event table: rows of ids from first on. The last portion has no end, because
// rows come while the build runs.
func (m *Manager) tablePortions(ctx context.Context, b *schema.Relation, first uint64) (out []portion, left int64, err error) {
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT count(*), min(%[1]s), max(%[1]s) FROM %[2]s WHERE %[1]s >= %[3]d", rowIDColumn, ProjectionTable(b.ID), first))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	ch, err := rows.Next()
	if err != nil {
		return nil, 0, err
	}
	if left = ch.Cols[0].I64[0]; left > 0 {
		least, greatest := uint64(ch.Cols[1].I64[0]), uint64(ch.Cols[2].I64[0])
		size := uint64(m.portionSize(left))
		n := (uint64(left) + size - 1) / size
		width := (greatest-least)/n + 1
		for end := least + width; end <= greatest; end += width {
			out = append(out, portion{first: first, end: end})
			first = end
		}
	}
	return append(out, portion{first: first}), left, nil
}

// rowsOf is the rows of a portion; what a file has without key or time is counted in rejected.
func (p *portion) rowsOf(b *schema.Relation, rejected *rejects) (baseRows, error) {
	if b.Logged() {
		where := fmt.Sprintf("%s >= %d", rowIDColumn, p.first)
		if p.end > 0 {
			where += fmt.Sprintf(" AND %s < %d", rowIDColumn, p.end)
		}
		return baseRows{sql: fmt.Sprintf("(SELECT * FROM %s WHERE %s)", ProjectionTable(b.ID), where)}, nil
	}
	if err := unchanged(p.files); err != nil {
		return baseRows{}, err
	}
	where := ""
	if p.to > 0 {
		where = fmt.Sprintf(" WHERE file_row_number >= %d AND file_row_number < %d", p.from, p.to)
	}
	ids := make([]uint32, len(p.files))
	for i := range p.files {
		ids[i] = p.files[i].ID
	}
	return baseRows{sql: filesSQL(b, p.files, where), fileIDs: ids, rejected: rejected}, nil
}

// resume sets a checkpoint to what can be used at a position, and says what is left to read of the relation, and how many rows.
func (m *Manager) resume(ctx context.Context, b *schema.Relation, c *checkpoint, position uint64) (left []portion, rows int64, err error) {
	if b.Kind == schema.FileSource {
		files, _ := live(b.File, position)
		left = m.filePortions(b, files, c)
		for i := range files {
			rows += files[i].Rows - c.upto(files[i].ID)
		}
		return left, rows, nil
	}
	if err := m.proj.bring(ctx, b, position); err != nil {
		return nil, 0, err
	}
	first := c.Next
	if first == 0 && c.To > 0 { // everything up to To was read
		if first, err = m.firstAfter(ctx, b, c.To, position); err != nil {
			return nil, 0, err
		}
		if first == noRow {
			return nil, 0, nil
		}
	}
	return m.tablePortions(ctx, b, first)
}

// readPortion sorts the rows of a portion into a segment of the overlay, and says at which position they are, and how many of
// each file were left out.
func (m *Manager) readPortion(ctx context.Context, cat *schema.Catalog, o *overlay, p *portion, position uint64) (at uint64, rejected map[uint32]int64, err error) {
	counted := newRejects()
	b, err := o.builder()
	if err != nil {
		return 0, nil, err
	}
	defer b.Close()
	o.job.stage("reading rows")
	base, err := baseOf(cat, o.g.Schema.Relation)
	if err != nil {
		return 0, nil, err
	}
	from, err := p.rowsOf(base, counted)
	if err != nil {
		return 0, nil, err
	}
	at, err = m.scanSQL(ctx, cat, o.g.Schema, from, position, false, func(rows *event.Rows) error {
		o.job.read(rows)
		return b.Add(rows)
	})
	if err != nil {
		return 0, nil, err
	}
	if err := b.Finish(); err != nil {
		return 0, nil, err
	}
	o.job.stage("writing runs")
	_, err = o.writeRows(ctx, b, at)
	return at, counted.rows, err
}

// buildRuns sorts a relation's rows into segments, a portion after the other with a checkpoint after each, and folds them into
// one days segment. What an interrupted build of the same rows has done is taken over.
func (m *Manager) buildRuns(ctx context.Context, cat *schema.Catalog, g *Group, position uint64, passes int, job *job) error {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return err
	}
	identity := rowsIdentity(cat, g.Schema)
	if len(g.Schema.Joins) > 0 { // rows joined at an earlier position may have had other attributes
		g.joinedAt = min(position, m.cfg.Log.Position())
		identity += fmt.Sprintf("-%d", g.joinedAt)
	}
	if err := m.dropTrimmed(b, identity); err != nil {
		return err
	}
	c := m.checkpoints.of(identity)
	c.Base, c.Object = b.ID, job.object()
	g.rows = c.Rows
	g.Manifest = &runs.Manifest{Layout: g.Schema.Layout, Partials: len(g.Partials), Partitions: runs.DefaultPartitions}
	o := m.newOverlay(g)
	o.job = job
	o.man.Segments, o.fresh = c.Segments, append(o.fresh, c.all()...)
	defer func() {
		g.Manifest = &o.man
		g.unpublished = o.fresh
	}()
	o.beforeDiscard = func() error {
		c.Segments = o.rowsSegments()
		return m.checkpoints.save(c)
	}
	left, rows, err := m.resume(ctx, b, c, position)
	if err != nil {
		return err
	}
	job.expect(c.rows()+rows, c.rows(), passes)
	for _, s := range c.Segments {
		job.saw(s.Span)
	}
	at := position
	for i := range left {
		p := &left[i]
		var rejected map[uint32]int64
		if at, rejected, err = m.readPortion(ctx, cat, o, p, position); err != nil {
			return err
		}
		for f, n := range rejected {
			c.Rejected[f] += n
		}
		if c.From == 0 {
			c.From = at
		}
		c.Next, c.To = p.end, at
		for _, f := range p.files {
			c.read(f, cmp.Or(p.to, f.Rows))
		}
		c.Segments, c.Days = o.rowsSegments(), nil
		if err := m.checkpoints.save(c); err != nil {
			return err
		}
	}
	job.counted()
	o.man.Position = at
	gone, err := m.goneSince(ctx, b, c, position, at)
	if err != nil {
		return err
	}
	if err := m.finishRuns(ctx, o, c, gone, len(left) == 0); err != nil {
		return err
	}
	g.Schema.Rejected = c.Rejected
	return nil
}

// gone is the rows of segments that went after they were read.
type gone struct {
	rows  map[uint64]uint64 // of a table: row id → the position at which it went
	files func(id uint64) bool
}

func (d *gone) dead() func(uint64) bool {
	switch {
	case len(d.rows) > 0:
		return func(id uint64) bool { _, yes := d.rows[id]; return yes }
	case d.files != nil:
		return d.files
	}
	return nil
}

// goneSince are the rows of a checkpoint's segments that went since they were read, up to the position of the last portion.
func (m *Manager) goneSince(ctx context.Context, b *schema.Relation, c *checkpoint, position, at uint64) (gone, error) {
	if b.Kind == schema.FileSource {
		alive := map[uint32]bool{}
		for i := range b.File.Files {
			if b.File.Files[i].Live(position) {
				alive[b.File.Files[i].ID] = true
			}
		}
		for i := range c.Files {
			if !alive[c.Files[i].ID] {
				return gone{files: func(id uint64) bool { return !alive[uint32(id>>fileRowBits)] }}, nil
			}
		}
		return gone{}, nil
	}
	rows, err := m.deletes(ctx, b, c.From, at)
	return gone{rows: rows}, err
}

// finishRuns folds the rows segments of a build into days. The rows that went are marked, or taken out where marks cannot say
// so or are too many.
func (m *Manager) finishRuns(ctx context.Context, o *overlay, c *checkpoint, d gone, unchanged bool) error {
	position := o.man.Position
	if d.files != nil || len(d.rows) > maxTombstones {
		c.Days, unchanged = nil, false
		if d.files != nil { // their rows will no longer be there
			c.Files = slices.DeleteFunc(c.Files, func(f readFile) bool { return d.files(uint64(f.ID) << fileRowBits) })
			maps.DeleteFunc(c.Rejected, func(f uint32, _ int64) bool { return d.files(uint64(f) << fileRowBits) })
		}
		if err := o.purge(ctx, runs.Drop{Rows: d.dead()}); err != nil {
			return err
		}
		d = gone{}
	}
	if err := o.compact(ctx); err != nil {
		return err
	}
	o.g.dead = d.rows
	o.man.Position = position
	if unchanged && c.Days != nil && c.Partials == partialsIdentity(o.g.Schema) && len(d.rows) == 0 {
		o.job.worked(float64(c.rows()))
		o.man.Segments = append(o.man.Segments, *c.Days)
		return nil
	}
	o.job.stage("folding days")
	s, err := o.fold(ctx, d.dead(), m.openFrom(o.g, newestTime(&o.man)))
	if err != nil || s == nil && len(o.man.Segments) == 0 {
		return err
	}
	if len(d.rows) == 0 {
		c.Segments, c.Days, c.Partials = o.rowsSegments(), s, partialsIdentity(o.g.Schema)
		return m.checkpoints.save(c)
	}
	return nil
}
