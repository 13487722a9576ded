// Package image takes in files of disks that come from elsewhere: it keeps what has
// arrived of an upload, fetches what a URL names, finds out what a file is, and has
// qemu-img make a clean qcow2 file of it.
//
// Files are not trusted. One whose disk is, or may be, partly in another file is
// refused before qemu-img sees it, and qemu-img works under limits and opens that
// one file alone.
package image
