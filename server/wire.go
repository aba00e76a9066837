package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// errClosed says that the connection cannot go on: the peer is gone, or was told a fatal error.
var errClosed = errors.New("connection closed")

func isErrno(err error, numbers ...syscall.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

const (
	readBuffer = 16 << 10
	// keepBuffer is the largest read or write buffer kept once a large message is done.
	keepBuffer = 128 << 10
	// flushAt is the size of unsent output, in bytes, that is written without waiting for a Sync.
	flushAt = 64 << 10
)

// reader cuts the messages of a connection out of a buffer of its own, so that it can tell whether more input is waiting.
type reader struct {
	c      net.Conn
	buf    []byte
	r, w   int
	limit  int          // body bytes
	before func() error // called before a read that may block
}

// next returns a message; the body is valid until the next call. Errors: *Error 08P01 for a message that breaks the framing,
// else what the socket says.
func (r *reader) next() (typ byte, body []byte, err error) {
	if r.r == r.w {
		r.r, r.w = 0, 0
		if len(r.buf) > keepBuffer {
			r.buf = make([]byte, readBuffer)
		}
	}
	if err := r.need(5); err != nil {
		return 0, nil, err
	}
	typ = r.buf[r.r]
	n := int(binary.BigEndian.Uint32(r.buf[r.r+1:]))
	if n < 4 {
		return 0, nil, protocolError("invalid message length")
	}
	if n-4 > r.limit {
		return 0, nil, &Error{Code: "54000", Message: fmt.Sprintf("message of %d bytes exceeds the limit of %d", n-4, r.limit)}
	}
	if err := r.need(n + 1); err != nil {
		return 0, nil, err
	}
	body = r.buf[r.r+5 : r.r+n+1]
	r.r += n + 1
	return typ, body, nil
}

// need makes n bytes available at r.r. The buffer grows as bytes arrive, not as a header promises.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if r.w == len(r.buf) {
			if r.r > 0 {
				copy(r.buf, r.buf[r.r:r.w])
				r.r, r.w = 0, r.w-r.r
			} else {
				grown := make([]byte, max(readBuffer, 2*len(r.buf)))
				copy(grown, r.buf[:r.w])
				r.buf = grown
			}
		}
		if err := r.before(); err != nil {
			return err
		}
		m, err := r.c.Read(r.buf[r.w:])
		r.w += m
		if err != nil && m == 0 {
			return err
		}
	}
	return nil
}

// peek is the type of the next message if all of it is in the buffer, else 0.
func (r *reader) peek() byte {
	if r.w-r.r < 5 {
		return 0
	}
	if n := int(binary.BigEndian.Uint32(r.buf[r.r+1:])); n > r.w-r.r-1 {
		return 0
	}
	return r.buf[r.r]
}

// writer collects output.
type writer struct {
	c   net.Conn
	out []byte
	// encoding is the client's, nil for UTF-8.
	encoding *codec.Encoding
	since    *atomic.Int64 // when the write under way began, for the monitor
	tick     *atomic.Int64
}

func (w *writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	w.since.Store(w.tick.Load())
	_, err := w.c.Write(w.out)
	w.since.Store(0)
	if cap(w.out) > keepBuffer {
		w.out = make([]byte, 0, keepBuffer)
	}
	w.out = w.out[:0]
	if err != nil {
		return errClosed
	}
	return nil
}

// put appends a message. Those that the server sends can always be encoded.
func (w *writer) put(m pgproto3.BackendMessage) {
	out, err := m.Encode(w.out)
	if err != nil {
		panic(fmt.Sprintf("server: %T: %v", m, err))
	}
	w.out = out
}

// bare appends a message without a body.
func (w *writer) bare(typ byte) { w.out = append(w.out, typ, 0, 0, 0, 4) }

func (w *writer) ready(status byte) { w.out = append(w.out, 'Z', 0, 0, 0, 5, status) }

// complete appends CommandComplete.
func (w *writer) complete(tag []byte) {
	w.out = append(w.out, 'C')
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(4+len(tag)+1))
	w.out = append(append(w.out, tag...), 0)
}

// fail appends ErrorResponse. One that the client's encoding has no characters for gives way to the error that says so, as PostgreSQL's.
func (w *writer) fail(e *Error, severity string) {
	e, err := w.encoded(e)
	if err != nil {
		e = asError(err)
	}
	w.put(&pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: e.Code, Message: clean(e.Message), Detail: clean(e.Detail),
		Hint: clean(e.Hint), Position: int32(e.Position), Where: clean(e.Where), SchemaName: e.Schema, TableName: e.Table,
		ColumnName: e.Column, ConstraintName: e.Constraint,
	})
}

// encoded is an error or notice in the client's encoding. Errors: 22P05.
func (w *writer) encoded(e *Error) (*Error, error) {
	if w.encoding == nil {
		return e, nil
	}
	out := *e
	for _, s := range []*string{&out.Message, &out.Detail, &out.Hint, &out.Where, &out.Schema, &out.Table, &out.Column, &out.Constraint} {
		var err error
		if *s, err = w.encoding.EncodeString(*s); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// shown is text for the client, with a question mark for each character that its encoding does not have: of messages that answer no
// statement, so that there is none to fail.
func (w *writer) shown(s string) string {
	if out, err := w.encoding.EncodeString(s); err == nil {
		return out
	}
	var b strings.Builder
	for _, r := range s {
		c, err := w.encoding.EncodeString(string(r))
		if err != nil {
			c = "?"
		}
		b.WriteString(c)
	}
	return b.String()
}

// clean makes text that a message field, which ends at a zero byte, can hold.
func clean(s string) string {
	for i := range len(s) {
		if s[i] == 0 {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if b[j] == 0 {
					b[j] = '?'
				}
			}
			return string(b)
		}
	}
	return s
}

func (w *writer) notice(n *Notice) {
	severity := n.Severity
	if severity == "" {
		severity = "NOTICE"
	}
	if w.encoding != nil {
		shown := *n
		shown.Message, shown.Detail, shown.Hint, shown.Where = w.shown(n.Message), w.shown(n.Detail), w.shown(n.Hint), w.shown(n.Where)
		shown.Schema, shown.Table, shown.Column, shown.Constraint = w.shown(n.Schema), w.shown(n.Table), w.shown(n.Column), w.shown(n.Constraint)
		n = &shown
	}
	w.put(&pgproto3.NoticeResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: n.Code, Message: clean(n.Message), Detail: clean(n.Detail),
		Hint: clean(n.Hint), Position: int32(n.Position), Where: clean(n.Where), SchemaName: n.Schema, TableName: n.Table,
		ColumnName: n.Column, ConstraintName: n.Constraint,
	})
}

func protocolError(format string, args ...any) *Error {
	return &Error{Code: "08P01", Message: fmt.Sprintf(format, args...)}
}

// asError is err as the client sees it.
func asError(err error) *Error {
	var e *Error
	var ce *codec.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &ce):
		return &Error{Code: ce.Code, Message: ce.Message, Detail: ce.Detail, Hint: ce.Hint}
	case errors.Is(err, context.Canceled):
		return &Error{Code: "57014", Message: "canceling statement due to user request"}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: "57014", Message: "canceling statement due to statement timeout"}
	}
	return &Error{Code: "XX000", Message: err.Error()}
}
