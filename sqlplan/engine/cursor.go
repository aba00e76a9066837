package engine

import (
	"context"
	"math"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// cursor is what DECLARE made: a statement on its way through its rows. They stay with DuckDB until they are wanted, so that the
// first of very many come at once. When the session needs DuckDB for something else, the rest is set aside (parkCursor).
type cursor struct {
	s       *Session
	name    string
	number  int // counts the session's cursors
	sql     string
	columns []session.Column
	binary  bool
	hold    bool // WITH HOLD
	held    bool // the transaction that declared it has committed
	scroll  bool // SCROLL: all rows are kept
	forward bool // NO SCROLL
	rows    spool
	result  session.Result // nil: all rows are in the spool
	err     error          // met after the rows in the spool
	at      int64          // the row it stands on, from 1; 0: before the first, one more than there are: after the last
}

// maxCursors bounds the open cursors of a session.
const maxCursors = 1000

// DECLARE's options, as PostgreSQL's grammar numbers them.
const (
	cursorBinary   = 0x0001
	cursorScroll   = 0x0002
	cursorNoScroll = 0x0004
	cursorHold     = 0x0020
)

// declare is DECLARE CURSOR.
func (s *Session) declare(ctx context.Context, n *pg_query.DeclareCursorStmt, inner *parse.Inner, st *prepared, args []*vector.Vector) error {
	hold := n.Options&cursorHold != 0
	if !hold && (s.tx == nil || s.tx.implicit && s.tx.single) {
		return fail(codeNoTransaction, "DECLARE CURSOR can only be used in transaction blocks")
	}
	if s.cursors[n.Portalname] != nil {
		return fail("42P03", "cursor %q already exists", n.Portalname)
	}
	if len(s.cursors) >= maxCursors {
		return fail("53400", "too many cursors: the limit is %d", maxCursors)
	}
	if st.columns == nil || st.writes != "" && st.writes[:min(6, len(st.writes))] != "SELECT" || st.plain {
		return fail("42601", "DECLARE CURSOR takes a SELECT")
	}
	r, err := st.Execute(ctx, args)
	if err != nil {
		return moved(err, inner)
	}
	if s.cursorsMade++; s.tx == nil {
		hold = true
	}
	c := &cursor{s: s, name: n.Portalname, number: s.cursorsMade, sql: inner.SQL, columns: st.Columns(), hold: hold, held: s.tx == nil, result: r,
		binary: n.Options&cursorBinary != 0, scroll: n.Options&cursorScroll != 0, forward: n.Options&cursorNoScroll != 0, rows: spool{dir: s.e.spillDir()}}
	s.cursors[c.name] = c
	s.streaming = c
	if c.held {
		return c.park()
	}
	return nil
}

// CursorColumns are the columns of an open cursor, for who describes it as a portal.
func (s *Session) CursorColumns(name string) ([]session.Column, bool) {
	if c := s.cursors[name]; c != nil {
		return c.columns, true
	}
	return nil, false
}

// parkCursor sets aside the rows of the cursor that DuckDB is computing, so that the connection is free.
func (s *Session) parkCursor() error {
	if s.streaming == nil {
		return nil
	}
	return s.streaming.park()
}

// park reads the rest of the rows into the spool.
func (c *cursor) park() error {
	for c.result != nil {
		if err := c.pull(); err != nil {
			break // it is told when the rows before it were read
		}
	}
	return nil
}

// pull reads the next rows into the spool. c.result is nil at their end.
func (c *cursor) pull() error {
	ch, err := c.result.Next()
	if err == nil && ch != nil {
		if err = c.rows.add(ch); err == nil {
			return nil
		}
	}
	c.err = err
	c.finish()
	return err
}

// finish gives the connection back.
func (c *cursor) finish() {
	if c.result != nil {
		c.result.Close()
		c.result = nil
	}
	if c.s.streaming == c {
		c.s.streaming = nil
	}
}

func (c *cursor) close() {
	c.finish()
	c.rows.close()
	delete(c.s.cursors, c.name)
}

// closeCursors closes those that drop says.
func (s *Session) closeCursors(drop func(*cursor) bool) {
	for _, c := range s.cursors {
		if drop(c) {
			c.close()
		}
	}
}

// holdCursors ends the transaction for its cursors: those WITH HOLD keep their rows.
func (s *Session) holdCursors() error {
	for _, c := range s.cursors {
		if !c.hold {
			c.close()
			continue
		}
		if err := c.park(); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		c.held = true
	}
	return nil
}

func (s *Session) closeCursor(name string) (string, error) {
	if name == "" {
		s.closeCursors(func(*cursor) bool { return true })
		return "CLOSE CURSOR ALL", nil
	}
	c := s.cursors[name]
	if c == nil {
		return "", fail("34000", "cursor %q does not exist", name)
	}
	c.close()
	return "CLOSE CURSOR", nil
}

// reach reads rows until there are n, or all.
func (c *cursor) reach(n int64) error {
	for c.result != nil && c.rows.total < n {
		if err := c.pull(); err != nil {
			return err
		}
		c.forget()
	}
	if c.rows.total < n && c.err != nil {
		return c.err
	}
	return nil
}

// forget drops rows that have been passed, where they are not kept for going back. A cursor that says neither SCROLL nor NO SCROLL
// goes back while its rows fit spoolMemory.
func (c *cursor) forget() {
	if !c.scroll && (c.forward || c.rows.memory > spoolMemory) {
		c.rows.dropBefore(c.at)
	}
}

// bindFetch binds FETCH and MOVE, of a cursor that may not exist before they are executed.
func (s *Session) bindFetch(n *pg_query.FetchStmt) (bound, error) {
	c := s.cursors[n.Portalname]
	if c == nil && s.info.MovePortal != nil {
		if _, ok, err := s.info.MovePortal(n.Portalname, 0); ok || err != nil {
			if err != nil {
				return bound{}, err
			}
			return s.bindMovePortal(n)
		}
	}
	b := bound{plain: true, run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		c := s.cursors[n.Portalname]
		if c == nil {
			return nil, fail("34000", "cursor %q does not exist", n.Portalname)
		}
		return c.fetch(n)
	}}
	if n.Ismove {
		return b, nil
	}
	b.late = func() []session.Column {
		if c := s.cursors[n.Portalname]; c != nil {
			return c.columns
		}
		return nil
	}
	b.columns = b.late()
	return b, nil
}

// bindMovePortal binds MOVE of a portal that the protocol made, whose rows are with the gateway.
func (s *Session) bindMovePortal(n *pg_query.FetchStmt) (bound, error) {
	if !n.Ismove {
		return bound{}, hint(fail(codeUnsupported, "FETCH from a portal of the protocol is not supported"), "Execute it with a limit of rows, or DECLARE a cursor; MOVE passes over its rows.")
	}
	if n.Direction != pg_query.FetchDirection_FETCH_FORWARD || n.HowMany < 0 {
		return bound{}, onlyForward()
	}
	return bound{plain: true, run: func(context.Context, []*vector.Vector) (session.Result, error) {
		moved, ok, err := s.info.MovePortal(n.Portalname, n.HowMany)
		if err == nil && !ok {
			err = fail("34000", "cursor %q does not exist", n.Portalname)
		}
		return noRows{tagOf("MOVE", moved)}, err
	}}, nil
}

// fetch is FETCH and MOVE: it reads count rows from the position onwards, or back, or one at a place.
func (c *cursor) fetch(n *pg_query.FetchStmt) (session.Result, error) {
	f := &fetched{c: c, move: n.Ismove, noRows: noRows{"FETCH"}}
	count := n.HowMany
	if count == math.MinInt64 {
		count++
	}
	switch n.Direction {
	case pg_query.FetchDirection_FETCH_FORWARD, pg_query.FetchDirection_FETCH_BACKWARD:
		if n.Direction == pg_query.FetchDirection_FETCH_BACKWARD {
			count = -count
		}
		switch {
		case count == 0: // the row it stands on, again
			if c.at == 0 || c.at > c.rows.total {
				break
			}
			if err := c.back(c.at); err != nil {
				return nil, err
			}
			f.next, f.left, f.step = c.at, 1, 1
		case count > 0:
			f.next, f.left, f.step = c.at+1, count, 1
		default:
			f.next, f.left, f.step = c.at-1, -count, -1
		}
	case pg_query.FetchDirection_FETCH_RELATIVE, pg_query.FetchDirection_FETCH_ABSOLUTE:
		target := count
		if n.Direction == pg_query.FetchDirection_FETCH_RELATIVE {
			target = c.at + count
		} else if count < 0 { // from the end
			if err := c.reach(math.MaxInt64); err != nil {
				return nil, err
			}
			target = c.rows.total + 1 + count
		}
		f.single = true
		f.next, f.left, f.step = max(target, 0), 1, 1
	}
	if f.step < 0 && c.forward || f.single && f.next < c.at && c.forward {
		return nil, onlyForward()
	}
	if n.Ismove {
		for {
			ch, err := f.Next()
			if err != nil {
				return nil, err
			}
			if ch == nil {
				return noRows{tagOf("MOVE", f.n)}, nil
			}
		}
	}
	return f, nil
}

func onlyForward() error {
	return hint(fail("55000", "cursor can only scan forward"), "Declare it with SCROLL option to enable backward scan.")
}

// back refuses a row that was forgotten.
func (c *cursor) back(row int64) error {
	if row > 0 && row <= c.rows.dropped {
		return onlyForward()
	}
	return nil
}

// fetched are rows on their way from a cursor to the client.
type fetched struct {
	noRows
	c      *cursor
	move   bool
	single bool  // ABSOLUTE, RELATIVE: one row, and the position is next whether it exists or not
	next   int64 // row
	left   int64
	step   int64
	n      int64 // given so far
	chunk  *vector.Chunk
}

// fetchRows is how many rows of a FETCH are given at once.
const fetchRows = 2048

func (f *fetched) Next() (*vector.Chunk, error) {
	c := f.c
	if c.s.cursors[c.name] != c {
		return nil, fail("34000", "cursor %q does not exist", c.name)
	}
	if f.chunk == nil {
		types := make([]vector.Type, len(c.columns))
		for i, col := range c.columns {
			types[i] = col.Type
		}
		f.chunk = vector.NewChunk(types, 0)
	}
	f.chunk.Reset()
	for f.left > 0 && f.chunk.N < fetchRows {
		if f.next < 1 {
			c.at, f.left = 0, 0
			break
		}
		if err := c.reach(f.next); err != nil {
			return nil, c.s.failed(err)
		}
		if f.next > c.rows.total {
			c.at, f.left = c.rows.total+1, 0
			break
		}
		if err := c.back(f.next); err != nil {
			return nil, c.s.failed(err)
		}
		got, err := c.rows.read(f.chunk, f.next, f.step, min(f.left, int64(fetchRows-f.chunk.N)), f.move)
		if err != nil {
			return nil, c.s.failed(err)
		}
		f.n += got
		f.left -= got
		c.at = f.next + f.step*(got-1)
		f.next = c.at + f.step
		c.forget()
	}
	if f.chunk.N == 0 {
		return nil, nil
	}
	return f.chunk, nil
}

func (f *fetched) Tag() string { return tagOf("FETCH", f.n) }
