package engine

import (
	"context"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// maxDivisionRounds is how often DuckDB is asked what the divisions of a statement divide: one more than they stand inside one
// another, themselves or by way of subqueries.
const maxDivisionRounds = 32

// dividing writes SQL by write, as often as DuckDB has to be asked what the divisions in it divide.
func (s *Session) dividing(ctx context.Context, write func(*rewrite.Divisions) (string, error)) (string, error) {
	d := &rewrite.Divisions{Types: map[int]duck.DivisionTypes{}}
	token := duck.NewToken()
	for range maxDivisionRounds {
		d.Begin(token)
		sql, err := write(d)
		if err != nil || d.Asked == 0 {
			return sql, err
		}
		types, err := s.conn.DivisionTypes(ctx, sql, token)
		if err != nil {
			return "", asError(err)
		}
		news := false
		for i, t := range types {
			news = news || !t.Quotient().Equal(d.Types[i].Quotient())
			d.Types[i] = t
		}
		if !news || d.Asked == 1 {
			break
		}
	}
	d.Begin("")
	return write(d)
}

// expressions are expressions' SQL for DuckDB. from is what stands in FROM where they are evaluated, "" for nothing.
func (s *Session) expressions(ctx context.Context, nodes []*pg_query.Node, from string) ([]string, error) {
	out := make([]string, len(nodes))
	_, err := s.dividing(ctx, func(d *rewrite.Divisions) (string, error) {
		for i, n := range nodes {
			sql, err := rewrite.Expr(n, rewrite.Options{Function: functionsOf(s.catalog()), Divisions: d})
			if err != nil {
				return "", asError(err)
			}
			out[i] = sql
		}
		sql := "SELECT " + strings.Join(out, ", ")
		if from != "" {
			sql += " FROM " + from
		}
		return sql, nil
	})
	return out, err
}
