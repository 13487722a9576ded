package server_test

import (
	"encoding/csv"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// used reads what was used, by kind.
func (p *person) used(query string) map[string]*big.Int {
	p.t.Helper()
	var got struct {
		Usage []struct {
			Kind, Unit, Project string
			Amount, Seconds     json.Number
		}
	}
	text := p.do("GET", "/usage?"+query, "", "Accept: application/json").want(p.t, 200).text
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	out := map[string]*big.Int{}
	for _, u := range got.Usage {
		n, ok := new(big.Int).SetString(u.Amount.String(), 10)
		if !ok {
			p.t.Fatalf("%s is no whole number", u.Amount)
		}
		out[u.Kind] = n
	}
	return out
}

func TestUsage(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		admin, member := w.people["administrator"], w.people["member"]
		vm := member.made("/compute/", `{"title":"used","cores":3,"memory":"2 GiB"}`)
		disk := member.made("/storage/", `{"title":"d","size":"5 GiB"}`)
		id := vm[strings.LastIndexByte(vm, '/')+1:]
		member.do("POST", vm+"?action=start", "", "Prefer: wait=20").want(t, 200)
		began := time.Now()
		// Until another second has begun for sure.
		var lines [][]string
		for end := time.Now().Add(time.Minute); time.Now().Before(end) && len(lines) < 2; time.Sleep(100 * time.Millisecond) {
			text := member.do("GET", "/usage.csv?by=entity&kind=cores", "").want(t, 200).text
			var err error
			if lines, err = csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		if len(lines) != 2 || !strings.HasSuffix(lines[1][2], id) || lines[1][4] != "cores" || lines[1][5] != "core-seconds" {
			t.Fatalf("%v", lines)
		}
		now := time.Now()
		cores := member.used("kind=cores")["cores"].Int64()
		if most := 3 * int64(time.Since(began)/time.Second+2); cores%3 != 0 || cores == 0 || cores > most {
			t.Errorf("%d core-seconds, at most %d", cores, most)
		}
		all := member.used("")
		for _, kind := range []string{"computes", "cores", "memory", "storage"} {
			if all[kind] == nil || all[kind].Sign() <= 0 {
				t.Errorf("%s: %v", kind, all[kind])
			}
		}
		// Both are of the machine of its cores and of its gigabytes alone: nothing else runs.
		if memory := new(big.Int).Mul(all["cores"], big.NewInt(2<<30)); memory.Div(memory, big.NewInt(3)).Cmp(all["memory"]) != 0 {
			t.Errorf("%v core-seconds and %v byte-seconds are not of one machine", all["cores"], all["memory"])
		}

		member.do("POST", vm+"?action=stop", `{"method":"poweroff"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
		stopped := time.Now().Add(time.Second)
		span := "from=" + url.QueryEscape(now.AddDate(0, 0, -1).UTC().Format(time.RFC3339)) + "&to="
		first := member.used(span + url.QueryEscape(stopped.UTC().Format(time.RFC3339)))
		member.do("DELETE", disk, "", "Prefer: wait=20").want(t, 200)
		if again := member.used(span + url.QueryEscape(time.Now().Add(time.Hour).UTC().Format(time.RFC3339))); again["cores"].Cmp(first["cores"]) != 0 || again["cores"].Sign() == 0 {
			t.Errorf("a stopped machine used %v core-seconds, then %v", first["cores"], again["cores"])
		}

		// Whose it is.
		stranger := &person{cloud: w.cloud, header: []string{basic("stranger", "secret of stranger")}}
		project := lines[1][0]
		if got := stranger.do("GET", "/usage.csv?by=entity", "").want(t, 200).text; strings.Contains(got, project) || strings.Contains(got, id) {
			t.Errorf("others are told: %s", got)
		}
		if got := stranger.used("project=" + project); len(got) != 0 {
			t.Errorf("others are told: %v", got)
		}
		if got := admin.do("GET", "/usage.csv", "").want(t, 200).text; !strings.Contains(got, project) || strings.Count(got, ",cores,") != 1 {
			t.Errorf("administrators are told: %s", got)
		}
		if got := admin.used("user=" + member.id + "&kind=cores,memory"); len(got) != 2 {
			t.Errorf("of a user: %v", got)
		}
		feed := admin.do("GET", "/usage.atom?kind=cores", "").want(t, 200, "core-seconds of cores").text
		if strings.Count(feed, "<entry>") != 1 {
			t.Errorf("the feed: %s", feed)
		}
		for _, query := range []string{"from=x", "to=1969-01-01", "from=2026-02-01&to=2026-01-01", "project=x", "user=x", "kind=air", "by=x", "colour=red", "from=2026-01-01&from=2026-01-02"} {
			member.do("GET", "/usage?"+query, "").want(t, 400)
		}
		member.do("GET", "/usage.xml", "").want(t, 404)
		member.do("GET", "/usage", "", "Accept: image/png").want(t, 406)
		member.do("POST", "/usage", "{}", "Content-Type: application/json").want(t, 405)
	})
}
