package pgfunc

import "testing"

// Every expression parses, and no two functions of ours have one name.
func TestList(t *testing.T) {
	names := map[string]string{}
	for _, f := range List() {
		if f.SQL != "" {
			if _, err := f.Template(); err != nil {
				t.Error(err)
			}
			continue
		}
		if other, twice := names[f.Name]; twice {
			t.Errorf("%s and %s are both %s", other, f.Call, f.Name)
		}
		names[f.Name] = f.Call
	}
}
