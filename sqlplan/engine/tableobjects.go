package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

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
		k := tables.IndexKey{Column: e.Name, Desc: e.Ordering == pg_query.SortByDir_SORTBY_DESC,
			NullsFirst: e.NullsOrdering == pg_query.SortByNulls_SORTBY_NULLS_FIRST || e.Ordering == pg_query.SortByDir_SORTBY_DESC && e.NullsOrdering != pg_query.SortByNulls_SORTBY_NULLS_LAST}
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
