package main

import (
	"errors"

	"evergate"
)

const rateMax = 1_000_000

// rateLimit blocks what one source begins faster than it may. A source is an IPv4 address or an
// IPv6 /64: one household, whatever address it picks today.
//
//	setting   default    meaning
//	per_s     10         new connections per second and source, 1 to 1000000
//	burst     as per_s   how many may come at once, 1 to 1000000
//
//	rule 1: over the rate
//
// What is blocked counts in "limited". Packets from the gateway itself are not limited.
type rateLimit struct {
	sources     evergate.Meter
	limited     evergate.Counter
	perS, burst int64
}

func newRateLimit(setup *evergate.Setup) (evergate.Policy, error) {
	var p rateLimit
	var err error
	if p.perS, err = setup.Number("per_s", 10, 1, rateMax); err != nil {
		return nil, err
	}
	if p.burst, err = setup.Number("burst", p.perS, 1, rateMax); err != nil {
		return nil, err
	}
	p.limited = setup.Counter("limited")
	var ok bool
	if p.sources, ok = setup.Meter("sources"); !ok {
		return nil, errors.New("there is no room for a meter")
	}
	return &p, nil
}

func (p *rateLimit) Decide(packet *evergate.Packet) evergate.Verdict {
	if packet.Direction == evergate.FromGateway {
		return evergate.Verdict{}
	}
	key := packet.Src[:8]
	if packet.IsV4() {
		key = packet.Src[12:]
	}
	if p.sources.Take(key, uint32(p.perS)*1000, uint32(p.burst)) {
		return evergate.Verdict{}
	}
	p.limited.Add(1)
	return evergate.Verdict{Action: evergate.Block, Rule: 1}
}
