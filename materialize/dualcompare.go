package materialize

import (
	"context"
	"fmt"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// What a load changes is a difference of sets of origins, because what an origin has never changes. It is worked out in temporary tables:
//
//	want   origins and keys of the batch side's rows that count; those that are looked at, where only some need to be
//	kept   rows of the dual source, by id, that are the stream side's and have what a wanted row has: they stay, and are the batch side's from the
//	       boundary on that the load sets, because they lie before it and came before the load
//	gone   rows of the dual source, by id, that the batch side has no more

// table is the dual source's rows in DuckDB.
func (l *dualLoad) table() string { return ProjectionTable(l.rel.ID) }

// ofStream is the condition that a row of the dual source is the stream side's, before the load.
func (l *dualLoad) ofStream(of string) string {
	cond := fmt.Sprintf("%s.%s < %d", of, schema.DualOrigin, int64(1)<<fileRowBits)
	d := l.rel.Dual
	if d.Boundary == nil || l.fresh {
		return cond
	}
	return fmt.Sprintf("(%s AND (%s.%s >= make_timestamptz(%d) OR %[2]s.%[5]s >= %[6]d))", cond, of, duck.QuoteIdent(l.rel.EventTime), *d.Boundary, schema.DualOrigin, d.Since)
}

// only is some of the files, those that a load before has not seen or the others.
func (l *dualLoad) only(seen bool) []schema.FileVersion {
	var out []schema.FileVersion
	for _, f := range l.files {
		if (f.Added <= l.rel.Dual.Loaded) == seen {
			out = append(out, f)
		}
	}
	return out
}

// added reports whether since the last load files only came, and the boundary went on: then only rows of these files, and those between the
// two boundaries, are to be looked at.
func (l *dualLoad) added() bool {
	d := l.rel.Dual
	if l.fresh || l.whole || d.Loaded == 0 || d.Boundary == nil {
		return false
	}
	for i := range l.batch.File.Files {
		if f := &l.batch.File.Files[i]; f.Removed > d.Loaded && f.Added <= d.Loaded {
			return false
		}
	}
	return true
}

// sourceRows is the rows of files before the boundary, with an event time and a key; where says which.
func (l *dualLoad) sourceRows(files []schema.FileVersion, where string) string {
	var names, ids strings.Builder
	for _, c := range l.rel.Columns {
		names.WriteString(duck.QuoteIdent(c.Name) + ", ")
	}
	for i, f := range files {
		if i > 0 {
			ids.WriteString(", ")
		}
		fmt.Fprint(&ids, f.ID)
	}
	src, file := noRowsSQL(l.batch), "0"
	if len(files) > 0 {
		src, file = filesSQL(l.batch, files, ""), fmt.Sprintf("([%s]::BIGINT[])[(%s >> %d) + 1]", ids.String(), rowIDColumn, fileRowBits)
	}
	ts := duck.QuoteIdent(l.rel.EventTime)
	sql := fmt.Sprintf("SELECT %s(%s << %d) + (%s & %d) AS %s FROM %s WHERE isfinite(%s)", names.String(), file, fileRowBits, rowIDColumn, int64(1)<<fileRowBits-1, schema.DualOrigin, src, ts)
	if b := l.dual.Boundary; b != nil {
		sql += fmt.Sprintf(" AND %s < make_timestamptz(%d)", ts, *b)
	} else {
		sql += " AND false"
	}
	for _, k := range l.dual.Key {
		sql += fmt.Sprintf(" AND %s IS NOT NULL", duck.QuoteIdent(k))
	}
	return sql + where
}

// compare works out what a load changes of the batch side's rows.
func (l *dualLoad) compare(ctx context.Context) error {
	for _, sql := range []string{"CREATE TEMP TABLE kept (id BIGINT, origin BIGINT)", "CREATE TEMP TABLE gone (id BIGINT)"} {
		if err := l.exec(ctx, sql); err != nil {
			return err
		}
	}
	if !l.fresh {
		if err := l.m.proj.bring(ctx, l.rel, l.m.cfg.Log.Position()); err != nil {
			return err
		}
	}
	some := l.added()
	if some {
		l.rows = fmt.Sprintf("(%s UNION ALL %s)", l.sourceRows(l.only(false), ""),
			l.sourceRows(l.only(true), fmt.Sprintf(" AND %s >= make_timestamptz(%d)", duck.QuoteIdent(l.rel.EventTime), *l.rel.Dual.Boundary)))
		if err := l.want(ctx); err != nil {
			return err
		}
		met, err := l.meets(ctx)
		if err != nil {
			return err
		}
		some = !met
	}
	if !some {
		l.rows = "(" + l.sourceRows(l.files, "") + ")"
		if err := l.want(ctx); err != nil || l.fresh {
			return err
		}
	}
	if err := l.keep(ctx); err != nil {
		return err
	}
	if !some {
		if err := l.lose(ctx); err != nil {
			return err
		}
	}
	l.inserts = vector.NewChunk(columnTypes(l.rel), 0)
	err := l.read(ctx, fmt.Sprintf("SELECT r.* FROM %s AS r WHERE r.%[2]s IN (SELECT w.%[2]s FROM want AS w WHERE NOT EXISTS (FROM %[3]s AS d WHERE d.%[2]s = w.%[2]s) AND NOT EXISTS (FROM kept AS k WHERE k.origin = w.%[2]s))",
		l.rows, schema.DualOrigin, l.table()), l.add)
	l.out.Came += int64(l.inserts.N)
	return err
}

// want makes the table: of several rows of a key the last one by event time and then by its columns, so that neither the order nor the names of
// files decide.
func (l *dualLoad) want(ctx context.Context) error {
	if err := l.exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE want AS SELECT %s%s FROM %s", schema.DualOrigin, l.keys(""), l.rows)); err != nil {
		return err
	}
	if len(l.dual.Key) == 0 {
		return nil
	}
	keys := strings.TrimPrefix(l.keys(""), ", ")
	if err := l.exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE twice AS SELECT %s FROM want GROUP BY %[1]s HAVING count(*) > 1", keys)); err != nil {
		return err
	}
	n, err := l.numbers(ctx, "SELECT count(*) FROM twice")
	if err != nil || n[0] == 0 {
		return err
	}
	order := []string{"r." + duck.QuoteIdent(l.rel.EventTime) + " DESC"}
	for _, c := range l.rel.Columns {
		order = append(order, "r."+duck.QuoteIdent(c.Name)+" DESC NULLS LAST")
	}
	return l.exec(ctx, fmt.Sprintf("DELETE FROM want WHERE %[1]s IN (SELECT %[1]s FROM (SELECT r.%[1]s, row_number() OVER (PARTITION BY %[2]s ORDER BY %[3]s, r.%[1]s DESC) AS n FROM %[4]s AS r SEMI JOIN twice AS t ON %[5]s) WHERE n > 1)",
		schema.DualOrigin, strings.TrimPrefix(l.keys("r."), ", "), strings.Join(order, ", "), l.rows, l.sameKey("r", "t")))
}

// meets reports whether a wanted row has the key of a row that the batch side gave before: which of the two counts, all of them must be asked.
func (l *dualLoad) meets(ctx context.Context) (bool, error) {
	if len(l.dual.Key) == 0 {
		return false, nil
	}
	n, err := l.numbers(ctx, fmt.Sprintf("SELECT count(*) FROM want AS w JOIN %s AS d ON %s WHERE NOT %s", l.table(), l.sameKey("w", "d"), l.ofStream("d")))
	return err == nil && n[0] > 0, err
}

// keep finds the rows that stay as they are, and are the batch side's after the load.
func (l *dualLoad) keep(ctx context.Context) error {
	if len(l.dual.Key) == 0 || l.dual.Boundary == nil {
		return nil
	}
	settled := fmt.Sprintf("d.%s < %d AND d.%s < make_timestamptz(%d)", schema.DualOrigin, int64(1)<<fileRowBits, duck.QuoteIdent(l.rel.EventTime), *l.dual.Boundary)
	if !l.moved { // rows that came since are the stream side's whatever they have
		settled += fmt.Sprintf(" AND d.%s < %d", schema.DualOrigin, l.dual.Since)
	}
	if err := l.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE pairs AS SELECT d.%s AS id, w.%s AS origin FROM want AS w JOIN %s AS d ON %s WHERE %s", rowIDColumn, schema.DualOrigin, l.table(), l.sameKey("w", "d"), settled)); err != nil {
		return err
	}
	same := make([]string, len(l.rel.Columns))
	for i, c := range l.rel.Columns {
		a, b := "r."+duck.QuoteIdent(c.Name), "d."+duck.QuoteIdent(c.Name)
		if !plainlyEqual(c.Type) {
			a, b = "CAST("+a+" AS VARCHAR)", "CAST("+b+" AS VARCHAR)"
		}
		same[i] = a + " IS NOT DISTINCT FROM " + b
	}
	if err := l.exec(ctx, fmt.Sprintf("INSERT INTO kept SELECT p.id, p.origin FROM pairs AS p JOIN %s AS r ON r.%s = p.origin JOIN %s AS d ON d.%s = p.id WHERE %s",
		l.rows, schema.DualOrigin, l.table(), rowIDColumn, strings.Join(same, " AND "))); err != nil {
		return err
	}
	n, err := l.numbers(ctx, fmt.Sprintf("SELECT count(*) FROM kept AS k JOIN %s AS d ON d.%s = k.id WHERE %s", l.table(), rowIDColumn, l.ofStream("d")))
	if err == nil {
		l.out.Came, l.out.Replaced = n[0], n[0]
	}
	return err
}

// plainlyEqual reports whether values of a type that DuckDB holds equal have the same bits: not zeros of two signs, not a month and thirty days.
func plainlyEqual(t vector.Type) bool {
	switch t.Kind {
	case vector.Bool, vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.Text, vector.Bytes, vector.UUID, vector.Date, vector.Time, vector.Timestamp, vector.TimestampTZ:
		return true
	}
	return false
}

// lose finds the rows that the batch side has no more.
func (l *dualLoad) lose(ctx context.Context) error {
	if err := l.exec(ctx, fmt.Sprintf("INSERT INTO gone SELECT d.%s FROM %s AS d WHERE NOT %s AND NOT EXISTS (FROM want AS w WHERE w.%[4]s = d.%[4]s) AND d.%[1]s NOT IN (SELECT id FROM kept)",
		rowIDColumn, l.table(), l.ofStream("d"), schema.DualOrigin)); err != nil {
		return err
	}
	var err error
	if l.deletes, err = l.ids(ctx, "SELECT id FROM gone", nil); err != nil {
		return err
	}
	l.out.Went = int64(len(l.deletes))
	if len(l.dual.Key) == 0 || l.whole || len(l.deletes) == 0 {
		return nil
	}
	lost, err := l.numbers(ctx, fmt.Sprintf("SELECT count(*) FROM %s AS d WHERE d.%s IN (SELECT id FROM gone) AND NOT EXISTS (FROM want AS w WHERE %s)", l.table(), rowIDColumn, l.sameKey("w", "d")))
	if err == nil {
		l.whole = lost[0] > 0
	}
	return err
}

// mend takes the batch side's rows in place of those that were to be kept, and that the stream side has changed since. It is held.
func (l *dualLoad) mend(ctx context.Context) error {
	lost := fmt.Sprintf("FROM kept AS k WHERE NOT EXISTS (FROM %s AS d WHERE d.%s = k.id)", l.table(), rowIDColumn)
	n, err := l.numbers(ctx, "SELECT count(*) "+lost)
	if err != nil || n[0] == 0 {
		return err
	}
	return l.read(ctx, fmt.Sprintf("SELECT r.* FROM %s AS r WHERE r.%s IN (SELECT k.origin %s)", l.rows, schema.DualOrigin, lost), l.add)
}
