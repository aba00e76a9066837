package duck

import (
	"context"
	"strings"
	"testing"
)

// What a batch takes is added up, of constants too, and NULL takes nothing.
func TestFits(t *testing.T) {
	db, err := Open("", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for sql, want := range map[string]string{
		"SELECT repeat('x', __fits(3, 1))":                                               "",
		"SELECT repeat('x', __fits(2000000000, 1))":                                      "54000",
		"SELECT repeat('x', __fits(NULL, 1)), __fits(-5, 100), __fits(1, NULL)":          "",
		"SELECT sum(length(repeat('x', __fits(x * 30, 1)))) FROM range(1000) t(x)":       "",
		"SELECT sum(length(repeat('x', __fits(x * 1000, 1)))) FROM range(1000) t(x)":     "54000",
		"SELECT replace('aaa', 'a', __fits_text('b', 3))":                                "",
		"SELECT replace('aaa', 'a', __fits_text('bbbbbbbbbb', 1e8)), __fits_text('', 9)": "54000",
	} {
		_, err := c.Exec(context.Background(), sql)
		if got := SQLState(err); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %q %v, want %q", sql, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "tilehouse") {
			t.Errorf("%s: the message is %q", sql, err)
		}
	}
}
