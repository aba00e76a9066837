package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// catalogView is a view of schema tilehouse: what the server knows, as rows.
type catalogView struct {
	columns []schema.Column
	rows    func(s *Session, cat *schema.Catalog) ([][]string, error) // SQL literals
}

// largeViews are the views that have more rows than a statement's text should have: each makes a temporary table of the statement.
var largeViews = map[string]func(s *Session, ctx context.Context, cat *schema.Catalog) (table string, err error){
	"dead_letters": (*Session).deadLetters,
	"feature_log":  (*Session).featureLog,
}

func text(names ...string) []schema.Column {
	out := make([]schema.Column, len(names))
	for i, n := range names {
		out[i] = schema.Column{Name: n, Type: vector.T(vector.Text)}
	}
	return out
}

func numbers(names ...string) []schema.Column {
	out := make([]schema.Column, len(names))
	for i, n := range names {
		out[i] = schema.Column{Name: n, Type: vector.T(vector.Int64)}
	}
	return out
}

func times(names ...string) []schema.Column {
	out := make([]schema.Column, len(names))
	for i, n := range names {
		out[i] = schema.Column{Name: n, Type: vector.T(vector.TimestampTZ)}
	}
	return out
}

func intervals(names ...string) []schema.Column {
	out := make([]schema.Column, len(names))
	for i, n := range names {
		out[i] = schema.Column{Name: n, Type: vector.T(vector.Interval)}
	}
	return out
}

// catalogViews are the views by name.
var catalogViews = map[string]catalogView{
	"features": {slices.Concat(text("name", "entity", "relation", "columns", "state", "fingerprint", "definition", "comment"), intervals("lag", "target_lag"), flags("lag_exceeded")), func(s *Session, cat *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
			var cols []string
			for _, o := range f.Outputs {
				cols = append(cols, o.Name)
			}
			row := literals(f.Name, cat.Entities[f.Entity].Name, cat.Relations[f.Relation].Name, strings.Join(cols, ", "), featureState(cat, f), f.Fingerprint, f.SQL)
			out = append(out, slices.Concat(row, []string{orNull(f.Comment)}, s.e.lagColumns(cat, f)))
		}
		return out, nil
	}},
	"feature_columns": {slices.Concat(text("feature", "column_name", "type", "partial", "time_window", "delay", "hop", "derivation")), func(_ *Session, cat *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
			for _, o := range f.Outputs {
				out = append(out, append(literals(f.Name, o.Name, o.Type.String(), o.Partial, windowText(o.Window), durationText(o.Window.Delay), durationText(o.Window.Hop)), "NULL"))
			}
		}
		for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
			for _, o := range v.Outputs {
				out = append(out, append(literals(v.Name, o.Name, o.Type.String()), "NULL", "NULL", "NULL", "NULL", duck.QuoteLiteral(o.Text)))
			}
		}
		return out, nil
	}},
	"feature_views": {slices.Concat(text("name", "keys", "request", "columns", "entities", "views", "features"), flags("online"), floats("log_fraction"), numbers("logged", "dropped"), text("definition")), featureViewRows},
	"feature_log":   {featureLogColumns, nil},
	"entities": {text("name", "keys", "comment"), func(_ *Session, cat *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, e := range sorted(cat.Entities, func(e *schema.Entity) string { return e.Name }) {
			out = append(out, append(literals(e.Name, columnNames(e.Keys)), orNull(e.Comment)))
		}
		return out, nil
	}},
	"sources": {slices.Concat(text("name", "kind", "event_time", "path"), numbers("files", "rows"), text("refresh_every"), times("last_refresh", "next_refresh"), text("last_error"), streamColumns, text("definition")), func(s *Session, cat *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
			if r.Streamed() {
				row, err := s.sourceRow(cat, r)
				if err != nil {
					return nil, err
				}
				out = append(out, row)
				continue
			}
			row := literals(r.Name, string(r.Kind), r.EventTime)
			if r.File == nil {
				out = append(out, slices.Concat(row, slices.Repeat([]string{"NULL"}, 7), noStream, literals(r.SQL)))
				continue
			}
			files, rows := 0, int64(0)
			for _, f := range r.File.Files {
				if f.Removed == 0 {
					files++
					rows += f.Rows
				}
			}
			row = append(row, duck.QuoteLiteral(r.File.Path), fmt.Sprint(files), fmt.Sprint(rows))
			out = append(out, slices.Concat(row, s.refreshes(r), noStream, literals(r.SQL)))
		}
		return out, nil
	}},
	"partials": {slices.Concat(text("fingerprint", "relation", "keys", "partial"), numbers("group_id"), text("features", "state")), func(_ *Session, cat *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, g := range sorted(cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
			for _, p := range g.Partials {
				var readers []string
				for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
					if f.Group == g.ID && slices.ContainsFunc(f.Outputs, func(o schema.Output) bool { return o.Partial == p.Fingerprint }) {
						readers = append(readers, f.Name)
					}
				}
				var keys []string
				for _, k := range g.Keys {
					keys = append(keys, shownSQL(cat, g.Relation, g.Joins, k.SQL))
				}
				state := "used"
				if len(readers) == 0 { // its feature was replaced or dropped; the group has others
					state = "kept until the group is built anew"
				}
				out = append(out, append(literals(p.Fingerprint, cat.Relations[g.Relation].Name, strings.Join(keys, ", "), partialText(cat, g, &p)), fmt.Sprint(g.ID), duck.QuoteLiteral(strings.Join(readers, ", ")), duck.QuoteLiteral(state)))
			}
		}
		return out, nil
	}},
	"materializations":  {slices.Concat(numbers("group_id"), text("relation", "part", "state"), times("from_time", "to_time"), numbers("days", "rows", "total_rows", "percent", "seconds_left", "bytes", "position"), intervals("lag")), materializationRows},
	"jobs":              {jobColumns, jobRows},
	"watermarks":        {watermarkColumns, watermarkRows},
	"lineage":           {lineageColumns, lineageRows},
	"dead_letters":      {deadLetterColumns, nil},
	"online_store":      {storeColumns, storeRows},
	"connections":       {slices.Concat(text("name", "type", "sources", "owner", "comment", "definition")), connectionRows},
	"secrets":           {slices.Concat(text("name", "backend", "connections", "owner", "comment")), secretRows},
	"dual_sources":      {dualSourceColumns, dualSourceRows},
	"source_partitions": {partitionColumns, partitionRows},
	"settings": {text("name", "setting", "description"), func(s *Session, _ *schema.Catalog) ([][]string, error) {
		var out [][]string
		for _, n := range settingNames() {
			out = append(out, literals(settings[n].name, s.settingText(settings[n]), settings[n].help))
		}
		return out, nil
	}},
}

// featureState is the state of a feature in a word.
func featureState(cat *schema.Catalog, f *schema.Feature) string {
	switch {
	case f.Suspended:
		return "suspended"
	case cat.Groups[f.Group] == nil:
		return "no data"
	}
	return "ready"
}

func sorted[T any](m map[uint32]*T, name func(*T) string) []*T {
	return slices.SortedFunc(maps.Values(m), func(a, b *T) int { return strings.Compare(name(a), name(b)) })
}

func literals(values ...string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = duck.QuoteLiteral(v)
	}
	return out
}

// orNull is a text as a literal, NULL where it is empty.
func orNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return duck.QuoteLiteral(s)
}

func timeLiteral(micros int64) string { return fmt.Sprintf("make_timestamptz(%d)", micros) }

func windowText(w schema.Window) string {
	switch {
	case w.Lifetime:
		return "lifetime"
	case w.Following:
		return durationText(w.Length) + " following"
	}
	return durationText(w.Length)
}

// durationText prints microseconds in the largest unit that divides them.
func durationText(micros int64) string {
	if micros == 0 {
		return ""
	}
	d := time.Duration(micros) * time.Microsecond
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if n := d / u.unit; d%u.unit == 0 {
			if n == 1 {
				return "1 " + strings.TrimSuffix(u.name, "s")
			}
			return fmt.Sprintf("%d %s", n, u.name)
		}
	}
	return d.String()
}

// catalogView is a view of schema tilehouse as a relation in DuckDB's SQL.
func (s *Session) catalogView(ctx context.Context, cat *schema.Catalog, name string) (string, error) {
	v, ok := catalogViews[name]
	if !ok {
		return "", hint(fail(codeUndefinedTable, "relation \"tilehouse.%s\" does not exist", name), "Views: %s.", strings.Join(slices.Sorted(maps.Keys(catalogViews)), ", "))
	}
	if large := largeViews[name]; large != nil {
		return large(s, ctx, cat)
	}
	rows, err := v.rows(s, cat)
	if err != nil {
		return "", err
	}
	// The first row says the types, which those of the view do not where all of them are NULL.
	names, head := make([]string, len(v.columns)), make([]string, len(v.columns))
	for i, c := range v.columns {
		names[i], head[i] = duck.QuoteIdent(c.Name), "NULL::"+c.Type.DuckDB()
	}
	values := []string{"(" + strings.Join(head, ", ") + ", true)"}
	for _, r := range rows {
		values = append(values, "("+strings.Join(r, ", ")+", false)")
	}
	list := strings.Join(names, ", ")
	return fmt.Sprintf("(SELECT %s FROM (VALUES %s) AS v(%[1]s, __head) WHERE NOT __head)", list, strings.Join(values, ", ")), nil
}

// bindShow binds SHOW FEATURES and its kin: sugar over the views.
func (s *Session) bindShow(_ context.Context, _ *schema.Catalog, st *parse.Show) (bound, error) {
	v := catalogViews[st.What]
	columns := make([]session.Column, len(v.columns))
	for i, c := range v.columns {
		columns[i] = session.Column{Name: c.Name, Type: c.Type}
	}
	return bound{columns: columns, run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		sql, err := s.catalogView(ctx, s.catalog(), st.What)
		if err != nil {
			return nil, err
		}
		if st.HasLike {
			sql = fmt.Sprintf("(SELECT * FROM %s WHERE %s LIKE %s ESCAPE '\\')", sql, duck.QuoteIdent(v.columns[0].Name), duck.QuoteLiteral(st.Like))
		}
		rows, err := s.conn.Query(ctx, "SELECT * FROM "+sql)
		if err != nil {
			return nil, err
		}
		return &duckRows{noRows: noRows{"SHOW"}, s: s, rows: rows}, nil
	}}, nil
}
