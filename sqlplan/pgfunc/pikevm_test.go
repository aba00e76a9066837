package pgfunc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomRegex is an expression of a few characters.
func randomRegex(r *rand.Rand, depth int, quantifiers []string) string {
	if depth == 0 {
		return []string{"a", "b", "é", ".", "[ab]", "[^a]", "^", "$", `\y`, `\Y`, "\\n", "ab", "A"}[r.IntN(13)]
	}
	x, y := randomRegex(r, depth-1, quantifiers), randomRegex(r, depth-1, quantifiers)
	switch r.IntN(5) {
	case 0:
		return x + y
	case 1:
		return "(" + x + "|" + y + ")"
	case 2:
		return "(?:" + x + ")" + quantifiers[r.IntN(len(quantifiers))]
	case 3:
		return "(" + x + ")" + quantifiers[r.IntN(len(quantifiers))] + y
	}
	return x + "|" + y
}

// The VM finds what Go's matcher finds, with the same groups.
func TestVM(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	compiled, found := 0, 0
	for range 20_000 {
		quantifiers := [][]string{{"*", "+", "?", "{2}", "{0,3}", "{1,}"}, {"*?", "+?", "??", "{1,2}?"}}[r.IntN(2)]
		pattern := randomRegex(r, r.IntN(4), quantifiers)
		re, err := newRegex(pattern, regexFlags{newline: r.IntN(3) == 0, insensitive: r.IntN(4) == 0})
		if err != nil {
			continue
		}
		compiled++
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString([]string{"a", "b", "A", "é", "\n", " ", "ab", "\xff"}[r.IntN(8)])
		}
		s := b.String()
		want := re.std.FindAllStringSubmatchIndex(s, -1)
		var got [][]int
		last := -1
		for m := range newVM(re, nil, s, true).all(0) {
			if m[0] != m[1] || m[0] != last { // Go passes over an empty match behind another
				got = append(got, slices.Clone(m))
			}
			last = m[1]
		}
		for _, m := range got {
			if m[0] == m[1] && !re.empty {
				t.Fatalf("%q matches nothing in %q", pattern, s)
			}
		}
		found += len(want)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q in %q: %v, want %v", pattern, s, got, want)
		}
		if got, want := newVM(re, nil, s, false).find(0) != nil, re.std.MatchString(s); got != want {
			t.Fatalf("%q in %q: %t, want %t", pattern, s, got, want)
		}
		// From inside of the text, it finds what begins there.
		for from := range len(s) + 1 {
			m := newVM(re, nil, s, true).find(from)
			for _, w := range want {
				if w[0] >= from && (m == nil || m[0] > w[0]) {
					t.Fatalf("%q in %q from %d: %v, and Go's %v is before", pattern, s, from, m, w)
				}
			}
		}
	}
	if compiled < 1000 || found < 1000 {
		t.Errorf("%d expressions with %d matches", compiled, found)
	}
}
