package materialize

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The hidden columns that every relation's rows carry beside their own.
const (
	rowIDColumn = "__rowid"
	pkColumn    = "__pk" // followed by the position in the primary key
)

// ProjectionTable is the name of an event table's projection in DuckDB.
func ProjectionTable(relation uint32) string { return fmt.Sprintf("proj.main.t_%d", relation) }

// fileRowBits is how many low bits of a file row's id are its number in the file.
const fileRowBits = schema.FileRowBits

// errNoRelation is the error of reading a group whose relation was dropped.
var errNoRelation = errors.New("the relation was dropped")

// baseOf is the base of the relation with an id. Errors: it was dropped.
func baseOf(c *schema.Catalog, relation uint32) (*schema.Relation, error) {
	if r := c.Relations[relation]; r != nil {
		if b := base(c, r); b != nil {
			return b, nil
		}
	}
	return nil, errNoRelation
}

// base is the relation whose rows r's rows are: r itself, or the base of a view.
func base(c *schema.Catalog, r *schema.Relation) *schema.Relation {
	if r.View != nil {
		return c.Relations[r.View.Base]
	}
	return r
}

// rowsSQL is a relation in DuckDB with r's columns by their inside names, the row id and the primary-key columns of its base; rows is the same of
// the base (its projection, a scan of its files, or a table of a few rows).
func rowsSQL(c *schema.Catalog, r *schema.Relation, rows string) string {
	b := base(c, r)
	var hidden strings.Builder
	fmt.Fprintf(&hidden, "%s", rowIDColumn)
	for i, k := range b.PrimaryKey {
		fmt.Fprintf(&hidden, ", %s AS %s%d", duck.QuoteIdent(b.Inside(k)), pkColumn, i)
	}
	if r.View == nil {
		stored := r.Stored()
		cols := make([]string, len(stored))
		for i, col := range stored {
			cols[i] = duck.QuoteIdent(col.Name)
		}
		return fmt.Sprintf("(SELECT %s, %s FROM %s)", strings.Join(cols, ", "), hidden.String(), rows)
	}
	items := make([]string, len(r.View.Items))
	for i, it := range r.View.Items {
		items[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", it, r.Columns[i].Type.DuckDB(), duck.QuoteIdent(r.Columns[i].Name))
	}
	where := ""
	if r.View.Where != "" {
		where = " WHERE " + r.View.Where
	}
	return fmt.Sprintf("(SELECT %s, %s FROM %s AS %s%s)", strings.Join(items, ", "), hidden.String(), rows, duck.QuoteIdent(r.View.Alias), where)
}

// filesSQL is the rows of live files, in one scan; the row id's high bits are the position of the file in the list, which
// eventRows turns into the file's id. where narrows the rows of Parquet files; "": all.
func filesSQL(r *schema.Relation, files []schema.FileVersion, where string) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = duck.QuoteLiteral(f.Path)
	}
	list := "[" + strings.Join(names, ", ") + "]"
	cols := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		cols[i] = storedColumn(r, c)
	}
	if r.File.Format == "csv" {
		return csvSQL(r, files, cols)
	}
	at := "0"
	if len(files) > 1 {
		at = fmt.Sprintf("(list_position(%s, filename) - 1)", list)
	}
	return fmt.Sprintf("(SELECT %s, (%s::BIGINT << %d) + file_row_number AS %s FROM read_parquet(%s, filename = true, file_row_number = true, union_by_name = false)%s)",
		strings.Join(cols, ", "), at, fileRowBits, rowIDColumn, list, where)
}

// csvSQL numbers the rows of each CSV file by a scan of one file at a time, which keeps their order.
func csvSQL(r *schema.Relation, files []schema.FileVersion, cols []string) string {
	var typed []string
	for _, c := range r.Columns {
		typ := c.Type.DuckDB()
		if c.Type.Kind == vector.TimestampTZ {
			typ = "VARCHAR" // as TIMESTAMPTZ, DuckDB's reader makes NULL of a text that is none: instant refuses it
		}
		typed = append(typed, fmt.Sprintf("%s: %s", duck.QuoteLiteral(c.Name), duck.QuoteLiteral(typ)))
	}
	scans := make([]string, len(files))
	for i, f := range files {
		items := slices.Clone(cols)
		for j, c := range r.Columns {
			if c.Type.Kind == vector.TimestampTZ {
				items[j] = instant(c.Name, f.Path)
			}
		}
		scans[i] = fmt.Sprintf("SELECT %s, (%d::BIGINT << %d) + row_number() OVER () - 1 AS %s FROM read_csv(%s, header = true, auto_detect = false, delim = %s, quote = '\"', escape = '\"', strict_mode = true, columns = {%s})",
			strings.Join(items, ", "), i, fileRowBits, rowIDColumn, duck.QuoteLiteral(f.Path), duck.QuoteLiteral(r.File.Separator()), strings.Join(typed, ", "))
	}
	return "(" + strings.Join(scans, " UNION ALL ") + ")"
}

// noRowsSQL is a relation with r's columns and no rows, for a file source without files.
func noRowsSQL(r *schema.Relation) string {
	cols := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		cols[i] = fmt.Sprintf("NULL::%s AS %s", c.Type.DuckDB(), duck.QuoteIdent(c.Name))
	}
	return fmt.Sprintf("(SELECT %s, 0::BIGINT AS %s WHERE false)", strings.Join(cols, ", "), rowIDColumn)
}

// eventSQL is the query for a group's event rows: keys, event time, row id, primary key, columns. Rows without a key or
// a finite event time are left out, or, where they are counted, are there for whoever counts them; then no expression but the keys and
// the time is computed of them.
func eventSQL(c *schema.Catalog, g *schema.Group, from baseRows) string {
	all := from.rejected != nil
	r := c.Relations[g.Relation]
	b := base(c, r)
	var items []string
	for _, k := range g.Keys {
		items = append(items, k.SQL)
	}
	items = append(items, timeOf(c, g), rowIDColumn)
	if g.Layout.Tie {
		for i := range b.PrimaryKey {
			items = append(items, fmt.Sprintf("%s%d", pkColumn, i))
		}
	}
	cond := isEvent(c, g)
	for _, col := range g.Columns {
		if all && col.Column < 0 {
			items = append(items, fmt.Sprintf("CASE WHEN %s THEN %s END", cond, col.SQL))
		} else {
			items = append(items, col.SQL)
		}
	}
	if all {
		return fmt.Sprintf("SELECT %s FROM %s", strings.Join(items, ", "), widenedSQL(c, g, from))
	}
	return fmt.Sprintf("SELECT %s %s", strings.Join(items, ", "), eventFrom(c, g, from))
}

// timeOf is the event time of a group's rows.
func timeOf(c *schema.Catalog, g *schema.Group) string {
	r := c.Relations[g.Relation]
	return duck.QuoteIdent(r.Inside(r.EventTime))
}

// isEvent is the condition that a row has a key and a finite event time.
func isEvent(c *schema.Catalog, g *schema.Group) string {
	conds := make([]string, 0, len(g.Keys)+1)
	for _, k := range g.Keys {
		conds = append(conds, "("+k.SQL+") IS NOT NULL")
	}
	return strings.Join(append(conds, "isfinite("+timeOf(c, g)+")"), " AND ")
}

// newestSQL is the query for the newest event time of a group's event rows, NULL where there are none.
func newestSQL(c *schema.Catalog, g *schema.Group, from baseRows) string {
	return fmt.Sprintf("SELECT max(%s) %s", timeOf(c, g), eventFrom(c, g, from))
}

// eventFrom is FROM and WHERE of a group's event rows: those without a key or a finite event time are left out.
func eventFrom(c *schema.Catalog, g *schema.Group, from baseRows) string {
	cond := isEvent(c, g)
	if t := from.times; t != nil {
		cond += fmt.Sprintf(" AND %[1]s >= make_timestamptz(%[2]d) AND %[1]s < make_timestamptz(%[3]d)", timeOf(c, g), t.Lo, t.Hi)
	}
	return fmt.Sprintf("FROM %s WHERE %s", widenedSQL(c, g, from), cond)
}

// widenedSQL is rowsSQL of a group's relation with the elements of lists and the columns of attributes.
func widenedSQL(c *schema.Catalog, g *schema.Group, from baseRows) string {
	return joinSQL(c, g, unnestSQL(c, g, from.sql), from.attributes, len(g.Joins), from.few)
}

// unnestSQL is rowsSQL of a group's relation with its lists unnested, a row for every element.
func unnestSQL(c *schema.Catalog, g *schema.Group, rows string) string {
	sql := rowsSQL(c, c.Relations[g.Relation], rows)
	for _, u := range g.Unnest {
		list := u.List
		if u.Outer {
			list = fmt.Sprintf("CASE WHEN len(%[1]s) > 0 THEN %[1]s ELSE [NULL] END", list)
		}
		sql = fmt.Sprintf("(SELECT *, unnest(%s) AS %s FROM %s)", list, duck.QuoteIdent(u.Column), sql)
	}
	return sql
}
