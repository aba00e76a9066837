package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// portal is a statement with its arguments, on its way through its rows.
type portal struct {
	name     string
	stmt     *prepared
	args     []*vector.Vector
	columns  []Column // nil: returns no rows
	formats  []int16
	describe bool // send RowDescription before the rows: the simple protocol

	started, done bool
	bound         bool // counted by its statement
	result        Result
	chunk         *vector.Chunk // rows from next on are unsent
	next          int
	rows          uint64 // sent since the last tag
	aside         *spill // rows kept when the session was needed for something else
	tag           []byte // nil after the end: an empty statement
}

// close ends the portal's Result, if it is open.
func (p *portal) close(c *conn) {
	if p.result != nil {
		p.result.Close()
		p.result, p.chunk = nil, nil
	}
	if p.aside != nil {
		p.aside.close()
		p.aside = nil
	}
	if c.open == p {
		c.open = nil
	}
	p.done = true
	if p.bound {
		p.bound = false
		p.stmt.portals--
		p.stmt.closeUnused()
	}
}

// run sends up to limit rows (0: all). It reports whether the portal is suspended; else p.tag is the command tag.
func (p *portal) run(c *conn, limit int) (suspended bool, err error) {
	if p.done {
		if p.columns == nil {
			return false, &Error{Code: "55000", Message: fmt.Sprintf("portal %q cannot be run", p.name)}
		}
		p.tag = append(p.tag[:0], "SELECT 0"...)
		return false, nil
	}
	if !p.started {
		for _, f := range p.formats {
			if f != 0 && f != 1 {
				p.done = true
				return false, &Error{Code: "22023", Message: fmt.Sprintf("unsupported format code: %d", f)}
			}
		}
		p.started = true
		c.refresh()
		if p.result, err = p.stmt.stmt.Execute(c.statementContext(), p.args); err != nil {
			p.done, p.result = true, nil
			return false, err
		}
		c.open = p
		c.refresh()
	}
	if p.aside != nil {
		return p.replay(c, limit)
	}
	defer func() {
		if !suspended {
			p.close(c)
		}
	}()
	if in := p.result.CopyIn(); in != nil {
		p.tag, err = c.copyIn(in)
		return false, err
	}
	if f := p.result.CopyOut(); f != nil {
		if p.rows, err = c.copyOut(p.result, f, dataColumns(p.stmt.stmt)); err != nil {
			return false, err
		}
		p.setTag(p.result.Tag(), p.rows)
		return false, nil
	}
	if p.describe && p.stmt.stmt.Columns() != nil {
		p.stmt.columns = p.stmt.stmt.Columns()
		if err := c.describeRows(p.stmt, p.stmt.columns, nil); err != nil {
			return false, err
		}
	}
	p.rows = 0
	for {
		if p.chunk == nil || p.next == p.chunk.N {
			p.next = 0
			if p.chunk, err = p.result.Next(); err != nil {
				return false, err
			}
			if p.chunk == nil {
				break
			}
		}
		for p.next < p.chunk.N {
			at := len(c.out)
			if c.out, err = appendRow(c.out, p.chunk, p.next, p.formats, &c.settings); err != nil {
				c.out = c.out[:at]
				return false, err
			}
			p.next++
			p.rows++
			if len(c.out) >= flushAt {
				if err := c.flush(); err != nil {
					return false, err
				}
			}
			if limit > 0 && p.rows == uint64(limit) { // whether more follow, the next Execute tells
				return true, nil
			}
		}
	}
	p.setTag(p.result.Tag(), p.rows)
	return false, nil
}

// setTag makes the command tag: SELECT and COPY get their rows counted, an empty statement has none.
func (p *portal) setTag(tag string, rows uint64) {
	if tag == "" {
		p.tag = nil
		return
	}
	p.tag = append(p.tag[:0], tag...)
	if tag == "SELECT" || tag == "COPY" {
		p.tag = strconv.AppendUint(append(p.tag, ' '), rows, 10)
	}
}

// maxRow bounds a DataRow, in bytes: the protocol counts in int32.
const maxRow = 1 << 30

// appendRow appends row i as a DataRow.
func appendRow(dst []byte, chunk *vector.Chunk, i int, formats []int16, s *codec.Settings) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 'D', 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(chunk.Cols)))
	for j, v := range chunk.Cols {
		if v.IsNull(i) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		if formatOf(formats, j) == 0 {
			dst = codec.AppendText(dst, v, i, s)
		} else {
			var err error
			if dst, err = codec.AppendBinary(dst, v, i, s); err != nil {
				return dst, err
			}
		}
		if s.Encoding != nil {
			var err error
			if dst, err = s.Encoding.EncodeValue(dst, at+4, v.Type, formatOf(formats, j)); err != nil {
				return dst, err
			}
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	if len(dst)-start > maxRow {
		return dst, &Error{Code: "54000", Message: fmt.Sprintf("a row of %d bytes exceeds the limit of %d", len(dst)-start, maxRow)}
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst, nil
}

// spill keeps encoded DataRows, first in memory, then in a file.
type spill struct {
	mem  []byte
	file *os.File
	size int64 // bytes in the file
	read int64
	tag  string
	err  error // met after the rows kept; told when they are sent
}

func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}

// setAside reads the rest of the portal's rows, so that the session can do something else.
func (p *portal) setAside(c *conn) error {
	s := &spill{}
	p.aside = s
	defer func() {
		p.result.Close()
		p.result, p.chunk, c.open = nil, nil, nil
	}()
	write := func() error {
		if s.file == nil {
			f, err := os.CreateTemp(c.srv.cfg.TempDir, "tilehouse-portal-")
			if err != nil {
				return &Error{Code: "58030", Message: "could not keep the rows of a suspended portal: " + err.Error()}
			}
			s.file = f
		}
		if s.size += int64(len(s.mem)); s.size > c.srv.cfg.PortalSpill {
			return &Error{Code: "53400", Message: "the rows left in a suspended portal exceed the limit",
				Hint: "Read the portal to its end, or close it, before running another statement."}
		}
		if _, err := s.file.Write(s.mem); err != nil {
			return &Error{Code: "58030", Message: "could not keep the rows of a suspended portal: " + err.Error()}
		}
		s.mem = s.mem[:0]
		return nil
	}
	for {
		if p.chunk == nil || p.next == p.chunk.N {
			p.next = 0
			if p.chunk, s.err = p.result.Next(); s.err != nil || p.chunk == nil {
				break
			}
		}
		for ; p.next < p.chunk.N; p.next++ {
			var err error
			if s.mem, err = appendRow(s.mem, p.chunk, p.next, p.formats, &c.settings); err != nil {
				p.done = true
				return err
			}
			if int64(len(s.mem)) >= c.srv.cfg.PortalMemory {
				if err := write(); err != nil {
					p.done = true
					return err
				}
			}
		}
	}
	if s.err == nil {
		s.tag = p.result.Tag()
	}
	if s.file != nil {
		if err := write(); err != nil {
			p.done = true
			return err
		}
		s.mem = nil
	}
	return nil
}

// replay sends up to limit of the rows kept aside.
func (p *portal) replay(c *conn, limit int) (suspended bool, err error) {
	s := p.aside
	p.rows = 0
	for limit == 0 || p.rows < uint64(limit) {
		ok, err := s.row(&c.out)
		if err != nil {
			return false, err
		}
		if !ok {
			err, tag := s.err, s.tag
			p.close(c)
			p.setTag(tag, p.rows)
			return false, err
		}
		p.rows++
		if len(c.out) >= flushAt {
			if err := c.flush(); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// row moves one DataRow to dst; ok is false at the end.
func (s *spill) row(dst *[]byte) (ok bool, err error) {
	if s.file == nil {
		if len(s.mem) == 0 {
			return false, nil
		}
		n := int(binary.BigEndian.Uint32(s.mem[1:])) + 1
		*dst = append(*dst, s.mem[:n]...)
		s.mem = s.mem[n:]
		return true, nil
	}
	if s.read == s.size {
		return false, nil
	}
	// The file is read a piece at a time into mem, which then holds whole rows and the start of one.
	fill := func(n int) error {
		if len(s.mem) >= n {
			return nil
		}
		want := int64(max(n, flushAt))
		have := int64(len(s.mem))
		want = min(want, s.size-s.read)
		buf := make([]byte, want)
		copy(buf, s.mem)
		if _, err := s.file.ReadAt(buf[have:], s.read+have); err != nil && err != io.EOF {
			return &Error{Code: "58030", Message: "could not read the rows of a suspended portal: " + err.Error()}
		}
		s.mem = buf
		return nil
	}
	if err := fill(5); err != nil {
		return false, err
	}
	n := int(binary.BigEndian.Uint32(s.mem[1:])) + 1
	if err := fill(n); err != nil {
		return false, err
	}
	*dst = append(*dst, s.mem[:n]...)
	s.mem = s.mem[n:]
	s.read += int64(n)
	return true, nil
}

// movePortal passes over rows of a portal, which it begins to run where nothing has yet. It is called while another statement of the
// session executes, which has set aside what was open.
func (c *conn) movePortal(name string, rows int64) (moved int64, ok bool, err error) {
	p := c.portals[name]
	if p == nil || name == "" {
		return 0, false, nil
	}
	if rows == 0 || p.done {
		return 0, true, nil
	}
	if !p.started {
		p.started = true
		if p.result, err = p.stmt.stmt.Execute(c.ctx, p.args); err != nil {
			p.done, p.result = true, nil
			return 0, true, err
		}
	}
	if p.aside == nil {
		if p.result == nil || p.result.CopyIn() != nil || p.result.CopyOut() != nil {
			return 0, true, &Error{Code: "55000", Message: fmt.Sprintf("portal %q cannot be run", name)}
		}
		if err := p.setAside(c); err != nil {
			return 0, true, err
		}
	}
	var row []byte
	for ; moved < rows; moved++ {
		row = row[:0]
		if more, err := p.aside.row(&row); err != nil || !more {
			if err == nil {
				err = p.aside.err
			}
			return moved, true, err
		}
	}
	return moved, true, nil
}
