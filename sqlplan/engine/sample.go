package engine

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// stratified is the method of TABLESAMPLE that draws so many rows of each stratum:
//
//	FROM labels l TABLESAMPLE stratified (5000, is_fraud, country) REPEATABLE (42)
//
// The rows with equal values of the columns given are a stratum; NULL is a value. Of each, as many rows are drawn as the number
// says, or all where there are no more. Which ones depends on the rows and the seed alone: those whose
//
//	md5(seed ‖ "/" ‖ copy ‖ "/" ‖ md5(row))
//
// are least, where row is every column's text in the order of the relation, each behind its length in bytes, N for NULL, and
// copy counts rows that are equal in all columns from 1. So threads, plans, the order of the rows and the columns that a
// statement reads change nothing. Without REPEATABLE every execution has a seed of its own.
const stratified = "stratified"

// The SQLSTATEs of PostgreSQL for arguments of TABLESAMPLE.
const (
	codeSampleArgument = "2202H"
	codeSampleRepeat   = "2202G"
)

// seedMarker stands in the SELECT where the seed of an execution goes. It is longer than a name can be.
var seedMarker = "__seed_" + strings.Repeat("_", 60)

// sampleRead is a stratified sample that a statement reads.
type sampleRead struct {
	alias  string
	strata []string
	size   *pg_query.Node   // the number of rows of a stratum
	repeat int              // n of the parameter that says the seed, or 0
	seed   *pg_query.String // what the SELECT has for a seed; nil: REPEATABLE says it
	offset int              // bytes in the statement
}

// sample plans TABLESAMPLE.
func (p *fromPlanner) sample(in *selectState, n *pg_query.Node, t *pg_query.RangeTableSample) (*pg_query.Node, error) {
	if len(t.Method) != 1 || t.Method[0].GetString_().GetSval() != stratified {
		return n, nil
	}
	refuse := func(code, format string, args ...any) error {
		return at(hint(fail(code, format, args...), "FROM labels TABLESAMPLE stratified (5000, is_fraud) REPEATABLE (42)"), p.st.Text, int(t.Location))
	}
	if len(t.Args) == 0 {
		return nil, refuse(codeSampleArgument, "TABLESAMPLE stratified takes the number of rows of a stratum, and the columns that make one")
	}
	r := &sampleRead{alias: leaves(n)[0].alias, size: t.Args[0], offset: int(t.Location)}
	if err := r.checkSize(nil); err != nil {
		return nil, at(asError(err), p.st.Text, max(nodeLocation(r.size), r.offset))
	}
	from := []*pg_query.Node{t.Relation}
	cols, err := p.columnsOf(in.scope, from, r.alias)
	if err != nil {
		return nil, err
	}
	partition, err := p.strata(in, r, t)
	if err != nil {
		return nil, err
	}
	seed := "'" + seedMarker + "'"
	if t.Repeatable != nil {
		_, null, literal := constantText(t.Repeatable)
		r.repeat = int(uncast(t.Repeatable).GetParamRef().GetNumber())
		switch {
		case null:
			return nil, refuse(codeSampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null")
		case !literal && r.repeat == 0:
			return nil, refuse(codeSampleRepeat, "the seed of TABLESAMPLE must be a literal or a parameter")
		}
		text, err := parse.Deparse(t.Repeatable)
		if err != nil {
			return nil, asError(err)
		}
		seed = "(" + text + ")::text"
	}
	size, err := parse.Deparse(r.size)
	if err != nil {
		return nil, asError(err)
	}
	a := duck.QuoteIdent(r.alias)
	names, texts := make([]string, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		names[i] = a + "." + duck.QuoteIdent(c.Name)
		texts[i] = fmt.Sprintf("coalesce(strlen(%[1]s::text)::text || ':' || %[1]s::text, 'N')", names[i])
	}
	list := strings.Join(names, ", ")
	sel, err := selectText(fmt.Sprintf(`SELECT %[2]s FROM (SELECT %[2]s, row_number() OVER (%[3]sORDER BY md5_number(%[4]s || '/' || %[1]s.__copy::text || '/' || %[1]s.__hash)) AS __rank
FROM (SELECT %[2]s, %[1]s.__hash, row_number() OVER (PARTITION BY %[1]s.__hash) AS __copy FROM (SELECT %[2]s, md5(%[5]s) AS __hash FROM __sampled) AS %[1]s) AS %[1]s) AS %[1]s
WHERE %[1]s.__rank <= (%[6]s)::bigint`, a, list, partition, seed, strings.Join(texts, " || "), size), map[string]*pg_query.Node{"__sampled": t.Relation})
	if err != nil {
		return nil, asError(err)
	}
	if t.Repeatable == nil {
		parse.Walk(sel, func(m proto.Message) bool {
			if c, ok := m.(*pg_query.A_Const); ok && c.GetSval().GetSval() == seedMarker {
				r.seed = c.GetSval()
			}
			return true
		})
	}
	p.q.take(t)
	p.q.steps = append(p.q.steps, planStep{sample: r})
	return subselect(sel, r.alias), nil
}

// strata is the PARTITION BY of the expressions that make a stratum.
func (p *fromPlanner) strata(in *selectState, r *sampleRead, t *pg_query.RangeTableSample) (string, error) {
	if len(t.Args) == 1 {
		return "", nil
	}
	var targets []*pg_query.Node
	for _, e := range t.Args[1:] {
		targets = append(targets, pg_query.MakeResTargetNodeWithVal(e, 0))
		text, err := parse.Deparse(e)
		if err != nil {
			return "", asError(err)
		}
		r.strata = append(r.strata, text)
	}
	sql, err := p.b.duckSQL(in.scope.wrap(selectNode(targets, t.Relation).GetSelectStmt()))
	if err != nil {
		return "", err
	}
	_, cols, err := p.s.described(p.b.ctx, sql)
	if err != nil {
		return "", err
	}
	by := make([]string, len(cols))
	for i, c := range cols {
		if by[i] = "(" + r.strata[i] + ")"; looseEquality(c.Type) { // a column that DuckDB sorts by loses the sign of −0.0
			by[i] = "ARRAY[" + by[i] + "]"
		}
	}
	return "PARTITION BY " + strings.Join(by, ", ") + " ", nil
}

// checkSize refuses a number of rows that is none. Without arguments a parameter passes.
func (r *sampleRead) checkSize(args []*vector.Vector) error {
	text, null, ok := constantText(r.size)
	if !ok {
		k := int(uncast(r.size).GetParamRef().GetNumber())
		switch {
		case k == 0:
			return hint(fail(codeSampleArgument, "the number of rows of a stratum must be a literal or a parameter"), "TABLESAMPLE stratified (5000, is_fraud)")
		case k > len(args):
			return nil
		}
		if null = args[k-1].IsNull(0); !null {
			text = fmt.Sprint(args[k-1].I64[0])
		}
	}
	if null {
		return fail(codeSampleArgument, "the number of rows of a stratum cannot be null")
	}
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
		return fail(codeSampleArgument, "the number of rows of a stratum must be a whole number from 0, not %s", text)
	}
	return nil
}

// execute checks the number where a parameter says it, and draws a seed where the statement says none.
func (r *sampleRead) execute(st *parse.SQL, args []*vector.Vector) error {
	if err := r.checkSize(args); err != nil {
		return at(asError(err), st.Text, r.offset)
	}
	if r.repeat > 0 && args[r.repeat-1].IsNull(0) {
		return at(fail(codeSampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null"), st.Text, r.offset)
	}
	if r.seed != nil {
		r.seed.Sval = strconv.FormatUint(rand.Uint64(), 10)
	}
	return nil
}

// line tells of the sample in EXPLAIN.
func (r *sampleRead) line() string {
	size, _ := parse.Deparse(r.size) // it was deparsed before
	strata := "all rows"
	if len(r.strata) > 0 {
		strata = "each (" + strings.Join(r.strata, ", ") + ")"
	}
	seed := "the seed given"
	if r.seed != nil {
		seed = "a seed of its own"
	}
	return fmt.Sprintf("Sample of %s: at most %s rows of %s, by a hash of the row and %s", r.alias, size, strata, seed)
}
