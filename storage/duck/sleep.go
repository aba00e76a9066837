package duck

import (
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// SleepFunction is pg_sleep: it takes seconds, and sleeps until they have passed or its statement is to end.
var SleepFunction = Scalar{Name: "__pg_sleep", Params: []vector.Type{vector.T(vector.Float64)}, Result: vector.T(vector.Text), Volatile: true, Run: sleep}

func sleep(c *Call, args []*vector.Vector, i int, out *vector.Vector) error {
	const most = float64(1<<62) / float64(time.Second)
	end := time.Now()
	if s := args[0].F64[i]; s > 0 { // a NaN does not sleep
		end = end.Add(time.Duration(min(s, most) * float64(time.Second)))
	}
	for left := time.Until(end); left > 0; left = time.Until(end) {
		if c.Told() {
			return interrupted()
		}
		time.Sleep(min(left, maxDeaf))
	}
	out.AppendBytes(nil)
	return nil
}
