package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// lookupSeconds are the upper bounds of the buckets of lookups' times, in seconds.
var lookupSeconds = []float64{5e-6, 1e-5, 2e-5, 5e-5, .0001, .0002, .0005, .001, .002, .005, .01, .05, .1, 1}

// newLookupTimes is the histogram of lookups.
func newLookupTimes() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tilehouse_lookup_seconds", Buckets: lookupSeconds,
		Help: "Time to assemble the values of an online lookup, without the protocol."})
}

// freshSeconds are the upper bounds of the buckets of what messages take from the broker to lookups, in seconds.
var freshSeconds = []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 60, 600, 3600}

func newFreshness() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tilehouse_source_freshness_seconds", Buckets: freshSeconds,
		Help: "Time from a message's own time, which producer or broker gave it, to the commit that makes its row count in lookups."}, []string{"source"})
}

// metric describes a figure that is read when it is asked for.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tilehouse_"+name, help, labels, nil)
}

// What is read when it is asked for. The same is in schema tilehouse, in the view that a comment names.
var (
	objectsMetric  = metric("objects", "Objects of the catalog by kind.", "kind")
	positionMetric = metric("log_position", "The newest position of the log of record: transactions that changed rows of event tables or definitions.")

	// tilehouse.sources and tilehouse.source_partitions
	sourceStateMetric    = metric("source_state", "1 for the state that a Kafka or PostgreSQL source is in, 0 for the others.", "source", "state")
	sourceRowsMetric     = metric("source_rows_total", "Messages of a Kafka source, or changes of a PostgreSQL table, that were taken: rows, versions of rows, ends of rows.", "source")
	sourceDeadMetric     = metric("source_dead_letters_total", "Messages of a Kafka source that could not be taken; what REPLAY DEAD LETTERS took since is counted with both.", "source")
	sourceFailuresMetric = metric("source_failures_total", "Times that reading a Kafka or PostgreSQL source failed since the server started, and was tried again.", "source")
	sourceLagMetric      = metric("source_lag_messages", "Messages of a partition that are not read yet; not given while the brokers have not told.", "source", "partition")
	sourceBytesMetric    = metric("source_lag_bytes", "Bytes of PostgreSQL's log that a source has not read yet; not given while its table is read as a whole, and where PostgreSQL has not told.", "source")
	sourceCommitMetric   = metric("source_last_commit_timestamp_seconds", "When rows of a Kafka or PostgreSQL source were last committed since the server started.", "source")
	refreshMetric        = metric("source_last_refresh_timestamp_seconds", "When a file source was last refreshed since the server started.", "source")
	refreshFailedMetric  = metric("source_refresh_failed", "1 where the last refresh of a file source failed.", "source")

	// tilehouse.watermarks
	watermarkMetric = metric("watermark_timestamp_seconds", "Up to which event time a relation with a watermark is complete.", "relation")

	// tilehouse.materializations and tilehouse.jobs
	featureMetric    = metric("feature_info", "1 for each feature, with what it belongs to.", "feature", "entity", "relation", "group", "state")
	tileRowsMetric   = metric("tile_rows", "Rows in the online tiles of a group.", "group")
	tileKeysMetric   = metric("tile_keys", "Keys in the online tiles of a group.", "group")
	tileBytesMetric  = metric("tile_bytes", "Bytes on disk of the online tiles of a group, estimated.", "group")
	featureLagMetric = metric("feature_lag_seconds", "For how long rows of what a feature reads have been there, as far as is known, that its lookups do not count; not given where that is not known, and of files.", "feature")
	targetLagMetric  = metric("feature_target_lag_seconds", "The target_lag of a feature that has one.", "feature")
	groupLagMetric   = metric("group_lag_seconds", "How long ago the oldest row was committed that the runs of a group do not have yet; lookups and joins do.", "group")
	jobsMetric       = metric("jobs_running", "Builds of features, refreshes of sources and replays of dead letters that run.")
	jobsFailedMetric = metric("jobs_failed", "Of the last builds, refreshes and replays that ended, those that failed.")

	// tilehouse.feature_views
	loggedMetric  = metric("feature_log_entries_total", "Online reads of a feature view that were logged.", "view")
	droppedMetric = metric("feature_log_dropped_total", "Online reads of a feature view that were to be logged and were not, because the log was behind.", "view")
)

// Describe implements prometheus.Collector. Besides the histograms it describes nothing: what there is follows the catalog.
func (e *Engine) Describe(ch chan<- *prometheus.Desc) {
	e.lookups.Describe(ch)
	e.fresh.Describe(ch)
}

// Collect implements prometheus.Collector: lookups, sources, watermarks, materializations and jobs, as they are now. What cannot be read is
// left out, with a warning.
func (e *Engine) Collect(ch chan<- prometheus.Metric) {
	e.lookups.Collect(ch)
	e.fresh.Collect(ch)
	c := &collection{e: e, ch: ch, cat: e.catalog.Current()}
	if e.gateway != nil { // the rest is of data
		c.gatewayStore()
		return
	}
	c.store()
	c.gauge(positionMetric, float64(e.log.Position()))
	for kind, n := range map[string]int{"feature": len(c.cat.Features), "entity": len(c.cat.Entities), "feature view": len(c.cat.FeatureViews), "relation": len(c.cat.Relations)} {
		c.gauge(objectsMetric, float64(n), kind)
	}
	var errs []error
	for _, r := range sorted(c.cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		errs = append(errs, c.relation(r))
	}
	for _, g := range sorted(c.cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
		errs = append(errs, c.group(g))
	}
	for _, f := range c.cat.Features {
		c.featureLag(f)
		c.gauge(featureMetric, 1, f.Name, c.cat.Entities[f.Entity].Name, c.cat.Relations[f.Relation].Name, strconv.Itoa(int(f.Group)), featureState(c.cat, f))
	}
	for _, v := range c.cat.FeatureViews {
		written, dropped := e.features.Counts(v.ID)
		c.counter(loggedMetric, float64(written), v.Name)
		c.counter(droppedMetric, float64(dropped), v.Name)
	}
	running, failed := 0, 0
	for _, j := range e.mat.Jobs() {
		switch {
		case j.Ended.IsZero():
			running++
		case j.Error != "":
			failed++
		}
	}
	c.gauge(jobsMetric, float64(running))
	c.gauge(jobsFailedMetric, float64(failed))
	if err := errors.Join(errs...); err != nil {
		e.cfg.Log.Warn("reading metrics", "error", err)
	}
}

// collection is one Collect.
type collection struct {
	e   *Engine
	ch  chan<- prometheus.Metric
	cat *schema.Catalog
}

func (c *collection) gauge(d *prometheus.Desc, v float64, labels ...string) {
	c.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c *collection) counter(d *prometheus.Desc, v float64, labels ...string) {
	c.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// moment gives a time, or nothing for the zero one.
func (c *collection) moment(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		c.gauge(d, float64(t.UnixMicro())/1e6, labels...)
	}
}

func (c *collection) relation(r *schema.Relation) error {
	if r.View == nil && r.File == nil && r.Watermark != nil {
		t, err := c.e.mat.Watermark(r, c.e.log.Position())
		if err != nil {
			return err
		}
		if t != event.Forever {
			c.gauge(watermarkMetric, float64(t)/1e6, r.Name)
		}
	}
	switch {
	case r.Streamed():
		return c.stream(r)
	case r.File != nil:
		st := c.e.mat.Refreshes(r.ID)
		c.moment(refreshMetric, st.Last, r.Name)
		failed := 0.0
		if st.Error != "" {
			failed = 1
		}
		c.gauge(refreshFailedMetric, failed, r.Name)
	}
	return nil
}

func (c *collection) stream(r *schema.Relation) error {
	state, err := streams.Committed(context.Background(), c.e.log, reclog.SourceID(r.ID))
	if err != nil {
		return err
	}
	st := c.e.ingest.Status(r)
	for _, s := range ingest.States {
		is := 0.0
		if s == st.State {
			is = 1
		}
		c.gauge(sourceStateMetric, is, r.Name, string(s))
	}
	c.counter(sourceRowsMetric, float64(state.Good), r.Name)
	c.counter(sourceDeadMetric, float64(state.NewestLetter()), r.Name)
	c.counter(sourceFailuresMetric, float64(st.Failures), r.Name)
	c.moment(sourceCommitMetric, st.LastCommit, r.Name)
	for i := range st.Partitions {
		if p := &st.Partitions[i]; p.End >= 0 {
			if r.Postgres != nil {
				if p.Next > 0 {
					c.gauge(sourceBytesMetric, float64(p.Lag()), r.Name)
				}
				continue
			}
			c.gauge(sourceLagMetric, float64(p.Lag()), r.Name, strconv.Itoa(int(p.Partition)))
		}
	}
	return nil
}

func (c *collection) group(g *schema.Group) error {
	live, err := c.e.mat.Group(g)
	if err != nil {
		return err
	}
	name := strconv.Itoa(int(g.ID))
	if live.Tiles != nil {
		st, err := c.e.tiles.Stats(live.Tiles)
		if err != nil {
			return err
		}
		c.gauge(tileRowsMetric, float64(st.Rows), name)
		c.gauge(tileKeysMetric, float64(st.Keys), name)
		c.gauge(tileBytesMetric, float64(st.Bytes), name)
	}
	if live.Manifest == nil {
		return nil
	}
	lag, err := c.e.mat.Lag(context.Background(), c.cat, live)
	if err == nil && lag >= 0 {
		c.gauge(groupLagMetric, lag.Seconds(), name)
	}
	return err
}
