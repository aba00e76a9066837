package duck

import (
	"context"
	"strings"
	"time"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// background is the context of statements that nobody can cancel.
var background = context.Background()

// interruptEvery is the pause between interrupts of a statement that is to end. An interrupt that arrives before DuckDB has
// started the statement is forgotten by DuckDB, so that one is not enough.
const interruptEvery = 5 * time.Millisecond

// Conn is a session of a DB. It is used by one goroutine at a time; its Stmts, Rows and Appenders count as its use.
type Conn struct {
	db   *DB
	c    m.Connection
	rows *Rows // the open result, which every other use of the connection would kill

	interruption *interruption
	forget       func()         // frees it
	context      unsafe.Pointer // DuckDB's of the connection
}

// Close ends the session, rolls back its transaction and closes its open Rows. Its Stmts and Appenders are closed before it.
func (c *Conn) Close() {
	if c.c.Ptr == nil {
		return
	}
	if c.rows != nil {
		c.rows.Close()
	}
	m.Disconnect(&c.c)
	c.forget()
	c.db.open.Add(-1)
}

// ready says whether something may run on c.
func (c *Conn) ready(ctx context.Context) error {
	switch {
	case c.c.Ptr == nil:
		return &Error{SQLState: "08003", Message: "the engine's connection is closed"}
	case c.rows != nil:
		return &Error{SQLState: "55006", Message: "the engine's connection is still reading a result; read it to its end or close it first"}
	case ctx.Err() != nil:
		return canceled(ctx)
	}
	return nil
}

// canceled is the error of a statement whose context ended.
func canceled(ctx context.Context) error {
	return &Error{Type: "INTERRUPT", SQLState: "57014", Message: "canceling statement due to user request", cause: ctx.Err()}
}

// watch makes call, which blocks in DuckDB on c, and interrupts it when ctx ends. On return no interrupt is under way, so
// that none can hit the next statement.
func (c *Conn) watch(ctx context.Context, call func()) {
	if ctx.Done() == nil {
		c.db.workers.helped(call)
		return
	}
	returned, stopped := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		tick := time.NewTicker(interruptEvery)
		defer tick.Stop()
		c.interruption.ended.Store(1)
		for {
			m.Interrupt(c.c)
			select {
			case <-returned:
				return
			case <-tick.C:
			}
		}
	})
	c.db.workers.helped(call)
	if !stop() {
		close(returned)
		<-stopped
		c.interruption.ended.Store(0)
	}
}

// failure is the error of a statement that DuckDB reported as raw while ctx was watched.
func failure(ctx context.Context, raw string) error {
	e := parseError(raw)
	if e.SQLState == "57014" && ctx.Err() != nil {
		return canceled(ctx)
	}
	return e
}

// Prepare plans one statement. Errors carry the position in sql.
func (c *Conn) Prepare(ctx context.Context, sql string) (*Stmt, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if strings.IndexByte(sql, 0) >= 0 {
		// DuckDB would read the text up to the zero byte and run that.
		return nil, &Error{Type: "Parser", SQLState: "42601", Message: "a zero byte in the statement", Position: strings.IndexByte(sql, 0) + 1}
	}
	s := &Stmt{c: c}
	var state m.State
	began := time.Now()
	c.watch(ctx, func() { c.interruption.plan(func() { state = prepare(c.c, sql, &s.s) }) })
	if state == m.StateError {
		err := failure(ctx, m.PrepareError(s.s))
		m.DestroyPrepare(&s.s)
		c.db.reclaim.ended(began) // of what constants took
		return nil, err
	}
	s.sql = sql
	return s, nil
}

// Exec runs one statement to its end and returns the number of rows that it inserted, updated or deleted; of any other
// statement, 0. args are vectors of one value each, bound to $1, $2, …. The rows of a SELECT are computed and dropped.
func (c *Conn) Exec(ctx context.Context, sql string, args ...*vector.Vector) (changed int64, err error) {
	s, err := c.Prepare(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return s.Exec(ctx, args...)
}

// Query runs one statement and streams its result: the first chunk is there as soon as DuckDB has it, and at most a few
// chunks are buffered. args are vectors of one value each, bound to $1, $2, …. The caller closes Rows. ctx also bounds the
// calls of Rows.Next.
func (c *Conn) Query(ctx context.Context, sql string, args ...*vector.Vector) (*Rows, error) {
	s, err := c.Prepare(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Query(ctx, args...)
}

// EachChunk gives the rows of a query to each, in chunks that are valid during the call. Errors: Query's, those of reading, each's, which ends it.
func (c *Conn) EachChunk(ctx context.Context, sql string, each func(*vector.Chunk) error) error {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return err
		}
		if err := each(ch); err != nil {
			return err
		}
	}
}
