// Package session is the contract between a gateway, which knows bytes, and the engine, which knows SQL: sessions, statements,
// results in vectors, and errors as clients see them. It holds no logic, so that neither side imports the other.
package session

import (
	"context"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Engine is what a gateway serves: it opens sessions. Implementations are safe for concurrent use.
type Engine interface {
	// Login says how a role logs in. Of one that does not exist it says so, and gives a Salt all the same.
	Login(ctx context.Context, role string) (Login, error)
	// Connect opens a session. Errors are *Error (3D000 for an unknown database, 28000 for an unknown role).
	Connect(ctx context.Context, info ConnectInfo) (Session, error)
}

// Login is what a gateway must know of a role to let it in.
type Login struct {
	Exists    bool
	Superuser bool
	// Verifier is a SCRAM-SHA-256 verifier in PostgreSQL's form ("SCRAM-SHA-256$4096:…"); "": the role has no password.
	Verifier string
	// Expired says that the password is no longer valid.
	Expired bool
	// Connections is how many sessions the role may have at a time; -1: any number.
	Connections int
	// Salt is 16 bytes that belong to the name, for good: what a role without a verifier seems to have for a salt.
	Salt []byte
}

// ConnectInfo is what the startup message said.
type ConnectInfo struct {
	User, Database string
	Params         map[string]string // the other startup parameters, as sent
	Remote         string            // host:port of the peer
	PID            uint32            // the backend key's process id, for pg_backend_pid()
	// Cancel ends the session's running statement, Terminate the session, and Wake has the gateway ask for Notifications soon.
	// Any goroutine may call them; nil: the gateway cannot.
	Cancel, Terminate, Wake func()
	// MovePortal passes over so many rows of a named portal of the gateway's, from the session's running statement, and says how
	// many there were; ok is false where there is no such portal. nil: the gateway has none.
	MovePortal func(name string, rows int64) (moved int64, ok bool, err error)
}

// Session is one connection's state: settings, transaction, prepared plans. Its methods are called from one goroutine at a
// time. ctx ends when the client cancels or disconnects; the call then returns an *Error 57014 soon.
type Session interface {
	// Split cuts the text of a simple query into statements, with each one's byte offset. Errors: 42601.
	Split(sql string) ([]Fragment, error)
	// Parse binds one statement. paramOIDs are the client's parameter types by $n, 0 = not given; it may be shorter than the
	// parameters. nil: of a simple query, which has none; then a parameter in it is an error, 42P02. An empty statement gives a Statement with an empty Tag.
	Parse(ctx context.Context, sql string, paramOIDs []uint32) (Statement, error)
	// TxStatus is 'I' (idle), 'T' (in a transaction block) or 'E' (failed block).
	TxStatus() byte
	// Fail marks the transaction block failed after an error the server found itself (a bad COPY row, a bad parameter).
	Fail()
	// BeginImplicit and EndImplicit bracket the statements of one multi-statement simple query outside a block: they commit
	// together, or roll back when ok is false.
	BeginImplicit()
	EndImplicit(ctx context.Context, ok bool) error
	// Notices returns and forgets the notices since the last call, and the settings to be reported (ParameterStatus) that changed.
	Notices() []Notice
	ReportedSettings(all bool) map[string]string
	// Setting is a setting that codecs need: TimeZone, DateStyle, IntervalStyle, bytea_output, extra_float_digits,
	// client_encoding.
	Setting(name string) string
	// Timeout is a setting that is a time, 0 for none: statement_timeout, idle_in_transaction_session_timeout, idle_session_timeout.
	Timeout(name string) time.Duration
	// Prepared is the named prepared statements, which SQL (PREPARE, DEALLOCATE) and the gateway both change.
	Prepared() map[string]*Named
	// CursorColumns are the columns of a cursor that DECLARE made.
	CursorColumns(name string) (columns []Column, ok bool)
	// Notifications returns and forgets what LISTEN has brought; nothing inside a transaction.
	Notifications() []Notification
	// Idle says that the client was told to go on.
	Idle()
	// SettingsVersion is at least 1, and another one after the value of a setting changed.
	SettingsVersion() uint64
	Close()
}

// Named is a prepared statement that has a name.
type Named struct {
	Statement Statement
	SQL       string
	FromSQL   bool // PREPARE made it
	Since     time.Time
	Gateway   any // what the gateway keeps of it
}

// Notification is a NotificationResponse.
type Notification struct {
	PID              uint32 // of the session that sent it
	Channel, Payload string
}

// Fragment is one statement of a query text.
type Fragment struct {
	SQL    string
	Offset int // bytes
}

// Column describes a result column.
type Column struct {
	Name string
	Type vector.Type
	// Table is the object id of the relation whose column it shows as it is, and Number that column's number, from 1; 0: of none.
	Table  uint32
	Number int16
}

// Statement is a bound statement. It stays valid until Close, also after the catalog changed: Execute then rebinds, and
// fails with 0A000 ("cached plan must not change result type") where the columns changed.
type Statement interface {
	Params() []vector.Type // by $n
	Columns() []Column     // nil: returns no rows
	// Execute runs the statement; args are one value each, of the types of Params. The Result must be closed before the
	// session is used again.
	Execute(ctx context.Context, args []*vector.Vector) (Result, error)
	Close()
}

// Result streams rows. A statement without rows ends at once.
type Result interface {
	// Next returns rows, or nil at the end. The chunk belongs to the Result and is valid until the next call.
	Next() (*vector.Chunk, error)
	// Tag is the command tag ("SELECT 3" is made by the server from the rows when Tag is "SELECT"). Valid after the end.
	Tag() string
	// CopyIn is not nil for COPY … FROM STDIN: the server decodes CopyData and gives rows to it, then calls Finish.
	CopyIn() CopyIn
	// CopyOut is not nil for COPY … TO STDOUT: the rows of Next go out in its format.
	CopyOut() *CopyFormat
	Close()
}

// CopyIn takes the rows of COPY … FROM STDIN.
type CopyIn interface {
	Format() *CopyFormat
	Columns() []Column // the columns in the order the data has them
	// Add takes over the rows of c (the chunk is reused by the caller after the call).
	Add(c *vector.Chunk) error
	// Finish commits (err == nil) or gives up, and returns the command tag ("COPY 3").
	Finish(err error) (tag string, e error)
}

// CopyFormat is the options of COPY.
type CopyFormat struct {
	Format    string // "text", "csv" or "binary"
	Delimiter byte
	Null      string
	Header    bool
	Quote     byte
	Escape    byte
	// Encoding is that of the data, by PostgreSQL's name; "": the client's.
	Encoding string
	// HeaderMatch: the header's names must be the columns'.
	HeaderMatch bool
	// ForceQuote, ForceNotNull and ForceNull say of each column whether its values are quoted, are never NULL, or are NULL
	// though quoted; nil: none.
	ForceQuote, ForceNotNull, ForceNull []bool
}

// Error is an error as the client sees it.
type Error struct {
	Severity                          string // "ERROR" unless set
	Code                              string // SQLSTATE
	Message                           string
	Detail                            string
	Hint                              string
	Position                          int // 1-based character of the statement's text; 0: none
	Where                             string
	Schema, Table, Column, Constraint string
}

func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// Notice is a NoticeResponse.
type Notice = Error
