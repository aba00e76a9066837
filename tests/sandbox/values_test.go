package sandbox

import (
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// valueTimeout is the statement_timeout of statements with one long value, and valueWithin how soon they end.
	valueTimeout = "300ms"
	valueWithin  = 5 * time.Second
)

// A statement of one value that takes long to compute, or much memory, ends by its timeout or a bound, and others are answered meanwhile.
// The two roles take turns; by make soak each runs all.
func TestValues(t *testing.T) {
	text, err := os.ReadFile("testdata/values.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	roles := []string{"reader", "tilehouse"}
	other := s.connect(t, "reader")
	for k, role := range roles {
		conn := s.connect(t, role)
		if code, text := run(conn, "SET statement_timeout = '"+valueTimeout+"'"); code != "" {
			t.Fatal(text)
		}
		n := 0
		for sql := range strings.Lines(string(text)) {
			if sql = strings.TrimSpace(sql); strings.HasPrefix(sql, "--") {
				continue
			}
			if n++; os.Getenv("TILEHOUSE_SOAK") == "" && n%len(roles) != k {
				continue
			}
			code, text, took := runBeside(t, conn, other, sql, 50*time.Millisecond)
			if took > valueWithin {
				t.Errorf("%s: took %v", sql, took)
			}
			// What is not too long or too large has a value, or is no value of its type.
			if !strings.Contains(" 57014 54000 54001 53200 22003 2201B 22P02 22007 ", " "+code+" ") && code != "" {
				t.Errorf("%s: %q %s", sql, code, text[:min(len(text), 200)])
			}
			if conn.IsClosed() {
				t.Fatalf("%s: the connection is closed: %s\n%s", sql, text[:min(len(text), 200)], s.Log())
			}
		}
	}
	s.peakWithin(t, mostMemory)
}
