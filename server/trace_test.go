package server

import (
	"context"
	"net"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestRemoteParent(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const parent = "00-" + id + "-" + span + "-01"
	for _, c := range []struct {
		sql         string
		ok, sampled bool
	}{
		{"SELECT 1 /*traceparent='" + parent + "'*/", true, true},
		{"/*traceparent='" + parent + "'*/ SELECT 1", true, true},
		{"SELECT 1 /* app='x', traceparent='" + parent + "' ,tracestate='a%3D1' */;", true, true},
		{"SELECT 1 /*traceparent='00-" + id + "-" + span + "-00'*/", true, false},
		{"SELECT 1 /* other */ /*traceparent='" + parent + "'*/", true, true},
		{"SELECT 'traceparent=''" + parent + "'''", false, false},
		{"SELECT 1 /*traceparent='" + parent, false, false},
		{"SELECT 1 */ /*", false, false},
		{"SELECT 1 /*traceparent='00-00000000000000000000000000000000-" + span + "-01'*/", false, false},
		{"SELECT 1 /*traceparent='" + id + "'*/", false, false},
		{"SELECT 1 /*traceparent='%zz'*/", false, false},
		{"SELECT 1", false, false},
		{"", false, false},
	} {
		got := trace.SpanContextFromContext(remoteParent(context.Background(), c.sql))
		if got.IsValid() != c.ok || c.ok && (got.TraceID().String() != id || got.SpanID().String() != span || !got.IsRemote() || got.IsSampled() != c.sampled) {
			t.Errorf("%s: %v", c.sql, got)
		}
	}
}

// BenchmarkSpan is what a statement pays for spans: without a tracer, and with one that keeps none.
func BenchmarkSpan(b *testing.B) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	for _, c := range []struct {
		name   string
		tracer trace.Tracer
	}{{"none", nil}, {"unsampled", sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("")}, {"sampled", sdk.NewTracerProvider(sdk.WithSyncer(tracetest.NewNoopExporter())).Tracer("")}} {
		b.Run(c.name, func(b *testing.B) {
			conn := &conn{srv: &Server{cfg: Config{Tracer: c.tracer}}, raw: near, ctx: context.Background()}
			b.ReportAllocs()
			for range b.N {
				s := conn.beginSpan("execute", "SELECT n FROM e WHERE k = $1")
				if conn.statementContext() == nil {
					b.Fatal("no context")
				}
				if s.span != nil {
					conn.endSpan(s, nil, "", []byte("SELECT 1"), 1, nil)
				}
			}
		})
	}
}
