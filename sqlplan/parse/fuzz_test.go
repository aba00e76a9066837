package parse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// seeds are the inputs of the golden files.
func seeds(f testing.TB) []string {
	var out []string
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(b), "\n\n") {
			if _, in, ok := strings.Cut(part, "\n"); ok {
				in, _, _ = strings.Cut(in, "\n----")
				out = append(out, in)
			}
		}
	}
	return out
}

func checkError(t *testing.T, sql string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%q: %T %v", sql, err, err)
	}
	if e.Code == codeInternal || e.Position < 0 || e.Position > utf8.RuneCountInString(sql)+1 && utf8.ValidString(sql) {
		t.Fatalf("%q: %+v", sql, *e)
	}
}

// check holds what is promised of any text.
func check(t *testing.T, sql string) {
	t.Helper()
	frags, err := Split(sql)
	checkError(t, sql, err)
	end := 0
	for _, f := range frags {
		if f.SQL == "" || f.Offset < end || sql[f.Offset:f.Offset+len(f.SQL)] != f.SQL {
			t.Fatalf("%q: fragment %+v", sql, f)
		}
		end = f.Offset + len(f.SQL)
	}
	s, err := Parse(sql)
	checkError(t, sql, err)
	if q, ok := s.(*SQL); ok {
		if len(q.Plain) != len(sql) {
			t.Fatalf("%q: plain text of %d bytes", sql, len(q.Plain))
		}
		for _, a := range q.Clauses.Asof {
			if a.Join == nil || q.Clauses.AsofOf(a.Join).Position != a.Position {
				t.Fatalf("%q: two ASOF clauses on one join", sql)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(check)
}

// The same with mutations that keep whole words, which a byte fuzzer seldom makes.
func TestMutations(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	in := seeds(t)
	var words []string
	for _, s := range in {
		words = append(words, strings.Fields(s)...)
	}
	words = append(words, "ASOF", "WINDOW", "(", ")", ";", "'", "$$", "/*", "--", "ö", "FOR SYSTEM_TIME AS OF", "\x00", "\xff", "ON", "JOIN")
	for range 4000 {
		w := strings.Fields(in[r.IntN(len(in))])
		for range 1 + r.IntN(3) {
			if len(w) == 0 {
				break
			}
			i := r.IntN(len(w))
			switch r.IntN(4) {
			case 0:
				w = append(w[:i:i], w[i+1:]...)
			case 1:
				w[i] = words[r.IntN(len(words))]
			case 2:
				w = append(w[:i:i], append([]string{words[r.IntN(len(words))]}, w[i:]...)...)
			case 3:
				j := r.IntN(len(w))
				w[i], w[j] = w[j], w[i]
			}
		}
		check(t, strings.Join(w, " "))
	}
}

// Every join of a random FROM is found again: the tree is built beside the text.
func TestAsofJoinsAreFound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		asof := map[string]AsofKind{} // by the first relation of the right arm
		n := 0
		var from func(depth int) (text, first string)
		from = func(depth int) (string, string) {
			n++
			name := fmt.Sprintf("r%d", n)
			if depth == 0 || r.IntN(3) == 0 {
				return []string{name, name + " asof", name + " AS asof", "/* ASOF JOIN */ " + name + ` "ASOF"`}[r.IntN(4)], name
			}
			left, first := from(depth - 1)
			right, arm := from(depth - 1)
			switch r.IntN(3) {
			case 0:
				right = "(" + beforeJoin(right) + " JOIN z ON true)"
			case 1:
				right = "(SELECT * FROM " + right + ") ö"
			}
			op := []string{"JOIN", "LEFT JOIN", "ASOF JOIN", "asof left join", "LEFT ASOF JOIN", "INNER Asof JOIN", "ASOF INNER JOIN"}[r.IntN(7)]
			if strings.Contains(strings.ToLower(op), "asof") {
				k := AsofBare
				if strings.Contains(strings.ToLower(op), "left") {
					k = AsofLeft
				} else if strings.Contains(op, "INNER") {
					k = AsofInner
				}
				asof[fmt.Sprintf("%s/%d", arm, strings.Count(right, "JOIN")+strings.Count(right, "join")-strings.Count(right, "/* ASOF JOIN"))] = k
			}
			return beforeJoin(left) + " " + op + " " + right + []string{" ON true", " USING (k, ts)"}[r.IntN(2)], first
		}
		text, _ := from(3)
		sql := "SELECT * FROM " + text
		s, err := Parse(sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		got := s.(*SQL).Clauses.Asof
		if len(got) != len(asof) {
			t.Fatalf("%s: %d ASOF joins, want %d", sql, len(got), len(asof))
		}
		for _, a := range got {
			arm := leftmostName(a.Join.Rarg)
			d, err := Deparse(a.Join.Rarg)
			if err != nil {
				t.Fatal(err)
			}
			if k, ok := asof[fmt.Sprintf("%s/%d", arm, strings.Count(d, "JOIN"))]; !ok || k != a.Kind {
				t.Fatalf("%s: ASOF of kind %s to %s, want %v", sql, a.Kind, d, asof)
			}
		}
	}
}

// beforeJoin takes the alias asof off the end: before a JOIN the word alone is the clause, though AS asof is an alias.
func beforeJoin(s string) string {
	if strings.HasSuffix(s, " asof") && !strings.HasSuffix(s, " AS asof") {
		return strings.TrimSuffix(s, " asof")
	}
	return s
}

func leftmostName(n *pg_query.Node) string {
	for {
		switch {
		case n.GetJoinExpr() != nil:
			n = n.GetJoinExpr().Larg
		case n.GetRangeSubselect() != nil:
			n = n.GetRangeSubselect().Subquery.GetSelectStmt().FromClause[0]
		default:
			return n.GetRangeVar().GetRelname()
		}
	}
}

// Depth is refused or parsed, never a crash.
func TestDeepTexts(t *testing.T) {
	for _, open := range []string{"(", "(SELECT ", "CASE WHEN ", "- ", "NOT "} {
		check(t, "SELECT "+strings.Repeat(open, 20000)+"1")
		check(t, "SELECT 1 FROM l ASOF JOIN f ON "+strings.Repeat(open, 20000)+"1")
	}
	check(t, "SELECT * FROM a"+strings.Repeat(" ASOF JOIN b USING (k)", 900))
	check(t, "SELECT * FROM a"+strings.Repeat(" ASOF JOIN b USING (k)", 1100))
	check(t, "SELECT "+strings.Repeat("(", 5000)+"1"+strings.Repeat(")", 5000)+" FROM a ASOF JOIN b USING (k)")
	check(t, strings.Repeat("EXPLAIN ", 100)+"SELECT 1")
}

func BenchmarkParse(b *testing.B) {
	for name, sql := range map[string]string{
		"lookup": "SELECT spend_total_7d, spend_mean_30d FROM customer WHERE customer_id = $1",
		"asof":   "SELECT l.*, f.a FROM labels l ASOF JOIN customer f ON f.customer_id = l.customer_id AND l.ts > f.ts",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse(sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("pg_query", func(b *testing.B) {
		for b.Loop() {
			if _, err := pg_query.Parse("SELECT spend_total_7d, spend_mean_30d FROM customer WHERE customer_id = $1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("words", func(b *testing.B) {
		for b.Loop() {
			hasOurWords("SELECT spend_total_7d, spend_mean_30d FROM customer WHERE customer_id = $1")
		}
	})
}
