package ingest

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tilehouse/tilehouse/storage/streams"
)

// commitSpan begins the span of a transaction of a topic's messages. Partitions are shown as partition:first offset-next offset.
func (c *consumer) commitSpan(ctx context.Context, b *batch) (context.Context, trace.Span) {
	ctx, span := c.cfg.Tracer.Start(ctx, "commit "+c.name, trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return ctx, span
	}
	taken, dead := b.State.Good+b.State.Dead-c.state.Good-c.state.Dead, b.State.Dead-c.state.Dead
	rows, deletes := 0, 0
	for i := range b.changes {
		if b.changes[i].Inserts != nil {
			rows += b.changes[i].Inserts.N
		}
		deletes += len(b.changes[i].Deletes)
	}
	span.SetAttributes(semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingDestinationName(c.kafka.Topic), semconv.MessagingBatchMessageCount(int(taken)),
		attribute.String("tilehouse.source", c.name), attribute.Int("tilehouse.rows", rows), attribute.Int("tilehouse.rows_deleted", deletes), attribute.Int64("tilehouse.dead_letters", dead),
		attribute.StringSlice("tilehouse.partitions", offsetsTaken(c.state, b.State)))
	return ctx, span
}

// offsetsTaken are the partitions of which something was taken between two states.
func offsetsTaken(before, after *streams.State) (out []string) {
	for p := range after.Partitions {
		from := int64(0)
		if p < len(before.Partitions) {
			from = before.Partitions[p].Next
		}
		if next := after.Partitions[p].Next; next > from {
			out = append(out, fmt.Sprintf("%d:%d-%d", p, from, next))
		}
	}
	return out
}

// commitSpan begins the span of a transaction of changes of a table; nil: of none, the table was read.
func (t *tableReader) commitSpan(ctx context.Context, b *tableBatch) (context.Context, trace.Span) {
	ctx, span := t.cfg.Tracer.Start(ctx, "commit "+t.name, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("tilehouse.source", t.name), semconv.DBCollectionName(t.pg.Schema+"."+t.pg.Table))
		if b != nil {
			span.SetAttributes(attribute.Int("tilehouse.changes", b.changes), attribute.Int("tilehouse.transactions", len(b.txns)))
		}
	}
	return ctx, span
}

// endCommit ends the span of a transaction. Why it failed may show values: the state of the source says it.
func endCommit(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}
