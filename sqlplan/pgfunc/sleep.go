package pgfunc

import "github.com/tilehouse/tilehouse/storage/duck"

func init() {
	add(&Function{Call: "pg_sleep(float8)", Name: duck.SleepFunction.Name, scalar: &duck.SleepFunction})
	sql(`
		pg_sleep_for(interval)	__pg_sleep(epoch($1))
		pg_sleep_until(timestamptz)	__pg_sleep(epoch($1) - epoch(get_current_timestamp()))
	`)
}
