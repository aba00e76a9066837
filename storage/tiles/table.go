package tiles

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// table is byte strings by an ascending id, a fixed number an entry: the partial states of an inner node's children, by bucket;
// those of a key's folded rows, by era; those of a key's days, by day, each with a row pack after them. It is immutable once
// built. An empty state is that of no rows.
type table struct {
	width int // strings an entry
	ids   []int64
	meta  []int64 // inner node: rows of the child; days: 1 where the day is settled; eras: 1 where the state is broken
	// String p of entry i is data[off[k]:off[k+1]], k = i·width + p, where off[k+1] has no mark. With the mark repeated it is the
	// string before it, which takes no space of its own: sum and avg of one column are one, and least and greatest of one row.
	off  []uint32
	data []byte
}

// repeated marks the end of a string that is equal to the one before it in its entry.
const repeated = 1 << 31

func newTable(width, n, bytes int) *table {
	return &table{width: width, ids: make([]int64, 0, n), meta: make([]int64, 0, n),
		off: append(make([]uint32, 0, n*width+1), 0), data: make([]byte, 0, bytes)}
}

func (t *table) n() int { return len(t.ids) }

// state is string p of entry i.
func (t *table) state(i, p int) []byte {
	k := i*t.width + p
	for t.off[k+1] >= repeated {
		k--
	}
	return t.data[t.off[k]&^repeated : t.off[k+1]]
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

// close ends the string whose bytes were appended to data since the last one.
func (t *table) close() {
	k := len(t.off) - 1
	from := t.off[k] &^ repeated
	if at := len(t.ids) - 1; k > at*t.width && int(from) < len(t.data) && bytes.Equal(t.data[from:], t.state(at, k-1-at*t.width)) {
		t.data = t.data[:from]
		t.off = append(t.off, from|repeated)
		return
	}
	t.off = append(t.off, uint32(len(t.data)))
}

// push gives the open entry its next string.
func (t *table) push(b []byte) {
	t.data = append(t.data, b...)
	t.close()
}

// empty gives the open entry empty strings.
func (t *table) empty() {
	for range t.width {
		t.close()
	}
}

// rowsOnly gives the open entry of a day that is not settled no states, and the day's row pack, nil for none.
func (t *table) rowsOnly(pack []byte) {
	for range t.width - 1 {
		t.close()
	}
	t.push(pack)
}

// copyFrom appends entries from ≤ i < to of s.
func (t *table) copyFrom(s *table, from, to int) {
	if from >= to {
		return
	}
	t.ids, t.meta = append(t.ids, s.ids[from:to]...), append(t.meta, s.meta[from:to]...)
	a, b := from*s.width, to*s.width
	base := uint32(len(t.data)) - s.off[a]&^repeated
	t.data = append(t.data, s.data[s.off[a]&^repeated:s.off[b]&^repeated]...)
	for _, o := range s.off[a+1 : b+1] {
		t.off = append(t.off, o+base) // the mark is above every sum
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
		if t.off[k] >= repeated {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(t.off[k]-t.off[k-1]&^repeated)+1)
	}
	return append(dst, t.data...)
}

// table decodes what appendTable wrote into t, whose memory it uses again. data aliases the decoder's bytes.
func (d *decoder) table(t *table, width int) error {
	n := d.count()
	if n*width > len(d.b) {
		return fmt.Errorf("%w: length of a table of states", ErrCorrupt)
	}
	t.width, t.ids, t.meta = width, slices.Grow(t.ids[:0], n)[:n], slices.Grow(t.meta[:0], n)[:n]
	t.off = slices.Grow(t.off[:0], n*width+1)[:n*width+1]
	last := int64(0)
	for i := range n {
		id := d.varint()
		if i > 0 {
			if id = last + int64(zigzag(id)); id <= last {
				return fmt.Errorf("%w: order of a table of states", ErrCorrupt)
			}
		}
		last, t.ids[i], t.meta[i] = id, id, int64(d.uvarint())
	}
	t.off[0] = 0
	sum, first := uint64(0), 1 // the next entry's first string
	for k := 1; k < len(t.off); k++ {
		u := d.uvarint()
		begins := k == first
		if begins {
			first += width
		}
		if u == 0 {
			if begins {
				return fmt.Errorf("%w: an entry of a table begins with a repetition", ErrCorrupt)
			}
			t.off[k] = uint32(sum) | repeated
			continue
		}
		if sum += u - 1; u > 1<<31 || sum > uint64(len(d.b)) {
			return fmt.Errorf("%w: states of a table", ErrCorrupt)
		}
		t.off[k] = uint32(sum)
	}
	if sum >= repeated {
		return fmt.Errorf("%w: size of a table", ErrCorrupt)
	}
	t.data = d.take(sum)
	if d.bad {
		return fmt.Errorf("%w: table of states", ErrCorrupt)
	}
	return nil
}

// record is what a group knows of one key: its days, and what was folded away before them. Immutable once built.
type record struct {
	// days are those that have rows. The last string of an entry is the day's row pack where the record holds it, else empty.
	days *table
	life *life // nil: no row was folded
}

// life is the cumulative states of the rows of days that were pruned, an entry an era that has rows.
type life struct {
	states   *table
	min, max []int64 // bounds of the event times folded, inclusive, by entry; a deletion leaves them as they are
}

// newDays is an empty table of days for n entries.
func newDays(g *Group, n, bytes int) *table { return newTable(len(g.Partials)+1, n, bytes) }

// pack is the row pack that the record holds of the day at entry i, nil where there is none.
func (r *record) pack(i int) []byte { return r.days.state(i, r.days.width-1) }

func appendRecord(dst []byte, r *record) []byte {
	dst = append(dst, tagRecord)
	if r.life == nil {
		dst = append(dst, 0)
	} else {
		dst = appendTable(dst, r.life.states)
		for i := range r.life.states.n() {
			dst = binary.AppendUvarint(dst, zigzag(r.life.min[i]))
			dst = binary.AppendUvarint(dst, zigzag(r.life.max[i]))
		}
	}
	return appendTable(dst, r.days)
}

// decode decodes a key record into r, whose memory it uses again; its states alias b.
func (r *record) decode(partials int, b []byte) error {
	d := &decoder{b: b}
	if d.byte() != tagRecord {
		return fmt.Errorf("%w: not a key record", ErrCorrupt)
	}
	r.life = nil
	if r.days == nil {
		r.days = &table{}
	}
	if len(d.b) > 0 && d.b[0] == 0 {
		d.b = d.b[1:] // nothing was folded
	} else {
		l := &life{states: &table{}}
		if err := d.table(l.states, partials); err != nil {
			return err
		}
		for range l.states.n() {
			l.min, l.max = append(l.min, d.varint()), append(l.max, d.varint())
		}
		r.life = l
	}
	if err := d.table(r.days, partials+1); err != nil {
		return err
	}
	if len(d.b) > 0 {
		return fmt.Errorf("%w: length of a key record", ErrCorrupt)
	}
	return nil
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
	// While fresh rows are folded: the position up to which those of keys up to through are, too. 0: none are being.
	foldTo  uint64
	through []byte
}

// of is the position of the tiles of a key.
func (p *position) of(key []byte) uint64 {
	if p.foldTo > 0 && bytes.Compare(key, p.through) <= 0 {
		return p.foldTo
	}
	return p.pos
}

func appendPosition(dst []byte, p *position) []byte {
	tag := byte(tagPos)
	if p.foldTo > 0 {
		tag = tagPosFold
	}
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, p.pos)
	dst = binary.AppendUvarint(dst, zigzag(p.rows))
	dst = binary.AppendUvarint(dst, zigzag(p.keys))
	if p.foldTo == 0 {
		return dst
	}
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.foldTo), uint64(len(p.through)))
	return append(dst, p.through...)
}

func decodePosition(b []byte) (*position, error) {
	d := &decoder{b: b}
	tag := d.byte()
	p := &position{pos: d.uvarint(), rows: d.varint(), keys: d.varint()}
	if tag == tagPosFold {
		p.foldTo, p.through = d.uvarint(), bytes.Clone(d.take(d.uvarint()))
		d.bad = d.bad || p.foldTo == 0
		tag = tagPos
	}
	if tag != tagPos || d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: position record", ErrCorrupt)
	}
	return p, nil
}
