package parse

import (
	"fmt"
	"math"
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// readFunc reads a statement of ours; depth counts the EXPLAINs around it.
type readFunc func(r *reader, depth int) (Statement, error)

// ours chooses the reader of a statement by its first words, and takes them; nil: the statement is PostgreSQL's.
func ours(r *reader) readFunc {
	switch {
	case r.accept("create"):
		replace := r.accept("or", "replace")
		switch {
		case r.accept("feature", "view"):
			return func(r *reader, _ int) (Statement, error) { return createFeatureView(r, replace) }
		case r.accept("feature"):
			return func(r *reader, _ int) (Statement, error) { return createFeature(r, replace) }
		case r.accept("source"):
			return func(r *reader, _ int) (Statement, error) { return createSource(r, replace) }
		case r.accept("connection"):
			return func(r *reader, _ int) (Statement, error) { return createConnection(r, replace), nil }
		case r.accept("secret"):
			return func(r *reader, _ int) (Statement, error) { return createSecret(r, replace), nil }
		case r.peek(0).is("table"):
			if marked(r) {
				return createMarkedTable
			}
		case r.accept("entity"):
			return func(r *reader, _ int) (Statement, error) { return createEntity(r, replace) }
		}
	case r.accept("replay", "dead", "letters", "from"):
		return func(r *reader, _ int) (Statement, error) { return deadLetters(r, false), r.err }
	case r.accept("drop", "dead", "letters", "from"):
		return func(r *reader, _ int) (Statement, error) { return deadLetters(r, true), r.err }
	case r.accept("drop"):
		if o := r.object(); o != "" {
			return func(r *reader, _ int) (Statement, error) { return drop(r, o), nil }
		}
	case r.accept("alter"):
		if o := r.object(); o != "" {
			return func(r *reader, _ int) (Statement, error) { return alter(r, o) }
		}
	case r.peek(0).is("refresh") && r.peek(1).is("feature", "source"):
		r.i++
		return refresh
	case r.peek(0).is("show") && len(r.toks) > 1:
		if r.peek(1).is("features", "sources", "entities", "materializations", "partials", "jobs", "watermarks", "lineage", "dead_letters", "feature_log", "feature_columns", "feature_views", "connections", "secrets", "source_partitions", "online_store") {
			r.i++
			return show
		}
	case r.accept("explain", "feature"):
		return explainFeature
	case r.accept("explain"):
		return explain
	case r.accept("comment", "on"):
		if o := r.object(); o != "" {
			return func(r *reader, _ int) (Statement, error) { return comment(r, o), nil }
		}
	case r.peek(0).is("grant", "revoke"):
		if s := grantOn(r); s != nil {
			return s
		}
	}
	r.i = 0
	return nil
}

// object takes the name of a kind of object of ours, "" where it is none.
func (r *reader) object() Object {
	switch {
	case r.accept("feature", "view"):
		return FeatureView
	case r.accept("feature"):
		return Feature
	case r.accept("entity"):
		return Entity
	case r.accept("source"):
		return Source
	case r.accept("connection"):
		return Connection
	case r.accept("secret"):
		return Secret
	}
	return ""
}

func createConnection(r *reader, replace bool) Statement {
	c := &CreateConnection{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name()}
	r.expect("with")
	c.Options = r.options()
	r.end()
	return c
}

func createSecret(r *reader, replace bool) Statement {
	c := &CreateSecret{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name()}
	if r.accept("with") {
		c.Options = r.options()
	}
	r.expect("as")
	c.Value = r.text()
	r.end()
	return c
}

func createEntity(r *reader, replace bool) (Statement, error) {
	c := &CreateEntity{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name()}
	open := r.i
	if !r.peek(0).is("(") {
		r.unexpected("write CREATE ENTITY name (key type, …)")
		return nil, r.err
	}
	end := closing(r.toks, open)
	if end < 0 {
		return nil, syntaxAt(r.src, r.toks, len(r.toks), "")
	}
	elts, err := columnList(r.src, r.toks, open, end, nil)
	if err != nil {
		return nil, err
	}
	r.i = end
	if r.accept("with") {
		c.Options = r.options()
	}
	if r.end(); r.err != nil {
		return nil, r.err
	}
	cols, key, err := columnsOf("an entity", elts)
	if err != nil {
		return nil, err
	}
	if len(cols) == 0 {
		return nil, faultAt(c.Name.Position, codeDefinition, "", `entity "%s" has no key`, c.Name.Name)
	}
	if err := onlyTypes(cols, key); err != nil {
		return nil, err
	}
	for i := range cols {
		cols[i].NotNull = true
	}
	c.Columns = cols
	return c, nil
}

const tablePrefix = "CREATE TABLE t "

// columnList parses the tokens [open, end), a parenthesised column list, as PostgreSQL's, leaving out the blanked ranges.
func columnList(src string, toks []token, open, end int, blanked [][2]int) ([]*pg_query.Node, error) {
	from, to := toks[open].start, toks[end-1].end
	e := edit{src: src[from:to]}
	for _, b := range blanked {
		e.blank(b[0]-from, b[1]-from)
	}
	n, err := parseOne(tablePrefix + e.text())
	if err != nil {
		if f, ok := err.(*fault); ok && f.offset >= 0 {
			f.offset = min(max(f.offset-len(tablePrefix), 0)+from, to)
		}
		return nil, err
	}
	shift(n, from-len(tablePrefix))
	return n.GetCreateStmt().GetTableElts(), nil
}

func coding(r *reader) (c Coding) {
	at := r.at()
	if !r.accept("format") {
		return c
	}
	c.CodingPosition = at
	c.Format = upper(r.identAny())
	if r.peek(0).is("(") {
		c.FormatOptions = r.options()
	}
	c.EncodePosition = r.at()
	r.expect("encode")
	c.Encode = upper(r.identAny())
	if r.peek(0).is("(") {
		c.EncodeOptions = r.options()
	}
	return c
}

func createSource(r *reader, replace bool) (Statement, error) {
	c := &CreateSource{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name(), Text: r.src}
	if r.err != nil {
		return nil, r.err
	}
	switch {
	case r.accept("from", "batch"):
		b := r.name()
		r.expect("stream")
		s := r.name()
		c.Batch, c.Stream = &b, &s
	case r.peek(0).is("("):
		if err := c.readColumns(r); err != nil {
			return nil, err
		}
	}
	if r.accept("with") {
		c.Options = r.options()
	} else if c.Batch == nil {
		r.unexpected("write CREATE SOURCE name WITH (connector = 'file', …)")
	}
	if c.Batch == nil {
		c.Coding = coding(r)
	}
	r.end()
	return c, r.err
}

// identAny takes a word, reserved or not.
func (r *reader) identAny() string {
	if r.err != nil || !r.peek(0).isLabel() {
		r.unexpected("")
		return ""
	}
	return r.identValue()
}

func (c *CreateSource) readColumns(r *reader) error {
	open := r.i
	end := closing(r.toks, open)
	if end < 0 {
		return syntaxAt(r.src, r.toks, len(r.toks), "")
	}
	w, blanked, err := readWatermark(r, open, end)
	if err != nil {
		return err
	}
	c.Watermark = w
	elts, err := columnList(r.src, r.toks, open, end, blanked)
	if err != nil {
		return err
	}
	r.i, c.HasColumns = end, true
	if c.Columns, c.PrimaryKey, err = columnsOf("a source", elts); err != nil {
		return err
	}
	return c.Watermark.among(c.Columns)
}

func drop(r *reader, o Object) Statement {
	d := &Drop{Object: o, IfExists: r.ifExists()}
	for {
		if d.Names = append(d.Names, r.name()); !r.accept(",") {
			break
		}
	}
	if d.Cascade = r.accept("cascade"); !d.Cascade {
		r.accept("restrict")
	}
	r.end()
	return d
}

func alter(r *reader, o Object) (Statement, error) {
	a := &Alter{Object: o, IfExists: r.ifExists(), Name: r.name()}
	at := r.at()
	a.Position = at
	switch {
	case r.accept("suspend"):
		a.Action = AlterSuspend
	case r.accept("resume"):
		a.Action = AlterResume
	case r.accept("set"):
		a.Action, a.Options = AlterSet, r.options()
	case r.accept("reset"):
		a.Action, a.Options = AlterReset, r.options()
	case r.accept("rename", "to"):
		a.Action, a.NewName = AlterRename, r.ident()
	case r.accept("owner", "to"):
		a.Action, a.Owner = AlterOwner, r.role()
	case o == Source && r.peek(0).is("format"):
		a.Action, a.Coding = AlterCoding, coding(r)
	default:
		r.unexpected("ALTER takes SUSPEND, RESUME, SET (…), RESET (…), RENAME TO or OWNER TO.")
	}
	r.end()
	if r.err == nil && a.Action <= AlterResume && o != Feature && o != Source {
		return nil, faultAt(at, codeUnsupported, "", "%s objects cannot be suspended or resumed", string(o))
	}
	return a, r.err
}

// role takes the name of a role, or one of the words that stand for one.
func (r *reader) role() *pg_query.RoleSpec {
	for word, kind := range map[string]pg_query.RoleSpecType{"current_role": pg_query.RoleSpecType_ROLESPEC_CURRENT_ROLE,
		"current_user": pg_query.RoleSpecType_ROLESPEC_CURRENT_USER, "session_user": pg_query.RoleSpecType_ROLESPEC_SESSION_USER} {
		if r.accept(word) {
			return &pg_query.RoleSpec{Roletype: kind}
		}
	}
	return &pg_query.RoleSpec{Roletype: pg_query.RoleSpecType_ROLESPEC_CSTRING, Rolename: r.ident()}
}

func refresh(r *reader, _ int) (Statement, error) {
	s := &Refresh{Object: r.object()}
	if s.Object == FeatureView {
		r.i--
		r.unexpected("a feature view keeps nothing to refresh")
		return nil, r.err
	}
	s.Name = r.name()
	if s.Object == Feature {
		if r.accept("from") {
			s.From, s.FromText = r.expr("to")
			r.expect("to")
			s.To, s.ToText = r.expr("full")
		}
		s.Full = r.accept("full")
	}
	r.end()
	return s, r.err
}

func deadLetters(r *reader, drop bool) *DeadLetters {
	s := &DeadLetters{Drop: drop, Source: r.name()}
	if r.accept("where") {
		s.WherePosition = r.at()
		s.Where, s.WhereText = r.expr()
	}
	r.end()
	return s
}

func show(r *reader, _ int) (Statement, error) {
	s := &Show{What: r.identAny()}
	if s.HasLike = r.accept("like"); s.HasLike {
		s.Like = r.text()
	}
	r.end()
	return s, r.err
}

func explainFeature(r *reader, _ int) (Statement, error) {
	s := &ExplainFeature{Name: r.name(), Text: r.src, ForPosition: r.at()}
	if r.err == nil && !(r.peek(0).is("for") && r.peek(1).is("(")) {
		r.unexpected(fmt.Sprintf("say of which key, and when: EXPLAIN FEATURE %s FOR (key, …) AT '2024-06-01 12:00Z'", s.Name.Name))
	}
	r.expect("for", "(")
	for r.err == nil {
		n, text := r.expr(",", ")")
		s.Values, s.ValueTexts = append(s.Values, n), append(s.ValueTexts, text)
		if !r.accept(",") {
			break
		}
	}
	r.expect(")")
	s.AtPosition = r.at()
	if r.accept("at") {
		s.At, s.AtText = r.expr("as")
	}
	if r.accept("as", "of") {
		t := r.peek(0)
		n, err := strconv.ParseInt(r.src[t.start:t.end], 10, 64)
		if err != nil || n < 0 || n == math.MaxInt64 {
			r.unexpected("AS OF takes a position of the log; a time goes to FOR SYSTEM_TIME AS OF in a query")
		}
		s.AsOf, s.HasAsOf = n, true
		r.i++
	}
	r.end()
	return s, r.err
}

func explain(r *reader, depth int) (Statement, error) {
	s := &Explain{Text: r.src}
	if r.peek(0).is("(") && !r.peek(1).is("select", "with", "values", "table", "(") {
		s.Options = r.explainOptions()
		set := func(name string) bool { return s.Options[name].Value == "true" }
		s.Analyze, s.Verbose = set("analyze") || set("analyse"), set("verbose")
	} else {
		s.Analyze = r.accept("analyze") || r.accept("analyse")
		s.Verbose = r.accept("verbose")
	}
	if r.err != nil {
		return nil, r.err
	}
	if s.Options != nil && r.accept("feature") {
		st, err := explainFeature(r, depth)
		if f, ok := st.(*ExplainFeature); ok {
			f.Options = s.Options
		}
		return st, err
	}
	if r.i >= len(r.toks) {
		return nil, syntaxAt(r.src, r.toks, r.i, "")
	}
	e := edit{src: r.src}
	e.blank(0, r.at())
	var err error
	s.Inner, err = parseTokens(e.text(), r.toks[r.i:], depth+1)
	if err == nil && s.Inner == nil {
		return nil, syntaxAt(r.src, r.toks, len(r.toks), "")
	}
	return s, err
}

// explainOptions takes (ANALYZE, FORMAT json, …): names and values stand without an equals sign.
func (r *reader) explainOptions() Options {
	out := Options{}
	for r.expect("("); r.err == nil; {
		o := Option{Position: r.at(), ValuePosition: r.at(), Kind: OptBool, Value: "true"}
		name := r.identAny()
		if r.err == nil && !r.peek(0).is(",", ")") {
			o.ValuePosition = r.at()
			o.Kind, o.Value = r.optionValue()
		}
		if out[name] = o; !r.accept(",") {
			break
		}
	}
	r.expect(")")
	return out
}

func comment(r *reader, o Object) Statement {
	c := &Comment{Object: o, Name: r.name()}
	r.expect("is")
	if !r.accept("null") {
		s := r.text()
		c.Text = &s
	}
	r.end()
	return c
}

// grantOn finds ON FEATURE and the like in a GRANT or REVOKE and reads the statement as if it were ON TABLE, a shorter word.
func grantOn(r *reader) readFunc {
	for i := 1; i+2 < len(r.toks); i++ {
		if !r.toks[i].is("on") {
			continue
		}
		sub := &reader{src: r.src, toks: r.toks, i: i + 1}
		o := sub.object()
		// A table may be called feature: then no name follows the word.
		if o == "" || sub.peek(0).is("to", "from", ",", ".") {
			return nil
		}
		from, to := r.toks[i+1].start, r.toks[sub.i-1].end
		return func(r *reader, _ int) (Statement, error) {
			e := edit{src: r.src}
			e.put(from, to, "TABLE")
			n, err := parseOne(e.text())
			if err != nil {
				return nil, err
			}
			return &Grant{SQL: SQL{Text: r.src, Plain: e.text(), Node: n}, Object: o}, nil
		}
	}
	return nil
}
