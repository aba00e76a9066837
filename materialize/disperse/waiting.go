package disperse

import (
	"container/list"
	"encoding/binary"
	"time"
)

// mostWaiting is how many keys are remembered that wait to be made anew, some 150 bytes each. While there are more, how far values are said to
// be stands still until no key waits.
const mostWaiting = 65_536

// extent is how far values are: those of all commits up to a position, which were all that there were at some time. The zero value: not known.
type extent struct {
	position uint64
	at       time.Time
}

// waiting is the keys that wait to be made anew before they are sent, each with the extent of its values that were sent. Extents only grow, so
// that the key that waits longest has the least one. It is for one goroutine.
type waiting struct {
	by      map[string]*list.Element // by keyID
	order   *list.List               // of waitingKey, the one that waits longest first
	crowded bool                     // others wait that are not in it
	stands  extent                   // where crowded: the least extent of all
}

type waitingKey struct {
	id   string
	sent extent
}

func newWaiting() *waiting {
	return &waiting{by: map[string]*list.Element{}, order: list.New()}
}

// keyID identifies a key of a group.
func keyID(prefix uint32, key []byte) string {
	return string(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(key)), prefix), key...))
}

// prefixOf is the group's prefix of a key.
func prefixOf(id string) uint32 { return binary.BigEndian.Uint32([]byte(id[:4])) }

// add has a key wait, of which all was sent up to an extent, which is not less than that of any before. A key that waits already keeps its own.
func (w *waiting) add(id string, sent extent) {
	if w.by[id] != nil || w.crowded {
		return
	}
	if len(w.by) >= mostWaiting {
		w.crowded, w.stands = true, w.least(sent)
		return
	}
	w.by[id] = w.order.PushBack(waitingKey{id, sent})
}

// remove says that a key was sent.
func (w *waiting) remove(id string) {
	if e := w.by[id]; e != nil {
		w.order.Remove(e)
		delete(w.by, id)
	}
}

// removeGroup says that all of a group will be sent again.
func (w *waiting) removeGroup(prefix uint32) {
	for id := range w.by {
		if prefixOf(id) == prefix {
			w.remove(id)
		}
	}
}

// oldest is the prefix of the group of the key that waits longest; ok: there is one.
func (w *waiting) oldest() (prefix uint32, ok bool) {
	if e := w.order.Front(); e != nil {
		return prefixOf(e.Value.(waitingKey).id), true
	}
	return 0, false
}

// none reports whether no key waits.
func (w *waiting) none() bool { return !w.crowded && w.order.Len() == 0 }

// least is the extent of all values where that of those which do not wait is sent.
func (w *waiting) least(sent extent) extent {
	if w.crowded {
		return w.stands
	}
	if e := w.order.Front(); e != nil {
		return e.Value.(waitingKey).sent
	}
	return sent
}
