package pgcatalog

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// keywords are PostgreSQL's key words that a name has to be quoted for.
var keywords = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	r := static()["functions.pg_get_keywords"]
	for _, c := range r.Rows() {
		for i := range c.N {
			if w := (row{r, c, i}); w.text("catcode") != "U" {
				out[w.text("word")] = true
			}
		}
	}
	return out
})

// QuoteIdent is a name as SQL reads it: in quotes where it needs them.
func QuoteIdent(s string) string {
	plain := s != "" && !keywords()[s]
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9'
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// splitName reads a name of up to two parts, folded unless quoted; ok is false where it is none.
func splitName(s string) (schema, name string, ok bool) {
	var parts []string
	s = strings.TrimSpace(s)
	for {
		part := ""
		if strings.HasPrefix(s, `"`) {
			end := 1
			for {
				k := strings.IndexByte(s[end:], '"')
				if k < 0 {
					return "", "", false
				}
				end += k + 1
				if end < len(s) && s[end] == '"' {
					end++
					continue
				}
				break
			}
			part = strings.ReplaceAll(s[1:end-1], `""`, `"`)
			s = s[end:]
		} else {
			end := strings.IndexAny(s, `."`)
			if end < 0 {
				end = len(s)
			}
			part = strings.ToLower(strings.TrimSpace(s[:end]))
			s = s[end:]
		}
		s = strings.TrimSpace(s)
		if part == "" {
			return "", "", false
		}
		parts = append(parts, part)
		if s == "" {
			break
		}
		if s[0] != '.' {
			return "", "", false
		}
		s = strings.TrimSpace(s[1:])
	}
	switch len(parts) {
	case 1:
		return "", parts[0], true
	case 2:
		return parts[0], parts[1], true
	case 3: // database.schema.name
		return parts[1], parts[2], true
	}
	return "", "", false
}

// path are the schemas that unqualified names are looked up in, in order.
func (s *Snapshot) path() []int64 {
	s.pathOnce.Do(func() {
		if n, ok := s.schema("pg_temp_" + tempSchemaSuffix); ok {
			s.pathOIDs = append(s.pathOIDs, n)
		}
		named := false
		for _, n := range s.o.SearchPath {
			named = named || n == "pg_catalog"
		}
		if !named {
			s.pathOIDs = append(s.pathOIDs, SchemaCatalog)
		}
		for _, n := range s.o.SearchPath {
			if oid, ok := s.schema(n); ok {
				s.pathOIDs = append(s.pathOIDs, oid)
			}
		}
	})
	return s.pathOIDs
}

// tempSchemaSuffix ends the name of the schema of temporary tables. PostgreSQL counts them by sessions, each of which sees its own.
const tempSchemaSuffix = "3"

// TempSchema is the schema of temporary tables.
const TempSchema = "pg_temp_" + tempSchemaSuffix

// schema is the object id of a schema.
func (s *Snapshot) schema(name string) (int64, bool) {
	if name == "pg_temp" {
		name = TempSchema
	}
	for _, w := range s.named("pg_namespace", "nspname", name) {
		return w.int("oid"), true
	}
	return 0, false
}

// named are the rows of a table of pg_catalog with a name.
func (s *Snapshot) named(relation, column, name string) []row {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.names[relation]
	if l == nil {
		l = map[string][]row{}
		r := static()["pg_catalog."+relation]
		at := r.Index(column)
		for _, c := range s.chunks(r) {
			for i := range c.N {
				n := string(c.Cols[at].Bytes(i))
				l[n] = append(l[n], row{r, c, i})
			}
		}
		s.names[relation] = l
	}
	return l[name]
}

// catalogOf says how the objects of a catalog are named.
type catalogOf struct{ relation, name, schema string }

var (
	classes       = catalogOf{"pg_class", "relname", "relnamespace"}
	types         = catalogOf{"pg_type", "typname", "typnamespace"}
	functions     = catalogOf{"pg_proc", "proname", "pronamespace"}
	operators     = catalogOf{"pg_operator", "oprname", "oprnamespace"}
	collations    = catalogOf{"pg_collation", "collname", "collnamespace"}
	conversions   = catalogOf{"pg_conversion", "conname", "connamespace"}
	opclasses     = catalogOf{"pg_opclass", "opcname", "opcnamespace"}
	opfamilies    = catalogOf{"pg_opfamily", "opfname", "opfnamespace"}
	statistics    = catalogOf{"pg_statistic_ext", "stxname", "stxnamespace"}
	configs       = catalogOf{"pg_ts_config", "cfgname", "cfgnamespace"}
	dictionaries  = catalogOf{"pg_ts_dict", "dictname", "dictnamespace"}
	parsers       = catalogOf{"pg_ts_parser", "prsname", "prsnamespace"}
	textTemplates = catalogOf{"pg_ts_template", "tmplname", "tmplnamespace"}
)

// find are the objects that a name means: those of the first schema of the path that has any.
func (s *Snapshot) find(k catalogOf, schema, name string) []row {
	rows := s.named(k.relation, k.name, name)
	in := func(oid int64) []row {
		var out []row
		for _, w := range rows {
			if w.int(k.schema) == oid {
				out = append(out, w)
			}
		}
		return out
	}
	if schema != "" {
		oid, ok := s.schema(schema)
		if !ok {
			return nil
		}
		return in(oid)
	}
	for _, oid := range s.path() {
		if out := in(oid); len(out) > 0 {
			return out
		}
	}
	return nil
}

// visible reports whether an object is found by its name alone; nil where it does not exist.
func (s *Snapshot) visible(k catalogOf, oid int64) any {
	w, ok := s.by(k.relation, "oid", oid)
	if !ok {
		return nil
	}
	switch k {
	case functions, operators, opclasses:
		// Of one name there are several, by their arguments: those of the first schema that has the same ones.
		same := func(x row) bool {
			switch k {
			case functions:
				return fmt.Sprint(x.ints("proargtypes")) == fmt.Sprint(w.ints("proargtypes"))
			case operators:
				return x.int("oprleft") == w.int("oprleft") && x.int("oprright") == w.int("oprright")
			}
			return x.int("opcmethod") == w.int("opcmethod")
		}
		for _, schema := range s.path() {
			for _, x := range s.named(k.relation, k.name, w.text(k.name)) {
				if x.int(k.schema) == schema && same(x) {
					return x.int("oid") == oid
				}
			}
		}
		return false
	}
	for _, x := range s.find(k, "", w.text(k.name)) {
		if x.int("oid") == oid {
			return true
		}
	}
	return false
}

// qualified is an object's name as SQL finds it: with its schema where the name alone does not.
func (s *Snapshot) qualified(k catalogOf, w row) string {
	name := QuoteIdent(w.text(k.name))
	if s.visible(k, w.int("oid")) == true {
		return name
	}
	return s.schemaName(w.int(k.schema)) + "." + name
}

func (s *Snapshot) schemaName(oid int64) string {
	if w, ok := s.by("pg_namespace", "oid", oid); ok {
		return QuoteIdent(w.text("nspname"))
	}
	return "???"
}

// formatType is format_type(oid, mod); given is false where mod is NULL.
func (s *Snapshot) formatType(oid int64, mod int64, given bool) string {
	if oid == 0 {
		return "-"
	}
	t := s.typeOf(uint32(oid))
	if t.Name == "???" {
		return "???"
	}
	if t.isArray() {
		return s.formatType(int64(t.Elem), mod, given) + "[]"
	}
	precision := func(name, rest string) string {
		if given && mod >= 0 {
			return fmt.Sprintf("%s(%d)%s", name, mod, rest)
		}
		return name + rest
	}
	switch t.OID {
	case 1560, 1562: // bit, bit varying
		name := map[uint32]string{1560: "bit", 1562: "bit varying"}[t.OID]
		if given && mod < 0 && t.OID == 1560 {
			return `"bit"`
		}
		return precision(name, "")
	case oidBool:
		return "boolean"
	case oidBPChar:
		switch {
		case given && mod >= 0:
			return fmt.Sprintf("character(%d)", mod-4)
		case given:
			return "bpchar"
		}
		return "character"
	case oidFloat4:
		return "real"
	case oidFloat8:
		return "double precision"
	case oidInt2:
		return "smallint"
	case oidInt4:
		return "integer"
	case oidInt8:
		return "bigint"
	case oidNumeric:
		if given && mod >= 0 {
			m := mod - 4
			scale := m & 0x7ff
			return fmt.Sprintf("numeric(%d,%d)", m>>16&0xffff, scale^1024-1024)
		}
		return "numeric"
	case oidInterval:
		if given && mod >= 0 {
			return "interval" + intervalMod(mod)
		}
		return "interval"
	case 1083:
		return precision("time", " without time zone")
	case 1266:
		return precision("time", " with time zone")
	case oidTimestamp:
		return precision("timestamp", " without time zone")
	case oidTimestampTZ:
		return precision("timestamp", " with time zone")
	case oidVarchar:
		if given && mod >= 0 {
			return fmt.Sprintf("character varying(%d)", mod-4)
		}
		return "character varying"
	}
	name := QuoteIdent(t.Name)
	if s.visible(types, oid) != true {
		name = s.schemaName(int64(t.Schema)) + "." + name
	}
	if given && mod >= 0 {
		name += fmt.Sprintf("(%d)", mod)
	}
	return name
}

// intervalFields are the words of interval's fields by their mask in a type modifier.
var intervalFields = map[int64]string{1 << 2: " year", 1 << 1: " month", 1 << 3: " day", 1 << 10: " hour", 1 << 11: " minute", 1 << 12: " second", 1<<2 | 1<<1: " year to month",
	1<<3 | 1<<10: " day to hour", 1<<3 | 1<<10 | 1<<11: " day to minute", 1<<3 | 1<<10 | 1<<11 | 1<<12: " day to second",
	1<<10 | 1<<11: " hour to minute", 1<<10 | 1<<11 | 1<<12: " hour to second", 1<<11 | 1<<12: " minute to second"}

func intervalMod(mod int64) string {
	out := intervalFields[mod>>16&0x7fff]
	if p := mod & 0xffff; p != 0xffff {
		out += fmt.Sprintf("(%d)", p)
	}
	return out
}

// typeNames are names of types that SQL has beside those of pg_type.
var typeNames = map[string]uint32{"int": oidInt4, "integer": oidInt4, "smallint": oidInt2, "bigint": oidInt8, "boolean": oidBool, "real": oidFloat4, "double precision": oidFloat8,
	"float": oidFloat8, "decimal": oidNumeric, "dec": oidNumeric, "character varying": oidVarchar, "character": oidBPChar, "char": oidBPChar,
	"timestamp without time zone": oidTimestamp, "timestamp with time zone": oidTimestampTZ, "time without time zone": 1083, "time with time zone": 1266, "bit varying": 1562}

// typeNamed is the object id of a type as SQL writes it, 0 where there is none.
func (s *Snapshot) typeNamed(text string) int64 {
	text = strings.TrimSpace(text)
	array := false
	for strings.HasSuffix(text, "]") {
		k := strings.LastIndexByte(text, '[')
		if k < 0 {
			return 0
		}
		text, array = strings.TrimSpace(text[:k]), true
	}
	if k := strings.IndexByte(text, '('); k >= 0 && !strings.HasPrefix(text, `"`) { // numeric(10,2), timestamp(3) with time zone
		if end := strings.IndexByte(text[k:], ')'); end > 0 {
			text = strings.TrimSpace(text[:k]) + text[k+end+1:]
		}
	}
	oid := int64(typeNames[strings.Join(strings.Fields(strings.ToLower(text)), " ")])
	if oid == 0 {
		schema, name, ok := splitName(text)
		if !ok {
			return 0
		}
		if schema == "pg_catalog" && typeNames[name] != 0 && name != "char" {
			return 0
		}
		for _, w := range s.find(types, schema, name) {
			oid = w.int("oid")
		}
	}
	if array && oid != 0 {
		return int64(s.typeOf(uint32(oid)).Array)
	}
	return oid
}

// isNumber reports whether a text is an object id.
func isNumber(s string) (int64, bool) {
	if s == "-" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return int64(n), err == nil
}

// TypeNamed is the object id of a type of PostgreSQL's own as SQL writes it, 0 where there is none.
func TypeNamed(text string) uint32 {
	return uint32(ownOnly().typeNamed(text))
}

// FormatType is format_type of a type of PostgreSQL's own; mod is −1 for none.
func FormatType(oid uint32, mod int32) string {
	return ownOnly().formatType(int64(oid), int64(mod), true)
}

// ownOnly is a snapshot of PostgreSQL's own objects.
var ownOnly = sync.OnceValue(func() *Snapshot { return New(&Objects{}, nil) })

// Holds reports whether values of a type of ours are written as those of a PostgreSQL type without being changed.
func Holds(t vector.Type, oid uint32) bool {
	want := TypeOf(oid)
	whole := func(t vector.Type) bool {
		return t.Kind == vector.Int16 || t.Kind == vector.Int32 || t.Kind == vector.Int64
	}
	if t.Kind == vector.List && want.Kind == vector.List {
		return t.Elem[0].Kind == want.Elem[0].Kind || whole(t.Elem[0]) && whole(want.Elem[0])
	}
	switch oid {
	case oidBytea, oidUnknown, oidJSON, oidJSONB, oidRecord:
		return false
	}
	if want.Kind == vector.Text && t.Kind == vector.Text {
		u := builtinTypes()[oid]
		return u != nil && (u.Category == "S" || u.Category == "Z" || u.Name == "inet" || u.Category == "A" || u.Category == "P" || u.Category == "U" && u.Name != "uuid" && u.Name != "xml")
	}
	return t.Kind == want.Kind || whole(t) && whole(want)
}

// Names are the texts of object ids that are shown as names, as the one child of their vector: what codec writes of such values.
// nil where they are shown as numbers.
func (s *Snapshot) Names(v *vector.Vector) []*vector.Vector {
	n, ok := registeredTypes[registeredName(v.Type.Shown)]
	if !ok {
		return nil
	}
	out := vector.New(vector.T(vector.Text), v.N)
	for i := range v.N {
		switch text, ok := "", false; {
		case v.IsNull(i):
			out.AppendNull()
		case v.I64[i] == 0:
			out.AppendString("-")
		default:
			if text, ok = n.name(s, v.I64[i]); !ok {
				text = strconv.FormatInt(v.I64[i], 10)
			}
			out.AppendString(text)
		}
	}
	return []*vector.Vector{out}
}
