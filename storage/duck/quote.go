package duck

import "strings"

// QuoteIdent is s as an identifier of DuckDB's SQL, quoted always.
func QuoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// QuoteLiteral is s as a string literal of DuckDB's SQL. Backslashes stand for themselves there. A zero byte cannot be
// written in SQL text: Prepare refuses it.
func QuoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
