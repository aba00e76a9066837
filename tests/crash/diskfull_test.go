package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

const (
	diskSize   = 384 << 20
	diskStep   = 1 << 20
	spaceBound = 10 * time.Second // INSERT must work again so soon after space was freed
)

// smallDisk mounts a small file system of memory until the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root on Linux")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskSize), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("tmpfs cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fill writes a file until there is no byte of space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for step := diskStep; step > 0; {
		if _, err := f.Write(make([]byte, step)); errors.Is(err, syscall.ENOSPC) {
			step /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// On a full disk an INSERT is refused with 53100, reads go on with nothing wrong, and when space is freed INSERT works again;
// a crash in between loses nothing that was acknowledged.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir, filler := filepath.Join(disk, "data"), filepath.Join(disk, "filler")
	s := servertest.Start(t, dir, servertest.Options{})
	t.Cleanup(func() { s.Kill() })
	ctx := context.Background()
	conn := connect(t, s.DSN())
	for _, sql := range []string{
		"CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, x bigint, f double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE ENTITY ent (k bigint)",
		"CREATE FEATURE feat ON ent AS SELECT k, count(*) AS n, sum(x) AS total FROM ev GROUP BY k WINDOW LIFETIME",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	var acked int64
	insert := func(conn *pgx.Conn) error {
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		_, err := conn.Exec(short, insertSQL, acked, acked%keys, 1, 0.5, time.UnixMicro(base+acked))
		if err == nil {
			acked++
		}
		return err
	}
	for range 500 {
		if err := insert(conn); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(conn *pgx.Conn, when string) {
		t.Helper()
		if got := text(t, conn, "SELECT count(*), count(DISTINCT id), sum(x) FROM ev"); got[0] != fmt.Sprintf("%d|%d|%d", acked, acked, acked) {
			t.Errorf("%s: rows %q, %d acknowledged", when, got, acked)
		}
		var n int64
		for k := range keys {
			var one int64
			got := text(t, conn, fmt.Sprintf("SELECT feat_n FROM ent WHERE k = %d", k))
			if _, err := fmt.Sscan(strings.Join(got, ""), &one); err != nil {
				t.Fatal(err)
			}
			n += one
		}
		if n != acked {
			t.Errorf("%s: lookups count %d rows, %d acknowledged", when, n, acked)
		}
	}
	resume := func(conn *pgx.Conn) {
		t.Helper()
		began := time.Now()
		for {
			err := insert(conn)
			if err == nil {
				t.Logf("INSERT works again %v after space was freed", time.Since(began).Round(time.Millisecond))
				return
			}
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "53100" {
				t.Fatalf("INSERT after space was freed: %v", err)
			}
			if time.Since(began) > spaceBound {
				t.Fatalf("INSERT is still refused %v after space was freed", spaceBound)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for round := range 3 {
		fill(t, filler)
		refusals := 0
		for tries := 0; refusals < 20; tries++ {
			err := insert(conn)
			var refused *pgconn.PgError
			switch {
			case errors.As(err, &refused) && refused.Code == "53100":
				refusals++
			case err != nil:
				t.Fatalf("INSERT on a full disk: %v\n%s", err, s.Log())
			case tries > 20_000:
				t.Fatalf("%d INSERTs succeeded on a full disk", tries)
			}
		}
		reads(conn, "full disk")
		if _, err := conn.Exec(ctx, "REFRESH FEATURE feat"); err == nil {
			t.Log("a rebuild of this size found room")
		} else if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.Code != "53100" {
			t.Errorf("REFRESH FEATURE on a full disk: %v, not 53100", err)
		}
		reads(conn, "full disk, after a rebuild was refused")
		if round == 1 { // a crash on the full disk
			s.Kill()
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			s = servertest.Start(t, dir, servertest.Options{})
			conn = connect(t, s.DSN())
		} else if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		resume(conn)
		reads(conn, "space again")
	}
	if code, took := s.Terminate(20 * time.Second); code != 0 {
		t.Errorf("the server ended with code %d after %v:\n%s", code, took, s.Log())
	}
}
