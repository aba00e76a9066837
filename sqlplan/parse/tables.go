package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// tokenOptions reads the WITH (…) that holds the option d: PostgreSQL's AST does not keep how a value was written.
func tokenOptions(s *SQL, toks []token, d *pg_query.DefElem) (Options, error) {
	at := -1
	for i := range toks {
		if toks[i].start == int(d.Location) {
			break
		}
		if toks[i].is("with") && i+1 < len(toks) && toks[i+1].is("(") {
			at = i + 1
		}
	}
	if at < 0 {
		return nil, faultAt(int(d.Location), codeSyntax, "", "options stand in WITH (…)")
	}
	r := &reader{src: s.Text, toks: toks, i: at}
	o := r.options()
	return o, r.err
}

// RelOptions reads the (…) of ALTER TABLE … SET and RESET, which PostgreSQL's grammar reads: its AST does not keep how a
// value was written. d is one of its options.
func RelOptions(sql string, d *pg_query.DefElem) (Options, error) {
	toks, err := scan(sql)
	if err != nil {
		return nil, convert(sql, err)
	}
	at := -1
	for i := range toks {
		if toks[i].start == int(d.Location) {
			break
		}
		if toks[i].is("set", "reset") && i+1 < len(toks) && toks[i+1].is("(") {
			at = i + 1
		}
	}
	if at < 0 {
		return nil, ErrorAt(sql, int(d.Location), codeSyntax, "options stand in SET (…) or RESET (…)", "")
	}
	r := &reader{src: sql, toks: toks, i: at}
	o := r.options()
	if r.err != nil {
		return nil, convert(sql, r.err)
	}
	return o, nil
}

func nameOf(rv *pg_query.RangeVar) (Name, error) {
	n := Name{Schema: rv.GetSchemaname(), Name: rv.GetRelname(), Position: int(rv.GetLocation())}
	if rv.GetCatalogname() != "" {
		return n, faultAt(n.Position, codeUnsupported, "", "names have at most two parts")
	}
	return n, nil
}

// eventTable makes CREATE TABLE … WITH (event_time = …) ours.
func eventTable(s *SQL, toks []token) (Statement, error) {
	n := s.Node.GetCreateStmt()
	t := &CreateTable{SQL: *s, IfNotExists: n.IfNotExists}
	var err error
	if t.Name, err = nameOf(n.Relation); err != nil {
		return nil, err
	}
	d := defElem(n.Options, "event_time")
	switch {
	case n.Relation.Relpersistence != "p":
		return nil, faultAt(t.Name.Position, codeUnsupported, "", "an event table cannot be temporary or unlogged")
	case len(n.InhRelations) > 0 || n.Partbound != nil || n.Partspec != nil || n.OfTypename != nil:
		return nil, faultAt(t.Name.Position, codeUnsupported, "", "an event table cannot be partitioned, inherit, or be of a type")
	case n.Tablespacename != "" || n.AccessMethod != "":
		return nil, faultAt(t.Name.Position, codeUnsupported, "", "an event table has no tablespace and no access method")
	}
	if t.Columns, t.PrimaryKey, err = columnsOf("an event table", n.TableElts); err != nil {
		return nil, err
	}
	if t.Options, err = tokenOptions(s, toks, d); err != nil {
		return nil, err
	}
	return t, nil
}

// eventView makes CREATE VIEW … WITH (event_time = …) ours.
func eventView(s *SQL, toks []token) (Statement, error) {
	n := s.Node.GetViewStmt()
	v := &CreateEventView{SQL: *s, OrReplace: n.Replace, Select: n.Query.GetSelectStmt()}
	var err error
	if v.Name, err = nameOf(n.View); err != nil {
		return nil, err
	}
	for _, a := range n.Aliases {
		v.Aliases = append(v.Aliases, a.GetString_().GetSval())
	}
	switch {
	case n.View.Relpersistence != "p":
		return nil, faultAt(v.Name.Position, codeUnsupported, "", "an event view cannot be temporary")
	case v.Select == nil || v.Select.Op != pg_query.SetOperation_SETOP_NONE || len(v.Select.GroupClause) > 0 ||
		len(v.Select.SortClause) > 0 || len(v.Select.DistinctClause) > 0 || v.Select.LimitCount != nil || v.Select.LimitOffset != nil ||
		v.Select.HavingClause != nil || v.Select.WithClause != nil || len(v.Select.WindowClause) > 0 || len(v.Select.ValuesLists) > 0 ||
		len(v.Select.FromClause) != 1 || v.Select.FromClause[0].GetRangeVar() == nil:
		return nil, faultAt(v.Name.Position, codeUnsupported, "", "an event view is a projection and filter of one source")
	case !s.Clauses.Empty():
		return nil, faultAt(v.Name.Position, codeUnsupported, "", "an event view has no ASOF JOIN, WINDOW, TABLESAMPLE or FOR SYSTEM_TIME")
	case n.WithCheckOption != pg_query.ViewCheckOption_NO_CHECK_OPTION:
		return nil, faultAt(v.Name.Position, codeUnsupported, "", "an event view has no CHECK OPTION")
	}
	if err := deterministic(n.Query); err != nil {
		return nil, err
	}
	if v.Options, err = tokenOptions(s, toks, defElem(n.Options, "event_time")); err != nil {
		return nil, err
	}
	if v.BodyText, err = deparse(n.Query); err != nil {
		return nil, err
	}
	return v, nil
}
