package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
)

// old reports whether a group has events, and all of them lie before every window that a read at an instant has of it.
func (g *groupRead) old(live *materialize.Group, when int64) bool {
	newest := live.Newest()
	if newest == event.Forever || newest >= when || len(g.outputs) == 0 {
		return false
	}
	for i := range g.outputs {
		w := &g.outputs[i].window
		if w.Lifetime || w.Following || newest >= when-w.Delay-w.Length-w.Hop {
			return false
		}
	}
	return true
}

// tellOld tells a client, once a session, that it reads as of now what ended long ago: the values are those of no events, which
// surprises whoever tries features on old data. It compares a few numbers a group.
func (l *lookup) tellOld(when int64) {
	for _, g := range l.groups {
		if !g.read.old(g.live, when) || l.s.Setting("tilehouse.read_time") != "" {
			continue
		}
		var names []string
		for _, o := range g.read.outputs {
			if f := l.plan.read.outputs[o.at].feature; f != nil && !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
		newest := formatTime(g.live.Newest())
		l.s.toldOld = true
		l.s.notice(session.Notice{Message: fmt.Sprintf("the newest event of feature %s is of %s, and lookups read as of now: every window begins after it", strings.Join(names, ", "), newest),
			Hint: fmt.Sprintf("SET tilehouse.read_time = '%s'; reads as of then, until RESET tilehouse.read_time.", formatTime((g.live.Newest()/1_000_000+1)*1_000_000))})
		return
	}
	if l.parts != nil {
		for _, p := range l.parts.parts {
			if p.tellOld(when); l.s.toldOld {
				return
			}
		}
	}
}
