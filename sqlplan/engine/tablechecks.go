package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// rowCheck checks staged rows against a table's constraints.
type rowCheck struct {
	s     *Session
	table *tables.Object
	// where is the place of a row in the data of COPY, with its line where whole is set; nil of other statements.
	where func(row int64, whole bool) string
}

// inData adds to an error where in the data of COPY its row stood. PostgreSQL shows the line of a row that it has just read, and only
// the number of one that it wrote with others.
func (c *rowCheck) inData(ctx context.Context, e *session.Error, staged string, row int64, whole bool) error {
	if c.where == nil {
		return e
	}
	first, err := c.s.one(ctx, "SELECT min(rowid) FROM "+staged) // which is not 0 before a transaction's end
	if err != nil {
		return err
	}
	e.Where = c.where(row-first.Cols[0].I64[0], whole)
	return e
}

// ofTable names the table that an error is about.
func (c *rowCheck) ofTable(e *session.Error) *session.Error {
	e.Schema, e.Table = c.table.Schema, c.table.Name
	if c.table.Temp {
		e.Schema = "pg_temp_3"
	}
	return e
}

// one is a query's first row, nil where there is none.
func (s *Session) one(ctx context.Context, sql string) (*vector.Chunk, error) {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ch, err := rows.Next()
	if err != nil || ch == nil || ch.N == 0 {
		return nil, err
	}
	types := ch.Types()
	out := vector.NewChunk(types, 1)
	out.AppendRow(ch, 0)
	return out, nil
}

// rows checks NOT NULL and CHECK of the staged rows, in the order of the rows, and within one in PostgreSQL's. set are the columns
// that an UPDATE sets; nil: all.
func (c *rowCheck) rows(ctx context.Context, staged string, set []string) error {
	type rule struct {
		column *tables.Column
		check  *tables.Constraint
	}
	var rules []rule
	var whens []string
	q := func(name string) string { return duck.QuoteIdent(c.table.Name) + "." + duck.QuoteIdent(name) }
	for i := range c.table.Columns {
		if col := &c.table.Columns[i]; col.NotNull && (set == nil || slices.Contains(set, col.Name) || col.Generated != "") {
			whens = append(whens, fmt.Sprintf("WHEN %s IS NULL THEN %d", q(col.Name), len(rules)))
			rules = append(rules, rule{column: col})
		}
	}
	var checks []*tables.Constraint
	for i := range c.table.Constraints {
		if k := &c.table.Constraints[i]; k.Kind == tables.Check {
			checks = append(checks, k)
		}
	}
	slices.SortFunc(checks, func(a, b *tables.Constraint) int { return strings.Compare(a.Name, b.Name) })
	from := staged + " AS " + duck.QuoteIdent(c.table.Name)
	if len(checks) > 0 {
		oks := make([]string, len(checks))
		for i, k := range checks {
			expr, err := c.s.checkExpr(ctx, c.table, k)
			if err != nil {
				return err
			}
			oks[i] = fmt.Sprintf("WHEN NOT (%s) THEN %d", expr, len(rules))
			rules = append(rules, rule{check: k})
		}
		whens = append(whens, oks...)
	}
	if len(rules) == 0 {
		return nil
	}
	sql := fmt.Sprintf("SELECT * FROM (SELECT CASE %s END AS __bad, rowid AS __n FROM %s) WHERE __bad IS NOT NULL ORDER BY __n LIMIT 1", strings.Join(whens, " "), from)
	bad, err := c.s.one(ctx, sql)
	if err != nil || bad == nil {
		return err
	}
	r := rules[bad.Cols[0].I64[0]]
	row, err := c.failingRow(ctx, staged, bad.Cols[1].I64[0])
	if err != nil {
		return err
	}
	if r.column != nil {
		return c.inData(ctx, c.nullValue(r.column, row), staged, bad.Cols[1].I64[0], true)
	}
	return c.inData(ctx, c.checkFailed(r.check, row), staged, bad.Cols[1].I64[0], true)
}

// nullValue is the error of a NULL in a column that takes none.
func (c *rowCheck) nullValue(column *tables.Column, row string) *session.Error {
	e := c.ofTable(fail(codeNotNull, "null value in column %q of relation %q violates not-null constraint", column.Name, c.table.Name))
	e.Column, e.Detail = column.Name, row
	return e
}

// checkFailed is the error of a row that breaks a check.
func (c *rowCheck) checkFailed(k *tables.Constraint, row string) *session.Error {
	e := c.ofTable(fail("23514", "new row for relation %q violates check constraint %q", c.table.Name, k.Name))
	e.Constraint, e.Detail = k.Name, row
	return e
}

// maxDetailValue bounds a value in the detail of an error, in bytes.
const maxDetailValue = 64

func (c *rowCheck) failingRow(ctx context.Context, staged string, row int64) (string, error) {
	if !c.s.showsRows(c.table) {
		return "", nil
	}
	ch, err := c.s.one(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE rowid = %d", quotedColumns(tableColumnNames(c.table.Columns)), staged, row))
	if err != nil || ch == nil {
		return "", err
	}
	return c.rowDetail(ch.Cols, 0), nil
}

// rowDetail is the detail of an error of a row, "" where the role may not see it.
func (c *rowCheck) rowDetail(cols []*vector.Vector, i int) string {
	if !c.s.showsRows(c.table) {
		return ""
	}
	values := make([]string, len(cols))
	for k, v := range cols {
		values[k] = c.s.detailValue(v, i)
	}
	return "Failing row contains (" + strings.Join(values, ", ") + ")."
}

func (s *Session) detailValue(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "null"
	}
	text := codec.AppendText(nil, v, i, s.codecSettings())
	if len(text) <= maxDetailValue {
		return string(text)
	}
	cut := maxDetailValue
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return string(text[:cut]) + "..."
}

// uniqueKey is what must be unique: a key constraint, or a unique index.
type uniqueKey struct {
	name       string // of the constraint or index
	id         uint64
	columns    []string // in errors: columns, or expressions
	exprs      []string // DuckDB's SQL over a relation of the table's columns, of what is compared
	values     []string // and of what is shown
	where      string   // of a partial index, DuckDB's SQL; "": all rows
	nullsEqual bool
	constraint *tables.Constraint // nil: an index
	deferrable bool
}

// uniqueKeys are the keys of a table in the order in which PostgreSQL checks them.
func (s *Session) uniqueKeys(ctx context.Context, o *tables.Object) ([]uniqueKey, error) {
	var out []uniqueKey
	for _, x := range s.tabs.IndexesOf(o.ID) {
		if !x.Of.Unique {
			continue
		}
		k := uniqueKey{name: x.Name, id: x.ID, nullsEqual: x.Of.NullsNotDistinct, constraint: o.Constraint(x.Of.Constraint)}
		k.deferrable = k.constraint != nil && k.constraint.Deferrable
		for _, key := range x.Of.Keys {
			if key.Column != "" {
				k.column(o.Column(key.Column))
				continue
			}
			value, err := s.definedExpr(ctx, o, key.Expr, asValue)
			if err != nil {
				return nil, err
			}
			compared, err := s.definedExpr(ctx, o, key.Expr, asKey)
			if err != nil {
				return nil, err
			}
			shown := key.Expr
			if n, err := expressionText(key.Expr); err == nil && n.GetFuncCall() == nil {
				shown = "(" + shown + ")"
			}
			k.columns, k.exprs, k.values = append(k.columns, shown), append(k.exprs, compared), append(k.values, value)
		}
		if x.Of.Where != "" {
			sql, err := s.definedExpr(ctx, o, x.Of.Where, asCondition)
			if err != nil {
				return nil, err
			}
			k.where = sql
		}
		out = append(out, k)
	}
	return out, nil
}

// column adds a column to a key.
func (k *uniqueKey) column(c *tables.Column) {
	q := duck.QuoteIdent(c.Name)
	k.columns, k.exprs, k.values = append(k.columns, quoteName(c.Name)), append(k.exprs, comparedAs(q, c.Type)), append(k.values, q)
}

// comparedAs is what stands for a value of a column's type where it is compared with others of the type.
func comparedAs(sql string, t vector.Type) string {
	switch {
	case keptAsText(t) && t.Kind == vector.List:
		return "__numeric_array_key(" + sql + ")"
	case keptAsText(t):
		return "__numeric_key(" + sql + ")"
	}
	return sql
}

// keyed is the key's columns as k0, k1, … of a relation, without the rows that it does not hold.
func (k *uniqueKey) keyed(relation, as, more string) string {
	cols := make([]string, len(k.exprs))
	var conds []string
	for i, e := range k.exprs {
		cols[i] = fmt.Sprintf("%s AS k%d", e, i)
		if !k.nullsEqual {
			conds = append(conds, fmt.Sprintf("(%s) IS NOT NULL", e))
		}
	}
	if k.where != "" {
		conds = append(conds, "("+k.where+")")
	}
	where := ""
	if len(conds) > 0 {
		where = " WHERE " + strings.Join(conds, " AND ")
	}
	return fmt.Sprintf("(SELECT %s%s FROM %s AS %s%s)", strings.Join(cols, ", "), more, relation, as, where)
}

// same is the condition that two relations of keyed have the same key.
func (k *uniqueKey) same(a, b string) string {
	conds := make([]string, len(k.exprs))
	op := "="
	if k.nullsEqual {
		op = "IS NOT DISTINCT FROM"
	}
	for i := range k.exprs {
		conds[i] = fmt.Sprintf("%s.k%d %s %s.k%d", a, i, op, b, i)
	}
	return strings.Join(conds, " AND ")
}

func (k *uniqueKey) list(of string) string {
	cols := make([]string, len(k.exprs))
	for i := range cols {
		cols[i] = fmt.Sprintf("%s.k%d", of, i)
	}
	return strings.Join(cols, ", ")
}

// touches reports whether an UPDATE of columns can break a key.
func (c *rowCheck) touches(set []string) bool {
	for _, x := range c.s.tabs.IndexesOf(c.table.ID) {
		if !x.Of.Unique {
			continue
		}
		if x.Of.Where != "" {
			return true
		}
		for _, key := range x.Of.Keys {
			if key.Column == "" || slices.Contains(set, key.Column) || c.table.Column(key.Column).Generated != "" {
				return true
			}
		}
	}
	return false
}

// keys checks that the staged rows break no key. Of rows that replace others it checks what PostgreSQL does, which looks at each
// row when it is written: a key that a row further down gives up is still taken.
func (c *rowCheck) keys(ctx context.Context, staged string, replacing bool) error {
	keys, err := c.s.uniqueKeys(ctx, c.table)
	if err != nil {
		return err
	}
	c.s.forgetKeys(c.table.ID)
	name := duck.QuoteIdent(c.table.Name)
	for i := range keys {
		k := &keys[i]
		news := k.keyed(staged, name, ", rowid AS __n")
		existing := duckName(c.table)
		var parts []string
		parts = append(parts, fmt.Sprintf("SELECT min(__n) AS __n FROM (SELECT __n, row_number() OVER (PARTITION BY %s ORDER BY __n) AS __c FROM %s AS s) WHERE __c > 1", k.list("s"), news))
		olds := k.keyed(existing, name, "")
		if replacing {
			news = k.keyed(staged, name, ", rowid AS __n, "+stagedRowID+" AS __r")
			olds = k.keyed(existing, name, ", rowid AS __r")
			later := ""
			if !k.deferrable { // rows that were written before no longer have their old keys
				later = fmt.Sprintf(" AND NOT EXISTS (SELECT 1 FROM %s AS w WHERE w.%s = t.__r AND w.rowid < s.__n)", staged, stagedRowID)
			} else {
				later = fmt.Sprintf(" AND NOT EXISTS (SELECT 1 FROM %s AS w WHERE w.%s = t.__r)", staged, stagedRowID)
			}
			parts = append(parts, fmt.Sprintf("SELECT min(s.__n) FROM %s AS s JOIN %s AS t ON %s AND s.__r <> t.__r%s", news, olds, k.same("s", "t"), later))
		} else if len(k.exprs) == 1 && !k.nullsEqual {
			parts = append(parts, fmt.Sprintf("SELECT min(s.__n) FROM %s AS s WHERE s.k0 IN (SELECT t.k0 FROM %s AS t WHERE t.k0 IN (SELECT k0 FROM %s))", news, olds, news))
		} else {
			parts = append(parts, fmt.Sprintf("SELECT min(s.__n) FROM %s AS s JOIN %s AS t ON %s", news, olds, k.same("s", "t")))
		}
		bad, err := c.s.one(ctx, fmt.Sprintf("SELECT min(__n) AS __n FROM (%s) AS x HAVING min(__n) IS NOT NULL", strings.Join(parts, " UNION ALL ")))
		if err != nil {
			return err
		}
		if bad == nil {
			continue
		}
		e, err := c.duplicate(ctx, k, staged, bad.Cols[0].I64[0])
		if err != nil {
			return err
		}
		return c.inData(ctx, e, staged, bad.Cols[0].I64[0], false)
	}
	return nil
}

// duplicate is the error of a staged row whose key is taken.
func (c *rowCheck) duplicate(ctx context.Context, k *uniqueKey, staged string, row int64) (*session.Error, error) {
	ch, err := c.s.one(ctx, fmt.Sprintf("SELECT %s FROM %s AS %s WHERE rowid = %d", strings.Join(k.values, ", "), staged, duck.QuoteIdent(c.table.Name), row))
	if err != nil {
		return nil, err
	}
	return c.taken(k, ch.Cols, 0), nil
}

// taken is the error of a key that another row has; cols are the key's values.
func (c *rowCheck) taken(k *uniqueKey, cols []*vector.Vector, row int) *session.Error {
	e := c.ofTable(fail(codeUnique, "duplicate key value violates unique constraint %q", k.name))
	if e.Constraint = k.name; c.s.showsRows(c.table) {
		e.Detail = fmt.Sprintf("Key (%s)=(%s) already exists.", strings.Join(k.columns, ", "), c.s.keyValues(cols, row))
	}
	return e
}

// keyValues are the values of a row in the detail of an error.
func (s *Session) keyValues(cols []*vector.Vector, row int) string {
	values := make([]string, len(cols))
	for i, v := range cols {
		if v.IsNull(row) {
			values[i] = "null"
		} else {
			values[i] = string(codec.AppendText(nil, v, row, s.codecSettings()))
		}
	}
	return strings.Join(values, ", ")
}

// checkExpr is a check's condition as DuckDB's SQL.
func (s *Session) checkExpr(ctx context.Context, o *tables.Object, k *tables.Constraint) (string, error) {
	return s.definedExpr(ctx, o, k.Expr, asCondition)
}
