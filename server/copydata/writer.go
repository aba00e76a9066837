package copydata

import (
	"bytes"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// Writer formats rows as COPY TO does. It is not safe for concurrent use.
type Writer struct {
	format   session.CopyFormat
	csv      bool
	settings *codec.Settings
	text     []byte
}

// NewWriter formats in f.
func NewWriter(f session.CopyFormat, s *codec.Settings) *Writer {
	f = withDefaults(f)
	return &Writer{format: f, csv: f.Format == "csv", settings: s}
}

// AppendHeader appends the line of column names.
func (w *Writer) AppendHeader(dst []byte, columns []session.Column) []byte {
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, w.format.Delimiter)
		}
		dst = w.append(dst, []byte(c.Name), len(columns) == 1, false)
	}
	return append(dst, '\n')
}

// AppendRow appends row i of c as a line.
func (w *Writer) AppendRow(dst []byte, c *vector.Chunk, i int) []byte {
	for j, v := range c.Cols {
		if j > 0 {
			dst = append(dst, w.format.Delimiter)
		}
		if v.IsNull(i) {
			dst = append(dst, w.format.Null...)
			continue
		}
		w.text = codec.AppendText(w.text[:0], v, i, w.settings)
		dst = w.append(dst, w.text, len(c.Cols) == 1, j < len(w.format.ForceQuote) && w.format.ForceQuote[j])
	}
	return append(dst, '\n')
}

func (w *Writer) append(dst, b []byte, single, force bool) []byte {
	if w.csv {
		return w.quote(dst, b, single, force)
	}
	for _, c := range b {
		switch c {
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\v':
			dst = append(dst, '\\', 'v')
		case '\\', w.format.Delimiter:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func (w *Writer) quote(dst, b []byte, single, force bool) []byte {
	f := &w.format
	need := force || string(b) == f.Null || single && bytes.Equal(b, endOfData)
	for _, c := range b {
		if c == f.Delimiter || c == f.Quote || c == '\n' || c == '\r' {
			need = true
			break
		}
	}
	if !need {
		return append(dst, b...)
	}
	dst = append(dst, f.Quote)
	for _, c := range b {
		if c == f.Quote || c == f.Escape {
			dst = append(dst, f.Escape)
		}
		dst = append(dst, c)
	}
	return append(dst, f.Quote)
}
