package copydata

import (
	"strings"
	"testing"
)

// TestPlaces compares places with all lines kept, up to where they no longer are.
func TestPlaces(t *testing.T) {
	p := &places{}
	type row struct {
		line int
		text string
	}
	var rows []row
	line := 2
	for i := range 300000 {
		text := strings.Repeat("x", i%230)
		rows = append(rows, row{line, excerpt([]byte(text))})
		p.add(line, []byte(text))
		if line++; i%977 == 0 {
			line += i % 5
		}
	}
	kept := 0
	for i, r := range rows {
		line, text, ok := p.at(int64(i))
		if line != r.line || ok && text != r.text {
			t.Fatalf("row %d: line %d %q, want %d %q", i, line, text, r.line, r.text)
		}
		if ok {
			kept++
		} else if size := len(p.text) + 4*len(p.ends); size < maxPlaces {
			t.Fatalf("row %d is not kept with %d bytes", i, size)
		}
	}
	if kept == 0 || kept == len(rows) {
		t.Errorf("%d of %d rows are kept", kept, len(rows))
	}
}
