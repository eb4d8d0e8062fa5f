//! Real traffic of real programs through a running gateway.
//!
//! Every test builds its own hosts and its own gateway, a process of its own; names are claims.

mod carp;
mod carp_attack;
mod carp_ucarp;
mod crash;
mod fragments;
mod hops;
mod inspection;
mod local;
mod malformed;
mod operations;
mod pmtu;
mod policy;
mod routes;
mod start;
mod states;
mod swap;
mod traffic;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: what it claims holds unless it returns an error.
type Test = fn() -> anyhow::Result<()>;

/// Names the functions of a module after themselves.
macro_rules! claims {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CLAIMS: &[(&str, crate::Test)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use claims;

fn main() -> anyhow::Result<ExitCode> {
    if let Some(code) = evergate_e2e::enter()? {
        return Ok(code);
    }
    let mut arguments = Arguments::from_args();
    // Each test is a network of its own, but there are only so many cores.
    arguments.test_threads.get_or_insert(1);
    let themes: [(&str, &[(&str, Test)]); 17] = [
        ("traffic", traffic::CLAIMS),
        ("hops", hops::CLAIMS),
        ("fragments", fragments::CLAIMS),
        ("pmtu", pmtu::CLAIMS),
        ("policy", policy::CLAIMS),
        ("inspection", inspection::CLAIMS),
        ("operations", operations::CLAIMS),
        ("states", states::CLAIMS),
        ("swap", swap::CLAIMS),
        ("crash", crash::CLAIMS),
        ("carp", carp::CLAIMS),
        ("carp_attack", carp_attack::CLAIMS),
        ("carp_ucarp", carp_ucarp::CLAIMS),
        ("local", local::CLAIMS),
        ("routes", routes::CLAIMS),
        ("start", start::CLAIMS),
        ("malformed", malformed::CLAIMS),
    ];
    let trials = themes.into_iter().flat_map(|(theme, claims)| {
        claims.iter().map(move |&(name, test)| trial(format!("{theme}::{name}"), test))
    });
    Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
}

fn trial(name: String, test: Test) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}
