//! Tables against a plain list of prefixes, and their bounds.

use proptest::prelude::*;

use super::*;

fn entries(list: &[&str]) -> Vec<Entry> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn octets(text: &str) -> [u8; 16] {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[test]
fn the_longest_prefix_wins_and_negated_ones_except() {
    let tables = Tables::default();
    let table = tables.create("t").unwrap();
    let list = entries(&["10.0.0.0/8", "!10.1.0.0/16", "10.1.2.0/24", "2001:db8::/32"]);
    assert_eq!(tables.add("t", &list), Ok(4));
    for (address, inside) in [
        ("10.0.0.1", true),
        ("10.1.0.1", false),
        ("10.1.2.3", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
        ("::a00:1", false),
    ] {
        assert_eq!(table.contains(&octets(address)), inside, "{address}");
    }
}

#[test]
fn changes_tell_what_they_did() {
    let tables = Tables::default();
    tables.create("t").unwrap();
    assert_eq!(tables.add("t", &entries(&["10.0.0.0/8", "10.0.0.0/8"])), Ok(1));
    assert_eq!(tables.delete("t", &entries(&["!10.0.0.0/8", "10.0.0.0/9"])), Ok(0));
    assert_eq!(tables.add("t", &entries(&["!10.0.0.0/8"])), Ok(1));
    assert_eq!(tables.show("t").unwrap(), entries(&["!10.0.0.0/8"]));
    let change = tables.replace("t", &entries(&["1.1.1.1", "::1"]));
    assert_eq!(change, Ok(TableChange { added: 2, deleted: 1 }));
    assert_eq!(tables.list(), [("t".to_owned(), 2)]);
    assert_eq!(tables.add("u", &[]), Err(TableError::Unknown("u".to_owned())));
}

#[test]
fn limits_hold_over_all_tables_and_a_refusal_changes_nothing() {
    let tables = Tables::new(TableLimits { tables: 2, entries: 3 });
    tables.create("a").unwrap();
    tables.create("b").unwrap();
    assert_eq!(tables.create("c").unwrap_err(), TableError::Tables(2));
    assert!(tables.create("a").is_ok());
    tables.add("a", &entries(&["1.0.0.1", "1.0.0.2"])).unwrap();
    let refused = tables.add("b", &entries(&["2.0.0.1", "2.0.0.2"]));
    assert_eq!(refused, Err(TableError::Entries { wanted: 4, limit: 3 }));
    assert_eq!(tables.show("b"), Ok(vec![]));
    tables.remove("a").unwrap();
    assert_eq!(tables.add("b", &entries(&["2.0.0.1", "2.0.0.2", "2.0.0.3"])), Ok(3));
}

#[test]
fn a_removed_table_is_seen_empty_by_its_holders() {
    let tables = Tables::default();
    let table = tables.create("t").unwrap();
    tables.add("t", &entries(&["0.0.0.0/0"])).unwrap();
    tables.remove("t").unwrap();
    assert!(!table.contains(&octets("1.2.3.4")));
    assert!(tables.table("t").is_none());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let v4 = (0u32..64, 24u8..=32)
        .prop_map(|(low, len)| (IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (low << 2))), len));
    let v6 = (0u128..64, 112u8..=128).prop_map(|(low, len)| {
        (IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | (low << 6))), len)
    });
    (prop_oneof![v4, v6], any::<bool>())
        .prop_map(|((address, len), negated)| Entry::new(address, len, negated).unwrap())
}

fn by_hand(list: &[Entry], address: IpAddr) -> bool {
    let covers = |e: &&Entry| Entry::new(address, e.prefix_len(), e.is_negated()) == Some(**e);
    let family = |e: &&Entry| e.address().is_ipv4() == address.is_ipv4();
    let best = list.iter().filter(family).filter(covers).max_by_key(|e| e.prefix_len());
    best.is_some_and(|e| !e.is_negated())
}

proptest! {
    #[test]
    fn lookups_equal_a_plain_search(
        list in prop::collection::vec(any_entry(), 0..40),
        probes in prop::collection::vec(any_entry(), 1..40),
    ) {
        let tables = Tables::default();
        let table = tables.create("t").unwrap();
        tables.add("t", &list).unwrap();
        let shown = tables.show("t").unwrap();
        for probe in probes {
            let octets = octets(&probe.address().to_string());
            prop_assert_eq!(table.contains(&octets), by_hand(&shown, probe.address()));
        }
        tables.delete("t", &shown).unwrap();
        prop_assert!(table.is_empty());
    }
}
