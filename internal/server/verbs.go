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
	// name is what rules call routes with these verbs; see internal/auth.
	name string
	// writes tells that all but get writes to the target's entity.
	writes bool
	// plain resources have one rendering, whatever is accepted.
	plain bool
}

var (
	rootVerbs       = &verbs{name: "all", get: (*call).getCollection, post: (*call).postCollection, del: (*call).deleteCollection}
	unionVerbs      = &verbs{name: "union", get: (*call).getCollection, post: (*call).actOnCollection, del: (*call).deleteCollection}
	collectionVerbs = &verbs{name: "collection", get: (*call).getCollection, post: (*call).postCollection, del: (*call).deleteCollection}
	prefixVerbs     = &verbs{name: "prefix", get: (*call).getCollection}
	reverseVerbs    = &verbs{name: "reverse", get: (*call).getReverse}
	mixinVerbs      = &verbs{name: "mixin", get: (*call).getCollection, post: (*call).postMixin, put: (*call).putMixin, del: (*call).deleteMixin}
	entityVerbs     = &verbs{name: "entity", writes: true, get: (*call).getEntity, post: (*call).postEntity, put: (*call).putEntity, del: (*call).deleteEntity}
	contentVerbs    = &verbs{name: "content", writes: true, get: (*call).getContent, put: (*call).putContent, del: (*call).deleteContent, plain: true}
	actuatorVerbs   = &verbs{name: "actuator", writes: true, post: (*call).actuate}
	tasksVerbs      = &verbs{name: "tasks", writes: true, get: (*call).getTasks, post: (*call).postTask}
	allTasksVerbs   = &verbs{name: "unfinished", get: (*call).getUnfinished}
	taskVerbs       = &verbs{name: "task", get: (*call).getTask, del: (*call).cancelTask}
	taskLinkVerbs   = &verbs{name: "tasklink", get: (*call).getTaskLink}
	categoryVerbs   = &verbs{name: "categories", get: (*call).getCategories, post: (*call).defineMixins, del: (*call).removeMixins}
	stateVerbs      = &verbs{name: "states", get: (*call).getStates}
	foundVerbs      = &verbs{name: "search", get: (*call).getCollection}
	auditVerbs      = &verbs{name: "audit", get: (*call).getAudit}
	recordVerbs     = &verbs{name: "audit", get: (*call).getRecord}
	usageVerbs      = &verbs{name: "usage", get: (*call).getUsage, plain: true}
	eventVerbs      = &verbs{name: "events", get: (*call).getEvents, plain: true}
	searchVerbs     = &verbs{name: "opensearch", get: (*call).getSearch, plain: true}
	healthVerbs     = &verbs{name: "health", get: (*call).getHealth, plain: true}
	permissionVerbs = &verbs{name: "permissions", get: (*call).getPermissions, plain: true}
	exchangeVerbs   = &verbs{name: "exchange", get: (*call).exchange, plain: true}
	logoutVerbs     = &verbs{name: "logout", post: (*call).logout, plain: true}
	loginVerbs      = &verbs{name: "login", get: (*call).login, plain: true}
	callbackVerbs   = &verbs{name: "callback", get: (*call).loggedIn, plain: true}
	readyVerbs      = &verbs{name: "ready", get: (*call).getReady, plain: true}
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
