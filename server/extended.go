package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// prepared is a statement of the extended protocol.
type prepared struct {
	name        string
	stmt        Statement
	params      []vector.Type
	columns     []Column
	description []byte // RowDescription with format text, made once
	portals     int    // that were bound to it and are open
	text        string // kept for spans only
	dropped     bool   // no name leads to it any more
}

func (c *conn) parse(body []byte) error {
	var m pgproto3.Parse
	if err := m.Decode(body); err != nil {
		return protocolError("malformed Parse message")
	}
	if err := c.texts(&m.Name, &m.Query); err != nil {
		return err
	}
	named := c.session.Prepared()
	if m.Name == "" {
		c.dropStatement("")
	} else if named[m.Name] != nil {
		return &Error{Code: "42P05", Message: fmt.Sprintf("prepared statement %q already exists", m.Name)}
	} else if len(named) >= c.srv.cfg.MaxStatements {
		return &Error{Code: "53400", Message: fmt.Sprintf("too many prepared statements: the limit is %d", c.srv.cfg.MaxStatements)}
	}
	if err := c.park(); err != nil {
		return err
	}
	c.startTimer()
	if m.ParameterOIDs == nil {
		m.ParameterOIDs = []uint32{}
	}
	span := c.beginSpan("prepare", m.Query)
	stmt, err := c.session.Parse(c.statementContext(), m.Query, m.ParameterOIDs)
	c.endSpan(span, stmt, m.Query, nil, 0, err)
	if err != nil {
		return err
	}
	st := newPrepared(m.Name, stmt)
	if c.srv.cfg.Tracer != nil {
		st.text = m.Query
	}
	if m.Name == "" {
		c.unnamed = st
	} else {
		named[m.Name] = &session.Named{Statement: stmt, SQL: m.Query, Since: time.Now(), Gateway: st}
	}
	c.bare('1')
	return nil
}

// texts turns strings of the client's into UTF-8.
func (c *conn) texts(list ...*string) (err error) {
	for _, s := range list {
		if *s, err = c.text(*s); err != nil {
			return err
		}
	}
	return nil
}

func newPrepared(name string, stmt Statement) *prepared {
	return &prepared{name: name, stmt: stmt, params: stmt.Params(), columns: stmt.Columns()}
}

func (c *conn) dropStatement(name string) {
	st := c.unnamed
	if name == "" {
		c.unnamed = nil
	} else {
		named := c.session.Prepared()[name]
		if named == nil {
			return
		}
		delete(c.session.Prepared(), name)
		if st, _ = named.Gateway.(*prepared); st == nil {
			named.Statement.Close()
		}
	}
	if st == nil {
		return
	}
	st.dropped = true
	st.closeUnused()
}

// closeUnused closes a dropped statement when the last portal that executes it has gone: as in PostgreSQL, portals outlive the
// statement that they were bound to.
func (st *prepared) closeUnused() {
	if st.dropped && st.portals == 0 {
		st.stmt.Close()
	}
}

func (c *conn) dropPortal(name string) {
	if p := c.portals[name]; p != nil {
		p.close(c)
		delete(c.portals, name)
	}
}

func (c *conn) statement(name string) (*prepared, error) {
	if name == "" {
		if c.unnamed != nil {
			return c.unnamed, nil
		}
		return nil, &Error{Code: "26000", Message: "unnamed prepared statement does not exist"}
	}
	named := c.session.Prepared()[name]
	if named == nil {
		return nil, &Error{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", name)}
	}
	st, ok := named.Gateway.(*prepared)
	if !ok { // PREPARE made it
		st = newPrepared(name, named.Statement)
		named.Gateway = st
	}
	return st, nil
}

func (c *conn) portal(name string) (*portal, error) {
	if p := c.portals[name]; p != nil {
		return p, nil
	}
	return nil, &Error{Code: "34000", Message: fmt.Sprintf("portal %q does not exist", name)}
}

func (c *conn) bindPortal(body []byte) error {
	m := &c.bind
	if err := m.Decode(body); err != nil {
		return protocolError("malformed Bind message")
	}
	if err := c.texts(&m.DestinationPortal, &m.PreparedStatement); err != nil {
		return err
	}
	st, err := c.statement(m.PreparedStatement)
	if err != nil {
		return err
	}
	if m.DestinationPortal == "" {
		c.dropPortal("")
	} else if c.portals[m.DestinationPortal] != nil {
		return &Error{Code: "42P03", Message: fmt.Sprintf("cursor %q already exists", m.DestinationPortal)}
	} else if len(c.portals) >= c.srv.cfg.MaxPortals {
		return &Error{Code: "53400", Message: fmt.Sprintf("too many portals: the limit is %d", c.srv.cfg.MaxPortals)}
	}
	if len(m.Parameters) != len(st.params) {
		return protocolError("bind message supplies %d parameters, but prepared statement %q requires %d",
			len(m.Parameters), m.PreparedStatement, len(st.params))
	}
	if n := len(m.ParameterFormatCodes); n > 1 && n != len(m.Parameters) {
		return protocolError("bind message has %d parameter formats but %d parameters", n, len(m.Parameters))
	}
	columns := st.columns
	if late, ok := st.stmt.(latecomer); ok {
		if now, ok := late.PortalColumns(); ok {
			columns = now
		}
	}
	if n := len(m.ResultFormatCodes); n > 1 && n != len(columns) {
		return protocolError("bind message has %d result formats but query has %d columns", n, len(columns))
	}
	if err := c.revalidate(st); err != nil {
		return err
	}
	p := &portal{name: m.DestinationPortal, stmt: st, columns: columns}
	settings := c.refresh()
	if len(m.Parameters) > 0 {
		p.args = make([]*vector.Vector, len(m.Parameters))
	}
	for i, b := range m.Parameters {
		format := formatOf(m.ParameterFormatCodes, i)
		if b, err = settings.Encoding.DecodeValue(b, st.params[i], format); err == nil {
			p.args[i], err = codec.DecodeParam(st.params[i], format, b, settings)
		}
		if err != nil {
			e := asError(err)
			e.Where = fmt.Sprintf("unnamed portal parameter $%d", i+1)
			if p.name != "" {
				e.Where = fmt.Sprintf("portal %q parameter $%d", p.name, i+1)
			}
			if format == 0 && e.Code != "22021" && e.Code != "22P05" { // which come before PostgreSQL looks at the value
				e.Where += " = '...'"
			}
			return e
		}
	}
	p.formats = m.ResultFormatCodes
	c.portals[p.name] = p
	p.bound = true
	st.portals++
	c.bare('2')
	return nil
}

// latecomer is a Statement whose columns may be others at each Bind; ok is false where they are those of the statement.
type latecomer interface {
	PortalColumns() (columns []Column, ok bool)
}

// revalidator is a Statement that knows whether what it was bound to has changed, and then binds anew.
type revalidator interface {
	Stale() bool
	Revalidate(ctx context.Context) error
}

// revalidate refuses a statement whose columns are others by now, before anything is bound to it.
func (c *conn) revalidate(st *prepared) error {
	v, ok := st.stmt.(revalidator)
	if !ok || !v.Stale() {
		return nil
	}
	if err := c.park(); err != nil {
		return err
	}
	return v.Revalidate(c.ctx)
}

// formatOf is format code i of a list that may be empty (text) or of one code for all.
func formatOf(codes []int16, i int) int16 {
	switch len(codes) {
	case 0:
		return 0
	case 1:
		return codes[0]
	}
	return codes[i]
}

func (c *conn) describe(body []byte) error {
	var m pgproto3.Describe
	if err := m.Decode(body); err != nil {
		return protocolError("malformed Describe message")
	}
	if err := c.texts(&m.Name); err != nil {
		return err
	}
	switch m.ObjectType {
	case 'S':
		st, err := c.statement(m.Name)
		if err != nil {
			return err
		}
		c.describeParams(st.params)
		return c.describeRows(st, st.columns, nil)
	case 'P':
		if columns, ok := c.session.CursorColumns(m.Name); ok && c.portals[m.Name] == nil {
			columns, err := c.encodedColumns(columns)
			if err == nil {
				c.out = appendRowDescription(c.out, columns)
			}
			return err
		}
		p, err := c.portal(m.Name)
		if err != nil {
			return err
		}
		return c.describeRows(p.stmt, p.columns, p.formats)
	default:
		return protocolError("invalid DESCRIBE message subtype %d", m.ObjectType)
	}
}

// encodedColumns are columns with their names in the client's encoding.
func (c *conn) encodedColumns(columns []Column) ([]Column, error) {
	if c.encoding == nil {
		return columns, nil
	}
	out := slices.Clone(columns)
	for i := range out {
		var err error
		if out[i].Name, err = c.encoding.EncodeString(out[i].Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// describeParams appends ParameterDescription. Its count has 16 bits, and more parameters all the same: what binds them is refused.
func (c *conn) describeParams(params []vector.Type) {
	c.out = append(c.out, 't')
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(4+2+4*len(params)))
	c.out = binary.BigEndian.AppendUint16(c.out, uint16(len(params)))
	for _, t := range params {
		c.out = binary.BigEndian.AppendUint32(c.out, codec.OID(t))
	}
}

// describeRows appends RowDescription of the columns, which are mostly the statement's, or NoData.
func (c *conn) describeRows(st *prepared, columns []Column, formats []int16) error {
	if columns == nil {
		c.bare('n')
		return nil
	}
	own := len(columns) == len(st.columns) && (len(columns) == 0 || &columns[0] == &st.columns[0])
	columns, err := c.encodedColumns(columns)
	if err != nil {
		return err
	}
	at := len(c.out)
	if c.encoding != nil || !own {
		c.out = appendRowDescription(c.out, columns)
	} else {
		if st.description == nil {
			st.description = appendRowDescription(nil, columns)
		}
		c.out = append(c.out, st.description...)
	}
	if len(formats) > 0 {
		// The format is the last field of each column's.
		b := c.out[at+7:]
		for i, col := range columns {
			n := len(clean(col.Name)) + 1 + 18
			binary.BigEndian.PutUint16(b[n-2:], uint16(formatOf(formats, i)))
			b = b[n:]
		}
	}
	return nil
}

func appendRowDescription(dst []byte, columns []Column) []byte {
	dst = append(dst, 'T', 0, 0, 0, 0)
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(columns)))
	for _, col := range columns {
		dst = append(append(dst, clean(col.Name)...), 0)
		dst = binary.BigEndian.AppendUint32(dst, col.Table)
		dst = binary.BigEndian.AppendUint16(dst, uint16(col.Number))
		dst = binary.BigEndian.AppendUint32(dst, codec.OID(col.Type))
		dst = binary.BigEndian.AppendUint16(dst, uint16(codec.TypeLen(col.Type)))
		dst = binary.BigEndian.AppendUint32(dst, uint32(codec.TypeMod(col.Type)))
		dst = append(dst, 0, 0)
	}
	binary.BigEndian.PutUint32(dst[at-4:], uint32(len(dst)-at+4))
	return dst
}

func (c *conn) execute(body []byte) error {
	i := bytes.IndexByte(body, 0)
	if i < 0 || len(body) != i+5 {
		return protocolError("malformed Execute message")
	}
	p := c.portals[string(body[:i])]
	if p == nil || c.encoding != nil {
		name, err := c.text(string(body[:i]))
		if err != nil {
			return err
		}
		if p, err = c.portal(name); err != nil {
			return err
		}
	}
	limit := max(int(int32(binary.BigEndian.Uint32(body[i+1:]))), 0)
	before := c.session.TxStatus()
	if before == 'I' && !c.implicit && !p.started && c.in.peek() != 'S' {
		// More may come before the Sync: they commit together. A single Execute needs no bracket.
		c.implicit = true
		c.session.BeginImplicit()
	}
	if c.open != p {
		if err := c.park(); err != nil {
			return err
		}
	}
	c.startTimer()
	span := c.beginSpan("execute", p.stmt.text)
	suspended, err := p.run(c, limit)
	if span.span != nil {
		tag := p.tag
		if suspended || err != nil {
			tag = nil
		}
		c.endSpan(span, p.stmt.stmt, p.stmt.text, tag, p.rows, err)
	}
	c.stopTimer()
	if err != nil {
		return err
	}
	c.notices()
	switch {
	case suspended:
		c.bare('s')
	case p.tag == nil:
		c.bare('I')
	default:
		c.complete(p.tag)
		c.srv.metrics.ran(p.tag, time.Since(c.began))
	}
	if before != 'I' && c.session.TxStatus() == 'I' {
		c.closePortals(p)
	}
	return nil
}

func (c *conn) closeObject(body []byte) error {
	var m pgproto3.Close
	if err := m.Decode(body); err != nil {
		return protocolError("malformed Close message")
	}
	if err := c.texts(&m.Name); err != nil {
		return err
	}
	switch m.ObjectType {
	case 'S':
		if err := c.park(); err != nil {
			return err
		}
		c.dropStatement(m.Name)
	case 'P':
		c.dropPortal(m.Name)
	default:
		return protocolError("invalid CLOSE message subtype %d", m.ObjectType)
	}
	c.bare('3')
	return nil
}

// sync ends a sequence: it commits the implicit transaction and has the output written.
func (c *conn) sync() error {
	failed := c.skip
	c.skip = false
	if c.implicit {
		c.implicit = false
		// Rows left in a suspended portal end with its transaction.
		c.closePortals(nil)
		if err := c.session.EndImplicit(c.ctx, !failed); err != nil {
			if errors.Is(err, errClosed) {
				return err
			}
			if !failed {
				c.report(err)
			}
		}
	}
	return c.endQuery()
}
