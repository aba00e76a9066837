package tiles

import (
	"encoding/binary"
	"fmt"
)

// The kinds of key, the byte after the group's prefix. They are written to disk.
const (
	kindRecord   = 'K' // entity key → key record
	kindNode     = 'N' // entity key, day, level, bucket → row pack or inner node
	kindDay      = 'D' // day, entity key → nothing: the index of days
	kindBroken   = 'B' // entity key → nothing: the index of keys that wait for Rebuild
	kindMeta     = 'M' // → group record
	kindPosition = 'P' // → position record
	kindFresh    = 'F' // → newest position of fresh rows
)

const (
	keyHead  = 6     // 't', prefix, kind
	nodeTail = 4 + 9 // day, level, bucket
)

func appendHead(dst []byte, prefix uint32, kind byte) []byte {
	dst = append(dst, 't')
	dst = binary.BigEndian.AppendUint32(dst, prefix)
	return append(dst, kind)
}

func appendDay(dst []byte, day int64) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(int32(day))^1<<31)
}

func appendRecordKey(dst []byte, prefix uint32, key []byte) []byte {
	return append(appendHead(dst, prefix, kindRecord), key...)
}

func appendNodeKey(dst []byte, prefix uint32, key []byte, day int64, level int, bucket int64) []byte {
	dst = append(appendHead(dst, prefix, kindNode), key...)
	dst = append(appendDay(dst, day), byte(level))
	return binary.BigEndian.AppendUint64(dst, uint64(bucket))
}

func appendDayKey(dst []byte, prefix uint32, day int64, key []byte) []byte {
	return append(appendDay(appendHead(dst, prefix, kindDay), day), key...)
}

func appendBrokenKey(dst []byte, prefix uint32, key []byte) []byte {
	return append(appendHead(dst, prefix, kindBroken), key...)
}

// splitDayKey is the inverse of appendDayKey. key aliases k.
func splitDayKey(k []byte) (day int64, key []byte, err error) {
	if len(k) < keyHead+4 || k[keyHead-1] != kindDay {
		return 0, nil, fmt.Errorf("%w: day index key %x", ErrCorrupt, k)
	}
	return int64(int32(binary.BigEndian.Uint32(k[keyHead:]) ^ 1<<31)), k[keyHead+4:], nil
}

// kindBounds are the keys [lo, hi) of one kind of a group.
func kindBounds(prefix uint32, kind byte) (lo, hi []byte) {
	return appendHead(nil, prefix, kind), appendHead(nil, prefix, kind+1)
}

// groupBounds are the keys [lo, hi) of a group.
func groupBounds(prefix uint32) (lo, hi []byte) {
	return appendHead(nil, prefix, 0), appendHead(nil, prefix, 0xff)
}
