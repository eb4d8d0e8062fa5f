//! Two and three gateways in a simulated segment, by the thousand of seeds: loss,
//! delay, reordering, duplicates, old adverts sent again, partitions of one and
//! both ways, crashes, restarts, stalls, links that go down, demotions and planned
//! failovers. Then all heals, and peace must come.
//!
//! A failing seed is printed with the end of its story.
//! `SEEDS=0..100000 cargo test --release -p evergate-carp --test simulation` runs
//! more of them.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod random;
mod world;

use std::ops::Range;
use std::time::Duration;

use evergate_carp::{Families, Pace, TrailerPolicy};
use random::Random;
use world::{Scenario, World};

/// Seeds to run: the environment's, or else those of every build.
fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return usual };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

/// A cluster by seed. Skews are often equal, so that ties are common.
fn scenario(random: &mut Random) -> Scenario {
    let count = 2 + random.below(2);
    let trailer = random.pick(&[TrailerPolicy::Off, TrailerPolicy::Use, TrailerPolicy::Require]);
    let fast = trailer == TrailerPolicy::Require && random.chance(50);
    let interval = Duration::from_millis(random.pick(&[100, 200, 500]));
    let advbase = random.pick(&[1, 1, 1, 2]);
    let paces = (0..count).map(|_| {
        let advskew = random.pick(&[0, 0, 50, 100, 100, 254]);
        let pace =
            if fast { Pace::fast(interval, advskew) } else { Pace::classic(advbase, advskew) };
        pace.unwrap()
    });
    Scenario {
        paces: paces.collect(),
        trailer,
        families: random.pick(&[Families::V4, Families::V6, Families::Both]),
        preempt: random.chance(50),
        faults: Duration::from_secs(80),
        length: Duration::from_secs(120),
    }
}

#[test]
fn after_healing_there_is_one_master_and_peace() {
    let (mut masters, mut replays) = (0, 0);
    for seed in seeds(0..2000) {
        let mut random = Random::new(seed);
        let scenario = scenario(&mut random);
        let mut world = World::new(seed, scenario);
        world.run();
        masters += world.takeovers();
        replays += world.refused_replays();
    }
    // The faults must have done something.
    assert!(masters > 0 && replays > 0);
}

#[test]
fn it_holds_at_ten_milliseconds() {
    for seed in seeds(0..60) {
        let mut random = Random::new(seed);
        let paces = [0, random.pick(&[0, 50, 100]), 100];
        let count = 2 + random.below(2);
        let pace = |skew: &u8| Pace::fast(Duration::from_millis(10), *skew).unwrap();
        let scenario = Scenario {
            paces: paces[..count].iter().map(pace).collect(),
            trailer: TrailerPolicy::Require,
            families: Families::V4,
            preempt: random.chance(50),
            faults: Duration::from_secs(6),
            length: Duration::from_secs(10),
        };
        World::new(seed, scenario).run();
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 0..20 {
        let story = || {
            let mut world = World::new(seed, scenario(&mut Random::new(seed)));
            world.run();
            world.story().to_owned()
        };
        assert_eq!(story(), story());
    }
}
