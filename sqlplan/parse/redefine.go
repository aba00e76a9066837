package parse

import (
	"maps"
	"slices"
	"strings"
)

// Renamed is the text of a definition in which the name that stands at n's place is another. keep gives the old name to what
// is renamed as its alias, for the expressions that know it so.
func Renamed(sql string, n Name, to string, keep bool) (string, error) {
	toks, err := scan(sql)
	if err != nil {
		return "", convert(sql, err)
	}
	i := slices.IndexFunc(toks, func(t token) bool { return t.start == n.Position })
	if i < 0 {
		return "", ErrorAt(sql, n.Position, codeInternal, "the name is not where the definition was parsed", "")
	}
	r := &reader{src: sql, toks: toks, i: i}
	old := r.name()
	if r.err != nil {
		return "", convert(sql, r.err)
	}
	put := quoteName(to)
	if keep {
		put += " AS " + quoteName(old.Name)
	}
	return sql[:toks[i].start] + put + sql[toks[r.i-1].end:], nil
}

// WithOptions is the text of a definition with other options: its WITH (…) is replaced, or added where there is none, and left out where
// there are no options.
func WithOptions(sql string, options Options) (string, error) {
	toks, err := scan(sql)
	if err != nil {
		return "", convert(sql, err)
	}
	for len(toks) > 0 && toks[len(toks)-1].is(";") {
		toks = toks[:len(toks)-1]
	}
	put := "WITH " + options.String()
	if len(options) == 0 {
		put = ""
	}
	as := -1
	for i, depth := 0, 0; i < len(toks); i++ {
		switch t := &toks[i]; {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			depth--
		case depth == 0 && t.is("as") && as < 0:
			as = i
		case depth == 0 && t.is("with") && i+1 < len(toks) && toks[i+1].is("("):
			end := closing(toks, i+1)
			if end < 0 {
				return "", convert(sql, syntaxAt(sql, toks, len(toks), ""))
			}
			after := sql[toks[end-1].end:]
			if put == "" {
				after = strings.TrimPrefix(after, " ")
			}
			return sql[:t.start] + put + after, nil
		}
	}
	switch {
	case put == "":
		return sql, nil
	case as >= 0:
		return sql[:toks[as].start] + put + " " + sql[toks[as].start:], nil
	case len(toks) == 0:
		return "", convert(sql, syntaxAt(sql, toks, 0, ""))
	}
	end := toks[len(toks)-1].end
	return sql[:end] + " " + put + sql[end:], nil
}

// String is the options as they are written, by name.
func (o Options) String() string {
	items := make([]string, 0, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) {
		parts := strings.Split(name, ".")
		for i, p := range parts {
			parts[i] = quoteName(p)
		}
		v := o[name]
		text := v.Value
		switch v.Kind {
		case OptString:
			text = "'" + strings.ReplaceAll(v.Value, "'", "''") + "'"
		case OptIdentifier:
			text = quoteName(v.Value)
		case OptSecret:
			text = "SECRET " + quoteName(v.Value)
		}
		items = append(items, strings.Join(parts, ".")+" = "+text)
	}
	return "(" + strings.Join(items, ", ") + ")"
}

// QuoteName is a name as it must be written anywhere: in quotes where it would not be read as itself.
func QuoteName(name string) string { return quoteName(name) }

// quoteName is QuoteName.
func quoteName(s string) string {
	toks, err := scan(s)
	if err == nil && len(toks) == 1 && toks[0].isName() && toks[0].word == s {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
