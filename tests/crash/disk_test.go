package crash

import (
	"math"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// entryBytes is what a file takes before it has content.
const entryBytes = 64

// disk is a hook that counts the bytes that files take, those allocated ahead included, and refuses what does not fit.
type disk struct {
	mu     sync.Mutex
	used   map[string]int64
	total  int64
	cap    int64
	writes int // ops so far that take space
	fullAt int // of writes: from this one on the disk is full; 0: never
	hard   bool
	full   chan struct{} // closed when it gets full
}

// newDisk is a disk with room for everything. When it gets full, what is removed makes room, unless hard.
func newDisk(hard bool) *disk {
	return &disk{used: map[string]int64{}, cap: math.MaxInt64, hard: hard, full: make(chan struct{})}
}

// fill makes the disk full at the n-th write from now on; 0: never. Writes are counted from now.
func (d *disk) fill(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes, d.fullAt = 0, n
}

func (d *disk) count() int { d.mu.Lock(); defer d.mu.Unlock(); return d.writes }

func (d *disk) isFullNow() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.isFull() }

func (d *disk) usage() vfs.DiskUsage {
	d.mu.Lock()
	defer d.mu.Unlock()
	free := uint64(max(0, d.cap-d.total))
	if d.isFull() && d.hard {
		free = 0
	}
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: uint64(d.cap), UsedBytes: uint64(d.total)}
}

func (d *disk) isFull() bool { return d.cap != math.MaxInt64 }

// free gives space back, for good.
func (d *disk) free() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cap, d.fullAt = math.MaxInt64, 0
}

func (d *disk) forget(name string) {
	d.total -= d.used[name]
	delete(d.used, name)
}

// take makes a file take n bytes more, and reports how many of them found room.
func (d *disk) take(name string, n int64) int64 {
	if d.writes++; d.writes == d.fullAt {
		d.cap = d.total
		close(d.full)
	}
	if d.isFull() {
		if n = min(n, d.cap-d.total); n < 0 || d.hard {
			n = 0
		}
	}
	d.used[name] += n
	d.total += n
	return n
}

func nothing() {}

func (d *disk) begin(o *op) (end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch o.kind {
	case opCreate:
		d.forget(o.name)
		if d.take(o.name, entryBytes) < entryBytes {
			d.forget(o.name)
			return nil, syscall.ENOSPC
		}
	case opReuse, opRename, opLink:
		if d.take(o.to+"\x00", entryBytes) < entryBytes { // a larger directory
			d.forget(o.to + "\x00")
			return nil, syscall.ENOSPC
		}
		d.forget(o.to + "\x00")
		d.forget(o.to)
		d.used[o.to] = d.used[o.name] // of a link, the first name takes nothing any more
		delete(d.used, o.name)
	case opRemove:
		d.forget(o.name)
	case opRemoveAll:
		for name := range d.used {
			if name == o.name || strings.HasPrefix(name, o.name+"/") {
				d.forget(name)
			}
		}
	case opPreallocate:
		if more := o.off + o.n - d.used[o.name]; more > 0 && d.take(o.name, more) < more {
			return nil, syscall.ENOSPC
		}
	case opWrite:
		more := o.off + o.n + entryBytes - d.used[o.name]
		if more <= 0 {
			break
		}
		if got := d.take(o.name, more); got < more {
			o.n = max(0, o.n-(more-got))
			return nothing, syscall.ENOSPC // the front of it is written
		}
	}
	return nothing, nil
}
