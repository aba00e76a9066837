package event

// PieceKind says what a piece is; EXPLAIN prints it.
type PieceKind uint8

// The kinds of piece.
const (
	PieceSettled  PieceKind = iota // the state of a settled day, from the online store
	PieceLevel                     // the state of a bucket below a day, from the online store
	PiecePack                      // rows of a row pack
	PiecePartial                   // the state of a day, from a partial run
	PieceRun                       // rows of a row run
	PieceTail                      // rows of the log's tail
	PieceLifetime                  // the cumulative state of everything before a day
)

var pieceNames = [...]string{"settled day", "level", "row pack", "daily partial", "row run", "log tail", "lifetime state"}

func (k PieceKind) String() string { return pieceNames[k] }

// Pieces is what a store holds of one key of one group at one position: the one interface under lookup, ASOF join and
// EXPLAIN FEATURE. It is used by one goroutine.
type Pieces interface {
	// Cover visits pieces that together hold every live row of the key with iv.Lo ≤ ts < iv.Hi exactly once: states for
	// spans that lie wholly inside, rows at the edges. An empty interval visits nothing. Order of visits is unspecified.
	Cover(iv Interval, v Visitor) error
}

// Visitor takes the pieces of a cover. What it is given is valid until it returns.
type Visitor interface {
	// State is a span of time whose rows are all in the interval; encoded(i) is the encoded state of the group's partial i,
	// nil where no row of the span counts for it.
	State(kind PieceKind, span Interval, encoded func(partial int) []byte) error
	// Rows is rows from ≤ i < to, all of them live and in the interval. span is the bucket they came from.
	Rows(kind PieceKind, span Interval, r *Rows, from, to int) error
}

// ReadStats counts what reads cost. The fields add up over a statement.
type ReadStats struct {
	PointReads int64 // values read by key from the online store, cached ones not counted
	CacheHits  int64
	Bytes      int64 // bytes read, from the online store and runs
	Rows       int64 // raw rows folded
	States     int64 // states merged
	RunsOpened int64
}
