package spec

import "testing"

func TestBuiltin(t *testing.T) {
	m, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range m.Kinds {
		t.Log(k.ID(), k.Location)
	}
	for _, x := range m.Mixins {
		t.Log(x.ID(), x.Location)
	}
}
