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
			if err := indexable(o.Column(e.Name), of.Method); err != nil && k.Opclass == "" {
				return err
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
		owner, err := s.schemaOwner(s.catalog(), n.Authrole)
		if err != nil {
			return "", err
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
		if err := s.own(schema.Ref{Class: schema.ClassSchema, Name: name}, "", owner); err != nil {
			return "", err
		}
		if _, err := s.conn.Exec(ctx, "CREATE SCHEMA "+tablesDatabase+"."+duck.QuoteIdent(name)); err != nil {
			return "", err
		}
		return tag, s.putObject(ctx, &tables.Object{ID: id, Kind: tables.Schema, Name: name})
	}), nil
}
