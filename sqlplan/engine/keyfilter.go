package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// A keyFilter says of a key that no row of a table has it, or that one may: a Bloom filter over the keys of a unique index, of
// those that are gone too. It saves the scan of the table that a new key costs otherwise; a key that it may have is looked for.
// It is read and changed under its table's lock, and what changes keys otherwise than by few rows forgets it.
type keyFilter struct {
	index  uint64
	of     xxh3.Uint128 // the definitions that it was made for
	layers []keyLayer
	missed int // keys that were looked for in the table since the filter was forgotten; meaningless once there are layers
}

// keyLayer is a Bloom filter for so many keys; when it is full, a greater one is laid upon it.
type keyLayer struct {
	words []uint64
	room  int
}

const (
	keyBits   = 12 // of a filter for each key: one key in 300 that is new is looked for in vain
	keyProbes = 8
	minLayer  = 1 << 12 // keys
	// maxKeyFilters bounds the filters of all tables, in bytes. One that needs more room takes it from all others.
	maxKeyFilters = 32 << 20
	// rowsLooked is how many rows of a table one search for a key stands for: a filter, which costs a scan of all, is made
	// when the searches cost as much.
	rowsLooked = 50_000
)

// keyWords is the size of a layer for so many keys.
func keyWords(keys int) int { return (max(keys, minLayer)*keyBits + 63) / 64 }

// spots calls f with the words and bits of a key until it says no.
func (l *keyLayer) spots(key []byte, f func(word *uint64, bit uint64) bool) bool {
	h := xxh3.Hash128(key)
	at, n := h.Lo, uint64(len(l.words))*64
	for range keyProbes {
		bit := at % n
		if !f(&l.words[bit/64], 1<<(bit%64)) {
			return false
		}
		at += h.Hi | 1
	}
	return true
}

// may reports whether a row of the table may have a key.
func (f *keyFilter) may(key []byte) bool {
	for i := range f.layers {
		if f.layers[i].spots(key, func(w *uint64, bit uint64) bool { return *w&bit != 0 }) {
			return true
		}
	}
	return false
}

// add adds a key; it reports whether there was room. Without, the filter no longer has all keys.
func (k *keyFilters) add(f *keyFilter, key []byte) bool {
	l := &f.layers[len(f.layers)-1]
	if l.room == 0 {
		if !k.layer(f, 2*len(l.words)*64/keyBits) {
			return false
		}
		l = &f.layers[len(f.layers)-1]
	}
	l.room--
	l.spots(key, func(w *uint64, bit uint64) bool { *w |= bit; return true })
	return true
}

// layer lays a layer for so many keys upon a filter, if there is room.
func (k *keyFilters) layer(f *keyFilter, keys int) bool {
	words := keyWords(keys)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[f.index] != f { // it had to give way
		return false
	}
	if k.bytes+words*8 > maxKeyFilters { // who uses one of the others now goes on with it, and makes it anew later
		clear(k.known)
		if k.bytes = f.bytes(); k.bytes+words*8 > maxKeyFilters {
			k.bytes = 0
			return false
		}
		k.known[f.index] = f
	}
	k.bytes += words * 8
	f.layers = append(f.layers, keyLayer{words: make([]uint64, words), room: max(keys, minLayer)})
	return true
}

func (f *keyFilter) bytes() (n int) {
	for _, l := range f.layers {
		n += len(l.words) * 8
	}
	return n
}

// keyFilters are an engine's filters, by index. A filter belongs to whoever holds its table's lock, the map to mu.
type keyFilters struct {
	mu    sync.Mutex
	known map[uint64]*keyFilter
	bytes int // of layers
}

func newKeyFilters() *keyFilters { return &keyFilters{known: map[uint64]*keyFilter{}} }

// of is the filter of an index; it has no layers where it was not made yet.
func (k *keyFilters) of(index uint64, definition xxh3.Uint128) *keyFilter {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.known[index]
	if f == nil || f.of != definition {
		if f != nil {
			k.bytes -= f.bytes()
		}
		f = &keyFilter{index: index, of: definition}
		k.known[index] = f
	}
	return f
}

// forget drops the filter of an index.
func (k *keyFilters) forget(index uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.known[index]; f != nil {
		k.bytes -= f.bytes()
		delete(k.known, index)
	}
}

// forgetKeys drops the filters of a table whose keys a statement changes otherwise than by the way of few rows.
func (s *Session) forgetKeys(table uint64) {
	for _, x := range s.tabs.IndexesOf(table) {
		if x.Of.Unique {
			s.e.keys.forget(x.ID)
		}
	}
}

// filter is the filter of the batch's table and a key, made where that is worth its cost; nil: none.
func (b *fewBatch) filter(ctx context.Context, number int) (*keyFilter, error) {
	s, r, k := b.s, b.rules, &b.rules.keys[number]
	f := s.e.keys.of(k.id, r.definition)
	if f.layers != nil {
		return f, nil
	}
	table := duckName(r.table)
	n, err := s.countedRows(ctx, "SELECT count(*) FROM "+table, nil)
	if err != nil || int64(f.missed)*rowsLooked < n {
		f.missed++
		return nil, err
	}
	filters := s.e.keys
	if !filters.layer(f, int(n+n/2)) {
		return nil, nil
	}
	names, at := make([]string, len(k.at)), make([]int, len(k.at))
	for i, c := range k.at {
		names[i], at[i] = duck.QuoteIdent(r.table.Columns[c].Name), i
	}
	var key []byte
	full := errors.New("no room for the table's keys")
	err = s.eachRow(ctx, fmt.Sprintf("SELECT %s FROM %s", strings.Join(names, ", "), table), func(ch *vector.Chunk) error {
		for i := range ch.N {
			var ok bool
			if key, ok = appendRowKey(key[:0], ch.Cols, at, i); ok && !filters.add(f, key) {
				return full
			}
		}
		return nil
	})
	for key := range b.keys { // of rows that are not in the table yet
		if err == nil && int(key[0]) == number && !filters.add(f, []byte(key[1:])) {
			err = full
		}
	}
	if err != nil {
		filters.forget(k.id)
		if errors.Is(err, full) {
			err = nil
		}
		return nil, err
	}
	return f, nil
}

// appendRowKey is the encoding of a row's key; ok is false where a part of it is NULL, which equals nothing.
func appendRowKey(dst []byte, cols []*vector.Vector, at []int, row int) (key []byte, ok bool) {
	for _, c := range at {
		if cols[c].IsNull(row) {
			return dst, false
		}
		dst = vector.AppendKey(dst, cols[c], row)
	}
	return dst, true
}

// eachRow gives a query's rows to f.
func (s *Session) eachRow(ctx context.Context, sql string, f func(ch *vector.Chunk) error) error {
	return s.conn.EachChunk(ctx, sql, f)
}
