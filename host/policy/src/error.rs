//! Why a policy was refused, and why a call of one failed.

use evergate_abi::{ABI_VERSION, BadVerdict, export};

use crate::validate::Refusal;

/// Why a call of a policy gave no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It used up its fuel.
    #[error("it ran out of fuel: an endless loop, or more work than the limit of {0} allows")]
    Fuel(u64),
    /// It was still running at its deadline.
    #[error("it ran past its deadline")]
    Deadline,
    /// It used up its stack.
    #[error("it used up its stack of {} bytes: recursion without end?", crate::STACK_BYTES)]
    Stack,
    /// It wanted more memory or table elements than it may have.
    #[error("it wanted more room than it may have: {0}")]
    Room(String),
    /// It called a host function wrongly or too often.
    #[error("{0}")]
    Host(String),
    /// It trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// Its verdict is not one.
    #[error("its verdict is bad: {0}")]
    BadVerdict(BadVerdict),
    /// Its request buffer is outside its memory or misaligned.
    #[error("its request buffer at {0:#x} is not 64 bytes of its memory, aligned to 8")]
    RequestAddress(u32),
    /// Its payload record or buffer is outside its memory, misaligned or empty.
    #[error("its payload record at {0:#x} does not name a buffer in its memory")]
    PayloadAddress(u32),
    /// Its buffer for ended states is outside its memory or misaligned.
    #[error("its buffer for ended states at {0:#x} is not 96 bytes of its memory, aligned to 8")]
    EndedAddress(u32),
    /// What it saves, or where it wants it back, makes no sense.
    #[error("{0}")]
    Blob(String),
    /// `init` said no.
    #[error("init returned {code}{}", said(.message))]
    Init {
        /// What it returned.
        code: i32,
        /// What it logged last.
        message: Option<String>,
    },
    /// `self_test` said no.
    #[error("self_test returned {code}{}", said(.message))]
    SelfTest {
        /// What it returned.
        code: i32,
        /// What it logged last.
        message: Option<String>,
    },
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

/// Why a module was not taken as a policy; every message names the policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The policy's name is not one.
    #[error("`{0}` cannot name a policy: use up to 64 letters, digits and _ - . : /")]
    Name(String),
    /// The text form does not parse; the message has line and column.
    #[error("policy {policy}: {message}")]
    Text {
        /// The policy.
        policy: String,
        /// The parser's message with line and column.
        message: String,
    },
    /// The module breaks a bound or a rule, seen before it was compiled.
    #[error("policy {policy}: {refusal}")]
    Refused {
        /// The policy.
        policy: String,
        /// What is wrong.
        refusal: Refusal,
    },
    /// The compiler does not take it.
    #[error("policy {policy}: cannot be compiled: {message}")]
    Compile {
        /// The policy.
        policy: String,
        /// The compiler's message.
        message: String,
    },
    /// It does not start.
    #[error("policy {policy}: does not start: {failure}")]
    Start {
        /// The policy.
        policy: String,
        /// How it failed.
        failure: Failure,
    },
}

/// The sentence for a module that speaks another version.
pub(crate) fn other_version(found: &str) -> String {
    let version = found.strip_prefix(export::VERSION_PREFIX).unwrap_or(found);
    format!("it speaks version {version} of the ABI, this gateway speaks version {ABI_VERSION}")
}

/// The policy engine itself could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompilerError {
    /// The compiled-module cache cannot be used.
    #[error("cannot use {directory} as cache of compiled policies: {message}")]
    Cache {
        /// The directory.
        directory: String,
        /// What is wrong.
        message: String,
    },
    /// The wasm engine does not take its settings on this machine.
    #[error("cannot set up the wasm engine: {0}")]
    Engine(String),
    /// The ticker thread cannot be started.
    #[error("cannot start the ticker thread: {0}")]
    Ticker(std::io::Error),
}
