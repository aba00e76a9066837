package parse

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// MaxClauses is how many of our clauses one statement may have.
const MaxClauses = 1000

// MaxWindows is how many windows one list may have.
const MaxWindows = 1000

// rawAsof is an ASOF join before its node is known.
type rawAsof struct {
	AsofJoin
	join int // offset of JOIN
}

type rawWindow struct {
	SelectWindow
	selectAt int // offset of the SELECT it belongs to
}

type rawSystemTime struct {
	SystemTime
	names []int // offsets of the words before FOR that can be the relation
}

// pendingJoin is a JOIN whose ON or USING may still come.
type pendingJoin struct {
	asof *rawAsof // nil for an ordinary join
	done bool     // ON or USING was seen, or none is due
}

// frame is the state of one level of parentheses.
type frame struct {
	pending  []*pendingJoin // joins that wait for ON or USING, innermost last
	current  *pendingJoin   // the join that MATCH_CONDITION and TOLERANCE belong to
	selectAt int            // the last SELECT, or -1
}

// peeler takes the clauses off a statement's tokens.
type peeler struct {
	src     string
	toks    []token
	edit    edit
	frames  []frame
	asofs   []*rawAsof
	windows []rawWindow
	times   []rawSystemTime
	joins   []int // offsets of every JOIN
	selects []int // offsets of every SELECT
}

func (p *peeler) tok(i int) *token {
	if i >= 0 && i < len(p.toks) {
		return &p.toks[i]
	}
	return &token{start: len(p.src), end: len(p.src)}
}

func (p *peeler) top() *frame { return &p.frames[len(p.frames)-1] }

// syntax is PostgreSQL's error at token i.
func (p *peeler) syntax(i int, hint string) error { return syntaxAt(p.src, p.toks, i, hint) }

func syntaxAt(src string, toks []token, i int, hint string) error {
	if i >= len(toks) {
		return faultAt(len(src), codeSyntax, hint, "syntax error at end of input")
	}
	return faultAt(toks[i].start, codeSyntax, hint, "syntax error at or near \"%s\"", src[toks[i].start:toks[i].end])
}

// run finds and blanks the clauses.
func (p *peeler) run() error {
	p.frames = []frame{{selectAt: -1}}
	for i := 0; i < len(p.toks); {
		next, err := p.step(i)
		if err != nil {
			return err
		}
		if len(p.asofs)+len(p.windows)+len(p.times) > MaxClauses {
			return faultAt(p.toks[i].start, codeTooComplex, "", "a statement has at most %d ASOF, WINDOW and SYSTEM_TIME clauses", MaxClauses)
		}
		i = next
	}
	return nil
}

// step looks at token i and returns the next one to look at.
func (p *peeler) step(i int) (int, error) {
	t := &p.toks[i]
	switch t.word {
	case "(", "[":
		p.frames = append(p.frames, frame{selectAt: -1})
	case ")", "]":
		if len(p.frames) > 1 {
			p.frames = p.frames[:len(p.frames)-1]
		}
	case "select":
		p.top().selectAt = t.start
		p.selects = append(p.selects, t.start)
	case "join":
		p.join(i, nil)
	case "on", "using":
		if f := p.top(); len(f.pending) > 0 {
			p.qualified(f)
		}
	case "asof":
		return p.asof(i)
	case "match_condition", "tolerance":
		if c := p.top().current; c != nil && c.asof != nil && p.endsOperand(i-1) {
			return p.joinClause(i, c)
		}
	case "window":
		return p.window(i)
	case "for":
		if p.tok(i + 1).is("system_time") {
			return p.systemTime(i)
		}
	}
	return i + 1, nil
}

// qualified marks the innermost waiting join of f as complete.
func (p *peeler) qualified(f *frame) {
	f.current = f.pending[len(f.pending)-1]
	f.current.done = true
	f.pending = f.pending[:len(f.pending)-1]
}

// join enters the JOIN at token i.
func (p *peeler) join(i int, a *rawAsof) {
	p.joins = append(p.joins, p.toks[i].start)
	j := i - 1
	for p.tok(j).is("left", "right", "full", "inner", "outer") {
		j--
	}
	f := p.top()
	f.current = &pendingJoin{asof: a}
	if p.tok(j).is("natural", "cross") {
		f.current.done = true
		return
	}
	f.pending = append(f.pending, f.current)
}

// endsOperand reports whether token i can be the end of a relation or of an expression.
func (p *peeler) endsOperand(i int) bool {
	t := p.tok(i)
	switch {
	case t.isName(), t.isString(), t.isNumber(), t.is(")", "]"):
		return true
	case t.keyword == pg_query.KeywordKind_RESERVED_KEYWORD:
		return t.is("true", "false", "null", "end", "current_date", "current_time", "current_timestamp", "localtime",
			"localtimestamp", "current_user", "session_user", "current_role", "current_catalog", "user")
	}
	switch t.kind {
	case pg_query.Token_PARAM, pg_query.Token_BCONST, pg_query.Token_XCONST:
		return true
	}
	return t.is("isnull", "notnull")
}

// asof decides whether the word at token i makes a join, and blanks it:
//
//	ASOF JOIN            LEFT JOIN
//	ASOF [LEFT|INNER]…        […] JOIN
//	[LEFT|INNER] ASOF…   […]      JOIN
func (p *peeler) asof(i int) (int, error) {
	a := &rawAsof{AsofJoin: AsofJoin{Position: p.toks[i].start}}
	j, before := i+1, i-1
	kind := func(t *token) bool {
		switch {
		case t.is("left"):
			a.Kind = AsofLeft
		case t.is("inner"):
			a.Kind = AsofInner
		default:
			return t.is("right", "full")
		}
		return true
	}
	refused := -1
	if k := p.outer(before, -1); kind(p.tok(k)) && p.tok(j).is("join") {
		if p.tok(k).is("right", "full") {
			refused = k
		}
		before, a.Position = k-1, p.toks[k].start
	} else if kind(p.tok(j)) {
		if p.tok(j).is("right", "full") {
			refused = j
		}
		j = p.outer(j+1, 1)
	} else {
		a.Kind = AsofBare
	}
	if !p.tok(j).is("join") || !p.endsOperand(before) {
		return i + 1, nil
	}
	if refused >= 0 {
		return 0, faultAt(p.toks[refused].start, codeUnsupported, "an ASOF join is LEFT or INNER: exchange the two sides",
			"%s ASOF joins are not supported", upper(p.toks[refused].word))
	}
	if a.Kind == AsofBare {
		p.edit.put(p.toks[i].start, p.toks[i].end, "LEFT")
	} else {
		p.edit.blank(p.toks[i].start, p.toks[i].end)
	}
	a.join = p.toks[j].start
	p.asofs = append(p.asofs, a)
	p.join(j, a)
	return j + 1, nil
}

// outer steps over the word OUTER at token i.
func (p *peeler) outer(i, step int) int {
	if p.tok(i).is("outer") {
		return i + step
	}
	return i
}

// joinClause takes MATCH_CONDITION (…) or TOLERANCE '…' at token i for the ASOF join c.
func (p *peeler) joinClause(i int, c *pendingJoin) (int, error) {
	end, err := p.oneJoinClause(i, c.asof)
	if err != nil || end == i {
		return i + 1, err
	}
	if p.toks[i].is("match_condition") && !c.done && !p.conditionFollows(end) {
		p.edit.put(p.toks[i].start, p.toks[i].end, "ON TRUE")
		if f := p.top(); len(f.pending) > 0 {
			p.qualified(f)
		}
	}
	return end, nil
}

// oneJoinClause reads and blanks the clause at token i and returns the token after it, or i where it is none.
func (p *peeler) oneJoinClause(i int, a *rawAsof) (int, error) {
	if p.toks[i].is("match_condition") {
		if !p.tok(i + 1).is("(") {
			return i, nil
		}
		end := closing(p.toks, i+1)
		if end < 0 {
			return 0, p.syntax(len(p.toks), "")
		}
		if a.Match != nil {
			return 0, faultAt(p.toks[i].start, codeSyntax, "", "MATCH_CONDITION is given twice")
		}
		if end == i+3 {
			return 0, p.syntax(i+2, "")
		}
		from, to := p.toks[i+2].start, p.toks[end-2].end
		n, err := parseExpr(p.src, from, to)
		if err != nil {
			return 0, err
		}
		a.Match = n
		p.edit.blank(p.toks[i].start, p.toks[end-1].end)
		return end, nil
	}
	j := i + 1
	if p.tok(j).is("interval") {
		j++
	}
	if !p.tok(j).isString() {
		return i, nil
	}
	if a.HasTolerance {
		return 0, faultAt(p.toks[i].start, codeSyntax, "", "TOLERANCE is given twice")
	}
	micros, err := p.duration(j)
	if err != nil {
		return 0, err
	}
	if micros < 0 {
		return 0, faultAt(p.toks[j].start, codeParameter, "", "TOLERANCE must not be negative")
	}
	a.HasTolerance, a.Tolerance = true, micros
	p.edit.blank(p.toks[i].start, p.toks[j].end)
	return j + 1, nil
}

// duration reads the string at token i as a duration.
func (p *peeler) duration(i int) (int64, error) {
	s, err := stringValue(p.src, &p.toks[i])
	if err != nil {
		return 0, err
	}
	micros, err := ParseDuration(s)
	if err != nil {
		e := err.(*Error)
		return 0, faultAt(p.toks[i].start, e.Code, e.Hint, "%s", e.Message)
	}
	return micros, nil
}

// conditionFollows reports whether ON or USING follows at token i, behind further clauses of the join.
func (p *peeler) conditionFollows(i int) bool {
	for {
		switch {
		case p.tok(i).is("tolerance") && p.tok(i+1).isString():
			i += 2
		case p.tok(i).is("tolerance") && p.tok(i+1).is("interval") && p.tok(i+2).isString():
			i += 3
		default:
			return p.tok(i).is("on", "using")
		}
	}
}

// window takes WINDOW 7 DAYS, … at token i. Anything else is PostgreSQL's WINDOW.
func (p *peeler) window(i int) (int, error) {
	if !startsWindow(p.toks, i+1) {
		return i + 1, nil
	}
	ws, end, err := readWindows(p.src, p.toks, i+1)
	if err != nil {
		return 0, err
	}
	f := p.top()
	if f.selectAt < 0 {
		return 0, p.syntax(i, "WINDOW belongs to a SELECT")
	}
	if n := p.tok(end); end < len(p.toks) && !n.is(")", ";", "union", "except", "intersect", "order", "limit", "offset", "fetch",
		"for", "with", "on", "returning", "window") {
		return 0, p.syntax(end, "WINDOW follows WHERE and GROUP BY")
	}
	for _, w := range p.windows {
		if w.selectAt == f.selectAt {
			return 0, faultAt(p.toks[i].start, codeSyntax, "write one list: WINDOW 7 DAYS, 30 DAYS", "WINDOW is given twice")
		}
	}
	p.windows = append(p.windows, rawWindow{SelectWindow{Windows: ws, Position: p.toks[i].start}, f.selectAt})
	p.edit.blank(p.toks[i].start, p.toks[end-1].end)
	return end, nil
}

// startsWindow reports whether a window of ours begins at token i, the one after WINDOW.
func startsWindow(toks []token, i int) bool {
	if i >= len(toks) {
		return false
	}
	t := &toks[i]
	if t.is("lifetime") {
		// WINDOW lifetime AS (…) names a window of PostgreSQL's.
		return !(i+2 < len(toks) && toks[i+1].is("as") && toks[i+2].is("("))
	}
	return t.isNumber() || t.is("-", "+")
}

// readWindows reads a list of windows at token i and returns the token after it.
func readWindows(src string, toks []token, i int) ([]Window, int, error) {
	var out []Window
	for {
		w, end, err := readWindow(src, toks, i)
		if err != nil {
			return nil, 0, err
		}
		for _, o := range out {
			if o.Spelling == w.Spelling {
				return nil, 0, faultAt(w.Position, codeDuplicate, "", "window %s is given twice", w.Spelling)
			}
			if o.Following != w.Following {
				return nil, 0, faultAt(w.Position, codeUnsupported, "write FOLLOWING after every window of a label, or make two features",
					"windows before and after the cut cannot be mixed")
			}
		}
		if out = append(out, w); len(out) > MaxWindows {
			return nil, 0, faultAt(w.Position, codeTooComplex, "", "a list has at most %d windows", MaxWindows)
		}
		if i = end; i >= len(toks) || !toks[i].is(",") {
			return out, i, nil
		}
		i++
	}
}

func readWindow(src string, toks []token, i int) (Window, int, error) {
	if i >= len(toks) {
		return Window{}, 0, syntaxAt(src, toks, i, "")
	}
	w := Window{Position: toks[i].start}
	following := func(i int) bool { return i < len(toks) && toks[i].is("following") }
	if toks[i].is("lifetime") {
		if following(i + 1) {
			return w, 0, faultAt(w.Position, codeParameter, "write WINDOW 30 DAYS FOLLOWING", "a label needs a window of fixed length")
		}
		w.Lifetime, w.Spelling = true, "lifetime"
		return w, i + 1, nil
	}
	negative := false
	if toks[i].is("-", "+") {
		negative = toks[i].is("-")
		i++
	}
	if i >= len(toks) || !toks[i].isNumber() {
		return w, 0, syntaxAt(src, toks, i, "write WINDOW 7 DAYS or WINDOW LIFETIME")
	}
	number := src[toks[i].start:toks[i].end]
	n, err := strconv.ParseInt(number, 10, 64)
	i++
	if i >= len(toks) {
		return w, 0, syntaxAt(src, toks, i, "write the unit of the window: SECONDS, MINUTES, HOURS, DAYS or WEEKS")
	}
	unit, suffix := windowUnit(toks[i].word)
	switch {
	case unit < 0:
		return w, 0, syntaxAt(src, toks, i, "the units of a window are SECONDS, MINUTES, HOURS, DAYS and WEEKS")
	case unit == 0:
		return w, 0, faultAt(w.Position, codeParameter, monthHint, "a window cannot be measured in %s", upper(toks[i].word))
	case err != nil:
		return w, 0, faultAt(w.Position, codeParameter, "use a smaller unit: 90 MINUTES", "the length of a window must be a whole number of 64 bits, not %s", number)
	case negative || n == 0:
		return w, 0, faultAt(w.Position, codeParameter, "", "the length of a window must be positive")
	case n > (1<<62)/unit:
		return w, 0, faultAt(w.Position, codeParameter, "write WINDOW LIFETIME for all events", "window %s %s is too long", number, upper(toks[i].word))
	}
	w.Micros, w.Spelling = n*unit, strconv.FormatInt(n, 10)+suffix
	if following(i + 1) {
		w.Following = true
		i++
	}
	return w, i + 1, nil
}

// windowUnit is the length of a unit of WINDOW and its suffix: 0 for months and longer, -1 for no unit.
func windowUnit(word string) (int64, string) {
	switch word {
	case "second", "seconds":
		return second, "s"
	case "minute", "minutes":
		return minute, "m"
	case "hour", "hours":
		return hour, "h"
	case "day", "days":
		return day, "d"
	case "week", "weeks":
		return week, "w"
	case "month", "months", "year", "years", "quarter", "quarters", "decade", "decades", "century", "centuries":
		return 0, ""
	}
	return -1, ""
}

// systemTime takes FOR SYSTEM_TIME AS OF expression at token i.
func (p *peeler) systemTime(i int) (int, error) {
	j := i + 2
	for _, w := range []string{"as", "of"} {
		if !p.tok(j).is(w) {
			return 0, p.syntax(j, "write FOR SYSTEM_TIME AS OF '2024-06-01'")
		}
		j++
	}
	end := p.operand(j)
	if end < 0 {
		return 0, p.syntax(min(j, len(p.toks)), "write FOR SYSTEM_TIME AS OF '2024-06-01'")
	}
	from, to := p.toks[j].start, p.toks[end-1].end
	n, err := parseExpr(p.src, from, to)
	if err != nil {
		return 0, err
	}
	r := rawSystemTime{SystemTime: SystemTime{Expr: n, Text: p.src[from:to], Position: p.toks[i].start}}
	r.names = p.relationBefore(i)
	if len(r.names) == 0 {
		return 0, p.syntax(i, "FOR SYSTEM_TIME AS OF follows a relation")
	}
	p.times = append(p.times, r)
	p.edit.blank(p.toks[i].start, to)
	return end, nil
}

// relationBefore lists the offsets of the words of a relation and its alias that end before token i.
func (p *peeler) relationBefore(i int) []int {
	var out []int
	for j := i - 1; j >= 0; j-- {
		t := &p.toks[j]
		switch {
		case t.is(")"):
			// Only the column list of an alias: a word stands before it.
			depth := 0
			for ; j >= 0; j-- {
				if p.toks[j].is(")") {
					depth++
				} else if p.toks[j].is("(") {
					if depth--; depth == 0 {
						break
					}
				}
			}
			if j < 1 || !p.toks[j-1].isName() {
				return out
			}
		case t.isName():
			out = append(out, t.start)
		case t.is(".", "as"):
		default:
			return out
		}
	}
	return out
}

// operand is the token after the scalar expression that begins at token i, or -1. It knows the operators + - * / || and
// AT TIME ZONE, casts, calls and parentheses: enough for an instant, and what follows is never taken for a part of it.
func (p *peeler) operand(i int) int {
	for {
		for p.tok(i).is("-", "+") {
			i++
		}
		t := p.tok(i)
		switch {
		case t.is("("):
			if i = closing(p.toks, i); i < 0 {
				return -1
			}
		case t.is("timestamp", "timestamptz", "date", "interval", "time") && p.typedLiteral(i) > 0:
			i = p.typedLiteral(i)
		case t.isString(), t.isNumber(), t.kind == pg_query.Token_PARAM,
			t.is("current_timestamp", "localtimestamp", "current_date", "null"):
			i++
		case t.isName(), t.keyword == pg_query.KeywordKind_TYPE_FUNC_NAME_KEYWORD:
			for i++; p.tok(i).is(".") && p.tok(i+1).isLabel(); {
				i += 2
			}
			if p.tok(i).is("(") {
				if i = closing(p.toks, i); i < 0 {
					return -1
				}
			}
		default:
			return -1
		}
		for p.tok(i).kind == pg_query.Token_TYPECAST {
			for i++; p.tok(i + 1).is("."); {
				i += 2
			}
			if !p.tok(i).isLabel() {
				return -1
			}
			if i++; p.tok(i).is("(") {
				if i = closing(p.toks, i); i < 0 {
					return -1
				}
			}
			if p.tok(i).is("with", "without") && p.tok(i+1).is("time") && p.tok(i+2).is("zone") {
				i += 3
			}
		}
		switch {
		case p.tok(i).is("at") && p.tok(i+1).is("time") && p.tok(i+2).is("zone"):
			i += 3
		case p.tok(i).is("+", "-", "*", "/"), p.tok(i).kind == pg_query.Token_Op:
			i++
		default:
			return i
		}
	}
}

// typedLiteral is the token after TIMESTAMP [WITH TIME ZONE] '…' at token i, or -1.
func (p *peeler) typedLiteral(i int) int {
	i++
	if p.tok(i).is("with", "without") && p.tok(i+1).is("time") && p.tok(i+2).is("zone") {
		i += 3
	}
	if !p.tok(i).isString() {
		return -1
	}
	i++
	for p.tok(i).is("year", "month", "day", "hour", "minute", "second") { // INTERVAL '7' DAY
		i++
	}
	return i
}
