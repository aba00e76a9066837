package codec

import (
	"bytes"
	"encoding/json"
	"io"
	"sort"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// appendJSON writes value i of v as to_json writes it, without spaces: lists as arrays, maps as objects whose names are the
// keys' text, numbers and booleans bare, everything else as a string.
func appendJSON(dst []byte, v *vector.Vector, i int, s *Settings) []byte {
	if v.IsNull(i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case vector.Bool:
		if v.I64[i] != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.JSON:
		return AppendText(dst, v, i, s)
	case vector.Float32, vector.Float64:
		if x := v.F64[i]; x-x == 0 {
			return AppendText(dst, v, i, s)
		}
	case vector.Timestamp:
		return append(appendTimestamp(append(dst, '"'), v.I64[i], 'T'), '"')
	case vector.TimestampTZ:
		return append(appendTimestampTZ(append(dst, '"'), v.I64[i], s.zone(), 'T', true), '"')
	case vector.List:
		dst = append(dst, '[')
		for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
			if j > int(v.Off[i]) {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, v.Child[0], j, s)
		}
		return append(dst, ']')
	case vector.Map:
		dst = append(dst, '{')
		for j := int(v.Off[i]); j < int(v.Off[i+1]); j++ {
			if j > int(v.Off[i]) {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, AppendText(nil, v.Child[0], j, s))
			dst = appendJSON(append(dst, ':'), v.Child[1], j, s)
		}
		return append(dst, '}')
	}
	return appendJSONString(dst, AppendText(nil, v, i, s))
}

// appendJSONString quotes text as PostgreSQL's escape_json.
func appendJSONString(dst, b []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(b); {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(b[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}

// parseJSON appends the value of a nested type that JSON text means.
func parseJSON(v *vector.Vector, b []byte, s *Settings) error {
	if !json.Valid(b) {
		return badJSON(b)
	}
	n := v.N
	if err := appendFromJSON(v, b, s); err != nil {
		v.Truncate(n)
		return err
	}
	return nil
}

// appendFromJSON appends raw, which is valid JSON; how deep it goes is bounded by v's type.
func appendFromJSON(v *vector.Vector, raw []byte, s *Settings) error {
	raw = trimSpace(raw)
	if string(raw) == "null" && v.Type.Kind != vector.JSON {
		v.AppendNull()
		return nil
	}
	switch {
	case v.Type.Kind == vector.List:
		var elems []json.RawMessage
		if json.Unmarshal(raw, &elems) != nil {
			return badSyntax(v.Type, raw)
		}
		for _, e := range elems {
			if err := appendFromJSON(v.Child[0], e, s); err != nil {
				return err
			}
		}
		v.CloseNested()
		return nil
	case v.Type.Kind == vector.Map:
		return appendMap(v, raw, s)
	case v.Type.Kind == vector.JSON:
		v.AppendBytes(raw)
		return nil
	case raw[0] == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return badJSON(raw)
		}
		return AppendParsed(v, []byte(text), s)
	}
	return AppendParsed(v, raw, s)
}

// appendMap appends a JSON object as a map: keys ascending, of equal keys the last.
func appendMap(v *vector.Vector, raw []byte, s *Settings) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return badSyntax(v.Type, raw)
	}
	keys, values := vector.New(v.Type.Elem[0], 0), vector.New(v.Type.Elem[1], 0)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return badJSON(raw)
		}
		name, ok := tok.(string)
		if !ok {
			return badJSON(raw)
		}
		if err := AppendParsed(keys, []byte(name), s); err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil && err != io.EOF {
			return badJSON(raw)
		}
		if err := appendFromJSON(values, value, s); err != nil {
			return err
		}
	}
	order := make([]int, keys.N)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return vector.Compare(keys, order[a], keys, order[b]) < 0 })
	for at, i := range order {
		if at+1 < len(order) && vector.Compare(keys, i, keys, order[at+1]) == 0 {
			continue
		}
		v.Child[0].AppendFrom(keys, i)
		v.Child[1].AppendFrom(values, i)
	}
	v.CloseNested()
	return nil
}
