// Package iso writes small ISO 9660 images: files in one directory, which keep their
// own names by the Joliet extension, as guests read them off a config drive.
package iso

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// sector is the unit of an image, in bytes (ECMA-119 section 6.1.2).
const sector = 2048

// Where the parts of an image are, in sectors. The directories follow, and then the
// files.
const (
	primaryAt = 16 + iota // volume descriptors (ECMA-119 section 8)
	jolietAt
	endAt
	primaryPaths // path tables (section 9.4): little-endian, then big-endian
	_
	jolietPaths
	_
	directoriesAt
)

// Most characters of a label, and of a name (Joliet specification).
const (
	maxLabel = 16
	maxName  = 64
)

// Image gives an image that holds the files, by name. It depends on the label and the
// files alone. A label has up to 16 and a name up to 64 printable characters of
// ASCII, without any of * / : ; ? and \ in a name.
func Image(label string, files map[string][]byte) ([]byte, error) {
	if !plain(label, maxLabel) {
		return nil, fmt.Errorf("label %q: not 1 to %d printable characters", label, maxLabel)
	}
	size := 0
	for name, content := range files {
		if !plain(name, maxName) || strings.ContainsAny(name, `*/:;?\`) || name == "." || name == ".." {
			return nil, fmt.Errorf("name %q: not 1 to %d printable characters without * / : ; ? and \\", name, maxName)
		}
		if size += len(content) + 2*sector; size > math.MaxInt32 {
			return nil, fmt.Errorf("the files do not fit into %d bytes", math.MaxInt32)
		}
	}
	return layOut(label, files), nil
}

func plain(s string, most int) bool {
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// file is one file as both directories have it.
type file struct {
	short, long string // names in the primary and in the Joliet directory
	at, size    int    // in sectors and in bytes
}

func layOut(label string, files map[string][]byte) []byte {
	names := slices.Sorted(maps.Keys(files))
	list, taken := make([]file, len(names)), map[string]bool{}
	for i, name := range names {
		list[i] = file{short: shortName(name, taken), long: name, size: len(files[name])}
	}
	primary := volume{kind: 1, label: []byte(label), space: []byte(" "), paths: primaryPaths, root: directoriesAt,
		id: func(f file) []byte { return []byte(f.short) }}
	joliet := volume{kind: 2, label: ucs2(label), space: ucs2(" "), escape: "%/E", paths: jolietPaths,
		id: func(f file) []byte { return ucs2(f.long) }}
	joliet.root = primary.root + sectors(len(primary.directory(list)))
	end := joliet.root + sectors(len(joliet.directory(list)))
	for i := range list {
		list[i].at = end
		end += sectors(list[i].size)
	}
	image := make([]byte, end*sector)
	for _, v := range []volume{primary, joliet} {
		v.write(image, list)
	}
	copy(image[endAt*sector:], "\xffCD001\x01")
	for i, name := range names {
		copy(image[list[i].at*sector:], files[name])
	}
	return image
}

func sectors(size int) int { return (size + sector - 1) / sector }

// shortName makes a name of up to 8 and 3 capital letters, digits and underscores
// (ECMA-119 section 7.5, level 1) that is not taken.
func shortName(name string, taken map[string]bool) string {
	letters := func(s string, most int) string {
		s = strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToUpper(s))
		return s[:min(len(s), most)]
	}
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name, ext = name[:i], name[i+1:]
	}
	for n, tail := 0, ""; ; n++ {
		if n > 0 {
			tail = fmt.Sprint(n)
		}
		short := letters(name, 8-len(tail)) + tail + "." + letters(ext, 3) + ";1"
		if !taken[short] {
			taken[short] = true
			return short
		}
	}
}

// ucs2 writes ASCII as Joliet wants it.
func ucs2(s string) []byte {
	out := make([]byte, 0, 2*len(s))
	for _, c := range []byte(s) {
		out = append(out, 0, c)
	}
	return out
}

// volume is one of the two ways to see the files.
type volume struct {
	kind         byte // of its descriptor
	label, space []byte
	escape       string // names the characters it is in
	paths, root  int    // sectors of its path tables and of its directory
	id           func(file) []byte
}

// write puts all of the volume but the files' contents into an image.
func (v volume) write(image []byte, files []file) {
	dir := v.directory(files)
	copy(image[v.root*sector:], dir)
	copy(image[v.paths*sector:], v.pathTable(binary.LittleEndian))
	copy(image[(v.paths+1)*sector:], v.pathTable(binary.BigEndian))
	at := primaryAt + int(v.kind) - 1
	copy(image[at*sector:(at+1)*sector], v.descriptor(len(image)/sector, len(dir)))
}

// descriptor gives the volume descriptor (ECMA-119 sections 8.4 and 8.5).
func (v volume) descriptor(size, dirSize int) []byte {
	d := make([]byte, sector)
	text := func(from, to int, s []byte) {
		field := d[from:to]
		for n := copy(field, s); n+len(v.space) <= len(field); n += len(v.space) {
			copy(field[n:], v.space)
		}
	}
	d[0], d[6], d[881] = v.kind, 1, 1
	copy(d[1:], "CD001")
	text(8, 40, nil)
	text(40, 72, v.label)
	both32(d[80:], size)
	copy(d[88:], v.escape)
	both16(d[120:], 1)
	both16(d[124:], 1)
	both16(d[128:], sector)
	both32(d[132:], len(v.pathTable(binary.LittleEndian)))
	binary.LittleEndian.PutUint32(d[140:], uint32(v.paths))
	binary.BigEndian.PutUint32(d[148:], uint32(v.paths+1))
	copy(d[156:], record([]byte{0}, v.root, dirSize, true))
	for _, f := range [][2]int{{190, 318}, {318, 446}, {446, 574}, {574, 702}, {702, 739}, {739, 776}, {776, 813}} {
		text(f[0], f[1], nil)
	}
	for at := 813; at < 881; at += 17 { // dates that are not told
		copy(d[at:], "0000000000000000")
	}
	return d
}

// pathTable lists the root directory alone (ECMA-119 section 9.4).
func (v volume) pathTable(order binary.AppendByteOrder) []byte {
	b := order.AppendUint32([]byte{1, 0}, uint32(v.root))
	return append(order.AppendUint16(b, 1), 0, 0)
}

// directory gives the root directory, of whole sectors, which no record crosses.
func (v volume) directory(files []file) []byte {
	records := make([][]byte, len(files))
	byID := func(a, b file) int { return bytes.Compare(v.id(a), v.id(b)) }
	for i, f := range slices.SortedFunc(slices.Values(files), byID) {
		records[i] = record(v.id(f), f.at, f.size, false)
	}
	var out []byte
	build := func(size int) []byte {
		out = append(record([]byte{0}, v.root, size, true), record([]byte{1}, v.root, size, true)...)
		for _, r := range records {
			if left := sector - len(out)%sector; left < len(r) {
				out = append(out, make([]byte, left)...)
			}
			out = append(out, r...)
		}
		return append(out, make([]byte, sectors(len(out))*sector-len(out))...)
	}
	return build(len(build(0)))
}

// record gives a directory record (ECMA-119 section 9.1).
func record(id []byte, at, size int, dir bool) []byte {
	r := make([]byte, 33+len(id)+(len(id)+1)%2)
	r[0] = byte(len(r))
	both32(r[2:], at)
	both32(r[10:], size)
	copy(r[18:], []byte{100, 1, 1}) // 2000-01-01, as any other day would do
	if dir {
		r[25] = 2
	}
	both16(r[28:], 1)
	r[32] = byte(len(id))
	copy(r[33:], id)
	return r
}

// both16 and both32 write a number in both byte orders (ECMA-119 sections 7.2.3 and
// 7.3.3).
func both16(b []byte, n int) {
	binary.LittleEndian.PutUint16(b, uint16(n))
	binary.BigEndian.PutUint16(b[2:], uint16(n))
}

func both32(b []byte, n int) {
	binary.LittleEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
}
