//! The WIT world says what the ABI says, under the same names.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::path::Path;

use evergate_abi::{
    Action, ENDED_FIELDS, EndCause, Field, IMPORTS, Keep, LogLevel, RECORD_FIELDS, REQUEST_FIELDS,
    ResolveKind,
};
use wit_parser::{Resolve, TypeDefKind};

fn world() -> Resolve {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy.wit");
    let mut resolve = Resolve::new();
    resolve.push_str("policy.wit", &std::fs::read_to_string(path).unwrap()).unwrap();
    resolve
}

/// The names of a type's cases, flags or fields.
fn parts(resolve: &Resolve, name: &str) -> Vec<String> {
    let (_, ty) = resolve
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no type {name}"));
    if let TypeDefKind::Record(record) = &ty.kind {
        return record.fields.iter().map(|field| field.name.clone()).collect();
    }
    if let TypeDefKind::Enum(cases) = &ty.kind {
        return cases.cases.iter().map(|case| case.name.clone()).collect();
    }
    panic!("{name} is neither a record nor an enum")
}

/// The fields that carry something, in the words of WIT.
fn carrying(fields: &[Field], without: &[&str]) -> Vec<String> {
    let fields = fields.iter().map(|field| field.name);
    let carries =
        |name: &&str| *name != "size" && !name.starts_with("reserved") && !without.contains(name);
    fields.filter(carries).map(|name| name.replace('_', "-")).collect()
}

#[test]
fn records_have_the_same_fields() {
    let resolve = world();
    assert_eq!(parts(&resolve, "request"), carrying(&REQUEST_FIELDS, &[]));
    assert_eq!(parts(&resolve, "state-end"), carrying(&ENDED_FIELDS, &[]));
    let (verdict, timeouts) = (parts(&resolve, "verdict"), parts(&resolve, "timeouts"));
    for name in carrying(&RECORD_FIELDS, &["fields"]) {
        assert!(verdict.contains(&name) || timeouts.contains(&name), "{name}");
    }
}

#[test]
fn numbers_have_the_same_names_in_the_same_order() {
    let resolve = world();
    for (name, expected) in [
        ("action", Action::ALL.map(Action::name).to_vec()),
        ("keep", Keep::ALL.map(Keep::name).to_vec()),
        ("cause", EndCause::ALL.map(EndCause::name).to_vec()),
        ("kind", ResolveKind::ALL.map(ResolveKind::name).to_vec()),
        ("level", LogLevel::ALL.map(LogLevel::name).to_vec()),
    ] {
        assert_eq!(parts(&resolve, name), expected, "{name}");
    }
}

#[test]
fn the_gateway_offers_the_same_functions() {
    let resolve = world();
    let gateway = resolve.interfaces.iter().find(|(_, i)| i.name.as_deref() == Some("gateway"));
    let names: Vec<&str> = gateway.unwrap().1.functions.keys().map(String::as_str).collect();
    let expected: Vec<String> =
        IMPORTS.iter().map(|function| function.name.replace('_', "-")).collect();
    assert_eq!(names, expected);
}
