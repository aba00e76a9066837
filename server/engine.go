package server

import "github.com/tilehouse/tilehouse/sqlplan/session"

// The contract with the engine, by the names that this package uses.
type (
	Engine      = session.Engine
	ConnectInfo = session.ConnectInfo
	Login       = session.Login
	Session     = session.Session
	Fragment    = session.Fragment
	Column      = session.Column
	Statement   = session.Statement
	Result      = session.Result
	CopyIn      = session.CopyIn
	CopyFormat  = session.CopyFormat
	Error       = session.Error
	Notice      = session.Notice
)
