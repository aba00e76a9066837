package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// prepared is a bound statement. It implements session.Statement.
type prepared struct {
	s    *Session
	sql  string
	oids []uint32
	dims []uint32        // array types of parameters of which a value had more than one dimension, 0 of others
	cat  *schema.Catalog // that it was bound at
	role uint32          // that it was allowed
	ddl  int64           // the engine's count of changes of ordinary tables, then
	text uint64          // the session's count of changes of what texts depend on, then
	sent []vector.Type   // of the parameters, as the client sends them
	// writes is what a read-only transaction refuses the statement as, target what it changes, and volatile what makes it give
	// other rows when it is run again.
	writes   string
	target   *pg_query.RangeVar
	volatile string
	bound
}

// bound is what binding a statement makes.
type bound struct {
	params  []vector.Type
	columns []session.Column
	// allowed in a failed block: only what ends it.
	ends bool
	// late are the columns at the moment, of FETCH, whose cursor may be declared anew; nil: they are those of columns.
	late func() []session.Column
	// alone is refused inside a block.
	alone bool
	// copies: the columns are those of COPY data, which a description of the statement does not have.
	copies bool
	// utc: what DuckDB computes of it must not depend on the session's time zone.
	utc bool
	// plain statements are about the session: they neither begin a snapshot nor stop an open cursor.
	plain bool
	// denied is why the role that the statement was bound for may not run it; nil: it may.
	denied error
	// lasting is set for a SELECT of PostgreSQL's catalogs alone, or of nothing.
	lasting *lastingText
	run     func(ctx context.Context, args []*vector.Vector) (session.Result, error)
}

// Parse binds one statement.
func (s *Session) Parse(ctx context.Context, sql string, paramOIDs []uint32) (session.Statement, error) {
	s.reader.Begin()
	p := &prepared{s: s, sql: sql, oids: slices.Clone(paramOIDs)}
	if err := s.e.traced(ctx, "bind", p.bind); err != nil {
		return nil, s.failed(s.advise(ctx, locate(asError(err), sql), sql))
	}
	return p, nil
}

func (p *prepared) bind(ctx context.Context) error {
	if ok, err := p.bindPlanned(ctx); ok || err != nil {
		return err
	}
	if inner, ok := parse.Nested(p.sql); ok {
		return p.bindNested(ctx, inner)
	}
	st, err := parse.Parse(p.sql)
	if err != nil {
		return err
	}
	if p.oids == nil {
		if err := refuseParams(st, p.sql); err != nil {
			return err
		}
	}
	ends := endsTransaction(st)
	if st != nil && p.s.tx != nil && p.s.tx.failed && !ends {
		return errFailedBlock()
	}
	if sql, ok := st.(*parse.SQL); ok {
		if b, ok, err := p.s.bindSessionCommand(sql); ok || err != nil {
			if run := b.run; err == nil {
				b.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
					if err := p.s.authorize(ctx, p.s.catalog(), st); err != nil {
						return nil, err
					}
					return run(ctx, args)
				}
			}
			p.bound, p.cat = b, p.s.catalog()
			return err
		}
	}
	if !ends { // COMMIT itself finds out, and ends the block
		if err := p.s.parkCursor(); err != nil {
			return err
		}
		if err := p.s.rebase(); err != nil {
			return err
		}
	}
	p.writes, p.target = writes(st)
	p.volatile = volatileIn(st)
	cat := p.s.catalog()
	p.cat, p.ddl, p.role, p.text = cat, p.s.e.ddl.Load(), p.s.role, p.s.textsVersion
	if st == nil {
		p.bound = bound{run: func(context.Context, []*vector.Vector) (session.Result, error) { return noRows{}, nil }}
		return nil
	}
	given := make([]vector.Type, len(p.oids))
	for i, oid := range p.oids {
		if oid != 0 {
			given[i], _ = codec.TypeOf(oid)
		}
	}
	for i, oid := range p.dims {
		for i >= len(given) {
			given = append(given, vector.Type{})
		}
		if oid != 0 {
			given[i] = vector.Type{Kind: vector.Text, Shown: oid}
		}
	}
	var ids map[int32]uint32
	repeats := false
	if sql, ok := st.(*parse.SQL); ok && sql.Node != nil {
		ids = objectIDParams(sql.Node) // before binding, which takes the names of types away
		repeats = repeatable(sql.Node)
	}
	p.bound, err = p.s.bindStatement(ctx, cat, p.sql, st, given)
	if err != nil {
		return err
	}
	for i, t := range given { // a client that names a type sends that type
		if i < len(p.params) && t.Kind != vector.Invalid && p.params[i].Kind == vector.Invalid {
			p.params[i] = t
		}
	}
	for i := range p.params {
		if p.params[i].Kind == vector.Invalid || p.params[i].Kind == vector.Null {
			p.params[i] = vector.T(vector.Text)
		}
	}
	p.sent = p.sentTypes(given, ids)
	if repeats {
		p.keepPlan(ctx, given)
	}
	return nil
}

// convert makes values of the types that the plan wants of those that the client sent: a client may call a bigint smallint.
func (p *prepared) convert(args []*vector.Vector) ([]*vector.Vector, error) {
	out := slices.Clone(args)
	for i, a := range args {
		if i < len(p.params) && p.params[i].Kind == vector.Text && codec.IsArray(p.params[i].Shown) {
			v, err := dimensionsOf(a, p.params[i].Shown, p.s.codecSettings())
			if err != nil {
				return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
			}
			out[i] = v
			continue
		}
		if i < len(p.params) && p.params[i].Kind == vector.Text && p.params[i].Shown != 0 && a.Type.Kind == vector.Text && !a.IsNull(0) {
			v, err := pgfunc.In(p.params[i].Shown, -1, string(a.Bytes(0)), p.s.codecSettings())
			if err != nil {
				return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
			}
			if v != nil && v.Type.Kind == vector.Text {
				out[i] = v
			}
			continue
		}
		if i >= len(p.params) || a.Type.Equal(p.params[i]) {
			continue
		}
		out[i] = vector.New(p.params[i], 1)
		if err := p.s.cast(out[i], a, 0); err != nil {
			return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
	}
	return out, nil
}

func (p *prepared) Params() []vector.Type { return p.sent }
func (p *prepared) Columns() []session.Column {
	if p.copies {
		return nil
	}
	return p.columns
}

// PortalColumns are the columns of a portal that is bound to the statement now; ok is false where they are those of Columns.
func (p *prepared) PortalColumns() (columns []session.Column, ok bool) {
	if p.late == nil {
		return nil, false
	}
	return p.late(), true
}

// CopyColumns are the columns of the data of COPY … TO STDOUT.
func (p *prepared) CopyColumns() []session.Column { return p.columns }
func (p *prepared) Close()                        {}

func errFailedBlock() error {
	return fail(codeFailedTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// Execute runs the statement; it is bound again where the catalog changed since.
func (p *prepared) Execute(ctx context.Context, args []*vector.Vector) (r session.Result, err error) {
	if p.s.e.cfg.Tracer == nil {
		return p.execute(ctx, args)
	}
	err = p.s.e.traced(ctx, "run", func(ctx context.Context) error {
		r, err = p.execute(ctx, args)
		return err
	})
	return r, err
}

func (p *prepared) execute(ctx context.Context, args []*vector.Vector) (session.Result, error) {
	s := p.s
	s.running(p.sql)
	if s.tx != nil && s.tx.failed && !p.ends {
		return nil, errFailedBlock()
	}
	if s.tx != nil && p.alone && (!s.tx.implicit || s.tx.defs != nil || len(s.tx.events) > 0) {
		return nil, s.failed(hint(fail(codeInTransaction, "%s cannot run inside a transaction block", firstWords(p.sql)), "Run it outside of BEGIN … COMMIT; in psycopg: autocommit=True."))
	}
	if p.plain || p.ends {
		r, err := p.run(ctx, args)
		if err != nil {
			return nil, s.failed(s.advise(ctx, locate(asError(err), p.sql), p.sql))
		}
		return r, nil
	}
	if err := s.parkCursor(); err != nil {
		return nil, s.failed(err)
	}
	if err := s.refuseReadOnly(ctx, p.writes, p.target); err != nil {
		return nil, s.failed(err)
	}
	if s.tx == nil && p.writes != "" {
		defer s.e.writing()()
	}
	if definesOrdinary(p.writes) { // what was bound to the tables is bound again
		if s.tx != nil {
			s.tx.defines = true
		}
		defer s.e.ddl.Add(1)
	}
	for {
		if err := p.current(ctx); err != nil {
			return nil, s.failed(err)
		}
		if p.denied != nil {
			return nil, s.failed(p.denied)
		}
		if p.widen(args) {
			continue
		}
		values, err := p.convert(args)
		if err != nil {
			return nil, s.failed(err)
		}
		r, err := p.journaled(ctx, values)
		if errors.Is(err, errStalePlan) {
			p.cat = nil // it is bound again
			continue
		}
		if err != nil {
			return nil, s.failed(s.advise(ctx, locate(asError(err), p.sql), p.sql))
		}
		return r, nil
	}
}

// journaled runs the statement and, in a transaction, notes what it wrote to DuckDB.
func (p *prepared) journaled(ctx context.Context, values []*vector.Vector) (session.Result, error) {
	if err := p.s.useZone(ctx, p.utc); err != nil {
		return nil, err
	}
	tx := p.s.tx
	if tx == nil {
		return p.run(ctx, values)
	}
	tx.queried = true
	if tx.level == serializable {
		if err := p.s.beginDuck(ctx); err != nil {
			return nil, err
		}
	}
	wrote, entries, run := tx.writes, len(tx.journal.entries), p.run
	r, err := run(ctx, values)
	if p.s.tx != tx { // the statement ended it
		return r, err
	}
	switch {
	case tx.writes == wrote:
	case err != nil:
		tx.journal.partial = true
	case r.CopyIn() != nil:
		tx.journal.noteCopy(p.sql, r.(*copyIn), func(ctx context.Context) (session.Result, error) { return run(ctx, values) })
	case len(tx.journal.entries) == entries: // or a statement that it ran has noted it
		tx.journal.note(journalEntry{sql: p.sql, volatile: p.volatile, run: func(ctx context.Context) (session.Result, error) { return run(ctx, values) }}, values)
	}
	return r, err
}

// current binds the statement again where the catalog changed since.
func (p *prepared) current(ctx context.Context) error {
	if err := p.s.rebase(); err != nil {
		return err
	}
	if !p.Stale() {
		return nil
	}
	columns := p.columns
	if err := p.bind(ctx); err != nil {
		return err
	}
	if !slices.EqualFunc(columns, p.columns, func(a, b session.Column) bool {
		return a.Name == b.Name && (a.Type.Equal(b.Type) || codec.IsArray(codec.OID(a.Type)) && codec.OID(a.Type) == codec.OID(b.Type))
	}) {
		return fail(codePlanChanged, "cached plan must not change result type")
	}
	return nil
}

// Stale reports whether what the statement was bound to has changed since.
func (p *prepared) Stale() bool {
	return !p.plain && !p.ends && (p.cat != p.s.catalog() || p.ddl != p.s.e.ddl.Load() || p.role != p.s.role || p.text != p.s.textsVersion)
}

// Revalidate binds the statement again where it is stale. Errors: 0A000 where its columns changed.
func (p *prepared) Revalidate(ctx context.Context) error {
	if p.s.tx != nil && p.s.tx.failed {
		return errFailedBlock()
	}
	if err := p.current(ctx); err != nil {
		return p.s.failed(err)
	}
	return nil
}

// firstWords names a statement by the words that say its kind.
func firstWords(sql string) string {
	w := strings.Fields(strings.ToUpper(sql))
	n := 1
	if len(w) > 1 && slices.Contains([]string{"CREATE", "ALTER", "DROP", "COMMENT", "REFRESH", "SET", "DISCARD"}, w[0]) {
		if len(w) > 3 && w[1] == "OR" && w[2] == "REPLACE" {
			w = slices.Delete(w, 1, 3)
		}
		if n = 2; len(w) > 2 && w[1] == "FEATURE" && w[2] == "VIEW" {
			n = 3
		}
	}
	return strings.TrimRight(strings.Join(w[:min(len(w), n)], " "), ";")
}

// command is a bound statement without rows and parameters.
func command(run func(ctx context.Context) (tag string, err error)) bound {
	return bound{run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		tag, err := run(ctx)
		if err != nil {
			return nil, err
		}
		return noRows{tag}, nil
	}}
}

// definition is a command that changes the catalog: as a step of the open transaction, or in one of its own.
func (s *Session) definition(run func(ctx context.Context) (tag string, err error)) bound {
	return command(func(ctx context.Context) (string, error) {
		if s.tx != nil {
			return run(ctx)
		}
		s.begin(true).single = true
		tag, err := run(ctx)
		if err != nil {
			s.rollback()
			return "", err
		}
		return tag, s.commit(ctx)
	})
}

// alone is a command that is its own transaction.
func alone(run func(ctx context.Context) (tag string, err error)) bound {
	b := command(run)
	b.alone = true
	return b
}

// bindStatement binds a statement, and notes whether the session's role may run it.
func (s *Session) bindStatement(ctx context.Context, cat *schema.Catalog, sql string, st parse.Statement, given []vector.Type) (bound, error) {
	tree := st
	if sql, ok := st.(*parse.SQL); ok { // binding changes the tree
		kept := *sql
		kept.Node = clone(sql.Node)
		tree = &kept
	}
	b, err := s.bindAny(ctx, cat, sql, st, given)
	if err == nil {
		b.denied = s.authorize(ctx, cat, tree)
	}
	return b, err
}

func (s *Session) bindAny(ctx context.Context, cat *schema.Catalog, sql string, st parse.Statement, given []vector.Type) (bound, error) {
	if err := s.e.refuseOnGateway(cat, sql, st); err != nil {
		return bound{}, err
	}
	switch st := st.(type) {
	case *parse.CreateTable:
		return s.definition(func(ctx context.Context) (string, error) { return s.createEventTable(ctx, st) }), nil
	case *parse.CreateEntity:
		return s.definition(func(ctx context.Context) (string, error) { return s.createEntity(ctx, sql, st) }), nil
	case *parse.CreateSource:
		if st.Batch != nil {
			return alone(func(ctx context.Context) (string, error) { return s.dualDefinition(ctx, st) }), nil
		}
		return s.definition(func(ctx context.Context) (string, error) { return s.createSource(ctx, st) }), nil
	case *parse.CreateConnection:
		return s.definition(func(context.Context) (string, error) { return s.createConnection(sql, st) }), nil
	case *parse.CreateSecret:
		return s.definition(func(context.Context) (string, error) { return s.createSecret(sql, st) }), nil
	case *parse.CreateEventView:
		return s.definition(func(ctx context.Context) (string, error) { return s.createEventView(ctx, st) }), nil
	case *parse.CreateFeature:
		return s.definition(func(ctx context.Context) (string, error) { return s.createFeature(ctx, st) }), nil
	case *parse.CreateFeatureView:
		return s.definition(func(ctx context.Context) (string, error) { return s.createFeatureView(ctx, st) }), nil
	case *parse.Drop:
		return s.definition(func(ctx context.Context) (string, error) { return s.drop(ctx, sql, st) }), nil
	case *parse.Refresh:
		if st.Object == parse.Source {
			return alone(func(ctx context.Context) (string, error) { return s.refreshSource(ctx, sql, st) }), nil
		}
		if f := cat.Feature(st.Name.Name); st.From != nil && f != nil && f.Group != 0 {
			return alone(func(ctx context.Context) (string, error) { return s.refreshDays(ctx, sql, st) }), nil
		}
		return s.definition(func(ctx context.Context) (string, error) { return s.refreshFeature(ctx, sql, st) }), nil
	case *parse.DeadLetters:
		return alone(func(ctx context.Context) (string, error) { return s.deadLettersAgain(ctx, sql, st) }), nil
	case *parse.Alter:
		if st.Action == parse.AlterOwner {
			if o := ofKind(cat, string(st.Object), st.Name.Name); objectKind(o) != string(st.Object) && (o != nil || !st.IfExists) {
				return bound{}, at(notThatKind(o, "ALTER", string(st.Object), st.Name), sql, st.Name.Position)
			}
			if st.Object == parse.Connection || st.Object == parse.Secret {
				return s.ownerOfNamed(st), nil
			}
			return s.bindOwner("ALTER "+string(st.Object), st.Name.Schema, st.Name.Name, st.IfExists, st.Owner)
		}
		b := s.definition(func(ctx context.Context) (string, error) { return s.alter(ctx, sql, string(st.Object), st) })
		if st.Object == parse.Source && st.Action <= parse.AlterReset {
			return s.thenLoad(b, st.Name.Name), nil
		}
		return b, nil
	case *parse.Comment:
		return s.definition(func(context.Context) (string, error) {
			return "COMMENT", s.comment(sql, string(st.Object), st.Name, "", st.Text)
		}), nil
	case *parse.Grant:
		return s.bindGrant(&st.SQL, st.Node.GetGrantStmt(), st.Object)
	case *parse.Show:
		return s.bindShow(ctx, cat, st)
	case *parse.Explain:
		return s.bindExplain(ctx, cat, sql, st, given)
	case *parse.ExplainFeature:
		return s.bindExplainFeature(ctx, cat, st)
	case *parse.SQL:
		if err := s.changeableNames(st); err != nil {
			return bound{}, err
		}
		return s.bindSQL(ctx, cat, st, given)
	}
	return bound{}, fail(codeUnsupported, "%s is not supported yet", firstWords(sql))
}

// bindSQL binds a statement of PostgreSQL's.
func (s *Session) bindSQL(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	for _, t := range st.Clauses.SystemTime {
		if !hasQuery(st.Node) || st.Node.GetInsertStmt().GetRelation() == t.Relation {
			return bound{}, at(notThen(), st.Text, t.Position)
		}
	}
	switch n := st.Node.Node.(type) {
	case *pg_query.Node_SelectStmt:
		if into := n.SelectStmt.IntoClause; into != nil {
			n.SelectStmt.IntoClause = nil
			return s.bindCreateTableAs(ctx, cat, st, &pg_query.CreateTableAsStmt{Query: st.Node, Into: into, Objtype: pg_query.ObjectType_OBJECT_TABLE}, given)
		}
		if writesInWith(n.SelectStmt.WithClause) {
			return s.bindWritingWith(ctx, cat, st, given)
		}
		if err := s.inlineViews(ctx, st.Node); err != nil {
			return bound{}, err
		}
		return s.bindSelect(ctx, cat, st, given)
	case *pg_query.Node_InsertStmt:
		if r := eventTableOf(cat, n.InsertStmt.Relation); r != nil {
			if stagesInsert(n.InsertStmt) && !writesInWith(n.InsertStmt.WithClause) {
				return s.bindEventWrite(ctx, cat, st, given)
			}
			return s.bindInsert(ctx, cat, st, n.InsertStmt, r, given)
		}
		return s.bindWriteOrdinary(ctx, cat, st, n.InsertStmt.WithClause, given)
	case *pg_query.Node_UpdateStmt:
		if r := eventTableOf(cat, n.UpdateStmt.Relation); r != nil {
			if (stagesUpdate(n.UpdateStmt) || !st.Clauses.Empty()) && !writesInWith(n.UpdateStmt.WithClause) {
				return s.bindEventWrite(ctx, cat, st, given)
			}
			return s.bindUpdate(ctx, cat, st, n.UpdateStmt, r, given)
		}
		return s.bindWriteOrdinary(ctx, cat, st, n.UpdateStmt.WithClause, given)
	case *pg_query.Node_DeleteStmt:
		if r := eventTableOf(cat, n.DeleteStmt.Relation); r != nil {
			if (len(n.DeleteStmt.ReturningList) > 0 || n.DeleteStmt.WithClause != nil || !st.Clauses.Empty()) && !writesInWith(n.DeleteStmt.WithClause) {
				return s.bindEventWrite(ctx, cat, st, given)
			}
			return s.bindDelete(ctx, cat, st, n.DeleteStmt, r, given)
		}
		return s.bindWriteOrdinary(ctx, cat, st, n.DeleteStmt.WithClause, given)
	case *pg_query.Node_CopyStmt:
		if q := n.CopyStmt.Query; q != nil {
			if err := s.inlineViews(ctx, q); err != nil {
				return bound{}, err
			}
		}
		return s.bindCopy(ctx, cat, st, n.CopyStmt)
	case *pg_query.Node_CreateFunctionStmt:
		return s.bindCreateFunction(st, n.CreateFunctionStmt)
	case *pg_query.Node_DropStmt:
		return s.bindDropStmt(ctx, cat, st, n.DropStmt)
	case *pg_query.Node_AlterTableStmt:
		return s.bindAlterTable(ctx, cat, st, n.AlterTableStmt)
	case *pg_query.Node_RenameStmt:
		return s.bindRename(ctx, cat, st, n.RenameStmt)
	case *pg_query.Node_CommentStmt:
		return s.bindCommentStmt(ctx, cat, st, n.CommentStmt)
	case *pg_query.Node_GrantStmt:
		return s.bindGrant(st, n.GrantStmt, "")
	case *pg_query.Node_GrantRoleStmt:
		return s.bindGrantRole(n.GrantRoleStmt)
	case *pg_query.Node_CreateRoleStmt:
		return s.bindCreateRole(st, n.CreateRoleStmt)
	case *pg_query.Node_AlterRoleStmt:
		return s.bindAlterRole(st, n.AlterRoleStmt)
	case *pg_query.Node_AlterRoleSetStmt:
		return s.bindAlterRoleSet(n.AlterRoleSetStmt)
	case *pg_query.Node_DropRoleStmt:
		return s.bindDropRole(n.DropRoleStmt)
	case *pg_query.Node_AlterDefaultPrivilegesStmt:
		return s.bindDefaultPrivileges(n.AlterDefaultPrivilegesStmt)
	case *pg_query.Node_AlterOwnerStmt:
		return s.bindAlterOwner(st, n.AlterOwnerStmt)
	case *pg_query.Node_ReassignOwnedStmt:
		return s.bindReassignOwned(n.ReassignOwnedStmt)
	case *pg_query.Node_DropOwnedStmt:
		return s.bindDropOwned(n.DropOwnedStmt)
	}
	return s.bindObjects(ctx, cat, st, given)
}

// bindObjects binds the statements that define ordinary objects.
func (s *Session) bindObjects(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	switch n := st.Node.Node.(type) {
	case *pg_query.Node_CreateStmt:
		return s.bindCreateTable(st, n.CreateStmt)
	case *pg_query.Node_CreateTableAsStmt:
		return s.bindCreateTableAs(ctx, cat, st, n.CreateTableAsStmt, given)
	case *pg_query.Node_ViewStmt:
		return s.bindCreateView(st, n.ViewStmt), nil
	case *pg_query.Node_RefreshMatViewStmt:
		return s.bindRefreshView(st, n.RefreshMatViewStmt), nil
	case *pg_query.Node_TruncateStmt:
		return s.bindTruncateStmt(ctx, cat, st, n.TruncateStmt)
	case *pg_query.Node_IndexStmt:
		if r := eventTableOf(cat, n.IndexStmt.Relation); r != nil {
			return bound{}, hint(fail(codeUnsupported, "indexes on %s %q are not supported", r.Kind, r.Name), "Its primary key is an index; features are its other ones.")
		}
		return s.bindCreateIndex(st, n.IndexStmt), nil
	case *pg_query.Node_CreateSchemaStmt:
		return s.bindCreateSchema(st, n.CreateSchemaStmt)
	case *pg_query.Node_CreateSeqStmt:
		return s.bindCreateSequence(st, n.CreateSeqStmt), nil
	case *pg_query.Node_AlterSeqStmt:
		return s.bindAlterSequence(st, n.AlterSeqStmt), nil
	case *pg_query.Node_CreateEnumStmt, *pg_query.Node_CreateDomainStmt:
		return bound{}, hint(fail(codeUnsupported, "%s is not supported", firstWords(st.Text)), "A CHECK constraint holds a column to the same values: CHECK (state IN ('new', 'done')).")
	case *pg_query.Node_AlterObjectSchemaStmt:
		return s.bindSetSchema(st, n.AlterObjectSchemaStmt)
	}
	return bound{}, fail(codeUnsupported, "%s is not supported", firstWords(st.Text))
}

func eventTableOf(cat *schema.Catalog, rv *pg_query.RangeVar) *schema.Relation {
	if rv == nil || rv.Schemaname != "" && rv.Schemaname != "public" {
		return nil
	}
	return cat.Relation(rv.Relname)
}

// clone is a copy of a statement to be changed.
func clone(n *pg_query.Node) *pg_query.Node { return proto.Clone(n).(*pg_query.Node) }
