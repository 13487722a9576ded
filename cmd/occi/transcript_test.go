package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// three makes a network, a volume and a machine that is linked to both.
var three = []step{
	{line: "create network title=lan --wait 20 --output uri", as: "lan"},
	{line: "create storage title=data size=1GiB --wait 20 --output uri", as: "data"},
	{line: "create compute title=web-1 cores=2 memory=1GiB --link networkinterface:{lan} --link storagelink:storage/{data} --wait 20 --output uri", as: "web"},
}

// transcripts are sessions by the name of their golden file.
var transcripts = map[string][]step{
	"life": append(three, []step{
		{line: "show {web}"},
		{line: "do start compute/{web} --wait 20"},
		{line: "list compute state=active memory.ge=1 cores>1"},
		{line: "do stop http://SERVER/compute/{web} method=poweroff --wait 20"},
		{line: "update {web} title=a,b hostname=web --wait 20"},
		{line: "update {web} hostname= --wait 20 --output json"},
		{line: "list storage/{data}/compute --output uri"},
		{line: "tasks compute/{web}"},
		{line: "delete {web} network/{lan} http://SERVER/storage/{data} --wait 20"},
		{line: "list /"},
	}...),
	"formats": append(three, []step{
		{line: "show {lan} --output text"},
		{line: "show {lan} -o json"},
		{line: "show {lan} -o xml"},
		{line: "show {lan} -o yaml"},
		{line: "show {lan} -o atom"},
		{line: "show {lan} -o uri"},
		{line: "show {lan} -o occi"},
		{line: "show {lan} {data}"},
		{line: "show {lan} {data} -o yaml"},
		{line: "show {lan} {data} -o occi"},
		{line: "list compute -o occi"},
		{line: "list / --sort=-title -o uri"},
	}...),
	"tables": append(three, []step{
		{line: "list /", terminal: true},
		{line: "list compute title=nothing", terminal: true},
		{line: "list compute", terminal: true},
		{line: "list compute -o uri", terminal: true},
		{line: "tasks {web}", terminal: true},
		{line: "kinds", terminal: true},
		{line: "kinds up http://schemas.occid.org/occi/core#direct_boot", terminal: true},
		{line: "show {lan}", terminal: true},
	}...),
	"pages": {
		{line: "create network title=a --wait 20 -o uri", as: "a"},
		{line: "create network title=b --wait 20 -o uri", as: "b"},
		{line: "create network title=c --wait 20 -o uri", as: "c"},
		{line: "list network --number 2 --sort title"},
		{line: "list network --number 2 --sort title --all"},
		{line: "list network --number 2 --sort=-title --all", terminal: true},
		{line: "list network --number 2 --sort title", terminal: true},
		{line: "list network --number 2 --sort title -o uri"},
		{line: "list network --number 2 --sort title -o uri --all"},
		{line: "list network --number 2 --sort title -o yaml --all"},
	},
	"files": {
		{line: "create -f {dir}/lan.json --wait 20 -o uri", as: "lan"},
		{line: "create -f {dir}/data.yml --wait 20 -o uri", as: "data"},
		{line: "create network -f {dir}/net.xml --wait 20 -o uri", as: "net"},
		{line: "create -f {dir}/web.occi --wait 20 -o uri", as: "web"},
		{line: "create -f {dir}/odd --input text --wait 20 -o uri", as: "odd"},
		{line: "create -f - --wait 20 -o uri", in: "type network\ntitle from a pipe\n", as: "pipe"},
		{line: "create -f - --input yaml --wait 20 -o uri", in: "type: network\n", as: "yaml"},
		{line: "update {lan} -f {dir}/title.txt --wait 20"},
		{line: "create compute --mixin small --wait 20", as: "small"},
		{line: "list compute category=small -o uri"},
		{line: "create -f {dir}/odd"},
		{line: "create -f {dir}/none.json"},
		{line: "create -f -", in: ""},
		{line: "create -f {dir}/lan.json title=x"},
		{line: "create -f {dir}/lan.json --mixin small"},
	},
	"faults": {
		{line: "create network title=lan --wait 20 -o uri", as: "lan"},
		{line: "create compute cores=many colour=red"},
		{line: "create computer"},
		{line: "create compute --link networkinterface:compute/00000000-0000-4000-8000-000000000000"},
		{line: "do start {lan}"},
		{line: "show compute/{lan}"},
		{line: "show 00000000-0000-4000-8000-000000000000 {lan} -o uri"},
		{line: "delete compute/00000000-0000-4000-8000-000000000000 {lan} --wait 20"},
		{line: "tasks {lan}"},
		{line: "list compute colour=red -o text"},
		{line: "list compute colour=red -o json"},
		{line: "list compute colour=red -o xml"},
		{line: "list compute colour=red -o yaml"},
		{line: "list compute colour=red -o atom"},
		{line: "list compute colour=red -o uri"},
		{line: "list compute colour=red -o occi"},
		{line: "list compute colour=red", terminal: true},
	},
	"usage": {
		{line: "--help"},
		{line: "create --help"},
		{line: "--version"},
		{line: ""},
		{line: "list"},
		{line: "list http://SERVER/compute/"},
		{line: "list compute cores"},
		{line: "list compute --number=-1"},
		{line: "list compute -o html"},
		{line: "list compute --server localhost"},
		{line: "show compute"},
		{line: "delete /"},
		{line: "delete compute/"},
		{line: "delete http://SERVER/"},
		{line: "create"},
		{line: "create / title=x"},
		{line: "create compute cores"},
		{line: "create compute --link network/00000000-0000-4000-8000-000000000000"},
		{line: "create compute --link networkinterface:lan"},
		{line: "update 00000000-0000-4000-8000-000000000000"},
		{line: "update 00000000-0000-4000-8000-000000000000 =x"},
		{line: "update 00000000-0000-4000-8000-000000000000 x=y --wait=-1"},
		{line: "do start"},
	},
}

// files are what transcripts read, in {dir}.
var files = map[string]string{
	"lan.json":  `{"type":"network","title":"lan"}`,
	"data.yml":  "type: storage\nsize: 1 GiB\n",
	"net.xml":   `<occi xmlns="http://purl.org/occi"><title>net</title></occi>`,
	"web.occi":  "Category: compute; scheme=\"http://schemas.ogf.org/occi/infrastructure#\"; class=\"kind\"\nX-OCCI-Attribute: occi.compute.cores=2\n",
	"title.txt": "title renamed\n",
	"odd":       "type network\n",
}

func TestTranscripts(t *testing.T) {
	t.Parallel()
	for name, steps := range transcripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTranscript(t, newServer(t))
			dir := t.TempDir()
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			x.name(dir, "dir")
			for _, s := range steps {
				x.do(s)
			}
			x.compare(name)
		})
	}
}

func TestServerOfTheEnvironment(t *testing.T) {
	url := newServer(t)
	t.Setenv("OCCI_SERVER", url+"/")
	var out, errs strings.Builder
	args := strings.Fields("create network title=lan --wait 20 -o uri")
	if status := run(t.Context(), args, streams{out: &out, err: &errs}); status != 0 || !strings.HasPrefix(out.String(), url+"/network/") {
		t.Errorf("status %d, output %q, errors %q", status, &out, &errs)
	}
}
