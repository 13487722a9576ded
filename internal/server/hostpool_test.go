package server_test

import (
	"slices"
	"testing"
)

func TestPools(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	host := c.described()
	gold, silver := c.create("/pool/", `{"type":"pool","title":"gold"}`), c.create("/pool/", `{"title":"silver"}`)
	link := c.create("/poolmember/", `{"source":"`+host+`","target":"`+gold+`"}`)
	const in = `{"title":"a","mixins":["http://schemas.occid.org/occi/placement#in_pool"],"required_pool":`
	vm := c.create("/compute/", in+`"gold"}`)
	c.do("POST", "/compute/", in+`"silver"}`, "Content-Type: application/json").want(t, 409, "one: not in the pool silver")
	c.do("POST", "/compute/", in+`"bronze"}`, "Content-Type: application/json").want(t, 400, "occid.placement.pool", "bronze")
	shown := c.do("GET", vm, "", "Accept: application/json").want(t, 200, `"required_pool": "gold"`, gold[len("/pool/"):])
	c.do("PUT", vm, shown.text, "Content-Type: application/json").want(t, 200, gold[len("/pool/"):])
	c.do("POST", vm, `{"required_pool":"silver"}`, "Content-Type: application/json").want(t, 403, "occid.placement.pool")

	lists := func(want map[string][]string) {
		t.Helper()
		for path, want := range want {
			if got := c.paths(path); !slices.Equal(got, want) {
				t.Errorf("%s lists %q, want %q", path, got, want)
			}
		}
	}
	lists(map[string][]string{"/": {vm}, "/pool/": {gold, silver}, "/poolmember/": {link}, gold + "/host/": {host}, silver + "/host/": nil,
		host + "/pool/": {gold}, host + "/compute/": {vm}, gold + "/compute/": {vm}, silver + "/compute/": nil, vm + "/pool/": {gold},
		gold + "/storage/": nil, "/compute/?required_pool_id=" + gold[len("/pool/"):]: {vm}, "/pool/?title=gold": {gold}})
	tag := c.do("GET", gold+"/compute/", "", "Accept: application/json").want(t, 200).Header.Get("ETag")
	c.do("GET", gold+"/compute/", "", "Accept: application/json", "If-None-Match: "+tag).want(t, 304)
	c.do("DELETE", link, "").want(t, 200)
	c.do("GET", gold+"/compute/", "", "Accept: application/json", "If-None-Match: "+tag).want(t, 200)
	lists(map[string][]string{gold + "/compute/": nil, vm + "/pool/": nil, gold + "/host/": nil, host + "/pool/": nil})
	c.do("POST", "/compute/", in+`"gold"}`, "Content-Type: application/json").want(t, 409, "one: not in the pool gold")

	// A host takes links inline too, though the rest of it is the configuration's.
	c.do("POST", host, `{"links":[{"type":"poolmember","target":"`+silver+`"}]}`, "Content-Type: application/json").want(t, 200, silver)
	c.create("/compute/", in+`"silver"}`)
	c.do("POST", silver, `{"title":"iron"}`, "Content-Type: application/json").want(t, 200, "iron")
	c.do("DELETE", silver, "").want(t, 200)
	lists(map[string][]string{host + "/pool/": nil, "/pool/": {gold}, "/poolmember/": nil})
}
