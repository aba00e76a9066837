package pgcatalog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// args are the arguments of one call.
type args struct {
	v []*vector.Vector
	i int
}

func (a args) null(k int) bool { return k >= len(a.v) || a.v[k].IsNull(a.i) }
func (a args) int(k int) int64 {
	if a.isText(k) {
		n, _ := isNumber(a.text(k))
		return n
	}
	return a.v[k].I64[a.i]
}
func (a args) text(k int) string { return string(a.v[k].Bytes(a.i)) }
func (a args) bool(k int) bool   { return a.v[k].I64[a.i] != 0 }
func (a args) isText(k int) bool { return a.v[k].Type.Buffer() == vector.BufBytes }
func (a args) texts(k int) []string {
	v := a.v[k]
	var out []string
	for j := v.Off[a.i]; j < v.Off[a.i+1]; j++ {
		out = append(out, string(v.Child[0].Bytes(int(j))))
	}
	return out
}

// Error is an error of a function, with its SQLSTATE.
type Error struct{ Code, Message string }

// Error is the message as DuckDB carries it to the engine.
func (e *Error) Error() string { return fmt.Sprintf("tilehouse %s: %s", e.Code, e.Message) }

// callee is a function of a snapshot. strict is the number of its arguments that a NULL of is its result.
type callee struct {
	strict int
	call   func(s *Snapshot, a args) (any, error)
}

// text makes a function that cannot fail.
func pure(strict int, f func(s *Snapshot, a args) any) callee {
	return callee{strict, func(s *Snapshot, a args) (any, error) { return f(s, a), nil }}
}

// Call appends n values of a function to out. It is for the SQL of Functions.
func (s *Snapshot) Call(name string, vs []*vector.Vector, n int, out *vector.Vector) error {
	f, ok := callees[name]
	if !ok {
		return &Error{"42883", fmt.Sprintf("function %s does not exist", name)}
	}
rows:
	for i := range n {
		a := args{vs, i}
		for k := range min(f.strict, len(vs)) {
			if a.null(k) {
				out.AppendNull()
				continue rows
			}
		}
		v, err := f.call(s, a)
		if err != nil {
			return err
		}
		appendValue(out, v)
	}
	return nil
}

// in is the function that reads a name, out the one that writes it, of a type such as regclass.
type named struct {
	what, code string
	find       func(s *Snapshot, text string) (int64, error) // 0: there is none
	name       func(s *Snapshot, oid int64) (string, bool)
}

var registeredTypes = map[string]named{
	"regclass": {"relation", "42P01", func(s *Snapshot, text string) (int64, error) {
		schema, name, ok := splitName(text)
		if !ok {
			return 0, &Error{"42602", "invalid name syntax"}
		}
		if _, known := s.schema(schema); schema != "" && !known {
			return 0, &Error{"3F000", fmt.Sprintf("schema \"%s\" does not exist", schema)}
		}
		for _, w := range s.find(classes, schema, name) {
			return w.int("oid"), nil
		}
		return 0, nil
	}, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by("pg_class", "oid", oid)
		if !ok {
			return "", false
		}
		return s.qualified(classes, w), true
	}},
	"regtype": {"type", "42704", func(s *Snapshot, text string) (int64, error) { return s.typeNamed(text), nil }, func(s *Snapshot, oid int64) (string, bool) {
		name := s.formatType(oid, -1, false)
		return name, name != "???"
	}},
	"regproc": {"function", "42883", func(s *Snapshot, text string) (int64, error) {
		schema, name, ok := splitName(text)
		if !ok {
			return 0, &Error{"42602", "invalid name syntax"}
		}
		found := s.find(functions, schema, name)
		if len(found) > 1 {
			return 0, &Error{"42725", fmt.Sprintf("more than one function named \"%s\"", text)}
		}
		for _, w := range found {
			return w.int("oid"), nil
		}
		return 0, nil
	}, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by("pg_proc", "oid", oid)
		if !ok {
			return "", false
		}
		name := QuoteIdent(w.text("proname"))
		if found := s.find(functions, "", w.text("proname")); len(found) == 1 && found[0].int("oid") == oid {
			return name, true
		}
		return s.schemaName(w.int("pronamespace")) + "." + name, true
	}},
	"regprocedure": {"function", "42883", func(s *Snapshot, text string) (int64, error) {
		name, list, ok := strings.Cut(text, "(")
		if !ok {
			return 0, &Error{"22P02", "expected a left parenthesis"}
		}
		var want []int64
		if list = strings.TrimSuffix(strings.TrimSpace(list), ")"); strings.TrimSpace(list) != "" {
			for t := range strings.SplitSeq(list, ",") {
				oid := s.typeNamed(t)
				if oid == 0 {
					return 0, &Error{"42704", fmt.Sprintf("type \"%s\" does not exist", strings.TrimSpace(t))}
				}
				want = append(want, oid)
			}
		}
		schema, base, ok := splitName(name)
		if !ok {
			return 0, &Error{"42602", "invalid name syntax"}
		}
		for _, w := range s.find(functions, schema, base) {
			if fmt.Sprint(w.ints("proargtypes")) == fmt.Sprint(want) || len(want) == 0 && len(w.ints("proargtypes")) == 0 {
				return w.int("oid"), nil
			}
		}
		return 0, nil
	}, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by("pg_proc", "oid", oid)
		if !ok {
			return "", false
		}
		return s.qualified(functions, w) + "(" + s.typeList(w.ints("proargtypes"), ",") + ")", true
	}},
	"regoper": {"operator", "42883", nil, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by("pg_operator", "oid", oid)
		if !ok {
			return "", false
		}
		if len(s.find(operators, "", w.text("oprname"))) == 1 {
			return w.text("oprname"), true
		}
		return s.schemaName(w.int("oprnamespace")) + "." + w.text("oprname"), true
	}},
	"regoperator": {"operator", "42883", nil, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by("pg_operator", "oid", oid)
		if !ok {
			return "", false
		}
		side := func(column string) string {
			if w.int(column) == 0 {
				return "NONE"
			}
			return s.formatType(w.int(column), -1, false)
		}
		name := w.text("oprname")
		if s.visible(operators, oid) != true {
			name = s.schemaName(w.int("oprnamespace")) + "." + name
		}
		return name + "(" + side("oprleft") + "," + side("oprright") + ")", true
	}},
	"regnamespace":  plainName("schema", "3F000", "pg_namespace", "nspname"),
	"regrole":       plainName("role", "42704", "pg_authid", "rolname"),
	"regconfig":     pathName("text search configuration", "42704", configs),
	"regdictionary": pathName("text search dictionary", "42704", dictionaries),
	"regcollation":  pathName("collation", "42704", collations),
}

// plainName is of objects in no schema, pathName of those in schemas.
func plainName(what, code, relation, column string) named {
	return named{what, code, func(s *Snapshot, text string) (int64, error) {
		if schema, name, ok := splitName(text); ok && schema == "" {
			for _, w := range s.named(relation, column, name) {
				return w.int("oid"), nil
			}
		}
		return 0, nil
	}, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by(relation, "oid", oid)
		if !ok {
			return "", false
		}
		return QuoteIdent(w.text(column)), true
	}}
}

func pathName(what, code string, k catalogOf) named {
	return named{what, code, func(s *Snapshot, text string) (int64, error) {
		schema, name, ok := splitName(text)
		if !ok {
			return 0, &Error{"42602", "invalid name syntax"}
		}
		for _, w := range s.find(k, schema, name) {
			return w.int("oid"), nil
		}
		return 0, nil
	}, func(s *Snapshot, oid int64) (string, bool) {
		w, ok := s.by(k.relation, "oid", oid)
		if !ok {
			return "", false
		}
		return s.qualified(k, w), true
	}}
}

func (s *Snapshot) typeList(types []int64, separator string) string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = s.formatType(t, -1, false)
	}
	return strings.Join(out, separator)
}

// read is a name's object id, or an error that says that there is none.
func (n named) read(s *Snapshot, text string) (any, error) {
	if oid, ok := isNumber(text); ok {
		return oid, nil
	}
	if n.find == nil {
		return nil, &Error{"0A000", fmt.Sprintf("%ss are not looked up by name", n.what)}
	}
	oid, err := n.find(s, text)
	if err != nil {
		return nil, err
	}
	if oid == 0 {
		shown := `"` + text + `"`
		if schema, name, ok := splitName(text); ok && n.what != "type" {
			if shown = `"` + name + `"`; schema != "" {
				shown = `"` + schema + "." + name + `"`
			}
		}
		return nil, &Error{n.code, fmt.Sprintf("%s %s does not exist", n.what, shown)}
	}
	return oid, nil
}

// callees are the functions by name.
var callees = map[string]callee{}

func init() {
	for name, n := range registeredTypes {
		callees[name+"in"] = callee{1, func(s *Snapshot, a args) (any, error) { return n.read(s, a.text(0)) }}
		callees[name+"out"] = pure(1, func(s *Snapshot, a args) any {
			if a.int(0) == 0 {
				if name == "regoper" || name == "regoperator" {
					return "0"
				}
				return "-"
			}
			if text, ok := n.name(s, a.int(0)); ok {
				return text
			}
			return fmt.Sprint(a.int(0))
		})
		if n.find != nil {
			callees["to_"+name] = callee{1, func(s *Snapshot, a args) (any, error) {
				oid, err := n.find(s, a.text(0))
				if e, ok := err.(*Error); ok && e.Code != "42602" {
					return nil, nil
				}
				if err != nil || oid == 0 {
					return nil, err
				}
				return oid, nil
			}}
		}
	}
	for name, k := range map[string]catalogOf{"table": classes, "type": types, "function": functions, "operator": operators, "opclass": opclasses, "opfamily": opfamilies, "collation": collations,
		"conversion": conversions, "statistics_obj": statistics, "ts_config": configs, "ts_dict": dictionaries, "ts_parser": parsers, "ts_template": textTemplates} {
		callees["pg_"+name+"_is_visible"] = pure(1, func(s *Snapshot, a args) any { return s.visible(k, a.int(0)) })
	}
	for name, f := range map[string]callee{
		"format_type": pure(1, func(s *Snapshot, a args) any {
			if a.null(1) {
				return s.formatType(a.int(0), -1, false)
			}
			return s.formatType(a.int(0), a.int(1), true)
		}),
		"pg_get_userbyid": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_authid", "oid", a.int(0)); ok {
				return w.text("rolname")
			}
			return fmt.Sprintf("unknown (OID=%d)", a.int(0))
		}),
		"pg_get_expr": pure(2, func(s *Snapshot, a args) any {
			return s.storedExpression(a.text(0), a.int(1), len(a.v) > 2 && !a.null(2) && a.bool(2))
		}),
		"obj_description": pure(1, func(s *Snapshot, a args) any {
			class := int64(0)
			if len(a.v) > 1 {
				if a.null(1) {
					return nil
				}
				for _, w := range s.find(classes, "pg_catalog", a.text(1)) {
					class = w.int("oid")
				}
			}
			return s.comment(a.int(0), class, 0)
		}),
		"col_description": pure(2, func(s *Snapshot, a args) any { return s.comment(a.int(0), classClass, a.int(1)) }),
		"shobj_description": pure(2, func(s *Snapshot, a args) any {
			var out any
			s.all("pg_shdescription", func(w row) bool {
				if w.int("objoid") == a.int(0) {
					out = w.text("description")
				}
				return out == nil
			})
			return out
		}),
		"quote_ident":   pure(1, func(_ *Snapshot, a args) any { return QuoteIdent(a.text(0)) }),
		"quote_literal": pure(1, func(_ *Snapshot, a args) any { return quoteLiteral(a.text(0)) }),
		"quote_nullable": pure(0, func(_ *Snapshot, a args) any {
			if a.null(0) {
				return "NULL"
			}
			return quoteLiteral(a.text(0))
		}),
		"current_schemas": pure(1, func(s *Snapshot, a args) any {
			out := []string{}
			for _, oid := range s.path() {
				w, _ := s.by("pg_namespace", "oid", oid)
				name := w.text("nspname")
				implicit := name == TempSchema || oid == SchemaCatalog
				for _, n := range s.o.SearchPath {
					implicit = implicit && n != name
				}
				if !implicit || a.bool(0) {
					out = append(out, name)
				}
			}
			return out
		}),
		"current_schema": pure(0, func(s *Snapshot, _ args) any {
			for _, n := range s.o.SearchPath {
				if _, ok := s.schema(n); ok {
					return n
				}
			}
			return nil
		}),
		"pg_encoding_to_char": pure(1, func(_ *Snapshot, a args) any {
			if n := a.int(0); n >= 0 && n < int64(len(encodings)) {
				return encodings[n]
			}
			return ""
		}),
		"pg_char_to_encoding": pure(1, func(_ *Snapshot, a args) any {
			clean := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
			for i, e := range encodings {
				if clean(e) == clean(a.text(0)) {
					return i
				}
			}
			return -1
		}),
		"current_setting": {1, func(s *Snapshot, a args) (any, error) {
			for _, x := range s.settings {
				if strings.EqualFold(x.Name, a.text(0)) {
					return x.Value, nil
				}
			}
			if !a.null(1) && a.bool(1) {
				return nil, nil
			}
			return nil, &Error{"42704", fmt.Sprintf("unrecognized configuration parameter \"%s\"", a.text(0))}
		}},
		"regexp_match": {2, func(_ *Snapshot, a args) (any, error) {
			re, err := regexp.Compile(a.text(1))
			if err != nil {
				return nil, &Error{"2201B", "invalid regular expression: " + err.Error()}
			}
			switch m := re.FindStringSubmatch(a.text(0)); len(m) {
			case 0:
				return nil, nil
			case 1:
				return m, nil
			default:
				return m[1:], nil
			}
		}},
		"__jsonbuildobject": {0, func(_ *Snapshot, a args) (any, error) { return jsonObject(a) }},
		"__regarrayout": pure(2, func(s *Snapshot, a args) any {
			v := a.v[1]
			names := make([]string, 0, v.Off[a.i+1]-v.Off[a.i])
			for j := v.Off[a.i]; j < v.Off[a.i+1]; j++ {
				name, ok := registeredTypes[a.text(0)].name(s, v.Child[0].I64[j])
				if !ok {
					name = fmt.Sprint(v.Child[0].I64[j])
				}
				if strings.ContainsAny(name, `{}," \`) {
					name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
				}
				names = append(names, name)
			}
			return "{" + strings.Join(names, ",") + "}"
		}),
		"format":                  {1, func(_ *Snapshot, a args) (any, error) { return formatted(a) }},
		"pg_my_temp_schema":       pure(0, func(s *Snapshot, _ args) any { oid, _ := s.schema(TempSchema); return oid }),
		"pg_is_other_temp_schema": pure(1, func(*Snapshot, args) any { return false }),
		"pg_relation_is_publishable": pure(1, func(s *Snapshot, a args) any {
			w, ok := s.by("pg_class", "oid", a.int(0))
			if !ok {
				return nil
			}
			return w.text("relkind") == "r" && w.int("oid") >= FirstOID && w.text("relpersistence") == "p"
		}),
	} {
		callees[name] = f
	}
}

// encodings are the names of encodings by number.
var encodings = []string{"SQL_ASCII", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "UTF8", "MULE_INTERNAL", "LATIN1", "LATIN2", "LATIN3", "LATIN4", "LATIN5", "LATIN6",
	"LATIN7", "LATIN8", "LATIN9", "LATIN10", "WIN1256", "WIN1258", "WIN866", "WIN874", "KOI8R", "WIN1251", "WIN1252", "ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8",
	"WIN1250", "WIN1253", "WIN1254", "WIN1255", "WIN1257", "KOI8U", "SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"}

// comment is the comment on an object or its column; class is the catalog that it is of, 0: any.
func (s *Snapshot) comment(oid, class, column int64) any {
	s.mu.Lock()
	if s.comments == nil {
		s.comments = map[[3]int64]string{}
		r := static()["pg_catalog.pg_description"]
		for _, c := range s.chunks(r) {
			for i := range c.N {
				w := row{r, c, i}
				text := w.text("description")
				s.comments[[3]int64{w.int("objoid"), w.int("classoid"), w.int("objsubid")}] = text
				if w.int("objsubid") == 0 {
					s.comments[[3]int64{w.int("objoid"), 0, 0}] = text
				}
			}
		}
	}
	text, ok := s.comments[[3]int64{oid, class, column}]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	return text
}

// formatted is format(text, …) of %s, %I and %L, each with a position, a width or neither.
func formatted(a args) (any, error) {
	f := a.text(0)
	var b strings.Builder
	next := 1
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		i++
		start := i
		for i < len(f) && strings.IndexByte("0123456789$-*", f[i]) >= 0 {
			i++
		}
		if i >= len(f) {
			return nil, &Error{"22023", "unterminated format() type specifier"}
		}
		if f[i] == '%' {
			b.WriteByte('%')
			continue
		}
		at, width := next, 0
		flags := f[start:i]
		if n, rest, ok := strings.Cut(flags, "$"); ok {
			fmt.Sscan(n, &at)
			flags = rest
		}
		if strings.Contains(flags, "*") {
			return nil, &Error{"0A000", "format() with a width among its arguments is not supported"}
		}
		fmt.Sscan(flags, &width)
		next = at + 1
		if at < 1 || at >= len(a.v) {
			return nil, &Error{"22023", "too few arguments for format()"}
		}
		text, null := "", a.null(at)
		if !null {
			text = string(codec.AppendText(nil, a.v[at], a.i, codec.Defaults))
		}
		switch f[i] {
		case 's':
		case 'I':
			if null {
				return nil, &Error{"22004", "null values cannot be formatted as an SQL identifier"}
			}
			text = QuoteIdent(text)
		case 'L':
			if text = quoteLiteral(text); null {
				text = "NULL"
			}
		default:
			return nil, &Error{"22023", fmt.Sprintf("unrecognized format() type specifier \"%c\"", f[i])}
		}
		if pad := max(width, -width) - utf8.RuneCountInString(text); pad > 0 {
			if width > 0 {
				text = strings.Repeat(" ", pad) + text
			} else {
				text += strings.Repeat(" ", pad)
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// jsonObject is json_build_object.
func jsonObject(a args) (any, error) {
	var b strings.Builder
	b.WriteByte('{')
	for k := 0; k < len(a.v); k += 2 {
		if a.null(k) {
			return nil, &Error{"22023", fmt.Sprintf("argument %d cannot be null", k+1)}
		}
		if k > 0 {
			b.WriteString(", ")
		}
		key, _ := json.Marshal(string(codec.AppendText(nil, a.v[k], a.i, codec.Defaults)))
		b.Write(key)
		b.WriteString(" : ")
		if a.null(k + 1) {
			b.WriteString("null")
			continue
		}
		text := string(codec.AppendText(nil, a.v[k+1], a.i, codec.Defaults))
		switch v := a.v[k+1]; v.Type.Kind {
		case vector.Bool:
			text = fmt.Sprint(v.Bool(a.i))
		case vector.Int16, vector.Int32, vector.Int64, vector.Float32, vector.Float64, vector.Decimal, vector.JSON:
		default:
			quoted, _ := json.Marshal(text)
			text = string(quoted)
		}
		b.WriteString(text)
	}
	b.WriteByte('}')
	return b.String(), nil
}
