package duck

/*
typedef void *duckdb_task_state;
duckdb_task_state duckdb_create_task_state(void *database);
void duckdb_execute_tasks_state(duckdb_task_state state);
void duckdb_finish_execution(duckdb_task_state state);
void duckdb_destroy_task_state(duckdb_task_state state);
*/
import "C"

import (
	"runtime"
	"sync"
	"time"

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
	w.db, w.wake = db, sync.NewCond(&w.mu)
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
		C.duckdb_execute_tasks_state(t.state)
		w.mu.Lock()
		t.users--
		t.free()
	}
}

// free frees a stretch that is over when the last thread has left it.
func (t *workersTask) free() {
	if t.over && t.users == 0 {
		C.duckdb_destroy_task_state(t.state)
		t.state = nil
	}
}

// join and leave bracket what the threads are to help. w.mu is held.
func (w *workers) join() {
	if w.wanted++; w.wanted == 1 {
		w.task = &workersTask{state: C.duckdb_create_task_state(w.db.Ptr)}
		w.wake.Broadcast()
	}
}

func (w *workers) leave() {
	if w.wanted--; w.wanted == 0 {
		t := w.task
		w.task, t.over = nil, true
		C.duckdb_finish_execution(t.state)
		t.free()
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

// stop ends the threads; no statement runs.
func (w *workers) stop() {
	if w.wake == nil {
		return
	}
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
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
