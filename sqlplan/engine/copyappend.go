package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// The rows of COPY into an ordinary table are staged, computed and written like those of an INSERT. That writes each one three times, so
// that two ways around it are taken where they are the same: rows that are already what the table keeps are not computed once more, and
// rows that nothing but NOT NULL is asked of are appended to the table as they come.

// storedAsRead are the types whose values COPY reads as columns keep them, where the declaration has no length or precision.
var storedAsRead = []string{"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bytea", "uuid", "date", "timestamp", "timestamptz"}

// copiedAsRows reports whether the columns of COPY are a table's, in any order, and their values what it keeps.
func copiedAsRows(o *tables.Object, columns []session.Column) bool {
	if len(columns) != len(o.Columns) {
		return false
	}
	for _, read := range columns {
		c := o.Column(read.Name)
		if !slices.Contains(storedAsRead, c.Base) || c.Length > 0 || c.Precision != nil || c.Modifier != 0 || storedBy(c) != "" ||
			c.Type.Kind == vector.List || keptAsText(c.Type) || !read.Type.Equal(c.Type) {
			return false
		}
	}
	return true
}

// checkedAsRead reports whether a table asks no more of its rows than NOT NULL.
func (s *Session) checkedAsRead(o *tables.Object) bool {
	return len(o.Constraints) == 0 && !slices.ContainsFunc(s.tabs.IndexesOf(o.ID), func(x *tables.Object) bool { return x.Of.Unique })
}

// copiedRows takes the rows of COPY into an ordinary table.
type copiedRows interface {
	add(ch *vector.Chunk) error
	// write checks and writes what was added. where is the place of a row in the data, nil where it has none.
	write(ctx context.Context, where func(row int64, whole bool) string) error
	discard() // instead of write
}

// copiedRows begins to take the rows of COPY for a planned INSERT.
func (s *Session) copiedRows(ctx context.Context, w *rowWrite, columns []session.Column, asRows bool) (copiedRows, error) {
	if asRows && s.checkedAsRead(w.table) {
		return s.appendCopied(w.table, columns)
	}
	return s.stageCopied(ctx, w, columns, asRows)
}

// copyAppender appends the rows of COPY to a table, in the open transaction.
type copyAppender struct {
	app   *duck.Appender
	check *rowCheck
	from  []int // for each column of the table its place in the data
	rows  *vector.Chunk
	n     int64 // appended
	bad   *session.Error
	badAt int64
}

// appendCopied begins to append the rows of COPY, with columns as copiedAsRows wants them.
func (s *Session) appendCopied(o *tables.Object, columns []session.Column) (*copyAppender, error) {
	database, space := tablesDatabase, o.Schema
	switch {
	case o.Temp:
		database, space = "temp", "main"
	case space == tables.Public:
		space = "main"
	}
	a := &copyAppender{check: &rowCheck{s: s, table: o}, rows: &vector.Chunk{Cols: make([]*vector.Vector, len(columns))}}
	for _, c := range o.Columns {
		a.from = append(a.from, slices.IndexFunc(columns, func(r session.Column) bool { return r.Name == c.Name }))
	}
	var err error
	a.app, err = s.conn.Appender(database, space, o.Name)
	return a, err
}

// add appends rows up to the first with a NULL where none may be, and none after it: write tells its error.
func (a *copyAppender) add(ch *vector.Chunk) error {
	if a.bad != nil {
		return nil
	}
	for i, at := range a.from {
		a.rows.Cols[i] = ch.Cols[at]
	}
	a.rows.N = ch.N
	if column, row := a.null(); column != nil {
		a.bad, a.badAt = a.check.nullValue(column, a.check.rowDetail(a.rows.Cols, row)), a.n+int64(row)
		return nil
	}
	a.n += int64(ch.N)
	return a.app.Append(a.rows)
}

// null finds the first row with a NULL where none may be, and there the first such column; nil: there is none.
func (a *copyAppender) null() (column *tables.Column, row int) {
	for i := range a.check.table.Columns {
		c, v := &a.check.table.Columns[i], a.rows.Cols[i]
		if !c.NotNull || !v.HasNulls() {
			continue
		}
		for k := range v.N {
			if v.IsNull(k) {
				if column == nil || k < row {
					column, row = c, k
				}
				break
			}
		}
	}
	return column, row
}

// write tells the error of the row that was refused.
func (a *copyAppender) write(_ context.Context, where func(row int64, whole bool) string) error {
	if err := a.app.Close(); err != nil {
		return err
	}
	if a.bad == nil {
		return nil
	}
	if where != nil {
		a.bad.Where = where(a.badAt, true)
	}
	return a.bad
}

func (a *copyAppender) discard() { a.app.Discard() }

// copyStage collects the rows of COPY in a temporary table, for an INSERT.
type copyStage struct {
	s       *Session
	w       *rowWrite
	columns []session.Column
	asRows  bool // they are the table's rows
	name    string
	app     *duck.Appender
}

func (s *Session) stageCopied(ctx context.Context, w *rowWrite, columns []session.Column, asRows bool) (*copyStage, error) {
	g := &copyStage{s: s, w: w, columns: columns, asRows: asRows}
	stage := s.temp("copy")
	decl := make([]string, len(columns))
	for i, c := range columns {
		decl[i] = duck.QuoteIdent(c.Name) + " " + c.Type.DuckDB()
	}
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", stage, strings.Join(decl, ", "))); err != nil {
		return nil, err
	}
	var err error
	g.name = "temp.main." + stage
	g.app, err = s.conn.Appender("temp", "main", stage)
	return g, err
}

func (g *copyStage) add(ch *vector.Chunk) error {
	if err := g.s.canonicalRows(ch, g.columns); err != nil {
		return err
	}
	return g.app.Append(ch)
}

func (g *copyStage) write(ctx context.Context, where func(row int64, whole bool) string) error {
	err := g.app.Close()
	if err != nil {
		return err
	}
	g.w.where = where
	if g.asRows {
		_, err = g.w.apply(ctx, g.name, nil)
		return err
	}
	g.s.parts = map[string]string{copiedPart: g.name}
	_, err = g.w.execute(ctx, nil)
	g.s.parts = nil
	return err
}

func (g *copyStage) discard() { g.app.Discard() }
