package codec

import (
	"encoding/binary"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Object ids of types that values can be shown as (vector.Type.Shown).
const (
	oidChar, oidInt2Vector, oidRegproc, oidTID, oidXID, oidCID, oidOIDVector = 18, 22, 24, 27, 28, 29, 30
	oidLSN, oidCharArray, oidNameArray, oidOIDArray                          = 3220, 1002, 1003, 1028
	oidRegprocedure, oidRegclass, oidRegtype                                 = 2202, 2205, 2206
	oidRegconfig, oidRegdictionary, oidRegnamespace, oidRegrole              = 3734, 3769, 4089, 4096
	oidRegcollation, oidRegoper, oidRegoperator                              = 4191, 2203, 2204
	oidVoid                                                                  = 2278
)

// shownLengths are pg_type.typlen of the types that values can be shown as, where that is not the length of the kind.
var shownLengths = map[uint32]int16{OIDName: 64, oidChar: 1, OIDOid: 4, oidXID: 4, oidCID: 4, oidTID: 6, oidRegproc: 4, oidRegclass: 4, oidRegtype: 4,
	oidRegprocedure: 4, oidRegconfig: 4, oidRegdictionary: 4, oidRegnamespace: 4, oidRegrole: 4, oidRegcollation: 4, oidRegoper: 4, oidRegoperator: 4,
	OIDInt4: 4, OIDInt2: 2, OIDInt8: 8, oidTimeTZ: 12, oidLSN: 8, oidVoid: 4,
	oidPoint: 16, oidLseg: 32, oidBox: 32, oidLine: 24, oidCircle: 24, oidMacaddr: 6, oidMacaddr8: 8, oidXID8: 8}

// ShownAs is t shown to clients as a PostgreSQL type. Values of regclass and its kin are object ids, and the one child of their
// vector, which vectors of integers have not otherwise, are the names that their texts are. The elements of a list are shown as those of the array type.
func ShownAs(t vector.Type, oid uint32) vector.Type {
	if oid == OID(vector.Type{Kind: t.Kind, Precision: t.Precision, Scale: t.Scale, Elem: t.Elem}) {
		return t
	}
	t.Shown = oid
	if elem := shownElements[oid]; elem != 0 && t.Kind == vector.List {
		t.Elem = []vector.Type{ShownAs(t.Elem[0], elem)}
	}
	return t
}

// shownElements are the element types of the arrays that values can be shown as.
var shownElements = map[uint32]uint32{oidCharArray: oidChar, oidNameArray: OIDName, oidOIDArray: OIDOid, oidInt2Vector: OIDInt2, oidOIDVector: OIDOid,
	oidInt2Array: OIDInt2, oidInt4Array: OIDInt4, oidInt8Array: OIDInt8, oidVarcharArray: OIDVarchar, 1034: 1033, oidBPChar: OIDBPChar, 3807: OIDJSONB}

// keptAsText are further types whose values are kept as PostgreSQL's text of them, with their arrays' object ids.
var keptAsText = map[uint32]uint32{oidInet: 1041, oidCIDR: 651, oidTimeTZ: 1270, oidBit: 1561, oidVarbit: 1563, oidChar: oidCharArray,
	oidMacaddr: 1040, oidMacaddr8: 775, oidTID: 1010, oidXID8: 271}

func init() {
	for _, t := range RangeTypes {
		keptAsText[t.OID], keptAsText[t.Multi] = t.Array, t.MultiArray
	}
	for oid, g := range geometricTypes {
		keptAsText[oid] = g.array
		if oid == oidBox {
			keptAsText[oid] = 0 // arrays of boxes have semicolons between their elements
		}
	}
	for elem, array := range keptAsText {
		if array == 0 {
			continue
		}
		shownElements[array] = elem
	}
}

// keptType is TypeOf for the types of keptAsText and their arrays.
func keptType(oid uint32) (t vector.Type, ok bool) {
	if _, ok := keptAsText[oid]; ok {
		return vector.Type{Kind: vector.Text, Shown: oid}, true
	}
	if elem := shownElements[oid]; keptAsText[elem] == oid && elem != 0 {
		t := vector.ListOf(vector.Type{Kind: vector.Text, Shown: elem})
		t.Shown = oid
		return t, true
	}
	return vector.Type{}, false
}

// isVector reports whether t is shown as int2vector or oidvector, whose text has no braces and whose elements count from 0.
func isVector(t vector.Type) bool { return t.Shown == oidInt2Vector || t.Shown == oidOIDVector }

func lowerBound(t vector.Type) uint32 {
	if isVector(t) {
		return 0
	}
	return 1
}

func appendVectorText(dst []byte, v *vector.Vector, i int) []byte {
	for j := v.Off[i]; j < v.Off[i+1]; j++ {
		if j > v.Off[i] {
			dst = append(dst, ' ')
		}
		dst = strconv.AppendInt(dst, v.Child[0].I64[j], 10)
	}
	return dst
}

// appendShownBinary is AppendBinary of a value that is shown as another type than its kind's.
func appendShownBinary(dst []byte, v *vector.Vector, i int, s *Settings) ([]byte, error) {
	shown := v.Type.Shown
	plain := *v
	plain.Type.Shown = 0
	switch v.Type.Kind {
	case vector.Int16, vector.Int32, vector.Int64:
		switch shownLengths[shown] {
		case 2:
			return binary.BigEndian.AppendUint16(dst, uint16(v.I64[i])), nil
		case 4:
			return binary.BigEndian.AppendUint32(dst, uint32(v.I64[i])), nil
		case 8:
			return binary.BigEndian.AppendUint64(dst, uint64(v.I64[i])), nil
		}
	case vector.JSON:
		if shown == OIDJSONB {
			dst = append(dst, 1)
		}
	case vector.Text:
		if out, ok, err := appendTextualBinary(dst, v.Bytes(i), shown); ok {
			return out, err
		}
		if shown == oidChar {
			return append(dst, charByte(v.Bytes(i))), nil
		}
	case vector.List:
		if isArray(v.Type) {
			return appendArrayBinary(dst, v, i, s)
		}
	}
	return AppendBinary(dst, &plain, i, s)
}
