package analyze

import (
	_ "embed"
	"strconv"
	"strings"
)

// OID is an object id of pg_type. 0 stands for a type that is not known: such expressions are left as they are.
type OID = uint32

// Object ids of the types that the analyzer itself speaks of.
const (
	oidBool, oidBytea, oidChar, oidName, oidInt8, oidInt2, oidInt4 OID = 16, 17, 18, 19, 20, 21, 23
	oidText, oidOid, oidJSON, oidFloat4, oidFloat8, oidUnknown     OID = 25, 26, 114, 700, 701, 705
	oidInet, oidCidr, oidBPChar, oidVarchar, oidDate, oidTime      OID = 869, 650, 1042, 1043, 1082, 1083
	oidTimestamp, oidTimestampTZ, oidInterval, oidTimeTZ           OID = 1114, 1184, 1186, 1266
	oidBit, oidVarbit, oidNumeric, oidUUID, oidJSONB, oidRecord    OID = 1560, 1562, 1700, 2950, 3802, 2249
	oidAny, oidAnyElement, oidAnyArray, oidAnyNonArray, oidAnyEnum OID = 2276, 2283, 2277, 2776, 3500
	oidAnyCompatible, oidAnyCompatibleArray                        OID = 5077, 5078
	oidAnyCompatibleNonArray, oidVoid, oidTextArray                OID = 5079, 2278, 1009
	oidRegclass, oidRegtype, oidRegproc                            OID = 2205, 2206, 24
	oidAnyRange, oidAnyMultirange                                  OID = 3831, 4537
)

// pgType is a row of pg_type.
type pgType struct {
	oid       OID
	name      string // typname
	sql       string // format_type
	category  byte
	preferred bool
	elem      OID // of an array
	array     OID
	kind      byte // b, p, r or m
}

// proc is a row of pg_proc.
type proc struct {
	oid      OID
	name     string
	kind     byte // f, a or w
	set      bool
	strict   bool
	variadic OID
	defaults int
	result   OID
	args     []OID
	names    []string // of all parameters
	modes    string
	all      []OID // types of all parameters, where some are OUT
}

// operator is a row of pg_operator.
type operator struct {
	name                string
	left, right, result OID // left is 0 of a prefix operator
}

type castEntry struct {
	function OID  // 0: by text, or the same bytes
	context  byte // e, a or i
	method   byte // f, i or b
}

//go:embed catalog/types.tsv
var typesTSV string

//go:embed catalog/procs.tsv
var procsTSV string

//go:embed catalog/operators.tsv
var operatorsTSV string

//go:embed catalog/casts.tsv
var castsTSV string

var (
	types      = map[OID]*pgType{}
	typeByName = map[string]*pgType{}
	procs      = map[string][]*proc{}
	operators  = map[string][]*operator{}
	casts      = map[[2]OID]castEntry{}
)

func init() {
	number := func(s string) OID {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			panic("analyze: bad catalog: " + err.Error())
		}
		return OID(n)
	}
	list := func(s string) (out []OID) {
		for _, f := range strings.Fields(s) {
			out = append(out, number(f))
		}
		return out
	}
	each := func(tsv string, row func(f []string)) {
		for line := range strings.Lines(tsv) {
			row(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	each(typesTSV, func(f []string) {
		t := &pgType{oid: number(f[0]), name: f[1], category: f[2][0], preferred: f[3] == "1", elem: number(f[4]), array: number(f[5]), kind: f[7][0], sql: f[8]}
		if t.category != 'A' || t.name == "oidvector" || t.name == "int2vector" {
			t.elem = 0
		}
		types[t.oid], typeByName[t.name] = t, t
		if t.elem != 0 {
			d := *t
			d.oid = Dimensional(t.oid)
			types[d.oid] = &d
		}
	})
	each(procsTSV, func(f []string) {
		p := &proc{oid: number(f[0]), name: f[1], kind: f[2][0], set: f[3] == "1", strict: f[4] == "1", variadic: number(f[5]),
			result: number(f[7]), args: list(f[8]), modes: f[10], all: list(f[11])}
		p.defaults, _ = strconv.Atoi(f[6])
		if f[9] != "" {
			p.names = strings.Split(f[9], " ")
		}
		procs[p.name] = append(procs[p.name], p)
	})
	each(operatorsTSV, func(f []string) {
		operators[f[1]] = append(operators[f[1]], &operator{f[1], number(f[3]), number(f[4]), number(f[5])})
	})
	each(castsTSV, func(f []string) {
		casts[[2]OID{number(f[0]), number(f[1])}] = castEntry{number(f[2]), f[3][0], f[4][0]}
	})
}

// typeName is a type as PostgreSQL's messages write it.
func typeName(t OID) string {
	if k := types[t]; k != nil {
		return k.sql
	}
	return "unknown"
}

func category(t OID) byte {
	if k := types[t]; k != nil {
		return k.category
	}
	return 'U'
}

func preferred(t OID) bool { return types[t] != nil && types[t].preferred }

// elemOf is the element type of an array, 0 of others.
func elemOf(t OID) OID {
	if k := types[t]; k != nil {
		return k.elem
	}
	return 0
}

func arrayOf(t OID) OID {
	if k := types[t]; k != nil {
		return k.array
	}
	return 0
}

func isArray(t OID) bool { return elemOf(t) != 0 }

func polymorphic(t OID) bool {
	switch t {
	case oidAnyElement, oidAnyArray, oidAnyNonArray, oidAnyEnum, oidAnyCompatible, oidAnyCompatibleArray, oidAnyCompatibleNonArray,
		3831, 4537, 5080, 4538: // ranges
		return true
	}
	return false
}

func typeNames(l []OID) string {
	out := make([]string, len(l))
	for i, t := range l {
		out[i] = typeName(t)
	}
	return strings.Join(out, ", ")
}

// shortNames are types by typname, as signatures of the emission's table have them.
func shortNames(l []OID) string {
	out := make([]string, len(l))
	for i, t := range l {
		out[i] = shortName(t)
	}
	return strings.Join(out, ",")
}

func shortName(t OID) string {
	if k := types[t]; k != nil {
		return k.name
	}
	return "?"
}
