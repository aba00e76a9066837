package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Columns of event tables are added, at the end, and their defaults and NOT NULL changed; eventcolumns.go has what renames, drops and widens
// them. What was written before is not touched: it has the default of the added column as it was when the column came
// (schema.Column.Missing), so features over the table are as they were.

// bindAlterEvents binds ALTER TABLE of an event table's columns.
func (s *Session) bindAlterEvents(st *parse.SQL, n *pg_query.AlterTableStmt, name string) bound {
	return s.definition(func(ctx context.Context) (string, error) {
		for _, c := range n.Cmds {
			r := s.catalog().Relation(name)
			if r == nil {
				return "", fail(codeUndefinedTable, "relation %q does not exist", name)
			}
			if err := s.alterEvents(ctx, st.Text, int(n.Relation.Location), r, c.GetAlterTableCmd()); err != nil {
				return "", err
			}
		}
		return "ALTER TABLE", nil
	})
}

// altersEvents reports whether every command of an ALTER TABLE is one that alterEvents knows.
func altersEvents(r *schema.Relation, n *pg_query.AlterTableStmt) bool {
	return r.Kind == schema.EventTable && n.Objtype == pg_query.ObjectType_OBJECT_TABLE && !slices.ContainsFunc(n.Cmds, func(c *pgNode) bool {
		switch c.GetAlterTableCmd().GetSubtype() {
		case pg_query.AlterTableType_AT_AddColumn, pg_query.AlterTableType_AT_ColumnDefault, pg_query.AlterTableType_AT_SetNotNull, pg_query.AlterTableType_AT_DropNotNull,
			pg_query.AlterTableType_AT_DropColumn, pg_query.AlterTableType_AT_AlterColumnType:
			return false
		}
		return true
	})
}

func (s *Session) alterEvents(ctx context.Context, sql string, place int, r *schema.Relation, cmd *pg_query.AlterTableCmd) error {
	switch cmd.Subtype {
	case pg_query.AlterTableType_AT_AddColumn:
		return s.addEventColumn(ctx, sql, place, r, cmd)
	case pg_query.AlterTableType_AT_DropColumn:
		return s.dropEventColumn(ctx, sql, r, cmd)
	case pg_query.AlterTableType_AT_AlterColumnType:
		return s.retypeEventColumn(ctx, sql, r, cmd)
	}
	i := r.ColumnIndex(cmd.Name)
	if i < 0 {
		return at(hint(fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, r.Name), "Columns: %s.", columnNames(r.Columns)), sql, place)
	}
	c := r.Columns[i]
	switch cmd.Subtype {
	case pg_query.AlterTableType_AT_ColumnDefault:
		if c.Default = ""; cmd.Def != nil {
			var err error
			if c.Default, err = parse.Deparse(cmd.Def); err != nil {
				return asError(err)
			}
		}
		if _, err := s.columnDefault(ctx, r, c); err != nil {
			return at(asError(err), sql, place)
		}
	case pg_query.AlterTableType_AT_SetNotNull:
		if err := s.noNullEvents(ctx, r, c.Name); err != nil {
			return err
		}
		c.NotNull = true
	case pg_query.AlterTableType_AT_DropNotNull:
		if slices.Contains(r.PrimaryKey, c.Name) {
			return at(fail("42P16", "column %q is in a primary key", c.Name), sql, place)
		}
		if c.Name == r.EventTime {
			return at(fail("42P16", "column %q is the event time of table %q", c.Name, r.Name), sql, place)
		}
		c.NotNull = false
	}
	return s.define(func(cat *schema.Catalog) error {
		return changeColumns(cat, r, func(next *schema.Relation) error {
			at := next.ColumnIndex(c.Name)
			next.Columns[at].Default, next.Columns[at].NotNull = c.Default, c.NotNull
			return nil
		})
	})
}

// changeColumns defines an event table with other columns.
func changeColumns(cat *schema.Catalog, r *schema.Relation, change func(next *schema.Relation) error) error {
	have := cat.Relations[r.ID]
	if have == nil {
		return fail(codeConflict, "table %q was dropped meanwhile", r.Name)
	}
	next := *have
	next.Columns = slices.Clone(have.Columns)
	if err := change(&next); err != nil {
		return err
	}
	cat.Relations[r.ID] = &next
	return nil
}

func (s *Session) addEventColumn(ctx context.Context, sql string, place int, r *schema.Relation, cmd *pg_query.AlterTableCmd) error {
	def := cmd.Def.GetColumnDef()
	col, err := parse.AddedColumn(sql, def)
	if err != nil {
		return asError(err)
	}
	if r.ColumnIndex(col.Name) >= 0 {
		if cmd.MissingOk {
			s.notice(session.Notice{Code: codeDuplicateColumn, Message: fmt.Sprintf("column %q of relation %q already exists, skipping", col.Name, r.Name)})
			return nil
		}
		return at(fail(codeDuplicateColumn, "column %q of relation %q already exists", col.Name, r.Name), sql, col.Position)
	}
	if strings.HasPrefix(col.Name, "__") {
		return at(fail("42939", "column name %q is reserved", col.Name), sql, col.Position)
	}
	c := schema.Column{Name: col.Name, Type: col.Type, NotNull: col.NotNull, Default: col.Default, Bare: parse.BareNumeric(col.TypeName)}
	value, err := s.columnDefault(ctx, r, c)
	if err != nil {
		return at(asError(err), sql, col.Position)
	}
	if c.Missing = materialize.MissingValue(value); c.Missing == nil && c.NotNull {
		newest, err := s.newestEvent(ctx, s.catalog(), r)
		if err != nil {
			return err
		}
		if newest != nil {
			e := hint(fail(codeNotNull, "column %q of relation %q contains null values", c.Name, r.Name), "ADD COLUMN %s %s NOT NULL DEFAULT … says what the rows have that are there.", quoteName(c.Name), c.Type)
			e.Table, e.Column = r.Name, c.Name
			return at(e, sql, col.Position)
		}
	}
	return s.define(func(cat *schema.Catalog) error {
		return changeColumns(cat, r, func(next *schema.Relation) error {
			if next.ColumnIndex(c.Name) >= 0 {
				return fail(codeDuplicateColumn, "column %q of relation %q already exists", c.Name, r.Name)
			}
			c := c
			if c.Kept = next.InsideNew(c.Name); c.Kept == c.Name {
				c.Kept = ""
			}
			next.Columns = append(next.Columns, c)
			next.SQL, err = parse.WithColumn(next.SQL, def)
			return err
		})
	})
}

// columnDefault is the value of a column's default, nil for NULL. Errors: it has other values for other rows, or is of another type.
func (s *Session) columnDefault(ctx context.Context, r *schema.Relation, c schema.Column) (*vector.Vector, error) {
	if c.Default == "" {
		return nil, nil
	}
	parsed, err := pg_query.Parse("SELECT " + c.Default)
	if err != nil {
		return nil, err
	}
	if v := parse.Volatile(parsed.Stmts[0].Stmt); v != "" && !stableClock(v) {
		return nil, hint(fail(codeUnsupported, "the default of column %q is not one value for all rows: %s is volatile", c.Name, v), "Rows that insert it say it themselves.")
	}
	values, err := s.defaults(ctx, &schema.Relation{Name: r.Name, Columns: []schema.Column{c}}, nil)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// stableClock reports whether a volatile function, as parse.Volatile writes it, has one value in a transaction.
func stableClock(name string) bool {
	return slices.Contains([]string{"now()", "transaction_timestamp()", "CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIMESTAMP"}, name)
}

// noNullEvents refuses NOT NULL of a column of which a row is NULL.
func (s *Session) noNullEvents(ctx context.Context, r *schema.Relation, column string) error {
	b := s.binderAt(ctx, s.catalog(), "", false)
	sql, err := b.relationSQL(r, false)
	if err != nil {
		return err
	}
	defer s.dropTemps()
	found, err := s.one(ctx, fmt.Sprintf("SELECT 1 FROM %s WHERE %s IS NULL LIMIT 1", sql, duck.QuoteIdent(column)))
	if err == nil && found != nil {
		e := fail(codeNotNull, "column %q of relation %q contains null values", column, r.Name)
		e.Table, e.Column = r.Name, column
		return e
	}
	return err
}

// columnsCommitted refuses to read or write a table of which the open transaction added or widened columns: before COMMIT nobody else's rows have
// them, and what is kept beside the log is as it was.
func (s *Session) columnsCommitted(r *schema.Relation) error {
	if s.tx == nil || s.tx.defs == nil || r.Kind != schema.EventTable {
		return nil
	}
	now := s.e.catalog.Current().Relations[r.ID]
	if now == nil {
		return nil
	}
	have, stored := now.Stored(), r.Stored()
	did := ""
	if len(have) < len(stored) {
		did = "added a column to"
	} else if slices.ContainsFunc(stored, func(c schema.Column) bool {
		return slices.ContainsFunc(have, func(h schema.Column) bool {
			return h.Name == c.Name && !h.Type.Equal(c.Type) && reclog.Widens(h.Type, c.Type)
		})
	}) {
		did = "widened a column of"
	}
	if did != "" {
		return hint(fail(codeUnsupported, "this transaction %s table %q, which can be read and written once that is committed", did, r.Name), "Commit first.")
	}
	return nil
}
