package session

import "context"

type notifyKey struct{}

// WithNotify lets a running statement send notices before it ends: progress of long work. send is called from the goroutine
// that runs Execute, during the call only.
func WithNotify(ctx context.Context, send func(Notice)) context.Context {
	return context.WithValue(ctx, notifyKey{}, send)
}

// Notify sends a notice at once where the gateway can, and reports whether it could.
func Notify(ctx context.Context, n Notice) bool {
	send, ok := ctx.Value(notifyKey{}).(func(Notice))
	if ok {
		send(n)
	}
	return ok
}
