//! What `strict-web` claims: packets and verdicts, run natively and in wasm.

use evergate_guest::testing::{
    Case, Request, Suite, Value, forwarded, from_gateway, icmp, icmp6, tcp, to_gateway, udp,
};
use evergate_guest::{Keep, Verdict};

use crate::rule;

const LAN: u16 = 1;
const WAN: u16 = 2;
const HOST: &str = "192.168.1.10:40000";
const HOST6: &str = "[fd00::2]:40000";

fn case(claim: &'static str, request: Request, verdict: Verdict) -> Case {
    Case { claim, at_ms: 0, request, verdict }
}

fn out(packet: Request) -> Request {
    forwarded(LAN, WAN, packet)
}

/// Returns all suites.
pub fn suites() -> Vec<Suite> {
    vec![with_list(), with_table()]
}

fn with_list() -> Suite {
    let rst = Verdict::return_rst().log().rule(rule::REST);
    let prohibited = Verdict::return_icmp(Some(13)).log().rule(rule::REST);
    let prohibited6 = Verdict::return_icmp(Some(1)).log().rule(rule::REST);
    let outside = Verdict::block().log().rule(rule::OUTSIDE);
    let pass = |rule| Verdict::pass().rule(rule);
    Suite {
        name: "a list of resolvers",
        interfaces: &["self", "lan", "wan"],
        tables: &[],
        config: &[
            ("resolvers", &[Value::Text("9.9.9.9"), Value::Text("2620:fe::fe")]),
            ("gateway_tcp", &[Value::Int(22), Value::Int(8443)]),
        ],
        cases: vec![
            case("HTTP", out(tcp(HOST, "1.1.1.1:80")), pass(rule::WEB)),
            case("HTTPS", out(tcp(HOST6, "[2a00::1]:443")), pass(rule::WEB)),
            case("HTTP/3", out(udp(HOST, "1.1.1.1:443")), pass(rule::QUIC)),
            case("HTTP/3 has no port 80", out(udp(HOST, "1.1.1.1:80")), prohibited),
            case("DNS to a resolver", out(udp(HOST, "9.9.9.9:53")), pass(rule::DNS)),
            case("DNS over TCP", out(tcp(HOST, "9.9.9.9:53")), pass(rule::DNS)),
            case("DNS over IPv6", out(udp(HOST6, "[2620:fe::fe]:53")), pass(rule::DNS)),
            case("DNS to anyone else", out(udp(HOST, "8.8.8.8:53")), prohibited),
            case("DNS over TCP to anyone else", out(tcp(HOST, "8.8.8.8:53")), rst),
            case("NTP", out(udp(HOST, "1.2.3.4:123")), pass(rule::NTP)),
            case("mail is refused at once", out(tcp(HOST, "1.1.1.1:25")), rst),
            case("IPv6 is refused with its own code", out(udp(HOST6, "[2a00::1]:9")), prohibited6),
            case("pings are refused", out(icmp("192.168.1.10", "1.1.1.1", 8, 0)), prohibited),
            case(
                "SSH to the gateway",
                to_gateway(LAN, tcp(HOST, "192.168.1.1:22")),
                pass(rule::ADMIN),
            ),
            case("SSH through the gateway", out(tcp(HOST, "1.1.1.1:22")), rst),
            case("the web of the gateway", to_gateway(LAN, tcp(HOST, "192.168.1.1:443")), rst),
            case(
                "DHCP",
                to_gateway(LAN, udp("0.0.0.0:68", "255.255.255.255:67")),
                pass(rule::DHCP),
            ),
            case("DHCP through", out(udp(HOST, "1.1.1.1:67")), prohibited),
            case(
                "the gateway itself",
                from_gateway(WAN, tcp("203.0.113.1:9", "1.1.1.1:25")),
                pass(rule::GATEWAY),
            ),
            case(
                "the web from outside",
                forwarded(WAN, LAN, tcp("1.1.1.1:9", "192.168.1.10:80")),
                outside,
            ),
            case("SSH from outside", to_gateway(WAN, tcp("1.1.1.1:9", "203.0.113.1:22")), outside),
            case(
                "pings from outside",
                to_gateway(WAN, icmp("1.1.1.1", "203.0.113.1", 8, 0)),
                outside,
            ),
            case(
                "from an unknown interface",
                forwarded(0xffff, LAN, tcp(HOST, "1.1.1.1:80")),
                outside,
            ),
            case(
                "neighbour discovery",
                to_gateway(LAN, icmp6("fe80::1", "fe80::2", 135, 255)),
                Verdict::pass().keep(Keep::None).rule(rule::LINK),
            ),
        ],
    }
}

fn with_table() -> Suite {
    Suite {
        name: "a table of resolvers",
        interfaces: &["self", "lan", "wan"],
        tables: &[("resolvers", &["10.0.0.0/8", "!10.9.0.0/16"])],
        config: &[],
        cases: vec![
            case("in the table", out(udp(HOST, "10.1.1.1:53")), Verdict::pass().rule(rule::DNS)),
            case(
                "excepted from the table",
                out(udp(HOST, "10.9.1.1:53")),
                Verdict::return_icmp(Some(13)).log().rule(rule::REST),
            ),
            case(
                "SSH to the gateway is open unless set otherwise",
                to_gateway(LAN, tcp(HOST, "192.168.1.1:22")),
                Verdict::pass().rule(rule::ADMIN),
            ),
        ],
    }
}
