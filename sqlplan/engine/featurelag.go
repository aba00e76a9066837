package engine

import (
	"fmt"
	"time"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// featureLag is how far lookups of a feature are behind what its relations are read from: the most of its relation and of those that are joined to it.
// Rows that are committed here count at once, so of event tables it is 0; of a topic or a table of PostgreSQL it is its reader's. false: it is not
// known, or the rows are of files, which are as they were at the last refresh.
func (e *Engine) featureLag(cat *schema.Catalog, f *schema.Feature) (time.Duration, bool) {
	if e.gateway != nil {
		return 0, false
	}
	most := time.Duration(0)
	for _, id := range append([]uint32{f.Relation}, f.Attributes...) {
		r := cat.Relations[id]
		if r == nil {
			return 0, false
		}
		lag, known := e.relationLag(cat, r)
		if !known {
			return 0, false
		}
		most = max(most, lag)
	}
	return most, true
}

func (e *Engine) relationLag(cat *schema.Catalog, r *schema.Relation) (time.Duration, bool) {
	r = materialize.Base(cat, r)
	if r.VersionsOf != 0 {
		r = cat.Relations[r.VersionsOf]
	}
	if r.Dual != nil {
		r = cat.Relations[r.Dual.Stream]
	}
	switch {
	case r == nil:
		return 0, false
	case r.Streamed():
		st := e.ingest.Status(r)
		return st.Lag(e.cfg.Clock())
	}
	return 0, r.Kind == schema.EventTable
}

// lagColumns are lag, target_lag and lag_exceeded of tilehouse.features.
func (e *Engine) lagColumns(cat *schema.Catalog, f *schema.Feature) []string {
	out := []string{"NULL", "NULL", "NULL"}
	lag, known := e.featureLag(cat, f)
	if known {
		out[0] = fmt.Sprintf("to_microseconds(%d)", lag.Microseconds())
	}
	if f.TargetLag > 0 {
		out[1] = fmt.Sprintf("to_microseconds(%d)", f.TargetLag)
		if known {
			out[2] = fmt.Sprint(lag.Microseconds() > f.TargetLag)
		}
	}
	return out
}

// featureLag gives a feature's lag, where it is known, and its target.
func (c *collection) featureLag(f *schema.Feature) {
	if lag, known := c.e.featureLag(c.cat, f); known {
		c.gauge(featureLagMetric, lag.Seconds(), f.Name)
	}
	if f.TargetLag > 0 {
		c.gauge(targetLagMetric, float64(f.TargetLag)/1e6, f.Name)
	}
}
