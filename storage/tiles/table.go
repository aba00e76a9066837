package tiles

import (
	"encoding/binary"
	"fmt"
	"sort"
)

// table is encoded partial states by an ascending id: the children of an inner node by bucket, the days of a key record by
// day. It is immutable once built. State p of entry i is data[off[i*p]:off[i*p+1]]; an empty one is that of no rows.
type table struct {
	partials int
	ids      []int64
	meta     []int64 // inner node: rows of the child; key record: 1 where the day is settled
	off      []uint32
	data     []byte
}

func newTable(partials, n, bytes int) *table {
	return &table{partials: partials, ids: make([]int64, 0, n), meta: make([]int64, 0, n),
		off: append(make([]uint32, 0, n*partials+1), 0), data: make([]byte, 0, bytes)}
}

func (t *table) n() int { return len(t.ids) }

func (t *table) state(i, p int) []byte {
	k := i*t.partials + p
	return t.data[t.off[k]:t.off[k+1]]
}

// search is the first entry with an id of at least id.
func (t *table) search(id int64) int {
	return sort.Search(len(t.ids), func(i int) bool { return t.ids[i] >= id })
}

func (t *table) find(id int64) (int, bool) {
	i := t.search(id)
	return i, i < len(t.ids) && t.ids[i] == id
}

// open starts an entry; its states follow by push, in order of the partials.
func (t *table) open(id, meta int64) { t.ids, t.meta = append(t.ids, id), append(t.meta, meta) }

// close ends the state whose bytes were appended to data since the last one.
func (t *table) close() { t.off = append(t.off, uint32(len(t.data))) }

// empty gives the open entry the states of no rows.
func (t *table) empty() {
	for range t.partials {
		t.close()
	}
}

// copyFrom appends entries from ≤ i < to of s.
func (t *table) copyFrom(s *table, from, to int) {
	if from >= to {
		return
	}
	t.ids, t.meta = append(t.ids, s.ids[from:to]...), append(t.meta, s.meta[from:to]...)
	a, b := from*s.partials, to*s.partials
	base := uint32(len(t.data)) - s.off[a]
	t.data = append(t.data, s.data[s.off[a]:s.off[b]]...)
	for _, o := range s.off[a+1 : b+1] {
		t.off = append(t.off, o+base)
	}
}

func (t *table) memBytes() int64 {
	return int64(cap(t.ids)+cap(t.meta))*8 + int64(cap(t.off))*4 + int64(cap(t.data)) + 128
}

func appendTable(dst []byte, t *table) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.ids)))
	var last int64
	for i, id := range t.ids {
		if i == 0 {
			dst = binary.AppendUvarint(dst, zigzag(id))
		} else {
			dst = binary.AppendUvarint(dst, uint64(id-last))
		}
		last = id
		dst = binary.AppendUvarint(dst, uint64(t.meta[i]))
	}
	for k := 1; k < len(t.off); k++ {
		dst = binary.AppendUvarint(dst, uint64(t.off[k]-t.off[k-1]))
	}
	return append(dst, t.data...)
}

// table decodes what appendTable wrote. data aliases the decoder's bytes.
func (d *decoder) table(partials int) (*table, error) {
	n := d.count()
	if n*partials > len(d.b) {
		return nil, fmt.Errorf("%w: length of a table of states", ErrCorrupt)
	}
	ints := make([]int64, 2*n)
	t := &table{partials: partials, ids: ints[:n:n], meta: ints[n:], off: make([]uint32, n*partials+1)}
	for i := range n {
		if i == 0 {
			t.ids[0] = d.varint()
		} else if t.ids[i] = t.ids[i-1] + int64(d.uvarint()); t.ids[i] <= t.ids[i-1] {
			return nil, fmt.Errorf("%w: order of a table of states", ErrCorrupt)
		}
		t.meta[i] = int64(d.uvarint())
	}
	var sum uint64
	for k := 1; k < len(t.off); k++ {
		sum += min(d.uvarint(), 1<<32)
		if sum > uint64(len(d.b)) {
			return nil, fmt.Errorf("%w: states of a table", ErrCorrupt)
		}
		t.off[k] = uint32(sum)
	}
	t.data = d.take(sum)
	if d.bad {
		return nil, fmt.Errorf("%w: table of states", ErrCorrupt)
	}
	return t, nil
}

// record is what a group knows of one key: its days, and what was folded away before them. Immutable once built.
type record struct {
	days *table // the days that have rows, ascending; meta 1: settled, with states
	life *life  // nil: no row was folded
}

// life is the cumulative state of the rows of days that were pruned.
type life struct {
	min, max int64 // bounds of the event times folded, inclusive; a deletion leaves them as they are
	broken   bool  // a row without inverse was deleted: the states are of no use until the key is rebuilt
	states   *table
}

const (
	flagLife   = 1
	flagBroken = 2
)

func appendRecord(dst []byte, r *record) []byte {
	dst = append(dst, tagRecord)
	if r.life == nil {
		dst = append(dst, 0)
	} else {
		flags := byte(flagLife)
		if r.life.broken {
			flags |= flagBroken
		}
		dst = append(dst, flags)
		dst = binary.AppendUvarint(dst, zigzag(r.life.min))
		dst = binary.AppendUvarint(dst, zigzag(r.life.max))
		dst = appendTable(dst, r.life.states)
	}
	return appendTable(dst, r.days)
}

// decodeRecord decodes a key record; its states alias b.
func decodeRecord(partials int, b []byte) (*record, error) {
	d := &decoder{b: b}
	if d.byte() != tagRecord {
		return nil, fmt.Errorf("%w: not a key record", ErrCorrupt)
	}
	r := &record{}
	var err error
	if flags := d.byte(); flags&flagLife != 0 {
		r.life = &life{broken: flags&flagBroken != 0, min: d.varint(), max: d.varint()}
		if r.life.states, err = d.table(partials); err != nil {
			return nil, err
		}
		if r.life.states.n() != 1 {
			return nil, fmt.Errorf("%w: lifetime state", ErrCorrupt)
		}
	}
	if r.days, err = d.table(partials); err != nil {
		return nil, err
	}
	if len(d.b) > 0 {
		return nil, fmt.Errorf("%w: length of a key record", ErrCorrupt)
	}
	return r, nil
}

// groupMeta is the group record.
type groupMeta struct {
	settled    int64 // the newest settled day; noDay: none
	publishing int64 // at least settled: days up to here are entered as settled when a key gets its first row of one
	horizon    int64 // rows of days before it are pruned; noDay: none are
}

// noDay is before every day.
const noDay = -1 << 31

func appendMeta(dst []byte, m *groupMeta) []byte {
	dst = append(dst, tagMeta)
	for _, x := range [...]int64{m.settled, m.publishing, m.horizon} {
		dst = binary.AppendUvarint(dst, zigzag(x))
	}
	return dst
}

func decodeMeta(b []byte) (*groupMeta, error) {
	d := &decoder{b: b}
	tag := d.byte()
	m := &groupMeta{settled: d.varint(), publishing: d.varint(), horizon: d.varint()}
	if tag != tagMeta || d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: group record", ErrCorrupt)
	}
	return m, nil
}

// position is the position record.
type position struct {
	pos        uint64
	rows, keys int64
}

func appendPosition(dst []byte, p *position) []byte {
	dst = append(dst, tagPos)
	dst = binary.AppendUvarint(dst, p.pos)
	dst = binary.AppendUvarint(dst, zigzag(p.rows))
	return binary.AppendUvarint(dst, zigzag(p.keys))
}

func decodePosition(b []byte) (*position, error) {
	d := &decoder{b: b}
	tag := d.byte()
	p := &position{pos: d.uvarint(), rows: d.varint(), keys: d.varint()}
	if tag != tagPos || d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: position record", ErrCorrupt)
	}
	return p, nil
}
