package engine

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// copyOptions are the options of COPY as written, before what they mean together is checked.
type copyOptions struct {
	session.CopyFormat
	delimiter, null, quote, escape        bool // given
	forceQuote, forceNotNull, forceNull   []string
	quoted, quotedAll, notNull, nullsSaid bool
	freeze                                bool // which says nothing here, but of tables that are new
}

// copyFormat reads the options of COPY as PostgreSQL 15 does. Columns that options name are found by forceColumns.
func copyFormat(sql string, n *pg_query.CopyStmt) (*copyOptions, error) {
	f := &copyOptions{CopyFormat: session.CopyFormat{Format: "text"}}
	seen := map[string]bool{}
	for _, o := range n.Options {
		d := o.GetDefElem()
		place := func(e *session.Error) error { return at(e, sql, int(d.Location)) }
		if seen[d.Defname] {
			return nil, place(fail("42601", "conflicting or redundant options"))
		}
		seen[d.Defname] = true
		v := copyOption(d)
		switch d.Defname {
		case "format", "delimiter", "null", "quote", "escape", "encoding":
			if d.Arg == nil {
				return nil, fail("42601", "%s requires a parameter", d.Defname)
			}
		}
		one := func(into *byte) error {
			if len(v) != 1 {
				return fail(codeUnsupported, "COPY %s must be a single one-byte character", d.Defname)
			}
			*into = v[0]
			return nil
		}
		var err error
		switch d.Defname {
		case "format":
			switch v {
			case "text", "csv", "binary":
				f.Format = v
			default:
				return nil, place(hint(fail(codeInvalidParameter, "COPY format %q not recognized", v), "Formats: text, csv, binary; COPY … TO 'file.parquet' writes Parquet below --export-root."))
			}
		case "delimiter":
			f.delimiter, err = true, one(&f.Delimiter)
		case "null":
			f.null, f.Null = true, v
		case "quote":
			f.quote, err = true, one(&f.Quote)
		case "escape":
			f.escape, err = true, one(&f.Escape)
		case "header":
			err = f.header(d, v, n.IsFrom)
		case "freeze":
			b, ok := readBool(v)
			if d.Arg == nil {
				b, ok = true, true
			}
			if !ok {
				return nil, fail("42601", "freeze requires a Boolean value")
			}
			f.freeze = b && n.IsFrom
		case "encoding":
			name, err := checkEncoding(nil, v)
			f.Encoding = name
			if err != nil {
				if e := asError(err); e.Code == codeUnsupported {
					return nil, place(hint(fail(codeUnsupported, "encoding %q is not supported", v), "Supported: UTF8, and encodings of one byte a character."))
				}
				return nil, place(fail(codeInvalidParameter, "argument to option \"encoding\" must be a valid encoding name"))
			}
		case "force_quote":
			f.quoted = true
			if f.quotedAll = d.Arg.GetAStar() != nil; !f.quotedAll {
				f.forceQuote = optionNames(d.Arg.GetList().GetItems())
			}
		case "force_not_null":
			f.notNull, f.forceNotNull = true, optionNames(d.Arg.GetList().GetItems())
		case "force_null":
			f.nullsSaid, f.forceNull = true, optionNames(d.Arg.GetList().GetItems())
		default:
			return nil, place(fail("42601", "option %q not recognized", d.Defname))
		}
		if err != nil {
			return nil, err
		}
	}
	return f, f.check(n.IsFrom)
}

func (f *copyOptions) header(d *pg_query.DefElem, v string, from bool) error {
	if d.Arg == nil {
		f.Header = true
		return nil
	}
	if strings.EqualFold(v, "match") {
		if !from {
			return fail(codeUnsupported, `cannot use "match" with HEADER in COPY TO`)
		}
		f.Header, f.HeaderMatch = true, true
		return nil
	}
	b, ok := readBool(v)
	if !ok {
		return fail("42601", `header requires a Boolean value or "match"`)
	}
	f.Header = b
	return nil
}

// check refuses options that do not go together, and fills in what is not said.
func (f *copyOptions) check(from bool) error {
	csv, binary := f.Format == "csv", f.Format == "binary"
	switch {
	case binary && f.delimiter:
		return fail("42601", "cannot specify DELIMITER in BINARY mode")
	case binary && f.null:
		return fail("42601", "cannot specify NULL in BINARY mode")
	case binary && f.Header:
		return fail(codeUnsupported, "cannot specify HEADER in BINARY mode")
	}
	if !f.delimiter {
		f.Delimiter = map[bool]byte{true: ',', false: '\t'}[csv]
	}
	if !f.null && !csv {
		f.Null = `\N`
	}
	if csv && !f.quote {
		f.Quote = '"'
	}
	if csv && !f.escape {
		f.Escape = f.Quote
	}
	switch {
	case f.Delimiter == '\n' || f.Delimiter == '\r':
		return fail(codeInvalidParameter, "COPY delimiter cannot be newline or carriage return")
	case strings.ContainsAny(f.Null, "\r\n"):
		return fail(codeInvalidParameter, "COPY null representation cannot use newline or carriage return")
	case !csv && strings.IndexByte(`\.abcdefghijklmnopqrstuvwxyz0123456789`, f.Delimiter) >= 0:
		return fail(codeInvalidParameter, "COPY delimiter cannot be %q", string(f.Delimiter))
	case !csv && f.quote:
		return fail(codeUnsupported, "COPY quote available only in CSV mode")
	case csv && f.Delimiter == f.Quote:
		return fail(codeInvalidParameter, "COPY delimiter and quote must be different")
	case !csv && f.escape:
		return fail(codeUnsupported, "COPY escape available only in CSV mode")
	case !csv && f.quoted:
		return fail(codeUnsupported, "COPY force quote available only in CSV mode")
	case f.quoted && from:
		return fail(codeUnsupported, "COPY force quote only available using COPY TO")
	case !csv && f.notNull:
		return fail(codeUnsupported, "COPY force not null available only in CSV mode")
	case f.notNull && !from:
		return fail(codeUnsupported, "COPY force not null only available using COPY FROM")
	case !csv && f.nullsSaid:
		return fail(codeUnsupported, "COPY force null available only in CSV mode")
	case f.nullsSaid && !from:
		return fail(codeUnsupported, "COPY force null only available using COPY FROM")
	case !binary && strings.IndexByte(f.Null, f.Delimiter) >= 0:
		return fail(codeUnsupported, "COPY delimiter must not appear in the NULL specification")
	case csv && strings.IndexByte(f.Null, f.Quote) >= 0:
		return fail(codeUnsupported, "CSV quote character must not appear in the NULL specification")
	}
	return nil
}

// forceColumns finds the columns that FORCE_… name, among those of the table and those that are copied.
func (f *copyOptions) forceColumns(table string, all, copied []string) error {
	find := func(option string, names []string, into *[]bool) error {
		for _, name := range names {
			i := slices.Index(copied, name)
			switch {
			case !slices.Contains(all, name):
				if table == "" {
					return fail(codeUndefinedColumn, "column %q does not exist", name)
				}
				return fail(codeUndefinedColumn, "column %q of relation %q does not exist", name, table)
			case i < 0:
				return fail("42P10", "%s column %q not referenced by COPY", option, name)
			}
			if *into == nil {
				*into = make([]bool, len(copied))
			}
			(*into)[i] = true
		}
		return nil
	}
	if f.quotedAll {
		f.ForceQuote = slices.Repeat([]bool{true}, len(copied))
	}
	if err := find("FORCE_QUOTE", f.forceQuote, &f.ForceQuote); err != nil {
		return err
	}
	if err := find("FORCE_NOT_NULL", f.forceNotNull, &f.ForceNotNull); err != nil {
		return err
	}
	return find("FORCE_NULL", f.forceNull, &f.ForceNull)
}

func optionNames(list []*pg_query.Node) (out []string) {
	for _, n := range list {
		out = append(out, n.GetString_().GetSval())
	}
	return out
}
