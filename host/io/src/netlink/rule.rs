//! Rules of policy routing: which table a packet is looked up in.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction as RawAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{IpProtocol, RouteNetlinkMessage};

use super::{Family, Netlink, NetlinkError};

/// What a rule does with a packet that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Looks it up in a table.
    Lookup(u32),
    /// Goes on at the rule with this priority.
    Goto(u32),
    /// Nothing: the target of a `Goto`.
    Nop,
    /// Another action, by its number.
    Other(u8),
}

/// A rule. Built by hand for adding, with all its parts when it comes from a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The family it is for.
    pub family: Family,
    /// Its place: rules are tried from the lowest number up.
    pub priority: u32,
    /// What it does.
    pub action: RuleAction,
    /// Who made it (`RTPROT_…`).
    pub protocol: u8,
    /// Selects packets that came in by this device; `lo` is for packets made here.
    pub iif: Option<String>,
    /// Selects packets to this prefix.
    pub to: Option<(IpAddr, u8)>,
    /// Selects packets of this transport protocol.
    pub ip_proto: Option<u8>,
    /// Everything else that selects or says something, as it came from a dump.
    pub other: Vec<RuleAttribute>,
    /// Whether the selection is turned round.
    pub inverted: bool,
    /// The type of service it selects; 0 is any.
    pub tos: u8,
}

impl Rule {
    /// Makes a rule that selects everything.
    #[must_use]
    pub fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Self {
            family,
            priority,
            action,
            protocol: 0,
            iif: None,
            to: None,
            ip_proto: None,
            other: Vec::new(),
            inverted: false,
            tos: 0,
        }
    }

    /// Tells whether the rule selects every packet.
    #[must_use]
    pub fn selects_all(&self) -> bool {
        self.iif.is_none()
            && self.to.is_none()
            && self.ip_proto.is_none()
            && !self.inverted
            && self.tos == 0
            && self.other.iter().all(|attribute| {
                // The kernel tells this one always; all bits set is "no suppression".
                matches!(attribute, RuleAttribute::SuppressPrefixLen(u32::MAX))
            })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {}:", self.family, self.priority)?;
        if let Some(iif) = &self.iif {
            write!(out, " iif {iif}")?;
        }
        if let Some((address, prefix)) = self.to {
            write!(out, " to {address}/{prefix}")?;
        }
        if let Some(protocol) = self.ip_proto {
            write!(out, " ipproto {protocol}")?;
        }
        match self.action {
            RuleAction::Lookup(table) => write!(out, " lookup {table}"),
            RuleAction::Goto(priority) => write!(out, " goto {priority}"),
            RuleAction::Nop => write!(out, " nop"),
            RuleAction::Other(number) => write!(out, " action {number}"),
        }
    }
}

impl Netlink {
    /// Returns the rules of both families.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn rules(&mut self) -> Result<Vec<Rule>, NetlinkError> {
        let mut found = Vec::new();
        for family in Family::BOTH {
            let mut message = RuleMessage::default();
            message.header.family = family.raw();
            let request = RouteNetlinkMessage::GetRule(message);
            found.extend(self.dump(&request, "listing rules", |message| match message {
                RouteNetlinkMessage::NewRule(rule) => decode(rule),
                _ => None,
            })?);
        }
        Ok(found)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// Fails where an equal one is there already.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRule(encode(rule));
        self.change(message, NLM_F_CREATE | NLM_F_EXCL, || format!("adding rule {rule}"))
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// Fails where it is not there.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRule(encode(rule));
        self.change(message, 0, || format!("deleting rule {rule}"))
    }
}

fn encode(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = rule.family.raw();
    message.header.tos = rule.tos;
    if rule.inverted {
        message.header.flags = RuleFlags::Invert;
    }
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(rule.protocol)));
    message.header.action = match rule.action {
        RuleAction::Lookup(table) => {
            // The header has one byte; larger tables are told by the attribute alone.
            message.header.table = u8::try_from(table).unwrap_or(0);
            attributes.push(RuleAttribute::Table(table));
            RawAction::ToTable
        }
        RuleAction::Goto(priority) => {
            attributes.push(RuleAttribute::Goto(priority));
            RawAction::Goto
        }
        RuleAction::Nop => RawAction::Nop,
        RuleAction::Other(number) => RawAction::from(number),
    };
    attributes.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    if let Some((address, prefix)) = rule.to {
        message.header.dst_len = prefix;
        attributes.push(RuleAttribute::Destination(address));
    }
    attributes
        .extend(rule.ip_proto.map(|number| RuleAttribute::IpProtocol(IpProtocol::from(number))));
    attributes.extend(rule.other.iter().cloned());
    message
}

fn decode(message: RuleMessage) -> Option<Rule> {
    let header = message.header;
    let family = Family::from_raw(header.family)?;
    let mut rule = Rule::new(family, 0, RuleAction::Nop);
    let (mut table, mut target) = (u32::from(header.table), 0);
    rule.inverted = header.flags.contains(RuleFlags::Invert);
    rule.tos = header.tos;
    for attribute in message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = priority,
            RuleAttribute::Protocol(protocol) => rule.protocol = protocol.into(),
            RuleAttribute::Table(number) => table = number,
            RuleAttribute::Goto(priority) => target = priority,
            RuleAttribute::Iifname(name) => rule.iif = Some(name),
            RuleAttribute::Destination(address) => rule.to = Some((address, header.dst_len)),
            RuleAttribute::IpProtocol(number) => rule.ip_proto = Some(number.into()),
            other => rule.other.push(other),
        }
    }
    rule.action = match header.action {
        RawAction::ToTable => RuleAction::Lookup(table),
        RawAction::Goto => RuleAction::Goto(target),
        RawAction::Nop => RuleAction::Nop,
        other => RuleAction::Other(other.into()),
    };
    Some(rule)
}
