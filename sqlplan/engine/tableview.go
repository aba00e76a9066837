package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A view is kept as PostgreSQL's SQL and put into the statements that read it, so that it may read whatever a SELECT may. DuckDB
// has an empty view of its columns, which holds the name.

// baseNames are PostgreSQL's internal names of types by kind.
var baseNames = map[vector.Kind]string{vector.Bool: "bool", vector.Int16: "int2", vector.Int32: "int4", vector.Int64: "int8", vector.Float32: "float4",
	vector.Float64: "float8", vector.Decimal: "numeric", vector.Text: "text", vector.Bytes: "bytea", vector.UUID: "uuid", vector.Date: "date", vector.Time: "time",
	vector.Timestamp: "timestamp", vector.TimestampTZ: "timestamptz", vector.Interval: "interval", vector.JSON: "json", vector.Map: "json", vector.Null: "text"}

// columnOfType is a column that holds the values of a result.
func columnOfType(name string, t vector.Type) tables.Column {
	if t.Kind == vector.Null || t.Kind == vector.Invalid {
		t = vector.T(vector.Text)
	}
	c := tables.Column{Name: name, Type: t, Declared: typeWord(t)}
	elem := t
	if t.Kind == vector.List {
		elem = t.Elem[0]
	}
	c.Base = baseNames[elem.Kind]
	if elem.Kind == vector.Decimal {
		c.Declared = strings.Replace(c.Declared, "numeric", fmt.Sprintf("numeric(%d,%d)", elem.Precision, elem.Scale), 1)
	}
	return c
}

// viewNames reports whether a view's SELECT names a column: one of that name may be another relation's, which counts too.
func viewNames(v *tables.Object, column string) bool {
	n, err := viewSelect(v)
	if err != nil {
		return true
	}
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		if r, ok := m.(*pg_query.ColumnRef); ok {
			last := r.Fields[len(r.Fields)-1]
			found = found || last.GetString_().GetSval() == column
		}
		return !found
	})
	return found
}

func viewSelect(v *tables.Object) (*pgNode, error) {
	parsed, err := pg_query.Parse(v.SQL)
	if err != nil {
		return nil, fmt.Errorf("the definition of view %q: %w", v.Name, err)
	}
	return parsed.Stmts[0].Stmt, nil
}

// viewDraft is a view that is being made.
type viewDraft struct {
	columns []tables.Column
	sql     string
	reads   []uint64
	names   []string
	temp    bool   // it reads something temporary
	written string // tables.Object.Written
}

// draftView describes a view's SELECT and writes its stars and names out.
func (s *Session) draftView(ctx context.Context, st *parse.SQL, query *pgNode, aliases []*pgNode) (*viewDraft, error) {
	sel := query.GetSelectStmt()
	if sel == nil {
		return nil, fail(codeUnsupported, "a view of anything but a SELECT is not supported")
	}
	if sel.IntoClause != nil {
		return nil, fail("0A000", "views must not contain SELECT INTO")
	}
	bad := ""
	parse.Walk(query, func(m proto.Message) bool {
		switch m.(type) {
		case *pg_query.ParamRef:
			bad = "there is no parameter $1"
		case *pg_query.InsertStmt, *pg_query.UpdateStmt, *pg_query.DeleteStmt:
			bad = "views must not contain data-modifying statements in WITH"
		}
		return bad == ""
	})
	if bad != "" {
		code := codeUnsupported
		if strings.HasPrefix(bad, "there is") {
			code = "42P02"
		}
		return nil, fail(code, "%s", bad)
	}
	d := &viewDraft{}
	for _, t := range sel.TargetList { // what has no type is text
		if rt := t.GetResTarget(); isUnknown(rt.Val) || rt.Val.GetAConst().GetIsnull() {
			if rt.Name == "" {
				rt.Name = parse.FigureColumnName(rt.Val)
			}
			rt.Val = castTo(rt.Val, &tables.Column{Base: "text", Declared: "text"})
		}
	}
	if err := s.expandStars(ctx, st, query); err != nil {
		return nil, err
	}
	plain := clone(query)
	if err := s.inlineViews(ctx, plain); err != nil {
		return nil, err
	}
	cat := s.catalog()
	columns, err := s.outputsOf(ctx, st, plain)
	if err != nil {
		return nil, err
	}
	if len(aliases) > len(columns) {
		return nil, fail("42601", "CREATE VIEW specifies more column names than columns")
	}
	for i, c := range columns {
		name := c.Name
		if i < len(aliases) {
			name = aliases[i].GetString_().GetSval()
		}
		if slices.ContainsFunc(d.columns, func(o tables.Column) bool { return o.Name == name }) {
			return nil, fail(codeDuplicateColumn, "column %q specified more than once", name)
		}
		col, err := keptColumn(session.Column{Name: name, Type: c.Type})
		if err != nil {
			col = columnOfType(name, c.Type) // it is read, and not kept
			col.Declared = pgcatalog.FormatType(c.Type.Shown, c.Type.Mod-1)
		}
		d.columns = append(d.columns, col)
	}
	err = s.eachRelation(query, nil, func(n *pgNode, rv *pg_query.RangeVar) error {
		if cat.Lookup(rv.Relname) != nil && (rv.Schemaname == "" || rv.Schemaname == tables.Public) {
			if !slices.Contains(d.names, rv.Relname) {
				d.names = append(d.names, rv.Relname)
			}
			return nil
		}
		if o := s.find(s.tabs, rv.Schemaname, rv.Relname); o != nil {
			if rv.Schemaname = o.Schema; o.Temp {
				d.temp, rv.Schemaname = true, tables.TempSchema
			}
			if rv.Alias == nil {
				rv.Alias = &pg_query.Alias{Aliasname: rv.Relname}
			}
			if !slices.Contains(d.reads, o.ID) {
				d.reads = append(d.reads, o.ID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.sql, err = parse.Deparse(query)
	return d, err
}

// expandStars writes out the stars of a SELECT's own list, as PostgreSQL does when a view is made.
func (s *Session) expandStars(ctx context.Context, st *parse.SQL, query *pgNode) error {
	var err error
	parse.Walk(query, func(m proto.Message) bool {
		sel, ok := m.(*pg_query.SelectStmt)
		if !ok || err != nil {
			return err == nil
		}
		var out []*pgNode
		for _, t := range sel.TargetList {
			fields := t.GetResTarget().GetVal().GetColumnRef().GetFields()
			if len(fields) == 0 || fields[len(fields)-1].GetAStar() == nil {
				out = append(out, t)
				continue
			}
			probed := &pg_query.SelectStmt{TargetList: []*pgNode{t}, FromClause: sel.FromClause, WithClause: outerWith(query, sel),
				LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
			if sel == query.GetSelectStmt() {
				probed.WhereClause = sel.WhereClause // which binds the keys of feature views
			}
			probe := clone(&pgNode{Node: &pg_query.Node_SelectStmt{SelectStmt: probed}})
			if err = s.inlineViews(ctx, probe); err != nil {
				return false
			}
			var columns []session.Column
			if columns, err = s.outputsOf(ctx, st, probe); err != nil {
				return false
			}
			qualifier := ""
			if len(fields) > 1 {
				qualifier = fields[len(fields)-2].GetString_().GetSval()
			} else if len(sel.FromClause) == 1 && sel.FromClause[0].GetJoinExpr() == nil {
				qualifier = leaves(sel.FromClause[0])[0].alias
			}
			for _, c := range columns {
				ref := pg_query.MakeColumnRefNode([]*pgNode{pg_query.MakeStrNode(c.Name)}, 0)
				if qualifier != "" {
					ref = columnRef(qualifier, c.Name, 0)
				}
				out = append(out, pg_query.MakeResTargetNodeWithVal(ref, 0))
			}
		}
		sel.TargetList = out
		return true
	})
	return err
}

// outerWith is the WITH clause that a SELECT inside query sees, where it is the query's own.
func outerWith(query *pgNode, sel *pg_query.SelectStmt) *pg_query.WithClause {
	if sel.WithClause != nil {
		return sel.WithClause
	}
	return query.GetSelectStmt().WithClause
}

// eachRelation visits the relations that a tree reads, names of WITH queries aside. n holds rv and may be changed.
func (s *Session) eachRelation(n proto.Message, ctes []string, visit func(n *pgNode, rv *pg_query.RangeVar) error) error {
	var with *pg_query.WithClause
	var target *pg_query.RangeVar
	switch x := n.(type) {
	case *pgNode:
		if rv := x.GetRangeVar(); rv != nil {
			if rv.Schemaname == "" && slices.Contains(ctes, rv.Relname) {
				return nil
			}
			return visit(x, rv)
		}
	case *pg_query.SelectStmt:
		with = x.WithClause
	case *pg_query.InsertStmt:
		with, target = x.WithClause, x.Relation
	case *pg_query.UpdateStmt:
		with, target = x.WithClause, x.Relation
	case *pg_query.DeleteStmt:
		with, target = x.WithClause, x.Relation
	}
	_ = target // a RangeVar that is no Node is a target, and is not visited
	if with != nil {
		ctes = slices.Clone(ctes)
		if with.Recursive {
			for _, q := range with.Ctes {
				ctes = append(ctes, q.GetCommonTableExpr().GetCtename())
			}
		}
		for _, q := range with.Ctes {
			if err := s.eachRelation(q.GetCommonTableExpr().GetCtequery(), ctes, visit); err != nil {
				return err
			}
			ctes = append(ctes, q.GetCommonTableExpr().GetCtename())
		}
	}
	var err error
	n.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() != protoreflect.MessageKind {
			return true
		}
		if !fd.IsList() {
			if x := v.Message().Interface(); x != proto.Message(with) || with == nil {
				err = s.eachRelation(x, ctes, visit)
			}
			return err == nil
		}
		for i := range v.List().Len() {
			if err = s.eachRelation(v.List().Get(i).Message().Interface(), ctes, visit); err != nil {
				return false
			}
		}
		return true
	})
	return err
}

// inlineViews puts the views that a statement reads into it.
func (s *Session) inlineViews(ctx context.Context, n proto.Message) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	qualified := map[string]bool{}
	err = s.eachRelation(n, nil, func(n *pgNode, rv *pg_query.RangeVar) error {
		if rv.Schemaname != "" && rv.Schemaname != tables.TempSchema && !cat.HasSchema(rv.Schemaname) || s.catalog().Lookup(rv.Relname) != nil && (rv.Schemaname == "" || rv.Schemaname == tables.Public) {
			return nil
		}
		v := s.find(cat, rv.Schemaname, rv.Relname)
		if v == nil || v.Kind != tables.View {
			return nil
		}
		query, err := viewSelect(v)
		if err != nil {
			return err
		}
		s.marked = s.marked || v.Written != ""
		clearLocations(query)
		if err := s.inlineViews(ctx, query); err != nil {
			return err
		}
		sub := subselect(query, rv.Relname)
		alias := sub.GetRangeSubselect().Alias
		if rv.Alias != nil {
			alias.Aliasname = rv.Alias.Aliasname
		} else if rv.Schemaname != "" {
			qualified[rv.Schemaname+"."+rv.Relname] = true
		}
		for i, c := range v.Columns {
			name := pg_query.MakeStrNode(c.Name)
			if i < len(rv.Alias.GetColnames()) {
				name = rv.Alias.Colnames[i]
			}
			alias.Colnames = append(alias.Colnames, name)
		}
		analyze.MarkView(sub.GetRangeSubselect(), ordinaryOID(v.ID))
		n.Node = sub.Node
		return nil
	})
	if err != nil || len(qualified) == 0 {
		return err
	}
	parse.Walk(n, func(m proto.Message) bool {
		if r, ok := m.(*pg_query.ColumnRef); ok && len(r.Fields) == 3 && qualified[r.Fields[0].GetString_().GetSval()+"."+r.Fields[1].GetString_().GetSval()] {
			r.Fields = r.Fields[1:]
		}
		return true
	})
	return nil
}

// ordinaryRelation is what the name of an ordinary relation stands for in DuckDB; ok is false where there is none.
func (b *binder) ordinaryRelation(rv *pg_query.RangeVar) (sql string, ok bool, err error) {
	if rv.Schemaname == "pg_catalog" || rv.Schemaname == "information_schema" {
		return "", false, nil
	}
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return "", false, err
	}
	o := b.s.find(cat, rv.Schemaname, rv.Relname)
	if o == nil {
		return "", false, at(noRelation(rv), b.sql, int(rv.Location))
	}
	switch o.Kind {
	case tables.Sequence:
		last, called, err := b.s.e.sequences.current(o.Seq)
		return fmt.Sprintf("(SELECT %d::BIGINT AS last_value, 0::BIGINT AS log_cnt, %t AS is_called)", last, called), true, err
	case tables.Index:
		e := fail(codeWrongObject, "cannot open relation %q", o.Name)
		e.Detail = "This operation is not supported for indexes."
		return "", false, at(e, b.sql, int(rv.Location))
	case tables.MaterializedView:
		if !o.Populated {
			return "", false, hint(fail("55000", "materialized view %q has not been populated", o.Name), "Use the REFRESH MATERIALIZED VIEW command.")
		}
	}
	if !b.describe {
		b.s.readsTable(o)
	}
	if !b.typed && hasKeptAsText(o) {
		return tableRows(o, "", false), true, nil
	}
	return duckName(o), true, nil
}

// bindCreateView binds CREATE VIEW of an ordinary view.
func (s *Session) bindCreateView(st *parse.SQL, n *pg_query.ViewStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		return "CREATE VIEW", s.createView(ctx, st, n)
	})
}

func (s *Session) createView(ctx context.Context, st *parse.SQL, n *pg_query.ViewStmt) error {
	if n.WithCheckOption != pg_query.ViewCheckOption_NO_CHECK_OPTION {
		return fail(codeUnsupported, "views WITH CHECK OPTION are not supported")
	}
	space, temp, err := s.makes(ctx, n.View, st.Text)
	if err != nil {
		return err
	}
	clauses := !st.Clauses.Empty()
	if err := s.markClauses(st); err != nil {
		return err
	}
	query := clone(n.Query)
	v, err := s.draftView(ctx, st, query, n.Aliases)
	if err != nil {
		if e := asError(err); !strings.HasPrefix(e.Message, "column ") || strings.HasSuffix(e.Message, "does not exist") {
			return locate(e, st.Text)
		}
		return err
	}
	if v.temp && !temp {
		s.notice(session.Notice{Message: fmt.Sprintf("view %q will be a temporary view", n.View.Relname)})
		space, temp = tables.TempSchema, true
	}
	name := n.View.Relname
	old := s.tabs.Relation(space, name)
	if s.nameTaken(space, name) && (!n.Replace || old == nil) {
		return fail(codeDuplicateTable, "relation %q already exists", name)
	}
	if old != nil {
		if old.Kind != tables.View {
			return fail(codeWrongObject, "%q is not a view", name)
		}
		if err := keepsViewColumns(old, v.columns); err != nil {
			return err
		}
		if slices.Contains(v.reads, old.ID) {
			return fail("42P17", "infinite recursion detected in rules for relation %q", name)
		}
	}
	id := uint64(0)
	if old != nil {
		id = old.ID
	} else if id, err = s.newObjectID(); err != nil {
		return err
	}
	o := &tables.Object{ID: id, Kind: tables.View, Schema: space, Name: name, Temp: temp, Columns: v.columns, SQL: v.sql, Reads: v.reads, ReadsNames: v.names}
	if clauses {
		o.Written = st.Text
	}
	if old != nil {
		o.Comment = old.Comment
	}
	for _, e := range n.Options {
		o.Options = append(o.Options, e.GetDefElem().Defname+"="+optionText(e.GetDefElem().Arg))
	}
	if err := s.holdName(ctx, o); err != nil {
		return err
	}
	return s.putObject(ctx, o)
}

// holdName makes DuckDB's empty view of a view's columns.
func (s *Session) holdName(ctx context.Context, o *tables.Object) error {
	kind := "VIEW"
	if o.Temp {
		kind = "TEMP VIEW"
	}
	_, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE %s %s AS SELECT * FROM %s AS x", kind, duckName(o), emptyRows(o)))
	return err
}

// keepsColumns refuses a new definition that changes a view's columns.
func keepsViewColumns(old *tables.Object, now []tables.Column) error {
	if len(now) < len(old.Columns) {
		return fail("42P16", "cannot drop columns from view")
	}
	for i, c := range old.Columns {
		if now[i].Name != c.Name {
			return hint(fail("42P16", "cannot change name of view column %q to %q", c.Name, now[i].Name), "Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.")
		}
		if now[i].Declared != c.Declared {
			return fail("42P16", "cannot change data type of view column %q from %s to %s", c.Name, c.Declared, now[i].Declared)
		}
	}
	return nil
}

// bindCreateTableAs binds CREATE TABLE AS, CREATE MATERIALIZED VIEW and SELECT INTO.
func (s *Session) bindCreateTableAs(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CreateTableAsStmt, given []vector.Type) (bound, error) {
	query := n.Query
	if query.GetSelectStmt() == nil {
		return bound{}, fail(codeUnsupported, "CREATE TABLE … AS EXECUTE is not supported")
	}
	var view *viewDraft
	materialized := n.Objtype == pg_query.ObjectType_OBJECT_MATVIEW
	clauses := !st.Clauses.Empty()
	if materialized {
		if err := s.markClauses(st); err != nil {
			return bound{}, err
		}
	}
	inner := &parse.SQL{Text: st.Text, Plain: st.Plain, Node: query, Clauses: st.Clauses}
	if materialized {
		var err error
		if view, err = s.draftView(ctx, st, clone(query), n.Into.ColNames); err != nil {
			return bound{}, err
		}
	}
	if view != nil && clauses {
		view.written = st.Text
	}
	if err := s.inlineViews(ctx, query); err != nil {
		return bound{}, err
	}
	p, err := s.keptQuery(ctx, cat, inner, given)
	if err != nil {
		return bound{}, err
	}
	run := func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		tag := ""
		err := s.inTransaction(ctx, func(ctx context.Context) error {
			if err := s.beginOrdinary(ctx); err != nil {
				return err
			}
			var err error
			tag, err = s.createTableAs(ctx, cat, inner, n, p, view, args)
			return err
		})
		s.dropTemps()
		return noRows{tag}, withoutPlace(err)
	}
	return bound{params: p.params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.replayable(st.Text, volatileIn(inner), args, func() (session.Result, error) { return run(ctx, args) })
	}}, nil
}

func (s *Session) createTableAs(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CreateTableAsStmt, p *keptQuery, view *viewDraft, args []*vector.Vector) (string, error) {
	kind, word := tables.Table, "CREATE TABLE AS"
	if view != nil {
		kind, word = tables.MaterializedView, "CREATE MATERIALIZED VIEW"
	}
	space, temp, err := s.makes(ctx, n.Into.Rel, st.Text)
	if err != nil {
		return "", err
	}
	name := n.Into.Rel.Relname
	if s.nameTaken(space, name) {
		if n.IfNotExists {
			s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", name)})
			return word, nil
		}
		return "", fail(codeDuplicateTable, "relation %q already exists", name)
	}
	d, err := s.newDraft(st.Text, kind, space, name, temp)
	if err != nil {
		return "", err
	}
	if len(n.Into.ColNames) > len(p.kept) {
		return "", fail("42601", "too many column names were specified")
	}
	for i, c := range p.kept {
		as := c.Name
		if i < len(n.Into.ColNames) {
			as = n.Into.ColNames[i].GetString_().GetSval()
		}
		if d.table.Column(as) != nil {
			return "", fail(codeDuplicateColumn, "column %q specified more than once", as)
		}
		c.Name = as
		d.table.Columns = append(d.table.Columns, c)
	}
	if temp {
		switch n.Into.OnCommit {
		case pg_query.OnCommitAction_ONCOMMIT_DROP:
			d.table.OnCommit = "drop"
		case pg_query.OnCommitAction_ONCOMMIT_DELETE_ROWS:
			d.table.OnCommit = "delete"
		}
	}
	if view != nil {
		d.table.SQL, d.table.Written, d.table.Reads, d.table.ReadsNames, d.table.Populated = view.sql, view.written, view.reads, view.names, !n.Into.SkipData
	}
	if err := d.create(ctx); err != nil {
		return "", err
	}
	if n.Into.SkipData {
		return word, nil
	}
	rows, err := s.insertQuery(ctx, cat, st, p, d.table, args)
	return fmt.Sprintf("SELECT %d", rows), err
}

// keptQuery is a query whose rows a table of its outputs keeps.
type keptQuery struct {
	part
	kept []tables.Column
}

// keptQuery plans a query, and the columns that keep its outputs.
func (s *Session) keptQuery(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (*keptQuery, error) {
	p, err := s.typedPart(s.binderAt(ctx, cat, st.Text, true), st, st.Node, given, assignment{}, false)
	if err != nil {
		return nil, err
	}
	out := &keptQuery{}
	if p == nil || p.columns == nil {
		b := s.binderAt(ctx, cat, st.Text, true)
		out.node = st.Node
		if out.plan, err = s.planQuery(b, st); err != nil {
			return nil, err
		}
		if out.params, out.columns, err = s.describeNode(ctx, b, st.Node, given); err != nil {
			return nil, err
		}
		for _, c := range out.columns {
			out.kept = append(out.kept, columnOfType(c.Name, c.Type))
		}
		return out, nil
	}
	o := &tables.Object{}
	for _, c := range p.columns {
		col, err := keptColumn(c)
		if err != nil {
			return nil, err
		}
		o.Columns = append(o.Columns, col)
	}
	kept, err := s.typedPart(s.binderAt(ctx, cat, st.Text, true), st, st.Node, given, assignment{targets: targetsOf(o)}, false)
	if err != nil {
		return nil, err
	}
	return &keptQuery{*kept, o.Columns}, nil
}

// outputsOf are the outputs of a query.
func (s *Session) outputsOf(ctx context.Context, st *parse.SQL, n *pgNode) ([]session.Column, error) {
	p, err := s.typedPart(s.binderAt(ctx, s.catalog(), st.Text, true), st, n, nil, assignment{}, false)
	if err != nil {
		return nil, err
	}
	if p != nil && p.columns != nil {
		return p.columns, nil
	}
	b := s.binderAt(ctx, s.catalog(), st.Text, true)
	if _, err := s.planQuery(b, &parse.SQL{Text: st.Text, Plain: st.Plain, Node: n}); err != nil {
		return nil, err
	}
	_, columns, err := s.describeNode(ctx, b, n, nil)
	return columns, err
}

// insertQuery writes a query's rows into a table that has its columns.
func (s *Session) insertQuery(ctx context.Context, cat *schema.Catalog, st *parse.SQL, p *keptQuery, o *tables.Object, args []*vector.Vector) (int64, error) {
	sql, err := p.sql(s.binderAt(ctx, cat, st.Text, false), st, args)
	if err != nil {
		return 0, err
	}
	return s.exec(ctx, fmt.Sprintf("INSERT INTO %s %s", duckName(o), sql), args)
}

// bindRefreshView binds REFRESH MATERIALIZED VIEW.
func (s *Session) bindRefreshView(st *parse.SQL, n *pg_query.RefreshMatViewStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "REFRESH MATERIALIZED VIEW"
		o, err := s.target(ctx, n.Relation, "")
		if err != nil {
			return "", err
		}
		if o.Kind != tables.MaterializedView {
			return "", fail(codeUnsupported, "%q is not a materialized view", o.Name)
		}
		if n.Concurrent {
			if n.SkipData {
				return "", fail("42601", "REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together")
			}
			if !o.Populated {
				return "", fail("55000", "CONCURRENTLY cannot be used when the materialized view is not populated")
			}
		}
		if err := s.takeLocks(ctx, []uint64{o.ID}); err != nil {
			return "", err
		}
		query, err := viewSelect(o)
		if err != nil {
			return "", err
		}
		s.marked = s.marked || o.Written != ""
		clearLocations(query)
		if err := s.inlineViews(ctx, query); err != nil {
			return "", err
		}
		next := o.Clone()
		next.Populated = !n.SkipData
		if _, err := s.conn.Exec(ctx, "DELETE FROM "+duckName(o)); err != nil {
			return "", err
		}
		if !n.SkipData {
			inner := &parse.SQL{Text: o.SQL, Plain: o.SQL, Node: query}
			cat := s.catalog()
			p, err := s.keptQuery(ctx, cat, inner, nil)
			if err != nil {
				return "", err
			}
			defer s.dropTemps()
			if _, err := s.insertQuery(ctx, cat, inner, p, o, nil); err != nil {
				return "", err
			}
		}
		return tag, s.putObject(ctx, next)
	})
}
