package pgcatalog

import "testing"

// Every row that is embedded is read.
func TestStatic(t *testing.T) {
	rows := 0
	for _, r := range static() {
		if len(r.Columns) == 0 {
			t.Errorf("%s has no columns", r.Name)
		}
		for _, c := range r.Rows() {
			rows += c.N
		}
	}
	t.Logf("%d relations, %d rows", len(static()), rows)
	if len(static()) != 212 || rows < 10_000 {
		t.Errorf("%d relations, %d rows", len(static()), rows)
	}
}
