//! Whole connections between two simulated endpoints, over a path that loses,
//! repeats and reorders: whatever an endpoint may legally send passes, and the
//! connection completes; what an outsider makes up does not pass.

mod endpoint;

use std::collections::VecDeque;

use evergate_wire::{DropReason, Tcp};
use proptest::prelude::*;

use super::*;
use crate::testing::{begin, seconds, tcp as packet};
use crate::{State, Track, Tracking};
use endpoint::{Endpoint, Traits};

/// A xorshift generator: all randomness of a run comes from one seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() >> 32) as u32 % bound.max(1)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

/// A segment on its way to the gateway, and what its sender knew: only segments
/// sent by the same knowledge may overtake each other there. (One that is later by
/// whole windows is useless to its receiver and may be dropped.)
type Sent = (Tcp, u64);

struct World {
    random: Random,
    ends: [Endpoint; 2],
    to_gateway: [VecDeque<Sent>; 2],
    to_end: [Vec<Tcp>; 2],
    state: Option<State>,
    tracking: Tracking,
    /// How many more segments pass before the gateway begins to look.
    unwatched: u32,
    losses: bool,
}

impl World {
    fn new(seed: u64, traits: [Traits; 2], tracking: Tracking, unwatched: u32) -> Self {
        let mut random = Random(seed | 1);
        let lo_opens = random.chance(50);
        let [lo, hi] = traits;
        Self {
            random,
            ends: [Endpoint::new(lo, lo_opens), Endpoint::new(hi, !lo_opens)],
            to_gateway: Default::default(),
            to_end: Default::default(),
            state: None,
            tracking,
            unwatched,
            losses: true,
        }
    }

    fn end(&mut self, side: Side) -> &mut Endpoint {
        &mut self.ends[side.index()]
    }

    /// One thing happens somewhere.
    fn step(&mut self) {
        let side = if self.random.chance(50) { Side::Lo } else { Side::Hi };
        match self.random.below(3) {
            0 => self.act(side),
            1 => self.forward(side),
            _ => self.deliver(side),
        }
    }

    fn act(&mut self, side: Side) {
        let choice = self.random.below(100);
        let size = 1 + self.random.below(65_000);
        if let Some(tcp) = self.ends[side.index()].act(choice, size) {
            self.send(side, tcp);
        }
    }

    fn send(&mut self, side: Side, tcp: Tcp) {
        if self.losses && self.random.chance(5) {
            return;
        }
        let epoch = self.ends[side.index()].epoch;
        self.to_gateway[side.index()].push_back((tcp, epoch));
        if self.losses && self.random.chance(3) {
            self.to_gateway[side.index()].push_back((tcp, epoch));
        }
    }

    /// The gateway takes a segment that `side` sent.
    fn forward(&mut self, side: Side) {
        let queue = &self.to_gateway[side.index()];
        let Some(&(_, epoch)) = queue.front() else { return };
        let equals = queue.iter().take_while(|(_, other)| *other == epoch).count();
        let pick = if self.losses { self.random.below(equals as u32) as usize } else { 0 };
        let (tcp, _) = self.to_gateway[side.index()].remove(pick).unwrap();
        self.judge(side, &tcp);
        let to = &mut self.to_end[side.other().index()];
        if !(self.losses && self.random.chance(10)) {
            to.push(tcp);
        }
        if self.losses && self.random.chance(5) {
            to.push(tcp);
        }
    }

    /// Legal segments pass, always.
    fn judge(&mut self, side: Side, tcp: &Tcp) {
        let packet = packet(side, *tcp);
        let Some(state) = &mut self.state else {
            if self.unwatched > 0 {
                self.unwatched -= 1;
            } else {
                self.state = Some(begin(seconds(1), &packet, self.tracking));
            }
            return;
        };
        let before = state.clone();
        let track = state.track(seconds(1), side, &packet);
        assert_eq!(track, Track::Pass, "{side:?} sent {tcp:?} in {before:#?}");
    }

    fn deliver(&mut self, side: Side) {
        let waiting = self.to_end[side.index()].len() as u32;
        if waiting == 0 {
            return;
        }
        let pick = if self.losses { self.random.below(waiting) as usize } else { 0 };
        let tcp = self.to_end[side.index()].remove(pick);
        if let Some(reply) = self.end(side).receive(&tcp) {
            self.send(side, reply);
        }
    }

    /// Lets the connection end over a path that loses nothing any more.
    fn finish(&mut self) {
        self.losses = false;
        for _ in 0..10_000 {
            if self.ends.iter().all(Endpoint::finished) {
                return;
            }
            for side in Side::BOTH {
                if let Some(tcp) = self.end(side).recover() {
                    self.send(side, tcp);
                }
            }
            for side in Side::BOTH {
                while !self.to_gateway[side.index()].is_empty() {
                    self.forward(side);
                }
            }
            for side in Side::BOTH {
                while !self.to_end[side.index()].is_empty() {
                    self.deliver(side);
                }
            }
        }
        panic!("the connection is stuck: {:#?} {:#?}", self.ends, self.state);
    }

    /// A segment that somebody sends who sees nothing of the connection, aimed
    /// far from every window.
    fn forge(&mut self, state: &State) -> Option<(Side, Tcp)> {
        let side = if self.random.chance(50) { Side::Lo } else { Side::Hi };
        let (src, dst) = (state.tcp_peer(side)?, state.tcp_peer(side.other())?);
        let far = 1 << 31;
        let spread = self.random.below(1 << 29);
        let seq = src.seqlo.wrapping_add(far + (1 << 28)).wrapping_sub(spread);
        // A segment without data is judged by its acknowledgement.
        let ack = dst.seqlo.wrapping_add(far + (1 << 28)).wrapping_sub(spread);
        let kinds = [ACK, FIN_ACK, SYN_ACK, RST, RST_ACK];
        let flags = kinds[self.random.below(5) as usize];
        let data_len = self.random.below(2) * self.random.below(65_000);
        Some((side, Tcp { data_len, ..segment(flags, seq, ack) }))
    }

    fn attack(&mut self) {
        let Some(mut state) = self.state.clone() else { return };
        if Side::BOTH
            .iter()
            .any(|side| state.tcp_peer(*side).unwrap().state < TcpState::Established)
        {
            return;
        }
        let before = format!("{state:?}");
        let (side, tcp) = self.forge(&state).unwrap();
        let track = state.track(seconds(2), side, &packet(side, tcp));
        assert_eq!(track, Track::Drop(DropReason::StateMismatch), "{side:?} {tcp:?} {before}");
        assert_eq!(format!("{state:?}"), before);
        let src = state.tcp_peer(side).unwrap();
        let dst = state.tcp_peer(side.other()).unwrap();
        if src.state.max(dst.state) < TcpState::FinWait2 {
            let near = src.seqlo.wrapping_sub(self.random.below(65_535));
            let exact = src.seqlo.wrapping_sub(near) <= 1;
            let reset = segment(RST, near, 0);
            let track = state.track(seconds(2), side, &packet(side, reset));
            assert_eq!(track == Track::Pass, exact, "{near} {before}");
        }
    }
}

fn traits() -> impl Strategy<Value = Traits> {
    let iss = prop_oneof![
        any::<u32>(),
        (0_u32..200_000).prop_map(|offset| 0_u32.wrapping_sub(offset)),
        (0_u32..200_000).prop_map(|offset| (1_u32 << 31).wrapping_sub(offset)),
    ];
    let wscale = prop_oneof![Just(None), (0_u8..=14).prop_map(Some)];
    let buffer = prop_oneof![1_u32..2_000, 2_000_u32..100_000, 100_000_u32..4_000_000];
    let bytes = prop_oneof![0_u32..10, 10_u32..100_000, 100_000_u32..3_000_000];
    (iss, wscale, buffer, bytes).prop_map(|(iss, wscale, buffer, bytes)| {
        // At least one unit of the window field.
        let buffer = buffer.max(1 << wscale.unwrap_or(0));
        Traits { iss, wscale, buffer, bytes }
    })
}

fn run(seed: u64, traits: [Traits; 2], tracking: Tracking, unwatched: u32) -> World {
    let [mut lo, mut hi] = traits;
    // An end within reach, byte by byte if need be.
    lo.bytes = lo.bytes.min(hi.buffer * 200);
    hi.bytes = hi.bytes.min(lo.buffer * 200);
    let traits = [lo, hi];
    let mut world = World::new(seed, traits, tracking, unwatched);
    for _ in 0..600 {
        world.step();
        if tracking == Tracking::Strict {
            world.attack();
        }
    }
    world.finish();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn legal_segments_pass_and_forged_ones_do_not(
        seed: u64, lo in traits(), hi in traits(),
    ) {
        let world = run(seed, [lo, hi], Tracking::Strict, 0);
        let state = world.state.unwrap();
        for side in Side::BOTH {
            prop_assert_eq!(state.peer_name(side), "FIN_WAIT_2");
        }
    }

    #[test]
    fn connections_picked_up_anywhere_go_on(
        seed: u64, lo in traits(), hi in traits(), unwatched in 0_u32..150,
    ) {
        run(seed, [lo, hi], Tracking::Loose, unwatched);
    }
}
