package pointintime

import (
	"sync"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Want asks for the rows of one interval in one state, which is empty to begin with.
type Want struct {
	Partial  int // index of the partial
	Interval event.Interval
	State    functions.State
}

// Assemble adds what p holds of each want's interval to its state. Wants of equal interval cost one cover. Errors are
// those of p and of bad encodings (functions.ErrBadState); the states are then undefined. Counting what pieces cost is
// the store's business, which knows what it read.
func Assemble(p event.Pieces, partials []event.Partial, wants []Want) error {
	f := folders.Get().(*folder)
	defer f.release()
	f.partials = partials
	for i := range wants {
		iv := wants[i].Interval
		if iv.Lo >= iv.Hi || seen(wants[:i], iv) {
			continue
		}
		f.wants = f.wants[:0]
		for j := i; j < len(wants); j++ {
			if wants[j].Interval == iv {
				f.wants = append(f.wants, &wants[j])
			}
		}
		if err := p.Cover(iv, f); err != nil {
			return err
		}
	}
	return nil
}

func seen(wants []Want, iv event.Interval) bool {
	for i := range wants {
		if wants[i].Interval == iv {
			return true
		}
	}
	return false
}

// folder adds the pieces of one interval to the states that want it.
type folder struct {
	partials []event.Partial
	wants    []*Want
	in       functions.Input // of the rows at hand, for one partial after the other
}

// folders keeps the memory of folders, of which a lookup would otherwise make one a key.
var folders = sync.Pool{New: func() any { return &folder{} }}

func (f *folder) release() {
	clear(f.wants[:cap(f.wants)])
	clear(f.in.Args[:cap(f.in.Args)])
	*f = folder{wants: f.wants[:0], in: functions.Input{Args: f.in.Args[:0]}}
	folders.Put(f)
}

func (f *folder) State(_ event.PieceKind, _ event.Interval, encoded func(int) []byte) error {
	for _, w := range f.wants {
		if b := encoded(w.Partial); b != nil {
			if err := w.State.MergeEncoded(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *folder) Rows(_ event.PieceKind, _ event.Interval, r *event.Rows, from, to int) error {
	for _, w := range f.wants {
		p := &f.partials[w.Partial]
		f.in.TS, f.in.Tie, f.in.Args = r.TS, r.Tie, f.in.Args[:0]
		for _, c := range p.Args {
			f.in.Args = append(f.in.Args, r.Cols[c])
		}
		addRows(w.State, &f.in, filterOf(p, r), from, to)
	}
	return nil
}
