package engine

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// sessions are those that are open, by process id. The zero value is ready.
type sessions struct {
	mu  sync.Mutex
	all map[uint32]*Session
}

func (l *sessions) add(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[uint32]*Session{}
	}
	l.all[s.info.PID] = s
}

func (l *sessions) remove(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all[s.info.PID] == s {
		delete(l.all, s.info.PID)
	}
}

// list is the open sessions by their process ids.
func (l *sessions) list() []*Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*Session, 0, len(l.all))
	for _, s := range l.all {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *Session) int { return int(a.info.PID) - int(b.info.PID) })
	return out
}

// signal ends the running statement of a session, or the session; false where there is none of that process id.
func (l *sessions) signal(pid int64, terminate bool) bool {
	l.mu.Lock()
	s := l.all[uint32(pid)]
	l.mu.Unlock()
	if s == nil || pid != int64(int32(s.info.PID)) && pid != int64(s.info.PID) {
		return false
	}
	f := s.info.Cancel
	if terminate {
		f = s.info.Terminate
	}
	if f == nil {
		return false
	}
	f()
	return true
}

// Rows implements duck.Provider: there are none.
func (l *sessions) Rows(relation string) ([]string, []vector.Type, []*vector.Chunk, error) {
	return nil, nil, nil, fail(codeUndefinedTable, "relation %q does not exist", relation)
}

// Call implements duck.Provider: cancel and terminate, of a process id each.
func (l *sessions) Call(function string, args []*vector.Vector, n int, out *vector.Vector) error {
	for i := range n {
		if args[0].IsNull(i) {
			out.AppendNull()
			continue
		}
		out.AppendBool(l.signal(args[0].I64[i], function == "terminate"))
	}
	return nil
}

// activity is what other sessions see of one.
type activity struct {
	mu                     sync.Mutex
	query, state, name     string
	began, changed, queryT int64 // of the session, the state and the query, microseconds
	block                  int64 // when the transaction block began; 0: none
}

// maxQueryText is how much of a statement pg_stat_activity shows, in bytes.
const maxQueryText = 1024

// running notes that a statement begins.
func (s *Session) running(sql string) {
	if len(sql) > maxQueryText {
		sql = strings.ToValidUTF8(sql[:maxQueryText], "")
	}
	a, now := &s.activity, s.e.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.query, a.queryT, a.state, a.changed = sql, now, "active", now
	if a.block == 0 {
		a.block = now
	}
}

// Idle notes that the client was told to go on.
func (s *Session) Idle() {
	a := &s.activity
	state, name := "idle", s.Setting("application_name")
	if s.tx != nil {
		if state = "idle in transaction"; s.tx.failed {
			state = "idle in transaction (aborted)"
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name = name
	if a.state != state {
		a.state, a.changed = state, s.e.now()
	}
	if s.tx == nil {
		a.block = 0
	}
}

func pgStatActivity(b *binder) []string {
	var out []string
	moment := func(t int64) string {
		if t == 0 {
			return "NULL"
		}
		return timeLiteral(t)
	}
	for _, s := range b.s.e.sessions.list() {
		a := &s.activity
		a.mu.Lock()
		host, port, err := net.SplitHostPort(s.info.Remote)
		client := "NULL, NULL, -1"
		if err == nil {
			client = fmt.Sprintf("%s, NULL, %s", duck.QuoteLiteral(host), port)
		}
		state, wait := a.state, "NULL, NULL"
		if strings.HasPrefix(state, "idle") {
			wait = "'Client', 'ClientRead'"
		}
		xact := a.block
		if state == "idle" {
			xact = 0
		}
		out = append(out, fmt.Sprintf("SELECT 16385, %s, %d, NULL, 10, %s, %s, %s, %s, %s, %s, %s, %s, NULL, NULL, NULL, %s, 'client backend'",
			duck.QuoteLiteral(s.info.Database), int32(s.info.PID), duck.QuoteLiteral(s.info.User), duck.QuoteLiteral(a.name), client,
			moment(a.began), moment(xact), moment(a.queryT), moment(a.changed), wait+", "+duck.QuoteLiteral(state), duck.QuoteLiteral(a.query)))
		a.mu.Unlock()
	}
	return out
}

// pgPreparedStatements and pgCursors are what the session itself has.
func pgPreparedStatements(b *binder) []string {
	var out []string
	for name, p := range b.s.prepared {
		var types []string
		for _, t := range p.Statement.Params() {
			types = append(types, duck.QuoteLiteral(dataType(t)))
		}
		out = append(out, fmt.Sprintf("SELECT %s, %s, %s, [%s]::VARCHAR[], %t, 0, 0", duck.QuoteLiteral(name), duck.QuoteLiteral(p.SQL), timeLiteral(p.Since.UnixMicro()), strings.Join(types, ", "), p.FromSQL))
	}
	slices.Sort(out)
	return out
}

func pgCursors(b *binder) []string {
	var out []string
	for _, c := range b.s.cursors {
		out = append(out, fmt.Sprintf("SELECT %s, %s, %t, %t, %t, NULL", duck.QuoteLiteral(c.name), duck.QuoteLiteral(c.sql), c.hold, c.binary, c.scroll))
	}
	slices.Sort(out)
	return out
}
