package server

import (
	"errors"
	"time"
	"unicode/utf8"
)

// simpleQuery runs the statements of a Query message. More than one outside a block are one transaction, whose commit comes
// before the last one is reported complete.
func (c *conn) simpleQuery(body []byte) error {
	err := c.query(body)
	if err != nil {
		if errors.Is(err, errClosed) {
			return err
		}
		c.report(err)
	}
	return c.endQuery()
}

func (c *conn) query(body []byte) (err error) {
	if len(body) == 0 || body[len(body)-1] != 0 {
		return protocolError("invalid string in message")
	}
	sql, err := c.text(string(body[:len(body)-1]))
	if err != nil {
		return err
	}
	// A simple query takes the place of the unnamed statement and portal.
	c.dropPortal("")
	c.dropStatement("")
	if err := c.park(); err != nil {
		return err
	}
	fragments, err := c.session.Split(sql)
	if err != nil {
		return err
	}
	if len(fragments) == 0 {
		c.bare('I')
		return nil
	}
	ended := false
	if c.implicit {
		// Executes before this message, without a Sync, began it; the query ends it.
		defer func() { c.implicit = false }()
	}
	began := c.implicit
	defer func() {
		if began && !ended && !errors.Is(err, errClosed) {
			if e := c.session.EndImplicit(c.ctx, false); e != nil && err == nil {
				err = e
			}
		}
	}()
	for i, f := range fragments {
		if len(fragments) > 1 && c.session.TxStatus() == 'I' {
			// One that COMMIT ended in the middle is followed by another.
			c.session.BeginImplicit()
			began = true
		}
		c.startTimer()
		tag, err := c.runFragment(f, sql)
		if err != nil {
			var e *Error
			if errors.As(err, &e) && e.Position > 0 && f.Offset > 0 && f.Offset <= len(sql) {
				moved := *e
				moved.Position += utf8.RuneCountInString(sql[:f.Offset])
				err = &moved
			}
			return err
		}
		if i == len(fragments)-1 && began {
			ended = true
			if err := c.session.EndImplicit(c.ctx, true); err != nil {
				return err
			}
		}
		c.notices()
		if tag == nil {
			c.bare('I')
		} else {
			c.complete(tag)
			c.srv.metrics.ran(tag, time.Since(c.began))
		}
	}
	return nil
}

// runFragment parses and runs one statement of a text; its rows go out in text. A nil tag is an empty statement's.
func (c *conn) runFragment(f Fragment, text string) (tag []byte, err error) {
	var stmt Statement
	var p *portal
	if span := c.beginSpan("query", text); span.span != nil {
		defer func() {
			rows := uint64(0)
			if p != nil {
				rows = p.rows
			}
			c.endSpan(span, stmt, f.SQL, tag, rows, err)
		}()
	}
	stmt, err = c.session.Parse(c.statementContext(), f.SQL, nil)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	if n := len(stmt.Params()); n > 0 {
		return nil, &Error{Code: "42P02", Message: "there is no parameter $1"}
	}
	p = &portal{stmt: &prepared{stmt: stmt}, describe: true}
	defer p.close(c)
	if _, err := p.run(c, 0); err != nil {
		return nil, err
	}
	return p.tag, nil
}
