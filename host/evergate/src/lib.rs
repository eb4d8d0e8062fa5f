//! The gateway daemon and its command line, as a library so that tests can be the daemon too.

pub mod builtin;
pub mod cli;
pub mod config;
pub mod control;
mod daemon;
mod demo;
pub mod instance;
mod render;
mod rules;
mod security;

pub use cli::main;
pub use security::Security;
