package engine

import (
	"context"
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// maxCopyBytes bounds the rows that one COPY into an event table holds in memory until they are committed together.
const maxCopyBytes = 2 << 30

// bindCopy binds COPY from and to the client, and files of the server.
func (s *Session) bindCopy(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CopyStmt) (bound, error) {
	if n.IsProgram {
		return bound{}, hint(fail(codeUnsupported, "COPY from or to a program is not supported"), `Use COPY … FROM STDIN or psql's \copy.`)
	}
	var file *copyFile
	if n.IsFrom && n.Filename != "" {
		var err error
		if file, err = s.copyFileOf(ctx, st, n); err != nil {
			return bound{}, err
		}
	} else if n.Filename != "" {
		target, err := s.exportTarget(st, n)
		if err != nil {
			return bound{}, err
		}
		return s.bindCopyOut(ctx, cat, st, n, nil, target)
	}
	format := &copyOptions{}
	if file == nil || !file.parquet {
		var err error
		if format, err = copyFormat(st.Text, n); err != nil {
			return bound{}, err
		}
	}
	if !n.IsFrom {
		return s.bindCopyOut(ctx, cat, st, n, format, nil)
	}
	if n.WhereClause != nil {
		return bound{}, fail(codeUnsupported, "COPY … WHERE is not supported")
	}
	var names []string
	for _, a := range n.Attlist {
		name := a.GetString_().GetSval()
		if slices.Contains(names, name) {
			return bound{}, fail(codeDuplicateColumn, "column %q specified more than once", name)
		}
		names = append(names, name)
	}
	if file != nil && file.parquet {
		if err := file.has(names); err != nil {
			return bound{}, err
		}
		if names == nil {
			if err := s.fitsFile(ctx, cat, st, n, file); err != nil {
				return bound{}, err
			}
			names = file.names()
		}
	}
	b, err := s.bindCopyIn(ctx, cat, st, n, names, format)
	if err == nil && file != nil {
		b = s.bindCopyFile(b, file)
	}
	return b, err
}

// bindCopyIn binds COPY into a table, of rows that come from elsewhere.
func (s *Session) bindCopyIn(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CopyStmt, names []string, format *copyOptions) (bound, error) {
	if r := eventTableOf(cat, n.Relation); r != nil {
		if format.freeze {
			return bound{}, fail("55000", "cannot perform COPY FREEZE into event table %q", r.Name)
		}
		if r.Kind != schema.EventTable {
			return bound{}, at(fail(codeWrongObject, "cannot copy into %s %q", r.Kind, r.Name), st.Text, int(n.Relation.Location))
		}
		return s.bindCopyEvents(st, n, r, names, format)
	}
	return s.bindCopyOrdinary(ctx, st, n, names, format)
}

// bindCopyOut binds COPY … TO STDOUT in a format, or to a file.
func (s *Session) bindCopyOut(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CopyStmt, format *copyOptions, file *exportTarget) (bound, error) {
	node := n.Query
	if node == nil {
		items := []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{{Node: &pg_query.Node_AStar{AStar: &pg_query.A_Star{}}}}, 0), 0)}
		if len(n.Attlist) > 0 {
			items = nil
			for _, a := range n.Attlist {
				items = append(items, pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{a}, 0), 0))
			}
		}
		node = &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{TargetList: items,
			FromClause:  []*pg_query.Node{{Node: &pg_query.Node_RangeVar{RangeVar: n.Relation}}},
			LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
	}
	if node.GetSelectStmt() == nil {
		return bound{}, fail(codeUnsupported, "COPY of anything but a SELECT is not supported")
	}
	inner := &parse.SQL{Text: st.Text, Plain: st.Plain, Node: node, Clauses: st.Clauses}
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: st.Text, refs: map[string]string{}}
	plan, err := s.planQuery(b, inner)
	if err != nil {
		return bound{}, err
	}
	var typed *typedQuery
	if file != nil {
		typed, err = b.exported(node, file)
	} else {
		typed, err = b.analyzed(node, nil, nil)
	}
	if err != nil {
		return bound{}, err
	}
	var params []vector.Type
	var columns []session.Column
	if typed != nil {
		params, columns, err = s.describeTyped(b, typed, nil)
	} else {
		var sql string
		if sql, err = b.duckSQL(clone(node)); err == nil {
			params, columns, err = s.describe(ctx, st.Text, sql, nil)
		}
	}
	if err != nil {
		return bound{}, err
	}
	if file != nil {
		return bound{params: params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
			rows, err := s.export(ctx, cat, inner, plan, typed, file, args)
			return noRows{fmt.Sprintf("COPY %d", rows)}, err
		}}, nil
	}
	copied := columnNamesOf(columns)
	all := copied
	if n.Relation != nil && len(n.Attlist) > 0 {
		if all, err = s.relationColumns(ctx, cat, n.Relation); err != nil {
			return bound{}, err
		}
	}
	if err := format.forceColumns(n.Relation.GetRelname(), all, copied); err != nil {
		return bound{}, err
	}
	return bound{params: params, columns: columns, copies: true, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.runQuery(ctx, cat, inner, plan, typed, columns, args, &format.CopyFormat)
	}}, nil
}

// copyIn is the common part of COPY … FROM STDIN.
type copyIn struct {
	noRows
	file    *copyFile // that the data is read from; nil: the client sends it
	table   string
	format  *session.CopyFormat
	columns []session.Column
	rows    int64
	add     func(c *vector.Chunk) error
	finish  func(err error) error

	notNull []bool
	where   func(row int64, whole bool) string
}

// errRefused has finish check the rows and give up whatever it finds.
var errRefused = fail("XX000", "a row of COPY was refused that breaks no constraint")

// NotNull, Locate and Refused make the errors of rows that are checked when the data has ended, or at the first NULL where none may be.
func (c *copyIn) NotNull() []bool                                 { return c.notNull }
func (c *copyIn) Locate(where func(row int64, whole bool) string) { c.where = where }
func (c *copyIn) Refused() error                                  { return asErrorOrNil(c.finish(errRefused)) }

// Table is the table's name, for messages.
func (c *copyIn) Table() string { return c.table }

func (c *copyIn) CopyIn() session.CopyIn      { return c }
func (c *copyIn) Format() *session.CopyFormat { return c.format }
func (c *copyIn) Columns() []session.Column   { return c.columns }
func (c *copyIn) Add(ch *vector.Chunk) error  { c.rows += int64(ch.N); return asErrorOrNil(c.add(ch)) }

func (c *copyIn) Finish(err error) (string, error) {
	if err := c.finish(err); err != nil {
		return "", asError(err)
	}
	return fmt.Sprintf("COPY %d", c.rows), nil
}

// asErrorOrNil is asError that keeps nil an untyped nil.
func asErrorOrNil(err error) error {
	if err == nil {
		return nil
	}
	return asError(err)
}

// bindCopyEvents binds COPY into an event table: the rows are committed together, as one transaction.
func (s *Session) bindCopyEvents(st *parse.SQL, n *pg_query.CopyStmt, r *schema.Relation, names []string, format *copyOptions) (bound, error) {
	targets := make([]int, 0, len(r.Columns))
	for _, name := range names {
		i := r.ColumnIndex(name)
		if i < 0 {
			return bound{}, at(fail(codeUndefinedColumn, "column %q of relation %q does not exist", name, r.Name), st.Text, int(n.Relation.Location))
		}
		targets = append(targets, i)
	}
	if names == nil {
		for i := range r.Columns {
			targets = append(targets, i)
		}
	}
	columns := make([]session.Column, len(targets))
	for i, t := range targets {
		columns[i] = session.Column{Name: r.Columns[t].Name, Type: r.Columns[t].Type}
	}
	if err := format.forceColumns(r.Name, columnNamesOf(allColumns(r)), columnNamesOf(columns)); err != nil {
		return bound{}, err
	}
	return bound{run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		defaults, err := s.defaults(ctx, r, targets)
		if err != nil {
			return nil, err
		}
		all := vector.NewChunk(relationTypes(r), 0)
		c := &copyIn{table: r.Name, format: &format.CopyFormat, columns: columns}
		for _, t := range targets {
			c.notNull = append(c.notNull, takesNoNull(r, &r.Columns[t]))
		}
		bytes := 0
		c.add = func(ch *vector.Chunk) error {
			for i, v := range all.Cols {
				at := slices.Index(targets, i)
				for row := range ch.N {
					if at < 0 {
						appendDefault(v, defaults[i])
					} else {
						v.AppendFrom(ch.Cols[at], row)
					}
				}
			}
			all.N += ch.N
			for _, v := range ch.Cols {
				bytes += v.MemBytes()
			}
			if bytes > maxCopyBytes {
				return hint(fail("53200", "COPY holds more than %d bytes of rows", maxCopyBytes), "Split it into several.")
			}
			return nil
		}
		c.finish = func(err error) error {
			if err != nil && err != errRefused {
				return nil // the client was told already
			}
			if row, err := s.badRow(r, all); err != nil {
				e := asError(err)
				if c.where != nil {
					e.Where = c.where(int64(row), true)
				}
				return e
			}
			if err != nil {
				return err
			}
			return s.write(ctx, r, nil, all)
		}
		return c, nil
	}}, nil
}

// copiedPart stands for the rows that COPY took in.
const copiedPart = "__copied"

// bindCopyOrdinary binds COPY into an ordinary table: the rows are an INSERT's, written together.
func (s *Session) bindCopyOrdinary(ctx context.Context, st *parse.SQL, n *pg_query.CopyStmt, names []string, format *copyOptions) (bound, error) {
	o, err := s.writeTarget(ctx, n.Relation, st.Text, "copy to")
	if err != nil {
		return bound{}, err
	}
	for i, name := range names {
		c := o.Column(name)
		switch {
		case c == nil:
			return bound{}, fail(codeUndefinedColumn, "column %q of relation %q does not exist", name, o.Name)
		case slices.Contains(names[:i], name):
			return bound{}, fail(codeDuplicateColumn, "column %q specified more than once", name)
		case c.Generated != "":
			e := fail("42P10", "column %q is a generated column", name)
			e.Detail = "Generated columns cannot be used in COPY."
			return bound{}, e
		}
	}
	if names == nil {
		for _, c := range o.Columns {
			if c.Generated == "" {
				names = append(names, c.Name)
			}
		}
	}
	columns := make([]session.Column, len(names))
	insert := &pg_query.InsertStmt{Relation: n.Relation, Override: pg_query.OverridingKind_OVERRIDING_SYSTEM_VALUE}
	var items []*pgNode
	for i, name := range names {
		columns[i] = session.Column{Name: name, Type: o.Column(name).Type}
		if copiedAsText(o.Column(name)) {
			columns[i].Type = declaredType(o.Column(name))
		}
		columns[i].Type.Mod = 0 // which the INSERT applies
		insert.Cols = append(insert.Cols, &pgNode{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Name: name}}})
		items = append(items, pg_query.MakeResTargetNodeWithVal(columnRef(copiedPart, name, 0), 0))
	}
	insert.SelectStmt = selectNode(items, placeholder(copiedPart, copiedPart))
	s.parts, s.partColumns = map[string]string{copiedPart: emptyColumns(columns)}, map[string][]analyze.Column{copiedPart: shownColumns(columns)}
	defer func() { s.parts, s.partColumns = nil, nil }()
	w, err := s.planInsert(ctx, s.catalog(), &parse.SQL{Text: st.Text, Plain: st.Plain, Node: st.Node}, insert, nil)
	if err != nil {
		return bound{}, err
	}
	var all []string
	for _, c := range o.Columns {
		all = append(all, c.Name)
	}
	if err := format.forceColumns(n.Relation.Relname, all, columnNamesOf(columns)); err != nil {
		return bound{}, err
	}
	asRows := copiedAsRows(o, columns)
	return bound{run: func(ctx context.Context, _ []*vector.Vector) (_ session.Result, err error) {
		own := s.tx == nil
		if own {
			s.begin(true)
			defer func() {
				if err != nil {
					s.rollback()
				}
			}()
		}
		if err := s.lockFor(ctx, w); err != nil {
			return nil, err
		}
		if err := s.beginOrdinary(ctx); err != nil {
			return nil, err
		}
		if !s.asBound(o) {
			return nil, errStalePlan
		}
		if depth, fresh := s.tx.fresh[o.ID]; format.freeze && (!fresh || depth < len(s.tx.savepoint)) {
			return nil, fail("55000", "cannot perform COPY FREEZE because the table was not created or truncated in the current subtransaction")
		}
		c := &copyIn{table: n.Relation.Relname, format: &format.CopyFormat, columns: columns}
		for _, name := range names {
			c.notNull = append(c.notNull, o.Column(name).NotNull)
		}
		rows, err := s.copiedRows(ctx, w, columns, asRows)
		if err != nil {
			return nil, err
		}
		c.add = rows.add
		c.finish = func(failed error) error {
			var err error
			if failed == nil || failed == errRefused {
				if err = rows.write(ctx, c.where); err == nil && failed != nil {
					err = failed
				}
			} else {
				rows.discard()
			}
			s.dropTemps()
			if !own {
				return err
			}
			if failed != nil || err != nil {
				s.rollback()
				return err
			}
			return s.commit(ctx)
		}
		return c, nil
	}}, nil
}

func columnNamesOf(columns []session.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

func allColumns(r *schema.Relation) []session.Column {
	out := make([]session.Column, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = session.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

// relationColumns are the names of a relation's columns.
func (s *Session) relationColumns(ctx context.Context, cat *schema.Catalog, rv *pg_query.RangeVar) ([]string, error) {
	if r := eventTableOf(cat, rv); r != nil {
		return columnNamesOf(allColumns(r)), nil
	}
	name := duck.QuoteIdent(rv.Relname)
	if rv.Catalogname != "" {
		name = duck.QuoteIdent(rv.Catalogname) + ".main." + name
	}
	_, columns, err := s.describe(ctx, "", "SELECT * FROM "+name, nil)
	if err != nil {
		return nil, fail(codeUndefinedTable, "relation %q does not exist", rv.Relname)
	}
	return columnNamesOf(columns), nil
}

// freshTable notes that the open transaction made or emptied a table.
func (s *Session) freshTable(o *tables.Object) {
	if s.tx.fresh == nil {
		s.tx.fresh = map[uint64]int{}
	}
	s.tx.fresh[o.ID] = len(s.tx.savepoint)
}
