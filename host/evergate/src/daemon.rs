//! The running gateway: what is set up at start, in which order, and taken back at stop.
//!
//! Everything that can be wrong with a configuration is found before the system is touched.
//! Then traffic is led into the tuns only when the threads that carry it on are there.

mod carp;
mod handler;
mod hooks;
mod lock;
mod log;
mod policies;
mod purge;
mod reports;
mod routes;
mod tuns;
mod watch;
mod workers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::Context;
use evergate_engine::{DefaultVerdict as EngineDefault, Gateway, GatewayConfig, IfId};
use evergate_io::stop::Stop;
use evergate_state::Timeout;
use evergate_table::TableConfig;
use evergate_wire::fragment::FragmentLimits;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, DefaultVerdict};
use crate::control;
pub(crate) use carp::Prepared as PreparedCarp;
pub(crate) use policies::Policies;
use tuns::Attached;
use workers::Workers;

/// What the parts of a running gateway share.
struct Running {
    config: Config,
    started: Instant,
    gateway: Arc<Gateway>,
    policies: Policies,
    workers: Workers,
    attached: Vec<Attached>,
    carp: Option<carp::Carp>,
    /// States removed off the packet path: by purge and by kill.
    removed: Arc<AtomicU64>,
}

impl Running {
    fn interface_name(&self, id: IfId) -> String {
        match id {
            IfId::SELF => "self".to_owned(),
            IfId(n) => usize::from(n)
                .checked_sub(1)
                .and_then(|n| self.config.interfaces.get(n))
                .map_or_else(|| "-".to_owned(), |interface| interface.name.clone()),
        }
    }
}

/// Runs a gateway until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration or a policy is broken, or the system refuses what the gateway needs;
/// whatever was set up by then is taken back.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    log::start();
    let config = Config::load(path)?;
    let policies = Policies::load(&config)?;
    let _ticker = policies.start_ticker()?;
    let carp = PreparedCarp::load(&config)?;
    let _lock = lock::take(&config.state_dir)?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("waiting for signals")?;
    let stop = Stop::new().context("making the stop event")?;

    let carp = carp.clean(&config)?;
    let gateway = Arc::new(Gateway::new(gateway_config(&config), policies.chain()));
    let (attached, tuns) = tuns::create(&config)?;
    let divert = tuns::divert_config(&config, &attached);
    let workers = Workers::start(&gateway, &attached, tuns, &stop)?;
    let removed = Arc::<AtomicU64>::default();
    let threads = [
        purge::start(&gateway, &removed, stop.clone())?,
        hooks::start(policies.chain(), stop.clone())?,
        follow_log(&config, &policies, &workers, stop.clone())?,
    ];
    let routes_stop = Stop::new().context("making the stop event")?;
    let tables = Arc::clone(&policies.environment().tables);
    let routes =
        routes::lead_in(config.clone(), Arc::clone(&gateway), tables, divert, routes_stop.clone())?;

    // Whoever becomes MASTER forwards already.
    let (carp, elected) = match carp.start() {
        Ok(carp) => (carp, Ok(())),
        Err(error) => (None, Err(error).context("starting CARP")),
    };

    let started = Instant::now();
    let running =
        Arc::new(Running { config, started, gateway, policies, workers, attached, carp, removed });
    let watch = watch::start(&running, stop.clone())?;
    let served = elected.and_then(|()| serve(&running));
    if served.is_ok() {
        tracing::info!(name = running.config.name, pid = std::process::id(), "the gateway runs");
        let _ = signals.forever().next();
        tracing::info!("stopping");
        let _ = std::fs::remove_file(&running.config.control);
    }
    if let Some(carp) = &running.carp {
        carp.stop();
    }
    // First the way in, then those who carry what came in.
    routes_stop.signal();
    let taken_back = routes.join().unwrap_or_else(|_| anyhow::bail!("the routes thread panicked"));
    stop.signal();
    for thread in threads.into_iter().chain(watch) {
        let _ = thread.join();
    }
    running.workers.join();
    served.and(taken_back)
}

fn serve(running: &Arc<Running>) -> anyhow::Result<()> {
    let path = &running.config.control;
    control::serve(path, Arc::clone(running) as Arc<dyn control::Handler>)
        .with_context(|| format!("control socket {}", path.display()))
}

fn follow_log(
    config: &Config,
    policies: &Policies,
    workers: &Workers,
    stop: Stop,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let names = log::Names {
        interfaces: config.interface_names(),
        policies: config.policies.iter().map(|policy| policy.name.clone()).collect(),
    };
    let events = workers.take_log().context("invariant: the log is taken once")?;
    log::follow(events, Arc::clone(&policies.environment().log), names, stop)
}

fn gateway_config(config: &Config) -> GatewayConfig {
    let seed = policies::seed();
    GatewayConfig {
        table: TableConfig::new(seed, config.states),
        fragments: FragmentLimits {
            datagrams: config.fragments,
            bytes: config.fragment_memory,
            timeout: config.timeouts.of(Timeout::Frag),
            ..FragmentLimits::default()
        },
        default: match config.default {
            DefaultVerdict::Block => EngineDefault::Block,
            DefaultVerdict::Pass => EngineDefault::Pass,
        },
        timeouts: config.timeouts.clone(),
        // The upper half: ids of states are told apart by it among gateways.
        creator: u32::try_from(seed >> 32).unwrap_or(0),
    }
}
