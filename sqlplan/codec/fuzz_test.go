package codec

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// FuzzDecodeParam holds that bytes of a client give a value or an *Error, leave nothing behind when they give an error, and
// that a value read comes back from its own text and binary forms.
func FuzzDecodeParam(f *testing.F) {
	types := append([]vector.Type{}, scalars...)
	for _, t := range scalars {
		types = append(types, vector.ListOf(t))
		for _, in := range strings.Split(inputs[t.Kind], "|") {
			f.Add(uint8(len(types)-1), false, []byte(in))
		}
	}
	types = append(types, vector.MapOf(vector.T(vector.Text), vector.DecimalOf(12, 2)), vector.ListOf(vector.ListOf(vector.T(vector.Int32))),
		vector.MapOf(vector.T(vector.Int32), vector.ListOf(vector.T(vector.Text))))
	f.Add(uint8(len(types)-3), false, []byte(`{"a":1.5,"a":null}`))
	f.Add(uint8(len(types)-2), false, []byte(`{{1,2},{},NULL}`))
	f.Add(uint8(len(types)-1), false, []byte(`{"2":["x"],"-1":null}`))
	f.Add(uint8(6), true, []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, which uint8, binary bool, b []byte) {
		typ := types[int(which)%len(types)]
		format := int16(0)
		if binary {
			format = 1
		}
		if b == nil {
			b = []byte{}
		}
		v, err := DecodeParam(typ, format, b, Defaults)
		if err != nil {
			var ce *Error
			if !errors.As(err, &ce) || len(ce.Code) != 5 {
				t.Fatalf("%s: %v", typ, err)
			}
			w := vector.New(typ, 1)
			if binary {
				AppendDecoded(w, b, Defaults)
			} else {
				AppendParsed(w, b, Defaults)
			}
			if w.N != 0 || len(w.Data) != 0 || len(w.Child) > 0 && w.Child[0].N != 0 {
				t.Fatalf("%s: an error left %+v", typ, w)
			}
			return
		}
		if v.N != 1 || v.IsNull(0) && typ.Kind != vector.Map && typ.Kind != vector.List {
			t.Fatalf("%s: %q gave %+v", typ, b, v)
		}
		if v.IsNull(0) {
			return
		}
		for _, x := range v.F64 {
			if math.IsNaN(x) {
				return // a NaN's payload is lost in text
			}
		}
		text := AppendText([]byte{}, v, 0, Defaults)
		bin, err := AppendBinary([]byte{}, v, 0, Defaults)
		if err != nil {
			t.Fatal(err)
		}
		interval := typ.Kind == vector.Interval || typ.Kind == vector.List && typ.Elem[0].Kind == vector.Interval
		for i, form := range [][]byte{text, bin} {
			if i == 0 && interval {
				continue // the text of the largest intervals is out of range, in PostgreSQL too
			}
			back, err := DecodeParam(typ, int16(i), form, Defaults)
			if err != nil {
				t.Fatalf("%s: %q, of %q, does not read back: %v", typ, form, b, err)
			}
			if again, _ := AppendBinary([]byte{}, back, 0, Defaults); !bytes.Equal(again, bin) {
				t.Fatalf("%s: %q became %q", typ, text, AppendText(nil, back, 0, Defaults))
			}
		}
	})
}
