package reclog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Keys are the primary keys of the rows of a chunk, and the live rows that they belonged to when they were looked for.
type Keys struct {
	owners  []uint64 // 0: none
	encoded [][]byte // database keys
	sorted  []uint32 // rows by key, those of one key in their order
	again   []bool   // rows of whose key there is one before; nil: none
}

// Keys looks for the primary keys of the rows of c. key are their columns. A source with one writer can so find conflicts before it
// commits, and say so (Change.Resolved). Errors: ErrClosed, ErrCorrupt.
func (l *Log) Keys(source SourceID, c *vector.Chunk, key []int) (*Keys, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	k := &Keys{owners: make([]uint64, c.N), encoded: encodeKeys(source, c, key)}
	k.sorted = sortKeys(k.encoded)
	for i := 1; i < len(k.sorted); i++ {
		if bytes.Equal(k.encoded[k.sorted[i-1]], k.encoded[k.sorted[i]]) {
			if k.again == nil {
				k.again = make([]bool, c.N)
			}
			k.again[k.sorted[i]] = true
		}
	}
	return k, l.owners(source, k)
}

// sortKeys is the numbers of keys in their order, those of equal ones ascending. Most are told apart by the eight bytes after those that all
// begin with, which stand beside their number.
func sortKeys(keys [][]byte) []uint32 {
	type numbered struct {
		head uint64
		i    uint32
	}
	common := commonPrefix(keys)
	order := func(a, b numbered) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(keys[a.i], keys[b.i]); c != 0 {
			return c
		}
		return cmp.Compare(a.i, b.i)
	}
	heads := make([]numbered, len(keys))
	for i, k := range keys {
		var head [8]byte // a shorter key's ends in zeros: it is not after one that it is the beginning of
		copy(head[:], k[common:])
		heads[i] = numbered{binary.BigEndian.Uint64(head[:]), uint32(i)}
	}
	if !slices.IsSortedFunc(heads, order) {
		slices.SortFunc(heads, order)
	}
	sorted := make([]uint32, len(keys))
	for i, h := range heads {
		sorted[i] = h.i
	}
	return sorted
}

// commonPrefix is how many bytes all keys begin with.
func commonPrefix(keys [][]byte) int {
	if len(keys) == 0 {
		return 0
	}
	first := keys[0]
	n := len(first)
	for _, k := range keys[1:] {
		n = min(n, len(k))
		for !bytes.Equal(first[:n], k[:n]) {
			n--
		}
	}
	return n
}

// fewKeys are looked for one by one: a Bloom filter says of most that they are not there.
const fewKeys = 64

// owners finds the rows that keys belong to: many by an iterator, in their order. It goes from one to the next without beginning anew, and keys
// that fall between two that are there, as numbers that count up do, are passed by at once.
func (l *Log) owners(source SourceID, k *Keys) error {
	rest := k.sorted
	if len(rest) > fewKeys {
		it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: sourceKey(KeyPrimary, source), UpperBound: sourceEnd(KeyPrimary, source)})
		if err != nil {
			return err
		}
		defer it.Close()
		for len(rest) > 0 {
			if !it.SeekGE(k.encoded[rest[0]]) {
				return it.Error()
			}
			for len(rest) > 0 && bytes.Compare(k.encoded[rest[0]], it.Key()) < 0 {
				rest = rest[1:]
			}
			for len(rest) > 0 && bytes.Equal(k.encoded[rest[0]], it.Key()) {
				v, err := it.ValueAndErr()
				if err != nil {
					return err
				}
				if k.owners[rest[0]], err = decodeUint(it.Key(), v); err != nil {
					return err
				}
				rest = rest[1:]
			}
		}
	}
	for _, i := range rest {
		var err error
		if k.owners[i], err = l.getUint(k.encoded[i]); err != nil {
			return err
		}
	}
	return nil
}

// Owner is the live row that row i's key belongs to, 0: none.
func (k *Keys) Owner(i int) uint64 { return k.owners[i] }

// Free reports whether row i's key belongs to no live row, nor to a row of the chunk before i.
func (k *Keys) Free(i int) bool { return k.owners[i] == 0 && (k.again == nil || !k.again[i]) }

// Without is the keys of a chunk without some of its rows, of which all that stay are free.
func (k *Keys) Without(dropped []bool) *Keys {
	at := make([]uint32, len(dropped))
	out := &Keys{}
	for i, drop := range dropped {
		if !drop {
			at[i] = uint32(len(out.encoded))
			out.encoded = append(out.encoded, k.encoded[i])
		}
	}
	out.owners = make([]uint64, len(out.encoded))
	for _, i := range k.sorted {
		if !dropped[i] {
			out.sorted = append(out.sorted, at[i])
		}
	}
	return out
}

// Owners says of each row of c to which live row its primary key belongs: a row id, or 0 where there is none. key are the columns of
// the primary key. Errors: ErrClosed, ErrCorrupt.
func (l *Log) Owners(source SourceID, c *vector.Chunk, key []int) ([]uint64, error) {
	k, err := l.Keys(source, c, key)
	if err != nil {
		return nil, err
	}
	return k.owners, nil
}
