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
	line := func(cells []string) {
		b.WriteString(strings.TrimRight(" "+strings.Join(cells, " | "), " ") + "\n")
	}
	cells := make([]string, len(fields))
	rule := make([]string, len(fields))
	for c, f := range fields {
		left := (widths[c] - utf8.RuneCountInString(f.Name)) / 2
		cells[c] = pad(strings.Repeat(" ", left)+f.Name, widths[c], false)
		rule[c] = strings.Repeat("-", widths[c]+2)
	}
	line(cells)
	b.WriteString(strings.Join(rule, "+") + "\n")
	for i, r := range rows {
		if i == cut {
			b.WriteString(elided + "\n")
		}
		for c, f := range fields {
			cells[c] = pad(string(r[c]), widths[c], slices.Contains(rightAligned, f.DataTypeOID))
		}
		line(cells)
	}
	if total == 1 {
		b.WriteString("(1 row)\n")
	} else {
		fmt.Fprintf(&b, "(%d rows)\n", total)
	}
	return b.String()
}

func pad(s string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return space + s
	}
	return s + space
}
