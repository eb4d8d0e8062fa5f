//! QUIC keeps the contract of transports, through relays that lose packets.

mod common;

use evergate_sync_transport::contract;

use common::Quic;

#[test]
fn quic_keeps_the_contract() {
    for case in contract::cases::<Quic>() {
        let start = std::time::Instant::now();
        print!("{} ", case.name);
        case.run();
        println!("{:?}", start.elapsed());
    }
}
