package image

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"

	"github.com/occid/occid/occi"
)

// Format is how a file holds a disk, as qemu-img calls it.
type Format string

// The formats that are taken in.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
	VMDK  Format = "vmdk"
	VHDX  Format = "vhdx"
	VHD   Format = "vpc"
	VDI   Format = "vdi"
)

// sector is what disks are multiples of, in bytes.
const sector = 512

// refuse says why a file is not taken in.
func refuse(format string, args ...any) error {
	return occi.E(occi.Invalid, "the image is refused: "+format, args...)
}

// foreign are the beginnings of files that are no disks, or none that are read.
var foreign = []struct{ magic, what string }{
	{"\x1f\x8b", "compressed with gzip"}, {"BZh", "compressed with bzip2"}, {"\xfd7zXZ\x00", "compressed with xz"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd"}, {"PK\x03\x04", "a zip archive"}, {"7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{"\x7fELF", "a program"}, {"LUKS\xba\xbe", "encrypted with LUKS"}, {"QED\x00", "in the format QED"},
	{"WithoutFreeSpace", "in the format Parallels"}, {"WithouFreSpacExt", "in the format Parallels"},
	{"# Disk DescriptorFile", "a VMDK descriptor, whose disk is in other files"}, {"COWD", "a VMDK of an old version"},
	{"SPLASHSC", "in the format GlusterFS"}, {"Bochs Virtual HD Image", "in the format Bochs"}, {"<!", "a text"}, {"<?", "a text"}, {"<html", "a text"}, {"<HTML", "a text"}, {"%PDF", "a text"},
}

// Detect finds out what a file of some size is, from its content alone. The error
// of one that is refused is occi.Invalid and says why.
func Detect(r io.ReaderAt, size int64) (Format, error) {
	if size == 0 {
		return "", refuse("it is empty")
	}
	head := make([]byte, min(size, 4096))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return "", err
	}
	is := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	for _, f := range foreign {
		if is(f.magic) {
			return "", refuse("it is %s", f.what)
		}
	}
	switch {
	case is("QFI\xfb"):
		return QCOW2, checkQCOW2(r, size)
	case is("KDMV"):
		return VMDK, checkVMDK(r, size)
	case is("vhdxfile"):
		return VHDX, nil
	case is("conectix"):
		return VHD, checkVHD(head)
	case len(head) >= 0x44 && binary.LittleEndian.Uint32(head[0x40:]) == 0xbeda107f:
		return VDI, nil
	}
	return Raw, checkRaw(head, size)
}

// checkRaw refuses what cannot be a disk as it is.
func checkRaw(head []byte, size int64) error {
	if size%sector != 0 {
		return refuse("it has %d bytes, which are no whole sectors of %d, and the magic of no format of disks", size, sector)
	}
	if len(bytes.Trim(head[:sector], "\t\r\n !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~")) == 0 {
		return refuse("it is a text")
	}
	return nil
}

// checkVHD refuses a disk that is the difference from another (VHD 1.0).
func checkVHD(head []byte) error {
	if len(head) < 64 {
		return refuse("its VHD header is cut")
	}
	if kind := binary.BigEndian.Uint32(head[60:]); kind != 2 && kind != 3 {
		return refuse("it is a VHD of type %d; its disk is in another file", kind)
	}
	return nil
}

// vmdkDescriptor bounds the descriptor in a VMDK, in bytes.
const vmdkDescriptor = 1 << 20

// vmdkWhole are the types of VMDK whose disk is in one file.
var vmdkWhole = []string{"monolithicSparse", "streamOptimized"}

// checkVMDK refuses a disk that is partly in other files (Virtual Disk Format 5.0).
func checkVMDK(r io.ReaderAt, size int64) error {
	var h [64]byte
	if _, err := r.ReadAt(h[:], 0); err != nil {
		return refuse("its VMDK header is cut")
	}
	at, n := binary.LittleEndian.Uint64(h[28:]), binary.LittleEndian.Uint64(h[36:])
	if at == 0 || n == 0 || n > vmdkDescriptor/sector || at > uint64(size)/sector || at+n > uint64(size)/sector {
		return refuse("its VMDK descriptor, %d sectors at %d, is not in it", n, at)
	}
	text := make([]byte, n*sector)
	if _, err := r.ReadAt(text, int64(at)*sector); err != nil {
		return err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(bytes.TrimRight(text, "\x00"))) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := values[name]; ok && twice {
			return refuse("its VMDK descriptor says twice what %q is", name)
		}
		values[name] = strings.Trim(strings.TrimSpace(value), `"`)
	}
	if bytes.Contains(text, []byte("parentFileNameHint")) || strings.ToLower(values["parentcid"]) != "ffffffff" {
		return refuse("it is backed by another file")
	}
	for _, kind := range vmdkWhole {
		if values["createtype"] == kind {
			return nil
		}
	}
	return refuse("it is a VMDK of type %q, whose disk may be in other files", values["createtype"])
}

// The parts of a qcow2 header that count here (QEMU's docs/interop/qcow2.txt).
type qcow2 struct {
	Magic, Version         uint32
	BackingOffset          uint64
	BackingSize            uint32
	ClusterBits            uint32
	Size                   uint64
	Crypt, L1Size          uint32
	L1Offset, RefOffset    uint64
	RefClusters, Snapshots uint32
	SnapshotsOffset        uint64
	Incompatible           uint64 // version 3
	Compatible, Autoclear  uint64
	RefOrder, HeaderLength uint32
}

const (
	qcow2V2      = 72  // length of the header of version 2
	qcow2V3      = 104 // least length of that of version 3
	qcow2L1Bytes = 32 << 20

	// Features that qemu-img must know, as bits.
	qcow2Dirty, qcow2Corrupt, qcow2DataFile = 1, 2, 4
	qcow2Compression, qcow2ExtendedL2       = 8, 16

	// Types of the extensions behind the header.
	qcow2ExtDataFile, qcow2ExtEncryption = 0x44415441, 0x0537be77
	// qcow2Extensions bounds their number.
	qcow2Extensions = 64
)

// checkQCOW2 refuses a file whose disk is not wholly in it, that is encrypted, or
// whose header is not consistent with itself.
func checkQCOW2(r io.ReaderAt, size int64) error {
	head := make([]byte, qcow2V3)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	var h qcow2
	if n < qcow2V2 {
		return refuse("its qcow2 header is cut")
	}
	if err := binary.Read(bytes.NewReader(head), binary.BigEndian, &h); err != nil {
		return err
	}
	switch {
	case h.Version == 2:
		h.Incompatible, h.HeaderLength = 0, qcow2V2
	case h.Version != 3:
		return refuse("it is a qcow of version %d", h.Version)
	case n < qcow2V3 || h.HeaderLength < qcow2V3:
		return refuse("its qcow2 header is cut")
	}
	return h.check(r, uint64(size))
}

func (h *qcow2) check(r io.ReaderAt, size uint64) error {
	switch {
	case h.BackingOffset != 0 || h.BackingSize != 0:
		return refuse("it is backed by another file")
	case h.Crypt != 0:
		return refuse("it is encrypted")
	case h.Incompatible&qcow2DataFile != 0:
		return refuse("its data is in another file")
	case h.Incompatible&(qcow2Dirty|qcow2Corrupt) != 0:
		return refuse("it was not closed well, or is corrupt; repair it with qemu-img check -r all")
	case h.Incompatible&^(qcow2Compression|qcow2ExtendedL2) != 0:
		return refuse("it has unknown features %#x", h.Incompatible)
	case h.Size == 0:
		return refuse("its disk has no size")
	case h.ClusterBits < 9 || h.ClusterBits > 21:
		return refuse("its clusters have 2^%d bytes", h.ClusterBits)
	case h.Snapshots > 65536:
		return refuse("it has %d snapshots", h.Snapshots)
	}
	cluster := uint64(1) << h.ClusterBits
	perL1 := cluster * (cluster / 8)
	if h.Incompatible&qcow2ExtendedL2 != 0 {
		perL1 /= 2
	}
	l1 := uint64(h.L1Size) * 8
	within := func(at, n uint64) bool { return at%cluster == 0 && at <= size && n <= size-at }
	switch {
	case l1 > qcow2L1Bytes || h.L1Size == 0 || (h.Size-1)/perL1 >= uint64(h.L1Size):
		return refuse("its table of %d entries does not suit a disk of %d bytes", h.L1Size, h.Size)
	case !within(h.L1Offset, l1), !within(h.RefOffset, 1), h.L1Offset == 0, h.RefOffset == 0:
		return refuse("its tables are not in it")
	case uint64(h.HeaderLength) > cluster:
		return refuse("its header has %d bytes", h.HeaderLength)
	}
	return h.extensions(r, cluster)
}

// extensions refuses those that lead out of the file or need a secret.
func (h *qcow2) extensions(r io.ReaderAt, cluster uint64) error {
	at := uint64(h.HeaderLength)
	for range qcow2Extensions {
		var b [8]byte
		if at+8 > cluster {
			return nil
		}
		if _, err := r.ReadAt(b[:], int64(at)); err != nil {
			return refuse("its header is cut")
		}
		kind, n := binary.BigEndian.Uint32(b[:]), uint64(binary.BigEndian.Uint32(b[4:]))
		switch {
		case kind == 0:
			return nil
		case kind == qcow2ExtDataFile:
			return refuse("it names another file for its data")
		case kind == qcow2ExtEncryption:
			return refuse("it is encrypted")
		case n > cluster:
			return refuse("an extension of its header has %d bytes", n)
		}
		at += 8 + (n+7)/8*8
	}
	return refuse("its header has more than %d extensions", qcow2Extensions)
}
