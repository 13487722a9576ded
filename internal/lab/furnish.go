package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Furnished is what a server has for machines once Furnish is done.
type Furnished struct {
	Template string // the identifier of an OS template
	Network  string // the URL of a network that hands out addresses
}

// Furnish has the server at url make an OS template of an image and an isolated network,
// each called "lab", as any client of the API would. The URL is the server's root,
// without a final slash.
func Furnish(ctx context.Context, url string, image Image) (Furnished, error) {
	f := furnisher{ctx}
	template, err := f.template(url, image)
	if err != nil {
		return Furnished{}, fmt.Errorf("furnish %s with a template: %w", url, err)
	}
	network, err := f.made(http.MethodPost, url+"/network/", `{"title":"lab","address":"198.18.0.0/24","allocation":"dynamic"}`, "application/json")
	if err != nil {
		return Furnished{}, fmt.Errorf("furnish %s with a network: %w", url, err)
	}
	return Furnished{Template: template, Network: network}, nil
}

// furnisher makes requests.
type furnisher struct{ ctx context.Context }

// template uploads an image and gives the identifier of the template that is made of it.
func (f furnisher) template(url string, image Image) (string, error) {
	content, err := os.ReadFile(image.QCOW2)
	if err != nil {
		return "", err
	}
	disk, err := f.made(http.MethodPost, url+"/storage/", `{"title":"lab","size":"64 MiB"}`, "application/json")
	if err != nil {
		return "", err
	}
	if _, err := f.made(http.MethodPut, disk+"/content", string(content), "application/octet-stream"); err != nil {
		return "", err
	}
	_, text, err := f.send(http.MethodPost, disk+"?action=template&name=lab", "", "")
	if err != nil {
		return "", err
	}
	var answer struct {
		Mixins []struct{ Scheme, Term string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", err
	}
	if len(answer.Mixins) != 1 {
		return "", fmt.Errorf("the answer is no template: %s", text)
	}
	return answer.Mixins[0].Scheme + answer.Mixins[0].Term, nil
}

// made makes a request for an entity and gives its URL if that is new. That the host
// failed is an error.
func (f furnisher) made(method, url, body, media string) (string, error) {
	header, text, err := f.send(method, url, body, media)
	if err != nil {
		return "", err
	}
	var x struct{ State, Message string }
	if err := json.Unmarshal(text, &x); err != nil {
		return "", err
	}
	if x.State == "error" {
		return "", fmt.Errorf("%s %s: %s", method, url, x.Message)
	}
	return header.Get("Location"), nil
}

// send makes a request, with a body if it has a media type, that is answered once the
// host has done what is asked.
func (f furnisher) send(method, url, body, media string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(f.ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Prefer", "wait=60")
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp.Header, text, err
}
