package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxFault bounds what is read of an error, in bytes.
const maxFault = 1 << 20

// fault is what a server says of a request that it does not carry out.
func fault(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFault))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(message(resp.Header.Get("Content-Type"), string(body)))
	if text == "" {
		text = resp.Status
	}
	return errors.New(text)
}

// message finds the text for people in an error of any format.
func message(media, body string) string {
	media, _, _ = strings.Cut(media, ";")
	switch {
	case strings.HasSuffix(media, "json"):
		var f struct{ Message string }
		if json.Unmarshal([]byte(body), &f) == nil {
			return f.Message
		}
	case strings.HasSuffix(media, "xml"):
		return elementText(body, "message")
	case media == textFormat.Media, strings.HasSuffix(media, "yaml"):
		return lineOf(body, "message")
	case media == "text/html":
		// It comes from something before the server, and is not for terminals.
		return ""
	case media == uriFormat.Media:
		return strings.ReplaceAll("\n"+body, "\n# ", "\n")
	}
	return body
}

// elementText gives the text of the first element with a name, or all if there
// is none.
func elementText(body, name string) string {
	for dec := xml.NewDecoder(strings.NewReader(body)); ; {
		token, err := dec.Token()
		if err != nil {
			return body
		}
		var text string
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name && dec.DecodeElement(&text, &start) == nil {
			return text
		}
	}
}

// lineOf gives the value after a key at the beginning of a line, or all if there
// is none.
func lineOf(body, key string) string {
	for line := range strings.Lines(body) {
		value, ok := strings.CutPrefix(line, key)
		if !ok {
			continue
		}
		value = strings.TrimSpace(strings.TrimPrefix(value, ":"))
		var unquoted string
		if json.Unmarshal([]byte(value), &unquoted) == nil {
			return unquoted
		}
		return value
	}
	return body
}
