package iso_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/iso"
)

const sector = 2048

// volume is what a reader finds in one of the two volumes of an image.
type volume struct {
	label string
	files map[string]string
}

// read reads an image as strictly as ECMA-119 lets a reader.
func read(image []byte) (primary, joliet volume, err error) {
	if len(image) < 19*sector || len(image)%sector != 0 {
		return primary, joliet, fmt.Errorf("%d bytes", len(image))
	}
	var all [2]volume
	for i := range all {
		if all[i], err = readVolume(image, 16+i, byte(1+i)); err != nil {
			return primary, joliet, fmt.Errorf("volume %d: %w", i+1, err)
		}
	}
	if d := image[18*sector:]; d[0] != 255 || string(d[1:6]) != "CD001" || d[6] != 1 {
		return primary, joliet, fmt.Errorf("the descriptors have no end: % x", d[:7])
	}
	return all[0], all[1], nil
}

func readVolume(image []byte, at int, kind byte) (volume, error) {
	d := image[at*sector:]
	text := func(b []byte) string { return string(b) }
	if kind == 2 {
		text = wide
		if string(d[88:91]) != "%/E" {
			return volume{}, fmt.Errorf("escape sequence % x", d[88:91])
		}
	}
	if d[0] != kind || string(d[1:6]) != "CD001" || d[6] != 1 || d[881] != 1 {
		return volume{}, fmt.Errorf("it begins with % x", d[:7])
	}
	if size, err := both(d[80:], 4); err != nil || size != len(image)/sector {
		return volume{}, fmt.Errorf("size %d, %w", size, err)
	}
	for _, at := range []int{120, 124} {
		if n, err := both(d[at:], 2); err != nil || n != 1 {
			return volume{}, fmt.Errorf("set %d, %w", n, err)
		}
	}
	if n, err := both(d[128:], 2); err != nil || n != sector {
		return volume{}, fmt.Errorf("blocks of %d, %w", n, err)
	}
	v := volume{label: strings.TrimRight(text(d[40:72]), " "), files: map[string]string{}}
	root, size, _, _, err := record(d[156:])
	if err != nil {
		return v, err
	}
	if n, err := both(d[132:], 4); err != nil || n != 10 {
		return v, fmt.Errorf("path tables of %d bytes, %w", n, err)
	}
	little := image[sector*int(binary.LittleEndian.Uint32(d[140:])):][:10]
	big := image[sector*int(binary.BigEndian.Uint32(d[148:])):][:10]
	want := func(o binary.AppendByteOrder) []byte {
		return append(o.AppendUint16(o.AppendUint32([]byte{1, 0}, uint32(root)), 1), 0, 0)
	}
	if !bytes.Equal(little, want(binary.LittleEndian)) || !bytes.Equal(big, want(binary.BigEndian)) {
		return v, fmt.Errorf("path tables % x and % x", little, big)
	}
	return v, v.read(image, root, size, text)
}

// read reads the root directory.
func (v *volume) read(image []byte, root, size int, text func([]byte) string) error {
	last, dots := "", 0
	for off := 0; off < size; {
		r := image[root*sector+off:]
		if r[0] == 0 {
			off = (off/sector + 1) * sector
			continue
		}
		if off%sector+int(r[0]) > sector {
			return fmt.Errorf("a record crosses sectors")
		}
		at, n, id, dir, err := record(r)
		if err != nil {
			return err
		}
		off += int(r[0])
		if dir {
			if at != root || n != size || string(id) != string([]byte{byte(dots)}) {
				return fmt.Errorf("directory %q at %d", id, at)
			}
			dots++
			continue
		}
		if string(id) <= last || v.files[text(id)] != "" {
			return fmt.Errorf("%q follows %q", id, last)
		}
		last = string(id)
		v.files[text(id)] = string(image[at*sector:][:n])
	}
	if dots != 2 {
		return fmt.Errorf("%d directories", dots)
	}
	return nil
}

func record(r []byte) (at, size int, id []byte, dir bool, err error) {
	if at, err = both(r[2:], 4); err != nil {
		return
	}
	if size, err = both(r[10:], 4); err != nil {
		return
	}
	if n, e := both(r[28:], 2); e != nil || n != 1 || r[0]%2 != 0 || r[19] == 0 || r[20] == 0 {
		return at, size, nil, false, fmt.Errorf("record % x", r[:33])
	}
	return at, size, r[33:][:r[32]], r[25] == 2, nil
}

func both(b []byte, n int) (int, error) {
	little, big := uint32(binary.LittleEndian.Uint16(b)), uint32(binary.BigEndian.Uint16(b[2:]))
	if n == 4 {
		little, big = binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	}
	if little != big {
		return 0, fmt.Errorf("%d is %d in the other byte order", little, big)
	}
	return int(little), nil
}

func wide(b []byte) string {
	var out []uint16
	for ; len(b) > 1; b = b[2:] {
		out = append(out, binary.BigEndian.Uint16(b))
	}
	return string(utf16.Decode(out))
}

func TestImage(t *testing.T) {
	t.Parallel()
	many := map[string][]byte{}
	for i := range 200 {
		many[fmt.Sprintf("a-file-with-a-long-name.of.number-%d", i)] = []byte(fmt.Sprint("content ", i))
	}
	for name, files := range map[string]map[string][]byte{
		"nothing": {},
		"a config drive": {"meta-data": []byte("instance-id: x\n"), "user-data": []byte("#cloud-config\n"),
			"vendor-data": nil, "network-config": bytes.Repeat([]byte("v"), 3*sector+1)},
		"whole sectors": {"a": make([]byte, sector), "b": []byte("b"), ".hidden": []byte("h")},
		"many":          many,
		"alike":         {"meta-data": []byte("1"), "meta-data-2": []byte("2"), "META_DATA": []byte("3"), "meta-dat.a": []byte("4"), "meta_dat.b": []byte("5")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image, err := iso.Image("cidata", files)
			if err != nil {
				t.Fatal(err)
			}
			primary, joliet, err := read(image)
			if err != nil {
				t.Fatal(err)
			}
			want := volume{"cidata", map[string]string{}}
			for n, content := range files {
				want.files[n] = string(content)
			}
			if diff := cmp.Diff(want, joliet, cmp.AllowUnexported(volume{})); diff != "" {
				t.Errorf("Joliet (-want +got):\n%s", diff)
			}
			if primary.label != "cidata" || len(primary.files) != len(files) {
				t.Errorf("the primary volume %q has %d files, want %d", primary.label, len(primary.files), len(files))
			}
			for n := range primary.files {
				base, ext, _ := strings.Cut(strings.TrimSuffix(n, ";1"), ".")
				if len(base) < 1 || len(base) > 8 || len(ext) > 3 || strings.Trim(base+ext, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
					t.Errorf("%q is no name of level 1", n)
				}
			}
			again, err := iso.Image("cidata", files)
			if err != nil || !bytes.Equal(image, again) {
				t.Errorf("the same files give another image, %v", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct{ label, name string }{
		"no label":      {"", "a"},
		"a long label":  {strings.Repeat("l", 17), "a"},
		"a wide label":  {"ä", "a"},
		"no name":       {"cidata", ""},
		"a long name":   {"cidata", strings.Repeat("n", 65)},
		"a folder":      {"cidata", "a/b"},
		"the directory": {"cidata", ".."},
		"a wide name":   {"cidata", "naïve"},
		"a line":        {"cidata", "a\nb"},
	} {
		if image, err := iso.Image(try.label, map[string][]byte{try.name: nil}); err == nil {
			t.Errorf("%s: got an image of %d bytes", name, len(image))
		}
	}
}

// FuzzImage checks that what can be written is read back.
func FuzzImage(f *testing.F) {
	f.Add("cidata", "meta-data", []byte("a: b\n"), "user-data", []byte(nil))
	f.Add("l", "A.B", []byte("x"), "a.b", []byte("y"))
	f.Fuzz(func(t *testing.T, label, one string, first []byte, two string, second []byte) {
		files := map[string][]byte{one: first, two: second}
		image, err := iso.Image(label, files)
		if err != nil {
			return
		}
		_, joliet, err := read(image)
		if err != nil {
			t.Fatal(err)
		}
		for n, content := range files {
			if got, ok := joliet.files[n]; !ok || got != string(content) {
				t.Errorf("%q holds %q, want %q", n, got, content)
			}
		}
	})
}
