package main

import (
	"encoding/binary"
	"errors"

	"evergate"
)

const (
	dnsHeader = 12
	nameMax   = 254 // RFC 1035 2.3.4; the root's byte is not counted
	labelMax  = 63
	labelsMax = 8
	// So that the work is bounded; a name of ip6.arpa has 34.
	nameLabelsMax = 40
)

var errNoQuery = errors.New("not a query of one name")

// dnsLabels refuses DNS queries for names with a listed label, whatever is around it. It looks
// into what goes to port 53, over UDP and TCP; over TCP into the first query.
//
//	setting   default   meaning
//	labels    none      up to 8 labels: ["ads", "tracker"]
//
//	rule 1: a listed label    rule 2: not a query of one name
//
// Both count in "blocked" and are logged.
type dnsLabels struct {
	labels  []string // in small letters
	blocked evergate.Counter
}

func newDNSLabels(setup *evergate.Setup) (evergate.Policy, error) {
	p := dnsLabels{blocked: setup.Counter("blocked")}
	for {
		label, ok, err := setup.Text("labels", len(p.labels))
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if len(label) < 1 || len(label) > labelMax {
			return nil, errors.New("setting `labels`: a label has 1 to 63 bytes")
		}
		small := []byte(label)
		for i := range small {
			if small[i] == '.' {
				return nil, errors.New("setting `labels`: a label has no dot")
			}
			small[i] = lower(small[i])
		}
		if len(p.labels) == labelsMax {
			return nil, evergate.Bad("labels", "has more than 8 entries")
		}
		p.labels = append(p.labels, string(small))
	}
	if _, ok := setup.Int("labels", len(p.labels)); ok {
		return nil, evergate.Bad("labels", "has to hold texts")
	}
	return &p, nil
}

func (p *dnsLabels) Decide(packet *evergate.Packet) evergate.Verdict {
	if (packet.IsUDP() || packet.IsTCP()) && packet.Dport == 53 {
		return evergate.Verdict{Action: evergate.Inspect}
	}
	return evergate.Verdict{}
}

func (p *dnsLabels) Inspect(packet *evergate.Packet, payload []byte) evergate.Verdict {
	message := payload
	if packet.IsTCP() {
		var ok bool
		if message, ok = messageOf(payload); !ok && !packet.IsPayloadEnd() {
			return evergate.Verdict{Action: evergate.Inspect}
		}
	}
	isListed, err := p.isListed(message)
	if err == nil && !isListed {
		return evergate.Verdict{Each: true}
	}
	p.blocked.Add(1)
	verdict := evergate.Refuse(packet)
	verdict.Rule, verdict.Log = 1, true
	if err != nil {
		verdict.Rule = 2
	}
	return verdict
}

// messageOf returns a message behind its length, once all of it is there (RFC 1035 4.2.2).
func messageOf(payload []byte) ([]byte, bool) {
	if len(payload) < 2 {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(payload))
	if len(payload)-2 < length {
		return nil, false
	}
	return payload[2 : 2+length], true
}

// isListed tells whether the name that a query asks for has a listed label (RFC 1035 4.1).
func (p *dnsLabels) isListed(message []byte) (bool, error) {
	if len(message) < dnsHeader || message[2]&0x80 != 0 || message[4] != 0 || message[5] != 1 {
		return false, errNoQuery
	}
	question := message[dnsHeader:]
	isListed := false
	at := 0
	for n := 0; n <= nameLabelsMax && at < len(question); n++ {
		length := int(question[at])
		at++
		if length == 0 {
			// Behind the root, type and class follow.
			if len(question)-at < 4 {
				break
			}
			return isListed, nil
		}
		if length > labelMax || len(question)-at < length {
			break
		}
		isListed = isListed || p.hasLabel(question[at:at+length])
		if at += length; at > nameMax {
			break
		}
	}
	return false, errNoQuery
}

func (p *dnsLabels) hasLabel(label []byte) bool {
	var buffer [labelMax]byte
	small := buffer[:copy(buffer[:], label)]
	for i := range small {
		small[i] = lower(small[i])
	}
	for _, listed := range p.labels {
		if listed == string(small) { // compares without a copy
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
