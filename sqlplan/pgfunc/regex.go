package pgfunc

import (
	"iter"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// PostgreSQL's regular expressions are run by Go's: those with constructs that Go's lack, or understand otherwise, are refused.
//
// PostgreSQL takes the longest of the matches that begin first, unless a quantifier is non-greedy. An expression that mixes greedy
// and non-greedy quantifiers has rules of its own, and is refused.

// regexFlags are the letters that change how an expression is read.
type regexFlags struct{ global, insensitive, newline, expanded, literal bool }

func parseFlags(s string, allowGlobal bool, fn string) (f regexFlags, err error) {
	for _, c := range s {
		switch c {
		case 'g':
			if !allowGlobal {
				return f, bad("22023", `%s does not support the "global" option`, fn)
			}
			f.global = true
		case 'i':
			f.insensitive = true
		case 'c':
			f.insensitive = false
		case 'm', 'n':
			f.newline = true
		case 's':
			f.newline = false
		case 'x':
			f.expanded = true
		case 't':
			f.expanded = false
		case 'q':
			f.literal = true
		case 'p', 'w', 'b', 'e':
			return f, bad("0A000", "regular expression option %q is not supported", string(c))
		default:
			return f, bad("22023", `invalid regular expression option: "%s"`, string(c))
		}
	}
	return f, nil
}

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

// translateRegex writes PostgreSQL's advanced regular expressions as Go's.
func translateRegex(p string, f regexFlags) (out string, lazy bool, err error) {
	if strings.HasPrefix(p, "***=") {
		f.literal, p = true, p[4:]
	} else if strings.HasPrefix(p, "***:") {
		p = p[4:]
	}
	if f.literal {
		q := regexp.QuoteMeta(p)
		if f.insensitive {
			q = "(?i)" + q
		}
		return q, false, nil
	}
	if strings.HasPrefix(p, "(?") && len(p) > 2 && p[2] != ':' && p[2] != '=' && p[2] != '!' && p[2] != '<' {
		end := strings.IndexByte(p, ')')
		if end > 0 {
			g, err := parseFlags(p[2:end], false, "regular expression")
			if err != nil {
				return "", false, err
			}
			f.insensitive = f.insensitive || g.insensitive
			f.newline, f.expanded, f.literal = f.newline || g.newline, f.expanded || g.expanded, g.literal
			return translateRegex(p[end+1:], f)
		}
	}
	unsupported := func(what string) error {
		return bad("0A000", "regular expressions with %s are not supported", what)
	}
	var b strings.Builder
	flags := ""
	if f.insensitive {
		flags += "i"
	}
	if f.newline {
		flags += "m"
	} else {
		flags += "s" // . matches newlines in PostgreSQL
	}
	b.WriteString("(?" + flags + ")")
	greedy := false
	atom := false
	r := []rune(p)
	for i := 0; i < len(r); i++ {
		c := r[i]
		switch c {
		case '\\':
			if i+1 >= len(r) {
				return "", false, bad("2201B", `invalid regular expression: invalid escape \ sequence`)
			}
			i++
			switch e := r[i]; {
			case e == 'd' || e == 'w' || e == 's' || e == 'D' || e == 'W' || e == 'S':
				b.WriteString(map[rune]string{'d': "[0-9]", 'D': "[^0-9]", 'w': `[\pL\pN_]`, 'W': `[^\pL\pN_]`, 's': `[ \t-\r]`, 'S': `[^ \t-\r]`}[e])
			case e == 'm' || e == 'M' || e == 'Y' || e == 'y' || e == '<' || e == '>':
				switch e {
				case 'y':
					b.WriteString(`\b`)
				case 'Y':
					b.WriteString(`\B`)
				case 'm': // a boundary before a character of words
					if i+1 >= len(r) || !(r[i+1] >= 'a' && r[i+1] <= 'z' || r[i+1] >= 'A' && r[i+1] <= 'Z' || r[i+1] >= '0' && r[i+1] <= '9') {
						return "", false, unsupported(`\m`)
					}
					b.WriteString(`\b`)
				case 'M':
					if i < 2 || !(r[i-2] >= 'a' && r[i-2] <= 'z' || r[i-2] >= 'A' && r[i-2] <= 'Z' || r[i-2] >= '0' && r[i-2] <= '9') {
						return "", false, unsupported(`\M`)
					}
					b.WriteString(`\b`)
				default:
					b.WriteString(regexp.QuoteMeta(string(e)))
				}
				atom = false
				continue
			case e == 'A':
				b.WriteString(`\A`)
			case e == 'Z':
				b.WriteString(`\z`)
			case e >= '1' && e <= '9':
				return "", false, unsupported("back references")
			case e == 'n' || e == 't' || e == 'r' || e == 'f' || e == 'v' || e == 'a':
				b.WriteString(`\` + string(e))
			case e == 'e':
				b.WriteString(`\x1b`)
			case e == 'b':
				b.WriteString(`\x08`)
			case e == 'B':
				b.WriteString(`\\`)
			case e == '0':
				b.WriteString(`\x00`)
			case e == 'x' || e == 'u' || e == 'U' || e == 'c':
				n := map[rune]int{'x': 8, 'u': 4, 'U': 8, 'c': 0}[e]
				j := i + 1
				for j < len(r) && j-i-1 < n && strings.ContainsRune("0123456789abcdefABCDEF", r[j]) {
					j++
				}
				if j == i+1 {
					return "", false, bad("2201B", `invalid regular expression: invalid escape \ sequence`)
				}
				b.WriteString(`\x{` + string(r[i+1:j]) + `}`)
				i = j - 1
			case e >= 'a' && e <= 'z' || e >= 'A' && e <= 'Z':
				return "", false, bad("2201B", `invalid regular expression: invalid escape \ sequence`)
			default:
				b.WriteString(regexp.QuoteMeta(string(e)))
			}
			atom = true
		case '[':
			set, next, err := bracket(r, i, f)
			if err != nil {
				return "", false, err
			}
			b.WriteString(set)
			i = next
			atom = true
		case '(':
			if i+1 < len(r) && r[i+1] == '?' {
				if i+2 < len(r) && r[i+2] == ':' {
					b.WriteString("(?:")
					i += 2
					atom = false
					continue
				}
				if i+2 < len(r) && r[i+2] == '#' {
					for i < len(r) && r[i] != ')' {
						i++
					}
					continue
				}
				return "", false, unsupported("look-around")
			}
			b.WriteByte('(')
			atom = false
		case ')':
			b.WriteByte(')')
			atom = true
		case '|':
			b.WriteByte('|')
			atom = false
		case '*', '+', '?', '{':
			if c == '{' && !(i+1 < len(r) && r[i+1] >= '0' && r[i+1] <= '9') {
				b.WriteString(`\{`)
				atom = true
				continue
			}
			if !atom {
				if c == '*' && false {
					continue
				}
				return "", false, bad("2201B", "invalid regular expression: quantifier operand invalid")
			}
			q := string(c)
			if c == '{' {
				j := i
				for j < len(r) && r[j] != '}' {
					j++
				}
				if j >= len(r) {
					return "", false, bad("2201B", "invalid regular expression: braces {} not balanced")
				}
				q = string(r[i : j+1])
				if strings.Trim(q, "{},0123456789") != "" {
					return "", false, bad("2201B", "invalid regular expression: invalid repetition count(s)")
				}
				i = j
			}
			b.WriteString(q)
			if i+1 < len(r) && r[i+1] == '?' {
				b.WriteByte('?')
				i++
				lazy = true
			} else {
				greedy = true
			}
			atom = false
			if i+1 < len(r) && (r[i+1] == '*' || r[i+1] == '+' || r[i+1] == '?') {
				return "", false, bad("2201B", "invalid regular expression: quantifier operand invalid")
			}
		case '^', '$':
			if c == '$' && !f.newline {
				b.WriteString(`\z`)
			} else {
				b.WriteRune(c)
			}
			atom = false
		case '.':
			b.WriteByte('.')
			atom = true
		default:
			if f.expanded {
				if c == ' ' || c == '\t' || c == '\n' {
					continue
				}
				if c == '#' {
					for i < len(r) && r[i] != '\n' {
						i++
					}
					continue
				}
			}
			b.WriteString(regexp.QuoteMeta(string(c)))
			atom = true
		}
	}
	if lazy && greedy {
		return "", false, unsupported("both greedy and non-greedy quantifiers")
	}
	return b.String(), lazy, nil
}

// bracket is a bracket expression that begins at r[i], and the index of its end.
func bracket(r []rune, i int, f regexFlags) (string, int, error) {
	var b strings.Builder
	b.WriteByte('[')
	j := i + 1
	if j < len(r) && r[j] == '^' {
		b.WriteByte('^')
		if f.newline {
			b.WriteString(`\n`)
		}
		j++
	}
	first := true
	for ; j < len(r); j++ {
		c := r[j]
		switch {
		case c == ']' && !first:
			b.WriteByte(']')
			return b.String(), j, nil
		case c == '[' && j+1 < len(r) && r[j+1] == ':':
			end := j + 2
			for end+1 < len(r) && !(r[end] == ':' && r[end+1] == ']') {
				end++
			}
			if end+1 >= len(r) {
				return "", 0, bad("2201B", "invalid regular expression: brackets [] not balanced")
			}
			name := string(r[j+2 : end])
			classes := map[string]string{"alpha": `\pL`, "digit": `0-9`, "alnum": `\pL\pN`, "upper": `\p{Lu}`, "lower": `\p{Ll}`, "space": ` \t-\r`,
				"punct": `!-/:-@\[-` + "`" + `{-~`, "xdigit": `0-9A-Fa-f`, "blank": ` \t`, "cntrl": `\x00-\x1f\x7f`, "print": ` -~\pL\pN`, "graph": `!-~\pL\pN`, "word": `\pL\pN_`}
			cl, ok := classes[name]
			if !ok {
				return "", 0, bad("2201B", "invalid regular expression: invalid character class")
			}
			b.WriteString(cl)
			j = end + 1
		case c == '[' && j+1 < len(r) && (r[j+1] == '.' || r[j+1] == '='):
			return "", 0, bad("0A000", "regular expressions with collating elements are not supported")
		case c == '\\':
			if j+1 >= len(r) {
				return "", 0, bad("2201B", `invalid regular expression: invalid escape \ sequence`)
			}
			j++
			switch e := r[j]; e {
			case 'd':
				b.WriteString("0-9")
			case 'w':
				b.WriteString(`\pL\pN_`)
			case 's':
				b.WriteString(` \t-\r`)
			case 'n', 't', 'r', 'f', 'v', 'a':
				b.WriteString(`\` + string(e))
			default:
				if e >= 'a' && e <= 'z' || e >= 'A' && e <= 'Z' || e >= '0' && e <= '9' {
					return "", 0, bad("2201B", `invalid regular expression: invalid escape \ sequence`)
				}
				b.WriteString(`\` + string(e))
			}
		case c == '-' && !first && j+1 < len(r) && r[j+1] != ']':
			b.WriteByte('-')
		case c == '-' || c == '[' || c == ']' || c == '^' || c == '&' || c == '~':
			b.WriteString(`\` + string(c))
		default:
			b.WriteRune(c)
		}
		first = false
	}
	return "", 0, bad("2201B", "invalid regular expression: brackets [] not balanced")
}

// similarPattern is a pattern of SIMILAR TO as a regular expression.
func similarPattern(p, escape string) (string, error) {
	parts, err := similarParts(p, escape)
	if err != nil {
		return "", err
	}
	return "^(?:" + strings.Join(parts, ")(?:") + ")$", nil
}

// similarParts are regular expressions for the parts of a pattern of SIMILAR TO between its separators, of which it has at most two.
func similarParts(p, escape string) ([]string, error) {
	if utf8.RuneCountInString(escape) > 1 {
		return nil, withHint(bad("22025", "invalid escape string"), "Escape string must be empty or one character.")
	}
	if len(p) > maxRegex {
		return nil, errTooComplex()
	}
	esc := []rune(escape)
	var b strings.Builder
	var parts []string
	r := []rune(p)
	inBracket := false
	for i := 0; i < len(r); i++ {
		c := r[i]
		switch {
		case len(esc) > 0 && c == esc[0]:
			if i+1 < len(r) {
				i++
				if r[i] == '"' && !inBracket {
					if len(parts) == 2 {
						return nil, bad("2200C", "SQL regular expression may not contain more than two escape-double-quote separators")
					}
					parts = append(parts, b.String())
					b.Reset()
					continue
				}
				b.WriteString(`\` + string(r[i]))
			}
		case inBracket:
			if c == ']' {
				inBracket = false
			}
			if c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(c)
		case c == '[':
			inBracket = true
			b.WriteRune(c)
		case c == '%':
			b.WriteString(".*")
		case c == '_':
			b.WriteByte('.')
		case c == '(':
			b.WriteString("(?:")
		case c == '\\' || c == '.' || c == '^' || c == '$':
			b.WriteString(`\` + string(c))
		default:
			b.WriteRune(c)
		}
	}
	return append(parts, b.String()), nil
}

// maxSimilarText bounds the characters of a text of which SUBSTRING … SIMILAR takes a part: every pair of places may be tried.
const maxSimilarText = 4096

// similarSubstring is SUBSTRING(s SIMILAR p ESCAPE escape): what the part of the pattern between its separators matches where the part
// before it matches as little, and then that part as much, as it can. found is false where the pattern does not match.
func similarSubstring(c *duck.Call, s, p, escape string) (part string, found bool, err error) {
	parts, err := similarParts(p, escape)
	if err != nil {
		return "", false, err
	}
	match := make([]func(string) bool, len(parts))
	for i, x := range parts {
		re, err := compile("^(?:"+x+")$", regexFlags{})
		if err != nil {
			return "", false, err
		}
		match[i] = func(s string) bool {
			c.Work(64 + len(s))
			return re.matches(c, s)
		}
	}
	if len(parts) == 1 {
		return s, match[0](s), nil
	}
	var places []int // between characters
	for i := range s {
		places = append(places, i)
	}
	if places = append(places, len(s)); len(places) > maxSimilarText {
		return "", false, bad("54000", "a text of more than %d characters is too long for SUBSTRING SIMILAR", maxSimilarText-1)
	}
	ends := []int{len(s)}
	if len(parts) == 3 {
		ends = nil
		for _, at := range places {
			if match[2](s[at:]) {
				ends = append(ends, at)
			}
		}
	}
	for _, from := range places {
		if !match[0](s[:from]) {
			continue
		}
		for i := len(ends) - 1; i >= 0 && ends[i] >= from; i-- {
			if match[1](s[from:ends[i]]) {
				return s[from:ends[i]], true, nil
			}
		}
	}
	return "", false, nil
}

// like reports whether s matches a pattern of LIKE.
func like(c *duck.Call, s, p, escape string) (bool, error) {
	if utf8.RuneCountInString(escape) > 1 {
		return false, withHint(bad("22025", "invalid escape string"), "Escape string must be empty or one character.")
	}
	// i and j are where the text and the pattern are; behind the last % of the pattern, star, the text was tried from mark on.
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		c.Work(4)
		switch {
		case escape != "" && strings.HasPrefix(p[j:], escape):
			k := j + len(escape)
			if k >= len(p) {
				return false, bad("22025", "LIKE pattern must not end with escape character")
			}
			_, w := utf8.DecodeRuneInString(p[k:])
			if strings.HasPrefix(s[i:], p[k:k+w]) {
				i, j = i+w, k+w
				continue
			}
		case j < len(p) && p[j] == '%':
			star, mark = j, i
			j++
			continue
		case j < len(p) && p[j] == '_':
			_, w := utf8.DecodeRuneInString(s[i:])
			i, j = i+w, j+1
			continue
		case j < len(p) && p[j] == s[i]: // bytes of equal characters are equal
			i, j = i+1, j+1
			continue
		}
		if star < 0 {
			return false, nil
		}
		_, w := utf8.DecodeRuneInString(s[mark:])
		mark += w
		i, j = mark, star+1
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p), nil
}

func matches(c *duck.Call, s, pattern string, f regexFlags) (bool, error) {
	re, err := compile(pattern, f)
	if err != nil {
		return false, err
	}
	return re.matches(c, s), nil
}

func putBool(out *vector.Vector, b bool, err error) error {
	if err == nil {
		out.AppendBool(b)
	}
	return err
}

// replacement is what a match becomes: \1 and \& in with stand for parts of it.
func replacement(b *strings.Builder, with, s string, m []int) {
	for i := 0; i < len(with); i++ {
		if with[i] != '\\' || i+1 >= len(with) {
			b.WriteByte(with[i])
			continue
		}
		i++
		switch c := with[i]; {
		case c == '&':
			b.WriteString(s[m[0]:m[1]])
		case c >= '0' && c <= '9':
			if k := int(c-'0') * 2; k > 0 && k < len(m) && m[k] >= 0 {
				b.WriteString(s[m[k]:m[k+1]])
			}
		case c == '\\':
			b.WriteByte('\\')
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
}

// readsGroup finds \1 to \9 in a replacement, and sometimes a backslash before a digit.
var readsGroup = regexp.MustCompile(`\\[1-9]`)

func regexpReplace(c *duck.Call, s, pattern, with string, f regexFlags, start, nth int64) (string, error) {
	re, err := compileReading(readsGroup.MatchString(with), pattern, f)
	if err != nil {
		return "", err
	}
	from := byteOffset(s, start-1)
	if from < 0 {
		return s, nil
	}
	var b strings.Builder
	b.WriteString(s[:from])
	done, n := from, int64(0)
	for m := range re.all(c, s, from) {
		if n++; nth > 0 && n < nth {
			continue
		}
		b.WriteString(s[done:m[0]])
		replacement(&b, with, s, m)
		if done = m[1]; b.Len() > maxText {
			return "", errTooLong()
		}
		if nth > 0 || !f.global {
			break
		}
		c.Work(16)
	}
	if b.Len()+len(s)-done > maxText {
		return "", errTooLong()
	}
	b.WriteString(s[done:])
	return b.String(), nil
}

// byteOffset is the byte of character n, −1 beyond the end.
func byteOffset(s string, n int64) int {
	i := 0
	for ; n > 0; n-- {
		if i >= len(s) {
			return -1
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		i += w
	}
	return i
}

func split(c *duck.Call, s, pattern string, f regexFlags, put func(string)) error {
	re, err := compile(pattern, f)
	if err != nil {
		return err
	}
	done, end := 0, 0
	for m := range re.all(c, s, 0) {
		last := end
		if end = m[1]; m[0] >= len(s) || m[1] <= last { // PostgreSQL ignores matches at the end, and empty ones at the begin and behind others
			continue
		}
		put(s[done:m[0]])
		done = m[1]
	}
	put(s[done:])
	return nil
}

// groups are the captured parts of a match, or the whole where there are none.
func groups(c *duck.Call, out *vector.Vector, s string, m []int) {
	c.Work(64 * len(m))
	if len(m) == 2 {
		out.AppendString(s[m[0]:m[1]])
		return
	}
	for k := 2; k < len(m); k += 2 {
		if m[k] < 0 {
			out.AppendNull()
		} else {
			out.AppendString(s[m[k]:m[k+1]])
			c.Work(m[k+1] - m[k])
		}
	}
}
