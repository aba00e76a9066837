package engine

import (
	"context"

	"go.opentelemetry.io/otel/codes"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// Masked is the statement's text without the values in it, for the gateway's spans.
func (p *prepared) Masked() string { return parse.Masked(p.sql) }

// traced runs what a statement does as a span, where there is a tracer.
func (e *Engine) traced(ctx context.Context, name string, do func(ctx context.Context) error) error {
	if e.cfg.Tracer == nil {
		return do(ctx)
	}
	ctx, span := e.cfg.Tracer.Start(ctx, name)
	defer span.End()
	err := do(ctx)
	if err != nil {
		span.SetStatus(codes.Error, asError(err).Code)
	}
	return err
}
