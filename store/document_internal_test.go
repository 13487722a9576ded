package store

import (
	"bytes"
	"cmp"
	"math"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
)

// Whatever a row holds decodes to what encodes and decodes to itself, or not at
// all.

func FuzzDecodeEntity(f *testing.F) {
	e := &occi.Entity{ID: uuid.New(), Kind: "k#x", Title: "t", Mixins: []string{"m#1"}, Tasks: []uuid.UUID{uuid.New()},
		Source: occi.Ref{ID: uuid.New(), Kind: "k#y"}, Target: occi.Ref{URI: "http://example.org/"}}
	e.Attributes.Set("x.n", occi.Float(1.5))
	e.Attributes.Set("x.t", occi.Str("text"))
	seed, err := encodeEntity(e)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), "", "{", "null", `{"id":1}`, `{"attributes":[{"num":1e999}]}`, `{"source":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := decodeEntity(data)
		if err != nil {
			return
		}
		again, err := encodeEntity(first)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		second, err := decodeEntity(again)
		if diff := gocmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v -first +second:\n%s", err, diff)
		}
		keysOf(first)
		wordsOf(nil, first)
	})
}

func FuzzDecodeTask(f *testing.F) {
	seed, err := encodeTask(&occi.Task{ID: uuid.New(), Verb: "start", After: []uuid.UUID{uuid.New()}, Error: "e"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), "", "[]", `{"created":-1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := decodeTask(data)
		if err != nil {
			return
		}
		again, err := encodeTask(first)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		second, err := decodeTask(again)
		if diff := gocmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v -first +second:\n%s", err, diff)
		}
	})
}

func TestKeysCompareAsValues(t *testing.T) {
	t.Parallel()
	t.Run("numbers", rapid.MakeCheck(func(r *rapid.T) {
		number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), -1, 1, 1 << 53, math.Inf(1), math.Inf(-1)}))
		a, b := number.Draw(r, "a"), number.Draw(r, "b")
		if got, want := compareKeys(occi.Float(a), occi.Float(b)), cmp.Compare(a+0, b+0); got != want {
			r.Errorf("keys of %v and %v compare as %d, want %d", a, b, got, want)
		}
	}))
	t.Run("texts", rapid.MakeCheck(func(r *rapid.T) {
		text := rapid.StringN(0, -1, maxKey)
		a, b := text.Draw(r, "a"), text.Draw(r, "b")
		if got, want := compareKeys(occi.Str(a), occi.Str(b)), cmp.Compare(a, b); got != want {
			r.Errorf("keys of %q and %q compare as %d, want %d", a, b, got, want)
		}
	}))
	long := strings.Repeat("x", maxKey)
	if compareKeys(occi.Str(long+"a"), occi.Str(long+"b")) == 0 || compareKeys(occi.Str(long+"a"), occi.Str(long+"a")) != 0 {
		t.Error("long texts are not told apart by their ends")
	}
}

func compareKeys(a, b occi.Value) int { return bytes.Compare([]byte(keyOf(a)), []byte(keyOf(b))) }
