package codec

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// TestEncodingsArePostgres compares every byte of every encoding, and every character that any of them has, with PostgreSQL.
func TestEncodingsArePostgres(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	// A function that gives the error's SQLSTATE instead of failing, so that a statement asks about all bytes.
	for _, q := range []string{
		`CREATE FUNCTION decoded(b bytea, e name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN convert_from(b, e); EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $$`,
		`CREATE FUNCTION encoded(s text, e name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN encode(convert_to(s, e), 'hex'); EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $$`,
	} {
		if _, err := conn.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	list := func(sql string, args ...any) []string {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	said := func(text string, err error) string {
		var ce *Error
		if errors.As(err, &ce) {
			return ce.Message
		}
		return text
	}
	var characters []rune
	for _, e := range encodings {
		for b := 0x80; b < 0x100; b++ {
			if r := e.table.DecodeByte(byte(b)); r != utf8.RuneError && !strings.ContainsRune(string(characters), r) {
				characters = append(characters, r)
			}
		}
	}
	characters = append(characters, '日', '€', 0xff01, 0x10ffff, 'a', utf8.RuneError)
	texts := make([]string, len(characters))
	for i, r := range characters {
		texts[i] = string(r)
	}
	for _, e := range encodings {
		got := list("SELECT decoded(set_byte('\\x00', 0, i), $1) FROM generate_series(1, 255) AS i ORDER BY i", e.name)
		for i, want := range got {
			text, err := e.Decode([]byte{byte(i + 1)})
			if is := said(string(text), err); is != want {
				t.Errorf("%s: byte %#x is %q, in PostgreSQL %q", e.name, i+1, is, want)
			}
		}
		for i, want := range list("SELECT encoded(c, $1) FROM unnest($2::text[]) WITH ORDINALITY AS x(c, n) ORDER BY n", e.name, texts) {
			b, err := e.Encode([]byte(texts[i]), 0)
			if is := said(hex.EncodeToString(b), err); is != want {
				t.Errorf("%s: %q is %s, in PostgreSQL %s", e.name, texts[i], is, want)
			}
		}
	}
	// Names.
	for _, name := range []string{"utf8", "UTF-8", "unicode", "sql_ascii", "latin1", "ISO 8859-1", "iso-8859-15", "win", "windows-1252", "koi8", "KOI8-U", "alt", "tcvn", "sjis",
		"euc_jp", "gbk", "latin11", "", "windows-1259", "mule_internal"} {
		var want, code string
		if err := conn.QueryRow(ctx, "SELECT set_config('client_encoding', $1, false)", name).Scan(&want); err != nil {
			var pe *pgconn.PgError
			if !errors.As(err, &pe) {
				t.Fatal(err)
			}
			want, code = "", pe.Code
		}
		if _, err := conn.Exec(ctx, "SET client_encoding = 'UTF8'"); err != nil {
			t.Fatal(err)
		}
		_, canonical, known := EncodingNamed(name)
		switch {
		case known != (code == "" || code == "0A000"):
			t.Errorf("encoding %q: known %v, PostgreSQL says %q", name, known, code)
		case canonical != "" && want != canonical && want != "unicode":
			t.Errorf("encoding %q: %q, in PostgreSQL %q", name, canonical, want)
		}
	}
}

// TestEncodedArrays compares what is made of an array's binary form with the array of the texts made so.
func TestEncodedArrays(t *testing.T) {
	e, _, _ := EncodingNamed("latin1")
	v := vector.New(vector.ListOf(vector.T(vector.Text)), 1)
	for _, s := range []string{"é", "ascii", "", "àéî"} {
		v.Child[0].AppendString(s)
	}
	v.Child[0].AppendNull()
	v.CloseNested()
	utf, err := AppendBinary(nil, v, 0, Defaults)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.EncodeValue(append([]byte("é"), utf...), 2, v.Type, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("é%s", strings.NewReplacer("\x00\x00\x00\x02é", "\x00\x00\x00\x01\xe9", "\x00\x00\x00\x06àéî", "\x00\x00\x00\x03\xe0\xe9\xee").Replace(string(utf)))
	if string(got) != want {
		t.Errorf("encoded: %q, want %q", got, want)
	}
	back, err := e.DecodeValue(got[2:], v.Type, 1)
	if err != nil || string(back) != string(utf) {
		t.Errorf("decoded: %q, %v, want %q", back, err, utf)
	}
	for n := range len(got) - 2 { // cut short, it is left for the reader of arrays
		if _, err := e.DecodeValue(got[2:2+n], v.Type, 1); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
