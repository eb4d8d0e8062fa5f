//! From bytes to a [`Policy`]: bounds, compilation, a first start as proof.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Cache, CacheConfig, Config, Engine, Linker, Module};

use crate::describe::{Description, describe};
use crate::environment::Environment;
use crate::error::{CompilerError, LoadError};
use crate::host::{HostState, Shared, add_to_linker};
use crate::limits::{Limits, STACK_BYTES};
use crate::log::LogRate;
use crate::names::is_name;
use crate::params::Params;
use crate::policy::{Parts, Policy};
use crate::validate::{Refusal, check};
use crate::wasi;

/// The largest file of a policy in bytes.
const MODULE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Compiled modules that are kept in memory, so that a reload compiles only what changed.
const MODULES_KEPT: usize = 16;
/// What a trap's message is cut to.
const MESSAGE_MAX: usize = 300;

/// How policies are compiled.
#[derive(Debug, Clone)]
pub struct CompilerConfig {
    /// An absolute path of a directory for compiled modules; what lies there is trusted as code,
    /// so only the gateway may write to it. `None`: compile at every start.
    pub cache_dir: Option<PathBuf>,
    /// The largest file of a policy in bytes.
    pub module_bytes_max: usize,
    /// Time between two ticks, 1 to 10 ms; the grain of [`Limits::deadline`].
    pub tick: Duration,
}

impl Default for CompilerConfig {
    fn default() -> Self {
        Self { cache_dir: None, module_bytes_max: MODULE_BYTES_MAX, tick: Duration::from_millis(5) }
    }
}

/// The wasm engine of a gateway, with its host functions.
pub struct Compiler {
    engine: Engine,
    linker: Linker<HostState>,
    config: CompilerConfig,
    modules: Mutex<VecDeque<([u8; 32], Module)>>,
}

impl Compiler {
    /// Sets the engine up.
    ///
    /// # Errors
    /// The cache directory cannot be used, or the machine lacks what wasm code needs.
    pub fn new(mut config: CompilerConfig) -> Result<Self, CompilerError> {
        config.tick = config.tick.clamp(Duration::from_millis(1), Duration::from_millis(10));
        let mut engine = engine_config();
        if let Some(directory) = &config.cache_dir {
            engine.cache(Some(cache(directory)?));
        }
        let text = |e: wasmtime::Error| CompilerError::Engine(format!("{e:#}"));
        let engine = Engine::new(&engine).map_err(text)?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(text)?;
        wasi::add_to_linker(&mut linker).map_err(text)?;
        Ok(Self { engine, linker, config, modules: Mutex::default() })
    }

    /// Starts the thread that makes deadlines work; without it only fuel bounds a call.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start_ticker(&self) -> Result<Ticker, CompilerError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, tick, seen) = (self.engine.clone(), self.config.tick, Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("policy-ticker".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Relaxed) {
                    std::thread::sleep(tick);
                    engine.increment_epoch();
                }
            })
            .map_err(CompilerError::Ticker)?;
        Ok(Ticker { stop, thread: Some(thread) })
    }

    /// Makes a policy of a module in binary or text form, and starts it once to prove it.
    ///
    /// # Errors
    /// Names the policy and says what is wrong with it; nothing of it stays.
    pub fn load(
        &self,
        name: &str,
        bytes: &[u8],
        limits: Limits,
        params: &Params,
        environment: &Arc<Environment>,
    ) -> Result<Arc<Policy>, LoadError> {
        if !is_name(name) {
            return Err(LoadError::Name(name.chars().take(80).collect()));
        }
        let refused = |refusal| LoadError::Refused { policy: name.to_owned(), refusal };
        let limit = self.config.module_bytes_max;
        if bytes.len() > limit {
            return Err(refused(Refusal::TooLarge { bytes: bytes.len(), limit }));
        }
        let wasm = binary(name, bytes)?;
        check(&wasm, &limits).map_err(refused)?;
        let compile = |e: wasmtime::Error| LoadError::Compile {
            policy: name.to_owned(),
            message: format!("{e:#}").chars().take(MESSAGE_MAX).collect(),
        };
        let module = self.module(&wasm).map_err(compile)?;
        let pre = self.linker.instantiate_pre(&module).map_err(compile)?;
        let mut policy = Policy::new(Parts {
            engine: self.engine.clone(),
            pre,
            shared: Shared {
                name: name.into(),
                environment: Arc::clone(environment),
                params: params.clone(),
                log_rate: LogRate::default(),
            },
            limits,
            deadline_ticks: ticks(limits.deadline, self.config.tick),
            hash: Sha256::digest(bytes).into(),
            size: bytes.len(),
        });
        policy.prove().map_err(|failure| LoadError::Start { policy: name.to_owned(), failure })?;
        Ok(Arc::new(policy))
    }

    /// Tells what a module in binary or text form is made of, without compiling or running it.
    ///
    /// # Errors
    /// It is too large, or neither a module nor the text of one.
    pub fn describe(&self, name: &str, bytes: &[u8]) -> Result<Description, LoadError> {
        let refused = |refusal| LoadError::Refused { policy: name.to_owned(), refusal };
        let limit = self.config.module_bytes_max;
        if bytes.len() > limit {
            return Err(refused(Refusal::TooLarge { bytes: bytes.len(), limit }));
        }
        describe(bytes, &binary(name, bytes)?).map_err(refused)
    }

    fn module(&self, wasm: &[u8]) -> wasmtime::Result<Module> {
        let hash: [u8; 32] = Sha256::digest(wasm).into();
        let lock = || self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, module)) = lock().iter().find(|(known, _)| *known == hash) {
            return Ok(module.clone());
        }
        let module = Module::from_binary(&self.engine, wasm)?;
        let mut modules = lock();
        if modules.len() >= MODULES_KEPT {
            modules.pop_front();
        }
        modules.push_back((hash, module.clone()));
        Ok(module)
    }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The running ticker thread; it stops when this is dropped.
#[derive(Debug)]
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and counts; it cannot have panicked.
            let _ = thread.join();
        }
    }
}

fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .cranelift_nan_canonicalization(true)
        .wasm_backtrace_max_frames(None)
        // One core compiles; the others are for packets.
        .parallel_compilation(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false);
    config
}

fn cache(directory: &std::path::Path) -> Result<Cache, CompilerError> {
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    Cache::new(config).map_err(|e| CompilerError::Cache {
        directory: directory.display().to_string(),
        message: format!("{e:#}"),
    })
}

/// Returns the binary form of a module; text begins with a parenthesis or a comment.
fn binary<'a>(name: &str, bytes: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, LoadError> {
    let start = bytes.trim_ascii_start();
    if !start.starts_with(b"(") && !start.starts_with(b";;") {
        return Ok(bytes.into());
    }
    wat::parse_bytes(bytes).map_err(|e| LoadError::Text {
        policy: name.to_owned(),
        message: e.to_string().trim().chars().take(1000).collect(),
    })
}

/// Returns how many ticks are surely no less than the deadline.
fn ticks(deadline: Duration, tick: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(tick.as_nanos().max(1));
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1).min(u64::MAX / 2)
}
