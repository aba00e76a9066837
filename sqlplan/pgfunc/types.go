package pgfunc

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// typeInfo is a type of PostgreSQL's that values can have.
type typeInfo struct {
	name       string
	oid, array uint32
	kind       vector.Kind // that holds it
	sql        string      // as messages have it; "": name
}

var typeList = append([]typeInfo{
	{"bool", 16, 1000, vector.Bool, "boolean"}, {"bytea", 17, 1001, vector.Bytes, ""}, {"char", 18, 1002, vector.Text, `"char"`},
	{"name", 19, 1003, vector.Text, ""}, {"int8", 20, 1016, vector.Int64, "bigint"}, {"int2", 21, 1005, vector.Int16, "smallint"},
	{"int4", 23, 1007, vector.Int32, "integer"}, {"text", 25, 1009, vector.Text, ""}, {"oid", 26, 1028, vector.Int64, ""},
	{"json", 114, 199, vector.JSON, ""}, {"float4", 700, 1021, vector.Float32, "real"}, {"float8", 701, 1022, vector.Float64, "double precision"},
	{"inet", 869, 1041, vector.Text, ""}, {"cidr", 650, 651, vector.Text, ""}, {"bpchar", 1042, 1014, vector.Text, "character"},
	{"varchar", 1043, 1015, vector.Text, "character varying"}, {"date", 1082, 1182, vector.Date, ""},
	{"time", 1083, 1183, vector.Time, "time without time zone"}, {"timestamp", 1114, 1115, vector.Timestamp, "timestamp without time zone"},
	{"timestamptz", 1184, 1185, vector.TimestampTZ, "timestamp with time zone"}, {"interval", 1186, 1187, vector.Interval, ""},
	{"timetz", 1266, 1270, vector.Text, "time with time zone"}, {"bit", 1560, 1561, vector.Text, ""}, {"varbit", 1562, 1563, vector.Text, "bit varying"},
	{"numeric", 1700, 1231, vector.Text, ""}, {"uuid", 2950, 2951, vector.UUID, ""}, {"jsonb", 3802, 3807, vector.Text, ""},
	{"unknown", 705, 0, vector.Text, ""}, {"macaddr", 829, 1040, vector.Text, ""}, {"macaddr8", 774, 775, vector.Text, ""},
	{"tid", 27, 1010, vector.Text, ""}, {"xid8", 5069, 271, vector.Text, ""}, {"point", 600, 1017, vector.Text, ""}, {"lseg", 601, 1018, vector.Text, ""},
	{"path", 602, 1019, vector.Text, ""}, {"box", 603, 0, vector.Text, ""}, {"polygon", 604, 1027, vector.Text, ""}, {"line", 628, 629, vector.Text, ""},
	{"circle", 718, 719, vector.Text, ""}, {"money", 790, 791, vector.Text, ""},
}, rangeTypes()...)

func rangeTypes() (out []typeInfo) {
	for _, r := range codec.RangeTypes {
		out = append(out, typeInfo{r.Name, r.OID, r.Array, vector.Text, ""}, typeInfo{r.MultiName, r.Multi, r.MultiArray, vector.Text, ""})
	}
	return out
}

var (
	infoByOID  = map[uint32]*typeInfo{}
	infoByName = map[string]*typeInfo{}
	elemOfOID  = map[uint32]*typeInfo{}
)

func init() {
	for i := range typeList {
		t := &typeList[i]
		infoByOID[t.oid], infoByName[t.name] = t, t
		if t.array != 0 {
			elemOfOID[t.array] = t
		}
		if KeptAsText(t.name) != 0 {
			codec.RegisterText(t.oid, func(s string, set *codec.Settings) (string, error) {
				v, err := In(t.oid, -1, s, set)
				if err != nil {
					return "", err
				}
				return string(v.Bytes(0)), nil
			})
		}
	}
}

func typeNamed(name string) vector.Type {
	switch name {
	case "any", "anyelement", "anyarray", "anycompatible", "anycompatiblearray":
		return vector.Type{}
	case "anyrange", "anymultirange":
		return vector.T(vector.Text)
	}
	if e, ok := strings.CutPrefix(name, "_"); ok {
		return vector.ListOf(typeNamed(e))
	}
	for i := range typeList {
		if typeList[i].name == name {
			return vector.T(typeList[i].kind)
		}
	}
	panic("pgfunc: no type " + name)
}

// Physical is what holds values of a type: numerics, and what the engine lacks, are text.
func Physical(oid uint32) vector.Type {
	if t := infoByOID[oid]; t != nil {
		return vector.T(t.kind)
	}
	if e := elemOfOID[oid]; e != nil {
		t := vector.T(e.kind)
		t.Shown = e.oid
		return vector.ListOf(t)
	}
	return vector.T(vector.Text)
}

func sqlName(oid uint32) string {
	if t := infoByOID[oid]; t != nil {
		if t.sql != "" {
			return t.sql
		}
		return t.name
	}
	if e := elemOfOID[oid]; e != nil {
		return sqlName(e.oid) + "[]"
	}
	return "unknown"
}

// In is the value of a type that a text means, in a vector of one; nil for types whose input is not known here.
func In(oid uint32, mod int32, s string, set *codec.Settings) (*vector.Vector, error) {
	return inCall(nil, oid, mod, s, set)
}

func inCall(c *duck.Call, oid uint32, mod int32, s string, set *codec.Settings) (*vector.Vector, error) {
	c.Work(len(s))
	text := func(s string, err error) (*vector.Vector, error) {
		if err != nil {
			return nil, err
		}
		v := vector.New(vector.T(vector.Text), 1)
		v.AppendString(s)
		return v, nil
	}
	if e := elemOfOID[oid]; e != nil {
		return arrayIn(c, e, s, set)
	}
	switch oid {
	case 3802:
		return text(jsonbIn(c, s))
	case 1700:
		return text(NumericIn(s, mod))
	case 1266:
		return text(timetzIn(s, set))
	case 1560, 1562:
		return text(bitIn(s))
	case 869, 650:
		return text(inetIn(s, oid == 650))
	case 18, 19:
		return text(TextIn(s, oid, mod))
	case 26:
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return nil, bad("22P02", `invalid input syntax for type oid: "%s"`, s)
		}
		if n < -1<<31 || n > 1<<32-1 {
			return nil, bad("22003", `value "%s" is out of range for type oid`, s)
		}
		v := vector.New(vector.T(vector.Int64), 1)
		v.AppendInt(n & (1<<32 - 1))
		return v, nil
	case 829:
		return text(codec.ParseMacaddr(s, 6))
	case 774:
		return text(codec.ParseMacaddr(s, 8))
	case 27:
		return text(codec.ParseTID(s))
	case 5069:
		return text(xid8In(s))
	case 790:
		return nil, bad("0A000", "type %s is not supported", sqlName(oid))
	case 114:
		if _, err := parseJSON(c, s, "json"); err != nil {
			return nil, err
		}
	}
	if r, multi := codec.RangeOf(oid); r != nil {
		return text(rangeIn(c, r, multi, s, set))
	}
	if codec.Geometric(oid) {
		g, err := codec.ParseShape(oid, s)
		if err != nil {
			return nil, err
		}
		return text(g.Text(codec.Defaults), nil)
	}
	t := infoByOID[oid]
	if t == nil {
		return nil, nil
	}
	if t.kind == vector.Text {
		return text(TextIn(s, oid, mod))
	}
	if oid == 1186 && mod >= 0 {
		s = intervalFields(s, mod)
	}
	v, err := codec.ParseText(vector.T(t.kind), s, set)
	if err == nil && oid == 1186 && mod >= 0 {
		x := intervalOf(v, 0)
		if x, err = intervalMod(x, mod); err == nil {
			v = vector.New(vector.T(vector.Interval), 1)
			x.append(v)
		}
	}
	return v, err
}

// intervalFields writes out the unit that INTERVAL '1' DAY and its kin give a number.
func intervalFields(s string, mod int32) string {
	t := strings.TrimSpace(s)
	fields := mod >> 16 & 0x7fff
	if fields == 0x7fff || t == "" {
		return s
	}
	digits := strings.TrimLeft(t, "+-")
	if fields == 1<<11|1<<12 && strings.Count(digits, ":") == 1 && strings.Trim(digits, "0123456789:.") == "" {
		return t[:len(t)-len(digits)] + "0:" + digits
	}
	if strings.Trim(digits, "0123456789.") != "" {
		return s
	}
	for _, u := range []struct {
		bit  int32
		name string
	}{{12, "second"}, {11, "minute"}, {10, "hour"}, {3, "day"}, {1, "month"}, {2, "year"}} {
		if fields&(1<<u.bit) != 0 {
			return t + " " + u.name
		}
	}
	return s
}

// TextIn is what a text of a type of characters means.
func TextIn(s string, oid uint32, mod int32) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", bad("22021", "%s", vector.BadTextMessage([]byte{0}))
	}
	switch oid {
	case 18:
		s = charText(charByte(s))
	case 19:
		if len(s) > 63 {
			s = cutUTF8(s, 63)
		}
	}
	return s, nil
}

// charByte is the byte that a text means as "char": an octal escape, or the text's first byte.
func charByte(s string) byte {
	if len(s) == 4 && s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7' {
		return (s[1]-'0')<<6 | (s[2]-'0')<<3 | (s[3] - '0')
	}
	if s == "" {
		return 0
	}
	return s[0]
}

// charText is the text of a "char".
func charText(b byte) string {
	switch {
	case b == 0:
		return ""
	case b >= 0x80:
		return fmt.Sprintf("\\%03o", b)
	}
	return string(rune(b))
}

func cutUTF8(s string, n int) string {
	for n > 0 && n < len(s) && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:min(n, len(s))]
}

// Out is the text of value i of v, whose type has the given name.
func Out(name string, v *vector.Vector, i int, set *codec.Settings) string {
	if v.Type.Kind == vector.Text || v.Type.Kind == vector.JSON {
		if t := infoByName[name]; t != nil {
			if r, _ := codec.RangeOf(t.oid); r != nil || codec.Geometric(t.oid) {
				shown := *v
				shown.Type.Shown = t.oid
				return string(codec.AppendText(nil, &shown, i, set))
			}
		} else if e := infoByName[strings.TrimPrefix(name, "_")]; e != nil && strings.HasPrefix(name, "_") {
			shown := *v
			shown.Type.Shown = e.array
			return string(codec.AppendText(nil, &shown, i, set))
		}
		return string(v.Bytes(i))
	}
	return string(codec.AppendText(nil, v, i, set))
}

// KeptAsText is the object id of a type, by its name in pg_type, whose values in tables are kept as PostgreSQL's text of them; 0 for
// others.
func KeptAsText(name string) uint32 {
	t := infoByName[name]
	if t == nil {
		return 0
	}
	switch name {
	case "char", "inet", "cidr", "timetz", "bit", "varbit", "macaddr", "macaddr8", "tid", "xid8":
		return t.oid
	}
	if codec.Geometric(t.oid) {
		return t.oid
	}
	if r, _ := codec.RangeOf(t.oid); r != nil {
		return t.oid
	}
	return 0
}

// SettingsText is the text of settings that functions take.
func SettingsText(s *codec.Settings) string {
	zone := "UTC"
	if s.Zone != nil {
		zone = s.Zone.String()
	}
	escape := 0
	if s.ByteaEscape {
		escape = 1
	}
	return fmt.Sprintf("%d %d %d %d %d %s", s.Order, s.Intervals, escape, s.FloatDigits, s.Dates, zone)
}

var parsedSettings sync.Map

func settingsOf(b []byte) *codec.Settings {
	if s, ok := parsedSettings.Load(string(b)); ok {
		return s.(*codec.Settings)
	}
	s := &codec.Settings{}
	var order, intervals, escape int
	dates := 0
	f := strings.SplitN(string(b), " ", 6)
	if len(f) == 6 {
		dates, _ = strconv.Atoi(f[4])
		order, _ = strconv.Atoi(f[0])
		intervals, _ = strconv.Atoi(f[1])
		escape, _ = strconv.Atoi(f[2])
		s.FloatDigits, _ = strconv.Atoi(f[3])
		if zone, err := codec.LoadZone(f[5]); err == nil {
			s.Zone = zone
		}
	}
	s.Dates = codec.DateOutput(dates)
	s.Order, s.Intervals, s.ByteaEscape = codec.DateOrder(order), codec.IntervalStyle(intervals), escape == 1
	parsedSettings.Store(string(b), s)
	return s
}

func zoneOf(s *codec.Settings) *time.Location {
	if s == nil || s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// CastFunction is the function that casts one type to another, nil where there is none.
func CastFunction(from, to uint32) *Function {
	return Find("cast(" + shortName(from) + " as " + shortName(to) + ")")
}

func shortName(oid uint32) string {
	if t := infoByOID[oid]; t != nil {
		return t.name
	}
	if e := elemOfOID[oid]; e != nil {
		return "_" + e.name
	}
	return "?"
}

// ArrayCast is the function that makes the text of an array of another element type: settings, names of the types, the array.
const ArrayCast = "__array_cast"

// MomentFunction is the function that makes a date, time or timestamp of days or microseconds.
func MomentFunction(k vector.Kind) string { return "__moment_" + shortNameOfKind(k) }

func shortNameOfKind(k vector.Kind) string {
	for _, t := range typeList {
		if t.kind == k {
			return t.name
		}
	}
	return "?"
}

func init() {
	for _, k := range []string{"date", "time", "timestamp", "timestamptz"} {
		ours("__moment_"+k+"(int8)", k, func(a args, out *vector.Vector) error { out.AppendInt(a.n(0)); return nil })
	}
	for i := range typeList {
		t := &typeList[i]
		if t.oid == 705 || t.oid == 790 {
			continue
		}
		for _, array := range []bool{false, true} {
			name, oid := t.name, t.oid
			if array && t.array == 0 {
				continue
			}
			if array {
				name, oid = "_"+t.name, t.array
			}
			if t.kind == vector.Text && !array && (t.name == "text" || t.name == "varchar" || t.name == "bpchar" || t.name == "name" || t.name == "char") {
				continue
			}
			ours("cast(text as "+name+")", name, func(a args, out *vector.Vector) error {
				v, err := inCall(a.call, oid, -1, a.s(0), a.set)
				if err != nil {
					return err
				}
				if array && v.Type.Kind != vector.List {
					return bad("0A000", "an array of more than one dimension is read of a literal or parameter only")
				}
				out.AppendFrom(v, 0)
				return nil
			}, settings)
			ours("cast("+name+" as text)", "text", func(a args, out *vector.Vector) error {
				switch s := Out(name, a.v[0], a.i, a.set); {
				case name == "bool":
					out.AppendString(map[string]string{"t": "true", "f": "false"}[s])
				case name == "inet":
					out.AppendString(prefixOf(s).String())
				default:
					out.AppendString(s)
				}
				return nil
			}, settings)
		}
	}
	ours(ArrayCast+"(text,text,text,anyarray)", "text", func(a args, out *vector.Vector) error {
		set := settingsOf(a.b(0))
		c, from, to := a.elements(3)
		tmp := vector.New(vector.ListOf(vector.T(vector.Text)), 1)
		for j := from; j < to; j++ {
			if c.IsNull(j) {
				tmp.Child[0].AppendNull()
				continue
			}
			a.call.Work(128)
			tmp.Child[0].AppendString(Out(a.s(1), c, j, set))
		}
		tmp.CloseNested()
		out.AppendBytes(codec.AppendText(nil, tmp, 0, set))
		return nil
	})
	ours("__text_array_out(_text)", "text", func(a args, out *vector.Vector) error {
		out.AppendBytes(codec.AppendText(nil, a.v[0], a.i, a.set))
		return nil
	})
}
