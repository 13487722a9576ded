// Package metrics counts what the server does and shows it to Prometheus.
//
// The parts of the server do not know it: each declares what it tells an observer, and
// a Metrics is the observer of them all. What is kept elsewhere anyway, such as the
// tasks that wait, is asked for when somebody looks.
package metrics
