package materialize

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// span begins the span of a job; ctx may have a statement's.
func (js *jobs) span(ctx context.Context, object string, group uint32) trace.Span {
	_, span := js.tracer.Start(ctx, "build", trace.WithAttributes(attribute.String("tilehouse.object", object), attribute.Int64("tilehouse.group", int64(group))))
	return span
}

// endSpan ends a job's span. An error may show values, so it is not told.
func (j *job) endSpan(err error) {
	j.mu.Lock()
	k := j.j
	j.mu.Unlock()
	if j.span.IsRecording() {
		j.span.SetAttributes(attribute.Int64("tilehouse.rows", k.Rows), attribute.Int64("tilehouse.rows_kept", k.Kept), attribute.Int64("tilehouse.keys", k.Keys), attribute.String("tilehouse.stage", k.Stage))
	}
	ended(j.span, err)
}

func ended(span trace.Span, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		span.SetStatus(codes.Error, "cancelled")
	case err != nil:
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}

// foldTraced folds the fresh rows of a group.
func (m *Manager) foldTraced(ctx context.Context, g *Group, rows int64) error {
	ctx, span := m.cfg.Tracer.Start(ctx, "fold", trace.WithAttributes(attribute.Int64("tilehouse.group", int64(g.Schema.ID)), attribute.Int64("tilehouse.rows", rows)))
	err := m.cfg.Tiles.Fold(ctx, g.Tiles)
	ended(span, err)
	return err
}
