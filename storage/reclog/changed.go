package reclog

// noteChanged notes which sources a group changes, before anyone can see it.
func (l *Log) noteChanged(g *group) {
	l.changedMu.Lock()
	defer l.changedMu.Unlock()
	for i := range g.applied {
		l.changed[g.applied[i].Source] = g.applied[i].Position
	}
}

// LastChange is a position that is no older than the last change of a source's rows, 0: none since Open. It is at most one that is not
// visible yet: whoever can see a change finds its position, or a newer one, here.
func (l *Log) LastChange(s SourceID) uint64 {
	l.changedMu.Lock()
	defer l.changedMu.Unlock()
	return l.changed[s]
}
