//! A gateway's worth of policy engine for tests.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use evergate_policy::{
    Chain, Compiler, CompilerConfig, Decision, Environment, Limits, LoadError, Params, Policy,
    Request, Runner, SharedChain, Tables,
};

pub(crate) struct Gateway {
    pub(crate) compiler: Compiler,
    pub(crate) environment: Arc<Environment>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self::with_interfaces(&["self", "lan", "wan"])
    }

    pub(crate) fn with_interfaces(interfaces: &[&str]) -> Self {
        let interfaces = interfaces.iter().map(|&name| name.to_owned()).collect();
        Self {
            compiler: Compiler::new(CompilerConfig::default()).unwrap(),
            environment: Arc::new(Environment::new(Arc::new(Tables::default()), interfaces, 1)),
        }
    }

    pub(crate) fn load(
        &self,
        name: &str,
        module: impl AsRef<[u8]>,
    ) -> Result<Arc<Policy>, LoadError> {
        self.load_with(name, module, Limits::default(), &Params::new())
    }

    pub(crate) fn load_with(
        &self,
        name: &str,
        module: impl AsRef<[u8]>,
        limits: Limits,
        params: &Params,
    ) -> Result<Arc<Policy>, LoadError> {
        self.compiler.load(name, module.as_ref(), limits, params, &self.environment)
    }
}

pub(crate) fn runner(policies: &[&Arc<Policy>]) -> Runner {
    let policies = policies.iter().map(|policy| Arc::clone(policy)).collect();
    Runner::new(Arc::new(SharedChain::new(Chain::new(policies).unwrap())))
}

pub(crate) fn ask(runner: &mut Runner) -> Decision {
    runner.decide(0, 0, &mut Request::default())
}

/// A module with these imports, and these further fields; `decide` has this body.
pub(crate) fn module(imports: &str, fields: &str, decide: &str) -> String {
    format!(
        r#"(module {imports} (memory (export "memory") 1)
             (func (export "evergate_abi_v1") (result i32) (i32.const 0))
             {fields}
             (func (export "decide") (param i32) (result i64) {decide}))"#
    )
}

/// A module that says one verdict word to everything.
pub(crate) fn says(word: i64) -> String {
    module("", "", &format!("(i64.const {word})"))
}

pub(crate) const CONTINUE: i64 = 0;
pub(crate) const PASS: i64 = 1;
pub(crate) const BLOCK: i64 = 2;
