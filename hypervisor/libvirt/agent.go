package libvirt

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// How agents are asked. What they say comes from inside guests: a guest may answer
// anything, late, or never.
const (
	// agentsAtOnce bounds the calls that wait for a guest: a connection carries only
	// a few at a time, and others need it too.
	agentsAtOnce = 2
	// agentSeconds is how long an agent may take to answer.
	agentSeconds = 1
	// agentsTime bounds the asking of all agents of a host. Those that it is too
	// short for are asked next time: the order is by chance.
	agentsTime = 4 * time.Second
	// maxAddresses bounds the addresses of one interface.
	maxAddresses = 32
)

// agentAnswer is what came of asking the agent of the domain of an index.
type agentAnswer struct {
	index     int
	state     hypervisor.AgentState
	addresses map[string][]string // by MAC address
}

// askAgents asks the agents of running guests whether they live and which
// addresses their interfaces have. Whatever takes too long is left unknown.
func (d *Driver) askAgents(ctx context.Context, s *session, all []hypervisor.Statistics, doms []*libvirt.Domain) {
	ctx, cancel := context.WithTimeout(ctx, agentsTime)
	defer cancel()
	answers := make(chan agentAnswer, len(all))
	asked := make(chan int)
	go func() {
		n := 0
		defer func() { asked <- n }()
		for _, i := range rand.Perm(len(all)) {
			if all[i].State != hypervisor.Running {
				continue
			}
			select {
			case d.agents <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if d.askAgent(s, doms[i], i, answers) {
				n++
			}
		}
	}()
	total := -1
	for got := 0; got != total; {
		select {
		case a := <-answers:
			got++
			learn(&all[a.index], a)
		case total = <-asked:
		case <-ctx.Done():
			if total < 0 {
				<-asked
			}
			return
		}
	}
}

// askAgent has the agent of a domain asked, which gives back its token of
// d.agents when it is done, however late. It reports whether an answer follows.
func (d *Driver) askAgent(s *session, dom *libvirt.Domain, i int, answers chan<- agentAnswer) bool {
	done := func() { <-d.agents }
	if s.hold() != nil {
		done()
		return false
	}
	if dom.Ref() != nil {
		s.release()
		done()
		return false
	}
	go func() {
		defer done()
		defer s.release()
		defer func() { _ = dom.Free() }()
		a := agentOf(dom)
		a.index = i
		answers <- a
	}()
	return true
}

// agentOf asks the agent of a domain.
func agentOf(dom *libvirt.Domain) agentAnswer {
	text, err := dom.QemuAgentCommand(`{"execute":"guest-network-get-interfaces"}`, agentSeconds, 0)
	switch {
	case err == nil:
		return agentAnswer{state: hypervisor.AgentAlive, addresses: agentAddresses(text)}
	case code(err, libvirt.ERR_ARGUMENT_UNSUPPORTED, libvirt.ERR_CONFIG_UNSUPPORTED) || unsupported(err):
		return agentAnswer{state: hypervisor.AgentAbsent}
	case code(err, libvirt.ERR_AGENT_UNRESPONSIVE, libvirt.ERR_AGENT_UNSYNCED, libvirt.ERR_AGENT_COMMAND_TIMEOUT):
		return agentAnswer{state: hypervisor.AgentSilent}
	case code(err, libvirt.ERR_AGENT_COMMAND_FAILED, libvirt.ERR_INTERNAL_ERROR):
		return agentAnswer{state: hypervisor.AgentAlive} // it answers, though it refuses this
	}
	return agentAnswer{}
}

// agentAddresses reads an answer of an agent.
func agentAddresses(text string) map[string][]string {
	var answer struct {
		Return []struct {
			MAC       string `json:"hardware-address"`
			Addresses []struct {
				Address string `json:"ip-address"`
			} `json:"ip-addresses"`
		} `json:"return"`
	}
	if json.Unmarshal([]byte(text), &answer) != nil {
		return nil
	}
	out := map[string][]string{}
	for _, nic := range answer.Return {
		mac := strings.ToLower(nic.MAC)
		if mac == "" {
			continue
		}
		for _, a := range nic.Addresses {
			out[mac] = withAddress(out[mac], a.Address)
		}
	}
	return out
}

// withAddress adds an address that others may reach.
func withAddress(list []string, text string) []string {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.IsLoopback() || a.IsLinkLocalUnicast() || len(list) >= maxAddresses {
		return list
	}
	if s := a.Unmap().String(); !slices.Contains(list, s) {
		return append(list, s)
	}
	return list
}

// learn puts down what an agent said of the interfaces that its domain has.
func learn(st *hypervisor.Statistics, a agentAnswer) {
	st.Agent = a.state
	for i := range st.NICs {
		nic := &st.NICs[i]
		for _, address := range a.addresses[nic.MAC] {
			nic.Addresses = withAddress(nic.Addresses, address)
		}
	}
}
