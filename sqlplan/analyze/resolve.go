package analyze

import "slices"

// What PostgreSQL calls coercion contexts.
type context byte

const (
	implicit   context = 'i'
	assignment context = 'a'
	explicit   context = 'e'
)

// pathway is how a value of one type becomes one of another.
type pathway byte

const (
	noPath   pathway = iota
	same             // the same, or the same bytes
	byCast           // a cast of pg_cast
	byText           // by way of text
	byArray          // element by element
	fromNull         // of an untyped NULL or literal
)

func pathOf(from, to OID, ctx context) pathway {
	from, to = plainArray(from), plainArray(to)
	if from == to {
		return same
	}
	if from == oidUnknown {
		return fromNull
	}
	if c, ok := casts[[2]OID{from, to}]; ok {
		if ctx == explicit || ctx == assignment && c.context != 'e' || c.context == 'i' {
			switch c.method {
			case 'b':
				return same
			case 'i':
				return byText
			}
			return byCast
		}
		return noPath
	}
	if isArray(from) && isArray(to) {
		if p := pathOf(elemOf(from), elemOf(to), ctx); p != noPath {
			return byArray
		}
		return noPath
	}
	if ctx != implicit && category(to) == 'S' || ctx == explicit && category(from) == 'S' {
		return byText
	}
	return noPath
}

// canCoerce is PostgreSQL's can_coerce_type for one argument; polymorphic ones are checked together.
func canCoerce(from, to OID, ctx context) bool {
	from, to = plainArray(from), plainArray(to)
	switch {
	case from == 0 || from == to || to == oidAny:
		return true
	case polymorphic(to):
		switch to {
		case oidAnyArray, oidAnyCompatibleArray:
			return from == oidUnknown || isArray(from)
		case oidAnyNonArray, oidAnyCompatibleNonArray:
			return from == oidUnknown || !isArray(from)
		case oidAnyElement, oidAnyCompatible:
			return true
		case oidAnyRange:
			return from == oidUnknown || isRange(from)
		case oidAnyMultirange:
			return from == oidUnknown || isMultirange(from)
		}
		return from == oidUnknown
	case from == oidUnknown:
		return true
	case from == oidRecord || to == oidRecord:
		return false
	}
	return pathOf(from, to, ctx) != noPath
}

// candidate is a function or operator with argument types for a call.
type candidate struct {
	args []OID // of the call's arguments, in their order
	proc *proc
	op   *operator
	// order are the call's arguments by parameter, −1 for a default; nil: as they come.
	order    []int
	variadic int // arguments that the last parameter takes as its array, 0: none
}

// choose is func_select_candidate: the candidates that fit best; exactly one is an answer.
func choose(in []OID, cands []candidate) []candidate {
	in = plainTypes(in)
	var fit []candidate
	for _, c := range cands {
		ok := true
		for i, t := range in {
			if i < len(c.args) && !canCoerce(t, c.args[i], implicit) {
				ok = false
				break
			}
		}
		if ok && consistent(c.args, in) {
			fit = append(fit, c)
		}
	}
	if len(fit) <= 1 {
		return fit
	}
	base := slices.Clone(in) // domains do not exist here
	best := func(count func(c candidate) int) {
		top := 0
		var keep []candidate
		for _, c := range fit {
			switch n := count(c); {
			case n > top || len(keep) == 0:
				top, keep = n, []candidate{c}
			case n == top:
				keep = append(keep, c)
			}
		}
		fit = keep
	}
	unknowns := 0
	for _, t := range base {
		if t == oidUnknown {
			unknowns++
		}
	}
	exact := func(c candidate) int {
		n := 0
		for i, t := range base {
			if t != oidUnknown && c.args[i] == t {
				n++
			}
		}
		return n
	}
	if best(exact); len(fit) == 1 {
		return fit
	}
	categories := make([]byte, len(base))
	for i, t := range base {
		categories[i] = category(t)
	}
	best(func(c candidate) int {
		n := 0
		for i, t := range base {
			if t != oidUnknown && (c.args[i] == t || preferred(c.args[i]) && category(c.args[i]) == categories[i]) {
				n++
			}
		}
		return n
	})
	if len(fit) == 1 || unknowns == 0 {
		return fit
	}
	resolved, failed := make([]byte, len(base)), false
	wantPreferred := make([]bool, len(base))
	for i, t := range base {
		if t != oidUnknown {
			continue
		}
		have, conflict := false, false
		for _, c := range fit {
			cat, pref := category(c.args[i]), preferred(c.args[i])
			switch {
			case !have:
				resolved[i], wantPreferred[i], have = cat, pref, true
			case cat == resolved[i]:
				wantPreferred[i] = wantPreferred[i] || pref
			case cat == 'S':
				resolved[i], wantPreferred[i] = cat, pref
			default:
				conflict = true
			}
		}
		if conflict && resolved[i] != 'S' {
			failed = true
			break
		}
	}
	if !failed {
		var keep []candidate
		for _, c := range fit {
			ok := true
			for i, t := range base {
				if t == oidUnknown && (category(c.args[i]) != resolved[i] || wantPreferred[i] && !preferred(c.args[i])) {
					ok = false
					break
				}
			}
			if ok {
				keep = append(keep, c)
			}
		}
		if len(keep) > 0 {
			fit = keep
		}
		if len(fit) == 1 {
			return fit
		}
	}
	if unknowns < len(base) {
		known := OID(oidUnknown)
		for _, t := range base {
			if t == oidUnknown {
				continue
			}
			if known == oidUnknown {
				known = t
			} else if known != t {
				return fit
			}
		}
		for i := range base {
			base[i] = known
		}
		var keep []candidate
		for _, c := range fit {
			ok := true
			for i, t := range base {
				if !canCoerce(t, c.args[i], implicit) {
					ok = false
					break
				}
			}
			if ok && consistent(c.args, base) {
				keep = append(keep, c)
			}
		}
		if len(keep) == 1 {
			return keep
		}
	}
	return fit
}

// consistent reports whether polymorphic parameters can be types that go together.
func consistent(params, in []OID) bool {
	in = plainTypes(in)
	var compatible []OID
	elem, array := OID(0), OID(0)
	ranges := rangeSolution{}
	for i, p := range params {
		if i >= len(in) || in[i] == oidUnknown || in[i] == 0 {
			continue
		}
		switch p {
		case oidAnyRange, oidAnyMultirange:
			if !ranges.take(in[i]) {
				return false
			}
		case oidAnyElement, oidAnyNonArray:
			if elem != 0 && elem != in[i] {
				return false
			}
			elem = in[i]
		case oidAnyArray:
			if array != 0 && array != in[i] {
				return false
			}
			array = in[i]
		case oidAnyCompatible, oidAnyCompatibleNonArray:
			compatible = append(compatible, in[i])
		case oidAnyCompatibleArray:
			compatible = append(compatible, elemOf(in[i]))
		}
	}
	if elem != 0 && array != 0 && elemOf(array) != elem || elem != 0 && ranges.elem != 0 && elem != ranges.elem {
		return false
	}
	if len(compatible) > 1 {
		_, _, ok := commonType(compatible)
		return ok
	}
	return true
}

// findOperator resolves an operator over operands of these types; left is 0 for a prefix operator.
func findOperator(name string, left, right OID, prefix bool) []candidate {
	left, right = plainArray(left), plainArray(right)
	var cands []candidate
	in := []OID{left, right}
	if prefix {
		in = []OID{right}
	}
	// One unknown side takes the other's type, if there is such an operator.
	if !prefix {
		l, r := left, right
		if l == oidUnknown {
			l = r
		} else if r == oidUnknown {
			r = l
		}
		for _, o := range operators[name] {
			if o.left == l && o.right == r && l != oidUnknown {
				return []candidate{{args: []OID{l, r}, op: o}}
			}
		}
	}
	for _, o := range operators[name] {
		if prefix != (o.left == 0) {
			continue
		}
		c := candidate{args: []OID{o.left, o.right}, op: o}
		if prefix {
			c.args = c.args[1:]
		}
		if slices.Equal(c.args, in) {
			return []candidate{c}
		}
		cands = append(cands, c)
	}
	return choose(in, cands)
}

// findFunction resolves a function over arguments of these types. names are those of named arguments, "" for others.
func findFunction(name string, in []OID, names []string, variadic bool) (found []candidate, exists bool) {
	var cands []candidate
	in = plainTypes(in)
	for _, p := range procs[name] {
		exists = true
		c := candidate{proc: p}
		inputs := len(p.args)
		named := slices.ContainsFunc(names, func(s string) bool { return s != "" })
		switch {
		case named || len(in) < inputs && len(in) >= inputs-p.defaults:
			order := make([]int, inputs)
			for i := range order {
				order[i] = -1
			}
			ok := len(in) <= inputs
			for i := range in {
				if !ok {
					break
				}
				at := i
				if i < len(names) && names[i] != "" {
					at = slices.Index(p.names, names[i])
				}
				if ok = at >= 0 && at < inputs && order[at] < 0; ok {
					order[at] = i
				}
			}
			for i, o := range order {
				ok = ok && (o >= 0 || i >= inputs-p.defaults)
			}
			if !ok {
				continue
			}
			c.order, c.args = order, make([]OID, len(in))
			for i, o := range order {
				if o >= 0 {
					c.args[o] = p.args[i]
				}
			}
		case p.variadic != 0 && !variadic && len(in) >= inputs:
			c.args = slices.Clone(p.args[:inputs-1])
			elem := p.variadic
			if isArray(elem) {
				elem = elemOf(elem)
			}
			for len(c.args) < len(in) {
				c.args = append(c.args, elem)
			}
			c.variadic = len(in) - inputs + 1
		case len(in) == inputs:
			c.args = p.args
		default:
			continue
		}
		cands = append(cands, c)
	}
	for _, c := range cands {
		if slices.Equal(c.args, in) && c.variadic == 0 {
			return []candidate{c}, true
		}
	}
	for _, c := range cands {
		if slices.Equal(c.args, in) {
			return []candidate{c}, true
		}
	}
	found = choose(in, cands)
	if len(found) > 1 { // PostgreSQL prefers those without VARIADIC and defaults where the types are the same
		var keep []candidate
		for _, c := range found {
			if !slices.ContainsFunc(found, func(o candidate) bool {
				return o.proc != c.proc && slices.Equal(o.args, c.args) && (c.variadic > 0 && o.variadic == 0)
			}) {
				keep = append(keep, c)
			}
		}
		found = keep
	}
	return found, exists
}

// commonType is select_common_type: what the types of UNION, CASE and their kin become. ok is false where they do not match.
func commonType(ts []OID) (t OID, with OID, ok bool) {
	if slices.ContainsFunc(ts, hasDimensions) {
		if t, with, ok = commonType(plainTypes(ts)); isArray(t) && ok {
			t = Dimensional(t)
		}
		return t, with, ok
	}
	if len(ts) == 0 {
		return oidText, 0, true
	}
	all := true
	for _, x := range ts {
		if x == 0 {
			return 0, 0, true
		}
		all = all && x == ts[0] && x != oidUnknown
	}
	if all {
		return ts[0], 0, true
	}
	t = oidUnknown
	for _, x := range ts {
		if x == oidUnknown || x == t {
			continue
		}
		if t == oidUnknown {
			t = x
			continue
		}
		if category(x) != category(t) {
			return t, x, false
		}
		if !preferred(t) && canCoerce(t, x, implicit) && !canCoerce(x, t, implicit) {
			t = x
		}
	}
	if t == oidUnknown {
		t = oidText
	}
	for _, x := range ts {
		if !canCoerce(x, t, implicit) {
			return t, x, false
		}
	}
	return t, 0, true
}

// solve finds what the polymorphic parameters of a call are, and its result's type; ok is false where the arguments do not
// agree. params are declared types by argument.
func solve(params, in []OID, result OID) (concrete []OID, out OID, ok bool) {
	concrete, in = slices.Clone(params), plainTypes(in)
	elem, array := OID(0), OID(0)
	var compatible []OID
	ranges := rangeSolution{}
	any := polymorphic(result)
	for i, p := range params {
		if !polymorphic(p) {
			continue
		}
		any = true
		if i >= len(in) {
			continue
		}
		t := in[i]
		switch p {
		case oidAnyElement, oidAnyNonArray, oidAnyEnum:
			if t == oidUnknown {
				continue
			}
			if elem != 0 && elem != t {
				return nil, 0, false
			}
			elem = t
		case oidAnyArray:
			if t == oidUnknown {
				continue
			}
			if array != 0 && array != t {
				return nil, 0, false
			}
			array = t
		case oidAnyCompatible, oidAnyCompatibleNonArray:
			compatible = append(compatible, t)
		case oidAnyCompatibleArray:
			if t == oidUnknown {
				compatible = append(compatible, t)
			} else {
				compatible = append(compatible, elemOf(t))
			}
		case oidAnyRange, oidAnyMultirange:
			if t != oidUnknown && !ranges.take(t) {
				return nil, 0, false
			}
		default:
			return nil, 0, false
		}
	}
	if !any {
		return concrete, result, true
	}
	if ranges.elem != 0 {
		if elem != 0 && elem != ranges.elem {
			return nil, 0, false
		}
		elem = ranges.elem
	}
	if array != 0 {
		e := elemOf(array)
		if elem != 0 && elem != e {
			return nil, 0, false
		}
		elem = e
	} else if elem != 0 {
		array = arrayOf(elem)
	}
	common := OID(0)
	if len(compatible) > 0 {
		var match bool
		if common, _, match = commonType(compatible); !match {
			return nil, 0, false
		}
	}
	put := func(p OID) OID {
		switch p {
		case oidAnyElement, oidAnyNonArray, oidAnyEnum:
			return elem
		case oidAnyArray:
			return array
		case oidAnyCompatible, oidAnyCompatibleNonArray:
			return common
		case oidAnyCompatibleArray:
			return arrayOf(common)
		case oidAnyRange:
			return ranges.rng
		case oidAnyMultirange:
			return ranges.multi
		}
		return p
	}
	for i, p := range concrete {
		concrete[i] = put(p)
	}
	out = put(result)
	if slices.Contains(concrete, 0) || polymorphic(result) && out == 0 {
		return concrete, 0, false // an unknown literal for anyelement: could not determine polymorphic type
	}
	return concrete, out, true
}
