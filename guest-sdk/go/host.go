package evergate

import "unsafe"

//go:wasmimport evergate resolve
func hostResolve(kind int32, name string) int32

//go:wasmimport evergate config_int
func hostConfigInt(key string, index int32) int64

//go:wasmimport evergate config_str
//go:noescape
func hostConfigStr(key string, index int32, out unsafe.Pointer, outCap int32) int32

//go:wasmimport evergate table_match
//go:noescape
func hostTableMatch(table int32, address unsafe.Pointer) int32

//go:wasmimport evergate count
func hostCount(counter int32, n int64)

//go:wasmimport evergate meter
//go:noescape
func hostMeter(meter int32, key unsafe.Pointer, keyLen int32, rateMilli uint32, burst uint32) int32

//go:wasmimport evergate log
func hostLog(level int32, text string)

//go:wasmimport evergate clock
func hostClock(kind int32) int64

//go:wasmimport evergate random
func hostRandom() int64
