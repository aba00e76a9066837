package runs

import (
	"encoding/binary"

	"github.com/tilehouse/tilehouse/storage/event"
)

// maxDayCounts bounds the days of a segment that are counted, from the first to the last one.
const maxDayCounts = 1 << 16

// DayCounts says how many rows a segment has of each day. A segment of an earlier version, and one that spans more than
// maxDayCounts days, has none.
type DayCounts struct {
	First  int64  `json:"first"`  // day
	Counts []byte `json:"counts"` // uvarints, from First on
}

// Each visits the days that have rows, in order.
func (d *DayCounts) Each(fn func(day, rows int64)) {
	if d == nil {
		return
	}
	day := d.First
	for b := d.Counts; len(b) > 0; day++ {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		if b = b[n:]; v > 0 {
			fn(day, int64(v))
		}
	}
}

// dayCounter counts rows by day as a segment is written.
type dayCounter struct {
	calendar event.Days
	first    int64
	counts   []int64
	over     bool // too many days
}

// add counts rows from ≤ i < to, which are in order of time.
func (c *dayCounter) add(ts []int64, from, to int) {
	for from < to && !c.over {
		day := c.calendar.Of(ts[from])
		end := from + 1
		for next := c.calendar.Start(day + 1); end < to && ts[end] < next; {
			end++
		}
		c.count(day, int64(end-from))
		from = end
	}
}

func (c *dayCounter) count(day, n int64) {
	if len(c.counts) == 0 {
		c.first = day
	}
	if lead := c.first - day; lead > 0 {
		if lead+int64(len(c.counts)) > maxDayCounts {
			c.over = true
			return
		}
		c.counts = append(make([]int64, lead, lead+int64(len(c.counts))), c.counts...)
		c.first = day
	}
	i := day - c.first
	if i >= maxDayCounts {
		c.over = true
		return
	}
	for int64(len(c.counts)) <= i {
		c.counts = append(c.counts, 0)
	}
	c.counts[i] += n
}

// done is what was counted.
func (c *dayCounter) done() *DayCounts {
	if c.over || len(c.counts) == 0 {
		return nil
	}
	d := &DayCounts{First: c.first}
	for _, n := range c.counts {
		d.Counts = binary.AppendUvarint(d.Counts, uint64(n))
	}
	return d
}
