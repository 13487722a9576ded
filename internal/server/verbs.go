package server

import (
	"net/http"
	"strings"

	"github.com/occid/occid/occi"
)

// verbs are the methods that a kind of resource answers to. HEAD follows from
// get, and OPTIONS is always answered.
type verbs struct {
	get, post, put, del func(*call) error
	// plain resources have one rendering, whatever is accepted.
	plain bool
}

var (
	rootVerbs       = &verbs{get: (*call).getCollection, post: (*call).postCollection, del: (*call).deleteCollection}
	unionVerbs      = &verbs{get: (*call).getCollection, post: (*call).actOnCollection, del: (*call).deleteCollection}
	collectionVerbs = &verbs{get: (*call).getCollection, post: (*call).postCollection, del: (*call).deleteCollection}
	prefixVerbs     = &verbs{get: (*call).getCollection}
	reverseVerbs    = &verbs{get: (*call).getReverse}
	mixinVerbs      = &verbs{get: (*call).getCollection, post: (*call).postMixin, put: (*call).putMixin, del: (*call).deleteMixin}
	entityVerbs     = &verbs{get: (*call).getEntity, post: (*call).postEntity, put: (*call).putEntity, del: (*call).deleteEntity}
	contentVerbs    = &verbs{get: (*call).getContent, put: (*call).putContent, del: (*call).deleteContent, plain: true}
	actuatorVerbs   = &verbs{post: (*call).actuate}
	tasksVerbs      = &verbs{get: (*call).getTasks, post: (*call).postTask}
	allTasksVerbs   = &verbs{get: (*call).getUnfinished}
	taskVerbs       = &verbs{get: (*call).getTask, del: (*call).cancelTask}
	taskLinkVerbs   = &verbs{get: (*call).getTaskLink}
	categoryVerbs   = &verbs{get: (*call).getCategories, post: (*call).defineMixins, del: (*call).removeMixins}
	stateVerbs      = &verbs{get: (*call).getStates}
	foundVerbs      = &verbs{get: (*call).getCollection}
	eventVerbs      = &verbs{get: (*call).getEvents, plain: true}
	searchVerbs     = &verbs{get: (*call).getSearch, plain: true}
	healthVerbs     = &verbs{get: (*call).getHealth, plain: true}
	readyVerbs      = &verbs{get: (*call).getReady, plain: true}
)

// of gives the function for a method, nil if the resource has none.
func (v *verbs) of(method string) func(*call) error {
	switch method {
	case http.MethodGet, http.MethodHead:
		return v.get
	case http.MethodPost:
		return v.post
	case http.MethodPut:
		return v.put
	case http.MethodDelete:
		return v.del
	case http.MethodOptions:
		return (*call).answerOptions
	}
	return nil
}

// allow lists the methods, for the Allow header.
func (v *verbs) allow() string {
	names := []string{http.MethodOptions}
	if v.get != nil {
		names = []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	}
	for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if v.of(m) != nil {
			names = append(names, m)
		}
	}
	return strings.Join(names, ", ")
}

// answerOptions answers OPTIONS.
func (c *call) answerOptions() error {
	h := c.rec.Header()
	h["Allow"] = []string{c.to.verbs.allow()}
	h["Content-Type"] = []string{c.faultFormat().Type}
	c.rec.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) notAllowed() error {
	c.rec.Header()["Allow"] = []string{c.to.verbs.allow()}
	return occi.E(occi.Method, "%s is not possible at %s; %s are", c.r.Method, c.r.URL.Path, c.to.verbs.allow())
}
