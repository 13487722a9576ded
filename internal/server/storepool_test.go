package server_test

import (
	"slices"
	"testing"
)

func TestStoragePools(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	host := c.described()
	const text = "Content-Type: application/json"
	links := `"links":[{"type":"poolhost","target":"` + host + `"}]`
	c.do("POST", "/storagepool/", `{"pool_name":"extra","pool_type":"dir","pool_source":"srv",`+links+`}`, text).want(t, 400, "occid.storagepool.source", "absolute path")
	c.do("POST", "/storagepool/", `{"pool_name":"extra","pool_type":"dir","pool_source":"/srv/extra"}`, text).want(t, 400, "link to its host")
	x := c.create("/storagepool/", `{"pool_name":"extra","pool_type":"dir","pool_source":"/srv/extra","offered_capacity":"4 GiB",`+links+`}`)
	c.shows(x, "storagepool.state=\"up\"", "storagepool.capacity=4")
	disk := c.create("/storage/", `{"title":"d","size":"1 GiB","pool":"extra"}`)
	vm := c.create("/compute/", `{"title":"a","links":[{"type":"storagelink","target":"`+disk+`"}]}`)
	lists := func(want map[string][]string) {
		t.Helper()
		for path, want := range want {
			if got := c.paths(path); !slices.Equal(got, want) {
				t.Errorf("%s lists %q, want %q", path, got, want)
			}
		}
	}
	lists(map[string][]string{"/storagepool/": {x}, host + "/storagepool/": {x}, x + "/host/": {host}, x + "/storage/": {disk}, x + "/compute/": {vm},
		disk + "/storagepool/": {x}, vm + "/storagepool/": {x}, "/storage/": {disk}, "/storagepool/?pool_name=extra": {x}, x + "/network/": nil})
	c.do("POST", "/storage/", `{"size":"4 GiB","pool":"extra"}`, text).want(t, 409, "pool extra", "3 GiB are free")
	c.do("POST", x, `{"overcommit":2}`, text).want(t, 200, "overcommit")
	other := c.create("/storage/", `{"title":"e","size":"4 GiB","pool":"extra"}`)
	c.do("POST", x+"?action=disable", "").want(t, 200, "disabled")
	c.do("POST", "/storage/", `{"size":"1 GiB","pool":"extra"}`, text).want(t, 409, "the pool extra is out of use")
	c.do("POST", x+"?action=enable", "").want(t, 200, "up")
	shown := c.do("GET", x, "", "Accept: application/json").want(t, 200)
	c.do("PUT", x, shown.text, text).want(t, 200, "extra")
	c.do("DELETE", x, "").want(t, 409, "is in use")
	c.do("DELETE", other, "", "Prefer: wait=20").want(t, 200)
	c.do("DELETE", vm, "", "Prefer: wait=20").want(t, 200)
	c.do("DELETE", disk, "", "Prefer: wait=20").want(t, 200)
	c.do("DELETE", x, "").want(t, 200)
	lists(map[string][]string{"/storagepool/": nil, "/poolhost/": nil, host + "/storagepool/": nil})
	c.do("POST", "/storage/", `{"size":"1 GiB","pool":"extra"}`, text).want(t, 400, "occid.storage.pool")
}
