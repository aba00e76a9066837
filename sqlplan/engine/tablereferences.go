package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

type pgNode = pg_query.Node

func namedTarget(name string, v *pgNode) *pgNode {
	t := pg_query.MakeResTargetNodeWithVal(v, 0)
	t.GetResTarget().Name = name
	return t
}

// maxCascade bounds how deep references that cascade are followed.
const maxCascade = 100

// sameKeyValue is the condition that values of two columns' types are equal.
func sameKeyValue(x string, xt vector.Type, y string, yt vector.Type) string {
	if keptAsText(xt) || keptAsText(yt) {
		return fmt.Sprintf("__numeric_key(CAST(%s AS VARCHAR)) = __numeric_key(CAST(%s AS VARCHAR))", x, y)
	}
	return x + " = " + y
}

// pairs is a condition that columns of two tables are equal, one by one.
func pairs(a string, at *tables.Object, as []string, b string, bt *tables.Object, bs []string) string {
	conds := make([]string, len(as))
	for i := range as {
		conds[i] = sameKeyValue(a+"."+duck.QuoteIdent(as[i]), at.Column(as[i]).Type, b+"."+duck.QuoteIdent(bs[i]), bt.Column(bs[i]).Type)
	}
	return strings.Join(conds, " AND ")
}

func allNotNull(a string, cols []string) string {
	conds := make([]string, len(cols))
	for i, c := range cols {
		conds[i] = fmt.Sprintf("%s.%s IS NOT NULL", a, duck.QuoteIdent(c))
	}
	return strings.Join(conds, " AND ")
}

// referencesOf checks, after rows were written, that what they refer to is there. set are the columns that an UPDATE set.
func (c *rowCheck) referencesOf(ctx context.Context, staged string, set []string) error {
	for i := range c.table.Constraints {
		k := &c.table.Constraints[i]
		if k.Kind != tables.ForeignKey || set != nil && !slices.ContainsFunc(k.Columns, func(n string) bool { return slices.Contains(set, n) }) {
			continue
		}
		if k.Deferred {
			c.s.deferCheck(c.table.ID, k.ID)
			continue
		}
		if err := c.reference(ctx, k, staged); err != nil {
			return err
		}
	}
	return nil
}

// reference checks a reference of the rows of a relation.
func (c *rowCheck) reference(ctx context.Context, k *tables.Constraint, rows string) error {
	parent := c.s.tabs.ByID[k.References]
	if parent == nil {
		return fail(codeInternal, "the table that constraint %q refers to is gone", k.Name)
	}
	list := make([]string, len(k.Columns))
	for i, n := range k.Columns {
		list[i] = "s." + duck.QuoteIdent(n)
	}
	if k.MatchFull {
		some := strings.ReplaceAll(allNotNull("s", k.Columns), " AND ", " OR ")
		bad, err := c.s.one(ctx, fmt.Sprintf("SELECT 1 FROM %s AS s WHERE (%s) AND NOT (%s) LIMIT 1", rows, some, allNotNull("s", k.Columns)))
		if err != nil {
			return err
		}
		if bad != nil {
			e := c.ofTable(fail("23503", "insert or update on table %q violates foreign key constraint %q", c.table.Name, k.Name))
			e.Constraint, e.Detail = k.Name, "MATCH FULL does not allow mixing of null and nonnull key values."
			return e
		}
	}
	bad, err := c.s.one(ctx, fmt.Sprintf("SELECT %s FROM %s AS s WHERE %s AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s) ORDER BY s.rowid LIMIT 1",
		strings.Join(list, ", "), rows, allNotNull("s", k.Columns), duckName(parent), pairs("p", parent, k.ReferencesColumns, "s", c.table, k.Columns)))
	if err != nil || bad == nil {
		return err
	}
	return c.absent(k, parent, bad.Cols, 0)
}

// absent is the error of a reference to a row that is not there; cols are the values of its columns.
func (c *rowCheck) absent(k *tables.Constraint, parent *tables.Object, cols []*vector.Vector, row int) *session.Error {
	e := c.ofTable(fail("23503", "insert or update on table %q violates foreign key constraint %q", c.table.Name, k.Name))
	e.Constraint = k.Name
	e.Detail = fmt.Sprintf("Key (%s)=(%s) is not present in table %q.", quotedNames(k.Columns), c.s.keyValues(cols, row), parent.Name)
	return e
}

func quotedNames(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quoteName(n)
	}
	return strings.Join(out, ", ")
}

// follower is a reference to keys that a statement takes away.
type follower struct {
	tables.Referrer
	gone   string // temporary table of the old keys, o0, o1, …, and of an UPDATE the new ones, n0, n1, …
	update bool
}

// oldKeys keeps the keys that staged rows take away from references to the table, before they are written. set are the columns that
// an UPDATE sets; nil: the rows are deleted.
func (c *rowCheck) oldKeys(ctx context.Context, staged string, set []string) ([]follower, error) {
	var out []follower
	for _, r := range c.s.tabs.Referrers(c.table.ID) {
		cols := r.Constraint.ReferencesColumns
		if set != nil && !slices.ContainsFunc(cols, func(n string) bool { return slices.Contains(set, n) }) {
			continue
		}
		f := follower{Referrer: r, gone: "temp.main." + c.s.temp("gone"), update: set != nil}
		items := make([]string, 0, 2*len(cols))
		var changed []string
		for i, n := range cols {
			q := duck.QuoteIdent(n)
			items = append(items, fmt.Sprintf("t.%s AS o%d", q, i))
			if f.update {
				items = append(items, fmt.Sprintf("s.%s AS n%d", q, i))
				changed = append(changed, fmt.Sprintf("t.%s IS DISTINCT FROM s.%s", q, q))
			}
		}
		where := allNotNull("t", cols)
		if f.update {
			where += " AND (" + strings.Join(changed, " OR ") + ")"
		}
		if _, err := c.s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT %s FROM %s AS t JOIN %s AS s ON t.rowid = s.%s WHERE %s",
			strings.TrimPrefix(f.gone, "temp.main."), strings.Join(items, ", "), duckName(c.table), staged, stagedRowID, where)); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// follow does, after rows were written, what references to the table ask for.
func (c *rowCheck) follow(ctx context.Context, followers []follower) error {
	for _, f := range followers {
		action := f.Constraint.OnDelete
		if f.update {
			action = f.Constraint.OnUpdate
		}
		var err error
		switch action {
		case "c", "n", "d":
			err = c.cascade(ctx, f, action)
		default:
			if f.Constraint.Deferred && action != "r" {
				c.s.deferCheck(f.Table.ID, f.Constraint.ID)
				continue
			}
			err = c.stillReferenced(ctx, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// goneMatch is the condition that a row of the referring table, t, had a key of parent's that is gone, g.
func (f *follower) goneMatch(parent *tables.Object) string {
	conds := make([]string, len(f.Constraint.Columns))
	for i, n := range f.Constraint.Columns {
		conds[i] = sameKeyValue("t."+duck.QuoteIdent(n), f.Table.Column(n).Type, fmt.Sprintf("g.o%d", i), parent.Column(f.Constraint.ReferencesColumns[i]).Type)
	}
	return strings.Join(conds, " AND ")
}

func (c *rowCheck) stillReferenced(ctx context.Context, f follower) error {
	list := make([]string, len(f.Constraint.Columns))
	for i := range list {
		list[i] = fmt.Sprintf("g.o%d", i)
	}
	// A key that another row has taken over is there.
	bad, err := c.s.one(ctx, fmt.Sprintf("SELECT %s FROM %s AS g WHERE EXISTS (SELECT 1 FROM %s AS t WHERE %s) AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s) ORDER BY g.rowid LIMIT 1",
		strings.Join(list, ", "), f.gone, duckName(f.Table), f.goneMatch(c.table), duckName(c.table), pairsOld("p", c.table, f.Constraint.ReferencesColumns)))
	if err != nil || bad == nil {
		return err
	}
	e := fail("23503", "update or delete on table %q violates foreign key constraint %q on table %q", c.table.Name, f.Constraint.Name, f.Table.Name)
	e = (&rowCheck{s: c.s, table: f.Table}).ofTable(e)
	e.Constraint = f.Constraint.Name
	e.Detail = fmt.Sprintf("Key (%s)=(%s) is still referenced from table %q.", quotedNames(f.Constraint.ReferencesColumns), c.s.keyValues(bad.Cols, 0), f.Table.Name)
	return e
}

func pairsOld(p string, o *tables.Object, cols []string) string {
	conds := make([]string, len(cols))
	for i, n := range cols {
		t := o.Column(n).Type
		conds[i] = sameKeyValue(p+"."+duck.QuoteIdent(n), t, fmt.Sprintf("g.o%d", i), t)
	}
	return strings.Join(conds, " AND ")
}

// cascade changes or deletes the rows that refer to keys that are gone.
func (c *rowCheck) cascade(ctx context.Context, f follower, action string) error {
	s := c.s
	if s.cascading++; s.cascading > maxCascade {
		return fail("54001", "references cascade through more than %d changes", maxCascade)
	}
	defer func() { s.cascading-- }()
	w := &rowWrite{s: s, cat: s.catalog(), table: f.Table, alias: f.Table.Name, kind: 'd'}
	items := []string{"t.rowid AS " + stagedRowID}
	if f.update || action != "c" {
		w.kind = 'u'
	}
	for i := range f.Table.Columns {
		col := &f.Table.Columns[i]
		q := duck.QuoteIdent(col.Name)
		at := slices.Index(f.Constraint.Columns, col.Name)
		v := "t." + q
		if at >= 0 && w.kind == 'u' {
			w.set = append(w.set, col.Name)
			switch action {
			case "c":
				v = fmt.Sprintf("g.n%d", at)
			case "n":
				v = "NULL"
			case "d":
				n, err := s.defaultExpr(col)
				if err != nil {
					return err
				}
				if v, _, err = s.compileExpr(ctx, nil, n, assignment{targets: []analyze.Target{targetOf(col)}}, ""); err != nil {
					return err
				}
			}
			v = fmt.Sprintf("CAST(%s AS %s)", v, duckColumnType(col))
		}
		items = append(items, v+" AS "+q)
	}
	if w.kind == 'u' { // generated columns over what changes
		for i := range f.Table.Columns {
			if col := &f.Table.Columns[i]; col.Generated != "" {
				return hint(fail(codeUnsupported, "a reference that changes a table with generated columns is not supported: %q", f.Table.Name), "Change the rows of %q first.", f.Table.Name)
			}
		}
	}
	staged := s.temp("staged")
	_, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT %s FROM %s AS t JOIN %s AS g ON %s", staged, strings.Join(items, ", "), duckName(f.Table), f.gone, f.goneMatch(c.table)))
	if err != nil {
		return err
	}
	if some, err := s.one(ctx, "SELECT 1 FROM temp.main."+staged+" LIMIT 1"); err != nil || some == nil {
		return err
	}
	if w.kind == 'd' {
		_, err = w.remove(ctx, "temp.main."+staged)
	} else {
		_, err = w.replace(ctx, "temp.main."+staged)
	}
	return err
}

// deferCheck keeps a reference to be checked at COMMIT.
func (s *Session) deferCheck(table, constraint uint64) {
	k := [2]uint64{table, constraint}
	if !slices.Contains(s.tx.deferred, k) {
		s.tx.deferred = append(s.tx.deferred, k)
	}
}

// checkDeferred checks the references that waited for COMMIT.
func (s *Session) checkDeferred(ctx context.Context) error {
	for _, d := range s.tx.deferred {
		o := s.tabs.ByID[d[0]]
		if o == nil {
			continue
		}
		for i := range o.Constraints {
			if k := &o.Constraints[i]; k.ID == d[1] {
				if err := (&rowCheck{s: s, table: o}).reference(ctx, k, duckName(o)); err != nil {
					return err
				}
			}
		}
	}
	s.tx.deferred = nil
	return nil
}
