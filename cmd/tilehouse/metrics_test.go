package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// blocked is a collector that says when it is asked, and answers when it is let.
type blocked struct{ asked, let chan struct{} }

func (b *blocked) Describe(chan<- *prometheus.Desc) {}

func (b *blocked) Collect(chan<- prometheus.Metric) {
	b.asked <- struct{}{}
	<-b.let
}

// What metrics are read from is closed once they have ended: the end waits for a scrape that runs, and takes none after it.
func TestMetricsEndFirst(t *testing.T) {
	from := &blocked{make(chan struct{}), make(chan struct{})}
	var log bytes.Buffer
	stop, err := serveMetrics("127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)), from)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(log.String())[1] + "/metrics"
	get := func() error {
		res, err := http.Get(url)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	scraped := make(chan error, 1)
	go func() { scraped <- get() }()
	<-from.asked
	soon, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := stop(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended while a scrape ran: %v", err)
	}
	close(from.let)
	if err := <-scraped; err != nil {
		t.Errorf("the scrape: %v", err)
	}
	if err := stop(context.Background()); err != nil {
		t.Errorf("the end: %v", err)
	}
	if get() == nil {
		t.Error("a scrape after the end is answered")
	}
}
