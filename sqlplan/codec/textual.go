package codec

import (
	"encoding/binary"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
)

// Object ids of types whose values are kept as PostgreSQL's text of them.
const (
	oidInet, oidCIDR, oidTimeTZ, oidBit, oidVarbit = 869, 650, 1266, 1560, 1562
)

// typeIDs are the object ids of the types that values have, by the names that regtype shows.
var typeIDs = map[string]uint32{"boolean": OIDBool, "bytea": OIDBytea, "bigint": OIDInt8, "smallint": OIDInt2, "integer": OIDInt4, "text": OIDText, "json": OIDJSON,
	"real": OIDFloat4, "double precision": OIDFloat8, "unknown": OIDUnknown, "character": OIDBPChar, "character varying": OIDVarchar, "date": OIDDate,
	"time without time zone": OIDTime, "timestamp without time zone": OIDTimestamp, "timestamp with time zone": OIDTimestampTZ, "interval": OIDInterval,
	"numeric": OIDNumeric, "uuid": OIDUUID, "jsonb": OIDJSONB, "name": OIDName, "oid": OIDOid, "inet": oidInet, "cidr": oidCIDR, "bit": oidBit, "bit varying": oidVarbit,
	"time with time zone": oidTimeTZ, "regtype": oidRegtype, "boolean[]": oidBoolArray, "bytea[]": oidByteaArray, "smallint[]": oidInt2Array, "integer[]": oidInt4Array,
	"text[]": oidTextArray, "bigint[]": oidInt8Array, "real[]": oidFloat4Array, "double precision[]": oidFloat8Array, "json[]": oidJSONArray, "date[]": oidDateArray,
	"time without time zone[]": oidTimeArray, "timestamp without time zone[]": oidTimestampArray, "timestamp with time zone[]": oidTimestampTZArray,
	"interval[]": oidIntervalArray, "numeric[]": oidNumericArray, "uuid[]": oidUUIDArray, "character varying[]": oidVarcharArray, "jsonb[]": 3807, "record": 2249, "void": 2278,
	"macaddr": oidMacaddr, "macaddr8": oidMacaddr8, "tid": oidTID, "xid8": oidXID8, "macaddr[]": 1040, "macaddr8[]": 775, "tid[]": 1010, "xid8[]": 271}

// appendTextualBinary is the binary form of a value that is kept as its text; ok is false for types that are not.
func appendTextualBinary(dst, text []byte, oid uint32) (out []byte, ok bool, err error) {
	switch oid {
	case OIDNumeric:
		out, err = appendNumericText(dst, string(text))
	case OIDJSONB:
		out = append(append(dst, 1), text...)
	case oidBit, oidVarbit:
		out = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
		for i := 0; i < len(text); i += 8 {
			var c byte
			for j := i; j < i+8 && j < len(text); j++ {
				c |= (text[j] - '0') << (7 - (j - i))
			}
			out = append(out, c)
		}
	case oidInet, oidCIDR:
		p, perr := netip.ParsePrefix(string(text))
		if perr != nil {
			a, aerr := netip.ParseAddr(string(text))
			if aerr != nil {
				return dst, true, badSyntaxOf("inet", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		family, cidr := byte(2), byte(0)
		if !p.Addr().Is4() {
			family = 3
		}
		if oid == oidCIDR {
			cidr = 1
		}
		b := p.Addr().AsSlice()
		out = append(append(dst, family, byte(p.Bits()), cidr, byte(len(b))), b...)
	case oidTimeTZ:
		s := string(text)
		at := strings.LastIndexAny(s, "+-")
		if at < 0 {
			return dst, true, badSyntaxOf("time with time zone", text)
		}
		var t, offset int64
		for i, f := range strings.Split(s[at+1:], ":") {
			n, _ := strconv.ParseInt(f, 10, 64)
			offset += n * []int64{3600, 60, 1}[i]
		}
		if s[at] == '+' { // seconds west of Greenwich
			offset = -offset
		}
		for i, f := range strings.Split(s[:at], ":") {
			x, _ := strconv.ParseFloat(f, 64)
			t += int64(x*1e6+0.5) * []int64{3600, 60, 1}[i]
		}
		out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(t)), uint32(offset))
	case oidRegtype:
		id, known := typeIDs[string(text)]
		for i := range RangeTypes {
			switch t := &RangeTypes[i]; string(text) {
			case t.Name:
				id, known = t.OID, true
			case t.MultiName:
				id, known = t.Multi, true
			case t.Name + "[]":
				id, known = t.Array, true
			}
		}
		for oid, g := range geometricTypes {
			switch string(text) {
			case g.name:
				id, known = oid, true
			case g.name + "[]":
				id, known = g.array, true
			}
		}
		if !known {
			return dst, false, nil
		}
		out = binary.BigEndian.AppendUint32(dst, id)
	default:
		if t, multi := RangeOf(oid); t != nil {
			out, err = t.appendRangeBinary(dst, string(text), multi)
			break
		}
		if Geometric(oid) {
			s, serr := ParseShape(oid, string(text))
			if serr != nil {
				return dst, true, serr
			}
			out = s.appendBinary(dst)
			break
		}
		if out, ok, err = appendHardwareBinary(dst, text, oid); ok {
			break
		}
		if IsArray(oid) {
			out, err = appendDimensionsBinary(dst, string(text), oid)
			break
		}
		return dst, false, nil
	}
	return out, true, err
}

func badSyntaxOf(name string, b []byte) error {
	return &Error{Code: "22P02", Message: "invalid input syntax for type " + name + ": " + quoted(b)}
}

// appendNumericText is the binary form of a numeric's text: digits of base 10000.
func appendNumericText(dst []byte, s string) ([]byte, error) {
	head := func(n, weight, sign, scale uint16) []byte {
		for _, x := range []uint16{n, weight, sign, scale} {
			dst = binary.BigEndian.AppendUint16(dst, x)
		}
		return dst
	}
	switch s {
	case "NaN":
		return head(0, 0, 0xc000, 0), nil
	case "Infinity":
		return head(0, 0, 0xd000, 0x20), nil
	case "-Infinity":
		return head(0, 0, 0xf000, 0x20), nil
	}
	sign := uint16(0)
	if strings.HasPrefix(s, "-") {
		s, sign = s[1:], 0x4000
	}
	whole, fraction, _ := strings.Cut(s, ".")
	scale := len(fraction)
	if _, ok := new(big.Int).SetString("0"+whole+fraction, 10); !ok {
		return dst, badSyntaxOf("numeric", []byte(s))
	}
	for len(whole)%4 != 0 {
		whole = "0" + whole
	}
	for len(fraction)%4 != 0 {
		fraction += "0"
	}
	weight := len(whole)/4 - 1
	digits := whole + fraction
	for strings.HasPrefix(digits, "0000") {
		digits, weight = digits[4:], weight-1
	}
	for strings.HasSuffix(digits, "0000") {
		digits = digits[:len(digits)-4]
	}
	if digits == "" {
		return head(0, 0, 0, uint16(scale)), nil
	}
	dst = head(uint16(len(digits)/4), uint16(int16(weight)), sign, uint16(scale))
	for i := 0; i < len(digits); i += 4 {
		n, _ := strconv.Atoi(digits[i : i+4])
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	return dst, nil
}

// textualOf is the text of a value that is kept as such, from its binary form; ok is false for types that are not. Errors: 22P03.
func textualOf(b []byte, oid uint32) (text string, ok bool, err error) {
	bad := &Error{Code: "22P03", Message: "incorrect binary data format"}
	switch oid {
	case OIDNumeric:
		if len(b) < 8 || len(b) != 8+2*int(binary.BigEndian.Uint16(b)) {
			return "", true, bad
		}
		text, ok := numericOfBinary(b)
		if !ok {
			return "", true, bad
		}
		return text, true, nil
	case OIDJSONB:
		if len(b) == 0 || b[0] != 1 {
			return "", true, &Error{Code: "XX000", Message: "unsupported jsonb version number"}
		}
		if err := CheckText(b[1:]); err != nil {
			return "", true, err
		}
		return string(b[1:]), true, nil
	case oidBit, oidVarbit:
		if len(b) < 4 || int(binary.BigEndian.Uint32(b)) > 8*(len(b)-4) {
			return "", true, bad
		}
		out := make([]byte, binary.BigEndian.Uint32(b))
		for i := range out {
			out[i] = '0' + b[4+i/8]>>(7-i%8)&1
		}
		return string(out), true, nil
	case oidInet, oidCIDR:
		if len(b) < 4 || len(b) != 4+int(b[3]) {
			return "", true, bad
		}
		a, valid := netip.AddrFromSlice(b[4:])
		if !valid || int(b[1]) > a.BitLen() {
			return "", true, bad
		}
		if int(b[1]) == a.BitLen() && oid == oidInet {
			return a.String(), true, nil
		}
		return netip.PrefixFrom(a, int(b[1])).String(), true, nil
	case oidTimeTZ:
		text, err = timeTZOfBinary(b)
		return text, true, err
	case oidChar:
		switch c := b[0]; {
		case c == 0:
			return "", true, nil
		case c < 0x80:
			return string(rune(c)), true, nil
		}
		return string([]byte{'\\', '0' + b[0]>>6, '0' + b[0]>>3&7, '0' + b[0]&7}), true, nil
	}
	if t, multi := RangeOf(oid); t != nil {
		text, err = t.textOfBinary(b, multi)
		return text, true, err
	}
	if Geometric(oid) {
		s, err := shapeOfBinary(b, oid)
		if err != nil {
			return "", true, err
		}
		return s.Text(Defaults), true, nil
	}
	if text, ok, err = hardwareOfBinary(b, oid); ok {
		return text, true, err
	}
	if IsArray(oid) {
		text, err = dimensionsOfBinary(b, oid)
		return text, true, err
	}
	return "", false, nil
}

// charByte is the byte of a "char", whose text is a character of ASCII or an octal escape.
func charByte(text []byte) byte {
	switch len(text) {
	case 0:
		return 0
	case 4:
		return (text[1]-'0')<<6 | (text[2]-'0')<<3 | (text[3] - '0')
	}
	return text[0]
}

// timeTZOfBinary is the text of a time with its zone, which is sent as microseconds and seconds west of Greenwich.
func timeTZOfBinary(b []byte) (string, error) {
	us, west := int64(binary.BigEndian.Uint64(b)), int64(int32(binary.BigEndian.Uint32(b[8:])))
	if us < 0 || us > microsPerDay {
		return "", &Error{Code: "22008", Message: "time out of range"}
	}
	const most = 16 * 3600 // PostgreSQL's MAX_TZDISP_HOUR and a minute
	if west <= -most || west >= most {
		return "", &Error{Code: "22009", Message: "time zone displacement out of range"}
	}
	sign, off := byte('+'), -west
	if off < 0 {
		sign, off = '-', -off
	}
	out := append(appendTime(nil, us), sign)
	two := func(n int64) { out = append(out, byte('0'+n/10), byte('0'+n%10)) }
	if two(off / 3600); off%3600 != 0 {
		out = append(out, ':')
		if two(off / 60 % 60); off%60 != 0 {
			out = append(out, ':')
			two(off % 60)
		}
	}
	return string(out), nil
}

// numericOfBinary is the text of a numeric's binary form.
func numericOfBinary(b []byte) (string, bool) {
	n, weight := int(binary.BigEndian.Uint16(b)), int(int16(binary.BigEndian.Uint16(b[2:])))
	sign, scale := binary.BigEndian.Uint16(b[4:]), int(binary.BigEndian.Uint16(b[6:]))
	switch sign {
	case 0xc000:
		return "NaN", true
	case 0xd000:
		return "Infinity", true
	case 0xf000:
		return "-Infinity", true
	case 0, 0x4000:
	default:
		return "", false
	}
	if scale > 0x3fff {
		return "", false
	}
	var s strings.Builder
	digit := func(i int) string { // the base-10000 digit of weight −i
		if i < 0 || i >= n {
			return "0000"
		}
		d := strconv.Itoa(int(binary.BigEndian.Uint16(b[8+2*i:])))
		return strings.Repeat("0", max(4-len(d), 0)) + d
	}
	for i := range n {
		if binary.BigEndian.Uint16(b[8+2*i:]) > 9999 {
			return "", false
		}
	}
	for i := 0; i <= weight; i++ {
		s.WriteString(digit(i))
	}
	whole := strings.TrimLeft(s.String(), "0")
	if whole == "" {
		whole = "0"
	}
	s.Reset()
	for i := weight + 1; s.Len() < scale; i++ {
		s.WriteString(digit(i))
	}
	out := whole
	if scale > 0 {
		out += "." + s.String()[:scale]
	}
	if sign == 0x4000 && strings.Trim(out, "0.") != "" {
		out = "-" + out
	}
	return out, true
}
