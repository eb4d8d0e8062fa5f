//! Claims about how links come and go.

use super::watch::Watch;
use super::{Cluster, name};
use crate::{Channel, DownReason, Event, SendError, Transport};

/// A message goes from each to the other.
fn talk<C: Cluster>(watch: &mut Watch<C>, a: usize, b: usize, word: &[u8]) {
    watch.send_patiently(a, b, Channel::Control, word);
    watch.send_patiently(b, a, Channel::Control, word);
    assert_eq!(watch.message(b, Channel::Control), word);
    assert_eq!(watch.message(a, Channel::Control), word);
}

pub(super) fn a_link_introduces_the_peer_by_name_and_key<C: Cluster>(mut watch: Watch<C>) {
    let (by_0, by_1) = watch.both_up(0, 1);
    assert_eq!((by_0.name.clone(), by_1.name.clone()), (name(1), name(0)));
    assert_ne!(by_0.fingerprint, by_1.fingerprint);
    assert_ne!(by_0.incarnation, by_1.incarnation);
    for (node, met) in [(0, by_0), (1, by_1)] {
        let peers = watch.cluster.node(node).peers();
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].name.as_str(), met.name);
        assert!(peers[0].fingerprints.contains(&met.fingerprint));
    }
    talk(&mut watch, 0, 1, b"hello");
}

pub(super) fn a_cut_ends_the_link_on_both_sides_and_healing_brings_it_back<C: Cluster>(
    mut watch: Watch<C>,
) {
    let (first, _) = watch.both_up(0, 1);
    watch.cut(0, 1);
    for (node, peer) in [(0, 1), (1, 0)] {
        let reason = watch.down(node, peer);
        assert!(matches!(reason, DownReason::Silent { .. }), "node {node}: {reason}");
        assert_eq!(watch.send(node, peer, Channel::Control, b""), Err(SendError::NoLink));
    }
    watch.heal(0, 1);
    let (again, _) = watch.both_up(0, 1);
    assert_eq!(first, again, "it is the same peer, and has not restarted");
    talk(&mut watch, 0, 1, b"healed");
}

pub(super) fn a_cut_of_one_direction_ends_the_link_on_both_sides<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    watch.cluster.lose(0, 1, 100);
    watch.down(1, 0);
    watch.down(0, 1);
    watch.cluster.lose(0, 1, 0);
    watch.both_up(0, 1);
    talk(&mut watch, 0, 1, b"healed");
}

pub(super) fn a_restarted_peer_is_a_new_incarnation<C: Cluster>(mut watch: Watch<C>) {
    let (before, _) = watch.both_up(0, 1);
    watch.kill(1);
    watch.restart(1);
    watch.down(0, 1);
    let (after, _) = watch.both_up(0, 1);
    assert_ne!(before.incarnation, after.incarnation);
    assert_eq!(before.fingerprint, after.fingerprint);
    talk(&mut watch, 0, 1, b"again");
}

pub(super) fn a_killed_peer_is_noticed<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    watch.kill(1);
    let reason = watch.down(0, 1);
    assert!(!matches!(reason, DownReason::ClosedHere | DownReason::Misbehaved { .. }), "{reason}");
}

pub(super) fn disconnecting_is_told_to_both_sides_and_is_not_for_good<C: Cluster>(
    mut watch: Watch<C>,
) {
    watch.both_up(0, 1);
    let peer = watch.id(0, 1);
    watch.cluster.node(0).disconnect(peer);
    assert_eq!(watch.down(0, 1), DownReason::ClosedHere);
    // Unless what it was told is lost.
    let told = watch.down(1, 0);
    assert!(
        matches!(
            told,
            DownReason::ClosedByPeer | DownReason::Forgotten | DownReason::Silent { .. }
        ),
        "{told}"
    );
    watch.both_up(0, 1);
    talk(&mut watch, 0, 1, b"again");
}

pub(super) fn nothing_of_an_old_link_arrives_in_a_new_one<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    watch.cut(0, 1);
    for _ in 0..20 {
        for channel in [Channel::Control, Channel::Ordered(0), Channel::Datagram] {
            // It may have noticed already.
            let _ = watch.send(0, 1, channel, b"old");
        }
    }
    watch.down(0, 1);
    watch.down(1, 0);
    watch.heal(0, 1);
    watch.both_up(0, 1);
    let channels = [Channel::Control, Channel::Ordered(0)];
    for channel in channels {
        watch.send_patiently(0, 1, channel, b"new");
    }
    for _ in channels {
        let bytes = watch.wait(1, "news", |event| match event {
            Event::Message { bytes, .. } => Some(bytes.clone()),
            _ => None,
        });
        assert_eq!(bytes, b"new");
    }
}

pub(super) fn the_end_of_one_link_leaves_the_others_alone<C: Cluster>(mut watch: Watch<C>) {
    for (a, b) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        // In whatever order they come.
        wait_status(&mut watch, a, b);
    }
    watch.send_patiently(1, 0, Channel::Ordered(0), b"for 0");
    watch.send_patiently(1, 2, Channel::Ordered(0), b"for 2");
    assert_eq!(watch.message(0, Channel::Ordered(0)), b"for 0");
    assert_eq!(watch.message(2, Channel::Ordered(0)), b"for 2");
    watch.kill(2);
    watch.down(1, 2);
    watch.send_patiently(1, 0, Channel::Ordered(0), b"still");
    let gone = watch.id(0, 1);
    let bytes = watch.wait(0, "a message", |event| match event {
        Event::Message { bytes, .. } => Some(bytes.clone()),
        Event::LinkDown { peer, reason } if *peer == gone => panic!("went down too: {reason}"),
        _ => None,
    });
    assert_eq!(bytes, b"still");
}

fn wait_status<C: Cluster>(watch: &mut Watch<C>, node: usize, peer: usize) {
    for _ in 0..C::PATIENCE {
        if watch.status(node, peer).is_some() {
            return;
        }
        watch.step();
    }
    panic!("no link from {node} to {peer}");
}
