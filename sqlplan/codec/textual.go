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
	default:
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
