package materialize
import ("testing";"time";"os";"runtime/pprof")
func TestZZ(t *testing.T) {
		w := newWorld(t)
		w.source()
		w.benchFile("a.parquet", benchRows, 0, benchDays)
		_, err := w.m.RefreshSource(t.Context(), sourceID)
		must(t, err)
		w.feature(1, sourceID, "v", true)
		w.benchFile("b.parquet", benchRows/benchDays, benchDays, 1)
		f,_:=os.Create("/tmp/zz.prof"); pprof.StartCPUProfile(f)
		last:=time.Now()
		w.m.jobs.watch=func(s string){ t.Log(s, time.Since(last)); last=time.Now() }
		_, err = w.m.RefreshSource(t.Context(), sourceID)
		must(t, err)
		t.Log("end", time.Since(last))
		pprof.StopCPUProfile(); f.Close()
		f,_=os.Create("/tmp/zz2.prof"); pprof.StartCPUProfile(f)
		last=time.Now()
		must(t, w.m.Settle(t.Context()))
		t.Log("settle", time.Since(last))
		pprof.StopCPUProfile(); f.Close()
}
