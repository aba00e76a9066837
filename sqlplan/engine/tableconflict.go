package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// conflictPlan is ON CONFLICT.
type conflictPlan struct {
	keys   []uint64  // indexes that decide; nil: all
	update *rowWrite // DO UPDATE: over the rows in conflict and "excluded"; nil: DO NOTHING
}

const excludedRef = "__excluded_rows"

// planConflict plans ON CONFLICT of an INSERT.
func (s *Session) planConflict(ctx context.Context, w *rowWrite, st *parse.SQL, n *pg_query.OnConflictClause, given []vector.Type) (*conflictPlan, error) {
	p := &conflictPlan{}
	if w.event != nil {
		if err := eventArbiter(w.event, n.Infer); err != nil {
			return nil, err
		}
	} else if n.Infer != nil {
		keys, err := s.arbiters(ctx, w.table, n.Infer)
		if err != nil {
			return nil, err
		}
		p.keys = keys
	}
	if n.Action != pg_query.OnConflictAction_ONCONFLICT_UPDATE {
		return p, nil
	}
	if n.Infer == nil {
		return nil, at(hint(fail("42601", "ON CONFLICT DO UPDATE requires inference specification or constraint name"), "For example, ON CONFLICT (column_name)."), st.Text, int(n.Location))
	}
	u := &rowWrite{s: s, cat: w.cat, table: w.table, kind: 'u', alias: w.alias, event: w.event, met: true}
	sets, err := s.assignments(st.Text, w.table, n.TargetList)
	if err != nil {
		return nil, err
	}
	items := []*pgNode{namedTarget(stagedRowID, columnRef(u.alias, stagedRowID, 0)), namedTarget("__source_row", columnRef("excluded", "__n", 0))}
	targets := make([]analyze.Target, 2, len(w.table.Columns)+2)
	for i := range w.table.Columns {
		c := &w.table.Columns[i]
		v, ok := sets[c.Name]
		target := analyze.Target{}
		if ok {
			u.set = append(u.set, c.Name)
			target = targetOf(c)
		} else {
			v = columnRef(u.alias, c.Name, 0)
		}
		items, targets = append(items, namedTarget(c.Name, v)), append(targets, target)
	}
	// A row of the table meets the proposed row of the number that it has.
	met := &pgNode{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP, Name: []*pgNode{pg_query.MakeStrNode("=")},
		Lexpr: columnRef(u.alias, "__met", 0), Rexpr: columnRef("excluded", "__n", 0)}}}
	stage := selectNode(items, &pgNode{Node: &pg_query.Node_JoinExpr{JoinExpr: &pg_query.JoinExpr{Jointype: pg_query.JoinType_JOIN_INNER,
		Larg: placeholder(targetRef, u.alias), Rarg: placeholder(excludedRef, "excluded"), Quals: met}}})
	stage.GetSelectStmt().WhereClause = n.WhereClause
	b := s.binderAt(ctx, w.cat, st.Text, true)
	b.setRef(excludedRef, u.excluded(emptyRows(w.table), "0::BIGINT"), append(declaredColumns(w.table), bigintColumns("__n")...))
	if err := u.describeTarget(b, true); err != nil {
		return nil, err
	}
	u.st = &parse.SQL{Text: st.Text, Plain: st.Plain}
	if u.part, err = s.typedPart(b, u.st, stage, given, assignment{targets: targets, clause: "UPDATE"}, false); err != nil {
		return nil, err
	}
	if u.part == nil {
		return nil, fail(codeUnsupported, "what ON CONFLICT DO UPDATE computes is not supported")
	}
	if u.generated, err = u.generating(ctx, u.st, u.part.columns); err != nil {
		return nil, err
	}
	w.mergeParams(u.part.params)
	p.update = u
	return p, nil
}

// mergeParams keeps the types of parameters that another part of the statement says.
func (w *rowWrite) mergeParams(params []vector.Type) {
	for i, t := range params {
		for i >= len(w.params) {
			w.params = append(w.params, vector.Type{})
		}
		if w.params[i].Kind == vector.Invalid {
			w.params[i] = t
		}
	}
}

// excluded are the rows proposed for insertion, with their numbers.
func (w *rowWrite) excluded(rows, number string) string {
	return fmt.Sprintf("(SELECT %s, %s AS __n FROM %s)", quotedColumns(tableColumnNames(w.table.Columns)), number, rows)
}

// arbiters are the unique indexes that ON CONFLICT (…) or ON CONSTRAINT names.
func (s *Session) arbiters(ctx context.Context, o *tables.Object, infer *pg_query.InferClause) ([]uint64, error) {
	if infer.Conname != "" {
		for _, x := range s.tabs.IndexesOf(o.ID) {
			if x.Of.Constraint == infer.Conname {
				return []uint64{x.ID}, nil
			}
		}
		return nil, fail(codeUndefinedObject, "constraint %q for table %q does not exist", infer.Conname, o.Name)
	}
	var want []string
	for _, e := range infer.IndexElems {
		x := e.GetIndexElem()
		if x.Name != "" {
			if o.Column(x.Name) == nil {
				return nil, fail(codeUndefinedColumn, "column %q does not exist", x.Name)
			}
			want = append(want, x.Name)
			continue
		}
		text, err := parse.Deparse(x.Expr)
		if err != nil {
			return nil, err
		}
		want = append(want, "("+text+")")
	}
	slices.Sort(want)
	where := ""
	if infer.WhereClause != nil {
		var err error
		if where, err = parse.Deparse(infer.WhereClause); err != nil {
			return nil, err
		}
	}
	var out []uint64
	for _, x := range s.tabs.IndexesOf(o.ID) {
		if !x.Of.Unique || x.Of.Where != "" && x.Of.Where != where {
			continue
		}
		var have []string
		for _, k := range x.Of.Keys {
			if k.Column != "" {
				have = append(have, k.Column)
			} else {
				have = append(have, "("+k.Expr+")")
			}
		}
		slices.Sort(have)
		if slices.Equal(slices.Compact(want), slices.Compact(have)) {
			if k := o.Constraint(x.Of.Constraint); k != nil && k.Deferrable {
				return nil, fail("55000", "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters")
			}
			out = append(out, x.ID)
		}
	}
	if out == nil {
		return nil, fail("42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
	}
	return out, nil
}

// upsert writes staged rows that are new, and does with those in conflict what ON CONFLICT says.
func (w *rowWrite) upsert(ctx context.Context, c *rowCheck, staged string, args []*vector.Vector) (*writeResult, error) {
	s := w.s
	keys, err := s.uniqueKeys(ctx, w.table)
	if err != nil {
		return nil, err
	}
	name := duck.QuoteIdent(w.table.Name)
	var conflicts []string // pairs of a staged row and a row that is there
	var twice []string     // staged rows whose key an earlier one has
	for i := range keys {
		k := &keys[i]
		if w.conflict.keys != nil && !slices.Contains(w.conflict.keys, k.id) {
			continue
		}
		news, olds := k.keyed(staged, name, ", rowid AS __n"), k.keyed(duckName(w.table), name, ", rowid AS __r")
		conflicts = append(conflicts, fmt.Sprintf("SELECT s.__n, t.__r FROM %s AS s JOIN %s AS t ON %s", news, olds, k.same("s", "t")))
		twice = append(twice, fmt.Sprintf("SELECT __n FROM (SELECT __n, row_number() OVER (PARTITION BY %s ORDER BY __n) AS __c FROM %s AS s) WHERE __c > 1", k.list("s"), news))
	}
	written := staged
	if len(conflicts) == 0 {
		conflicts, twice = []string{"SELECT 0::BIGINT AS __n, 0::BIGINT AS __r WHERE false"}, []string{"SELECT 0::BIGINT AS __n WHERE false"}
	}
	met := s.temp("conflicts")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", met, strings.Join(conflicts, " UNION "))); err != nil {
		return nil, err
	}
	met = "temp.main." + met
	var updated int64
	merged := ""
	if w.conflict.update != nil {
		bad, err := s.one(ctx, fmt.Sprintf("SELECT 1 FROM (%s) AS x LIMIT 1", strings.Join(twice, " UNION ALL ")))
		if err != nil {
			return nil, err
		}
		if bad != nil {
			return nil, hint(fail("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time"), "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
		}
		u := w.conflict.update
		b := s.binderAt(ctx, w.cat, w.st.Text, false)
		b.refs[targetRef] = fmt.Sprintf("(SELECT t.*, t.rowid AS %s, m.__n AS __met FROM %s AS t JOIN %s AS m ON m.__r = t.rowid)", stagedRowID, duckName(w.table), met)
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
	} else if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE rowid IN (%s)", staged, strings.Join(twice, " UNION ALL "))); err != nil {
		return nil, err
	}
	fresh := s.temp("staged")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT *, rowid AS __source_row FROM %s WHERE rowid NOT IN (SELECT __n FROM %s) ORDER BY rowid", fresh, staged, met)); err != nil {
		return nil, err
	}
	fresh = "temp.main." + fresh
	if err := c.keys(ctx, fresh, false); err != nil {
		return nil, err
	}
	if merged != "" {
		res, err := w.conflict.update.replace(ctx, merged)
		if err != nil {
			return nil, err
		}
		updated = res.rows
	}
	list := quotedColumns(tableColumnNames(w.table.Columns))
	n, err := s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", duckName(w.table), list, list, fresh))
	if err != nil {
		return nil, err
	}
	written = fresh
	if merged != "" && updated > 0 {
		all := s.temp("written")
		if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS SELECT %s FROM (SELECT %s, __source_row FROM %s UNION ALL SELECT %s, __source_row FROM %s) AS x ORDER BY __source_row", all, list, list, fresh, list, merged)); err != nil {
			return nil, err
		}
		written = "temp.main." + all
	}
	return &writeResult{n + updated, written}, c.referencesOf(ctx, fresh, nil)
}
