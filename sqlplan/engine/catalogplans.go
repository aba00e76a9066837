package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Clients ask the catalogs the same questions again and again: psql some ten for a \d, of one table after another. What DuckDB is to be
// asked follows from the statement's text, the engine's catalog, the role, and settings that texts depend on, but for the number of the
// session's snapshot and for object ids that stand in it as literals. So it is written once.
const (
	maxCatalogPlans     = 512
	maxCatalogPlanBytes = 32 << 10 // of a statement's text
	maxCatalogIDs       = 16       // different ones in a statement
)

// catalogPlan is a SELECT that reads PostgreSQL's catalogs and nothing else, as SQL for DuckDB. It is not changed.
type catalogPlan struct {
	pieces  []string // the SQL; each second one says what stands there: "" the number of the snapshot, otherwise which object id
	params  []vector.Type
	sent    []vector.Type
	columns []session.Column
	sized   bool // it asks for the sizes of tables
}

// catalogText is the SQL of such a SELECT with the number of a snapshot.
type catalogText struct {
	sql    string
	number int64
	sized  bool
}

// catalogPlans are those of an engine, of its newest catalog. They are safe for concurrent use.
type catalogPlans struct {
	mu  sync.Mutex
	cat *schema.Catalog
	by  map[string]*catalogPlan
}

func (p *catalogPlans) get(cat *schema.Catalog, key string) *catalogPlan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cat != cat {
		return nil
	}
	return p.by[key]
}

func (p *catalogPlans) put(cat *schema.Catalog, key string, plan *catalogPlan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cat != cat || len(p.by) >= maxCatalogPlans {
		p.cat, p.by = cat, map[string]*catalogPlan{}
	}
	p.by[key] = plan
}

// planMark encloses what stands for something else in a text: no statement has it.
const planMark = "\x00"

// idLiteral is a literal that may be an object id. PostgreSQL's own below 10,000 are left alone, as are numbers that are no integer.
var idLiteral = regexp.MustCompile(`'[1-9][0-9]{4,8}'`)

// withoutIDs is a text with marks for its literals that may be object ids, which are what it gives beside.
func withoutIDs(sql string) (text string, ids []string) {
	text = idLiteral.ReplaceAllStringFunc(sql, func(literal string) string {
		id := literal[1 : len(literal)-1]
		i := slices.Index(ids, id)
		if i < 0 {
			i = len(ids)
			ids = append(ids, id)
		}
		return "'" + planMark + strconv.Itoa(i) + planMark + "'"
	})
	return text, ids
}

// fill is a text with marks, with the number of a snapshot and object ids in their places.
func fill(pieces []string, number int64, ids []string) string {
	var out strings.Builder
	for i, p := range pieces {
		switch {
		case i%2 == 0:
			out.WriteString(p)
		case p == "":
			out.WriteString(strconv.FormatInt(number, 10))
		default:
			at, _ := strconv.Atoi(p) // withoutIDs wrote it
			out.WriteString(ids[at])
		}
	}
	return out.String()
}

// catalogPlanKey is what a plan of the session follows from beside the catalog; text is one without object ids.
func (s *Session) catalogPlanKey(text string, oids []uint32) string {
	return fmt.Sprint(s.role, " ", s.sessionRole, " ", s.encoding, " ", pgfunc.SettingsText(&s.codecs), planMark, oids, oids == nil, planMark, text)
}

// bindPlanned binds a statement for which there is a plan; it reports false where there is none.
func (p *prepared) bindPlanned(ctx context.Context) (bool, error) {
	s := p.s
	if len(p.sql) > maxCatalogPlanBytes || p.dims != nil {
		return false, nil
	}
	text, ids := withoutIDs(p.sql)
	key := s.catalogPlanKey(text, p.oids)
	if s.e.catalogPlans.get(s.catalog(), key) == nil {
		return false, nil
	}
	if s.tx != nil && s.tx.failed {
		return true, errFailedBlock()
	}
	if err := s.parkCursor(); err != nil {
		return true, err
	}
	if err := s.rebase(); err != nil {
		return true, err
	}
	plan := s.e.catalogPlans.get(s.catalog(), key)
	if plan == nil {
		return false, nil
	}
	p.writes, p.target, p.volatile = "", nil, ""
	p.cat, p.ddl, p.role, p.text = s.catalog(), s.e.ddl.Load(), s.role, s.textsVersion
	p.sent = slices.Clone(plan.sent)
	p.bound = bound{params: slices.Clone(plan.params), columns: slices.Clone(plan.columns), run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		return s.runCatalog(ctx, p.cat, p.sql, plan, ids, args)
	}}
	return true, nil
}

// runCatalog executes a SELECT that there is a plan for.
func (s *Session) runCatalog(ctx context.Context, cat *schema.Catalog, text string, plan *catalogPlan, ids []string, args []*vector.Vector) (session.Result, error) {
	b := &binder{ctx: ctx, s: s, cat: cat, sql: text}
	if err := s.beginDuck(ctx); err != nil {
		return nil, asError(err)
	}
	c, err := b.systemCatalog()
	if err == nil && plan.sized {
		err = b.measured()
	}
	if err != nil {
		return nil, asError(err)
	}
	return s.runKept(ctx, c, fill(plan.pieces, c.number, ids), plan.columns, args)
}

// runKept executes SQL that reads nothing but a snapshot, by a prepared statement that is kept.
func (s *Session) runKept(ctx context.Context, c *systemCatalog, sql string, columns []session.Column, args []*vector.Vector) (session.Result, error) {
	sql, numbers, err := dense(sql)
	if err != nil {
		return nil, asError(err)
	}
	if args, err = chosen(args, numbers); err != nil {
		return nil, err
	}
	st, err := c.plans.get(ctx, s.conn, sql)
	if err != nil {
		return nil, asError(err)
	}
	rows, err := st.Query(ctx, args...)
	if err != nil {
		return nil, asError(err)
	}
	return s.shown(&duckRows{noRows: noRows{"SELECT"}, s: s, rows: rows, done: s.dropTemps, columns: columns}, columns), nil
}

// lasting is what the statement's SQL for DuckDB reads of a snapshot, where it is a SELECT of catalogs and of nothing else; nil for others.
func (b *binder) lasting() *systemCatalog {
	if b.outputs == nil || b.passing || b.system == nil || len(b.refs) > 0 || len(b.used) > 0 || b.plan != nil && len(b.plan.steps) > 0 {
		return nil
	}
	return b.system
}

// keepPlan keeps the plan of a statement that was bound and asksCatalogs, for other sessions and for other object ids.
func (p *prepared) keepPlan(ctx context.Context, given []vector.Type) {
	s, c := p.s, p.catalog
	if c == nil || p.denied != nil || p.volatile != "" || p.writes != "" || p.dims != nil || len(p.sql) > maxCatalogPlanBytes || strings.Contains(p.sql, planMark) {
		return
	}
	text, ids := withoutIDs(p.sql)
	if len(ids) > maxCatalogIDs {
		return
	}
	number := strconv.FormatInt(c.number, 10)
	sql := c.sql
	if len(ids) > 0 {
		// Written with other ids, it must differ in nothing but these.
		others := make([]string, len(ids))
		for i := range others {
			for n := 500_000_000 + 7919*i; ; n++ {
				others[i] = strconv.Itoa(n)
				if !strings.Contains(p.sql, others[i]) && !strings.Contains(sql, others[i]) {
					break
				}
			}
		}
		other := fill(strings.Split(text, planMark), c.number, others)
		var err error
		if sql, err = s.catalogSQL(ctx, p.cat, other, given); err != nil {
			return
		}
		for i, id := range others {
			sql = strings.ReplaceAll(sql, id, planMark+strconv.Itoa(i)+planMark)
		}
	}
	plan := &catalogPlan{pieces: strings.Split(strings.ReplaceAll(sql, number, planMark+planMark), planMark), params: slices.Clone(p.params), sent: slices.Clone(p.sent), columns: slices.Clone(p.columns), sized: c.sized}
	if fill(plan.pieces, c.number, ids) == c.sql {
		s.e.catalogPlans.put(p.cat, s.catalogPlanKey(text, p.oids), plan)
	}
}

// momentary are the words that mean a time of now, today and so on.
var momentary = regexp.MustCompile(`(?i)\b(now|today|tomorrow|yesterday)\b`)

// asksCatalogs reports whether a statement as it was parsed is a SELECT that reads PostgreSQL's catalogs and nothing else, and means the
// same at another time.
func asksCatalogs(n *pg_query.Node) bool {
	if n.GetSelectStmt() == nil || !pgcatalog.Mentions(n) {
		return false
	}
	other := errors.New("another relation")
	if rewrite.EachRelation(n, func(rv *pg_query.RangeVar) error {
		if pgcatalog.System(rv) == nil {
			return other
		}
		return nil
	}) != nil {
		return false
	}
	same := true
	parse.Walk(n, func(m proto.Message) bool {
		if c, ok := m.(*pg_query.A_Const); ok {
			same = same && !momentary.MatchString(c.GetSval().GetSval())
		}
		return same
	})
	return same
}

// catalogSQL is the SQL of a SELECT of catalogs, which is not described.
func (s *Session) catalogSQL(ctx context.Context, cat *schema.Catalog, text string, given []vector.Type) (string, error) {
	parsed, err := parse.Parse(text)
	if err != nil {
		return "", err
	}
	st, ok := parsed.(*parse.SQL)
	if !ok || st.Node.GetSelectStmt() == nil || !pgcatalog.Mentions(st.Node) {
		return "", fail(codeUnsupported, "no SELECT of catalogs")
	}
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: text, refs: map[string]string{}}
	if _, err := s.planQuery(b, st); err != nil {
		return "", err
	}
	if err := s.typeArrays(b, st.Node); err != nil {
		return "", err
	}
	if err := s.inferParams(b, st.Node, given); err != nil {
		return "", err
	}
	return b.duckSQL(clone(st.Node))
}
