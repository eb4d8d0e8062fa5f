//! `time-of-day`: refuses new connections outside of given hours.
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `from` | `"00:00"` | when the hours begin |
//! | `to` | `"24:00"` | when they end; earlier than `from`: on the next day |
//! | `days` | every day | weekdays on which they begin: `["mon", "tue"]` |
//! | `utc_offset` | 0 | minutes that local time is ahead of UTC, -720 to 840 |
//! | `tag` | none | tag for packets outside of the hours, instead of refusing them |
//!
//! | rule | |
//! | --- | --- |
//! | 1 | outside of the hours |

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Packet, Policy, Refused, Setup, Tag, Verdict, policy, wall_s};

const DAY_MIN: i64 = 24 * 60;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 3;

/// The policy.
#[derive(Debug)]
pub struct TimeOfDay {
    from: i64,
    to: i64,
    /// Bit 0 is Monday.
    days: u8,
    utc_offset: i64,
    tag: Option<Tag>,
}

impl Policy for TimeOfDay {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let (from, to) = (minute(setup, "from", 0)?, minute(setup, "to", DAY_MIN)?);
        if from == to {
            return Err(Refused::new(&["settings `from` and `to` are the same"]));
        }
        let tag = setup.text("tag", 0)?;
        Ok(Self {
            from,
            to,
            days: days(setup)?,
            utc_offset: setup.signed("utc_offset", 0, -720, 840)?,
            tag: tag.and_then(|tag| setup.tag(tag.as_str())),
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        if self.is_within(i64::try_from(wall_s()).unwrap_or(0)) {
            return Verdict::go_on();
        }
        match self.tag {
            Some(tag) => Verdict::go_on().tag(tag),
            None => Verdict::refuse(packet).rule(1),
        }
    }
}

impl TimeOfDay {
    fn is_within(&self, wall_s: i64) -> bool {
        // A week more keeps the first days of 1970 west of Greenwich positive.
        let minutes = wall_s.div_euclid(60) + self.utc_offset + 7 * DAY_MIN;
        let (day, minute) = (minutes / DAY_MIN, minutes % DAY_MIN);
        if self.from < self.to {
            return (self.from..self.to).contains(&minute) && self.begins_on(day);
        }
        (minute >= self.from && self.begins_on(day))
            || (minute < self.to && self.begins_on(day - 1))
    }

    fn begins_on(&self, day: i64) -> bool {
        self.days >> ((day + EPOCH_WEEKDAY) % 7) & 1 == 1
    }
}

/// Reads a time such as 08:30 as minutes.
fn minute(setup: &Setup, key: &str, default: i64) -> Result<i64, Refused> {
    let bad = || Refused::new(&["setting `", key, "` has to be a time such as 08:30"]);
    let Some(text) = setup.text(key, 0)? else {
        return if setup.int(key, 0).is_none() { Ok(default) } else { Err(bad()) };
    };
    let &[h1, h2, b':', m1, m2] = text.as_str().as_bytes() else {
        return Err(bad());
    };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let number = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (number(h1, h2), number(m1, m2));
    let minute = hours * 60 + minutes;
    if minutes < 60 && minute <= DAY_MIN { Ok(minute) } else { Err(bad()) }
}

fn days(setup: &Setup) -> Result<u8, Refused> {
    let mut days = 0;
    for index in 0.. {
        let bad = || Refused::new(&["setting `days` has to name weekdays such as mon"]);
        let Some(text) = setup.text("days", index)? else {
            if setup.int("days", index).is_some() {
                return Err(bad());
            }
            break;
        };
        let day = WEEKDAYS.iter().position(|day| *day == text.as_str());
        days |= 1 << day.ok_or_else(bad)?;
    }
    Ok(if days == 0 { 0x7f } else { days })
}

policy!(TimeOfDay);
