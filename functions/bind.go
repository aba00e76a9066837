package functions

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// SQLSTATEs of BindError.
const (
	codeUndefinedFunction = "42883"
	codeAmbiguous         = "42725"
	codeUnsupported       = "0A000"
	codeParameter         = "22023"
)

func noSuchFunction(name string, args []vector.Type, hint string) *BindError {
	types := make([]string, len(args))
	for i, t := range args {
		types[i] = t.String()
	}
	if hint == "" {
		hint = "Cast the argument to a type that " + name + " takes."
	}
	return &BindError{codeUndefinedFunction, fmt.Sprintf("function %s(%s) does not exist", name, strings.Join(types, ", ")), hint}
}

// checkArgs is the common part of binding: the number of arguments, and types that no aggregate but count takes.
func checkArgs(name string, args []vector.Type, n int) error {
	if len(args) != n {
		return noSuchFunction(name, args, fmt.Sprintf("%s takes %d arguments.", name, n))
	}
	for _, t := range args {
		switch {
		case t.Kind == vector.Null:
			return &BindError{codeAmbiguous, fmt.Sprintf("function %s(unknown) is not unique", name), "Cast NULL to a type: NULL::bigint."}
		case t.Kind == vector.Invalid:
			return noSuchFunction(name, args, "")
		case t.Kind == vector.Decimal && (t.Precision == 0 || t.Precision > 38 || t.Scale > t.Precision):
			return &BindError{codeUnsupported, fmt.Sprintf("%s of numeric without precision and scale", name), "Cast the argument, for instance x::numeric(18,2)."}
		}
	}
	return nil
}

// checkKey refuses types whose values an exact multiset cannot tell apart by their bytes as SQL's equality does.
func checkKey(name string, args []vector.Type, t vector.Type) error {
	switch {
	case t.Kind == vector.JSON:
		return noSuchFunction(name, args, "json has no equality: cast the argument to text.")
	case t.Kind == vector.Interval, t.Buffer() == vector.BufNested:
		return &BindError{codeUnsupported, fmt.Sprintf("%s of %s is not supported", name, t), "Cast the argument to text."}
	}
	return nil
}

// MaxK is the largest k of aggregates that keep k values: what one state holds.
const MaxK = 1000

// parameterK is k of last_k and its like.
var parameterK = Parameter{Name: "k", Help: fmt.Sprintf("a constant integer, 1 <= k <= %d", MaxK), Samples: []string{"1", "4"}}

// bindK is the number of values that name(x, k) keeps.
func bindK(name string, args []vector.Type, constants []string) (int, error) {
	if len(args) != 2 {
		return 0, noSuchFunction(name, args, fmt.Sprintf("%s takes a value and a number of values: %s(x, 5).", name, name))
	}
	k, err := strconv.Atoi(constant(constants, 1))
	if err != nil || k < 1 || k > MaxK {
		return 0, &BindError{codeParameter, fmt.Sprintf("k of %s must be a constant integer from 1 to %d", name, MaxK), fmt.Sprintf("Write the number, for instance %s(x, 5).", name)}
	}
	return k, nil
}

// constant is the constant that argument i is, or "".
func constant(constants []string, i int) string {
	if i < len(constants) {
		return constants[i]
	}
	return ""
}

// numbers are the numbers of a constant; array reports whether it is one in braces. ok is false where it is no constant, or
// where one of them is no finite decimal number.
func numbers(constant string) (xs []*big.Rat, array, ok bool) {
	inner, array := strings.CutPrefix(constant, "{")
	inner = strings.TrimSuffix(inner, "}")
	if array && inner == "" {
		return nil, true, true
	}
	for _, s := range strings.Split(inner, ",") {
		// The exponent is bounded because a Rat is written out, as far as it reaches.
		_, exponent, _ := strings.Cut(strings.ToLower(s), "e")
		if e, err := strconv.Atoi(exponent); exponent != "" && (err != nil || e < -400 || e > 400) || strings.ContainsAny(s, "/xXpP_") {
			return nil, array, false
		}
		x, ok := new(big.Rat).SetString(s)
		if !ok {
			return nil, array, false
		}
		xs = append(xs, x)
	}
	return xs, array, true
}
