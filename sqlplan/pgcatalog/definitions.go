package pgcatalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

func init() {
	for name, f := range map[string]callee{
		"pg_get_viewdef": {1, func(s *Snapshot, a args) (any, error) {
			oid := int64(0)
			if a.isText(0) {
				v, err := registeredTypes["regclass"].read(s, a.text(0))
				if err != nil {
					return nil, err
				}
				oid = v.(int64)
			} else {
				oid = a.int(0)
			}
			return s.viewDefinition(oid, len(a.v) > 1 && !a.null(1) && (a.v[1].Type.Kind != vector.Bool || a.bool(1))), nil
		}},
		"pg_get_ruledef": pure(1, func(s *Snapshot, a args) any {
			w, ok := s.by("pg_rewrite", "oid", a.int(0))
			if !ok {
				return nil
			}
			class, ok := s.by("pg_class", "oid", w.int("ev_class"))
			if !ok {
				return nil
			}
			return fmt.Sprintf("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO %s DO INSTEAD %s", s.full(classes, class), s.viewDefinition(w.int("ev_class"), len(a.v) > 1 && a.bool(1)))
		}),
		"pg_get_indexdef": pure(1, func(s *Snapshot, a args) any {
			column, pretty := int64(0), false
			if len(a.v) == 3 {
				if a.null(1) || a.null(2) {
					return nil
				}
				column, pretty = a.int(1), a.bool(2)
			}
			return s.indexDefinition(a.int(0), column, pretty)
		}),
		"pg_get_constraintdef": pure(1, func(s *Snapshot, a args) any { return s.constraintDefinition(a.int(0), len(a.v) > 1 && a.bool(1)) }),
		"pg_get_function_arguments": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_proc", "oid", a.int(0)); ok {
				return s.arguments(w, false, true)
			}
			return nil
		}),
		"pg_get_function_identity_arguments": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_proc", "oid", a.int(0)); ok {
				return s.arguments(w, false, false)
			}
			return nil
		}),
		"pg_get_function_result": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_proc", "oid", a.int(0)); ok && w.text("prokind") != "p" {
				return s.result(w)
			}
			return nil
		}),
		"pg_get_function_sqlbody": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_proc", "oid", a.int(0)); ok && !w.null("prosqlbody") {
				return w.text("prosqlbody")
			}
			return nil
		}),
		"pg_get_function_arg_default": pure(2, func(s *Snapshot, a args) any {
			w, ok := s.by("pg_proc", "oid", a.int(0))
			if !ok || w.null("proargdefaults") {
				return nil
			}
			d := splitList(w.text("proargdefaults"))
			if k := int(a.int(1)) - (int(w.int("pronargs")) - len(d)) - 1; k >= 0 && k < len(d) {
				return d[k]
			}
			return nil
		}),
		"pg_get_functiondef": {1, func(s *Snapshot, a args) (any, error) {
			w, ok := s.by("pg_proc", "oid", a.int(0))
			if !ok {
				return nil, nil
			}
			if k := w.text("prokind"); k == "a" {
				return nil, &Error{"42809", fmt.Sprintf("\"%s\" is an aggregate function", w.text("proname"))}
			}
			return s.functionDefinition(w), nil
		}},
		"pg_get_triggerdef":                 pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_partkeydef":                 pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_partition_constraintdef":    pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_statisticsobjdef":           pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_statisticsobjdef_columns":   pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_replica_identity_index":     pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_publication_tables_columns": pure(1, func(*Snapshot, args) any { return nil }),
		"pg_get_serial_sequence": {2, func(s *Snapshot, a args) (any, error) {
			v, err := registeredTypes["regclass"].read(s, a.text(0))
			if err != nil {
				return nil, err
			}
			oid := v.(int64)
			for _, t := range s.o.Tables {
				if int64(t.OID) != oid {
					continue
				}
				k := slices.IndexFunc(t.Columns, func(c TableColumn) bool { return c.Name == a.text(1) })
				if k < 0 {
					return nil, &Error{"42703", fmt.Sprintf("column \"%s\" of relation \"%s\" does not exist", a.text(1), t.Name)}
				}
				for _, q := range s.o.Tables {
					if q.Sequence != nil && q.Sequence.OwnedBy == t.OID && q.Sequence.Column == k+1 {
						w, _ := s.by("pg_class", "oid", int64(q.OID))
						return s.full(classes, w), nil
					}
				}
			}
			return nil, nil
		}},
		"pg_index_column_has_property": pure(3, func(s *Snapshot, a args) any {
			w, ok := s.by("pg_index", "indexrelid", a.int(0))
			if n := a.int(1); !ok || n < 1 || n > w.int("indnatts") {
				return nil
			}
			option := w.ints("indoption")[a.int(1)-1]
			switch strings.ToLower(a.text(2)) {
			case "asc":
				return option&1 == 0
			case "desc":
				return option&1 == 1
			case "nulls_first":
				return option&2 == 2
			case "nulls_last":
				return option&2 == 0
			case "orderable", "returnable", "search_array", "search_nulls":
				return true
			case "distance_orderable":
				return false
			}
			return nil
		}),
		"pg_indexam_has_property": pure(2, func(s *Snapshot, a args) any {
			w, ok := s.by("pg_am", "oid", a.int(0))
			if !ok || w.text("amtype") != "i" {
				return nil
			}
			btree := a.int(0) == btreeAM
			switch strings.ToLower(a.text(1)) {
			case "can_order", "can_unique":
				return btree
			case "can_multi_col":
				return a.int(0) != hashAM && a.int(0) != 4000 || btree
			case "can_exclude":
				return a.int(0) != 2742 && a.int(0) != 3580
			case "can_include":
				return btree || a.int(0) == 783 || a.int(0) == 4000
			}
			return nil
		}),
		"pg_relation_filenode": pure(1, func(s *Snapshot, a args) any {
			if w, ok := s.by("pg_class", "oid", a.int(0)); ok && w.int("relfilenode") != 0 {
				return w.int("relfilenode")
			}
			return nil
		}),
		"pg_describe_object": pure(3, func(s *Snapshot, a args) any { return s.describeObject(a.int(0), a.int(1), a.int(2)) }),
	} {
		callees[name] = f
	}
}

// full is an object's name with its schema.
func (s *Snapshot) full(k catalogOf, w row) string {
	return s.schemaName(w.int(k.schema)) + "." + QuoteIdent(w.text(k.name))
}

// viewDefinition is the SELECT of a view, or the statement that made one that PostgreSQL does not have; nil where it is no view.
func (s *Snapshot) viewDefinition(oid int64, pretty bool) any {
	w, ok := s.by("pg_class", "oid", oid)
	if !ok || w.text("relkind") != "v" && w.text("relkind") != "m" {
		return nil
	}
	if oid < FirstOID {
		schema := "pg_catalog"
		if w.int("relnamespace") != SchemaCatalog {
			schema = "information_schema"
		}
		if r := Lookup(schema, w.text("relname")); r != nil {
			if pretty {
				return r.Pretty
			}
			return r.Definition
		}
		return nil
	}
	if t := s.o.table(uint32(oid)); t != nil {
		if t.Select {
			return s.formatView(t.Definition, pretty)
		}
		return t.Definition
	}
	return nil
}

// indexDefinition is CREATE INDEX, or one of its columns where column is not 0.
func (s *Snapshot) indexDefinition(oid, column int64, pretty bool) any {
	w, ok := s.by("pg_index", "indexrelid", oid)
	if !ok {
		return nil
	}
	class, ok := s.by("pg_class", "oid", oid)
	if !ok {
		return nil
	}
	table, _ := s.by("pg_class", "oid", w.int("indrelid"))
	var expressions []string
	if !w.null("indexprs") {
		expressions = strings.Split(w.text("indexprs"), expressionSeparator)
	}
	var columns []string
	key := int(w.int("indnkeyatts"))
	for i, number := range w.ints("indkey") {
		text := ""
		typ, collation := int64(0), int64(0)
		if number != 0 {
			text, typ, collation = s.columnName(w.int("indrelid"), number)
			text = QuoteIdent(text)
		} else if len(expressions) > 0 {
			text, expressions = expressions[0], expressions[1:]
			if t := s.o.table(uint32(w.int("indrelid"))); t != nil {
				text = s.formatExpression(text, t, 0, pretty)
			}
			if !looksLikeCall(text) {
				if text = "(" + strings.TrimSuffix(strings.TrimPrefix(text, "("), ")") + ")"; !pretty {
					text = "(" + text + ")"
				}
			}
		}
		if column == 0 && i < key {
			if k := w.ints("indcollation")[i]; k != 0 && number != 0 && k != collation {
				if c, ok := s.by("pg_collation", "oid", k); ok {
					text += " COLLATE " + s.qualified(collations, c)
				}
			}
			if number != 0 {
				if k := w.ints("indclass")[i]; k != s.operatorClassIn(uint32(typ), class.int("relam")) {
					if c, ok := s.by("pg_opclass", "oid", k); ok && !(c.bool("opcdefault") && s.coercible(uint32(typ), c.int("opcintype"))) {
						text += " " + s.qualified(opclasses, c)
					}
				}
			}
			switch option := w.ints("indoption")[i]; {
			case option&1 == 1 && option&2 == 0:
				text += " DESC NULLS LAST"
			case option&1 == 1:
				text += " DESC"
			case option&2 == 2:
				text += " NULLS FIRST"
			}
		}
		columns = append(columns, text)
	}
	if column != 0 {
		if column < 1 || int(column) > len(columns) {
			return ""
		}
		return columns[column-1]
	}
	unique := ""
	if w.bool("indisunique") {
		unique = "UNIQUE "
	}
	am := "btree"
	if m, ok := s.by("pg_am", "oid", class.int("relam")); ok {
		am = m.text("amname")
	}
	on := s.full(classes, table)
	if pretty {
		on = s.qualified(classes, table)
	}
	out := fmt.Sprintf("CREATE %sINDEX %s ON %s USING %s (%s)", unique, QuoteIdent(class.text("relname")), on, am, strings.Join(columns[:key], ", "))
	if len(columns) > key {
		out += " INCLUDE (" + strings.Join(columns[key:], ", ") + ")"
	}
	if w.bool("indnullsnotdistinct") {
		out += " NULLS NOT DISTINCT"
	}
	if !w.null("indpred") {
		predicate := w.text("indpred")
		if t := s.o.table(uint32(w.int("indrelid"))); t != nil {
			predicate = s.formatExpression(predicate, t, oidBool, pretty)
		} else if pretty {
			predicate = strings.TrimSuffix(strings.TrimPrefix(predicate, "("), ")")
		}
		out += " WHERE " + predicate
	}
	return out
}

// looksLikeCall reports whether an expression is a call of a function, which needs no parentheses.
func looksLikeCall(sql string) bool {
	name, rest, ok := strings.Cut(sql, "(")
	if !ok || name == "" || strings.ContainsAny(name, ` +-*/|'"`) {
		return false
	}
	depth := 1
	for i, c := range rest {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i == len(rest)-1
			}
		}
	}
	return false
}

// columnName is a column's name, type and collation.
func (s *Snapshot) columnName(relation, number int64) (name string, typ, collation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.columns == nil {
		s.columns = map[[2]int64]row{}
		r := static()["pg_catalog.pg_attribute"]
		for _, c := range s.chunks(r) {
			for i := range c.N {
				w := row{r, c, i}
				s.columns[[2]int64{w.int("attrelid"), w.int("attnum")}] = w
			}
		}
	}
	w, ok := s.columns[[2]int64{relation, number}]
	if !ok {
		return "", 0, 0
	}
	return w.text("attname"), w.int("atttypid"), w.int("attcollation")
}

// operatorClassIn is the default operator class of a type in an access method; 0 where it is not known.
func (s *Snapshot) operatorClassIn(t uint32, am int64) int64 {
	if am != btreeAM {
		return 0
	}
	return s.operatorClass(t)
}

// coercible reports whether a type's values are compared as those of another: regproc as oid, name as itself.
func (s *Snapshot) coercible(t uint32, as int64) bool {
	return int64(t) == as || comparedAs(s.typeOf(t)) == as || registered(t) && as == oidOID || t == oidInt2Vector && as == oidAnyArray || s.typeOf(t).Base == uint32(as)
}

func (s *Snapshot) columnList(relation int64, numbers []int64) string {
	out := make([]string, len(numbers))
	for i, n := range numbers {
		name, _, _ := s.columnName(relation, n)
		out[i] = QuoteIdent(name)
	}
	return strings.Join(out, ", ")
}

func (s *Snapshot) constraintDefinition(oid int64, pretty bool) any {
	w, ok := s.by("pg_constraint", "oid", oid)
	if !ok {
		return nil
	}
	out := ""
	switch w.text("contype") {
	case "p":
		out = "PRIMARY KEY (" + s.columnList(w.int("conrelid"), w.ints("conkey")) + ")"
	case "u":
		out = "UNIQUE (" + s.columnList(w.int("conrelid"), w.ints("conkey")) + ")"
	case "f":
		foreign, _ := s.by("pg_class", "oid", w.int("confrelid"))
		name := s.qualified(classes, foreign)
		if !pretty && s.visible(classes, w.int("confrelid")) != true {
			name = s.full(classes, foreign)
		}
		out = fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s(%s)", s.columnList(w.int("conrelid"), w.ints("conkey")), name, s.columnList(w.int("confrelid"), w.ints("confkey")))
		for _, k := range []struct{ column, words string }{{"confupdtype", "UPDATE"}, {"confdeltype", "DELETE"}} {
			if action := map[string]string{"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}[w.text(k.column)]; action != "" {
				out += " ON " + k.words + " " + action
			}
		}
	case "c":
		check := w.text("conbin")
		if t := s.o.table(uint32(w.int("conrelid"))); t != nil {
			check = s.formatExpression(check, t, oidBool, pretty)
		}
		out = "CHECK (" + check + ")"
	default:
		return nil
	}
	if w.bool("condeferrable") {
		out += " DEFERRABLE"
	}
	if w.bool("condeferred") {
		out += " INITIALLY DEFERRED"
	}
	if !w.bool("convalidated") {
		out += " NOT VALID"
	}
	return out
}

// splitList splits expressions at the commas between them.
func splitList(sql string) []string {
	var out []string
	depth, from, quoted := 0, 0, false
	for i := range len(sql) {
		switch c := sql[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(sql[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(sql[from:]))
}

// arguments are a function's arguments: those of its TABLE, or the others.
func (s *Snapshot) arguments(w row, table, defaults bool) string {
	types := w.ints("proargtypes")
	if !w.null("proallargtypes") {
		types = w.ints("proallargtypes")
	}
	var names, modes, values []string
	if !w.null("proargnames") {
		names = w.texts("proargnames")
	}
	if !w.null("proargmodes") {
		modes = w.texts("proargmodes")
	}
	if defaults && !w.null("proargdefaults") {
		values = splitList(w.text("proargdefaults"))
	}
	firstDefault := int(w.int("pronargs")) - len(values)
	order := -1 // the number of direct arguments of an ordered-set aggregate
	if w.text("prokind") == "a" {
		if g, ok := s.by("pg_aggregate", "aggfnoid", w.int("oid")); ok && g.text("aggkind") != "n" {
			order = int(g.int("aggnumdirectargs"))
		}
	}
	var b strings.Builder
	printed, inputs := 0, 0
	for i, t := range types {
		mode, input := "", true
		kind := "i"
		if modes != nil {
			kind = modes[i]
		}
		switch kind {
		case "i":
			if w.text("prokind") == "p" {
				mode = "IN "
			}
		case "b":
			mode = "INOUT "
		case "o":
			mode, input = "OUT ", false
		case "v":
			mode = "VARIADIC "
		case "t":
			input = false
		}
		if input {
			inputs++
		}
		if table != (kind == "t") {
			continue
		}
		switch {
		case printed == order:
			if printed > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("ORDER BY ")
		case printed > 0:
			b.WriteString(", ")
		}
		b.WriteString(mode)
		if names != nil && names[i] != "" {
			b.WriteString(QuoteIdent(names[i]) + " ")
		}
		b.WriteString(s.formatType(t, -1, false))
		if input && len(values) > 0 && inputs > firstDefault {
			b.WriteString(" DEFAULT " + values[inputs-firstDefault-1])
		}
		printed++
		if printed == order && i == len(types)-1 { // VARIADIC "any" ORDER BY VARIADIC "any"
			b.WriteString(" ORDER BY " + mode)
			if names != nil && names[i] != "" {
				b.WriteString(QuoteIdent(names[i]) + " ")
			}
			b.WriteString(s.formatType(t, -1, false))
		}
	}
	return b.String()
}

func (s *Snapshot) result(w row) string {
	if w.bool("proretset") {
		if !w.null("proargmodes") && slices.Contains(w.texts("proargmodes"), "t") {
			return "TABLE(" + s.arguments(w, true, false) + ")"
		}
		return "SETOF " + s.formatType(w.int("prorettype"), -1, false)
	}
	return s.formatType(w.int("prorettype"), -1, false)
}

// functionDefinition is CREATE OR REPLACE FUNCTION.
func (s *Snapshot) functionDefinition(w row) string {
	var b strings.Builder
	kind := "FUNCTION"
	if w.text("prokind") == "p" {
		kind = "PROCEDURE"
	}
	fmt.Fprintf(&b, "CREATE OR REPLACE %s %s(%s)\n", kind, s.full(functions, w), s.arguments(w, false, true))
	if kind == "FUNCTION" {
		fmt.Fprintf(&b, " RETURNS %s\n", s.result(w))
	}
	language, _ := s.by("pg_language", "oid", w.int("prolang"))
	fmt.Fprintf(&b, " LANGUAGE %s\n", QuoteIdent(language.text("lanname")))
	var words []string
	add := func(is bool, word string) {
		if is {
			words = append(words, word)
		}
	}
	add(w.text("prokind") == "w", "WINDOW")
	add(w.text("provolatile") == "i", "IMMUTABLE")
	add(w.text("provolatile") == "s", "STABLE")
	add(w.text("proparallel") == "s", "PARALLEL SAFE")
	add(w.text("proparallel") == "r", "PARALLEL RESTRICTED")
	add(w.bool("proisstrict"), "STRICT")
	add(w.bool("prosecdef"), "SECURITY DEFINER")
	add(w.bool("proleakproof"), "LEAKPROOF")
	cost := w.col("procost").F64[w.i]
	usual := 100.0
	if w.int("prolang") == 12 || w.int("prolang") == 13 {
		usual = 1
	}
	add(cost != usual, fmt.Sprintf("COST %g", cost))
	if rows := w.col("prorows").F64[w.i]; w.bool("proretset") && rows > 0 && rows != 1000 {
		add(true, fmt.Sprintf("ROWS %g", rows))
	}
	if support := w.int("prosupport"); support != 0 {
		if name, ok := registeredTypes["regproc"].name(s, support); ok {
			add(true, "SUPPORT "+name)
		}
	}
	if len(words) > 0 {
		b.WriteString(" " + strings.Join(words, " ") + "\n")
	}
	if !w.null("proconfig") {
		for _, c := range w.texts("proconfig") {
			name, value, _ := strings.Cut(c, "=")
			fmt.Fprintf(&b, " SET %s TO '%s'\n", QuoteIdent(name), value)
		}
	}
	if !w.null("prosqlbody") {
		b.WriteString(w.text("prosqlbody") + "\n")
		return b.String()
	}
	source := w.text("prosrc")
	quote := "$" + strings.ToLower(kind) + "$"
	for strings.Contains(source, quote) {
		quote = quote[:len(quote)-1] + "x$"
	}
	b.WriteString("AS ")
	if !w.null("probin") {
		b.WriteString(quoteLiteral(w.text("probin")) + ", ")
	}
	b.WriteString(quote + source + quote + "\n")
	return b.String()
}

// describeObject is pg_describe_object of the kinds of object that there are.
func (s *Snapshot) describeObject(class, oid, sub int64) any {
	switch class {
	case classClass:
		w, ok := s.by("pg_class", "oid", oid)
		if !ok {
			return nil
		}
		kind := map[string]string{"r": "table", "v": "view", "i": "index", "S": "sequence", "f": "foreign table", "m": "materialized view", "t": "toast table"}[w.text("relkind")]
		out := kind + " " + s.qualified(classes, w)
		if sub != 0 {
			name, _, _ := s.columnName(oid, sub)
			return "column " + QuoteIdent(name) + " of " + out
		}
		return out
	case classType:
		return "type " + s.formatType(oid, -1, false)
	case classProc:
		if text, ok := registeredTypes["regprocedure"].name(s, oid); ok {
			return "function " + text
		}
	case classNamespace:
		return "schema " + s.schemaName(oid)
	case classConstraint:
		if w, ok := s.by("pg_constraint", "oid", oid); ok {
			table, _ := s.by("pg_class", "oid", w.int("conrelid"))
			return "constraint " + QuoteIdent(w.text("conname")) + " on table " + s.qualified(classes, table)
		}
	case classRewrite:
		if w, ok := s.by("pg_rewrite", "oid", oid); ok {
			view, _ := s.by("pg_class", "oid", w.int("ev_class"))
			return "rule _RETURN on view " + s.qualified(classes, view)
		}
	case classAttrdef:
		if w, ok := s.by("pg_attrdef", "oid", oid); ok {
			return "default value for " + s.describeObject(classClass, w.int("adrelid"), w.int("adnum")).(string)
		}
	case classRole:
		if text, ok := registeredTypes["regrole"].name(s, oid); ok {
			return "role " + text
		}
	}
	return nil
}

// storedExpression is a stored expression as PostgreSQL writes it: a default, check, or part of an index of a relation.
func (s *Snapshot) storedExpression(sql string, relation int64, pretty bool) string {
	t := s.o.table(uint32(relation))
	if t == nil {
		return strings.ReplaceAll(sql, expressionSeparator, ", ")
	}
	var out []string
	for part := range strings.SplitSeq(sql, expressionSeparator) {
		typ := uint32(0)
		for _, c := range t.Columns {
			if c.Default == sql {
				typ = c.Type
			}
		}
		out = append(out, s.formatExpression(part, t, typ, pretty))
	}
	return strings.Join(out, ", ")
}
