package copydata

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// ChunkRows is the rows of a chunk handed on.
const ChunkRows = 2048

// chunkBytes is the text, in bytes, after which a chunk of wide rows is handed on early.
const chunkBytes = 4 << 20

// Reader decodes COPY data given in pieces. It is not safe for concurrent use.
type Reader struct {
	format   session.CopyFormat
	csv      bool
	table    string
	columns  []session.Column
	settings *codec.Settings
	maxLine  int
	emit     func(*vector.Chunk) error

	chunk  *vector.Chunk
	text   int // bytes of text in chunk
	buf    []byte
	scan   int // buf[:scan] holds no end of line
	clean  int // buf[scan:clean] is whole characters, none of them NUL or a carriage return
	line   int // of the line being read, from 1
	eol    byte
	quoted bool // scan is inside quotes
	escape bool // the byte before scan was an escape inside quotes, or a backslash in text
	extra  int  // line ends inside quotes since the line began
	ended  bool
	field  []byte
	values []field

	notNull []bool // of the columns; nil: all take NULL
	places  *places
}

type field struct {
	text []byte // of the line, or of Reader.field
	null bool
}

// NewReader decodes rows of the columns, in the order the data has them, and hands chunks of at most ChunkRows rows to emit,
// which may keep a chunk's columns where it puts others of their types in their place, and else nothing. table is for messages. maxLine bounds a line, in bytes.
func NewReader(f session.CopyFormat, table string, columns []session.Column, s *codec.Settings, maxLine int,
	emit func(*vector.Chunk) error) *Reader {
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	f = withDefaults(f)
	return &Reader{format: f, csv: f.Format == "csv", table: table, columns: columns, settings: s, maxLine: maxLine, emit: emit,
		chunk: vector.NewChunk(types, ChunkRows), line: 1}
}

// Check says which columns take no NULL, and has the lines of rows kept for RowWhere. A row that breaks it is the last one: it is handed
// on, and Write returns ErrRefused.
func (r *Reader) Check(notNull []bool) { r.notNull, r.places = notNull, &places{} }

// RowWhere is the place in the data of a row that was handed on, from 0, with its line where whole is set.
func (r *Reader) RowWhere(row int64, whole bool) string {
	line, text, kept := r.places.at(row)
	if !whole || !kept {
		return r.whereLine(line, "")
	}
	return r.whereLine(line, ": \""+text+"\"")
}

// withDefaults fills what COPY fills for its format: the delimiter, quote and escape that are not given.
func withDefaults(f session.CopyFormat) session.CopyFormat {
	if f.Delimiter == 0 {
		if f.Delimiter = '\t'; f.Format == "csv" {
			f.Delimiter = ','
		}
	}
	if f.Quote == 0 {
		f.Quote = '"'
	}
	if f.Escape == 0 {
		f.Escape = f.Quote
	}
	return f
}

// Write takes the next piece of data, which it does not keep. Errors: *session.Error (22P04, 22P02, …), or what emit returned.
func (r *Reader) Write(p []byte) error {
	if r.ended {
		return nil
	}
	p, bad := r.settings.Encoding.Decode(p)
	if err := r.take(p); err != nil || bad == nil || r.ended {
		return err
	}
	var ce *codec.Error
	errors.As(bad, &ce)
	return &session.Error{Code: ce.Code, Message: ce.Message, Where: r.where("")}
}

// take takes the next piece of data in UTF-8.
func (r *Reader) take(p []byte) error {
	r.buf = append(r.buf, p...)
	r.lookOver()
	start := 0
	for !r.ended {
		n, size, err := r.findEnd(start, false)
		if err != nil {
			return err
		}
		if n < 0 {
			break
		}
		if err := r.row(r.buf[start:n]); err != nil {
			return err
		}
		start = n + size
		r.scan = start
		r.quoted, r.escape = false, false
	}
	// What is left begins a line.
	r.buf = append(r.buf[:0], r.buf[start:]...)
	r.scan -= start
	r.clean -= start
	if len(r.buf) > r.maxLine {
		return r.fail("54000", fmt.Sprintf("a line of COPY data exceeds %d bytes", r.maxLine), nil)
	}
	return nil
}

// Close takes the last line, which needs no end, and hands on the last chunk.
func (r *Reader) Close() error {
	if !r.ended && len(r.buf) > 0 {
		n, _, err := r.findEnd(0, true)
		if err != nil {
			return err
		}
		if r.csv && r.quoted {
			return r.fail("22P04", "unterminated CSV quoted field", r.buf)
		}
		if n < 0 {
			n = len(r.buf)
		}
		if err := r.row(r.buf[:n]); err != nil {
			return err
		}
	}
	return r.flush()
}

func (r *Reader) flush() error {
	if r.chunk.N == 0 {
		return nil
	}
	err := r.emit(r.chunk)
	r.chunk.Reset()
	r.text = 0
	return err
}

// lookOver sets clean anew: nearly all data is text of which no byte needs to be looked at by itself.
func (r *Reader) lookOver() {
	from := max(r.scan, r.clean)
	b := r.buf[from:]
	for back := 1; back <= min(len(b), utf8.UTFMax-1); back++ { // the last character may not be whole yet
		if c := b[len(b)-back]; c >= utf8.RuneSelf && utf8.RuneStart(c) {
			if vector.CharSize(c) > back {
				b = b[:len(b)-back]
			}
			break
		}
	}
	if bytes.IndexByte(b, 0) < 0 && bytes.IndexByte(b, '\r') < 0 && utf8.Valid(b) {
		r.clean = from + len(b)
	}
}

// cleanEnd is findEnd as far as buf is clean. It moves scan to the line's end, or to where findEnd has to go on.
func (r *Reader) cleanEnd() (found bool) {
	if r.scan >= r.clean || r.eol != 0 && r.eol != '\n' || r.csv && r.quoted {
		return false
	}
	end := -1 // the next line feed
	for r.scan < r.clean {
		if r.escape {
			r.escape = false
			r.scan++
			continue
		}
		if end < r.scan {
			if end = bytes.IndexByte(r.buf[r.scan:r.clean], '\n'); end < 0 {
				end = r.clean
			} else {
				end += r.scan
			}
		}
		special := byte('\\')
		if r.csv {
			special = r.format.Quote
		}
		if at := bytes.IndexByte(r.buf[r.scan:end], special); at >= 0 {
			r.scan += at
			if r.csv {
				return false
			}
			r.escape = true
			r.scan++
			continue
		}
		if r.scan = end; end < r.clean {
			r.eol = '\n'
			return true
		}
	}
	return false
}

// findEnd looks for the end of the line that starts at start: its place and the size of the mark, or −1. last says that no
// more data comes. What is no text is refused here, before the line's fields are looked at, as PostgreSQL does.
func (r *Reader) findEnd(start int, last bool) (at, size int, err error) {
	quote, escape := r.format.Quote, r.format.Escape
	if escape == quote {
		// A doubled quote toggles twice; no escape need be seen.
		escape = 0
	}
	r.scan = max(r.scan, start)
	if r.cleanEnd() {
		return r.scan, 1, nil
	}
	for checked := r.scan; r.scan < len(r.buf); r.scan++ {
		c := r.buf[r.scan]
		if c-' ' >= utf8.RuneSelf-' ' { // a control character, or no ASCII
			at := -1
			switch {
			case c >= utf8.RuneSelf && r.scan >= checked, c == 0:
				at = r.scan
			case c == '\r' && (r.csv || !r.escape && (r.eol == 0 || r.eol == 'w')) && (r.scan+1 < len(r.buf) || !last):
				at = r.scan + 1 // PostgreSQL looks at the next character first
			}
			if at >= 0 {
				size, err := r.character(at, last)
				if size == 0 || err != nil {
					return -1, 0, err
				}
				checked = at + size
			}
		}
		if r.csv {
			if r.quoted && escape != 0 && c == escape {
				r.escape = !r.escape
			} else {
				if c == quote && !r.escape {
					r.quoted = !r.quoted
				}
				r.escape = false
			}
			if r.quoted {
				// PostgreSQL counts line feeds where lines end in them, and carriage returns otherwise.
				if c == '\r' && r.eol != '\n' || c == '\n' && r.eol == '\n' {
					r.extra++
				}
				continue
			}
		} else {
			if r.escape {
				r.escape = false
				continue
			}
			if c == '\\' {
				r.escape = true
				continue
			}
		}
		switch c {
		case '\n':
			if r.eol == 0 {
				r.eol = '\n'
			}
			if r.eol != '\n' {
				return 0, 0, r.literal("newline", "\\n")
			}
			return r.scan, 1, nil
		case '\r':
			if r.eol == '\n' {
				return 0, 0, r.literal("carriage return", "\\r")
			}
			if r.eol != '\r' && r.scan+1 < len(r.buf) && r.buf[r.scan+1] == '\n' {
				r.eol = 'w'
				return r.scan, 2, nil
			}
			if r.eol == 'w' {
				return 0, 0, r.literal("carriage return", "\\r")
			}
			r.eol = '\r'
			return r.scan, 1, nil
		}
	}
	return -1, 0, nil
}

// character is the size of the character at a place of the buffer, in bytes; 0: not all of it is there. Errors: 22021.
func (r *Reader) character(at int, last bool) (size int, err error) {
	rest := r.buf[at:]
	if len(rest) == 0 {
		return 0, nil
	}
	if size = vector.CharSize(rest[0]); len(rest) < size && !last {
		return 0, nil
	}
	if x, n := utf8.DecodeRune(rest); rest[0] == 0 || x == utf8.RuneError && n == 1 {
		e := codec.InvalidText(rest)
		return 0, &session.Error{Code: e.Code, Message: e.Message, Where: r.where("")}
	}
	return size, nil
}

func (r *Reader) literal(what, escape string) error {
	if r.csv {
		return &session.Error{Code: "22P04", Message: "unquoted " + what + " found in data",
			Hint: "Use quoted CSV field to represent " + what + ".", Where: r.where("")}
	}
	return &session.Error{Code: "22P04", Message: "literal " + what + " found in data",
		Hint: fmt.Sprintf("Use \"%s\" to represent %s.", escape, what), Where: r.where("")}
}

// maxWhere is how many bytes of a line or value an error repeats, as in PostgreSQL.
const maxWhere = 100

func (r *Reader) where(rest string) string { return r.whereLine(r.line+r.extra, rest) }

func (r *Reader) whereLine(line int, rest string) string {
	w := "COPY"
	if r.table != "" {
		w += " " + r.table
	}
	return fmt.Sprintf("%s, line %d%s", w, line, rest)
}

// Where is the place in the data, for an error that somebody else found.
func (r *Reader) Where() string { return r.where("") }

func excerpt(b []byte) string {
	if len(b) > maxWhere {
		cut := maxWhere
		for cut > 0 && b[cut]&0xc0 == 0x80 {
			cut--
		}
		return string(b[:cut]) + "..."
	}
	return string(b)
}

func (r *Reader) fail(code, message string, line []byte) error {
	return &session.Error{Code: code, Message: message, Where: r.where(": \"" + excerpt(line) + "\"")}
}

var endOfData = []byte(`\.`)

// row decodes a line and counts it.
func (r *Reader) row(line []byte) error {
	if len(line) > r.maxLine {
		return r.fail("54000", fmt.Sprintf("a line of COPY data exceeds %d bytes", r.maxLine), nil)
	}
	if bytes.Equal(line, endOfData) {
		r.ended = true
		return nil
	}
	defer func() {
		r.line += 1 + r.extra
		r.extra = 0
	}()
	header := r.format.Header
	if r.format.Header = false; header && !r.format.HeaderMatch {
		return nil
	}
	r.field, r.values = r.field[:0], r.values[:0]
	if r.csv {
		if err := r.csvFields(line); err != nil {
			return err
		}
	} else {
		if err := r.textFields(line); err != nil {
			return err
		}
	}
	if header {
		return r.matchHeader(line)
	}
	if len(r.columns) == 0 {
		if len(line) > 0 {
			return r.fail("22P04", "extra data after last expected column", line)
		}
		r.chunk.N++
		return r.full(0)
	}
	if len(r.values) > len(r.columns) {
		return r.fail("22P04", "extra data after last expected column", line)
	}
	refused := false
	for i, f := range r.values {
		v := r.chunk.Cols[i]
		if f.null {
			v.AppendNull()
			refused = refused || i < len(r.notNull) && r.notNull[i]
			continue
		}
		b := f.text
		if err := codec.AppendParsed(v, b, r.settings); err != nil {
			var ce *codec.Error
			if !errors.As(err, &ce) {
				return err
			}
			return &session.Error{Code: ce.Code, Message: ce.Message, Detail: ce.Detail, Hint: ce.Hint,
				Where: r.where(fmt.Sprintf(", column %s: \"%s\"", r.columns[i].Name, excerpt(b)))}
		}
	}
	if n := len(r.values); n < len(r.columns) {
		return r.fail("22P04", fmt.Sprintf("missing data for column %q", r.columns[n].Name), line)
	}
	if r.places != nil {
		r.places.add(r.line+r.extra, line)
	}
	r.chunk.N++
	if refused {
		if err := r.flush(); err != nil {
			return err
		}
		return ErrRefused
	}
	return r.full(len(line))
}

// matchHeader compares the first line with the names of the columns.
func (r *Reader) matchHeader(line []byte) error {
	if len(r.values) != len(r.columns) {
		return r.fail("22P04", fmt.Sprintf("wrong number of fields in header line: got %d, expected %d", len(r.values), len(r.columns)), line)
	}
	for i, f := range r.values {
		switch got := string(f.text); {
		case f.null:
			return r.fail("22P04", fmt.Sprintf("column name mismatch in header line field %d: got null value (\"%s\"), expected %q", i+1, r.format.Null, r.columns[i].Name), line)
		case got != r.columns[i].Name:
			return r.fail("22P04", fmt.Sprintf("column name mismatch in header line field %d: got %q, expected %q", i+1, got, r.columns[i].Name), line)
		}
	}
	return nil
}

func (r *Reader) full(bytes int) error {
	r.text += bytes
	if r.chunk.N >= ChunkRows || r.text >= chunkBytes {
		return r.flush()
	}
	return nil
}

// defaultNull is the NULL string of the text format unless another is given. Its backslash escapes no delimiter.
const defaultNull = `\N`

// fieldEnd is where the next delimiter stands, or the end of the line.
func fieldEnd(line []byte, from int, delimiter byte) int {
	if n := bytes.IndexByte(line[from:], delimiter); n >= 0 {
		return from + n
	}
	return len(line)
}

// textFields splits a line of the text format and undoes its escapes. Errors: 22021 where an escape makes what is no text.
func (r *Reader) textFields(line []byte) error {
	escapes := bytes.IndexByte(line, '\\') >= 0
	for i := 0; ; i++ {
		end := fieldEnd(line, i, r.format.Delimiter)
		if text := line[i:end]; !escapes || bytes.IndexByte(text, '\\') < 0 || string(text) == defaultNull && r.format.Null == defaultNull {
			r.values = append(r.values, field{text: text, null: string(text) == r.format.Null})
			if i = end; i >= len(line) || len(r.values) > len(r.columns) {
				return nil
			}
			continue
		}
		start, lo := i, len(r.field)
		end = -1     // of the field's text, where it is not i
		odd := false // an escape made a byte that no character is by itself
		for i < len(line) && line[i] != r.format.Delimiter {
			c := line[i]
			i++
			if c == '\\' {
				if i == len(line) {
					end = i - 1 // PostgreSQL drops a backslash that escapes nothing, before it looks for the NULL string
					break
				}
				c = line[i]
				i++
				switch c {
				case 'b':
					c = '\b'
				case 'f':
					c = '\f'
				case 'n':
					c = '\n'
				case 'r':
					c = '\r'
				case 't':
					c = '\t'
				case 'v':
					c = '\v'
				case 'x':
					n, digits := byte(0), 0
					for digits < 2 && i < len(line) {
						d, ok := hexDigit(line[i])
						if !ok {
							break
						}
						n = n<<4 | d
						digits++
						i++
					}
					if digits > 0 {
						c, odd = n, odd || n == 0 || n >= utf8.RuneSelf
					}
				case '.': // the end of the data, which must be the line's
					if i < len(line) {
						return &session.Error{Code: "22P04", Message: "end-of-copy marker corrupt", Where: r.where("")}
					}
					r.ended = true
					continue
				case '0', '1', '2', '3', '4', '5', '6', '7':
					n := c - '0'
					for k := 0; k < 2 && i < len(line) && line[i] >= '0' && line[i] <= '7'; k++ {
						n = n<<3 | (line[i] - '0')
						i++
					}
					c, odd = n, odd || n == 0 || n >= utf8.RuneSelf
				}
			}
			r.field = append(r.field, c)
		}
		if odd {
			var ce *codec.Error
			if err := codec.CheckText(r.field[lo:]); errors.As(err, &ce) {
				return r.fail(ce.Code, ce.Message, line)
			}
		}
		if end < 0 {
			end = i
		}
		null := string(line[start:end]) == r.format.Null
		r.values = append(r.values, field{text: r.field[lo:], null: null})
		if i >= len(line) || len(r.values) > len(r.columns) {
			return nil
		}
	}
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// csvFields splits a line of the csv format and undoes its quotes.
func (r *Reader) csvFields(line []byte) error {
	quote, escape := r.format.Quote, r.format.Escape
	quotes := bytes.IndexByte(line, quote) >= 0
	for i := 0; ; i++ {
		start, lo, saw := i, len(r.field), false
		if !quotes {
			i = fieldEnd(line, i, r.format.Delimiter)
		}
		for i < len(line) && line[i] != r.format.Delimiter {
			if line[i] != quote {
				r.field = append(r.field, line[i])
				i++
				continue
			}
			saw = true
			i++
			for {
				if i >= len(line) {
					return r.fail("22P04", "unterminated CSV quoted field", line)
				}
				c := line[i]
				i++
				if c == escape && i < len(line) && (line[i] == escape || line[i] == quote) {
					r.field = append(r.field, line[i])
					i++
					continue
				}
				if c == quote {
					break
				}
				r.field = append(r.field, c)
			}
		}
		text := r.field[lo:]
		if !quotes {
			text = line[start:i]
		}
		null := !saw && string(line[start:i]) == r.format.Null
		if k := len(r.values); null && k < len(r.format.ForceNotNull) && r.format.ForceNotNull[k] {
			null = false
		} else if !null && k < len(r.format.ForceNull) && r.format.ForceNull[k] {
			null = string(text) == r.format.Null
		}
		r.values = append(r.values, field{text: text, null: null})
		if i >= len(line) || len(r.values) > len(r.columns) {
			return nil
		}
	}
}
