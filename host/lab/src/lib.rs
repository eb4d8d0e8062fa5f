//! Hosts and links in network namespaces, for the demo, tests and benches.
