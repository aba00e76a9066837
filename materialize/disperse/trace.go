package disperse

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// roundSpan begins the span of a round of so many partitions.
func (s *sender) roundSpan(ctx context.Context, partitions int) (context.Context, trace.Span) {
	return s.d.cfg.Tracer.Start(ctx, "disperse", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(semconv.DBSystemNameCassandra, attribute.Int("tilehouse.partitions_sent", partitions)))
}

// endRound ends the span of a round, of which rows and bytes were given to Cassandra.
func endRound(span trace.Span, rows, bytes int64, err error) {
	span.SetAttributes(attribute.Int64("tilehouse.rows", rows), attribute.Int64("tilehouse.bytes", bytes))
	if err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}
