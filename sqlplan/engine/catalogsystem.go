package engine

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// systemCatalog is what a session knows of PostgreSQL's catalogs: a snapshot of them, and what it was made of.
type systemCatalog struct {
	cat      *schema.Catalog
	tabs     *tables.Catalog
	settings uint64 // the version of the session's settings
	role     uint32 // of the session
	sized    bool   // the sizes of tables were asked for
	writes   int64  // that had been finished then
	snapshot *pgcatalog.Snapshot
	number   int64
	release  func()
	plans    keptStatements // of a statement that reads it alone, as its rows do not change
}

// systemCatalog is the snapshot that the statement reads: the session's last one where nothing changed since.
func (b *binder) systemCatalog() (*systemCatalog, error) {
	if b.system != nil {
		return b.system, nil
	}
	s := b.s
	tabs, err := s.ordinary(b.ctx)
	if err != nil {
		return nil, err
	}
	last := s.system
	if last == nil || last.cat != b.cat || last.tabs != tabs || last.settings != s.settingsVersion || last.role != s.role {
		o := &pgcatalog.Objects{Rows: s.serverRows}
		s.systemObjects(o)
		if err := s.ordinaryObjects(b.ctx, o); err != nil {
			return nil, err
		}
		o.Tables = append(catalogTables(b.cat), o.Tables...)
		o.Functions = catalogFunctionsOf(b.cat)
		s.addRights(o, b.cat, tabs)
		next := &systemCatalog{cat: b.cat, tabs: tabs, settings: s.settingsVersion, role: s.role, snapshot: pgcatalog.New(o, s.catalogSettings()), plans: keptStatements{most: maxKeptCatalog}}
		next.number, next.release = duck.Provide(next.snapshot)
		s.dropSystemCatalog()
		s.system = next
	}
	b.system = s.system
	return b.system, nil
}

// dropSystemCatalog forgets the session's snapshot.
func (s *Session) dropSystemCatalog() {
	if s.system != nil {
		s.system.plans.drop()
		s.system.release()
		s.system = nil
	}
}

// prepareSystem makes a statement that reads PostgreSQL's catalogs, or has types of theirs, ready for DuckDB; n is not changed. What
// it learns of the outputs is kept in b.outputs.
func (b *binder) prepareSystem(n *pg_query.Node) (*pg_query.Node, error) {
	if !pgcatalog.Mentions(n) {
		b.outputs = nil
		return n, nil
	}
	if v := n.GetViewStmt(); v != nil {
		return nil, at(fail(codeUnsupported, "view %q reads PostgreSQL's system catalogs, which is not supported", v.View.Relname), b.sql, int(v.View.Location))
	}
	b.varies = true
	n = clone(n)
	b.outputs = pgcatalog.Analyze(n, b.columnsOfOurs).Outputs
	return n, nil
}

// columnsOfOurs are the columns of a relation of ours with their types in PostgreSQL, nil where there is none.
func (b *binder) columnsOfOurs(rv *pg_query.RangeVar) []pgcatalog.Column {
	if b.refs[rv.Relname] != "" {
		return nil
	}
	c, err := b.systemCatalog()
	if err != nil {
		return nil // the statement's own planning says it
	}
	for _, t := range c.snapshot.Objects().Tables {
		if t.Name == rv.Relname && (rv.Schemaname == "tilehouse") == (t.Schema == oidTilehouse) {
			var out []pgcatalog.Column
			for _, col := range t.Columns {
				if col.Dropped {
					continue
				}
				out = append(out, pgcatalog.Column{Name: col.Name, Type: col.Type})
			}
			return out
		}
	}
	return nil
}

// systemRelation is a relation of pg_catalog or information_schema in DuckDB's SQL; false for the others.
func (b *binder) systemRelation(rv *pg_query.RangeVar) (string, bool, error) {
	if rv.Schemaname == pgcatalog.FunctionSchema {
		c, err := b.systemCatalog()
		if err != nil {
			return "", false, err
		}
		b.live = b.live || pgcatalog.IsFunction(rv.Relname)
		return fmt.Sprintf("%s(%d, %s)", duck.RowsFunction, c.number, duck.QuoteLiteral(rv.Relname)), true, nil
	}
	r := pgcatalog.System(rv)
	if r == nil {
		if rv.Schemaname == "pg_catalog" || rv.Schemaname == "information_schema" {
			return "", false, at(fail(codeUndefinedTable, "relation \"%s.%s\" does not exist", rv.Schemaname, rv.Relname), b.sql, int(rv.Location))
		}
		return "", false, nil
	}
	if r.View != "" { // one that a function's SQL reads
		return "", false, fail("XX000", "view %s.%s was not written out", r.Schema, r.Name)
	}
	c, err := b.systemCatalog()
	if err != nil {
		return "", false, err
	}
	return fmt.Sprintf("%s(%d, %s)", duck.RowsFunction, c.number, duck.QuoteLiteral(pgcatalog.Plain+r.Schema+"."+r.Name)), true, nil
}

// systemFunction is a function of PostgreSQL's catalogs as SQL, nil where it is none.
func (b *binder) systemFunction(name string, args []*pg_query.Node, inFrom bool) (*rewrite.Function, error) {
	f := pgcatalog.FunctionNamed(name, len(args), inFrom)
	if f == nil {
		return nil, nil
	}
	b.live = b.live || pgcatalog.Live(name)
	if pgcatalog.Measured(name) {
		b.sized = true
		if err := b.measured(); err != nil {
			return nil, err
		}
	}
	return b.numbered(&rewrite.Function{Name: name, Args: make([]string, len(args)), Table: f.Table, Body: f.Body})
}

// measured sees to it that the statement's snapshot has the sizes of tables as they are now.
func (b *binder) measured() error {
	c, err := b.systemCatalog()
	if err != nil {
		return err
	}
	writes := b.s.e.writesFinished.Load()
	if c.sized && c.writes == writes && b.s.tx == nil {
		return nil
	}
	c.sized, c.writes = true, writes
	return b.s.sizes(b.ctx, c.snapshot.Objects())
}

func quoteTable(x *tables.Object) string { return duck.QuoteLiteral(duckName(x)) }

// numbered is a function whose body has the number of the statement's snapshot where it asks for it.
func (b *binder) numbered(f *rewrite.Function) (*rewrite.Function, error) {
	asksFor := func(n *pg_query.Node, name string) bool {
		fields := n.GetColumnRef().GetFields()
		return len(fields) == 1 && fields[0].GetString_().GetSval() == name
	}
	asks := func(n *pg_query.Node) bool { return asksFor(n, pgcatalog.SnapshotColumn) }
	found := false
	walkNodes(f.Body, func(n *pg_query.Node) { found = found || asks(n) })
	if asksFor(f.Body, pgcatalog.TransactionColumn) {
		b.passing = true
		f.Body = wholeNumber(b.s.transactionID())
		return f, nil
	}
	if !found {
		return f, nil
	}
	c, err := b.systemCatalog()
	if err != nil {
		return nil, err
	}
	f.Body = clone(f.Body)
	walkNodes(f.Body, func(n *pg_query.Node) {
		if asks(n) {
			n.Node = &pg_query.Node_AConst{AConst: &pg_query.A_Const{Val: &pg_query.A_Const_Fval{Fval: &pg_query.Float{Fval: fmt.Sprint(c.number)}}}}
		}
	})
	return f, nil
}

// walkNodes calls visit for every node at or below n.
func walkNodes(n *pg_query.Node, visit func(*pg_query.Node)) {
	parse.Walk(n, func(m proto.Message) bool {
		if x, ok := m.(*pg_query.Node); ok {
			visit(x)
		}
		return true
	})
}

// show gives the columns of a result PostgreSQL's types, where they are known and hold the values.
func show(columns []session.Column, types []uint32) {
	if len(types) != len(columns) {
		return
	}
	for i, oid := range types {
		base, mod := pgcatalog.BaseType(oid)
		if oid != 0 && pgcatalog.Holds(columns[i].Type, base) {
			t := codec.ShownAs(columns[i].Type, base)
			if mod > 0 || t.Kind == vector.Decimal { // varchar(3); numeric without a precision
				t.Shown, t.Mod = base, mod+1
			}
			columns[i].Type = t
		}
	}
}

// shown is a result with the types of the columns that the statement was described with.
func (s *Session) shown(r session.Result, columns []session.Column) session.Result {
	out := &shownRows{Result: r}
	for _, c := range columns {
		out.types = append(out.types, c.Type)
	}
	if s.system != nil {
		out.snapshot = s.system.snapshot
	}
	return out
}

// shownRows is a result whose columns have types of PostgreSQL's catalogs: object ids of types such as regclass get the names
// that they are shown as.
type shownRows struct {
	session.Result
	types    []vector.Type
	snapshot *pgcatalog.Snapshot
}

func (r *shownRows) Next() (*vector.Chunk, error) {
	c, err := r.Result.Next()
	if err != nil || c == nil {
		return c, err
	}
	out := &vector.Chunk{N: c.N, Cols: make([]*vector.Vector, len(c.Cols))}
	for i, v := range c.Cols {
		out.Cols[i] = v
		if i < len(r.types) && r.types[i].Shown != 0 {
			shown := *v
			shown.Type = r.types[i]
			if len(shown.Child) > 0 {
				elem := *shown.Child[0]
				elem.Type = r.types[i].Elem[0]
				shown.Child = []*vector.Vector{&elem}
			} else if r.snapshot != nil {
				shown.Child = r.snapshot.Names(&shown)
			}
			out.Cols[i] = &shown
		}
	}
	return out, nil
}
