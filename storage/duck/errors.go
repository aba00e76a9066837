package duck

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// Error is what DuckDB, or this package in its place, says is wrong.
type Error struct {
	Type     string // DuckDB's exception type, e.g. "Binder"; "" where the error is this package's
	Subtype  string // DuckDB's subtype, e.g. "COLUMN_NOT_FOUND", or ""
	SQLState string
	Message  string // one sentence for the user
	Detail   string // of errors of functions of ours, or ""
	Hint     string // candidates and advice, or ""
	Position int    // 1-based byte of the SQL, 0: none
	Object   string // the name that was not found, is there already, …, or ""
	cause    error
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the context's error where the statement was interrupted because its context ended, else nil.
func (e *Error) Unwrap() error { return e.cause }

// SQLState is the SQLSTATE of the *Error that err is or wraps, "" where there is none.
func SQLState(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.SQLState
	}
	return ""
}

// rule gives a SQLSTATE to errors of one type whose subtype is sub (or any, where sub is "") and whose message holds text.
type rule struct{ sub, text, state string }

// sqlStates is tried from above; the last rule of a type is its default. Types absent are XX000. DuckDB's types are coarse,
// so that the text decides in places: it is compared in lower case.
var sqlStates = map[string][]rule{
	"Parser": {{"", "not supported", "0A000"}, {"", "", "42601"}},
	"Syntax": {{"", "", "42601"}},
	"Binder": {
		{"COLUMN_NOT_FOUND", "", "42703"}, {"NO_MATCHING_FUNCTION", "", "42883"}, {"", "does not have a column", "42703"},
		{"", "not found in from clause", "42703"}, {"", "referenced table", "42P01"}, {"", "ambiguous", "42702"},
		{"", "must appear in the group by", "42803"}, {"", "cannot contain aggregates", "42803"}, {"", "aggregate function calls", "42803"},
		{"", "cannot contain window", "42P20"}, {"", "could not choose a best candidate", "42725"}, {"", "duplicate alias", "42712"},
		{"", "no function matches", "42883"}, {"", "columns available but", "42P10"}, {"", "cannot compare values", "42883"},
		{"", "cannot mix values", "42804"}, {"", "schema \"", "3F000"}, {"", "catalog \"", "3F000"}, {"", "not supported", "0A000"},
		{"", "already attached", "42P04"}, {"", "not implemented", "0A000"},
		{"", "set operations can only", "42601"}, {"", "cannot be negative", "2201W"}, {"", "", "42000"},
	},
	"Catalog": {
		{"MISSING_ENTRY", "", "missing"}, {"ENTRY_ALREADY_EXISTS", "", "exists"}, {"", "write-write conflict", "40001"},
		{"", "column with name", "42701"}, {"", "table with name", "42P01"},
		{"", "does not exist", "42704"}, {"", "unrecognized configuration parameter", "42704"}, {"", "not in the catalog", "42704"},
		{"", "is not an", "42809"}, {"", "already exists", "42710"}, {"", "", "42000"},
	},
	"Conversion": {
		{"", "date field value out of range", "22008"}, {"", "timestamp field value out of range", "22008"},
		{"", "time field value out of range", "22008"}, {"", "not in timestamp range", "22008"}, {"", "could not cast value", "22003"},
		{"", "invalid date field format", "22007"}, {"", "invalid timestamp field format", "22007"}, {"", "invalid time field format", "22007"},
		{"", "invalid unicode", "22021"}, {"", "invalid byte sequence", "22021"}, {"", "out of range", "22003"},
		{"", "overflow", "22003"}, {"", "unimplemented type for cast", "42846"}, {"", "to date", "22007"}, {"", "to timestamp", "22007"},
		{"", "", "22P02"},
	},
	"Out of Range":   {{"", "timestamp", "22008"}, {"", "date", "22008"}, {"", "interval", "22015"}, {"", "", "22003"}},
	"Decimal":        {{"", "", "22003"}},
	"Object Size":    {{"", "", "54000"}},
	"Divide by Zero": {{"", "", "22012"}},
	"Constraint": {
		{"", "duplicate key", "23505"}, {"", "unique", "23505"}, {"", "primary key", "23505"}, {"", "not null", "23502"},
		{"", "check constraint", "23514"}, {"", "foreign key", "23503"}, {"", "", "23000"},
	},
	"TransactionContext": {
		{"", "unique", "23505"}, {"", "primary key", "23505"}, {"", "foreign key", "23503"}, {"", "conflict", "40001"},
		{"", "aborted", "25P02"}, {"", "within a transaction", "25001"}, {"", "no transaction is active", "25P01"},
		{"", "has been altered", "40001"}, {"", "has been dropped", "40001"}, {"", "read-only", "25006"}, {"", "", "25000"},
	},
	"Invalid Input": {
		{"", "csv error", "22P04"}, {"", "error when sniffing file", "22P04"}, {"", "schema mismatch", "42804"}, {"", "could not parse string", "22007"},
		{"", "malformed json", "22P02"}, {"", "configuration has been locked", "42501"},
		{"", "file system operations are disabled", "42501"}, {"", "read-only", "25006"}, {"", "parquet", "XX001"},
		{"", "snappy", "XX001"}, {"", "decompression", "XX001"}, {"", "zstd", "XX001"}, {"", "magic bytes", "XX001"},
		{"", "more than one row returned by a subquery", "21000"}, {"", "parameters, but", "08P01"},
		{"", "type mismatch", "42804"}, {"", "multiple statements", "42601"}, {"", "no statement to prepare", "42601"},
		{"", "values were not provided for the following prepared", "08P01"}, {"", "unicode", "22021"}, {"", "", "22023"},
	},
	"IO": {
		{"", "no space left", "53100"}, {"", "no files found", "58P01"}, {"", "no such file", "58P01"}, {"", "lock on file", "55006"},
		{"", "too many open files", "53000"}, {"", "permission denied", "42501"}, {"", "", "58030"},
	},
	"Out of Memory": {{"", "max_temp_directory_size", "53100"}, {"", "temp directory", "53100"}, {"", "", "53200"}},

	"Expression":             {{"", "", "42804"}},
	"Mismatch Type":          {{"", "", "42804"}},
	"Invalid type":           {{"", "", "42804"}},
	"Unknown Type":           {{"", "", "42704"}},
	"Not implemented":        {{"", "", "0A000"}},
	"Dependency":             {{"", "", "2BP01"}},
	"Permission":             {{"", "", "42501"}},
	"INTERRUPT":              {{"", "", "57014"}},
	"Sequence":               {{"", "", "2200H"}},
	"Parameter Not Resolved": {{"", "", "42P18"}},
	"Parameter Not Allowed":  {{"", "", "42P02"}},
	"Missing Extension":      {{"", "", "0A000"}},
	"Extension Autoloading":  {{"", "", "0A000"}},
	"Serialization":          {{"", "", "XX001"}},
	"Invalid Configuration":  {{"", "", "F0000"}},
}

// missingStates and existsStates are by the kind of the catalog's entry.
var (
	missingStates = map[string]string{
		"Table": "42P01", "View": "42P01", "Sequence": "42P01", "Schema": "3F000", "Database": "3D000", "Catalog": "3D000",
		"Scalar Function": "42883", "Aggregate Function": "42883", "Table Function": "42883", "Macro Function": "42883",
		"Table Macro Function": "42883", "Pragma Function": "42883", "Copy Function": "42704",
	}
	existsStates = map[string]string{
		"Table": "42P07", "View": "42P07", "Sequence": "42P07", "Index": "42P07", "Schema": "42P06", "Database": "42P04",
		"Scalar Function": "42723", "Aggregate Function": "42723", "Table Function": "42723", "Macro Function": "42723",
		"Table Macro Function": "42723",
	}
)

func sqlState(typ, sub, object, message string) string {
	low := strings.ToLower(message)
	for _, r := range sqlStates[typ] {
		if r.sub != "" && r.sub != sub || !strings.Contains(low, r.text) {
			continue
		}
		state, byKind := r.state, map[string]string(nil)
		switch state {
		case "missing":
			byKind = missingStates
		case "exists":
			byKind = existsStates
		default:
			return state
		}
		if s := byKind[object]; s != "" {
			return s
		}
		if state == "exists" {
			return "42710"
		}
		return "42704"
	}
	return "XX000"
}

// jsonStart is how DuckDB's errors begin where the session asks for JSON; a type or "Failed to append: " may stand before.
const jsonStart = `{"exception_type"`

// parseError reads an error as DuckDB prints it: JSON, possibly after a prefix or inside another one's message, or the plain
// "Type Error: message" of errors found before the session's settings apply.
func parseError(raw string) *Error {
	var f map[string]string
	for text := raw; ; text = f["exception_message"] { // Each round's text is a part of the last one's.
		i := strings.Index(text, jsonStart)
		if i < 0 {
			break
		}
		var inner map[string]string
		if json.NewDecoder(strings.NewReader(text[i:])).Decode(&inner) != nil {
			break
		}
		f = inner
	}
	e := &Error{Type: f["exception_type"], Subtype: f["error_subtype"], Object: f["name"]}
	message := f["exception_message"]
	if f == nil {
		message = raw
		if typ, rest, ok := strings.Cut(raw, " Error: "); ok && len(typ) < 30 && !strings.ContainsAny(typ, ":\n\"") {
			e.Type, message = typ, rest
		}
	}
	if p, err := strconv.Atoi(f["position"]); err == nil && p >= 0 {
		e.Position = p + 1
	}
	if own := ourError(message); own != nil {
		return own
	}
	e.SQLState = sqlState(e.Type, e.Subtype, f["type"], message)
	if strings.EqualFold(e.Type, "INTERNAL") || strings.EqualFold(e.Type, "FATAL") {
		message, _, _ = strings.Cut(message, "\nThis error signals an assertion failure")
		message, _, _ = strings.Cut(message, "\nStack Trace")
	}
	if e.Type == "Out of Memory" {
		message, _, _ = strings.Cut(message, "\n") // The rest advises settings that are locked.
		message, _, _ = strings.Cut(message, " This limit was set by")
		if strings.HasSuffix(message, "(bad allocation)") { // bound.go refused it
			message = tooMuchText
		}
	}
	if csv, hint, ok := csvMessage(message); ok {
		e.Message, e.Hint = csv, hint
	} else {
		e.Message, e.Hint = clean(message)
		if message == tooMuchText {
			e.Hint = fewerTexts
		}
	}
	if e.Type == "INTERRUPT" {
		e.Message = "canceling statement due to user request"
	}
	return e
}

var (
	sourceLine  = regexp.MustCompile(`(?s)\n+LINE \d+: .*$`)
	adviceStart = regexp.MustCompile(`(?i)\s*\n\s*(did you mean|candidate|either add|please try|hint|possible |for faster|\* )|\s+You might need to add explicit type casts`)
	spaces      = regexp.MustCompile(`\s+`)
	setAdvice   = regexp.MustCompile(`Use "SET [^"]*" to [^.]*\.?`) // no statement can: the configuration is locked
	// DuckDB names the numbers of its storage in some messages. INT128 is left: it stands for hugeint and for uuid.
	storageNames = strings.NewReplacer(" to INT16", " to smallint", " to INT32", " to integer", " to INT64", " to bigint", " to BOOL", " to boolean")
)

// maxHint bounds a hint, in bytes: a list of all overloads of + helps nobody.
const maxHint = 300

// clean splits what a user can read from what helps him on, and takes out DuckDB's copy of the source line.
func clean(s string) (message, hint string) {
	s = sourceLine.ReplaceAllString(s, "")
	if at := adviceStart.FindStringIndex(s); at != nil {
		s, hint = s[:at[0]], s[at[0]:]
	} else if head, tail, ok := strings.Cut(s, "\n\n"); ok {
		s, hint = head, tail
	}
	return storageNames.Replace(oneLine(s)), cutHint(setAdvice.ReplaceAllString(oneLine(hint), ""))
}

func oneLine(s string) string { return strings.TrimSpace(spaces.ReplaceAllString(s, " ")) }

func cutHint(s string) string {
	s = strings.TrimSpace(s)
	if len(s) <= maxHint {
		return s
	}
	cut := s[:maxHint]
	if i := strings.LastIndexByte(cut, ' '); i > 0 {
		cut = cut[:i]
	}
	return cut + " …"
}
