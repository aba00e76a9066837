package duck

import (
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Call is a function of ours at work on some rows: it knows whether its statement is to end, and bounds what the function takes. A
// function whose single value may take long, or much, says so while it computes (Work, Hold), and is left where it stands when it is
// to stop: by a panic that ends in the call. The nil Call, of a function that no statement calls, has no end and no bounds.
type Call struct {
	on *interruption
	db *DB
	// rest is the work until the next look, held what Hold was told of.
	rest, held int
	result     *vector.Vector
	most       int // bytes of result
	turn       bool
	took       int // bytes of arguments, result and what was held
}

const (
	// workPerLook is the work between two looks at the statement and the result: about a millisecond.
	workPerLook = 1 << 17
	// maxDeaf is how long a function may take, at most, to notice that its statement is to end.
	maxDeaf = 10 * time.Millisecond
	// largeCall is how many bytes of arguments, result or memory make a call large. Few of those run at a time: what they take counts
	// for no limit of DuckDB's.
	largeCall = 8 << 20
	// memoryPerLarge is how much of the memory limit there is for each large call that runs at a time, in bytes.
	memoryPerLarge = 512 << 20
)

// stop is what a call panics with to leave a function.
type stop struct{ err error }

// bounds are what the calls of an engine share.
type bounds struct {
	large *semaphore.Weighted
	held  int // what one call may hold, in bytes
}

func newBounds(memoryLimit int64, threads int) bounds {
	return bounds{
		large: semaphore.NewWeighted(max(1, min(int64(threads), memoryLimit/memoryPerLarge))),
		held:  int(max(MaxBatchText, memoryLimit/2)),
	}
}

// Told reports whether the statement is to end.
func (c *Call) Told() bool { return c != nil && c.on.told() }

// Work says that the function is about to do some work: the steps of a loop, bytes that it reads or appends to its result, each of
// some nanoseconds. It is left when the statement is to end, or its result became too long.
func (c *Call) Work(n int) {
	if c == nil {
		return
	}
	if c.rest -= n; c.rest < 0 {
		c.look()
	}
}

func (c *Call) look() {
	c.rest = workPerLook
	if c.on.told() {
		panic(stop{interrupted()})
	}
	if c.result == nil {
		return
	}
	if err := c.check(); err != nil {
		panic(stop{err})
	}
}

const (
	// bytesPerElement is what an element of a list takes in DuckDB, beside its text, and bytesPerConstant what it takes as part of a
	// constant.
	bytesPerElement  = 24
	bytesPerConstant = 128
)

// elementsOf is how many elements lists have.
func elementsOf(v *vector.Vector) (n int) {
	if v.Type.Kind == vector.List {
		n = v.Child[0].N + elementsOf(v.Child[0])
	}
	return n
}

// check says whether the result is as long as it may be.
func (c *Call) check() error {
	n, elements := c.result.MemBytes(), elementsOf(c.result)
	most := max(c.most, c.db.bounds.held)
	perElement := bytesPerElement
	if c.on.isPlanning() {
		most, perElement = c.most, bytesPerConstant
	}
	if n > c.most || n+elements*perElement > most {
		return errTooLong()
	}
	if n > largeCall {
		return c.wait()
	}
	return nil
}

// Hold says that the function takes n bytes for itself, beside its arguments and its result, until the call ends; n < 0 gives them
// back. It is left when they are too many.
func (c *Call) Hold(n int) {
	if c == nil {
		return
	}
	c.held += n
	if c.held <= largeCall || n < 0 {
		return
	}
	if c.held > c.db.bounds.held {
		panic(stop{&Error{SQLState: "54000", Message: fmt.Sprintf("a function takes more than %d MiB for one value", c.db.bounds.held>>20)}})
	}
	if err := c.wait(); err != nil {
		panic(stop{err})
	}
}

// Length says that a text that the function makes is n bytes long, or will be. It is left when that is more than a result may be.
func (c *Call) Length(n int) {
	if c != nil && n > MaxBatchText {
		panic(stop{errTooLong()})
	}
}

func errTooLong() error { return &Error{SQLState: "54000", Message: "requested length too large"} }

// wait makes the call one of the large ones, of which few run at a time. It holds nothing that another one waits for: it has one turn,
// and takes it once.
func (c *Call) wait() error {
	for pause := maxDeaf / 50; !c.turn; pause = min(2*pause, maxDeaf) {
		if c.turn = c.db.bounds.large.TryAcquire(1); c.turn {
			return nil
		}
		if c.on.told() {
			return interrupted()
		}
		time.Sleep(pause)
	}
	return nil
}

// end gives the turn back, when nothing refers to what the call took.
func (c *Call) end() {
	if c.turn {
		c.db.reclaim.left(c.took)
		c.db.bounds.large.Release(1)
		c.turn = false
	}
}
