package rewrite

import (
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// testOptions replace the table events and know the columns i (integer), b (bigint) and d (numeric(10,2)).
func testOptions() Options {
	types := map[string]vector.Type{"i": vector.T(vector.Int32), "b": vector.T(vector.Int64), "d": vector.DecimalOf(10, 2)}
	return Options{
		Role: "reader", SessionRole: "reader", Database: "shop",
		Relation: func(rv *pg_query.RangeVar) (string, bool, error) {
			switch rv.Relname {
			case "events":
				return "(SELECT * FROM read('a''b') /* now */)", true, nil
			case "tiles":
				return `lake."Tiles"`, true, nil
			case "refused":
				return "", false, &parse.Error{Code: "0A000", Message: "refused"}
			}
			return "", false, nil
		},
		ColumnType: func(c *pg_query.ColumnRef) (vector.Type, bool) {
			t, ok := types[c.Fields[len(c.Fields)-1].GetString_().GetSval()]
			return t, ok
		},
	}
}

// Each line of a file's input is a statement; the line below it in the output is DuckDB's text.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			opt := testOptions()
			for _, a := range d.CmdArgs {
				switch a.Key {
				case "off":
					opt.Off = map[string]bool{}
					for _, v := range a.Vals {
						opt.Off[v] = true
					}
				case "params":
					opt.ParamTypes = []vector.Type{vector.T(vector.Int64), {}, vector.ListOf(vector.T(vector.Text)), vector.DecimalOf(9, 2)}
				}
			}
			var b strings.Builder
			for line := range strings.SplitSeq(d.Input, "\n") {
				r, err := pg_query.Parse(line)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				before := proto.Clone(r)
				sql, err := Rewrite(r.Stmts[0].Stmt, opt)
				if err != nil {
					sql = err.Error()
				}
				if !proto.Equal(before, r) {
					t.Errorf("%s: the statement given was changed", line)
				}
				b.WriteString(line + "\n  " + sql + "\n")
			}
			return b.String()
		})
	})
}

// A rule that is switched off leaves its forms alone, and every name in a golden file is one of a rule.
func TestRulesHaveGoldens(t *testing.T) {
	for _, name := range Rules() {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil || !strings.Contains(string(b), "off="+name) {
			t.Errorf("rule %s has no golden file with and without it: %v", name, err)
		}
	}
}

func TestNothing(t *testing.T) {
	if _, err := Rewrite(nil, Options{}); err == nil {
		t.Error("no statement was rewritten")
	}
	if _, err := Rewrite(&pg_query.Node{}, Options{}); err == nil {
		t.Error("an empty node was rewritten")
	}
}

func BenchmarkRewrite(b *testing.B) {
	r, err := pg_query.Parse("SELECT a, sum(i) / count(*), lower(x) FROM events e JOIN t USING (k) WHERE x LIKE $1 AND y ~ 'a' GROUP BY a")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Rewrite(r.Stmts[0].Stmt, testOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
