//! The Rust SDK for Evergate policies.
