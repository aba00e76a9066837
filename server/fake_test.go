package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// fakeEngine answers a handful of statements:
//
//	select                     one bigint 7, named abalance, for $1 int
//	rows N WIDTH               N rows (bigint, text of WIDTH bytes), made as they are read
//	echo TYPE                  the parameter of that type
//	begin, commit, rollback    transaction blocks
//	set NAME VALUE             changes a setting
//	write X, boom              a write; an error 22012 at character 1
//	sleep                      runs until it is cancelled
//	copy in|out text|csv       rows (bigint, text, numeric(12,2))
//	notice, panic, ""          what they say
type fakeEngine struct {
	verifiers map[string]string // nil: every role, without a password
	limits    map[string]int    // of connections, by role
	expired   map[string]bool
	mu        sync.Mutex
	committed []string
	sleeping  atomic.Int32
	canceled  atomic.Int32
	copied    []string
}

func (e *fakeEngine) Login(_ context.Context, role string) (Login, error) {
	salt := sha256.Sum256([]byte(role))
	l := Login{Exists: true, Connections: -1, Salt: salt[:16], Superuser: role == "admin"}
	if limit, ok := e.limits[role]; ok {
		l.Connections = limit
	}
	l.Expired = e.expired[role]
	if e.verifiers != nil {
		l.Verifier, l.Exists = e.verifiers[role], false
		_, l.Exists = e.verifiers[role]
	}
	return l, nil
}

func (e *fakeEngine) Connect(_ context.Context, info ConnectInfo) (Session, error) {
	if info.Database == "missing" {
		return nil, &Error{Code: "3D000", Message: `database "missing" does not exist`}
	}
	return &fakeSession{e: e, status: 'I', settings: map[string]string{"TimeZone": "UTC", "DateStyle": "ISO, MDY",
		"IntervalStyle": "postgres", "bytea_output": "hex", "extra_float_digits": "1", "server_version": "15.0",
		"client_encoding": "UTF8", "server_encoding": "UTF8", "integer_datetimes": "on", "standard_conforming_strings": "on"}}, nil
}

type fakeSession struct {
	e        *fakeEngine
	status   byte
	implicit bool
	pending  []string
	settings map[string]string
	version  uint64
	changed  map[string]string
	notices  []Notice
	busy     bool
	prepared map[string]*session.Named
}

func (s *fakeSession) Split(sql string) (out []Fragment, err error) {
	at := 0
	for _, p := range strings.SplitAfter(sql, ";") {
		if text := strings.TrimSuffix(p, ";"); strings.TrimSpace(text) != "" {
			out = append(out, Fragment{SQL: text, Offset: at})
		}
		at += len(p)
	}
	return out, nil
}
func (s *fakeSession) TxStatus() byte { return s.status }
func (s *fakeSession) Fail() {
	if s.status == 'T' {
		s.status = 'E'
	}
}
func (s *fakeSession) BeginImplicit() { s.implicit = true }
func (s *fakeSession) EndImplicit(_ context.Context, ok bool) error {
	s.implicit = false
	if s.status == 'I' {
		return s.finish(ok)
	}
	return nil
}
func (s *fakeSession) finish(ok bool) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if ok {
		s.e.committed = append(s.e.committed, s.pending...)
	}
	for _, w := range s.pending {
		if ok && w == "conflict" {
			s.pending = nil
			return &Error{Code: "40001", Message: "could not serialize access"}
		}
	}
	s.pending = nil
	return nil
}
func (s *fakeSession) Notices() []Notice {
	n := s.notices
	s.notices = nil
	return n
}
func (s *fakeSession) ReportedSettings(all bool) map[string]string {
	if all {
		return s.settings
	}
	c := s.changed
	s.changed = nil
	return c
}
func (s *fakeSession) Setting(name string) string { return s.settings[name] }
func (s *fakeSession) SettingsVersion() uint64    { return s.version + 1 }
func (s *fakeSession) Close()                     {}
func (s *fakeSession) Idle()                      {}

func (s *fakeSession) Timeout(name string) time.Duration {
	d, _ := time.ParseDuration(s.settings[name])
	return d
}

func (s *fakeSession) Prepared() map[string]*session.Named {
	if s.prepared == nil {
		s.prepared = map[string]*session.Named{}
	}
	return s.prepared
}

func (s *fakeSession) CursorColumns(string) ([]Column, bool) { return nil, false }
func (s *fakeSession) Notifications() []session.Notification { return nil }

var fakeTypes = func() map[string]vector.Type {
	m := map[string]vector.Type{}
	for k := vector.Bool; k <= vector.JSON; k++ {
		t := vector.T(k)
		if k == vector.Decimal {
			t = vector.DecimalOf(38, 9)
		}
		name := strings.ReplaceAll(vector.T(k).String(), " ", "_")
		if k == vector.Decimal {
			name = "numeric"
		}
		m[name], m[name+"[]"] = t, vector.ListOf(t)
	}
	m["map"] = vector.MapOf(vector.T(vector.Text), vector.T(vector.Int64))
	return m
}()

func (s *fakeSession) Parse(_ context.Context, sql string, _ []uint32) (Statement, error) {
	if s.busy {
		panic("the session is used while a Result is open")
	}
	st := &fakeStatement{s: s, words: strings.Fields(strings.ToLower(sql))}
	if len(st.words) == 0 {
		return st, nil
	}
	if least := map[string]int{"rows": 3, "echo": 2, "set": 2, "write": 2, "copy": 3}[st.words[0]]; len(st.words) < least {
		return nil, &Error{Code: "42601", Message: "syntax error"}
	}
	bigint := vector.T(vector.Int64)
	switch st.words[0] {
	case "select":
		st.columns = []Column{{Name: "abalance", Type: bigint}}
		if strings.Contains(sql, "$1") {
			st.params = []vector.Type{vector.T(vector.Int32)}
		}
	case "rows":
		st.columns = []Column{{Name: "n", Type: bigint}, {Name: "t", Type: vector.T(vector.Text)}}
	case "echo":
		t, ok := fakeTypes[st.words[1]]
		if !ok {
			return nil, &Error{Code: "42704", Message: "no type " + st.words[1]}
		}
		st.params, st.columns = []vector.Type{t}, []Column{{Name: "v", Type: t}}
	case "syntax":
		return nil, &Error{Code: "42601", Message: "syntax error", Position: strings.Index(sql, "syntax") + 1}
	}
	return st, nil
}

type fakeStatement struct {
	s       *fakeSession
	words   []string
	params  []vector.Type
	columns []Column
	result  fakeResult
	chunk   *vector.Chunk
}

func (st *fakeStatement) Params() []vector.Type { return st.params }
func (st *fakeStatement) Columns() []Column     { return st.columns }
func (st *fakeStatement) Close()                {}

var copyColumns = []Column{{Name: "id", Type: vector.T(vector.Int64)}, {Name: "name", Type: vector.T(vector.Text)}, {Name: "amount", Type: vector.DecimalOf(12, 2)}}

func (st *fakeStatement) Execute(ctx context.Context, args []*vector.Vector) (Result, error) {
	s := st.s
	if s.busy {
		panic("the session is used while a Result is open")
	}
	r := &st.result
	*r = fakeResult{ctx: ctx, st: st}
	if len(st.words) == 0 {
		s.busy = true
		return r, nil
	}
	verb := st.words[0]
	if s.status == 'E' && verb != "rollback" && verb != "commit" {
		return nil, &Error{Code: "25P02", Message: "current transaction is aborted"}
	}
	r.tag = strings.ToUpper(verb)
	switch verb {
	case "begin":
		s.status = 'T'
	case "commit", "rollback":
		ok := verb == "commit" && s.status == 'T'
		s.status = 'I'
		if err := s.finish(ok); err != nil {
			return nil, err
		}
	case "set":
		name := map[string]string{"timezone": "TimeZone", "extra_float_digits": "extra_float_digits"}[st.words[1]]
		if name == "" {
			return nil, &Error{Code: "42704", Message: "unrecognized configuration parameter"}
		}
		s.version++
		s.settings[name] = map[string]string{"timezone": "Europe/Amsterdam", "extra_float_digits": "0"}[st.words[1]]
		s.changed = map[string]string{name: s.settings[name]}
	case "write":
		s.pending = append(s.pending, st.words[1])
		if s.status == 'I' && !s.implicit {
			if err := s.finish(true); err != nil {
				return nil, err
			}
		}
		r.tag = "INSERT 0 1"
	case "boom":
		return nil, &Error{Code: "22012", Message: "division by zero", Position: 1}
	case "panic":
		panic("boom")
	case "notice":
		s.notices = append(s.notices, Notice{Severity: "WARNING", Code: "01000", Message: "look out"})
	case "sleep":
		s.e.sleeping.Add(1)
		<-ctx.Done()
		s.e.canceled.Add(1)
		return nil, ctx.Err()
	case "select":
		if st.chunk == nil {
			st.chunk = vector.NewChunk([]vector.Type{vector.T(vector.Int64)}, 1)
			st.chunk.Cols[0].AppendInt(7)
			st.chunk.N = 1
		}
		r.once = st.chunk
	case "echo":
		r.tag, r.once = "SELECT", &vector.Chunk{N: 1, Cols: args}
	case "rows":
		r.tag = "SELECT"
		r.left, _ = strconv.Atoi(st.words[1])
		r.width, _ = strconv.Atoi(st.words[2])
		r.left, r.width = max(r.left, 0), max(r.width, 0)
	case "copy":
		f := &CopyFormat{Format: st.words[2], Null: `\N`}
		if f.Format == "csv" {
			f.Null, f.Header = "", true
		}
		if st.words[1] == "in" {
			r.in = &fakeCopy{s: s, format: f}
		} else {
			r.out, r.once = f, vector.NewChunk([]vector.Type{copyColumns[0].Type, copyColumns[1].Type, copyColumns[2].Type}, 2)
			st.columns = copyColumns
			c := r.once
			c.Cols[0].AppendInt(1)
			c.Cols[1].AppendString("a\t\"b\"\n")
			c.Cols[2].AppendInt128(vector.Int128FromInt64(1050))
			c.Cols[0].AppendNull()
			c.Cols[1].AppendString("")
			c.Cols[2].AppendNull()
			c.N = 2
		}
	}
	s.busy = true
	return r, nil
}

type fakeResult struct {
	ctx         context.Context
	st          *fakeStatement
	tag         string
	once        *vector.Chunk
	left, width int
	n           int64
	in          *fakeCopy
	out         *CopyFormat
}

func (r *fakeResult) Next() (*vector.Chunk, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	if c := r.once; c != nil {
		r.once = nil
		return c, nil
	}
	if r.left == 0 {
		return nil, nil
	}
	c := vector.NewChunk([]vector.Type{vector.T(vector.Int64), vector.T(vector.Text)}, 2048)
	for ; c.N < 2048 && r.left > 0; c.N++ {
		r.n++
		r.left--
		c.Cols[0].AppendInt(r.n)
		c.Cols[1].AppendString(strings.Repeat("x", r.width))
	}
	return c, nil
}
func (r *fakeResult) Tag() string { return r.tag }
func (r *fakeResult) CopyIn() CopyIn {
	if r.in == nil {
		return nil
	}
	return r.in
}
func (r *fakeResult) CopyOut() *CopyFormat { return r.out }
func (r *fakeResult) Close()               { r.st.s.busy = false }

type fakeCopy struct {
	s      *fakeSession
	format *CopyFormat
	rows   []string
}

func (c *fakeCopy) Format() *CopyFormat { return c.format }
func (c *fakeCopy) Columns() []Column   { return copyColumns }
func (c *fakeCopy) Table() string       { return "t" }
func (c *fakeCopy) Add(ch *vector.Chunk) error {
	ch.Check()
	for i := range ch.N {
		row := ""
		for _, v := range ch.Cols {
			if v.IsNull(i) {
				row += "NULL|"
			} else {
				row += string(codec.AppendText(nil, v, i, codec.Defaults)) + "|"
			}
		}
		c.rows = append(c.rows, row)
	}
	return nil
}
func (c *fakeCopy) Finish(err error) (string, error) {
	c.s.e.mu.Lock()
	defer c.s.e.mu.Unlock()
	if err == nil {
		c.s.e.copied = append(c.s.e.copied, c.rows...)
	} else {
		c.s.e.canceled.Add(1)
	}
	return fmt.Sprintf("COPY %d", len(c.rows)), nil
}
