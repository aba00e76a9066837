package engine

import (
	"encoding/binary"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// lookupPlan is SELECT columns FROM entity WHERE every key is bound: answered without DuckDB.
type lookupPlan struct {
	*entityRef
	terms   []keyTerm // one for each key of the entity, in its order
	params  []vector.Type
	columns []session.Column
	items   []lookupItem
	read    *readPlan
}

// keyTerm binds a key to constants, a parameter, or a parameter that is an array.
type keyTerm struct {
	param  int            // n of $n, 0: constants
	list   bool           // the parameter is an array: one row for each distinct element
	consts *vector.Vector // of the key's type; NULLs give no row
}

// lookupItem is an output column: a key of the entity, or an output of the read plan.
type lookupItem struct{ key, output int } // the other is -1

// planLookup recognises a lookup; nil, nil where sel is something else.
func (s *Session) planLookup(cat *schema.Catalog, st *parse.SQL, sel *pg_query.SelectStmt, oids []vector.Type) (*lookupPlan, error) {
	from := onlyRelation(sel)
	if from == nil {
		return nil, nil
	}
	ref, err := s.entityIn(cat, st, from)
	if ref == nil || err != nil {
		return nil, err
	}
	ent, alias := ref.entity, ref.alias
	p := &lookupPlan{entityRef: ref, terms: make([]keyTerm, len(ent.Keys))}
	if ref.batch != nil {
		if sel.WhereClause != nil {
			return nil, nil
		}
		if ok, err := s.batchTerms(st.Text, ref, p.terms); !ok || err != nil {
			return nil, err
		}
	} else if ok, err := p.bindKeys(s, st.Text, sel.WhereClause); !ok || err != nil {
		return nil, err
	}
	outs := ref.outputs(cat)
	var wanted []wantedOutput
	add := func(name, as string) bool {
		if i := slices.Index(ref.keys, name); i >= 0 {
			p.items = append(p.items, lookupItem{key: i, output: -1})
			p.columns = append(p.columns, session.Column{Name: as, Type: ent.Keys[i].Type})
			return true
		}
		o, ok := outs.find(name)
		if !ok {
			return false
		}
		p.items = append(p.items, lookupItem{key: -1, output: len(wanted)})
		p.columns = append(p.columns, session.Column{Name: as, Type: o.output.Type})
		wanted = append(wanted, o)
		return true
	}
	for _, t := range sel.TargetList {
		rt := t.GetResTarget()
		column := rt.GetVal().GetColumnRef()
		if column == nil {
			return nil, nil
		}
		name, star, ok := columnOf(column, alias)
		switch {
		case !ok:
			return nil, nil
		case star:
			for _, k := range ref.keys {
				add(k, k)
			}
			for _, o := range outs {
				if !o.output.Window.Following {
					add(o.output.Name, o.output.Name)
				}
			}
		default:
			as := name
			if rt.Name != "" {
				as = rt.Name
			}
			if !add(name, as) {
				return nil, at(noEntityColumn(ent, outs, name), st.Text, int(column.Location))
			}
		}
	}
	if len(p.items) == 0 {
		return nil, nil
	}
	for _, w := range wanted {
		if w.output.Window.Following {
			return nil, labelOnline(ent, w.output.Name)
		}
	}
	p.read = newReadPlan(cat, wanted)
	p.params = p.paramTypes()
	return p, nil
}

func labelOnline(ent *schema.Entity, name string) *session.Error {
	return hint(fail(codeUnsupported, "%q looks forward: a label is read by ASOF JOIN only", name), "SELECT l.*, f.%s FROM labels l ASOF JOIN %s f ON … AND l.ts > f.ts", name, ent.Name)
}

// onlyRelation is the one FROM item of a SELECT that does nothing but choose columns and rows of it, or nil.
func onlyRelation(sel *pg_query.SelectStmt) *pg_query.Node {
	if len(sel.FromClause) != 1 || sel.Op != pg_query.SetOperation_SETOP_NONE || len(sel.DistinctClause) > 0 ||
		len(sel.GroupClause) > 0 || sel.HavingClause != nil || len(sel.WindowClause) > 0 || len(sel.SortClause) > 0 || sel.LimitCount != nil ||
		sel.LimitOffset != nil || len(sel.LockingClause) > 0 || sel.WithClause != nil || sel.IntoClause != nil {
		return nil
	}
	return sel.FromClause[0]
}

// columnOf is the column that ref names in a relation known as alias; star: all of them.
func columnOf(ref *pg_query.ColumnRef, alias string) (name string, star, ok bool) {
	f := ref.Fields
	if len(f) == 2 {
		if f[0].GetString_().GetSval() != alias {
			return "", false, false
		}
		f = f[1:]
	}
	if len(f) != 1 {
		return "", false, false
	}
	if f[0].GetAStar() != nil {
		return "", true, true
	}
	return f[0].GetString_().GetSval(), false, true
}

// bindKeys takes the keys out of a condition; ok is false where the condition is more than a conjunction of key equalities.
func (p *lookupPlan) bindKeys(s *Session, sql string, where *pg_query.Node) (ok bool, err error) {
	seen := make([]bool, len(p.terms))
	for _, c := range conjuncts(where) {
		k, term, err := s.bindKey(sql, p.entityRef, c)
		if k < 0 || seen[k] || err != nil {
			return false, err
		}
		seen[k], p.terms[k] = true, term
	}
	return !slices.Contains(seen, false), nil
}

// bindKey is the key that a term of a condition binds to constants or a parameter, -1 for a term that binds none.
func (s *Session) bindKey(sql string, r *entityRef, c *pg_query.Node) (key int, term keyTerm, err error) {
	e := c.GetAExpr()
	if e == nil || operator(e) != "=" {
		return -1, term, nil
	}
	left, right := e.Lexpr, e.Rexpr
	if left.GetColumnRef() == nil {
		left, right = right, left
	}
	ref := left.GetColumnRef()
	if ref == nil {
		return -1, term, nil
	}
	if key = r.key(ref); key < 0 {
		return -1, term, nil
	}
	t := r.entity.Keys[key].Type
	if err := keyOperand(t, right); err != nil {
		return -1, term, at(err, sql, int(e.Location))
	}
	ok := false
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		term, ok, err = s.keyTermOf(sql, right, t)
	case pg_query.A_Expr_Kind_AEXPR_IN:
		term, ok, err = s.keyListOf(sql, right.GetList().GetItems(), t)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY:
		term, ok, err = s.arrayTerm(sql, right, t)
	}
	if !ok || err != nil {
		return -1, term, err
	}
	return key, term, nil
}

// keyOperand refuses numbers and truth values as values of keys of other types: PostgreSQL has no such operators.
func keyOperand(key vector.Type, n *pg_query.Node) *session.Error {
	items := []*pg_query.Node{n}
	if l := n.GetList(); l != nil {
		items = l.Items
	}
	number := slices.Contains([]vector.Kind{vector.Int16, vector.Int32, vector.Int64, vector.Float32, vector.Float64, vector.Decimal}, key.Kind)
	for _, it := range items {
		c, word := it.GetAConst(), ""
		switch {
		case c.GetIval() != nil && !number:
			word = "integer"
		case c.GetFval() != nil && !number:
			word = "numeric"
		case c.GetBoolval() != nil && key.Kind != vector.Bool:
			word = "boolean"
		default:
			continue
		}
		return hint(fail("42883", "operator does not exist: %s = %s", key, word), "No operator matches the given name and argument types. You might need to add explicit type casts.")
	}
	return nil
}

// conjuncts are the terms of a conjunction.
func conjuncts(n *pg_query.Node) []*pg_query.Node {
	if n == nil {
		return nil
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg_query.BoolExprType_AND_EXPR {
		var out []*pg_query.Node
		for _, a := range b.Args {
			out = append(out, conjuncts(a)...)
		}
		return out
	}
	return []*pg_query.Node{n}
}

func operator(e *pg_query.A_Expr) string {
	if n := len(e.Name); n > 0 {
		return e.Name[n-1].GetString_().GetSval()
	}
	return ""
}

// uncast is the operand of casts.
func uncast(n *pg_query.Node) *pg_query.Node {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	return n
}

func (s *Session) keyTermOf(sql string, n *pg_query.Node, t vector.Type) (keyTerm, bool, error) {
	if r := uncast(n).GetParamRef(); r != nil {
		return keyTerm{param: int(r.Number)}, true, nil
	}
	return s.keyListOf(sql, []*pg_query.Node{n}, t)
}

func (s *Session) keyListOf(sql string, items []*pg_query.Node, t vector.Type) (keyTerm, bool, error) {
	k := keyTerm{consts: vector.New(t, len(items))}
	for _, n := range items {
		ok, err := s.appendConstant(k.consts, uncast(n))
		if err != nil {
			return k, false, at(asError(err), sql, nodeLocation(n))
		}
		if !ok {
			return k, false, nil
		}
		if text, null, _ := constantText(uncast(n)); t.Kind == vector.Decimal && !null {
			if err := exactDecimal(k.consts, text); err != nil {
				return k, false, at(asError(err), sql, nodeLocation(n))
			}
		}
	}
	return k, true, nil
}

func (s *Session) keyArrayOf(sql string, c *pg_query.A_Const, t vector.Type) (keyTerm, bool, error) {
	v, err := s.parseText(vector.ListOf(t), c.GetSval().Sval)
	if err != nil {
		return keyTerm{}, false, at(asError(err), sql, int(c.Location))
	}
	return keyTerm{consts: v.Child[0]}, true, nil
}

func (p *lookupPlan) paramTypes() []vector.Type {
	var out []vector.Type
	for i, k := range p.terms {
		for k.param > len(out) {
			out = append(out, vector.T(vector.Text))
		}
		if k.param > 0 {
			t := p.entity.Keys[i].Type
			if k.list {
				t = vector.ListOf(t)
			}
			out[k.param-1] = exactParam(t)
		}
	}
	return p.timeParams(out)
}

// appendBound appends value i of v as keys are encoded. A request column may also be a list or a map, which a key cannot.
func appendBound(dst []byte, v *vector.Vector, i int) []byte {
	if v.IsNull(i) || v.Type.Buffer() != vector.BufNested {
		return vector.AppendKey(dst, v, i)
	}
	dst = binary.BigEndian.AppendUint64(append(dst, 1), uint64(v.Off[i+1]-v.Off[i]))
	for j := v.Off[i]; j < v.Off[i+1]; j++ {
		for _, c := range v.Child {
			dst = appendBound(dst, c, int(j))
		}
	}
	return dst
}

// batchTerms reads the arrays of features_for as terms; ok is false where one is neither a parameter nor made of literals.
func (s *Session) batchTerms(sql string, r *entityRef, terms []keyTerm) (ok bool, err error) {
	for i, n := range r.batch {
		if terms[i], ok, err = s.arrayTerm(sql, n, r.entity.Keys[i].Type); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// arrayTerm is an array of keys that is a parameter or made of literals.
func (s *Session) arrayTerm(sql string, n *pg_query.Node, t vector.Type) (keyTerm, bool, error) {
	n = uncast(n)
	if r := n.GetParamRef(); r != nil {
		return keyTerm{param: int(r.Number), list: true}, true, nil
	} else if a := n.GetAArrayExpr(); a != nil {
		return s.keyListOf(sql, a.Elements, t)
	} else if c := n.GetAConst(); c.GetSval() != nil {
		return s.keyArrayOf(sql, c, t)
	}
	return keyTerm{}, false, nil
}

// keysOf are the keys that the arguments bind: their values by key column, and their encodings. They are the distinct ones
// without NULL, or those of a batch as they come.
func (p *lookupPlan) keysOf(args []*vector.Vector, out *vector.Chunk, enc *vector.Vector) error {
	lists := make([]*vector.Vector, len(p.terms))
	for i, k := range p.terms {
		switch {
		case k.param == 0:
			lists[i] = k.consts
		case !k.list:
			var err error
			if lists[i], err = exactArg(args[k.param-1], p.entity.Keys[i].Type); err != nil {
				return err
			}
		case args[k.param-1].IsNull(0):
			lists[i] = vector.New(p.entity.Keys[i].Type, 0)
		default:
			lists[i] = args[k.param-1].Child[0]
		}
	}
	if p.batch != nil {
		return p.batchOf(lists, out, enc)
	}
	p.product(lists, out, enc)
	return nil
}

// batchOf are the keys at each place of the lists. A key with a NULL is encoded as none that has events.
func (p *lookupPlan) batchOf(lists []*vector.Vector, out *vector.Chunk, enc *vector.Vector) error {
	for i, l := range lists {
		if l.N != lists[0].N {
			return fail(codeInvalidParameter, "the arrays of features_for have different lengths: %d of %q, %d of %q", lists[0].N, p.keys[0], l.N, p.keys[i])
		}
	}
	var scratch []byte
	for row := range lists[0].N {
		scratch = scratch[:0]
		for i, l := range lists {
			out.Cols[i].AppendFrom(l, row)
			scratch = appendBound(scratch, l, row)
		}
		out.N++
		enc.AppendBytes(scratch)
	}
	return nil
}

// product are the distinct combinations of the lists' values without NULL.
func (p *lookupPlan) product(lists []*vector.Vector, out *vector.Chunk, enc *vector.Vector) {
	var seen map[string]bool
	var scratch []byte
	pos := make([]int, len(lists))
	for {
		null := false
		scratch = scratch[:0]
		for i, l := range lists {
			if pos[i] >= l.N {
				return
			}
			null = null || l.IsNull(pos[i]) && !p.takesNull(i)
			scratch = appendBound(scratch, l, pos[i])
		}
		if !null && !seen[string(scratch)] {
			for i, l := range lists {
				out.Cols[i].AppendFrom(l, pos[i])
			}
			out.N++
			enc.AppendBytes(scratch)
			if single := len(lists) == 1 && lists[0].N == 1; !single {
				if seen == nil {
					seen = map[string]bool{}
				}
				seen[string(scratch)] = true
			}
		}
		i := len(pos) - 1 // the next combination: the last key moves fastest
		for ; i >= 0; i-- {
			if pos[i]++; pos[i] < lists[i].N {
				break
			}
			if i > 0 {
				pos[i] = 0
			}
		}
		if i < 0 {
			return
		}
	}
}
