package engine

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// variableSet is SET and RESET.
func (s *Session) variableSet(n *pg_query.VariableSetStmt) (string, error) {
	if n.IsLocal && n.Name != "SESSION CHARACTERISTICS" && (s.tx == nil || s.tx.implicit) {
		what := "SET LOCAL"
		if n.Kind == pg_query.VariableSetKind_VAR_SET_MULTI {
			what = "SET TRANSACTION"
		}
		s.notice(session.Notice{Severity: "WARNING", Code: codeNoTransaction, Message: what + " can only be used in transaction blocks"})
	}
	local := n.IsLocal
	switch n.Kind {
	case pg_query.VariableSetKind_VAR_SET_VALUE:
		if strings.EqualFold(n.Name, "seed") {
			return "SET", s.setSeed(n.Args)
		}
		value, err := s.settingValue(n)
		if err != nil {
			return "", err
		}
		if local && s.tx == nil { // it would end with this statement
			d, err := s.changeable(n.Name)
			if err == nil {
				_, err = d.normalise(s, value)
			}
			return "SET", err
		}
		return "SET", s.setSetting(n.Name, value, local)
	case pg_query.VariableSetKind_VAR_SET_DEFAULT:
		return "SET", s.resetSetting(n.Name, local)
	case pg_query.VariableSetKind_VAR_RESET:
		return "RESET", s.resetSetting(n.Name, false)
	case pg_query.VariableSetKind_VAR_RESET_ALL:
		s.resetSettings()
		return "RESET", nil
	case pg_query.VariableSetKind_VAR_SET_MULTI:
		switch n.Name {
		case "TRANSACTION":
			if s.tx == nil {
				return "SET", nil
			}
			return "SET", s.setCharacteristics(n.Args, "")
		case "SESSION CHARACTERISTICS":
			return "SET", s.setCharacteristics(n.Args, "default_")
		case "TRANSACTION SNAPSHOT":
			return "", fail(codeUnsupported, "SET TRANSACTION SNAPSHOT is not supported")
		}
	}
	return "", fail(codeUnsupported, "this form of SET %s is not supported", n.Name)
}

// settingValue is the value of SET: one literal, or the names of a list. SET TIME ZONE takes an interval, too.
func (s *Session) settingValue(n *pg_query.VariableSetStmt) (string, error) {
	d, err := s.changeable(n.Name)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, a := range n.Args {
		text, _, ok := constantText(a)
		if !ok {
			return "", fail(codeInvalidParameter, "SET %s requires literal values", n.Name)
		}
		if c := a.GetTypeCast(); c != nil && d.name == "TimeZone" {
			v, err := s.parseText(vector.T(vector.Interval), text)
			if err != nil {
				return "", d.invalid(text)
			}
			b := v.Bytes(0) // months, days, microseconds
			micros := int64(binary.LittleEndian.Uint64(b[8:]))
			if binary.LittleEndian.Uint64(b) != 0 {
				return "", fail(codeInvalidParameter, "interval value must not specify months or days")
			}
			text = strconv.FormatFloat(float64(micros)/36e8, 'f', -1, 64)
		}
		if d.listed && d.name == "search_path" {
			text = quoteIdentifier(text)
		}
		parts = append(parts, text)
	}
	if len(parts) > 1 && !d.listed {
		return "", fail(codeInvalidParameter, "SET %s takes only one argument", d.name)
	}
	return strings.Join(parts, ", "), nil
}

// quoteIdentifier quotes a name where it needs quotes, as PostgreSQL does.
func quoteIdentifier(name string) string {
	plain := name != ""
	for i, c := range name {
		plain = plain && (c == '_' || 'a' <= c && c <= 'z' || i > 0 && '0' <= c && c <= '9')
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// setSeed is SET seed, for random().
func (s *Session) setSeed(args []*pg_query.Node) error {
	text := ""
	if len(args) == 1 {
		text, _, _ = constantText(args[0])
	}
	seed, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fail(codeInvalidParameter, "invalid value for parameter %q: %q", "seed", text)
	}
	if seed < -1 || seed > 1 {
		return fail(codeInvalidParameter, "%s is outside the valid range for parameter %q (-1 .. 1)", short(seed), "seed")
	}
	if _, err = s.conn.Exec(context.Background(), "SELECT setseed("+strconv.FormatFloat(seed, 'g', -1, 64)+")"); err != nil { // of statements that are not analyzed
		return err
	}
	s.random.name()
	return s.random.generator.Seed(seed)
}

// randomValues is what random() of a session takes its values from.
type randomValues struct {
	id        string
	generator *pgfunc.Random
}

// name is the generator's name for package analyze.
func (r *randomValues) name() string {
	if r.generator == nil {
		r.id, r.generator = pgfunc.NewRandom()
	}
	return r.id
}

// discard is DISCARD.
func (s *Session) discard(ctx context.Context, n *pg_query.DiscardStmt) (string, error) {
	switch n.Target {
	case pg_query.DiscardMode_DISCARD_PLANS:
		return "DISCARD PLANS", nil
	case pg_query.DiscardMode_DISCARD_SEQUENCES:
		return "DISCARD SEQUENCES", nil
	case pg_query.DiscardMode_DISCARD_TEMP:
		return "DISCARD TEMP", s.dropTemporary(ctx)
	}
	s.closeCursors(func(*cursor) bool { return true })
	if err := s.resetSetting(sessionAuthorization, false); err != nil {
		return "", err
	}
	s.resetSettings()
	s.deallocateAll()
	s.unlisten("")
	return "DISCARD ALL", s.dropTemporary(ctx)
}

// bindVariableShow binds SHOW of settings.
func (s *Session) bindVariableShow(n *pg_query.VariableShowStmt) (bound, error) {
	text := func(name string) session.Column { return session.Column{Name: name, Type: vector.T(vector.Text)} }
	if n.Name == "all" {
		b := bound{columns: []session.Column{text("name"), text("setting"), text("description")}}
		b.run = func(context.Context, []*vector.Vector) (session.Result, error) {
			ch := textChunk(3)
			for _, name := range settingNames() {
				if d := settings[name]; !d.hidden || d.show != nil {
					appendTexts(ch, d.name, s.settingText(d), d.help)
				}
			}
			return &chunkRows{noRows: noRows{"SHOW"}, chunk: ch}, nil
		}
		return b, nil
	}
	if strings.EqualFold(n.Name, "seed") {
		return bound{columns: []session.Column{text("seed")}, run: func(context.Context, []*vector.Vector) (session.Result, error) {
			ch := textChunk(1)
			appendTexts(ch, "unavailable")
			return &chunkRows{noRows: noRows{"SHOW"}, chunk: ch}, nil
		}}, nil
	}
	d, err := s.findSetting(n.Name)
	if err != nil {
		return bound{}, err
	}
	return bound{columns: []session.Column{text(d.name)}, run: func(context.Context, []*vector.Vector) (session.Result, error) {
		ch := textChunk(1)
		appendTexts(ch, s.settingText(d))
		return &chunkRows{noRows: noRows{"SHOW"}, chunk: ch}, nil
	}}, nil
}

func textChunk(columns int) *vector.Chunk {
	types := make([]vector.Type, columns)
	for i := range types {
		types[i] = vector.T(vector.Text)
	}
	return vector.NewChunk(types, 8)
}

func appendTexts(ch *vector.Chunk, values ...string) {
	for i, v := range values {
		ch.Cols[i].AppendString(v)
	}
	ch.N++
}
