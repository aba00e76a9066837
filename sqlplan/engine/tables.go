package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// The documents of ordinary objects stand beside the rows: those of a session's temporary objects in its temporary database.
const (
	tablesDatabase  = "tables" // DuckDB's name of tables.duckdb
	tablesSchema    = "__tilehouse"
	tablesDocuments = tablesDatabase + "." + tablesSchema + ".__objects"
	tempDocuments   = "temp.main.__tilehouse_objects"
	documentColumns = "(id UBIGINT, doc VARCHAR)"
)

// tableState is what a session knows of ordinary objects.
type tableState struct {
	tabs     *tables.Catalog // see ordinary; nil: not read
	tabsAt   uint64          // the engine's tablesVersion that tabs is of
	tempDocs bool            // the documents of temporary objects have a table
	seqs     sequenceUse
	parts    map[string]string // of the statement that is bound or runs: what writing WITH queries return, by placeholder
	// partColumns are the columns of parts.
	partColumns map[string][]analyze.Column
	compiled    map[compiledExpr]string
	cascading   int // references that are being followed
}

// createDocuments are DuckDB's statements that make the documents' table of a new data directory.
var createDocuments = []string{
	"CREATE SCHEMA IF NOT EXISTS " + tablesSchema,
	"CREATE TABLE IF NOT EXISTS " + tablesSchema + ".__objects" + documentColumns,
}

// ordinary is the catalog of ordinary objects as the session sees it: what is committed, or what was when DuckDB's transaction
// began, with what the open transaction changed. Its address is its version.
func (s *Session) ordinary(ctx context.Context) (*tables.Catalog, error) {
	v := s.e.tablesVersion.Load()
	if s.tabs != nil && (s.tabsAt == v || s.tx != nil && s.tx.duck) {
		return s.tabs, nil
	}
	sql := "SELECT doc FROM " + tablesDocuments
	if s.tempDocs {
		sql += " UNION ALL SELECT doc FROM " + tempDocuments
	}
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var objects []*tables.Object
	for {
		ch, err := rows.Next()
		if err != nil {
			return nil, err
		}
		if ch == nil {
			break
		}
		for i := range ch.N {
			o, err := tables.Decode(ch.Cols[0].Bytes(i))
			if err != nil {
				return nil, err
			}
			objects = append(objects, o)
		}
	}
	s.tabs, s.tabsAt = tables.NewCatalog(objects), v
	return s.tabs, nil
}

// forgetTables makes the session read the catalog of ordinary objects anew: its transaction ended.
func (s *Session) forgetTables() { s.tabs = nil }

// putObject writes an object, new or changed, in the open transaction.
func (s *Session) putObject(ctx context.Context, o *tables.Object) error {
	if o.Kind == tables.Sequence {
		if err := s.freshState(o); err != nil {
			return err
		}
	}
	table := tablesDocuments
	if o.Temp {
		table = tempDocuments
		if !s.tempDocs {
			if _, err := s.conn.Exec(ctx, "CREATE TEMP TABLE IF NOT EXISTS __tilehouse_objects"+documentColumns); err != nil {
				return err
			}
			s.tempDocs = true
		}
	} else {
		s.tx.ddl = true
	}
	s.changes(o, false)
	doc := vector.New(vector.T(vector.Text), 1)
	doc.AppendBytes(o.Encode())
	sql := fmt.Sprintf("INSERT INTO %s VALUES (%d, $1)", table, o.ID)
	if s.tabs.ByID[o.ID] != nil {
		sql = fmt.Sprintf("UPDATE %s SET doc = $1 WHERE id = %d", table, o.ID)
	}
	if _, err := s.conn.Exec(ctx, sql, doc); err != nil {
		return err
	}
	if s.tabs.ByID[o.ID] == nil {
		if err := s.adoptOrdinary(o); err != nil {
			return err
		}
	}
	if s.tabs.ByID[o.ID] == nil && o.Kind == tables.Table {
		s.freshTable(o)
	}
	all := maps.Clone(s.tabs.ByID)
	all[o.ID] = o
	s.tabs = tables.NewCatalog(slices.Collect(maps.Values(all)))
	return nil
}

// removeDocument deletes an object's document in the open transaction.
func (s *Session) removeDocument(ctx context.Context, o *tables.Object) error {
	table := tablesDocuments
	if o.Temp {
		table = tempDocuments
	} else {
		s.tx.ddl = true
	}
	s.changes(o, false)
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, o.ID)); err != nil {
		return err
	}
	if err := s.forgetRights(o); err != nil {
		return err
	}
	all := maps.Clone(s.tabs.ByID)
	delete(all, o.ID)
	s.tabs = tables.NewCatalog(slices.Collect(maps.Values(all)))
	return nil
}

// newObjectID is an id that no object had.
func (s *Session) newObjectID() (uint64, error) {
	u := &s.seqs
	if len(u.idsAgain) > 0 {
		id := u.idsAgain[0]
		u.idsAgain = u.idsAgain[1:]
		return id, nil
	}
	id, err := s.e.log.Sequence("object")
	if u.keep {
		u.ids = append(u.ids, id)
	}
	return id, err
}

// duckSchema is DuckDB's qualified name of a schema of the user's.
func duckSchema(name string) string {
	if name == tables.Public {
		name = "main"
	}
	return tablesDatabase + "." + duck.QuoteIdent(name)
}

// duckName is DuckDB's qualified name of a table or view.
func duckName(o *tables.Object) string {
	if o.Temp {
		return "temp.main." + duck.QuoteIdent(o.Name)
	}
	return duckSchema(o.Schema) + "." + duck.QuoteIdent(o.Name)
}

// reservedSchemas are schemas that no statement changes.
var reservedSchemas = []string{"tilehouse", "pg_catalog", "information_schema", tablesSchema}

// place is where a statement makes an object: its schema, and whether it is temporary.
func (s *Session) place(ctx context.Context, rv *pg_query.RangeVar, sql string) (schema string, temp bool, err error) {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return "", false, err
	}
	temp = rv.Relpersistence == "t" || rv.Schemaname == tables.TempSchema
	switch {
	case rv.Catalogname != "" && rv.Catalogname != s.info.Database:
		return "", false, at(fail(codeUnsupported, "cross-database references are not implemented: \"%s.%s.%s\"", rv.Catalogname, rv.Schemaname, rv.Relname), sql, int(rv.Location))
	case slices.Contains(reservedSchemas, rv.Schemaname):
		return "", false, at(fail("42501", "permission denied for schema %s", rv.Schemaname), sql, int(rv.Location))
	case temp && rv.Schemaname != "" && rv.Schemaname != tables.TempSchema:
		return "", false, at(fail("42P16", "cannot create temporary relation in non-temporary schema"), sql, int(rv.Location))
	case temp:
		return tables.TempSchema, true, nil
	case rv.Schemaname == "":
		for _, space := range s.searchPath() {
			if cat.HasSchema(space) && s.mayUse(space) {
				return space, false, nil
			}
		}
		return "", false, at(fail("3F000", "no schema has been selected to create in"), sql, int(rv.Location))
	case !cat.HasSchema(rv.Schemaname):
		return "", false, at(fail("3F000", "schema %q does not exist", rv.Schemaname), sql, int(rv.Location))
	}
	return rv.Schemaname, false, nil
}

// makes is place for a statement that is about to make the object: it has the name's lock from here on.
func (s *Session) makes(ctx context.Context, rv *pg_query.RangeVar, sql string) (schema string, temp bool, err error) {
	schema, temp, err = s.place(ctx, rv, sql)
	if err == nil && !temp {
		err = s.lockName(ctx, schema, rv.Relname)
	}
	return schema, temp, err
}

// find is the relation of a name, by search_path where no schema is given; nil: none.
func (s *Session) find(cat *tables.Catalog, schema, name string) *tables.Object {
	if schema != "" {
		return cat.Relation(schema, name)
	}
	if o := cat.Relation(tables.TempSchema, name); o != nil {
		return o
	}
	for _, space := range s.searchPath() {
		if o := cat.Relation(space, name); o != nil && !o.Temp && s.mayUse(space) {
			return o
		}
	}
	return nil
}

// object finds the ordinary object that a name in a statement means, or nil.
func (s *Session) object(ctx context.Context, schema, name string) (*tables.Object, error) {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return nil, err
	}
	return s.find(cat, schema, name), nil
}

// target finds the relation that a statement changes. Errors: 42P01, with its place in sql unless that is ""; 42501.
func (s *Session) target(ctx context.Context, rv *pg_query.RangeVar, sql string) (*tables.Object, error) {
	if slices.Contains(reservedSchemas, rv.Schemaname) {
		return nil, at(fail("42501", "permission denied for schema %s", rv.Schemaname), sql, int(rv.Location))
	}
	o, err := s.object(ctx, rv.Schemaname, rv.Relname)
	if err != nil {
		return nil, err
	}
	if own := s.catalog().Lookup(rv.Relname); o == nil && own != nil && (rv.Schemaname == "" || rv.Schemaname == tables.Public) {
		return nil, at(hint(fail(codeWrongObject, "%q is %s, and no ordinary table", rv.Relname, named(own)), "It is an object of Tilehouse's catalog; DROP and CREATE it anew."), sql, int(rv.Location))
	}
	if o == nil {
		e := noRelation(rv)
		if sql == "" {
			e.Position = noPlace
			return nil, e
		}
		return nil, at(e, sql, int(rv.Location))
	}
	return o, nil
}

func noRelation(rv *pg_query.RangeVar) *session.Error {
	name := rv.Relname
	if rv.Schemaname != "" {
		name = rv.Schemaname + "." + name
	}
	return fail(codeUndefinedTable, "relation %q does not exist", name)
}

// nameTaken reports whether a relation of the name stands in a schema: an ordinary one, or in public one of Tilehouse's own.
func (s *Session) nameTaken(schema, name string) bool {
	if schema == tables.Public && s.catalog().Lookup(name) != nil {
		return true
	}
	if schema == tables.Public {
		o := s.tabs.Relation(tables.Public, name)
		return o != nil
	}
	return s.tabs.Relation(schema, name) != nil
}

// asBound reports whether a table is still what a statement was bound to.
func (s *Session) asBound(o *tables.Object) bool {
	now := s.tabs.ByID[o.ID]
	return now == o || now != nil && bytes.Equal(now.Encode(), o.Encode())
}

// inTransaction runs a change as a part of the open transaction, or in one of its own.
func (s *Session) inTransaction(ctx context.Context, run func(ctx context.Context) error) error {
	if s.tx != nil {
		return run(ctx)
	}
	s.begin(true).single = true
	if err := run(ctx); err != nil {
		s.rollback()
		return err
	}
	return s.commit(ctx)
}

// ddl is a command that changes the ordinary objects.
func (s *Session) ddl(run func(ctx context.Context) (tag string, err error)) bound {
	b := s.ddlOnce(run)
	once := b.run
	b.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.replayable("", "", args, func() (session.Result, error) { return once(ctx, args) })
	}
	return b
}

func (s *Session) ddlOnce(run func(ctx context.Context) (tag string, err error)) bound {
	return command(func(ctx context.Context) (tag string, err error) {
		err = s.inTransaction(ctx, func(ctx context.Context) error {
			if err := s.beginOrdinary(ctx); err != nil {
				return err
			}
			tag, err = run(ctx)
			return err
		})
		if e := asError(err); e != nil && !expressionError.MatchString(e.Message) {
			err = withoutPlace(err)
		}
		return tag, err
	})
}

// expressionError are errors of expressions in DDL, which have places where others have none.
var expressionError = regexp.MustCompile(`^(column "[^"]+" does not exist|function .* does not exist|missing FROM-clause)`)

// beginOrdinary makes the open transaction one that writes ordinary objects.
func (s *Session) beginOrdinary(ctx context.Context) error {
	if err := s.refuseMixed(false); err != nil {
		return err
	}
	if err := s.beginDuck(ctx); err != nil {
		return err
	}
	if _, err := s.ordinary(ctx); err != nil {
		return err
	}
	s.writesOrdinary()
	return nil
}

// quotedColumns are names as a list of DuckDB's.
func quotedColumns(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = duck.QuoteIdent(n)
	}
	return strings.Join(out, ", ")
}

func tableColumnNames(cols []tables.Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}
