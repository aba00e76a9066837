package tiles

import (
	"bytes"
	"hash/maphash"
	"sync"
)

const (
	cacheShards = 64
	entryCost   = 160 // bytes of an entry besides its key and value
)

// cache is a bounded cache of decoded values by their Pebble key, in shards evicted by CLOCK. doc.go has the argument why a
// view of any version may share it. A nil value records that the key is absent.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu    sync.Mutex
	m     map[string]*entry
	ring  []*entry
	hand  int
	used  int64
	limit int64
	// touched is the version of the newest commit, finished or not, that writes to a key of the shard.
	touched uint64
}

type entry struct {
	key   string
	val   any
	size  int64
	since uint64 // the value holds at every version from since on
	slot  int
	used  bool
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

// get returns the value that a view of version sees, where the cache has it.
func (c *cache) get(key []byte, version uint64) (val any, ok bool) {
	s := c.shard(key)
	s.mu.Lock()
	e := s.m[string(key)]
	if e != nil && e.since <= version {
		e.used, val, ok = true, e.val, true
	}
	s.mu.Unlock()
	return val, ok
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

// touch forgets key because the commit that will be version writes to it. It is called before the commit can be seen.
func (c *cache) touch(key []byte, version uint64) {
	s := c.shard(key)
	s.mu.Lock()
	s.touched = version
	if e := s.m[string(key)]; e != nil {
		s.remove(e)
	}
	s.mu.Unlock()
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
		e := s.ring[s.hand]
		if e.used {
			e.used = false
			s.hand = (s.hand + 1) % len(s.ring)
			continue
		}
		s.remove(e)
	}
	e := &entry{key: string(key), val: val, size: size, since: since, slot: len(s.ring)}
	s.m[e.key], s.ring = e, append(s.ring, e)
	s.used += size
}

func (s *shard) remove(e *entry) {
	last := len(s.ring) - 1
	s.ring[e.slot] = s.ring[last]
	s.ring[e.slot].slot = e.slot
	s.ring[last], s.ring = nil, s.ring[:last]
	if s.hand >= last {
		s.hand = 0
	}
	s.used -= e.size
	delete(s.m, e.key)
}
