package pgfunc

import (
	"iter"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/storage/duck"
)

type regexKey struct {
	pattern string
	flags   regexFlags
}

// Bounds of expressions: PostgreSQL has bounds of its own, and says the same beyond.
const (
	// maxRegex is how many bytes an expression has.
	maxRegex = 1 << 18
	// maxProgram bounds the instructions of one, which a counted repetition multiplies, and maxPositions those times the positions of
	// groups that each has.
	maxProgram   = 100_000
	maxPositions = 2_000_000
	// maxKeptRegexes bounds the instructions of the compiled expressions that are kept.
	maxKeptRegexes = 200_000
	// maxUntold bounds the text times the program that is matched without a look at the statement: some 10 ms.
	maxUntold = 1 << 20
)

func errTooComplex() error {
	return bad("2201B", "invalid regular expression: regular expression is too complex")
}

// regex is a compiled expression.
type regex struct {
	std     *regexp.Regexp
	prog    *syntax.Prog
	prefix  string // what every match begins with
	begins  bool   // matches are at the begin of the text only
	longest bool   // of those that begin there, the longest is the match
	empty   bool   // a match may be empty
	unsure  bool   // PostgreSQL may give groups of a match other places: see unsureGroups
}

var regexes struct {
	sync.Mutex
	m    map[regexKey]*regex
	size int // instructions
}

func compile(pattern string, f regexFlags) (*regex, error) {
	f.global = false
	regexes.Lock()
	re := regexes.m[regexKey{pattern, f}]
	regexes.Unlock()
	if re != nil {
		return re, nil
	}
	re, err := newRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	size := len(re.prog.Inst) + len(pattern)
	regexes.Lock()
	defer regexes.Unlock()
	if regexes.m == nil || regexes.size+size > maxKeptRegexes {
		regexes.m, regexes.size = map[regexKey]*regex{}, 0
	}
	regexes.m[regexKey{strings.Clone(pattern), f}] = re
	regexes.size += size
	return re, nil
}

// compileReading is compile for an expression whose groups may be read. Errors: 0A000.
func compileReading(groups bool, pattern string, f regexFlags) (*regex, error) {
	re, err := compile(pattern, f)
	if err == nil && groups && re.unsure {
		return nil, withHint(bad("0A000", "groups inside a repetition that may be empty, or that not every turn of it sets, are not supported"),
			"Write (?:…) for groups that are not read.")
	}
	return re, err
}

func newRegex(pattern string, f regexFlags) (*regex, error) {
	if len(pattern) > maxRegex {
		return nil, errTooComplex()
	}
	expr, lazy, err := translateRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		what := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		msg := "invalid regular expression: " + what
		switch {
		case strings.Contains(what, "missing closing )"):
			msg = "invalid regular expression: parentheses () not balanced"
		case strings.Contains(what, "unexpected )"):
			msg = "invalid regular expression: parentheses () not balanced"
		case strings.Contains(what, "missing closing ]"):
			msg = "invalid regular expression: brackets [] not balanced"
		case strings.Contains(what, "missing argument to repetition"):
			msg = "invalid regular expression: quantifier operand invalid"
		case strings.Contains(what, "trailing backslash"):
			msg = `invalid regular expression: invalid escape \ sequence`
		case strings.Contains(what, "invalid character class range"):
			msg = "invalid regular expression: invalid character range"
		case strings.Contains(what, "invalid repeat count"):
			msg = "invalid regular expression: invalid repetition count(s)"
		}
		return nil, bad("2201B", "%s", msg)
	}
	if n := instructions(tree); n > maxProgram || n*(tree.MaxCap()+1) > maxPositions {
		return nil, errTooComplex()
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, errTooComplex()
	}
	re := &regex{prog: prog, begins: prog.StartCond()&syntax.EmptyBeginText != 0, longest: !lazy, empty: mayBeEmpty(tree), unsure: unsureGroups(tree)}
	re.prefix, _ = prog.Prefix()
	if re.std, err = regexp.Compile(expr); err != nil {
		return nil, errTooComplex()
	}
	if re.longest {
		re.std.Longest()
	}
	return re, nil
}

// instructions is about how many a program of an expression has.
func instructions(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n += len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max) + 1
	}
	return min(n, 1<<40)
}

// mayBeEmpty reports whether an expression may match no character.
func mayBeEmpty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false
	case syntax.OpRepeat:
		return re.Min == 0 || mayBeEmpty(re.Sub[0])
	case syntax.OpPlus, syntax.OpCapture:
		return mayBeEmpty(re.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !mayBeEmpty(sub) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, mayBeEmpty)
	}
	return true // *, ?, what looks around, and nothing
}

// unsureGroups reports whether a part that is matched several times has groups which the last time need not set, or may be empty:
// PostgreSQL divides a text among such turns otherwise, and forgets the groups of the turns before.
func unsureGroups(re *syntax.Regexp) bool {
	if (re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && re.Max != 1) && re.MaxCap() > 0 && (mayBeEmpty(re.Sub[0]) || choosesGroups(re.Sub[0])) {
		return true
	}
	return slices.ContainsFunc(re.Sub, unsureGroups)
}

// choosesGroups reports whether a group stands in a choice or a repetition.
func choosesGroups(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAlternate, syntax.OpQuest, syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		return re.MaxCap() > 0
	}
	return slices.ContainsFunc(re.Sub, choosesGroups)
}

// soon reports whether Go's matcher is through s before anybody asks.
func (re *regex) soon(s string) bool { return (len(s)+1)*len(re.prog.Inst) <= maxUntold }

// matches reports whether s has a match.
func (re *regex) matches(c *duck.Call, s string) bool {
	if re.soon(s) {
		return re.std.MatchString(s)
	}
	return newVM(re, c, s, false).find(0) != nil
}

// find are the positions of the first match and its groups, nil where there is none.
func (re *regex) find(c *duck.Call, s string) []int {
	if re.soon(s) {
		return re.std.FindStringSubmatchIndex(s)
	}
	return newVM(re, c, s, true).find(0)
}

// all are the matches from a byte on; ^ still means the text's begin. Each may be overwritten by the next.
func (re *regex) all(c *duck.Call, s string, from int) iter.Seq[[]int] {
	// Go's matcher passes over an empty match behind another one, which is one in PostgreSQL.
	if from == 0 && !re.empty && re.soon(s) {
		return slices.Values(re.std.FindAllStringSubmatchIndex(s, -1))
	}
	return newVM(re, c, s, true).all(from)
}
