package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// bindRenameOrdinary binds RENAME of ordinary objects, their columns and constraints.
func (s *Session) bindRenameOrdinary(st *parse.SQL, n *pg_query.RenameStmt) (bound, error) {
	word := map[pg_query.ObjectType]string{pg_query.ObjectType_OBJECT_TABLE: "TABLE", pg_query.ObjectType_OBJECT_VIEW: "VIEW", pg_query.ObjectType_OBJECT_MATVIEW: "MATERIALIZED VIEW",
		pg_query.ObjectType_OBJECT_INDEX: "INDEX", pg_query.ObjectType_OBJECT_SEQUENCE: "SEQUENCE", pg_query.ObjectType_OBJECT_COLUMN: "TABLE",
		pg_query.ObjectType_OBJECT_TABCONSTRAINT: "TABLE", pg_query.ObjectType_OBJECT_SCHEMA: "SCHEMA"}[n.RenameType]
	if n.RenameType == pg_query.ObjectType_OBJECT_COLUMN && n.RelationType == pg_query.ObjectType_OBJECT_VIEW {
		word = "VIEW"
	}
	if word == "" || word == "SCHEMA" {
		return bound{}, fail(codeUnsupported, "%s … RENAME is not supported", firstWords(st.Text))
	}
	return s.ddl(func(ctx context.Context) (string, error) {
		tag := "ALTER " + word
		o, err := s.alterTarget(ctx, n.Relation, n.MissingOk, st.Text)
		if o == nil || err != nil {
			return tag, err
		}
		if err := s.takeLocks(ctx, s.lockSet(o, false)); err != nil {
			return "", err
		}
		switch n.RenameType {
		case pg_query.ObjectType_OBJECT_COLUMN:
			return tag, s.renameColumn(ctx, o, n.Subname, n.Newname)
		case pg_query.ObjectType_OBJECT_TABCONSTRAINT:
			return tag, s.renameConstraint(ctx, o, n.Subname, n.Newname)
		}
		want := dropKinds[n.RenameType]
		if o.Kind != want && want != tables.Table {
			return "", fail(codeWrongObject, "%q is not a%s %s", o.Name, map[bool]string{true: "n", false: ""}[want == tables.Index], want)
		}
		return tag, s.renameObject(ctx, o, o.Schema, n.Newname)
	}), nil
}

// renameObject gives a relation another name or schema: the views that read it go on to read it.
func (s *Session) renameObject(ctx context.Context, o *tables.Object, space, name string) error {
	if !o.Temp {
		if err := s.lockName(ctx, space, name); err != nil {
			return err
		}
	}
	if s.nameTaken(space, name) {
		return fail(codeDuplicateTable, "relation %q already exists%s", name, map[bool]string{true: fmt.Sprintf(" in schema %q", space)}[space != o.Schema])
	}
	next := o.Clone()
	next.Schema, next.Name = space, name
	moved := space != o.Schema
	switch o.Kind {
	case tables.Table, tables.MaterializedView:
		if moved {
			if err := s.moveTable(ctx, o, next); err != nil {
				return err
			}
		} else if _, err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s RENAME TO %s", duckName(o), duck.QuoteIdent(name))); err != nil {
			return err
		}
	case tables.View:
		if _, err := s.conn.Exec(ctx, "DROP VIEW "+duckName(o)); err != nil {
			return err
		}
		if err := s.holdName(ctx, next); err != nil {
			return err
		}
	case tables.Index:
		if o.Of.Constraint != "" {
			t := s.tabs.ByID[o.Of.Table].Clone()
			t.Constraint(o.Of.Constraint).Name = name
			next.Of.Constraint = name
			if err := s.putObject(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := s.putObject(ctx, next); err != nil {
		return err
	}
	if o.Kind == tables.Sequence {
		for _, t := range s.tabs.Sorted(func(x *tables.Object) bool { return x.Kind == tables.Table }) {
			changed := t.Clone()
			hit := false
			for i := range changed.Columns {
				if c := &changed.Columns[i]; c.Default != "" && usesSequence(c.Default, o) {
					c.Default = fmt.Sprintf("nextval('%s'::regclass)", strings.ReplaceAll(qualifiedName(next), "'", "''"))
					hit = true
				}
			}
			if hit {
				if err := s.putObject(ctx, changed); err != nil {
					return err
				}
			}
		}
	}
	return s.rewriteReaders(ctx, o, func(rv *pg_query.RangeVar) {
		if rv.Alias == nil {
			rv.Alias = &pg_query.Alias{Aliasname: rv.Relname}
		}
		rv.Schemaname, rv.Relname = space, name
	})
}

// moveTable makes a table anew in another schema, which DuckDB cannot move it to.
func (s *Session) moveTable(ctx context.Context, o, next *tables.Object) error {
	d := &tableDraft{s: s, table: next}
	cols := make([]string, len(next.Columns))
	for i := range next.Columns {
		c := &next.Columns[i]
		cols[i] = duck.QuoteIdent(c.Name) + " " + duckColumnType(c)
		if c.NotNull {
			cols[i] += " NOT NULL"
		}
	}
	for _, sql := range []string{
		fmt.Sprintf("CREATE TABLE %s (%s)", duckName(d.table), strings.Join(cols, ", ")),
		fmt.Sprintf("INSERT INTO %s SELECT * FROM %s", duckName(next), duckName(o)),
		"DROP TABLE " + duckName(o),
	} {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, p := range s.partsOf(o) {
		part := p.Clone()
		part.Schema = next.Schema
		for i := range next.Columns {
			if c := &next.Columns[i]; p.Kind == tables.Sequence && c.Default != "" && usesSequence(c.Default, p) {
				c.Default = fmt.Sprintf("nextval('%s'::regclass)", strings.ReplaceAll(qualifiedName(part), "'", "''"))
			}
		}
		if err := s.putObject(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// rewriteReaders changes the mentions of a relation in the views that read it.
func (s *Session) rewriteReaders(ctx context.Context, o *tables.Object, change func(rv *pg_query.RangeVar)) error {
	for _, v := range s.tabs.Sorted(func(x *tables.Object) bool { return slices.Contains(x.Reads, o.ID) }) {
		if v.Written != "" {
			return notRewritten(v, o.Name)
		}
		n, err := viewSelect(v)
		if err != nil {
			return err
		}
		err = s.eachRelation(n, nil, func(_ *pgNode, rv *pg_query.RangeVar) error {
			if rv.Relname == o.Name && rv.Schemaname == o.Schema {
				change(rv)
			}
			return nil
		})
		if err != nil {
			return err
		}
		next := v.Clone()
		if next.SQL, err = parse.Deparse(n); err != nil {
			return err
		}
		if err := s.putObject(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// renameColumn renames a column, in the table's definitions too. A view that names it goes on to show its own name.
func (s *Session) renameColumn(ctx context.Context, o *tables.Object, from, to string) error {
	next := o.Clone()
	c := next.Column(from)
	switch {
	case c == nil:
		return fail(codeUndefinedColumn, "column %q does not exist", from)
	case next.Column(to) != nil:
		return fail(codeDuplicateColumn, "column %q of relation %q already exists", to, o.Name)
	case slices.Contains(systemColumns, to):
		return fail(codeDuplicateColumn, "column name %q conflicts with a system column name", to)
	case strings.HasPrefix(to, "__"):
		return fail("42939", "column name %q is reserved", to)
	case o.Kind == tables.View || o.Kind == tables.MaterializedView:
		if readers := s.tabs.Sorted(func(x *tables.Object) bool { return slices.Contains(x.Reads, o.ID) && viewNames(x, from) }); len(readers) > 0 {
			return fail(codeUnsupported, "cannot rename column %q of %s %q: %s reads it", from, o.Kind, o.Name, describeObject(readers[0]))
		}
	}
	rename := func(names []string) {
		for i := range names {
			if names[i] == from {
				names[i] = to
			}
		}
	}
	c.Name = to
	for i := range next.Columns {
		if g := &next.Columns[i]; g.Generated != "" {
			var err error
			if g.Generated, err = renamedIn(g.Generated, from, to); err != nil {
				return err
			}
		}
	}
	for i := range next.Constraints {
		k := &next.Constraints[i]
		rename(k.Columns)
		if k.References == o.ID {
			rename(k.ReferencesColumns)
		}
		if k.Expr != "" {
			var err error
			if k.Expr, err = renamedIn(k.Expr, from, to); err != nil {
				return err
			}
		}
	}
	switch o.Kind {
	case tables.View:
		if err := s.holdName(ctx, next); err != nil {
			return err
		}
	default:
		if _, err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", duckName(o), duck.QuoteIdent(from), duck.QuoteIdent(to))); err != nil {
			return err
		}
	}
	if err := s.putObject(ctx, next); err != nil {
		return err
	}
	for _, x := range s.tabs.Sorted(func(x *tables.Object) bool { return x.ID != o.ID }) {
		changed, hit := x.Clone(), false
		switch {
		case x.Kind == tables.Index && x.Of.Table == o.ID:
			hit = true
			rename(changed.Of.Include)
			for i := range changed.Of.Keys {
				k := &changed.Of.Keys[i]
				var err error
				if k.Column == from {
					k.Column = to
				} else if k.Expr != "" {
					if k.Expr, err = renamedIn(k.Expr, from, to); err != nil {
						return err
					}
				}
			}
			if changed.Of.Where != "" {
				var err error
				if changed.Of.Where, err = renamedIn(changed.Of.Where, from, to); err != nil {
					return err
				}
			}
		case x.Kind == tables.Sequence && x.OwnedBy == o.ID && x.OwnedByColumn == from:
			hit, changed.OwnedByColumn = true, to
		}
		for i := range changed.Constraints {
			if k := &changed.Constraints[i]; k.References == o.ID {
				hit = true
				rename(k.ReferencesColumns)
			}
		}
		if hit {
			if err := s.putObject(ctx, changed); err != nil {
				return err
			}
		}
	}
	if o.Kind != tables.Table {
		return nil
	}
	// The views read the table under its old columns' names.
	old := o
	for _, v := range s.tabs.Sorted(func(x *tables.Object) bool { return slices.Contains(x.Reads, o.ID) && viewNames(x, from) }) {
		if err := s.viewOverRenamed(ctx, v, old, next, from, to); err != nil {
			return err
		}
	}
	return nil
}

// viewOverRenamed makes a view read a table by a subquery that gives a renamed column its old name.
func (s *Session) viewOverRenamed(ctx context.Context, v, old, now *tables.Object, from, to string) error {
	if v.Written != "" {
		return notRewritten(v, "column "+from+" of "+old.Name)
	}
	n, err := viewSelect(v)
	if err != nil {
		return err
	}
	err = s.eachRelation(n, nil, func(at *pgNode, rv *pg_query.RangeVar) error {
		if rv.Relname != old.Name || rv.Schemaname != old.Schema {
			return nil
		}
		var items []*pgNode
		for _, c := range now.Columns {
			t := pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pgNode{pg_query.MakeStrNode(c.Name)}, 0), 0)
			if c.Name == to {
				t.GetResTarget().Name = from
			}
			items = append(items, t)
		}
		alias := rv.Alias
		if alias == nil {
			alias = &pg_query.Alias{Aliasname: rv.Relname}
		}
		rv.Alias = nil
		sub := subselect(selectNode(items, &pgNode{Node: &pg_query.Node_RangeVar{RangeVar: proto.Clone(rv).(*pg_query.RangeVar)}}), alias.Aliasname)
		sub.GetRangeSubselect().Alias = alias
		at.Node = sub.Node
		return nil
	})
	if err != nil {
		return err
	}
	next := v.Clone()
	if next.SQL, err = parse.Deparse(n); err != nil {
		return err
	}
	return s.putObject(ctx, next)
}

// renamedIn is an expression of a definition with a column renamed.
func renamedIn(expr, from, to string) (string, error) {
	n, err := expressionText(expr)
	if err != nil {
		return "", err
	}
	parse.Walk(n, func(m proto.Message) bool {
		if r, ok := m.(*pg_query.ColumnRef); ok {
			if last := r.Fields[len(r.Fields)-1].GetString_(); last.GetSval() == from {
				last.Sval = to
			}
		}
		return true
	})
	return parse.Deparse(n)
}

func (s *Session) renameConstraint(ctx context.Context, o *tables.Object, from, to string) error {
	next := o.Clone()
	k := next.Constraint(from)
	if k == nil {
		return fail(codeUndefinedObject, "constraint %q for table %q does not exist", from, o.Name)
	}
	if next.Constraint(to) != nil {
		return fail(codeDuplicateObject, "constraint %q for relation %q already exists", to, o.Name)
	}
	if k.Kind == tables.PrimaryKey || k.Kind == tables.Unique {
		if s.nameTaken(o.Schema, to) {
			return fail(codeDuplicateTable, "relation %q already exists", to)
		}
		for _, x := range s.tabs.IndexesOf(o.ID) {
			if x.Of.Constraint == from {
				index := x.Clone()
				index.Name, index.Of.Constraint = to, to
				if err := s.putObject(ctx, index); err != nil {
					return err
				}
			}
		}
	}
	k.Name = to
	return s.putObject(ctx, next)
}

// bindSetSchema binds ALTER … SET SCHEMA.
func (s *Session) bindSetSchema(st *parse.SQL, n *pg_query.AlterObjectSchemaStmt) (bound, error) {
	kind := dropKinds[n.ObjectType]
	if n.Relation == nil || kind == "" {
		return bound{}, fail(codeUnsupported, "%s … SET SCHEMA is not supported", firstWords(st.Text))
	}
	return s.ddl(func(ctx context.Context) (string, error) {
		tag := "ALTER " + strings.ToUpper(string(kind))
		o, err := s.alterTarget(ctx, n.Relation, n.MissingOk, st.Text)
		if o == nil || err != nil {
			return tag, err
		}
		if slices.Contains(reservedSchemas, n.Newschema) {
			return "", fail("42501", "permission denied for schema %s", n.Newschema)
		}
		switch {
		case !s.tabs.HasSchema(n.Newschema):
			return "", fail("3F000", "schema %q does not exist", n.Newschema)
		case o.Temp:
			return "", fail(codeUnsupported, "cannot move objects into or out of temporary schemas")
		case o.Kind == tables.Index || o.Kind == tables.Sequence && o.OwnedBy != 0:
			return "", fail(codeUnsupported, "%s %q moves with its table", o.Kind, o.Name)
		case o.Schema == n.Newschema:
			return tag, nil
		}
		if err := s.takeLocks(ctx, s.lockSet(o, false)); err != nil {
			return "", err
		}
		return tag, s.renameObject(ctx, o, n.Newschema, o.Name)
	}), nil
}
