package materialize

import (
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

// maxGraves bounds the deleted rows that are remembered of a source. Older ones are found in the log.
const maxGraves = 65_536

// graves remembers rows that the committer deleted, because the log finds the values of a deleted row only by a scan.
type graves struct {
	mu      sync.Mutex
	since   uint64 // positions after it are remembered
	sources map[reclog.SourceID]*graveList
}

type graveList struct {
	since uint64
	rows  int
	list  []*grave
}

// grave is the deletes of one change. It is immutable.
type grave struct {
	position uint64
	ids      []uint64
	rows     *vector.Chunk
}

// note remembers a change that is about to be committed. forget takes it back.
func (g *graves) note(c *reclog.Applied) (forget func()) {
	types := c.Deleted.Types()
	rows := vector.NewChunk(types, c.Deleted.N)
	for i := range c.Deleted.N {
		rows.AppendRow(c.Deleted, i)
	}
	n := &grave{c.Position, append([]uint64(nil), c.DeletedIDs...), rows}
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.sources[c.Source]
	if l == nil {
		l = &graveList{since: g.since}
		g.sources[c.Source] = l
	}
	l.list, l.rows = append(l.list, n), l.rows+rows.N
	for l.rows > maxGraves && len(l.list) > 1 {
		l.since, l.rows, l.list = l.list[0].position, l.rows-l.list[0].rows.N, l.list[1:]
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for i, have := range l.list {
			if have == n {
				l.list, l.rows = append(append([]*grave(nil), l.list[:i]...), l.list[i+1:]...), l.rows-rows.N
				return
			}
		}
	}
}

// between are the deletes of positions after < p ≤ upTo; false where some are not remembered.
func (g *graves) between(source reclog.SourceID, after, upTo uint64) ([]*grave, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.sources[source]
	if l == nil {
		return nil, after >= g.since
	}
	if after < l.since {
		return nil, false
	}
	var out []*grave
	for _, n := range l.list {
		if n.position > after && n.position <= upTo {
			out = append(out, n)
		}
	}
	return out, true
}

// drop forgets a source.
func (g *graves) drop(source reclog.SourceID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sources, source)
}

func signed(ids []uint64) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}
