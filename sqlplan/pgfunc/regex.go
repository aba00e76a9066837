package pgfunc

import (
	"regexp"
	"strings"
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
