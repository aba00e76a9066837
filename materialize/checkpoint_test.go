package materialize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/storage/schema"
)

// interrupt runs a build of feature 1 and cancels it as the stage begins for the n-th time, in all stages together. It reports
// whether the build was done before that, and the job.
func (w *world) interrupt(relation uint32, n int) (done bool, j Job) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	w.m.jobs.watch = func(string) {
		if n--; n == 0 {
			cancel()
		}
	}
	err := w.m.Materialize(ctx, w.request(1, relation, "v", true))
	w.m.jobs.watch = nil
	jobs := w.m.Jobs()
	j = jobs[len(jobs)-1]
	if err != nil && ctx.Err() == nil {
		w.t.Fatal(err)
	}
	if err == nil != (j.Stage == "done") {
		w.t.Fatalf("%v, job %+v", err, j)
	}
	return err == nil, j
}

// TestResumeTable interrupts builds over an event table at random points, with rows that come and go and restarts in between,
// until one is done. No portion that was finished is read again, and every value is that of the rows.
func TestResumeTable(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			md := newModel(t)
			w := &world{t: t, dir: t.TempDir(), portion: 300}
			w.files = filepath.Join(w.dir, "files")
			must(t, os.Mkdir(w.files, 0o755))
			w.open()
			t.Cleanup(w.close)
			w.table()
			w.commit(md, 2_000+md.rng.IntN(1000), 10, 0)
			interrupts := 0
			for {
				before := int64(0)
				if k := w.m.Kept(); len(k) == 1 {
					before = k[0].Rows
				}
				done, j := w.interrupt(tableID, 1+md.rng.IntN(12))
				if j.Kept != before {
					t.Errorf("%d rows were kept, %d taken over", before, j.Kept)
				}
				if done {
					break
				}
				if after := w.m.Kept(); len(after) == 1 && after[0].Rows < before {
					t.Errorf("kept %d rows, then %d", before, after[0].Rows)
				}
				interrupts++
				if md.rng.IntN(2) == 0 {
					w.commit(md, md.rng.IntN(200), 12, md.rng.IntN(200))
				}
				if md.rng.IntN(3) == 0 {
					w.reopen(nil)
				}
			}
			t.Logf("%d interrupts", interrupts)
			if kept := w.m.Kept(); len(kept) != 0 {
				t.Errorf("a published build is kept: %+v", kept)
			}
			w.check(md.rows, md.rng, 1, 60, same)
			w.commit(md, 100, 12, 60)
			must(t, w.m.FlushTails(t.Context(), true))
			w.check(md.rows, md.rng, 1, 60, same)
			w.reopen(nil)
			w.check(md.rows, md.rng, 1, 60, same)
		})
	}
}

// TestResumeReadsTheRest counts: of ten portions, three are read, and after a restart the other seven and nothing else.
func TestResumeReadsTheRest(t *testing.T) {
	md := newModel(t)
	w := &world{t: t, dir: t.TempDir(), portion: 100}
	w.files = filepath.Join(w.dir, "files")
	must(t, os.Mkdir(w.files, 0o755))
	w.open()
	t.Cleanup(w.close)
	w.source()
	w.refresh(md, append(w.write(md, "a.parquet", 950, 0, 6), w.write(md, "b.parquet", 30, 3, 8)...), nil)
	w.refresh(md, w.write(md, "c.parquet", 20, 3, 8), nil)
	if done, _ := w.interrupt(sourceID, 8); done { // starting, then reading and writing three times, then reading
		t.Fatal("not interrupted")
	}
	kept := w.m.Kept()
	if len(kept) != 1 || kept[0].Rows != 300 || kept[0].Object != "f1" || kept[0].Bytes == 0 {
		t.Fatalf("kept %+v", kept)
	}
	w.reopen(nil)
	done, j := w.interrupt(sourceID, -1)
	if p, ok := j.Percent(); !done || j.Kept != 300 || j.Rows != 700 || j.Total != 1000 || !ok || p != 100 {
		t.Errorf("job %+v", j)
	}
	w.check(md.rows, md.rng, 1, 60, same)

	// A build that has folded its days goes on with the tiles.
	must(t, w.m.Materialize(t.Context(), w.request(2, sourceID, "v", true))) // shares the group
	req := w.request(2, sourceID, "v + 7", true)
	ctx, cancel := context.WithCancel(t.Context())
	w.m.jobs.watch = func(s string) {
		if s == "loading the online store" {
			cancel()
		}
	}
	if err := w.m.Materialize(ctx, req); err == nil {
		t.Fatal("not cancelled")
	}
	var stages []string
	w.m.jobs.watch = func(s string) { stages = append(stages, s) }
	must(t, w.m.Materialize(t.Context(), req))
	w.m.jobs.watch = nil
	if got := fmt.Sprint(stages); got != "[loading the online store]" {
		t.Error("stages of a build that had all its runs:", got)
	}
	w.check(md.rows, md.rng, 2, 40, func(v int64) int64 { return v + 7 })
}

// killDir names, for a process that TestResumeAfterKill starts, the directory of its world; killAt the stage at which it dies.
const (
	killDir = "TILEHOUSE_TEST_KILL_DIR"
	killAt  = "TILEHOUSE_TEST_KILL_AT"
)

// TestResumeAfterKill kills processes by SIGKILL as they build, each at a later stage, over an event table. The first one
// after them that may live builds the rest.
func TestResumeAfterKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		w := &world{t: t, dir: dir, files: filepath.Join(dir, "files"), portion: 100}
		w.open()
		left, err := strconv.Atoi(os.Getenv(killAt))
		must(t, err)
		w.m.jobs.watch = func(string) {
			if left--; left == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until it arrives
			}
		}
		w.feature(1, tableID, "v", true)
		t.Fatal("the build was done before the kill")
	}
	md := newModel(t)
	w := &world{t: t, dir: t.TempDir(), portion: 100}
	w.files = filepath.Join(w.dir, "files")
	must(t, os.Mkdir(w.files, 0o755))
	w.open()
	t.Cleanup(w.close)
	w.table()
	w.commit(md, 1000, 8, 0)
	kept := int64(0)
	for _, stage := range []int{4, 2, 9, 7} { // of reading and writing in turns, folding and loading
		w.close()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestResumeAfterKill$")
		cmd.Env = append(os.Environ(), killDir+"="+w.dir, killAt+"="+strconv.Itoa(stage))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v\n%s", err, out)
		}
		w.open()
		k := w.m.Kept()
		if len(k) != 1 || k[0].Rows < kept || stage > 2 && k[0].Rows == kept {
			t.Fatalf("kept %+v after %d rows", k, kept)
		}
		kept = k[0].Rows
		w.commit(md, 0, 8, 20)
	}
	done, j := w.interrupt(tableID, -1)
	if !done || j.Kept != kept || j.Kept+j.Rows > 1000 || kept < 500 {
		t.Errorf("kept %d: %+v", kept, j)
	}
	w.check(md.rows, md.rng, 1, 60, same)
}

// TestResumeFiles interrupts builds and refreshes of a file source while files come, change and go.
func TestResumeFiles(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			md := newModel(t)
			w := &world{t: t, dir: t.TempDir(), portion: 120}
			w.files = filepath.Join(w.dir, "files")
			must(t, os.Mkdir(w.files, 0o755))
			w.open()
			t.Cleanup(w.close)
			w.source()
			files := map[string][]*row{"a.parquet": w.write(md, "a.parquet", 500, 0, 6), "b.parquet": w.write(md, "b.parquet", 50, 2, 8)}
			_, err := w.m.RefreshSource(t.Context(), sourceID)
			must(t, err)
			for step := range 8 {
				if done, _ := w.interrupt(sourceID, 1+md.rng.IntN(10)); done {
					break
				}
				name := fmt.Sprintf("c%d.parquet", step)
				switch md.rng.IntN(4) {
				case 0:
					files[name] = w.write(md, name, 1+md.rng.IntN(300), 0, 9)
				case 1:
					must(t, os.Remove(filepath.Join(w.files, "b.parquet")))
					files["b.parquet"] = w.write(md, "b.parquet", 60+step, 0, 9)
				case 2:
					w.reopen(nil)
				}
				_, err := w.m.RefreshSource(t.Context(), sourceID)
				must(t, err)
			}
			for done := false; !done; done, _ = w.interrupt(sourceID, 12) {
			}
			check := func() {
				t.Helper()
				var rows []*row
				for _, f := range files {
					rows = append(rows, f...)
				}
				w.checkNewest(rows, md, 1, same)
			}
			check()
			// A refresh that builds the group anew is interrupted and repeated.
			must(t, os.Remove(filepath.Join(w.files, "b.parquet")))
			files["b.parquet"] = w.write(md, "b.parquet", 400, 0, 9)
			for n := 3; ; n += 2 {
				ctx, cancel := context.WithCancel(t.Context())
				left := n
				w.m.jobs.watch = func(string) {
					if left--; left == 0 {
						cancel()
					}
				}
				_, err := w.m.RefreshSource(ctx, sourceID)
				interrupted := ctx.Err() != nil
				cancel()
				w.m.jobs.watch = nil
				if err == nil {
					break
				}
				if !interrupted {
					t.Fatal(err)
				}
				if md.rng.IntN(2) == 0 {
					w.reopen(nil)
				}
			}
			jobs := w.m.Jobs()
			if j := jobs[len(jobs)-1]; j.Kept == 0 || j.Stage != "done" {
				t.Errorf("the refresh began anew: %+v", j)
			}
			check()
			w.reopen(nil)
			check()
		})
	}
}

// TestKeptIsBounded checks how long, and of how many builds, work is kept, and that it goes with its relation and with damage.
func TestKeptIsBounded(t *testing.T) {
	md := newModel(t)
	now := time.Now()
	w := &world{t: t, dir: t.TempDir(), portion: 100, clock: func() time.Time { return now }}
	w.files = filepath.Join(w.dir, "files")
	must(t, os.Mkdir(w.files, 0o755))
	w.open()
	t.Cleanup(w.close)
	w.table()
	w.commit(md, 500, 8, 0)
	keep := func(value string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		stages := 0
		w.m.jobs.watch = func(string) {
			if stages++; stages == 5 {
				cancel()
			}
		}
		if err := w.m.Materialize(ctx, w.request(1, tableID, value, true)); err == nil {
			t.Fatal("not cancelled")
		}
		w.m.jobs.watch = nil
		now = now.Add(time.Minute)
	}
	for i := range maxKeptBuilds + 2 {
		keep(fmt.Sprintf("v + %d", i))
	}
	if kept := w.m.Kept(); len(kept) != maxKeptBuilds {
		t.Fatalf("%d builds are kept", len(kept))
	}
	// A build that fails by its rows keeps nothing.
	if err := w.m.Materialize(t.Context(), w.request(1, tableID, "CAST(9223372036854775807 AS BIGINT) + abs(v) + 1", true)); err == nil || len(w.m.Kept()) != maxKeptBuilds {
		t.Errorf("%v; kept %+v", err, w.m.Kept())
	}
	// A file that is missing, a checkpoint that cannot be read.
	oldest := w.m.checkpoints.list()
	w.reopen(func() {
		must(t, os.Remove(filepath.Join(w.dir, "runs", oldest[0].Segments[0].RowFile.Name)))
		must(t, os.WriteFile(filepath.Join(w.dir, "builds", oldest[1].Rows+".json"), []byte("{"), 0o600))
		must(t, os.WriteFile(filepath.Join(w.dir, "builds", "x.json.tmp"), nil, 0o600))
	})
	if kept := w.m.Kept(); len(kept) != maxKeptBuilds-2 {
		t.Errorf("kept with damage: %+v", kept)
	}
	now = now.Add(keepBuildFor)
	must(t, w.m.expireKept())
	w.empty()
	keep("v + 1")
	must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error { delete(c.Relations, tableID); return nil }))
	must(t, w.m.drop(dropped{}))
	w.empty()
	if files, err := os.ReadDir(filepath.Join(w.dir, "builds")); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
}
