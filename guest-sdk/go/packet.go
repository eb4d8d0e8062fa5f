package evergate

// Address is an address in network order; IPv4 as ::ffff:a.b.c.d.
type Address [16]byte

// Proto is an IP protocol; others have their number.
type Proto uint8

const (
	ICMP  Proto = 1
	TCP   Proto = 6
	UDP   Proto = 17
	ICMP6 Proto = 58
)

// Direction tells where a packet comes from and goes to, seen from the gateway.
type Direction uint8

const (
	Forwarded   Direction = 0
	ToGateway   Direction = 1
	FromGateway Direction = 2
)

// Packet is one packet, where the gateway described it.
type Packet struct {
	_         [0]uint64
	size      uint16
	AF        uint8 // 4 or 6
	Proto     Proto
	Direction Direction
	TCPFlags  uint8
	ICMPType  uint8
	ICMPCode  uint8
	Src       Address
	Dst       Address
	Sport     uint16 // 0 where there are no ports
	Dport     uint16
	InIf      uint16 // ids as Setup.Interface returns them
	OutIf     uint16
	Length    uint32 // bytes of the whole IP packet
	TTL       uint8
	TOS       uint8
	flags     uint16
	Tag       Tag // set by an earlier policy of the chain, 0 none
	_         [6]uint8
}

// IsV4 tells whether it is IPv4.
func (p *Packet) IsV4() bool { return p.AF == 4 }

// IsTCP tells whether it is TCP.
func (p *Packet) IsTCP() bool { return p.Proto == TCP }

// IsUDP tells whether it is UDP.
func (p *Packet) IsUDP() bool { return p.Proto == UDP }

// IsReassembled tells whether it was put together from fragments.
func (p *Packet) IsReassembled() bool { return p.flags&1 != 0 }

// IsPayloadEnd tells whether no more payload will be shown.
func (p *Packet) IsPayloadEnd() bool { return p.flags&8 != 0 }

// HasIPOptions tells whether it carries IP options.
func (p *Packet) HasIPOptions() bool { return p.flags&2 != 0 }
