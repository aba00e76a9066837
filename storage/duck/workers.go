package duck

/*
typedef void *duckdb_task_state;
duckdb_task_state duckdb_create_task_state(void *database);
void duckdb_finish_execution(duckdb_task_state state);
void duckdb_destroy_task_state(duckdb_task_state state);
*/
import "C"

import (
	"runtime"
	"sync"
	"time"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// patience is how long a statement runs on its caller's thread alone. DuckDB hands the work of every statement to all of its threads: that of a
// small one to one that has to be woken, while the caller spins, which costs more than the work.
const patience = time.Millisecond

// workers are DuckDB's threads beside those that call it. They work while a statement runs that takes longer than patience, or
// streams more than a few chunks, on whatever there is to do.
type workers struct {
	db      m.Database
	mu      sync.Mutex
	wake    *sync.Cond
	wanted  int // statements that they are to help
	task    *workersTask
	left    map[*workersTask]bool // stretches that are over, and that threads have not left
	closed  bool
	running sync.WaitGroup
}

// workersTask is one stretch of work.
type workersTask struct {
	state C.duckdb_task_state
	users int
	over  bool
}

// start starts n threads, which wait.
func (w *workers) start(db m.Database, n int) {
	w.db, w.wake, w.left = db, sync.NewCond(&w.mu), map[*workersTask]bool{}
	for range n {
		w.running.Add(1)
		go w.work()
	}
}

func (w *workers) work() {
	defer w.running.Done()
	runtime.LockOSThread() // what DuckDB's allocator keeps for a thread stays with it
	w.mu.Lock()
	defer w.mu.Unlock()
	var last *workersTask
	for {
		for !w.closed && (w.task == nil || w.task == last) {
			w.wake.Wait()
		}
		if w.closed {
			return
		}
		t := w.task
		last = t
		t.users++
		w.mu.Unlock()
		executeTasks(unsafe.Pointer(t.state))
		w.mu.Lock()
		t.users--
		w.free(t)
	}
}

// free frees a stretch that is over when the last thread has left it. w.mu is held.
func (w *workers) free(t *workersTask) {
	if t.over && t.users == 0 {
		delete(w.left, t)
		C.duckdb_destroy_task_state(t.state)
		t.state = nil
	}
}

// end ends the stretch under way. A thread that sleeps in it may stay there: what wakes as many threads as have to leave may wake those
// of the next stretch. Work that comes wakes it, and it leaves then. w.mu is held.
func (w *workers) end() {
	t := w.task
	w.task, t.over, w.left[t] = nil, true, true
	C.duckdb_finish_execution(t.state)
	w.free(t)
}

// join and leave bracket what the threads are to help. w.mu is held.
func (w *workers) join() {
	if w.wanted++; w.wanted == 1 && !w.closed {
		w.task = &workersTask{state: C.duckdb_create_task_state(w.db.Ptr)}
		w.wake.Broadcast()
	}
}

func (w *workers) leave() {
	if w.wanted--; w.wanted == 0 && w.task != nil {
		w.end()
	}
}

// stream brackets a result that the threads are to compute ahead of its reader.
func (w *workers) stream(begins bool) {
	if w.wake == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if begins {
		w.join()
	} else {
		w.leave()
	}
}

// stop ends the threads. A result that is still open is not helped any more.
func (w *workers) stop() {
	if w.wake == nil {
		return
	}
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
	if w.task != nil {
		w.end()
	}
	for len(w.left) > 0 { // until every thread that sleeps in one has been woken
		for t := range w.left {
			C.duckdb_finish_execution(t.state)
		}
		w.mu.Unlock()
		time.Sleep(patience)
		w.mu.Lock()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// help is a call into DuckDB that the threads help when it takes longer than patience.
type help struct {
	w             *workers
	joined, ended bool
}

// helped makes a call.
func (w *workers) helped(call func()) {
	if w.wake == nil {
		call()
		return
	}
	h := &help{w: w}
	timer := time.AfterFunc(patience, h.late)
	call()
	if timer.Stop() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.ended = true; h.joined {
		w.leave()
	}
}

func (h *help) late() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if !h.ended {
		h.joined = true
		h.w.join()
	}
}
