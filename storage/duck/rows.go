package duck

import (
	"context"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Rows is a streamed result. Its connection does nothing else until it is read to its end, fails, or is closed.
type Rows struct {
	c     *Conn
	ctx   context.Context
	res   m.Result
	cols  []Column
	plan  []*column
	chunk vector.Chunk
	err   error
	done  bool
	given int // chunks
	began time.Time

	pending  m.DataChunk // of which rows from at on were not returned yet; nil: none
	at, size int
	step     int // rows that part tries to copy
}

// partText is how many bytes of texts are copied out of a chunk of a result at once, where a row has not more. A reader that is slow holds
// them beside DuckDB's own.
const partText = 64 << 10

// helpedChunks is how many chunks of a result its reader computes alone. From then on DuckDB's threads compute ahead of it.
const helpedChunks = 4

func (r *Rows) describe() error {
	n := int(m.ColumnCount(&r.res))
	r.cols, r.plan = make([]Column, n), make([]*column, n)
	for i := range n {
		l := m.ColumnLogicalType(&r.res, m.IdxT(i))
		col, err := columnOf(l)
		m.DestroyLogicalType(&l)
		if err != nil {
			return err
		}
		r.plan[i] = col
		r.cols[i] = Column{Name: m.ColumnName(&r.res, m.IdxT(i)), Type: col.typ}
		r.chunk.Cols = append(r.chunk.Cols, vector.New(col.typ, 0))
	}
	return nil
}

// Columns are the result's columns.
func (r *Rows) Columns() []Column { return r.cols }

// Next returns the next chunk of 1 to 2,048 rows, nil at the end. The chunk belongs to Rows and is overwritten by the next
// call. An error ends the result, even after chunks were returned: DuckDB computes while it streams.
func (r *Rows) Next() (*vector.Chunk, error) {
	for !r.done {
		if r.ctx.Err() != nil {
			return nil, r.fail(canceled(r.ctx))
		}
		if r.pending.Ptr != nil {
			return r.part()
		}
		var ch m.DataChunk
		r.c.watch(r.ctx, func() { ch = fetch(&r.res, r.c.context) })
		if ch.Ptr == nil {
			if raw := m.ResultError(&r.res); raw != "" {
				return nil, r.fail(failure(r.ctx, raw))
			}
			r.release(true)
			break
		}
		if r.at, r.size = 0, int(m.DataChunkGetSize(ch)); r.size == 0 {
			m.DestroyDataChunk(&ch)
			continue
		}
		r.pending = ch
		if r.given++; r.given == helpedChunks {
			r.c.db.workers.stream(true)
		}
	}
	return nil, r.err
}

// part copies the next rows of the pending chunk: all of them, but for long ones.
func (r *Rows) part() (*vector.Chunk, error) {
	fresh := func() []*vector.Vector {
		r.chunk.Reset()
		return r.chunk.Cols
	}
	src := func(k int) m.Vector { return m.DataChunkGetVector(r.pending, m.IdxT(k)) }
	asked := min(r.size-r.at, max(r.step, 1))
	n, err := appendRows(r.plan, &room{most: partText}, fresh, src, r.at, asked)
	if err == errNoRoom {
		n, err = appendRows(r.plan, &room{most: maxRow}, fresh, src, r.at, 1)
	}
	if err != nil {
		return nil, r.fail(err)
	}
	if r.step = 2 * n; n < asked {
		r.step = n
	}
	r.chunk.N = n
	if r.at += n; r.at == r.size {
		m.DestroyDataChunk(&r.pending)
		r.pending = m.DataChunk{}
	}
	return &r.chunk, nil
}

func (r *Rows) fail(err error) error {
	r.err = err
	r.release(false)
	return err
}

// release frees the result and hands the connection back. Of a result that was not read to its end DuckDB keeps the query
// and, outside a transaction block, its snapshot until the connection is used again: planning something makes it let go.
func (r *Rows) release(drained bool) {
	r.done = true
	if r.given >= helpedChunks {
		r.c.db.workers.stream(false)
	}
	if r.pending.Ptr != nil {
		m.DestroyDataChunk(&r.pending)
		r.pending = m.DataChunk{}
	}
	m.DestroyResult(&r.res)
	r.c.rows = nil
	if !drained {
		var s m.PreparedStatement
		m.Prepare(r.c.c, "SELECT 1", &s)
		m.DestroyPrepare(&s)
	}
	r.c.db.reclaim.ended(r.began)
}

// Close drops what was not read. It may be called more than once. The last chunk stays valid.
func (r *Rows) Close() {
	if !r.done {
		r.release(false)
	}
}
