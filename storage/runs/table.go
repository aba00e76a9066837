package runs

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// wordKeyLen is the length of the encoding of one non-NULL key value of eight bytes: the case worth a path of its own.
const wordKeyLen = 9

// PartitionOf is the partition, 0 ≤ p < partitions, of an encoded key. Run files depend on it: it must never change.
func PartitionOf(key []byte, partitions int) int {
	return partitionOf(xxh3.Hash(key), partitions)
}

func partitionOf(hash uint64, partitions int) int {
	hi, _ := bits.Mul64(hash, uint64(partitions))
	return int(hi)
}

// filterBits is the size of a KeyFilter: 1 MiB, which tells keys apart up to some millions of them.
const filterBits = 1 << 23

// KeyFilter remembers keys by one bit of their hash: it may take an unknown key for a known one, never the reverse. It
// is safe for concurrent use.
type KeyFilter struct {
	words [filterBits / 64]atomic.Uint64
}

func (f *KeyFilter) add(hash uint64) {
	// The low bits: partitions use the high ones.
	w, bit := &f.words[hash%filterBits/64], uint64(1)<<(hash%64)
	if w.Load()&bit == 0 {
		w.Or(bit)
	}
}

func (f *KeyFilter) has(hash uint64) bool {
	return f.words[hash%filterBits/64].Load()>>(hash%64)&1 != 0
}

// isWord reports whether a key is one that a word holds.
func isWord(key []byte) bool { return len(key) == wordKeyLen && key[0] == 1 }

// wordOf is the word of a key for which isWord holds. Words order as the keys do.
func wordOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:]) }

// appendWord appends the key of a word.
func appendWord(dst []byte, w uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 1), w)
}

// keyTable numbers the distinct keys of a partition densely, in order of first sight. While all keys are words it holds
// words; the first other key turns it to bytes.
type keyTable struct {
	words []uint64       // by number; while bytes == nil
	bytes *vector.Vector // by number
	slots []slot         // a power of two, at most half full
	mask  uint64
}

type slot struct {
	tag uint64 // the word, or the hash of the bytes
	id  int32  // number + 1; 0: free
}

const minSlots = 64

func (t *keyTable) reset() {
	t.words, t.bytes = t.words[:0], nil
	if t.slots == nil {
		t.slots = make([]slot, minSlots)
	}
	clear(t.slots)
	t.mask = uint64(len(t.slots) - 1)
}

func (t *keyTable) len() int {
	if t.bytes != nil {
		return t.bytes.N
	}
	return len(t.words)
}

// spread is the finalizer of MurmurHash3: words of keys are often small integers, whose low bits alone would collide.
func spread(w uint64) uint64 {
	w ^= w >> 33
	w *= 0xff51afd7ed558ccd
	return w ^ w>>33
}

// word finds the number of a word, or -1; with insert it numbers it.
func (t *keyTable) word(w uint64, insert bool) int32 {
	for i := spread(w) & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.id != 0 {
			if s.tag == w {
				return s.id - 1
			}
			continue
		}
		if !insert {
			return -1
		}
		t.words = append(t.words, w)
		id := int32(len(t.words))
		*s = slot{w, id}
		if 2*len(t.words) > len(t.slots) {
			t.rehash(2 * len(t.slots))
		}
		return id - 1
	}
}

// key finds the number of a key of any form, or -1; with insert it numbers it.
func (t *keyTable) key(k []byte, insert bool) int32 {
	if t.bytes == nil {
		if isWord(k) {
			return t.word(wordOf(k), insert)
		}
		if !insert {
			return -1
		}
		t.toBytes()
	}
	h := xxh3.Hash(k)
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.id != 0 {
			if s.tag == h && bytes.Equal(t.bytes.Bytes(int(s.id-1)), k) {
				return s.id - 1
			}
			continue
		}
		if !insert {
			return -1
		}
		t.bytes.AppendBytes(k)
		id := int32(t.bytes.N)
		*s = slot{h, id}
		if 2*t.bytes.N > len(t.slots) {
			t.rehash(2 * len(t.slots))
		}
		return id - 1
	}
}

// toBytes turns a table of words to one of bytes; numbers stay.
func (t *keyTable) toBytes() {
	t.bytes = vector.New(vector.T(vector.Bytes), len(t.words)+1)
	var buf [wordKeyLen]byte
	for _, w := range t.words {
		t.bytes.AppendBytes(appendWord(buf[:0], w))
	}
	t.words = t.words[:0]
	t.rehash(len(t.slots))
}

func (t *keyTable) rehash(n int) {
	t.slots, t.mask = make([]slot, n), uint64(n-1)
	for id := range t.len() {
		var tag, at uint64
		if t.bytes == nil {
			tag = t.words[id]
			at = spread(tag)
		} else {
			tag = xxh3.Hash(t.bytes.Bytes(id))
			at = tag
		}
		for at &= t.mask; t.slots[at].id != 0; at = (at + 1) & t.mask {
		}
		t.slots[at] = slot{tag, int32(id) + 1}
	}
}

// appendKey appends the key of a number.
func (t *keyTable) appendKey(dst []byte, id int) []byte {
	if t.bytes != nil {
		return append(dst, t.bytes.Bytes(id)...)
	}
	return appendWord(dst, t.words[id])
}

// compare orders numbers by their keys' bytes.
func (t *keyTable) compare(a, b int32) int {
	if t.bytes != nil {
		return bytes.Compare(t.bytes.Bytes(int(a)), t.bytes.Bytes(int(b)))
	}
	switch x, y := t.words[a], t.words[b]; {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
