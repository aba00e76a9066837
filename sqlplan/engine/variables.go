package engine

import (
	"context"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// variableSet is SET and RESET.
func (s *Session) variableSet(n *pg_query.VariableSetStmt) (string, error) {
	switch n.Kind {
	case pg_query.VariableSetKind_VAR_SET_VALUE:
		var parts []string
		for _, a := range n.Args {
			text, _, ok := constantText(a)
			if !ok {
				return "", fail(codeInvalidParameter, "SET %s requires literal values", n.Name)
			}
			parts = append(parts, text)
		}
		return "SET", s.setSetting(n.Name, strings.Join(parts, ", "))
	case pg_query.VariableSetKind_VAR_SET_DEFAULT:
		return "SET", s.resetSetting(n.Name)
	case pg_query.VariableSetKind_VAR_RESET:
		return "RESET", s.resetSetting(n.Name)
	case pg_query.VariableSetKind_VAR_RESET_ALL:
		return "RESET", s.discard()
	case pg_query.VariableSetKind_VAR_SET_MULTI: // SET TRANSACTION …, SET SESSION CHARACTERISTICS …
		return "SET", nil
	}
	return "", fail(codeUnsupported, "this form of SET %s is not supported", n.Name)
}

// discard puts every setting back.
func (s *Session) discard() error {
	for name := range s.set {
		if err := s.resetSetting(name); err != nil {
			return err
		}
	}
	return nil
}

// bindVariableShow binds SHOW of settings.
func (s *Session) bindVariableShow(n *pg_query.VariableShowStmt) (bound, error) {
	text := func(name string) session.Column { return session.Column{Name: name, Type: vector.T(vector.Text)} }
	if n.Name == "all" {
		b := bound{columns: []session.Column{text("name"), text("setting"), text("description")}}
		b.run = func(context.Context, []*vector.Vector) (session.Result, error) {
			ch := textChunk(3)
			for _, name := range settingNames() {
				appendTexts(ch, settings[name].name, s.Setting(name), settings[name].help)
			}
			return &chunkRows{noRows: noRows{"SHOW"}, chunk: ch}, nil
		}
		return b, nil
	}
	name := strings.ToLower(n.Name)
	if name == "timezone" || name == "time zone" {
		name = "timezone"
	}
	d, ok := settings[name]
	if !ok {
		return bound{}, unknownSetting(n.Name)
	}
	return bound{columns: []session.Column{text(d.name)}, run: func(context.Context, []*vector.Vector) (session.Result, error) {
		ch := textChunk(1)
		appendTexts(ch, s.Setting(name))
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
