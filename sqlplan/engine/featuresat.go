package engine

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// featuresAtName is the function in FROM that reads an entity as it was true at an instant: features_at('entity', 'time').
const featuresAtName = "features_at"

// entityRef is an entity in FROM: by its name, or by features_at.
type entityRef struct {
	entity *schema.Entity      // of a view: its keys and request columns as keys
	view   *schema.FeatureView // nil: an entity
	alias  string
	keys   []string       // the keys' names here: the entity's, or those that the alias gives
	asOf   *pg_query.Node // FOR SYSTEM_TIME AS OF: which position; nil: the newest
	at     *pg_query.Node // the second argument of features_at: which instant; nil: the session's read time
	// batch are the arrays of features_for, one a key: a row for each place in them, in their order, NULL and unknown keys too.
	batch  []*pg_query.Node
	offset int // bytes in the statement
}

// entityIn is the entity that a FROM item is; nil where it is something else.
func (s *Session) entityIn(cat *schema.Catalog, st *parse.SQL, from *pg_query.Node) (*entityRef, error) {
	var r *entityRef
	var alias *pg_query.Alias
	if rv := from.GetRangeVar(); rv != nil {
		if rv.Schemaname != "" && rv.Schemaname != publicSchema || rv.Catalogname != "" && rv.Catalogname != s.info.Database {
			return nil, nil
		}
		if r = refOf(cat, rv.Relname); r == nil {
			return nil, nil
		}
		r.alias, r.offset = rv.Relname, int(rv.Location)
		alias = rv.Alias
		if t := st.Clauses.SystemTimeOf(rv); t != nil {
			r.asOf = t.Expr
		}
	} else if rf := from.GetRangeFunction(); rf != nil {
		var err error
		if r, err = featuresAt(cat, st, rf); r == nil && err == nil {
			r, err = featuresFor(cat, st, rf)
		}
		if r == nil || err != nil {
			return nil, err
		}
		alias = rf.Alias
	} else {
		return nil, nil
	}
	if r.view != nil && !r.view.Online {
		return nil, at(notOnline(r.view), st.Text, r.offset)
	}
	if alias != nil {
		r.alias = alias.Aliasname
	}
	for _, k := range r.entity.Keys {
		r.keys = append(r.keys, k.Name)
	}
	for i, n := range alias.GetColnames() {
		if i >= len(r.keys) {
			return nil, at(hint(fail(codeUnsupported, "an alias of entity %q renames its keys only", r.entity.Name), "FROM %s AS %s(%s)", r.entity.Name, r.alias, columnNames(r.entity.Keys)), st.Text, r.offset)
		}
		r.keys[i] = n.GetString_().GetSval()
	}
	for _, n := range []*pg_query.Node{r.asOf, r.at} { // a bad literal is refused when it is bound, not when it is executed
		if n == nil || uncast(n).GetParamRef() != nil {
			continue
		}
		if _, err := s.timeOf(n, nil); err != nil {
			offset := nodeLocation(n)
			if offset < 0 {
				offset = r.offset
			}
			return nil, at(asError(err), st.Text, offset)
		}
	}
	return r, nil
}

// refOf is the entity or feature view of a name, nil where it is neither.
func refOf(cat *schema.Catalog, name string) *entityRef {
	if v := cat.FeatureView(name); v != nil {
		return &entityRef{entity: viewEntity(v), view: v}
	}
	if ent := cat.Entity(name); ent != nil {
		return &entityRef{entity: ent}
	}
	return nil
}

// outputs are the columns beside the keys.
func (r *entityRef) outputs(cat *schema.Catalog) outputList {
	if r.view != nil {
		return viewColumns(cat, r.view)
	}
	return entityColumns(cat, r.entity)
}

// takesNull reports whether a bound column is a value of the request, for which NULL is a value, and no key.
func (r *entityRef) takesNull(i int) bool { return r.view != nil && i >= len(r.view.Keys) }

// featuresAt reads a call of features_at; nil where rf is another function.
func featuresAt(cat *schema.Catalog, st *parse.SQL, rf *pg_query.RangeFunction) (*entityRef, error) {
	if len(rf.Functions) != 1 {
		return nil, nil
	}
	call := rf.Functions[0].GetList().GetItems()[0].GetFuncCall()
	if call == nil || len(call.Funcname) != 1 || call.Funcname[0].GetString_().GetSval() != featuresAtName {
		return nil, nil
	}
	usage := func(err *session.Error) error {
		return at(hint(err, "FROM features_at('entity', '2024-06-01 12:00Z') WHERE key = …"), st.Text, int(call.Location))
	}
	if len(call.Args) != 2 || len(call.AggOrder) > 0 || call.AggDistinct || rf.Ordinality || rf.Lateral {
		return nil, usage(fail("42883", "features_at takes an entity's name and a time"))
	}
	name, null, ok := constantText(call.Args[0])
	if !ok || null {
		return nil, usage(fail(codeUnsupported, "the entity of features_at must be a literal"))
	}
	r := refOf(cat, name)
	if r == nil {
		return nil, at(fail(codeUndefinedObject, "entity %q does not exist", name), st.Text, nodeLocation(call.Args[0]))
	}
	r.alias, r.at, r.offset = featuresAtName, call.Args[1], int(call.Location)
	return r, nil
}

// featuresForName is the function in FROM that reads many keys at once: features_for('entity', array, …).
const featuresForName = "features_for"

// featuresFor reads a call of features_for; nil where rf is another function.
func featuresFor(cat *schema.Catalog, st *parse.SQL, rf *pg_query.RangeFunction) (*entityRef, error) {
	if functionOf(rf) != featuresForName {
		return nil, nil
	}
	call := rf.Functions[0].GetList().GetItems()[0].GetFuncCall()
	usage := func(err *session.Error) error {
		return at(hint(err, "FROM features_for('entity', $1::bigint[])"), st.Text, int(call.Location))
	}
	if len(call.Args) < 2 || len(call.AggOrder) > 0 || call.AggDistinct || rf.Ordinality || rf.Lateral {
		return nil, usage(fail("42883", "features_for takes an entity's name and an array of each of its keys"))
	}
	name, null, ok := constantText(call.Args[0])
	if !ok || null {
		return nil, usage(fail(codeUnsupported, "the entity of features_for must be a literal"))
	}
	r := refOf(cat, name)
	if r == nil {
		return nil, at(fail(codeUndefinedObject, "entity %q does not exist", name), st.Text, nodeLocation(call.Args[0]))
	}
	if n := len(call.Args) - 1; n != len(r.entity.Keys) {
		return nil, at(hint(fail("42883", "features_for('%s') takes %d arrays of keys, %d are given", name, len(r.entity.Keys), n), "Keys: %s.", columnNames(r.entity.Keys)), st.Text, int(call.Location))
	}
	r.alias, r.batch, r.offset = featuresForName, call.Args[1:], int(call.Location)
	return r, nil
}

// key is which key of the entity a column is, -1 for none.
func (r *entityRef) key(ref *pg_query.ColumnRef) int {
	name, star, ok := columnOf(ref, r.alias)
	if !ok || star {
		return -1
	}
	for i, k := range r.keys {
		if k == name {
			return i
		}
	}
	return -1
}

// timeParams adds the parameters that say times to types.
func (r *entityRef) timeParams(types []vector.Type) []vector.Type {
	for _, n := range []*pg_query.Node{r.asOf, r.at} {
		if n == nil {
			continue
		}
		if p := uncast(n).GetParamRef(); p != nil {
			for int(p.Number) > len(types) {
				types = append(types, vector.T(vector.Text))
			}
			types[p.Number-1] = vector.T(vector.TimestampTZ)
		}
	}
	return types
}

// times are the position and the instant that the entity is read at; nil: the newest, and the session's read time.
func (s *Session) times(st *parse.SQL, r *entityRef, args []*vector.Vector) (position *uint64, instant *int64, err error) {
	if r.asOf != nil {
		p, err := s.positionOf(r.asOf, args)
		if err != nil {
			return nil, nil, at(asError(err), st.Text, nodeLocation(r.asOf))
		}
		position = &p
	}
	if r.at != nil {
		t, err := s.timeOf(r.at, args)
		if err != nil {
			return nil, nil, at(asError(err), st.Text, nodeLocation(r.at))
		}
		if t == vector.PosInfinity || t == vector.NegInfinity {
			return nil, nil, at(fail(codeBadTime, "the time of features_at must be finite"), st.Text, nodeLocation(r.at))
		}
		instant = &t
	}
	return position, instant, nil
}
