package rewrite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() != protoreflect.MessageKind {
			return true
		}
		if !fd.IsList() {
			if x := v.Message().Interface(); !slices.Contains(skip, any(x)) {
				err = c.relations(x, ctes)
			}
			return err == nil
		}
		for i := range v.List().Len() {
			if err = c.relations(v.List().Get(i).Message().Interface(), ctes); err != nil {
				return false
			}
		}
		return true
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

// reservedRule quotes names that DuckDB reserves and PostgreSQL does not.
const reservedRule = "reserved_words"

var reserved = map[string]bool{
	"qualify": true, "pivot": true, "pivot_wider": true, "pivot_longer": true, "unpivot": true, "summarize": true, "describe": true,
	"show": true, "lambda": true, "asof": true, "anti": true, "semi": true, "positional": true,
	"at": true, "glob": true, "by": true, "unpack": true,
}

// finish puts the replacements into the text, and quotes around reserved names. It works on tokens, so that it changes no literal.
func (c *context) finish(sql string) (string, error) {
	if len(c.replaced) == 0 && !anyReserved(sql) {
		return sql, nil
	}
	r, err := pg_query.Scan(sql)
	if err != nil {
		return "", &parse.Error{Code: "XX000", Message: "rewriting failed: " + err.Error()}
	}
	var b strings.Builder
	done := 0
	for i, t := range r.Tokens {
		if t.Token != pg_query.Token_IDENT && t.KeywordKind != pg_query.KeywordKind_UNRESERVED_KEYWORD {
			continue
		}
		w := sql[t.Start:t.End]
		put := ""
		if number, ok := strings.CutPrefix(w, placeholderPrefix); ok {
			k, err := strconv.Atoi(number)
			if err != nil || k >= len(c.replaced) {
				return "", &parse.Error{Code: "XX000", Message: "rewriting lost a relation"}
			}
			put = c.replaced[k]
		} else if reserved[w] && i > 0 && !c.opt.Off[reservedRule] {
			put = `"` + w + `"`
		} else {
			continue
		}
		b.WriteString(sql[done:t.Start])
		b.WriteString(put)
		done = int(t.End)
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
