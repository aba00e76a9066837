package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// sample is the figures of the rounds, in the order of the rounds.
type sample []float64

func (s sample) median() float64 {
	v := slices.Sorted(slices.Values(s))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// side is one of a pair: what is run each round, and its figure.
type side func(ctx context.Context, round int) (float64, error)

// alternate runs the sides in turn, A B A B, for the rounds, and returns a sample for each.
func alternate(ctx context.Context, rounds int, sides ...side) ([]sample, error) {
	out := make([]sample, len(sides))
	for round := range rounds {
		for i, s := range sides {
			v, err := s(ctx, round)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], v)
		}
	}
	return out, nil
}

// timed is a side whose figure is the seconds that f takes.
func timed(f func(ctx context.Context) error) side {
	return func(ctx context.Context, _ int) (float64, error) {
		began := time.Now()
		err := f(ctx)
		return time.Since(began).Seconds(), err
	}
}

// row is a line of the table: a pair of samples.
type row struct {
	what        string
	unit        string // "s", where less is better, or "/s", where more is
	ours, other sample
	peer        string   // what other is
	target      float64  // the least ratio wanted; 0: none
	notes       []string // peak memories, processor times, sizes
}

func (r *row) ratios() sample {
	var out sample
	for i := range min(len(r.ours), len(r.other)) {
		if a, b := r.ours[i], r.other[i]; r.unit == "/s" {
			out = append(out, a/b)
		} else {
			out = append(out, b/a)
		}
	}
	return out
}

// table is what the command prints.
type table struct{ rows []row }

// add keeps a row and says its figures at once, so that a long run shows how it goes.
func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	progress("  %s", strings.Join(r.cells(), " | "))
}

func (r *row) cells() []string {
	ratio, verdict := "–", "–"
	if q := r.ratios(); len(q) > 0 {
		ratio = spread(q, "×", 2)
		switch {
		case r.target == 0:
		case q.median() >= r.target:
			verdict = fmt.Sprintf("≥ %g×: met", r.target)
		default:
			verdict = fmt.Sprintf("≥ %g×: **missed**", r.target)
		}
	}
	other := "–"
	if len(r.other) > 0 {
		other = r.peer + " " + figure(r.other, r.unit)
	}
	return []string{r.what, figure(r.ours, r.unit), other, ratio, verdict, strings.Join(r.notes, "; ")}
}

// figure prints a sample with a precision that suits its unit.
func figure(s sample, unit string) string {
	if unit == "/s" {
		return spread(s, unit, 0)
	}
	return spread(s, " "+unit, 3)
}

// spread prints median (least–greatest).
func spread(s sample, unit string, decimals int) string {
	if len(s) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f%s (%.*f–%.*f)", decimals, s.median(), unit, decimals, slices.Min(s), decimals, slices.Max(s))
}

// print writes Markdown, aligned, so that it also reads as text.
func (t *table) print(w io.Writer) {
	lines := [][]string{{"benchmark", "Tilehouse", "peer", "ratio", "target", "notes"}}
	for i := range t.rows {
		lines = append(lines, t.rows[i].cells())
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for n, l := range lines {
		for i, c := range l {
			fmt.Fprintf(w, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i := range l {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", width[i]+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}
