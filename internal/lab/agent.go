package lab

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed agent.sh
var agentScript []byte

// GuestAgentHangs is what a guest with an agent says beside what every Guest does.
const GuestAgentHangs = "guest: agent hangs"

// BuildAgentGuest is BuildGuest for a guest that runs QEMU's guest agent, which hangs
// once the guest has a second interface. It gives its first interface the address
// 192.0.2.77 as well and writes to its first disk.
func BuildAgentGuest(dir string) (Guest, error) {
	g, err := buildGuest(dir, agentFiles)
	if err != nil {
		return Guest{}, fmt.Errorf("build a guest with an agent in %s: %w", dir, err)
	}
	return g, nil
}

// agentFiles adds the agent with the libraries that it is linked to.
func agentFiles(files map[string][]byte) error {
	files["agent"] = agentScript
	agent, err := exec.LookPath("qemu-ga")
	if err != nil {
		return fmt.Errorf("%w (Debian package qemu-guest-agent)", err)
	}
	if files["bin/qemu-ga"], err = os.ReadFile(agent); err != nil {
		return err
	}
	libraries, err := exec.Command("ldd", agent).Output()
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(string(libraries)) {
		if !filepath.IsAbs(word) {
			continue
		}
		if files[strings.TrimPrefix(word, "/")], err = os.ReadFile(word); err != nil {
			return err
		}
	}
	return nil
}
