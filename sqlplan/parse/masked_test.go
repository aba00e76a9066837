package parse

import (
	"strings"
	"testing"
)

func TestMasked(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT 1", "SELECT ?"},
		{"SELECT 'it''s', E'\\n', 1.5e3, x'ff', b'01', U&'x', $$dollar$$, $1 -- 7", "SELECT ?, ?, ?, ?, ?, ?, ?, $1"},
		{"select *\n\tfrom \"T 1\"  where a='x'/* secret */and b = -5", `select * from "T 1" where a=? and b = -?`},
		{"SELECT f.n FROM l ASOF JOIN e f ON f.k = l.k AND l.ts > f.ts WHERE k = 'a'", "SELECT f.n FROM l ASOF JOIN e f ON f.k = l.k AND l.ts > f.ts WHERE k = ?"},
		{"CREATE FEATURE f AS SELECT k, sum(x) FROM t GROUP BY k WINDOW 7 DAYS", "CREATE FEATURE f AS SELECT k, sum(x) FROM t GROUP BY k WINDOW ? DAYS"},
		{"SELECT 'open", ""},
		{"", ""},
	} {
		if got := Masked(c.sql); got != c.want {
			t.Errorf("%q is %q, want %q", c.sql, got, c.want)
		}
	}
	if got := Masked("SELECT " + strings.Repeat("ä, ", 3000)); len(got) > maxMasked+len("…") || !strings.HasSuffix(got, "…") {
		t.Errorf("a long text has %d bytes", len(got))
	}
}
