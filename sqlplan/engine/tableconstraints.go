package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// constrain adds the constraints that were kept while columns were read: generated columns and checks, then keys, then
// references, as PostgreSQL does, which shows in the names that it chooses.
func (d *tableDraft) constrain(ctx context.Context) error {
	kinds := [][]pg_query.ConstrType{
		{pg_query.ConstrType_CONSTR_GENERATED}, {pg_query.ConstrType_CONSTR_PRIMARY, pg_query.ConstrType_CONSTR_UNIQUE, pg_query.ConstrType_CONSTR_EXCLUSION},
		{pg_query.ConstrType_CONSTR_CHECK}, {pg_query.ConstrType_CONSTR_FOREIGN},
	}
	for _, round := range kinds {
		for _, k := range d.later {
			if slices.Contains(round, k.def.Contype) {
				if err := d.addConstraint(ctx, k.def, k.column); err != nil {
					return err
				}
			}
		}
	}
	d.later = nil
	return nil
}

// addConstraint adds one constraint.
func (d *tableDraft) addConstraint(ctx context.Context, k *pg_query.Constraint, column string) error {
	switch k.Contype {
	case pg_query.ConstrType_CONSTR_GENERATED:
		return d.checkGenerated(ctx, k, column)
	case pg_query.ConstrType_CONSTR_CHECK:
		return d.addCheck(ctx, k, column)
	case pg_query.ConstrType_CONSTR_PRIMARY, pg_query.ConstrType_CONSTR_UNIQUE:
		out := tables.Constraint{Kind: tables.Unique, Name: k.Conname, Deferrable: k.Deferrable, Deferred: k.Initdeferred, NullsNotDistinct: k.NullsNotDistinct}
		if k.Contype == pg_query.ConstrType_CONSTR_PRIMARY {
			out.Kind = tables.PrimaryKey
		}
		out.Columns = nodeNames(k.Keys)
		if column != "" {
			out.Columns = []string{column}
		}
		if k.Indexname != "" {
			return fail(codeUnsupported, "constraints USING INDEX are not supported")
		}
		for i, name := range out.Columns {
			if d.table.Column(name) == nil {
				return at(fail(codeUndefinedColumn, "column %q named in key does not exist", name), d.sql, int(k.Location))
			}
			if slices.Contains(out.Columns[:i], name) {
				what := "unique"
				if out.Kind == tables.PrimaryKey {
					what = "primary key"
				}
				return at(fail(codeDuplicateColumn, "column %q appears twice in %s constraint", name, what), d.sql, int(k.Location))
			}
		}
		if out.Kind == tables.PrimaryKey && d.table.Primary() != nil {
			if d.s.tabs.ByID[d.table.ID] != nil {
				return fail("42P16", "multiple primary keys for table %q are not allowed", d.table.Name)
			}
			return at(fail("42P16", "multiple primary keys for table %q are not allowed", d.table.Name), d.sql, int(k.Location))
		}
		for i := range d.table.Constraints {
			// In one statement a second key of the same columns is the first one, which takes its name if it has none.
			if old := &d.table.Constraints[i]; d.s.tabs.ByID[d.table.ID] == nil && out.Kind == tables.Unique && slices.Equal(old.Columns, out.Columns) && old.Deferrable == out.Deferrable && old.Deferred == out.Deferred && (old.Kind == tables.Unique || old.Kind == tables.PrimaryKey) {
				return nil
			}
		}
		return d.addKey(out)
	case pg_query.ConstrType_CONSTR_FOREIGN:
		return d.addReference(ctx, k, column)
	}
	return at(fail(codeUnsupported, "exclusion constraints are not supported"), d.sql, int(k.Location))
}

func nodeNames(l []*pg_query.Node) []string {
	var out []string
	for _, n := range l {
		out = append(out, n.GetString_().GetSval())
	}
	return out
}

// indexable refuses columns of types that have no order, by an access method that needs one.
func indexable(c *tables.Column, method string) error {
	base := c.Base
	if method != "btree" && method != "hash" || base != "json" && !codec.Geometric(pgfunc.KeptAsText(base)) || c.Type.Kind == vector.List {
		return nil
	}
	return hint(fail(codeUndefinedObject, "data type %s has no default operator class for access method %q", base, method), "You must specify an operator class for the index or define a default operator class for the data type.")
}

// addKey adds a key constraint and its index.
func (d *tableDraft) addKey(k tables.Constraint) error {
	if k.Kind == tables.PrimaryKey {
		for _, name := range k.Columns {
			d.table.Column(name).NotNull = true
		}
	}
	for _, name := range k.Columns {
		if err := indexable(d.table.Column(name), "btree"); err != nil {
			return err
		}
	}
	switch {
	case k.Name != "" && d.table.Constraint(k.Name) != nil:
		return fail(codeDuplicateObject, "constraint %q for relation %q already exists", k.Name, d.table.Name)
	case k.Name != "" && d.taken(k.Name):
		return fail(codeDuplicateTable, "relation %q already exists", k.Name)
	case k.Name == "" && k.Kind == tables.PrimaryKey:
		k.Name = tables.ChooseName(d.table.Name, "", "pkey", d.taken)
	case k.Name == "":
		k.Name = tables.ChooseName(d.table.Name, strings.Join(k.Columns, "_"), "key", d.taken)
	}
	id, err := d.s.newObjectID()
	if err != nil {
		return err
	}
	k.ID = id
	index, err := d.s.newDraft(d.sql, tables.Index, d.table.Schema, k.Name, d.table.Temp)
	if err != nil {
		return err
	}
	index.table.Of = &tables.IndexOf{Table: d.table.ID, Unique: true, Method: "btree", Constraint: k.Name, NullsNotDistinct: k.NullsNotDistinct}
	for _, c := range k.Columns {
		index.table.Of.Keys = append(index.table.Of.Keys, tables.IndexKey{Column: c})
	}
	d.made = append(d.made, index.table)
	d.table.Constraints = append(d.table.Constraints, k)
	return nil
}

// constraintTaken reports whether a constraint of the table has a name.
func (d *tableDraft) constraintTaken(name string) bool { return d.table.Constraint(name) != nil }

func (d *tableDraft) addCheck(ctx context.Context, k *pg_query.Constraint, column string) error {
	t, err := d.boolean(ctx, k.RawExpr, "check constraint")
	if err != nil {
		return err
	}
	if t.Kind != vector.Bool && !k.RawExpr.GetAConst().GetIsnull() {
		return at(fail(codeTypeMismatch, "argument of CHECK must be type boolean, not type %s", typeWord(t)), d.sql, nodeLocation(k.RawExpr))
	}
	text, err := parse.Deparse(k.RawExpr)
	if err != nil {
		return asError(err)
	}
	named := d.columnsIn(k.RawExpr)
	out := tables.Constraint{Kind: tables.Check, Name: k.Conname, Expr: text, Columns: named, NotValid: k.SkipValidation}
	if out.ID, err = d.s.newObjectID(); err != nil {
		return err
	}
	if out.Name == "" {
		of := ""
		if len(named) == 1 {
			of = named[0]
		}
		out.Name = tables.ChooseName(d.table.Name, of, "check", d.constraintTaken)
	} else if d.constraintTaken(out.Name) {
		return fail(codeDuplicateObject, "%s", d.checkTaken(out.Name))
	}
	d.table.Constraints = append(d.table.Constraints, out)
	return nil
}

// checkTaken is the message of a check whose name another constraint has.
func (d *tableDraft) checkTaken(name string) string {
	if d.s.tabs.ByID[d.table.ID] == nil { // the table is being made
		return fmt.Sprintf("check constraint %q already exists", name)
	}
	return fmt.Sprintf("constraint %q for relation %q already exists", name, d.table.Name)
}

// columnsIn are the columns that an expression names, in the table's order.
func (d *tableDraft) columnsIn(n *pg_query.Node) []string {
	named := map[string]bool{}
	parse.Walk(n, func(m proto.Message) bool {
		if r, ok := m.(*pg_query.ColumnRef); ok {
			named[r.Fields[len(r.Fields)-1].GetString_().GetSval()] = true
		}
		return true
	})
	var out []string
	for _, c := range d.table.Columns {
		if named[c.Name] {
			out = append(out, c.Name)
		}
	}
	return out
}

// boolean is the type of an expression over the table's columns.
func (d *tableDraft) boolean(ctx context.Context, expr *pg_query.Node, what string) (vector.Type, error) {
	var bad error
	parse.Walk(expr, func(m proto.Message) bool {
		if n, ok := m.(*pg_query.SubLink); ok {
			bad = at(fail(codeUnsupported, "cannot use subquery in %s", what), d.sql, int(n.Location))
		}
		return bad == nil
	})
	if bad != nil {
		return vector.Type{}, bad
	}
	_, t, err := d.s.compileExpr(ctx, d.table, expr, assignment{clause: what + "s"}, d.sql)
	return t, err
}

// emptyRows is a table's columns without rows, as a relation of DuckDB's.
func emptyRows(o *tables.Object) string {
	cols := make([]string, len(o.Columns))
	for i := range o.Columns {
		cols[i] = fmt.Sprintf("NULL::%s AS %s", duckColumnType(&o.Columns[i]), duck.QuoteIdent(o.Columns[i].Name))
	}
	return "(SELECT " + strings.Join(cols, ", ") + " WHERE false)"
}

func (d *tableDraft) checkGenerated(ctx context.Context, k *pg_query.Constraint, column string) error {
	for _, name := range d.columnsIn(k.RawExpr) {
		if c := d.table.Column(name); c.Generated != "" {
			e := fail("42P17", "cannot use generated column %q in column generation expression", name)
			e.Detail = "A generated column cannot reference another generated column."
			place := -1
			parse.Walk(k.RawExpr, func(m proto.Message) bool {
				if r, ok := m.(*pg_query.ColumnRef); ok && r.Fields[len(r.Fields)-1].GetString_().GetSval() == name {
					place = int(r.Location)
				}
				return true
			})
			return at(e, d.sql, place)
		}
	}
	if v := parse.Volatile(k.RawExpr); v != "" {
		return fail("42P17", "generation expression is not immutable")
	}
	c := d.table.Column(column)
	target := targetOf(c)
	target.Default = true
	return d.assigned(ctx, k.RawExpr, d.table, target, "column generation expressions")
}

// addReference adds a foreign key.
func (d *tableDraft) addReference(ctx context.Context, k *pg_query.Constraint, column string) error {
	out := tables.Constraint{Kind: tables.ForeignKey, Name: k.Conname, Columns: nodeNames(k.FkAttrs), ReferencesColumns: nodeNames(k.PkAttrs),
		OnDelete: k.FkDelAction, OnUpdate: k.FkUpdAction, MatchFull: k.FkMatchtype == "f", Deferrable: k.Deferrable, Deferred: k.Initdeferred, NotValid: k.SkipValidation}
	if column != "" {
		out.Columns = []string{column}
	}
	parent := d.table
	if rv := k.Pktable; rv.Relname != d.table.Name || rv.Schemaname != "" && rv.Schemaname != d.table.Schema {
		if r := eventTableOf(d.s.catalog(), rv); r != nil {
			return at(hint(fail(codeUnsupported, "foreign keys to event table %q are not supported", r.Name), "Its rows are in another store; leave REFERENCES out."), d.sql, int(rv.Location))
		}
		var err error
		if parent, err = d.s.target(ctx, rv, ""); err != nil {
			return err
		}
		if parent.Kind != tables.Table {
			return fail(codeWrongObject, "referenced relation %q is not a table", rv.Relname)
		}
	}
	if parent.Temp != d.table.Temp {
		return fail("42P16", "constraints on %[1]s tables may reference only %[1]s tables", map[bool]string{true: "temporary", false: "permanent"}[d.table.Temp])
	}
	out.References = parent.ID
	for _, name := range out.Columns {
		if d.table.Column(name) == nil {
			return fail(codeUndefinedColumn, "column %q referenced in foreign key constraint does not exist", name)
		}
	}
	if len(out.ReferencesColumns) == 0 {
		p := parent.Primary()
		if p == nil {
			return fail(codeUndefinedObject, "there is no primary key for referenced table %q", parent.Name)
		}
		out.ReferencesColumns = p.Columns
	}
	for _, name := range out.ReferencesColumns {
		if parent.Column(name) == nil {
			return fail(codeUndefinedColumn, "column %q referenced in foreign key constraint does not exist", name)
		}
	}
	if len(out.Columns) != len(out.ReferencesColumns) {
		return fail("42830", "number of referencing and referenced columns for foreign key disagree")
	}
	if !d.s.hasKey(parent, out.ReferencesColumns) {
		return fail("42830", "there is no unique constraint matching given keys for referenced table %q", parent.Name)
	}
	if out.Name == "" {
		out.Name = tables.ChooseName(d.table.Name, strings.Join(out.Columns, "_"), "fkey", d.constraintTaken)
	} else if d.constraintTaken(out.Name) {
		return fail(codeDuplicateObject, "constraint %q for relation %q already exists", out.Name, d.table.Name)
	}
	for i, name := range out.Columns {
		a, b := d.table.Column(name), parent.Column(out.ReferencesColumns[i])
		if !analyze.Refers(targetOf(a).Type, targetOf(b).Type) {
			e := fail(codeTypeMismatch, "foreign key constraint %q cannot be implemented", out.Name)
			e.Detail = fmt.Sprintf("Key columns %q and %q are of incompatible types: %s and %s.", a.Name, b.Name, a.Declared, b.Declared)
			return e
		}
	}
	id, err := d.s.newObjectID()
	if err != nil {
		return err
	}
	out.ID = id
	d.table.Constraints = append(d.table.Constraints, out)
	return nil
}

// hasKey reports whether columns, in whatever order, are a key of a table.
func (s *Session) hasKey(o *tables.Object, columns []string) bool {
	want := slices.Sorted(slices.Values(columns))
	for _, k := range o.Constraints {
		if (k.Kind == tables.PrimaryKey || k.Kind == tables.Unique) && slices.Equal(slices.Sorted(slices.Values(k.Columns)), want) {
			return true
		}
	}
	for _, x := range s.tabs.IndexesOf(o.ID) {
		if x.Of.Unique && x.Of.Where == "" && x.Of.Constraint == "" {
			var names []string
			for _, k := range x.Of.Keys {
				names = append(names, k.Column)
			}
			if slices.Equal(slices.Sorted(slices.Values(names)), want) {
				return true
			}
		}
	}
	return false
}
