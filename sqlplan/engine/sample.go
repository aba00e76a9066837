package engine

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
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

// A sample is analyzed as a SELECT of the relation's columns, and of what makes a stratum, the seed and the size, under an alias that no
// user can have written, as names have at most 63 bytes. What draws the rows is DuckDB's SQL, and put around that SELECT where the statement
// is written for DuckDB.
var sampleAlias = "__tilehouse_sample_" + strings.Repeat("_", 60)

// sampleRead is a stratified sample that a statement reads.
type sampleRead struct {
	alias  string
	strata []string
	size   *pg_query.Node // the number of rows of a stratum
	repeat int            // n of the parameter that says the seed, or 0
	drawn  bool           // every execution has a seed of its own
	seed   uint64         // of this execution
	offset int            // bytes in the statement
	mark   string         // the alias that stands for it
	types  []vector.Type  // of the relation's columns
	by     []vector.Type  // of what makes a stratum
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
	var targets, shown []*pg_query.Node
	r.mark = fmt.Sprint(sampleAlias, len(p.b.samples))
	for i, c := range cols {
		name := fmt.Sprint("__c", i)
		targets = append(targets, namedTarget(name, columnRef(r.alias, c.Name, 0)))
		shown = append(shown, namedTarget(c.Name, columnRef(r.mark, name, 0)))
		r.types = append(r.types, c.Type)
	}
	if err := p.strata(in, r, t); err != nil {
		return nil, err
	}
	for i, e := range t.Args[1:] {
		targets = append(targets, namedTarget(fmt.Sprint("__s", i), e))
	}
	if r.drawn = t.Repeatable == nil; !r.drawn {
		_, null, literal := constantText(t.Repeatable)
		r.repeat = int(uncast(t.Repeatable).GetParamRef().GetNumber())
		switch {
		case null:
			return nil, refuse(codeSampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null")
		case !literal && r.repeat == 0:
			return nil, refuse(codeSampleRepeat, "the seed of TABLESAMPLE must be a literal or a parameter")
		}
		seed, err := castNode(t.Repeatable, "text")
		if err != nil {
			return nil, err
		}
		targets = append(targets, namedTarget("__seed", seed))
	}
	size, err := castNode(r.size, "bigint")
	if err != nil {
		return nil, err
	}
	targets = append(targets, namedTarget("__size", size))
	if p.b.samples == nil {
		p.b.samples = map[string]*sampleRead{}
	}
	p.b.samples[r.mark] = r
	p.q.take(t)
	p.q.steps = append(p.q.steps, planStep{sample: r})
	return subselect(selectNode(shown, subselect(selectNode(targets, t.Relation), r.mark)), r.alias), nil
}

// castNode is an expression cast to a type.
func castNode(n *pg_query.Node, name string) (*pg_query.Node, error) {
	cast, err := expressionText("CAST(NULL AS " + name + ")")
	if err != nil {
		return nil, asError(err)
	}
	cast.GetTypeCast().Arg = n
	return cast, nil
}

// strata finds the types of the expressions that make a stratum.
func (p *fromPlanner) strata(in *selectState, r *sampleRead, t *pg_query.RangeTableSample) error {
	if len(t.Args) == 1 {
		return nil
	}
	var targets []*pg_query.Node
	for _, e := range t.Args[1:] {
		targets = append(targets, pg_query.MakeResTargetNodeWithVal(e, 0))
		text, err := parse.Deparse(e)
		if err != nil {
			return asError(err)
		}
		r.strata = append(r.strata, text)
	}
	cols, err := p.described(in.scope, targets, []*pg_query.Node{t.Relation})
	for i, c := range cols {
		if !analyze.Orders(codec.OID(c.Type)) {
			return at(hint(fail("42883", "could not identify an equality operator for type %s", pgcatalog.FormatType(codec.OID(c.Type), -1)), "Make strata of its text: TABLESAMPLE stratified (…, (%s)::text)", r.strata[i]), p.st.Text, nodeLocation(t.Args[1+i]))
		}
		r.by = append(r.by, c.Type)
	}
	return err
}

// draw puts around the SELECTs that stand for samples what draws their rows. The tree is changed.
func (b *binder) draw(n *pg_query.Node) error {
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		if sub, ok := m.(*pg_query.RangeSubselect); ok && err == nil {
			if r := b.samples[sub.GetAlias().GetAliasname()]; r != nil {
				sub.Subquery, err = r.drawing(sub.Subquery)
			}
		}
		return err == nil
	})
	return err
}

// drawing is the SELECT of the rows that are drawn of those of another one, in DuckDB's words.
func (r *sampleRead) drawing(rows *pg_query.Node) (*pg_query.Node, error) {
	var names, texts, keys []string
	for i, t := range r.types {
		names = append(names, fmt.Sprint("__c", i))
		text := names[i] + "::text"
		if t.Kind == vector.TimestampTZ { // whatever the time zone
			text = fmt.Sprintf("CASE WHEN isfinite(%[1]s) THEN (%[1]s AT TIME ZONE 'UTC')::text || '+00' ELSE %[1]s::text END", names[i])
		}
		texts = append(texts, fmt.Sprintf("coalesce(strlen(%[1]s)::text || ':' || %[1]s, 'N')", text))
	}
	for i, t := range r.by {
		name := fmt.Sprint("__s", i)
		names = append(names, name)
		key, err := parse.Deparse(analyze.Key(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, 0), t))
		if err != nil {
			return nil, asError(err)
		}
		keys = append(keys, fmt.Sprintf("CASE WHEN %[1]s IS NOT NULL THEN %[1]s END", key)) // a column that DuckDB sorts by loses the sign of −0.0
	}
	seed := "__seed"
	if r.drawn {
		seed = fmt.Sprintf("'%d'", r.seed)
	} else {
		names = append(names, seed)
	}
	names = append(names, "__size")
	partition := ""
	if len(keys) > 0 {
		partition = "PARTITION BY " + strings.Join(keys, ", ") + " "
	}
	from := subselect(rows, "__sampled")
	for _, name := range names {
		from.GetRangeSubselect().Alias.Colnames = append(from.GetRangeSubselect().Alias.Colnames, pg_query.MakeStrNode(name))
	}
	out, err := selectText(fmt.Sprintf(`SELECT %[1]s FROM (SELECT %[1]s, row_number() OVER (%[2]sORDER BY md5_number(%[3]s || '/' || __copy::text || '/' || __hash)) AS __rank
FROM (SELECT %[1]s, __hash, row_number() OVER (PARTITION BY __hash) AS __copy FROM (SELECT %[1]s, md5(%[4]s) AS __hash FROM __sampled) AS __hashed) AS __copied) AS __ranked
WHERE __rank <= __size`, strings.Join(names, ", "), partition, seed, strings.Join(texts, " || ")), map[string]*pg_query.Node{"__sampled": from})
	if err != nil {
		return nil, asError(err)
	}
	return out, nil
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
func (r *sampleRead) execute(b *binder, st *parse.SQL, args []*vector.Vector) error {
	if err := r.checkSize(args); err != nil {
		return at(asError(err), st.Text, r.offset)
	}
	if r.repeat > 0 && args[r.repeat-1].IsNull(0) {
		return at(fail(codeSampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null"), st.Text, r.offset)
	}
	drawn := *r // the plan may be of several executions
	drawn.seed = rand.Uint64()
	if b.samples == nil {
		b.samples = map[string]*sampleRead{}
	}
	b.samples[r.mark] = &drawn
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
	if r.drawn {
		seed = "a seed of its own"
	}
	return fmt.Sprintf("Sample of %s: at most %s rows of %s, by a hash of the row and %s", r.alias, size, strata, seed)
}
