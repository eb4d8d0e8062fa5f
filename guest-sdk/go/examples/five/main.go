// Five policies in one module, since Go's runtime alone has close to two megabytes: the setting
// "policy" chooses one. Each file holds one policy as it would stand alone.
package main

import (
	"errors"

	"evergate"
)

func init() {
	evergate.Register(func(setup *evergate.Setup) (evergate.Policy, error) {
		name, _, err := setup.Text("policy", 0)
		if err != nil {
			return nil, err
		}
		switch name {
		case "port-list":
			return newPortList(setup)
		case "rate-limit":
			return newRateLimit(setup)
		case "blocklist":
			return newBlocklist(setup)
		case "dns-labels":
			return newDNSLabels(setup)
		case "time-of-day":
			return newTimeOfDay(setup)
		}
		return nil, errors.New("setting `policy` has to name one of the policies")
	})
}

func main() {}
