package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// A statement of the user's becomes several of DuckDB's, each with some of its parameters, and DuckDB takes $1 to $n without a
// gap only. dense gives sql such numbers, in their order; numbers are those they had.
func dense(sql string) (text string, numbers []int, err error) {
	if !strings.Contains(sql, "$") {
		return sql, nil, nil
	}
	r, err := pg_query.Scan(sql)
	if err != nil {
		return "", nil, fmt.Errorf("parameters of DuckDB's statement: %w", err)
	}
	var at []*pg_query.ScanToken
	number := func(t *pg_query.ScanToken) int {
		n, _ := strconv.Atoi(sql[t.Start+1 : t.End]) // the token is $ and digits
		return n
	}
	for _, t := range r.Tokens {
		if t.Token == pg_query.Token_PARAM {
			at = append(at, t)
			numbers = append(numbers, number(t))
		}
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if len(numbers) == 0 || numbers[len(numbers)-1] == len(numbers) {
		return sql, numbers, nil
	}
	var b strings.Builder
	done := int32(0)
	for _, t := range at {
		n, _ := slices.BinarySearch(numbers, number(t))
		fmt.Fprintf(&b, "%s$%d", sql[done:t.Start], n+1)
		done = t.End
	}
	return b.String() + sql[done:], numbers, nil
}

// chosen are the arguments of the given numbers.
func chosen(args []*vector.Vector, numbers []int) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(numbers))
	for i, n := range numbers {
		if n > len(args) {
			return nil, fail("08P01", "there is no parameter $%d", n)
		}
		out[i] = args[n-1]
	}
	return out, nil
}

// query runs a part of a statement on DuckDB, with those of the arguments that it names.
func (s *Session) query(ctx context.Context, sql string, args []*vector.Vector) (*duck.Rows, error) {
	text, numbers, err := dense(sql)
	if err != nil {
		return nil, err
	}
	if args, err = chosen(args, numbers); err != nil {
		return nil, err
	}
	return s.conn.Query(ctx, text, args...)
}

// exec runs a part of a statement that has no rows on DuckDB, with those of the arguments that it names.
func (s *Session) exec(ctx context.Context, sql string, args []*vector.Vector) (int64, error) {
	text, numbers, err := dense(sql)
	if err != nil {
		return 0, err
	}
	if args, err = chosen(args, numbers); err != nil {
		return 0, err
	}
	return s.conn.Exec(ctx, text, args...)
}

// described are a part's result columns, and the types of its parameters by number, Invalid where DuckDB cannot tell.
func (s *Session) described(ctx context.Context, sql string) (params []vector.Type, columns []duck.Column, err error) {
	return s.describedKept(ctx, sql, nil)
}

// describedKept keeps what it prepares in c, which is all that the part reads; nil: it does not.
func (s *Session) describedKept(ctx context.Context, sql string, c *systemCatalog) (params []vector.Type, columns []duck.Column, err error) {
	text, numbers, err := dense(sql)
	if err != nil {
		return nil, nil, err
	}
	var st *duck.Stmt
	if c != nil {
		st, err = c.plans.get(ctx, s.conn, text)
	} else if st, err = s.conn.Prepare(ctx, text); err == nil {
		defer st.Close()
	}
	if err != nil {
		return nil, nil, asError(err)
	}
	for i, t := range st.Params() {
		if i < len(numbers) {
			params = append(params, make([]vector.Type, numbers[i]-len(params))...)
			params[numbers[i]-1] = t
		}
	}
	return params, st.Columns(), nil
}

// refuseParams refuses the parameter that a statement names first, as one of a simple query.
func refuseParams(st parse.Statement, text string) error {
	sql, ok := st.(*parse.SQL)
	if !ok || !strings.Contains(text, "$") || sql.Node.GetCreateFunctionStmt() != nil { // whose body names its own
		return nil
	}
	var first *pg_query.ParamRef
	parse.Walk(sql.Node, func(m proto.Message) bool {
		if r, ok := m.(*pg_query.ParamRef); ok && (first == nil || r.Location < first.Location) {
			first = r
		}
		return true
	})
	if first == nil {
		return nil
	}
	return at(fail("42P02", "there is no parameter $%d", first.Number), text, int(first.Location))
}
