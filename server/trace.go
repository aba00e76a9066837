package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// masked is a Statement that can show its text without the values that stand in it; "": it cannot.
type masked interface{ Masked() string }

// spanned is the running statement's span; the zero one is none.
type spanned struct {
	ctx  context.Context // of the statement, with the span
	span trace.Span
}

// beginSpan begins the span of a statement that came with a text, where there is a tracer. Without one it costs a comparison.
func (c *conn) beginSpan(name, text string) spanned {
	tracer := c.srv.cfg.Tracer
	if tracer == nil {
		return spanned{}
	}
	host, port := c.peer()
	attrs := []attribute.KeyValue{semconv.DBSystemNamePostgreSQL, attribute.String("db.system", "postgresql"), // the name of before, which many collectors still know
		semconv.DBNamespace(c.database), attribute.String("db.user", c.role), attribute.Int64("tilehouse.pid", int64(c.pid))}
	if host != "" {
		attrs = append(attrs, semconv.ClientAddress(host), semconv.ClientPort(port))
	}
	ctx, span := tracer.Start(remoteParent(c.ctx, text), name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
	c.traced = ctx
	return spanned{ctx, span}
}

// statementContext is the context of the running statement.
func (c *conn) statementContext() context.Context {
	if c.traced != nil {
		return c.traced
	}
	return c.ctx
}

// endSpan ends a statement's span. tag is its command tag, nil where it has none: it is empty, or failed, or is suspended; rows are those
// that were sent.
func (c *conn) endSpan(s spanned, st Statement, text string, tag []byte, rows uint64, err error) {
	if s.span == nil {
		return
	}
	c.traced = nil
	if s.span.IsRecording() {
		command := word(tag)
		if command != "" {
			s.span.SetName(command)
			s.span.SetAttributes(semconv.DBOperationName(command))
			if n, ok := tagRows(tag); ok && command != "SELECT" && command != "FETCH" {
				s.span.SetAttributes(attribute.Int64("tilehouse.rows", n))
			}
		}
		s.span.SetAttributes(semconv.DBResponseReturnedRows(int(rows)))
		if !c.srv.cfg.TraceLiterals {
			text = ""
			if m, ok := st.(masked); ok {
				text = m.Masked()
			}
		}
		if text != "" {
			s.span.SetAttributes(semconv.DBQueryText(text))
		}
		if err != nil {
			code := "08006" // the client has gone
			if !errors.Is(err, errClosed) {
				code = asError(err).Code
			}
			s.span.SetAttributes(semconv.DBResponseStatusCode(code), semconv.ErrorTypeKey.String(code))
			s.span.SetStatus(otelcodes.Error, code) // a message may show values
		}
	}
	s.span.End()
}

// word is the first word of a command tag.
func word(tag []byte) string {
	w, _, _ := bytes.Cut(tag, []byte(" "))
	return string(w)
}

// tagRows is the number at the end of a command tag.
func tagRows(tag []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(tag[bytes.LastIndexByte(tag, ' ')+1:]), 10, 64)
	return n, err == nil
}

// peer is the client's address; "": a Unix socket's.
func (c *conn) peer() (host string, port int) {
	host, p, err := net.SplitHostPort(c.raw.RemoteAddr().String())
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(p) // the kernel's
	return host, port
}

// maxState is the longest tracestate that is read, in bytes: W3C asks for 512 at least.
const maxState = 1024

// remoteParent is ctx with the span that a statement's comment names as its parent, as sqlcommenter writes them:
// /*traceparent='00-…-…-01',tracestate='…'*/.
func remoteParent(ctx context.Context, sql string) context.Context {
	parent, ok := commented(sql, "traceparent='")
	if !ok {
		return ctx
	}
	carrier := propagation.MapCarrier{"traceparent": parent}
	if state, ok := commented(sql, "tracestate='"); ok && len(state) <= maxState {
		carrier["tracestate"] = state
	}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}

// commented is the value of a key in the text's last comment.
func commented(sql, key string) (string, bool) {
	from, to := strings.LastIndex(sql, "/*"), strings.LastIndex(sql, "*/")
	if from < 0 || to < from {
		return "", false
	}
	_, value, ok := strings.Cut(sql[from:to], key)
	if !ok {
		return "", false
	}
	value, _, ok = strings.Cut(value, "'")
	if !ok {
		return "", false
	}
	value, err := url.PathUnescape(value)
	return value, err == nil
}
