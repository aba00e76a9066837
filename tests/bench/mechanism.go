package main
import "context"
func mechanisms(ctx context.Context, e *environment, t *table) error {return nil}
