package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// planColumn is the one column of EXPLAIN.
var planColumn = []session.Column{{Name: "QUERY PLAN", Type: vector.T(vector.Text)}}

func planRows(lines []string) session.Result {
	ch := textChunk(1)
	for _, l := range lines {
		appendTexts(ch, l)
	}
	return &chunkRows{noRows: noRows{"EXPLAIN"}, chunk: ch}
}

// explainOptions refuses options that EXPLAIN does not have; those that say how much to print change nothing.
func explainOptions(st *parse.Explain) error {
	for _, name := range slices.Sorted(maps.Keys(st.Options)) {
		o := st.Options[name]
		switch name {
		case "analyze", "analyse", "verbose", "costs", "timing", "summary", "buffers":
		case "format":
			if !strings.EqualFold(o.Value, "text") {
				return at(hint(fail(codeUnsupported, "EXPLAIN format %q is not supported", o.Value), "EXPLAIN prints text."), st.Text, o.ValuePosition)
			}
		default:
			return at(hint(fail("42601", "unrecognized EXPLAIN option %q", name), "Options: analyze, verbose, format text."), st.Text, o.Position)
		}
	}
	return nil
}

// bindExplain binds EXPLAIN [ANALYZE].
func (s *Session) bindExplain(ctx context.Context, cat *schema.Catalog, sql string, st *parse.Explain, given []vector.Type) (bound, error) {
	if err := explainOptions(st); err != nil {
		return bound{}, err
	}
	inner, ok := st.Inner.(*parse.SQL)
	if !ok || inner.Node.GetSelectStmt() == nil {
		return bound{}, hint(fail(codeUnsupported, "EXPLAIN is for SELECT"), "EXPLAIN FEATURE f FOR (key) AT 'time' explains one value.")
	}
	again := func(ctx context.Context) (*parse.SQL, error) { // binding rewrites the tree: each use parses its own
		p, err := parse.Parse(st.Text)
		if err != nil {
			return nil, err
		}
		return p.(*parse.Explain).Inner.(*parse.SQL), nil
	}
	if err := s.inlineViews(ctx, inner.Node); err != nil {
		return bound{}, err
	}
	b, err := s.bindSelect(ctx, cat, inner, given)
	if err != nil {
		return bound{}, err
	}
	return bound{params: b.params, columns: planColumn, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		q, err := again(ctx)
		if err != nil {
			return nil, err
		}
		lines, err := s.planLines(ctx, s.catalog(), q, given)
		if err != nil {
			return nil, err
		}
		if st.Analyze {
			if q, err = again(ctx); err != nil {
				return nil, err
			}
			more, err := s.analyze(ctx, q, given, args)
			if err != nil {
				return nil, err
			}
			lines = append(lines, more...)
		}
		return planRows(lines), nil
	}}, nil
}

// planLines tells how a SELECT would be answered.
func (s *Session) planLines(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) ([]string, error) {
	if err := s.inlineViews(ctx, st.Node); err != nil {
		return nil, err
	}
	sel := st.Node.GetSelectStmt()
	look, err := s.planLookup(cat, st, sel, given)
	if err != nil {
		return nil, err
	}
	if look != nil {
		lines := []string{fmt.Sprintf("Lookup of %s by key (%s), strict, at one instant; DuckDB %s", look.what(), columnNames(look.entity.Keys), look.read.evaluator())}
		return append(lines, s.readLines(cat, look.read)...), nil
	}
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: st.Text, refs: map[string]string{}}
	whole, err := s.planQuery(b, st)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, step := range whole.steps {
		switch {
		case step.entity != nil:
			r := step.entity
			which := "by key"
			if r.source != nil {
				which = "by the keys of " + r.source.text
			} else if r.terms == nil {
				which = "every key with an event"
			}
			lines = append(lines, fmt.Sprintf("Lookup of %s as %s, %s (%s), strict, at one instant", r.what(), r.alias, which, strings.Join(r.keys, ", ")))
			lines = append(lines, s.readLines(cat, r.read)...)
		case step.asof != nil:
			more, err := s.asofLines(b, step.asof)
			if err != nil {
				return nil, err
			}
			lines = append(lines, more...)
		case step.sample != nil:
			lines = append(lines, step.sample.line())
		case step.then != nil:
			lines = append(lines, step.then.line())
		}
	}
	for _, o := range whole.ordinary {
		lines = append(lines, o.line())
	}
	if whole.hasAsof() {
		return append(lines, "DuckDB runs the statement over the values"), nil
	}
	return append(lines, "DuckDB runs the statement"), nil
}

func (q *queryPlan) hasAsof() bool {
	return slices.ContainsFunc(q.steps, func(s planStep) bool { return s.asof != nil })
}

func (s *Session) asofLines(b *binder, plan *asofPlan) ([]string, error) {
	lines := []string{fmt.Sprintf("Point-in-time join: left side %s, drained once and merged by (key, time)", plan.leftText())}
	for i := range plan.joins {
		f := &plan.joins[i]
		mode := "strict: events before the cut"
		if f.inclusive {
			mode = "inclusive: events up to the cut"
		}
		lines = append(lines, fmt.Sprintf("  -> ASOF JOIN %s on (%s), %s", f.alias, strings.Join(f.keyNames, ", "), mode))
		if f.each {
			lines = append(lines, "       each row as of its own position of the log")
		}
		reads, err := f.groups(b)
		if err != nil {
			return nil, err
		}
		for _, m := range reads {
			g := m.Group
			if g == nil {
				g = m.Adhoc
				lines = append(lines, fmt.Sprintf("       rows of %s, scanned and sorted for this statement: no feature declares these partials", b.cat.Relations[m.Relation].Name))
			} else {
				lines = append(lines, fmt.Sprintf("       group %d over %s: %s", g.ID, b.cat.Relations[m.Relation].Name, s.storeText(g)))
			}
			for k, o := range m.Outputs {
				p := g.Partials[m.Specs[k].Partial]
				lines = append(lines, fmt.Sprintf("         %s = %s over %s  [partial %s]", f.computed()[o].name, partialText(b.cat, g, &p), windowText(schema.Window(m.Specs[k].Window)), p.Fingerprint))
			}
		}
		if f.view != nil && f.read.view != nil {
			lines = append(lines, f.read.view.lines("       ")...)
		}
	}
	return lines, nil
}

// leftText names the left side by its relations.
func (p *asofPlan) leftText() string {
	if p.parts == nil {
		return p.leftAlias
	}
	names := make([]string, len(p.parts))
	for i, part := range p.parts {
		names[i] = part.alias
	}
	return strings.Join(names, ", ")
}

func (s *Session) readLines(cat *schema.Catalog, p *readPlan) []string {
	var lines []string
	if p.view != nil {
		lines = p.view.lines("  ")
		for _, part := range p.view.parts {
			lines = append(lines, s.readLines(cat, part.read)...)
		}
	}
	for i := range p.groups {
		g := &p.groups[i]
		lines = append(lines, fmt.Sprintf("  -> group %d over %s: %s", g.group.ID, cat.Relations[g.group.Relation].Name, s.storeText(g.group)))
		if live, err := s.e.mat.Group(g.group); err == nil && g.old(live, s.readTime()) {
			lines = append(lines, fmt.Sprintf("       the newest event is of %s: every window of a read at %s begins after it", formatTime(live.Newest()), formatTime(s.readTime())))
		}
		for _, o := range g.outputs {
			q := g.group.Partials[o.partial]
			lines = append(lines, fmt.Sprintf("       %s = %s over %s  [partial %s]", p.outputs[o.at].output.Name, shownSQL(cat, g.group.Relation, g.group.Joins, q.SQL), windowText(schema.Window(o.window)), q.Fingerprint))
		}
	}
	return lines
}

// storeText tells what a group holds.
func (s *Session) storeText(g *schema.Group) string {
	live, err := s.e.mat.Group(g)
	if err != nil || live.Manifest == nil {
		return "nothing materialized"
	}
	parts := []string{fmt.Sprintf("runs up to position %d", live.Manifest.Position)}
	for _, seg := range live.Manifest.Segments {
		parts = append(parts, fmt.Sprintf("%s segment of %d rows, %d bytes", seg.Kind, seg.Rows, seg.Bytes()))
	}
	if since := s.e.mat.OvertakenSince(g.ID); since > 0 {
		return fmt.Sprintf("rows, joined as they are read: attributes changed at position %d, and the group is about to be built anew", since)
	}
	if live.Tiles != nil {
		parts = append(parts, "online tiles")
	}
	return strings.Join(parts, "; ")
}

// analyze runs a SELECT and counts what it read.
func (s *Session) analyze(ctx context.Context, st *parse.SQL, given []vector.Type, args []*vector.Vector) ([]string, error) {
	s.reads = &event.ReadStats{}
	defer func() { s.reads = nil }()
	began := time.Now()
	if err := s.inlineViews(ctx, st.Node); err != nil {
		return nil, err
	}
	b, err := s.bindSelect(ctx, s.catalog(), st, given)
	if err != nil {
		return nil, err
	}
	res, err := b.run(ctx, args)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	rows := int64(0)
	for {
		ch, err := res.Next()
		if err != nil {
			return nil, err
		}
		if ch == nil {
			break
		}
		rows += int64(ch.N)
	}
	r := s.reads
	return []string{
		fmt.Sprintf("Rows: %d", rows),
		fmt.Sprintf("Reads: %d point reads, %d cache hits, %d run segments opened, %d bytes", r.PointReads, r.CacheHits, r.RunsOpened, r.Bytes),
		fmt.Sprintf("Folded: %d states, %d rows", r.States, r.Rows),
		fmt.Sprintf("Execution Time: %.3f ms", float64(time.Since(began).Microseconds())/1000),
	}, nil
}
