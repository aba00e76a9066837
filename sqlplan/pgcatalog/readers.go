package pgcatalog

import (
	"strings"
	"sync"
)

// readers are the roles that may read relations of PostgreSQL's own, by "schema.name"; "" is everybody.
var readers = sync.OnceValue(func() map[string][]string {
	out := map[string][]string{}
	class := static()["pg_catalog.pg_class"]
	for _, c := range class.Rows() {
		for i := range c.N {
			w := row{class, c, i}
			schema := "information_schema"
			if w.int("relnamespace") == SchemaCatalog {
				schema = "pg_catalog"
			}
			if w.col("relacl").IsNull(i) {
				continue
			}
			for _, entry := range w.texts("relacl") {
				grantee, rights, _ := strings.Cut(entry, "=")
				rights, _, _ = strings.Cut(rights, "/")
				if strings.Contains(rights, "r") {
					name := schema + "." + w.text("relname")
					out[name] = append(out[name], grantee)
				}
			}
		}
	}
	// Its columns but the one with passwords are everybody's, and it has no rows.
	out["pg_catalog.pg_subscription"] = append(out["pg_catalog.pg_subscription"], "")
	return out
})

// Readers are the names of the roles that may read a relation of PostgreSQL's own beside superusers and pg_read_all_data; "" is
// everybody. It is empty for one that only superusers read.
func Readers(r *Relation) []string { return readers()[r.Schema+"."+r.Name] }
