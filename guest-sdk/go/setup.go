package evergate

import (
	"errors"
	"unsafe"
)

const (
	textMax = 112
	absent  = -1 << 63
)

// Setup is what a policy can do while it is made: resolve names and read its settings.
type Setup struct{}

// Table returns the address table of this name, if the configuration has it.
func (*Setup) Table(name string) (Table, bool) {
	id := hostResolve(0, name)
	return Table{id}, id >= 0
}

// Counter returns a counter, made when new.
func (*Setup) Counter(name string) Counter { return Counter{hostResolve(1, name)} }

// Meter returns a meter, made when new, if there is room for another.
func (*Setup) Meter(name string) (Meter, bool) {
	id := hostResolve(2, name)
	return Meter{id}, id >= 0
}

// Tag returns a tag, made when new; 0 if there is no room for another.
func (*Setup) Tag(name string) Tag { return Tag(max(hostResolve(3, name), 0)) }

// Label returns a label, made when new; 0 if there is no room for another.
func (*Setup) Label(name string) Label { return Label(max(hostResolve(4, name), 0)) }

// Interface returns the id of an interface, if the configuration has it.
func (*Setup) Interface(name string) (uint16, bool) {
	id := hostResolve(5, name)
	return uint16(id), id >= 0
}

// Int returns the index-th value of a setting if it is a number, or a boolean (0 or 1).
func (*Setup) Int(key string, index int) (int64, bool) {
	n := hostConfigInt(key, int32(index))
	return n, n != absent
}

// Text returns the index-th value of a setting if it is a text.
func (*Setup) Text(key string, index int) (string, bool, error) {
	var buffer [textMax]byte
	n := hostConfigStr(key, int32(index), unsafe.Pointer(&buffer), textMax)
	if n < 0 {
		return "", false, nil
	}
	if n > textMax {
		return "", false, Bad(key, "has a text that is too long")
	}
	return string(buffer[:n]), true, nil
}

// Number returns a setting that is a number within a range, or else byDefault.
func (s *Setup) Number(key string, byDefault, least, most int64) (int64, error) {
	if n, ok := s.Int(key, 0); ok {
		if n < least || n > most {
			return 0, Bad(key, "is out of range")
		}
		return n, nil
	}
	if _, ok, err := s.Text(key, 0); ok || err != nil {
		return 0, Bad(key, "has to be a number")
	}
	return byDefault, nil
}

// Flag returns a setting that is true or false, or else byDefault.
func (s *Setup) Flag(key string, byDefault bool) (bool, error) {
	n, ok := s.Int(key, 0)
	if ok && n != 0 && n != 1 {
		return false, Bad(key, "has to be true or false")
	}
	if ok {
		return n == 1, nil
	}
	if _, ok, err := s.Text(key, 0); ok || err != nil {
		return false, Bad(key, "has to be true or false")
	}
	return byDefault, nil
}

// Bad says what is wrong with a setting.
func Bad(key, what string) error { return errors.New("setting `" + key + "` " + what) }

const portsMax = 64

type portRange struct{ first, last uint16 }

// Ports is a set of ports, from numbers and ranges: [22, 443, "6000-6010"].
type Ports struct{ ranges []portRange }

// Ports reads a setting; one that is absent is the empty set.
func (s *Setup) Ports(key string) (Ports, error) {
	var ports Ports
	for index := 0; ; index++ {
		var r portRange
		n, isInt := s.Int(key, index)
		text, isText, err := s.Text(key, index)
		switch {
		case err != nil:
			return ports, err
		case isInt:
			if n < 1 || n > 65535 {
				return ports, errors.New("setting `" + key + "`: a port is 1 to 65535")
			}
			r = portRange{uint16(n), uint16(n)}
		case isText:
			var ok bool
			if r, ok = parseRange(text); !ok {
				return ports, errors.New("setting `" + key + "`: `" + text + "` is not a port or a range like 80-90")
			}
		default:
			return ports, nil
		}
		if len(ports.ranges) == portsMax {
			return ports, Bad(key, "has more than 64 entries")
		}
		ports.ranges = append(ports.ranges, r)
	}
}

// Contains tells whether the port is in the set.
func (p *Ports) Contains(port uint16) bool {
	for _, r := range p.ranges {
		if port >= r.first && port <= r.last {
			return true
		}
	}
	return false
}

func parseRange(text string) (portRange, bool) {
	first, last := text, text
	for i := range len(text) {
		if text[i] == '-' {
			first, last = text[:i], text[i+1:]
			break
		}
	}
	r := portRange{parsePort(first), parsePort(last)}
	return r, r.first != 0 && r.first <= r.last
}

// parsePort returns 0 if the text is no port.
func parsePort(text string) uint16 {
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	for len(text) > 0 && text[len(text)-1] == ' ' {
		text = text[:len(text)-1]
	}
	n := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0
		}
		if n = n*10 + int(text[i]-'0'); n > 65535 {
			return 0
		}
	}
	return uint16(n)
}
