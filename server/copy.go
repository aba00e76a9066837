package server

import (
	"encoding/binary"
	"errors"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/server/copydata"
)

// tableNamer is a CopyIn that knows its table, for messages as "COPY purchases, line 3".
type tableNamer interface{ Table() string }

// copyIn reads CopyData to its end and gives the rows to in; it returns the command tag.
func (c *conn) copyIn(in CopyIn) (tag []byte, err error) {
	finished := false
	defer func() {
		// A panic or a dead connection must not leave the transaction of the rows open.
		if !finished {
			cause := err
			if cause == nil {
				cause = errClosed
			}
			if _, e := in.Finish(cause); e != nil && err != nil && errors.Is(err, errClosed) {
				c.srv.log.Debug("giving up a COPY", "pid", c.pid, "error", e)
			}
		}
	}()
	columns := in.Columns()
	c.put(&pgproto3.CopyInResponse{OverallFormat: 0, ColumnFormatCodes: make([]uint16, len(columns))})
	if err := c.flush(); err != nil {
		return nil, err
	}
	table := ""
	if t, ok := in.(tableNamer); ok {
		table = t.Table()
	}
	r := copydata.NewReader(*in.Format(), table, columns, c.refresh(), c.srv.cfg.MaxCopyLine, in.Add)
	c.setCopying(true)
	defer c.setCopying(false)
	for {
		if c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
		typ, body, err := c.in.next()
		if err != nil {
			var ne net.Error
			var e *Error
			switch {
			case errors.As(err, &ne) && ne.Timeout() && c.ctx.Err() != nil:
				return nil, c.ctx.Err()
			case errors.As(err, &e):
				c.fatal(e)
			}
			return nil, errClosed
		}
		switch typ {
		case 'd':
			if err := r.Write(body); err != nil {
				return nil, err
			}
		case 'c':
			if err := r.Close(); err != nil {
				return nil, err
			}
			finished = true
			text, err := in.Finish(nil)
			return []byte(text), err
		case 'f':
			var m pgproto3.CopyFail
			if err := m.Decode(body); err != nil {
				return nil, protocolError("malformed CopyFail message")
			}
			return nil, &Error{Code: "57014", Message: "COPY from stdin failed: " + m.Message}
		case 'H', 'S':
			// Clients of the extended protocol send these with Execute, before they know that data is wanted.
		case 'X':
			return nil, errClosed
		default:
			return nil, protocolError("unexpected message type 0x%02X during COPY from stdin", typ)
		}
	}
}

// copyOut sends the rows of result, one CopyData a row as clients that split rows by message expect.
func (c *conn) copyOut(result Result, f *CopyFormat, columns []Column) (rows uint64, err error) {
	var chunkColumns int
	w := copydata.NewWriter(*f, &c.settings)
	chunk, err := result.Next()
	if err != nil {
		return rows, err
	}
	if chunkColumns = len(columns); chunk != nil {
		chunkColumns = len(chunk.Cols)
	}
	c.put(&pgproto3.CopyOutResponse{OverallFormat: 0, ColumnFormatCodes: make([]uint16, chunkColumns)})
	message := func(line func([]byte) []byte) {
		at := len(c.out)
		c.out = line(append(c.out, 'd', 0, 0, 0, 0))
		binary.BigEndian.PutUint32(c.out[at+1:], uint32(len(c.out)-at-1))
	}
	if f.Header {
		message(func(b []byte) []byte { return w.AppendHeader(b, columns) })
	}
	for chunk != nil {
		for i := range chunk.N {
			message(func(b []byte) []byte { return w.AppendRow(b, chunk, i) })
			rows++
			if len(c.out) >= flushAt {
				if err := c.flush(); err != nil {
					return rows, err
				}
			}
		}
		if chunk, err = result.Next(); err != nil {
			return rows, err
		}
	}
	c.bare('c')
	return rows, nil
}
