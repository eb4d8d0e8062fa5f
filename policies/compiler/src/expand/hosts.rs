//! Addresses become conditions: ranges, tables, routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Expander;
use crate::ast::{Family, Host, HostKind, Part, Spanned};
use crate::program::{Bits, Condition, Side, TableSource, bits_of};

/// What a host asks of a packet, and the family it belongs to.
pub(super) struct HostCondition {
    pub(super) condition: Option<Condition>,
    pub(super) family: Option<Family>,
}

/// First and last address of a network.
fn ends(address: IpAddr, len: u8) -> (Bits, Bits) {
    let (first, last) = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            let first = v4.to_bits() & mask;
            (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | !mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            let first = v6.to_bits() & mask;
            (
                IpAddr::from(Ipv6Addr::from_bits(first)),
                IpAddr::from(Ipv6Addr::from_bits(first | !mask)),
            )
        }
    };
    (bits_of(first), bits_of(last))
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

impl Expander<'_> {
    /// The condition of a host; `None` if it was refused.
    pub(super) fn host_condition(
        &mut self,
        host: &Spanned<Host>,
        side: Side,
    ) -> Option<HostCondition> {
        let Host { negated, kind, weight } = &host.node;
        let (negated, span) = (*negated, host.span);
        if weight.is_some() {
            self.report.error(span, "only addresses of pools have a `weight`");
            return None;
        }
        let (condition, family) = match kind {
            HostKind::Any if negated => {
                self.report.error(span, "`! any` matches nothing");
                return None;
            }
            HostKind::Any => (None, None),
            HostKind::Net(address, len) => {
                let (first, last) = ends(*address, *len);
                let condition = Condition::Address { side, first, last, negated };
                (Some(condition), Some(family_of(*address)))
            }
            HostKind::Range(first, last) => {
                let family = Some(family_of(*first));
                let (first, last) = (bits_of(*first), bits_of(*last));
                (Some(Condition::Address { side, first, last, negated }), family)
            }
            HostKind::Table(name) => {
                let table = self.table_index(name, TableSource::Declared, span)?;
                (Some(Condition::Table { side, table, negated }), None)
            }
            HostKind::Interface { name, modifiers, .. } => {
                self.check_interface(name, span)?;
                if modifiers.part == Some(Part::Peer) {
                    self.refuse(span, ":peer");
                    return None;
                }
                let name = format!("if:{name}{modifiers}");
                let table = self.table_index(&name, TableSource::Interface, span)?;
                (Some(Condition::Table { side, table, negated }), None)
            }
            HostKind::NoRoute => {
                let table = self.table_index("route:any", TableSource::Routes, span)?;
                (Some(Condition::Table { side, table, negated: !negated }), None)
            }
            HostKind::UrpfFailed if side == Side::Source => {
                (Some(Condition::UrpfFailed { negated }), None)
            }
            HostKind::UrpfFailed => {
                self.report.error(span, "`urpf-failed` is about sources: use it after `from`");
                return None;
            }
            HostKind::RouteLabel(_) => {
                self.refuse(span, "route (labels of routes)");
                return None;
            }
        };
        Some(HostCondition { condition, family })
    }
}
