//! The gateway daemon and its command line.
fn main() {}
