package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/occid/occid/internal/engine"
)

// labelText is what a label of a host may be.
var labelText = regexp.MustCompile(`^[A-Za-z0-9._=-]{1,64}$`)

// parseHost reads URI and what follows it, separated by commas.
func parseHost(text string) (engine.Host, error) {
	parts := strings.Split(text, ",")
	h := engine.Host{Name: parts[0]}
	bad := func(format string, args ...any) (engine.Host, error) {
		return engine.Host{}, fmt.Errorf("--hosts: %s: %s", text, fmt.Sprintf(format, args...))
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "name":
			if h.Title = value; value == "" {
				return bad("the name is empty")
			}
		case "label":
			if !labelText.MatchString(value) {
				return bad("label %q is not of letters, digits and . _ = -", value)
			}
			h.Labels = append(h.Labels, value)
		case "cores":
			if h.Cores, err = strconv.Atoi(value); err != nil || h.Cores <= 0 {
				return bad("cores %q is not a number of cores", value)
			}
		case "memory":
			if h.MemoryBytes, err = parseSize(value); err != nil {
				return bad("memory: %v", err)
			}
		case "cores-overcommit":
			h.CoresOvercommit, err = ratio(value)
		case "memory-overcommit":
			h.MemoryOvercommit, err = ratio(value)
		case "unlimited":
			h.Unlimited = true
		default:
			return bad("there is no setting %q", key)
		}
		if err != nil {
			return bad("%s %v", key, err)
		}
	}
	return h, nil
}

// ratio reads how many times something may be promised.
func ratio(value string) (float64, error) {
	r, err := strconv.ParseFloat(value, 64)
	if err != nil || !(r > 0 && r <= 1000) {
		return 0, fmt.Errorf("%q is not a number between 0 and 1000", value)
	}
	return r, nil
}

// hostRules gives what is configured of the host of a URI.
func (o *options) hostRules(uri string) (engine.Host, error) {
	for _, text := range o.Hosts {
		if h, err := parseHost(text); err != nil || h.Name == uri {
			return h, err
		}
	}
	return engine.Host{Name: uri}, nil
}

// checkHosts refuses rules that cannot be, before any host is spoken to.
func (o *options) checkHosts() error {
	seen, titles := map[string]bool{}, map[string]bool{}
	for _, text := range o.Hosts {
		h, err := parseHost(text)
		switch {
		case err != nil:
			return err
		case !slices.Contains(o.Libvirt, h.Name):
			return fmt.Errorf("--hosts: %s: --libvirt names no host %q", text, h.Name)
		case seen[h.Name]:
			return fmt.Errorf("--hosts: %s: the host is described twice", text)
		case h.Title != "" && titles[h.Title]:
			return fmt.Errorf("--hosts: %s: two hosts are called %q", text, h.Title)
		}
		seen[h.Name], titles[h.Title] = true, true
	}
	return nil
}
