//! Policies: WebAssembly modules that decide about new states.
