package materialize

import (
	"context"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A declared column of a Parquet source may be of a type that holds every value of the files' own: that one is kept in File.Stored, all files
// have it, and each read converts. Nothing here depends on the session's time zone: a time of no zone is one of UTC.

// noteStored notes which declared columns of r the file at path has with another type, which converts.
func noteStored(ctx context.Context, conn *duck.Conn, r *schema.Relation, path string) error {
	have, err := Columns(ctx, conn, path, r.File)
	if err != nil {
		return err
	}
	for _, h := range have {
		if i := r.ColumnIndex(h.Name); i >= 0 && widens(h.Type, r.Columns[i].Type) {
			if r.File.Stored == nil {
				r.File.Stored = map[string]vector.Type{}
			}
			r.File.Stored[h.Name] = h.Type
		}
	}
	return nil
}

// storedType is the type that the files have of a column.
func storedType(r *schema.Relation, c schema.Column) vector.Type {
	if t, ok := r.File.Stored[c.Name]; ok {
		return t
	}
	return c.Type
}

// widens reports whether every value of a type is one of another type.
func widens(from, to vector.Type) bool {
	switch from.Kind {
	case vector.Timestamp, vector.Date:
		return to.Kind == vector.TimestampTZ || from.Kind == vector.Date && to.Kind == vector.Timestamp
	case vector.Int16:
		return to.Kind == vector.Int32 || to.Kind == vector.Int64 || to.Kind == vector.Float64
	case vector.Int32:
		return to.Kind == vector.Int64 || to.Kind == vector.Float64
	case vector.Float32:
		return to.Kind == vector.Float64
	case vector.Decimal:
		return to.Kind == vector.Decimal && to.Scale >= from.Scale && to.Precision-to.Scale >= from.Precision-from.Scale && !to.Equal(from)
	}
	return false
}

// storedColumn is a column of a Parquet source as its declared type.
func storedColumn(r *schema.Relation, c schema.Column) string {
	q := duck.QuoteIdent(c.Name)
	if from, ok := r.File.Stored[c.Name]; ok && c.Type.Kind == vector.TimestampTZ && from.Kind != vector.TimestampTZ {
		return fmt.Sprintf("make_timestamptz(epoch_us(CAST(%s AS TIMESTAMP))) AS %[1]s", q)
	}
	return fmt.Sprintf("CAST(%s AS %s) AS %[1]s", q, c.Type.DuckDB())
}

// instant is a column of text in a CSV file as TIMESTAMPTZ; a text that is none is an error which names file, row and column. A time that
// says no zone is one of UTC: the zone is added where the text with it is a time, which it is not where the text has one.
func instant(column, path string) string {
	q := duck.QuoteIdent(column)
	place := duck.QuoteLiteral(fmt.Sprintf("CSV file \"%s\", row ", path))
	what := duck.QuoteLiteral(fmt.Sprintf(", column \"%s\": could not parse string \"", column))
	return fmt.Sprintf("coalesce(CASE WHEN %[1]s LIKE '%%Z' THEN TRY_CAST(%[1]s AS TIMESTAMPTZ) ELSE coalesce(TRY_CAST(trim(%[1]s) || '+00' AS TIMESTAMPTZ), "+
		"TRY_CAST(trim(%[1]s) || ':00+00' AS TIMESTAMPTZ), TRY_CAST(trim(%[1]s) || ' 00:00:00+00' AS TIMESTAMPTZ), TRY_CAST(%[1]s AS TIMESTAMPTZ)) END, "+
		"CASE WHEN %[1]s IS NOT NULL THEN error(%[2]s || row_number() OVER () || %[3]s || %[1]s || '\" as timestamptz')::TIMESTAMPTZ END) AS %[1]s", q, place, what)
}
