package main

import "evergate"

// portList lets connections to listed ports pass, and leaves the rest to the next policy.
//
//	setting   default  meaning
//	tcp       none     TCP ports and ranges: [22, 443, "6000-6010"]
//	udp       none     UDP ports and ranges
//	label     none     label of the states that are made
//
//	rule 1: a TCP port of the list    rule 2: a UDP port of the list
type portList struct {
	tcp, udp evergate.Ports
	label    evergate.Label
}

func newPortList(setup *evergate.Setup) (evergate.Policy, error) {
	var p portList
	label, ok, err := setup.Text("label", 0)
	if err != nil {
		return nil, err
	}
	if ok {
		p.label = setup.Label(label)
	}
	if p.tcp, err = setup.Ports("tcp"); err != nil {
		return nil, err
	}
	if p.udp, err = setup.Ports("udp"); err != nil {
		return nil, err
	}
	return &p, nil
}

func (p *portList) Decide(packet *evergate.Packet) evergate.Verdict {
	if packet.IsTCP() && p.tcp.Contains(packet.Dport) {
		return evergate.Verdict{Action: evergate.Pass, Rule: 1, Label: p.label}
	}
	if packet.IsUDP() && p.udp.Contains(packet.Dport) {
		return evergate.Verdict{Action: evergate.Pass, Rule: 2, Label: p.label}
	}
	return evergate.Verdict{}
}
