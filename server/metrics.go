package server

import (
	"bytes"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// commands are what statements are counted by: the first word of the command tag, "other" where it is none of these.
var commands = [...]string{"SELECT", "INSERT", "UPDATE", "DELETE", "COPY", "FETCH", "BEGIN", "COMMIT", "ROLLBACK", "SET", "other"}

// statementSeconds are the upper bounds of the buckets of statements' times, in seconds: from lookups to backfills.
var statementSeconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// metrics are the server's own figures for Prometheus.
type metrics struct {
	commands [len(commands)]prometheus.Observer
	seconds  *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	failures prometheus.Counter

	connections, limit *prometheus.Desc
}

func newMetrics() *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tilehouse_statement_seconds", Buckets: statementSeconds,
			Help: "Time from Execute, or the begin of a simple query's statement, to the last row given to the socket, by command."}, []string{"command"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tilehouse_errors_total",
			Help: "Errors told to clients, by the class of their SQLSTATE: its first two characters."}, []string{"class"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "tilehouse_login_failures_total", Help: "Logins that failed."}),
		connections: prometheus.NewDesc("tilehouse_connections", "Open connections: those that have logged in, and those that have not yet.",
			[]string{"state"}, nil),
		limit: prometheus.NewDesc("tilehouse_connections_limit", "How many connections there may be: --max-connections.", nil, nil),
	}
	for i, c := range commands {
		m.commands[i] = m.seconds.WithLabelValues(c)
	}
	return m
}

// ran notes a statement that ended well. tag is its command tag; nil, that of an empty statement, is not counted.
func (m *metrics) ran(tag []byte, took time.Duration) {
	if tag == nil {
		return
	}
	word, _, _ := bytes.Cut(tag, []byte(" "))
	at := len(commands) - 1
	for i := range at {
		if string(word) == commands[i] {
			at = i
			break
		}
	}
	m.commands[at].Observe(took.Seconds())
}

// failed notes an error that a client is told.
func (m *metrics) failed(e *Error) {
	if len(e.Code) == 5 {
		m.errors.WithLabelValues(e.Code[:2]).Inc()
	}
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	s.metrics.seconds.Describe(ch)
	s.metrics.errors.Describe(ch)
	s.metrics.failures.Describe(ch)
	ch <- s.metrics.connections
	ch <- s.metrics.limit
}

// Collect implements prometheus.Collector: statements, errors and connections.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	s.metrics.seconds.Collect(ch)
	s.metrics.errors.Collect(ch)
	s.metrics.failures.Collect(ch)
	s.mu.Lock()
	in, pending := s.sessions, len(s.pending)
	s.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(s.metrics.connections, prometheus.GaugeValue, float64(in), "session")
	ch <- prometheus.MustNewConstMetric(s.metrics.connections, prometheus.GaugeValue, float64(pending), "login")
	ch <- prometheus.MustNewConstMetric(s.metrics.limit, prometheus.GaugeValue, float64(s.cfg.MaxConnections))
}
