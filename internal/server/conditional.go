package server

import "strconv"

// Entity tags are strong: revision, registry and rendering code, format. The
// first part alone says which state of a thing it is, in whatever format, and is
// what a write compares.

// etag makes a tag. filter is what header fields filter by, which the URL does not
// tell.
func etag(revision int64, tag, media, filter string) string {
	b := make([]byte, 0, 48)
	b = append(b, '"')
	b = strconv.AppendInt(b, revision, 36)
	b = append(b, '.')
	b = append(b, tag...)
	b = append(b, '.')
	b = append(b, media...)
	if filter != "" {
		b = append(append(b, '.'), tagOf(filter)...)
	}
	return string(append(b, '"'))
}
