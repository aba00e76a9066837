package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapeTimeout bounds one scrape, maxScrapes how many there are at a time.
	scrapeTimeout = 10 * time.Second
	maxScrapes    = 4
)

// serveMetrics serves /metrics for Prometheus, and /ready, which answers 200 while the server takes connections, until stop is called. It waits
// for scrapes that run, up to the end of its context: what from reads must be there until then. It names objects and counts; it shows no values of
// rows or features.
func serveMetrics(address string, log *slog.Logger, from ...prometheus.Collector) (stop func(context.Context) error, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-listen: %w", err)
	}
	registry := prometheus.NewRegistry()
	for _, c := range append(from, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := registry.Register(c); err != nil {
			return nil, errors.Join(fmt.Errorf("--metrics-listen: %w", err), l.Close())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: scrapeTimeout, MaxRequestsInFlight: maxScrapes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ready\n")) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends with Shutdown
	log.Info("metrics", "address", l.Addr().String())
	return srv.Shutdown, nil
}
