package parse

import "strings"

// AsofAliasPrefix begins the alias of the right side of an ASOF join; no user can have written it, as names have at most 63 bytes.
var AsofAliasPrefix = "__tilehouse_asof_" + strings.Repeat("_", 60)

// AsofAlias is the alias to give to the right side of a join in an AST, a sub-SELECT, so that package rewrite's text says ASOF before that
// join and name for the alias: PostgreSQL's AST has no room for the word.
func AsofAlias(name string) string { return AsofAliasPrefix + name }

// NameOfAlias is the name that an alias stands for, whether AsofAlias made it or not.
func NameOfAlias(alias string) string { return strings.TrimPrefix(alias, AsofAliasPrefix) }
