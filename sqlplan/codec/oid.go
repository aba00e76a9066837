package codec

import "github.com/tilehouse/tilehouse/functions/vector"

// Object ids of PostgreSQL's types that are in use.
const (
	OIDBool, OIDBytea, OIDInt8, OIDInt2, OIDInt4, OIDText     = 16, 17, 20, 21, 23, 25
	OIDJSON, OIDFloat4, OIDFloat8, OIDUnknown                 = 114, 700, 701, 705
	OIDBPChar, OIDVarchar, OIDDate, OIDTime, OIDTimestamp     = 1042, 1043, 1082, 1083, 1114
	OIDTimestampTZ, OIDInterval, OIDNumeric, OIDUUID          = 1184, 1186, 1700, 2950
	OIDJSONB, OIDName, OIDOid                                 = 3802, 19, 26
	oidBoolArray, oidByteaArray, oidInt2Array                 = 1000, 1001, 1005
	oidInt4Array, oidTextArray, oidInt8Array                  = 1007, 1009, 1016
	oidFloat4Array, oidFloat8Array, oidJSONArray              = 1021, 1022, 199
	oidDateArray, oidTimeArray, oidTimestampArray             = 1182, 1183, 1115
	oidTimestampTZArray, oidIntervalArray                     = 1185, 1187
	oidNumericArray, oidUUIDArray, oidVarcharArray, oidBPChar = 1231, 2951, 1015, 1014
)

// Unconstrained numerics of clients, which say no precision, become this type.
const (
	DefaultPrecision = 38
	DefaultScale     = 9
)

type oids struct {
	oid, array uint32
	length     int16 // pg_type.typlen
}

var kindOIDs = map[vector.Kind]oids{
	vector.Bool:        {OIDBool, oidBoolArray, 1},
	vector.Int16:       {OIDInt2, oidInt2Array, 2},
	vector.Int32:       {OIDInt4, oidInt4Array, 4},
	vector.Int64:       {OIDInt8, oidInt8Array, 8},
	vector.Float32:     {OIDFloat4, oidFloat4Array, 4},
	vector.Float64:     {OIDFloat8, oidFloat8Array, 8},
	vector.Decimal:     {OIDNumeric, oidNumericArray, -1},
	vector.Text:        {OIDText, oidTextArray, -1},
	vector.Bytes:       {OIDBytea, oidByteaArray, -1},
	vector.UUID:        {OIDUUID, oidUUIDArray, 16},
	vector.Date:        {OIDDate, oidDateArray, 4},
	vector.Time:        {OIDTime, oidTimeArray, 8},
	vector.Timestamp:   {OIDTimestamp, oidTimestampArray, 8},
	vector.TimestampTZ: {OIDTimestampTZ, oidTimestampTZArray, 8},
	vector.Interval:    {OIDInterval, oidIntervalArray, 16},
	vector.JSON:        {OIDJSON, oidJSONArray, -1},
	vector.Map:         {OIDJSON, oidJSONArray, -1},
	vector.Null:        {OIDText, oidTextArray, -1},
}

// isArray reports whether t travels as a PostgreSQL array: a list of something that is neither a list nor a map.
func isArray(t vector.Type) bool {
	return t.Kind == vector.List && t.Elem[0].Kind != vector.List && t.Elem[0].Kind != vector.Map
}

// OID is the type's object id in pg_type. Types that PostgreSQL lacks are json, an untyped NULL is text.
func OID(t vector.Type) uint32 {
	if t.Shown != 0 {
		return t.Shown
	}
	if t.Kind == vector.List {
		if !isArray(t) {
			return OIDJSON
		}
		return kindOIDs[t.Elem[0].Kind].array
	}
	return kindOIDs[t.Kind].oid
}

// TypeLen is the type's pg_type.typlen: its size in bytes, or −1 where it varies.
func TypeLen(t vector.Type) int16 {
	if n, ok := shownLengths[t.Shown]; ok {
		return n
	}
	if t.Kind == vector.List {
		return -1
	}
	return kindOIDs[t.Kind].length
}

// TypeMod is the type modifier: what the type says where it is shown as another, ((precision << 16) | scale) + 4 of a numeric and of
// an array of them, −1 of every other type.
func TypeMod(t vector.Type) int32 {
	if t.Shown != 0 {
		return t.Mod - 1
	}
	if isArray(t) {
		t = t.Elem[0]
	}
	if t.Kind == vector.Decimal {
		return (int32(t.Precision)<<16 | int32(t.Scale)) + 4
	}
	return -1
}

// TypeOf is the type of a client's parameter of that object id; numeric is DecimalOf(DefaultPrecision, DefaultScale). ok is
// false for ids of no known type, 0 and unknown (705) among them.
func TypeOf(oid uint32) (t vector.Type, ok bool) {
	switch oid {
	case OIDVarchar, OIDBPChar, OIDName:
		return vector.T(vector.Text), true
	case oidVarcharArray, oidBPChar:
		return vector.ListOf(vector.T(vector.Text)), true
	case OIDJSON:
		return vector.T(vector.JSON), true
	case OIDJSONB:
		return vector.Type{Kind: vector.JSON, Shown: OIDJSONB}, true
	case OIDText:
		return vector.T(vector.Text), true
	case oidTextArray:
		return vector.ListOf(vector.T(vector.Text)), true
	case oidJSONArray:
		return vector.ListOf(vector.T(vector.JSON)), true
	case OIDOid:
		return vector.T(vector.Int64), true
	case oidOIDArray:
		return vector.ListOf(vector.T(vector.Int64)), true
	}
	if t, ok := keptType(oid); ok {
		return t, true
	}
	for k, o := range kindOIDs {
		t := vector.T(k)
		if k == vector.Decimal {
			t = vector.DecimalOf(DefaultPrecision, DefaultScale)
		}
		switch oid {
		case o.oid:
			return t, true
		case o.array:
			return vector.ListOf(t), true
		}
	}
	return vector.Type{}, false
}
