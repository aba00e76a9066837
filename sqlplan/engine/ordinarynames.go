package engine

import (
	"context"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// reservedPrefix begins the names of what this program keeps in DuckDB.
const reservedPrefix = "__"

func crossDatabase(rv *pg_query.RangeVar) *session.Error {
	return fail(codeUnsupported, "cross-database references are not implemented: \"%s.%s.%s\"", rv.Catalogname, rv.Schemaname, rv.Relname)
}

// changeableNames refuses a statement that names a relation of another database, calls raiseFunction, or makes,
// changes or drops a relation by a name that is not users'. That a name means something of theirs is for the statement to say.
func (s *Session) changeableNames(st *parse.SQL) error {
	var err error
	parse.Walk(st.Node, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.RangeVar:
			if n.Catalogname != "" && n.Catalogname != s.info.Database {
				err = at(crossDatabase(n), st.Text, int(n.Location))
			}
		case *pg_query.FuncCall:
			if name := n.Funcname[len(n.Funcname)-1].GetString_().GetSval(); name == raiseFunction || name == storedFunction {
				err = at(fail("42883", "function %s does not exist", name), st.Text, int(n.Location))
			}
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	for _, rv := range targets(st.Node) {
		switch {
		case rv == nil:
		case rv.Catalogname != "" && rv.Catalogname != s.info.Database:
			return at(crossDatabase(rv), st.Text, int(rv.Location))
		case strings.HasPrefix(rv.Relname, reservedPrefix):
			return at(hint(fail(codeReservedName, "unacceptable relation name %q", rv.Relname), "Names that begin with two underscores are reserved."), st.Text, int(rv.Location))
		}
	}
	return nil
}

// targets are the relations that a statement makes, changes or drops.
func targets(n *pg_query.Node) []*pg_query.RangeVar {
	var out []*pg_query.RangeVar
	switch n := n.Node.(type) {
	case *pg_query.Node_InsertStmt:
		out = append(out, n.InsertStmt.Relation)
	case *pg_query.Node_UpdateStmt:
		out = append(out, n.UpdateStmt.Relation)
	case *pg_query.Node_DeleteStmt:
		out = append(out, n.DeleteStmt.Relation)
	case *pg_query.Node_CopyStmt:
		out = append(out, n.CopyStmt.Relation)
	case *pg_query.Node_CreateStmt:
		out = append(out, n.CreateStmt.Relation)
	case *pg_query.Node_CreateTableAsStmt:
		out = append(out, n.CreateTableAsStmt.GetInto().GetRel())
	case *pg_query.Node_ViewStmt:
		out = append(out, n.ViewStmt.View)
	case *pg_query.Node_SelectStmt:
		out = append(out, n.SelectStmt.GetIntoClause().GetRel())
	case *pg_query.Node_RefreshMatViewStmt:
		out = append(out, n.RefreshMatViewStmt.Relation)
	case *pg_query.Node_CreateSeqStmt:
		out = append(out, n.CreateSeqStmt.Sequence)
	case *pg_query.Node_AlterSeqStmt:
		out = append(out, n.AlterSeqStmt.Sequence)
	case *pg_query.Node_AlterObjectSchemaStmt:
		out = append(out, n.AlterObjectSchemaStmt.Relation)
	case *pg_query.Node_IndexStmt:
		out = append(out, n.IndexStmt.Relation, &pg_query.RangeVar{Relname: n.IndexStmt.Idxname, Location: -1})
	case *pg_query.Node_AlterTableStmt:
		out = append(out, n.AlterTableStmt.Relation)
	case *pg_query.Node_RenameStmt:
		out = append(out, n.RenameStmt.Relation)
		if k := n.RenameStmt.RenameType; n.RenameStmt.Relation != nil && k != pg_query.ObjectType_OBJECT_COLUMN && k != pg_query.ObjectType_OBJECT_TABCONSTRAINT {
			out = append(out, &pg_query.RangeVar{Relname: n.RenameStmt.Newname, Location: -1})
		}
	case *pg_query.Node_TruncateStmt:
		for _, r := range n.TruncateStmt.Relations {
			out = append(out, r.GetRangeVar())
		}
	case *pg_query.Node_DropStmt:
		for _, o := range n.DropStmt.Objects {
			rv := &pg_query.RangeVar{Location: -1}
			for i, w := range slices.Backward(o.GetList().GetItems()) {
				word := w.GetString_().GetSval()
				switch len(o.GetList().GetItems()) - 1 - i {
				case 0:
					rv.Relname = word
				case 1:
					rv.Schemaname = word
				default:
					rv.Catalogname = word
				}
			}
			out = append(out, rv)
		}
	}
	return out
}

// defaultSQL is a column's default as an expression of DuckDB's, of the column's type.
func (s *Session) defaultSQL(ctx context.Context, c schema.Column) (string, error) {
	parsed, err := parse.Parse("SELECT " + c.Default)
	if err != nil {
		return "", err
	}
	sql, ok := parsed.(*parse.SQL)
	if !ok || len(sql.Node.GetSelectStmt().GetTargetList()) != 1 {
		return "", fail(codeDefinition, "the default of column %q is no expression", c.Name)
	}
	n := sql.Node.GetSelectStmt().TargetList[0].GetResTarget().GetVal()
	subquery := false
	parse.Walk(n, func(m proto.Message) bool {
		_, is := m.(*pg_query.SubLink)
		subquery = subquery || is
		return !subquery
	})
	if subquery {
		return "", fail(codeUnsupported, "cannot use subquery in DEFAULT expression")
	}
	out, err := s.expressions(ctx, []*pg_query.Node{n}, "")
	if err != nil {
		return "", err
	}
	return "CAST((" + out[0] + ") AS " + c.Type.DuckDB() + ")", nil
}
