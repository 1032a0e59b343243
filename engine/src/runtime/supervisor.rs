//! Starts a job, lets the coordinator cut its epochs, and ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, available_parallelism};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::checkpoint::coordinator::{Action, Coordinator, Signal};
use crate::checkpoint::directory::{CheckpointDir, Start};
use crate::checkpoint::manifest::Manifest;
use crate::error::{Error, Result};
use crate::graph::plan::NodeId;
use crate::runtime::budget;
use crate::runtime::build::{Hub, RunContext, column_family};
use crate::runtime::control::{Control, Counted};
use crate::runtime::event::{Event, Failure};
use crate::runtime::fit;
use crate::runtime::job::{BuildNode, JobGraph, ReadAgain, RecoverSink};
use crate::runtime::keeper::{self, Keeper, Order};
use crate::runtime::ledger::{EpochParts, Ledger};
use crate::runtime::report::{Outcome, Report};
use crate::runtime::source_root::AssignedSplit;
use crate::runtime::worker;
use crate::settings::Settings;
use crate::state::key_group::KEY_GROUPS;
use crate::state::rocks::Store;
use crate::time::clock::Clock;

/// How often the supervisor looks at stop requests and tells of progress.
const TICK: Duration = Duration::from_millis(5);

/// Asks a running job to stop: it takes a last checkpoint and ends.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Asks the job to stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a job runs in: the components that are passed in, beside its [`Settings`].
pub struct Environment<'a> {
    /// The clock.
    pub clock: Clock,
    /// Asks the job to stop.
    pub stopper: Stopper,
    /// Is told how far the job has come, some times a second.
    pub observe: Box<dyn FnMut(&Counted) + 'a>,
}

impl Default for Environment<'_> {
    fn default() -> Self {
        Environment {
            clock: Clock::system(),
            stopper: Stopper::default(),
            observe: Box::new(|_| {}),
        }
    }
}

/// Runs a job to its end, or until it is asked to stop.
///
/// # Errors
/// When the job is not set up right, its checkpoint does not fit, or anything fails on the way.
/// Nothing of the epoch in which it failed is visible; the next start goes on from the last
/// complete checkpoint.
pub fn run(graph: &JobGraph, settings: &Settings, environment: Environment<'_>) -> Result<Report> {
    graph.check()?;
    let began_us = environment.clock.monotonic_us();
    let (dir, start) = match &settings.checkpoint_dir {
        Some(path) => {
            let (dir, start) = CheckpointDir::open(path, &graph.plan.name, settings.fresh)?;
            (Some(dir), start)
        }
        None => (None, Start::First),
    };
    let restored = match &start {
        Start::First => None,
        Start::Restored(manifest) => Some(manifest.clone()),
    };
    if let Some(manifest) = &restored {
        fit::check(graph, manifest)?;
        recover_sinks(graph, settings, Some(manifest))?;
        if manifest.finished {
            return Ok(report(
                graph,
                Outcome::AlreadyComplete,
                Some(manifest),
                Some(manifest),
            ));
        }
    } else {
        recover_sinks(graph, settings, None)?;
    }
    let (events, inbox) = unbounded();
    let (cx, dir) = prepare(graph, settings, &environment, (dir, &start), events)?;
    let mut report = Supervisor::new(graph, &cx, environment, restored).supervise(&inbox, dir)?;
    report.elapsed =
        Duration::from_micros(cx.control.clock.monotonic_us().saturating_sub(began_us));
    Ok(report)
}

/// How many workers a job with these settings has.
///
/// # Errors
/// When there are more than key groups.
pub fn worker_count(settings: &Settings) -> Result<usize> {
    let workers = match settings.workers {
        0 => available_parallelism()
            .map_or(1, usize::from)
            .min(usize::from(KEY_GROUPS)),
        workers => workers,
    };
    if workers > usize::from(KEY_GROUPS) {
        return Err(Error::config(format!(
            "{workers} workers are more than there are key groups ({KEY_GROUPS})"
        ))
        .remedy("use fewer workers"));
    }
    Ok(workers)
}

fn recover_sinks(graph: &JobGraph, settings: &Settings, restored: Option<&Manifest>) -> Result<()> {
    let writers = worker_count(settings)?;
    for sink in &graph.sinks {
        let pending = restored
            .and_then(|m| m.sinks.get(&sink.id))
            .map(|e| e.pending.as_slice());
        let start = match pending {
            Some(pending) => RecoverSink::Restored { pending, writers },
            None if settings.fresh => RecoverSink::Fresh,
            None => RecoverSink::First,
        };
        (sink.recover)(&start).map_err(|e| e.at(format!("sink `{}`", sink.id)))?;
    }
    Ok(())
}

/// Everything that the workers are built from.
fn prepare(
    graph: &JobGraph,
    settings: &Settings,
    environment: &Environment<'_>,
    (dir, start): (Option<CheckpointDir>, &Start),
    events: Sender<Event>,
) -> Result<(RunContext, Option<CheckpointDir>)> {
    let workers = worker_count(settings)?;
    let memory = memory_of(settings);
    let restored = match start {
        Start::First => None,
        Start::Restored(manifest) => Some(manifest.clone()),
    };
    let store = match &dir {
        None => None,
        Some(dir) => {
            dir.prepare_live(start)?;
            let store = open_store(graph, &dir.live_dir(), budget::store(memory))?;
            if let Some(manifest) = &restored {
                store.lay_over(dir.read_changes(&manifest.state)?)?;
            }
            Some(Arc::new(store))
        }
    };
    let epoch = restored.as_ref().map_or(0, |m| m.epoch);
    let control = Control::new(
        environment.clock.clone(),
        epoch,
        restored.as_ref().map(|m| m.created_ms),
        settings.throttle_rows_per_s,
    );
    let splits = splits(graph, restored.as_ref())?;
    let silent = (0..workers).map(|worker| {
        let has_splits = |source| {
            splits
                .get(&source)
                .is_some_and(|s| RunContext::has_splits(s, worker))
        };
        graph.topology.silent(has_splits)
    });
    let cx = RunContext {
        silent: silent.collect(),
        topology: graph.topology.clone(),
        hub: Hub::new(workers, settings.queue_bytes),
        control: Arc::new(control),
        settings: settings.clone(),
        workers,
        store,
        splits,
        restored,
        ports: graph.plan.ports.clone(),
        state_bytes: budget::rows(memory) / workers,
        events,
    };
    Ok((cx, dir))
}

fn open_store(graph: &JobGraph, live: &Path, memory_bytes: usize) -> Result<Store> {
    let tables = graph.operators.iter().flat_map(|part| {
        let tables = part.tables.iter();
        tables.map(|(name, _)| column_family(&part.id, name))
    });
    Store::open(live, &tables.collect::<Vec<_>>(), memory_bytes)
}

fn memory_of(settings: &Settings) -> usize {
    match settings.memory_bytes {
        0 => machine_memory() / 2,
        bytes => bytes,
    }
}

fn machine_memory() -> usize {
    let info = rustix::system::sysinfo();
    usize::try_from(u128::from(info.totalram) * u128::from(info.mem_unit)).unwrap_or(1 << 30)
}

/// The splits there are, with what the checkpoint says of each. Those that have ended need not
/// be there any more.
fn splits(
    graph: &JobGraph,
    restored: Option<&Manifest>,
) -> Result<BTreeMap<NodeId, Vec<AssignedSplit>>> {
    let mut all = BTreeMap::new();
    for source in &graph.sources {
        let names = (source.splits)().map_err(|e| e.at(format!("source `{}`", source.id)))?;
        let entries = restored
            .and_then(|m| m.sources.get(&source.id))
            .map(|e| &e.splits);
        let there: BTreeSet<&String> = names.iter().collect();
        if there.len() != names.len() {
            return Err(Error::config(format!(
                "source `{}` names a split twice: {names:?}",
                source.id
            )));
        }
        let mut unfinished = entries
            .into_iter()
            .flatten()
            .filter(|(_, entry)| !entry.finished);
        if let Some((name, _)) = unfinished.find(|(name, _)| !there.contains(name)) {
            return Err(Error::checkpoint(format!(
                "source `{}` no longer has the split `{name}`, which is not read to its end (it has {names:?})",
                source.id
            ))
            .remedy("bring it back, or start over with --fresh"));
        }
        let assigned = names
            .into_iter()
            .enumerate()
            .map(|(number, name)| AssignedSplit {
                number: number as u32,
                entry: entries.and_then(|e| e.get(&name)).cloned(),
                name,
            });
        let open = assigned.filter(|split| split.entry.as_ref().is_none_or(|e| !e.finished));
        all.insert(source.node, open.collect());
    }
    Ok(all)
}

struct Supervisor<'a> {
    graph: &'a JobGraph,
    cx: &'a RunContext,
    environment: Environment<'a>,
    ledger: Ledger<'a>,
    coordinator: Coordinator,
    parts: EpochParts,
    runs: Vec<crate::state::run::Run>,
    restored: Option<Manifest>,
    /// The newest manifest: restored, or built in this run.
    newest: Option<Manifest>,
    failure: Option<Failure>,
    ended: usize,
    outcome: Option<Outcome>,
}

impl<'a> Supervisor<'a> {
    fn new(
        graph: &'a JobGraph,
        cx: &'a RunContext,
        environment: Environment<'a>,
        restored: Option<Manifest>,
    ) -> Self {
        let interval = cx.settings.checkpoint_interval;
        let coordinator = Coordinator::new(
            u64::try_from(interval.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
            cx.store.is_some(),
        );
        Supervisor {
            graph,
            cx,
            environment,
            ledger: Ledger::new(graph, restored.clone()),
            coordinator,
            parts: EpochParts::default(),
            runs: Vec::new(),
            newest: restored.clone(),
            restored,
            failure: None,
            ended: 0,
            outcome: None,
        }
    }

    fn supervise(mut self, inbox: &Receiver<Event>, dir: Option<CheckpointDir>) -> Result<Report> {
        let plan: Vec<(String, BuildNode)> = self
            .graph
            .plan
            .nodes
            .iter()
            .filter_map(|node| Some((node.label.clone(), node.build.clone()?)))
            .collect();
        let (orders, order_inbox) = bounded(16);
        std::thread::scope(|scope| {
            self.start_threads(scope, &plan, dir, order_inbox)?;
            let ran = self.run_loop(inbox, &orders);
            drop(orders);
            if ran.is_err() {
                self.cx.control.abort();
            }
            self.wait_for_workers(inbox);
            self.cx.hub.close();
            ran
        })?;
        if let Some(failure) = self.failure.take() {
            return Err(self.explain(failure));
        }
        let outcome = self.outcome.unwrap_or(Outcome::Stopped);
        Ok(report_of(&self, outcome))
    }

    fn start_threads<'s>(
        &self,
        scope: &'s Scope<'s, '_>,
        plan: &'s [(String, BuildNode)],
        dir: Option<CheckpointDir>,
        orders: Receiver<Order>,
    ) -> Result<()>
    where
        'a: 's,
    {
        let cx = self.cx;
        let spawned = |e| Error::io("a thread cannot be started", e);
        if let (Some(dir), Some(store)) = (dir, &cx.store) {
            let restored = self.restored.as_ref().map(|m| m.state.clone());
            let bounds = keeper::Bounds::of(memory_of(&cx.settings));
            let saved = |epoch, written| {
                cx.control.settle(epoch, written);
                cx.hub.ring_all();
            };
            std::thread::Builder::new()
                .name("keeper".to_owned())
                .spawn_scoped(scope, move || {
                    let keeper = Keeper::new(&dir, store, restored, bounds);
                    keeper.run(&orders, &cx.events, saved);
                })
                .map_err(spawned)?;
        }
        for index in 0..cx.workers {
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn_scoped(scope, move || worker::run(cx, index, plan))
                .map_err(spawned)?;
        }
        Ok(())
    }

    fn run_loop(&mut self, inbox: &Receiver<Event>, orders: &Sender<Order>) -> Result<()> {
        let started = Signal::Started {
            now_ms: self.now_ms(),
            last_epoch: self.cx.control.epoch(),
            workers: self.cx.workers,
            sink_writers: self.graph.sinks.len() * self.cx.workers,
        };
        self.signal(started, orders)?;
        while self.outcome.is_none() && self.failure.is_none() {
            match inbox.recv_timeout(TICK) {
                Ok(event) => self.handle(event, orders)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal("all workers are gone"));
                }
            }
            if self.environment.stopper.is_asked() {
                self.signal(Signal::StopRequested, orders)?;
            }
            let now_ms = self.now_ms();
            self.signal(Signal::Tick { now_ms }, orders)?;
            (self.environment.observe)(&self.cx.control.stats.now());
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.cx.control.clock.monotonic_us() / 1000
    }

    fn handle(&mut self, event: Event, orders: &Sender<Order>) -> Result<()> {
        let signal = match event {
            Event::Barrier {
                worker,
                epoch,
                nodes,
            } => {
                self.parts.nodes.extend(nodes);
                Signal::WorkerBarrier { worker, epoch }
            }
            Event::Flushed {
                worker,
                epoch,
                runs,
            } => {
                self.runs.extend(runs);
                Signal::StateFlushed { worker, epoch }
            }
            Event::HandedOver { runs, bytes } => {
                // As for every order: a keeper that is gone has said why.
                let _ = orders.send(Order::Write { runs, bytes });
                return Ok(());
            }
            Event::Exhausted { worker } => Signal::SourcesExhausted { worker },
            Event::Prepared {
                sink,
                writer,
                epoch,
                pending,
            } => {
                self.parts.pending.insert((sink, writer), pending);
                Signal::SinkPrepared {
                    sink,
                    writer,
                    epoch,
                }
            }
            Event::SinkCommitted {
                sink,
                writer,
                epoch,
            } => Signal::SinkCommitted {
                sink,
                writer,
                epoch,
            },
            Event::StateSealed { epoch, state } => {
                self.parts.state = state;
                Signal::StateSealed { epoch }
            }
            Event::Committed { epoch } => {
                self.cx.control.stats.checkpoint();
                Signal::Committed { epoch }
            }
            Event::CollectedGarbage { epoch } => Signal::CollectedGarbage { epoch },
            Event::Failed(failure) => {
                self.failure.get_or_insert(*failure);
                return Ok(());
            }
            Event::Ended { .. } => {
                self.ended += 1;
                return Ok(());
            }
        };
        self.signal(signal, orders)
    }

    fn signal(&mut self, signal: Signal, orders: &Sender<Order>) -> Result<()> {
        for action in self.coordinator.on(signal)? {
            self.act(action, orders)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action, orders: &Sender<Order>) -> Result<()> {
        let order = match action {
            Action::Inject { barrier } => {
                self.cx.control.inject(barrier);
                self.cx.hub.ring_all();
                return Ok(());
            }
            Action::WriteState { epoch, last } => Order::Save {
                epoch,
                runs: std::mem::take(&mut self.runs),
                of_rows: self.parts.state_rows(),
                last,
            },
            Action::CommitManifest { epoch, finished } => {
                let manifest = self.close_epoch(epoch, finished)?;
                Order::Commit(Box::new(manifest))
            }
            Action::CommitSinks { epoch } => {
                if self.cx.store.is_none() {
                    self.close_epoch(epoch, false)?;
                }
                self.cx.hub.commit(epoch);
                return Ok(());
            }
            Action::CollectGarbage { before } => Order::CollectGarbage { before },
            Action::Finish { completed } => {
                self.outcome = Some(if completed {
                    Outcome::Completed
                } else {
                    Outcome::Stopped
                });
                return Ok(());
            }
        };
        // The keeper is only gone when it has failed, which it has reported.
        let _ = orders.send(order);
        Ok(())
    }

    /// Checks the books of an epoch and writes them up.
    fn close_epoch(&mut self, epoch: u64, finished: bool) -> Result<Manifest> {
        let parts = std::mem::take(&mut self.parts);
        let created_ms = self.cx.control.processing_time();
        let manifest = self.ledger.manifest(epoch, finished, created_ms, parts)?;
        self.newest = Some(manifest.clone());
        Ok(manifest)
    }

    fn wait_for_workers(&mut self, inbox: &Receiver<Event>) {
        if self.failure.is_some() {
            self.cx.control.abort();
        }
        self.cx.hub.ring_all();
        while self.ended < self.cx.workers {
            match inbox.recv() {
                Ok(Event::Ended { .. }) => self.ended += 1,
                Ok(Event::Failed(failure)) => {
                    self.failure.get_or_insert(*failure);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Adds to a failure the record that was being handled: it is read once more.
    fn explain(&self, failure: Failure) -> Error {
        let Some((origin, at)) = failure.record else {
            return failure.error;
        };
        let number = origin.first + u64::from(at);
        let splits = self.cx.splits.get(&origin.source);
        let split = splits.and_then(|s| s.iter().find(|s| s.number == origin.split));
        let Some(split) = split else {
            return failure.error;
        };
        let source = self.graph.sources.iter().find(|s| s.node == origin.source);
        let id = source.map_or("", |s| s.id.as_str());
        let entry = self
            .newest
            .as_ref()
            .and_then(|m| m.sources.get(id))
            .and_then(|e| e.splits.get(&split.name));
        let from = entry
            .filter(|e| e.records <= number)
            .and_then(|e| Some((e.position.as_deref()?, e.records)));
        let wanted = ReadAgain {
            split: &split.name,
            from,
            number,
        };
        // What brought the reader down may do so again.
        let shown = catch_unwind(AssertUnwindSafe(|| self.graph.show(origin, &wanted)));
        let record = shown
            .unwrap_or_default()
            .unwrap_or_else(|| "(it cannot be read again)".to_owned());
        failure.error.at(format!(
            "source `{id}`, split `{}`, record {number}: {record}",
            split.name
        ))
    }
}

fn report_of(supervisor: &Supervisor<'_>, outcome: Outcome) -> Report {
    let mut report = report(
        supervisor.graph,
        outcome,
        supervisor.restored.as_ref(),
        supervisor.newest.as_ref(),
    );
    let counted = supervisor.cx.control.stats.now();
    report.checkpoints = counted.checkpoints;
    report.read_now = counted.read;
    report.workers = supervisor.cx.workers;
    report
}

fn report(
    graph: &JobGraph,
    outcome: Outcome,
    restored: Option<&Manifest>,
    newest: Option<&Manifest>,
) -> Report {
    let sources = newest.map(|m| {
        m.sources
            .iter()
            .map(|(id, e)| (id.clone(), e.counters.clone()))
    });
    let operators = newest.map(|m| {
        m.operators
            .iter()
            .map(|(id, e)| (id.clone(), e.counters.clone()))
    });
    let sinks = graph.sinks.iter().map(|part| {
        let entry = newest.and_then(|m| m.sinks.get(&part.id));
        let written = entry.and_then(|e| e.counters.get("written")).copied();
        (part.id.clone(), written.unwrap_or_default())
    });
    Report {
        outcome,
        resumed_from: restored.map(|m| m.epoch),
        sources: sources.into_iter().flatten().collect(),
        operators: operators.into_iter().flatten().collect(),
        sinks: sinks.collect(),
        checkpoints: 0,
        read_now: 0,
        elapsed: Duration::ZERO,
        workers: 0,
    }
}
