package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

func flags(names ...string) []schema.Column { return columnsOf(vector.T(vector.Bool), names) }

func floats(names ...string) []schema.Column { return columnsOf(vector.T(vector.Float64), names) }

func columnsOf(t vector.Type, names []string) []schema.Column {
	out := make([]schema.Column, len(names))
	for i, n := range names {
		out[i] = schema.Column{Name: n, Type: t}
	}
	return out
}

// featureViewRows are the rows of tilehouse.feature_views.
func featureViewRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
		var columns, entities, views, features []string
		for _, o := range v.Outputs {
			columns = append(columns, o.Name)
		}
		for _, id := range v.Entities {
			entities = append(entities, cat.Entities[id].Name)
		}
		for _, id := range v.Views {
			views = append(views, cat.FeatureViews[id].Name)
		}
		for _, b := range v.Base {
			features = append(features, cat.Features[b.Feature].Name+"."+b.Output)
		}
		row := literals(v.Name, columnNames(v.Keys), columnNames(v.Request), strings.Join(columns, ", "), strings.Join(entities, ", "), strings.Join(views, ", "), strings.Join(features, ", "))
		row = append(row, strconv.FormatBool(v.Online), fmt.Sprintf("CAST(%g AS DOUBLE)", v.LogFraction))
		written, dropped := s.e.features.Counts(v.ID)
		row = append(row, fmt.Sprint(written), fmt.Sprint(dropped), duck.QuoteLiteral(v.SQL))
		out = append(out, row)
	}
	return out, nil
}
