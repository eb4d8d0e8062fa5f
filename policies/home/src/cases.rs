//! What `home` claims: packets and verdicts, run natively and in wasm.

use evergate_guest::testing::{
    Case, Request, Suite, Value, forwarded, from_gateway, icmp, icmp6, tcp, to_gateway, udp,
};
use evergate_guest::{Keep, Verdict};

use crate::rule;

const LAN: u16 = 1;
const WAN: u16 = 2;
const UNKNOWN: u16 = 0xffff;
const HOST: &str = "192.168.1.10:40000";
const FAR: &str = "198.51.100.7:50000";

fn case(claim: &'static str, request: Request, verdict: Verdict) -> Case {
    Case { claim, at_ms: 0, request, verdict }
}

/// Returns all suites.
pub fn suites() -> Vec<Suite> {
    vec![with_lists(), pings(), with_defaults(), with_blocked_table(), with_bogons()]
}

fn with_lists() -> Suite {
    let out = Verdict::pass().rule(rule::OUT);
    let rest = Verdict::block().log().rule(rule::REST);
    let tcp_in = Verdict::pass().rule(rule::TCP_IN);
    let udp_in = Verdict::pass().rule(rule::UDP_IN);
    let link = Verdict::pass().keep(Keep::None).rule(rule::LINK);
    let in_tcp = |port| forwarded(WAN, LAN, tcp(FAR, &format!("192.168.1.10:{port}")));
    let in_udp = |port| to_gateway(WAN, udp(FAR, &format!("203.0.113.1:{port}")));
    Suite {
        name: "lists of ports",
        interfaces: &["self", "lan", "wan"],
        tables: &[],
        config: &[
            ("outside", &[Value::Text("wan")]),
            ("tcp_in", &[Value::Int(22), Value::Text("6000-6010")]),
            ("udp_in", &[Value::Int(51820)]),
        ],
        cases: vec![
            case("out over TCP", forwarded(LAN, WAN, tcp(HOST, "198.51.100.7:80")), out),
            case("out over UDP", forwarded(LAN, WAN, udp(HOST, "198.51.100.7:53")), out),
            case("out pings", forwarded(LAN, WAN, icmp("192.168.1.10", "1.1.1.1", 8, 0)), out),
            case("inside to the gateway", to_gateway(LAN, tcp(HOST, "192.168.1.1:22")), out),
            case("the gateway itself", from_gateway(WAN, tcp("203.0.113.1:4000", FAR)), out),
            case("IPv6 out", forwarded(LAN, WAN, tcp("[fd00::2]:4000", "[2a00::1]:443")), out),
            case("a listed port to a host", in_tcp(22), tcp_in),
            case(
                "a listed port to the gateway",
                to_gateway(WAN, tcp(FAR, "203.0.113.1:22")),
                tcp_in,
            ),
            case("the first of a range", in_tcp(6000), tcp_in),
            case("the last of a range", in_tcp(6010), tcp_in),
            case("beyond a range", in_tcp(6011), rest),
            case("a port that is not listed", in_tcp(23), rest),
            case("a TCP port over UDP", in_udp(22), rest),
            case("a listed UDP port", in_udp(51820), udp_in),
            case("a UDP port over TCP", in_tcp(51820), rest),
            case("ident", in_tcp(113), Verdict::return_rst().rule(rule::IDENT)),
            case("an unknown interface is outside", forwarded(UNKNOWN, LAN, tcp(FAR, HOST)), rest),
            case(
                "outside cannot claim to be inside",
                forwarded(WAN, LAN, tcp("192.168.1.99:4000", "192.168.1.10:80")),
                rest,
            ),
            case("a timestamp query", to_gateway(WAN, icmp("1.1.1.1", "203.0.113.1", 13, 0)), rest),
            case("an ICMP redirect", to_gateway(WAN, icmp("1.1.1.1", "203.0.113.1", 5, 1)), rest),
            case("a lone echo reply", to_gateway(WAN, icmp("1.1.1.1", "203.0.113.1", 0, 0)), rest),
            case(
                "ND on the link",
                to_gateway(WAN, icmp6("fe80::1", "ff02::1:ff00:2", 135, 255)),
                link,
            ),
            case("RA on the link", to_gateway(WAN, icmp6("fe80::1", "ff02::1", 134, 255)), link),
            case("ND from afar", to_gateway(WAN, icmp6("2a00::1", "2a00::2", 135, 64)), rest),
            case("ND through", forwarded(WAN, LAN, icmp6("fe80::1", "2a00::2", 135, 255)), rest),
            case("MLD on the link", to_gateway(WAN, icmp6("fe80::1", "ff02::1", 130, 1)), link),
            case("MLD from afar", to_gateway(WAN, icmp6("2a00::1", "ff02::1", 130, 1)), rest),
            case("a redirect", to_gateway(WAN, icmp6("fe80::1", "fe80::2", 137, 255)), rest),
            case(
                "DHCP answers",
                to_gateway(WAN, udp("198.51.100.1:67", "255.255.255.255:68")),
                Verdict::pass().rule(rule::DHCP),
            ),
            case(
                "DHCPv6 answers from the link",
                to_gateway(WAN, udp("[fe80::1]:547", "[fe80::2]:546")),
                Verdict::pass().rule(rule::DHCP),
            ),
            case(
                "DHCPv6 answers from afar",
                to_gateway(WAN, udp("[2a00::1]:547", "[2a00::2]:546")),
                rest,
            ),
            case(
                "DHCP through",
                forwarded(WAN, LAN, udp("198.51.100.1:67", "192.168.1.9:68")),
                rest,
            ),
        ],
    }
}

fn pings() -> Suite {
    let ping = |at_ms, src, pass| Case {
        claim: if pass { "a ping within the rate" } else { "a ping over the rate" },
        at_ms,
        request: to_gateway(WAN, icmp(src, "203.0.113.1", 8, 0)),
        verdict: if pass {
            Verdict::pass().rule(rule::PING)
        } else {
            Verdict::block().rule(rule::PING_FLOOD)
        },
    };
    Suite {
        name: "two pings a second",
        interfaces: &["self", "lan", "wan"],
        tables: &[],
        config: &[("pings_per_s", &[Value::Int(2)])],
        cases: vec![
            ping(0, "1.1.1.1", true),
            ping(0, "1.1.1.1", true),
            ping(0, "1.1.1.1", false),
            ping(0, "2.2.2.2", true),
            ping(499, "1.1.1.1", false),
            ping(500, "1.1.1.1", true),
            ping(501, "1.1.1.1", false),
            Case {
                claim: "an IPv6 ping within the rate",
                at_ms: 501,
                request: forwarded(WAN, LAN, icmp6("2a00::1", "2a00::2", 128, 60)),
                verdict: Verdict::pass().rule(rule::PING),
            },
            ping(9_000, "1.1.1.1", true),
            ping(9_000, "1.1.1.1", true),
            ping(9_000, "1.1.1.1", false),
        ],
    }
}

fn with_defaults() -> Suite {
    Suite {
        name: "no settings",
        interfaces: &["self", "lan", "wan"],
        tables: &[],
        config: &[],
        cases: vec![
            case(
                "nothing is open",
                to_gateway(WAN, tcp(FAR, "203.0.113.1:22")),
                Verdict::block().log().rule(rule::REST),
            ),
            case(
                "out freely",
                forwarded(LAN, WAN, tcp(HOST, "1.1.1.1:25")),
                Verdict::pass().rule(rule::OUT),
            ),
            case(
                "private sources are no bogons unless asked",
                to_gateway(WAN, icmp("10.0.0.1", "203.0.113.1", 8, 0)),
                Verdict::pass().rule(rule::PING),
            ),
        ],
    }
}

fn with_blocked_table() -> Suite {
    let silent = Verdict::block().rule(rule::BLOCKED);
    Suite {
        name: "a table of blocked addresses",
        interfaces: &["self", "lan", "wan"],
        tables: &[("blocked", &["192.0.2.0/24", "!192.0.2.9", "2001:db8::/32"])],
        config: &[("tcp_in", &[Value::Int(22)])],
        cases: vec![
            case(
                "in is dropped",
                forwarded(WAN, LAN, tcp("192.0.2.1:9", "192.168.1.10:22")),
                silent,
            ),
            case(
                "out is answered with a reset",
                forwarded(LAN, WAN, tcp(HOST, "192.0.2.1:80")),
                Verdict::return_rst().rule(rule::BLOCKED),
            ),
            case(
                "out is answered with an ICMP error",
                forwarded(LAN, WAN, udp(HOST, "192.0.2.1:53")),
                Verdict::return_icmp(Some(13)).rule(rule::BLOCKED),
            ),
            case(
                "out over IPv6 is answered with an ICMPv6 error",
                forwarded(LAN, WAN, udp("[fd00::2]:4000", "[2001:db8::1]:53")),
                Verdict::return_icmp(Some(1)).rule(rule::BLOCKED),
            ),
            case(
                "an exception of the table passes",
                forwarded(WAN, LAN, tcp("192.0.2.9:9", "192.168.1.10:22")),
                Verdict::pass().rule(rule::TCP_IN),
            ),
        ],
    }
}

fn with_bogons() -> Suite {
    let bogon = Verdict::block().log().rule(rule::BOGON);
    Suite {
        name: "two outside interfaces, bogons blocked",
        interfaces: &["self", "lan", "dsl", "cable"],
        tables: &[],
        config: &[
            ("outside", &[Value::Text("dsl"), Value::Text("cable")]),
            ("tcp_in", &[Value::Int(22)]),
            ("block_bogons", &[Value::Bool(true)]),
        ],
        cases: vec![
            case("a private source", forwarded(3, 1, tcp("10.0.0.1:9", "192.168.1.10:22")), bogon),
            case(
                "a documentation source",
                forwarded(2, 1, tcp("[2001:db8::1]:9", "[2a00::1]:22")),
                bogon,
            ),
            case(
                "a public source",
                forwarded(3, 1, tcp("1.1.1.1:9", "192.168.1.10:22")),
                Verdict::pass().rule(rule::TCP_IN),
            ),
            case(
                "the link's own messages come before",
                to_gateway(2, icmp6("fe80::1", "ff02::1", 134, 255)),
                Verdict::pass().keep(Keep::None).rule(rule::LINK),
            ),
            case(
                "private sources inside are fine",
                forwarded(1, 3, tcp(HOST, "1.1.1.1:80")),
                Verdict::pass().rule(rule::OUT),
            ),
        ],
    }
}
