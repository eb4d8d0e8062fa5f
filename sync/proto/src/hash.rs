//! Hashes: a seeded one for maps, a fixed one that all nodes share for lanes and
//! digests.

use std::collections::HashMap;

use evergate_state::{StateId, StateKey};
use foldhash::quality::SeedableRandomState;

/// A map for look-ups only: nothing depends on its order.
pub(crate) type Map<K, V> = HashMap<K, V, SeedableRandomState>;

/// An empty map whose order outsiders cannot predict.
pub(crate) fn map<K, V>(seed: u64) -> Map<K, V> {
    let shared = foldhash::SharedSeed::global_fixed();
    Map::with_hasher(SeedableRandomState::with_seed(seed, shared))
}

/// The finishing step of MurmurHash3: every bit of the input changes half of the
/// output's.
const fn finish(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// The position of a key among the ranges of digests, equal on all nodes.
pub(crate) fn key_hash(key: &StateKey) -> u64 {
    let [lo, hi] = key.addr.map(|addr| u128::from_be_bytes(addr.octets()));
    let [lo_port, hi_port] = key.port.map(u64::from);
    let words = [
        (lo >> 64) as u64,
        lo as u64,
        (hi >> 64) as u64,
        hi as u64,
        lo_port << 32 | hi_port << 16 | u64::from(key.proto) << 8 | key.af as u64,
    ];
    words.into_iter().fold(0x9e37_79b9_7f4a_7c15, |hash, word| finish(hash ^ word))
}

/// The lane of something with a name.
pub(crate) fn bytes_lane(bytes: &[u8], lanes: usize) -> usize {
    let hash = bytes.iter().fold(0, |hash, byte| finish(hash ^ u64::from(*byte)));
    (hash as u32 as usize) % lanes
}

/// What a digest sums up of one state.
pub(crate) fn identity_hash(key_hash: u64, id: StateId) -> u64 {
    finish(finish(key_hash ^ id.id) ^ u64::from(id.creator))
}

/// The name and revision of a state in 32 bits, to tell it from others with its key.
pub(crate) const fn tag(id: StateId, revision: u16) -> u32 {
    (finish(finish(id.id ^ (id.creator as u64) << 32) ^ revision as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use evergate_wire::Af;

    use super::*;

    /// Other nodes, of other versions too, must agree on these.
    #[test]
    fn shared_hashes_are_frozen() {
        let addr = [Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into()];
        let key = StateKey { addr, port: [1024, 443], proto: 6, af: Af::V4 };
        let id = StateId { id: 1 << 40, creator: 7 };
        let hash = key_hash(&key);
        assert_eq!(hash, 0xf638_34f5_8dac_bdfe);
        assert_eq!(identity_hash(hash, id), 0x74ac_ca69_6fc5_6fde);
        assert_eq!(tag(id, 3), 0x8d2a_b080);
    }
}
