package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// bindCreateIndex binds CREATE INDEX: an object that holds its name and, where it is unique, a key. Reads do not use it.
func (s *Session) bindCreateIndex(st *parse.SQL, n *pg_query.IndexStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) { return "CREATE INDEX", s.createIndex(ctx, st.Text, n) })
}

func (s *Session) createIndex(ctx context.Context, sql string, n *pg_query.IndexStmt) error {
	o, err := s.target(ctx, n.Relation, "")
	if err != nil {
		return err
	}
	if o.Kind != tables.Table && o.Kind != tables.MaterializedView {
		return fail(codeWrongObject, "cannot create index on relation %q", o.Name)
	}
	d := &tableDraft{s: s, sql: sql, table: o}
	of := &tables.IndexOf{Table: o.ID, Unique: n.Unique, Method: n.AccessMethod, NullsNotDistinct: n.NullsNotDistinct}
	switch of.Method {
	case "":
		of.Method = "btree"
	case "btree", "hash", "brin", "gin", "gist", "spgist":
	default:
		return fail(codeUndefinedObject, "access method %q does not exist", of.Method)
	}
	if of.Unique && of.Method != "btree" {
		return fail(codeUnsupported, "access method %q does not support unique indexes", of.Method)
	}
	var parts []string
	for _, p := range n.IndexParams {
		e := p.GetIndexElem()
		k := tables.IndexKey{Column: e.Name, Desc: e.Ordering == pg_query.SortByDir_SORTBY_DESC, NullsFirst: e.NullsOrdering == pg_query.SortByNulls_SORTBY_NULLS_FIRST}
		if len(e.Opclass) > 0 {
			k.Opclass = e.Opclass[len(e.Opclass)-1].GetString_().GetSval()
		}
		if e.Name != "" {
			if o.Column(e.Name) == nil {
				return fail(codeUndefinedColumn, "column %q does not exist", e.Name)
			}
			parts = append(parts, e.Name)
		} else {
			if parse.Volatile(e.Expr) != "" {
				return fail("42P17", "functions in index expression must be marked IMMUTABLE")
			}
			if _, err := d.boolean(ctx, e.Expr, "index expression"); err != nil {
				return err
			}
			if k.Expr, err = parse.Deparse(e.Expr); err != nil {
				return err
			}
			part := parse.FigureColumnName(e.Expr)
			if part == "?column?" {
				part = "expr"
			}
			parts = append(parts, part)
		}
		of.Keys = append(of.Keys, k)
	}
	for _, p := range n.IndexIncludingParams {
		name := p.GetIndexElem().Name
		if o.Column(name) == nil {
			return fail(codeUndefinedColumn, "column %q does not exist", name)
		}
		of.Include = append(of.Include, name)
		parts = append(parts, name)
	}
	if n.WhereClause != nil {
		t, err := d.boolean(ctx, n.WhereClause, "index predicate")
		if err != nil {
			return err
		}
		if t.Kind != vector.Bool {
			return at(fail(codeTypeMismatch, "argument of WHERE must be type boolean, not type %s", typeWord(t)), sql, nodeLocation(n.WhereClause))
		}
		if of.Where, err = parse.Deparse(n.WhereClause); err != nil {
			return err
		}
	}
	name := n.Idxname
	taken := func(name string) bool { return s.nameTaken(o.Schema, name) }
	if name == "" {
		name = tables.ChooseName(o.Name, strings.Join(parts, "_"), "idx", taken)
	} else if taken(name) {
		if n.IfNotExists {
			s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", name)})
			return nil
		}
		return fail(codeDuplicateTable, "relation %q already exists", name)
	}
	x, err := s.newDraft(sql, tables.Index, o.Schema, name, o.Temp)
	if err != nil {
		return err
	}
	x.table.Of = of
	if of.Unique {
		if err := s.takeLocks(ctx, s.lockSet(o, false)); err != nil {
			return err
		}
	}
	if err := s.putObject(ctx, x.table); err != nil {
		return err
	}
	if !of.Unique {
		return nil
	}
	keys, err := s.uniqueKeys(ctx, o)
	if err != nil {
		return err
	}
	for i := range keys {
		if keys[i].id == x.table.ID {
			return s.uniqueNow(ctx, o, &keys[i])
		}
	}
	return nil
}

// bindCreateSchema binds CREATE SCHEMA.
func (s *Session) bindCreateSchema(st *parse.SQL, n *pg_query.CreateSchemaStmt) (bound, error) {
	name := n.Schemaname
	if name == "" {
		name = n.Authrole.GetRolename()
	}
	if len(n.SchemaElts) > 0 {
		return bound{}, hint(fail(codeUnsupported, "CREATE SCHEMA with objects in it is not supported"), "Create them after it.")
	}
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "CREATE SCHEMA"
		if role := n.Authrole.GetRolename(); role != "" && role != s.info.User {
			return "", fail(codeUndefinedObject, "role %q does not exist", role)
		}
		if s.tabs.HasSchema(name) || slices.Contains(reservedSchemas, name) {
			if n.IfNotExists {
				s.notice(session.Notice{Code: "42P06", Message: fmt.Sprintf("schema %q already exists, skipping", name)})
				return tag, nil
			}
			return "", fail("42P06", "schema %q already exists", name)
		}
		if strings.HasPrefix(name, "pg_") {
			e := fail("42939", "unacceptable schema name %q", name)
			e.Detail = "The prefix \"pg_\" is reserved for system schemas."
			return "", e
		}
		if name == "main" {
			return "", fail(codeUnsupported, "a schema cannot be called main")
		}
		id, err := s.newObjectID()
		if err != nil {
			return "", err
		}
		if _, err := s.conn.Exec(ctx, "CREATE SCHEMA "+tablesDatabase+"."+duck.QuoteIdent(name)); err != nil {
			return "", err
		}
		return tag, s.putObject(ctx, &tables.Object{ID: id, Kind: tables.Schema, Name: name})
	}), nil
}

// bindCreateSequence binds CREATE SEQUENCE.
func (s *Session) bindCreateSequence(st *parse.SQL, n *pg_query.CreateSeqStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "CREATE SEQUENCE"
		space, temp, err := s.place(ctx, n.Sequence, st.Text)
		if err != nil {
			return "", err
		}
		name := n.Sequence.Relname
		if s.nameTaken(space, name) {
			if n.IfNotExists {
				s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", name)})
				return tag, nil
			}
			return "", fail(codeDuplicateTable, "relation %q already exists", name)
		}
		d, err := s.newDraft(st.Text, tables.Sequence, space, name, temp)
		if err != nil {
			return "", err
		}
		d.table.Seq = &tables.SequenceRange{Increment: 1, Cache: 1}
		rest, err := s.ownedBy(ctx, d.table, n.Options)
		if err != nil {
			return "", err
		}
		if err := sequenceOptions(st.Text, d.table, rest, true); err != nil {
			return "", err
		}
		return tag, s.putObject(ctx, d.table)
	})
}

// ownedBy takes OWNED BY out of a sequence's options.
func (s *Session) ownedBy(ctx context.Context, o *tables.Object, options []*pgNode) ([]*pgNode, error) {
	var rest []*pgNode
	for _, n := range options {
		e := n.GetDefElem()
		if e.Defname != "owned_by" {
			rest = append(rest, n)
			continue
		}
		names := nodeNames(e.Arg.GetList().GetItems())
		if len(names) == 1 {
			if names[0] != "none" {
				return nil, hint(fail("42601", "invalid OWNED BY option"), "Specify OWNED BY table.column or OWNED BY NONE.")
			}
			o.OwnedBy, o.OwnedByColumn = 0, ""
			continue
		}
		rv := &pg_query.RangeVar{Relname: names[len(names)-2]}
		if len(names) > 2 {
			rv.Schemaname = names[len(names)-3]
		}
		t, err := s.target(ctx, rv, "")
		if err != nil {
			return nil, err
		}
		c := t.Column(names[len(names)-1])
		if c == nil {
			return nil, fail(codeUndefinedColumn, "column %q of relation %q does not exist", names[len(names)-1], t.Name)
		}
		o.OwnedBy, o.OwnedByColumn = t.ID, c.Name
	}
	return rest, nil
}

// bindAlterSequence binds ALTER SEQUENCE.
func (s *Session) bindAlterSequence(st *parse.SQL, n *pg_query.AlterSeqStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "ALTER SEQUENCE"
		o, err := s.alterTarget(ctx, n.Sequence, n.MissingOk, st.Text)
		if o == nil || err != nil {
			return tag, err
		}
		if o.Kind != tables.Sequence {
			return "", fail(codeWrongObject, "%q is not a sequence", o.Name)
		}
		next := o.Clone()
		rest, err := s.ownedBy(ctx, next, n.Options)
		if err != nil {
			return "", err
		}
		return tag, s.changeSequence(ctx, st.Text, next, rest)
	})
}

// changeSequence applies options to a copy of a sequence and writes it. A value that the sequence has already reached stays.
func (s *Session) changeSequence(ctx context.Context, sql string, o *tables.Object, options []*pgNode) error {
	last, _, err := s.e.sequences.current(o.Seq)
	if err != nil {
		return err
	}
	if err := sequenceOptions(sql, o, options, false); err != nil {
		return err
	}
	if o.Seq.State != 0 {
		switch {
		case last < o.Seq.Min:
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be less than MINVALUE (%d)", last, o.Seq.Min)
		case last > o.Seq.Max:
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be greater than MAXVALUE (%d)", last, o.Seq.Max)
		}
	}
	return s.putObject(ctx, o)
}

// bindTruncateStmt binds TRUNCATE.
func (s *Session) bindTruncateStmt(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.TruncateStmt) (bound, error) {
	ours := 0
	for _, r := range n.Relations {
		if eventTableOf(cat, r.GetRangeVar()) != nil {
			ours++
		}
	}
	switch {
	case ours == 0:
		return s.bindTruncate(st, n), nil
	case ours < len(n.Relations):
		return bound{}, fail(codeUnsupported, "TRUNCATE of event tables and ordinary ones in one statement is not supported")
	}
	return s.truncateEvents(ctx, cat, st, n)
}

// bindTruncate binds TRUNCATE of ordinary tables.
func (s *Session) bindTruncate(st *parse.SQL, n *pg_query.TruncateStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "TRUNCATE TABLE"
		var targets []*tables.Object
		for _, r := range n.Relations {
			o, err := s.target(ctx, r.GetRangeVar(), "")
			if err != nil {
				return "", err
			}
			if o.Kind != tables.Table {
				return "", fail(codeWrongObject, "%q is not a table", o.Name)
			}
			if !slices.Contains(targets, o) {
				targets = append(targets, o)
			}
		}
		cascade := n.Behavior == pg_query.DropBehavior_DROP_CASCADE
		for i := 0; i < len(targets); i++ {
			for _, r := range s.tabs.Referrers(targets[i].ID) {
				if slices.ContainsFunc(targets, func(o *tables.Object) bool { return o.ID == r.Table.ID }) {
					continue
				}
				if !cascade {
					e := hint(fail(codeUnsupported, "cannot truncate a table referenced in a foreign key constraint"), "Truncate table %q at the same time, or use TRUNCATE ... CASCADE.", r.Table.Name)
					e.Detail = fmt.Sprintf("Table %q references %q.", r.Table.Name, targets[i].Name)
					return "", e
				}
				s.notice(session.Notice{Message: fmt.Sprintf("truncate cascades to table %q", r.Table.Name)})
				targets = append(targets, r.Table)
			}
		}
		var locks []uint64
		for _, o := range targets {
			locks = append(locks, s.lockSet(o, false)...)
		}
		if err := s.takeLocks(ctx, locks); err != nil {
			return "", err
		}
		for _, o := range targets {
			if _, err := s.conn.Exec(ctx, "DELETE FROM "+duckName(o)); err != nil {
				return "", err
			}
			if !n.RestartSeqs {
				continue
			}
			for _, seq := range s.tabs.Sorted(func(x *tables.Object) bool { return x.Kind == tables.Sequence && x.OwnedBy == o.ID }) {
				next := seq.Clone()
				next.Seq.First, next.Seq.State = next.Seq.Start, 0
				if err := s.putObject(ctx, next); err != nil {
					return "", err
				}
			}
		}
		return tag, nil
	})
}

// bindCommentOrdinary binds COMMENT ON an ordinary object.
func (s *Session) bindCommentOrdinary(st *parse.SQL, n *pg_query.CommentStmt) (bound, error) {
	names := nodeNames(n.Object.GetList().GetItems())
	if t := n.Object.GetString_(); t != nil {
		names = []string{t.Sval}
	}
	if t := n.Object.GetTypeName(); t != nil {
		names = nodeNames(t.Names)
	}
	kinds := map[pg_query.ObjectType]tables.Kind{pg_query.ObjectType_OBJECT_COLUMN: "column", pg_query.ObjectType_OBJECT_TABCONSTRAINT: "constraint"}
	kind := dropKinds[n.Objtype]
	if kind == "" {
		kind = kinds[n.Objtype]
	}
	if kind == "" || len(names) == 0 {
		return bound{}, hint(fail(codeUnsupported, "COMMENT ON this kind of object is not supported"), "Comments are for features, entities, sources, tables, views, their columns and constraints, indexes, sequences, types and schemas.")
	}
	part := ""
	if kind == "column" || kind == "constraint" {
		part, names = names[len(names)-1], names[:len(names)-1]
	}
	space := ""
	if len(names) > 1 {
		space = names[len(names)-2]
	}
	name := names[len(names)-1]
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "COMMENT"
		if kind == tables.Schema && name == tables.Public {
			return "", fail(codeUnsupported, "schema public cannot have a comment")
		}
		var o *tables.Object
		var err error
		if part != "" {
			o, err = s.target(ctx, &pg_query.RangeVar{Schemaname: space, Relname: name}, "")
		} else {
			o, err = s.dropTarget(kind, space, name)
			if e := asError(err); e != nil {
				if e.Code == codeUndefinedTable || e.Code == codeUndefinedObject && kind == tables.Index {
					e.Code, e.Message = codeUndefinedTable, fmt.Sprintf("relation %q does not exist", joined([2]string{space, name}))
				}
				e.Hint = ""
			}
		}
		if err != nil {
			return "", err
		}
		next := o.Clone()
		switch kind {
		case "column":
			c := next.Column(part)
			if c == nil {
				return "", fail(codeUndefinedColumn, "column %q of relation %q does not exist", part, name)
			}
			c.Comment = n.Comment
			if _, err := s.conn.Exec(ctx, fmt.Sprintf("COMMENT ON COLUMN %s.%s IS %s", duckName(o), duck.QuoteIdent(part), orNull(n.Comment))); err != nil {
				return "", err
			}
		case "constraint":
			k := next.Constraint(part)
			if k == nil {
				return "", fail(codeUndefinedObject, "constraint %q for table %q does not exist", part, name)
			}
			k.Comment = n.Comment
		default:
			next.Comment = n.Comment
			if o.Kind == tables.Table || o.Kind == tables.MaterializedView || o.Kind == tables.View {
				word := "TABLE"
				if o.Kind == tables.View {
					word = "VIEW"
				}
				if _, err := s.conn.Exec(ctx, fmt.Sprintf("COMMENT ON %s %s IS %s", word, duckName(o), orNull(n.Comment))); err != nil {
					return "", err
				}
			}
		}
		return tag, s.putObject(ctx, next)
	}), nil
}

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
