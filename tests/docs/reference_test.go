package docs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/sql/reference"
)

// pages is where the reference lies.
var pages = filepath.Join(root, "docs", "reference")

// world is a session of a server of its own in which the examples' objects exist.
func world(t *testing.T) *session {
	t.Helper()
	s := start(t)
	if _, err := s.show(t.Context(), reference.World); err != nil {
		t.Fatalf("the world of the examples: %v", err)
	}
	return s
}

// TestStatements runs every example of the reference and holds the pages equal to the list.
func TestStatements(t *testing.T) {
	for i := range reference.Statements {
		st := &reference.Statements[i]
		t.Run(st.Name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			s := world(t)
			page, err := st.Page(func(sql string) (string, error) { return s.show(ctx, sql) })
			if err != nil {
				t.Fatal(err)
			}
			comparePage(t, reference.File(st.Name), page)
			for _, name := range st.See {
				if _, ok := reference.Find(name); !ok {
					t.Errorf("it points to %s, which is no statement of the list", name)
				}
			}
		})
	}
}

// TestAggregates does the same for the aggregates, and holds the index.
func TestAggregates(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s := world(t)
	want := []string{"README.md"}
	for _, d := range functions.Aggregates {
		if d.Implicit {
			continue
		}
		page, err := reference.AggregatePage(d, func(sql string) (string, error) { return s.show(ctx, sql) })
		if err != nil {
			t.Fatal(err)
		}
		comparePage(t, reference.File(d.Name), page)
		want = append(want, reference.File(d.Name))
	}
	comparePage(t, "README.md", reference.Index())
	for _, st := range reference.Statements {
		want = append(want, reference.File(st.Name))
	}
	there, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if !slices.Contains(want, f.Name()) {
			t.Errorf("%s is the page of nothing", f.Name())
		}
	}
}

func comparePage(t *testing.T, file, page string) {
	t.Helper()
	path := filepath.Join(pages, file)
	is, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	compare(t, path, string(is), page)
}

// known are the options that a refusal of an unknown one names.
var known = regexp.MustCompile(`^Options: (.*)\.$`)

// TestOptions holds the options of the reference equal to those that the server takes.
func TestOptions(t *testing.T) {
	s := world(t)
	for statement, sql := range map[string]string{
		"CREATE TABLE":                `CREATE TABLE o (k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts', nonsense = '1')`,
		"CREATE SOURCE":               `CREATE SOURCE o WITH (connector = 'file', path = 'flights.parquet', nonsense = '1')`,
		"CREATE CONNECTION":           `CREATE CONNECTION o WITH (type = 'kafka', brokers = 'a:1', nonsense = '1')`,
		"CREATE SOURCE kafka":         `CREATE SOURCE o (id bigint, ts timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 't', nonsense = '1')`,
		"CREATE CONNECTION postgres":  `CREATE CONNECTION o WITH (type = 'postgres', host = 'a', database = 'd', user = 'u', nonsense = '1')`,
		"CREATE SOURCE postgres":      `CREATE SOURCE o WITH (connector = 'postgres', connection = 'app', table = 't', nonsense = '1')`,
		"CREATE SOURCE dual":          `CREATE SOURCE o FROM BATCH flights STREAM purchases WITH (time_boundary = 'auto', nonsense = '1')`,
		"CREATE VIEW":                 `CREATE VIEW o WITH (event_time = 'ts', nonsense = '1') AS SELECT * FROM purchases`,
		"CREATE FEATURE":              `CREATE FEATURE o ON customer WITH (nonsense = '1') AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 1 DAY`,
		"CREATE FEATURE VIEW":         `CREATE FEATURE VIEW o WITH (nonsense = '1') AS SELECT c.spend_n_7d FROM customer c`,
		"CREATE CONNECTION cassandra": `CREATE CONNECTION o WITH (type = 'cassandra', hosts = 'a:1', keyspace = 'k', nonsense = '1')`,
	} {
		t.Run(statement, func(t *testing.T) {
			_, err := s.show(t.Context(), sql)
			var refused *pgconn.PgError
			if !errors.As(err, &refused) {
				t.Fatalf("an unknown option gives %v", err)
			}
			m := known.FindStringSubmatch(refused.Hint)
			if m == nil {
				t.Fatalf("the refusal %q names no options: %q", refused.Message, refused.Hint)
			}
			st, _ := reference.Find(statement)
			var listed []string
			for _, o := range st.Options {
				if !strings.Contains(o.Value, "of ENCODE") && !strings.Contains(o.Value, "of FORMAT") && !strings.Contains(o.Value, "of snapshot") { // those stand elsewhere in the statement, or in others
					listed = append(listed, o.Name)
				}
			}
			slices.Sort(listed)
			if takes := strings.Split(m[1], ", "); !slices.Equal(takes, listed) {
				t.Errorf("the server takes %v, the reference lists %v", takes, listed)
			}
		})
	}
}
