//! What a policy is told about a state that has ended.

use evergate_abi::{EndCause, Ended};
use evergate_state::{Side, State};
use evergate_wire::{Af, protocol};

pub(crate) fn describe(state: &State, cause: EndCause) -> Ended {
    let (key, options) = (state.key(), state.options());
    let from = state.initiator();
    let (src, dst) = (from.index(), from.other().index());
    let icmp = key.proto == protocol::ICMP || key.proto == protocol::ICMPV6;
    // ICMP keys hold id and type of the query, which are never swapped.
    let (sport, dport) = if icmp { (key.port[0], 0) } else { (key.port[src], key.port[dst]) };
    let both = |of: &dyn Fn(Side) -> u64| [of(from), of(from.other())];
    let duration = state.last_seen().since(state.created());
    Ended {
        af: match key.af {
            Af::V4 => 4,
            Af::V6 => 6,
        },
        proto: key.proto,
        cause,
        src: key.addr[src].octets(),
        dst: key.addr[dst].octets(),
        sport,
        dport,
        in_if: options.in_if,
        out_if: options.out_if,
        rule: options.rule,
        tag: options.tag,
        label: options.label,
        duration_s: u32::try_from(duration.as_secs()).unwrap_or(u32::MAX),
        packets: both(&|side| state.packets(side)),
        bytes: both(&|side| state.bytes(side)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use evergate_state::{StateId, StateOptions, key_of};
    use evergate_wire::Timestamp;

    #[test]
    fn the_end_that_began_comes_first_whatever_its_place_in_the_key() {
        let id = StateId { id: 1, creator: 1 };
        let seconds = |n: u64| Timestamp::from_nanos(n * 1_000_000_000);
        for (a, b) in [([10, 0, 0, 1], [10, 0, 0, 2]), ([10, 0, 0, 2], [10, 0, 0, 1])] {
            let packet = |from: [u8; 4], ports: (u16, u16), to: [u8; 4]| {
                let mut bytes = Vec::new();
                let step = PacketBuilder::ipv4(from, to, 64).udp(ports.0, ports.1);
                step.write(&mut bytes, &[0; 72]).unwrap();
                evergate_wire::parse(&bytes).unwrap()
            };
            let (first, back) = (packet(a, (40, 53), b), packet(b, (53, 40), a));
            let (key, side) = key_of(&first).unwrap();
            let options = StateOptions { rule: 7, label: 8, in_if: 1, ..StateOptions::default() };
            let mut state = State::create(id, seconds(100), key, side, &first, options).unwrap();
            for _ in 0..2 {
                let _ = state.track(seconds(105), side.other(), &back);
            }
            let ended = describe(&state, EndCause::Killed);
            let last = |octets: [u8; 16]| [octets[12], octets[13], octets[14], octets[15]];
            assert_eq!((last(ended.src), last(ended.dst)), (a, b));
            assert_eq!((ended.sport, ended.dport, ended.proto, ended.af), (40, 53, 17, 4));
            assert_eq!((ended.packets, ended.bytes), ([1, 2], [100, 200]));
            assert_eq!((ended.rule, ended.label, ended.in_if), (7, 8, 1));
            assert_eq!((ended.duration_s, ended.cause), (5, EndCause::Killed));
        }
    }
}
