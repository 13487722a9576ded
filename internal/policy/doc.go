// Package policy decides by Cedar policies who may do what. The provider's own are part
// of the program, those of an operator are files beside them; both are checked against a
// schema that is generated from the registry.
//
// A Set is what is in force. For somebody who asks, it gives Rights, in which the policies
// are evaluated as far as they can be without the thing they are about: what is left of
// them are conditions on that, by kind and action. A condition decides of one thing, and a
// store selects by it, so there is one answer for one thing and for lists of them.
package policy
