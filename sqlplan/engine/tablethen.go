package engine

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// thenRead is a table, a source or an event view FOR SYSTEM_TIME AS OF: its rows at the last position committed by then, by its columns of
// today. What stands in its place is replayed from the log, because a projection holds what is live now.
type thenRead struct {
	rel    *schema.Relation
	name   string // of the placeholder
	asOf   *pg_query.Node
	offset int // bytes in the statement
}

// then replaces a relation of ours that is read FOR SYSTEM_TIME AS OF; nil where n is none.
func (p *fromPlanner) then(n *pg_query.Node) (*pg_query.Node, error) {
	rv := n.GetRangeVar()
	if rv == nil || rv.Schemaname != "" && rv.Schemaname != publicSchema {
		return nil, nil
	}
	t, r := p.st.Clauses.SystemTimeOf(rv), p.b.cat.Relation(rv.Relname)
	if t == nil || r == nil {
		return nil, nil
	}
	read := &thenRead{rel: r, name: fmt.Sprintf("__then_%d", len(p.q.then)), asOf: t.Expr, offset: t.Position}
	if uncast(t.Expr).GetParamRef() == nil { // a bad literal is refused when it is bound, not when it is executed
		if _, err := p.s.timeOf(t.Expr, nil); err != nil {
			return nil, at(asError(err), p.st.Text, max(nodeLocation(t.Expr), t.Position))
		}
	}
	alias := rv.Alias
	if alias == nil {
		alias = &pg_query.Alias{Aliasname: rv.Relname}
	}
	out := placeholder(read.name, alias.Aliasname)
	out.GetRangeVar().Alias, out.GetRangeVar().Location = alias, rv.Location
	p.b.setRef(read.name, fmt.Sprintf("(SELECT %s WHERE false)", nullColumns(r.Columns)), analyzedColumns(r.Columns))
	if k := int(uncast(t.Expr).GetParamRef().GetNumber()); k > 0 {
		types := make([]vector.Type, k)
		types[k-1] = vector.T(vector.TimestampTZ)
		p.b.noteParams(types)
	}
	if p.q.then == nil {
		p.q.then = map[string]*schema.Relation{}
	}
	p.q.then[read.name] = r
	p.q.take(rv)
	p.q.steps = append(p.q.steps, planStep{then: read})
	return out, nil
}

// execute sets the placeholder to the rows.
func (t *thenRead) execute(b *binder, st *parse.SQL, args []*vector.Vector) error {
	position, err := b.s.positionOf(t.asOf, args)
	if err != nil {
		return at(asError(err), st.Text, max(nodeLocation(t.asOf), t.offset))
	}
	position = min(position, b.position) // what the statement's snapshot has
	base := materialize.Base(b.cat, t.rel)
	if err := b.s.columnsCommitted(base); err != nil {
		return err
	}
	if t.rel.View != nil {
		if err := b.s.refuseZone(t.rel.Name, append([]string{t.rel.View.Where}, t.rel.View.Items...)...); err != nil {
			return err
		}
	}
	b.s.readsRelation(b.cat, base)
	var sql string
	switch {
	case base.Logged() && b.s.unborn(base):
		sql = fmt.Sprintf("(SELECT %s, 0::BIGINT AS %s WHERE false)", nullColumns(base.Stored()), rowIDName)
	case base.Logged():
		if sql, err = b.replayed(base, position); err == nil {
			err = b.s.notTrimmed(base, position)
		}
	default:
		sql, err = b.s.e.mat.RelationSQL(b.ctx, b.cat, base, position)
	}
	if err != nil {
		return asError(err)
	}
	cols := make([]string, len(t.rel.Columns))
	for i, c := range t.rel.Columns {
		cols[i] = duck.QuoteIdent(c.Inside()) + " AS " + duck.QuoteIdent(c.Name)
	}
	b.refs[t.name] = fmt.Sprintf("(SELECT %s FROM %s)", strings.Join(cols, ", "), materialize.RowsOver(b.cat, t.rel, sql))
	return nil
}

// notTrimmed refuses the rows that a table had at a position of before retention took some of them out of the log. It is asked after they
// were read: a trim says so before it begins.
func (s *Session) notTrimmed(r *schema.Relation, position uint64) error {
	trimmed, err := s.e.log.Trimmed(reclog.SourceID(r.ID))
	if err != nil || position >= trimmed.Position {
		return err
	}
	return hint(fail(codeInvalidParameter, "what table %q had then is not kept whole: its retention has dropped rows since", r.Name), "Read it without FOR SYSTEM_TIME AS OF; its features are read at that position as far as their events are kept.")
}

// line tells of the rows in EXPLAIN.
func (t *thenRead) line() string {
	when, _ := parse.Deparse(t.asOf) // it was deparsed before
	from := "replayed from the log"
	if t.rel.Kind == schema.FileSource {
		from = "the files that there were"
	}
	return fmt.Sprintf("%s %s as of %s, %s", t.rel.Kind, t.rel.Name, when, from)
}

// notThen is the error of FOR SYSTEM_TIME AS OF where nothing is read, or what is read keeps no history.
func notThen() *session.Error {
	return hint(fail(codeUnsupported, "FOR SYSTEM_TIME AS OF is for entities, feature views, event tables, sources and event views in FROM"), "What ordinary tables had before is not kept.")
}

// hasQuery reports whether a statement has a query, whose planning refuses the clauses that it does not take.
func hasQuery(n *pg_query.Node) bool {
	switch n := n.Node.(type) {
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_CreateTableAsStmt, *pg_query.Node_ViewStmt,
		*pg_query.Node_DeclareCursorStmt, *pg_query.Node_PrepareStmt, *pg_query.Node_ExplainStmt:
		return true
	case *pg_query.Node_CopyStmt:
		return n.CopyStmt.Query != nil
	}
	return false
}
