package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// Columns of numeric without a precision were DECIMAL(38,9) in data directories that earlier versions wrote. Opening one makes
// them what they are now. How a value was written is not known any more: zeros behind its last digit go.

// wasBare reports whether a column is of numeric without a precision and kept as earlier versions kept it.
func wasBare(c *tables.Column) bool {
	t := c.Type
	if t.Kind == vector.List {
		t = t.Elem[0]
	}
	return c.Base == "numeric" && (c.Declared == "numeric" || c.Declared == "numeric[]") && t.Equal(vector.DecimalOf(38, 9))
}

// widenNumerics changes the ordinary tables and views of a data directory that have such columns.
func (e *Engine) widenNumerics(ctx context.Context) error {
	conn, err := e.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT doc FROM "+tablesDocuments)
	if err != nil {
		return err
	}
	var old []*tables.Object
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			rows.Close()
			if err != nil {
				return err
			}
			break
		}
		for i := range ch.N {
			o, err := tables.Decode(ch.Cols[0].Bytes(i))
			if err != nil {
				rows.Close()
				return err
			}
			if slices.ContainsFunc(o.Columns, func(c tables.Column) bool { return wasBare(&c) }) {
				old = append(old, o)
			}
		}
	}
	for _, o := range old {
		if err := widenObject(ctx, conn, o); err != nil {
			return fmt.Errorf("%s %q: columns of numeric: %w", o.Kind, o.Name, err)
		}
	}
	return nil
}

func widenObject(ctx context.Context, conn *duck.Conn, o *tables.Object) error {
	statements := []string{"BEGIN"}
	for i := range o.Columns {
		c := &o.Columns[i]
		if !wasBare(c) {
			continue
		}
		q := duck.QuoteIdent(c.Name)
		plain := func(x string) string { return "rtrim(rtrim(CAST(" + x + " AS VARCHAR), '0'), '.')" }
		as, value := "VARCHAR", plain(q)
		c.Type = tables.Numeric()
		if strings.HasSuffix(c.Declared, "[]") {
			as, value = "VARCHAR[]", fmt.Sprintf("[%s FOR x IN %s]", plain("x"), q)
			c.Type = vector.ListOf(c.Type)
		}
		c.Shown()
		if o.Kind != tables.View {
			statements = append(statements, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET DATA TYPE %s USING %s", duckName(o), q, as, value))
		}
	}
	if o.Kind == tables.View {
		statements = append(statements, fmt.Sprintf("CREATE OR REPLACE VIEW %s AS SELECT * FROM %s AS x", duckName(o), emptyRows(o)))
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			_, _ = conn.Exec(ctx, "ROLLBACK")
			return err
		}
	}
	doc := vector.New(vector.T(vector.Text), 1)
	doc.AppendBytes(o.Encode())
	if _, err := conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET doc = $1 WHERE id = %d", tablesDocuments, o.ID), doc); err != nil {
		_, _ = conn.Exec(ctx, "ROLLBACK")
		return err
	}
	_, err := conn.Exec(ctx, "COMMIT")
	return err
}
