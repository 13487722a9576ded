package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// list is what tables are made of: a page of entities, or the query interface.
type list struct {
	Resources []struct{ Type, ID, Title, State string }
	Kinds     []category
	Mixins    []category
}

type category struct {
	Title, Location string
	Actions         []string
}

// showList shows what pages passes on: as a table if that is how lists are shown.
func (c *client) showList(pages func(show func(io.Reader) error) error) error {
	if !c.tables {
		return pages(c.print)
	}
	var all list
	err := pages(func(page io.Reader) error {
		var l list
		if err := json.NewDecoder(page).Decode(&l); err != nil {
			return fmt.Errorf("the answer is not a list: %w", err)
		}
		all.Resources = append(all.Resources, l.Resources...)
		all.Kinds, all.Mixins = append(all.Kinds, l.Kinds...), append(all.Mixins, l.Mixins...)
		return nil
	})
	if err != nil {
		return err
	}
	return all.table(c.std.out)
}

// table writes aligned columns. The first is what other commands take.
func (l *list) table(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if l.Kinds != nil {
		row(w, "LOCATION", "TITLE", "ACTIONS")
		for _, x := range append(l.Kinds, l.Mixins...) {
			row(w, x.Location, x.Title, strings.Join(terms(x.Actions), " "))
		}
		return w.Flush()
	}
	row(w, "ID", "TITLE", "STATE")
	for _, x := range l.Resources {
		row(w, x.Type+"/"+x.ID, x.Title, x.State)
	}
	return w.Flush()
}

// row writes a line of cells. What would move a terminal's cursor is quoted.
func row(w io.Writer, cells ...string) {
	for i, text := range cells {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			cells[i] = strconv.Quote(text)
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// terms gives what follows the schemes of identifiers.
func terms(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id[strings.LastIndexByte(id, '#')+1:]
	}
	return out
}
