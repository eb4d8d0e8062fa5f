package evergate

import "unsafe"

// Table is an address table.
type Table struct{ id int32 }

// Contains tells whether the address is in the table.
func (t Table) Contains(address *Address) bool {
	return hostTableMatch(t.id, unsafe.Pointer(address)) != 0
}

// Counter is a counter that operators see. One that there was no room for counts nothing.
type Counter struct{ id int32 }

// Add adds to the counter.
func (c Counter) Add(n int64) {
	if c.id >= 0 {
		hostCount(c.id, n)
	}
}

// Meter is a set of token buckets, one per key.
type Meter struct{ id int32 }

// Take takes a token from the bucket of a key of at most 32 bytes and tells whether there was one.
// The bucket gains rateMilli thousandths of a token per second and holds burst tokens.
func (m Meter) Take(key []byte, rateMilli, burst uint32) bool {
	return hostMeter(m.id, unsafe.Pointer(unsafe.SliceData(key)), int32(len(key)), rateMilli, burst) != 0
}

// Tag is a tag that packets carry along the chain; 0 is none.
type Tag uint16

// Label is a label of states; 0 is none.
type Label uint16

// Level is how much a line of the log matters.
type Level int32

const (
	Error Level = 0
	Warn  Level = 1
	Info  Level = 2
	Debug Level = 3
)

// Log writes a line to the gateway's log, which cuts it at 256 bytes and limits the rate.
func Log(level Level, text string) { hostLog(int32(level), text) }

// MonotonicNS returns monotonic nanoseconds at the packet's arrival.
func MonotonicNS() int64 { return hostClock(0) }

// WallS returns seconds since 1970 at the packet's arrival.
func WallS() int64 { return hostClock(1) }

// Random returns 64 random bits, not for cryptography.
func Random() uint64 { return uint64(hostRandom()) }
