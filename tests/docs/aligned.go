package docs

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	shownWhole = 24 // rows of a result that are all shown
	shownFirst = 4  // rows of a larger one that are shown before the last
	elided     = " …"
)

// rightAligned are the types that psql sets to the right: numbers.
var rightAligned = []uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.OIDOID}

// aligned is a result as psql prints it by default, with the rows of a long one left out.
func aligned(fields []pgconn.FieldDescription, rows [][][]byte) string {
	total := len(rows)
	cut := len(rows)
	if total > shownWhole {
		rows = append(slices.Clone(rows[:shownFirst]), rows[total-1])
		cut = shownFirst
	}
	widths := make([]int, len(fields))
	for c, f := range fields {
		widths[c] = utf8.RuneCountInString(f.Name)
		for _, r := range rows {
			for line := range strings.SplitSeq(string(r[c]), "\n") {
				widths[c] = max(widths[c], utf8.RuneCountInString(line))
			}
		}
	}
	var b strings.Builder
	cells := make([]string, len(fields))
	for c, f := range fields {
		left := (widths[c] - utf8.RuneCountInString(f.Name)) / 2
		cells[c] = strings.Repeat(" ", left) + f.Name
	}
	printRow(&b, cells, widths, func(int) bool { return false })
	for c, w := range widths {
		if c > 0 {
			b.WriteString("+")
		}
		b.WriteString(strings.Repeat("-", w+2))
	}
	b.WriteString("\n")
	for i, r := range rows {
		if i == cut {
			b.WriteString(elided + "\n")
		}
		for c := range fields {
			cells[c] = string(r[c])
		}
		printRow(&b, cells, widths, func(c int) bool { return slices.Contains(rightAligned, fields[c].DataTypeOID) })
	}
	if total == 1 {
		b.WriteString("(1 row)\n")
	} else {
		fmt.Fprintf(&b, "(%d rows)\n", total)
	}
	return b.String()
}

// printRow prints a row on as many lines as its longest value has; psql marks a value that goes on with a plus.
func printRow(b *strings.Builder, cells []string, widths []int, right func(column int) bool) {
	for more := true; more; {
		more = false
		var line strings.Builder
		for c := range cells {
			first, rest, goes := strings.Cut(cells[c], "\n")
			mark := " "
			if goes {
				mark, more = "+", true
			}
			space := strings.Repeat(" ", max(0, widths[c]-utf8.RuneCountInString(first)))
			if right(c) {
				first = space + first
			} else {
				first += space
			}
			if c > 0 {
				line.WriteString("|")
			}
			line.WriteString(" " + first + mark)
			cells[c] = rest
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
