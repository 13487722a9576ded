//go:build !killpoints

package main

func main() { command(seams{}) }
