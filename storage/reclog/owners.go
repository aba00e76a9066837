package reclog

import "github.com/tilehouse/tilehouse/functions/vector"

// Owners says of each row of c to which live row its primary key belongs: a row id, or 0 where there is none. key are the columns of
// the primary key. A source with one writer can so find conflicts before it commits. Errors: ErrClosed, ErrCorrupt.
func (l *Log) Owners(source SourceID, c *vector.Chunk, key []int) ([]uint64, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	out := make([]uint64, c.N)
	var k []byte
	for i := range c.N {
		k = appendPrimary(k[:0], source, c, i, key)
		id, err := l.getUint(k)
		if err != nil {
			return nil, err
		}
		out[i] = id
	}
	return out, nil
}
