package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// Changes of event tables that return rows, resolve conflicts or compute what they assign are staged as those of ordinary tables
// are; the staged rows then go to the log. Conflicts are found in the table as it is at the position that the statement reads, and
// the log's own index of primary keys refuses a commit over newer rows: then the statement runs again.

// eventObject is an event table as changes of ordinary tables know tables.
func eventObject(r *schema.Relation) *tables.Object {
	o := &tables.Object{Kind: tables.Table, Schema: tables.Public, Name: r.Name}
	for _, c := range r.Columns {
		col := columnOfType(c.Name, c.Type)
		col.NotNull, col.Default = c.NotNull, c.Default
		o.Columns = append(o.Columns, col)
	}
	return o
}

// eventTarget is what a staged change of an event table works on.
func eventTarget(r *schema.Relation, sql string, rv *pg_query.RangeVar, verb string) (*tables.Object, error) {
	if r.Kind != schema.EventTable {
		return nil, at(hint(fail(codeWrongObject, "cannot %s %s %q", verb, r.Kind, r.Name), "Its rows come from elsewhere."), sql, int(rv.Location))
	}
	return eventObject(r), nil
}

// bindEventWrite binds a staged change of an event table.
func (s *Session) bindEventWrite(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	if err := s.inlineViews(ctx, st.Node); err != nil {
		return bound{}, err
	}
	w, err := s.planWrite(ctx, cat, st, st.Node, given)
	if err != nil {
		return bound{}, err
	}
	out := bound{params: w.params}
	if w.returning != nil {
		out.columns = w.columns
	}
	out.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		for round := 1; ; round++ {
			var res *writeResult
			err := s.inSerial(ctx, func(ctx context.Context) (err error) {
				res, err = w.writeEvents(ctx, args)
				return err
			})
			if err == nil {
				return w.result(ctx, res, args)
			}
			s.dropTemps()
			var taken *reclog.UniqueError
			overtaken := asError(err).Code == codeConflict || w.conflict != nil && (errors.As(err, &taken) || asError(err).Code == codeUnique)
			if s.tx != nil || !overtaken || round >= maxWriteRounds {
				return nil, err
			}
		}
	}
	return out, nil
}

// writeEvents stages a change of an event table and gives it to the log.
func (w *rowWrite) writeEvents(ctx context.Context, args []*vector.Vector) (*writeResult, error) {
	s := w.s
	if err := s.refuseMixed(true); err != nil {
		return nil, err
	}
	staged, err := w.stage(ctx, args)
	if err != nil {
		return nil, err
	}
	switch {
	case w.kind == 'i' && w.conflict != nil:
		return w.upsertEvents(ctx, staged, args)
	case w.kind == 'i':
		rows, _, err := w.stagedRows(ctx, staged)
		if err != nil {
			return nil, err
		}
		return &writeResult{int64(rows.N), staged}, s.write(ctx, w.event, nil, rows)
	}
	if err := w.once(ctx, staged); err != nil {
		return nil, err
	}
	rows, ids, err := w.stagedRows(ctx, staged)
	if err != nil || len(ids) == 0 {
		return &writeResult{0, staged}, err
	}
	if w.kind == 'd' {
		rows = nil
	}
	return &writeResult{int64(len(ids)), staged}, s.write(ctx, w.event, ids, rows)
}

// stagedRows reads staged rows, and checks those that are to be written; ids are of the rows that they replace.
func (w *rowWrite) stagedRows(ctx context.Context, staged string) (rows *vector.Chunk, ids []int64, err error) {
	s, r := w.s, w.event
	list := quotedColumns(tableColumnNames(w.table.Columns))
	if w.kind != 'i' {
		list += ", " + stagedRowID
	}
	res, err := s.conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s ORDER BY rowid", list, staged))
	if err != nil {
		return nil, nil, err
	}
	defer res.Close()
	rows = vector.NewChunk(relationTypes(r), 0)
	for {
		ch, err := res.Next()
		if err != nil {
			return nil, nil, err
		}
		if ch == nil {
			break
		}
		for i := range ch.N {
			for c, v := range rows.Cols {
				if err := s.cast(v, ch.Cols[c], i); err != nil {
					return nil, nil, ofColumn(asError(err), r, c)
				}
			}
			if w.kind != 'i' {
				ids = append(ids, ch.Cols[len(rows.Cols)].I64[i])
			}
		}
		rows.N += ch.N
	}
	if w.kind == 'd' {
		return rows, ids, nil
	}
	if err := s.checkRows(r, rows); err != nil {
		return nil, nil, err
	}
	newest, now := int64(0), s.e.now()
	for _, t := range rows.Cols[r.ColumnIndex(r.EventTime)].I64 {
		newest = max(newest, min(t, now))
	}
	s.e.noteAssigned(newest) // now() may be among them
	return rows, ids, nil
}

// eventKey is an event table's primary key.
func eventKey(r *schema.Relation) *uniqueKey {
	k := &uniqueKey{name: r.Name + "_pkey"}
	for _, c := range r.PrimaryKey {
		k.columns, k.exprs = append(k.columns, quoteName(c)), append(k.exprs, duck.QuoteIdent(c))
	}
	return k
}

// eventArbiter checks that ON CONFLICT names the primary key, or nothing.
func eventArbiter(r *schema.Relation, infer *pg_query.InferClause) error {
	if infer == nil {
		return nil
	}
	if infer.Conname != "" {
		if infer.Conname == r.Name+"_pkey" && len(r.PrimaryKey) > 0 {
			return nil
		}
		return fail(codeUndefinedObject, "constraint %q for table %q does not exist", infer.Conname, r.Name)
	}
	var want []string
	for _, e := range infer.IndexElems {
		name := e.GetIndexElem().Name
		if name != "" && r.ColumnIndex(name) < 0 {
			return fail(codeUndefinedColumn, "column %q does not exist", name)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	if len(r.PrimaryKey) == 0 || !slices.Equal(slices.Compact(want), slices.Sorted(slices.Values(r.PrimaryKey))) {
		return fail("42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
	}
	return nil
}

// upsertEvents writes staged rows that are new, and does with those in conflict what ON CONFLICT says.
func (w *rowWrite) upsertEvents(ctx context.Context, staged string, args []*vector.Vector) (*writeResult, error) {
	s, r := w.s, w.event
	if s.tx != nil {
		s.tx.upserts = true
	}
	if _, _, err := w.stagedRows(ctx, staged); err != nil { // PostgreSQL checks a row before it looks for a conflict
		return nil, err
	}
	b := s.binderAt(ctx, w.cat, w.st.Text, false)
	existing, err := b.relationSQL(r, true)
	if err != nil {
		return nil, err
	}
	// The rows that are met are kept: a second read could find the table changed by others.
	list := quotedColumns(tableColumnNames(w.table.Columns))
	conflicts, twice := fmt.Sprintf("SELECT 0::BIGINT AS __met, %s, %s FROM %s WHERE false", list, stagedRowID, existing), "SELECT 0::BIGINT AS __n WHERE false"
	if len(r.PrimaryKey) > 0 {
		k := eventKey(r)
		name := duck.QuoteIdent(r.Name)
		news, olds := k.keyed(staged, name, ", rowid AS __n"), k.keyed(existing, name, ", "+list+", "+stagedRowID)
		conflicts = fmt.Sprintf("SELECT s.__n AS __met, t.* EXCLUDE (%s) FROM %s AS s JOIN %s AS t ON %s", strings.ReplaceAll(k.list(""), ".", ""), news, olds, k.same("s", "t"))
		twice = fmt.Sprintf("SELECT __n FROM (SELECT __n, row_number() OVER (PARTITION BY %s ORDER BY __n) AS __c FROM %s AS s) WHERE __c > 1", k.list("s"), news)
	}
	met := s.temp("conflicts")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", met, conflicts)); err != nil {
		return nil, err
	}
	met = "temp.main." + met
	merged := ""
	if u := w.conflict.update; u != nil {
		bad, err := s.one(ctx, fmt.Sprintf("SELECT 1 FROM (%s) AS x LIMIT 1", twice))
		if err != nil {
			return nil, err
		}
		if bad != nil {
			return nil, hint(fail("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time"), "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
		}
		b.refs[targetRef] = met
		b.refs[excludedRef] = u.excluded(staged, "rowid")
		sql, err := u.stageSQL(b, args)
		if err != nil {
			return nil, err
		}
		merged = s.temp("staged")
		if _, err := s.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT * FROM (%s) AS x ORDER BY __source_row", merged, sql), args); err != nil {
			return nil, err
		}
		merged = "temp.main." + merged
	} else if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE rowid IN (%s)", staged, twice)); err != nil {
		return nil, err
	}
	fresh := s.temp("staged")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT *, rowid AS __source_row FROM %s WHERE rowid NOT IN (SELECT __met FROM %s) ORDER BY rowid", fresh, staged, met)); err != nil {
		return nil, err
	}
	fresh = "temp.main." + fresh
	rows, _, err := w.stagedRows(ctx, fresh)
	if err != nil {
		return nil, err
	}
	var ids []int64
	written := fresh
	n := int64(rows.N)
	if merged != "" {
		changed := &rowWrite{s: s, table: w.table, event: r, kind: 'u'}
		news, old, err := changed.stagedRows(ctx, merged)
		if err != nil {
			return nil, err
		}
		for i := range news.N {
			rows.AppendRow(news, i)
		}
		ids, n = old, n+int64(len(old))
		if len(old) > 0 {
			all := s.temp("written")
			if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT %s FROM (SELECT %s, __source_row FROM %s UNION ALL SELECT %s, __source_row FROM %s) AS x ORDER BY __source_row", all, list, list, fresh, list, merged)); err != nil {
				return nil, err
			}
			written = "temp.main." + all
		}
	}
	if n == 0 {
		return &writeResult{0, written}, nil
	}
	return &writeResult{n, written}, s.write(ctx, r, ids, rows)
}

// stagesInsert reports whether an INSERT into an event table needs to be staged.
func stagesInsert(n *pg_query.InsertStmt) bool {
	return len(n.ReturningList) > 0 || n.OnConflictClause != nil || n.WithClause != nil || n.SelectStmt == nil || n.Override != pg_query.OverridingKind_OVERRIDING_NOT_SET
}

// stagesUpdate reports whether an UPDATE of an event table needs to be staged.
func stagesUpdate(n *pg_query.UpdateStmt) bool {
	return len(n.ReturningList) > 0 || n.WithClause != nil || slices.ContainsFunc(n.TargetList, func(t *pgNode) bool {
		v := t.GetResTarget().GetVal()
		return v.GetMultiAssignRef() != nil || v.GetSetToDefault() != nil
	})
}

// truncateEvents binds TRUNCATE of event tables: their rows are deleted, as one change.
func (s *Session) truncateEvents(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.TruncateStmt) (bound, error) {
	var deletes []bound
	for _, item := range n.Relations {
		rv := item.GetRangeVar()
		r := eventTableOf(cat, rv)
		if r.Kind != schema.EventTable {
			return bound{}, at(fail(codeWrongObject, "%s %q cannot be truncated", r.Kind, r.Name), st.Text, int(rv.Location))
		}
		del := &pg_query.DeleteStmt{Relation: &pg_query.RangeVar{Relname: rv.Relname, Schemaname: rv.Schemaname, Inh: true, Relpersistence: "p", Location: rv.Location}}
		b, err := s.bindDelete(ctx, cat, &parse.SQL{Text: st.Text, Plain: st.Plain, Node: &pgNode{Node: &pg_query.Node_DeleteStmt{DeleteStmt: del}}}, del, r, nil)
		if err != nil {
			return bound{}, err
		}
		deletes = append(deletes, b)
	}
	return bound{run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		err := s.inTransaction(ctx, func(ctx context.Context) error {
			for _, d := range deletes {
				r, err := d.run(ctx, nil)
				if err != nil {
					return err
				}
				r.Close()
			}
			return nil
		})
		return noRows{"TRUNCATE TABLE"}, err
	}}, nil
}
