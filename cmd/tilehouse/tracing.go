package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// traceGrace bounds the sending of the last spans at the end.
const traceGrace = 2 * time.Second

// traceConfig says whether, and where to, spans are sent. The standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and its kin) say the rest.
type traceConfig struct {
	endpoint string
	literals bool
}

func (c *traceConfig) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.endpoint, "trace-endpoint", "", "`URL` of a collector of OpenTelemetry traces, such as http://127.0.0.1:4318; empty: what OTEL_EXPORTER_OTLP_ENDPOINT says, or no traces")
	fs.BoolVar(&c.literals, "trace-literals", false, "traces show statements as they were sent; otherwise ? stands for each literal in them")
}

// asked reports whether spans are to be sent.
func (c *traceConfig) asked() bool {
	switch {
	case strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true"), os.Getenv("OTEL_TRACES_EXPORTER") == "none":
		return false
	}
	return c.endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// open is what makes spans; nil where none are asked for. stop sends the last of them. A collector that is away costs spans, and a warning in the log, and
// holds up nothing.
func (c *traceConfig) open(ctx context.Context, log *slog.Logger) (tracer trace.Tracer, stop func() error, err error) {
	if !c.asked() {
		return nil, func() error { return nil }, nil
	}
	exporter, err := c.exporter(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	build, _ := debug.ReadBuildInfo()
	version := ""
	if build != nil {
		version = build.Main.Version
	}
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("tilehouse"), semconv.ServiceVersion(version)), resource.WithHost(), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("sending traces", "error", err) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	stop = func() error {
		end, cancel := context.WithTimeout(context.Background(), traceGrace)
		defer cancel()
		if err := provider.Shutdown(end); err != nil {
			log.Warn("sending the last traces", "error", err)
		}
		return nil
	}
	return provider.Tracer("github.com/tilehouse/tilehouse"), stop, nil
}

func (c *traceConfig) exporter(ctx context.Context) (*otlptrace.Exporter, error) {
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		var opts []otlptracehttp.Option
		if c.endpoint != "" {
			opts = append(opts, otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.endpoint, "/")+"/v1/traces"))
		}
		return otlptracehttp.New(ctx, opts...)
	case "grpc":
		var opts []otlptracegrpc.Option
		if c.endpoint != "" {
			opts = append(opts, otlptracegrpc.WithEndpointURL(c.endpoint))
		}
		return otlptracegrpc.New(ctx, opts...)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: http/protobuf and grpc are spoken", protocol)
}
