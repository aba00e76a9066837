package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/server/copydata"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// fileReader is a CopyIn whose data may stand in a file of the server's: nil where the client sends it.
type fileReader interface{ File() (io.ReadCloser, error) }

// copyPiece is how many bytes of a file are read at once.
const copyPiece = 64 << 10

// copyData decodes rows of COPY data given in pieces.
type copyData interface {
	Write(p []byte) error
	Close() error
	Where() string
	Check(notNull []bool)
	RowWhere(row int64, whole bool) string
}

// checkedCopy is a CopyIn whose rows are checked after they were read.
type checkedCopy interface {
	// NotNull says which of the columns take no NULL.
	NotNull() []bool
	// Locate says what gives the place in the data of a row, by its number from 0, and with its line where whole is set.
	Locate(where func(row int64, whole bool) string)
	// Refused takes the place of Finish where the last row has a NULL in a column that takes none: it is the error of the first row
	// that cannot be written.
	Refused() error
}

// copyFile gives the bytes of a file to a reader of rows.
func (c *conn) copyFile(file io.Reader, r copyData) error {
	piece := make([]byte, copyPiece)
	for {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		n, err := file.Read(piece)
		if n > 0 {
			if err := r.Write(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return r.Close()
		}
		if err != nil {
			return &Error{Code: "58030", Message: "could not read from COPY file: " + err.Error()}
		}
	}
}

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
	format := in.Format()
	var file io.ReadCloser
	if f, ok := in.(fileReader); ok {
		if file, err = f.File(); err != nil {
			return nil, err
		}
	}
	if file != nil {
		defer file.Close()
	} else {
		c.put(&pgproto3.CopyInResponse{OverallFormat: overall(format), ColumnFormatCodes: codes(format, len(columns))})
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	settings := c.copySettings(format)
	table := ""
	if t, ok := in.(tableNamer); ok {
		table = t.Table()
	}
	rows := &copyAhead{in: in}
	defer rows.wait()
	var r copyData
	if format.Format == "binary" {
		r = copydata.NewBinaryReader(table, columns, settings, c.srv.cfg.MaxCopyLine, rows.add)
	} else {
		r = copydata.NewReader(*format, table, columns, settings, c.srv.cfg.MaxCopyLine, rows.add)
	}
	checked, _ := in.(checkedCopy)
	if checked != nil {
		r.Check(checked.NotNull())
		checked.Locate(r.RowWhere)
	}
	// told is the error of the rows so far, where reading them ended in err.
	told := func(err error) error {
		if err == nil {
			return nil
		}
		if e := rows.wait(); e != nil {
			return e
		}
		if err != copydata.ErrRefused {
			return err
		}
		finished = true
		return checked.Refused()
	}
	finish := func() ([]byte, error) {
		if err := rows.wait(); err != nil {
			return nil, err
		}
		finished = true
		text, err := in.Finish(nil)
		return []byte(text), err
	}
	if file != nil {
		if err := told(c.copyFile(file, r)); err != nil {
			var e *Error
			named, ok := file.(interface{ Name() string })
			if ok && format.Format == "text" && strings.HasSuffix(named.Name(), ".csv") && errors.As(err, &e) && strings.HasPrefix(e.Code, "22") && e.Hint == "" {
				e.Hint = "COPY reads format text, with tabs, unless it is told: WITH (FORMAT csv, HEADER true)."
			}
			return nil, err
		}
		return finish()
	}
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
			if err := told(r.Write(body)); err != nil {
				return nil, err
			}
		case 'c':
			if err := told(r.Close()); err != nil {
				return nil, err
			}
			return finish()
		case 'f':
			var m pgproto3.CopyFail
			if err := m.Decode(body); err != nil {
				return nil, protocolError("malformed CopyFail message")
			}
			return nil, told(&Error{Code: "57014", Message: "COPY from stdin failed: " + m.Message, Where: r.Where()})
		case 'H', 'S':
			// Clients of the extended protocol send these with Execute, before they know that data is wanted.
		case 'X':
			return nil, errClosed
		default:
			return nil, protocolError("unexpected message type 0x%02X during COPY from stdin", typ)
		}
	}
}

// copySettings are the settings that COPY data is read and written with: the session's, in the encoding that the format says.
func (c *conn) copySettings(f *CopyFormat) *codec.Settings {
	s := *c.refresh()
	if f.Encoding != "" {
		s.Set("client_encoding", f.Encoding)
	}
	return &s
}

// copyOut sends the rows of result, one CopyData a row as clients that split rows by message expect.
func (c *conn) copyOut(result Result, f *CopyFormat, columns []Column) (rows uint64, err error) {
	var chunkColumns int
	settings := c.copySettings(f)
	w := copydata.NewWriter(*f, settings)
	chunk, err := result.Next()
	if err != nil {
		return rows, err
	}
	if chunkColumns = len(columns); chunk != nil {
		chunkColumns = len(chunk.Cols)
	}
	c.put(&pgproto3.CopyOutResponse{OverallFormat: overall(f), ColumnFormatCodes: codes(f, chunkColumns)})
	message := func(body func([]byte) ([]byte, error)) (err error) {
		at := len(c.out)
		if c.out, err = body(append(c.out, 'd', 0, 0, 0, 0)); err != nil {
			c.out = c.out[:at]
			return err
		}
		binary.BigEndian.PutUint32(c.out[at+1:], uint32(len(c.out)-at-1))
		return nil
	}
	row := func(b []byte, i int) ([]byte, error) {
		at := len(b)
		return settings.Encoding.Encode(w.AppendRow(b, chunk, i), at)
	}
	begun := true
	if f.Format == "binary" {
		begun = false // the header stands in the first row's message
		row = func(b []byte, i int) ([]byte, error) {
			if !begun {
				begun = true
				b = copydata.AppendBinaryHeader(b)
			}
			return copydata.AppendBinaryRow(b, chunk, i, settings)
		}
	}
	if f.Header {
		if err := message(func(b []byte) ([]byte, error) {
			at := len(b)
			return settings.Encoding.Encode(w.AppendHeader(b, columns), at)
		}); err != nil {
			return rows, err
		}
	}
	for chunk != nil {
		for i := range chunk.N {
			if err := message(func(b []byte) ([]byte, error) { return row(b, i) }); err != nil {
				return rows, err
			}
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
	if f.Format == "binary" {
		if err := message(func(b []byte) ([]byte, error) {
			if !begun {
				b = copydata.AppendBinaryHeader(b)
			}
			return copydata.AppendBinaryTrailer(b), nil
		}); err != nil {
			return rows, err
		}
	}
	c.bare('c')
	return rows, nil
}

// dataColumns are the columns of the data of COPY … TO STDOUT, whose statement has none itself.
func dataColumns(st Statement) []Column {
	if c, ok := st.(interface{ CopyColumns() []Column }); ok {
		return c.CopyColumns()
	}
	return st.Columns()
}

// overall is the format code of COPY data, codes those of its columns.
func overall(f *CopyFormat) byte {
	if f.Format == "binary" {
		return 1
	}
	return 0
}

func codes(f *CopyFormat, columns int) []uint16 {
	out := make([]uint16, columns)
	for i := range out {
		out[i] = uint16(overall(f))
	}
	return out
}
