package pgfunc

import (
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

func init() {
	for _, typ := range []string{"json", "jsonb"} {
		b := typ == "jsonb"
		ours(typ+" -> text", typ, func(a args, out *vector.Vector) error { return putJSON(a.call, out, a.json(0).field(a.s(1)), b) })
		ours(typ+" -> int4", typ, func(a args, out *vector.Vector) error { return putJSON(a.call, out, a.json(0).at(a.n(1)), b) })
		text := func(a args, out *vector.Vector, v *jsonValue) error {
			s, ok := v.asText(a.call, b)
			if !ok {
				out.AppendNull()
				return nil
			}
			out.AppendString(s)
			return nil
		}
		ours(typ+" ->> text", "text", func(a args, out *vector.Vector) error { return text(a, out, a.json(0).field(a.s(1))) })
		ours(typ+" ->> int4", "text", func(a args, out *vector.Vector) error { return text(a, out, a.json(0).at(a.n(1))) })
		for _, c := range []string{typ + " #> _text", typ + "_extract_path(" + typ + ",_text)"} {
			ours(c, typ, func(a args, out *vector.Vector) error { return putJSON(a.call, out, a.json(0).path(a.texts(1)), b) })
		}
		for _, c := range []string{typ + " #>> _text", typ + "_extract_path_text(" + typ + ",_text)"} {
			ours(c, "text", func(a args, out *vector.Vector) error { return text(a, out, a.json(0).path(a.texts(1))) })
		}
		ours(typ+"_array_length("+typ+")", "int4", func(a args, out *vector.Vector) error {
			v := a.json(0)
			if v.kind == 'o' {
				return bad("22023", "cannot get array length of a non-array")
			}
			if v.kind != 'a' {
				return bad("22023", "cannot get array length of a scalar")
			}
			return putInt(out, int64(len(v.list)), nil)
		})
		ours(typ+"_typeof("+typ+")", "text", func(a args, out *vector.Vector) error {
			out.AppendString(a.json(0).typeName())
			return nil
		})
		ours(typ+"_object_keys("+typ+")", "_text", func(a args, out *vector.Vector) error {
			v := a.json(0)
			if v.kind == 'a' {
				return bad("22023", "cannot call %s_object_keys on an array", typ)
			}
			if v.kind != 'o' {
				return bad("22023", "cannot call %s_object_keys on a scalar", typ)
			}
			return putTexts(a.call, out, v.keys)
		})
		for _, asText := range []bool{false, true} {
			fn, result := typ+"_array_elements", "_"+typ
			if asText {
				fn, result = fn+"_text", "_text"
			}
			ours(fn+"("+typ+")", result, func(a args, out *vector.Vector) error {
				v := a.json(0)
				if v.kind == 'o' {
					if b {
						return bad("22023", "cannot extract elements from an object")
					}
					return bad("22023", "cannot call %s on a non-array", fn)
				}
				if v.kind != 'a' {
					if b {
						return bad("22023", "cannot extract elements from a scalar")
					}
					return bad("22023", "cannot call %s on a scalar", fn)
				}
				for _, x := range v.list {
					a.call.Work(workPerElement + len(x.raw))
					if !asText {
						out.Child[0].AppendString(x.form(a.call, b))
					} else if s, ok := x.asText(a.call, b); ok {
						out.Child[0].AppendString(s)
					} else {
						out.Child[0].AppendNull()
					}
				}
				out.CloseNested()
				return nil
			})
			fn, result = typ+"_each", "_"+typ
			if asText {
				fn, result = fn+"_text", "_text"
			}
			object := func(a args) (*jsonValue, error) {
				v := a.json(0)
				if v.kind == 'o' {
					return v, nil
				}
				if b {
					return v, bad("22023", "cannot call %s on a non-object", fn)
				}
				if v.kind == 'a' {
					return v, bad("22023", "cannot deconstruct an array as an object")
				}
				return v, bad("22023", "cannot deconstruct a scalar")
			}
			ours(fn+"("+typ+")#key", "_text", func(a args, out *vector.Vector) error {
				v, err := object(a)
				if err != nil {
					return err
				}
				return putTexts(a.call, out, v.keys)
			})
			ours(fn+"("+typ+")#value", result, func(a args, out *vector.Vector) error {
				v, err := object(a)
				if err != nil {
					return err
				}
				for _, x := range v.list {
					a.call.Work(workPerElement + len(x.raw))
					if !asText {
						out.Child[0].AppendString(x.form(a.call, b))
					} else if s, ok := x.asText(a.call, b); ok {
						out.Child[0].AppendString(s)
					} else {
						out.Child[0].AppendNull()
					}
				}
				out.CloseNested()
				return nil
			})
		}
		ours(typ+"_strip_nulls("+typ+")", typ, func(a args, out *vector.Vector) error {
			var strip func(v *jsonValue) *jsonValue
			strip = func(v *jsonValue) *jsonValue {
				o := &jsonValue{kind: v.kind, text: v.text}
				for i, x := range v.list {
					if v.kind == 'o' && x.kind == 'n' {
						continue
					}
					if v.kind == 'o' {
						o.keys = append(o.keys, v.keys[i])
					}
					o.list = append(o.list, strip(x))
				}
				return o
			}
			v := strip(a.json(0))
			if b {
				out.AppendString(v.shown(a.call))
			} else {
				w := jsonWriter{call: a.call}
				v.compact(&w)
				out.AppendString(w.String())
			}
			return nil
		})
		for _, call := range []string{"_object(_text)", "_object(_text,_text)"} {
			ours(typ+call, typ, func(a args, out *vector.Vector) error {
				l := a.texts(0)
				var keys, vals []*string
				if len(a.v) == 1 {
					if len(l)%2 == 1 {
						return bad("2202E", "array must have even number of elements")
					}
					for i := 0; i < len(l); i += 2 {
						keys, vals = append(keys, l[i]), append(vals, l[i+1])
					}
				} else {
					keys, vals = l, a.texts(1)
					if len(keys) != len(vals) {
						return bad("2202E", "mismatched array dimensions")
					}
				}
				w := jsonWriter{call: a.call}
				w.WriteByte('{')
				for i, k := range keys {
					if k == nil {
						return bad("22004", "null value not allowed for object key")
					}
					if i > 0 {
						w.WriteString(", ")
					}
					jsonString(&w, *k)
					w.WriteString(" : ")
					if vals[i] == nil {
						w.WriteString("null")
					} else {
						jsonString(&w, *vals[i])
					}
				}
				w.WriteByte('}')
				if b {
					s, err := jsonbIn(a.call, w.String())
					return putText(out, s, err)
				}
				out.AppendString(w.String())
				return nil
			})
		}
		build := func(object bool) run {
			return func(a args, out *vector.Vector) error {
				l := a.texts(0)
				for i, s := range l {
					if s == nil {
						none := "null"
						l[i] = &none
					}
				}
				w := jsonWriter{call: a.call}
				if object {
					if len(l)%2 == 1 {
						return withHint(bad("22023", "argument list must have even number of elements"), "The arguments of "+typ+"_build_object() must consist of alternating keys and values.")
					}
					w.WriteByte('{')
					for i := 0; i < len(l); i += 2 {
						if i > 0 {
							w.WriteString(", ")
						}
						if *l[i] == "null" {
							if b {
								return bad("22023", "argument %d: key must not be null", i+1)
							}
							return withHint(bad("22023", "argument %d cannot be null", i+1), "Object keys should be text.")
						}
						k := mustJSON(a.call, *l[i])
						if k.kind == 'a' || k.kind == 'o' {
							return bad("22023", "key value must be scalar, not array, composite, or json")
						}
						jsonString(&w, k.text)
						w.WriteString(" : " + *l[i+1])
					}
					w.WriteByte('}')
				} else {
					w.WriteByte('[')
					for i, s := range l {
						if i > 0 {
							w.WriteString(", ")
						}
						w.WriteString(*s)
					}
					w.WriteByte(']')
				}
				if b {
					s, err := jsonbIn(a.call, w.String())
					return putText(out, s, err)
				}
				out.AppendString(w.String())
				return nil
			}
		}
		ours("__"+typ+"_build_object(_text)", typ, build(true))
		ours("__"+typ+"_build_array(_text)", typ, build(false))
		for _, k := range []string{"object", "array"} {
			add(&Function{Call: typ + "_build_" + k + "(any)", SQL: "__" + typ + "_build_" + k + "($1)", JSON: true})
			empty := map[string]string{"object": "{}", "array": "[]"}[k]
			add(&Function{Call: typ + "_build_" + k + "()", SQL: "CAST('" + empty + "' AS " + map[bool]string{true: "text", false: "json"}[b] + ")"})
		}
	}
	ours("__row_to_json(_text,_text)", "text", func(a args, out *vector.Vector) error {
		keys, vals := a.texts(0), a.texts(1)
		w := jsonWriter{call: a.call}
		w.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				w.WriteByte(',')
			}
			jsonString(&w, *k)
			w.WriteByte(':')
			if vals[i] == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*vals[i])
			}
		}
		w.WriteByte('}')
		out.AppendString(w.String())
		return nil
	})
	ours("__to_json(text,text,any)", "text", func(a args, out *vector.Vector) error {
		if a.null(2) {
			out.AppendNull()
			return nil
		}
		w := jsonWriter{call: a.call}
		toJSONText(&w, a.s(1), a.v[2], a.i, settingsOf(a.b(0)))
		out.AppendString(w.String())
		return nil
	}, nulls)
	ours("__json_agg(_text)", "text", func(a args, out *vector.Vector) error {
		w := jsonWriter{call: a.call}
		w.WriteByte('[')
		for i, s := range a.texts(0) {
			if i > 0 {
				w.WriteString(", ")
			}
			if s == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*s)
			}
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_agg_lines(_text)", "text", func(a args, out *vector.Vector) error {
		w := jsonWriter{call: a.call}
		w.WriteByte('[')
		for i, s := range a.texts(0) {
			if i > 0 {
				w.WriteString(", \n ")
			}
			if s == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*s)
			}
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_agg_of(text,text,anyarray)", "text", func(a args, out *vector.Vector) error {
		w := jsonWriter{call: a.call}
		w.WriteByte('[')
		c, from, to := a.elements(2)
		for j := from; j < to; j++ {
			if j > from {
				w.WriteString(", ")
			}
			toJSONText(&w, a.s(1), c, j, settingsOf(a.b(0)))
		}
		w.WriteByte(']')
		out.AppendString(w.String())
		return nil
	})
	ours("__json_object_agg(_text,_text)", "text", func(a args, out *vector.Vector) error {
		w := jsonWriter{call: a.call}
		w.WriteString("{ ")
		vals := a.texts(1)
		for i, k := range a.texts(0) {
			if k == nil {
				return bad("22023", "field name must not be null")
			}
			if i > 0 {
				w.WriteString(", ")
			}
			jsonString(&w, *k)
			w.WriteString(" : ")
			if vals[i] == nil {
				w.WriteString("null")
			} else {
				w.WriteString(*vals[i])
			}
		}
		w.WriteString(" }")
		out.AppendString(w.String())
		return nil
	})
	ours("__jsonb_key(jsonb)", "bytea", func(a args, out *vector.Vector) error { out.AppendBytes(jsonbKey(a.call, a.s(0))); return nil })
	ours("cast(json as jsonb)", "jsonb", func(a args, out *vector.Vector) error {
		s, err := jsonbIn(a.call, a.s(0))
		return putText(out, s, err)
	})
	sql("cast(jsonb as json)\tCAST($1 AS json)")
	ours("jsonb @> jsonb", "bool", func(a args, out *vector.Vector) error {
		out.AppendBool(jsonbContains(a.call, a.json(0), a.json(1), true))
		return nil
	})
	ours("jsonb <@ jsonb", "bool", func(a args, out *vector.Vector) error {
		out.AppendBool(jsonbContains(a.call, a.json(1), a.json(0), true))
		return nil
	})
	ours("jsonb ? text", "bool", func(a args, out *vector.Vector) error { out.AppendBool(a.json(0).exists(a.s(1))); return nil })
	for _, op := range []string{"?|", "?&"} {
		ours("jsonb "+op+" _text", "bool", func(a args, out *vector.Vector) error {
			v := a.json(0)
			all := op == "?&"
			r := all
			for _, k := range a.texts(1) {
				if a.call.Work(4 * len(v.list)); k != nil && v.exists(*k) != all {
					r = !all
				}
			}
			out.AppendBool(r)
			return nil
		})
	}
	ours("jsonb || jsonb", "jsonb", func(a args, out *vector.Vector) error {
		x, y := a.json(0), a.json(1)
		if x.kind == 'o' && y.kind == 'o' {
			o := &jsonValue{kind: 'o', keys: append(append([]string{}, x.keys...), y.keys...), list: append(append([]*jsonValue{}, x.list...), y.list...)}
			out.AppendString(o.normal(a.call).shown(a.call))
			return nil
		}
		list := func(v *jsonValue) []*jsonValue {
			if v.kind == 'a' {
				return v.list
			}
			return []*jsonValue{v}
		}
		o := &jsonValue{kind: 'a', list: append(append([]*jsonValue{}, list(x)...), list(y)...)}
		out.AppendString(o.shown(a.call))
		return nil
	})
	remove := func(v *jsonValue, keys map[string]bool) (*jsonValue, error) {
		if v.kind != 'a' && v.kind != 'o' {
			return nil, bad("22023", "cannot delete from scalar")
		}
		o := &jsonValue{kind: v.kind}
		for i, x := range v.list {
			if v.kind == 'o' && keys[v.keys[i]] || v.kind == 'a' && x.kind == 's' && keys[x.text] {
				continue
			}
			if v.kind == 'o' {
				o.keys = append(o.keys, v.keys[i])
			}
			o.list = append(o.list, x)
		}
		return o, nil
	}
	ours("jsonb - text", "jsonb", func(a args, out *vector.Vector) error {
		o, err := remove(a.json(0), map[string]bool{a.s(1): true})
		if err != nil {
			return err
		}
		out.AppendString(o.shown(a.call))
		return nil
	})
	ours("jsonb - _text", "jsonb", func(a args, out *vector.Vector) error {
		keys := map[string]bool{}
		for _, k := range a.texts(1) {
			if k != nil {
				keys[*k] = true
			}
		}
		o, err := remove(a.json(0), keys)
		if err != nil {
			return err
		}
		out.AppendString(o.shown(a.call))
		return nil
	})
	ours("jsonb - int4", "jsonb", func(a args, out *vector.Vector) error {
		v := a.json(0)
		if v.kind == 'o' {
			return bad("22023", "cannot delete from object using integer index")
		}
		if v.kind != 'a' {
			return bad("22023", "cannot delete from scalar")
		}
		n := a.n(1)
		if n < 0 {
			n += int64(len(v.list))
		}
		o := &jsonValue{kind: 'a'}
		for i, x := range v.list {
			if int64(i) != n {
				o.list = append(o.list, x)
			}
		}
		out.AppendString(o.shown(a.call))
		return nil
	})
	for _, c := range []string{"jsonb #- _text", "jsonb_delete_path(jsonb,_text)"} {
		ours(c, "jsonb", func(a args, out *vector.Vector) error {
			v, err := setPath(a.json(0), a.texts(1), nil, false, false, false, true, 0)
			if err != nil {
				return err
			}
			out.AppendString(v.shown(a.call))
			return nil
		})
	}
	ours("jsonb_set(jsonb,_text,jsonb,bool)", "jsonb", func(a args, out *vector.Vector) error {
		v, err := setPath(a.json(0), a.texts(1), a.json(2), a.t(3), false, false, false, 0)
		if err != nil {
			return err
		}
		out.AppendString(v.shown(a.call))
		return nil
	})
	ours("jsonb_insert(jsonb,_text,jsonb,bool)", "jsonb", func(a args, out *vector.Vector) error {
		v, err := setPath(a.json(0), a.texts(1), a.json(2), false, true, a.t(3), false, 0)
		if err != nil {
			return err
		}
		out.AppendString(v.shown(a.call))
		return nil
	})
	ours("jsonb_pretty(jsonb)", "text", func(a args, out *vector.Vector) error {
		w := jsonWriter{call: a.call}
		a.json(0).write(&w, 0)
		out.AppendString(w.String())
		return nil
	})
	field := func(c *duck.Call, doc, name string) *jsonValue {
		v := mustJSON(c, doc)
		return v.field(name)
	}
	ours("__json_field_text(text,text)", "text", func(a args, out *vector.Vector) error {
		s, ok := field(a.call, a.s(0), a.s(1)).asText(a.call, false)
		if !ok {
			out.AppendNull()
			return nil
		}
		out.AppendString(s)
		return nil
	})
	ours("__json_field(text,text)", "text", func(a args, out *vector.Vector) error {
		return putJSON(a.call, out, field(a.call, a.s(0), a.s(1)), false)
	})
	ours("__json_fields(text,text)", "_text", func(a args, out *vector.Vector) error {
		v := a.json(0)
		if v.kind != 'a' {
			return bad("22023", "cannot call json_to_recordset on a non-array")
		}
		for _, x := range v.list {
			if s, ok := x.field(a.s(1)).asText(a.call, false); ok {
				out.Child[0].AppendString(s)
			} else {
				out.Child[0].AppendNull()
			}
		}
		out.CloseNested()
		return nil
	})
	// Casts of jsonb to scalars.
	number := func(v *jsonValue, typ string) (num, error) {
		if v.kind != '#' {
			kinds := map[byte]string{'n': "null", 'b': "boolean", 's': "string", 'a': "array", 'o': "object"}
			return num{}, bad("22023", "cannot cast jsonb %s to type %s", kinds[v.kind], typ)
		}
		return mustNum(v.text), nil
	}
	ours("cast(jsonb as numeric)", "numeric", func(a args, out *vector.Vector) error {
		n, err := number(a.json(0), "numeric")
		return putNum(out, n, err)
	})
	for _, t := range []struct {
		name, sql string
		low, high int64
	}{{"int2", "smallint", -1 << 15, 1<<15 - 1}, {"int4", "integer", -1 << 31, 1<<31 - 1}, {"int8", "bigint", -1 << 63, 1<<63 - 1}} {
		ours("cast(jsonb as "+t.name+")", t.name, func(a args, out *vector.Vector) error {
			n, err := number(a.json(0), t.sql)
			if err != nil {
				return err
			}
			x, err := numInt(n, t.low, t.high, t.sql)
			return putInt(out, x, err)
		})
	}
	for t, s := range map[string]string{"float4": "real", "float8": "double precision"} {
		ours("cast(jsonb as "+t+")", t, func(a args, out *vector.Vector) error {
			n, err := number(a.json(0), s)
			if err != nil {
				return err
			}
			f, err := numFloat(n)
			return putFloat(out, f, err)
		})
	}
	ours("cast(jsonb as bool)", "bool", func(a args, out *vector.Vector) error {
		v := a.json(0)
		if v.kind != 'b' {
			kinds := map[byte]string{'n': "null", '#': "numeric", 's': "string", 'a': "array", 'o': "object"}
			return bad("22023", "cannot cast jsonb %s to type boolean", kinds[v.kind])
		}
		out.AppendBool(v.text == "true")
		return nil
	})
}

// compact writes v as json_strip_nulls does.
func (v *jsonValue) compact(b *jsonWriter) {
	switch v.kind {
	case 'a', 'o':
		open, end := "[", "]"
		if v.kind == 'o' {
			open, end = "{", "}"
		}
		b.WriteString(open)
		for i, x := range v.list {
			if i > 0 {
				b.WriteByte(',')
			}
			if v.kind == 'o' {
				jsonString(b, v.keys[i])
				b.WriteByte(':')
			}
			x.compact(b)
		}
		b.WriteString(end)
	default:
		v.write(b, -1)
	}
}
