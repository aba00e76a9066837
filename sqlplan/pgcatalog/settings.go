package pgcatalog

import "sync"

// Setting is a row of pg_settings.
type Setting struct {
	Name, Value, Unit, Category, Description, Context, Type, Source, Min, Max string
	Enum                                                                      []string
	Boot, Reset                                                               string
}

// knownSettings is what PostgreSQL says of its settings, by name.
var knownSettings = sync.OnceValue(func() map[string]row {
	out := map[string]row{}
	r := static()["facts.pg_settings"]
	for _, c := range r.Rows() {
		for i := range c.N {
			w := row{r, c, i}
			out[w.text("name")] = w
		}
	}
	return out
})

// KnownSetting reports whether PostgreSQL's pg_settings has a setting.
func KnownSetting(name string) bool {
	_, ok := knownSettings()[name]
	return ok
}

// cells are the values of a setting's row. What a setting of PostgreSQL's is for, how its values are bounded and who changes it there is said
// as PostgreSQL says it; what it does here, tilehouse.settings says.
func (x *Setting) cells() []any {
	null := func(v string) any {
		if v == "" {
			return nil
		}
		return v
	}
	var enum any
	if x.Enum != nil {
		enum = x.Enum
	}
	unit, category, description, extra, least, most, context, kind := null(x.Unit), x.Category, x.Description, any(nil), null(x.Min), null(x.Max), x.Context, x.Type
	if w, ok := knownSettings()[x.Name]; ok {
		text := func(column string) any {
			if w.null(column) {
				return nil
			}
			return w.text(column)
		}
		unit, category, description, extra, context, kind = text("unit"), w.text("category"), w.text("short_desc"), text("extra_desc"), w.text("context"), w.text("vartype")
		if context != "internal" { // the bounds of what is so are its value
			least, most = text("min_val"), text("max_val")
		}
		if enum = nil; !w.null("enumvals") {
			enum = w.texts("enumvals")
		}
	}
	return []any{x.Name, x.Value, unit, category, description, extra, context, kind, x.Source, least, most, enum, x.Boot, x.Reset, nil, nil, false}
}
