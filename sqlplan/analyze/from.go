package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// fromItem analyzes an item of FROM: its relations become visible in sc, and what * shows of it is returned.
func (a *analyzer) fromItem(n *pg_query.Node, sc *scope) ([]shown, error) {
	switch x := n.Node.(type) {
	case *pg_query.Node_RangeVar:
		return a.rangeVar(n, x.RangeVar, sc)
	case *pg_query.Node_RangeSubselect:
		return a.rangeSubselect(n, x.RangeSubselect, sc)
	case *pg_query.Node_RangeFunction:
		return a.rangeFunction(n, x.RangeFunction, sc)
	case *pg_query.Node_JoinExpr:
		return a.join(x.JoinExpr, sc)
	case *pg_query.Node_RangeTableSample:
		for i, e := range x.RangeTableSample.Args {
			v, err := a.expr(e, sc)
			if err != nil {
				return nil, err
			}
			if v.t == oidNumeric || isInt(v.t) {
				v, err = a.coerce(v, oidFloat8, -1, implicit)
				if err != nil {
					return nil, err
				}
			}
			_ = i // DuckDB takes constants only, as they were written
		}
		if len(x.RangeTableSample.Args) == 1 {
			if p, ok := intConst(x.RangeTableSample.Args[0]); ok && p == 100 { // all rows
				n.Node = x.RangeTableSample.Relation.Node
				return a.fromItem(n, sc)
			}
		}
		return a.fromItem(x.RangeTableSample.Relation, sc)
	}
	a.untyped = true
	sc.rels = append(sc.rels, &relation{opaque: true})
	return nil, nil
}

func (a *analyzer) addRelation(r *relation, sc *scope, at int32) ([]shown, error) {
	if r.alias != "" {
		for _, o := range sc.rels {
			if o.alias == r.alias && !o.hidden {
				return nil, fail("42712", -1, "table name %q specified more than once", r.alias)
			}
		}
	}
	sc.rels = append(sc.rels, r)
	var out []shown
	for _, c := range r.cols {
		out = append(out, shown{c, columnNode(r.alias, c.sql)})
	}
	return out, nil
}

// rename applies the column names of an alias.
func rename(cols []column, alias *pg_query.Alias, sql bool) ([]column, error) {
	if alias == nil {
		return cols, nil
	}
	if len(alias.Colnames) > len(cols) {
		return nil, fail("42P10", -1, "table %q has %d columns available but %d columns specified", alias.Aliasname, len(cols), len(alias.Colnames))
	}
	out := slices.Clone(cols)
	for i, c := range alias.Colnames {
		out[i].name = c.GetString_().GetSval()
		if sql {
			out[i].sql = out[i].name
		}
	}
	return out, nil
}

func (a *analyzer) rangeVar(n *pg_query.Node, rv *pg_query.RangeVar, sc *scope) ([]shown, error) {
	name := rv.Relname
	if rv.Alias != nil {
		name = rv.Alias.Aliasname
	}
	if rv.Schemaname == "" {
		if c := sc.cte(rv.Relname); c != nil {
			if c.opaque {
				a.untyped = true
				sc.rels = append(sc.rels, &relation{alias: name, opaque: true})
				return nil, nil
			}
			cols, err := rename(c.cols, rv.Alias, true)
			if err != nil {
				return nil, err
			}
			return a.addRelation(&relation{alias: name, cols: cols}, sc, rv.Location)
		}
	}
	cols, known, err := a.env.Relation(rv)
	if err != nil {
		return nil, err
	}
	if !known {
		a.untyped, a.lenient = true, true
		sc.rels = append(sc.rels, &relation{alias: name, opaque: true})
		return nil, nil
	}
	var own []column
	for _, c := range cols {
		t, mod, dec, p, s := columnValue(c.Type)
		own = append(own, column{name: c.Name, t: t, mod: mod, dec: dec, prec: p, scale: s, sql: c.Name, origin: c.Origin})
	}
	if own, err = rename(own, rv.Alias, true); err != nil {
		return nil, err
	}
	if err := a.readAs(n, rv, name, cols, own); err != nil {
		return nil, err
	}
	return a.addRelation(&relation{alias: name, real: rv.Relname, cols: own}, sc, rv.Location)
}

// lateralScope is what a subquery in FROM sees.
func lateralScope(sc *scope, lateral bool) *scope {
	if lateral {
		return sc
	}
	return &scope{outer: sc.outer, ctes: sc.ctes, query: sc.query}
}

func (a *analyzer) rangeSubselect(n *pg_query.Node, r *pg_query.RangeSubselect, sc *scope) ([]shown, error) {
	cols, err := a.query(r.Subquery, &scope{outer: lateralScope(sc, r.Lateral)}, true)
	if err != nil {
		return nil, err
	}
	alias := ""
	if r.Alias != nil {
		alias = parse.NameOfAlias(r.Alias.Aliasname)
	}
	if cols == nil {
		a.untyped = true
		sc.rels = append(sc.rels, &relation{alias: alias, opaque: true})
		return nil, nil
	}
	if alias == "" {
		e := fail("42601", -1, "subquery in FROM must have an alias")
		e.Hint = "For example, FROM (SELECT ...) [AS] foo."
		return nil, e
	}
	named, err := rename(cols, r.Alias, false)
	if err != nil {
		return nil, err
	}
	if view := viewOf(r); view != 0 {
		for i := range named {
			named[i].origin = Origin{view, int16(i + 1)}
		}
	}
	// Each column gets a name of its own in DuckDB's SQL.
	seen := map[string]bool{}
	r.Alias.Colnames = nil
	for i := range named {
		named[i].sql = unique(named[i].name, seen)
		r.Alias.Colnames = append(r.Alias.Colnames, pg_query.MakeStrNode(named[i].sql))
	}
	return a.addRelation(&relation{alias: alias, cols: named}, sc, location(n))
}

// unique is a name that is not seen yet.
func unique(name string, seen map[string]bool) string {
	out := name
	if name == "" {
		out = "__column"
	}
	for i := 1; seen[lowerASCII(out)]; i++ {
		out = name + "__" + itoa(i)
	}
	seen[lowerASCII(out)] = true
	return out
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

func (a *analyzer) join(j *pg_query.JoinExpr, sc *scope) ([]shown, error) {
	inner := &scope{outer: sc.outer, ctes: sc.ctes, query: sc.query, rels: slices.Clone(sc.rels), merged: slices.Clone(sc.merged)}
	before, beforeMerged := len(inner.rels), len(inner.merged)
	left, err := a.fromItem(j.Larg, inner)
	if err != nil {
		return nil, err
	}
	mid := len(inner.rels)
	right, err := a.fromItem(j.Rarg, inner)
	if err != nil {
		return nil, err
	}
	lrels, rrels := inner.rels[before:mid], inner.rels[mid:]
	opaque := slices.ContainsFunc(inner.rels[before:], func(r *relation) bool { return r.opaque })
	on := &scope{outer: sc.outer, ctes: sc.ctes, query: sc.query, rels: inner.rels[before:], merged: inner.merged[beforeMerged:]}
	var out []shown
	if opaque {
		if len(j.UsingClause) > 0 || j.IsNatural { // DuckDB finds them
			for _, r := range inner.rels[before:] {
				r.opaque = true
			}
		}
	} else {
		var using []string
		for _, u := range j.UsingClause {
			using = append(using, u.GetString_().GetSval())
		}
		if j.IsNatural {
			for _, l := range left {
				if slices.ContainsFunc(right, func(r shown) bool { return r.name == l.name }) {
					using = append(using, l.name)
				}
			}
		}
		find := func(list []shown, name, side string) (shown, error) {
			var found *shown
			for i := range list {
				if list[i].name == name {
					if found != nil {
						return shown{}, fail("42702", -1, "common column name %q appears more than once in %s table", name, side)
					}
					found = &list[i]
				}
			}
			if found == nil {
				return shown{}, fail("42703", -1, "column %q specified in USING clause does not exist in %s table", name, side)
			}
			return *found, nil
		}
		var quals []*pg_query.Node
		for _, name := range using {
			l, err := find(left, name, "left")
			if err != nil {
				return nil, err
			}
			r, err := find(right, name, "right")
			if err != nil {
				return nil, err
			}
			if l.t == 0 || r.t == 0 {
				return nil, fail("0A000", -1, "USING %s is not supported: the type is not known", name)
			}
			lv, rv := l.column.value(copyOf(l.n)), r.column.value(copyOf(r.n))
			eq, err := a.binary("=", lv, rv, -1)
			if err != nil {
				return nil, err
			}
			quals = append(quals, eq.n)
			m := merged{column: l.column}
			vs, same, err := a.unify([]value{l.column.value(copyOf(l.n)), r.column.value(copyOf(r.n))}, "JOIN/USING")
			if err != nil {
				return nil, err
			}
			m.t, m.mod, m.dec, m.prec, m.scale = same.t, same.mod, same.dec, same.prec, same.scale
			switch j.Jointype {
			case pg_query.JoinType_JOIN_RIGHT:
				m.out, m.origin = vs[1].n, r.origin
			case pg_query.JoinType_JOIN_FULL:
				m.out = &pg_query.Node{Node: &pg_query.Node_CoalesceExpr{CoalesceExpr: &pg_query.CoalesceExpr{Args: nodesOf(vs)}}}
			default:
				m.out = vs[0].n
			}
			m.of = append(slices.Clone(lrels), rrels...)
			m.name = name
			inner.merged = slices.DeleteFunc(inner.merged, func(o merged) bool {
				return o.name == name && slices.ContainsFunc(o.of, func(r *relation) bool { return slices.Contains(m.of, r) })
			})
			inner.merged = append(inner.merged, m)
			out = append(out, shown{m.column, m.out})
		}
		if len(using) > 0 {
			j.UsingClause, j.IsNatural = nil, false
			if len(quals) == 1 {
				j.Quals = quals[0]
			} else {
				j.Quals = logic(pg_query.BoolExprType_AND_EXPR, quals...)
			}
		} else if j.IsNatural {
			j.IsNatural, j.Quals = false, castTo(str("true"), "bool")
		} else if j.Quals != nil {
			v, err := a.inClause(j.Quals, on, "JOIN/ON")
			if err != nil {
				return nil, err
			}
			j.Quals = v.n
		}
		isUsed := func(c shown) bool { return slices.Contains(using, c.name) }
		for _, side := range [][]shown{left, right} {
			out = append(out, slices.DeleteFunc(slices.Clone(side), isUsed)...)
		}
	}
	if opaque && j.Quals != nil {
		v, err := a.inClause(j.Quals, on, "JOIN/ON")
		if err != nil {
			return nil, err
		}
		j.Quals = v.n
	}
	for _, r := range inner.rels[before:] {
		for _, o := range sc.rels {
			if r.alias != "" && o.alias == r.alias && !o.hidden && !r.hidden && j.Alias == nil {
				return nil, fail("42712", -1, "table name %q specified more than once", r.alias)
			}
		}
	}
	if j.Alias != nil {
		if opaque {
			a.untyped = true
			sc.rels = append(sc.rels, &relation{alias: j.Alias.Aliasname, opaque: true})
			return nil, nil
		}
		return nil, fail("0A000", -1, "an alias of a join is not supported")
	}
	sc.rels, sc.merged = inner.rels, inner.merged
	return out, nil
}

// inClause analyzes a condition in which no aggregates and window functions stand.
func (a *analyzer) inClause(n *pg_query.Node, sc *scope, clause string) (value, error) {
	old := a.clause
	a.clause = clause
	defer func() { a.clause = old }()
	word := clause
	return a.boolean(n, sc, word)
}
