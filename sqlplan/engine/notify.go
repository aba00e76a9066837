package engine

import (
	"sync"

	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// channels are who listens to what. The zero value is ready.
type channels struct {
	mu sync.Mutex
	on map[string]map[*Session]bool // sessions by channel
}

// pendingNotify is what a transaction is about to say, and to listen to.
type pendingNotify struct {
	sent   []session.Notification
	change []listening // LISTEN and UNLISTEN take effect at COMMIT
}

// listening is a LISTEN, or an UNLISTEN of one channel, or of all ("").
type listening struct {
	channel string
	stop    bool
}

// inbox is what a session was notified of and the client not yet told. Any goroutine may put something in.
type inbox struct {
	mu      sync.Mutex
	waiting []session.Notification
}

const (
	// maxInbox bounds the notifications that wait for a client; further ones are lost.
	maxInbox = 10_000
	// maxPayload is the longest payload of a notification, in bytes.
	maxPayload = 7999
	// maxChannels bounds the channels that a session listens to.
	maxChannels = 10_000
	// maxSent bounds the notifications of a transaction.
	maxSent = 100_000
)

// listen is LISTEN.
func (s *Session) listen(channel string) error {
	return s.listenChange(listening{channel: channel})
}

// unlistenLater is UNLISTEN; "" and * are all channels.
func (s *Session) unlistenLater(channel string) error {
	if channel == "*" {
		channel = ""
	}
	return s.listenChange(listening{channel, true})
}

func (s *Session) listenChange(l listening) error {
	if s.tx != nil {
		if len(s.tx.notify.change) >= maxSent {
			return fail("54000", "too many LISTEN and UNLISTEN in a transaction: the limit is %d", maxSent)
		}
		s.tx.notify.change = append(s.tx.notify.change, l)
		return nil
	}
	return s.changeListening(l)
}

func (s *Session) changeListening(l listening) error {
	if l.stop {
		s.unlisten(l.channel)
		return nil
	}
	c := &s.e.channels
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on == nil {
		c.on = map[string]map[*Session]bool{}
	}
	if s.listens >= maxChannels {
		return fail("54000", "too many channels: the limit is %d", maxChannels)
	}
	if c.on[l.channel] == nil {
		c.on[l.channel] = map[*Session]bool{}
	}
	if !c.on[l.channel][s] {
		c.on[l.channel][s] = true
		s.listens++
	}
	return nil
}

// unlisten ends listening to a channel, or to all ("").
func (s *Session) unlisten(channel string) {
	if s.listens == 0 {
		return
	}
	c := &s.e.channels
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, who := range c.on {
		if who[s] && (channel == "" || channel == name) {
			delete(who, s)
			s.listens--
			if len(who) == 0 {
				delete(c.on, name)
			}
		}
	}
}

// notify is NOTIFY: at once outside of a transaction, else at COMMIT. A notification that the transaction has sent already is not
// sent again.
func (s *Session) notify(channel, payload string) error {
	switch {
	case channel == "":
		return fail(codeInvalidParameter, "channel name cannot be empty")
	case len(channel) > 63:
		return fail(codeInvalidParameter, "channel name too long")
	case len(payload) > maxPayload:
		return fail(codeInvalidParameter, "payload string too long")
	}
	n := session.Notification{PID: s.info.PID, Channel: channel, Payload: payload}
	if s.tx == nil {
		s.e.channels.send([]session.Notification{n})
		return nil
	}
	for _, m := range s.tx.notify.sent {
		if m == n {
			return nil
		}
	}
	if len(s.tx.notify.sent) >= maxSent {
		return fail("54000", "too many notifications in a transaction: the limit is %d", maxSent)
	}
	s.tx.notify.sent = append(s.tx.notify.sent, n)
	return nil
}

// notified does what a committed transaction asked for.
func (s *Session) notified(p pendingNotify) {
	for _, l := range p.change {
		if err := s.changeListening(l); err != nil {
			s.notice(session.Notice{Severity: "WARNING", Code: "54000", Message: err.(*session.Error).Message})
		}
	}
	if len(p.sent) > 0 {
		s.e.channels.send(p.sent)
	}
}

// send puts notifications into the inboxes of those who listen, and wakes their connections.
func (c *channels) send(sent []session.Notification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range sent {
		for s := range c.on[n.Channel] {
			s.inbox.mu.Lock()
			if len(s.inbox.waiting) < maxInbox {
				s.inbox.waiting = append(s.inbox.waiting, n)
			}
			s.inbox.mu.Unlock()
			if s.info.Wake != nil {
				s.info.Wake()
			}
		}
	}
}

// listeningTo are the channels that a session listens to.
func (s *Session) listeningTo() (names []string) {
	c := &s.e.channels
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, who := range c.on {
		if who[s] {
			names = append(names, name)
		}
	}
	return names
}

// Notifications returns and forgets what the client is to be told; nothing while a transaction is open.
func (s *Session) Notifications() []session.Notification {
	if s.listens == 0 || s.tx != nil {
		return nil
	}
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	out := s.inbox.waiting
	s.inbox.waiting = nil
	return out
}
