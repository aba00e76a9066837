package engine

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
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

// find is the session of a process id, nil where there is none.
func (l *sessions) find(pid int64) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.all[uint32(pid)]; s != nil && (pid == int64(int32(s.info.PID)) || pid == int64(s.info.PID)) {
		return s
	}
	return nil
}

// maySignal refuses what the caller's role may not end. It is called while a statement of the caller's runs.
func (s *Session) maySignal(other *Session, terminate bool) *session.Error {
	cat := s.e.catalog.Current()
	switch {
	case cat.Superuser(s.role):
		return nil
	case cat.Superuser(other.login) && terminate:
		return denied("must be a superuser to terminate superuser process")
	case cat.Superuser(other.login):
		return denied("must be a superuser to cancel superuser query")
	case cat.HasRightsOf(s.role, other.login) || cat.HasRightsOf(s.role, schema.SignalBackend):
		return nil
	case terminate:
		return denied("must be a member of the role whose process is being terminated or member of pg_signal_backend")
	}
	return denied("must be a member of the role whose query is being canceled or member of pg_signal_backend")
}

// signal ends the running statement of a session, or the session; false where that cannot be done.
func (s *Session) signal(terminate bool) bool {
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

// Call implements duck.Provider: cancel and terminate, of a process id by another.
func (l *sessions) Call(function string, args []*vector.Vector, n int, out *vector.Vector) error {
	terminate := function == "terminate"
	for i := range n {
		if args[0].IsNull(i) {
			out.AppendNull()
			continue
		}
		caller, other := l.find(args[1].I64[i]), l.find(args[0].I64[i])
		if caller == nil || other == nil {
			out.AppendBool(false)
			continue
		}
		if err := caller.maySignal(other, terminate); err != nil {
			return &duck.Error{SQLState: err.Code, Message: err.Message}
		}
		out.AppendBool(other.signal(terminate))
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
	s.reader.Begin()
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
		s.reader.End()
	}
}

// serverRows are the rows of functions in FROM that tell of sessions, prepared statements and cursors.
func (s *Session) serverRows(function string) []map[string]any {
	switch function {
	case "pg_stat_get_activity":
		return s.activityRows()
	case "pg_prepared_statement":
		return s.preparedRows()
	case "pg_cursor":
		return s.cursorRows()
	}
	return nil
}

func (s *Session) activityRows() []map[string]any {
	var out []map[string]any
	moment := func(t int64) any {
		if t == 0 {
			return nil
		}
		return t
	}
	cat := s.e.catalog.Current()
	for _, x := range s.e.sessions.list() {
		a := &x.activity
		a.mu.Lock()
		r := map[string]any{"datid": uint32(oidDatabase), "pid": int32(x.info.PID), "usesysid": x.login, "application_name": a.name, "state": a.state, "query": a.query, "client_port": int64(-1),
			"backend_start": moment(a.began), "query_start": moment(a.queryT), "state_change": moment(a.changed), "backend_type": "client backend"}
		if host, port, err := net.SplitHostPort(x.info.Remote); err == nil {
			n, _ := strconv.ParseInt(port, 10, 64)
			r["client_addr"], r["client_port"] = host, n
		}
		if strings.HasPrefix(a.state, "idle") {
			r["wait_event_type"], r["wait_event"] = "Client", "ClientRead"
		}
		if a.state != "idle" {
			r["xact_start"] = moment(a.block)
		}
		a.mu.Unlock()
		if !cat.HasRightsOf(s.role, x.login) && !cat.HasRightsOf(s.role, schema.ReadAllStats) {
			r = map[string]any{"datid": r["datid"], "pid": r["pid"], "usesysid": r["usesysid"], "application_name": r["application_name"], "query": "<insufficient privilege>"}
		}
		out = append(out, r)
	}
	return out
}

func (s *Session) preparedRows() []map[string]any {
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(s.prepared)) {
		p := s.prepared[name]
		types := []int64{}
		for _, t := range p.Statement.Params() {
			types = append(types, int64(codec.OID(t)))
		}
		out = append(out, map[string]any{"name": name, "statement": p.SQL, "prepare_time": p.Since.UnixMicro(), "parameter_types": types, "from_sql": p.FromSQL, "generic_plans": int64(0), "custom_plans": int64(0)})
	}
	return out
}

func (s *Session) cursorRows() []map[string]any {
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(s.cursors)) {
		c := s.cursors[name]
		out = append(out, map[string]any{"name": c.name, "statement": c.sql, "is_holdable": c.hold, "is_binary": c.binary, "is_scrollable": c.scroll})
	}
	return out
}
