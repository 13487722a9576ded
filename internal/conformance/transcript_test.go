package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exchangeTime bounds one request and its answer.
const exchangeTime = 30 * time.Second

// exchange is one request of a transcript and what its answer must be.
type exchange struct {
	line    int // where it begins in its file
	request []string
	answer  []expectation
}

// expectation is a line of a transcript about an answer.
type expectation struct {
	line int
	sign string // "<", "<=" or "<!"
	text string
}

// parse reads a transcript.
func parse(text string) ([]exchange, error) {
	var all []exchange
	asking := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		sign, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
		case sign == ">":
			if !asking {
				all = append(all, exchange{line: i + 1})
			}
			asking = true
			last := &all[len(all)-1]
			last.request = append(last.request, rest)
		case (sign == "<" || sign == "<=" || sign == "<!") && len(all) > 0:
			asking = false
			last := &all[len(all)-1]
			last.answer = append(last.answer, expectation{i + 1, sign, rest})
		default:
			return nil, fmt.Errorf("line %d: %q begins with none of #, >, <, <= and <!", i+1, line)
		}
	}
	for _, x := range all {
		if len(x.answer) == 0 || !regexp.MustCompile(`^[1-5][0-9][0-9]$`).MatchString(x.answer[0].text) {
			return nil, fmt.Errorf("line %d: the answer begins with no status", x.line)
		}
	}
	return all, nil
}

// speaker plays transcripts to one server.
type speaker struct {
	address string
	kept    map[string]string
}

var name = regexp.MustCompile(`\{[a-z][a-z0-9]*\}`)

// filled is a line with the texts kept in place of their names.
func (s *speaker) filled(line string) string {
	return name.ReplaceAllStringFunc(line, func(n string) string {
		if text, ok := s.kept[n[1:len(n)-1]]; ok {
			return text
		}
		return n
	})
}

// play sends the requests of a transcript and judges the answers.
func (s *speaker) play(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(all) == 0 {
		t.Fatalf("%s holds no request", file)
	}
	for _, x := range all {
		octets := s.octets(x.request)
		r, err := s.send(octets)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, x.line, err)
		}
		if line, problem := s.judge(x.answer, r); problem != "" {
			t.Fatalf("%s:%d: %s\nrequest:\n%s\nanswer:\n%s", file, line, problem, octets, r)
		}
	}
}

var escapes = strings.NewReplacer(`\r`, "\r", `\n`, "\n")

// octets makes the request of its lines: CRLF ends those of the head, LF
// separates those of the body.
func (s *speaker) octets(lines []string) []byte {
	var head, body []string
	for i, l := range lines {
		if l == "" {
			head, body = lines[:i], lines[i+1:]
			break
		}
		head = lines[:i+1]
	}
	content := escapes.Replace(s.filled(strings.Join(body, "\n")))
	var b bytes.Buffer
	given := map[string]bool{}
	for _, l := range head {
		l = escapes.Replace(s.filled(l))
		field, _, _ := strings.Cut(l, ":")
		given[strings.ToLower(field)] = true
		b.WriteString(l + "\r\n")
	}
	if !given["host"] {
		fmt.Fprintf(&b, "Host: %s\r\n", s.address)
	}
	if !given["content-length"] && len(content) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(content))
	}
	b.WriteString("Connection: close\r\n\r\n" + content)
	return b.Bytes()
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a *answer) String() string {
	var b bytes.Buffer
	fmt.Fprintln(&b, a.status)
	// A buffer takes all that is written.
	_ = a.header.Write(&b)
	b.WriteString("\n" + a.body)
	return b.String()
}

// send gives the octets to the server on a connection of their own.
func (s *speaker) send(octets []byte) (*answer, error) {
	conn, err := net.DialTimeout("tcp", s.address, exchangeTime)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(exchangeTime)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(octets); err != nil {
		return nil, err
	}
	method, _, _ := strings.Cut(string(octets), " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, string(body)}, nil
}
