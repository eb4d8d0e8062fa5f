/**
 * time-of-day: refuses new connections outside of given hours.
 *
 *     setting      default     meaning
 *     from         "00:00"     when the hours begin
 *     to           "24:00"     when they end; earlier than from: on the next day
 *     days         every day   weekdays on which they begin: ["mon", "tue"]
 *     utc_offset   0           minutes that local time is ahead of UTC, -720 to 840
 *     tag          none        tag for packets outside of the hours, instead of refusing them
 *
 *     rule 1: outside of the hours
 */

import { Packet, Policy, Setup, Tag, Verdict, register, wallS } from "../assembly";

export { decide, evergate_abi_v1, init } from "../assembly";

const DAY_MIN: i64 = 24 * 60;
/** 1970-01-01 was a Thursday. */
const EPOCH_WEEKDAY: i64 = 3;
const WEEKDAYS: string[] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

class TimeOfDay extends Policy {
  private from: i64;
  private to: i64;
  /** Bit 0 is Monday. */
  private days: i32;
  private utcOffset: i64;
  private tag: Tag = 0;

  constructor(setup: Setup) {
    super();
    this.from = minute(setup, "from", 0);
    this.to = minute(setup, "to", DAY_MIN);
    this.days = days(setup);
    this.utcOffset = setup.number("utc_offset", 0, -720, 840);
    if (this.from == this.to) setup.refuse("settings `from` and `to` are the same");
    const tag = setup.text("tag");
    if (tag != null) this.tag = setup.tag(tag);
  }

  decide(packet: Packet): Verdict {
    if (this.isWithin(<i64>wallS())) return Verdict.goOn();
    if (this.tag) return Verdict.goOn().tag(this.tag);
    return Verdict.refuse(packet).rule(1);
  }

  private isWithin(wallS: i64): bool {
    // A week more keeps the first days of 1970 west of Greenwich positive.
    const minutes = wallS / 60 + this.utcOffset + 7 * DAY_MIN;
    const day = minutes / DAY_MIN;
    const minute = minutes % DAY_MIN;
    if (this.from < this.to) {
      return minute >= this.from && minute < this.to && this.beginsOn(day);
    }
    return (
      (minute >= this.from && this.beginsOn(day)) || (minute < this.to && this.beginsOn(day - 1))
    );
  }

  private beginsOn(day: i64): bool {
    return ((this.days >> (<i32>((day + EPOCH_WEEKDAY) % 7))) & 1) == 1;
  }
}

/** Reads a time such as 08:30 as minutes. */
function minute(setup: Setup, key: string, byDefault: i64): i64 {
  const text = setup.text(key);
  if (text == null && setup.int(key) == i64.MIN_VALUE) return byDefault;
  if (text != null && text.length == 5 && text.charAt(2) == ":") {
    const hours = twoDigits(text, 0);
    const minutes = twoDigits(text, 3);
    const minute = hours * 60 + minutes;
    if (hours >= 0 && minutes >= 0 && minutes < 60 && minute <= DAY_MIN) return minute;
  }
  setup.refuse("setting `" + key + "` has to be a time such as 08:30");
  return byDefault;
}

/** Reads a number of two digits; negative if it is none. */
function twoDigits(text: string, at: i32): i64 {
  const tens = text.charCodeAt(at) - 0x30;
  const ones = text.charCodeAt(at + 1) - 0x30;
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -10_000 : tens * 10 + ones;
}

function days(setup: Setup): i32 {
  let days = 0;
  for (let index = 0; ; index++) {
    const text = setup.text("days", index);
    if (text == null && setup.int("days", index) == i64.MIN_VALUE) break;
    const day = text == null ? -1 : WEEKDAYS.indexOf(text);
    if (day < 0) {
      setup.refuse("setting `days` has to name weekdays such as mon");
      break;
    }
    days |= 1 << day;
  }
  return days == 0 ? 0x7f : days;
}

register((setup: Setup): Policy => new TimeOfDay(setup));
