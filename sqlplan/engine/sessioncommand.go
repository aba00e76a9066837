package engine

import (
	"context"
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// bindSessionCommand binds statements about the session itself: transactions, settings, cursors, prepared statements, and
// maintenance that is not needed here. ok is false for all others.
func (s *Session) bindSessionCommand(st *parse.SQL) (b bound, ok bool, err error) {
	plain := func(run func(ctx context.Context) (string, error)) (bound, bool, error) {
		b := command(run)
		b.plain = true
		return b, true, nil
	}
	does := func(tag string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return tag, nil }
	}
	switch n := st.Node.Node.(type) {
	case *pg_query.Node_TransactionStmt:
		b, _, _ := plain(func(ctx context.Context) (string, error) { return s.transactionStatement(ctx, n.TransactionStmt) })
		b.ends = endsTransaction(st)
		return b, true, nil
	case *pg_query.Node_VariableSetStmt:
		return plain(func(context.Context) (string, error) { return s.variableSet(n.VariableSetStmt) })
	case *pg_query.Node_VariableShowStmt:
		b, err := s.bindVariableShow(n.VariableShowStmt)
		b.plain = true
		return b, true, err
	case *pg_query.Node_DiscardStmt:
		b, _, _ := plain(func(ctx context.Context) (string, error) { return s.discard(ctx, n.DiscardStmt) })
		b.plain, b.alone = false, n.DiscardStmt.Target == pg_query.DiscardMode_DISCARD_ALL
		return b, true, nil
	case *pg_query.Node_DeallocateStmt:
		return plain(func(context.Context) (string, error) { return s.deallocate(n.DeallocateStmt) })
	case *pg_query.Node_ExecuteStmt:
		b, err := s.bindExecute(st, n.ExecuteStmt)
		return b, true, err
	case *pg_query.Node_FetchStmt:
		b, err := s.bindFetch(n.FetchStmt)
		return b, true, err
	case *pg_query.Node_ClosePortalStmt:
		return plain(func(context.Context) (string, error) { return s.closeCursor(n.ClosePortalStmt.Portalname) })
	case *pg_query.Node_ListenStmt:
		return plain(func(context.Context) (string, error) { return "LISTEN", s.listen(n.ListenStmt.Conditionname) })
	case *pg_query.Node_UnlistenStmt:
		return plain(func(context.Context) (string, error) {
			return "UNLISTEN", s.unlistenLater(n.UnlistenStmt.Conditionname)
		})
	case *pg_query.Node_NotifyStmt:
		return plain(func(context.Context) (string, error) {
			return "NOTIFY", s.notify(n.NotifyStmt.Conditionname, n.NotifyStmt.Payload)
		})
	case *pg_query.Node_LockStmt:
		return bound{run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
			return s.lockTables(ctx, n.LockStmt)
		}}, true, nil
	case *pg_query.Node_VacuumStmt:
		tag := "VACUUM"
		if !n.VacuumStmt.IsVacuumcmd {
			tag = "ANALYZE"
		}
		b, _, _ := plain(func(ctx context.Context) (string, error) {
			for _, r := range n.VacuumStmt.Rels {
				rv := r.GetVacuumRelation().GetRelation()
				if err := s.mustExist(ctx, rv); err != nil {
					return "", err
				}
				if err := s.mayMaintain(ctx, rv, strings.ToLower(tag)); err != nil {
					return "", err
				}
			}
			return tag, nil
		})
		b.plain, b.alone = false, n.VacuumStmt.IsVacuumcmd
		return b, true, nil
	case *pg_query.Node_CheckPointStmt:
		return plain(does("CHECKPOINT"))
	case *pg_query.Node_ConstraintsSetStmt:
		return plain(func(context.Context) (string, error) {
			if s.tx == nil || s.tx.implicit {
				s.notice(session.Notice{Severity: "WARNING", Code: codeNoTransaction, Message: "SET CONSTRAINTS can only be used in transaction blocks"})
			}
			return "SET CONSTRAINTS", nil
		})
	case *pg_query.Node_ReindexStmt:
		b, _, _ := plain(func(ctx context.Context) (string, error) {
			if n.ReindexStmt.Relation != nil && n.ReindexStmt.Kind == pg_query.ReindexObjectType_REINDEX_OBJECT_TABLE {
				return "REINDEX", s.mustExist(ctx, n.ReindexStmt.Relation)
			}
			return "REINDEX", nil
		})
		b.plain = false
		return b, true, nil
	case *pg_query.Node_ClusterStmt:
		b, _, _ := plain(func(ctx context.Context) (string, error) {
			if n.ClusterStmt.Relation != nil {
				return "CLUSTER", s.mustExist(ctx, n.ClusterStmt.Relation)
			}
			return "CLUSTER", nil
		})
		b.plain = false
		return b, true, nil
	case *pg_query.Node_LoadStmt:
		return bound{}, true, fail("42501", "LOAD is not supported: the server loads no libraries")
	case *pg_query.Node_DoStmt:
		return bound{}, true, fail(codeUnsupported, "DO is not supported: there is no procedural language")
	}
	return bound{}, false, nil
}

// lockTables is LOCK TABLE. A transaction reads one snapshot, and one that changes a row which another changed first is refused with
// 40001: no lock is needed for that, and none is held.
func (s *Session) lockTables(ctx context.Context, n *pg_query.LockStmt) (session.Result, error) {
	if s.tx == nil || s.tx.implicit {
		return nil, fail(codeNoTransaction, "LOCK TABLE can only be used in transaction blocks")
	}
	for _, r := range n.Relations {
		if err := s.mustExist(ctx, r.GetRangeVar()); err != nil {
			return nil, err
		}
	}
	const rowExclusive = 3
	if n.Mode > rowExclusive {
		s.notice(session.Notice{Severity: "WARNING", Code: "01000", Message: "LOCK TABLE holds no lock", Hint: "A transaction reads one snapshot; of two that change the same row, the second is refused with 40001."})
	}
	return noRows{"LOCK TABLE"}, nil
}

// mustExist refuses a relation that is not there.
func (s *Session) mustExist(ctx context.Context, rv *pg_query.RangeVar) error {
	if rv == nil || s.catalog().Lookup(rv.Relname) != nil || s.tableExists(ctx, rv.Relname) {
		return nil
	}
	name := rv.Relname
	if rv.Schemaname != "" {
		name = rv.Schemaname + "." + name
	}
	return fail(codeUndefinedTable, "relation %q does not exist", name)
}

// bindNested binds PREPARE and DECLARE CURSOR.
func (p *prepared) bindNested(ctx context.Context, inner *parse.Inner) error {
	s := p.s
	if s.tx != nil && s.tx.failed {
		return errFailedBlock()
	}
	p.cat = s.catalog()
	switch n := inner.Outer.Node.(type) {
	case *pg_query.Node_PrepareStmt:
		p.bound = command(func(ctx context.Context) (string, error) {
			return "PREPARE", s.prepare(ctx, p.sql, n.PrepareStmt, inner)
		})
	case *pg_query.Node_DeclareCursorStmt:
		st, err := s.Parse(ctx, inner.SQL, p.oids)
		if err != nil {
			return moved(err, inner)
		}
		query := st.(*prepared)
		p.bound = bound{params: query.params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
			return noRows{"DECLARE CURSOR"}, s.declare(ctx, n.DeclareCursorStmt, inner, query, args)
		}}
		p.sent = query.sent
	}
	p.plain = true
	return nil
}

// prepare is PREPARE.
func (s *Session) prepare(ctx context.Context, sql string, n *pg_query.PrepareStmt, inner *parse.Inner) error {
	if n.Name == "" {
		return fail("26000", "invalid statement name: must not be empty")
	}
	if s.prepared[n.Name] != nil {
		return fail("42P05", "prepared statement %q already exists", n.Name)
	}
	if len(s.prepared) >= maxPrepared {
		return fail("53400", "too many prepared statements: the limit is %d", maxPrepared)
	}
	oids := make([]uint32, len(n.Argtypes))
	for i, a := range n.Argtypes {
		oid, err := typeOID(a.GetTypeName())
		if err != nil {
			return err
		}
		oids[i] = oid
	}
	st, err := s.Parse(ctx, inner.SQL, oids)
	if err != nil {
		return moved(err, inner)
	}
	s.prepared[n.Name] = &session.Named{Statement: st, SQL: sql, FromSQL: true, Since: s.e.cfg.Clock()}
	return nil
}

// maxPrepared bounds the statements that PREPARE makes in a session.
const maxPrepared = 10_000

// moved shifts an error's position from the inner statement to the whole text.
func moved(err error, inner *parse.Inner) error {
	e := *asError(err)
	if e.Position > 0 {
		e.Position += inner.Offset
	}
	return &e
}

// Prepared is the session's named statements, which the gateway shares.
func (s *Session) Prepared() map[string]*session.Named { return s.prepared }

func (s *Session) deallocate(n *pg_query.DeallocateStmt) (string, error) {
	if n.Name == "" {
		s.deallocateAll()
		return "DEALLOCATE ALL", nil
	}
	if s.prepared[n.Name] == nil {
		return "", fail("26000", "prepared statement %q does not exist", n.Name)
	}
	s.prepared[n.Name].Statement.Close()
	delete(s.prepared, n.Name)
	return "DEALLOCATE", nil
}

func (s *Session) deallocateAll() {
	for name, p := range s.prepared {
		p.Statement.Close()
		delete(s.prepared, name)
	}
}

// bindExecute binds EXECUTE of a prepared statement with its arguments.
func (s *Session) bindExecute(st *parse.SQL, n *pg_query.ExecuteStmt) (bound, error) {
	named := s.prepared[n.Name]
	if named == nil {
		return bound{}, fail("26000", "prepared statement %q does not exist", n.Name)
	}
	return bound{plain: true, columns: named.Statement.Columns(), run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		if s.prepared[n.Name] != named {
			return nil, fail("26000", "prepared statement %q does not exist", n.Name)
		}
		types := named.Statement.Params()
		if len(types) != len(n.Params) {
			e := fail("42601", "wrong number of parameters for prepared statement %q", n.Name)
			e.Detail = fmt.Sprintf("Expected %d parameters but got %d.", len(types), len(n.Params))
			return nil, e
		}
		args := make([]*vector.Vector, len(types))
		for i, t := range types {
			v, err := s.evaluate(ctx, n.Params[i], t)
			if err != nil {
				return nil, at(asError(err), st.Text, nodeLocation(n.Params[i]))
			}
			args[i] = v
		}
		return named.Statement.Execute(ctx, args)
	}}, nil
}

// evaluate is the value of an expression without columns, as t.
func (s *Session) evaluate(ctx context.Context, n *pg_query.Node, t vector.Type) (*vector.Vector, error) {
	if n.GetAConst() != nil {
		v := vector.New(t, 1)
		if ok, err := s.appendConstant(v, n); ok || err != nil {
			return v, err
		}
	}
	if err := s.parkCursor(); err != nil {
		return nil, err
	}
	if err := s.useZone(ctx, false); err != nil {
		return nil, err
	}
	b := &binder{ctx: ctx, s: s, cat: s.catalog(), position: s.position(), refs: map[string]string{}}
	sql, err := b.duckSQL(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(n, 0)},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}})
	if err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ch, err := rows.Next()
	if err != nil {
		return nil, err
	}
	v := vector.New(t, 1)
	return v, s.cast(v, ch.Cols[0], 0)
}

// tagOf is a command tag with a count.
func tagOf(words string, n int64) string { return strings.TrimSpace(fmt.Sprintf("%s %d", words, n)) }

// typeOID is the OID of a type's name, 0 for unknown.
func typeOID(n *pg_query.TypeName) (uint32, error) {
	if k := len(n.GetNames()); k > 0 && n.Names[k-1].GetString_().GetSval() == "unknown" {
		return 0, nil
	}
	t, err := parse.TypeOf(n)
	if err != nil {
		return 0, err
	}
	return codec.OID(t), nil
}
