package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// What people write who come from other systems, and what to write here: files in FROM, and the commands of other shells.

var (
	missingRelation = regexp.MustCompile(`^relation "([^"]+)" does not exist$`)
	noReader        = regexp.MustCompile(`^function (read_\w+|parquet_scan|csv_scan|glob|scan_\w+)(?:\(.*\))? does not exist$`)
	fileAccess      = regexp.MustCompile(`^Cannot access (?:file|directory) "([^"]+)"`)
	beforeFile      = regexp.MustCompile(`(?i)(?:\bfrom|\bjoin|,)\s*$`)
	literal         = regexp.MustCompile(`^'([^']+)'`)
	callOfFile      = regexp.MustCompile(`(?i)\b(?:read_\w+|parquet_scan|csv_scan|scan_\w+)\s*\(\s*\[?\s*'([^']+)'`)
	commandWord     = regexp.MustCompile(`^[\\.]?[a-zA-Z?]+`)
)

// shellCommands are the first words of commands of other shells, and what does the like here.
var shellCommands = map[string]string{
	"help": helpHint, "h": helpHint, "?": helpHint, "man": helpHint,
	"describe": describeHint, "desc": describeHint, "d": describeHint,
	"use":    "There is one database, tilehouse, with schema public.",
	"tables": tablesHint, "dt": tablesHint, "list": tablesHint, "schema": tablesHint, "l": tablesHint,
	"pivot": "PIVOT is DuckDB's; aggregates with FILTER (WHERE …), one a column, do the like.",
	"from":  "SELECT * FROM …: the statement begins with SELECT.",
}

// otherFiles are endings of files that no source reads.
var otherFiles = []string{".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".orc", ".avro", ".feather", ".arrow", ".tsv", ".txt"}

const (
	helpHint     = "SHOW FEATURES, SHOW SOURCES and SHOW ENTITIES list what there is, EXPLAIN FEATURE says why a value is what it is, and `tilehouse help` prints a page for each statement. psql has \\d and \\?."
	describeHint = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '…'; psql has \\d name."
	tablesHint   = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public'; or SHOW SOURCES, SHOW ENTITIES, SHOW FEATURES. psql has \\d."
)

// advise gives an error that has no hint one, where a newcomer's next statement can be told.
func (s *Session) advise(ctx context.Context, err *session.Error, sql string) *session.Error {
	if err == nil || s.tx != nil && s.tx.failed {
		return err
	}
	path := ""
	err = s.meant(err, sql)
	switch err.Code {
	case "42601":
		if err.Hint != "" || err.Position == 0 || !strings.HasPrefix(err.Message, "syntax error") {
			return err
		}
		before, after := splitAt(sql, err.Position)
		if m := literal.FindStringSubmatch(after); m != nil && beforeFile.MatchString(before) {
			path = m[1]
		} else if m := callOfFile.FindStringSubmatch(sql); m != nil && strings.HasPrefix(after, "[") {
			path = m[1]
		} else if strings.TrimSpace(before) == "" {
			if h, ok := shellCommands[strings.ToLower(strings.TrimLeft(commandWord.FindString(after), `\.`))]; ok {
				return hint(err, "%s", h)
			}
		}
	case codeUndefinedTable:
		if m := missingRelation.FindStringSubmatch(err.Message); m != nil && err.Hint == "" {
			path = s.e.mat.FileNamed(ctx, m[1])
		}
	case "42883", "42501":
		if m := fileAccess.FindStringSubmatch(err.Message); m != nil {
			path = m[1]
		} else if noReader.MatchString(err.Message) {
			if path = "…"; callOfFile.MatchString(sql) {
				path = callOfFile.FindStringSubmatch(sql)[1]
			}
		}
	}
	if path == "" {
		return err
	}
	if e := filepath.Ext(path); slices.Contains(otherFiles, strings.ToLower(e)) {
		return hint(err, "Files are read as sources, which are of Parquet or CSV: write it as one of them, and CREATE SOURCE name WITH (connector = 'file', path = '%s.parquet').", strings.TrimSuffix(path, e))
	}
	name, create := s.sourceOf(ctx, path)
	return hint(err, "Files are read as sources: %s SELECT * FROM %s;", create, name)
}

// splitAt cuts sql before its character of a position, which counts from 1.
func splitAt(sql string, position int) (before, after string) {
	n := 1
	for i := range sql {
		if n == position {
			return sql[:i], sql[i:]
		}
		n++
	}
	return sql, ""
}

var notInName = regexp.MustCompile(`[^a-z0-9_]+`)

// sourceOf is a name for a source over a path and the statement that makes it, with the event time that its files suggest.
func (s *Session) sourceOf(ctx context.Context, path string) (name, create string) {
	if !strings.ContainsAny(filepath.Base(path), ".*…") { // a folder
		path = filepath.Join(path, "**", "*.parquet")
	}
	name = path
	if i := strings.IndexAny(path, "*?[{"); i >= 0 { // the folder above the first wildcard
		name = filepath.Dir(path[:i] + "x")
	}
	name = strings.ToLower(filepath.Base(name))
	name, _, _ = strings.Cut(name, ".")
	if name = strings.Trim(notInName.ReplaceAllString(name, "_"), "_"); name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "s" + name
	}
	time := ""
	for _, c := range s.e.mat.FirstColumns(ctx, s.conn, path) {
		if c.Type.Kind == vector.TimestampTZ {
			time = fmt.Sprintf(", event_time = %s", duck.QuoteLiteral(c.Name))
			break
		}
	}
	return name, fmt.Sprintf("CREATE SOURCE %s WITH (connector = 'file', path = %s%s);", name, duck.QuoteLiteral(path), time)
}
