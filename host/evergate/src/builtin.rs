//! The policies that come with Evergate.

/// Name and module of each.
const POLICIES: [(&str, &[u8]); 4] = [
    ("home", include_bytes!("../../../policies/home/home.wasm")),
    ("strict-web", include_bytes!("../../../policies/strict-web/strict-web.wasm")),
    ("tls-sni", include_bytes!("../../../policies/tls-sni/tls-sni.wasm")),
    ("dns-filter", include_bytes!("../../../policies/dns-filter/dns-filter.wasm")),
];

/// The module of a built-in policy.
#[must_use]
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    POLICIES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// The names of the built-in policies.
pub fn names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|(name, _)| *name)
}
