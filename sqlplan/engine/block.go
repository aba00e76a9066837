package engine

import (
	"context"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// isolation is the isolation level of the open transaction, or of the next one.
func (s *Session) isolation() string {
	if s.tx != nil && s.tx.level != "" {
		return s.tx.level
	}
	return s.Setting("default_transaction_isolation")
}

// readOnly reports whether the open transaction, or the next one, is read only.
func (s *Session) readOnly() bool {
	if s.tx != nil {
		return s.tx.readOnly
	}
	return s.Setting("default_transaction_read_only") == "on"
}

// setIsolation is SET TRANSACTION ISOLATION LEVEL, and SET transaction_isolation.
func setIsolation(s *Session, v string) (string, error) {
	if s.tx == nil {
		return v, nil
	}
	if v != s.tx.level {
		if s.tx.queried {
			return "", fail(codeInTransaction, "SET TRANSACTION ISOLATION LEVEL must be called before any query")
		}
		if len(s.tx.savepoint) > 0 {
			return "", fail(codeInTransaction, "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction")
		}
	}
	s.tx.level = v
	return v, nil
}

// setReadOnly is SET TRANSACTION READ ONLY and READ WRITE, and SET transaction_read_only.
func setReadOnly(s *Session, v string) (string, error) {
	if s.tx == nil {
		return v, nil
	}
	if v == "off" && s.tx.readOnly {
		if n := len(s.tx.savepoint); n > 0 && s.tx.savepoint[n-1].readOnly {
			return "", fail(codeInTransaction, "cannot set transaction read-write mode inside a read-only transaction")
		}
		if s.tx.queried {
			return "", fail(codeInTransaction, "transaction read-write mode must be set before any query")
		}
	}
	s.tx.readOnly = v == "on"
	return v, nil
}

// setCharacteristics takes the options of BEGIN and of SET TRANSACTION; prefix is "default_" for those of a session.
func (s *Session) setCharacteristics(options []*pg_query.Node, prefix string) error {
	for _, o := range options {
		d := o.GetDefElem()
		v, _, _ := constantText(d.GetArg())
		switch d.GetDefname() {
		case "transaction_read_only", "transaction_deferrable":
			v = onOff(v != "0" && v != "false" && v != "off")
		}
		if err := s.setSetting(prefix+d.GetDefname(), v, false); err != nil {
			return err
		}
	}
	return nil
}

// transactionStatement runs BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their kin; the tag is the command's.
func (s *Session) transactionStatement(ctx context.Context, n *pg_query.TransactionStmt) (string, error) {
	block := s.tx != nil && !s.tx.implicit
	warn := func(code, message string) {
		s.notice(session.Notice{Severity: "WARNING", Code: code, Message: message})
	}
	switch kind := transactionKind(n); kind {
	case "BEGIN", "START TRANSACTION":
		if block {
			warn(codeInTransaction, "there is already a transaction in progress")
			return kind, s.setCharacteristics(n.Options, "")
		}
		if s.tx == nil {
			s.begin(false)
		} else { // what came before in this query text becomes part of the block, as in PostgreSQL
			s.tx.implicit = false
		}
		if s.tx.began == 0 {
			s.tx.began = s.e.now()
		}
		return kind, s.setCharacteristics(n.Options, "")
	case "COMMIT", "ROLLBACK":
		if !block {
			if n.Chain {
				return "", fail(codeNoTransaction, "%s AND CHAIN can only be used in transaction blocks", kind)
			}
			warn(codeNoTransaction, "there is no transaction in progress")
			if s.tx == nil {
				return kind, nil
			}
		}
		was := *s.tx
		var err error
		if kind == "ROLLBACK" || s.tx.failed {
			kind = "ROLLBACK"
			s.rollback()
		} else {
			err = s.commit(ctx)
		}
		if n.Chain && err == nil {
			next := s.begin(false)
			next.level, next.readOnly, next.began = was.level, was.readOnly, s.e.now()
		}
		return kind, err
	case "SAVEPOINT", "RELEASE", "ROLLBACK TO":
		if !block {
			what := map[string]string{"SAVEPOINT": "SAVEPOINT", "RELEASE": "RELEASE SAVEPOINT", "ROLLBACK TO": "ROLLBACK TO SAVEPOINT"}[kind]
			return "", fail(codeNoTransaction, "%s can only be used in transaction blocks", what)
		}
		switch kind {
		case "SAVEPOINT":
			return kind, s.setSavepoint(n.SavepointName)
		case "RELEASE":
			return kind, s.releaseSavepoint(n.SavepointName)
		}
		return "ROLLBACK", s.rollbackTo(ctx, n.SavepointName)
	case "PREPARE":
		if !block {
			warn(codeNoTransaction, "there is no transaction in progress")
			return "ROLLBACK", nil
		}
		s.rollback()
		return "", hint(fail("55000", "prepared transactions are disabled"), "Set max_prepared_transactions to a nonzero value.")
	default: // COMMIT PREPARED, ROLLBACK PREPARED
		return "", fail(codeUndefinedObject, "prepared transaction with identifier %q does not exist", n.Gid)
	}
}

// endsTransaction reports whether a statement runs in a failed block: it ends it, or goes back to a savepoint.
func endsTransaction(st parse.Statement) bool {
	sql, ok := st.(*parse.SQL)
	if !ok || sql.Node.GetTransactionStmt() == nil {
		return false
	}
	switch transactionKind(sql.Node.GetTransactionStmt()) {
	case "COMMIT", "ROLLBACK", "ROLLBACK TO":
		return true
	}
	return false
}

func transactionKind(t *pg_query.TransactionStmt) string {
	switch t.Kind {
	case pg_query.TransactionStmtKind_TRANS_STMT_BEGIN:
		return "BEGIN"
	case pg_query.TransactionStmtKind_TRANS_STMT_START:
		return "START TRANSACTION"
	case pg_query.TransactionStmtKind_TRANS_STMT_COMMIT:
		return "COMMIT"
	case pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		return "ROLLBACK"
	case pg_query.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		return "SAVEPOINT"
	case pg_query.TransactionStmtKind_TRANS_STMT_RELEASE:
		return "RELEASE"
	case pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return "ROLLBACK TO"
	case pg_query.TransactionStmtKind_TRANS_STMT_PREPARE:
		return "PREPARE"
	}
	return strings.TrimPrefix(t.Kind.String(), "TRANS_STMT_")
}

// writes is the name of a statement that a read-only transaction refuses, and the table it changes; "" where it may run.
func writes(st parse.Statement) (command string, target *pg_query.RangeVar) {
	switch st := st.(type) {
	case *parse.SQL:
		return sqlWrites(st.Node)
	case *parse.CreateTable, *parse.CreateEntity, *parse.CreateSource, *parse.CreateEventView, *parse.CreateFeature, *parse.CreateFeatureView:
		return "CREATE", nil
	case *parse.Drop:
		return "DROP " + strings.ToUpper(string(st.Object)), nil
	case *parse.Refresh:
		return "REFRESH", nil
	case *parse.DeadLetters:
		return lettersTag(st), nil
	case *parse.Alter:
		return "ALTER " + strings.ToUpper(string(st.Object)), nil
	case *parse.Comment:
		return "COMMENT", nil
	case *parse.Grant:
		return "GRANT", nil
	}
	return "", nil
}

func sqlWrites(node *pg_query.Node) (command string, target *pg_query.RangeVar) {
	switch n := node.GetNode().(type) {
	case *pg_query.Node_InsertStmt:
		return "INSERT", n.InsertStmt.Relation
	case *pg_query.Node_UpdateStmt:
		return "UPDATE", n.UpdateStmt.Relation
	case *pg_query.Node_DeleteStmt:
		return "DELETE", n.DeleteStmt.Relation
	case *pg_query.Node_MergeStmt:
		return "MERGE", n.MergeStmt.Relation
	case *pg_query.Node_CopyStmt:
		if n.CopyStmt.IsFrom {
			return "COPY FROM", n.CopyStmt.Relation
		}
		return "", nil
	case *pg_query.Node_SelectStmt:
		if n.SelectStmt.IntoClause != nil {
			return "SELECT INTO", nil
		}
		for _, l := range n.SelectStmt.LockingClause {
			return "SELECT " + map[pg_query.LockClauseStrength]string{pg_query.LockClauseStrength_LCS_FORUPDATE: "FOR UPDATE", pg_query.LockClauseStrength_LCS_FORNOKEYUPDATE: "FOR NO KEY UPDATE",
				pg_query.LockClauseStrength_LCS_FORSHARE: "FOR SHARE", pg_query.LockClauseStrength_LCS_FORKEYSHARE: "FOR KEY SHARE"}[l.GetLockingClause().GetStrength()], nil
		}
		parse.Walk(node, func(m proto.Message) bool {
			switch m := m.(type) {
			case *pg_query.CommonTableExpr:
				if c, rv := sqlWrites(m.Ctequery); c != "" {
					command, target = c, rv
				}
			case *pg_query.FuncCall:
				if k := len(m.Funcname); k > 0 {
					if name := m.Funcname[k-1].GetString_().GetSval(); name == "nextval" || name == "setval" {
						command = name + "()"
					}
				}
			}
			return command == ""
		})
		return command, target
	case *pg_query.Node_ExplainStmt:
		if strings.Contains(strings.ToLower(n.ExplainStmt.String()), "analyze") {
			return sqlWrites(n.ExplainStmt.Query)
		}
		return "", nil
	case *pg_query.Node_TransactionStmt, *pg_query.Node_VariableSetStmt, *pg_query.Node_VariableShowStmt, *pg_query.Node_DiscardStmt,
		*pg_query.Node_PrepareStmt, *pg_query.Node_ExecuteStmt, *pg_query.Node_DeallocateStmt, *pg_query.Node_DeclareCursorStmt, *pg_query.Node_FetchStmt,
		*pg_query.Node_ClosePortalStmt, *pg_query.Node_ListenStmt, *pg_query.Node_UnlistenStmt, *pg_query.Node_NotifyStmt, *pg_query.Node_LockStmt,
		*pg_query.Node_VacuumStmt, *pg_query.Node_CheckPointStmt, *pg_query.Node_LoadStmt, *pg_query.Node_ConstraintsSetStmt, *pg_query.Node_ReindexStmt, *pg_query.Node_ClusterStmt:
		return "", nil
	case nil:
		return "", nil
	}
	return utilityName(node), nil
}

// utilityName is the command tag of a statement of PostgreSQL's that defines something.
func utilityName(node *pg_query.Node) string {
	switch n := node.GetNode().(type) {
	case *pg_query.Node_CreateStmt:
		return "CREATE TABLE"
	case *pg_query.Node_CreateTableAsStmt:
		return "CREATE TABLE AS"
	case *pg_query.Node_ViewStmt:
		return "CREATE VIEW"
	case *pg_query.Node_IndexStmt:
		return "CREATE INDEX"
	case *pg_query.Node_CreateSeqStmt:
		return "CREATE SEQUENCE"
	case *pg_query.Node_AlterSeqStmt:
		return "ALTER SEQUENCE"
	case *pg_query.Node_CreateSchemaStmt:
		return "CREATE SCHEMA"
	case *pg_query.Node_CreateFunctionStmt:
		return "CREATE FUNCTION"
	case *pg_query.Node_AlterTableStmt:
		return "ALTER TABLE"
	case *pg_query.Node_RenameStmt:
		return "ALTER TABLE"
	case *pg_query.Node_TruncateStmt:
		return "TRUNCATE TABLE"
	case *pg_query.Node_CommentStmt:
		return "COMMENT"
	case *pg_query.Node_GrantStmt:
		if n.GrantStmt.IsGrant {
			return "GRANT"
		}
		return "REVOKE"
	case *pg_query.Node_GrantRoleStmt:
		return "GRANT ROLE"
	case *pg_query.Node_CreateRoleStmt:
		return "CREATE ROLE"
	case *pg_query.Node_AlterRoleStmt:
		return "ALTER ROLE"
	case *pg_query.Node_DropRoleStmt:
		return "DROP ROLE"
	case *pg_query.Node_DropStmt:
		return "DROP " + strings.ReplaceAll(strings.TrimPrefix(n.DropStmt.RemoveType.String(), "OBJECT_"), "_", " ")
	}
	name := strings.TrimSuffix(strings.TrimPrefix(string(node.ProtoReflect().WhichOneof(node.ProtoReflect().Descriptor().Oneofs().Get(0)).Name()), "node_"), "_stmt")
	return strings.ToUpper(strings.ReplaceAll(name, "_", " "))
}

// definesOrdinary reports whether a statement of this name can change columns of ordinary tables.
func definesOrdinary(command string) bool {
	switch command {
	case "", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY FROM", "COMMENT", "TRUNCATE TABLE", "REFRESH":
		return false
	}
	return !strings.HasPrefix(command, "SELECT FOR") && !strings.HasSuffix(command, "()")
}

// refuseReadOnly refuses a statement that writes in a read-only transaction: all but changes of temporary tables' rows.
func (s *Session) refuseReadOnly(ctx context.Context, command string, target *pg_query.RangeVar) error {
	if command == "" || !s.readOnly() {
		return nil
	}
	if target != nil && s.isTemporary(ctx, target) {
		return nil
	}
	return fail("25006", "cannot execute %s in a read-only transaction", command)
}
