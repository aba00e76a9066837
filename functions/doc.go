// Package functions holds the aggregates: for each one a mergeable partial state, its encoding, the SQL by which an engine
// computes the same state, and the finalizer that makes a value of it.
//
//	rows ──Update──► State ──Append──► bytes ──MergeEncoded──► State ──Finalize──► value
//	  └──PartialSQL, GROUP BY in an engine──► result rows ──Fold──┘
//
// # Invariants
//
//   - A state is a function of the multiset of its rows: however they were ordered, split, merged, added and taken away, equal
//     multisets have equal bytes and equal values. Merge and Retract take part in that; so does PartialSQL.
//   - The state of no rows has no bytes. All other encodings begin with the Definition's StateVersion.
//   - Decoding accepts canonical encodings only: what decodes into an empty state encodes to the same bytes. Anything else
//     is an error wrapping ErrBadState, never a panic. Whether text is UTF-8 is not checked.
//   - Sums do not wrap and do not round on the way: package exact.
//   - States without an inverse (Definition.Inverse) have a cheap Merge and a Reset that keeps memory, for the caller who slides a
//     window over two stacks of states.
//
// # Arguments
//
// A constant parameter, such as k of last_k, stands after the arguments of rows and is part of the bound aggregate: ArgTypes,
// Input.Args and PartialInput.Args do not have it. Rows that a FILTER refuses are not passed. FoldFunc and Merge panic when they
// are given the state of another aggregate.
//
// # Values of doubles
//
// Sums, moments and products of doubles are exact until the value is worked out in integers and rounded once. Where PostgreSQL
// has the aggregate the value is PostgreSQL's but for its rounding: NaN or infinity among the values makes variances,
// covariances, correlations and slopes NaN, sums NaN or infinite, and a finite value too large for a double is ErrOutOfRange.
// NaN is greater than all numbers in every order, and equal to itself; −0 counts as 0.
//
// Variances and deviations are double precision of every argument: squares of bigint and of numeric(38,s) fit no numeric of 38
// digits. Those of integers and decimals are taken of the exact numbers. Covariance, correlation and regression take double
// precision, as PostgreSQL's do.
//
// # Bytes
//
// varint is Go's unsigned one, minimal; zigzag maps signed to unsigned; a minimal integer is little-endian two's complement
// without redundant sign bytes, 0 having none (package exact). V is the version byte.
//
//	count                  V, varint rows
//	sum, avg               V, varint rows, then of
//	  integers, decimals     minimal integer: the (unscaled) sum, to the end
//	  doubles                the encoding of exact.Sum, to the end
//	min, max               V, value, to the end
//	bool_and, bool_or      V, varint rows that are true, varint rows that are false
//	last, last_k,          V, then outermost first, at most k times:
//	first, first_k,          zigzag varint event time; after the first, varint: how much further in than the one before
//	last_distinct_k          varint length and bytes of the primary key's encoding, length 0 where there is none
//	                         varint length and bytes of the value
//	latest                 as last of one row; the length of a NULL is 0, and of a value one more than its bytes
//	top_k, bottom_k        V, then outermost first, at most k times: varint length and bytes of the value
//	var_*, stddev_*,       V, varint rows, varint rows that are NaN or infinite, then exact.Fixed of Σx, Σx² and,
//	skewness, kurtosis       for skewness and kurtosis, Σx³ and, for kurtosis, Σx⁴ of the finite; decimals unscaled
//	corr, covar_*, regr_*  V, varint rows, varint rows whose y is NaN or infinite, varint rows whose x is, then exact.Fixed of Σy, Σx,
//	                         Σy², Σx², Σxy, each over the rows where what it sums is finite
//	approx_percentile,     V, then for each bucket in use, ascending: varint buckets skipped, varint rows. Buckets are numbered
//	histogram                from 0, and from −percentileInf for approx_percentile
//	count_distinct,        V, varint number of keys, then ascending, for each key:
//	count_map, median,       varint bytes shared with the key before; text and bytes: varint bytes that follow; those bytes
//	top_k_by_count           varint length and bytes of the cell: varint rows
//	sum_map, avg_map         cell: varint rows, and sum as for sum, without V
//	min_map, max_map         cell: the value
//	                       V, 0 where the state is larger than max_state
//	approx_count_distinct  V, 0, for each register in use, ascending: varint registers skipped << 6 | rank
//	                       V, 1, 3,072 bytes: 4,096 ranks of 6 bits, lowest bits first; where the first form is not shorter
//
// A value is: integers, dates and times a zigzag varint; floats 8 big-endian bytes of vector.OrderedFloat; decimals a minimal
// integer; everything else its bytes. A key of a multiset is: integers 8 big-endian bytes with the sign flipped; floats as
// above; decimals 16 big-endian bytes with the sign flipped; everything else its bytes.
//
// # max_state
//
// An exact multiset is too large when the bytes of its keys, and 4 (values alone) or 16 (maps with values) for each, pass
// Options.MaxState. That grows with the set of keys and depends on nothing else, so a window's value is ErrStateTooLarge or is
// not, whichever pieces it was put together from. The encoding of such a state is a mark without content. Unmerge takes a
// merged mark out again; retracting single rows of what was merged as a mark does not: the state stays too large until it is
// rebuilt from rows. So does a state that grew to sixteen times max_state: it gives its memory up (Bounded).
//
// The package does not know storage, plans or clocks, and does not execute SQL.
package functions
