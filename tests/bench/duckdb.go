package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// duckdbCommand, as the only argument, makes this program a DuckDB that runs one request and ends: a process of its own has
// a peak of memory of its own, and starts cold.
const duckdbCommand = "duckdb"

// duckdbMemory is what DuckDB may use, in bytes: more than the fastest form of the training join takes, so that it never spills.
const duckdbMemory = 8 << 30

// duckdbRequest is what the child reads: statements that run one after another in one session.
type duckdbRequest struct {
	Threads    int
	Dir        string // below which it reads and writes files
	Statements []string
	Rows       bool // whether the last statement's rows are wanted
}

// duckdbResult is the first line that the child writes. Rows follow, one a line, values with tabs between, \N for NULL.
type duckdbResult struct {
	Seconds []float64 // of each statement
	CPU     []float64 // the same in seconds of processor time
	Peak    int64     // the process's VmHWM, in bytes; 0: unknown
}

// duckdbRun runs statements in a fresh DuckDB.
func (e *environment) duckdbRun(ctx context.Context, rows bool, statements ...string) (*duckdbResult, [][]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	in, err := json.Marshal(duckdbRequest{Threads: e.threads, Dir: e.dir, Statements: statements, Rows: rows})
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, duckdbCommand)
	var out, msg bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &msg
	if err := cmd.Run(); err != nil {
		return nil, nil, fmt.Errorf("duckdb: %w: %s", err, msg.String())
	}
	head, err := out.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	var res duckdbResult
	if err := json.Unmarshal(head, &res); err != nil {
		return nil, nil, err
	}
	var lines [][]string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return &res, lines, nil
}

func duckdbChild(in io.Reader, out io.Writer) (err error) {
	var req duckdbRequest
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return err
	}
	db, err := duck.Open("", duck.Options{
		MemoryLimit: duckdbMemory, Threads: req.Threads, ReadRoots: []string{req.Dir}, TempDir: req.Dir + "/duckdb-spill",
		Init: []string{"SET GLOBAL preserve_insertion_order = false"}, // without it DuckDB's parallel reads are slower
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	var res duckdbResult
	var text bytes.Buffer
	for i, s := range req.Statements {
		text.Reset()
		began, used := time.Now(), cpuSeconds(os.Getpid())
		if err := duckdbStatement(conn, s, req.Rows && i == len(req.Statements)-1, &text); err != nil {
			return fmt.Errorf("%w in\n%s", err, s)
		}
		res.Seconds = append(res.Seconds, time.Since(began).Seconds())
		res.CPU = append(res.CPU, cpuSeconds(os.Getpid())-used)
	}
	res.Peak = peakMemory(os.Getpid())
	head, err := json.Marshal(res)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s\n", head)
	if _, err := w.Write(text.Bytes()); err != nil {
		return err
	}
	return w.Flush()
}

func duckdbStatement(conn *duck.Conn, statement string, keep bool, text *bytes.Buffer) error {
	rows, err := conn.Query(context.Background(), statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		c, err := rows.Next()
		if err != nil || c == nil {
			return err
		}
		for i := 0; keep && i < c.N; i++ {
			for j, v := range c.Cols {
				if j > 0 {
					text.WriteByte('\t')
				}
				text.WriteString(valueText(v, i))
			}
			text.WriteByte('\n')
		}
	}
}

// valueText prints the types that the benchmarks read back: integers, doubles, HUGEINT sums as decimals of scale 0.
func valueText(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return `\N`
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return strconv.FormatInt(v.I64[i], 10)
	case vector.BufF64:
		return strconv.FormatFloat(v.F64[i], 'g', -1, 64)
	case vector.BufI128:
		return v.I128[i].ToString(int32(v.Type.Scale))
	case vector.BufBytes:
		return string(v.Data[v.Off[i]:v.Off[i+1]])
	}
	panic(fmt.Sprintf("a benchmark selects no %s", v.Type))
}
