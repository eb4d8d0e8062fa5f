//! The HMAC-SHA1 of an advert, byte for byte as BSD and ucarp compute it.
//!
//! The key is the passphrase, padded with zeros to 20 bytes. The message is the
//! version (2), the type (1), the vhid, the IPv4 and then the IPv6 addresses in
//! ascending order, and the counter. Nothing else in the advert is covered; the
//! [trailer](crate::trailer) is there for that.

use std::fmt;

use evergate_wire::Addr;
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;

use crate::advert::{ADVERTISEMENT, VERSION, Vhid};
use crate::machine::Families;
use crate::{ConfigError, Mac};

/// The bytes of CARP's key; a passphrase is at least one shorter.
const KEY_LEN: usize = 20;
/// The most virtual addresses of one vhid.
pub const ADDRESSES_MAX: usize = 256;

/// The secret that all gateways of a vhid share, at most 19 bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase([u8; KEY_LEN]);

impl Passphrase {
    /// Takes the passphrase; an empty one is BSD's default and protects nothing.
    ///
    /// # Errors
    ///
    /// Longer than 19 bytes, or a zero byte within.
    pub fn new(text: &[u8]) -> Result<Self, ConfigError> {
        if text.len() >= KEY_LEN {
            return Err(ConfigError::PassphraseTooLong { len: text.len() });
        }
        if text.contains(&0) {
            return Err(ConfigError::PassphraseNul);
        }
        let mut key = [0; KEY_LEN];
        key[..text.len()].copy_from_slice(text);
        Ok(Self(key))
    }

    pub(crate) fn key(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// The addresses of one vhid: ascending, each once, 1 to 256 of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddresses {
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
}

impl VirtualAddresses {
    /// Takes the addresses in any order; duplicates count once.
    ///
    /// # Errors
    ///
    /// None or too many, or one that no host can own (unspecified, all ones,
    /// multicast).
    pub fn new(addresses: &[Addr]) -> Result<Self, ConfigError> {
        if addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        if addresses.len() > ADDRESSES_MAX {
            let count = addresses.len();
            return Err(ConfigError::TooManyAddresses { count, max: ADDRESSES_MAX });
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for addr in addresses {
            if addr.is_unspecified() || addr.is_broadcast() || addr.is_multicast() {
                return Err(ConfigError::Address(*addr));
            }
            match addr.as_v4() {
                Some(octets) => v4.push(octets),
                None => v6.push(without_scope(*addr)),
            }
        }
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Ok(Self { v4, v6 })
    }

    /// The IPv4 addresses, ascending.
    pub fn v4(&self) -> &[[u8; 4]] {
        &self.v4
    }

    /// The IPv6 addresses, ascending.
    pub fn v6(&self) -> &[[u8; 16]] {
        &self.v6
    }

    /// The families in which a vhost with these addresses advertises.
    pub fn families(&self) -> Families {
        match (self.v4.is_empty(), self.v6.is_empty()) {
            (false, true) => Families::V4,
            (true, _) => Families::V6,
            (false, false) => Families::Both,
        }
    }
}

/// OpenBSD keeps an interface's scope in the second word of a link-local address
/// and clears it before hashing.
fn without_scope(addr: Addr) -> [u8; 16] {
    let mut octets = addr.octets();
    if addr.is_link_local() {
        octets[2..4].fill(0);
    }
    octets
}

/// Whether IPv6 link-local addresses are part of the digest that is sent. Both
/// forms are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkLocal {
    /// Left out, as OpenBSD sends.
    #[default]
    Omit,
    /// Hashed like the others, as FreeBSD sends and demands.
    Include,
}

/// Computes and checks the digests of one vhid.
#[derive(Clone)]
pub struct Authenticator {
    sent: Hmac<Sha1>,
    /// The other treatment of link-local addresses, where that makes a difference.
    other: Option<Hmac<Sha1>>,
}

impl Authenticator {
    /// Prepares the digests of `vhid`. `lladdr` is the MAC address that OpenBSD
    /// hashes if it was set by hand on the carp interface, else `None`.
    pub fn new(
        passphrase: &Passphrase,
        vhid: Vhid,
        addresses: &VirtualAddresses,
        link_local: LinkLocal,
        lladdr: Option<Mac>,
    ) -> Self {
        let keyed = |link_local| {
            let mut hmac = Hmac::<Sha1>::new_from_slice(passphrase.key())
                .expect("invariant: HMAC takes keys of any length");
            hmac.update(&[VERSION, ADVERTISEMENT]);
            hmac.update(lladdr.as_ref().map_or(&[], |mac| &mac.0[..]));
            hmac.update(&[vhid.get()]);
            hmac.update(addresses.v4.as_flattened());
            for octets in &addresses.v6 {
                let hashed = match link_local {
                    LinkLocal::Include => true,
                    LinkLocal::Omit => !Addr::from_octets(*octets).is_link_local(),
                };
                hmac.update(if hashed { octets } else { &[] });
            }
            hmac
        };
        let other = match link_local {
            LinkLocal::Omit => LinkLocal::Include,
            LinkLocal::Include => LinkLocal::Omit,
        };
        let scoped = addresses.v6.iter().any(|octets| Addr::from_octets(*octets).is_link_local());
        Self { sent: keyed(link_local), other: scoped.then(|| keyed(other)) }
    }

    /// The digest to send with `counter`.
    pub fn digest(&self, counter: [u8; 8]) -> [u8; 20] {
        self.sent.clone().chain_update(counter).finalize().into_bytes().into()
    }

    /// Whether `digest` is right in either form; takes the same time for any.
    pub fn verify(&self, counter: [u8; 8], digest: &[u8; 20]) -> bool {
        let verifies =
            |hmac: &Hmac<Sha1>| hmac.clone().chain_update(counter).verify_slice(digest).is_ok();
        let sent = verifies(&self.sent);
        let other = self.other.as_ref().is_some_and(verifies);
        sent | other
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_long_passphrase_is_refused_in_words_and_none_is_printed() {
        assert!(Passphrase::new(&[b'x'; 19]).is_ok());
        let refused = Passphrase::new(&[b'x'; 20]).unwrap_err();
        assert_eq!(refused, ConfigError::PassphraseTooLong { len: 20 });
        assert!(refused.to_string().contains("at most 19 bytes, this one has 20"));
        assert_eq!(Passphrase::new(b"a\0b"), Err(ConfigError::PassphraseNul));
        assert_eq!(format!("{:?}", Passphrase::new(b"secret").unwrap()), "Passphrase(..)");
    }

    #[test]
    fn what_cannot_be_owned_is_no_virtual_address() {
        for text in ["0.0.0.0", "255.255.255.255", "::", "224.0.0.18", "ff02::12"] {
            assert_eq!(
                VirtualAddresses::new(&[addr(text)]),
                Err(ConfigError::Address(addr(text))),
                "{text}"
            );
        }
        let all_ones = Addr::from_octets([0xff; 16]);
        assert_eq!(VirtualAddresses::new(&[all_ones]), Err(ConfigError::Address(all_ones)));
        assert_eq!(VirtualAddresses::new(&[]), Err(ConfigError::NoAddress));
        let many = vec![addr("192.0.2.1"); ADDRESSES_MAX + 1];
        let refused = ConfigError::TooManyAddresses { count: 257, max: 256 };
        assert_eq!(VirtualAddresses::new(&many), Err(refused));
    }

    #[test]
    fn families_follow_from_the_addresses() {
        let (v4, v6) = (addr("192.0.2.1"), addr("2001:db8::1"));
        for (addresses, families) in
            [(&[v4][..], Families::V4), (&[v6], Families::V6), (&[v6, v4], Families::Both)]
        {
            assert_eq!(VirtualAddresses::new(addresses).unwrap().families(), families);
        }
    }

    #[test]
    fn the_scope_in_a_link_local_address_is_not_hashed() {
        let scoped = VirtualAddresses::new(&[addr("fe80:7::1")]).unwrap();
        assert_eq!(scoped, VirtualAddresses::new(&[addr("fe80::1")]).unwrap());
    }

    #[test]
    fn a_mac_address_set_by_hand_is_hashed_before_the_vhid() {
        // HMAC-SHA1 of 02 01 | 02:00:00:00:00:01 | 09 | c0000201 | 8 zero bytes,
        // by Python's hmac module.
        let passphrase = Passphrase::new(b"mac").unwrap();
        let addresses = VirtualAddresses::new(&[addr("192.0.2.1")]).unwrap();
        let vhid = Vhid::new(9).unwrap();
        let with = |lladdr| {
            Authenticator::new(&passphrase, vhid, &addresses, LinkLocal::Omit, lladdr)
                .digest([0; 8])
        };
        let digest = with(Some(Mac([2, 0, 0, 0, 0, 1])));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "d148216f48d3a276ad57f77a0b5b723314ec342b");
        assert_ne!(digest, with(None));
    }
}
