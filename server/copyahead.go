package server

import "github.com/tilehouse/tilehouse/functions/vector"

// copyAhead gives the rows of a COPY to where they go while the next ones are decoded. Its methods belong to the goroutine that decodes.
type copyAhead struct {
	in    CopyIn
	begun bool               // a chunk was added
	work  chan *vector.Chunk // holds the chunk that is being added; nil: nothing runs
	free  chan *vector.Chunk // the chunk that was added last
	ended chan struct{}      // err and panicked are set
	err   error
	died  any // what a panic brought
}

// add takes a chunk's columns and puts others of their types in their place, whose values mean nothing. Errors: those of a chunk before.
// Most COPYs are of one chunk, which is added at once.
func (a *copyAhead) add(ch *vector.Chunk) error {
	if !a.begun {
		a.begun = true
		return a.in.Add(ch)
	}
	if a.work == nil {
		a.work, a.free, a.ended = make(chan *vector.Chunk), make(chan *vector.Chunk, 1), make(chan struct{})
		a.free <- vector.NewChunk(ch.Types(), ch.N)
		go a.run(a.work)
	}
	select {
	case next := <-a.free:
		next.Cols, ch.Cols, next.N = ch.Cols, next.Cols, ch.N
		a.work <- next
		return nil
	case <-a.ended:
		return a.wait()
	}
}

// run adds what comes, up to the first error.
func (a *copyAhead) run(work <-chan *vector.Chunk) {
	defer close(a.ended)
	defer func() { a.died = recover() }()
	for ch := range work {
		if a.err = a.in.Add(ch); a.err != nil {
			return
		}
		a.free <- ch
	}
}

// wait returns when all that was added is where it goes, with the error that met. It may be called more than once.
func (a *copyAhead) wait() error {
	if a.work == nil {
		return a.err
	}
	close(a.work)
	a.work = nil
	if <-a.ended; a.died != nil {
		panic(a.died)
	}
	return a.err
}
