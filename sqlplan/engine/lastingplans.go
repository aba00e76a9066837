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
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Clients ask the catalogs the same questions again and again: psql some ten for a \d, of one table after another. What DuckDB is to be
// asked follows from the statement's text, the engine's catalog, the role, and settings that texts depend on, but for the number of the
// session's snapshot and for object ids that stand in it as literals. So it is written once. The same holds of a SELECT that reads nothing.
const (
	maxPlans     = 512
	maxPlanBytes = 2 << 20 // of the texts and SQL of all
	maxPlanText  = 32 << 10
	maxPlanIDs   = 16 // different ones in a statement
)

// lastingPlan is a SELECT that reads PostgreSQL's catalogs and nothing else, or nothing at all, as SQL for DuckDB. It is not changed.
type lastingPlan struct {
	pieces  []string // the SQL; each second one says what stands there: "" the number of the snapshot, otherwise which object id
	params  []vector.Type
	sent    []vector.Type
	columns []session.Column
	lastingUse
}

// lastingUse is what such a SELECT needs.
type lastingUse struct {
	catalogs bool // a snapshot
	live     bool // rows that the snapshot makes anew, so that nothing prepared is kept
	shown    bool // the names of object ids
	sized    bool // the sizes of tables
}

// lastingText is the SQL of such a SELECT with the number of a snapshot.
type lastingText struct {
	sql    string
	number int64
	lastingUse
}

// lastingPlans are those of an engine, of its newest catalog. They are safe for concurrent use.
type lastingPlans struct {
	mu    sync.Mutex
	cat   *schema.Catalog
	by    map[string]*lastingPlan
	bytes int
}

func (p *lastingPlans) get(cat *schema.Catalog, key string) *lastingPlan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cat != cat {
		return nil
	}
	return p.by[key]
}

func (p *lastingPlans) put(cat *schema.Catalog, key string, plan *lastingPlan) {
	bytes := len(key)
	for _, piece := range plan.pieces {
		bytes += len(piece)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cat != cat || len(p.by) >= maxPlans || p.bytes+bytes > maxPlanBytes {
		p.cat, p.by, p.bytes = cat, map[string]*lastingPlan{}, 0
	}
	if bytes <= maxPlanBytes && p.by[key] == nil {
		p.by[key] = plan
		p.bytes += bytes
	}
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

// planKey is what a plan of the session follows from beside the catalog; text is one without object ids.
func (s *Session) planKey(text string, oids []uint32) string {
	return fmt.Sprint(s.role, " ", s.sessionRole, " ", s.encoding, " ", pgfunc.SettingsText(&s.codecs), planMark, oids, oids == nil, planMark, text)
}

// planOf is the plan for a statement; nil where there is none.
func (s *Session) planOf(key string) *lastingPlan {
	for _, kind := range []*lastingPlans{&s.e.catalogPlans, &s.e.constantPlans} {
		if plan := kind.get(s.catalog(), key); plan != nil {
			return plan
		}
	}
	return nil
}

// bindPlanned binds a statement for which there is a plan; it reports false where there is none.
func (p *prepared) bindPlanned(ctx context.Context) (bool, error) {
	s := p.s
	if len(p.sql) > maxPlanText || p.dims != nil {
		return false, nil
	}
	text, ids := withoutIDs(p.sql)
	key := s.planKey(text, p.oids)
	if s.planOf(key) == nil {
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
	plan := s.planOf(key)
	if plan == nil {
		return false, nil
	}
	p.writes, p.target, p.volatile = "", nil, ""
	p.cat, p.ddl, p.role, p.text = s.catalog(), s.e.ddl.Load(), s.role, s.textsVersion
	p.sent = slices.Clone(plan.sent)
	p.bound = bound{params: slices.Clone(plan.params), columns: slices.Clone(plan.columns), run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		b := &binder{ctx: ctx, s: s, cat: p.cat, sql: p.sql}
		return b.runLasting(plan.lastingUse, func(number int64) string { return fill(plan.pieces, number, ids) }, plan.columns, args)
	}}
	return true, nil
}

// runLasting executes a SELECT that reads catalogs alone, or nothing, by its SQL with the number of a snapshot.
func (b *binder) runLasting(use lastingUse, write func(number int64) string, columns []session.Column, args []*vector.Vector) (session.Result, error) {
	s := b.s
	if err := s.beginDuck(b.ctx); err != nil {
		return nil, asError(err)
	}
	var c *systemCatalog
	number := int64(0)
	if use.catalogs {
		var err error
		if c, err = b.systemCatalog(); err == nil && use.sized {
			err = b.measured()
		}
		if err != nil {
			return nil, asError(err)
		}
		number = c.number
	}
	sql, numbers, err := dense(write(number))
	if err != nil {
		return nil, asError(err)
	}
	if args, err = chosen(args, numbers); err != nil {
		return nil, err
	}
	var rows *duck.Rows
	if c == nil || use.live {
		rows, err = s.conn.Query(b.ctx, sql, args...)
	} else {
		var st *duck.Stmt
		if st, err = c.plans.get(b.ctx, s.conn, sql); err == nil {
			rows, err = st.Query(b.ctx, args...)
		}
	}
	if err != nil {
		return nil, asError(err)
	}
	out := &duckRows{noRows: noRows{"SELECT"}, s: s, rows: rows, done: s.dropTemps, columns: columns}
	if use.shown {
		return s.shown(out, columns), nil
	}
	return out, nil
}

// notePlan keeps the SQL that a SELECT was described with, where its executions have the same.
func (b *binder) notePlan(sql string) {
	if b.passing || len(b.refs) > 0 || len(b.used) > 0 || b.params != nil || b.plan != nil && len(b.plan.steps) > 0 {
		return
	}
	b.lasting = &lastingText{sql: sql, lastingUse: lastingUse{catalogs: b.system != nil, live: b.live, shown: b.outputs != nil, sized: b.sized}}
	if b.system != nil {
		b.lasting.number = b.system.number
	}
}

// keepPlan keeps the plan of a statement that was bound and is repeatable, for other sessions and for other object ids.
func (p *prepared) keepPlan(ctx context.Context, given []vector.Type) {
	s, c := p.s, p.lasting
	if c == nil || p.denied != nil || p.volatile != "" || p.writes != "" || p.dims != nil || len(p.sql) > maxPlanText || strings.Contains(p.sql, planMark) {
		return
	}
	text, ids := withoutIDs(p.sql)
	if len(ids) > maxPlanIDs {
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
		var err error
		if sql, err = s.lastingSQL(ctx, p.cat, fill(strings.Split(text, planMark), c.number, others), given); err != nil {
			return
		}
		for i, id := range others {
			sql = strings.ReplaceAll(sql, id, planMark+strconv.Itoa(i)+planMark)
		}
	}
	if c.catalogs {
		sql = strings.ReplaceAll(sql, number, planMark+planMark)
	}
	plan := &lastingPlan{pieces: strings.Split(sql, planMark), params: slices.Clone(p.params), sent: slices.Clone(p.sent), columns: slices.Clone(p.columns), lastingUse: c.lastingUse}
	if fill(plan.pieces, c.number, ids) != c.sql {
		return
	}
	kind := &s.e.constantPlans
	if c.catalogs {
		kind = &s.e.catalogPlans
	}
	kind.put(p.cat, s.planKey(text, p.oids), plan)
}

// momentary are the words that mean a time of now, today and so on.
var momentary = regexp.MustCompile(`(?i)\b(now|today|tomorrow|yesterday)\b`)

// repeatable reports whether a statement as it was parsed is a SELECT that reads PostgreSQL's catalogs and nothing else, or nothing, and
// means the same at another time.
func repeatable(n *pg_query.Node) bool {
	if n.GetSelectStmt() == nil {
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

// lastingSQL is the SQL of a SELECT that notePlan kept that of, with other object ids; it is not described.
func (s *Session) lastingSQL(ctx context.Context, cat *schema.Catalog, text string, given []vector.Type) (string, error) {
	parsed, err := parse.Parse(text)
	if err != nil {
		return "", err
	}
	st, ok := parsed.(*parse.SQL)
	if !ok || st.Node.GetSelectStmt() == nil {
		return "", fail(codeUnsupported, "no SELECT")
	}
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: text, refs: map[string]string{}}
	if _, err := s.planQuery(b, st); err != nil {
		return "", err
	}
	typed, err := b.analyzed(st.Node, given, nil)
	if err != nil {
		return "", err
	}
	if typed != nil {
		return b.typedSQL(typed)
	}
	if err := s.typeArrays(b, st.Node); err != nil {
		return "", err
	}
	if err := s.inferParams(b, st.Node, given); err != nil {
		return "", err
	}
	return b.duckSQL(clone(st.Node))
}
