package image_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/occid/occid/internal/image"
	"github.com/occid/occid/occi"
)

// disk makes the file of a disk with qemu-img.
func disk(t testing.TB, format, size string, options ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	args := append([]string{"create", "-q", "-f", format}, options...)
	if out, err := exec.Command("qemu-img", append(args, file, size)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func detect(text []byte) (image.Format, error) {
	return image.Detect(bytes.NewReader(text), int64(len(text)))
}

// with is a copy of a file with a big-endian number at an offset, of 4 or 8 bytes.
func with(text []byte, at, bytes int, n uint64) []byte {
	text = append([]byte(nil), text...)
	if bytes == 4 {
		binary.BigEndian.PutUint32(text[at:], uint32(n))
	} else {
		binary.BigEndian.PutUint64(text[at:], n)
	}
	return text
}

func TestFormatsAreDetected(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		format  string
		options []string
	}{
		{"raw", nil}, {"qcow2", nil}, {"qcow2", []string{"-o", "compat=0.10"}}, {"qcow2", []string{"-o", "cluster_size=512"}},
		{"qcow2", []string{"-o", "extended_l2=on,cluster_size=128k"}}, {"qcow2", []string{"-o", "compression_type=zstd"}},
		{"vmdk", nil}, {"vmdk", []string{"-o", "subformat=streamOptimized"}}, {"vhdx", nil}, {"vpc", nil}, {"vdi", nil},
	} {
		if got, err := detect(disk(t, f.format, "3M", f.options...)); err != nil || string(got) != f.format {
			t.Errorf("%s %v is %s, %v", f.format, f.options, got, err)
		}
	}
}

// TestHostileFilesAreRefused changes good files, and names what qemu-img makes of
// other files.
func TestHostileFilesAreRefused(t *testing.T) {
	t.Parallel()
	good, raw := disk(t, "qcow2", "3M"), bytes.Repeat([]byte{0}, 4096)
	base := filepath.Join(t.TempDir(), "base")
	if err := os.WriteFile(base, good, 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	for name, bad := range map[string]struct {
		text []byte
		want string
	}{
		"empty":                   {nil, "empty"},
		"text":                    {bytes.Repeat([]byte("plain text, and more of it. \n"), 512)[:4096], "text"},
		"page":                    {[]byte("<!DOCTYPE html>"), "text"},
		"gzip":                    {[]byte("\x1f\x8b\x08"), "gzip"},
		"xz":                      {[]byte("\xfd7zXZ\x00rest"), "xz"},
		"program":                 {[]byte("\x7fELFrest"), "program"},
		"part of a sector":        {raw[:1000], "whole sectors"},
		"LUKS":                    {append([]byte("LUKS\xba\xbe"), raw...), "LUKS"},
		"backing file":            {disk(t, "qcow2", "3M", "-F", "qcow2", "-b", base), "backed by another file"},
		"data file":               {disk(t, "qcow2", "3M", "-o", "data_file="+data), "data is in another file"},
		"encrypted":               {with(good, 32, 4, 1), "encrypted"},
		"encrypted with LUKS":     {with(good, 32, 4, 2), "encrypted"},
		"version 1":               {with(good, 4, 4, 1), "version 1"},
		"version 4":               {with(good, 4, 4, 4), "version 4"},
		"backing of no name":      {with(good, 16, 4, 9), "backed by another file"},
		"unknown feature":         {with(good, 72, 8, 1<<40), "unknown features"},
		"dirty":                   {with(good, 72, 8, 1), "not closed well"},
		"no size":                 {with(good, 24, 8, 0), "no size"},
		"absurd size":             {with(good, 24, 8, 1<<62), "does not suit"},
		"largest size":            {with(good, 24, 8, 1<<64-1), "does not suit"},
		"absurd clusters":         {with(good, 20, 4, 60), "clusters"},
		"absurd table":            {with(good, 36, 4, 1<<31), "does not suit"},
		"table elsewhere":         {with(good, 40, 8, 1<<40), "not in it"},
		"table at the very end":   {with(good, 40, 8, 1<<63), "not in it"},
		"counts elsewhere":        {with(good, 48, 8, 1<<40), "not in it"},
		"absurd header":           {with(good, 100, 4, 1<<30), "header"},
		"snapshots":               {with(good, 60, 4, 1<<20), "snapshots"},
		"cut":                     {good[:60], "cut"},
		"cut later":               {good[:90], "cut"},
		"name of a data file":     {with(with(good, 112, 4, 0x44415441), 116, 4, 8), "another file"},
		"endless extensions":      {endless(good), "extensions"},
		"VMDK in several files":   {disk(t, "vmdk", "3M", "-o", "subformat=monolithicFlat"), "other files"},
		"VMDK with a parent":      {bytes.Replace(disk(t, "vmdk", "3M"), []byte("parentCID=ffffffff"), []byte("parentCID=12345678"), 1), "backed by another file"},
		"VMDK with a parent name": {bytes.Replace(disk(t, "vmdk", "3M"), []byte("# Extent description"), []byte("parentFileNameHint=/x"), 1), "backed by another file"},
		"VMDK of another type":    {bytes.Replace(disk(t, "vmdk", "3M"), []byte("monolithicSparse"), []byte("twoGbMaxExtents!"), 1), "other files"},
		"VMDK cut":                {disk(t, "vmdk", "3M")[:500], "VMDK descriptor"},
		"VHD of another":          {with(disk(t, "vpc", "3M"), 60, 4, 4), "another file"},
		"QED":                     {disk(t, "qed", "3M"), "QED"},
	} {
		_, err := detect(bad.text)
		if occi.ClassOf(err) != occi.Invalid || err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: got %v, want %q", name, err, bad.want)
		}
	}
}

// endless has a header of extensions without end.
func endless(text []byte) []byte {
	text = append([]byte(nil), text...)
	for at := 112; at+8 < 65536; at += 8 {
		binary.BigEndian.PutUint64(text[at:], 0x12345678<<32)
	}
	return text
}

// FuzzDetect holds what Detect says of arbitrary files to bounds, and that qemu-img is
// never asked to open a second file.
func FuzzDetect(f *testing.F) {
	for _, format := range []string{"qcow2", "vmdk", "vhdx", "vpc", "vdi"} {
		text := disk(f, format, "1M")
		f.Add(text[:min(len(text), 70000)])
	}
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := detect(text)
		switch {
		case err != nil && occi.ClassOf(err) != occi.Invalid:
			t.Errorf("a file is refused with %v", err)
		case err == nil && got == image.QCOW2:
			if binary.BigEndian.Uint64(text[8:]) != 0 || binary.BigEndian.Uint32(text[32:]) != 0 {
				t.Error("a backing file or encryption is not seen")
			}
		case err == nil && got == "":
			t.Error("a file is taken for nothing")
		}
	})
}
