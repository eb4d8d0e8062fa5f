//! Statements as text again, in one canonical form: what `show rules` prints and tests compare.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::ast::{
    Anchor, Antispoof, Direction, End, Family, Filter, Host, HostKind, Log, Modifiers, On, OnItem,
    Part, Pool, Reply, Rule, RuleAction, RuleOption, ScrubOption, SetOption, Spanned, StateKind,
    StateOption, Statement, Table, Test,
};
use crate::names;

/// Several things in braces, one without.
fn list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    match items {
        [one] => write!(f, "{one}"),
        many => {
            f.write_str("{")?;
            for item in many {
                write!(f, " {item}")?;
            }
            f.write_str(" }")
        }
    }
}

impl<T: Display> Display for Spanned<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(options) => {
                for (index, option) in options.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}set {option}")?;
                }
                Ok(())
            }
            Self::Table(table) => table.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Anchor(anchor) => anchor.fmt(f),
            Self::LoadAnchor { name, body } => {
                write!(f, "load anchor \"{name}\" {{")?;
                body_lines(f, body)
            }
            Self::Antispoof(antispoof) => antispoof.fmt(f),
            Self::Foreign { name, .. } => write!(f, "{name} …"),
        }
    }
}

fn body_lines(f: &mut Formatter<'_>, body: &[Spanned<Statement>]) -> fmt::Result {
    let mut text = String::new();
    for statement in body {
        writeln!(text, "{statement}")?;
    }
    for line in text.lines() {
        write!(f, "\n  {line}")?;
    }
    f.write_str("\n}")
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.action {
            RuleAction::Pass => f.write_str("pass")?,
            RuleAction::Match => f.write_str("match")?,
            RuleAction::Block(reply) => {
                f.write_str("block")?;
                if let Some(reply) = reply {
                    write!(f, " {reply}")?;
                }
            }
        }
        self.filter.fmt(f)
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::ReturnRst { ttl: None } => f.write_str("return-rst"),
            Self::ReturnRst { ttl: Some(ttl) } => write!(f, "return-rst (ttl {ttl})"),
            Self::ReturnIcmp { code4: None, code6: None } => f.write_str("return-icmp"),
            Self::ReturnIcmp { code4: Some(code), code6: None } => {
                write!(f, "return-icmp ({code})")
            }
            Self::ReturnIcmp { code4: None, code6: Some(code) } => {
                write!(f, "return-icmp6 ({code})")
            }
            Self::ReturnIcmp { code4: Some(a), code6: Some(b) } => {
                write!(f, "return-icmp ({a}, {b})")
            }
        }
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.direction {
            Some(Direction::In) => f.write_str(" in")?,
            Some(Direction::Out) => f.write_str(" out")?,
            None => {}
        }
        if let Some(log) = &self.log {
            write!(f, " {log}")?;
        }
        if self.quick {
            f.write_str(" quick")?;
        }
        match &self.on {
            On::Everywhere => {}
            On::Any => f.write_str(" on any")?,
            On::Rdomain(n) => write!(f, " on rdomain {n}")?,
            On::Interfaces(items) => {
                f.write_str(" on ")?;
                list(f, items)?;
            }
        }
        if let Some(family) = self.family {
            write!(f, " {family}")?;
        }
        if !self.protocols.is_empty() {
            f.write_str(" proto ")?;
            let names: Vec<String> =
                self.protocols.iter().map(|p| names::protocol_name(p.node)).collect();
            list(f, &names)?;
        }
        if self.from == End::default() && self.to == End::default() {
            f.write_str(" all")?;
        } else {
            write!(f, " from{} to{}", self.from, self.to)?;
        }
        for option in &self.options {
            write!(f, " {option}")?;
        }
        Ok(())
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "inet",
            Self::V6 => "inet6",
        })
    }
}

impl Display for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("log")?;
        if !self.options.is_empty() {
            let words: Vec<&str> = self.options.iter().map(|o| o.node.as_str()).collect();
            write!(f, " ({})", words.join(", "))?;
        }
        Ok(())
    }
}

impl Display for OnItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.negated { "! " } else { "" }, self.name)
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" ")?;
        if self.hosts.is_empty() {
            f.write_str("any")?;
        } else {
            list(f, &self.hosts)?;
        }
        if !self.ports.is_empty() {
            f.write_str(" port ")?;
            list(f, &self.ports)?;
        }
        if !self.os.is_empty() {
            f.write_str(" os ")?;
            let names: Vec<String> = self.os.iter().map(|os| format!("\"{os}\"")).collect();
            list(f, &names)?;
        }
        Ok(())
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(a, b) if a == b => write!(f, "{a}"),
            Self::Within(a, b) => write!(f, "{a}:{b}"),
            Self::Without(a, b) if a == b => write!(f, "!= {a}"),
            Self::Without(a, b) => write!(f, "{a} <> {b}"),
        }
    }
}

impl Display for Modifiers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(Part::Network) => f.write_str(":network")?,
            Some(Part::Broadcast) => f.write_str(":broadcast")?,
            Some(Part::Peer) => f.write_str(":peer")?,
            None => {}
        }
        if self.first { f.write_str(":0") } else { Ok(()) }
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("! ")?;
        }
        self.kind.fmt(f)?;
        match self.weight {
            Some(weight) => write!(f, " weight {weight}"),
            None => Ok(()),
        }
    }
}

impl Display for HostKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::NoRoute => f.write_str("no-route"),
            Self::UrpfFailed => f.write_str("urpf-failed"),
            Self::RouteLabel(label) => write!(f, "route {label}"),
            Self::Table(name) => write!(f, "<{name}>"),
            Self::Net(address, len) if *len == if address.is_ipv4() { 32 } else { 128 } => {
                write!(f, "{address}")
            }
            Self::Net(address, len) => write!(f, "{address}/{len}"),
            Self::Range(first, last) => write!(f, "{first} - {last}"),
            Self::Interface { name, modifiers, dynamic: true } => write!(f, "({name}{modifiers})"),
            Self::Interface { name, modifiers, dynamic: false } => write!(f, "{name}{modifiers}"),
        }
    }
}

impl Display for StateOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max(n) => write!(f, "max {n}"),
            Self::NoSync => f.write_str("no-sync"),
            Self::Sloppy => f.write_str("sloppy"),
            Self::Pflow => f.write_str("pflow"),
            Self::IfBound => f.write_str("if-bound"),
            Self::Floating => f.write_str("floating"),
            Self::SourceTrack(None) => f.write_str("source-track"),
            Self::SourceTrack(Some(scope)) => write!(f, "source-track {scope}"),
            Self::MaxSource(name, n) => write!(f, "{name} {n}"),
            Self::MaxSourceRate(n, s) => write!(f, "max-src-conn-rate {n}/{s}"),
            Self::Overload { table, flush, global } => {
                write!(f, "overload <{table}>")?;
                f.write_str(if *flush { " flush" } else { "" })?;
                f.write_str(if *global { " global" } else { "" })
            }
            Self::Timeout(name, seconds) => write!(f, "{name} {seconds}"),
        }
    }
}

impl Display for Pool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        list(f, &self.hosts)?;
        match self.port {
            None => {}
            Some((first, None)) => write!(f, " port {first}:*")?,
            Some((first, Some(last))) if first == last => write!(f, " port {first}")?,
            Some((first, Some(last))) => write!(f, " port {first}:{last}")?,
        }
        if let Some(kind) = &self.kind {
            write!(f, " {kind}")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}")?;
        }
        f.write_str(if self.sticky { " sticky-address" } else { "" })?;
        f.write_str(if self.static_port { " static-port" } else { "" })
    }
}

impl Display for ScrubOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Number(word, n) => write!(f, "{word} {n}"),
        }
    }
}

fn comma<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Display for RuleOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Flags(None) => f.write_str("flags any"),
            Self::Flags(Some((set, mask))) => {
                write!(f, "flags {}/{}", names::flags_name(*set), names::flags_name(*mask))
            }
            Self::Icmp { types, .. } => {
                write!(f, "{name} ")?;
                let types: Vec<String> = types
                    .iter()
                    .map(|ty| match ty.node {
                        (ty, None) => ty.to_string(),
                        (ty, Some(code)) => format!("{ty} code {code}"),
                    })
                    .collect();
                list(f, &types)
            }
            Self::Tos(tos) => write!(f, "tos {tos:#04x}"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Tagged { negated, name } => {
                write!(f, "{}tagged {name}", if *negated { "! " } else { "" })
            }
            Self::Label(label) => write!(f, "label \"{label}\""),
            Self::State(StateKind::Keep | StateKind::Modulate | StateKind::Synproxy, options)
                if !options.is_empty() =>
            {
                write!(f, "{name} ({})", comma(options))
            }
            Self::State(StateKind::No, options) if !options.is_empty() => {
                write!(f, "{name} ({})", comma(options))
            }
            Self::State(..) | Self::AllowOpts | Self::Fragment | Self::Once | Self::DivertReply => {
                f.write_str(name)
            }
            Self::Probability(p) => {
                let percent = *p as f64 / (f64::from(u32::MAX) + 1.0) * 100.0;
                write!(f, "probability {}%", (percent * 1e6).round() / 1e6)
            }
            Self::MaxPacketRate(n, s) => write!(f, "max-pkt-rate {n}/{s}"),
            Self::ReceivedOn { negated, name } => {
                write!(f, "{}received-on {name}", if *negated { "! " } else { "" })
            }
            Self::Owner(_, tests) => {
                write!(f, "{name} ")?;
                list(f, tests)
            }
            Self::Scrub(options) => write!(f, "scrub ({})", comma(options)),
            Self::Pool(_, pool) => write!(f, "{name} {pool}"),
            Self::AfTo(family, from, to) => {
                write!(f, "af-to {family} from {from}")?;
                match to {
                    Some(to) => write!(f, " to {to}"),
                    None => Ok(()),
                }
            }
            Self::DivertTo(host, port) => write!(f, "divert-to {host} port {port}"),
            Self::DivertPacket(port) => write!(f, "divert-packet port {port}"),
            Self::Rtable(n) => write!(f, "rtable {n}"),
            Self::Set(words) => write!(f, "set ({})", comma(words)),
            Self::Prio(n) => write!(f, "prio {n}"),
        }
    }
}

impl Display for Anchor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("anchor")?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        self.filter.fmt(f)?;
        match &self.body {
            None => Ok(()),
            Some(body) => {
                f.write_str(" {")?;
                body_lines(f, body)
            }
        }
    }
}

impl Display for Antispoof {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("antispoof")?;
        if let Some(log) = &self.log {
            write!(f, " {log}")?;
        }
        f.write_str(if self.quick { " quick for " } else { " for " })?;
        list(f, &self.interfaces)?;
        if let Some(family) = self.family {
            write!(f, " {family}")?;
        }
        match &self.label {
            Some(label) => write!(f, " label \"{label}\""),
            None => Ok(()),
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table <{}>", self.name)?;
        f.write_str(if self.persist { " persist" } else { "" })?;
        f.write_str(if self.constant { " const" } else { "" })?;
        f.write_str(if self.counters { " counters" } else { "" })?;
        if !self.initialised {
            return Ok(());
        }
        f.write_str(" {")?;
        for entry in &self.entries {
            let not = if entry.node.negated { "!" } else { "" };
            match &entry.node.net {
                Ok((address, len)) => write!(f, " {not}{}", HostKind::Net(*address, *len))?,
                Err(text) => write!(f, " {not}{text}")?,
            }
        }
        f.write_str(" }")
    }
}

impl Display for SetOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockPolicy(reply) => write!(f, "block-policy {reply}"),
            Self::Skip(items) => {
                f.write_str("skip on ")?;
                list(f, items)
            }
            Self::StatePolicy(word) => write!(f, "state-policy {word}"),
            Self::Limit(name, n) => write!(f, "limit {name} {n}"),
            Self::Timeout(name, n) => write!(f, "timeout {name} {n}"),
            Self::Optimization(word) => write!(f, "optimization {word}"),
            Self::RulesetOptimization(word) => write!(f, "ruleset-optimization {word}"),
            Self::LogInterface(word) => write!(f, "loginterface {word}"),
            Self::Reassemble { yes, no_df } => {
                let (yes, no_df) =
                    (if *yes { "yes" } else { "no" }, if *no_df { " no-df" } else { "" });
                write!(f, "reassemble {yes}{no_df}")
            }
            Self::Syncookies(word, None) => write!(f, "syncookies {word}"),
            Self::Syncookies(word, Some((start, end))) => {
                write!(f, "syncookies {word} (start {start}%, end {end}%)")
            }
            Self::HostId(n) => write!(f, "hostid {n:#x}"),
            Self::Debug(level) => write!(f, "debug {level}"),
            Self::Fingerprints(file) => write!(f, "fingerprints \"{file}\""),
            Self::StateDefaults(options) => write!(f, "state-defaults {}", comma(options)),
        }
    }
}
