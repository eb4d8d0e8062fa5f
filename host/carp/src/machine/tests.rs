//! Every event in every state, every timer around its moment, and the election
//! against OpenBSD's rules.

use std::cmp::Ordering;
use std::time::Duration;

use evergate_wire::{Addr, Af, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::Trailer;

const OWN: NodeId = NodeId(5);
/// 1 s and 100/256 s.
const INTERVAL: Duration = Duration::from_micros(1_390_625);
const DOWN: Duration = Duration::from_micros(3_390_625);
const START: Timestamp = Timestamp::from_nanos(7_000_000_000);
const NANO: Duration = Duration::from_nanos(1);

fn config() -> VhostConfig {
    let pace = Pace::classic(1, 100).unwrap();
    VhostConfig::new(Vhid::new(1).unwrap(), OWN, Families::V4, pace)
}

/// An advert with a trailer of the pace (1, 100) from node 9.
fn heard() -> Heard {
    Heard {
        family: Af::V4,
        from: Addr::from_v4_octets([10, 9, 0, 2]),
        advbase: 1,
        advskew: 100,
        demotion: 0,
        counter: [9; 8],
        trailer: Some(Trailer {
            sender: NodeId(9),
            epoch: 1,
            sequence: 1,
            interval: None,
            demotion: 0,
            family: Af::V4,
            bow_out: false,
        }),
    }
}

fn from_node(node: u64) -> Heard {
    let trailer = heard().trailer.map(|trailer| Trailer { sender: NodeId(node), ..trailer });
    Heard { trailer, ..heard() }
}

fn with_pace(advbase: u8, advskew: u8) -> Heard {
    Heard { advbase, advskew, ..heard() }
}

fn do_all(vhost: &mut Vhost, now: Timestamp, events: &[Event]) -> Actions {
    let mut actions = Vec::new();
    for event in events {
        vhost.handle(now, *event, &mut actions);
    }
    actions
}

fn backup(config: VhostConfig) -> Vhost {
    let mut vhost = Vhost::new(config, 1).unwrap();
    do_all(&mut vhost, START, &[Event::Configured, Event::Up]);
    assert_eq!(vhost.state(), State::Backup);
    vhost
}

/// A MASTER, and when it became that.
fn master(config: VhostConfig) -> (Vhost, Timestamp) {
    let mut vhost = backup(config);
    let now = vhost.next_deadline().unwrap().at;
    do_all(&mut vhost, now, &[Event::Timer]);
    assert_eq!(vhost.state(), State::Master);
    (vhost, now)
}

/// The state and the actions in short.
fn said(vhost: &Vhost, actions: &[Action]) -> String {
    let short = |action: &Action| match action {
        Action::SendAdvert(outgoing) if outgoing.bow_out => "bow-out",
        Action::SendAdvert(_) => "advert",
        Action::BecameMaster { .. } => "master",
        Action::BecameBackup { .. } => "backup",
        Action::BecameInit { .. } => "init",
        Action::Announce => "announce",
        Action::Demote { reason: DemoteReason::LinkDown, held: true } => "+link",
        Action::Demote { reason: DemoteReason::LinkDown, held: false } => "-link",
        Action::Demote { reason: DemoteReason::SendErrors, held: true } => "+send",
        Action::Demote { reason: DemoteReason::SendErrors, held: false } => "-send",
        Action::FailoverAbandoned => "abandoned",
        Action::Rejected(_) => "rejected",
    };
    let words: Vec<&str> = actions.iter().map(short).collect();
    [&[vhost.state().name()][..], &words].concat().join(" ")
}

/// Stopped with the link up; configured without a link; BACKUP; MASTER; MASTER
/// that hands over.
fn starts() -> [(Vhost, Timestamp); 5] {
    let mut stopped = Vhost::new(config(), 1).unwrap();
    do_all(&mut stopped, START, &[Event::Up]);
    let mut no_link = Vhost::new(config(), 1).unwrap();
    do_all(&mut no_link, START, &[Event::Configured, Event::Down]);
    let (mut yielding, now) = master(config());
    do_all(&mut yielding, now, &[Event::Failover]);
    [
        (stopped, START),
        (no_link, START),
        (backup(config()), START),
        master(config()),
        (yielding, now),
    ]
}

/// Stands for [`Event::Timer`] at the next deadline; else it comes too early.
const DUE: &str = "timer, due";

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let demoted = |heard: Heard, demotion| Heard { demotion, ..heard };
    let fast = Pace::fast(Duration::from_millis(10), 0).unwrap();
    let source = Addr::from_v4_octets([10, 9, 0, 1]);
    let stay = ["INIT", "INIT", "BACKUP", "MASTER", "MASTER"];
    let table: &[(&str, &[Event], [&str; 5])] = &[
        // event, stopped, no link, BACKUP, MASTER, MASTER that hands over
        (
            "configured",
            &[Event::Configured],
            ["BACKUP backup", "INIT", "BACKUP", "MASTER", "MASTER"],
        ),
        (
            "stop",
            &[Event::Stop],
            ["INIT", "INIT -link", "INIT init", "INIT bow-out init", "INIT bow-out init"],
        ),
        ("up", &[Event::Up], ["INIT", "BACKUP backup -link", "BACKUP", "MASTER", "MASTER"]),
        (
            "down",
            &[Event::Down],
            ["INIT", "INIT", "INIT init +link", "INIT init +link", "INIT init +link"],
        ),
        ("timer, early", &[Event::Timer], stay),
        (
            DUE,
            &[Event::Timer],
            ["INIT", "INIT", "MASTER master advert announce", "MASTER advert", "MASTER bow-out"],
        ),
        (
            "demote",
            &[Event::Demote(1)],
            ["INIT", "INIT", "BACKUP", "MASTER advert", "MASTER bow-out"],
        ),
        ("the same demotion", &[Event::Demote(0)], stay),
        ("failover", &[Event::Failover], ["INIT", "INIT", "BACKUP", "MASTER bow-out", "MASTER"]),
        ("reclaim", &[Event::Reclaim], stay),
        ("preempt", &[Event::SetPreempt(true)], stay),
        (
            "pace",
            &[Event::SetPace(Pace::classic(2, 0).unwrap())],
            ["INIT", "INIT", "BACKUP", "MASTER advert", "MASTER bow-out"],
        ),
        (
            "a fast pace without a required trailer",
            &[Event::SetPace(fast)],
            [
                "INIT rejected",
                "INIT rejected",
                "BACKUP rejected",
                "MASTER rejected",
                "MASTER rejected",
            ],
        ),
        ("source", &[Event::SetSource(source)], stay),
        ("sent", &[Event::SendOk; 3], stay),
        (
            "two failures",
            &[Event::SendFailed, Event::SendFailed, Event::SendOk, Event::SendFailed],
            stay,
        ),
        (
            "three failures",
            &[Event::SendFailed; 3],
            ["INIT", "INIT", "BACKUP +send", "MASTER +send", "MASTER +send"],
        ),
        (
            "three failures, three successes",
            &[
                Event::SendFailed,
                Event::SendFailed,
                Event::SendFailed,
                Event::SendOk,
                Event::SendOk,
                Event::SendOk,
            ],
            ["INIT", "INIT", "BACKUP +send -send", "MASTER +send -send", "MASTER +send -send"],
        ),
        (
            "a better advert",
            &[Event::Advert(with_pace(1, 99))],
            ["INIT", "INIT", "BACKUP", "BACKUP backup", "BACKUP backup"],
        ),
        (
            "an equal advert of a lower node",
            &[Event::Advert(from_node(4))],
            ["INIT", "INIT", "BACKUP", "BACKUP backup", "BACKUP backup"],
        ),
        (
            "an equal advert of a higher node",
            &[Event::Advert(from_node(6))],
            ["INIT", "INIT", "BACKUP", "MASTER advert announce", "BACKUP backup"],
        ),
        (
            "a worse advert",
            &[Event::Advert(with_pace(1, 101))],
            ["INIT", "INIT", "BACKUP", "MASTER advert announce", "BACKUP backup"],
        ),
        (
            "an advert too slow",
            &[Event::Advert(with_pace(4, 0))],
            [
                "INIT",
                "INIT",
                "MASTER master advert announce",
                "MASTER advert announce",
                "BACKUP backup",
            ],
        ),
        (
            "a bow-out",
            &[Event::Advert(with_pace(255, 255))],
            ["INIT", "INIT", "MASTER master advert announce", "MASTER advert announce", "MASTER"],
        ),
        (
            "a better advert, but demoted",
            &[Event::Advert(demoted(with_pace(1, 0), 1))],
            [
                "INIT",
                "INIT",
                "MASTER master advert announce",
                "MASTER advert announce",
                "MASTER advert abandoned",
            ],
        ),
        (
            "a worse advert when demoted",
            &[Event::Demote(1), Event::Advert(with_pace(1, 254))],
            ["INIT", "INIT", "BACKUP", "BACKUP advert backup", "BACKUP bow-out backup"],
        ),
        ("an own advert", &[Event::Advert(from_node(5))], stay),
    ];
    for (name, events, expected) in table {
        for ((mut vhost, mut now), expected) in starts().into_iter().zip(expected) {
            let before = vhost.state().name();
            if *name == DUE {
                now = vhost.next_deadline().map_or(now, |deadline| deadline.at);
            }
            let actions = do_all(&mut vhost, now, events);
            assert_eq!(said(&vhost, &actions), *expected, "{name} in {before}");
        }
    }
}

#[test]
fn no_timer_fires_a_nanosecond_early() {
    // State and reason, and what it does when it is due.
    let (advertiser, since) = master(config());
    let mut announcer = advertiser.clone();
    announcer.timers.advertise = None;
    let mut yielding = advertiser.clone();
    do_all(&mut yielding, since, &[Event::Failover]);
    yielding.timers.advertise = None;
    yielding.timers.announce = None;
    let cases = [
        (
            backup(config()),
            DeadlineReason::MasterDown(Af::V4),
            START,
            DOWN,
            "master advert announce",
        ),
        (advertiser, DeadlineReason::Advertise, since, INTERVAL, "advert"),
        (announcer, DeadlineReason::Announce, since, INTERVAL * 2, "announce"),
        (yielding, DeadlineReason::GiveUp, since, DOWN, "advert abandoned"),
    ];
    for (vhost, reason, since, wait, expected) in cases {
        let at = since.saturating_add(wait);
        assert_eq!(vhost.next_deadline(), Some(Deadline { at, reason }));
        let before = Timestamp::from_nanos(at.as_nanos() - 1);
        let mut early = vhost.clone();
        assert_eq!(do_all(&mut early, before, &[Event::Timer]), []);
        assert_eq!(early.next_deadline(), vhost.next_deadline());
        for now in [at, at.saturating_add(NANO)] {
            let mut due = vhost.clone();
            let actions = do_all(&mut due, now, &[Event::Timer]);
            assert_eq!(said(&due, &actions), format!("MASTER {expected}"), "{reason:?}");
            assert!(due.next_deadline().unwrap().at > now);
        }
    }
}

#[test]
fn adverts_keep_their_beat_but_never_follow_closely() {
    let (vhost, since) = master(config());
    let due = since.saturating_add(INTERVAL);
    for (late, next) in [
        (Duration::ZERO, due.saturating_add(INTERVAL)),
        (INTERVAL / 2 - NANO, due.saturating_add(INTERVAL)),
        (INTERVAL / 2, due.saturating_add(INTERVAL / 2 + INTERVAL)),
        (INTERVAL * 9, due.saturating_add(INTERVAL * 10)),
    ] {
        let mut vhost = vhost.clone();
        vhost.timers.announce = None;
        let now = due.saturating_add(late);
        assert_eq!(
            said(&vhost.clone(), &do_all(&mut vhost, now, &[Event::Timer])),
            "MASTER advert"
        );
        assert_eq!(vhost.next_deadline().unwrap().at, next, "{late:?}");
    }
}

#[test]
fn a_late_end_of_silence_proves_nothing_once() {
    let end = START.saturating_add(DOWN);
    let mut punctual = backup(config());
    do_all(&mut punctual, end.saturating_add(INTERVAL / 2), &[Event::Timer]);
    assert_eq!(punctual.state(), State::Master);

    let mut stalled = backup(config());
    let now = end.saturating_add(INTERVAL / 2 + NANO);
    assert_eq!(do_all(&mut stalled, now, &[Event::Timer]), []);
    assert_eq!((stalled.state(), stalled.counters().late), (State::Backup, 1));
    let again = now.saturating_add(INTERVAL);
    assert_eq!(stalled.next_deadline().unwrap().at, again);

    // An advert that waited behind the stall ends the matter.
    let mut relieved = stalled.clone();
    do_all(&mut relieved, again, &[Event::Advert(heard()), Event::Timer]);
    assert_eq!(relieved.state(), State::Backup);
    assert_eq!(relieved.next_deadline().unwrap().at, again.saturating_add(DOWN));

    // Without one it takes over, however late again.
    do_all(&mut stalled, again.saturating_add(DOWN), &[Event::Timer]);
    assert_eq!((stalled.state(), stalled.counters().late), (State::Master, 1));
}

#[test]
fn announcements_are_repeated_twice_and_then_cease() {
    let trailer = TrailerPolicy::Require;
    let pace = Pace::fast(Duration::from_millis(10), 0).unwrap();
    let (mut vhost, since) = master(VhostConfig { pace, trailer, ..config() });
    let mut times = Vec::new();
    let mut now = since;
    while now < since.saturating_add(Duration::from_secs(5)) {
        now = vhost.next_deadline().unwrap().at;
        if do_all(&mut vhost, now, &[Event::Timer]).contains(&Action::Announce) {
            times.push(now.since(since));
        }
    }
    assert_eq!(times, [Duration::from_millis(20), Duration::from_millis(1020)]);
}

#[test]
fn an_unproven_advert_restarts_the_silence_of_its_family_and_a_proven_one_of_both() {
    let both = VhostConfig { families: Families::Both, ..config() };
    let later = START.saturating_add(INTERVAL);
    let (first, restarted) = (START.saturating_add(DOWN), later.saturating_add(DOWN));
    for (heard, v4, v6) in [
        (Heard { trailer: None, ..heard() }, restarted, first),
        (Heard { trailer: None, family: Af::V6, ..heard() }, first, restarted),
        (heard(), restarted, restarted),
    ] {
        let mut vhost = backup(both);
        do_all(&mut vhost, later, &[Event::Advert(heard)]);
        assert_eq!((vhost.timers.down_v4, vhost.timers.down_v6), (Some(v4), Some(v6)));
    }
    // Either silence is enough.
    let mut vhost = backup(both);
    do_all(&mut vhost, later, &[Event::Advert(Heard { trailer: None, ..heard() })]);
    do_all(&mut vhost, first, &[Event::Timer]);
    assert_eq!(vhost.state(), State::Master);
}

#[test]
fn a_vhost_of_both_families_advertises_in_both_with_rising_sequences() {
    let (mut vhost, since) = master(VhostConfig { families: Families::Both, ..config() });
    let mut sequence = vhost.status().sequence;
    assert_eq!(sequence, 2);
    let mut now = since;
    for _ in 0..5 {
        now = now.saturating_add(INTERVAL);
        let mut families = Vec::new();
        for action in do_all(&mut vhost, now, &[Event::Timer]) {
            if let Action::SendAdvert(outgoing) = action {
                families.push(outgoing.family);
                assert_eq!(outgoing.sequence, sequence + 1);
                sequence = outgoing.sequence;
            }
        }
        assert_eq!(families, [Af::V4, Af::V6]);
    }
    assert_eq!((vhost.counters().opackets, vhost.counters().opackets6), (6, 6));
}

#[test]
fn preemption_and_demotion_follow_the_rules_of_a_backup() {
    let (worse, equal, better, slow) = ((1, 101), (1, 100), (1, 99), (9, 0));
    let follow = Reason::Started;
    for (preempt, pace, theirs, expected) in [
        (true, worse, 0, follow),
        (true, worse, 1, Reason::Preempt),
        (true, worse, 2, Reason::Preempt),
        (true, equal, 1, follow),
        (true, equal, 2, Reason::MasterDemoted),
        (true, better, 1, follow),
        (true, better, 2, Reason::MasterDemoted),
        (false, worse, 1, follow),
        (false, worse, 2, Reason::MasterDemoted),
        (false, slow, 1, Reason::MasterSlow),
        // A MASTER too slow is replaced even by one that is demoted more.
        (false, slow, 0, Reason::MasterSlow),
    ] {
        let mut vhost = backup(VhostConfig { preempt, ..config() });
        let heard = Heard { demotion: theirs, ..with_pace(pace.0, pace.1) };
        do_all(&mut vhost, START, &[Event::Demote(1), Event::Advert(heard)]);
        let got = (vhost.status().reason, vhost.state() == State::Master);
        assert_eq!(got, (expected, expected != follow), "{preempt} {pace:?} {theirs}");
    }
}

#[test]
fn a_tie_with_a_classic_peer_is_decided_as_ucarp_does() {
    let address = |text: &str| text.parse::<std::net::IpAddr>().unwrap().into();
    for (own, theirs, families, stays) in [
        // Recorded: of two ucarps with equal pace the one with 10.9.1.1 won.
        (Some("10.9.0.20"), "10.9.1.1", Families::V4, false),
        (Some("10.9.1.1"), "10.9.0.20", Families::V4, true),
        (Some("10.9.0.1"), "10.9.0.2", Families::V4, true),
        (Some("10.9.0.1"), "0.0.0.0", Families::V4, false),
        // Not knowing the own address it yields, as BSD.
        (None, "10.9.0.2", Families::V4, false),
        (Some("fe80::1"), "fe80::2", Families::V6, true),
        (Some("fe80::2"), "fe80::1", Families::V6, false),
        (Some("fe80::2"), "fe80::1", Families::Both, true),
    ] {
        let (mut vhost, now) = master(VhostConfig { families, ..config() });
        if let Some(own) = own {
            do_all(&mut vhost, now, &[Event::SetSource(address(own))]);
        }
        let from: Addr = address(theirs);
        let heard = Heard { from, family: from.af(), trailer: None, ..heard() };
        do_all(&mut vhost, now, &[Event::Advert(heard)]);
        assert_eq!(vhost.state() == State::Master, stays, "{own:?} hears {theirs}");
    }
}

#[test]
fn a_worse_master_is_answered_at_most_once_in_an_interval() {
    let (mut vhost, since) = master(config());
    let worse = Event::Advert(with_pace(1, 200));
    let answers = |vhost: &mut Vhost, after| {
        let now = since.saturating_add(after);
        do_all(vhost, now, &[worse; 3]).iter().filter(|action| **action == Action::Announce).count()
    };
    assert_eq!(answers(&mut vhost, Duration::ZERO), 1);
    assert_eq!(answers(&mut vhost, INTERVAL - NANO), 0);
    assert_eq!(answers(&mut vhost, INTERVAL), 1);
}

#[test]
fn a_failover_waits_for_the_successor_and_is_not_undone_by_preemption() {
    let (mut vhost, now) = master(VhostConfig { preempt: true, ..config() });
    do_all(&mut vhost, now, &[Event::Failover]);
    assert!(vhost.status().yielding && vhost.state() == State::Master);
    // Its adverts stay bow-outs until the successor is heard.
    let next = now.saturating_add(INTERVAL);
    assert_eq!(said(&vhost.clone(), &do_all(&mut vhost, next, &[Event::Timer])), "MASTER bow-out");
    let worse = Event::Advert(with_pace(1, 200));
    do_all(&mut vhost, next, &[worse]);
    assert_eq!(vhost.status().reason, Reason::HandedOver);
    do_all(&mut vhost, next, &[worse]);
    assert_eq!(vhost.state(), State::Backup);
    // A demoted successor is relieved all the same.
    let mut relieving = vhost.clone();
    let demoted = Heard { demotion: 1, ..with_pace(1, 200) };
    do_all(&mut relieving, next, &[Event::Advert(demoted)]);
    assert_eq!(relieving.status().reason, Reason::MasterDemoted);
    do_all(&mut vhost, next, &[Event::Reclaim, worse]);
    assert_eq!(vhost.status().reason, Reason::Preempt);
}

#[test]
fn a_failover_without_a_successor_ends_where_it_began() {
    let (mut vhost, now) = master(config());
    do_all(&mut vhost, now, &[Event::Failover]);
    let mut now = now;
    let mut all = Vec::new();
    while vhost.status().yielding {
        now = vhost.next_deadline().unwrap().at;
        all.extend(do_all(&mut vhost, now, &[Event::Timer]));
    }
    assert_eq!(said(&vhost, &all), "MASTER bow-out bow-out announce advert abandoned");
    assert_eq!(vhost.status().since.saturating_add(DOWN), now);
}

#[test]
fn a_late_bow_out_of_a_former_master_is_not_followed() {
    let bow_out = |node| {
        let heard = from_node(node);
        Event::Advert(Heard { advbase: 255, advskew: 255, ..heard })
    };
    let mut vhost = backup(config());
    do_all(&mut vhost, START, &[Event::Advert(from_node(9)), bow_out(8)]);
    assert_eq!(vhost.state(), State::Backup);
    do_all(&mut vhost, START, &[bow_out(9)]);
    assert_eq!(vhost.state(), State::Master);
}

#[test]
fn a_fast_pace_is_for_those_who_require_the_trailer() {
    let pace = Pace::fast(Duration::from_millis(10), 0).unwrap();
    for trailer in [TrailerPolicy::Off, TrailerPolicy::Use] {
        let refused = Vhost::new(VhostConfig { pace, trailer, ..config() }, 1).unwrap_err();
        assert_eq!(refused, ConfigError::FastNeedsTrailer);
    }
    let (mut vhost, now) =
        master(VhostConfig { pace, trailer: TrailerPolicy::Require, ..config() });
    assert_eq!(now.since(START), Duration::from_millis(30));
    // A slower Evergate yields to it, whatever it says in whole seconds.
    let slow = with_pace(1, 0);
    do_all(&mut vhost, now, &[Event::Advert(slow)]);
    assert_eq!(vhost.state(), State::Master);
    let trailer = Trailer { interval: Some(Duration::from_millis(10)), ..heard().trailer.unwrap() };
    let fast = Heard { trailer: Some(Trailer { sender: NodeId(1), ..trailer }), ..slow };
    do_all(&mut vhost, now, &[Event::Advert(fast)]);
    assert_eq!(vhost.state(), State::Backup);
}

#[test]
fn counters_and_status_tell_what_happened() {
    let (mut vhost, now) = master(config());
    do_all(&mut vhost, now, &[Event::Advert(with_pace(1, 0))]);
    let status = vhost.status();
    assert_eq!(
        (status.state, status.since, status.reason),
        (State::Backup, now, Reason::Outranked)
    );
    let last = status.last_heard.unwrap();
    assert_eq!((last.at, last.from, last.node), (now, heard().from, Some((NodeId(9), 1))));
    assert_eq!(vhost.counters().ostates, 3);
    assert_eq!((vhost.counters().opackets, vhost.counters().preempt), (1, 0));
}

/// OpenBSD's `carp_proto_input_c`, in its own order, with times in microseconds.
fn openbsd(state: State, mine: (u8, u8, u8), theirs: (u8, u8, u8), preempt: bool) -> State {
    let micros = |base: u64, skew: u8| base * 1_000_000 + u64::from(skew) * 1_000_000 / 256;
    let (own, other) = (micros(mine.0.into(), mine.1), micros(theirs.0.into(), theirs.1));
    let down = micros(u64::from(mine.0) * 3, mine.1);
    let better = match state {
        State::Init => return State::Init,
        State::Master => theirs.2 < mine.2 || (theirs.2 == mine.2 && other <= own),
        State::Backup => {
            let takes_over = (preempt && own < other && theirs.2 >= mine.2)
                || theirs.2 > mine.2
                || (mine.0 > 0 && down < other);
            !takes_over
        }
    };
    if better { State::Backup } else { State::Master }
}

fn any_event() -> impl Strategy<Value = Event> {
    let pace = (0..4_u8, 0..=254_u8).prop_map(|(base, skew)| Pace::classic(base, skew).unwrap());
    let advert = (any::<[u8; 2]>(), 0..3_u16, 1..8_u64, any::<[bool; 3]>());
    let advert = advert.prop_map(|([base, advskew], demotion, node, [v6, trailer, few])| {
        let heard = from_node(node);
        let family = if v6 { Af::V6 } else { Af::V4 };
        let advbase = if few { base % 4 } else { base };
        let trailer = heard.trailer.filter(|_| trailer);
        Heard { advbase, advskew, demotion, family, trailer, ..heard }
    });
    prop_oneof![
        5 => Just(Event::Timer),
        5 => advert.prop_map(Event::Advert),
        1 => Just(Event::Configured),
        1 => Just(Event::Stop),
        1 => Just(Event::Up),
        1 => Just(Event::Down),
        1 => Just(Event::Failover),
        1 => Just(Event::Reclaim),
        1 => any::<bool>().prop_map(Event::SetPreempt),
        1 => pace.prop_map(Event::SetPace),
        1 => (0..3_u16).prop_map(Event::Demote),
        2 => Just(Event::SendFailed),
        1 => Just(Event::SendOk),
    ]
}

proptest! {
    #[test]
    fn without_trailer_and_address_the_election_is_openbsds(
        mine in (0..4_u8, 0..=254_u8, 0..3_u8),
        theirs in (0..13_u8, 0..=254_u8, 0..3_u8),
        same in any::<bool>(),
        preempt in any::<bool>(),
        in_master in any::<bool>(),
    ) {
        let theirs = if same { (mine.0, mine.1, theirs.2) } else { theirs };
        let pace = Pace::classic(mine.0, mine.1).unwrap();
        let config = VhostConfig { pace, preempt, ..config() };
        let (mut vhost, now) = if in_master { master(config) } else { (backup(config), START) };
        let before = vhost.state();
        let heard = Heard {
            demotion: theirs.2.into(),
            trailer: None,
            ..with_pace(theirs.0, theirs.1)
        };
        do_all(&mut vhost, now, &[Event::Demote(mine.2.into()), Event::Advert(heard)]);
        prop_assert_eq!(vhost.state(), openbsd(before, mine, theirs, preempt));
    }

    #[test]
    fn of_two_equal_masters_exactly_one_yields(node in any::<u64>(), other in any::<u64>()) {
        prop_assume!(node != other);
        let yields = |own: u64, theirs: u64| {
            let (mut vhost, now) = master(VhostConfig { node: NodeId(own), ..config() });
            do_all(&mut vhost, now, &[Event::Advert(from_node(theirs))]);
            vhost.state() == State::Backup
        };
        prop_assert!(yields(node, other) != yields(other, node));
        prop_assert_eq!(yields(node, other), node.cmp(&other) == Ordering::Greater);
    }

    #[test]
    fn whatever_happens_actions_are_few_and_deadlines_lie_ahead(
        events in prop::collection::vec((any_event(), 0..2_000_000_000_u64), 1..60),
        families in prop::sample::select(vec![Families::V4, Families::V6, Families::Both]),
    ) {
        let mut vhost = Vhost::new(VhostConfig { families, ..config() }, 3).unwrap();
        let mut now = START;
        let mut demotions = 0_i32;
        let mut sequence = 0;
        for (event, wait) in events {
            now = now.saturating_add(Duration::from_nanos(wait));
            let before = vhost.state();
            let actions = do_all(&mut vhost, now, &[event]);
            prop_assert!(actions.len() <= ACTIONS_MAX, "{event:?}: {actions:?}");
            let mut told = before;
            for action in &actions {
                match action {
                    Action::BecameMaster { .. } => told = State::Master,
                    Action::BecameBackup { .. } => told = State::Backup,
                    Action::BecameInit { .. } => told = State::Init,
                    Action::Demote { held, .. } => demotions += if *held { 1 } else { -1 },
                    Action::SendAdvert(outgoing) => {
                        prop_assert!(told == State::Master && outgoing.sequence > sequence);
                        sequence = outgoing.sequence;
                    }
                    Action::Announce => prop_assert_eq!(told, State::Master),
                    Action::FailoverAbandoned | Action::Rejected(_) => {}
                }
            }
            prop_assert_eq!(told, vhost.state());
            prop_assert!((0..=2).contains(&demotions));
            prop_assert_eq!(vhost.next_deadline().is_none(), told == State::Init);
            if event == Event::Timer {
                prop_assert!(vhost.next_deadline().is_none_or(|deadline| deadline.at > now));
            }
        }
    }
}
