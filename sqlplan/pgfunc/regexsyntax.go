package pgfunc

import (
	"regexp"
	"strings"
)

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
