package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	streamRows = 5_000_000
	// streamQuery is five columns of the kinds that results have most.
	streamColumns = "id bigint, k integer, x double precision, s text, ts timestamptz"
	streamFill    = "INSERT INTO stream SELECT g, (g %% 50000)::integer, g * 0.37, 'value ' || (g %% 1000), '2024-01-01 00:00:00+00'::timestamptz + g * interval '1 second' FROM generate_series(1, %d) AS t(g)"
	streamQuery   = "SELECT id, k, x, s, ts FROM stream"
	firstRowLimit = 20 * time.Millisecond
	memoryLimit   = 64 << 20
)

// streams measures results of many rows through a socket, and COPY of as many into tables, with and without a primary key.
func streams(ctx context.Context, e *environment, t *table) (err error) {
	p, err := e.startPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(ctx)) }()
	srv, pg, ours, theirs := p.srv, p.pg, p.ours, p.theirs
	rows := e.rows(streamRows)
	for _, c := range []*pgx.Conn{ours, theirs} {
		if err := execute(ctx, c, "CREATE TABLE stream ("+streamColumns+")", fmt.Sprintf(streamFill, rows)); err != nil {
			return err
		}
	}
	if err := execute(ctx, theirs, "VACUUM ANALYZE stream"); err != nil {
		return err
	}
	for _, format := range []int16{0, 1} {
		var first []time.Duration
		var above []int64
		read := func(c *pgx.Conn, pid int) side {
			return func(context.Context, int) (float64, error) {
				idle := residentMemory(pid)
				resetPeak(pid)
				s, err := readAll(c, format, rows)
				if c == ours {
					first = append(first, s.first)
					above = append(above, peakMemory(pid)-idle)
				}
				return s.rate, err
			}
		}
		cpu := cpuSeconds(srv.cmd.Process.Pid)
		rates, err := alternate(ctx, e.rounds, read(theirs, pg.cmd.Process.Pid), read(ours, srv.cmd.Process.Pid))
		if err != nil {
			return err
		}
		cpu = (cpuSeconds(srv.cmd.Process.Pid) - cpu) / float64(e.rounds)
		name := map[int16]string{0: "text", 1: "binary"}[format]
		t.add(row{what: fmt.Sprintf("%d rows × 5 columns through a socket, %s", rows, name), unit: "/s", ours: rates[1], other: rates[0], peer: "PostgreSQL",
			notes: []string{fmt.Sprintf("first row %v (at most %v wanted)", slicesMedian(first).Round(100*time.Microsecond), firstRowLimit),
				fmt.Sprintf("%s above idle (under %s wanted)", mebibytes(max(0, slicesMedian(above))), mebibytes(memoryLimit)), fmt.Sprintf("%.2f s of processor", cpu)}})
	}
	return copies(ctx, e, t, ours, theirs, rows, srv)
}

// copies measures COPY … FROM STDIN in text.
func copies(ctx context.Context, e *environment, t *table, ours, theirs *pgx.Conn, rows int, srv *tilehouse) error {
	var data bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&data, "%d\t%d\t%g\tvalue %d\t2024-01-01 00:00:%02d+00\n", i, i%50000, float64(i)*0.37, i%1000, i%60)
	}
	keyed := strings.Replace(streamColumns, "bigint", "bigint PRIMARY KEY", 1)
	for _, v := range []struct{ what, columns, with string }{
		{"without a primary key", streamColumns, ""}, {"with a primary key", keyed, ""}, {"into an event table", keyed + " NOT NULL", " WITH (event_time = 'ts')"},
	} {
		load := func(c *pgx.Conn) side {
			return func(ctx context.Context, _ int) (float64, error) {
				with := ""
				if c == ours {
					with = v.with
				}
				if err := execute(ctx, c, "DROP TABLE IF EXISTS loaded", "CREATE TABLE loaded ("+v.columns+")"+with); err != nil {
					return 0, err
				}
				began := time.Now()
				tag, err := c.PgConn().CopyFrom(ctx, bytes.NewReader(data.Bytes()), "COPY loaded FROM STDIN")
				if err == nil && tag.RowsAffected() != int64(rows) {
					err = fmt.Errorf("COPY of %d rows took %d", rows, tag.RowsAffected())
				}
				return float64(rows) / time.Since(began).Seconds(), err
			}
		}
		cpu := cpuSeconds(srv.cmd.Process.Pid)
		rates, err := alternate(ctx, e.rounds, load(theirs), load(ours))
		if err != nil {
			return err
		}
		cpu = (cpuSeconds(srv.cmd.Process.Pid) - cpu) / float64(e.rounds)
		t.add(row{what: fmt.Sprintf("COPY of %d rows, %s", rows, v.what), unit: "/s", ours: rates[1], other: rates[0], peer: "PostgreSQL", target: 1,
			notes: []string{fmt.Sprintf("%.2f s of processor", cpu), "peak " + srv.peak()}})
	}
	return nil
}

// streamed is how a result was read.
type streamed struct {
	rate  float64 // rows a second
	first time.Duration
}

// readAll runs streamQuery and reads its messages as they are, so that the reader is not what is measured.
func readAll(c *pgx.Conn, format int16, rows int) (s streamed, err error) {
	nc := c.PgConn().Conn()
	var b []byte
	for _, m := range []pgproto3.FrontendMessage{&pgproto3.Parse{Query: streamQuery}, &pgproto3.Bind{ResultFormatCodes: []int16{format}}, &pgproto3.Execute{}, &pgproto3.Sync{}} {
		if b, err = m.Encode(b); err != nil {
			return s, err
		}
	}
	began := time.Now()
	if _, err := nc.Write(b); err != nil {
		return s, err
	}
	n, err := countRows(nc, func() { s.first = time.Since(began) })
	if err == nil && n != rows {
		err = fmt.Errorf("%d rows of %d", n, rows)
	}
	s.rate = float64(n) / time.Since(began).Seconds()
	return s, err
}

func countRows(nc net.Conn, first func()) (n int, err error) {
	in := bufio.NewReaderSize(nc, 1<<20)
	for {
		head, err := in.Peek(5)
		if err != nil {
			return n, err
		}
		typ, size := head[0], int(binary.BigEndian.Uint32(head[1:]))
		switch typ {
		case 'D':
			if n++; n == 1 {
				first()
			}
		case 'E':
			body := make([]byte, size+1)
			_, _ = io.ReadFull(in, body)
			return n, fmt.Errorf("the server answers %q", body)
		}
		if _, err := in.Discard(size + 1); err != nil {
			return n, err
		}
		if typ == 'Z' {
			return n, nil
		}
	}
}

// residentMemory is a process's resident memory, in bytes; 0 where the system does not say.
func residentMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// slicesMedian is the middle value.
func slicesMedian[T int64 | time.Duration](v []T) T {
	s := make(sample, len(v))
	for i, x := range v {
		s[i] = float64(x)
	}
	return T(s.median())
}
