package duck

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	csvLine    = regexp.MustCompile(`(?m)^CSV Error on Line: (\d+)$`)
	csvText    = regexp.MustCompile(`(?m)^Original Line:[ \t]?(.*)$`)
	csvColumn  = regexp.MustCompile(`(?m)^Error when converting column "(.*?)"\. (.*)$`)
	csvFile    = regexp.MustCompile(`(?m)^  file = (.*)$`)
	csvSniff   = regexp.MustCompile(`^Error when sniffing file "(.*?)"\.\n(.*)`)
	csvColumns = regexp.MustCompile(`(?m)^\* (Columns are set as: .*)$`)
)

// maxCSVLine bounds how much of a bad line of a CSV file is quoted, in bytes.
const maxCSVLine = 200

// csvMessage keeps of DuckDB's report on a CSV file, which goes on for a page, the file, the line (from 1, the header
// counted), the column, what is wrong and the line's text. ok is false where s is no such report.
func csvMessage(s string) (message, hint string, ok bool) {
	if sniff := csvSniff.FindStringSubmatch(s); sniff != nil {
		if cols := csvColumns.FindStringSubmatch(s); cols != nil {
			hint = cutHint(oneLine(cols[1]))
		}
		return fmt.Sprintf("CSV file %q: %s", sniff[1], oneLine(sniff[2])), hint, true
	}
	line := csvLine.FindStringSubmatch(s)
	if line == nil {
		return "", "", false
	}
	where := "CSV file"
	if file := csvFile.FindStringSubmatch(s); file != nil {
		where = fmt.Sprintf("CSV file %q", file[1])
	}
	where += ", line " + line[1]
	what := ""
	if col := csvColumn.FindStringSubmatch(s); col != nil {
		where, what = where+fmt.Sprintf(", column %q", col[1]), oneLine(col[2])
	} else if _, rest, found := strings.Cut(s, "Original Line:"); found {
		if _, rest, found = strings.Cut(rest, "\n"); found {
			what, _, _ = strings.Cut(rest, "\n")
		}
	}
	message = where + ": " + strings.TrimSpace(what)
	if text := csvText.FindStringSubmatch(s); text != nil {
		message += fmt.Sprintf(" (%.*q)", maxCSVLine, text[1])
	}
	return message, "", true
}
