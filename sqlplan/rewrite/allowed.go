package rewrite

import (
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// What a statement may call is listed: a function that stands neither here nor in Options.Function does not exist, whatever
// DuckDB has. DuckDB's functions read files and settings, run SQL and write logs, and a new version may bring more of them.
//
// A function belongs here when it computes its result of its arguments alone, and its result is not much larger than they are, or
// bounded below.

// allowedScalars are the functions, aggregates and window functions that may be called in expressions.
var allowedScalars = wordSet(`
	abs acos acosh age ago any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
	arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg array_append array_apply array_cat
	array_concat array_contains array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct
	array_dot_product array_extract array_filter array_has array_has_all array_has_any array_indexof array_inner_product
	array_intersect array_length array_negative_dot_product array_negative_inner_product array_pop_back array_pop_front
	array_position array_prepend array_push_back array_push_front array_reduce array_reverse array_reverse_sort array_select
	array_slice array_sort array_to_json array_to_string array_transform array_unique array_where array_zip ascii asin asinh atan
	atan2 atanh avg base64 bin bit_and bit_count bit_length bit_or bit_position bit_xor bitstring_agg bool_and bool_or btrim
	cardinality cbrt ceil ceiling century char_length character_length chr concat concat_ws contains corr cos cosh cot count
	count_if countif covar_pop covar_samp cume_dist current_database current_date current_localtime current_localtimestamp
	current_schema current_schemas damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart datesub
	datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade decode degrees dense_rank editdist3 element_at
	encode ends_with entropy epoch epoch_ms epoch_ns epoch_us even every exp extract factorial favg fdiv fill first first_value
	flatten floor fmod format_bytes from_base64 from_binary from_hex from_json fsum gamma gcd gen_random_uuid generate_series
	generate_subscripts geomean geometric_mean get_bit get_current_time get_current_timestamp greatest greatest_common_divisor
	group_concat grouping hamming hex histogram histogram_exact hour ilike_escape initcap instr is_normalized isfinite isinf isnan
	isodow isoyear jaccard jaro_similarity jaro_winkler_similarity json json_array json_array_length json_contains json_exists
	json_extract json_extract_path json_extract_path_text json_extract_string json_group_array json_group_object
	json_group_structure json_keys json_merge_patch json_object json_pretty json_quote json_structure json_transform json_type
	json_valid json_value julian kahan_sum kurtosis kurtosis_pop lag last last_day last_value lcase lcm lead least
	least_common_multiple left left_grapheme len length length_grapheme levenshtein lgamma like_escape list list_any_value
	list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or
	list_cat list_concat list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_distinct
	list_dot_product list_element list_entropy list_extract list_filter list_first list_has list_has_all list_has_any
	list_histogram list_indexof list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max
	list_median list_min list_mode list_negative_dot_product list_negative_inner_product list_position list_prepend list_product
	list_reduce list_reverse list_reverse_sort list_select list_sem list_skewness list_slice list_sort list_stddev_pop
	list_stddev_samp list_string_agg list_sum list_transform list_unique list_var_pop list_var_samp list_where list_zip listagg ln
	log log10 log2 lower lpad ltrim mad make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz
	map map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value map_from_entries
	map_keys map_values max max_by md5 md5_number md5_number_lower md5_number_upper mean median microsecond millennium millisecond
	min min_by minute mismatches mod mode month monthname nanosecond nextafter normalize normalized_interval not_ilike_escape
	not_like_escape now nth_value ntile nullif octet_length ord overlay parse_formatted_bytes percent_rank pg_sleep pg_typeof pi
	position pow power prefix product quantile quantile_cont quantile_disc quarter radians random rank rank_dense regexp_escape
	regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
	regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right
	right_grapheme round round_even roundbankers row_number row_to_json rpad rtrim second sem set_bit sha1 sha256 sign signbit
	similar_to_escape sin sinh skewness split split_part sqrt starts_with stddev stddev_pop stddev_samp str_split str_split_regex
	strftime string_agg string_split string_split_regex string_to_array string_to_table strip_accents strlen strpos strptime
	struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert struct_keys
	struct_position struct_values substr substring substring_grapheme suffix sum sum_no_overflow sumkahan tan tanh time_bucket
	timezone timezone_hour timezone_minute to_base to_base64 to_binary to_centuries to_days to_decades to_hex to_hours to_json
	to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today
	transaction_timestamp translate trim trunc try_strptime typeof ucase unbin unhex unicode unnest upper url_decode url_encode
	uuid uuidv4 uuidv7 var_pop var_samp variance version wavg week weekday weekofyear weighted_avg xor year yearweek
`)

// allowedTables are the functions that may stand in FROM.
var allowedTables = wordSet(`generate_series range unnest generate_subscripts regexp_split_to_table json_each json_tree string_to_table pg_listening_channels pg_timezone_names`)

func wordSet(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// calls checks the calls of one statement. Inline asks it for those that Options.Function does not answer.
type calls struct {
	ours    map[*pg_query.FuncCall]bool // of the bodies of this program's own functions, which may call what they like
	inFrom  map[*pg_query.FuncCall]bool
	checked map[*pg_query.FuncCall]bool
	also    func(name string) bool // further functions that may be called
	off     bool                   // they were checked before
}

func newCalls() *calls {
	return &calls{ours: map[*pg_query.FuncCall]bool{}, inFrom: map[*pg_query.FuncCall]bool{}, checked: map[*pg_query.FuncCall]bool{}}
}

// CheckCalls refuses a call in n, as a user wrote it, of a function that is neither listed, nor one of also, nor answered by lookup.
// Errors: those of Rewrite for such calls.
func CheckCalls(n *pg_query.Node, also func(name string) bool, lookup Lookup) error {
	k := newCalls()
	k.also = also
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		if err != nil {
			return false
		}
		switch m := m.(type) {
		case *pg_query.RangeFunction:
			k.from(m)
		case *pg_query.FuncCall:
			if space, name := functionName(m.Funcname); name != "" && lookup != nil {
				f, e := lookup(space, name, m.Args, k.inFrom[m])
				if err = e; f != nil || e != nil {
					return err == nil
				}
			}
			err = k.check(m)
		}
		return err == nil
	})
	return err
}

// trust takes the calls of a body of this program's own.
func (k *calls) trust(body *pg_query.Node) {
	parse.Walk(body, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok {
			k.ours[f] = true
		}
		return true
	})
}

// from notes the calls that stand in FROM.
func (k *calls) from(f *pg_query.RangeFunction) {
	for _, l := range f.GetFunctions() {
		for _, n := range l.GetList().GetItems() {
			if c := n.GetFuncCall(); c != nil {
				k.inFrom[c] = true
			}
		}
	}
}

// check refuses a call of a function that is not listed. Errors: 42883, 3F000, 0A000.
func (k *calls) check(f *pg_query.FuncCall) error {
	if f == nil || k.off || k.ours[f] || k.checked[f] {
		return nil
	}
	k.checked[f] = true
	w := words(f.Funcname)
	name := w[len(w)-1]
	switch {
	case len(w) > 2:
		return located(f, "0A000", "cross-database references are not implemented: "+strings.Join(w, "."), "")
	case len(w) == 2 && w[0] != publicSchema && w[0] != "pg_catalog" && w[0] != "tilehouse" && w[0] != "information_schema":
		return located(f, "3F000", "schema \""+w[0]+"\" does not exist", "")
	case name == "format" && !k.inFrom[f] && len(f.Args) > 0: // DuckDB's has widths in braces, without a bound
		if s, ok := stringConst(f.Args[0]); ok && !strings.Contains(s, "{") {
			return nil
		}
	case name == "generate_series" && !k.inFrom[f] && (k.also == nil || !k.also(name)):
		return k.series(f)
	case (len(w) == 1 || w[0] == "pg_catalog") && (k.inFrom[f] && allowedTables[name] || !k.inFrom[f] && allowedScalars[name]):
		return nil
	case (len(w) == 1 || w[0] == "pg_catalog") && k.also != nil && k.also(name):
		return nil
	case name == "error" && !k.inFrom[f] && len(f.Args) == 1 && ownError(f.Args[0]):
		return nil
	}
	hint := "No function matches the given name and argument types. You might need to add explicit type casts."
	if strings.HasPrefix(name, "read_") || strings.HasPrefix(name, "parquet_") || name == "glob" || name == "sniff_csv" {
		hint = "Files are read as sources: CREATE SOURCE s WITH (connector = 'file', path = '…'); SELECT … FROM s."
	}
	return located(f, "42883", "function "+strings.Join(w, ".")+argumentTypes(f.Args)+" does not exist", hint)
}

// ownError reports whether what error() raises is a text that this program put there, as the bodies of functions do, or that does
// no more than end the statement: one with a prefix would say what its SQLSTATE is.
func ownError(n *pg_query.Node) bool {
	text := n.GetAConst().GetSval()
	return text != nil && !strings.HasPrefix(text.Sval, "tilehouse ")
}

// maxSeries is how many values a series in an expression may have. There DuckDB makes a list of it in one step, which nothing
// interrupts; in FROM it makes them as they are read.
const maxSeries = 1_000_000

// series checks generate_series in an expression: literals say how long it gets.
func (k *calls) series(f *pg_query.FuncCall) error {
	var v []float64
	for _, a := range f.Args {
		n, ok := numeral(a)
		if !ok {
			return located(f, "0A000", "generate_series in an expression takes whole numbers as literals", "Write it in FROM: SELECT … FROM generate_series(…) AS g(n).")
		}
		v = append(v, float64(n))
	}
	if len(v) < 2 {
		return located(f, "42883", "function generate_series"+argumentTypes(f.Args)+" does not exist", "")
	}
	step := 1.0
	if len(v) > 2 {
		step = v[2]
	}
	if step != 0 && (v[1]-v[0])/step > maxSeries {
		return located(f, "54000", "a series in an expression has too many values", "Write it in FROM: SELECT … FROM generate_series(…) AS g(n).")
	}
	return nil
}

// numeral is the whole number that a literal is.
func numeral(n *pg_query.Node) (int64, bool) {
	if c := n.GetTypeCast(); c != nil {
		n = c.Arg
	}
	if e := n.GetAExpr(); e != nil && e.Lexpr == nil && len(e.Name) == 1 && e.Name[0].GetString_().GetSval() == "-" {
		v, ok := numeral(e.Rexpr)
		return -v, ok
	}
	c := n.GetAConst()
	if i, ok := c.GetVal().(*pg_query.A_Const_Ival); ok {
		return int64(i.Ival.GetIval()), true
	}
	v, err := strconv.ParseInt(c.GetFval().GetFval(), 10, 64)
	return v, err == nil
}

// argumentTypes are the types of arguments as PostgreSQL lists them, "" where one is not known here.
func argumentTypes(args []*pg_query.Node) string {
	var types []string
	for _, a := range args {
		c := a.GetAConst()
		switch {
		case c.GetSval() != nil, c.GetIsnull(), a.GetParamRef() != nil:
			types = append(types, "unknown")
		case c.GetIval() != nil:
			types = append(types, "integer")
		case c.GetFval() != nil:
			types = append(types, "numeric")
		case c.GetBoolval() != nil:
			types = append(types, "boolean")
		default:
			t := a.GetTypeCast().GetTypeName()
			if t == nil || len(t.ArrayBounds) > 0 {
				return ""
			}
			typ, err := parse.TypeOf(t)
			if err != nil {
				return ""
			}
			types = append(types, typ.String())
		}
	}
	return "(" + strings.Join(types, ", ") + ")"
}
