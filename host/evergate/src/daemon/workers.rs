//! The threads that carry packets: one a tun queue, each with a worker of the engine.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use evergate_engine::{Counters, Gateway, IfId, LogEvent, Outcome, Tally, Totals, Worker};
use evergate_io::clock;
use evergate_io::stop::Stop;
use evergate_io::tun::{FRAME_MAX, Queue, TunDevice, Wake};
use evergate_wire::Timestamp;

use super::tuns::Attached;

/// Log events under way to the logging thread; more are counted as lost.
const LOG_UNDER_WAY: usize = 4_096;
/// Packets of a burst that share one look at the clocks. At a slow 100,000 packets/s a packet's
/// time is late by 0.3 ms; what goes by it is timeouts and rates.
const LOOK_EVERY: u32 = 32;

/// A thread's counters, and whose they are.
struct Seat {
    ingress: IfId,
    counters: Arc<Counters>,
    shell: Arc<ShellCounters>,
}

/// What the shell counts beside the engine.
#[derive(Default)]
struct ShellCounters {
    write_errors: Tally,
    log_lost: Tally,
}

/// The running threads.
pub(super) struct Workers {
    seats: Vec<Seat>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    log: Mutex<Option<Receiver<LogEvent>>>,
}

impl Workers {
    /// Starts a thread for each queue of each tun.
    pub(super) fn start(
        gateway: &Arc<Gateway>,
        attached: &[Attached],
        tuns: Vec<TunDevice>,
        stop: &Stop,
    ) -> anyhow::Result<Workers> {
        let (to_log, log) = sync_channel(LOG_UNDER_WAY);
        let mut workers =
            Workers { seats: Vec::new(), threads: Mutex::default(), log: Mutex::new(Some(log)) };
        let mut threads = Vec::new();
        for (attached, tun) in attached.iter().zip(tuns) {
            let (id, name) = (attached.id, &attached.tun);
            for (n, queue) in tun.into_queues().into_iter().enumerate() {
                let worker = Worker::new(Arc::clone(gateway), id);
                let shell = Arc::<ShellCounters>::default();
                workers.seats.push(Seat {
                    ingress: id,
                    counters: worker.counters(),
                    shell: Arc::clone(&shell),
                });
                let carrier =
                    Carrier { queue, worker, shell, to_log: to_log.clone(), stop: stop.clone() };
                let thread = std::thread::Builder::new()
                    .name(format!("{name}/{n}"))
                    .spawn(move || carrier.run())
                    .context("starting a packet thread")?;
                threads.push(thread);
            }
        }
        workers.threads = Mutex::new(threads);
        Ok(workers)
    }

    /// The log events of all threads; they can be taken once.
    pub(super) fn take_log(&self) -> Option<Receiver<LogEvent>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sums over all threads, or over those of one ingress interface.
    pub(super) fn totals(&self, ingress: Option<IfId>) -> Totals {
        let mut totals = Totals::default();
        for seat in self.of(ingress) {
            totals.add(&seat.counters);
            totals.log_lost += seat.shell.log_lost.value();
        }
        totals
    }

    /// Frames that the kernel refused to take back.
    pub(super) fn write_errors(&self) -> u64 {
        self.of(None).map(|seat| seat.shell.write_errors.value()).sum()
    }

    /// How many threads serve an interface.
    pub(super) fn queues(&self, ingress: IfId) -> usize {
        self.of(Some(ingress)).count()
    }

    fn of(&self, ingress: Option<IfId>) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(move |seat| ingress.is_none_or(|id| id == seat.ingress))
    }

    /// Waits until every thread has ended; the stop must have been signalled.
    pub(super) fn join(&self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a packet thread has panicked");
            }
        }
    }
}

/// What the clocks said.
struct Time {
    at: Timestamp,
    /// Policies see the wall clock in whole seconds.
    wall_s: u64,
}

impl Time {
    fn look() -> Time {
        Time { at: Timestamp::from_nanos(clock::monotonic_ns()), wall_s: clock::wall_s() }
    }
}

/// One thread: reads frames, lets the engine decide, writes what it says.
struct Carrier {
    queue: Queue,
    worker: Worker,
    shell: Arc<ShellCounters>,
    to_log: SyncSender<LogEvent>,
    stop: Stop,
}

impl Carrier {
    fn run(mut self) {
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            if let Err(error) = self.carry(&mut buffer) {
                tracing::error!(%error, "reading packets from a tun failed; its traffic stops");
                return;
            }
            self.pass_on_log();
            match self.queue.wait(&self.stop) {
                Ok(Wake::Readable) => {}
                Ok(Wake::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "waiting for packets failed; a tun's traffic stops");
                    return;
                }
            }
        }
    }

    /// Carries frames until none is left.
    fn carry(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut time = Time::look();
        let mut until_look = LOOK_EVERY;
        while let Some(length) = self.queue.read(buffer)? {
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK_EVERY;
                time = Time::look();
                self.pass_on_log();
                if self.stop.is_signalled() {
                    return Ok(());
                }
            }
            let frame = &mut buffer[..length];
            match self.worker.process(time.at, time.wall_s, frame) {
                Outcome::Drop => {}
                Outcome::Forward => self.write(frame),
                Outcome::Emit => {
                    for frame in self.worker.emitted() {
                        self.write(frame);
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame the kernel does not take (say, its device went down) is lost as on any wire.
    fn write(&self, frame: &[u8]) {
        if self.queue.write(frame).is_err() {
            self.shell.write_errors.add(1);
        }
    }

    fn pass_on_log(&mut self) {
        while let Some(event) = self.worker.take_log() {
            if self.to_log.try_send(event).is_err() {
                self.shell.log_lost.add(1);
            }
        }
    }
}
