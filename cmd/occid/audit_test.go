package main

import (
	"database/sql"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

// audits runs occid audit.
func audits(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"audit"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAuditCommand(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	secret := filepath.Join(home, "secret")
	if err := os.WriteFile(secret, []byte("open-sesame-8787\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := guarded(t, home, "--admin-secret-file", secret)
	db := filepath.Join(home, "data", "occid.db")
	for range 5 {
		p.curl(201, "POST", "/compute/", `{"title":"a"}`, "Content-Type: application/json", "Authorization: "+basicField("admin", "open-sesame-8787"), "Prefer: wait=20")
	}
	whole := regexp.MustCompile(`whole: records 1 to (\d+), hash ([0-9a-f]{64})`)
	out, err := audits(t, "verify", "--db", "sqlite:"+db)
	found := whole.FindStringSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("beside the server: %s, %v", out, err)
	}
	p.stop()
	for _, known := range []string{found[2], strings.Repeat("0", 64)} {
		out, err := audits(t, "verify", "--db", "sqlite:"+db, "--known", known)
		if ok := known == found[2]; ok != (err == nil) || ok != whole.MatchString(out) {
			t.Errorf("known as %s: %s, %v", known, out, err)
		}
	}
	if out, err := audits(t, "retain", "--db", "sqlite:"+db, "--keep", "24h"); err != nil || !strings.HasPrefix(out, "0 records") {
		t.Errorf("%s, %v", out, err)
	}
	file, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// A row has the records of one transaction, however many these are.
	var first, last int
	if err := file.QueryRow("SELECT first, seq FROM audit ORDER BY seq LIMIT 1 OFFSET 2").Scan(&first, &last); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Exec("UPDATE audit SET at = at + 1 WHERE seq = ?", last); err == nil {
		t.Error("the trail can be changed")
	}
	if _, err := file.Exec("DROP TRIGGER audit_unchanged; UPDATE audit SET at = at + 1 WHERE seq = ?", last); err != nil {
		t.Fatal(err)
	}
	out, err = audits(t, "verify", "--db", "sqlite:"+db)
	at := regexp.MustCompile(`broken at record (\d+):`).FindStringSubmatch(out)
	broken := 0
	if at != nil {
		broken, _ = strconv.Atoi(at[1])
	}
	if err == nil || broken < first || broken > last {
		t.Errorf("tampered with records %d to %d: %s, %v", first, last, out, err)
	}
	if out, err := audits(t, "retain", "--db", "sqlite:"+db, "--keep", "1m"); err == nil || !strings.Contains(out, "broken") {
		t.Errorf("what is broken is forgotten: %s, %v", out, err)
	}
	for _, args := range [][]string{{"verify"}, {"retain", "--db", "sqlite:" + db}, {"verify", "--db", "sqlite:" + db + "none"}, {"retain", "--db", "sqlite:" + db, "--keep", "1s"}} {
		if out, err := audits(t, args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}

// basicField is the field of who logs in with a secret.
func basicField(login, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+secret))
}
