package analyze

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// column is a column of a relation, or an output of a query.
type column struct {
	name        string
	t           OID
	mod         int32
	dec         bool
	prec, scale int
	sql         string         // its name in DuckDB's SQL
	out         *pg_query.Node // what stands for it in wrapQuery; nil: itself
	unknown     bool           // an output that is an untyped literal still
	at          int32          // where the expression of an output stands
	origin      Origin
}

func (c column) value(n *pg_query.Node) value {
	return value{n: n, t: c.t, mod: c.mod, dec: c.dec, prec: c.prec, scale: c.scale, at: -1, of: c}
}

// place is the place of a reference to the column: of one that is not the statement's own, where the output is written.
func (c column) place(at int32) int32 {
	if at == 0 && c.at > 0 {
		return c.at
	}
	return at
}

// relation is what an item of FROM makes visible under a name.
type relation struct {
	alias  string
	real   string // the table's own name
	scalar bool   // a function of one column, which the alias means, too
	cols   []column
	opaque bool // its columns are not known
	hidden bool // its name is not visible: it lies below a join with an alias
}

// merged is a column that USING or NATURAL makes of two.
type merged struct {
	column
	of []*relation // whose columns of that name it hides
}

// scope is what the names of a query mean.
type scope struct {
	outer  *scope
	rels   []*relation
	merged []merged
	ctes   map[string]*cte
	// from: names of functions and subqueries in FROM see what is to the left of them by LATERAL only.
	query *queryState
}

type cte struct {
	cols   []column
	opaque bool
}

func (sc *scope) cte(name string) *cte {
	for s := sc; s != nil; s = s.outer {
		if c, ok := s.ctes[name]; ok {
			return c
		}
	}
	return nil
}

var systemColumns = []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "rowid"}

// columnRef resolves a name.
func (a *analyzer) columnRef(n *pg_query.Node, ref *pg_query.ColumnRef, sc *scope) (value, error) {
	at := ref.Location
	var names []string
	for _, f := range ref.Fields {
		if f.GetAStar() != nil {
			a.untyped = true
			return untypedValue(n), nil
		}
		names = append(names, f.GetString_().GetSval())
	}
	if len(names) > 4 {
		return value{}, fail("42601", at, "improper qualified name (too many dotted names): %s", strings.Join(names, "."))
	}
	opaque := false
	switch len(names) {
	case 1:
		name := names[0]
		for s := sc; s != nil; s = s.outer {
			v, found, unsure, err := a.inScope(n, name, s, at)
			if err != nil || found {
				return v, err
			}
			opaque = opaque || unsure
			if unsure {
				break
			}
		}
		if !opaque {
			for s := sc; s != nil; s = s.outer {
				for _, r := range s.rels {
					if r.alias == name && !r.hidden { // the row as a whole
						return a.wholeRow(n, r, at)
					}
				}
			}
			if slices.Contains(systemColumns, name) && sc != nil && len(sc.rels) > 0 {
				opaque = true
			}
		}
		if opaque {
			a.untyped = true
			return untypedValue(n), nil
		}
		return value{}, fail("42703", at, "column %q does not exist", name)
	case 2, 3, 4: // the relation's own schema and database, if anything
		rel, name := names[len(names)-2], names[len(names)-1]
		for s := sc; s != nil; s = s.outer {
			var found *relation
			for _, r := range s.rels {
				if r.alias == rel && !r.hidden {
					if found != nil {
						return value{}, fail("42P09", at, "table reference %q is ambiguous", rel)
					}
					found = r
				}
			}
			if found == nil {
				continue
			}
			if found.opaque {
				a.untyped = true
				return untypedValue(n), nil
			}
			for _, c := range found.cols {
				if c.name == name {
					return withAt(c.value(columnNode(rel, c.sql)), c.place(at)), nil
				}
			}
			if slices.Contains(systemColumns, name) {
				a.untyped = true
				return untypedValue(n), nil
			}
			return value{}, fail("42703", at, "column %s.%s does not exist", rel, name)
		}
		if a.lenient {
			a.untyped = true
			return untypedValue(n), nil
		}
		for s := sc; s != nil; s = s.outer {
			for _, r := range s.rels {
				if r.opaque && r.alias == "" {
					a.untyped = true
					return untypedValue(n), nil
				}
			}
		}
		return value{}, missingRelation(rel, sc, at)
	}
	a.untyped = true
	return untypedValue(n), nil
}

// missingRelation is the error of a name that no relation has.
func missingRelation(name string, sc *scope, at int32) error {
	for s := sc; s != nil; s = s.outer {
		for _, r := range s.rels {
			if r.real == name && r.alias != name {
				e := fail("42P01", at, "invalid reference to FROM-clause entry for table %q", name)
				e.Hint = fmt.Sprintf("Perhaps you meant to reference the table alias %q.", r.alias)
				return e
			}
		}
	}
	return fail("42P01", at, "missing FROM-clause entry for table %q", name)
}

func withAt(v value, at int32) value { v.at = at; return v }

// inScope looks for an unqualified column in one query; unsure means that a relation of unknown columns may have it.
func (a *analyzer) inScope(n *pg_query.Node, name string, s *scope, at int32) (v value, found, unsure bool, err error) {
	hidden := map[*relation]bool{}
	for _, m := range s.merged {
		if m.name == name {
			if found {
				return v, true, false, fail("42702", at, "column reference %q is ambiguous", name)
			}
			found = true
			v = withAt(m.value(columnNode(m.sql)), at)
			if m.out != nil {
				v.n = copyOf(m.out)
			}
			for _, r := range m.of {
				hidden[r] = true
			}
		}
	}
	for _, r := range s.rels {
		if r.opaque {
			unsure = true
			continue
		}
		if hidden[r] {
			continue
		}
		for _, c := range r.cols {
			if c.name != name {
				continue
			}
			if found {
				return v, true, false, fail("42702", at, "column reference %q is ambiguous", name)
			}
			found = true
			node := columnNode(c.sql)
			if r.alias != "" {
				node = columnNode(r.alias, c.sql)
			}
			v = withAt(c.value(node), c.place(at))
		}
	}
	if found && unsure {
		// DuckDB, which knows all of them, says whether the name is ambiguous.
		v.n = n
	}
	return v, found, unsure && !found, nil
}

func (a *analyzer) wholeRow(n *pg_query.Node, r *relation, at int32) (value, error) {
	if r.opaque {
		a.untyped = true
		return untypedValue(n), nil
	}
	if len(r.cols) == 1 && (r.cols[0].name == r.alias || r.scalar) { // a function of one column in FROM
		return withAt(r.cols[0].value(columnNode(r.alias, r.cols[0].sql)), at), nil
	}
	v := value{n: n, t: oidRecord, mod: -1, at: at}
	for _, c := range r.cols {
		v.row = append(v.row, c.value(columnNode(r.alias, c.sql)))
	}
	a.rowNames[n] = r.cols
	return v, nil
}

// star is what * or alias.* shows; known is false where a relation's columns are not known.
func (a *analyzer) star(fields []*pg_query.Node, sc *scope, at int32) (out []value, names []string, known bool, err error) {
	if len(fields) > 1 {
		rel := fields[len(fields)-2].GetString_().GetSval()
		for s := sc; s != nil; s = s.outer {
			for _, r := range s.rels {
				if r.alias != rel || r.hidden {
					continue
				}
				if r.opaque {
					return nil, nil, false, nil
				}
				for _, c := range r.cols {
					out = append(out, withAt(c.value(columnNode(rel, c.sql)), at))
					names = append(names, c.name)
				}
				return out, names, true, nil
			}
		}
		for s := sc; s != nil; s = s.outer {
			if slices.ContainsFunc(s.rels, func(r *relation) bool { return r.opaque && r.alias == "" }) {
				return nil, nil, false, nil
			}
		}
		return nil, nil, true, missingRelation(rel, sc, at)
	}
	if len(sc.rels) == 0 {
		return nil, nil, true, fail("42601", at, "SELECT * with no tables specified is not valid")
	}
	hides := map[*relation][]string{}
	for _, m := range sc.merged {
		for _, r := range m.of {
			hides[r] = append(hides[r], m.name)
		}
	}
	for _, r := range sc.rels {
		if r.opaque {
			return nil, nil, false, nil
		}
	}
	return a.starOrder(sc, hides, at)
}

func (a *analyzer) starOrder(sc *scope, hides map[*relation][]string, at int32) (out []value, names []string, known bool, err error) {
	for _, item := range sc.query.shown {
		for _, c := range item {
			v := c.column.value(nil)
			if c.n != nil {
				v.n = copyOf(c.n)
			}
			out = append(out, withAt(v, at))
			names = append(names, c.name)
		}
	}
	return out, names, true, nil
}

// shown is a column that * shows.
type shown struct {
	column
	n *pg_query.Node
}
