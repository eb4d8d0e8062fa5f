//! What every [`Transport`] must keep, as claims that can be run against it.
//!
//! An implementation brings a [`Cluster`] and runs all of [`cases`]. The cases know no time
//! but steps, and assert no speed: only what happens, and that it happens within the
//! cluster's patience.
//!
//! A case panics when a claim is broken; nothing else in this crate does.

#![expect(clippy::wildcard_enum_match_arm, reason = "a claim looks for one event among any others")]

mod flow;
mod life;
mod watch;

use crate::Transport;

/// Nodes with a link between each two of them, and the hand of fate.
pub trait Cluster {
    /// The transport under test.
    type Node: Transport;

    /// Steps after which what was to happen has not happened.
    const PATIENCE: usize;

    /// Starts `nodes` nodes that know each other, named as [`name`] says.
    fn start(nodes: usize) -> Self;

    /// The transport of a node.
    fn node(&mut self, node: usize) -> &mut Self::Node;

    /// Lets a little time pass, about a millisecond. Takes no event from any node.
    fn step(&mut self);

    /// Loses so many percent of what one node sends to another from now on; 100 is a cut.
    fn lose(&mut self, from: usize, to: usize, percent: u8);

    /// Ends a node without a word; its transport must not be used before it is restarted.
    fn kill(&mut self, node: usize);

    /// Starts a killed node again, as the same node.
    fn restart(&mut self, node: usize);
}

/// The name of a cluster's node.
#[must_use]
pub fn name(node: usize) -> String {
    format!("node-{node}")
}

/// One claim.
pub struct Case<C> {
    /// The claim.
    pub name: &'static str,
    /// How many nodes it needs.
    pub nodes: usize,
    run: fn(C),
}

impl<C: Cluster> Case<C> {
    /// Runs the claim against a new cluster.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn run(&self) {
        (self.run)(C::start(self.nodes));
    }
}

/// All claims.
#[must_use]
pub fn cases<C: Cluster>() -> Vec<Case<C>> {
    macro_rules! cases {
        ($($nodes:literal $module:ident::$case:ident,)*) => {
            vec![$(Case {
                name: stringify!($case),
                nodes: $nodes,
                run: |cluster| $module::$case(watch::Watch::new(cluster, $nodes)),
            }),*]
        };
    }
    cases![
        2 life::a_link_introduces_the_peer_by_name_and_key,
        2 flow::messages_of_any_length_arrive_whole,
        2 flow::what_cannot_be_sent_is_refused_by_what_is_wrong,
        2 flow::each_ordered_channel_keeps_its_order_under_loss,
        2 flow::a_stalled_lane_stalls_no_other_channel,
        2 flow::a_sender_that_heeds_full_is_never_refused,
        2 flow::a_full_channel_refuses_at_once_and_tells_when_it_has_room,
        2 flow::datagrams_may_be_lost_but_arrive_whole_and_once,
        2 life::a_cut_ends_the_link_on_both_sides_and_healing_brings_it_back,
        2 life::a_cut_of_one_direction_ends_the_link_on_both_sides,
        2 life::a_restarted_peer_is_a_new_incarnation,
        2 life::a_killed_peer_is_noticed,
        2 life::disconnecting_is_told_to_both_sides_and_is_not_for_good,
        2 life::nothing_of_an_old_link_arrives_in_a_new_one,
        3 life::the_end_of_one_link_leaves_the_others_alone,
    ]
}
