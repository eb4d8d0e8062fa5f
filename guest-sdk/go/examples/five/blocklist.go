package main

import (
	"errors"

	"evergate"
)

// blocklist blocks addresses of a table: countries, scanners, advertisers.
//
//	setting   default       meaning
//	table     "blocklist"   the address table
//	log       false         whether to log what is blocked
//
//	rule 1: from an address of the table, dropped silently
//	rule 2: to an address of the table, refused, so that its sender sees an error
//
// Both count in "blocked".
type blocklist struct {
	table   evergate.Table
	blocked evergate.Counter
	log     bool
}

func newBlocklist(setup *evergate.Setup) (evergate.Policy, error) {
	var p blocklist
	name, ok, err := setup.Text("table", 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		name = "blocklist"
	}
	if p.table, ok = setup.Table(name); !ok {
		return nil, errors.New("setting `table`: there is no table `" + name + "`")
	}
	p.blocked = setup.Counter("blocked")
	if p.log, err = setup.Flag("log", false); err != nil {
		return nil, err
	}
	return &p, nil
}

func (p *blocklist) Decide(packet *evergate.Packet) evergate.Verdict {
	var verdict evergate.Verdict
	switch {
	case p.table.Contains(&packet.Src):
		verdict = evergate.Verdict{Action: evergate.Block, Rule: 1}
	case p.table.Contains(&packet.Dst):
		verdict = evergate.Refuse(packet)
		verdict.Rule = 2
	default:
		return verdict
	}
	p.blocked.Add(1)
	verdict.Log = p.log
	return verdict
}
