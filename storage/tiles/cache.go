package tiles

import (
	"bytes"
	"hash/maphash"
	"sync"
)

const (
	cacheShards = 64
	entryCost   = 160 // bytes of an entry besides its key and value

	// A full shard takes in a value that it missed before, not long ago, and every admitEvery-th of the others, so that reads of
	// very many keys do not wash the hot ones out, nor pay for entries that nobody meets again.
	missesKept = 1024
	admitEvery = 256
)

// cache is a bounded cache of values by their Pebble key, in shards evicted by CLOCK. doc.go has the argument why a
// view of any version may share it. A nil value records that the key is absent.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu    sync.Mutex
	m     map[string]*entry
	hand  *entry // in the ring of entries, the next to be looked at when room is needed; nil: there are none
	used  int64
	limit int64
	// misses are marks of keys that were missed last, by hash; missed counts them.
	misses [missesKept]uint16
	missed uint32
	// touched is the version of the newest commit, finished or not, that writes to a key of the shard.
	touched uint64
}

type entry struct {
	key   string
	val   any
	size  int64
	since uint64 // the value holds at every version from since on
	used  bool   // since the hand passed it

	next, prev *entry
}

func newCache(limit int64) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].m = map[string]*entry{}
		c.shards[i].limit = limit / cacheShards
	}
	return c
}

func (c *cache) shard(key []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, key)%cacheShards]
}

// get returns the value that a view of version sees, where the cache has it; otherwise whether it is worth offering.
func (c *cache) get(key []byte, version uint64) (val any, ok, wanted bool) {
	h := maphash.Bytes(c.seed, key)
	s := &c.shards[h%cacheShards]
	s.mu.Lock()
	e := s.m[string(key)]
	if e != nil && e.since <= version {
		e.used, val, ok = true, e.val, true
	} else {
		wanted = s.miss(h)
	}
	s.mu.Unlock()
	return val, ok, wanted
}

// miss notes that the key of hash h is not there, and reports whether its value is to be entered.
func (s *shard) miss(h uint64) bool {
	slot, mark := &s.misses[(h>>16)%missesKept], uint16(h>>48)|1
	s.missed++
	again := *slot == mark
	*slot = mark
	return again || s.used < s.limit-s.limit/8 || s.missed%admitEvery == 0
}

// offer enters a value that a view of version read, unless a commit after that version writes to the shard.
func (c *cache) offer(key []byte, val any, size int64, version uint64) {
	s := c.shard(key)
	s.mu.Lock()
	if version >= s.touched {
		s.put(key, val, size, s.touched)
	}
	s.mu.Unlock()
}

// touch forgets key because the commit that will be version writes to it, and reports whether it was there. It is called before the
// commit can be seen.
func (c *cache) touch(key []byte, version uint64) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = version
	e := s.m[string(key)]
	if e != nil {
		s.remove(e)
	}
	return e != nil
}

// written enters the value that the commit that is version wrote. It is called after the commit, before views of version exist.
func (c *cache) written(key []byte, val any, size int64, version uint64) {
	s := c.shard(key)
	s.mu.Lock()
	s.put(key, val, size, version)
	s.mu.Unlock()
}

// touchPrefix is touch of every key with a prefix.
func (c *cache) touchPrefix(prefix []byte, version uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.touched = version
		for k, e := range s.m {
			if bytes.HasPrefix([]byte(k), prefix) {
				s.remove(e)
			}
		}
		s.mu.Unlock()
	}
}

func (s *shard) put(key []byte, val any, size int64, since uint64) {
	if e := s.m[string(key)]; e != nil {
		s.remove(e)
	}
	size += int64(len(key)) + entryCost
	if size > s.limit {
		return
	}
	for s.used+size > s.limit {
		e := s.hand
		s.hand = e.next
		if e.used {
			e.used = false
			continue
		}
		s.remove(e)
	}
	e := &entry{key: string(key), val: val, size: size, since: since}
	if s.hand == nil {
		e.next, e.prev = e, e
		s.hand = e
	} else { // behind the hand, which comes to it last
		e.next, e.prev = s.hand, s.hand.prev
		e.next.prev, e.prev.next = e, e
	}
	s.m[e.key] = e
	s.used += size
}

func (s *shard) remove(e *entry) {
	switch {
	case e.next == e:
		s.hand = nil
	case s.hand == e:
		s.hand = e.next
	}
	e.next.prev, e.prev.next = e.prev, e.next
	s.used -= e.size
	delete(s.m, e.key)
}
