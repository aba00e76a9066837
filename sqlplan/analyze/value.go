package analyze

import (
	"errors"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// value is an expression that was analyzed: DuckDB's expression for it and what it is in PostgreSQL.
type value struct {
	n   *pg_query.Node
	t   OID
	mod int32
	// dec: a numeric that DuckDB keeps as DECIMAL(prec, scale), every value of which PostgreSQL shows with that scale. Others
	// are texts, each with the scale that PostgreSQL gives it.
	dec         bool
	prec, scale int
	lit         *string // an untyped literal; t is unknown
	null        bool    // an untyped NULL; t is unknown
	param       int32   // a parameter whose type is not known yet; t is unknown
	row         []value // of a ROW; t is record
	cmp         bool    // it already is what is compared, not a value
	at          int32
	of          column // that it was made of
}

func (v value) unknown() bool { return v.t == oidUnknown }

// untypedValue is an expression that is left as it is.
func untypedValue(n *pg_query.Node) value { return value{n: n, mod: -1, at: location(n)} }

func typed(n *pg_query.Node, t OID, at int32) value { return value{n: n, t: t, mod: -1, at: at} }

func decimalValue(n *pg_query.Node, prec, scale int, at int32) value {
	return value{n: n, t: oidNumeric, mod: -1, dec: true, prec: prec, scale: scale, at: at}
}

// maxDecimal is the most digits of a DECIMAL.
const maxDecimal = 38

func numericMod(p, s int) int32 { return int32(p<<16|s&0x7ff) + 4 }
func numericOfMod(mod int32) (p, s int) {
	mod -= 4
	p, s = int(mod>>16&0xffff), int(mod&0x7ff)
	return p, (s ^ 1024) - 1024
}

// asText is a numeric's text, with its own scale.
func asText(v value) *pg_query.Node {
	if v.dec {
		switch { // DuckDB writes .5 where no digit stands before the point
		case v.prec == v.scale && v.prec < maxDecimal:
			return castTo(castTo(v.n, "numeric", v.prec+1, v.scale), "text")
		case v.prec == v.scale:
			return call("regexp_replace", castTo(v.n, "text"), str(`^(-?)\.`), str(`\10.`))
		}
		return castTo(v.n, "text")
	}
	return v.n
}

// textual makes a numeric one that is kept as text.
func textual(v value) value {
	if v.t == oidNumeric && v.dec {
		v.n, v.dec = asText(v), false
	}
	return v
}

// literal is what a text means as a type. Errors are PostgreSQL's, at the literal.
func (a *analyzer) literal(s string, to OID, mod int32, at int32) (value, error) {
	out := value{t: to, mod: mod, at: at}
	switch to {
	case oidNumeric:
		text, err := pgfunc.NumericIn(s, mod)
		if err != nil {
			return out, a.located(err, at)
		}
		return a.numericConst(text, mod, at), nil
	case oidText, oidVarchar, oidBPChar, oidName, oidUnknown, oidChar:
		text, err := pgfunc.TextIn(s, to, mod)
		if err != nil {
			return out, a.located(err, at)
		}
		out.n = castTo(str(text), "text")
		return out, nil
	}
	if hasDimensions(to) {
		return a.dimensionLiteral(s, to, mod, at)
	}
	v, err := pgfunc.In(to, mod, s, a.env.Settings)
	if err != nil {
		return out, a.located(err, at)
	}
	if isArray(to) && v != nil && v.Type.Kind != vector.List {
		return a.dimensionLiteral(s, to, mod, at)
	}
	if v == nil {
		a.untyped = true
		return value{n: castNode(str(s), sqlTypeName(to)), at: at, mod: -1}, nil
	}
	out.n = constant(v, 0, to)
	return out, nil
}

// numericConst is a numeric constant that PostgreSQL writes as text.
func (a *analyzer) numericConst(text string, mod int32, at int32) value {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if n := len(strings.TrimLeft(whole, "0")) + len(fraction); n <= maxDecimal && strings.Trim(digits, "0123456789.") == "" && whole != "" {
		prec := min(max(n, len(fraction)+1), maxDecimal) // DuckDB writes .5 where no digit stands before the point
		v := decimalValue(castTo(str(text), "numeric", prec, len(fraction)), prec, len(fraction), at)
		v.mod = mod
		return v
	}
	return value{n: castTo(str(text), "text"), t: oidNumeric, mod: mod, at: at}
}

// located gives an error of a value its place.
func (a *analyzer) located(err error, at int32) error {
	var c *codec.Error
	if errors.As(err, &c) {
		return &Error{Code: c.Code, Message: c.Message, Detail: c.Detail, Hint: c.Hint, Offset: int(at)}
	}
	return err
}

// constant is value i of v as DuckDB's expression; t is its type.
func constant(v *vector.Vector, i int, t OID) *pg_query.Node {
	if v.IsNull(i) {
		return castNode(null(), physical(t))
	}
	switch v.Type.Kind {
	case vector.Bool:
		return castTo(str(map[bool]string{true: "true", false: "false"}[v.I64[i] != 0]), "bool")
	case vector.Int16, vector.Int32, vector.Int64:
		return castNode(str(strconv.FormatInt(v.I64[i], 10)), physical(t))
	case vector.Float32:
		return castTo(str(strconv.FormatFloat(v.F64[i], 'g', -1, 32)), "float4")
	case vector.Float64:
		return castTo(str(strconv.FormatFloat(v.F64[i], 'g', -1, 64)), "float8")
	case vector.Bytes:
		return call("unhex", str(hexOf(v.Bytes(i))))
	case vector.UUID:
		return castTo(str(string(codec.AppendText(nil, v, i, codec.Defaults))), "uuid")
	case vector.Date, vector.Timestamp, vector.TimestampTZ, vector.Time:
		text := string(codec.AppendText(nil, v, i, codec.Defaults))
		if strings.HasSuffix(text, " BC") || len(text) > 0 && strings.IndexByte(text, '-') > 4 {
			return call(pgfunc.MomentFunction(v.Type.Kind), castTo(str(strconv.FormatInt(v.I64[i], 10)), "int8"))
		}
		return castTo(str(text), shortName(t))
	case vector.Interval:
		m, d, us := codec.IntervalParts(v.Bytes(i))
		return op("+", op("+", call("to_months", integer(int64(m))), call("to_days", integer(int64(d)))), call("to_microseconds", castTo(str(strconv.FormatInt(us, 10)), "int8")))
	case vector.List:
		list := &pg_query.A_ArrayExpr{}
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			list.Elements = append(list.Elements, constant(v.Child[0], int(j), elemOf(t)))
		}
		return castNode(&pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: list}}, physical(t))
	}
	n := castTo(str(string(v.Bytes(i))), "text")
	if t == oidJSON {
		n = castTo(n, "json")
	}
	return n
}

func hexOf(b []byte) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// sqlTypeName is a type's name as the user might write it.
func sqlTypeName(t OID) *pg_query.TypeName {
	if e := elemOf(t); e != 0 {
		n := sqlTypeName(e)
		n.ArrayBounds = append(n.ArrayBounds, pg_query.MakeIntNode(-1))
		return n
	}
	return duckTypeName(shortName(t))
}
