package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/sql"
)

func TestDemoSteps(t *testing.T) {
	steps, err := demoSteps("-- ONE\n-- First; it says\n-- this.\nSELECT 1;\n\n-- TWO\nSELECT ';' -- inside\n  , 2;\nSELECT 3")
	want := []demoStep{
		{"ONE", "First; it says\nthis.", "SELECT 1"},
		{"TWO", "", "SELECT ';' -- inside\n  , 2"},
		{"", "", "SELECT 3"},
	}
	if err != nil || !reflect.DeepEqual(steps, want) {
		t.Errorf("%q, %v; want %q", steps, err, want)
	}
	if _, err := demoSteps("SELECT '\xff'"); err == nil {
		t.Error("a text that is no UTF-8 was cut into steps")
	}
}

// TestDemoScript checks that every section of the shipped script has a heading and every line fits a terminal.
func TestDemoScript(t *testing.T) {
	steps, err := demoSteps(sql.Demo)
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, s := range steps {
		if s.heading != "" {
			headings = append(headings, s.heading)
		}
	}
	if got := strings.Join(headings, " "); got != "ROWS FEATURES TRAINING ONLINE EXPLORING" {
		t.Errorf("sections: %s", got)
	}
	for line := range strings.Lines(sql.Demo) {
		if len(line) > 141 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

func TestDemoTable(t *testing.T) {
	long := strings.Repeat("é", demoCell+1)
	table := &demoTable{names: []string{"key", "n"}, numeric: []bool{false, true}, rows: [][]string{{"å", "7"}, {long, "1234"}}, total: 9}
	var b bytes.Buffer
	table.print(&b)
	cut := strings.Repeat("é", demoCell-1) + "…"
	want := "  key" + strings.Repeat(" ", demoCell-3) + "     n\n" +
		"  " + strings.Repeat("─", demoCell) + "  ────\n" +
		"  å" + strings.Repeat(" ", demoCell-1) + "     7\n" +
		"  " + cut + "  1234\n" +
		"  … and 7 rows more\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	(&demoTable{tag: "SET"}).print(&b)
	(&demoTable{names: []string{"QUERY PLAN"}, numeric: []bool{false}, rows: [][]string{{long}}, total: 1}).print(&b)
	if !strings.HasSuffix(b.String(), "  "+long+"\n") {
		t.Errorf("the only column was cut:\n%s", b.String())
	}
}

// TestPutFlights checks that a file that is there stays as it is, and that a part of one is replaced.
func TestPutFlights(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	path := filepath.Join(dir, "flights.parquet")
	if err := putFlights(dir); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil || before.Size() != int64(len(sql.Flights)) {
		t.Fatal(before, err)
	}
	if err := putFlights(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again: %v", err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if err := putFlights(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() {
		t.Errorf("a part of the file stayed: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v beside the file: %v", files, err)
	}
}
