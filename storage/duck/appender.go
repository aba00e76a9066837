package duck

import (
	"fmt"
	"regexp"
	"strconv"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// chunkRows is how many rows one of DuckDB's chunks holds.
const chunkRows = 2048

// Bounds of what an Appender collects before it goes to the table, in bytes and rows. DuckDB's own rule is the rows alone: a
// hundred megabytes of a wide table, which its memory limit does not count. A batch that DuckDB flushes ends one here, too, so
// that batches of narrow rows stay whole row groups, which the table takes without a copy.
const (
	maxBuffered     = 8 << 20
	maxBufferedRows = 100 * chunkRows
)

// Appender loads chunks into a table, in the transaction of its connection, or in one of its own for each batch of some
// megabytes where none is open. Rows are visible and constraints checked at Close at the latest.
type Appender struct {
	c        *Conn
	a        m.Appender
	chunk    m.DataChunk
	types    []vector.Type // of chunk
	n        int           // columns of the table
	buffered int           // bytes since the last flush, estimated
	rows     int           // since the last flush
	err      error         // what ended it
}

// Appender opens an appender to a table. catalog and schema may be "", for the current ones. Close it.
func (c *Conn) Appender(catalog, schema, table string) (*Appender, error) {
	if err := c.ready(background); err != nil {
		return nil, err
	}
	a := &Appender{c: c}
	if m.AppenderCreateExt(c.c, catalog, schema, table, &a.a) == m.StateError {
		// DuckDB gives no type to this error, which has one cause.
		m.AppenderDestroy(&a.a)
		return nil, &Error{Type: "Catalog", SQLState: "42P01", Message: fmt.Sprintf("table %q does not exist", table), Object: table}
	}
	a.n = int(m.AppenderColumnCount(a.a))
	return a, nil
}

// badCast is what DuckDB says of a value that its column's type does not take, in place of the value.
var badCast = regexp.MustCompile(`^type mismatch in AppendDataChunk, expected (.*), got (.*) for column (\d+)`)

func (a *Appender) failure() error {
	d := m.AppenderErrorData(a.a)
	defer m.DestroyErrorData(&d)
	msg := m.ErrorDataMessage(d)
	if f := badCast.FindStringSubmatch(msg); f != nil {
		state := "22003"
		if f[2] == "VARCHAR" {
			state = "22P02"
		}
		column, err := strconv.Atoi(f[3])
		if err != nil {
			return parseError(msg)
		}
		return &Error{Type: "Conversion", SQLState: state, Message: fmt.Sprintf("a value of column %d cannot be converted from %s to %s", column+1, f[2], f[1])}
	}
	return parseError(msg)
}

// Append appends rows, whose columns stand for the table's from the first to the last. DuckDB casts where the types differ.
// The chunk is copied. After an error the appender takes nothing more, and what it buffered is dropped.
func (a *Appender) Append(ch *vector.Chunk) error {
	if a.a.Ptr == nil || a.err != nil {
		return &Error{SQLState: "55000", Message: "the appender is closed", cause: a.err}
	}
	if err := a.c.ready(background); err != nil {
		return err
	}
	if a.err = a.append(ch); a.err != nil {
		m.AppenderClear(a.a)
	}
	return a.err
}

func (a *Appender) append(ch *vector.Chunk) error {
	if len(ch.Cols) != a.n {
		return &Error{SQLState: "42601", Message: fmt.Sprintf("the table has %d columns, but the rows have %d", a.n, len(ch.Cols))}
	}
	if err := a.shape(ch); err != nil {
		return err
	}
	for _, v := range ch.Cols {
		a.buffered += v.MemBytes()
	}
	for from := 0; from < ch.N; from += chunkRows {
		if err := a.appendPart(ch, from, min(chunkRows, ch.N-from)); err != nil {
			return err
		}
	}
	if a.rows += ch.N; a.buffered < maxBuffered && a.rows < maxBufferedRows {
		return nil
	}
	a.buffered, a.rows = 0, 0
	if m.AppenderFlush(a.a) == m.StateError {
		return a.failure()
	}
	return nil
}

// shape makes a.chunk one of the types of ch.
func (a *Appender) shape(ch *vector.Chunk) error {
	same := a.chunk.Ptr != nil
	for i := 0; i < len(ch.Cols) && same; i++ {
		same = a.types[i].Equal(ch.Cols[i].Type)
	}
	if same {
		return nil
	}
	m.DestroyDataChunk(&a.chunk)
	types := make([]m.LogicalType, 0, len(ch.Cols))
	defer func() {
		for i := range types {
			m.DestroyLogicalType(&types[i])
		}
	}()
	a.types = a.types[:0]
	for _, v := range ch.Cols {
		l, err := logicalType(v.Type)
		if err != nil {
			return err
		}
		types = append(types, l)
		a.types = append(a.types, v.Type)
	}
	a.chunk = m.CreateDataChunk(types)
	if a.chunk.Ptr == nil {
		return &Error{SQLState: "53200", Message: "the engine refused a chunk of the rows' types"}
	}
	return nil
}

func (a *Appender) appendPart(ch *vector.Chunk, from, n int) error {
	var w writer
	defer w.release()
	m.DataChunkReset(a.chunk)
	for i, v := range ch.Cols {
		if err := w.write(m.DataChunkGetVector(a.chunk, m.IdxT(i)), v, from, n); err != nil {
			return err
		}
	}
	m.DataChunkSetSize(a.chunk, m.IdxT(n))
	if m.AppendDataChunk(a.a, a.chunk) == m.StateError {
		return a.failure()
	}
	return nil
}

// Discard frees the appender without what it has buffered. What it flushed before is the transaction's.
func (a *Appender) Discard() {
	if a.a.Ptr != nil && a.err == nil {
		m.AppenderClear(a.a)
		a.err = &Error{SQLState: "55000", Message: "the appender was discarded"}
	}
	_ = a.Close() // which frees only, after an error
}

// Close flushes what is buffered and frees the appender. After a failed Append it frees only, and returns nil. It may be
// called more than once.
func (a *Appender) Close() error {
	if a.a.Ptr == nil {
		return nil
	}
	err := a.err
	if err == nil {
		if err = a.c.ready(background); err == nil && m.AppenderClose(a.a) == m.StateError {
			err = a.failure()
		}
		if err != nil {
			m.AppenderClear(a.a)
		}
	} else {
		err = nil
	}
	m.DestroyDataChunk(&a.chunk)
	m.AppenderDestroy(&a.a)
	return err
}
