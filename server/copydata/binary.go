package copydata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// signature begins COPY data in binary.
var signature = []byte("PGCOPY\n\xff\r\n\x00")

// BinaryReader decodes COPY data in binary, given in pieces. It is not safe for concurrent use.
type BinaryReader struct {
	table    string
	columns  []session.Column
	settings *codec.Settings
	maxRow   int
	emit     func(*vector.Chunk) error

	chunk  *vector.Chunk
	text   int // bytes in chunk
	buf    []byte
	begun  bool // the header was read
	skip   int  // bytes of the header's extension that are to come
	ended  bool
	row    int // the row being read, from 1
	column string

	notNull []bool // of the columns; nil: all take NULL
}

// NewBinaryReader decodes rows of the columns, in the order the data has them, and hands chunks of at most ChunkRows rows to emit.
// table is for messages. maxRow bounds a row, in bytes.
func NewBinaryReader(table string, columns []session.Column, s *codec.Settings, maxRow int, emit func(*vector.Chunk) error) *BinaryReader {
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	return &BinaryReader{table: table, columns: columns, settings: s, maxRow: maxRow, emit: emit, chunk: vector.NewChunk(types, ChunkRows)}
}

// Check is Reader.Check.
func (r *BinaryReader) Check(notNull []bool) { r.notNull = notNull }

// RowWhere is Reader.RowWhere; lines of binary data are not repeated.
func (r *BinaryReader) RowWhere(row int64, _ bool) string {
	if r.table == "" {
		return fmt.Sprintf("COPY, line %d", row+1)
	}
	return fmt.Sprintf("COPY %s, line %d", r.table, row+1)
}

// fail is an error about the row being read.
func (r *BinaryReader) fail(code, message string) error {
	where := "COPY"
	if r.table != "" {
		where += " " + r.table
	}
	if r.row > 0 {
		where += fmt.Sprintf(", line %d", r.row)
		if r.column != "" {
			where += ", column " + r.column
		}
	} else {
		where = ""
	}
	return &session.Error{Code: code, Message: message, Where: where}
}

// Where is the place in the data, for an error that somebody else found.
func (r *BinaryReader) Where() string { return r.RowWhere(int64(r.row), false) }

// Write takes the next piece of data, which it does not keep. Errors: *session.Error (22P04, 22P03, …), or what emit returned.
func (r *BinaryReader) Write(p []byte) error {
	if r.ended && len(p) > 0 {
		return r.fail("22P04", "received copy data after EOF marker")
	}
	r.buf = append(r.buf, p...)
	rest := r.buf
	for {
		n, err := r.next(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	r.buf = append(r.buf[:0], rest...)
	if len(r.buf) > r.maxRow {
		return r.fail("54000", fmt.Sprintf("a row of COPY data exceeds %d bytes", r.maxRow))
	}
	return nil
}

// next takes the header, a row or the trailer from b; 0: not all of it is there.
func (r *BinaryReader) next(b []byte) (n int, err error) {
	switch {
	case !r.begun:
		return r.header(b)
	case r.skip > 0:
		n = min(r.skip, len(b))
		r.skip -= n
		return n, nil
	case r.ended:
		if len(b) > 0 {
			return 0, r.fail("22P04", "received copy data after EOF marker")
		}
		return 0, nil
	case len(b) < 2:
		return 0, nil
	}
	fields := int(int16(binary.BigEndian.Uint16(b)))
	if fields == -1 {
		r.ended = true
		r.row++
		return 2, nil
	}
	// The row is decoded when all of it is there, so that it is decoded once.
	size := 2
	if fields == len(r.columns) {
		for range fields {
			if len(b) < size+4 {
				return 0, nil
			}
			length := int(int32(binary.BigEndian.Uint32(b[size:])))
			if size += 4; length > 0 {
				size += length
			}
			if length < -1 || size > r.maxRow {
				break
			}
			if len(b) < size {
				return 0, nil
			}
		}
	}
	r.row++
	if fields != len(r.columns) {
		return 0, r.fail("22P04", fmt.Sprintf("row field count is %d, expected %d", fields, len(r.columns)))
	}
	return size, r.decode(b[2:])
}

func (r *BinaryReader) header(b []byte) (n int, err error) {
	const fixed = 11 + 4 + 4
	if k := min(len(b), len(signature)); !bytes.Equal(b[:k], signature[:k]) {
		return 0, r.fail("22P04", "COPY file signature not recognized")
	}
	if len(b) < fixed {
		return 0, nil
	}
	switch flags := binary.BigEndian.Uint32(b[11:]); {
	case flags&(1<<16) != 0:
		return 0, r.fail("22P04", "invalid COPY file header (WITH OIDS)")
	case flags>>17 != 0:
		return 0, r.fail("22P04", "unrecognized critical flags in COPY file header")
	}
	if r.skip = int(int32(binary.BigEndian.Uint32(b[15:]))); r.skip < 0 {
		return 0, r.fail("22P04", "invalid COPY file header (missing length)")
	}
	r.begun = true
	return fixed, nil
}

// decode appends a row whose fields are all in b.
func (r *BinaryReader) decode(b []byte) error {
	refused := false
	for i, v := range r.chunk.Cols {
		r.column = r.columns[i].Name
		length := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		switch {
		case length == -1:
			v.AppendNull()
			refused = refused || i < len(r.notNull) && r.notNull[i]
			continue
		case length < 0:
			return r.fail("22P04", "invalid field size")
		case length > len(b):
			return r.fail("54000", fmt.Sprintf("a row of COPY data exceeds %d bytes", r.maxRow))
		}
		value, err := r.settings.Encoding.DecodeValue(b[:length], v.Type, 1)
		if err == nil {
			err = codec.AppendDecoded(v, value, r.settings)
		}
		if err != nil {
			var ce *codec.Error
			if !errors.As(err, &ce) {
				return err
			}
			e := r.fail(ce.Code, ce.Message).(*session.Error)
			e.Detail, e.Hint = ce.Detail, ce.Hint
			return e
		}
		b = b[length:]
		r.text += length
	}
	r.column = ""
	if r.chunk.N++; refused || r.chunk.N >= ChunkRows || r.text >= chunkBytes {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if refused {
		return ErrRefused
	}
	return nil
}

// Close hands on the last chunk. Data may end without the trailer only between rows.
func (r *BinaryReader) Close() error {
	switch {
	case !r.begun && len(r.buf) < len(signature):
		return r.fail("22P04", "COPY file signature not recognized")
	case !r.begun:
		return r.fail("22P04", "invalid COPY file header (missing flags)")
	case !r.ended && len(r.buf) > 1: // one byte is no count of fields, which PostgreSQL takes for the end
		r.row++
		return r.fail("22P04", "unexpected EOF in COPY data")
	case !r.ended && r.skip > 0:
		return r.fail("22P04", "invalid COPY file header (wrong length)")
	}
	return r.flush()
}

func (r *BinaryReader) flush() error {
	if r.chunk.N == 0 {
		return nil
	}
	err := r.emit(r.chunk)
	r.chunk.Reset()
	r.text = 0
	return err
}

// AppendBinaryHeader appends what COPY data in binary begins with.
func AppendBinaryHeader(dst []byte) []byte {
	return append(append(dst, signature...), 0, 0, 0, 0, 0, 0, 0, 0)
}

// AppendBinaryTrailer appends what it ends with.
func AppendBinaryTrailer(dst []byte) []byte { return append(dst, 0xff, 0xff) }

// AppendBinaryRow appends row i of c. Errors are those of values that have no binary form.
func AppendBinaryRow(dst []byte, c *vector.Chunk, i int, s *codec.Settings) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Cols)))
	for _, v := range c.Cols {
		if v.IsNull(i) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(dst)
		var err error
		if dst, err = codec.AppendBinary(append(dst, 0, 0, 0, 0), v, i, s); err != nil {
			return dst, err
		}
		if dst, err = s.Encoding.EncodeValue(dst, at+4, v.Type, 1); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, nil
}
