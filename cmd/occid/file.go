package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// file is a configuration file: its keys are the names of flags. Variables of the
// environment come before it.
type file struct {
	path string
	keys map[string]yaml.Node
}

func readFile(path string) (*file, error) {
	f := &file{path: path}
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	defer r.Close()
	if err := yaml.NewDecoder(r).Decode(&f.keys); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Validate refuses keys that are no options.
func (f *file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, flag := range app.Flags {
		known[flag.Name] = flag.Name != "help" && flag.Name != "version" && flag.Name != "config"
	}
	for key, value := range f.keys {
		if !known[key] {
			return fmt.Errorf("%s: line %d: there is no option %q", f.path, value.Line, key)
		}
	}
	return nil
}

// Resolve gives the value of a flag, nil to leave it as it is.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	node, given := f.keys[flag.Name]
	if !given {
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if node.Kind == yaml.SequenceNode && flag.IsSlice() {
		list := make([]string, len(node.Content))
		for i, item := range node.Content {
			var err error
			if flag.Name == "pools" && item.Kind == yaml.MappingNode {
				list[i], err = poolText(item)
			} else {
				err = item.Decode(&list[i])
			}
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %s: a list of texts is meant", f.path, item.Line, flag.Name)
			}
		}
		return strings.Join(list, string(flag.Tag.Sep)), nil
	}
	if node.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("%s: line %d: %s: one value is meant", f.path, node.Line, flag.Name)
	}
	return node.Value, nil
}
