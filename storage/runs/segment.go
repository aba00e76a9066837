package runs

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// segReader reads one segment for one goroutine. It keeps the last batch of each file, so that keys read in order touch
// the store's cache once a batch.
type segReader struct {
	st     *Store
	seg    *Segment
	layout event.Layout
	rows   *handle
	dirs   *handle
	stats  *event.ReadStats

	rowBatch int // of cur; -1: none
	cur      *event.Rows
	dirBatch int
	dir      []*vector.Vector
}

func newSegReader(st *Store, seg *Segment, l event.Layout, stats *event.ReadStats) (*segReader, error) {
	r := &segReader{st: st, seg: seg, layout: l, stats: stats, rowBatch: -1, dirBatch: -1}
	var err error
	if r.rows, err = st.file(seg.RowFile, rowTypes(l, true)); err != nil {
		return nil, err
	}
	if r.dirs, err = st.file(seg.KeyFile, dirTypes); err != nil {
		return nil, err
	}
	stats.RunsOpened++
	return r, nil
}

// entry is where a key's rows lie in a segment.
type entry struct {
	first, from int // first batch, first row in it
	last, to    int // last batch, end of the rows in it
	rows        int64
	lo, hi      int64 // least and greatest ts
}

func (r *segReader) rowsOf(batch int) (*event.Rows, error) {
	if r.rowBatch == batch {
		return r.cur, nil
	}
	cols, n, err := r.st.batch(r.rows, batch)
	if err != nil {
		return nil, err
	}
	r.stats.Bytes += n
	r.rowBatch, r.cur = batch, rowsOf(r.layout, true, cols)
	return r.cur, nil
}

func (r *segReader) dirOf(batch int) ([]*vector.Vector, error) {
	if r.dirBatch == batch {
		return r.dir, nil
	}
	cols, n, err := r.st.batch(r.dirs, batch)
	if err != nil {
		return nil, err
	}
	if cols[dirKey].N == 0 {
		return nil, fmt.Errorf("%w: %s: an empty batch", ErrCorrupt, r.seg.KeyFile.Name)
	}
	r.stats.Bytes += n
	r.dirBatch, r.dir = batch, cols
	return cols, nil
}

// find looks a key of partition p up.
func (r *segReader) find(p int, key []byte) (entry, bool, error) {
	part := r.seg.Parts[p]
	if part.KeyFrom == part.KeyTo {
		return entry{}, false, nil
	}
	within := func(d []*vector.Vector) bool {
		k := d[dirKey]
		return bytes.Compare(k.Bytes(0), key) <= 0 && bytes.Compare(key, k.Bytes(k.N-1)) <= 0
	}
	batch := r.dirBatch
	if batch < part.KeyFrom || batch >= part.KeyTo || !within(r.dir) {
		var err error
		// The last batch whose first key is not greater.
		batch = part.KeyFrom + sort.Search(part.KeyTo-part.KeyFrom-1, func(i int) bool {
			if err != nil {
				return true
			}
			var d []*vector.Vector
			if d, err = r.dirOf(part.KeyFrom + i + 1); err != nil {
				return true
			}
			return bytes.Compare(d[dirKey].Bytes(0), key) > 0
		})
		if err != nil {
			return entry{}, false, err
		}
	}
	d, err := r.dirOf(batch)
	if err != nil {
		return entry{}, false, err
	}
	k := d[dirKey]
	i := sort.Search(k.N, func(i int) bool { return bytes.Compare(k.Bytes(i), key) >= 0 })
	if i == k.N || !bytes.Equal(k.Bytes(i), key) {
		return entry{}, false, nil
	}
	e, err := r.entryAt(d, i)
	return e, err == nil, err
}

func (r *segReader) entryAt(d []*vector.Vector, i int) (entry, error) {
	e := entry{int(d[dirFirst].I64[i]), int(d[dirFrom].I64[i]), int(d[dirLast].I64[i]), int(d[dirTo].I64[i]),
		d[dirRows].I64[i], d[dirMin].I64[i], d[dirMax].I64[i]}
	if e.first < 0 || e.last < e.first || e.from < 0 || e.to <= 0 || (e.first == e.last && e.to <= e.from) {
		return e, fmt.Errorf("%w: %s: an entry points nowhere", ErrCorrupt, r.seg.KeyFile.Name)
	}
	return e, nil
}

// part is the rows of an entry in one of its batches.
func (r *segReader) part(e entry, batch int) (rows *event.Rows, from, to int, err error) {
	if rows, err = r.rowsOf(batch); err != nil {
		return nil, 0, 0, err
	}
	from, to = 0, len(rows.TS)
	if batch == e.first {
		from = e.from
	}
	if batch == e.last {
		to = e.to
	}
	if from >= to || to > len(rows.TS) {
		return nil, 0, 0, fmt.Errorf("%w: %s: an entry points beyond batch %d", ErrCorrupt, r.seg.RowFile.Name, batch)
	}
	return rows, from, to, nil
}

// visit gives the rows of an entry in iv, in order, batch by batch.
func (r *segReader) visit(e entry, iv event.Interval, fn func(rows *event.Rows, from, to int) error) error {
	if iv.Lo >= iv.Hi || e.hi < iv.Lo || e.lo >= iv.Hi {
		return nil
	}
	batch := e.first
	if e.lo < iv.Lo && e.last > e.first {
		var err error
		batch += sort.Search(e.last-e.first, func(i int) bool {
			if err != nil {
				return true
			}
			rows, _, to, e2 := r.part(e, e.first+i)
			if err = e2; err != nil {
				return true
			}
			return rows.TS[to-1] >= iv.Lo
		})
		if err != nil {
			return err
		}
	}
	for ; batch <= e.last; batch++ {
		rows, from, to, err := r.part(e, batch)
		if err != nil {
			return err
		}
		end := rows.TS[to-1] >= iv.Hi
		from, to = timeRange(rows.TS, from, to, iv)
		if from < to {
			if err := fn(rows, from, to); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
	return nil
}

// timeRange narrows the ascending ts[from:to] to iv.
func timeRange(ts []int64, from, to int, iv event.Interval) (int, int) {
	s := ts[from:to]
	a := sort.Search(len(s), func(i int) bool { return s[i] >= iv.Lo })
	b := a + sort.Search(len(s)-a, func(i int) bool { return s[a+i] >= iv.Hi })
	return from + a, from + b
}

// dirCursor walks the keys of a partition in order.
type dirCursor struct {
	r     *segReader
	p     Part
	batch int
	i     int
	dir   []*vector.Vector
}

func (r *segReader) keys(p int) *dirCursor {
	return &dirCursor{r: r, p: r.seg.Parts[p], batch: r.seg.Parts[p].KeyFrom - 1}
}

// next moves to the next key; false at the end.
func (c *dirCursor) next() (bool, error) {
	c.i++
	for c.dir == nil || c.i >= c.dir[dirKey].N {
		if c.batch+1 >= c.p.KeyTo {
			return false, nil
		}
		c.batch++
		d, err := c.r.dirOf(c.batch)
		if err != nil {
			return false, err
		}
		c.dir, c.i = d, 0
	}
	return true, nil
}

func (c *dirCursor) key() []byte { return c.dir[dirKey].Bytes(c.i) }

func (c *dirCursor) entry() (entry, error) { return c.r.entryAt(c.dir, c.i) }
