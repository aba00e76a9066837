package materialize

import (
	"slices"
	"sort"
	"sync"

	"github.com/tilehouse/tilehouse/storage/event"
)

// recent is the event rows of the last commits, as the committer evaluated them for tiles. What comes to a group's runs soon afterwards is so not
// read from the log, decoded and evaluated again. Rows that are fresh, too, are held once.
type recent struct {
	mu     sync.Mutex
	most   func() int64 // bytes that are kept
	bytes  int64
	groups map[uint32]*recentRows
}

// recentRows is all that came to a group at positions after since, where nothing went.
type recentRows struct {
	since uint64
	came  []cameRows // positions ascend
}

// cameRows is what a commit brought.
type cameRows struct {
	pos   uint64
	first uint64 // least row id; rows may lack it, if it is no event of the group
	rows  *event.Rows
	bytes int64
}

// cameBytes is about what the rows of a commit take beside their values: many commits are of a single row.
const cameBytes = 1 << 10

func newRecent(most func() int64) *recent {
	return &recent{most: most, groups: map[uint32]*recentRows{}}
}

// add notes rows that came to a group at a position, which is not committed yet: nobody asks for it before. No commit may be left out of those that
// change the group, from the first one that is noted to forget. rows is not changed any more. undo is for a commit that fails.
func (r *recent) add(group uint32, pos, first uint64, rows *event.Rows) (undo func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[group]
	if g == nil {
		g = &recentRows{since: pos - 1}
		r.groups[group] = g
	}
	if pos <= g.since { // something went, too
		return func() {}
	}
	c := cameRows{pos, first, rows, rows.MemBytes() + cameBytes}
	g.came = append(g.came, c)
	most := r.most()
	for r.bytes += c.bytes; r.bytes > most; { // the oldest of all first, so that flushes of all groups read little of the log
		oldest := g
		for _, o := range r.groups {
			if len(o.came) > 0 && (len(oldest.came) == 0 || o.came[0].pos < oldest.came[0].pos) {
				oldest = o
			}
		}
		r.drop(oldest, oldest.came[0].pos)
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(g.came); r.groups[group] == g && n > 0 && g.came[n-1].pos >= pos { // nothing comes later before it is undone
			r.bytes -= g.came[n-1].bytes
			g.came[n-1] = cameRows{}
			g.came = g.came[:n-1]
		}
	}
}

// drop forgets what came up to a position.
func (r *recent) drop(g *recentRows, upTo uint64) {
	g.since = max(g.since, upTo)
	n := 0
	for n < len(g.came) && g.came[n].pos <= upTo {
		r.bytes -= g.came[n].bytes
		g.came[n] = cameRows{}
		n++
	}
	g.came = g.came[n:]
}

// took forgets what came to a group up to a position: it is in the runs.
func (r *recent) took(group uint32, upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.groups[group]; g != nil {
		r.drop(g, upTo)
	}
}

// forget is for a commit that is not noted, or a group that goes.
func (r *recent) forget(group uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.groups[group]; g != nil {
		for _, c := range g.came {
			r.bytes -= c.bytes
		}
		delete(r.groups, group)
	}
}

// after is what came to a group at positions since < p ≤ upTo, and since, which is not less than after; upTo where nothing is known.
func (r *recent) after(group uint32, after, upTo uint64) (came []cameRows, since uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[group]
	if g == nil || g.since >= upTo {
		return nil, upTo
	}
	since = max(after, g.since)
	from := sort.Search(len(g.came), func(i int) bool { return g.came[i].pos > since })
	to := sort.Search(len(g.came), func(i int) bool { return g.came[i].pos > upTo })
	return slices.Clone(g.came[from:to]), since
}
