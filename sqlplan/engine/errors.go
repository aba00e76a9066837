package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The SQLSTATEs that the engine chooses itself.
const (
	codeUnsupported       = "0A000"
	codeInvalidParameter  = "22023"
	codeOutOfRange        = "22003"
	codeNotNull           = "23502"
	codeUnique            = "23505"
	codeConflict          = "40001"
	codeInTransaction     = "25001"
	codeFailedTransaction = "25P02"
	codeNoTransaction     = "25P01"
	codeUndefinedColumn   = "42703"
	codeUndefinedObject   = "42704"
	codeUndefinedTable    = "42P01"
	codeDuplicateObject   = "42710"
	codeDuplicateTable    = "42P07"
	codeDuplicateColumn   = "42701"
	codeDefinition        = "42P17"
	codeWrongObject       = "42809"
	codeTypeMismatch      = "42804"
	codeDependent         = "2BP01"
	codeStateTooLarge     = "54000"
	codeDiskFull          = "53100"
	codeCanceled          = "57014"
	codePlanChanged       = "0A000"
	codeBadTime           = "22008"
	codeIO                = "58030"
	codeCorrupt           = "XX001"
	codeInternal          = "XX000"
)

func fail(code, format string, args ...any) *session.Error {
	return &session.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// at gives err a place: the byte offset in sql.
func at(err *session.Error, sql string, offset int) *session.Error {
	err.Position = parse.Position(sql, offset)
	return err
}

func hint(err *session.Error, format string, args ...any) *session.Error {
	err.Hint = fmt.Sprintf(format, args...)
	return err
}

// asError makes an error as clients see it of any error: the one place where sentinels get their SQLSTATE.
func asError(err error) *session.Error {
	var done *session.Error
	var pe *parse.Error
	var de *duck.Error
	var be *functions.BindError
	var ue *reclog.UniqueError
	var ce *codec.Error
	var bv *schema.BrokenView
	var nf *materialize.NoFilesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return done
	case errors.As(err, &pe):
		return &session.Error{Code: pe.Code, Message: pe.Message, Hint: pe.Hint, Position: pe.Position}
	case errors.As(err, &be):
		return &session.Error{Code: be.SQLState, Message: be.Message, Hint: be.Hint}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(codeCanceled, "canceling statement due to user request")
	case errors.As(err, &ce):
		return &session.Error{Code: ce.Code, Message: ce.Message, Detail: ce.Detail, Hint: ce.Hint}
	case errors.Is(err, reclog.ErrDiskFull), errors.Is(err, syscall.ENOSPC), errors.As(err, &de) && strings.Contains(de.Message, "No space left on device"):
		return hint(fail(codeDiskFull, "no space left in the data directory; nothing was written"), "Free space; reads go on, and writes work again as soon as there is room.")
	case errors.As(err, &de) && strings.Contains(de.Message, rewrite.DivisionByZero):
		return fail("22012", "division by zero")
	case errors.As(err, &de):
		return duckError(de)
	case errors.As(err, &ue):
		return fail(codeUnique, "%s", ue.Error())
	case errors.Is(err, reclog.ErrConflict):
		return hint(fail(codeConflict, "could not serialize access: a row was changed by a transaction that committed first"), "Run the transaction again.")
	case errors.Is(err, reclog.ErrNarrower):
		return hint(fail(codeConflict, "could not serialize access: a column was given another type meanwhile"), "Run the transaction again.")
	case errors.Is(err, materialize.ErrNoRoot):
		return hint(fail("42501", "%s", err), "Start the server with --file-root DIR.")
	case errors.Is(err, materialize.ErrOutsideRoots):
		return hint(fail("42501", "%s", err), "Files are read below the directories given with --file-root only.")
	case errors.Is(err, path.ErrBadPattern):
		return hint(fail(codeInvalidParameter, "the path is no pattern of files: %s", err), "Wildcards are *, ?, [a-z], {a,b} and ** for directories.")
	case errors.As(err, &nf):
		return noFiles(nf)
	case errors.Is(err, materialize.ErrFileChanged):
		return hint(fail(codeInvalidParameter, "%s", err), "REFRESH SOURCE takes changes over; positions before a change can be read only as far as the features' data reach back.")
	case errors.Is(err, materialize.ErrTooManyFiles):
		return fail(codeStateTooLarge, "%s", err)
	case errors.Is(err, materialize.ErrReplaced):
		return fail("40001", "%s", err.Error())
	case errors.Is(err, materialize.ErrTooManyRows):
		return hint(fail("53200", "%s", err), "Raise --memory-limit, or read the newest position.")
	case errors.Is(err, materialize.ErrSchemaChanged):
		return hint(fail(codeTypeMismatch, "%s", err), "Write the file again with the source's columns (a CSV file has all of them, in their order, and commas or what option delimiter says), give a path that leaves it out, or DROP SOURCE … CASCADE and CREATE it anew.")
	case errors.As(err, &bv):
		return hint(fail(codeDependent, "%s", bv), "DROP FEATURE VIEW %s; or replace it first.", bv.View)
	case errors.Is(err, materialize.ErrElsewhere):
		return onGateway("%s", err)
	case errors.Is(err, functions.ErrOutOfRange):
		return fail(codeOutOfRange, "%s", err)
	case errors.Is(err, functions.ErrStateTooLarge):
		return hint(fail(codeStateTooLarge, "%s", err), "Use the approx_ form of the aggregate, or raise max_state.")
	case errors.Is(err, functions.ErrBadState):
		return fail(codeCorrupt, "%s", err)
	}
	return fail(codeInternal, "%s", err)
}

// noFiles says where files were looked for, and which path was probably meant.
func noFiles(e *materialize.NoFilesError) *session.Error {
	out := fail("58P01", "%s", e)
	if e.Folder != "" {
		return hint(out, "It is a folder; of its files: path = %s.", duck.QuoteLiteral(e.Folder))
	}
	if len(e.Near) > 0 {
		return hint(out, "Paths are relative to the directories of --file-root. There is: path = %s.", strings.Join(literals(e.Near...), ", "))
	}
	return hint(out, "Paths are relative to the directories of --file-root: %s.", strings.Join(e.Roots, ", "))
}
