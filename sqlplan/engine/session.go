package engine

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// maxNotices bounds the notices kept between two messages to the client.
const maxNotices = 1000

// Session is one connection's state. It implements session.Session.
type Session struct {
	e    *Engine
	info session.ConnectInfo
	conn *duck.Conn // for SQL that DuckDB runs
	// marked says that a view with clauses of ours was read or made.
	marked bool
	settingState
	initial         map[string]string // what RESET gives, where the client said so when it connected
	settingsVersion uint64            // counts changes
	textsVersion    uint64            // counts changes of what texts of values depend on
	toldVersion     uint64            // of settingsVersion, when the client was told
	told            map[string]string // reported settings that the client knows
	location        *time.Location    // of TimeZone
	codecs          codec.Settings    // of the settings that values' text depends on
	encoding        string            // client_encoding
	notices         []session.Notice
	quiet           bool             // notices are not kept: definitions are bound anew
	tx              *transaction     // nil outside a block
	reads           *event.ReadStats // EXPLAIN ANALYZE counts here; nil otherwise
	temps           int              // temporary tables made so far
	tempNames       []string         // temporary tables of the running statement
	tableState
	toldOld   bool // that a feature's newest event is older than its windows
	keptPlans keptStatements
	ruled     ruledTables
	// login is the role that logged in, sessionRole the session's, role the one whose privileges count now.
	login, sessionRole, role uint32

	prepared    map[string]*session.Named // by name
	cursors     map[string]*cursor        // by name
	cursorsMade int                       // so far
	streaming   *cursor                   // the one whose rows DuckDB is computing
	zone        string                    // of conn
	activity    activity
	reader      *materialize.Reader // reads from its first statement on until the client is told to go on outside a transaction
	inbox       inbox
	listens     int            // channels
	system      *systemCatalog // the last snapshot of PostgreSQL's catalogs; nil: none
	random      randomValues
}

func (e *Engine) newSession(info session.ConnectInfo, role *schema.Role) (*Session, error) {
	conn, err := e.db.Connect()
	if err != nil {
		return nil, err
	}
	// DuckDB computes so far ahead of a client that does not read. It is a bound of what is buffered beyond the 2,048 rows that
	// DuckDB makes at once; its default of 1 MB kept forty, where rows are wide.
	if _, err := conn.Exec(context.Background(), "SET streaming_buffer_size = '100KB'"); err != nil {
		conn.Close()
		return nil, err
	}
	s := &Session{e: e, info: info, conn: conn, location: time.UTC, settingState: noSettings(), told: map[string]string{}, zone: "UTC",
		prepared: map[string]*session.Named{}, cursors: map[string]*cursor{}, login: role.ID, sessionRole: role.ID, role: role.ID}
	s.settingsChanged()
	s.seqs.known, s.seqs.may, s.seqs.given = map[uint64]*tables.Object{}, map[uint64]schema.Rights{}, map[uint64]int64{}
	s.seqs.number, s.seqs.forget = duck.RegisterSequences(s.sequence)
	for name, v := range role.Settings {
		if err := s.setSetting(name, v, false); err != nil { // it was good when ALTER ROLE kept it
			s.notice(warning("01000", "the role's setting %s is left out: %s", name, asError(err).Message))
		}
	}
	params := maps.Clone(info.Params)
	for name, v := range startupOptions(params["options"]) {
		if params == nil {
			params = map[string]string{}
		}
		params[name] = v
	}
	for name, v := range params {
		if _, ok := settings[strings.ToLower(name)]; !ok {
			continue // startup parameters of other servers are no reason to refuse a client
		}
		if err := s.setSetting(name, v, false); err != nil {
			s.seqs.forget()
			conn.Close()
			return nil, err
		}
	}
	s.reader = e.mat.NewReader()
	s.activity.began, s.activity.state = e.now(), "active"
	s.initial = maps.Clone(s.set)
	s.initial[sessionAuthorization] = info.User
	s.settingState = noSettings()
	s.settingsChanged()
	return s, nil
}

// startupOptions are the settings of the startup parameter "options": -c name=value or --name=value, blanks escaped by \\.
func startupOptions(options string) map[string]string {
	const blank = "\x00"
	words := strings.Fields(strings.ReplaceAll(options, `\ `, blank))
	out := map[string]string{}
	for i := 0; i < len(words); i++ {
		w, long := strings.CutPrefix(words[i], "--")
		if !long {
			var short bool
			if w, short = strings.CutPrefix(words[i], "-c"); !short {
				continue
			}
			if w == "" && i+1 < len(words) {
				i++
				w = words[i]
			}
		}
		if name, v, ok := strings.Cut(w, "="); ok {
			out[strings.ReplaceAll(name, "-", "_")] = strings.ReplaceAll(v, blank, " ")
		}
	}
	return out
}

// Close ends the session; an open transaction block is rolled back.
func (s *Session) Close() {
	s.e.sessions.remove(s)
	s.unlisten("")
	s.closeCursors(func(*cursor) bool { return true })
	s.rollback()
	s.keptPlans.drop()
	s.seqs.forget()
	s.dropSystemCatalog()
	pgfunc.FreeRandom(s.random.id)
	s.conn.Close()
	s.reader.Close()
}

// Split cuts a query text into statements.
func (s *Session) Split(sql string) ([]session.Fragment, error) {
	parts, err := parse.Split(sql)
	if err != nil {
		return nil, asError(err)
	}
	out := make([]session.Fragment, len(parts))
	for i, p := range parts {
		out[i] = session.Fragment{SQL: p.SQL, Offset: p.Offset}
	}
	return out, nil
}

func (s *Session) notice(n session.Notice) {
	if s.quiet {
		return
	}
	if n.Severity == "" {
		n.Severity = "NOTICE"
	}
	if n.Code == "" {
		n.Code = "00000"
	}
	if len(s.notices) < maxNotices {
		s.notices = append(s.notices, n)
	}
}

// Notices returns and forgets the notices since the last call.
func (s *Session) Notices() []session.Notice {
	out := s.notices
	s.notices = nil
	return out
}

// readFlags are the mechanisms that the session's settings switch off.
func (s *Session) readFlags() materialize.Flags {
	off := func(name string) bool { return s.Setting(name) == "off" }
	return materialize.Flags{NoRuns: off("tilehouse.use_runs"), NoPartials: off("tilehouse.use_partials"), NoTiles: off("tilehouse.use_row_packs"), NoLevels: off("tilehouse.use_levels")}
}
