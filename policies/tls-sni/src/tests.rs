use evergate_guest::testing::{decide, forwarded, inspect, start, tcp, udp};
use evergate_guest::{Action, testing};

use super::*;

fn to(port: u16) -> testing::Request {
    forwarded(1, 2, tcp("10.0.0.5:4000", &format!("192.0.2.1:{port}")))
}

#[test]
fn the_suites_hold() {
    for (suite, streams) in cases::suites() {
        let mut policy = start::<TlsSni>(&suite).unwrap();
        for case in streams {
            let verdict = inspect(&mut policy, &to(443), &case.payload, case.end);
            assert_eq!(verdict, case.verdict, "{}: {}", suite.name, case.claim);
        }
    }
}

#[test]
fn only_tls_ports_are_looked_into_and_quic_is_refused() {
    let (suite, _) = &cases::suites()[0];
    let mut policy = start::<TlsSni>(suite).unwrap();
    assert_eq!(decide(&mut policy, 0, &to(443)), Verdict::inspect(0));
    assert_eq!(decide(&mut policy, 0, &to(80)), Verdict::go_on());
    let quic = forwarded(1, 2, udp("10.0.0.5:4000", "192.0.2.1:443"));
    assert_eq!(decide(&mut policy, 0, &quic).into_abi().action, Action::ReturnIcmp);
}

#[test]
fn every_beginning_of_a_hello_wants_more_and_no_bytes_harm() {
    for record in [1, 5, 16_384] {
        let hello = cases::hello(Some("www.example.com"), record);
        let told = |cut: &usize| !matches!(read(&hello[..*cut]), Hello::More);
        let first = (0..hello.len()).find(told).unwrap();
        for cut in first..hello.len() {
            let Hello::Named(name) = read(&hello[..cut]) else { panic!("{cut} of {record}") };
            assert_eq!(name.as_bytes(), b"www.example.com");
        }
        for at in 0..hello.len() {
            for value in [0, 1, 22, 127, 255] {
                let mut broken = hello.clone();
                broken[at] = value;
                let _ = read(&broken);
            }
        }
    }
}
