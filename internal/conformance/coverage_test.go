package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCoverage holds docs/occi-coverage.md against the transcripts and tests it
// names, and the transcripts against it.
func TestCoverage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/occi-coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (D?[0-9]+) \|.*\| ([^|]*) \|$`).FindAllStringSubmatch(string(text), -1) {
		if rows[m[1]] != "" {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = m[2]
	}
	for _, number := range numbers() {
		if rows[number] == "" {
			t.Errorf("%s has no row", number)
		}
	}
	for number, shownBy := range rows {
		named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(shownBy, -1)
		if len(named) == 0 {
			t.Errorf("%s names no test", number)
		}
		for _, n := range named {
			if err := isThere(n[1]); err != nil {
				t.Errorf("%s: %v", number, err)
			}
		}
	}
	files, err := filepath.Glob("../../testdata/conformance/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if n := strings.TrimSuffix(filepath.Base(file), ".txt"); !strings.Contains(string(text), "`"+n+"`") {
			t.Errorf("no row names %s", n)
		}
	}
}

// numbers lists those of the standards and of the draft.
func numbers() []string {
	var all []string
	for i := 1; i <= 79; i++ {
		all = append(all, fmt.Sprint(i))
	}
	for i := 1; i <= 16; i++ {
		all = append(all, fmt.Sprintf("D%d", i))
	}
	return all
}

// isThere finds a transcript, or a test by its package and name.
func isThere(named string) error {
	dir, test, isTest := strings.Cut(named, " ")
	if !isTest {
		_, err := os.Stat(filepath.Join("../../testdata/conformance", named+".txt"))
		return err
	}
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("%s has no test %s", dir, test)
}
