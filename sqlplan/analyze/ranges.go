package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// Ranges over numeric, whose equals can differ in their text.
const oidNumRange, oidNumMultirange OID = 3906, 4532

func isRange(t OID) bool {
	r, multi := codec.RangeOf(t)
	return r != nil && !multi
}

func isMultirange(t OID) bool {
	r, multi := codec.RangeOf(t)
	return r != nil && multi
}

// rangeSolution is what the polymorphic range types of a call are.
type rangeSolution struct{ rng, multi, elem OID }

// take notes the type of an argument; it is false where that goes not together with those before.
func (s *rangeSolution) take(t OID) bool {
	r, _ := codec.RangeOf(t)
	if r == nil || s.rng != 0 && s.rng != r.OID {
		return false
	}
	s.rng, s.multi, s.elem = r.OID, r.Multi, r.Elem
	return true
}

// rangeName is the name of the range type among the types of arguments, for functions of ours.
func rangeName(vs []value) *pg_query.Node {
	for _, v := range vs {
		if r, _ := codec.RangeOf(v.t); r != nil {
			return castTo(str(r.Name), "text")
		}
	}
	return castTo(null(), "text")
}

// defaultSettings are those of values that are kept as text.
func defaultSettings() *pg_query.Node {
	return castTo(str(pgfunc.SettingsText(codec.Defaults)), "text")
}

// plainText is a value's text that does not depend on the session's settings.
func (a *analyzer) plainText(v value) *pg_query.Node {
	switch {
	case v.t == oidNumeric:
		return asText(v)
	case v.t == oidDate || v.t == oidTime || v.t == oidTimestamp || v.t == oidTimestampTZ:
		return call(pgfunc.CastFunction(v.t, oidText).Name, defaultSettings(), v.n)
	case isInt(v.t):
		return castTo(v.n, "text")
	}
	return v.n
}

// ofText is the value of a type that such a text means; texts are left as they are.
func (a *analyzer) ofText(n *pg_query.Node, t OID) *pg_query.Node {
	if fn := pgfunc.CastFunction(oidText, t); fn != nil && fn.SQL == "" && fn.Settings && !isInt(t) && t != oidNumeric && t != oidBool && !isFloat(t) {
		return call(fn.Name, defaultSettings(), n)
	}
	return castNode(n, physical(t))
}
