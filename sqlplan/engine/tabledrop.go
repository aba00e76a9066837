package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// dependent is what cannot be without an object: another object, a constraint of one, a column, or a column's default.
type dependent struct {
	object     *tables.Object
	constraint string // of object; "": the object itself
	column     string
	defaults   bool // the default of column
}

// describe names a dependent as PostgreSQL does.
func (d dependent) describe() string {
	switch {
	case d.constraint != "":
		return fmt.Sprintf("constraint %s on table %s", quoteName(d.constraint), qualifiedName(d.object))
	case d.defaults:
		return fmt.Sprintf("default value for column %s of table %s", quoteName(d.column), qualifiedName(d.object))
	case d.column != "":
		return fmt.Sprintf("column %s of table %s", quoteName(d.column), qualifiedName(d.object))
	}
	return describeObject(d.object)
}

func describeObject(o *tables.Object) string {
	switch o.Kind {
	case tables.Schema:
		return "schema " + quoteName(o.Name)
	}
	return string(o.Kind) + " " + qualifiedName(o)
}

// dependents are what depends on an object directly, and is not a part of it.
func (s *Session) dependents(o *tables.Object) []dependent {
	var out []dependent
	for _, x := range s.tabs.Sorted(func(*tables.Object) bool { return true }) {
		if x.ID == o.ID {
			continue
		}
		switch {
		case (x.Kind == tables.View || x.Kind == tables.MaterializedView) && slices.Contains(x.Reads, o.ID):
			out = append(out, dependent{object: x})
			continue
		case o.Kind == tables.Schema && x.Schema == o.Name && !x.Temp && x.Kind != tables.Index && x.OwnedBy == 0:
			out = append(out, dependent{object: x})
			continue
		}
		for i := range x.Columns {
			c := &x.Columns[i]
			if o.Kind == tables.Sequence && c.Default != "" && x.Kind == tables.Table && usesSequence(c.Default, o) {
				out = append(out, dependent{object: x, column: c.Name, defaults: true})
			}
		}
		for _, k := range x.Constraints {
			if k.Kind == tables.ForeignKey && k.References == o.ID {
				out = append(out, dependent{object: x, constraint: k.Name})
			}
		}
	}
	return out
}

// usesSequence reports whether a default calls nextval of a sequence.
func usesSequence(text string, o *tables.Object) bool {
	name := strings.ReplaceAll(qualifiedName(o), "'", "''")
	return strings.Contains(text, "'"+name+"'") || o.Schema == tables.Public && strings.Contains(text, "'public."+name+"'")
}

// dropKinds are PostgreSQL's kinds of object that are tables' here.
var dropKinds = map[pg_query.ObjectType]tables.Kind{
	pg_query.ObjectType_OBJECT_TABLE: tables.Table, pg_query.ObjectType_OBJECT_VIEW: tables.View, pg_query.ObjectType_OBJECT_MATVIEW: tables.MaterializedView,
	pg_query.ObjectType_OBJECT_INDEX: tables.Index, pg_query.ObjectType_OBJECT_SEQUENCE: tables.Sequence, pg_query.ObjectType_OBJECT_TYPE: tables.Type,
	pg_query.ObjectType_OBJECT_SCHEMA: tables.Schema,
}

// droppedNames are the schema and name of each object of a DROP.
func droppedNames(n *pg_query.DropStmt) [][2]string {
	var out [][2]string
	for _, o := range n.Objects {
		switch {
		case o.GetString_() != nil:
			out = append(out, [2]string{"", o.GetString_().Sval})
		case o.GetTypeName() != nil:
			space, name := typeParts(o.GetTypeName())
			out = append(out, [2]string{space, name})
		default:
			names := nodeNames(o.GetList().GetItems())
			space := ""
			if len(names) > 1 {
				space = names[len(names)-2]
			}
			out = append(out, [2]string{space, names[len(names)-1]})
		}
	}
	return out
}

// bindDropOrdinary binds DROP of ordinary objects.
func (s *Session) bindDropOrdinary(st *parse.SQL, n *pg_query.DropStmt) bound {
	kind := dropKinds[n.RemoveType]
	return s.ddl(func(ctx context.Context) (string, error) {
		return "DROP " + strings.ToUpper(string(kind)), s.dropOrdinary(ctx, kind, droppedNames(n), n.MissingOk, n.Behavior == pg_query.DropBehavior_DROP_CASCADE)
	})
}

func (s *Session) dropOrdinary(ctx context.Context, kind tables.Kind, names [][2]string, missingOK, cascade bool) error {
	var targets []*tables.Object
	for _, n := range names {
		o, err := s.dropTarget(kind, n[0], n[1])
		if err != nil {
			if e := asError(err); missingOK && slices.Contains([]string{codeUndefinedTable, codeUndefinedObject, "3F000"}, e.Code) {
				what := fmt.Sprintf("%s %q", kind, n[1])
				if kind == tables.Type {
					what = fmt.Sprintf("type %q", joined(n))
				}
				if n[0] != "" && !s.tabs.HasSchema(n[0]) {
					what = fmt.Sprintf("schema %q", n[0])
				}
				s.notice(session.Notice{Message: what + " does not exist, skipping"})
				continue
			}
			return err
		}
		if err := s.requiredIndex(o); err != nil {
			return err
		}
		targets = append(targets, o)
	}
	if len(targets) == 0 {
		return nil
	}
	var locked []uint64
	for _, o := range targets {
		if o.Kind == tables.Table && !o.Temp {
			locked = append(locked, o.ID)
		}
	}
	if err := s.takeLocks(ctx, locked); err != nil {
		return err
	}
	// All that goes, each with what depends on it before what comes next.
	gone := map[uint64]bool{}
	for _, o := range targets {
		gone[o.ID] = true
	}
	var also []dependent
	var details []string
	var find func(o *tables.Object)
	find = func(o *tables.Object) {
		parts := s.partsOf(o)
		for _, part := range parts {
			gone[part.ID] = true
		}
		for _, of := range append([]*tables.Object{o}, parts...) {
			for _, d := range s.dependents(of) {
				if gone[d.object.ID] || slices.Contains(also, d) {
					continue
				}
				also = append(also, d)
				details = append(details, fmt.Sprintf("%s depends on %s", d.describe(), describeObject(of)))
				if d.constraint == "" && d.column == "" {
					gone[d.object.ID] = true
					find(d.object)
				}
			}
		}
	}
	for _, o := range targets {
		find(o)
	}
	also = slices.DeleteFunc(also, func(d dependent) bool { return (d.constraint != "" || d.column != "") && gone[d.object.ID] })
	if len(also) > 0 && !cascade {
		what := describeObject(targets[0])
		if len(targets) > 1 {
			what = "desired object(s)"
		}
		e := hint(fail(codeDependent, "cannot drop %s because other objects depend on it", what), "Use DROP ... CASCADE to drop the dependent objects too.")
		e.Detail = strings.Join(details, "\n")
		return e
	}
	if len(also) == 1 {
		s.notice(session.Notice{Message: "drop cascades to " + also[0].describe()})
	} else if len(also) > 1 {
		lines := make([]string, len(also))
		for i, d := range also {
			lines[i] = "drop cascades to " + d.describe()
		}
		s.notice(session.Notice{Message: fmt.Sprintf("drop cascades to %d other objects", len(also)), Detail: strings.Join(lines, "\n")})
	}
	for _, d := range also {
		if err := s.detach(ctx, d); err != nil {
			return err
		}
	}
	// What reads goes before what it reads.
	all := s.tabs.Sorted(func(o *tables.Object) bool { return gone[o.ID] })
	slices.Reverse(all)
	for _, o := range all {
		if err := s.removeOrdinary(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func joined(n [2]string) string {
	if n[0] == "" {
		return n[1]
	}
	return n[0] + "." + n[1]
}

// partsOf are the objects that go with an object as a part of it: a table's indexes and the sequences of its columns.
func (s *Session) partsOf(o *tables.Object) []*tables.Object {
	return s.tabs.Sorted(func(x *tables.Object) bool {
		return x.Kind == tables.Index && x.Of.Table == o.ID || x.Kind == tables.Sequence && x.OwnedBy == o.ID
	})
}

// detach takes away a constraint, a default or a column that depended on what is dropped.
func (s *Session) detach(ctx context.Context, d dependent) error {
	cur := s.tabs.ByID[d.object.ID]
	if cur == nil {
		return nil
	}
	next := cur.Clone()
	switch {
	case d.constraint != "":
		next.Constraints = slices.DeleteFunc(next.Constraints, func(k tables.Constraint) bool { return k.Name == d.constraint })
	case d.defaults:
		next.Column(d.column).Default = ""
		next.Column(d.column).Sequence = 0
	case d.column != "":
		return s.dropColumn(ctx, next, d.column)
	default:
		return nil
	}
	return s.putObject(ctx, next)
}

// dropTarget finds the object of a DROP.
func (s *Session) dropTarget(kind tables.Kind, space, name string) (*tables.Object, error) {
	switch kind {
	case tables.Schema:
		if slices.Contains(reservedSchemas, name) || name == tables.Public {
			if name == tables.Public {
				return nil, fail(codeUnsupported, "schema public cannot be dropped")
			}
			return nil, fail(codeDependent, "cannot drop schema %s because it is required by the database system", name)
		}
		if o := s.tabs.SchemaObject(name); o != nil {
			return o, nil
		}
		return nil, fail("3F000", "schema %q does not exist", name)
	case tables.Type:
		if space != "" && !s.tabs.HasSchema(space) && space != "pg_catalog" {
			return nil, fail("3F000", "schema %q does not exist", space)
		}
		return nil, fail(codeUndefinedObject, "type %q does not exist", joined([2]string{space, name}))
	}
	if slices.Contains(reservedSchemas, space) {
		return nil, fail("42501", "permission denied for schema %s", space)
	}
	if space != "" && space != tables.TempSchema && !s.tabs.HasSchema(space) {
		return nil, fail("3F000", "schema %q does not exist", space)
	}
	o := s.find(s.tabs, space, name)
	if o == nil {
		if kind == tables.Index {
			return nil, fail(codeUndefinedObject, "index %q does not exist", name)
		}
		return nil, fail(codeUndefinedTable, "%s %q does not exist", kind, name)
	}
	if o.Kind != kind {
		article := map[tables.Kind]string{tables.Index: "an index"}[kind]
		if article == "" {
			article = "a " + string(kind)
		}
		e := fail(codeWrongObject, "%q is not %s", name, article)
		switch o.Kind {
		case tables.Table:
			hint(e, "Use DROP TABLE to remove a table.")
		default:
			hint(e, "Use DROP %s to remove %s.", strings.ToUpper(string(o.Kind)), map[tables.Kind]string{tables.View: "a view", tables.MaterializedView: "a materialized view", tables.Index: "an index", tables.Sequence: "a sequence"}[o.Kind])
		}
		return nil, e
	}
	return o, nil
}

// requiredIndex refuses to drop the index of a constraint.
func (s *Session) requiredIndex(o *tables.Object) error {
	if o.Kind == tables.Index && o.Of.Constraint != "" {
		t := s.tabs.ByID[o.Of.Table]
		return hint(fail(codeDependent, "cannot drop index %s because constraint %s on table %s requires it", qualifiedName(o), o.Of.Constraint, qualifiedName(t)), "You can drop constraint %s on table %s instead.", o.Of.Constraint, qualifiedName(t))
	}
	return nil
}

// removeOrdinary takes an object out of DuckDB and its document away.
func (s *Session) removeOrdinary(ctx context.Context, o *tables.Object) error {
	var sql string
	switch o.Kind {
	case tables.Table, tables.MaterializedView:
		sql = "DROP TABLE " + duckName(o)
	case tables.View:
		sql = "DROP VIEW " + duckName(o)
	case tables.Schema:
		sql = "DROP SCHEMA " + tablesDatabase + "." + duck.QuoteIdent(o.Name)
	}
	if sql != "" {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return s.removeDocument(ctx, o)
}
