package archive

import "context"

const (
	// mostAhead is how many entries are read ahead at most, each by a goroutine of its own.
	mostAhead = 8
	// aheadBytes is how large the file of an entry is at most that is read ahead: a larger one keeps its reader busy as it is.
	aheadBytes = 256 << 10
)

// Sequence gives the entries of an archive in their order, as Next does. While one is there after the other it reads small ones ahead, several at once: of an
// entry of a few messages nearly all work is the file's. It is used by one goroutine, and closed by it.
type Sequence struct {
	a     *Archive
	after uint64         // the last entry that was given
	found int            // entries that were there one after the other, without a wait
	ahead []chan *Reader // of the entries after it, as far as they are read ahead; a nil one: Next says what is there
}

// From is the entries after one.
func (a *Archive) From(after uint64) *Sequence { return &Sequence{a: a, after: after} }

// Next opens what follows; nil: there is nothing yet. The reader is the caller's. Errors: those of Archive.Next, after which it may be called again.
func (s *Sequence) Next(ctx context.Context) (r *Reader, err error) {
	if len(s.ahead) > 0 {
		r = <-s.ahead[0]
		s.ahead = s.ahead[1:]
	}
	if r == nil {
		if r, err = s.a.Next(s.after); r == nil || err != nil {
			s.Close()
			return nil, err
		}
	}
	s.after++
	if last := r.Position().Entry; last != s.after { // a run, which has those that were read ahead, too
		s.Close()
		s.after = last
		return r, nil
	}
	s.found++
	for len(s.ahead) < min(s.found/2, mostAhead) { // a single entry now and then has none after it
		c := make(chan *Reader, 1)
		after := s.after + uint64(len(s.ahead))
		s.ahead = append(s.ahead, c)
		go func() { c <- s.a.readAhead(ctx, after) }()
	}
	return r, nil
}

// Close ends what is read ahead.
func (s *Sequence) Close() {
	for _, c := range s.ahead {
		if r := <-c; r != nil {
			r.Close()
		}
	}
	s.found, s.ahead = 0, nil
}

// readAhead is Next with all rows read; nil where it is not small, or fails: Next says then how.
func (a *Archive) readAhead(ctx context.Context, after uint64) *Reader {
	if st, err := a.fs.Stat(a.entry(after + 1)); err != nil || st.Size() > aheadBytes {
		return nil
	}
	r, err := a.Next(after)
	if r == nil || err != nil {
		return nil
	}
	for r.f.group < r.f.r.NumRowGroups() && r.Position().Entry == after+1 {
		rows, err := r.f.read(ctx)
		if err != nil {
			r.Close()
			return nil
		}
		r.ready = append(r.ready, rows)
	}
	return r
}
