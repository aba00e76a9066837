package analyze

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Target is a column that values are assigned to. The zero Target is none.
type Target struct {
	Name string      // in errors
	Type OID         // 0: the analyzer does not know it, and values are cast to Held as DuckDB casts them
	Mod  int32       // −1: none
	Held vector.Type // what holds the column's values in DuckDB
	// Default: errors speak of a default's expression.
	Default bool
}

func (t *Target) none() bool { return t.Held.Kind == vector.Invalid }

// Assign analyzes a SELECT whose outputs are assigned to columns, by place: each gets the column's type and modifier as PostgreSQL's
// assignment casts do, and the form that the column holds it in. The statement that is returned is n, or a SELECT around it.
// Errors: those of Query; 42804 where there is no such cast.
func Assign(n *pg_query.Node, env *Env, targets []Target) (*pg_query.Node, *Result, error) {
	a := newAnalyzer(env)
	b, err := a.selectBody(n.GetSelectStmt(), nil)
	if err != nil {
		return nil, nil, err
	}
	if b == nil {
		return n, a.result(nil), nil
	}
	for i := range b.outputs {
		if i < len(targets) && !targets[i].none() && b.outputs[i].unknown {
			if err := b.assign(i, &targets[i]); err != nil {
				return nil, nil, err
			}
		}
		if err := b.settle(a, i); err != nil {
			return nil, nil, err
		}
	}
	sel := n.GetSelectStmt()
	if len(sel.ValuesLists) == 0 && sel.Op == pg_query.SetOperation_SETOP_NONE && len(sel.DistinctClause) == 0 && len(sel.SortClause) == 0 && len(sel.GroupClause) == 0 && sel.LimitCount == nil && sel.LimitOffset == nil {
		for i := range b.outputs {
			if i < len(targets) && !targets[i].none() {
				if err := b.assign(i, &targets[i]); err != nil {
					return nil, nil, err
				}
			}
		}
		return n, a.result(b.outputs), nil
	}
	// What orders or groups the rows is not changed: the casts stand around it.
	outputs := slices.Clone(b.outputs)
	for i := range outputs {
		if i < len(targets) && !targets[i].none() {
			v, err := a.assign(b.outputs[i].value(columnNode("__s", "__c"+itoa(i+1))), &targets[i])
			if err != nil {
				return nil, nil, err
			}
			b.outputs[i].out = v.n
			outputs[i] = assignedColumn(outputs[i], v)
		}
	}
	n = wrapQuery(n, b.outputs)
	for i, c := range outputs {
		n.GetSelectStmt().TargetList[i].GetResTarget().Name = c.name
	}
	return n, a.result(outputs), nil
}

// Keys analyzes a SELECT whose outputs are only compared: each becomes what is equal, and sorts, as PostgreSQL's values do.
func Keys(n *pg_query.Node, env *Env) (*Result, error) {
	a := newAnalyzer(env)
	b, err := a.selectBody(n.GetSelectStmt(), nil)
	if err != nil || b == nil {
		return a.result(nil), err
	}
	for i := range b.outputs {
		if err := b.settle(a, i); err != nil {
			return nil, err
		}
		t := n.GetSelectStmt().TargetList[i].GetResTarget()
		t.Val = key(b.outputs[i].value(t.Val))
	}
	return a.result(b.outputs), nil
}

func assignedColumn(c column, v value) column {
	c.t, c.mod, c.dec, c.prec, c.scale, c.unknown, c.out = v.t, v.mod, v.dec, v.prec, v.scale, v.unknown(), nil
	return c
}

// assign is a value as a column holds it.
func (a *analyzer) assign(v value, t *Target) (value, error) {
	if v.t == 0 || t.Type == 0 || types[t.Type] == nil {
		if v.lit != nil {
			v.n = str(*v.lit)
		}
		a.untyped = true
		out := untypedValue(castNode(v.n, heldName(t.Held)))
		out.at = v.at
		return out, nil
	}
	if v.t == oidRecord || !v.unknown() && !canCoerce(v.t, t.Type, assignment) {
		what, at := "expression", v.at
		if t.Default { // of which PostgreSQL says no place
			what, at = "default expression", 0
		}
		e := fail("42804", at, "column %q is of type %s but %s is of type %s", t.Name, typeName(t.Type), what, typeName(v.t))
		e.Hint = "You will need to rewrite or cast the expression."
		return v, e
	}
	mod := t.Mod
	if t.Type == oidNumeric && mod < 0 && t.Held.Kind == vector.Decimal { // an event table's numeric without a precision
		mod = numericMod(int(t.Held.Precision), int(t.Held.Scale))
	}
	out, err := a.assignType(v, t.Type, mod)
	if err != nil || out.t == 0 {
		return out, err
	}
	out.at = v.at
	return a.held(out, t), nil
}

func (a *analyzer) assignType(v value, t OID, mod int32) (value, error) {
	if v.lit == nil || t == oidInterval {
		return a.coerce(v, t, mod, assignment)
	}
	if t == oidNumeric && mod >= 0 {
		if _, err := a.literal(*v.lit, t, -1, v.at); err != nil {
			return v, err
		}
		return a.literal(*v.lit, t, mod, 0) // PostgreSQL says no place of a value that does not fit
	}
	out, err := a.coerce(v, t, -1, assignment)
	if err != nil || out.t == 0 || mod < 0 {
		return out, err
	}
	return a.modify(out, mod, assignment)
}

// held gives a value of a column's type the form in which the column holds it.
func (a *analyzer) held(v value, t *Target) value {
	if hasDimensions(v.t) && t.Held.Kind == vector.List {
		v = a.listed(v, "0A000", fmt.Sprintf("column %q holds arrays of one dimension that count from 1", t.Name))
	}
	switch {
	case v.t == oidNumeric && t.Held.Kind == vector.Text:
		return textual(v)
	case v.t == oidNumeric && t.Held.Kind == vector.Decimal:
		if p, s := int(t.Held.Precision), int(t.Held.Scale); !v.dec || v.prec != p || v.scale != s {
			v.n, v.dec, v.prec, v.scale = castTo(v.n, "numeric", p, s), true, p, s
		}
	case t.Held.Kind == vector.JSON && v.t != oidJSON, t.Held.Kind == vector.Map:
		v.n = castNode(v.n, heldName(t.Held))
	case t.Held.Kind == vector.List && t.Held.Elem[0].Kind == vector.Decimal, t.Held.Kind == vector.List && t.Held.Elem[0].Kind == vector.JSON:
		v.n = castNode(v.n, heldName(t.Held))
	}
	return v
}

// heldName is the name of a type that DuckDB holds values in.
func heldName(t vector.Type) *pg_query.TypeName {
	switch t.Kind {
	case vector.List:
		n := heldName(t.Elem[0])
		n.ArrayBounds = append(n.ArrayBounds, pg_query.MakeIntNode(-1))
		return n
	case vector.Decimal:
		return duckTypeName("numeric", int(t.Precision), int(t.Scale))
	case vector.Map:
		return duckTypeName("json")
	}
	if o, ok := kindOIDs[t.Kind]; ok {
		return duckTypeName(shortName(o))
	}
	return duckTypeName("text")
}

// assignedValues analyzes VALUES of an INSERT, each value of which is assigned to its column by itself.
func (a *analyzer) assignedValues(sel *pg_query.SelectStmt, sc *scope) (*body, error) {
	b := &body{}
	for r, l := range sel.ValuesLists {
		items := l.GetList().GetItems()
		old := a.clause
		a.clause = "VALUES"
		vs, err := a.exprs(items, sc)
		a.clause = old
		if err != nil {
			return nil, err
		}
		for i, v := range vs {
			if i >= len(a.env.SourceTargets) {
				return nil, fail("42601", v.at, "INSERT has more expressions than target columns")
			}
			if vs[i], err = a.assign(v, &a.env.SourceTargets[i]); err != nil {
				return nil, err
			}
			items[i] = vs[i].n
			if r == 0 {
				b.outputs = append(b.outputs, assignedColumn(column{name: "column" + itoa(i+1)}, vs[i]))
			}
		}
	}
	b.set = func(int, OID, value) error { return nil }
	b.assign = func(int, *Target) error { return nil }
	return b, nil
}

// assignedSource assigns the outputs of an INSERT's source that are literals and parameters without a type; the others are
// assigned where they are read.
func (a *analyzer) assignedSource(b *body) error {
	for i := range b.outputs {
		if b.outputs[i].unknown && i < len(a.env.SourceTargets) && b.assign != nil && !a.env.SourceTargets[i].none() {
			if err := b.assign(i, &a.env.SourceTargets[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Refers reports whether a column of type from can refer to a key of type key: there is an operator between them, or from becomes key
// by itself.
func Refers(from, key OID) bool {
	switch {
	case from == 0 || key == 0 || from == key, isInt(from) && isInt(key), isFloat(from) && isFloat(key), isMoment(from) && isMoment(key), isString(from) && isString(key):
		return true
	}
	return canCoerce(from, key, implicit)
}
