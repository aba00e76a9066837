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
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// planInsert plans INSERT into an ordinary table. The staging SELECT gives every column of the table, in its order:
//
//	SELECT s.c1 AS a, <default> AS b, … FROM (<source>) AS s(c1, …)
func (s *Session) planInsert(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.InsertStmt, given []vector.Type) (*rowWrite, error) {
	o, view, err := s.writable(ctx, n.Relation, st.Text, "insert into")
	if err != nil {
		return nil, err
	}
	w := &rowWrite{s: s, cat: cat, table: o, view: view, kind: 'i', event: eventTableOf(cat, n.Relation)}
	w.alias = w.named().Name
	if n.Relation.Alias != nil {
		w.alias = n.Relation.Alias.Aliasname
	}
	if view != nil {
		if err := view.rename(n.Cols, st.Text, "insert into"); err != nil {
			return nil, err
		}
		if n.OnConflictClause != nil {
			return nil, hint(fail(codeUnsupported, "ON CONFLICT through view %q is not supported", view.view.Name), "INSERT INTO %s …, which the view reads.", view.base.Name)
		}
	}
	targets, err := insertTargets(st.Text, n, o)
	if err != nil {
		return nil, err
	}
	if view != nil && len(n.Cols) == 0 {
		if targets, err = view.targets(sourceWidth(n.SelectStmt)); err != nil {
			return nil, err
		}
	}
	if n.SelectStmt != nil && n.WithClause != nil {
		sel := n.SelectStmt.GetSelectStmt()
		if sel.WithClause != nil && sel.WithClause != n.WithClause {
			return nil, fail(codeUnsupported, "two WITH clauses in one INSERT are not supported")
		}
		sel.WithClause = n.WithClause
	}
	if targets, err = s.valuesTargets(st.Text, n, o, targets); err != nil {
		return nil, err
	}
	done, err := w.insertTyped(ctx, st, n, targets, given)
	if err != nil {
		return nil, err
	}
	if !done {
		if view != nil {
			return nil, fail(codeUnsupported, "a change through view %q by what features or their joins compute is not supported", view.view.Name)
		}
		if err := w.insertUntyped(ctx, st, n, targets, given); err != nil {
			return nil, err
		}
	}
	if n.OnConflictClause != nil {
		if w.conflict, err = s.planConflict(ctx, w, st, n.OnConflictClause, given); err != nil {
			return nil, err
		}
	}
	return w, w.bindReturning(ctx, st.Text, n.ReturningList, given)
}

// insertTyped analyzes the source of an INSERT and its defaults; done is false where that cannot be.
func (w *rowWrite) insertTyped(ctx context.Context, st *parse.SQL, n *pg_query.InsertStmt, targets []int, given []vector.Type) (done bool, err error) {
	s, o := w.s, w.table
	source := n.SelectStmt
	if sel := source.GetSelectStmt(); sel != nil && len(sel.ValuesLists) == 0 { // how many columns it has
		p, err := s.typedPart(s.binderAt(ctx, w.cat, st.Text, true), st, source, given, assignment{}, false)
		if err != nil || p == nil || p.typed.Outputs == nil {
			return false, err
		}
		if targets, err = matchTargets(st.Text, n, o, targets, len(p.typed.Outputs), sel); err != nil {
			return false, err
		}
	}
	if source == nil {
		targets = nil
	}
	override := n.Override == pg_query.OverridingKind_OVERRIDING_USER_VALUE
	all := targetsOf(o)
	to := assignment{targets: all, clause: "DEFAULT expressions"}
	items := make([]*pg_query.Node, len(o.Columns))
	for i := range o.Columns {
		c := &o.Columns[i]
		v := columnRef("__source", fmt.Sprintf("__c%d", slices.Index(targets, i)+1), 0)
		if slices.Index(targets, i) < 0 || override && c.Identity != "" {
			if v, err = s.defaultExpr(c); err != nil {
				return false, err
			}
		}
		items[i] = namedTarget(c.Name, v)
	}
	stage := selectNode(items)
	if source != nil {
		from := subselect(source, "__source")
		for k, t := range targets {
			from.GetRangeSubselect().Alias.Colnames = append(from.GetRangeSubselect().Alias.Colnames, pg_query.MakeStrNode(fmt.Sprintf("__c%d", k+1)))
			to.sources = append(to.sources, all[t])
		}
		stage = selectNode(items, from)
		to.source = source.GetSelectStmt()
	}
	return w.stageTyped(ctx, st, stage, given, to)
}

// insertUntyped plans an INSERT whose source is not analyzed: its values are cast to their columns.
func (w *rowWrite) insertUntyped(ctx context.Context, st *parse.SQL, n *pg_query.InsertStmt, targets []int, given []vector.Type) error {
	s, o := w.s, w.table
	source := n.SelectStmt
	var values []*pg_query.Node // of VALUES with one row, for their places in errors
	var err error
	if source == nil {
		targets = nil
	} else if values, err = s.coerceSource(st.Text, o, source.GetSelectStmt(), targets); err != nil {
		return err
	}
	// The source's own types decide whether PostgreSQL would assign them.
	if source != nil && !literalValues(source.GetSelectStmt()) {
		sel := source.GetSelectStmt()
		inner := &parse.SQL{Text: st.Text, Plain: st.Plain, Node: source, Clauses: st.Clauses}
		b := s.binderAt(ctx, w.cat, st.Text, true)
		if _, err := s.planQuery(b, &parse.SQL{Text: st.Text, Plain: st.Plain, Node: clone(source)}); err != nil && len(st.Clauses.Asof) == 0 {
			return err
		}
		if st.Clauses.Empty() {
			_, columns, err := s.describeNode(ctx, b, inner.Node, given)
			if err != nil {
				return withoutCandidates(err)
			}
			if targets, err = matchTargets(st.Text, n, o, targets, len(columns), sel); err != nil {
				return err
			}
			cols := make([]*tables.Column, len(columns))
			for i := range columns {
				if i < len(targets) {
					cols[i] = &o.Columns[targets[i]]
				}
			}
			if values == nil && sel.Op == pg_query.SetOperation_SETOP_NONE {
				for _, t := range sel.TargetList {
					values = append(values, t.GetResTarget().Val)
				}
				if len(values) != len(columns) { // a star
					values = nil
				}
			}
			if len(columns) > 0 && columns[0].Type.Kind != vector.Invalid {
				if err := w.checkTypes(st.Text, cols, columns, values); err != nil {
					return err
				}
			}
		}
	}
	override := n.Override == pg_query.OverridingKind_OVERRIDING_USER_VALUE
	items := make([]*pg_query.Node, len(o.Columns))
	for i := range o.Columns {
		c := &o.Columns[i]
		k := slices.Index(targets, i)
		var v *pg_query.Node
		switch {
		case k >= 0 && !(override && c.Identity != ""):
			v = castTo(columnRef("__source", fmt.Sprintf("__c%d", k+1), 0), c)
		default:
			if v, err = s.defaultOf(c); err != nil {
				return err
			}
		}
		items[i] = namedTarget(c.Name, v)
	}
	stage := selectNode(items)
	if source != nil {
		from := subselect(source, "__source")
		for k := range targets {
			from.GetRangeSubselect().Alias.Colnames = append(from.GetRangeSubselect().Alias.Colnames, pg_query.MakeStrNode(fmt.Sprintf("__c%d", k+1)))
		}
		stage = selectNode(items, from)
	}
	if stage, err = s.finished(o, stage); err != nil {
		return err
	}
	_, err = w.describeStage(ctx, st, stage, given)
	return err
}

// literalValues reports whether a source is VALUES of literals, parameters and defaults only, which coerceSource has given types.
func literalValues(sel *pg_query.SelectStmt) bool {
	for _, l := range sel.ValuesLists {
		for _, it := range l.GetList().GetItems() {
			c := it.GetTypeCast()
			if number := it.GetAConst(); number != nil && (number.GetIval() != nil || number.GetFval() != nil) {
				return false // a number may be no value of the column's type
			}
			if c == nil || c.Arg.GetAConst() == nil && c.Arg.GetParamRef() == nil {
				return false
			}
		}
	}
	return len(sel.ValuesLists) > 0
}

// insertTargets are the places of the columns that an INSERT names, or of all.
func insertTargets(sql string, n *pg_query.InsertStmt, o *tables.Object) ([]int, error) {
	var out []int
	for _, c := range n.Cols {
		t := c.GetResTarget()
		i := o.ColumnIndex(t.Name)
		if i < 0 {
			return nil, at(fail(codeUndefinedColumn, "column %q of relation %q does not exist", t.Name, o.Name), sql, int(t.Location))
		}
		if slices.Contains(out, i) {
			return nil, at(fail(codeDuplicateColumn, "column %q specified more than once", t.Name), sql, int(t.Location))
		}
		if len(t.Indirection) > 0 {
			return nil, at(fail(codeUnsupported, "assignment to an element of a column is not supported"), sql, int(t.Location))
		}
		out = append(out, i)
	}
	if len(n.Cols) == 0 {
		for i := range o.Columns {
			out = append(out, i)
		}
	}
	return out, nil
}

// coerceSource gives literals and parameters of VALUES, and literals of a SELECT's own list, the types of their columns. It changes
// the source in place; a second time changes nothing.
func (s *Session) coerceSource(sql string, o *tables.Object, sel *pg_query.SelectStmt, targets []int) (first []*pg_query.Node, err error) {
	coerce := func(v *pg_query.Node, c *tables.Column) (*pg_query.Node, error) {
		if err := s.fits(sql, v, c); err != nil {
			return nil, err
		}
		return s.coerced(v, c), nil
	}
	if len(sel.ValuesLists) == 0 {
		if sel.Op == pg_query.SetOperation_SETOP_NONE {
			for i, t := range sel.TargetList {
				rt := t.GetResTarget()
				if rt.Val.GetColumnRef() != nil && rt.Val.GetColumnRef().Fields[len(rt.Val.GetColumnRef().Fields)-1].GetAStar() != nil {
					break
				}
				if i < len(targets) {
					if rt.Val, err = coerce(rt.Val, &o.Columns[targets[i]]); err != nil {
						return nil, err
					}
				}
			}
		}
		return nil, nil
	}
	for _, l := range sel.ValuesLists {
		items := l.GetList().Items
		for i, it := range items {
			if items[i], err = coerce(it, &o.Columns[targets[i]]); err != nil {
				return nil, err
			}
		}
	}
	return sel.ValuesLists[0].GetList().Items, nil
}

// valuesTargets checks VALUES against the columns that they are for, and puts defaults into them; of other sources it changes nothing.
func (s *Session) valuesTargets(sql string, n *pg_query.InsertStmt, o *tables.Object, targets []int) ([]int, error) {
	sel := n.SelectStmt.GetSelectStmt()
	if len(sel.GetValuesLists()) == 0 {
		return targets, nil
	}
	width := len(sel.ValuesLists[0].GetList().GetItems())
	for _, l := range sel.ValuesLists {
		if got := l.GetList().GetItems(); len(got) != width {
			return nil, at(fail("42601", "VALUES lists must all be the same length"), sql, nodeLocation(got[0]))
		}
	}
	if width > len(targets) {
		return nil, at(fail("42601", "INSERT has more expressions than target columns"), sql, nodeLocation(sel.ValuesLists[0].GetList().Items[len(targets)]))
	}
	if width < len(targets) && len(n.Cols) > 0 {
		return nil, at(fail("42601", "INSERT has more target columns than expressions"), sql, int(n.Cols[width].GetResTarget().Location))
	}
	targets = targets[:width]
	for _, l := range sel.ValuesLists {
		items := l.GetList().Items
		for i, it := range items {
			c := &o.Columns[targets[i]]
			var err error
			if it.GetSetToDefault() != nil {
				items[i], err = s.defaultExpr(c)
			} else {
				err = refuseGenerated(n, o, c)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return targets, nil
}

// refuseGenerated refuses values for columns that are computed.
func refuseGenerated(n *pg_query.InsertStmt, o *tables.Object, c *tables.Column) error {
	switch {
	case c.Generated != "":
		e := fail("428C9", "cannot insert a non-DEFAULT value into column %q", c.Name)
		e.Detail, e.Position = fmt.Sprintf("Column %q is a generated column.", c.Name), noPlace
		return e
	case c.Identity == "a" && n.Override == pg_query.OverridingKind_OVERRIDING_NOT_SET:
		e := hint(fail("428C9", "cannot insert a non-DEFAULT value into column %q", c.Name), "Use OVERRIDING SYSTEM VALUE to override.")
		e.Detail, e.Position = fmt.Sprintf("Column %q is an identity column defined as GENERATED ALWAYS.", c.Name), noPlace
		return e
	}
	return nil
}

// matchTargets checks the number of a source's columns against the targets.
func matchTargets(sql string, n *pg_query.InsertStmt, o *tables.Object, targets []int, width int, sel *pg_query.SelectStmt) ([]int, error) {
	if len(sel.ValuesLists) > 0 {
		return targets, nil
	}
	place := func(i int) int {
		if i < len(sel.TargetList) {
			return nodeLocation(sel.TargetList[i])
		}
		return -1
	}
	if width > len(targets) {
		return nil, at(fail("42601", "INSERT has more expressions than target columns"), sql, place(len(targets)))
	}
	if width < len(targets) && len(n.Cols) > 0 {
		return nil, at(fail("42601", "INSERT has more target columns than expressions"), sql, int(n.Cols[width].GetResTarget().Location))
	}
	for _, t := range targets[:width] {
		if err := refuseGenerated(n, o, &o.Columns[t]); err != nil {
			return nil, err
		}
	}
	return targets[:width], nil
}

// defaultExpr is the expression of a column's default, NULL where it has none.
func (s *Session) defaultExpr(c *tables.Column) (*pg_query.Node, error) {
	text := c.Default
	if c.Identity != "" {
		if seq := s.tabs.ByID[c.Sequence]; seq != nil {
			text = fmt.Sprintf("nextval('%s')", strings.ReplaceAll(qualifiedName(seq), "'", "''"))
		}
	}
	if text == "" || c.Generated != "" {
		text = "NULL"
	}
	return expressionText(text)
}

// defaultOf is the expression of a column's default, cast to its type.
func (s *Session) defaultOf(c *tables.Column) (*pg_query.Node, error) {
	v, err := s.defaultExpr(c)
	if err != nil {
		return nil, err
	}
	return castTo(v, c), nil
}

// finished is a staging SELECT around another one, which computes what the columns' declarations ask for: generated columns,
// lengths of text and precisions of times. staged are further columns that stand before and after the table's.
func (s *Session) finished(o *tables.Object, stage *pg_query.Node) (*pg_query.Node, error) {
	if !slices.ContainsFunc(o.Columns, func(c tables.Column) bool {
		return c.Generated != "" || c.Length > 0 || c.Precision != nil || storedBy(&c) != ""
	}) {
		return stage, nil
	}
	var items []*pg_query.Node
	generated := false
	for _, t := range stage.GetSelectStmt().TargetList {
		name := t.GetResTarget().Name
		v := columnRef(o.Name, name, 0)
		if c := o.Column(name); c != nil {
			generated = generated || c.Generated != ""
			v = s.declaredValue(v, c)
		}
		item := pg_query.MakeResTargetNodeWithVal(v, 0)
		item.GetResTarget().Name = name
		items = append(items, item)
	}
	stage = selectNode(items, subselect(stage, o.Name))
	if !generated {
		return stage, nil
	}
	items = nil
	for _, t := range stage.GetSelectStmt().TargetList {
		name := t.GetResTarget().Name
		v := columnRef(o.Name, name, 0)
		if c := o.Column(name); c != nil && c.Generated != "" {
			var err error
			if v, err = expressionText(c.Generated); err != nil {
				return nil, err
			}
			v = s.declaredValue(castTo(s.coerced(v, c), c), c)
		}
		item := pg_query.MakeResTargetNodeWithVal(v, 0)
		item.GetResTarget().Name = name
		items = append(items, item)
	}
	return selectNode(items, subselect(stage, o.Name)), nil
}

// expressionText parses an expression of a definition.
func expressionText(text string) (*pg_query.Node, error) {
	parsed, err := pg_query.Parse("SELECT " + text)
	if err != nil {
		return nil, fmt.Errorf("an expression of a definition: %w", err)
	}
	v := parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
	clearLocations(v)
	return v, nil
}

// clearLocations takes the places out of an expression that is not the statement's own.
func clearLocations(n *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		if fd := m.ProtoReflect().Descriptor().Fields().ByName("location"); fd != nil {
			m.ProtoReflect().Set(fd, protoreflect.ValueOfInt32(0))
		}
		return true
	})
}

// declaredValue is a value as a column of its declaration holds it: text that is too long is an error unless blanks alone are
// too many, char(n) is padded, times are rounded. v is evaluated more than once.
func (s *Session) declaredValue(v *pg_query.Node, c *tables.Column) *pg_query.Node {
	text, err := parse.Deparse(v)
	if err != nil {
		return v
	}
	form := ""
	if fn := storedBy(c); fn != "" {
		form = fmt.Sprintf("%s(%s, (%s))", storedFunction, duck.QuoteLiteral(fn), text)
		if out, err := expressionText(form); err == nil {
			return out
		}
		return v
	}
	switch {
	case c.Type.Kind == vector.List || c.Type.Kind != vector.Text && c.Precision == nil:
		return v
	case c.Length > 0:
		whole, padded := "character varying", "(%[1]s)"
		if c.Base == "bpchar" {
			whole, padded = "character", "rpad((%[1]s), %[2]d, ' ')"
		}
		form = "CASE WHEN length(%[1]s) <= %[2]d THEN " + padded + " WHEN length(rtrim(%[1]s, ' ')) <= %[2]d THEN left(%[1]s, %[2]d) WHEN (%[1]s) IS NOT NULL THEN " + raiseFunction + "('tilehouse 22001: value too long for type " + whole + "(%[2]d)') END"
		form = fmt.Sprintf(form, text, c.Length)
	case c.Precision != nil && *c.Precision < 6:
		unit := int64(1)
		for range 6 - *c.Precision {
			unit *= 10
		}
		// As PostgreSQL rounds: away from the start of 2000, at halves.
		const start = 946684800000000
		form = fmt.Sprintf("make_timestamp(%[2]d + CASE WHEN epoch_us(%[1]s) < %[2]d THEN -1 ELSE 1 END * ((abs(epoch_us(%[1]s) - %[2]d) + %[4]d) - (abs(epoch_us(%[1]s) - %[2]d) + %[4]d) %% %[3]d))", text, int64(start), unit, unit/2)
		if c.Type.Kind == vector.TimestampTZ {
			form = "(" + form + ") AT TIME ZONE 'UTC'"
		}
		form = fmt.Sprintf("CASE WHEN isfinite(%[1]s) THEN %[2]s ELSE %[1]s END", text, form)
	default:
		return v
	}
	out, err := expressionText(form)
	if err != nil {
		return v
	}
	return out
}
