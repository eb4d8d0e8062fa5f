//! What a configuration may say, and how it is told when it may not.

use std::path::Path;
use std::time::Duration;

use evergate_state::Timeout;
use proptest::prelude::*;

use super::*;

const LEAST: &str = "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("dir/gw.toml"), text)
}

/// The message of a broken configuration.
fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_least_configuration_has_safe_defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.default, DefaultVerdict::Block);
    assert_eq!(config.on_crash, OnCrash::Closed);
    assert!(!config.filter_local);
    assert_eq!(config.states, 100_000);
    assert_eq!(config.timeouts.of(Timeout::TcpEstablished), Duration::from_secs(86_400));
    assert_eq!((config.timeouts.adaptive_start, config.timeouts.adaptive_end), (60_000, 120_000));
    assert_eq!(config.interface_names(), ["self", "lan"]);
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        [gateway]
        name = "gw1"
        queues = 3
        filter_local = true
        on_crash = "open"
        default = "pass"
        control = "/run/x.sock"
        state_dir = "/run/x"
        cache_dir = "/var/cache/x"
        route_table = 700
        rule_priority = 800

        [[interface]]
        name = "lan"
        device = "eth1.5"

        [[policy]]
        name = "mine"
        file = "mine.wasm"
        fuel = 5000
        memory = "2MiB"
        deadline = "3ms"
        [policy.config]
        ports = [22, 443]
        outside = "wan"

        [[policy]]
        name = "home"
        builtin = "home"

        [tables]
        friends = ["10.0.0.0/8", "!10.1.0.0/16"]

        [limits]
        states = 5000
        fragments = 10
        fragment_memory = "1MiB"

        [timeouts]
        profile = "aggressive"
        adaptive = { start = 10, end = 20 }
        tcp.first = "7s"
        "udp.single" = "1500ms"
        "#,
    )
    .unwrap();
    assert_eq!(config.queues, 3);
    assert_eq!(config.policies[0].source, PolicySource::File("dir/mine.wasm".into()));
    assert_eq!(config.policies[0].memory, 2 << 20);
    assert_eq!(config.policies[0].deadline, Duration::from_millis(3));
    assert!(config.policies[0].params.value("ports", 1).is_some());
    assert_eq!(config.policies[1].source, PolicySource::Builtin("home".to_owned()));
    assert_eq!(config.tables["friends"].len(), 2);
    assert_eq!(config.timeouts.of(Timeout::TcpFirst), Duration::from_secs(7));
    assert_eq!(config.timeouts.of(Timeout::UdpSingle), Duration::from_millis(1_500));
    assert_eq!(config.timeouts.of(Timeout::TcpOpening), Duration::from_secs(5));
    assert_eq!(config.timeouts.adaptive_start, 10);
}

#[test]
fn the_example_is_a_good_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gateway.toml");
    let config = Config::load(&path).unwrap();
    assert_eq!(config.interfaces.len(), 2);
    assert_eq!(config.tables["blocked"].len(), 3);
}

#[test]
fn mistakes_are_told_with_file_line_key_and_mend() {
    let cases = [
        ("", "dir/gw.toml:1:1: no interface is attached\n  mend: add at least one"),
        ("[gateway]\nquees = 1\n", "dir/gw.toml:2:1: unknown field `quees`, expected"),
        ("[gateway]\nquees = 1\n", "mend: did you mean `queues`?"),
        ("[gateway]\nqueues = 0\n", "dir/gw.toml:2:10: queues = 0 is out of range"),
        ("[gateway]\non_crash = \"ajar\"\n", "unknown variant `ajar`"),
        ("[gateway]\nroute_table = 254\n", "route_table = 254 is out of range"),
        ("[[interface]]\nname = \"self\"\ndevice = \"a\"\n", "cannot be named \"self\""),
        ("[[interface]]\nname = \"a b\"\ndevice = \"a\"\n", "\"a b\" is no name for an interface"),
        ("[[interface]]\nname = \"a\"\ndevice = \"eth0/1\"\n", "is no name of a device"),
        ("[[policy]]\nname = \"p\"\n", "dir/gw.toml:2:8: policy \"p\" has no module"),
        ("[[policy]]\nname = \"p\"\nbuiltin = \"hoem\"\n", "mend: did you mean `home`?"),
        ("[[policy]]\nname = \"p\"\nfile = \"a\"\nbuiltin = \"home\"\n", "either `file` or"),
        (
            "[[policy]]\nname = \"p\"\nbuiltin = \"home\"\nmemory = \"1kB\"\n",
            "a size with its unit",
        ),
        (
            "[[policy]]\nname = \"p\"\nbuiltin = \"home\"\nmemory = \"1GiB\"\n",
            "from 64KiB to 256MiB",
        ),
        ("[timeouts]\n\"tcp.frist\" = \"1s\"\n", "dir/gw.toml:2:2: unknown timeout `tcp.frist`"),
        ("[timeouts]\n\"tcp.frist\" = \"1s\"\n", "did you mean `tcp.first`?"),
        ("[timeouts]\n\"tcp.first\" = 10\n", "timeout `tcp.first` = 10 is no duration"),
        ("[timeouts]\nprofile = \"fast\"\n", "no timeout profile \"fast\""),
        ("[timeouts]\nadaptive = { start = 5, end = 5 }\n", "start 5 is not below its end 5"),
        ("[limits]\nstates = 0\n", "limits.states = 0 is out of range"),
        ("gateway = 1\n", "invalid type: integer `1`"),
        ("[gateway\n", "dir/gw.toml:1:"),
    ];
    for (text, expected) in cases {
        // The empty case is about the missing interface.
        let whole = if text.is_empty() || text.contains("[[interface]]") {
            text.to_owned()
        } else {
            format!("{text}{LEAST}")
        };
        let message = refused(&whole);
        assert!(message.contains(expected), "{whole}\n-> {message}\n(expected {expected})");
    }
}

#[test]
fn names_are_used_once() {
    assert!(refused(&format!("{LEAST}{LEAST}")).contains("a second interface named \"lan\""));
    let twice = "[[interface]]\nname = \"b\"\ndevice = \"eth1\"\n";
    assert!(refused(&format!("{LEAST}{twice}")).contains("device \"eth1\" is attached twice"));
    let policy = "[[policy]]\nname = \"p\"\nbuiltin = \"home\"\n";
    assert!(refused(&format!("{LEAST}{policy}{policy}")).contains("a second policy named \"p\""));
}

#[test]
fn a_missing_file_is_named() {
    let message = Config::load(Path::new("/nonexistent/gw.toml")).unwrap_err().to_string();
    assert!(message.starts_with("/nonexistent/gw.toml: cannot be read"), "{message}");
}

#[test]
fn values_have_units() {
    assert_eq!(Span::parse("20ms"), Some(Span(Duration::from_millis(20))));
    assert_eq!(Span::parse("2 h"), Some(Span(Duration::from_secs(7_200))));
    for bad in ["20", "ms", "-1s", "1.5s", "99999999999999999999d", "18446744073709551615d"] {
        assert_eq!(Span::parse(bad), None, "{bad}");
    }
    assert_eq!(ByteSize::parse("64KiB"), Some(ByteSize(65_536)));
    assert_eq!(ByteSize::parse("18446744073709551615GiB"), None);
}

proptest! {
    #[test]
    fn no_text_can_hurt(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_a_good_text_can_hurt(at in 0usize..LEAST.len(), to in any::<char>()) {
        let text: String =
            LEAST.chars().enumerate().map(|(n, c)| if n == at { to } else { c }).collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

const VHOST: &str = "[[carp]]\ninterface = \"lan\"\nvhid = 7\npassphrase_file = \"carp.key\"\n";

fn carp(lines: &str) -> Result<CarpConfig, String> {
    let text = format!("{LEAST}{VHOST}{lines}\n");
    let config = parse(&text).map_err(|error| error.to_string())?;
    Ok(config.carp.into_iter().next().unwrap())
}

#[test]
fn the_least_vhost_is_classic_multicast_and_uses_trailers() {
    let vhost = carp("addresses = [\"10.0.0.9/24\", \"fd00::9/64\"]").unwrap();
    assert_eq!((vhost.device.as_str(), vhost.vhid.get()), ("eth1", 7));
    assert_eq!(vhost.passphrase_file, Path::new("dir/carp.key"));
    assert_eq!(vhost.pace, evergate_carp::Pace::classic(1, 0).unwrap());
    assert_eq!(vhost.trailer, evergate_carp::TrailerPolicy::Use);
    assert_eq!((vhost.group.as_str(), vhost.preempt, vhost.peers.len()), ("carp", false, 0));
}

#[test]
fn an_interval_of_its_own_requires_the_trailer() {
    let fast = "addresses = [\"10.0.0.9/24\"]\ninterval = \"10ms\"\n";
    let vhost = carp(fast).unwrap();
    assert_eq!(vhost.pace.interval(), Duration::from_millis(10));
    assert_eq!(vhost.trailer, evergate_carp::TrailerPolicy::Require);
    let refused = carp(&format!("{fast}trailer = \"use\"")).unwrap_err();
    assert!(refused.contains("gw.toml:10:") && refused.contains("require"), "{refused}");
}

#[test]
fn vhosts_that_cannot_be_are_refused_with_their_place() {
    let good = "addresses = [\"10.0.0.9/24\"]\n";
    for (lines, says) in [
        ("addresses = []", "at least one"),
        ("addresses = [\"10.0.0.9\"]", "prefix"),
        ("addresses = [\"10.0.0.9/24\", \"10.0.0.9/25\"]", "twice"),
        ("addresses = [\"224.0.0.1/24\"]", "cannot be a virtual address"),
        (&format!("{good}advskew = 255"), "from 0 to 254"),
        (&format!("{good}advbase = 1\ninterval = \"10ms\""), "exclude"),
        (&format!("{good}interval = \"9ms\""), "10 ms to 255 s"),
        (&format!("{good}peers = [\"gw2\"]"), "no address"),
        (&format!("{good}virtual_mac = true"), "not supported"),
        (&format!("{good}adv_skew = 3"), "did you mean `advskew`?"),
        (&format!("{good}{VHOST}addresses = [\"10.0.0.8/24\"]"), "vhid 7 is there already"),
        (
            &format!("{good}{}{good}", VHOST.replace("7", "8")),
            "10.0.0.9/24 belongs to vhid 7 already",
        ),
    ] {
        let refused = carp(lines).unwrap_err();
        assert!(refused.contains(says) && refused.contains("gw.toml:"), "{lines}: {refused}");
    }
}

#[test]
fn the_pair_of_the_examples_shares_its_addresses() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pair");
    let [a, b] = ["a.toml", "b.toml"].map(|file| Config::load(&directory.join(file)).unwrap());
    assert_eq!(a.carp.len(), 2);
    for (a, b) in a.carp.iter().zip(&b.carp) {
        assert_eq!((a.vhid, &a.addresses, a.trailer), (b.vhid, &b.addresses, b.trailer));
        assert!(a.pace.interval() < b.pace.interval(), "neither is better");
    }
}

#[test]
fn rules_files_are_policies_of_one_source() {
    let rules = "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\n[[policy]]\nname = \"r\"\nrules = \"r.pf\"\n";
    let config = Config::parse(Path::new("dir/gateway.toml"), rules).unwrap();
    assert_eq!(config.policies[0].source, PolicySource::Rules("dir/r.pf".into()));
    let both = format!("{rules}file = \"x.wasm\"\n");
    let error = Config::parse(Path::new("dir/gateway.toml"), &both).unwrap_err().to_string();
    assert!(error.contains("one of `file`, `builtin` and `rules`"), "{error}");
}
