package copydata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

var columns = []session.Column{{Name: "a", Type: vector.T(vector.Text)}, {Name: "b", Type: vector.T(vector.Int32)}, {Name: "c", Type: vector.T(vector.Text)}}

// read decodes data cut at random and shows the rows as COPY's text format.
func read(r *rand.Rand, f session.CopyFormat, data []byte) (string, error) {
	var out []byte
	w := NewWriter(session.CopyFormat{Format: "text", Null: `\N`}, codec.Defaults)
	rd := NewReader(f, "t", columns, codec.Defaults, 1<<20, func(c *vector.Chunk) error {
		c.Check()
		for i := range c.N {
			out = w.AppendRow(out, c, i)
		}
		return nil
	})
	most := []int{9, 100, 1 << 20}[r.IntN(3)]
	for len(data) > 0 {
		n := 1 + r.IntN(min(len(data), most))
		if err := rd.Write(data[:n]); err != nil {
			return "", err
		}
		data = data[n:]
	}
	if err := rd.Close(); err != nil {
		return "", err
	}
	return string(out), nil
}

// Random data, most of it nearly well formed, is read as PostgreSQL reads it: the same rows, or the same SQLSTATE, message
// and place.
func TestReaderEqualsPostgreSQL(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE t (a text, b int, c text)"); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	formats := map[string]session.CopyFormat{
		"":                            {Format: "text", Null: `\N`},
		"(DELIMITER '|', NULL 'nil')": {Format: "text", Null: "nil", Delimiter: '|'},
		"(FORMAT csv)":                {Format: "csv"},
		"(FORMAT csv, HEADER)":        {Format: "csv", Header: true},
		`(FORMAT csv, NULL 'n', QUOTE '''', ESCAPE '\', DELIMITER ';')`: {Format: "csv", Null: "n", Quote: '\'', Escape: '\\', Delimiter: ';'},
	}
	pieces := map[string][]string{
		"text": {"x", "é", `\N`, `\\`, `\t`, `\x41`, `\101`, `\x`, "\\\n", `\.`, "nil", "", "12", "a b", `\q`, `"`, `\xe2\x82`},
		"csv":  {"x", `"a"`, `"a""b"`, "\"l\nm\"", "", `""`, "n", `'q'`, `'\''`, "\"", `\.`, "12", ` y `, `"\"`, "'a;b'", `"c,d"`},
	}
	same := 0
	for option, f := range formats {
		for range 300 {
			var b strings.Builder
			full := withDefaults(f)
			eol := []string{"\n", "\n", "\n", "\r\n", "\r"}[r.IntN(5)]
			for range 1 + r.IntN(4) {
				p := pieces[f.Format]
				piece := func() string {
					s := p[r.IntN(len(p))]
					if r.IntN(5) == 0 {
						s += p[r.IntN(len(p))]
					}
					return s
				}
				number := fmt.Sprint(r.IntN(1000) - 500)
				if r.IntN(15) == 0 {
					number = piece()
				}
				fields := []string{piece(), number, piece()}
				switch r.IntN(25) {
				case 0:
					fields = fields[:2]
				case 1:
					fields = append(fields, "more")
				}
				b.WriteString(strings.Join(fields, string(full.Delimiter)))
				if r.IntN(30) == 0 {
					eol = "\n"
				}
				b.WriteString(eol)
			}
			data := b.String()
			if r.IntN(6) == 0 { // bytes that are no text
				i := r.IntN(len(data) + 1)
				data = data[:i] + []string{"\xe2\x82", "\xf0\x9f;\x80", "\xff", "\x00", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}[r.IntN(7)] + data[i:]
			}
			if r.IntN(5) == 0 {
				data = strings.TrimRight(data, "\r\n")
			}
			if strings.Contains(strings.ReplaceAll(data, `\\`, ""), `\.`) && f.Format == "text" {
				continue // \. inside a line, which PostgreSQL versions treat differently
			}
			if _, err := conn.Exec(ctx, "TRUNCATE t"); err != nil {
				t.Fatal(err)
			}
			_, perr := conn.PgConn().CopyFrom(ctx, strings.NewReader(data), "COPY t FROM STDIN "+option)
			got, gerr := read(r, f, []byte(data))
			var pe *pgconn.PgError
			var ge *session.Error
			switch {
			case errors.As(perr, &pe) && errors.As(gerr, &ge):
				if pe.Code != ge.Code || pe.Message != ge.Message || pe.Where != ge.Where {
					t.Errorf("%s %q:\nPostgreSQL %s %s %q\nours       %s %s %q", option, data, pe.Code, pe.Message, pe.Where, ge.Code, ge.Message, ge.Where)
				}
			case perr == nil && f.Header && errors.As(gerr, &ge) && ge.Message == "unterminated CSV quoted field":
				// PostgreSQL takes a header that never ends for the whole of the data, in silence.
			case perr != nil || gerr != nil:
				t.Errorf("%s %q: PostgreSQL %v, ours %v", option, data, perr, gerr)
			default:
				var want bytes.Buffer
				if _, err := conn.PgConn().CopyTo(ctx, &want, "COPY t TO STDOUT"); err != nil {
					t.Fatal(err)
				}
				if want.String() != got {
					t.Errorf("%s %q: PostgreSQL %q, ours %q", option, data, want.String(), got)
				}
				same++
			}
		}
	}
	if same < 300 {
		t.Errorf("only %d inputs were read: the test has lost its point", same)
	}
}

// What Writer writes, Reader reads back, in every format; it is also what PostgreSQL writes.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, f := range []session.CopyFormat{{Format: "text", Null: `\N`}, {Format: "csv"}, {Format: "csv", Null: "x", Escape: '\\', Delimiter: '\t'}} {
		c := vector.NewChunk([]vector.Type{columns[0].Type, columns[1].Type, columns[2].Type}, 0)
		for range 5000 {
			for i, v := range c.Cols {
				switch {
				case r.IntN(5) == 0:
					v.AppendNull()
				case i == 1:
					v.AppendInt(int64(int32(r.Uint32())))
				default:
					s := ""
					for range r.IntN(5) {
						s += []string{"x", "\\", "\"", "\n", "\r", ",", "\t", "é", "\\N", "\\.", " "}[r.IntN(11)]
					}
					v.AppendString(s)
				}
			}
			c.N++
		}
		w := NewWriter(f, codec.Defaults)
		text := NewWriter(session.CopyFormat{Format: "text", Null: `\N`}, codec.Defaults)
		var data, want []byte
		for i := range c.N {
			data = w.AppendRow(data, c, i)
			want = text.AppendRow(want, c, i)
		}
		got, err := read(r, f, data)
		if err != nil || got != string(want) {
			t.Fatalf("%+v: %v", f, err)
		}
	}
}

// A line that never ends is refused, not collected.
func TestLongLine(t *testing.T) {
	rd := NewReader(session.CopyFormat{Format: "csv"}, "t", columns, codec.Defaults, 1000, func(*vector.Chunk) error { return nil })
	for range 20 {
		if err := rd.Write(bytes.Repeat([]byte("\"\n"), 33)); err != nil {
			if e := new(session.Error); !errors.As(err, &e) || e.Code == "" {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no error")
}

func FuzzReader(f *testing.F) {
	f.Add(uint64(1), true, []byte("a,1,b\r\n\"x\n\"\"\",2,\n"))
	f.Add(uint64(2), false, []byte("a\t1\t\\N\n\\x41\\101\\\n\t2\tb\n\\.\nrest"))
	f.Fuzz(func(t *testing.T, seed uint64, csv bool, data []byte) {
		format := session.CopyFormat{Format: "text", Null: `\N`}
		if csv {
			format = session.CopyFormat{Format: "csv"}
		}
		// However the data is cut, the outcome is the same.
		a, errA := read(rand.New(rand.NewPCG(seed, 1)), format, data)
		b, errB := read(rand.New(rand.NewPCG(seed, 2)), format, data)
		if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("%q: %q %v, %q %v", data, a, errA, b, errB)
		}
	})
}
