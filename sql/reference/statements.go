package reference

import "slices"

// Statements is every statement of ours and every clause that we add to PostgreSQL's, in the order of a reader's day.
var Statements = slices.Concat(definitions, views, reads, upkeep)
