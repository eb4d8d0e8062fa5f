//! End-to-end tests and benches in network namespaces.
