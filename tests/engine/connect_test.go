package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// DuckDB passes the check of edge values; one that computes another sum, or loses a value, does not.
func TestConnect(t *testing.T) {
	db, err := duck.Open("", duck.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := duckQuery(conn)
	start := time.Now()
	e, err := functions.Connect(functions.DuckDB, functions.Query(run))
	if err != nil {
		t.Fatalf("%.2000s", err)
	}
	t.Logf("%v", time.Since(start))
	def, _ := functions.Lookup("count")
	a, _ := def.Bind(nil, nil, functions.Options{})
	if q := e.Partial(a, functions.PartialInput{From: "t"}); !strings.Contains(q.SQL, "count") {
		t.Error(q.SQL)
	}
	for name, wrong := range map[string]func(sql string) string{
		"a maximum for a minimum": func(sql string) string { return strings.Replace(sql, "system.main.min(a0)", "system.main.max(a0)", 1) },
		"one row less of a rank":  func(sql string) string { return strings.Replace(sql, "WHERE r <= 4", "WHERE r < 4", 1) },
		"ranks of doubles": func(sql string) string {
			return strings.Replace(sql, "THEN 64 * (32 * c + 7)", "THEN 64 * (32 * c + 8)", 1)
		},
		"groups by another key": func(sql string) string { return strings.Replace(sql, "k AS k0", "k + 1 AS k0", 1) },
	} {
		_, err := functions.Connect(functions.DuckDB, func(sql string, each func(c *vector.Chunk) error) error { return run(wrong(sql), each) })
		if !errors.Is(err, functions.ErrEngine) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
