package pgcatalog

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

//go:embed catalog.gz
var packed []byte

// Column is a column of a system relation.
type Column struct {
	Name    string
	Type    uint32 // object id of its type
	NotNull bool
	hidden  bool // a system column, which * does not show
}

// Relation is a relation of pg_catalog or information_schema.
type Relation struct {
	Schema, Name string
	Columns      []Column
	View         string // the SELECT that gives its rows, "" where the relation has its own
	// Definition is what pg_get_viewdef says, Pretty the same with few parentheses.
	Definition, Pretty string

	raw   [][]byte // rows in COPY's text format
	parse sync.Once
	rows  []*vector.Chunk
}

// chunkRows is the number of rows of a chunk: DuckDB's vectors hold as many.
const chunkRows = 2048

// emptyViews are views that have no rows here, because what they are about cannot be made, and whose definitions read rows as values.
var emptyViews = map[string]bool{"pg_stats_ext": true, "pg_stats_ext_exprs": true}

// static are the relations as they were exported, by schema and name.
var static = sync.OnceValue(func() map[string]*Relation {
	fail := func(err error) { panic(fmt.Sprintf("pgcatalog: the embedded catalog: %v", err)) } // a test reads all of it
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		fail(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		fail(err)
	}
	out := map[string]*Relation{}
	var rel *Relation
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		if line[0] == ' ' {
			rel.raw = append(rel.raw, line[1:])
			continue
		}
		w := strings.SplitN(string(line), " ", 4)
		switch w[0] {
		case "R":
			rel = &Relation{Schema: w[1], Name: w[2]}
			out[w[1]+"."+w[2]] = rel
		case "C":
			oid, err := strconv.ParseUint(w[2], 10, 32)
			if err != nil {
				fail(err)
			}
			rel.Columns = append(rel.Columns, Column{Name: w[1], Type: uint32(oid), NotNull: w[3] == "t"})
		case "P":
			rel.Pretty = strings.ReplaceAll(string(line[2:]), `\n`, "\n")
		case "V":
			rel.Definition = strings.ReplaceAll(string(line[2:]), `\n`, "\n")
			if emptyViews[rel.Name] {
				continue
			}
			rel.View = strings.TrimSuffix(strings.TrimSpace(strings.ReplaceAll(string(line[2:]), `\n`, "\n")), ";")
		}
	}
	return out
})

// Lookup is a relation of pg_catalog or information_schema, nil where there is none of that name.
func Lookup(schema, name string) *Relation { return static()[schema+"."+name] }

// Names are the relations of a schema.
func Names(schema string) []string {
	var out []string
	for _, r := range static() {
		if r.Schema == schema {
			out = append(out, r.Name)
		}
	}
	return out
}

// Index is the position of a column, −1 where there is none.
func (r *Relation) Index(column string) int {
	for i, c := range r.Columns {
		if c.Name == column {
			return i
		}
	}
	return -1
}

// types are those of the columns' values.
func (r *Relation) types() []vector.Type {
	out := make([]vector.Type, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = TypeOf(c.Type)
	}
	return out
}

// Rows are the rows that every PostgreSQL has.
func (r *Relation) Rows() []*vector.Chunk {
	r.parse.Do(func() {
		types := r.types()
		for from := 0; from < len(r.raw); from += chunkRows {
			lines := r.raw[from:min(from+chunkRows, len(r.raw))]
			c := vector.NewChunk(types, len(lines))
			for _, line := range lines {
				for i, field := range bytes.Split(line, []byte{'\t'}) {
					if len(field) == 2 && field[0] == '\\' && field[1] == 'N' {
						c.Cols[i].AppendNull()
					} else {
						appendText(c.Cols[i], r.Columns[i].Type, unescape(field))
					}
				}
				c.N++
			}
			c.Check()
			r.rows = append(r.rows, c)
		}
		r.raw = nil
	})
	return r.rows
}

// unescape reads a field of COPY's text format.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
			switch b[i] {
			case 'n':
				out = append(out, '\n')
				continue
			case 't':
				out = append(out, '\t')
				continue
			case 'r':
				out = append(out, '\r')
				continue
			}
		}
		out = append(out, b[i])
	}
	return string(out)
}

// Object ids of types that the catalogs' columns have.
const (
	oidBool, oidBytea, oidChar, oidName, oidInt8, oidInt2, oidInt2Vector = 16, 17, 18, 19, 20, 21, 22
	oidInt4, oidRegproc, oidText, oidOID, oidTID, oidXID, oidCID         = 23, 24, 25, 26, 27, 28, 29
	oidOIDVector, oidNodeTree, oidFloat4, oidFloat8, oidUnknown          = 30, 194, 700, 701, 705
	oidVarchar, oidTimestamp, oidTimestampTZ, oidInterval, oidNumeric    = 1043, 1114, 1184, 1186, 1700
	oidRegprocedure, oidRegoper, oidRegoperator, oidRegclass, oidRegtype = 2202, 2203, 2204, 2205, 2206
	oidRegconfig, oidRegdictionary, oidRegnamespace, oidRegrole          = 3734, 3769, 4089, 4096
	oidRegcollation, oidXID8, oidRecord, oidBPChar, oidJSON              = 4191, 5069, 2249, 1042, 114
	oidAnyArray, oidACLItem, oidCString, oidJSONB                        = 2277, 1033, 2275, 3802
	oidAnyRange, oidAnyMultirange                                        = 3831, 4537
)

// TypeOf is the type of values of a PostgreSQL type as the catalogs hold them: object ids as bigint, vectors as lists, and what has
// no type of its own as text.
func TypeOf(oid uint32) vector.Type {
	if oid >= firstDomain {
		oid = baseType(oid)
	}
	switch oid {
	case oidBool:
		return vector.T(vector.Bool)
	case oidInt2:
		return vector.T(vector.Int16)
	case oidInt4:
		return vector.T(vector.Int32)
	case oidInt8, oidOID, oidXID, oidCID, oidXID8:
		return vector.T(vector.Int64)
	case oidFloat4:
		return vector.T(vector.Float32)
	case oidFloat8:
		return vector.T(vector.Float64)
	case oidNumeric:
		return vector.DecimalOf(38, 0)
	case oidBytea:
		return vector.T(vector.Bytes)
	case oidTimestampTZ:
		return vector.T(vector.TimestampTZ)
	case oidTimestamp:
		return vector.T(vector.Timestamp)
	case oidInterval:
		return vector.T(vector.Interval)
	case oidInt2Vector:
		return vector.ListOf(vector.T(vector.Int16))
	case oidOIDVector:
		return vector.ListOf(vector.T(vector.Int64))
	}
	if registered(oid) {
		return vector.T(vector.Int64)
	}
	if elem := arrayElements[oid]; elem != 0 {
		return vector.ListOf(TypeOf(elem))
	}
	return vector.T(vector.Text)
}

// firstDomain is where object ids begin that initdb gives, to information_schema's domains among others.
const firstDomain = 12000

// arrayElements are the element types of the arrays that the catalogs' columns are of.
var arrayElements = map[uint32]uint32{1000: oidBool, 1002: oidChar, 1003: oidName, 1005: oidInt2, 1007: oidInt4, 1009: oidText, 1016: oidInt8,
	1021: oidFloat4, 1022: oidFloat8, 1028: oidOID, 1034: oidACLItem, 1015: oidVarchar, 2211: oidRegtype, 2210: oidRegclass, 1008: oidRegproc,
	2207: oidRegprocedure, 3735: oidRegconfig, 3770: oidRegdictionary, 4090: oidRegnamespace, 4097: oidRegrole, 4192: oidRegcollation, 2208: oidRegoper, 2209: oidRegoperator}

// registered reports whether a type is one of those whose values are object ids that are read and written as names.
func registered(oid uint32) bool {
	switch oid {
	case oidRegproc, oidRegprocedure, oidRegoper, oidRegoperator, oidRegclass, oidRegtype, oidRegconfig, oidRegdictionary, oidRegnamespace, oidRegrole, oidRegcollation:
		return true
	}
	return false
}

// appendText appends a value of PostgreSQL's text form.
func appendText(v *vector.Vector, oid uint32, s string) {
	bad := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("pgcatalog: %q of type %d: %v", s, oid, err))
		}
	}
	switch v.Type.Kind {
	case vector.Bool:
		v.AppendBool(s == "t")
	case vector.Int16, vector.Int32, vector.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		bad(err)
		v.AppendInt(n)
	case vector.Float32, vector.Float64:
		x, err := strconv.ParseFloat(s, 64)
		bad(err)
		v.AppendFloat(x)
	case vector.Interval: // of hours
		negative := strings.HasPrefix(s, "-")
		t, err := time.Parse("15:04:05", strings.TrimPrefix(s, "-"))
		bad(err)
		micros := int64(t.Hour()*3600+t.Minute()*60+t.Second()) * 1_000_000
		if negative {
			micros = -micros
		}
		v.AppendBytes(binary.LittleEndian.AppendUint64(make([]byte, 8), uint64(micros)))
	case vector.TimestampTZ:
		t, err := time.Parse("2006-01-02 15:04:05.999999-07", s)
		bad(err)
		v.AppendInt(t.UnixMicro())
	case vector.List:
		var elems []string
		var elem uint32
		switch oid {
		case oidInt2Vector, oidOIDVector:
			elems = strings.Fields(s)
		default:
			elem = arrayElements[oid]
			elems = arrayOf(s)
		}
		for _, e := range elems {
			appendText(v.Child[0], elem, e)
		}
		v.CloseNested()
	default:
		v.AppendString(s)
	}
}

// arrayOf are the elements of PostgreSQL's text form of an array of one dimension without NULLs.
func arrayOf(s string) []string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	var out []string
	var b strings.Builder
	quoted, any := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted, any = !quoted, true
		case c == ',' && !quoted:
			out = append(out, b.String())
			b.Reset()
			any = false
			continue
		default:
			b.WriteByte(c)
		}
		any = true
	}
	if any || len(out) > 0 {
		out = append(out, b.String())
	}
	return out
}
