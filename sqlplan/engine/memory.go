package engine

// Memory that the process takes whatever its limit: the program's code, DuckDB's and Pebble's own structures, buffers of rows on
// their way between them, and what their allocators hold back, in bytes.
const fixedMemory = 96 << 20

// Memory is a memory limit shared out, in bytes. Heap, duck and log are apart from each other; join, cache and fetch are parts of Heap.
type Memory struct {
	Heap   int64 // of Go: the limit that the garbage collector keeps to (debug.SetMemoryLimit)
	Blocks int64 // of the log and of the online store, cached by Pebble
	duck   int64 // what DuckDB holds before it spills
	table  int64 // what Pebble collects before it writes a sorted file
	join   int64 // what one join or backfill collects before it spills
	cache  int64 // most that values of hot keys take by default
	fetch  int64 // messages of Kafka sources that are fetched and not committed
}

// ShareMemory shares a limit of bytes out. A twentieth is left for what no share counts. A limit of less than some 250 MiB is
// less than the process takes, and is exceeded: its shares are of minMemory then, of which everything still works.
func ShareMemory(limit int64) Memory {
	rest := max(limit-fixedMemory-limit/20, minMemory)
	return Memory{Heap: rest * 3 / 8, duck: rest / 2, Blocks: rest / 16, table: min(64<<20, rest/32), join: rest / 8, cache: rest / 16, fetch: rest / 32}
}
