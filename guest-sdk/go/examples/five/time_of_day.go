package main

import (
	"errors"

	"evergate"
)

const (
	dayMin       = 24 * 60
	epochWeekday = 3 // 1970-01-01 was a Thursday
)

var weekdays = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// timeOfDay refuses new connections outside of given hours.
//
//	setting      default     meaning
//	from         "00:00"     when the hours begin
//	to           "24:00"     when they end; earlier than from: on the next day
//	days         every day   weekdays on which they begin: ["mon", "tue"]
//	utc_offset   0           minutes that local time is ahead of UTC, -720 to 840
//	tag          none        tag for packets outside of the hours, instead of refusing them
//
//	rule 1: outside of the hours
type timeOfDay struct {
	from, to, utcOffset int64
	days                uint8 // bit 0 is Monday
	tag                 evergate.Tag
}

func newTimeOfDay(setup *evergate.Setup) (evergate.Policy, error) {
	var p timeOfDay
	var err error
	if p.from, err = minute(setup, "from", 0); err != nil {
		return nil, err
	}
	if p.to, err = minute(setup, "to", dayMin); err != nil {
		return nil, err
	}
	if p.from == p.to {
		return nil, errors.New("settings `from` and `to` are the same")
	}
	if p.days, err = days(setup); err != nil {
		return nil, err
	}
	if p.utcOffset, err = setup.Number("utc_offset", 0, -720, 840); err != nil {
		return nil, err
	}
	tag, ok, err := setup.Text("tag", 0)
	if ok {
		p.tag = setup.Tag(tag)
	}
	return &p, err
}

func (p *timeOfDay) Decide(packet *evergate.Packet) evergate.Verdict {
	if p.isWithin(evergate.WallS()) {
		return evergate.Verdict{}
	}
	if p.tag != 0 {
		return evergate.Verdict{Tag: p.tag}
	}
	verdict := evergate.Refuse(packet)
	verdict.Rule = 1
	return verdict
}

func (p *timeOfDay) isWithin(wallS int64) bool {
	// A week more keeps the first days of 1970 west of Greenwich positive.
	minutes := wallS/60 + p.utcOffset + 7*dayMin
	day, minute := minutes/dayMin, minutes%dayMin
	if p.from < p.to {
		return minute >= p.from && minute < p.to && p.beginsOn(day)
	}
	return (minute >= p.from && p.beginsOn(day)) || (minute < p.to && p.beginsOn(day-1))
}

func (p *timeOfDay) beginsOn(day int64) bool {
	return p.days>>((day+epochWeekday)%7)&1 == 1
}

// minute reads a time such as 08:30.
func minute(setup *evergate.Setup, key string, byDefault int64) (int64, error) {
	bad := evergate.Bad(key, "has to be a time such as 08:30")
	text, ok, err := setup.Text(key, 0)
	if err != nil {
		return 0, err
	}
	if !ok {
		if _, isInt := setup.Int(key, 0); isInt {
			return 0, bad
		}
		return byDefault, nil
	}
	if len(text) != 5 || text[2] != ':' {
		return 0, bad
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, bad
		}
	}
	number := func(i int) int64 { return int64(text[i]-'0')*10 + int64(text[i+1]-'0') }
	minutes := number(3)
	if minutes > 59 || number(0)*60+minutes > dayMin {
		return 0, bad
	}
	return number(0)*60 + minutes, nil
}

func days(setup *evergate.Setup) (uint8, error) {
	bad := evergate.Bad("days", "has to name weekdays such as mon")
	var days uint8
next:
	for index := 0; ; index++ {
		text, ok, err := setup.Text("days", index)
		if err != nil {
			return 0, err
		}
		if !ok {
			if _, isInt := setup.Int("days", index); isInt {
				return 0, bad
			}
			break
		}
		for day, name := range weekdays {
			if text == name {
				days |= 1 << day
				continue next
			}
		}
		return 0, bad
	}
	if days == 0 {
		return 0x7f, nil
	}
	return days, nil
}
