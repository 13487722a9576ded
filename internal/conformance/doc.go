// Package conformance holds the tests that speak OCCI to a running occid as the
// standards write it.
//
// Each file of testdata/conformance is a transcript of requests, sent over a
// socket octet by octet, and of what the answers must hold. Its name begins with
// the numbers it shows of docs/occi-coverage.md, which tests here hold against
// the files and tests it names.
//
// In a transcript a line says what to do by how it begins:
//
//	# text         a comment
//	> line         a line of the request; its head ends with an empty one
//	< 201          the answer's status
//	< Name: value  a field of the answer's head, its whole value
//	<! Name:       a field that the head does not have
//	< line         after an empty one: a line of the body holds this, the next
//	               ones are looked for after it
//	<= line        the body is these lines and no others
//	<! text        after an empty one: the body does not hold this
//
// In a request {name} is the text kept under that name, \r and \n are the
// octets, and Host and Content-Length are added to a head that lacks them. In
// what is expected {name} is the same text if there is one, and otherwise keeps
// what stands there, up to a blank, a quote, or one of <>;,?; {*} is anything.
// {http} is the server's URL and {host} its host and port.
package conformance
