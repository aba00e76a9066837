package reclog

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The first byte of every key of the shared database names the keyspace's owner.
const (
	KeyMeta      = 'm' // this package: format version, sequences, floors of row ids, markers of staged bulks
	KeyCatalog   = 'c' // storage/catalog
	KeyLog       = 'l' // this package: changes and bulk chunks, by source and position
	KeyLive      = 'v' // this package: live rows, by source and row id
	KeyPrimary   = 'k' // this package: primary keys, by source and key encoding
	KeyPosition  = 'p' // this package: commit times, by position
	KeyNewest    = 'w' // this package: newest event times, by source and position
	KeyTiles     = 't' // storage/tiles
	KeyFeatures  = 'f' // storage/featurelog
	KeyOvertaken = 's' // materialize: groups of which attributes changed events
	KeyNumbers   = 'q' // sqlplan/engine: last values of sequences
	KeyStreams   = 'o' // storage/streams: how far streams are read, by source
	KeyLetters   = 'd' // storage/streams: messages that are no rows, by source and number
	KeyEnds      = 'e' // storage/streams: messages that ended rows, by source and primary key
	KeyFollowed  = 'u' // materialize: stream rows that dual sources left out, by source and position
	KeyJournal   = 'j' // storage/tiles: values that changed; materialize/disperse: how far they are sent
	KeyFree      = 'x' // nobody
)

// ErrCorrupt is wrapped by errors about keys and values that this package cannot have written.
var ErrCorrupt = errors.New("reclog: corrupt record")

func sourceKey(space byte, s SourceID) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 24), space), uint32(s))
}

// sourceEnd is the least key after all keys of a source.
func sourceEnd(space byte, s SourceID) []byte {
	k := sourceKey(space, s)
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			return k
		}
	}
	return k
}

const (
	logChanges = 0 // log keys of changes
	logBulk    = 1 // log keys of chunks that a change refers to
)

func changeKey(s SourceID, pos uint64, change int) []byte {
	k := binary.BigEndian.AppendUint64(append(sourceKey(KeyLog, s), logChanges), pos)
	if change > 0 {
		k = binary.BigEndian.AppendUint32(k, uint32(change))
	}
	return k
}

func parseChangeKey(k []byte) (pos uint64, change int, err error) {
	switch len(k) {
	case 14:
		return binary.BigEndian.Uint64(k[6:]), 0, nil
	case 18:
		return binary.BigEndian.Uint64(k[6:]), int(binary.BigEndian.Uint32(k[14:])), nil
	}
	return 0, 0, fmt.Errorf("%w: change key of %d bytes", ErrCorrupt, len(k))
}

func bulkKey(s SourceID, bulk uint64, chunk int) []byte {
	k := binary.BigEndian.AppendUint64(append(sourceKey(KeyLog, s), logBulk), bulk)
	return binary.BigEndian.AppendUint32(k, uint32(chunk))
}

func bulkMarker(s SourceID, bulk uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte{KeyMeta, 's'}, uint32(s))
	return binary.BigEndian.AppendUint64(k, bulk)
}

func liveKey(s SourceID, first uint64) []byte {
	return binary.BigEndian.AppendUint64(sourceKey(KeyLive, s), first)
}

func positionKey(pos uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{KeyPosition}, pos)
}

// appendPosition is the value of a position: its commit time, and the source that alone it changed; nil: none, several, or more than rows.
func appendPosition(at int64, only *SourceID) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(at))
	if only != nil {
		b = binary.BigEndian.AppendUint32(b, uint32(*only))
	}
	return b
}

// decodePosition is the commit time of a position's value.
func decodePosition(v []byte) (int64, error) {
	if len(v) != 8 && len(v) != 12 {
		return 0, fmt.Errorf("%w: position of %d bytes", ErrCorrupt, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

// onlyOf is the source that alone a position changed; false: there is none.
func onlyOf(v []byte) (SourceID, bool) {
	if len(v) != 12 {
		return 0, false
	}
	return SourceID(binary.BigEndian.Uint32(v[8:])), true
}

func trimKey(s SourceID) []byte {
	return binary.BigEndian.AppendUint32([]byte{KeyMeta, 't'}, uint32(s))
}

func floorKey(s SourceID) []byte {
	return binary.BigEndian.AppendUint32([]byte{KeyMeta, 'r'}, uint32(s))
}

var (
	formatKey = []byte{KeyMeta, 'f'}
	epochKey  = []byte{KeyMeta, 'e'}
)

func sequenceKey(name string) []byte { return append([]byte{KeyMeta, 'n'}, name...) }

// change is the value of a change's log key.
type change struct {
	first   uint64   // id of the first inserted row; without inserts, the next that would be given
	rows    int      // inserted
	deletes []uint64 // in the order given
	key     []int    // primary-key columns of the inserted rows
	inline  []byte   // the one chunk, encoded; nil: chunks are at bulk, or rows = 0
	bulk    uint64
	sizes   []int  // rows that each chunk of the bulk came with
	gone    []byte // bit i: chunk i of the bulk was trimmed away; nil: none was
}

// lacks reports whether chunk i of the bulk was trimmed away.
func (c *change) lacks(i int) bool { return c.gone != nil && c.gone[i>>3]>>(i&7)&1 != 0 }

// Forms of a change's rows.
const (
	formNone    = 0
	formInline  = 1
	formBulk    = 2
	formTrimmed = 3 // chunks of a bulk, of which some are gone
)

// append writes the fixed parts first, then deletes as differences, then the rows.
func (c *change) append(b []byte) []byte {
	form := byte(formNone)
	switch {
	case c.inline != nil:
		form = formInline
	case c.rows > 0 && c.gone != nil:
		form = formTrimmed
	case c.rows > 0:
		form = formBulk
	}
	b = append(b, form)
	b = binary.AppendUvarint(b, c.first)
	b = binary.AppendUvarint(b, uint64(len(c.deletes)))
	prev := uint64(0)
	for _, id := range c.deletes {
		b = binary.AppendVarint(b, int64(id-prev))
		prev = id
	}
	if form == formNone {
		return b
	}
	b = binary.AppendUvarint(b, uint64(c.rows))
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	for _, k := range c.key {
		b = binary.AppendUvarint(b, uint64(k))
	}
	if form == formInline {
		return append(b, c.inline...)
	}
	b = binary.AppendUvarint(b, c.bulk)
	b = binary.AppendUvarint(b, uint64(len(c.sizes)))
	for _, n := range c.sizes {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(b, c.gone...)
}

// decodeChange shares b's memory for the inline chunk.
func decodeChange(b []byte) (*change, error) {
	d := &decoder{b: b}
	c := &change{}
	form := d.byte()
	c.first = d.uvarint()
	n := d.count(len(b)) // a delete takes a byte at least
	prev := uint64(0)
	for range n {
		x, k := binary.Varint(d.b)
		if k <= 0 {
			d.fail("bad delete")
			break
		}
		d.b = d.b[k:]
		prev += uint64(x)
		c.deletes = append(c.deletes, prev)
	}
	if form != formNone {
		c.rows = d.count(1 << 40)
		for range d.count(maxColumns) {
			c.key = append(c.key, d.count(maxColumns))
		}
	}
	switch form {
	case formNone:
	case formInline:
		c.inline = d.b
	case formBulk, formTrimmed:
		c.bulk = d.uvarint()
		for range d.count(len(b)) {
			c.sizes = append(c.sizes, d.count(MaxChunkRows))
		}
		if form == formTrimmed {
			c.gone = append([]byte(nil), d.take((len(c.sizes)+7)/8)...)
		}
	default:
		d.fail("form %d", form)
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: change: %w", ErrCorrupt, d.err)
	}
	return c, nil
}

// live is the value of a live-row entry: the rows first ≤ id < first+n that came by one chunk, less the dead.
type live struct {
	pos    uint64
	n      int
	change int    // index of the change in its transaction; inline form only
	bulk   uint64 // 0: the chunk is inline in the change's record
	chunk  int
	dead   []byte // bit i: row first+i is deleted; nil: none
	ndead  int
}

func (e *live) append(b []byte) []byte {
	form := byte(0)
	if e.bulk != 0 {
		form |= 1
	}
	if e.dead != nil {
		form |= 2
	}
	b = append(b, form)
	b = binary.AppendUvarint(b, e.pos)
	b = binary.AppendUvarint(b, uint64(e.n))
	if e.bulk != 0 {
		b = binary.AppendUvarint(b, e.bulk)
		b = binary.AppendUvarint(b, uint64(e.chunk))
	} else {
		b = binary.AppendUvarint(b, uint64(e.change))
	}
	return append(b, e.dead...)
}

func decodeLive(b []byte) (*live, error) {
	d := &decoder{b: b}
	e := &live{}
	form := d.byte()
	e.pos = d.uvarint()
	e.n = d.count(MaxChunkRows)
	if form&1 != 0 {
		e.bulk, e.chunk = d.uvarint(), d.count(1<<31)
	} else {
		e.change = d.count(1 << 31)
	}
	if form&2 != 0 {
		e.dead = append([]byte(nil), d.take((e.n+7)/8)...)
		for i := range e.n {
			if d.err == nil && e.isDead(i) {
				e.ndead++
			}
		}
	}
	if form > 3 || len(d.b) != 0 {
		d.fail("form %d, %d bytes left", form, len(d.b))
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: live entry: %w", ErrCorrupt, d.err)
	}
	return e, nil
}

func (e *live) isDead(i int) bool { return e.dead != nil && e.dead[i>>3]>>(i&7)&1 != 0 }

func (e *live) kill(i int) {
	if e.dead == nil {
		e.dead = make([]byte, (e.n+7)/8)
	}
	e.dead[i>>3] |= 1 << (i & 7)
	e.ndead++
}

func (e *live) revive(i int) {
	e.dead[i>>3] &^= 1 << (i & 7)
	if e.ndead--; e.ndead == 0 {
		e.dead = nil
	}
}
