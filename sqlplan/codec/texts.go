package codec

import "github.com/tilehouse/tilehouse/functions/vector"

// textInputs are the input functions of types whose values are kept as texts, by object id.
var textInputs = map[uint32]func(s string, set *Settings) (string, error){}

// RegisterText says what reads values of a type that are kept as texts, and returns them as they are kept. It is called by init.
func RegisterText(oid uint32, in func(s string, set *Settings) (string, error)) { textInputs[oid] = in }

// appendShownText appends a value of a type that is kept as text to v.
func appendShownText(v *vector.Vector, b []byte, set *Settings) error {
	var in func(s string, set *Settings) (string, error)
	if v.Type.Shown != 0 {
		in = textInputs[v.Type.Shown]
	}
	if in == nil {
		v.AppendBytes(b)
		return nil
	}
	s, err := in(string(b), set)
	if err == nil {
		v.AppendString(s)
	}
	return err
}
