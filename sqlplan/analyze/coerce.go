package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// coerce makes v a value of type to with modifier mod (−1: none). The caller has checked that PostgreSQL does.
func (a *analyzer) coerce(v value, to OID, mod int32, ctx context) (value, error) {
	if v.t == 0 || to == 0 {
		return v, nil
	}
	if v.unknown() {
		switch {
		case to == oidUnknown:
			return v, nil
		case to == oidAny || polymorphic(to):
			to = oidText
		}
		return a.known(v, to, mod)
	}
	if v.t == oidRecord {
		return v, nil
	}
	if isInt(v.t) && to == oidBit && mod > 0 {
		return value{n: call("__int_bit", castTo(v.n, "int8"), integer(int64(intBits(v.t))), integer(int64(mod))), t: to, mod: mod, at: v.at}, nil
	}
	if plainArray(v.t) == to && v.t != to { // whatever takes an array takes one of more dimensions
		to = v.t
	}
	out, err := a.convert(v, to, ctx)
	if err != nil || mod < 0 && !(to == oidBPChar && v.t != oidBPChar) || out.t == 0 {
		return out, err
	}
	if v.t == to && v.mod == mod {
		return out, nil
	}
	return a.modify(out, mod, ctx)
}

// known gives an untyped literal, NULL or parameter a type.
func (a *analyzer) known(v value, to OID, mod int32) (value, error) {
	switch {
	case v.null:
		return value{n: castNode(null(), physical(to)), t: to, mod: mod, at: v.at}, nil
	case v.param > 0:
		if err := a.setParam(v.param, to, v.at); err != nil {
			return v, err
		}
		out := a.paramValue(v.param, v.at)
		return a.coerce(out, to, mod, implicit)
	case v.lit != nil:
		return a.literal(*v.lit, to, mod, v.at)
	}
	v.t = to // an output of a subquery that was text anyway
	return v, nil
}

// settled gives an untyped value the type that PostgreSQL gives one at the end: text.
func (a *analyzer) settled(v value) (value, error) {
	if v.unknown() {
		return a.known(v, oidText, -1)
	}
	return v, nil
}

func isInt(t OID) bool   { return t == oidInt2 || t == oidInt4 || t == oidInt8 }
func isFloat(t OID) bool { return t == oidFloat4 || t == oidFloat8 }
func isString(t OID) bool {
	return t == oidText || t == oidVarchar || t == oidBPChar || t == oidName || t == oidChar
}

func intBits(t OID) int { return map[OID]int{oidInt2: 16, oidInt4: 32, oidInt8: 64}[t] }

func intDigits(t OID) int {
	switch t {
	case oidInt2:
		return 5
	case oidInt4:
		return 10
	}
	return 19
}

// nativeCasts are those that DuckDB makes as PostgreSQL does, by names.
var nativeCasts = []string{
	"int2 int4", "int2 int8", "int4 int2", "int4 int8", "int8 int2", "int8 int4", "bool int4",
	"int2 float4", "int2 float8", "int4 float4", "int4 float8", "int8 float4", "int8 float8", "float4 float8",
	"date timestamp", "timestamp date", "timestamp time", "uuid text", "int2 text", "int4 text", "int8 text", "bool text", "oid int8", "int4 bool",
	"int4 oid", "int8 oid", "json text", "oid text", "int2 oid", "oid int4",
}

// convert makes v a value of type to, without a modifier.
func (a *analyzer) convert(v value, to OID, ctx context) (value, error) {
	if v.t == to {
		return v, nil
	}
	if to == oidAny {
		return v, nil
	}
	if hasDimensions(v.t) || hasDimensions(to) {
		if isArray(v.t) && isArray(to) {
			return a.convertDimensions(v, to)
		}
		if isString(to) {
			return typed(call("__dims_out", castTo(str(a.env.settings()), "text"), elemName(v.t), v.n), to, v.at), nil
		}
	}
	out := typed(v.n, to, v.at)
	from, name := v.t, shortName(to)
	switch {
	case to == oidNumeric && isInt(from):
		p := intDigits(from)
		return decimalValue(castTo(v.n, "numeric", p, 0), p, 0, v.at), nil
	case from == oidNumeric && v.dec && isFloat(to) && (v.prec > 15 || v.scale > 22):
		out.n = castTo(castTo(v.n, "text"), name)
		return out, nil
	case from == oidNumeric && v.dec && isFloat(to), from == oidNumeric && v.dec && isInt(to):
		out.n = castTo(v.n, name)
		return out, nil
	case from == oidNumeric && isString(to):
		out.n = asText(v)
		return out, nil
	case from == oidBPChar && (to == oidText || to == oidVarchar || to == oidName):
		out.n = call("rtrim", v.n, str(" "))
		return out, nil
	case isString(from) && to == oidName:
		out.n = call("left", v.n, integer(63))
		return out, nil
	case to == oidChar && from == oidInt4:
		out.n = call("__int_char", v.n)
		return out, nil
	case from == oidChar && to == oidInt4:
		out.n = call("__char_int", v.n)
		return out, nil
	case to == oidChar && !isString(from):
		return v, fail("0A000", v.at, "a cast from %s to %s is not supported", typeName(from), typeName(to))
	case to == oidChar && isString(from):
		out.n = call("__text_char", v.n)
		return out, nil
	case isString(from) && isString(to):
		return out, nil
	case from == oidVoid && isString(to):
		out.n = voidValue(v.n).n
		return out, nil
	case from == oidJSON && isString(to):
		out.n = castTo(v.n, "text")
		return out, nil
	case from == oidJSONB && isString(to), from == oidBit && to == oidVarbit, from == oidVarbit && to == oidBit, from == oidCidr && to == oidInet:
		return out, nil
	case slices.Contains(nativeCasts, shortName(from)+" "+name), isString(to) && slices.Contains(nativeCasts, shortName(from)+" text"):
		out.n = castNode(v.n, physical(to))
		return out, nil
	case isArray(from) && isArray(to):
		return a.convertArray(v, to)
	}
	fn := pgfunc.CastFunction(from, to)
	if fn == nil && isString(from) {
		fn = pgfunc.CastFunction(oidText, to)
	}
	if fn == nil && isString(to) {
		fn = pgfunc.CastFunction(from, oidText)
	}
	if fn == nil {
		return v, fail("0A000", v.at, "a cast from %s to %s is not supported", typeName(from), typeName(to))
	}
	n, err := a.emit(fn, []value{v})
	if err != nil {
		return v, err
	}
	out.n = n
	return out, nil
}

// convertArray makes an array of another element type.
func (a *analyzer) convertArray(v value, to OID) (value, error) {
	out := typed(v.n, to, v.at)
	from, elem := elemOf(v.t), elemOf(to)
	if isString(from) && isString(elem) {
		return out, nil
	}
	if isInt(from) && (isInt(elem) || isFloat(elem)) || isInt(from) && elem == oidNumeric || isInt(from) && isString(elem) || from == oidFloat4 && elem == oidFloat8 {
		out.n = castNode(v.n, physical(to))
		return out, nil
	}
	if from == oidNumeric && isInt(elem) {
		out.n = castNode(call("__numeric_array_int8", v.n), physical(to))
		return out, nil
	}
	out.n = call(pgfunc.ArrayCast, castTo(str(a.env.settings()), "text"), castTo(str(shortName(from)), "text"), castTo(str(shortName(elem)), "text"), v.n)
	// The function's result is text that the array's input function reads.
	text := typed(out.n, oidText, v.at)
	fn := pgfunc.CastFunction(oidText, to)
	if fn == nil {
		return v, fail("0A000", v.at, "a cast from %s to %s is not supported", typeName(v.t), typeName(to))
	}
	n, err := a.emit(fn, []value{text})
	out.n = n
	return out, err
}

// modify applies a modifier: a length, or a precision.
func (a *analyzer) modify(v value, mod int32, ctx context) (value, error) {
	out := v
	out.mod = mod
	if mod < 0 {
		return out, nil
	}
	if hasDimensions(v.t) {
		return v, fail("0A000", v.at, "lengths of the elements of arrays of more than one dimension are not supported")
	}
	if e := elemOf(v.t); e == oidVarchar || e == oidBPChar {
		kind := "__varchar"
		if e == oidBPChar {
			kind = "__bpchar"
		}
		if ctx == explicit {
			kind += "_cut"
		}
		out.n = call(kind+"s", v.n, integer(int64(mod-4)))
		return out, nil
	}
	if elemOf(v.t) == oidNumeric {
		p, s := numericOfMod(mod)
		out.n = castNode(call("__numeric_array_mod", v.n, integer(int64(p)), signed(s)), physical(v.t))
		return out, nil
	}
	switch v.t {
	case oidNumeric:
		p, s := numericOfMod(mod)
		if v.dec && s >= 0 && p <= maxDecimal && s <= p {
			if v.scale == s && v.prec <= p {
				return out, nil
			}
			out.n, out.prec, out.scale = castTo(v.n, "numeric", p, s), p, s
			return out, nil
		}
		if s >= 0 && p <= maxDecimal && s <= p {
			out.n, out.dec, out.prec, out.scale = castTo(call("__numeric_decimal", asText(v), integer(int64(p)), signed(s)), "numeric", p, s), true, p, s
		} else {
			out.n, out.dec = call("__numeric_mod", asText(v), integer(int64(p)), signed(s)), false
		}
	case oidVarchar, oidBPChar:
		kind := "__varchar"
		if v.t == oidBPChar {
			kind = "__bpchar"
		}
		if ctx == explicit {
			kind += "_cut"
		}
		out.n = call(kind, v.n, integer(int64(mod-4)))
	case oidTime, oidTimestamp, oidTimestampTZ:
		if mod < 6 {
			out.n = call("__round_"+shortName(v.t), v.n, integer(int64(mod)))
		}
	case oidTimeTZ:
		if mod < 6 {
			out.n = call("__timetz", v.n, integer(int64(mod)))
		}
	case oidInterval:
		out.n = call("__interval_mod", v.n, integer(int64(mod)))
	case oidBit, oidVarbit:
		kind := "__" + shortName(v.t)
		if ctx == explicit {
			kind += "_cut"
		}
		out.n = call(kind, v.n, integer(int64(mod)))
	}
	return out, nil
}

func signed(n int) *pg_query.Node {
	if n < 0 {
		return castTo(str("-"+itoa(-n)), "int4")
	}
	return castTo(str(itoa(n)), "int4")
}

func itoa(n int) string {
	if n == 0 {
		return "0"
	}
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// alike makes values of one type, and numerics of one form: decimals of one scale, or texts.
func (a *analyzer) alike(vs []value, t OID, ctx context) ([]value, error) {
	out := make([]value, len(vs))
	sameScale, prec := true, 0
	for i, v := range vs {
		var err error
		if out[i], err = a.coerce(v, t, -1, ctx); err != nil {
			return nil, err
		}
	}
	if t != oidNumeric {
		return out, nil
	}
	scale := -1
	for _, v := range out {
		if isNullConst(v.n) {
			continue
		}
		if !v.dec || scale >= 0 && v.scale != scale {
			sameScale = false
			break
		}
		scale, prec = v.scale, max(prec, v.prec)
	}
	for i, v := range out {
		switch {
		case sameScale && scale >= 0 && isNullConst(v.n):
			out[i] = decimalValue(castTo(null(), "numeric", prec, scale), prec, scale, v.at)
		case sameScale && scale >= 0 && v.prec != prec:
			out[i] = decimalValue(castTo(v.n, "numeric", prec, scale), prec, scale, v.at)
		case !sameScale || scale < 0:
			out[i] = textual(v)
		}
	}
	return out, nil
}

func isNullConst(n *pg_query.Node) bool {
	return n.GetTypeCast() != nil && n.GetTypeCast().Arg.GetAConst().GetIsnull()
}

// commonMod is the modifier that all values share, −1 where they do not.
func commonMod(vs []value, t OID) int32 {
	mod := int32(-1)
	for i, v := range vs {
		if v.t != t {
			return -1
		}
		if i == 0 {
			mod = v.mod
		} else if v.mod != mod {
			return -1
		}
	}
	return mod
}

// key is what stands for a value where it is compared, ordered or grouped.
func key(v value) *pg_query.Node {
	switch {
	case v.cmp:
		return v.n
	case hasDimensions(v.t):
		return call("__dims_key", elemName(v.t), v.n)
	case v.t == oidNumeric && !v.dec:
		return call("__numeric_key", v.n)
	case v.t == arrayOf(oidNumeric):
		return call("__numeric_array_key", v.n)
	case v.t == oidBPChar:
		return call("rtrim", v.n, str(" "))
	case v.t == oidJSONB:
		return call("__jsonb_key", v.n)
	case v.t == oidInet || v.t == oidCidr:
		return call("__inet_key", v.n)
	case v.t == oidTimeTZ:
		return call("__timetz_key", v.n)
	case isRange(v.t) || isMultirange(v.t):
		return call("__range_key", castTo(str(shortName(v.t)), "text"), v.n)
	}
	return v.n
}

// keyed reports whether a value's equals can differ in their text, so that grouping by the text would be wrong.
func keyed(v value) bool {
	if hasDimensions(v.t) {
		return keyed(value{t: elemOf(v.t)})
	}
	return v.t == oidNumeric && !v.dec || v.t == arrayOf(oidNumeric) || v.t == oidBPChar || v.t == oidJSONB || v.t == oidTimeTZ || v.t == oidInet || v.t == oidNumRange || v.t == oidNumMultirange
}

// columnValue is what a column of a type of the engine's is.
func columnValue(t vector.Type) (OID, int32, bool, int, int) {
	if t.Kind == vector.Text && isArray(t.Shown) {
		return Dimensional(t.Shown), t.Mod - 1, false, 0, 0
	}
	if t.Shown != 0 {
		return t.Shown, t.Mod - 1, t.Kind == vector.Decimal, int(t.Precision), int(t.Scale)
	}
	switch t.Kind {
	case vector.Decimal:
		return oidNumeric, numericMod(int(t.Precision), int(t.Scale)), true, int(t.Precision), int(t.Scale)
	case vector.List:
		e, _, dec, _, _ := columnValue(t.Elem[0])
		if dec || t.Elem[0].Kind == vector.List {
			return 0, -1, false, 0, 0
		}
		return arrayOf(e), -1, false, 0, 0
	}
	if o, ok := kindOIDs[t.Kind]; ok {
		return o, -1, false, 0, 0
	}
	return 0, -1, false, 0, 0
}

var kindOIDs = map[vector.Kind]OID{
	vector.Bool: oidBool, vector.Int16: oidInt2, vector.Int32: oidInt4, vector.Int64: oidInt8, vector.Float32: oidFloat4,
	vector.Float64: oidFloat8, vector.Text: oidText, vector.Bytes: oidBytea, vector.UUID: oidUUID, vector.Date: oidDate, vector.Time: oidTime,
	vector.Timestamp: oidTimestamp, vector.TimestampTZ: oidTimestampTZ, vector.Interval: oidInterval, vector.JSON: oidJSON,
}
