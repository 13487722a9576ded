package occi_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/occi"
)

func TestCheckStructured(t *testing.T) {
	t.Parallel()
	list, object := &occi.Attribute{Type: occi.Array}, &occi.Attribute{Type: occi.Object}
	tests := []struct {
		name string
		def  *occi.Attribute
		in   occi.Value
		want occi.Value // zero for an error
	}{
		{"list", list, occi.Value{Type: occi.Array, Text: `[1]`}, occi.Value{Type: occi.Array, Text: `[1]`}},
		{"list as text", list, occi.Str(" [1, \"a\"]\n"), occi.Value{Type: occi.Array, Text: `[1,"a"]`}},
		{"object as text", object, occi.Str(`{"a": {}}`), occi.Value{Type: occi.Object, Text: `{"a":{}}`}},
		{"object for a list", list, occi.Str(`{}`), occi.Value{}},
		{"list for an object", object, occi.Value{Type: occi.Array, Text: `[]`}, occi.Value{}},
		{"number as text", list, occi.Str(`1`), occi.Value{}},
		{"no JSON", list, occi.Str(`[1`), occi.Value{}},
		{"nothing", list, occi.Str(``), occi.Value{}},
		{"number", list, occi.Int(1), occi.Value{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.def.Check(tt.in)
			if got != tt.want || (err != nil) != tt.want.IsZero() {
				t.Errorf("got %v, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), string(tt.def.Type)) {
				t.Errorf("%q does not say what is meant", err)
			}
		})
	}
}
