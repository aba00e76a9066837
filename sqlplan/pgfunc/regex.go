package pgfunc

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
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

// maxRegexes bounds the compiled expressions that are kept.
const maxRegexes = 1000

var regexes struct {
	sync.Mutex
	m map[regexKey]*regexp.Regexp
}

func compile(pattern string, f regexFlags) (*regexp.Regexp, error) {
	f.global = false
	k := regexKey{pattern, f}
	regexes.Lock()
	defer regexes.Unlock()
	if re := regexes.m[k]; re != nil {
		return re, nil
	}
	expr, lazy, err := translateRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(expr)
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
	if !lazy {
		re.Longest()
	}
	if regexes.m == nil || len(regexes.m) >= maxRegexes {
		regexes.m = map[regexKey]*regexp.Regexp{}
	}
	regexes.m[k] = re
	return re, nil
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
			end := strings.Index(string(r[j:]), ":]")
			if end < 0 {
				return "", 0, bad("2201B", "invalid regular expression: brackets [] not balanced")
			}
			name := string(r[j:])[2:end]
			classes := map[string]string{"alpha": `\pL`, "digit": `0-9`, "alnum": `\pL\pN`, "upper": `\p{Lu}`, "lower": `\p{Ll}`, "space": ` \t-\r`,
				"punct": `!-/:-@\[-` + "`" + `{-~`, "xdigit": `0-9A-Fa-f`, "blank": ` \t`, "cntrl": `\x00-\x1f\x7f`, "print": ` -~\pL\pN`, "graph": `!-~\pL\pN`, "word": `\pL\pN_`}
			cl, ok := classes[name]
			if !ok {
				return "", 0, bad("2201B", "invalid regular expression: invalid character class")
			}
			b.WriteString(cl)
			j += utf8.RuneCountInString(name) + 3
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
func similarSubstring(s, p, escape string) (part string, found bool, err error) {
	parts, err := similarParts(p, escape)
	if err != nil {
		return "", false, err
	}
	match := make([]func(string) (bool, error), len(parts))
	for i, x := range parts {
		match[i] = func(s string) (bool, error) { return matches(s, "^(?:"+x+")$", regexFlags{}) }
	}
	if len(parts) == 1 {
		ok, err := match[0](s)
		return s, ok, err
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
			ok, err := match[2](s[at:])
			if err != nil {
				return "", false, err
			}
			if ok {
				ends = append(ends, at)
			}
		}
	}
	for _, from := range places {
		if ok, err := match[0](s[:from]); err != nil || !ok {
			if err != nil {
				return "", false, err
			}
			continue
		}
		for i := len(ends) - 1; i >= 0 && ends[i] >= from; i-- {
			if ok, err := match[1](s[from:ends[i]]); ok || err != nil {
				return s[from:ends[i]], ok, err
			}
		}
	}
	return "", false, nil
}

// like reports whether s matches a pattern of LIKE.
func like(s, p, escape string) (bool, error) {
	if utf8.RuneCountInString(escape) > 1 {
		return false, withHint(bad("22025", "invalid escape string"), "Escape string must be empty or one character.")
	}
	return likeRunes([]rune(s), []rune(p), []rune(escape))
}

func likeRunes(s, p, esc []rune) (bool, error) {
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(p) && len(esc) > 0 && p[j] == esc[0]:
			if j+1 >= len(p) {
				return false, bad("22025", "LIKE pattern must not end with escape character")
			}
			if p[j+1] == s[i] {
				i, j = i+1, j+2
				continue
			}
		case j < len(p) && p[j] == '%':
			star, mark = j, i
			j++
			continue
		case j < len(p) && (p[j] == '_' || p[j] == s[i]):
			i, j = i+1, j+1
			continue
		}
		if star < 0 {
			return false, nil
		}
		mark++
		i, j = mark, star+1
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p), nil
}

func matches(s, pattern string, f regexFlags) (bool, error) {
	re, err := compile(pattern, f)
	if err != nil {
		return false, err
	}
	return re.MatchString(s), nil
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

func regexpReplace(s, pattern, with string, f regexFlags, start, nth int64) (string, error) {
	re, err := compile(pattern, f)
	if err != nil {
		return "", err
	}
	from := byteOffset(s, start-1)
	if from < 0 {
		return s, nil
	}
	var b strings.Builder
	b.WriteString(s[:from])
	done := from
	most := -1
	if f.global && from == 0 && with != "" && !strings.Contains(with, `\`) { // with more matches the text is too long
		most = maxText/len(with) + 2
	}
	for n, m := range allMatches(re, s, from, most) {
		if nth > 0 && int64(n+1) != nth || nth == 0 && !f.global && n > 0 {
			continue
		}
		b.WriteString(s[done:m[0]])
		replacement(&b, with, s, m)
		if done = m[1]; b.Len() > maxText {
			return "", errTooLong()
		}
	}
	return b.String() + s[done:], nil
}

// allMatches are the matches of re in s from a byte on; ^ still means the text's begin. most bounds those of the whole text; −1: all.
func allMatches(re *regexp.Regexp, s string, from, most int) [][]int {
	var out [][]int
	for _, m := range re.FindAllStringSubmatchIndex(s, most) {
		if m[0] >= from {
			out = append(out, m)
		}
	}
	return out
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

func split(s, pattern string, f regexFlags) ([]string, error) {
	re, err := compile(pattern, f)
	if err != nil {
		return nil, err
	}
	var out []string
	done := 0
	for _, m := range re.FindAllStringIndex(s, -1) {
		if m[0] == m[1] && (m[0] == 0 || m[0] >= len(s)) { // PostgreSQL ignores empty matches at the ends
			continue
		}
		if m[0] == m[1] && m[0] == done {
			continue
		}
		out = append(out, s[done:m[0]])
		done = m[1]
	}
	return append(out, s[done:]), nil
}

// groups are the captured parts of a match, or the whole where there are none.
func groups(out *vector.Vector, s string, m []int) {
	if len(m) == 2 {
		out.AppendString(s[m[0]:m[1]])
		return
	}
	for k := 2; k < len(m); k += 2 {
		if m[k] < 0 {
			out.AppendNull()
		} else {
			out.AppendString(s[m[k]:m[k+1]])
		}
	}
}
