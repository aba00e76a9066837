package rewrite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// placeholder is the name that stands for replacement i until the text is written. The user cannot have written it: PostgreSQL
// cuts names at 63 bytes, and this one is longer.
func placeholder(i int) string { return fmt.Sprintf("%s%08d", placeholderPrefix, i) }

var placeholderPrefix = "__tilehouse_relation_" + strings.Repeat("_", 60)

// relations asks Options.Relation for every table that is read. ctes are the names of the WITH queries in scope.
func (c *context) relations(m proto.Message, ctes []string) error {
	if c.opt.Relation == nil {
		return nil
	}
	switch n := m.(type) {
	case *pg_query.RangeVar:
		return c.relation(n, ctes)
	case *pg_query.SelectStmt:
		return c.scope(n, n.WithClause, nil, ctes)
	case *pg_query.InsertStmt:
		return c.scope(n, n.WithClause, n.Relation, ctes)
	case *pg_query.UpdateStmt:
		return c.scope(n, n.WithClause, n.Relation, ctes)
	case *pg_query.DeleteStmt:
		return c.scope(n, n.WithClause, n.Relation, ctes)
	case *pg_query.CreateStmt, *pg_query.IntoClause, *pg_query.DropStmt, *pg_query.AlterTableStmt:
		return nil
	case *pg_query.ViewStmt:
		return c.relations(n.Query, ctes)
	}
	return c.children(m, ctes, nil)
}

// EachRelation calls visit for every table that a statement reads, as Options.Relation is asked for: not for the names of WITH
// queries, nor for the table that an INSERT, UPDATE or DELETE writes.
func EachRelation(n *pg_query.Node, visit func(rv *pg_query.RangeVar) error) error {
	c := &context{opt: Options{Relation: func(rv *pg_query.RangeVar) (string, bool, error) { return "", false, visit(rv) }}}
	return c.relations(n, nil)
}

// scope goes through a statement with WITH queries: each sees those before it, and all of them where WITH is RECURSIVE.
func (c *context) scope(m proto.Message, w *pg_query.WithClause, target *pg_query.RangeVar, ctes []string) error {
	ctes = slices.Clone(ctes)
	if w.GetRecursive() {
		for _, q := range w.GetCtes() {
			ctes = append(ctes, q.GetCommonTableExpr().GetCtename())
		}
	}
	for _, q := range w.GetCtes() {
		if err := c.relations(q.GetCommonTableExpr(), ctes); err != nil {
			return err
		}
		ctes = append(ctes, q.GetCommonTableExpr().GetCtename())
	}
	return c.children(m, ctes, []any{w, target})
}

// children goes on below m, leaving out the given messages.
func (c *context) children(m proto.Message, ctes []string, skip []any) error {
	var err error
	parse.Children(m, func(child proto.Message) bool {
		if !slices.Contains(skip, any(child)) {
			err = c.relations(child, ctes)
		}
		return err == nil
	})
	return err
}

func (c *context) relation(rv *pg_query.RangeVar, ctes []string) error {
	if rv.Schemaname == "" && slices.Contains(ctes, rv.Relname) {
		return nil
	}
	sql, ok, err := c.opt.Relation(rv)
	if err != nil || !ok {
		return err
	}
	if rv.Alias == nil {
		rv.Alias = &pg_query.Alias{Aliasname: rv.Relname}
	}
	if rv.Schemaname != "" {
		c.qualified[rv.Schemaname+"."+rv.Relname] = true
	}
	rv.Catalogname, rv.Schemaname, rv.Relname, rv.Inh = "", "", placeholder(len(c.replaced)), true
	c.replaced = append(c.replaced, sql)
	return nil
}

// joinOf is the offset of the words LEFT JOIN or JOIN before the sub-SELECT whose alias is token i, or -1.
func joinOf(toks []*pg_query.ScanToken, i int) int {
	i--
	for depth := 0; i >= 0; i-- {
		if toks[i].Token == pg_query.Token_ASCII_41 {
			depth++
		} else if toks[i].Token == pg_query.Token_ASCII_40 {
			if depth--; depth == 0 {
				break
			}
		}
	}
	if i--; i < 0 || toks[i].Token != pg_query.Token_JOIN {
		return -1
	}
	if i > 0 && toks[i-1].Token == pg_query.Token_LEFT {
		i--
	}
	return int(toks[i].Start)
}

// reservedRule quotes names that DuckDB reserves and PostgreSQL does not.
const reservedRule = "reserved_words"

var reserved = map[string]bool{
	"qualify": true, "pivot": true, "pivot_wider": true, "pivot_longer": true, "unpivot": true, "summarize": true, "describe": true,
	"show": true, "lambda": true, "asof": true, "anti": true, "semi": true, "positional": true,
	"at": true, "glob": true, "by": true, "unpack": true,
}

// finish puts the replacements into the text, and quotes around reserved names. It works on tokens, so that it changes no literal.
func (c *context) finish(sql string) (string, error) {
	if len(c.replaced) == 0 && !anyReserved(sql) && !strings.Contains(sql, parse.AsofAliasPrefix) {
		return sql, nil
	}
	r, err := pg_query.Scan(sql)
	if err != nil {
		return "", &parse.Error{Code: "XX000", Message: "rewriting failed: " + err.Error()}
	}
	type change struct {
		from, to int
		text     string
	}
	var changes []change
	for i, t := range r.Tokens {
		if t.Token != pg_query.Token_IDENT && t.KeywordKind != pg_query.KeywordKind_UNRESERVED_KEYWORD {
			continue
		}
		w := sql[t.Start:t.End]
		bare := w
		if w[0] == '"' {
			bare = w[1 : len(w)-1]
		}
		put := ""
		if number, ok := strings.CutPrefix(w, placeholderPrefix); ok {
			k, err := strconv.Atoi(number)
			if err != nil || k >= len(c.replaced) {
				return "", &parse.Error{Code: "XX000", Message: "rewriting lost a relation"}
			}
			put = c.replaced[k]
		} else if name, ok := strings.CutPrefix(bare, parse.AsofAliasPrefix); ok {
			at := joinOf(r.Tokens, i)
			if at < 0 {
				return "", &parse.Error{Code: "XX000", Message: "rewriting lost an ASOF join"}
			}
			changes = append(changes, change{at, at, "ASOF "})
			put = `"` + name + `"`
		} else if reserved[w] && i > 0 && !c.opt.Off[reservedRule] {
			put = `"` + w + `"`
		} else {
			continue
		}
		changes = append(changes, change{int(t.Start), int(t.End), put})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.from - b.from })
	var b strings.Builder
	done := 0
	for _, k := range changes {
		b.WriteString(sql[done:k.from])
		b.WriteString(k.text)
		done = k.to
	}
	b.WriteString(sql[done:])
	return b.String(), nil
}

func anyReserved(sql string) bool {
	for w := range reserved {
		if strings.Contains(sql, w) {
			return true
		}
	}
	return false
}
