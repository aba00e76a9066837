package pgfunc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// Bit strings are texts of 0 and 1; addresses and times with a zone are the texts that PostgreSQL writes.

func bitIn(s string) (string, error) {
	switch {
	case s != "" && (s[0] == 'x' || s[0] == 'X'):
		var b strings.Builder
		for _, c := range s[1:] {
			n, err := strconv.ParseUint(string(c), 16, 8)
			if err != nil {
				return "", bad("22P02", `"%s" is not a valid hexadecimal digit`, string(c))
			}
			fmt.Fprintf(&b, "%04b", n)
		}
		return b.String(), nil
	case s != "" && (s[0] == 'b' || s[0] == 'B'):
		s = s[1:]
	}
	for _, c := range s {
		if c != '0' && c != '1' {
			return "", bad("22P02", `"%s" is not a valid binary digit`, string(c))
		}
	}
	return s, nil
}

func inetIn(s string, cidr bool) (string, error) {
	typ := map[bool]string{true: "cidr", false: "inet"}[cidr]
	fail := bad("22P02", `invalid input syntax for type %s: "%s"`, typ, s)
	text, width, hasWidth := strings.Cut(strings.TrimSpace(s), "/")
	addr, err := netip.ParseAddr(text)
	short := 0
	if err != nil && cidr && strings.Trim(text, "0123456789.") == "" && text != "" {
		// The octets that are written count, and at least those of the network's class.
		first, _ := strconv.Atoi(strings.SplitN(text, ".", 2)[0])
		short = 8 * (strings.Count(text, ".") + 1)
		switch {
		case first >= 240:
			short = 32
		case first >= 192 && first < 224:
			short = max(short, 24)
		case first >= 128 && first < 192:
			short = max(short, 16)
		}
		for strings.Count(text, ".") < 3 {
			text += ".0"
		}
		addr, err = netip.ParseAddr(text)
	}
	if err != nil || addr.Zone() != "" {
		return "", fail
	}
	n := addr.BitLen()
	if short > 0 {
		n = short
	}
	if hasWidth {
		if n, err = strconv.Atoi(width); err != nil || n < 0 || n > addr.BitLen() {
			return "", fail
		}
	}
	if cidr {
		if p := netip.PrefixFrom(addr, n); p.Masked() != p {
			return "", withDetail(bad("22P02", `invalid cidr value: "%s"`, s), "Value has bits set to right of mask.")
		}
		return fmt.Sprintf("%s/%d", addr, n), nil
	}
	if n == addr.BitLen() {
		return addr.String(), nil
	}
	return fmt.Sprintf("%s/%d", addr, n), nil
}

func prefixOf(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	a, _ := netip.ParseAddr(s)
	return netip.PrefixFrom(a, a.BitLen())
}

func timetzIn(s string, set *codec.Settings) (string, error) {
	t := strings.TrimSpace(s)
	at := strings.LastIndexAny(t, "+-")
	zone := "+00"
	offset := 0
	switch {
	case at > 0 && strings.Contains(t[:at], ":"):
		f := strings.Split(t[at+1:], ":")
		if len(f) == 1 && len(f[0]) == 4 {
			f = []string{f[0][:2], f[0][2:]}
		}
		for i, x := range f {
			n, err := strconv.Atoi(x)
			if err != nil || i > 2 {
				return "", bad("22007", `invalid input syntax for type time with time zone: "%s"`, s)
			}
			offset = offset + n*[]int{3600, 60, 1}[i]
		}
		if t[at] == '-' {
			offset = -offset
		}
		t = t[:at]
	case strings.HasSuffix(strings.ToUpper(t), "Z"):
		t = t[:len(t)-1]
	case strings.HasSuffix(strings.ToUpper(t), " UTC"):
		t = t[:len(t)-4]
	default:
		if zoneOf(set).String() != "UTC" {
			return "", bad("0A000", "a time with time zone is written with its offset")
		}
	}
	v, err := codec.ParseText(vector.T(vector.Time), t, set)
	if err != nil {
		return "", bad("22007", `invalid input syntax for type time with time zone: "%s"`, s)
	}
	sign, o := '+', offset
	if o < 0 {
		sign, o = '-', -o
	}
	zone = fmt.Sprintf("%c%02d", sign, o/3600)
	if o%3600 != 0 {
		zone += fmt.Sprintf(":%02d", o/60%60)
	}
	return string(codec.AppendText(nil, v, 0, codec.Defaults)) + zone, nil
}

// roundTimeTZ rounds a time with its zone to a number of digits.
func roundTimeTZ(s string, digits int) (string, error) {
	at := strings.LastIndexAny(s, "+-")
	if at < 0 || digits >= 6 {
		return s, nil
	}
	v, err := codec.ParseText(vector.T(vector.Time), s[:at], codec.Defaults)
	if err != nil {
		return "", err
	}
	unit := int64(1)
	for range 6 - digits {
		unit *= 10
	}
	v.I64[0] = roundTo(v.I64[0], unit)
	return string(codec.AppendText(nil, v, 0, codec.Defaults)) + s[at:], nil
}

func init() {
	ours("__timetz(text,int4)", "text", func(a args, out *vector.Vector) error {
		s, err := roundTimeTZ(a.s(0), int(a.n(1)))
		return putText(out, s, err)
	})
	for _, varying := range []bool{false, true} {
		for _, cut := range []bool{false, true} {
			name := map[bool]string{false: "__bit", true: "__varbit"}[varying]
			if cut {
				name += "_cut"
			}
			ours(name+"(text,int4)", "text", func(a args, out *vector.Vector) error {
				s, n := a.s(0), int(a.n(1))
				switch {
				case len(s) == n:
				case !cut && !varying:
					return bad("22026", "bit string length %d does not match type bit(%d)", len(s), n)
				case !cut && len(s) > n:
					return bad("22001", "bit string too long for type bit varying(%d)", n)
				case len(s) > n:
					s = s[:n]
				case !varying:
					s += strings.Repeat("0", n-len(s))
				}
				out.AppendString(s)
				return nil
			})
		}
	}
	bitwise := func(op string, f func(x, y byte) byte, word string) {
		ours("bit "+op+" bit", "bit", func(a args, out *vector.Vector) error {
			x, y := a.b(0), a.b(1)
			if len(x) != len(y) {
				return bad("22026", "cannot %s bit strings of different sizes", word)
			}
			r := make([]byte, len(x))
			for i := range x {
				r[i] = '0' + f(x[i]&1, y[i]&1)
			}
			out.AppendBytes(r)
			return nil
		})
	}
	bitwise("&", func(x, y byte) byte { return x & y }, "AND")
	bitwise("|", func(x, y byte) byte { return x | y }, "OR")
	bitwise("#", func(x, y byte) byte { return x ^ y }, "XOR")
	ours("~ bit", "bit", func(a args, out *vector.Vector) error {
		out.AppendString(strings.Map(func(r rune) rune { return r ^ 1 }, a.s(0)))
		return nil
	})
	shift := func(s string, n int64) string {
		l := int64(len(s))
		switch {
		case n >= l || -n >= l:
			return strings.Repeat("0", len(s))
		case n >= 0:
			return s[n:] + strings.Repeat("0", int(n))
		}
		return strings.Repeat("0", int(-n)) + s[:l+n]
	}
	ours("bit << int4", "bit", func(a args, out *vector.Vector) error { out.AppendString(shift(a.s(0), a.n(1))); return nil })
	ours("bit >> int4", "bit", func(a args, out *vector.Vector) error { out.AppendString(shift(a.s(0), -a.n(1))); return nil })
	ours("get_bit(bit,int4)", "int4", func(a args, out *vector.Vector) error {
		n := a.n(1)
		if n < 0 || n >= int64(len(a.b(0))) {
			return bad("2202E", "bit index %d out of valid range (0..%d)", n, len(a.b(0))-1)
		}
		return putInt(out, int64(a.b(0)[n]-'0'), nil)
	})
	ours("set_bit(bit,int4,int4)", "bit", func(a args, out *vector.Vector) error {
		b, n := append([]byte{}, a.b(0)...), a.n(1)
		if n < 0 || n >= int64(len(b)) {
			return bad("2202E", "bit index %d out of valid range (0..%d)", n, len(b)-1)
		}
		if v := a.n(2); v != 0 && v != 1 {
			return bad("22023", "new bit must be 0 or 1")
		}
		b[n] = '0' + byte(a.n(2))
		out.AppendBytes(b)
		return nil
	})
	ours("substring(bit,int4)", "bit", func(a args, out *vector.Vector) error {
		out.AppendString(substring(a.s(0), a.n(1), -1))
		return nil
	})
	ours("substring(bit,int4,int4)", "bit", func(a args, out *vector.Vector) error {
		if a.n(2) < 0 {
			return bad("22011", "negative substring length not allowed")
		}
		out.AppendString(substring(a.s(0), a.n(1), a.n(2)))
		return nil
	})
	ours("position(bit,bit)", "int4", func(a args, out *vector.Vector) error {
		return putInt(out, int64(strings.Index(a.s(0), a.s(1))+1), nil)
	})
	sql(`
		varbit || varbit	($1 || $2)
		length(bit)	CAST(length($1) AS int4)
		bit_length(bit)	CAST(length($1) AS int4)
		octet_length(bit)	CAST(divide(length($1) + 7, 8) AS int4)
	`)
	ours("bit_count(bit)", "int8", func(a args, out *vector.Vector) error { return putInt(out, int64(strings.Count(a.s(0), "1")), nil) })
	for t, width := range map[string]int{"int4": 32, "int8": 64} {
		ours("cast(bit as "+t+")", t, func(a args, out *vector.Vector) error {
			s := strings.TrimLeft(a.s(0), "0")
			if len(a.s(0)) > width {
				return bad("22003", "%s out of range", map[int]string{32: "integer", 64: "bigint"}[width])
			}
			n, _ := strconv.ParseUint("0"+s, 2, 64)
			x := int64(n)
			if width == 32 {
				x = int64(int32(uint32(n)))
			}
			return putInt(out, x, nil)
		})
		ours("cast("+t+" as bit)", "bit", func(a args, out *vector.Vector) error { // a bare bit is bit(1)
			out.AppendString(strconv.FormatInt(a.n(0)&1, 2))
			return nil
		})
	}
	ours("__int_bit(int8,int4,int4)", "bit", func(a args, out *vector.Vector) error {
		width, n := int(a.n(1)), int(a.n(2))
		s := fmt.Sprintf("%064b", uint64(a.n(0)))[64-width:]
		for len(s) < n {
			s = s[:1] + s
		}
		out.AppendString(s[len(s)-n:])
		return nil
	})
	// Addresses.
	ours("__inet_key(inet)", "bytea", func(a args, out *vector.Vector) error {
		p := prefixOf(a.s(0))
		net := p.Masked().Addr().AsSlice()
		b := append([]byte{byte(len(net))}, net...)
		b = append(b, byte(p.Bits()))
		out.AppendBytes(append(b, p.Addr().AsSlice()...))
		return nil
	})
	ours("host(inet)", "text", func(a args, out *vector.Vector) error { out.AppendString(prefixOf(a.s(0)).Addr().String()); return nil })
	ours("masklen(inet)", "int4", func(a args, out *vector.Vector) error { return putInt(out, int64(prefixOf(a.s(0)).Bits()), nil) })
	ours("family(inet)", "int4", func(a args, out *vector.Vector) error {
		return putInt(out, map[bool]int64{true: 4, false: 6}[prefixOf(a.s(0)).Addr().Is4()], nil)
	})
	ours("network(inet)", "cidr", func(a args, out *vector.Vector) error {
		out.AppendString(prefixOf(a.s(0)).Masked().String())
		return nil
	})
	ours("text(inet)", "text", func(a args, out *vector.Vector) error { out.AppendString(prefixOf(a.s(0)).String()); return nil })
	ours("abbrev(inet)", "text", func(a args, out *vector.Vector) error { out.AppendString(a.s(0)); return nil })
	addr := func(a netip.Addr, bits int, cidr bool) string {
		if bits == a.BitLen() && !cidr {
			return a.String()
		}
		return fmt.Sprintf("%s/%d", a, bits)
	}
	mask := func(p netip.Prefix, invert bool) netip.Addr {
		b := make([]byte, p.Addr().BitLen()/8)
		for i := range p.Bits() {
			b[i/8] |= 0x80 >> (i % 8)
		}
		if invert {
			for i := range b {
				b[i] = ^b[i]
			}
		}
		x, _ := netip.AddrFromSlice(b)
		return x
	}
	ours("netmask(inet)", "inet", func(a args, out *vector.Vector) error {
		out.AppendString(mask(prefixOf(a.s(0)), false).String())
		return nil
	})
	ours("hostmask(inet)", "inet", func(a args, out *vector.Vector) error {
		out.AppendString(mask(prefixOf(a.s(0)), true).String())
		return nil
	})
	ours("broadcast(inet)", "inet", func(a args, out *vector.Vector) error {
		p := prefixOf(a.s(0))
		b, m := p.Addr().AsSlice(), mask(p, true).AsSlice()
		for i := range b {
			b[i] |= m[i]
		}
		x, _ := netip.AddrFromSlice(b)
		out.AppendString(addr(x, p.Bits(), false))
		return nil
	})
	ours("set_masklen(inet,int4)", "inet", func(a args, out *vector.Vector) error {
		p, n := prefixOf(a.s(0)), int(a.n(1))
		if n == -1 {
			n = p.Addr().BitLen()
		}
		if n < 0 || n > p.Addr().BitLen() {
			return bad("22023", "invalid mask length: %d", a.n(1))
		}
		out.AppendString(addr(p.Addr(), n, false))
		return nil
	})
	ours("inet_same_family(inet,inet)", "bool", func(a args, out *vector.Vector) error {
		out.AppendBool(prefixOf(a.s(0)).Addr().Is4() == prefixOf(a.s(1)).Addr().Is4())
		return nil
	})
	inside := func(x, y netip.Prefix, equal bool) bool { // x in y
		if x.Addr().Is4() != y.Addr().Is4() || x.Bits() < y.Bits() || x.Bits() == y.Bits() && !equal {
			return false
		}
		return y.Masked().Contains(x.Addr())
	}
	for op, f := range map[string]func(x, y netip.Prefix) bool{
		"<<":  func(x, y netip.Prefix) bool { return inside(x, y, false) },
		"<<=": func(x, y netip.Prefix) bool { return inside(x, y, true) },
		">>":  func(x, y netip.Prefix) bool { return inside(y, x, false) },
		">>=": func(x, y netip.Prefix) bool { return inside(y, x, true) },
		"&&":  func(x, y netip.Prefix) bool { return x.Masked().Overlaps(y.Masked()) },
	} {
		ours("inet "+op+" inet", "bool", func(a args, out *vector.Vector) error {
			out.AppendBool(f(prefixOf(a.s(0)), prefixOf(a.s(1))))
			return nil
		})
	}
	for _, sign := range []string{"+", "-"} {
		ours("inet "+sign+" int8", "inet", func(a args, out *vector.Vector) error {
			p, n := prefixOf(a.s(0)), a.n(1)
			if sign == "-" {
				n = -n
			}
			if !p.Addr().Is4() {
				return bad("0A000", "adding to an address of IPv6 is not supported")
			}
			b := p.Addr().As4()
			x := int64(binary.BigEndian.Uint32(b[:])) + n
			if x < 0 || x > 1<<32-1 {
				return bad("22003", "result is out of range")
			}
			binary.BigEndian.PutUint32(b[:], uint32(x))
			out.AppendString(addr(netip.AddrFrom4(b), p.Bits(), false))
			return nil
		})
	}
	ours("inet - inet", "int8", func(a args, out *vector.Vector) error {
		x, y := prefixOf(a.s(0)).Addr(), prefixOf(a.s(1)).Addr()
		if !x.Is4() || !y.Is4() {
			return bad("0A000", "the difference of addresses of IPv6 is not supported")
		}
		p, q := x.As4(), y.As4()
		return putInt(out, int64(binary.BigEndian.Uint32(p[:]))-int64(binary.BigEndian.Uint32(q[:])), nil)
	})
	ours("__timetz_key(timetz)", "bytea", func(a args, out *vector.Vector) error {
		s := a.s(0)
		at := strings.LastIndexAny(s, "+-")
		v, err := codec.ParseText(vector.T(vector.Time), s[:at], codec.Defaults)
		if err != nil {
			return err
		}
		f := strings.Split(s[at+1:], ":")
		off := int64(0)
		for i, x := range f {
			n, _ := strconv.ParseInt(x, 10, 64)
			off += n * []int64{3600, 60, 1}[i]
		}
		if s[at] == '-' {
			off = -off
		}
		utc := v.I64[0] - off*usSecond
		b := binary.BigEndian.AppendUint64(nil, uint64(utc+1<<62))
		out.AppendBytes(binary.BigEndian.AppendUint64(b, uint64(1<<62-off)))
		return nil
	})
}
