package engine

import (
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// noRows is the result of a statement without rows.
type noRows struct{ tag string }

func (r noRows) Next() (*vector.Chunk, error) { return nil, nil }
func (r noRows) Tag() string                  { return r.tag }
func (r noRows) CopyIn() session.CopyIn       { return nil }
func (r noRows) CopyOut() *session.CopyFormat { return nil }
func (r noRows) Close()                       {}

// chunkRows is a result that is one chunk.
type chunkRows struct {
	noRows
	chunk *vector.Chunk
	done  func() // called once, on Close; may be nil
}

func (r *chunkRows) Next() (*vector.Chunk, error) {
	c := r.chunk
	r.chunk = nil
	if c != nil && c.N == 0 {
		c = nil
	}
	return c, nil
}

func (r *chunkRows) Close() {
	if r.done != nil {
		r.done()
		r.done = nil
	}
}

// duckRows streams a result of DuckDB.
type duckRows struct {
	noRows
	s    *Session
	rows *duck.Rows
	done func() // called once, on Close; may be nil
	copy *session.CopyFormat
	n    int // rows given so far
	// columns are those that clients see, where DuckDB's types do not say it.
	columns []session.Column
}

func (r *duckRows) Next() (*vector.Chunk, error) {
	c, err := r.rows.Next()
	if err != nil {
		return nil, r.s.failed(err)
	}
	if c != nil {
		r.n += c.N
		showAs(c, r.columns)
	}
	return c, nil
}

// Tag is the command's. That of a change with RETURNING counts the rows, which DuckDB gives one a changed row.
func (r *duckRows) Tag() string {
	switch r.tag {
	case "INSERT 0", "UPDATE", "DELETE":
		return fmt.Sprintf("%s %d", r.tag, r.n)
	}
	return r.tag
}

func (r *duckRows) CopyOut() *session.CopyFormat { return r.copy }

func (r *duckRows) Close() {
	if r.rows != nil {
		r.rows.Close()
		r.rows = nil
	}
	if r.done != nil {
		r.done()
		r.done = nil
	}
}
