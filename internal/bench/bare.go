package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// answer is what the bare handler sends.
type answer struct {
	media, etag string
	body        []byte
}

// serveBare is the best that net/http can do: a handler that looks up bytes and
// writes them. args are the URL to learn the answers from, then pairs of path
// and media type.
func serveBare(args []string) error {
	answers := map[string]answer{}
	for i := 1; i+1 < len(args); i += 2 {
		resp, err := get(context.Background(), args[0], target{path: args[i], accept: args[i+1]})
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		answers[args[i]+" "+args[i+1]] = answer{media: resp.Header.Get("Content-Type"), etag: resp.Header.Get("ETag"), body: body}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("bare listens on http://%s\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.URL.RequestURI()+" "+r.Header.Get("Accept")]
		if !ok {
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.media)
		h.Set("ETag", a.etag)
		if match := r.Header.Get("If-None-Match"); match != "" && match == a.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
		_, _ = w.Write(a.body)
	}))
}
