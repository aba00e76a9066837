package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// binder binds one statement: at one catalog, and, when it is executed, at one position.
type binder struct {
	ctx      context.Context
	s        *Session
	cat      *schema.Catalog
	position uint64           // of the log; meaningless while describe
	describe bool             // only names and types are wanted: relations of ours stand as empty ones
	sql      string           // the statement's text, for positions
	args     []*vector.Vector // of an execution
	said     map[string]bool  // what pg_notify was called with
	// refs are the relations that a plan put into the AST, by name, with the SQL that they stand for.
	refs map[string]string
	used []*schema.Relation // relations of ours that the statement reads
	// params are types that $1, $2, … are cast to, where DuckDB cannot tell them; nil: none.
	params []vector.Type
	nulls  bool // NULLs of those types stand for the parameters
	// given are the types that the client gave of $1, $2, …, and found those that analyses of what is computed before the statement gave
	// them; Invalid: none.
	given, found []vector.Type
	// known are types of $1, $2, … that a part of the statement told which DuckDB does not see in the whole; Invalid: not told.
	known []vector.Type
	// system is the snapshot of PostgreSQL's catalogs that the statement reads; nil: it was not asked for yet.
	system *systemCatalog
	// outputs are PostgreSQL's types of the outputs of a statement that reads catalogs, 0 where one is not known.
	outputs []uint32
	// typedOutputs are the outputs of such a query with the types that hold them, or none where one is not known.
	typedOutputs []analyze.Column
	off          map[string]bool // rules of package rewrite that are left out
	checked      bool            // the functions that the statement calls were checked
	typed        bool            // the statement was analyzed: it knows how columns of ordinary tables hold their values
	// refColumns are the columns of refs, as far as an analysis may know them.
	refColumns map[string][]analyze.Column
	samples    map[string]*sampleRead // by the aliases that stand for them
	plan       *queryPlan             // the statement's, as far as it is made; nil: none
	varies     bool                   // the SQL holds for now only: it has what a session, a catalog or a position says
	lasting    *lastingText           // of a SELECT that reads PostgreSQL's catalogs alone, or nothing; nil of others
	live       bool                   // it has rows that a snapshot asks for when it is read, such as those of pg_stat_activity
	sized      bool                   // the statement asks for sizes of tables
	passing    bool                   // the SQL holds for this session, or at this moment, only: it has more of them than the number of a snapshot
	hidden     hiddenColumns          // of Kafka sources, that the statement names
}

// noteParams keeps the types of the parameters that a part of the statement names.
func (b *binder) noteParams(types []vector.Type) {
	for i, t := range types {
		for i >= len(b.known) {
			b.known = append(b.known, vector.Type{})
		}
		if b.known[i].Kind == vector.Invalid {
			b.known[i] = t
		}
	}
}

// duckSQL is the statement's SQL for DuckDB.
func (b *binder) duckSQL(n *pg_query.Node) (string, error) {
	b.hidden.note(n)
	if len(b.samples) > 0 {
		n = clone(n)
		if err := b.draw(n); err != nil {
			return "", err
		}
	}
	n, err := b.prepareSystem(n)
	if err != nil {
		return "", err
	}
	checked := b.checked
	b.typedOutputs = nil
	if b.outputs != nil && n.GetSelectStmt() != nil {
		if n, err = b.typedCatalog(n); err != nil {
			return "", err
		}
		checked = true
	}
	type standIn struct {
		sql string
		ok  bool
	}
	known := map[string]standIn{} // what a relation stands for is made once, however often the statement is written
	relation := func(rv *pg_query.RangeVar) (string, bool, error) {
		name := rv.Schemaname + "." + rv.Relname
		if in, ok := known[name]; ok {
			return in.sql, in.ok, nil
		}
		sql, ok, err := b.relation(rv)
		if err == nil {
			known[name] = standIn{sql, ok}
		}
		return sql, ok, err
	}
	sql, err := b.s.dividing(b.ctx, func(d *rewrite.Divisions) (string, error) {
		return rewrite.Rewrite(n, rewrite.Options{Relation: relation, Function: b.function, Role: roleName(b.s, b.s.role), SessionRole: roleName(b.s, b.s.sessionRole), Database: b.s.info.Database, ParamTypes: b.params, NullParams: b.nulls, Divisions: d, Off: b.off, Checked: checked})
	})
	if err != nil {
		return "", b.placed(err)
	}
	return sql, nil
}

// placed is an error of package rewrite with its place in the statement.
func (b *binder) placed(err error) error {
	if e := (*unplaced)(nil); errors.As(err, &e) {
		return e.err
	}
	if call := (*rewrite.CallError)(nil); errors.As(err, &call) {
		if e := asError(err); e.Position != 0 {
			return e
		}
		return at(asError(err), b.sql, call.Offset)
	}
	return asError(err)
}

// relation is what a relation's name stands for in DuckDB; ok is false for names that DuckDB knows itself.
func (b *binder) relation(rv *pg_query.RangeVar) (string, bool, error) {
	if sql, ok := b.refs[rv.Relname]; ok {
		return sql, true, nil
	}
	b.varies = true
	if sql, ok := b.s.parts[rv.Relname]; ok && rv.Schemaname == "" {
		b.passing = true
		return sql, true, nil
	}
	if rv.Catalogname != "" && rv.Catalogname != b.s.info.Database {
		return "", false, at(crossDatabase(rv), b.sql, int(rv.Location))
	}
	if rv.Schemaname == "tilehouse" {
		b.passing = true
		if b.describe && largeViews[rv.Relname] != nil {
			return fmt.Sprintf("(SELECT %s WHERE false)", nullColumns(catalogViews[rv.Relname].columns)), true, nil
		}
		sql, err := b.s.catalogView(b.ctx, b.cat, rv.Relname)
		if err != nil {
			return "", false, at(asError(err), b.sql, int(rv.Location))
		}
		return sql, true, nil
	}
	if sql, ok, err := b.systemRelation(rv); ok || err != nil {
		return sql, ok, err
	}
	b.passing = true
	if rv.Schemaname != "" && rv.Schemaname != "public" {
		return b.ordinaryRelation(rv)
	}
	switch o := b.cat.Lookup(rv.Relname).(type) {
	case *schema.Relation:
		b.used = append(b.used, o)
		sql, err := b.relationSQL(o, false)
		return sql, true, err
	case *schema.Entity:
		return "", false, at(hint(fail(codeUnsupported, "entity %q is read with all its keys bound, or by ASOF JOIN", o.Name), "SELECT … FROM %s WHERE %s = …", o.Name, o.Keys[0].Name), b.sql, int(rv.Location))
	case *schema.FeatureView:
		return "", false, at(hint(fail(codeUnsupported, "feature view %q is read with its keys and request columns bound, or by ASOF JOIN", o.Name), "SELECT … FROM %s WHERE %s = …", o.Name, o.Keys[0].Name), b.sql, int(rv.Location))
	case *schema.Feature:
		ent := b.cat.Entities[o.Entity]
		return "", false, at(hint(fail(codeWrongObject, "%q is a feature, not a relation", o.Name), "Read it from its entity: SELECT %s FROM %s WHERE %s = …", o.Outputs[0].Name, ent.Name, ent.Keys[0].Name), b.sql, int(rv.Location))
	}
	return b.ordinaryRelation(rv)
}

// relationSQL is a relation of ours at the binder's position; rowIDs shows the hidden row id.
func (b *binder) relationSQL(r *schema.Relation, rowIDs bool) (string, error) {
	hidden := ""
	if rowIDs {
		hidden = ", 0::BIGINT AS " + rowIDName
	}
	columns, err := b.hidden.of(r)
	if err != nil {
		return "", err
	}
	if b.describe {
		return fmt.Sprintf("(SELECT %s%s WHERE false)", nullColumns(columns), hidden), nil
	}
	sql, err := b.baseSQL(materialize.Base(b.cat, r))
	if err != nil {
		return "", err
	}
	if r.View != nil {
		if err := b.s.refuseZone(r.Name, append(slices.Clone(r.View.Items), r.View.Where)...); err != nil {
			return "", err
		}
	}
	sql = materialize.RowsOver(b.cat, r, sql)
	cols := make([]string, len(columns), len(columns)+1)
	for i, c := range columns {
		if cols[i] = duck.QuoteIdent(c.Inside()); c.Kept != "" {
			cols[i] += " AS " + duck.QuoteIdent(c.Name)
		}
	}
	if rowIDs {
		cols = append(cols, rowIDName)
	}
	return fmt.Sprintf("(SELECT %s FROM %s)", strings.Join(cols, ", "), sql), nil
}

// baseSQL is the rows of a relation that is no view, with what the open block changed of them, and their ids.
func (b *binder) baseSQL(r *schema.Relation) (string, error) {
	if err := b.s.columnsCommitted(r); err != nil {
		return "", err
	}
	if r.Dual != nil {
		if w := b.s.wroteTo(b.cat, r); w != nil {
			return "", hint(fail(codeUnsupported, "this transaction wrote to %q, and dual source %q would not have the rows", w.Name, r.Name), "Commit first.")
		}
	}
	var sql string
	var err error
	position := b.position
	b.s.readsRelation(b.cat, r)
	if r.Logged() && b.s.tx != nil && b.s.tx.duck && (!b.s.tx.single || b.s.tx.serial != nil) && !b.s.unborn(r) {
		p, err := b.s.projected(b.ctx, b.cat)
		if err != nil {
			return "", asError(err)
		}
		if position = p.position; !p.holds[r.ID] {
			if sql, err = b.replayed(r, position); err != nil {
				return "", asError(err)
			}
		}
	}
	if sql != "" {
	} else if r.Logged() && b.s.unborn(r) {
		sql = fmt.Sprintf("(SELECT %s, 0::BIGINT AS %s WHERE false)", nullColumns(r.Stored()), rowIDName)
	} else if sql, err = b.s.e.mat.RelationSQL(b.ctx, b.cat, r, position); err != nil {
		e := asError(err)
		if e.Code != codeDiskFull {
			return "", e
		}
		if sql, err = b.replayed(r, position); err != nil { // the projection cannot grow, but reads go on
			return "", asError(err)
		}
	}
	if p := b.s.pendingOf(r); p != nil {
		return b.s.overlay(b.ctx, p, sql)
	}
	return sql, nil
}

// replayed is an event table from the log, in a temporary table of this statement.
func (b *binder) replayed(r *schema.Relation, position uint64) (string, error) {
	stored := r.Stored()
	cols := make([]string, len(stored))
	for i, c := range stored {
		cols[i] = duck.QuoteIdent(c.Name) + " " + c.Type.DuckDB()
	}
	table := b.s.temp("replayed")
	if _, err := b.s.conn.Exec(b.ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s, %s BIGINT)", table, strings.Join(cols, ", "), rowIDName)); err != nil {
		return "", err
	}
	err := b.s.e.mat.LiveRows(b.ctx, r, position, func(rows *vector.Chunk, ids []int64) error {
		return materialize.AppendWithIDs(b.s.conn, "temp", table, rows, ids)
	})
	return "temp.main." + table, err
}

const rowIDName = "__rowid"

// overlay is a relation with the open block's changes: sql without the rows it deleted, and its own rows. The pending rows
// stand in a temporary table, made anew for each statement.
func (s *Session) overlay(ctx context.Context, p *pendingRows, sql string) (string, error) {
	table := s.temp("pending")
	stored := p.rel.Stored()
	cols := make([]string, len(stored))
	names := make([]string, len(stored))
	for i, c := range stored {
		names[i] = duck.QuoteIdent(c.Name)
		cols[i] = names[i] + " " + c.Type.DuckDB()
	}
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s, %s BIGINT)", table, strings.Join(cols, ", "), rowIDName)); err != nil {
		return "", asError(err)
	}
	if err := appendPending(s.conn, table, p); err != nil {
		return "", asError(err)
	}
	where := ""
	if len(p.deletes) > 0 {
		ids := make([]string, len(p.deletes))
		for i, id := range p.deletes {
			ids[i] = fmt.Sprint(id)
		}
		where = fmt.Sprintf(" WHERE %s NOT IN (%s)", rowIDName, strings.Join(ids, ", "))
	}
	list := strings.Join(names, ", ") + ", " + rowIDName
	return fmt.Sprintf("(SELECT %s FROM %s%s UNION ALL SELECT %s FROM temp.main.%s)", list, sql, where, list, table), nil
}

// noEventRelation explains why a name is no relation that a feature can read.
func (s *Session) noEventRelation(ctx context.Context, cat *schema.Catalog, name string) *session.Error {
	if o := cat.Lookup(name); o != nil {
		return fail(codeWrongObject, "%q is no event table, source or event view", name)
	}
	if s.tableExists(ctx, name) {
		return noEventTime(cat, name)
	}
	return fail(codeUndefinedTable, "relation %q does not exist", name)
}

// tableExists reports whether DuckDB has an ordinary table or view of the name.
func (s *Session) tableExists(ctx context.Context, name string) bool {
	o, err := s.object(ctx, tables.Public, name)
	return err == nil && o != nil
}

// nameFree refuses a name that an object or an ordinary table has.
func (s *Session) nameFree(ctx context.Context, cat *schema.Catalog, n parse.Name, sql string) error {
	if n.Schema != "" && n.Schema != "public" {
		return at(fail("3F000", "schema %q does not exist", n.Schema), sql, n.Position)
	}
	if cat.Lookup(n.Name) != nil {
		return at(taken(cat, n.Name), sql, n.Position)
	}
	if s.tableExists(ctx, n.Name) {
		return at(fail(codeDuplicateTable, "relation %q already exists", n.Name), sql, n.Position)
	}
	return nil
}

// taken is the error of making an object under a name that another has: it says what that is, and how to change or remove it.
func taken(cat *schema.Catalog, name string) *session.Error {
	e := fail(codeDuplicateObject, "%q already exists", name)
	kind, replace := "", false
	switch o := cat.Lookup(name).(type) {
	case *schema.Feature:
		kind, replace = "feature", true
	case *schema.FeatureView:
		kind, replace = "feature view", true
	case *schema.Entity:
		kind = "entity"
	case *schema.Relation:
		kind = map[schema.RelationKind]string{schema.EventTable: "table", schema.FileSource: "source", schema.KafkaSource: "source", schema.PostgresSource: "source", schema.PostgresVersions: "source", schema.DualSource: "source", schema.EventView: "event view"}[o.Kind]
	}
	switch kind {
	case "":
		return e
	case "source":
		if cat.Relation(name).File == nil {
			return hint(e, "%q is a source: DROP SOURCE %[1]s removes it, and IF NOT EXISTS keeps it.", name)
		}
		return hint(e, "%q is a source: REFRESH SOURCE %[1]s reads its files anew, DROP SOURCE %[1]s removes it.", name)
	}
	statement := strings.ToUpper(kind)
	if replace {
		return hint(e, "%q is a %s: CREATE OR REPLACE %s %[1]s … redefines it, DROP %[3]s %[1]s removes it.", name, kind, statement)
	}
	article := "a"
	if strings.ContainsAny(kind[:1], "e") {
		article = "an"
	}
	return hint(e, "%q is %s %s: DROP %s %[1]s removes it, and IF NOT EXISTS keeps it.", name, article, kind, statement)
}
