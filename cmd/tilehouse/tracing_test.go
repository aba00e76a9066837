package main

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector in this process.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []string // service and name
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/v1/traces" {
			http.NotFound(w, q)
			return
		}
		from := io.Reader(q.Body)
		if q.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(from)
			if err != nil {
				t.Error(err)
				return
			}
			from = z
		}
		b, err := io.ReadAll(from)
		var m collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &m)
		}
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rs := range m.ResourceSpans {
			service := ""
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					r.spans = append(r.spans, service+" "+s.Name)
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// Spans go where the flag, or the standard variables, say; without them nothing is made.
func TestTraces(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME"} {
		t.Setenv(name, "")
	}
	log := slog.New(slog.DiscardHandler)
	if tracer, stop, err := (&traceConfig{}).open(context.Background(), log); tracer != nil || err != nil || stop() != nil {
		t.Errorf("without an endpoint there is a tracer %v, %v", tracer, err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		flag func(url string) string
		want string // "": nothing is sent
	}{
		{"flag", nil, func(url string) string { return url + "/" }, "tilehouse q"},
		{"variable", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SERVICE_NAME": "shop"}, nil, "shop q"},
		{"variable for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/v1/traces"}, nil, "tilehouse q"},
		{"disabled", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}, nil, ""},
		{"another exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_TRACES_EXPORTER": "none"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t)
			for k, v := range c.env {
				t.Setenv(k, strings.ReplaceAll(v, "URL", r.URL))
			}
			var cfg traceConfig
			if c.flag != nil {
				cfg.endpoint = c.flag(r.URL)
			}
			tracer, stop, err := cfg.open(context.Background(), log)
			if err != nil {
				t.Fatal(err)
			}
			if tracer != nil {
				_, span := tracer.Start(context.Background(), "q")
				span.End()
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := strings.Join(r.spans, ", "); got != c.want {
				t.Errorf("%q was sent, want %q", got, c.want)
			}
		})
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	if _, _, err := (&traceConfig{endpoint: "http://127.0.0.1:1"}).open(context.Background(), log); err == nil || !strings.Contains(err.Error(), "http/json") {
		t.Errorf("a protocol that is not spoken gives %v", err)
	}
	// A collector that is away holds up nothing for longer than the grace.
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	tracer, stop, err := (&traceConfig{endpoint: "http://127.0.0.1:1"}).open(context.Background(), log)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(context.Background(), "q")
	span.End()
	began := time.Now()
	if err := stop(); err != nil || time.Since(began) > 2*traceGrace {
		t.Errorf("the end took %v, %v", time.Since(began), err)
	}
}
