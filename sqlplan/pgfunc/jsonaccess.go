package pgfunc

import (
	"sort"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// at is an element of an array, or nil.
func (v *jsonValue) at(i int64) *jsonValue {
	if v.kind != 'a' {
		return nil
	}
	if i < 0 {
		i += int64(len(v.list))
	}
	if i < 0 || i >= int64(len(v.list)) {
		return nil
	}
	return v.list[i]
}

// field is a field of an object, the last of its name, or nil.
func (v *jsonValue) field(k string) *jsonValue {
	if v.kind != 'o' {
		return nil
	}
	for i := len(v.keys) - 1; i >= 0; i-- {
		if v.keys[i] == k {
			return v.list[i]
		}
	}
	return nil
}

func (v *jsonValue) path(p []*string) *jsonValue {
	for _, s := range p {
		if v == nil || s == nil {
			return nil
		}
		if v.kind == 'a' {
			i, err := strconv.ParseInt(strings.TrimSpace(*s), 10, 32)
			if err != nil {
				return nil
			}
			v = v.at(i)
			continue
		}
		v = v.field(*s)
	}
	return v
}

// asText is what ->> gives; ok is false for NULL.
func (v *jsonValue) asText(c *duck.Call, b bool) (string, bool) {
	switch {
	case v == nil || v.kind == 'n':
		return "", false
	case v.kind == 's':
		return v.text, true
	}
	return v.form(c, b), true
}

// form is v as json (as it was written) or jsonb.
func (v *jsonValue) form(c *duck.Call, b bool) string {
	if b {
		return v.shown(c)
	}
	return v.raw
}

func jsonbContains(c *duck.Call, x, y *jsonValue, top bool) bool {
	c.Work(8 + len(x.text)/4)
	switch {
	case x.kind == 'o' && y.kind == 'o':
		for i, k := range y.keys {
			c.Work(4 * len(x.keys))
			f := x.field(k)
			if f == nil || !jsonbContains(c, f, y.list[i], false) {
				return false
			}
		}
		return true
	case x.kind == 'a' && y.kind == 'a':
		for _, e := range y.list {
			found := false
			for _, f := range x.list {
				if jsonbContains(c, f, e, false) && (f.kind == e.kind) {
					found = true
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	case x.kind == 'a' && top && y.kind != 'o': // an array contains a scalar of its elements
		for _, f := range x.list {
			if f.kind == y.kind && f.text == y.text && f.kind != 'a' && f.kind != 'o' {
				return true
			}
		}
		return false
	case x.kind == '#' && y.kind == '#':
		return cmpNum(mustNum(x.text), mustNum(y.text)) == 0
	}
	return x.kind == y.kind && x.text == y.text && x.kind != 'a' && x.kind != 'o'
}

func (v *jsonValue) exists(k string) bool {
	switch v.kind {
	case 'o':
		return v.field(k) != nil
	case 'a':
		for _, x := range v.list {
			if x.kind == 's' && x.text == k {
				return true
			}
		}
	case 's':
		return v.text == k
	}
	return false
}

// typeName is what json_typeof gives.
func (v *jsonValue) typeName() string {
	return map[byte]string{'n': "null", 'b': "boolean", '#': "number", 's': "string", 'a': "array", 'o': "object"}[v.kind]
}

// setPath is jsonb_set and jsonb_insert.
func setPath(v *jsonValue, p []*string, put *jsonValue, create, insert, after, remove bool, depth int) (*jsonValue, error) {
	if len(p) == 0 {
		return v, nil
	}
	if p[0] == nil {
		return nil, bad("22004", "path element at position %d is null", depth+1)
	}
	out := &jsonValue{kind: v.kind, text: v.text, keys: append([]string{}, v.keys...), list: append([]*jsonValue{}, v.list...)}
	last := len(p) == 1
	switch v.kind {
	case 'o':
		for i, k := range out.keys {
			if k != *p[0] {
				continue
			}
			if !last {
				x, err := setPath(out.list[i], p[1:], put, create, insert, after, remove, depth+1)
				out.list[i] = x
				return out, err
			}
			if insert {
				return nil, withHint(bad("22023", "cannot replace existing key"), "Try using the function jsonb_set to replace key value.")
			}
			if remove {
				out.keys, out.list = append(out.keys[:i], out.keys[i+1:]...), append(out.list[:i], out.list[i+1:]...)
				return out, nil
			}
			out.list[i] = put
			return out, nil
		}
		if last && (create || insert) && !remove {
			out.keys, out.list = append(out.keys, *p[0]), append(out.list, put)
			sort.Sort((*byKey)(out))
		}
		return out, nil
	case 'a':
		n, err := strconv.ParseInt(*p[0], 10, 32)
		if err != nil {
			return nil, bad("22P02", `path element at position %d is not an integer: "%s"`, depth+1, *p[0])
		}
		if n < 0 {
			n += int64(len(out.list))
			if n < 0 && !(last && (create || insert)) {
				return out, nil
			}
		}
		inside := n >= 0 && n < int64(len(out.list))
		switch {
		case !last && inside:
			x, err := setPath(out.list[n], p[1:], put, create, insert, after, remove, depth+1)
			out.list[n] = x
			return out, err
		case !last:
			return out, nil
		case remove && inside:
			out.list = append(out.list[:n], out.list[n+1:]...)
		case remove:
		case insert:
			at := min(max(n, 0), int64(len(out.list)))
			if inside && after {
				at = n + 1
			}
			out.list = append(out.list[:at], append([]*jsonValue{put}, out.list[at:]...)...)
		case inside:
			out.list[n] = put
		case create && n < 0:
			out.list = append([]*jsonValue{put}, out.list...)
		case create:
			out.list = append(out.list, put)
		}
		return out, nil
	}
	if depth == 0 {
		if remove {
			return nil, bad("22023", "cannot delete path in scalar")
		}
		return nil, bad("22023", "cannot set path in scalar")
	}
	return v, nil
}

// toJSONText is a value of a type as json.
func toJSONText(b *jsonWriter, typ string, v *vector.Vector, i int, set *codec.Settings) {
	b.grows(64)
	if v.IsNull(i) {
		b.WriteString("null")
		return
	}
	if v.Type.Kind == vector.List {
		b.WriteByte('[')
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			if j > v.Off[i] {
				b.WriteByte(',')
			}
			toJSONText(b, strings.TrimPrefix(typ, "_"), v.Child[0], int(j), set)
		}
		b.WriteByte(']')
		return
	}
	if elem, ok := strings.CutPrefix(typ, "_"); ok { // of any dimensions
		arrayJSON(b, elem, mustArray(b.call, string(v.Bytes(i))), set)
		return
	}
	switch typ {
	case "bool":
		b.WriteString(strconv.FormatBool(v.I64[i] != 0))
		return
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		s := Out(typ, v, i, set)
		if s == "NaN" || strings.HasSuffix(s, "Infinity") {
			jsonString(b, s)
		} else {
			b.grows(len(s))
			b.WriteString(s)
		}
		return
	case "json", "jsonb":
		b.grows(len(v.Bytes(i)))
		b.Write(v.Bytes(i))
		return
	case "timestamp", "timestamptz", "date":
		jsonString(b, strings.Replace(jsonMoment(typ, v, i, set), " ", "T", 1))
		return
	}
	jsonString(b, Out(typ, v, i, set))
}

// arrayJSON is an array of any dimensions as json.
func arrayJSON(b *jsonWriter, elem string, a *codec.Array, set *codec.Settings) {
	if len(a.Dims) == 0 {
		b.WriteString("[]")
		return
	}
	k := 0
	var level func(d int)
	level = func(d int) {
		b.WriteByte('[')
		for i := range a.Dims[d] {
			if i > 0 {
				b.WriteByte(',')
			}
			switch {
			case d+1 < len(a.Dims):
				level(d + 1)
				continue
			case a.Elems[k] == nil:
				b.WriteString("null")
			default:
				if v, err := inCall(b.call, infoByName[elem].oid, -1, *a.Elems[k], codec.Defaults); err == nil {
					toJSONText(b, elem, v, 0, set)
				}
			}
			k++
		}
		b.WriteByte(']')
	}
	level(0)
}

// jsonMoment is a moment as json has it: with T, and an offset with minutes.
func jsonMoment(typ string, v *vector.Vector, i int, set *codec.Settings) string {
	s := Out(typ, v, i, set)
	if typ != "timestamptz" || !finite(v.I64[i]) {
		return s
	}
	bc := ""
	if strings.HasSuffix(s, " BC") {
		s, bc = strings.TrimSuffix(s, " BC"), " BC"
	}
	if at := strings.LastIndexAny(s, "+-"); at > 10 && len(s)-at == 3 {
		s += ":00"
	}
	return s + bc
}

func putJSON(c *duck.Call, out *vector.Vector, v *jsonValue, b bool) error {
	if v == nil {
		out.AppendNull()
		return nil
	}
	out.AppendString(v.form(c, b))
	return nil
}
