package pgcatalog

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// replaced are tables of which PostgreSQL's own rows are not shown where there are rows of ours.
var replaced = map[string]bool{}

// rowDefaults are what columns have where a row does not say otherwise.
var rowDefaults = map[string]cells{
	"pg_class":      {"relreplident": "d", "relispopulated": true, "reltuples": -1, "relpersistence": "p"},
	"pg_attribute":  {"attstattarget": -1, "attcacheoff": -1, "atttypmod": -1, "attislocal": true},
	"pg_type":       {"typisdefined": true, "typdelim": ",", "typalign": "d", "typstorage": "x", "typtypmod": -1, "typlen": -1},
	"pg_constraint": {"convalidated": true, "confupdtype": " ", "confdeltype": " ", "confmatchtype": " ", "conislocal": true, "connoinherit": true},
	"pg_index":      {"indimmediate": true, "indisvalid": true, "indisready": true, "indislive": true},
	"pg_rewrite":    {"rulename": "_RETURN", "ev_type": "1", "ev_enabled": "O", "is_instead": true, "ev_qual": "<>"},
	"pg_authid":     {"rolinherit": true, "rolconnlimit": -1},
	"pg_proc":       {"prolang": languageSQL, "procost": 100, "prokind": "f", "proparallel": "u"},
	"pg_database": {"encoding": encodingUTF8, "datlocprovider": "c", "datallowconn": true, "datconnlimit": -1, "dattablespace": tablespaceDefault,
		"datcollate": "C", "datctype": "C", "datfrozenxid": 1, "datminmxid": 1},
}

// Type is what pg_type says of a type.
type Type struct {
	OID, Elem, Array, Collation uint32
	Schema                      uint32
	Name                        string
	Len                         int16
	ByVal                       bool
	Align, Storage              string
	Kind, Category              string
	Base                        uint32 // of a domain
	BaseMod                     int32
}

// builtinTypes are PostgreSQL's own types by object id.
func builtinTypes() map[uint32]*Type { return builtinOnce() }

var builtinOnce func() map[uint32]*Type

func init() { // the types of pg_type's own columns are found among them
	builtinOnce = sync.OnceValue(func() map[uint32]*Type {
		out := map[uint32]*Type{}
		r := static()["pg_catalog.pg_type"]
		for _, c := range r.Rows() {
			for i := range c.N {
				w := row{r, c, i}
				t := &Type{OID: uint32(w.int("oid")), Elem: uint32(w.int("typelem")), Array: uint32(w.int("typarray")), Collation: uint32(w.int("typcollation")),
					Schema: uint32(w.int("typnamespace")), Name: w.text("typname"), Len: int16(w.int("typlen")), ByVal: w.bool("typbyval"), Align: w.text("typalign"),
					Storage: w.text("typstorage"), Kind: w.text("typtype"), Category: w.text("typcategory"), Base: uint32(w.int("typbasetype")), BaseMod: int32(w.int("typtypmod"))}
				out[t.OID] = t
			}
		}
		return out
	})
}

// typesByName are PostgreSQL's own types by name, with the schema of those of information_schema.
var typesByName = sync.OnceValue(func() map[string]*Type {
	out := map[string]*Type{}
	for _, t := range builtinTypes() {
		if t.Schema == SchemaCatalog {
			out[t.Name] = t
		} else {
			out["information_schema."+t.Name] = t
		}
	}
	return out
})

// isArray reports whether a type is an array: one of fixed length such as point or name is not, nor int2vector.
func (t *Type) isArray() bool {
	return t.Elem != 0 && t.Len == -1 && t.Storage != "p"
}

// addObjects makes the rows of our objects. s.mu is held.
func (s *Snapshot) addObjects() {
	o := s.o
	for _, r := range o.Roles {
		var until any
		if r.ValidUntil != nil {
			until = *r.ValidUntil
		}
		s.add("pg_authid", cells{"oid": r.OID, "rolname": r.Name, "rolsuper": r.Super, "rolinherit": r.Inherit, "rolcreaterole": r.CreateRole, "rolcreatedb": r.CreateDB,
			"rolcanlogin": r.Login, "rolreplication": r.Replication, "rolbypassrls": r.BypassRLS, "rolconnlimit": r.ConnectionLimit, "rolvaliduntil": until})
		if r.Config != nil {
			s.add("pg_db_role_setting", cells{"setdatabase": 0, "setrole": r.OID, "setconfig": r.Config})
		}
		if r.Comment != "" {
			s.add("pg_shdescription", cells{"objoid": r.OID, "classoid": classRole, "description": r.Comment})
		}
	}
	for _, m := range o.Members {
		s.add("pg_auth_members", cells{"roleid": m.Role, "member": m.Member, "grantor": m.Grantor, "admin_option": m.Admin})
	}
	s.add("pg_database", cells{"oid": o.DatabaseOID, "datname": o.Database, "datdba": OwnerOID, "datacl": o.DatabaseACL})
	s.addSchemas()
	for _, d := range o.DefaultACLs {
		s.add("pg_default_acl", cells{"oid": d.OID, "defaclrole": d.Role, "defaclnamespace": d.Schema, "defaclobjtype": d.Kind, "defaclacl": d.ACL})
	}
	for _, w := range o.Wrappers {
		s.add("pg_foreign_data_wrapper", cells{"oid": w.OID, "fdwname": w.Name, "fdwowner": OwnerOID})
	}
	for _, v := range o.Servers {
		s.add("pg_foreign_server", cells{"oid": v.OID, "srvname": v.Name, "srvowner": OwnerOID, "srvfdw": v.Wrapper})
		s.describe(classForeignServer, v.OID, 0, v.Comment)
	}
	for _, t := range o.Tables {
		s.addTable(t)
	}
	for _, f := range o.Functions {
		s.addFunction(f)
	}
}

func (s *Snapshot) addSchemas() {
	named := map[string]bool{}
	for _, n := range s.o.Schemas {
		named[n.Name] = true
	}
	// PostgreSQL's own that ours do not replace.
	r := static()["pg_catalog.pg_namespace"]
	for _, c := range r.Rows() {
		for i := range c.N {
			if w := (row{r, c, i}); !named[w.text("nspname")] {
				s.add("pg_namespace", cells{"oid": w.int("oid"), "nspname": w.text("nspname"), "nspowner": w.int("nspowner"), "nspacl": texts(w, "nspacl")})
			}
		}
	}
	for _, n := range s.o.Schemas {
		s.add("pg_namespace", cells{"oid": n.OID, "nspname": n.Name, "nspowner": n.Owner, "nspacl": n.ACL})
		if n.OID >= FirstOID {
			s.describe(classNamespace, n.OID, 0, n.Comment)
		}
	}
}

func init() { replaced["pg_namespace"] = true }

// texts is a list of texts, nil for NULL.
func texts(w row, column string) []string {
	if w.null(column) {
		return nil
	}
	return append([]string{}, w.texts(column)...)
}

func (s *Snapshot) describe(class, oid uint32, column int, text string) {
	if text != "" {
		s.add("pg_description", cells{"objoid": oid, "classoid": class, "objsubid": column, "description": text})
	}
}

func (s *Snapshot) depend(class, oid uint32, sub int, refclass, ref uint32, refsub int, kind string) {
	s.add("pg_depend", cells{"classid": class, "objid": oid, "objsubid": sub, "refclassid": refclass, "refobjid": ref, "refobjsubid": refsub, "deptype": kind})
}

// systemColumns are the columns that every table has.
var systemColumns = []struct {
	name  string
	typ   uint32
	align string
}{{"ctid", oidTID, "s"}, {"xmin", oidXID, "i"}, {"cmin", oidCID, "i"}, {"xmax", oidXID, "i"}, {"cmax", oidCID, "i"}, {"tableoid", oidOID, "i"}}

func (s *Snapshot) addTable(t *Table) {
	checks := 0
	for _, c := range t.Constraints {
		if c.Type == 'c' {
			checks++
		}
	}
	class := cells{"oid": t.OID, "relname": t.Name, "relnamespace": t.Schema, "reltype": t.TypeOID, "relowner": t.Owner, "relhasindex": len(t.Indexes) > 0,
		"relpersistence": t.Persistence, "relkind": t.Kind, "relnatts": len(t.Columns), "relchecks": checks, "relhasrules": t.Kind == KindView || t.Kind == KindMaterialized, "relacl": t.ACL, "reloptions": t.Options}
	switch t.Kind {
	case KindTable:
		class["relam"], class["relfilenode"], class["relfrozenxid"], class["relminmxid"] = heapAM, t.OID, 1, 1
	case KindSequence:
		class["relfilenode"], class["reltuples"], class["relpages"], class["relreplident"] = t.OID, 1, 1, "n"
	case KindMaterialized:
		class["relam"], class["relfilenode"], class["relispopulated"] = heapAM, t.OID, !t.Unpopulated
	default:
		class["relreplident"] = "n"
	}
	if s.referred == nil { // PostgreSQL keeps references by triggers on both tables
		s.referred = map[uint32]bool{}
		for _, x := range s.o.Tables {
			for _, c := range x.Constraints {
				if c.Type == 'f' {
					s.referred[x.OID], s.referred[c.Foreign] = true, true
				}
			}
		}
	}
	class["relhastriggers"] = s.referred[t.OID]
	s.add("pg_class", class)
	s.depend(classClass, t.OID, 0, classNamespace, t.Schema, 0, "n")
	s.describe(classClass, t.OID, 0, t.Comment)
	for i, c := range t.Columns {
		s.addColumn(t.OID, i+1, c)
		s.describe(classClass, t.OID, i+1, c.Comment)
		if c.Default != "" {
			s.add("pg_attrdef", cells{"oid": c.DefaultOID, "adrelid": t.OID, "adnum": i + 1, "adbin": c.Default})
			s.depend(classAttrdef, c.DefaultOID, 0, classClass, t.OID, i+1, "a")
		}
	}
	if t.Kind == KindTable || t.Kind == KindSequence || t.Kind == KindForeign || t.Kind == KindMaterialized {
		for i, c := range systemColumns {
			typ := builtinTypes()[c.typ]
			s.add("pg_attribute", cells{"attrelid": t.OID, "attname": c.name, "atttypid": c.typ, "attstattarget": 0, "attlen": typ.Len, "attnum": -1 - i, "attbyval": typ.ByVal,
				"attalign": c.align, "attstorage": "p", "attnotnull": true})
		}
	}
	s.addRowType(t)
	if t.RuleOID != 0 {
		s.add("pg_rewrite", cells{"oid": t.RuleOID, "ev_class": t.OID, "ev_action": t.Definition})
		s.depend(classRewrite, t.RuleOID, 0, classClass, t.OID, 0, "i")
		s.depend(classRewrite, t.RuleOID, 0, classClass, t.OID, 0, "n")
		for _, on := range t.DependsOn {
			s.depend(classRewrite, t.RuleOID, 0, classClass, on, 0, "n")
		}
	}
	for _, c := range t.Constraints {
		s.addConstraint(t, c)
	}
	for _, x := range t.Indexes {
		s.addIndex(t, x)
	}
	if q := t.Sequence; q != nil {
		s.add("pg_sequence", cells{"seqrelid": t.OID, "seqtypid": q.Type, "seqstart": q.Start, "seqincrement": q.Increment, "seqmax": q.Max, "seqmin": q.Min, "seqcache": q.Cache, "seqcycle": q.Cycle})
		if q.OwnedBy != 0 {
			kind := "a"
			if q.Identity {
				kind = "i"
			}
			s.depend(classClass, t.OID, 0, classClass, q.OwnedBy, q.Column, kind)
		}
	}
	if t.Kind == KindForeign {
		s.add("pg_foreign_table", cells{"ftrelid": t.OID, "ftserver": t.Server, "ftoptions": t.ServerOptions})
	}
}

func (s *Snapshot) addColumn(relation uint32, number int, c TableColumn) {
	if c.Dropped {
		s.add("pg_attribute", cells{"attrelid": relation, "attname": fmt.Sprintf("........pg.dropped.%d........", number), "atttypid": 0, "attstattarget": 0, "attlen": -1, "attnum": number,
			"atttypmod": c.Mod, "attalign": "i", "attstorage": "p", "attisdropped": true})
		return
	}
	typ := s.typeOf(c.Type)
	dims := 0
	if typ.isArray() {
		dims = 1
	}
	s.add("pg_attribute", cells{"attrelid": relation, "attname": c.Name, "atttypid": c.Type, "attlen": typ.Len, "attnum": number, "attndims": dims, "atttypmod": c.Mod,
		"attbyval": typ.ByVal, "attalign": typ.Align, "attstorage": typ.Storage, "attnotnull": c.NotNull, "atthasdef": c.Default != "", "attidentity": c.Identity,
		"attgenerated": c.Generated, "attcollation": typ.Collation, "attacl": c.ACL})
}

// typeOf is a type, PostgreSQL's own or the row type of a relation of ours; an unknown one has the shape of text.
func (s *Snapshot) typeOf(oid uint32) *Type {
	if t := builtinTypes()[oid]; t != nil {
		return t
	}
	for _, t := range s.o.Tables {
		switch oid {
		case t.TypeOID:
			return &Type{OID: oid, Array: t.ArrayOID, Schema: t.Schema, Name: t.Name, Len: -1, Align: "d", Storage: "x", Kind: "c", Category: "C", BaseMod: -1}
		case t.ArrayOID:
			return &Type{OID: oid, Elem: t.TypeOID, Schema: t.Schema, Name: "_" + t.Name, Len: -1, Align: "d", Storage: "x", Kind: "b", Category: "A", BaseMod: -1}
		}
	}
	return &Type{OID: oid, Name: "???", Len: -1, Align: "i", Storage: "x", Kind: "b", Category: "U", BaseMod: -1}
}

// procOID is the object id of PostgreSQL's only function of a name.
func procOID(name string) uint32 {
	p := procs()[name]
	if len(p) != 1 {
		panic(fmt.Sprintf("pgcatalog: %d functions %s", len(p), name))
	}
	return p[0].OID
}

func (s *Snapshot) addRowType(t *Table) {
	if t.TypeOID == 0 {
		return
	}
	s.add("pg_type", cells{"oid": t.TypeOID, "typname": t.Name, "typnamespace": t.Schema, "typowner": t.Owner, "typtype": "c", "typcategory": "C", "typrelid": t.OID, "typarray": t.ArrayOID,
		"typinput": procOID("record_in"), "typoutput": procOID("record_out"), "typreceive": procOID("record_recv"), "typsend": procOID("record_send")})
	s.add("pg_type", cells{"oid": t.ArrayOID, "typname": "_" + t.Name, "typnamespace": t.Schema, "typowner": t.Owner, "typtype": "b", "typcategory": "A", "typelem": t.TypeOID,
		"typsubscript": procOID("array_subscript_handler"), "typinput": procOID("array_in"), "typoutput": procOID("array_out"), "typreceive": procOID("array_recv"), "typsend": procOID("array_send"), "typanalyze": procOID("array_typanalyze")})
	s.depend(classType, t.TypeOID, 0, classClass, t.OID, 0, "i")
	s.depend(classType, t.ArrayOID, 0, classType, t.TypeOID, 0, "i")
}

func (s *Snapshot) addConstraint(t *Table, c Constraint) {
	v := cells{"oid": c.OID, "conname": c.Name, "connamespace": t.Schema, "contype": c.Type, "condeferrable": c.Deferrable, "condeferred": c.Deferred, "convalidated": !c.NotValid, "conrelid": t.OID, "conindid": c.Index}
	if len(c.Columns) > 0 {
		v["conkey"] = c.Columns
	}
	switch c.Type {
	case 'c':
		v["conbin"], v["connoinherit"] = c.Check, false
		for _, n := range c.Columns { // of the expression, beside those of the constraint
			s.depend(classConstraint, c.OID, 0, classClass, t.OID, n, "n")
		}
	case 'f':
		equal := make([]int64, len(c.Columns))
		for i, n := range c.Columns {
			equal[i] = s.equality(t.Columns[n-1].Type)
		}
		v["confrelid"], v["confkey"], v["confupdtype"], v["confdeltype"], v["confmatchtype"] = c.Foreign, c.ForeignColumns, c.OnUpdate, c.OnDelete, "s"
		v["conpfeqop"], v["conppeqop"], v["conffeqop"] = equal, equal, equal
		for _, n := range c.ForeignColumns {
			s.depend(classConstraint, c.OID, 0, classClass, c.Foreign, n, "n")
		}
		s.depend(classConstraint, c.OID, 0, classClass, c.Index, 0, "n")
	}
	s.add("pg_constraint", v)
	for _, n := range c.Columns {
		s.depend(classConstraint, c.OID, 0, classClass, t.OID, n, "a")
	}
	if c.Type == 'p' || c.Type == 'u' {
		s.depend(classClass, c.Index, 0, classConstraint, c.OID, 0, "i")
	}
	s.describe(classConstraint, c.OID, 0, c.Comment)
}

func (s *Snapshot) addIndex(t *Table, x Index) {
	var columns []TableColumn
	expressions := 0
	for i, n := range x.Columns {
		c := TableColumn{Mod: -1, Type: oidText}
		if n > 0 {
			c.Name, c.Type, c.Mod = t.Columns[n-1].Name, t.Columns[n-1].Type, t.Columns[n-1].Mod
		} else {
			c.Name = fmt.Sprintf("expr%d", i)
			if i == 0 {
				c.Name = "expr"
			}
			expression := x.Expressions[expressions]
			expressions++
			c.Type = ownOnly().expressionType(expression, t)
			if name, _, ok := strings.Cut(expression, "("); ok && name != "" && !strings.ContainsAny(name, " ()") {
				c.Name = name
			}
		}
		columns = append(columns, c)
	}
	s.add("pg_class", cells{"oid": x.OID, "relname": x.Name, "relnamespace": t.Schema, "relowner": t.Owner, "relam": btreeAM, "relfilenode": x.OID, "relkind": "i", "relpersistence": t.Persistence,
		"relnatts": len(columns), "reltuples": 0, "relpages": 1, "relreplident": "n"})
	collations, classes, options := make([]int64, len(columns)), make([]int64, len(columns)), make([]int64, len(columns))
	for i, c := range columns {
		typ := s.typeOf(c.Type)
		collations[i], classes[i] = int64(typ.Collation), s.operatorClass(c.Type)
		s.addColumn(x.OID, i+1, c)
	}
	keys := x.Keys
	if keys == 0 {
		keys = len(columns)
	}
	for i, o := range x.Options {
		options[i] = int64(o)
	}
	collations, classes, options = collations[:keys], classes[:keys], options[:keys]
	v := cells{"indexrelid": x.OID, "indrelid": t.OID, "indnatts": len(columns), "indnkeyatts": keys, "indisunique": x.Unique, "indisprimary": x.Primary, "indnullsnotdistinct": x.NullsNotDistinct,
		"indkey": x.Columns, "indcollation": collations, "indclass": classes, "indoption": options}
	if len(x.Expressions) > 0 {
		v["indexprs"] = strings.Join(x.Expressions, expressionSeparator)
	}
	if x.Predicate != "" {
		v["indpred"] = x.Predicate
	}
	s.add("pg_index", v)
	constraint := slices.ContainsFunc(t.Constraints, func(c Constraint) bool { return c.Index == x.OID && c.Type != 'f' })
	if !constraint {
		for _, n := range x.Columns {
			s.depend(classClass, x.OID, 0, classClass, t.OID, n, "a")
		}
	}
	s.describe(classClass, x.OID, 0, x.Comment)
}

// expressionSeparator stands between the expressions of an index.
const expressionSeparator = "\x1f"

func (s *Snapshot) addFunction(f *Function) {
	v := cells{"oid": f.OID, "proname": f.Name, "pronamespace": f.Schema, "proowner": f.Owner, "proisstrict": f.Strict, "provolatile": f.Volatility, "pronargs": len(f.ArgTypes),
		"prorettype": f.Returns, "proargtypes": f.ArgTypes, "prosrc": f.Body, "proacl": f.ACL}
	if slices.ContainsFunc(f.ArgNames, func(n string) bool { return n != "" }) {
		v["proargnames"] = f.ArgNames
	}
	s.add("pg_proc", v)
	s.depend(classProc, f.OID, 0, classNamespace, f.Schema, 0, "n")
	s.describe(classProc, f.OID, 0, f.Comment)
}

// btreeClasses are the default operator classes of btree by type, and their operators for equality.
var btreeClasses = sync.OnceValue(func() map[int64][2]int64 {
	out := map[int64][2]int64{}
	equal := map[[2]int64]int64{}
	r := static()["pg_catalog.pg_amop"]
	for _, c := range r.Rows() {
		for i := range c.N {
			if w := (row{r, c, i}); w.int("amopmethod") == btreeAM && w.int("amopstrategy") == 3 && w.int("amoplefttype") == w.int("amoprighttype") {
				equal[[2]int64{w.int("amopfamily"), w.int("amoplefttype")}] = w.int("amopopr")
			}
		}
	}
	r = static()["pg_catalog.pg_opclass"]
	for _, c := range r.Rows() {
		for i := range c.N {
			if w := (row{r, c, i}); w.int("opcmethod") == btreeAM && w.bool("opcdefault") {
				out[w.int("opcintype")] = [2]int64{w.int("oid"), equal[[2]int64{w.int("opcfamily"), w.int("opcintype")}]}
			}
		}
	}
	return out
})

// comparedAs is the type whose operator class of btree a type has.
func comparedAs(t *Type) int64 {
	switch {
	case t.OID == oidVarchar:
		return oidText
	case t.isArray():
		return oidAnyArray
	}
	return int64(t.OID)
}

func (s *Snapshot) operatorClass(t uint32) int64 { return btreeClasses()[comparedAs(s.typeOf(t))][0] }
func (s *Snapshot) equality(t uint32) int64      { return btreeClasses()[comparedAs(s.typeOf(t))][1] }

// Proc is what pg_proc says of a function of PostgreSQL's own.
type Proc struct {
	OID, Returns uint32
	Name, Kind   string // as prokind has it
	Args         []uint32
	Set          bool
	OutNames     []string // of what a row of its result has, by OUT and TABLE arguments
	OutTypes     []uint32
}

// procs are PostgreSQL's own functions by name.
var procs = sync.OnceValue(func() map[string][]*Proc {
	out := map[string][]*Proc{}
	r := static()["pg_catalog.pg_proc"]
	for _, c := range r.Rows() {
		for i := range c.N {
			w := row{r, c, i}
			p := &Proc{OID: uint32(w.int("oid")), Returns: uint32(w.int("prorettype")), Name: w.text("proname"), Kind: w.text("prokind"), Set: w.bool("proretset")}
			for _, a := range w.ints("proargtypes") {
				p.Args = append(p.Args, uint32(a))
			}
			if !w.null("proargmodes") {
				names := w.texts("proargnames")
				for k, mode := range w.texts("proargmodes") {
					if mode == "o" || mode == "t" || mode == "b" {
						p.OutNames, p.OutTypes = append(p.OutNames, names[k]), append(p.OutTypes, uint32(w.ints("proallargtypes")[k]))
					}
				}
			}
			out[p.Name] = append(out[p.Name], p)
		}
	}
	return out
})

// tableFunction is a function in FROM whose rows are made here.
type tableFunction struct{ columns []Column }

// functionRows are the rows of a function in FROM.
func (s *Snapshot) functionRows(name string) (names []string, types []vector.Type, out []*vector.Chunk, err error) {
	f := tableFunctionNamed(name)
	if f == nil {
		return nil, nil, nil, fmt.Errorf("there is no function %s", name)
	}
	for _, c := range f.columns {
		names, types = append(names, c.Name), append(types, TypeOf(c.Type))
	}
	s.fill(name, f.columns, func(values ...any) {
		if n := len(out); n == 0 || out[n-1].N == chunkRows {
			out = append(out, vector.NewChunk(types, 64))
		}
		c := out[len(out)-1]
		for i, v := range values {
			appendValue(c.Cols[i], v)
		}
		c.N++
	})
	return names, types, out, nil
}
