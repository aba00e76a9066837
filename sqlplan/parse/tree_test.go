package parse

import (
	"fmt"
	"slices"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reflected is what Walk visits, by protoreflect.
func reflected(m protoreflect.Message, visit func(proto.Message)) {
	visit(m.Interface())
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				if e := v.List().Get(i).Message(); e.IsValid() {
					reflected(e, visit)
				}
			}
		default:
			reflected(v.Message(), visit)
		}
		return true
	})
}

const walked = `WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < $1) SELECT a.*, count(*) FILTER (WHERE b.x > 1.5) OVER w, CASE WHEN a.y IS NULL THEN 'z'::varchar(3) ELSE (SELECT max(q) FROM r) END,
	(ARRAY[1, 2])[1], (a.p).f, a.j ->> 'k' FROM a LEFT JOIN LATERAL generate_series(1, a.n) WITH ORDINALITY AS b(x, o) ON true, ONLY c TABLESAMPLE bernoulli (3)
	WHERE a.i IN (1, 2) AND NOT EXISTS (SELECT FROM d) GROUP BY GROUPING SETS ((a.x), ()) HAVING bool_or(true) WINDOW w AS (PARTITION BY a.z ORDER BY 1 DESC NULLS LAST) ORDER BY 1 LIMIT 10 FOR UPDATE`

// Walk visits what protoreflect finds.
func TestWalk(t *testing.T) {
	for _, sql := range []string{walked, "CREATE TABLE t (a int PRIMARY KEY DEFAULT 1, CHECK (a > 0), FOREIGN KEY (a) REFERENCES b (c) ON DELETE CASCADE)",
		"INSERT INTO t (a, b) VALUES (1, DEFAULT) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.a > 1 RETURNING *", "GRANT SELECT ON t TO PUBLIC", "ALTER TABLE t ADD COLUMN x text, DROP COLUMN y"} {
		r, err := pg_query.Parse(sql)
		if err != nil {
			t.Fatal(err)
		}
		name := func(m proto.Message) string { return fmt.Sprintf("%T %p", m, m) }
		var want, got []string
		reflected(r.ProtoReflect(), func(m proto.Message) { want = append(want, name(m)) })
		Walk(r, func(m proto.Message) bool {
			got = append(got, name(m))
			return true
		})
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || len(got) < 5 {
			t.Errorf("%s: %d messages, not %d", sql, len(got), len(want))
		}
	}
	Walk((*pg_query.Node)(nil), func(proto.Message) bool { t.Error("nothing was visited"); return true })
}

func BenchmarkWalk(b *testing.B) {
	r, err := pg_query.Parse(walked)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.Run("fields", func(b *testing.B) {
		for b.Loop() {
			Walk(r, func(proto.Message) bool { n++; return true })
		}
	})
	b.Run("protoreflect", func(b *testing.B) {
		for b.Loop() {
			reflected(r.ProtoReflect(), func(proto.Message) { n++ })
		}
	})
}
