package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A feature view has no mechanism of its own to read features. Its statement
//
//	SELECT c.spend_7d / NULLIF(c.spend_30d, 0) AS share, r.amount - m.mean_7d AS above
//	FROM customer c, merchant m, request() AS r(amount numeric)
//
// is turned once, when it is made, into a flat row of base values (the keys k0 customer_id and k1 merchant_id, the request r0
// amount, the outputs of features b0 spend_7d, b1 spend_30d, b2 mean_7d) and expressions over that row. A lookup assembles the
// base values as any lookup does, an ASOF join merges them as any ASOF join does, and one engine, DuckDB, evaluates the same
// text of the expressions over the rows of both. Views that it reads are written into its expressions.
//
// Keys of one name are one key: customer(customer_id) and card(customer_id, card_id) make a view of customer_id and card_id. An
// alias list gives keys other names: customer AS s(sender_id), customer AS r(receiver_id).

// maxViewExpression bounds an expression of a view, with the views that it reads written into it: bytes of its tree.
const maxViewExpression = 1 << 20

// requestFunction is what stands in FROM for the values that a request brings.
const requestFunction = "request"

func (s *Session) createFeatureView(ctx context.Context, st *parse.CreateFeatureView) (string, error) {
	const tag = "CREATE FEATURE VIEW"
	cat := s.catalog()
	old := cat.FeatureView(st.Name.Name)
	if err := s.nameFree(ctx, cat, st.Name, st.Text); err != nil && (old == nil || !st.OrReplace && !st.IfNotExists) {
		return "", err
	}
	if old != nil && st.IfNotExists {
		s.notice(session.Notice{Code: codeDuplicateObject, Message: fmt.Sprintf("feature view %q already exists, skipping", st.Name.Name)})
		return tag, nil
	}
	id := uint32(0)
	if old != nil {
		id = old.ID
	} else {
		n, err := s.e.log.Sequence("feature view")
		if err != nil {
			return "", err
		}
		id = uint32(n)
	}
	return tag, s.define(func(c *schema.Catalog) error {
		if other := c.Lookup(st.Name.Name); other != nil {
			if o, ok := other.(*schema.FeatureView); !ok || o.ID != id {
				return at(taken(c, st.Name.Name), st.Text, st.Name.Position)
			}
		}
		v, err := s.bindFeatureView(ctx, c, st, id)
		if err != nil {
			return err
		}
		if was := c.FeatureViews[id]; was != nil {
			if err := keepsColumns(was, v); err != nil {
				return at(err, st.Text, st.Name.Position)
			}
			v.Comment = was.Comment
		}
		c.FeatureViews[id] = v
		return s.rebindViews(ctx, c, v)
	})
}

// keepsColumns refuses a replacement that takes columns from readers: it may add some at the end.
func keepsColumns(old, v *schema.FeatureView) *session.Error {
	columns := func(v *schema.FeatureView) []schema.Column {
		out := v.BoundColumns()
		for _, o := range v.Outputs {
			out = append(out, schema.Column{Name: o.Name, Type: o.Type})
		}
		return out
	}
	const code = "42P16"
	was, is := columns(old), columns(v)
	again := "DROP FEATURE VIEW %s; and create it anew."
	if len(old.BoundColumns()) != len(v.BoundColumns()) {
		return hint(fail(code, "cannot change the keys and request columns of feature view %q", v.Name), again, v.Name)
	}
	for i, c := range was {
		switch {
		case i >= len(is):
			return hint(fail(code, "cannot drop column %q of feature view %q", c.Name, v.Name), again, v.Name)
		case is[i].Name != c.Name:
			return hint(fail(code, "cannot change the name of column %q of feature view %q to %q", c.Name, v.Name, is[i].Name), again, v.Name)
		case !is[i].Type.Equal(c.Type):
			return hint(fail(code, "cannot change the type of column %q of feature view %q from %s to %s", c.Name, v.Name, c.Type, is[i].Type), again, v.Name)
		}
	}
	return nil
}

// rebindViews writes the new v into the views that read it.
func (s *Session) rebindViews(ctx context.Context, c *schema.Catalog, v *schema.FeatureView) error {
	c.Index()
	for _, over := range c.ViewsOver(v) {
		p, err := parse.Parse(over.SQL)
		if err != nil {
			return err
		}
		again, err := s.bindFeatureView(ctx, c, p.(*parse.CreateFeatureView), over.ID)
		if e := asError(err); e != nil { // its position is in another statement
			return &session.Error{Code: e.Code, Message: fmt.Sprintf("feature view %q, which reads %q: %s", over.Name, v.Name, e.Message), Hint: e.Hint}
		}
		if err := keepsColumns(over, again); err != nil {
			return err
		}
		again.Comment = over.Comment
		c.FeatureViews[over.ID] = again
		if err := s.rebindViews(ctx, c, again); err != nil {
			return err
		}
	}
	return nil
}

// viewBinder makes a view of its statement.
type viewBinder struct {
	cat    *schema.Catalog
	sql    string
	view   *schema.FeatureView
	scopes []*viewScope
	labels []string // outputs read that look forward
}

// viewScope is an item of FROM: what its columns are, over the row of base values.
type viewScope struct {
	alias   string
	columns []viewColumn
}

// viewColumn is a column of a scope. bound: a key or a request column, which the view has without naming it.
type viewColumn struct {
	name  string
	bound bool
	expr  func() (*pg_query.Node, error)
}

// bindFeatureView checks a definition and makes the view of it.
func (s *Session) bindFeatureView(ctx context.Context, cat *schema.Catalog, st *parse.CreateFeatureView, id uint32) (*schema.FeatureView, error) {
	v := &schema.FeatureView{ID: id, Name: st.Name.Name, SQL: st.Text, Options: map[string]string{}}
	o := readOptions(st.Text, "CREATE FEATURE VIEW", st.Options)
	online, said := o.bool("online", true), o.has("online")
	v.LogFraction = o.fraction("log_fraction")
	if err := o.done(); err != nil {
		return nil, err
	}
	for name, opt := range st.Options {
		v.Options[name] = opt.Value
	}
	b := &viewBinder{cat: cat, sql: st.Text, view: v}
	sel := st.Body.Node.GetSelectStmt()
	if err := b.onlyProjects(st, sel); err != nil {
		return nil, err
	}
	for _, f := range sel.FromClause {
		if err := b.from(f); err != nil {
			return nil, err
		}
	}
	if len(v.Keys) == 0 {
		return nil, at(hint(fail(codeDefinition, "feature view %q reads no entity", v.Name), "FROM customer c, request() AS r(amount numeric): the entities give the view its keys."), st.Text, st.BodyStart)
	}
	exprs, err := b.targets(sel)
	if err != nil {
		return nil, err
	}
	if err := b.bind(ctx, s, exprs); err != nil {
		return nil, err
	}
	v.Online = online
	if len(b.labels) > 0 {
		if online && said {
			return nil, at(hint(fail(codeDefinition, "feature view %q is online, but %q looks forward", v.Name, b.labels[0]), "A label is read by ASOF JOIN only: WITH (online = false)."), st.Text, st.Options["online"].Position)
		}
		v.Online = false
	}
	if v.LogFraction > 0 && !v.Online {
		return nil, at(fail(codeDefinition, "feature view %q is not online: there are no reads to log", v.Name), st.Text, st.Options["log_fraction"].Position)
	}
	return v, nil
}

// fraction is an option's value from 0 to 1, 0 where it is not given.
func (o *optionReader) fraction(name string) float64 {
	o.seen[name] = true
	v, ok := o.opts[name]
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(v.Value, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		o.refuse(v, codeInvalidParameter, "option %q must be a number from 0 to 1, not %q", name, v.Value)
		return 0
	}
	return f
}

// onlyProjects refuses everything but SELECT outputs FROM items: a view has one row for every key.
func (b *viewBinder) onlyProjects(st *parse.CreateFeatureView, sel *pg_query.SelectStmt) error {
	refuse := func(place int, what, format string, args ...any) error {
		if place < 0 {
			place = st.BodyStart
		}
		return at(hint(fail(codeUnsupported, "a feature view cannot have %s", what), format, args...), st.Text, place)
	}
	const rows = "A view has one row for every key, and computes its columns from that row. Filter where it is read."
	first := func(l []*pg_query.Node) int { return nodeLocation(l[0]) }
	switch {
	case sel.Op != pg_query.SetOperation_SETOP_NONE:
		return refuse(-1, "UNION, INTERSECT or EXCEPT", rows)
	case len(sel.ValuesLists) > 0:
		return refuse(-1, "VALUES", rows)
	case sel.WithClause != nil:
		return refuse(int(sel.WithClause.Location), "WITH", "Make the part a feature view of its own: views may read views.")
	case sel.WhereClause != nil:
		return refuse(nodeLocation(sel.WhereClause), "WHERE", rows)
	case len(sel.GroupClause) > 0:
		return refuse(first(sel.GroupClause), "GROUP BY", "Aggregates over events are features: CREATE FEATURE … WINDOW 7 DAYS.")
	case sel.HavingClause != nil:
		return refuse(nodeLocation(sel.HavingClause), "HAVING", rows)
	case len(sel.DistinctClause) > 0:
		return refuse(-1, "DISTINCT", rows)
	case len(sel.SortClause) > 0:
		return refuse(first(sel.SortClause), "ORDER BY", "Order where it is read.")
	case sel.LimitCount != nil || sel.LimitOffset != nil:
		return refuse(-1, "LIMIT or OFFSET", rows)
	case len(sel.WindowClause) > 0:
		return refuse(first(sel.WindowClause), "WINDOW", rows)
	case len(sel.LockingClause) > 0 || sel.IntoClause != nil:
		return refuse(-1, "FOR UPDATE or INTO", rows)
	case len(st.Body.Clauses.Windows) > 0:
		return refuse(st.Body.Clauses.Windows[0].Position, "WINDOW", "Windows belong to features: CREATE FEATURE … WINDOW 7 DAYS; the view reads their columns.")
	case len(st.Body.Clauses.Asof) > 0:
		return refuse(st.Body.Clauses.Asof[0].Position, "ASOF JOIN", "Name the entities in FROM, separated by commas: every one is read at the time of the view's reader.")
	case len(st.Body.Clauses.SystemTime) > 0:
		return refuse(st.Body.Clauses.SystemTime[0].Position, "FOR SYSTEM_TIME", "Name the position where the view is read.")
	}
	return nil
}

// from adds an item of FROM.
func (b *viewBinder) from(n *pg_query.Node) error {
	var scope *viewScope
	var err error
	place := nodeLocation(n)
	switch {
	case n.GetRangeVar() != nil:
		scope, err = b.relation(n.GetRangeVar())
	case n.GetRangeFunction() != nil:
		scope, err = b.request(n.GetRangeFunction())
	case n.GetJoinExpr() != nil:
		j := n.GetJoinExpr()
		if j.Jointype != pg_query.JoinType_JOIN_INNER || j.IsNatural || len(j.UsingClause) > 0 || j.Quals != nil || j.Alias != nil {
			return at(hint(fail(codeUnsupported, "a feature view cannot have a join with a condition"), "Name the entities in FROM, separated by commas. Keys of one name are one key; an alias list gives a key another name: customer AS s(sender_id)."), b.sql, place)
		}
		if err := b.from(j.Larg); err != nil {
			return err
		}
		return b.from(j.Rarg)
	default:
		return at(hint(fail(codeUnsupported, "a feature view reads entities, feature views and request()"), "Make the subquery a feature view of its own: views may read views."), b.sql, place)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(b.scopes, func(o *viewScope) bool { return o.alias == scope.alias }) {
		return at(fail("42712", "table name %q specified more than once", scope.alias), b.sql, place)
	}
	b.scopes = append(b.scopes, scope)
	return nil
}

// relation adds an entity or a view to FROM.
func (b *viewBinder) relation(rv *pg_query.RangeVar) (*viewScope, error) {
	place := int(rv.Location)
	scope := &viewScope{alias: rv.Relname}
	if rv.Alias != nil {
		scope.alias = rv.Alias.Aliasname
	}
	var bound []schema.Column
	keys := 0
	var of *schema.FeatureView
	ent := b.cat.Entity(rv.Relname)
	switch o := b.cat.Lookup(rv.Relname).(type) {
	case *schema.Entity:
		bound, keys = slices.Clone(o.Keys), len(o.Keys)
		if !slices.Contains(b.view.Entities, o.ID) {
			b.view.Entities = append(b.view.Entities, o.ID)
		}
	case *schema.FeatureView:
		of = o
		if o.ID == b.view.ID || b.reaches(o) {
			return nil, at(fail(codeDefinition, "feature view %q would read itself", b.view.Name), b.sql, place)
		}
		if !slices.Contains(b.view.Views, o.ID) {
			b.view.Views = append(b.view.Views, o.ID)
		}
		bound, keys = o.BoundColumns(), len(o.Keys)
	case *schema.Feature:
		name := b.cat.Entities[o.Entity].Name
		return nil, at(hint(fail(codeWrongObject, "%q is a feature, not a relation", o.Name), "Read its entity: FROM %s.", name), b.sql, place)
	case nil:
		return nil, at(hint(fail(codeUndefinedTable, "entity or feature view %q does not exist", rv.Relname), "CREATE ENTITY %s (…) names its keys and their types.", rv.Relname), b.sql, place)
	default:
		return nil, at(hint(fail(codeWrongObject, "%q is not an entity or a feature view", rv.Relname), "Aggregate its rows in a feature: CREATE FEATURE … AS SELECT … FROM %s GROUP BY … WINDOW 7 DAYS.", rv.Relname), b.sql, place)
	}
	for i, n := range rv.Alias.GetColnames() {
		if i >= len(bound) {
			return nil, at(hint(fail(codeUnsupported, "an alias of %q renames its keys only", rv.Relname), "FROM %s AS %s(%s)", rv.Relname, scope.alias, columnNames(bound)), b.sql, place)
		}
		bound[i].Name = n.GetString_().GetSval()
	}
	var at []int // the view's own keys, then its own request columns
	for i, c := range bound {
		list, name := &b.view.Keys, schema.ViewKey
		if i >= keys {
			list, name = &b.view.Request, schema.ViewRequest
		}
		k, err := b.bindColumn(list, c, place)
		if err != nil {
			return nil, err
		}
		at = append(at, k)
		scope.columns = append(scope.columns, viewColumn{c.Name, true, func() (*pg_query.Node, error) { return columnNode(name(k)), nil }})
	}
	if of != nil {
		for _, o := range of.Outputs {
			scope.columns = append(scope.columns, viewColumn{o.Name, false, func() (*pg_query.Node, error) { return b.written(of, &o, at) }})
		}
		return scope, nil
	}
	for _, w := range entityColumns(b.cat, ent) {
		scope.columns = append(scope.columns, viewColumn{w.output.Name, false, func() (*pg_query.Node, error) {
			return columnNode(schema.ViewValue(b.base(schema.ViewBase{Keys: at, Feature: w.feature.ID, Output: w.output.Name, Type: w.output.Type}))), nil
		}})
	}
	return scope, nil
}

// reaches reports whether a view reads, itself or through others, the view being bound.
func (b *viewBinder) reaches(v *schema.FeatureView) bool {
	return slices.ContainsFunc(v.Views, func(id uint32) bool {
		return id == b.view.ID || b.cat.FeatureViews[id] != nil && b.reaches(b.cat.FeatureViews[id])
	})
}

// bindColumn is the index of a key or request column, added if it is new.
func (b *viewBinder) bindColumn(list *[]schema.Column, c schema.Column, place int) (int, error) {
	if c.Name == eventTimeName {
		return 0, at(fail(codeDefinition, "column name %q is reserved for the time at which a view is read", c.Name), b.sql, place)
	}
	for _, l := range []*[]schema.Column{&b.view.Keys, &b.view.Request} {
		for i, have := range *l {
			switch {
			case have.Name != c.Name:
			case l != list:
				return 0, at(hint(fail(codeDuplicateColumn, "column %q of feature view %q is a key and a request column", c.Name, b.view.Name), "Give one another name by an alias list."), b.sql, place)
			case !have.Type.Equal(c.Type):
				return 0, at(hint(fail(codeTypeMismatch, "column %q of feature view %q is %s and %s", c.Name, b.view.Name, have.Type, c.Type), "Give one another name by an alias list: FROM entity AS e(%s_2).", c.Name), b.sql, place)
			default:
				return i, nil
			}
		}
	}
	*list = append(*list, schema.Column{Name: c.Name, Type: c.Type})
	return len(*list) - 1, nil
}

// base is the index of a base value, added if it is new.
func (b *viewBinder) base(v schema.ViewBase) int {
	i := slices.IndexFunc(b.view.Base, func(o schema.ViewBase) bool {
		return o.Feature == v.Feature && o.Output == v.Output && slices.Equal(o.Keys, v.Keys)
	})
	if i >= 0 {
		return i
	}
	b.view.Base = append(b.view.Base, v)
	if o := b.cat.Features[v.Feature].Output(v.Output); o != nil && o.Window.Following {
		b.labels = append(b.labels, v.Output)
	}
	return len(b.view.Base) - 1
}

// baseColumn takes the name of a column of the row of base values apart.
var baseColumn = regexp.MustCompile(`^([krb])(\d+)$`)

// written is an output of another view as an expression of this one. at are this view's columns for the other's bound ones.
func (b *viewBinder) written(of *schema.FeatureView, o *schema.ViewOutput, at []int) (*pg_query.Node, error) {
	p, err := parse.Parse("SELECT " + o.Expr)
	if err != nil {
		return nil, err
	}
	n := p.(*parse.SQL).Node.GetSelectStmt().TargetList[0].GetResTarget().Val
	return n, replaceColumns(n, func(ref *pg_query.ColumnRef) (*pg_query.Node, error) {
		m := baseColumn.FindStringSubmatch(ref.Fields[0].GetString_().GetSval())
		i, err := strconv.Atoi(m[2])
		if err != nil {
			return nil, err
		}
		switch m[1] {
		case "k":
			return columnNode(schema.ViewKey(at[i])), nil
		case "r":
			return columnNode(schema.ViewRequest(at[len(of.Keys)+i])), nil
		}
		v := of.Base[i]
		keys := make([]int, len(v.Keys))
		for j, k := range v.Keys {
			keys[j] = at[k]
		}
		v.Keys = keys
		return columnNode(schema.ViewValue(b.base(v))), nil
	})
}

// replaceColumns replaces the column references below n, and n itself where it is one.
func replaceColumns(n *pg_query.Node, by func(*pg_query.ColumnRef) (*pg_query.Node, error)) error {
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		node, ok := m.(*pg_query.Node)
		if !ok || err != nil || node.GetColumnRef() == nil {
			return err == nil
		}
		var with *pg_query.Node
		if with, err = by(node.GetColumnRef()); err == nil {
			node.Node = with.Node
		}
		return false
	})
	return err
}

func columnNode(name string) *pg_query.Node {
	return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, 0)
}

// request adds request() AS r(amount numeric) to FROM.
func (b *viewBinder) request(f *pg_query.RangeFunction) (*viewScope, error) {
	const usage = "FROM customer c, request() AS r(amount numeric, currency text)"
	place := nodeLocation(&pg_query.Node{Node: &pg_query.Node_RangeFunction{RangeFunction: f}})
	var call *pg_query.FuncCall
	if len(f.Functions) == 1 {
		call = f.Functions[0].GetList().GetItems()[0].GetFuncCall()
	}
	if call == nil || len(call.Funcname) != 1 || call.Funcname[0].GetString_().GetSval() != requestFunction || f.Lateral || f.Ordinality || f.IsRowsfrom {
		return nil, at(hint(fail(codeUnsupported, "a feature view reads entities, feature views and request()"), usage), b.sql, place)
	}
	if len(call.Args) > 0 || f.Alias == nil || len(f.Coldeflist) == 0 {
		return nil, at(hint(fail(codeDefinition, "request() takes no arguments, and its alias says the names and types of its columns"), usage), b.sql, int(call.Location))
	}
	scope := &viewScope{alias: f.Alias.Aliasname}
	for _, n := range f.Coldeflist {
		d := n.GetColumnDef()
		t, err := parse.TypeOf(d.TypeName)
		if err != nil {
			return nil, at(asError(err), b.sql, int(d.TypeName.Location))
		}
		if slices.ContainsFunc(scope.columns, func(c viewColumn) bool { return c.name == d.Colname }) {
			return nil, at(fail(codeDuplicateColumn, "column %q specified more than once", d.Colname), b.sql, int(d.Location))
		}
		k, err := b.bindColumn(&b.view.Request, schema.Column{Name: d.Colname, Type: t}, int(d.Location))
		if err != nil {
			return nil, err
		}
		scope.columns = append(scope.columns, viewColumn{d.Colname, true, func() (*pg_query.Node, error) { return columnNode(schema.ViewRequest(k)), nil }})
	}
	return scope, nil
}

// viewExpr is an output's expression over the row of base values.
type viewExpr struct {
	name   string
	text   string // as written
	node   *pg_query.Node
	offset int
}

// targets are the outputs of the SELECT list. Keys and request columns of their own names are columns of the view anyway.
func (b *viewBinder) targets(sel *pg_query.SelectStmt) ([]viewExpr, error) {
	var out []viewExpr
	taken := map[string]bool{eventTimeName: true}
	for _, c := range b.view.BoundColumns() {
		taken[c.Name] = true
	}
	add := func(e viewExpr) error {
		if taken[e.name] {
			return at(hint(fail(codeDuplicateColumn, "column %q of feature view %q is there twice", e.name, b.view.Name), "Keys, request columns and %s have their names; give the output another one: … AS name.", eventTimeName), b.sql, e.offset)
		}
		taken[e.name] = true
		out = append(out, e)
		return nil
	}
	for _, t := range sel.TargetList {
		rt := t.GetResTarget()
		place := int(rt.Location)
		if f := rt.Val.GetColumnRef().GetFields(); len(f) > 0 && f[len(f)-1].GetAStar() != nil {
			cols, err := b.star(f, place)
			if err != nil {
				return nil, err
			}
			for _, c := range cols {
				if c.bound {
					continue
				}
				n, err := c.expr()
				if err != nil {
					return nil, err
				}
				if err := add(viewExpr{c.name, c.name, n, place}); err != nil {
					return nil, err
				}
			}
			continue
		}
		if err := b.scalar(rt.Val); err != nil {
			return nil, err
		}
		name := rt.Name
		if name == "" {
			name = parse.FigureColumnName(rt.Val)
		}
		if name == unnamed {
			return nil, at(hint(fail(codeDefinition, "a column of feature view %q has no name", b.view.Name), "Give it an alias: … AS name."), b.sql, place)
		}
		text, err := parse.Deparse(rt.Val)
		if err != nil {
			return nil, asError(err)
		}
		if ref := rt.Val.GetColumnRef(); ref != nil {
			c, err := b.column(ref)
			if err != nil {
				return nil, err
			}
			if c.bound && c.name == name {
				continue
			}
		}
		n, size := clone(rt.Val), 0
		if err := replaceColumns(n, func(ref *pg_query.ColumnRef) (*pg_query.Node, error) {
			c, err := b.column(ref)
			if err != nil {
				return nil, err
			}
			e, err := c.expr()
			if size += proto.Size(e); size > maxViewExpression {
				return nil, at(hint(fail("54001", "column %q of feature view %q is too complex with the views that it reads written into it", name, b.view.Name), "Read fewer levels of views."), b.sql, place)
			}
			return e, err
		}); err != nil {
			return nil, err
		}
		if err := add(viewExpr{name, text, n, place}); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, at(hint(fail(codeDefinition, "feature view %q has no column beside its keys and request columns", b.view.Name), "Name the features that it reads: SELECT c.spend_7d FROM customer c."), b.sql, nodeLocation(sel.TargetList[0]))
	}
	return out, nil
}

func (b *viewBinder) star(fields []*pg_query.Node, place int) ([]viewColumn, error) {
	var out []viewColumn
	for _, s := range b.scopes {
		if len(fields) == 1 || fields[0].GetString_().GetSval() == s.alias {
			out = append(out, s.columns...)
		}
	}
	if len(fields) > 1 && out == nil {
		return nil, at(fail(codeUndefinedTable, "missing FROM-clause entry for table %q", fields[0].GetString_().GetSval()), b.sql, place)
	}
	return out, nil
}

// column resolves a reference.
func (b *viewBinder) column(ref *pg_query.ColumnRef) (*viewColumn, error) {
	place := int(ref.Location)
	name := ref.Fields[len(ref.Fields)-1].GetString_().GetSval()
	if len(ref.Fields) > 2 || name == "" {
		return nil, at(fail(codeUnsupported, "a column is named as alias.column here"), b.sql, place)
	}
	var found *viewColumn
	var names []string
	seen := false
	for _, s := range b.scopes {
		if len(ref.Fields) == 2 && ref.Fields[0].GetString_().GetSval() != s.alias {
			continue
		}
		seen = true
		for i := range s.columns {
			c := &s.columns[i]
			names = append(names, s.alias+"."+c.name)
			switch {
			case c.name != name:
			case found == nil:
				found = c
			case !found.bound || !c.bound: // bound columns of one name are one
				return nil, at(hint(fail("42702", "column reference %q is ambiguous", name), "Write %s.%s.", s.alias, name), b.sql, place)
			}
		}
	}
	switch {
	case !seen && len(ref.Fields) == 2:
		return nil, at(fail(codeUndefinedTable, "missing FROM-clause entry for table %q", ref.Fields[0].GetString_().GetSval()), b.sql, place)
	case found == nil:
		return nil, at(hint(fail(codeUndefinedColumn, "column %q of feature view %q does not exist", name, b.view.Name), "Columns: %s.", strings.Join(names, ", ")), b.sql, place)
	}
	return found, nil
}

// scalar refuses what is no expression of one row.
func (b *viewBinder) scalar(n *pg_query.Node) error {
	var err error
	refuse := func(place int32, what, advice string) {
		err = at(hint(fail(codeUnsupported, "a feature view cannot have %s", what), "%s", advice), b.sql, int(place))
	}
	parse.Walk(n, func(m proto.Message) bool {
		if err != nil {
			return false
		}
		switch m := m.(type) {
		case *pg_query.SubLink:
			refuse(m.Location, "a subquery", "Read the value as a feature of an entity in FROM.")
		case *pg_query.FuncCall:
			name := m.Funcname[len(m.Funcname)-1].GetString_().GetSval()
			def, known := functions.Lookup(name)
			switch {
			case m.Over != nil:
				refuse(m.Location, "a window function", "A view computes its columns from one row; windows over events are features: CREATE FEATURE … WINDOW 7 DAYS.")
			case known && !def.Implicit || m.AggStar || m.AggDistinct || m.AggFilter != nil || len(m.AggOrder) > 0 || m.AggWithinGroup:
				refuse(m.Location, fmt.Sprintf("an aggregate (%s)", name), "Aggregates over events are features: CREATE FEATURE … AS SELECT … GROUP BY … WINDOW 7 DAYS; the view reads their columns.")
			case setReturning(&pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: m}}) == m:
				refuse(m.Location, fmt.Sprintf("a set-returning function (%s)", name), "An expression has one value for a row.")
			}
		}
		return err == nil
	})
	return err
}
