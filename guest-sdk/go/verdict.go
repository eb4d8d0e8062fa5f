package evergate

import "unsafe"

// Action is what shall happen to a packet.
type Action uint8

const (
	Continue   Action = 0 // ask the next policy of the chain
	Pass       Action = 1 // let it pass and keep a state
	Block      Action = 2 // drop it silently
	ReturnRST  Action = 3 // drop it, answer TCP with a reset
	ReturnICMP Action = 4 // drop it, answer with an ICMP unreachable error
	Inspect    Action = 5 // let it pass for now, and show the policy its payload
)

// Keep is how a connection that passes is remembered.
type Keep uint8

const (
	KeepState  Keep = 0
	KeepNone   Keep = 1
	KeepSloppy Keep = 2 // without sequence checks
	KeepLoose  Keep = 3 // any TCP segment may begin it
)

// Timeouts of a state in seconds; 0 is the gateway's.
type Timeouts struct {
	First, Opening, Established, Closing, Finwait, Closed uint32
}

// Verdict is what a policy says about a packet; what is not set is the gateway's default.
type Verdict struct {
	Action       Action
	Log          bool
	AllowOptions bool // let it pass although it carries IP options
	Each         bool // decide each further packet of its sender too; not for TCP
	Keep         Keep
	Rule         uint16 // the rule that decided, shown in logs
	Tag          Tag
	Label        Label
	HasICMPCode  bool // else ReturnICMP says port unreachable
	ICMPCode     uint8
	Payload      uint16 // how much Inspect wants to see; 0 what the buffer takes
	Timeouts     Timeouts
}

// Refuse drops a packet and tells its sender at once: a reset for TCP, else "prohibited".
func Refuse(p *Packet) Verdict {
	if p.IsTCP() {
		return Verdict{Action: ReturnRST}
	}
	if p.IsV4() {
		return Verdict{Action: ReturnICMP, HasICMPCode: true, ICMPCode: 13}
	}
	return Verdict{Action: ReturnICMP, HasICMPCode: true, ICMPCode: 1}
}

// record is what the verdict word cannot hold.
type record struct {
	_        [0]uint64
	size     uint16
	keep     Keep
	icmpCode uint8
	fields   uint16
	tag      Tag
	label    Label
	inspect  uint16
	timeouts Timeouts
	_        [28]uint8
}

func (v *Verdict) encode(r *record) int64 {
	word := uint64(v.Action) | uint64(v.Rule)<<16
	if v.Log {
		word |= 1 << 8
	}
	if v.AllowOptions {
		word |= 2 << 8
	}
	if v.Each {
		word |= 4 << 8
	}
	isPlain := v.Keep == KeepState && v.Tag == 0 && v.Label == 0 && !v.HasICMPCode &&
		v.Payload == 0 && v.Timeouts == Timeouts{}
	if isPlain {
		return int64(word)
	}
	*r = record{size: 64, keep: v.Keep, tag: v.Tag, label: v.Label, inspect: v.Payload, timeouts: v.Timeouts}
	if v.HasICMPCode {
		r.icmpCode, r.fields = v.ICMPCode, 1
	}
	return int64(word | uint64(uintptr(unsafe.Pointer(r)))<<32)
}
