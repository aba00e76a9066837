package pgcatalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// object is how a has_…_privilege function finds its object, and the privileges that there are.
type object struct {
	kind       string // of Objects.Privileged
	catalog    string
	read       func(s *Snapshot, text string) (any, error) // of its name
	privileges []string
}

var objectKinds = map[string]object{
	"table":                {"table", "pg_class", readAs("regclass"), []string{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"}},
	"any_column":           {"any column", "pg_class", readAs("regclass"), []string{"SELECT", "INSERT", "UPDATE", "REFERENCES"}},
	"sequence":             {"sequence", "pg_class", readAs("regclass"), []string{"USAGE", "SELECT", "UPDATE"}},
	"schema":               {"schema", "pg_namespace", readAs("regnamespace"), []string{"CREATE", "USAGE"}},
	"function":             {"function", "pg_proc", readAs("regprocedure"), []string{"EXECUTE"}},
	"type":                 {"type", "pg_type", readAs("regtype"), []string{"USAGE"}},
	"database":             {"database", "pg_database", readPlain("database", "3D000", "pg_database", "datname"), []string{"CREATE", "CONNECT", "TEMPORARY", "TEMP"}},
	"tablespace":           {"tablespace", "pg_tablespace", readPlain("tablespace", "42704", "pg_tablespace", "spcname"), []string{"CREATE"}},
	"language":             {"language", "pg_language", readPlain("language", "42704", "pg_language", "lanname"), []string{"USAGE"}},
	"server":               {"server", "pg_foreign_server", readPlain("server", "42704", "pg_foreign_server", "srvname"), []string{"USAGE"}},
	"foreign_data_wrapper": {"foreign data wrapper", "pg_foreign_data_wrapper", readPlain("foreign-data wrapper", "42704", "pg_foreign_data_wrapper", "fdwname"), []string{"USAGE"}},
}

func readAs(kind string) func(s *Snapshot, text string) (any, error) {
	return func(s *Snapshot, text string) (any, error) { return registeredTypes[kind].read(s, text) }
}

// readPlain reads a name that is not folded, as these functions do for objects outside of schemas.
func readPlain(what, code, relation, column string) func(s *Snapshot, text string) (any, error) {
	return func(s *Snapshot, text string) (any, error) {
		for _, w := range s.named(relation, column, text) {
			return w.int("oid"), nil
		}
		return nil, &Error{code, fmt.Sprintf("%s \"%s\" does not exist", what, text)}
	}
}

// role is the role that an argument names, by name or object id.
func (s *Snapshot) role(a args, k int) (uint32, error) {
	if !a.isText(k) {
		return uint32(a.int(k)), nil
	}
	if a.text(k) == "public" {
		return 0, nil
	}
	return s.roleNamed(a.text(k))
}

func (s *Snapshot) roleNamed(name string) (uint32, error) {
	for _, w := range s.named("pg_authid", "rolname", name) {
		return uint32(w.int("oid")), nil
	}
	return 0, &Error{"42704", fmt.Sprintf("role \"%s\" does not exist", name)}
}

// privileges reads a list of privileges, each of which may end with WITH GRANT OPTION.
func privileges(text string, known []string) ([]string, error) {
	var out []string
	for p := range strings.SplitSeq(text, ",") {
		word := strings.ToUpper(strings.TrimSpace(p))
		if !slices.Contains(known, strings.TrimSuffix(word, " WITH GRANT OPTION")) {
			return nil, &Error{"22023", fmt.Sprintf("unrecognized privilege type: \"%s\"", strings.TrimSpace(p))}
		}
		out = append(out, word)
	}
	return out, nil
}

// has reports whether a role has one of the privileges.
func (s *Snapshot) has(role uint32, kind string, oid uint32, column int, words []string) bool {
	if s.o.Privileged == nil {
		return true
	}
	return slices.ContainsFunc(words, func(p string) bool { return s.o.Privileged(role, kind, oid, column, p) })
}

func init() {
	for name, k := range objectKinds {
		callees["has_"+name+"_privilege"] = callee{3, func(s *Snapshot, a args) (any, error) {
			role, at, err := s.asker(a, 2)
			if err != nil {
				return nil, err
			}
			oid, found, err := s.objectArg(k, a, at)
			if err != nil {
				return nil, err
			}
			words, err := privileges(a.text(at+1), k.privileges)
			if err != nil || !found {
				return nil, err
			}
			return s.has(role, k.kind, oid, 0, words), nil
		}}
	}
	callees["has_column_privilege"] = callee{4, func(s *Snapshot, a args) (any, error) {
		role, at, err := s.asker(a, 3)
		if err != nil {
			return nil, err
		}
		oid, found, err := s.objectArg(objectKinds["table"], a, at)
		if err != nil || !found {
			return nil, err
		}
		number := int64(0)
		if a.isText(at + 1) {
			for n := int64(1); ; n++ {
				name, _, _ := s.columnName(int64(oid), n)
				if name == "" {
					table, _ := s.by("pg_class", "oid", int64(oid))
					return nil, &Error{"42703", fmt.Sprintf("column \"%s\" of relation \"%s\" does not exist", a.text(at+1), table.text("relname"))}
				}
				if name == a.text(at+1) {
					number = n
					break
				}
			}
		} else if number = a.int(at + 1); number != 0 {
			if name, _, _ := s.columnName(int64(oid), number); name == "" {
				return nil, nil
			}
		}
		words, err := privileges(a.text(at+2), objectKinds["any_column"].privileges)
		if err != nil {
			return nil, err
		}
		return s.has(role, "column", oid, int(number), words), nil
	}}
	callees["has_parameter_privilege"] = callee{3, func(s *Snapshot, a args) (any, error) {
		_, at, err := s.asker(a, 2)
		if err != nil {
			return nil, err
		}
		_, err = privileges(a.text(at+1), []string{"SET", "ALTER SYSTEM"})
		return true, err
	}}
	callees["pg_has_role"] = callee{3, func(s *Snapshot, a args) (any, error) {
		role, at, err := s.asker(a, 2)
		if err != nil {
			return nil, err
		}
		of, err := s.role(a, at)
		if err != nil {
			return nil, err
		}
		for p := range strings.SplitSeq(a.text(at+1), ",") {
			word := strings.ToUpper(strings.TrimSpace(p))
			kind, option, _ := strings.Cut(word, " WITH ")
			if kind != "USAGE" && kind != "MEMBER" || word != kind && option != "ADMIN OPTION" && option != "GRANT OPTION" {
				return nil, &Error{"22023", fmt.Sprintf("unrecognized privilege type: \"%s\"", strings.TrimSpace(p))}
			}
			if word != kind {
				kind = "ADMIN"
			}
			if s.hasRole(role, of, kind) {
				return true, nil
			}
		}
		return false, nil
	}}
	callees["acldefault"] = callee{2, func(s *Snapshot, a args) (any, error) {
		owner := ""
		if w, ok := s.by("pg_authid", "oid", a.int(1)); ok {
			owner = QuoteIdent(w.text("rolname"))
		}
		d, ok := map[string][2]string{"c": {"", ""}, "r": {"", "arwdDxt"}, "s": {"", "rwU"}, "d": {"Tc", "CTc"}, "f": {"X", "X"}, "l": {"U", "U"}, "L": {"", "rw"}, "n": {"", "UC"},
			"p": {"", "sA"}, "t": {"", "C"}, "F": {"", "U"}, "S": {"", "U"}, "T": {"U", "U"}}[a.text(0)]
		if !ok {
			return nil, &Error{"22023", fmt.Sprintf("unrecognized object type abbreviation: %s", a.text(0))}
		}
		out := []string{}
		if d[0] != "" {
			out = append(out, "="+d[0]+"/"+owner)
		}
		if d[1] != "" {
			out = append(out, owner+"="+d[1]+"/"+owner)
		}
		return out, nil
	}}
	callees["__aclexplode"] = callee{1, func(s *Snapshot, a args) (any, error) {
		out := []string{}
		for _, item := range a.texts(0) {
			grantee, rest, ok := cutItem(item)
			if !ok {
				return nil, &Error{"22P02", fmt.Sprintf("%q is no ACL item", item)}
			}
			letters, grantor, _ := strings.Cut(rest, "/")
			to, err := s.aclRole(grantee)
			if err != nil {
				return nil, err
			}
			from, err := s.aclRole(grantor)
			if err != nil {
				return nil, err
			}
			for i := 0; i < len(letters); i++ {
				word := privilegeLetters[letters[i]]
				if word == "" {
					continue
				}
				option := i+1 < len(letters) && letters[i+1] == '*'
				out = append(out, fmt.Sprintf("%d|%d|%s|%t", from, to, word, option))
			}
		}
		return out, nil
	}}
}

// privilegeLetters are the letters of ACL items.
var privilegeLetters = map[byte]string{'a': "INSERT", 'r': "SELECT", 'w': "UPDATE", 'd': "DELETE", 'D': "TRUNCATE", 'x': "REFERENCES", 't': "TRIGGER", 'X': "EXECUTE", 'U': "USAGE",
	'C': "CREATE", 'T': "TEMPORARY", 'c': "CONNECT", 's': "SET", 'A': "ALTER SYSTEM"}

// cutItem splits grantee=letters/grantor; the grantee may be in quotes.
func cutItem(item string) (grantee, rest string, ok bool) {
	if strings.HasPrefix(item, `"`) {
		end := strings.Index(item[1:], `"=`)
		if end < 0 {
			return "", "", false
		}
		return item[:end+2], item[end+3:], true
	}
	return strings.Cut(item, "=")
}

func (s *Snapshot) aclRole(name string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if len(name) > 1 && name[0] == '"' {
		name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	return s.roleNamed(name)
}

// asker is the role that a function asks about: its first argument where it has one more than n, and the session's otherwise. at is
// where the others begin.
func (s *Snapshot) asker(a args, n int) (role uint32, at int, err error) {
	if len(a.v) > n {
		role, err = s.role(a, 0)
		return role, 1, err
	}
	role, err = s.roleNamed(s.o.User)
	return role, 0, err
}

// objectArg is the object that an argument names, by name or object id; found is false where no object has the id.
func (s *Snapshot) objectArg(k object, a args, at int) (oid uint32, found bool, err error) {
	if a.isText(at) {
		v, err := k.read(s, a.text(at))
		if err != nil {
			return 0, false, err
		}
		return uint32(v.(int64)), true, nil
	}
	_, found = s.by(k.catalog, "oid", a.int(at))
	return uint32(a.int(at)), found, nil
}

// hasRole reports whether a role is another or has its rights.
func (s *Snapshot) hasRole(role, of uint32, privilege string) bool {
	if s.o.HasRole != nil {
		return s.o.HasRole(role, of, privilege)
	}
	if role == of {
		return true
	}
	w, ok := s.by("pg_authid", "oid", int64(role))
	return ok && (w.bool("rolsuper") || of == databaseOwnerOID && role == OwnerOID)
}

// databaseOwnerOID is the role pg_database_owner, of which the owner of the database is a member.
const databaseOwnerOID = 6171
