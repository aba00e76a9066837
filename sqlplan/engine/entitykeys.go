package engine

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// What binds the keys of an entity in FROM is every condition that all rows with one of its rows fulfil: the conjuncts of WHERE
// and those of the joins that are not outer ones on the entity's side. A key may be equal to a literal or a parameter, which a
// lookup takes as it is, and to any expression, list, array or sub-SELECT over the other relations, of which the keys are
// selected first:
//
//	FROM labels l JOIN customer c ON c.customer_id = l.customer_id WHERE l.day = $1
//	→ SELECT DISTINCT l.customer_id FROM labels l WHERE l.day = $1
//
// The conditions stay in the statement: the keys selected are enough, and may be more than it shows.

// keySource is where the keys of an entity come from.
type keySource struct {
	node  *pg_query.Node // a SELECT whose first columns are the keys
	typed *typedQuery    // it, analyzed; nil: it has DuckDB's meaning
	types []vector.Type  // of the keys selected
	order bool           // every row in its order is a key: a batch
	text  string         // for EXPLAIN
}

// keyCondition is one that holds for the rows of an entity.
type keyCondition struct {
	node  *pg_query.Node
	where bool // of WHERE
}

// bindEntities finds what binds the keys of the pending entities. One may be bound by the values of another, which is then
// looked up first.
func (p *fromPlanner) bindEntities(in *selectState) error {
	for last := false; len(in.pending) > 0; {
		waiting := in.pending
		in.pending = nil
		for i, r := range waiting {
			bound, err := p.bindEntity(in, r, append(slices.Clone(in.pending), waiting[i+1:]...), last)
			if err != nil {
				return err
			}
			if !bound {
				in.pending = append(in.pending, r)
				continue
			}
			p.q.steps = append(p.q.steps, planStep{entity: r})
			r.describe(p.b)
		}
		last = len(in.pending) == len(waiting)
	}
	return nil
}

// bindEntity binds one entity; false where that needs another one of those waiting. last: do without.
func (p *fromPlanner) bindEntity(in *selectState, r *entityRead, waiting []*entityRead, last bool) (bool, error) {
	if r.batch != nil {
		return true, p.bindBatch(r)
	}
	conditions := p.conditionsOn(in, r)
	terms, seen := make([]keyTerm, len(r.keys)), make([]bool, len(r.keys))
	var binding []*pg_query.Node
	for _, c := range conditions {
		k, term, err := p.s.bindKey(p.st.Text, r.entityRef, c.node)
		if err != nil {
			return false, err
		}
		if k >= 0 && !seen[k] {
			terms[k], seen[k] = term, true
			if c.where {
				binding = append(binding, c.node)
			}
		}
	}
	if !slices.Contains(seen, false) {
		r.terms = terms
		if !hasOuterJoin(in.sel) {
			dropConditions(in.sel, binding)
		}
		return true, nil
	}
	s := &sourceBuilder{p: p, in: in, r: r, keys: make([]*pg_query.Node, len(r.keys)), waiting: waiting}
	for _, c := range conditions {
		if err := s.add(c.node); err != nil {
			return false, err
		}
	}
	if err := s.addUsing(); err != nil {
		return false, err
	}
	if !slices.Contains(s.keys, nil) {
		if s.needs && !last {
			return false, nil
		}
		if !s.needs {
			return true, s.build(conditions)
		}
	}
	if r.view != nil {
		var lacks []string
		for i, k := range r.keys {
			if s.keys[i] == nil {
				lacks = append(lacks, k)
			}
		}
		return false, at(hint(fail(codeUnsupported, "feature view %q is read with its keys and request columns bound, but %s is not", r.view.Name, strings.Join(lacks, ", ")), "%s", r.usage()), p.st.Text, r.offset)
	}
	return true, nil
}

// bindBatch binds the arrays of features_for.
func (p *fromPlanner) bindBatch(r *entityRead) error {
	terms := make([]keyTerm, len(r.keys))
	if ok, err := p.s.batchTerms(p.st.Text, r.entityRef, terms); ok || err != nil {
		r.terms = terms
		return err
	}
	targets := make([]*pg_query.Node, len(r.batch))
	for i, n := range r.batch {
		targets[i] = keyTarget(i, n)
	}
	r.source = &keySource{node: selectNode(targets), order: true, text: "arrays"}
	return nil
}

func keyTarget(i int, n *pg_query.Node) *pg_query.Node {
	t := pg_query.MakeResTargetNodeWithVal(n, 0)
	t.GetResTarget().Name = fmt.Sprintf(keyColumn, i)
	return t
}

func (s *keySource) rowsSQL(b *binder) (string, error) {
	if s.typed != nil {
		return b.typedPiece(s.typed)
	}
	return b.duckSQL(clone(s.node))
}

// sql selects the keys as values of their types.
func (s *keySource) sql(b *binder, r *entityRef) (string, error) {
	rows, err := s.rowsSQL(b)
	if err != nil {
		return "", err
	}
	items, where := make([]string, len(r.keys)), []string{}
	for i, k := range r.entity.Keys {
		column := fmt.Sprintf(keyColumn, i)
		items[i] = fmt.Sprintf("CAST(%s AS %s)", column, k.Type.DuckDB())
		if i < len(s.types) {
			items[i] = exactSQL(column, s.types[i], k.Type)
		}
		if !r.takesNull(i) {
			where = append(where, column+" IS NOT NULL")
		}
	}
	if !s.order {
		return fmt.Sprintf("SELECT DISTINCT %s FROM (%s) WHERE %s", strings.Join(items, ", "), rows, strings.Join(where, " AND ")), nil
	}
	lengths := make([]string, len(r.keys))
	for i, k := range r.entity.Keys {
		items[i] = fmt.Sprintf("unnest(CAST(%s AS %s))", fmt.Sprintf(keyColumn, i), vector.ListOf(k.Type).DuckDB())
		lengths[i] = fmt.Sprintf("coalesce(len(%s), 0)", fmt.Sprintf(keyColumn, i))
	}
	check := ""
	if len(lengths) > 1 {
		check = fmt.Sprintf(" WHERE CASE WHEN len(list_distinct([%s])) = 1 THEN true ELSE error('the arrays of features_for have different lengths') END", strings.Join(lengths, ", "))
	}
	return fmt.Sprintf("SELECT %s FROM (%s)%s", strings.Join(items, ", "), rows, check), nil
}

// conditionsOn are the conditions that hold for every row of the SELECT that has a row of r.
func (p *fromPlanner) conditionsOn(in *selectState, r *entityRead) []keyCondition {
	var out []keyCondition
	for _, c := range conjuncts(in.sel.WhereClause) {
		out = append(out, keyCondition{c, true})
	}
	for _, n := range in.sel.FromClause {
		p.joinConditions(n, r.node, &out)
	}
	return out
}

// joinConditions adds the conditions of the joins in n that hold for rows with one of the relation, and reports whether n has it.
func (p *fromPlanner) joinConditions(n, relation *pg_query.Node, out *[]keyCondition) bool {
	if n == relation {
		return true
	}
	j := n.GetJoinExpr()
	if j == nil {
		return false
	}
	left, right := p.joinConditions(j.Larg, relation, out), p.joinConditions(j.Rarg, relation, out)
	if binds(j, left, right) && p.st.Clauses.AsofOf(j) == nil {
		for _, c := range conjuncts(j.Quals) {
			*out = append(*out, keyCondition{node: c})
		}
	}
	return left || right
}

// binds reports whether a join's condition holds for every row with one of the side that has the relation.
func binds(j *pg_query.JoinExpr, left, right bool) bool {
	switch j.Jointype {
	case pg_query.JoinType_JOIN_INNER:
		return left || right
	case pg_query.JoinType_JOIN_LEFT:
		return right
	case pg_query.JoinType_JOIN_RIGHT:
		return left
	}
	return false
}

func hasOuterJoin(sel *pg_query.SelectStmt) bool {
	outer := false
	for _, n := range sel.FromClause {
		parse.Walk(n, func(m proto.Message) bool {
			j, ok := m.(*pg_query.JoinExpr)
			outer = outer || ok && j.Jointype != pg_query.JoinType_JOIN_INNER
			_, inner := m.(*pg_query.SelectStmt)
			return !inner
		})
	}
	return outer
}

// dropConditions takes conjuncts out of WHERE: the lookup has fulfilled them, and DuckDB could not type their parameters.
func dropConditions(sel *pg_query.SelectStmt, gone []*pg_query.Node) {
	rest := slices.DeleteFunc(conjuncts(sel.WhereClause), func(c *pg_query.Node) bool { return slices.Contains(gone, c) })
	switch len(rest) {
	case 0:
		sel.WhereClause = nil
	case 1:
		sel.WhereClause = rest[0]
	default:
		sel.WhereClause = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: rest}}}
	}
}

// sourceBuilder makes the SELECT of an entity's keys.
type sourceBuilder struct {
	p       *fromPlanner
	in      *selectState
	r       *entityRead
	keys    []*pg_query.Node // expressions over from
	from    []leaf           // of the statement
	sets    []*pg_query.Node // lists and sub-SELECTs that keys are in
	waiting []*entityRead
	needs   bool // an entity that is waiting
}

// add takes a condition that binds a key.
func (s *sourceBuilder) add(c *pg_query.Node) error {
	if sub := c.GetSubLink(); sub != nil && sub.SubLinkType == pg_query.SubLinkType_ANY_SUBLINK && (len(sub.OperName) == 0 || words(sub.OperName) == "=") {
		return s.addSet(sub.Testexpr, sub.Subselect)
	}
	e := c.GetAExpr()
	if e == nil || operator(e) != "=" {
		return nil
	}
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		left, right := e.Lexpr, e.Rexpr
		if k := s.free(left); k < 0 {
			left, right = right, left
		}
		if k := s.free(left); k >= 0 {
			return s.bind(k, right)
		}
	case pg_query.A_Expr_Kind_AEXPR_IN:
		array := &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: e.Rexpr.GetList().GetItems()}}}
		return s.addArray(e.Lexpr, array)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY:
		return s.addArray(e.Lexpr, e.Rexpr)
	}
	return nil
}

// words is a qualified name's last word.
func words(name []*pg_query.Node) string { return name[len(name)-1].GetString_().GetSval() }

// free is the key that n is, unless one is bound already; else -1.
func (s *sourceBuilder) free(n *pg_query.Node) int {
	if n.GetColumnRef() == nil {
		return -1
	}
	if k := s.r.key(n.GetColumnRef()); k >= 0 && s.keys[k] == nil {
		return k
	}
	return -1
}

// bind binds key k to an expression, where it is one over other relations.
func (s *sourceBuilder) bind(k int, e *pg_query.Node) error {
	from, ok, err := s.relations(e)
	if err == nil && !ok {
		err = s.refuseOuter(k, e)
	}
	if !ok || err != nil {
		return err
	}
	s.keys[k] = e
	for _, l := range from {
		if !slices.Contains(s.from, l) {
			s.from = append(s.from, l)
		}
		s.needs = s.needs || slices.ContainsFunc(s.waiting, func(w *entityRead) bool { return w.node == l.node })
	}
	return nil
}

// addArray binds a key to the elements of an array.
func (s *sourceBuilder) addArray(key, array *pg_query.Node) error {
	k := s.free(key)
	if k < 0 {
		return nil
	}
	from, ok, err := s.relations(array)
	if err == nil && !ok {
		err = s.refuseOuter(k, array)
	}
	if !ok || err != nil {
		return err
	}
	unnest := &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: &pg_query.FuncCall{Funcname: []*pg_query.Node{pg_query.MakeStrNode("unnest")},
		Args: []*pg_query.Node{array}, Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}}}
	if len(from) > 0 {
		return s.bind(k, unnest)
	}
	s.addRows([]int{k}, selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(unnest, 0)}))
	return nil
}

// addSet binds one key, or several at once, to the rows of a sub-SELECT.
func (s *sourceBuilder) addSet(test, rows *pg_query.Node) error {
	items := []*pg_query.Node{test}
	if row := test.GetRowExpr(); row != nil {
		items = row.Args
	}
	var keys []int
	for _, n := range items {
		k := s.free(n)
		if k < 0 {
			return nil
		}
		keys = append(keys, k)
	}
	from, ok, err := s.relations(rows)
	if err == nil && !ok {
		err = s.refuseOuter(keys[0], rows)
	}
	if !ok || err != nil || len(from) > 0 {
		return err // one over this FROM's rows binds nothing by itself
	}
	s.addRows(keys, rows)
	return nil
}

func (s *sourceBuilder) addRows(keys []int, rows *pg_query.Node) {
	alias := fmt.Sprintf("__set_%d", len(s.sets))
	item := subselect(rows, alias)
	for i, k := range keys {
		name := fmt.Sprintf("__value_%d", i)
		item.GetRangeSubselect().Alias.Colnames = append(item.GetRangeSubselect().Alias.Colnames, pg_query.MakeStrNode(name))
		s.keys[k] = columnRef(alias, name, 0)
	}
	s.sets = append(s.sets, item)
}

// addUsing binds keys that joins USING and NATURAL joins equate with the other side's column.
func (s *sourceBuilder) addUsing() error {
	var visit func(n *pg_query.Node) (bool, error)
	visit = func(n *pg_query.Node) (bool, error) {
		if n == s.r.node {
			return true, nil
		}
		j := n.GetJoinExpr()
		if j == nil {
			return false, nil
		}
		left, err := visit(j.Larg)
		if err != nil {
			return false, err
		}
		right, err := visit(j.Rarg)
		if err != nil || !left && !right || !binds(j, left, right) || len(j.UsingClause) == 0 && !j.IsNatural {
			return left || right, err
		}
		other := j.Larg
		if left {
			other = j.Rarg
		}
		shown, err := s.p.shows(s.in, []*pg_query.Node{other}, other)
		if err != nil {
			return false, err
		}
		for _, c := range shown {
			k := slices.Index(s.r.keys, c.name)
			used := j.IsNatural || slices.ContainsFunc(j.UsingClause, func(u *pg_query.Node) bool { return u.GetString_().GetSval() == c.name })
			if k >= 0 && used && s.keys[k] == nil {
				if err := s.bind(k, c.expr); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	}
	for _, n := range s.in.sel.FromClause {
		if _, err := visit(n); err != nil {
			return err
		}
	}
	return nil
}

// refuseOuter refuses to bind key k to a value of an outer query's row, for which no keys can be looked up beforehand: without it the
// entity's keys with events would be read, and a key without any would have no row.
func (s *sourceBuilder) refuseOuter(k int, e *pg_query.Node) error {
	nested := s.p.st.Node.GetSelectStmt() != s.in.sel
	var err error
	within := map[string]bool{} // relations of sub-SELECTs inside e
	parse.Walk(e, func(m proto.Message) bool {
		if sel, inner := m.(*pg_query.SelectStmt); inner {
			for _, n := range sel.FromClause {
				for _, l := range leaves(n) {
					within[l.alias] = true
				}
			}
		}
		ref, is := m.(*pg_query.ColumnRef)
		if !is || !nested || err != nil {
			return err == nil
		}
		name := ref.Fields[len(ref.Fields)-1].GetString_().GetSval()
		if len(ref.Fields) > 1 {
			alias := ref.Fields[len(ref.Fields)-2].GetString_().GetSval()
			if within[alias] {
				return true
			}
			for _, n := range s.in.sel.FromClause {
				if slices.ContainsFunc(leaves(n), func(l leaf) bool { return l.alias == alias }) {
					return true
				}
			}
			name = alias + "." + name
		} else if _, own := s.r.outputs(s.p.b.cat).find(name); own || len(within) > 0 || slices.Contains(s.r.keys, name) {
			return true
		}
		err = at(hint(fail(codeUnsupported, "key %q of %s cannot be bound to %s, which is no column of this FROM", s.r.keys[k], s.r.what(), name),
			"Join it: FROM … LEFT JOIN %s %s ON %[2]s.%s = %s", s.r.entity.Name, s.r.alias, s.r.keys[k], name), s.p.st.Text, int(ref.Location))
		return false
	})
	return err
}

// relations are the relations of FROM whose columns are in e; ok is false where a column of the entity is, or one of none.
func (s *sourceBuilder) relations(e *pg_query.Node) (out []leaf, ok bool, err error) {
	var all []leaf
	for _, n := range s.in.sel.FromClause {
		all = append(all, leaves(n)...)
	}
	ok = true
	within := map[string]bool{} // relations of sub-SELECTs inside e
	parse.Walk(e, func(m proto.Message) bool {
		if sel, is := m.(*pg_query.SelectStmt); is {
			for _, n := range sel.FromClause {
				for _, l := range leaves(n) {
					within[l.alias] = true
				}
			}
		}
		return true
	})
	parse.Walk(e, func(m proto.Message) bool {
		ref, is := m.(*pg_query.ColumnRef)
		if !is || !ok || err != nil {
			return ok && err == nil
		}
		name := ref.Fields[len(ref.Fields)-1].GetString_().GetSval()
		if len(ref.Fields) > 1 {
			alias := ref.Fields[len(ref.Fields)-2].GetString_().GetSval()
			if within[alias] {
				return true
			}
			i := slices.IndexFunc(all, func(l leaf) bool { return l.alias == alias })
			if ok = i >= 0 && all[i].node != s.r.node; ok {
				out = append(out, all[i])
			}
			return ok
		}
		for _, l := range all {
			if l.node == s.r.node {
				continue
			}
			var has bool
			if has, err = s.has(l, name); has || err != nil {
				out = append(out, l)
				return err == nil
			}
		}
		ok = len(within) > 0 // of a sub-SELECT's own relation
		return ok
	})
	return out, ok, err
}

// has reports whether a relation of FROM has a column.
func (s *sourceBuilder) has(l leaf, name string) (bool, error) {
	cols, err := s.p.columnsOf(s.in.scope, []*pg_query.Node{l.node}, l.alias)
	if err != nil {
		return false, err
	}
	for _, c := range cols {
		if c.Name == name {
			return true, nil
		}
	}
	return false, nil
}

// build makes the source: the keys over the relations that they need, with the conditions on these relations alone.
func (s *sourceBuilder) build(conditions []keyCondition) error {
	targets := make([]*pg_query.Node, len(s.keys))
	texts := make([]string, len(s.keys))
	for i, e := range s.keys {
		targets[i] = keyTarget(i, e)
		text, err := parse.Deparse(e)
		if err != nil {
			return asError(err)
		}
		texts[i] = text
	}
	from := slices.Clone(s.sets)
	for _, l := range s.from {
		from = append(from, l.node)
	}
	var where []*pg_query.Node
	for _, c := range conditions {
		rel, ok, err := s.relations(c.node)
		if err != nil {
			return err
		}
		if ok && len(rel) > 0 && !slices.ContainsFunc(rel, func(l leaf) bool { return !slices.Contains(s.from, l) }) {
			where = append(where, c.node)
		}
	}
	sel := selectNode(targets, from...).GetSelectStmt()
	if len(where) > 0 {
		sel.WhereClause = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: where}}}
		if len(where) == 1 {
			sel.WhereClause = where[0]
		}
	}
	s.r.source = &keySource{node: s.in.scope.wrap(sel), text: strings.Join(texts, ", ")}
	return s.checkTypes()
}

// checkTypes refuses keys of other types than the entity's.
func (s *sourceBuilder) checkTypes() error {
	source := s.r.source
	var err error
	if source.typed, err = s.p.b.piece(source.node); err != nil {
		return err
	}
	sql, err := source.rowsSQL(s.p.b)
	if err != nil {
		return err
	}
	params, cols, err := s.p.s.described(s.p.b.ctx, sql)
	if err != nil {
		return err
	}
	s.p.b.noteParams(params)
	source.types = typesOf(cols)
	for i, k := range s.r.entity.Keys {
		if i >= len(cols) {
			break
		}
		switch t := cols[i].Type; {
		case t.Equal(k.Type), widens(t, k.Type), t.Kind == vector.Null, t.Kind == vector.Invalid, s.r.takesNull(i) && requestFits(t, k.Type):
		default:
			place := s.r.offset
			if l := nodeLocation(s.keys[i]); l >= 0 {
				place = l
			}
			return at(hint(fail(codeTypeMismatch, "key %q of %s is %s, but is bound to %s", s.r.keys[i], s.r.alias, k.Type, t), "Cast it: … = CAST(… AS %s)", k.Type), s.p.st.Text, place)
		}
	}
	return nil
}
