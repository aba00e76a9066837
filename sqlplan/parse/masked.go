package parse

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// maxMasked is the longest text that Masked gives, in bytes.
const maxMasked = 4096

// Masked is a statement without values and comments: ? stands for each literal, one blank between tokens that something stood between. It
// is cut at 4,096 bytes, and "" where the text cannot be cut into tokens.
func Masked(sql string) (out string) {
	var err error
	defer guard(&err)
	if checkText(sql) != nil {
		return ""
	}
	toks, err := scan(sql)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for i := range toks {
		t := &toks[i]
		if i > 0 && toks[i-1].end < t.start {
			b.WriteByte(' ')
		}
		switch t.kind {
		case pg_query.Token_SCONST, pg_query.Token_USCONST, pg_query.Token_BCONST, pg_query.Token_XCONST, pg_query.Token_ICONST, pg_query.Token_FCONST:
			b.WriteByte('?')
		default:
			b.WriteString(sql[t.start:t.end])
		}
		if b.Len() > maxMasked {
			return strings.ToValidUTF8(b.String()[:maxMasked], "") + "…"
		}
	}
	return b.String()
}
