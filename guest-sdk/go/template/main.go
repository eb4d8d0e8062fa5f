// my-policy lets TCP connections to the ports of a list pass.
package main

import "my-policy/evergate"

type myPolicy struct {
	ports  evergate.Ports
	others evergate.Counter
}

// newPolicy reads the settings and resolves names.
func newPolicy(setup *evergate.Setup) (evergate.Policy, error) {
	ports, err := setup.Ports("ports")
	if err != nil {
		return nil, err
	}
	return &myPolicy{ports, setup.Counter("others")}, nil
}

// Decide decides about one packet that belongs to no state.
func (p *myPolicy) Decide(packet *evergate.Packet) evergate.Verdict {
	if packet.IsTCP() && p.ports.Contains(packet.Dport) {
		return evergate.Verdict{Action: evergate.Pass, Rule: 1}
	}
	p.others.Add(1)
	return evergate.Verdict{}
}

func init() { evergate.Register(newPolicy) }

func main() {}
