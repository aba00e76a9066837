package functions

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Aggregates is every aggregate there is, by name: what the binder, pg_proc, the documentation and the tests read. It is not
// changed after start-up.
var Aggregates = []*Definition{
	approxCountDistinctDef,
	approxPercentileDef,
	avgDef,
	avgMapDef,
	boolAndDef,
	boolOrDef,
	bottomKDef,
	corrDef,
	countDef,
	countDistinctDef,
	countMapDef,
	covarPopDef,
	covarSampDef,
	firstDef,
	firstKDef,
	histogramDef,
	kurtosisDef,
	lastDef,
	lastDistinctKDef,
	lastKDef,
	latestDef,
	maxDef,
	maxMapDef,
	medianDef,
	minDef,
	minMapDef,
	regrInterceptDef,
	regrSlopeDef,
	skewnessDef,
	stddevDef,
	stddevPopDef,
	stddevSampDef,
	sumDef,
	sumMapDef,
	topKDef,
	topKByCountDef,
	varPopDef,
	varSampDef,
	varianceDef,
}

// Lookup is the aggregate of a name in lower case. count(DISTINCT x) has the name count_distinct.
func Lookup(name string) (*Definition, bool) {
	for _, d := range Aggregates {
		if d.Name == name {
			return d, true
		}
	}
	return nil, false
}

// SameState reports whether a and b are two aggregates of one state, so that a state of either may be merged into one of the
// other: those of sum and avg differ in how they finish only.
func SameState(a, b Aggregate) bool {
	x, y := a.Definition(), b.Definition()
	return x != y && x.stateName() == y.stateName() && slices.EqualFunc(a.ArgTypes(), b.ArgTypes(), vector.Type.Equal)
}

func (d *Definition) stateName() string {
	if d.StateOf != "" {
		return d.StateOf
	}
	return d.Name
}

// Names are the names of the aggregates that SQL may call, ascending.
func Names() []string {
	var names []string
	for _, d := range Aggregates {
		if !d.Implicit {
			names = append(names, d.Name)
		}
	}
	return names
}
