// Package evergate is the Go SDK for Evergate policies.
//
//	type webOnly struct{}
//
//	func (webOnly) Decide(p *evergate.Packet) evergate.Verdict {
//		if p.IsTCP() && p.Dport == 443 {
//			return evergate.Verdict{Action: evergate.Pass, Rule: 1}
//		}
//		return evergate.Verdict{}
//	}
//
//	func init() {
//		evergate.Register(func(*evergate.Setup) (evergate.Policy, error) { return webOnly{}, nil })
//	}
//
//	func main() {}
//
// Hooks and saved state are exported with //go:wasmexport, as ABI.md describes them.
//
// Decide should allocate nothing: the garbage collector has to run within a decision's budget.
package evergate

import "unsafe"

// Policy is made once per instance, then asked about every packet without a state.
type Policy interface {
	Decide(p *Packet) Verdict
}

// Inspector is a policy that looks into payload.
type Inspector interface {
	Policy
	// Inspect decides by the payload so far, after Decide said Inspect. It begins with the first
	// byte every time; while p.IsPayloadEnd is false there may be more, which Inspect asks for.
	Inspect(p *Packet, payload []byte) Verdict
}

// payloadMax is the most payload that a policy is shown.
const payloadMax = 1024

var (
	payload       [payloadMax]byte
	payloadRecord struct {
		_        [0]uint64
		address  uint32
		capacity uint32
	}
)

var (
	request  Packet
	theExtra record
	policy   Policy
	makeIt   func(*Setup) (Policy, error)
)

// Register says how the policy is made; it is to be called in a func init.
func Register(how func(*Setup) (Policy, error)) { makeIt = how }

//go:wasmexport evergate_abi_v1
func exportVersion() int32 { return int32(uintptr(unsafe.Pointer(&request))) }

//go:wasmexport init
func exportInit() int32 {
	if makeIt == nil {
		Log(Error, "no policy was registered")
		return 1
	}
	made, err := makeIt(&Setup{})
	if err != nil {
		Log(Error, err.Error())
		return 1
	}
	policy = made
	return 0
}

//go:wasmexport decide
func exportDecide(int32) int64 {
	verdict := policy.Decide(&request)
	return verdict.encode(&theExtra)
}

//go:wasmexport evergate_payload_v1
func exportPayload() int32 {
	payloadRecord.address = uint32(uintptr(unsafe.Pointer(&payload)))
	payloadRecord.capacity = payloadMax
	return int32(uintptr(unsafe.Pointer(&payloadRecord)))
}

//go:wasmexport inspect
func exportInspect(_, length int32) int64 {
	verdict := Verdict{Action: Block}
	if inspector, ok := policy.(Inspector); ok {
		verdict = inspector.Inspect(&request, payload[:length])
	}
	return verdict.encode(&theExtra)
}
