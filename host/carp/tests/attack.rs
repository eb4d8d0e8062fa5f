//! What an attacker on the segment, without the passphrase, can do with adverts
//! that were recorded: everything against `off`, nothing against `require`.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use evergate_carp::auth::LinkLocal;
use evergate_carp::packet::GROUP_V4;
use evergate_carp::{
    Action, Datagram, Endpoint, EndpointConfig, Event, Families, NodeId, Pace, Passphrase, Reach,
    Reason, Refused, State, TrailerPolicy, Vhid, Vhost, VhostConfig, VirtualAddresses,
};
use evergate_wire::{Addr, Timestamp, checksum};

/// A gateway: its machine and its endpoint, fed with bytes only.
struct Gateway {
    vhost: Vhost,
    endpoint: Endpoint,
    now: Timestamp,
}

impl Gateway {
    fn new(node: u64, advskew: u8, trailer: TrailerPolicy) -> Self {
        let vhid = Vhid::new(1).unwrap();
        let pace = Pace::classic(1, advskew).unwrap();
        let config = VhostConfig {
            epoch: 5,
            trailer,
            ..VhostConfig::new(vhid, NodeId(node), Families::V4, pace)
        };
        let endpoint = Endpoint::new(EndpointConfig {
            vhid,
            passphrase: Passphrase::new(b"unknown to others").unwrap(),
            addresses: VirtualAddresses::new(&[Addr::from_v4_octets([10, 9, 0, 100])]).unwrap(),
            link_local: LinkLocal::default(),
            lladdr: None,
            reach: Reach::Multicast,
            node: NodeId(node),
            epoch: 5,
            trailer,
        });
        let vhost = Vhost::new(config, node).unwrap();
        let mut gateway = Self { vhost, endpoint: endpoint.unwrap(), now: Timestamp::ZERO };
        gateway.handle(Event::Configured);
        gateway.handle(Event::Up);
        gateway
    }

    fn handle(&mut self, event: Event) -> Vec<Vec<u8>> {
        let mut actions = Vec::new();
        self.vhost.handle(self.now, event, &mut actions);
        let mut sent = Vec::new();
        for action in actions {
            if let Action::SendAdvert(outgoing) = action {
                sent.push(self.endpoint.seal(&outgoing));
            }
        }
        sent
    }

    /// Lets the next deadline come.
    fn wait(&mut self) -> Vec<Vec<u8>> {
        self.now = self.vhost.next_deadline().unwrap().at;
        self.handle(Event::Timer)
    }

    fn receive(&mut self, payload: &[u8]) -> Result<(), Refused> {
        let from = Addr::from_v4_octets([10, 9, 0, 66]);
        let datagram = Datagram { from, to: GROUP_V4, ttl: 255, payload };
        let heard = self.endpoint.open(&datagram)?;
        self.handle(Event::Advert(heard));
        Ok(())
    }
}

/// A cluster whose first MASTER's adverts were recorded: the second, better one
/// is MASTER now and the first follows.
fn recorded(trailer: TrailerPolicy) -> (Gateway, Gateway, Vec<u8>) {
    let mut first = Gateway::new(1, 100, trailer);
    let sniffed = first.wait().remove(0);
    let mut second = Gateway::new(2, 0, trailer);
    let sent = second.wait().remove(0);
    assert_eq!(second.receive(&sniffed), Ok(()));
    assert_eq!(first.receive(&sent), Ok(()));
    assert_eq!((first.vhost.state(), second.vhost.state()), (State::Backup, State::Master));
    (first, second, sniffed)
}

/// The advert with other skew and base and the checksum made right, as anybody
/// can do it; a trailer behind stays as it was.
fn edited(payload: &[u8], advbase: u8, advskew: u8) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    (bytes[2], bytes[5]) = (advskew, advbase);
    bytes[6..8].fill(0);
    let check = checksum::checksum(&bytes[..36]);
    bytes[6..8].copy_from_slice(&check.to_be_bytes());
    bytes
}

#[test]
fn an_edited_skew_deposes_a_classic_master_for_as_long_as_it_is_sent() {
    let (_, mut master, sniffed) = recorded(TrailerPolicy::Off);
    let forged = edited(&sniffed, 0, 1);
    assert_eq!(master.receive(&forged), Ok(()));
    assert_eq!(master.vhost.state(), State::Backup);
    for _ in 0..16 {
        master.now = Timestamp::from_nanos(master.now.as_nanos() + 500_000_000);
        assert_eq!(master.receive(&forged), Ok(()));
        master.handle(Event::Timer);
        assert_eq!(master.vhost.state(), State::Backup);
    }
}

#[test]
fn a_forged_bow_out_makes_a_classic_backup_take_over() {
    let mut master = Gateway::new(2, 0, TrailerPolicy::Off);
    let mut backup = Gateway::new(1, 100, TrailerPolicy::Off);
    let sniffed = master.wait().remove(0);
    assert_eq!(backup.receive(&sniffed), Ok(()));
    assert_eq!(backup.receive(&edited(&sniffed, 255, 255)), Ok(()));
    assert_eq!(backup.vhost.state(), State::Master);
    assert_eq!(backup.vhost.status().reason, Reason::MasterLeft);
}

#[test]
fn a_replayed_advert_keeps_a_classic_backup_quiet_when_its_master_is_dead() {
    let (mut backup, mut master, _) = recorded(TrailerPolicy::Off);
    let replayed = master.wait().remove(0);
    for _ in 0..8 {
        backup.now = Timestamp::from_nanos(backup.now.as_nanos() + 2_000_000_000);
        assert_eq!(backup.receive(&replayed), Ok(()));
        backup.handle(Event::Timer);
        assert_eq!(backup.vhost.state(), State::Backup);
    }
}

#[test]
fn all_of_it_fails_where_the_trailer_is_required() {
    let (mut backup, mut master, sniffed) = recorded(TrailerPolicy::Require);
    let newest = master.wait().remove(0);
    assert_eq!(backup.receive(&newest), Ok(()));
    for (target, original) in [(&mut master, &sniffed), (&mut backup, &newest)] {
        let state = target.vhost.state();
        for (advbase, advskew) in [(0, 1), (2, 0), (255, 255)] {
            let forged = edited(original, advbase, advskew);
            assert_eq!(target.receive(&forged), Err(Refused::BadTag));
            // Cut off, the advert is a classic one.
            assert_eq!(target.receive(&forged[..36]), Err(Refused::NoTrailer));
        }
        // As it was, but again.
        let refused = target.receive(original).unwrap_err();
        assert!(matches!(refused, Refused::Replay { .. }), "{refused}");
        assert_eq!(target.vhost.state(), state);
    }
    // An own advert that comes back is a loop.
    assert_eq!(master.receive(&newest), Ok(()));
    assert_eq!((master.vhost.state(), master.vhost.counters().loops), (State::Master, 1));
    assert!(matches!(backup.receive(&newest), Err(Refused::Replay { sender: 2, .. })));
    // And the replays do not keep the BACKUP quiet.
    backup.wait();
    assert_eq!(backup.vhost.state(), State::Master);
    let counters = backup.endpoint.counters();
    assert_eq!((counters.badtag, counters.notrailer, counters.replay), (3, 3, 2));
}

#[test]
fn use_believes_what_was_cut_off() {
    // Told in the documentation of the policy: this is not safety.
    let (_, mut master, sniffed) = recorded(TrailerPolicy::Use);
    assert_eq!(master.receive(&edited(&sniffed, 0, 1)), Err(Refused::BadTag));
    assert_eq!(master.receive(&edited(&sniffed[..36], 0, 1)), Ok(()));
    assert_eq!(master.vhost.state(), State::Backup);
}

#[test]
fn a_restarted_receiver_that_was_given_its_memory_back_knows_old_adverts() {
    let (_, _, sniffed) = recorded(TrailerPolicy::Require);
    let kept: Vec<_> = {
        let mut third = Gateway::new(3, 50, TrailerPolicy::Require);
        third.receive(&sniffed).unwrap();
        third.endpoint.guard().seen().collect()
    };
    let mut forgetful = Gateway::new(3, 50, TrailerPolicy::Require);
    assert_eq!(forgetful.receive(&sniffed), Ok(()));
    let mut restarted = Gateway::new(3, 50, TrailerPolicy::Require);
    restarted.endpoint.guard_mut().restore(kept);
    assert!(matches!(restarted.receive(&sniffed), Err(Refused::Replay { .. })));
}
