package parse

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// AddedColumn reads the column of ALTER TABLE … ADD COLUMN of an event table. Errors: *Error, with the place in sql.
func AddedColumn(sql string, d *pg_query.ColumnDef) (Column, error) {
	c, primary, err := columnOf("an event table", d)
	if err == nil && primary >= 0 {
		err = faultAt(primary, codeUnsupported, "", "a primary key cannot be added to an event table")
	}
	if err != nil {
		return c, convert(sql, err)
	}
	return c, nil
}

// WithColumn is the text of CREATE TABLE with one more column at the end of its list, as ALTER TABLE … ADD COLUMN says it.
func WithColumn(sql string, d *pg_query.ColumnDef) (_ string, err error) {
	defer guard(&err)
	toks, err := scan(sql)
	if err != nil {
		return "", convert(sql, err)
	}
	const prefix = "CREATE TABLE t ("
	text, err := deparse(&pg_query.Node{Node: &pg_query.Node_CreateStmt{CreateStmt: &pg_query.CreateStmt{
		Relation:  &pg_query.RangeVar{Relname: "t", Inh: true, Relpersistence: "p"},
		TableElts: []*pg_query.Node{{Node: &pg_query.Node_ColumnDef{ColumnDef: d}}}}}})
	if err != nil {
		return "", err
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, prefix), ")")
	open := slices.IndexFunc(toks, func(t token) bool { return t.is("(") })
	if open < 0 || closing(toks, open) < 0 {
		return "", convert(sql, syntaxAt(sql, toks, len(toks), ""))
	}
	end := toks[closing(toks, open)-1].start
	return strings.TrimRight(sql[:end], " \t\r\n") + ", " + text + sql[end:], nil
}
