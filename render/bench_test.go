package render_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// computes makes a collection such as a busy cloud has: each with a template,
// an interface and a disk.
func computes(m *occi.Model, n int) *render.Collection {
	c := &render.Collection{Path: "/compute/", Title: "Compute Resource", Kind: m.Kind(infra + "compute"), Total: n, Updated: epoch}
	for i := range n {
		e := machine()
		e.ID[13], e.ID[14] = byte(i>>8), byte(i)
		e.Links = e.Links[:2]
		for _, l := range e.Links {
			l.ID[13], l.ID[14] = byte(i>>8), byte(i)
			l.Source.ID = e.ID
		}
		e.Tasks = []uuid.UUID(nil)
		c.Entities = append(c.Entities, e)
	}
	return c
}

func BenchmarkCollection(b *testing.B) {
	m := builtin(b)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787"}
	c := computes(m, 1000)
	for _, f := range render.Formats() {
		if f.InHeaders || f.Targets {
			continue // a header does not carry so many, and an envelope holds one machine
		}
		encode(b, f, func(buf []byte) ([]byte, error) { return f.Collection(buf, v, c) })
	}
}

// encode times what a format appends to a buffer.
func encode(b *testing.B, f *render.Format, appended func([]byte) ([]byte, error)) {
	b.Run(f.Media, func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			out, err := appended(buf[:0])
			if err != nil {
				b.Fatal(err)
			}
			buf = out
		}
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
	})
}

func BenchmarkEntity(b *testing.B) {
	m := builtin(b)
	e := computes(m, 1).Entities[0]
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787", Targets: targets(e)}
	for _, f := range render.Formats() {
		if f.Media == "text/uri-list" {
			continue // it has no rendering of one entity
		}
		encode(b, f, func(buf []byte) ([]byte, error) { return f.Entity(buf, v, e) })
	}
}

func BenchmarkDecode(b *testing.B) {
	m := builtin(b)
	e := computes(m, 1).Entities[0]
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787", Targets: targets(e)}
	for _, f := range render.Formats() {
		if f.Media == "text/uri-list" {
			continue // it has no rendering of one entity
		}
		body, err := f.Entity(nil, v, e)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(f.Media, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Decode(m, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServe sends 1,000 computes over HTTP: encoded for each request, and by
// a bare handler that has the same bytes ready. The ratio of the two is what
// encoding costs a client.
func BenchmarkServe(b *testing.B) {
	m := builtin(b)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787"}
	c := computes(m, 1000)
	for _, media := range []string{mediaJSON, mediaAtom, mediaText, mediaYAML} {
		f := render.Named(media)
		ready, err := f.Collection(nil, v, c)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(media+"/bare", func(b *testing.B) { serve(b, func() []byte { return ready }) })
		var buf []byte // requests come one after another
		b.Run(media+"/encoded", func(b *testing.B) {
			serve(b, func() []byte {
				buf, _ = f.Collection(buf[:0], v, c)
				return buf
			})
		})
	}
}

func serve(b *testing.B, body func() []byte) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body())
	}))
	defer s.Close()
	b.SetBytes(int64(len(body())))
	for b.Loop() {
		r, err := s.Client().Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Fatal(err)
		}
		_ = r.Body.Close()
	}
}
