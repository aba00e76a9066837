package cassandra

import "context"

// Sweep looks at some partitions, at most limit, and deletes those of groups that are gone. from is where it begins, nil at the
// beginning, and next where the step after it does, nil at the end.
func (s *Store) Sweep(ctx context.Context, stamp int64, from []byte, limit int, gone func(group int64) bool) (deleted int64, next []byte, err error) {
	it := s.session.Query("SELECT DISTINCT grp, key FROM tiles").PageSize(limit).PageState(from).Prefetch(0).IterContext(ctx)
	next = it.PageState()
	var group int64
	var key []byte
	for n := it.NumRows(); n > 0 && it.Scan(&group, &key); n-- { // of this page only
		if gone(group) {
			deleted++
			if err := s.session.Query("DELETE FROM tiles USING TIMESTAMP ? WHERE grp = ? AND key = ?", stamp, group, key).ExecContext(ctx); err != nil {
				return deleted, from, classify(err)
			}
		}
		key = nil
	}
	if err := it.Close(); err != nil {
		return deleted, from, classify(err)
	}
	if len(next) == 0 {
		next = nil
	}
	return deleted, next, nil
}
