package pgfunc

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// numberFormat is a template of to_char and to_number for numbers.
type numberFormat struct {
	nodes       []string // 9 0 . , D G S MI PL SG PR L TH th V RN rn EEEE, or a text in quotes
	pre, post   int      // digits before and after the point
	preZero     int      // place of the first 0 before the point, from the left, 0: none
	zeroEnd     int      // digits after the point up to the last 0
	fill        bool
	point       bool
	sign        string // "", S, SG, MI, PL, PR
	lead        bool   // S comes first
	multi       int    // V
	exp, roman  bool
	romanLower  bool
	hasV, hasPL bool
	hasMI       bool
}

var numberKeywords = []string{"EEEE", "eeee", "FM", "MI", "PL", "PR", "RN", "SG", "TH", "SP", "fm", "mi", "pl", "pr", "rn", "sg", "th", ",", ".", "0", "9", "B", "C", "D", "G", "L", "S", "V", "b", "c", "d", "g", "l", "s", "v"}

func parseNumberFormat(f string) (numberFormat, error) {
	var out numberFormat
	if err := checkTemplate(f); err != nil {
		return out, err
	}
	fail := func(format string, a ...any) error { return bad("42601", format, a...) }
	for i := 0; i < len(f); {
		if f[i] == '"' {
			j := i + 1
			for j < len(f) && f[j] != '"' {
				j++
			}
			out.nodes = append(out.nodes, `"`+f[i+1:min(j, len(f))])
			i = j + 1
			continue
		}
		if f[i] == '\\' && i+1 < len(f) {
			i++
		}
		key := ""
		for _, k := range numberKeywords {
			if strings.HasPrefix(f[i:], k) {
				key = k
				break
			}
		}
		if key == "" {
			r := firstRune(f[i:])
			out.nodes = append(out.nodes, `"`+r)
			i += len(r)
			continue
		}
		i += len(key)
		up := strings.ToUpper(key)
		if out.exp && up != "EEEE" {
			return out, fail(`"EEEE" must be the last pattern used`)
		}
		switch up {
		case "9", "0":
			if up == "0" && out.sign == "PR" {
				return out, fail(`"9" must be ahead of "PR"`)
			}
			switch {
			case out.hasV:
				out.multi++
			case out.point:
				out.post++
				if up == "0" {
					out.zeroEnd = out.post
				}
			default:
				out.pre++
				if up == "0" && out.preZero == 0 {
					out.preZero = out.pre
				}
			}
		case ".", "D":
			if out.point {
				return out, fail("multiple decimal points")
			}
			if out.hasV {
				return out, fail(`cannot use "V" and decimal point together`)
			}
			out.point = true
		case "FM":
			out.fill = true
			continue
		case "S":
			if out.sign == "S" {
				return out, fail(`cannot use "S" twice`)
			}
			if out.sign != "" {
				return out, fail(`cannot use "S" and "PL"/"MI"/"SG"/"PR" together`)
			}
			out.sign = "S"
			out.lead = out.pre == 0 && !out.point
		case "MI", "PL", "SG":
			if out.sign == "S" {
				return out, fail(`cannot use "S" and "%s" together`, up)
			}
			if up == "MI" {
				out.hasMI = true
			}
			if up == "PL" {
				out.hasPL = true
			}
			if up != "PL" {
				out.sign = up
			}
		case "PR":
			if out.sign != "" {
				return out, fail(`cannot use "PR" and "S"/"PL"/"MI"/"SG" together`)
			}
			out.sign = "PR"
		case "V":
			if out.point {
				return out, fail(`cannot use "V" and decimal point together`)
			}
			out.hasV = true
		case "EEEE":
			out.exp = true
		case "RN":
			out.roman, out.romanLower = true, key == "rn"
		case "TH":
			up = key
		}
		out.nodes = append(out.nodes, up)
	}
	return out, nil
}

// numberText is to_char of a number; floatDigits are the significant digits of a float, 0 for numerics and integers.
func numberText(format string, n num, floatDigits int, f *float64) (string, error) {
	t, err := parseNumberFormat(format)
	if err != nil {
		return "", err
	}
	if t.roman {
		return roman(n, t), nil
	}
	if t.exp {
		return scientific(n, t), nil
	}
	negative := n.sign() < 0
	if n.special != 0 {
		whole := strings.Repeat("#", t.pre)
		return layout(t, whole, strings.Repeat("#", t.post), negative, n), nil
	}
	if t.hasV {
		n = num{v: new(big.Int).Mul(n.v, pow10(t.multi)), scale: n.scale}
	}
	post := t.post
	if t.hasV {
		post = 0
	}
	if floatDigits > 0 && f != nil {
		x := math.Abs(*f) * math.Pow10(map[bool]int{true: t.multi}[t.hasV])
		whole := len(strconv.FormatFloat(math.Trunc(x), 'f', 0, 64))
		keep := post
		if whole >= floatDigits {
			keep = 0
		} else if whole+post > floatDigits {
			keep = floatDigits - whole
		}
		s := strconv.FormatFloat(x, 'f', keep, map[int]int{6: 32, 15: 64}[floatDigits])
		n = mustNum(s)
		if negative && n.sign() != 0 {
			n.v.Neg(n.v)
		}
		n = n.at(post)
	} else {
		n = n.at(post)
	}
	text := strings.TrimPrefix(n.String(), "-")
	whole, fraction, _ := strings.Cut(text, ".")
	if n.sign() == 0 && f == nil {
		negative = negative && false
	}
	pre := t.pre
	if t.hasV {
		pre += t.multi
	}
	if len(whole) > pre && !(whole == "0") {
		whole, fraction = strings.Repeat("#", pre), strings.Repeat("#", post)
	}
	return layout(t, whole, fraction, negative, n), nil
}

// layout writes digits by a template.
func layout(t numberFormat, whole, fraction string, negative bool, n num) string {
	pre := t.pre
	if t.hasV {
		pre += t.multi
	}
	zeroWhole := whole == "0"
	digits := whole
	if zeroWhole && (t.point && t.post > 0) {
		digits = "" // 0.5 is shown as .5
	}
	if t.preZero > 0 && len(digits) < pre-t.preZero+1 {
		digits = strings.Repeat("0", pre-t.preZero+1-len(digits)) + digits
	}
	pad := pre - len(digits)
	if pad < 0 {
		pad = 0
	}
	if t.fill && t.point && fraction != "" && !strings.Contains(fraction, "#") { // FM cuts zeros after the last 0 of the template
		keep := len(strings.TrimRight(fraction, "0"))
		keep = max(keep, t.zeroEnd)
		fraction = fraction[:min(keep, len(fraction))]
	}
	var b strings.Builder
	signDone := false
	signText := func() string {
		if negative {
			return "-"
		}
		return " "
	}
	anchored := t.sign == "" || t.sign == "S" && t.lead || t.sign == "PR" // the sign stands before the first digit
	putSign := func() {
		if signDone || !anchored {
			return
		}
		signDone = true
		switch {
		case t.sign == "S":
			if negative {
				b.WriteByte('-')
			} else {
				b.WriteByte('+')
			}
		case t.sign == "PR":
			if negative {
				b.WriteByte('<')
			} else if !t.fill {
				b.WriteByte(' ')
			}
		default:
			if negative {
				b.WriteByte('-')
			} else if !t.fill {
				b.WriteByte(' ')
			}
		}
	}
	seen := 0 // digit places written before the point
	inFraction := 0
	started := false
	for _, k := range t.nodes {
		switch {
		case strings.HasPrefix(k, `"`):
			b.WriteString(k[1:])
		case k == "9" || k == "0":
			if inFraction > 0 {
				if inFraction-1 < len(fraction) {
					b.WriteByte(fraction[inFraction-1])
				} else if !t.fill {
					b.WriteByte(' ')
				}
				inFraction++
				continue
			}
			seen++
			if seen <= pad {
				if !t.fill {
					b.WriteByte(' ')
				}
				continue
			}
			putSign()
			started = true
			if at := seen - pad - 1; at < len(digits) {
				b.WriteByte(digits[at])
			}
		case k == "," || k == "G":
			if seen <= pad && !started {
				if !t.fill {
					b.WriteByte(' ')
				}
			} else {
				b.WriteByte(',')
			}
		case k == "." || k == "D":
			putSign()
			started = true
			if !(t.fill && fraction == "" && len(digits) == 0 && false) {
				b.WriteByte('.')
			}
			inFraction = 1
		case k == "S":
			if !anchored {
				if negative {
					b.WriteByte('-')
				} else {
					b.WriteByte('+')
				}
			}
		case k == "MI":
			if negative {
				b.WriteByte('-')
			} else if !t.fill {
				b.WriteByte(' ')
			}
		case k == "PL":
			if !negative {
				b.WriteByte('+')
			} else if !t.fill {
				b.WriteByte(' ')
			}
		case k == "SG":
			if negative {
				b.WriteByte('-')
			} else {
				b.WriteByte('+')
			}
		case k == "PR":
			if negative {
				b.WriteByte('>')
			} else if !t.fill {
				b.WriteByte(' ')
			}
		case k == "L":
			if !t.fill {
				b.WriteByte(' ')
			}
		case k == "TH" || k == "th":
			if !negative && !t.point {
				full := ordinal(digits, k)
				b.WriteString(full[len(digits):])
			} else if !t.fill {
				b.WriteString("  ")
			}
		case k == "V":
		}
	}
	if !signDone && anchored && false {
		b.WriteString(signText())
	}
	_ = n
	return b.String()
}

func roman(n num, t numberFormat) string {
	v := n.at(0)
	if n.special != 0 || !v.v.IsInt64() || v.v.Int64() < 1 || v.v.Int64() > 3999 {
		return strings.Repeat("#", 15)
	}
	x := v.v.Int64()
	var b strings.Builder
	for _, r := range []struct {
		n int64
		s string
	}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}} {
		for x >= r.n {
			b.WriteString(r.s)
			x -= r.n
		}
	}
	s := b.String()
	if t.romanLower {
		s = strings.ToLower(s)
	}
	if !t.fill {
		s = strings.Repeat(" ", 15-len(s)) + s
	}
	return s
}

func scientific(n num, t numberFormat) string {
	if n.special != 0 {
		return " " + strings.Repeat("#", t.pre+t.post+6)
	}
	exp := 0
	m := n
	if n.v.Sign() != 0 {
		digits := len(new(big.Int).Abs(n.v).String())
		exp = digits - 1 - n.scale
		m = num{v: n.v, scale: digits - 1}.at(t.post)
		if len(new(big.Int).Abs(m.v).String()) > t.post+1 {
			exp++
			m = num{v: n.v, scale: digits}.at(t.post)
		}
	} else {
		m = n.at(t.post)
	}
	s := m.String()
	if t.point && t.post == 0 {
		s += "."
	}
	sign := "+"
	if exp < 0 {
		sign, exp = "-", -exp
	}
	e := strconv.Itoa(exp)
	if len(e) < 2 {
		e = "0" + e
	}
	s += "e" + sign + e
	if n.sign() >= 0 {
		s = " " + s
	}
	return s
}

// readNumber is to_number.
func readNumber(s, format string) (num, bool, error) {
	t, err := parseNumberFormat(format)
	if err != nil {
		return num{}, false, err
	}
	if format == "" {
		return num{}, true, nil
	}
	if t.exp {
		return num{}, false, bad("0A000", `"EEEE" not supported for input`)
	}
	if t.roman {
		return num{}, false, bad("0A000", `"RN" not supported for input`)
	}
	negative := false
	var digits strings.Builder
	pointSeen := false
	skipSign := func() {
		s = strings.TrimLeft(s, " ")
		if s == "" {
			return
		}
		switch {
		case s[0] == '-' || s[0] == '<' && t.sign == "PR":
			negative, s = true, s[1:]
		case s[0] == '+':
			s = s[1:]
		}
	}
	first := true
	for _, k := range t.nodes {
		if s == "" {
			break
		}
		switch {
		case strings.HasPrefix(k, `"`):
			for range k[1:] {
				if s != "" {
					s = s[len(firstRune(s)):]
				}
			}
		case k == "9" || k == "0":
			if first {
				skipSign()
				first = false
			}
			if s != "" && s[0] == '.' && !pointSeen && t.point {
				continue
			}
			if s != "" && s[0] >= '0' && s[0] <= '9' {
				digits.WriteByte(s[0])
				s = s[1:]
			} else if s != "" && s[0] == ' ' {
				s = s[1:]
			}
		case k == "." || k == "D":
			if first {
				skipSign()
				first = false
			}
			if s != "" && s[0] == '.' {
				s = s[1:]
			}
			if !pointSeen {
				digits.WriteByte('.')
				pointSeen = true
			}
		case k == "," || k == "G":
			if first {
				skipSign()
			}
			if s != "" && s[0] == ',' {
				s = s[1:]
			}
		case k == "S" || k == "MI" || k == "SG" || k == "PL" || k == "PR":
			s = strings.TrimLeft(s, " ")
			if s != "" && (s[0] == '-') {
				negative, s = true, s[1:]
			} else if s != "" && (s[0] == '+' || s[0] == '>') {
				s = s[1:]
			}
		case k == "L":
			if s != "" && (s[0] < '0' || s[0] > '9') && s[0] != '-' {
				s = s[len(firstRune(s)):]
			}
		case k == "TH" || k == "th":
			s = s[min(2, len(s)):]
		}
	}
	d := digits.String()
	if strings.Trim(d, ".") == "" {
		return num{}, false, bad("22P02", `invalid input syntax for type numeric: " "`)
	}
	n := mustNum(strings.TrimSuffix(d, "."))
	if t.hasV {
		q, err := divNum(n, num{v: pow10(t.multi)})
		if err != nil {
			return n, false, err
		}
		n = q
	} else {
		n = n.at(t.post)
	}
	if negative {
		n.v = new(big.Int).Neg(n.v)
	}
	return n, false, nil
}
