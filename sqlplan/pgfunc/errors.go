package pgfunc

import "github.com/tilehouse/tilehouse/sqlplan/codec"

// withDetail is an error with a detail.
func withDetail(err error, detail string) error {
	if e, ok := err.(*codec.Error); ok {
		c := *e
		c.Detail = detail
		return &c
	}
	return err
}

// withHint is an error with a hint.
func withHint(err error, hint string) error {
	if e, ok := err.(*codec.Error); ok {
		c := *e
		c.Hint = hint
		return &c
	}
	return err
}
