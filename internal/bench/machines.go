package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// machines compares the way from POST to a running machine with raw libvirt's
// define and start, one at a time, and measures how soon work on an action
// begins once it was accepted.
func (b *bench) machines() error {
	p, err := b.occid("sqlite:" + filepath.Join(b.dir, "machines.db"))
	if err != nil {
		return err
	}
	defer p.stop()
	conn, err := libvirt.NewConnect("test:///default")
	if err != nil {
		return err
	}
	defer conn.Close()
	var ours, raw, waits []time.Duration
	for range 100 {
		d, wait, err := b.createAndStart(p)
		if err != nil {
			return err
		}
		ours, waits = append(ours, d), append(waits, wait)
		if d, err = defineAndStart(conn); err != nil {
			return err
		}
		raw = append(raw, d)
	}
	extra := middle(ours) - middle(raw)
	b.limit("create to active beyond raw define+start ("+middle(raw).Round(10*time.Microsecond).String()+")",
		float64(extra.Microseconds())/1000, 15, "ms")
	b.limit("action accepted to work begun, p99", float64(at(waits, 0.99).Microseconds())/1000, 20, "ms")
	return nil
}

// createAndStart makes a compute and starts it, waiting for each, and gives how
// long both took and how long the start waited to be worked on.
func (b *bench) createAndStart(p *process) (took, wait time.Duration, err error) {
	began := time.Now()
	location, _, err := b.send(p, "/compute/", `{"type":"compute","cores":1,"memory":"128 MiB"}`)
	if err != nil {
		return 0, 0, err
	}
	_, task, err := b.send(p, strings.TrimPrefix(location, p.url)+"?action=start", "")
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	resp, err := get(b.ctx, p.url, target{path: strings.TrimPrefix(task, p.url), accept: "application/json"})
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var t struct {
		State            string
		Created, Started time.Time
	}
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		return 0, 0, err
	}
	if t.State != "done" {
		return 0, 0, fmt.Errorf("task %s is %s", task, t.State)
	}
	return took, t.Started.Sub(t.Created), nil
}

// send POSTs, waits for the outcome, and gives where the entity and its task are.
func (b *bench) send(p *process, path, body string) (location, task string, err error) {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		return "", "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Prefer", "wait=10")
	resp, err := pool.Do(req)
	if err != nil {
		return "", "", err
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return "", "", fmt.Errorf("POST %s: %s", path, resp.Status)
	}
	return resp.Header.Get("Location"), resp.Header.Get("X-Task-Location"), nil
}

func defineAndStart(conn *libvirt.Connect) (time.Duration, error) {
	id := uuid.NewString()
	text, err := (&libvirtxml.Domain{Type: "test", Name: id, UUID: id, Memory: &libvirtxml.DomainMemory{Value: 128, Unit: "MiB"},
		VCPU: &libvirtxml.DomainVCPU{Value: 1}, OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm"}}}).Marshal()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	d, err := conn.DomainDefineXML(text)
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.Free() }()
	if err := d.Create(); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}
