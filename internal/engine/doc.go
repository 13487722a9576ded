// Package engine is the use cases: create, list, read, update, act, link and
// delete, the tasks these leave for the hosts, and the worker that carries them
// out.
//
// It imports occi and the driver's types, and declares the Store it needs. Faces
// call an Engine and nothing below it. No method of an Engine but the worker's
// own calls a host; what a client asks of a host is written as a task in the same
// transaction as the intent, and done afterwards.
package engine
