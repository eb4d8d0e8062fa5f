//! Random rules files and packets that have something to do with them.

use evergate_policy::{Direction, Request};

/// A linear congruential generator: the same seed, the same rules.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1);
        random.below(2);
        random
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }
}

const NETS4: [&str; 12] = [
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.1.0/24",
    "10.0.1.7",
    "10.0.1.8",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "198.51.100.9",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "10.0.1.3 - 10.0.1.9",
    "255.255.255.255",
];
const NETS6: [&str; 7] = [
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::7",
    "fe80::/10",
    "::/0",
    "ffff::/16",
    "2001:db8:1::3 - 2001:db8:1::9",
];
const DYNAMIC: [&str; 12] = [
    "<bad>",
    "<web>",
    "<mixed>",
    "self",
    "lan",
    "(lan)",
    "lan:network",
    "(wan:network)",
    "wan:0",
    "any",
    "no-route",
    "<web>",
];
const PORTS: [&str; 12] = [
    "80",
    "443",
    "22",
    "!= 80",
    "> 1023",
    "< 1024",
    "1000:2000",
    "79 >< 82",
    "80 <> 90",
    "domain",
    "0:65535",
    ">= 443",
];

fn host(random: &mut Random, family: u64) -> String {
    let not = if random.one_in(6) { "! " } else { "" };
    let host = match (random.below(3), family) {
        (0, _) => random.pick(&DYNAMIC),
        (_, 6) => random.pick(&NETS6),
        (_, _) => random.pick(&NETS4),
    };
    if host == "any" { host.to_owned() } else { format!("{not}{host}") }
}

fn hosts(random: &mut Random, family: u64) -> String {
    if !random.one_in(4) {
        return host(random, family);
    }
    let count = 1 + random.below(3);
    let list: Vec<String> = (0..count).map(|_| host(random, family)).collect();
    format!("{{ {} }}", list.join(", "))
}

fn ports(random: &mut Random) -> String {
    if !random.one_in(4) {
        return random.pick(&PORTS).to_owned();
    }
    let list: Vec<&str> = (0..1 + random.below(3)).map(|_| random.pick(&PORTS)).collect();
    format!("{{ {} }}", list.join(" "))
}

fn filter(random: &mut Random, in_anchor: bool, action: &str) -> String {
    let mut text = String::new();
    match random.below(4) {
        0 => text += " in",
        1 => text += " out",
        _ => {}
    }
    if random.one_in(5) && !in_anchor {
        text += " log";
    }
    if random.one_in(6) {
        text += " quick";
    }
    if random.one_in(3) {
        text += " on ";
        text +=
            random.pick(&["lan", "wan", "dmz", "! lan", "vlan", "{ lan dmz }", "vlan10", "any"]);
    }
    let mut family = [4, 6][usize::try_from(random.below(2)).unwrap()];
    if random.one_in(4) {
        text += if family == 4 { " inet" } else { " inet6" };
    } else if random.one_in(3) {
        family = 4;
    }
    let proto = if action == "return-rst" { 0 } else { random.below(6) };
    let mut icmp = "";
    match proto {
        0 => text += " proto tcp",
        1 => text += " proto udp",
        2 => text += " proto { tcp udp }",
        3 if family == 4 => {
            text += " proto icmp";
            icmp = " icmp-type { echoreq unreach code needfrag }";
        }
        3 => {
            text += " proto icmp6";
            icmp = " icmp6-type echoreq";
        }
        4 => text += random.pick(&[" proto gre", " proto 250", " proto icmp"]),
        _ => {}
    }
    let ported = proto <= 2;
    if random.one_in(4) {
        text += " all";
    } else {
        if random.one_in(2) {
            text += &format!(" from {}", hosts(random, family));
            if ported && random.one_in(4) {
                text += &format!(" port {}", ports(random));
            }
        }
        if random.one_in(2) {
            text += &format!(" to {}", hosts(random, family));
            if ported && random.one_in(2) {
                text += &format!(" port {}", ports(random));
            }
        }
    }
    if random.one_in(2) {
        text += icmp;
    }
    if proto == 0 && random.one_in(4) {
        text += random.pick(&[" flags S/SA", " flags any", " flags A/A", " flags F/FSRA"]);
    }
    if random.one_in(12) {
        text += random.pick(&[" tos lowdelay", " tos 0xb8"]);
    }
    if random.one_in(if in_anchor { 12 } else { 6 }) {
        text += random.pick(&[" tagged A", " ! tagged A", " tagged B"]);
    }
    if random.one_in(10) {
        text += random.pick(&[" received-on lan", " ! received-on wan", " received-on vlan"]);
    }
    text
}

fn rule(random: &mut Random, text: &mut String, indent: &str) {
    let action = random.pick(&[
        "pass",
        "pass",
        "pass",
        "block",
        "block drop",
        "block return",
        "match",
        "return-rst",
        "block return-icmp (proto-unr, admin-unr)",
        "block return-icmp",
    ]);
    *text += indent;
    *text += if action == "return-rst" { "block return-rst" } else { action };
    *text += &filter(random, false, action);
    if action == "pass" {
        if random.one_in(3) {
            *text += random.pick(&[
                " no state",
                " keep state (sloppy)",
                " keep state (tcp.established 100, udp.first 5, icmp.first 7)",
                " keep state (tcp.first 9, tcp.closed 8)",
                " keep state",
            ]);
        }
        if random.one_in(6) {
            *text += " allow-opts";
        }
    }
    if random.one_in(6) {
        *text += random.pick(&[" tag A", " tag B"]);
    }
    if random.one_in(5) {
        *text +=
            random.pick(&[" label \"$if-$dstport-$proto\"", " label plain", " label \"nr $nr\""]);
    }
    *text += "\n";
}

/// A rules file with about so many rules.
pub(crate) fn rules(random: &mut Random, count: u64) -> String {
    let mut text = String::from(
        "table <bad> { 10.0.1.7, !10.0.1.8, 10.0.1.0/29 }\n\
         table <web> persist { 192.0.2.128/25 2001:db8:1::/48 }\n\
         table <mixed> { 10/8 !10.0.0.0/16 10.0.1.0/24 fe80::/10 }\n",
    );
    if random.one_in(3) {
        text += "set block-policy return\n";
    }
    if random.one_in(6) {
        text += "set skip on dmz\n";
    }
    if random.one_in(6) {
        text += "set timeout { tcp.first 11, other.single 12 }\nset optimization aggressive\n";
    }
    if random.one_in(4) {
        text += "antispoof log quick for lan\n";
    }
    if random.one_in(5) {
        text += "block in from urpf-failed label urpf\n";
    }
    for _ in 0..count {
        if random.one_in(8) {
            anchor(random, &mut text, "", 0);
        } else {
            rule(random, &mut text, "");
        }
    }
    text
}

fn anchor(random: &mut Random, text: &mut String, indent: &str, depth: u64) {
    *text += &format!("{indent}anchor{} {{\n", filter(random, true, ""));
    let inner = format!("{indent}  ");
    for _ in 0..1 + random.below(4) {
        if depth < 3 && random.one_in(5) {
            anchor(random, text, &inner, depth + 1);
        } else {
            rule(random, text, &inner);
        }
    }
    *text += &format!("{indent}}}\n");
}

const ADDRESSES4: [[u8; 4]; 13] = [
    [10, 0, 0, 1],
    [10, 0, 1, 2],
    [10, 0, 1, 3],
    [10, 0, 1, 7],
    [10, 0, 1, 8],
    [10, 0, 1, 10],
    [10, 9, 9, 9],
    [192, 0, 2, 1],
    [192, 0, 2, 200],
    [198, 51, 100, 9],
    [203, 0, 113, 5],
    [0, 0, 0, 0],
    [255, 255, 255, 255],
];
const ADDRESSES6: [&str; 8] = [
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db8:1::3",
    "2001:db8:1::7",
    "2001:db8:1::a",
    "fe80::1",
    "ffff:ffff::1",
    "::1",
];

fn address(random: &mut Random, v6: bool) -> [u8; 16] {
    if v6 {
        let text = random.pick(&ADDRESSES6);
        return text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    }
    let mut octets = ADDRESSES4[usize::try_from(random.below(13)).unwrap()];
    if random.one_in(5) {
        octets = u32::try_from(random.below(1 << 32)).unwrap().to_be_bytes();
    }
    std::net::Ipv4Addr::from(octets).to_ipv6_mapped().octets()
}

/// A packet.
pub(crate) fn packet(random: &mut Random) -> Request {
    let v6 = random.one_in(3);
    let mut request = Request { af: if v6 { 6 } else { 4 }, ..Request::default() };
    request.src = address(random, v6);
    request.dst = address(random, v6);
    request.proto = [6, 6, 6, 17, 17, 1, 58, 47, 250][usize::try_from(random.below(9)).unwrap()];
    let port = |random: &mut Random| {
        let ports = [0, 22, 53, 79, 80, 81, 90, 443, 1000, 1023, 1024, 2000, 2001, 65_535];
        ports[usize::try_from(random.below(14)).unwrap()]
    };
    match request.proto {
        6 => {
            request.tcp_flags = [2, 2, 2, 16, 18, 1, 4][usize::try_from(random.below(7)).unwrap()];
            (request.sport, request.dport) = (port(random), port(random));
        }
        17 => (request.sport, request.dport) = (port(random), port(random)),
        1 | 58 => {
            request.icmp_type = [0, 3, 8, 128, 129][usize::try_from(random.below(5)).unwrap()];
            request.icmp_code = u8::try_from(random.below(5)).unwrap();
        }
        _ => {}
    }
    let interface = |random: &mut Random| u16::try_from(1 + random.below(4)).unwrap();
    match random.below(5) {
        0 => {
            request.direction = Direction::ToGateway;
            (request.in_if, request.out_if) = (interface(random), 0);
        }
        1 => {
            request.direction = Direction::FromGateway;
            (request.in_if, request.out_if) = (0, interface(random));
        }
        _ => (request.in_if, request.out_if) = (interface(random), interface(random)),
    }
    if random.one_in(20) {
        request.out_if = 0xffff;
    }
    request.tos = [0, 0, 0x10, 0xb8][usize::try_from(random.below(4)).unwrap()];
    request
}
