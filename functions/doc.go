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
//   - min, max, last, last_k, latest and approx_count_distinct have no inverse. Their Merge is cheap and their Reset keeps memory, for
//     the caller who slides a window over two stacks of states.
//
// # Arguments
//
// A constant parameter, such as k of last_k, stands after the arguments of rows and is part of the bound aggregate: ArgTypes,
// Input.Args and PartialInput.Args do not have it. Rows that a FILTER refuses are not passed. FoldFunc and Merge panic when they
// are given the state of another aggregate.
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
//	last, last_k           V, then newest first, at most k times:
//	                         zigzag varint event time; after the first, varint: how much older than the one before
//	                         varint length and bytes of the primary key's encoding, length 0 where there is none
//	                         varint length and bytes of the value
//	latest                 as last of one row; the length of a NULL is 0, and of a value one more than its bytes
//	count_distinct         V, varint number of keys, then ascending, for each key:
//	sum_map                  varint bytes shared with the key before; text and bytes: varint bytes that follow; those bytes
//	                         varint length and bytes of the cell: varint rows, or rows and sum as for sum, without V
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
// An exact multiset is too large when the bytes of its keys, and 4 (count_distinct) or 16 (sum_map) for each, pass
// Options.MaxState. That grows with the set of keys and depends on nothing else, so a window's value is ErrStateTooLarge or is
// not, whichever pieces it was put together from. The encoding of such a state is a mark without content. Unmerge takes a
// merged mark out again; retracting single rows of what was merged as a mark does not: the state stays too large until it is
// rebuilt from rows.
//
// # Adding an aggregate in an hour
//
//  1. A file of its name: its Definition, a type that implements Aggregate with the assertion, its Bind. Reuse a state where
//     one fits: accumulate.go (exact sums), newest.go (order by time), bag.go (exact multisets), extreme.go.
//  2. Its line in list.go.
//  3. Its oracle in oracle_test.go, some twenty naive lines, and its types in subjects. The property test, the decoder tests and
//     the comparison with the engine run over subjects; TestListComplete fails until the aggregate is there.
//  4. Its bytes above. A change of bytes is a new StateVersion.
//
// The package does not know storage, plans or clocks, and does not execute SQL.
package functions
