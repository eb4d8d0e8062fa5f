use evergate_guest::testing::{decide, forwarded, inspect, start, tcp, udp};

use super::*;

#[test]
fn the_suites_hold() {
    for (suite, messages) in cases::suites() {
        let mut policy = start::<DnsFilter>(&suite).unwrap();
        for case in messages {
            assert_eq!(decide(&mut policy, 0, &case.request), Verdict::inspect(0));
            let verdict = inspect(&mut policy, &case.request, &case.payload, case.end);
            assert_eq!(verdict, case.verdict, "{}: {}", suite.name, case.claim);
        }
    }
}

#[test]
fn other_ports_are_for_the_next_policy() {
    let (suite, _) = &cases::suites()[0];
    let mut policy = start::<DnsFilter>(suite).unwrap();
    for packet in [udp("10.0.0.5:53", "192.0.2.1:5353"), tcp("10.0.0.5:53", "192.0.2.1:80")] {
        assert_eq!(decide(&mut policy, 0, &forwarded(1, 2, packet)), Verdict::go_on());
    }
}

#[test]
fn no_bytes_harm() {
    let query = cases::query("www.example.com");
    for at in 0..query.len() {
        for value in 0..=255 {
            let mut broken = query.clone();
            broken[at] = value;
            let _ = read(&broken);
            let _ = read(&broken[..at]);
        }
    }
}
