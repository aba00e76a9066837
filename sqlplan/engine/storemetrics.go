package engine

import (
	"context"

	"github.com/tilehouse/tilehouse/materialize/disperse"
)

// tilehouse.online_store
var (
	storeStateMetric    = metric("store_state", "1 for the state that sending values to Cassandra is in, 0 for the others.", "connection", "state")
	storeLagMetric      = metric("store_lag_seconds", "How long ago the values in Cassandra were those of the newest commits; on a gateway, by its clock.", "connection")
	storeWaitingMetric  = metric("store_waiting_changes", "Changes of online values that wait to be sent to Cassandra.", "connection")
	storeLoadingMetric  = metric("store_loading_groups", "Groups of which not all values were sent to Cassandra yet.", "connection")
	storeRowsMetric     = metric("store_rows_total", "Rows sent to Cassandra.", "connection")
	storeBytesMetric    = metric("store_bytes_total", "Bytes of values sent to Cassandra.", "connection")
	storeFailuresMetric = metric("store_failures_total", "Times that sending to Cassandra failed since the server started, and was tried again.", "connection")
)

// store gives the figures of the online store, if there is one.
func (c *collection) store() {
	st := c.e.disperse.Status()
	if st.Connection == nil {
		return
	}
	name := st.Connection.Name
	for _, s := range disperse.States {
		is := 0.0
		if s == st.State {
			is = 1
		}
		c.gauge(storeStateMetric, is, name, string(s))
	}
	at := st.At
	if at.IsZero() { // they never were
		at = st.Began
	}
	c.gauge(storeLagMetric, max(0, c.e.cfg.Clock().Sub(at).Seconds()), name)
	c.gauge(storeWaitingMetric, float64(st.Waiting), name)
	c.gauge(storeLoadingMetric, float64(st.Loading), name)
	c.counter(storeRowsMetric, float64(st.Rows), name)
	c.counter(storeBytesMetric, float64(st.Bytes), name)
	c.counter(storeFailuresMetric, float64(st.Errors), name)
}

// gatewayStore gives how old the values are that a gateway reads.
func (c *collection) gatewayStore() {
	ctx, cancel := context.WithTimeout(context.Background(), followTimeout)
	defer cancel()
	position, at, err := c.e.gateway.store.Progress(ctx)
	if err != nil {
		c.e.cfg.Log.Warn("reading metrics", "error", err)
		return
	}
	if position > 0 {
		c.gauge(storeLagMetric, max(0, c.e.cfg.Clock().Sub(at).Seconds()), "")
	}
}
