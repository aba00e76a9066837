package reclog

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The newest event time that a source has ever been given is a step function of the position that only rises, also where the
// row went again: what a watermark is made of. It is written at the positions at which it rises, of sources whose changes say
// which column it is (Change.Time), or what it is (Change.Mark).

// newestKey is the key of a rise.
func newestKey(s SourceID, pos uint64) []byte {
	return binary.BigEndian.AppendUint64(sourceKey(KeyNewest, s), pos)
}

// rises are the newest times of the sources whose newest time a transaction raises.
func (g *group) rises(changes []Change) (map[SourceID]int64, error) {
	var out map[SourceID]int64
	for i := range changes {
		c := &changes[i]
		if c.Mark == nil && (c.Time == 0 || c.Inserts == nil || c.Inserts.N == 0) {
			continue
		}
		have, ok := out[c.Source]
		if !ok {
			var err error
			if have, ok, err = g.newestOf(c.Source); err != nil {
				return nil, err
			}
		}
		rose := false
		rise := func(t int64) {
			if !ok || t > have {
				have, ok, rose = t, true, true
			}
		}
		if c.Mark != nil {
			rise(*c.Mark)
		} else {
			v := c.Inserts.Cols[c.Time-1]
			for i := range c.Inserts.N {
				if !v.IsNull(i) {
					rise(v.I64[i])
				}
			}
		}
		if rose {
			if out == nil {
				out = map[SourceID]int64{}
			}
			out[c.Source] = have
		}
	}
	return out, nil
}

// newestOf is the newest time of a source, those of earlier transactions of the group included.
func (g *group) newestOf(s SourceID) (int64, bool, error) {
	if t, ok := g.newest[s]; ok {
		return t, true, nil
	}
	if t, ok := g.l.newest[s]; ok {
		return t, true, nil
	}
	return newestIn(g.l.db, s, ^uint64(0))
}

// newestIn is the newest time of a source at a position; false: it had no rows.
func newestIn(r pebble.Reader, s SourceID, pos uint64) (int64, bool, error) {
	upper := sourceEnd(KeyNewest, s)
	if pos != ^uint64(0) {
		upper = newestKey(s, pos+1)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: sourceKey(KeyNewest, s), UpperBound: upper})
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, false, it.Error()
	}
	v, err := it.ValueAndErr()
	if err == nil && len(v) != 8 {
		err = fmt.Errorf("%w: newest time of source %d", ErrCorrupt, s)
	}
	if err != nil {
		return 0, false, err
	}
	return int64(binary.BigEndian.Uint64(v)), true, nil
}

// Newest is the newest event time, in microseconds UTC, of the rows that a source had been given up to a position, whether or not
// they are still there; false: none, or its changes name no column of it (Change.Time).
func (l *Log) Newest(s SourceID, pos uint64) (int64, bool, error) {
	if err := l.enter(); err != nil {
		return 0, false, err
	}
	defer l.leave()
	return newestIn(l.db, s, min(pos, l.Position()))
}
