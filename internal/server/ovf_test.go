package server_test

import (
	"fmt"
	"strings"
	"testing"
)

const ovfType = "Content-Type: application/ovf"

// envelope is one of another maker, with items from line 4 on.
func envelope(items string) string {
	return `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"><References/>
<VirtualSystem ovf:id="web"><Info/><Name>web</Name><VirtualHardwareSection><Info/>
` + items + `</VirtualHardwareSection></VirtualSystem></Envelope>`
}

func TestAComputeAsOVF(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.create("/network/", `{"title":"lan"}`)
		storage := c.create("/storage/", `{"title":"data","size":"1.5 GiB"}`)
		compute := c.create("/compute/", fmt.Sprintf(`{"title":"web","cores":2,"memory":"512 MiB","links":[%q,%q]}`, network, storage))
		id := func(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
		r := c.do("GET", compute, "", "Accept: application/ovf").want(t, 200, `<VirtualSystem ovf:id="`+id(compute)+`">`, "<Name>web</Name>",
			"<rasd:ResourceType>3</rasd:ResourceType>\n        <rasd:VirtualQuantity>2</rasd:VirtualQuantity>",
			"<rasd:VirtualQuantity>512</rasd:VirtualQuantity>", `<Network ovf:name="`+id(network)+`">`, "<Description>lan</Description>",
			`<Disk ovf:diskId="`+id(storage)+`" ovf:capacity="1536" ovf:capacityAllocationUnits="byte * 2^20"/>`,
			"<rasd:HostResource>ovf:/disk/"+id(storage)+"<", "<rasd:Connection>"+id(network)+"<")
		if got := r.Header.Get("Content-Type"); got != "application/ovf" {
			t.Errorf("it is %s", got)
		}
		for _, x := range []struct{ path, accept, want string }{
			{compute + ".ovf", "text/plain", "application/ovf"}, {compute, "application/ovf+xml", "application/ovf+xml"}, {compute, "application/ovf;q=0.5, image/png", "application/ovf"},
		} {
			other := c.do("GET", x.path, "", "Accept: "+x.accept).want(t, 200)
			if other.text != r.text || other.Header.Get("Content-Type") != x.want {
				t.Errorf("GET %s as %s: %s\n%s", x.path, x.accept, other.Header.Get("Content-Type"), other.text)
			}
		}
		tag := r.Header.Get("ETag")
		c.do("GET", compute+".ovf", "", "If-None-Match: "+tag).want(t, 304)
		put := c.do("PUT", compute, r.text, ovfType, "Accept: application/ovf", "If-Match: "+tag).want(t, 200)
		if put.text != r.text || put.Header.Get("ETag") != tag {
			t.Errorf("PUT of what was shown gives %s\n%s", put.Header.Get("ETag"), put.text)
		}
		// The size of a disk is the storage's, which changes by itself.
		c.do("POST", storage+"?action=resize&size=2", "", "Prefer: wait=20").want(t, 200)
		c.do("GET", compute, "", "Accept: application/ovf", "If-None-Match: "+tag).want(t, 200, `ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^30"`)

		edited := strings.Replace(strings.Replace(r.text, "<rasd:VirtualQuantity>2<", "<rasd:VirtualQuantity>3<", 1), "<Name>web<", "<Name>web-2<", 1)
		c.do("PUT", compute, edited, ovfType, "Accept: application/json", "Prefer: wait=20").want(t, 200, `"cores": 3`, `"title": "web-2"`, network, storage)
	})
}

func TestOVFShowsMachinesOnly(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	network := c.create("/network/", `{"title":"lan"}`)
	for _, path := range []string{network, network + ".ovf", "/compute/", "/compute/.ovf", "/.ovf", "/-/", "/-/states"} {
		c.do("GET", path, "", "Accept: application/ovf").want(t, 406, "application/ovf shows one machine")
	}
	// What was done is answered all the same.
	c.do("POST", "/network/", `{"type":"network"}`, "Content-Type: application/json", "Accept: application/ovf").want(t, 201, "X-OCCI-Location")
}

func TestOVFOfOthersMakesAMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	network := c.create("/network/", `{"title":"lan"}`)
	items := `<Item><rasd:ElementName/><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity></Item>
<Item><rasd:Connection>` + network + `</rasd:Connection><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>10</rasd:ResourceType></Item>
`
	for _, media := range []string{"application/ovf", "application/ovf+xml", "application/xml", ""} {
		header := []string{"Accept: application/ovf", "Prefer: wait=20"}
		if media != "" {
			header = append(header, "Content-Type: "+media)
		}
		for _, path := range []string{"/compute/", "/"} {
			r := c.do("POST", path, envelope(items), header...).want(t, 201, "<rasd:VirtualQuantity>4<", "<Name>web</Name>", "<Description>lan</Description>")
			made := strings.TrimPrefix(r.Header.Get("Location"), c.url)
			if links := c.paths(made + "/network/"); len(links) != 1 || links[0] != network {
				t.Errorf("%s is linked to %s", made, links)
			}
		}
	}
	before := c.revision()
	c.do("POST", "/compute/", envelope(strings.ReplaceAll(items, network, "VM Network")), ovfType).want(t, 400, "line 5: Connection", "VM Network", "UUID")
	c.do("POST", "/network/", envelope(items), ovfType).want(t, 400, "cannot be created in the collection")
	if c.revision() != before {
		t.Error("something changed")
	}
}
