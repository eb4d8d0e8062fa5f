//! Words that stand for numbers: protocols, services, ICMP types and codes, TOS, timeouts.

/// IP protocols (IANA).
pub(crate) const PROTOCOLS: [(&str, u8); 26] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("etherip", 97),
    ("pim", 103),
    ("carp", 112),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
    ("pfsync", 240),
];

/// Services by name (IANA), the usual ones.
pub(crate) const SERVICES: [(&str, u16); 96] = [
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("whois", 43),
    ("tacacs", 49),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("pop2", 109),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("ident", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("epmap", 135),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("snmp", 161),
    ("snmptrap", 162),
    ("xdmcp", 177),
    ("bgp", 179),
    ("irc", 194),
    ("ldap", 389),
    ("slp", 427),
    ("https", 443),
    ("microsoft-ds", 445),
    ("kpasswd", 464),
    ("submissions", 465),
    ("smtps", 465),
    ("isakmp", 500),
    ("exec", 512),
    ("login", 513),
    ("shell", 514),
    ("syslog", 514),
    ("printer", 515),
    ("rip", 520),
    ("ripng", 521),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("rtsp", 554),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("ldp", 646),
    ("rsync", 873),
    ("ftps-data", 989),
    ("ftps", 990),
    ("telnets", 992),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("l2tp", 1701),
    ("pptp", 1723),
    ("radius", 1812),
    ("radius-acct", 1813),
    ("ssdp", 1900),
    ("nfs", 2049),
    ("nfsd", 2049),
    ("bfd-control", 3784),
    ("mysql", 3306),
    ("rdp", 3389),
    ("ms-wbt-server", 3389),
    ("stun", 3478),
    ("svn", 3690),
    ("epp", 700),
    ("ipsec-nat-t", 4500),
    ("sip", 5060),
    ("sips", 5061),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
    ("mdns", 5353),
    ("llmnr", 5355),
    ("postgresql", 5432),
    ("amqp", 5672),
    ("syslog-tls", 6514),
    ("domain-s", 853),
    ("http-alt", 8080),
    ("git", 9418),
];

/// Types of ICMP (RFC 792 and followers), by pf's names.
const ICMP_TYPES: [(&str, u8); 28] = [
    ("echorep", 0),
    ("unreach", 3),
    ("squench", 4),
    ("redir", 5),
    ("althost", 6),
    ("echoreq", 8),
    ("routeradv", 9),
    ("routersol", 10),
    ("timex", 11),
    ("paramprob", 12),
    ("timereq", 13),
    ("timerep", 14),
    ("inforeq", 15),
    ("inforep", 16),
    ("maskreq", 17),
    ("maskrep", 18),
    ("trace", 30),
    ("dataconv", 31),
    ("mobredir", 32),
    ("ipv6-where", 33),
    ("ipv6-here", 34),
    ("mobregreq", 35),
    ("mobregrep", 36),
    ("skip", 39),
    ("photuris", 40),
    ("echo-reply", 0),
    ("echo-request", 8),
    ("unreachable", 3),
];

/// Types of ICMPv6 (RFC 4443 and followers), by pf's names.
const ICMP6_TYPES: [(&str, u8); 26] = [
    ("unreach", 1),
    ("toobig", 2),
    ("timex", 3),
    ("paramprob", 4),
    ("echoreq", 128),
    ("echorep", 129),
    ("groupqry", 130),
    ("listqry", 130),
    ("grouprep", 131),
    ("listenrep", 131),
    ("groupterm", 132),
    ("listendone", 132),
    ("routersol", 133),
    ("routeradv", 134),
    ("neighbrsol", 135),
    ("neighbradv", 136),
    ("redir", 137),
    ("routrrenum", 138),
    ("fqdnreq", 139),
    ("niqry", 139),
    ("wrureq", 139),
    ("fqdnrep", 140),
    ("nirep", 140),
    ("wrurep", 140),
    ("mtraceresp", 200),
    ("mtrace", 201),
];

/// Codes of ICMP by their type.
const ICMP_CODES: [(&str, u8, u8); 26] = [
    ("net-unr", 3, 0),
    ("host-unr", 3, 1),
    ("proto-unr", 3, 2),
    ("port-unr", 3, 3),
    ("needfrag", 3, 4),
    ("srcfail", 3, 5),
    ("net-unk", 3, 6),
    ("host-unk", 3, 7),
    ("isolate", 3, 8),
    ("net-prohib", 3, 9),
    ("host-prohib", 3, 10),
    ("net-tos", 3, 11),
    ("host-tos", 3, 12),
    ("filter-prohib", 3, 13),
    ("host-preced", 3, 14),
    ("cutoff-preced", 3, 15),
    ("redir-net", 5, 0),
    ("redir-host", 5, 1),
    ("redir-tos-net", 5, 2),
    ("redir-tos-host", 5, 3),
    ("normal-adv", 9, 0),
    ("common-adv", 9, 16),
    ("transit", 11, 0),
    ("reassemb", 11, 1),
    ("badhead", 12, 0),
    ("optmiss", 12, 1),
];

/// Codes of ICMPv6 by their type.
const ICMP6_CODES: [(&str, u8, u8); 11] = [
    ("admin-unr", 1, 1),
    ("noroute-unr", 1, 0),
    ("notnbr-unr", 1, 2),
    ("beyond-unr", 1, 2),
    ("addr-unr", 1, 3),
    ("port-unr", 1, 4),
    ("transit", 3, 0),
    ("reassemb", 3, 1),
    ("badhead", 4, 0),
    ("nxthdr", 4, 1),
    ("redironlink", 137, 0),
];

/// Values of TOS and traffic class (RFC 2474, RFC 2597, RFC 3246).
pub(crate) const TOS: [(&str, u8); 26] = [
    ("lowdelay", 0x10),
    ("throughput", 0x08),
    ("reliability", 0x04),
    ("critical", 0xa0),
    ("inetcontrol", 0xc0),
    ("netcontrol", 0xe0),
    ("ef", 0xb8),
    ("cs0", 0x00),
    ("cs1", 0x20),
    ("cs2", 0x40),
    ("cs3", 0x60),
    ("cs4", 0x80),
    ("cs5", 0xa0),
    ("cs6", 0xc0),
    ("cs7", 0xe0),
    ("af11", 0x28),
    ("af12", 0x30),
    ("af13", 0x38),
    ("af21", 0x48),
    ("af22", 0x50),
    ("af23", 0x58),
    ("af31", 0x68),
    ("af32", 0x70),
    ("af33", 0x78),
    ("af41", 0x88),
    ("af42", 0x90),
];

/// Timeouts by pf's names.
pub(crate) const TIMEOUTS: [&str; 20] = [
    "tcp.first",
    "tcp.opening",
    "tcp.established",
    "tcp.closing",
    "tcp.finwait",
    "tcp.closed",
    "tcp.tsdiff",
    "udp.first",
    "udp.single",
    "udp.multiple",
    "icmp.first",
    "icmp.error",
    "other.first",
    "other.single",
    "other.multiple",
    "frag",
    "interval",
    "adaptive.start",
    "adaptive.end",
    "src.track",
];

/// Limits by pf's names.
pub(crate) const LIMITS: [&str; 7] =
    ["states", "frags", "src-nodes", "tables", "table-entries", "anchors", "pktdelay-pkts"];

/// Profiles of timeouts, as pf.conf(5) lists them: first, opening, established, closing, finwait,
/// closed of TCP.
pub(crate) const OPTIMIZATIONS: [(&str, Option<[u32; 6]>); 6] = [
    ("normal", None),
    ("default", None),
    ("high-latency", Some([180, 35, 86_400, 905, 50, 95])),
    ("satellite", Some([180, 35, 86_400, 905, 50, 95])),
    ("aggressive", Some([30, 5, 18_000, 60, 30, 30])),
    ("conservative", Some([3_600, 900, 432_000, 3_600, 600, 180])),
];

/// The letters of TCP flags.
const FLAGS: [(char, u8); 8] =
    [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('A', 16), ('U', 32), ('E', 64), ('W', 128)];

/// The number of a protocol.
pub(crate) fn protocol(word: &str) -> Option<u8> {
    find(&PROTOCOLS, word).or_else(|| word.parse().ok())
}

/// The name of a protocol, or its number.
pub(crate) fn protocol_name(number: u8) -> String {
    PROTOCOLS
        .iter()
        .find(|(_, n)| *n == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// The number of a port.
pub(crate) fn port(word: &str) -> Option<u16> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    if digits { word.parse().ok() } else { find(&SERVICES, word) }
}

/// The names of services.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, _)| *name)
}

/// The number of an ICMP type.
pub(crate) fn icmp_type(v6: bool, word: &str) -> Option<u8> {
    let known = if v6 { find(&ICMP6_TYPES, word) } else { find(&ICMP_TYPES, word) };
    known.or_else(|| word.parse().ok())
}

/// The names of ICMP types.
pub(crate) fn icmp_types(v6: bool) -> Vec<&'static str> {
    let list: &[(&str, u8)] = if v6 { &ICMP6_TYPES } else { &ICMP_TYPES };
    list.iter().map(|(name, _)| *name).collect()
}

/// The number of a code of an ICMP type.
pub(crate) fn icmp_code(v6: bool, of: u8, word: &str) -> Option<u8> {
    let list: &[(&str, u8, u8)] = if v6 { &ICMP6_CODES } else { &ICMP_CODES };
    let known = list.iter().find(|(name, ty, _)| *name == word && *ty == of);
    known.map(|(_, _, code)| *code).or_else(|| word.parse().ok())
}

/// The names of the codes of an ICMP type.
pub(crate) fn icmp_codes(v6: bool, of: u8) -> Vec<&'static str> {
    let list: &[(&str, u8, u8)] = if v6 { &ICMP6_CODES } else { &ICMP_CODES };
    list.iter().filter(|(_, ty, _)| *ty == of).map(|(name, ..)| *name).collect()
}

/// The value of TOS.
pub(crate) fn tos(word: &str) -> Option<u8> {
    let hex = word.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    hex.or_else(|| find(&TOS, word)).or_else(|| word.parse().ok())
}

/// TCP flags by their letters.
pub(crate) fn flags(word: &str) -> Option<u8> {
    let mut set = 0;
    for letter in word.chars() {
        set |= FLAGS.iter().find(|(known, _)| *known == letter)?.1;
    }
    Some(set)
}

/// The letters of TCP flags.
pub(crate) fn flags_name(set: u8) -> String {
    FLAGS.iter().filter(|(_, bit)| set & bit != 0).map(|(letter, _)| *letter).collect()
}

fn find<T: Copy>(list: &[(&str, T)], word: &str) -> Option<T> {
    list.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}
