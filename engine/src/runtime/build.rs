//! How a plan becomes nodes on a worker: what a node's factory is handed.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use crate::checkpoint::manifest::Manifest;
use crate::data::{Data, Progress, Timed, Timestamp};
use crate::error::{Error, Result};
use crate::graph::operator::{OperatorSetup, Outlet, Output};
use crate::graph::plan::{EdgeId, NodeId, Port, PortId};
use crate::graph::source::Waker;
use crate::runtime::channel::{Bell, Channel};
use crate::runtime::control::Control;
use crate::runtime::event::Event;
use crate::runtime::source_root::AssignedSplit;
use crate::runtime::terminal::port::PortOutlet;
use crate::runtime::topology::Topology;
use crate::settings::Settings;
use crate::state::key_group::groups_of;
use crate::state::rocks::Store;
use crate::state::table::TableContext;

/// What is read back at once after a restart: a few milliseconds' worth.
const LOAD_WHOLE_BYTES: usize = 256 << 10;

/// One end to the other: (edge, feeder, sending worker, receiving worker).
type Route = (EdgeId, u32, usize, usize);

/// Tells a writer that an epoch is committed.
type CommitWriter = Box<dyn Fn(u64) + Send>;

/// What the workers of a running job meet in: queues, bells, writers.
pub struct Hub {
    channels: Mutex<BTreeMap<Route, Box<dyn Any + Send>>>,
    commits: Mutex<Vec<CommitWriter>>,
    /// Joined when the job ends.
    pub(crate) writers: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// One for each worker.
    pub bells: Vec<Bell>,
    queue_bytes: usize,
}

impl Hub {
    /// A hub for this many workers, with queues of about this many bytes.
    pub fn new(workers: usize, queue_bytes: usize) -> Self {
        Hub {
            channels: Mutex::default(),
            commits: Mutex::default(),
            writers: Mutex::default(),
            bells: vec![Bell::default(); workers]
                .into_iter()
                .map(|_| Bell::default())
                .collect(),
            queue_bytes: queue_bytes.max(1),
        }
    }

    /// The queue of a route; both ends ask for it, whoever comes first makes it.
    fn channel<M: Send + 'static>(&self, route: Route) -> Result<Arc<Channel<M>>> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, from, to) = route;
        let any = channels.entry(route).or_insert_with(|| {
            // A worker does not ring for itself: it looks again before it sleeps.
            let bell = |worker: usize| (from != to).then(|| self.bells[worker].clone());
            Box::new(Arc::new(Channel::<M>::new(
                self.queue_bytes,
                bell(from),
                bell(to),
            )))
        });
        any.downcast_ref::<Arc<Channel<M>>>()
            .cloned()
            .ok_or_else(|| Error::internal(format!("edge {} carries two types", route.0)))
    }

    /// Wakes every worker.
    pub fn ring_all(&self) {
        for bell in &self.bells {
            bell.ring();
        }
    }

    pub(crate) fn on_commit(&self, commit: impl Fn(u64) + Send + 'static) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push(Box::new(commit));
    }

    /// Tells every writer that an epoch is committed.
    pub(crate) fn commit(&self, epoch: u64) {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        for commit in commits.iter() {
            commit(epoch);
        }
    }

    /// Lets the writers' threads end.
    pub(crate) fn close(&self) {
        self.commits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let writers =
            std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            // A writer that panicked has said so through its event.
            let _ = writer.join();
        }
    }
}

/// What all workers of a run are built from.
pub struct RunContext {
    /// Queues and bells.
    pub hub: Hub,
    /// Barriers, stop, clock, counts.
    pub control: Arc<Control>,
    /// The knobs.
    pub settings: Settings,
    /// How many workers there are.
    pub workers: usize,
    /// The state store, if the job keeps checkpoints.
    pub store: Option<Arc<Store>>,
    /// The checkpoint that the job goes on from.
    pub restored: Option<Manifest>,
    /// The splits of each source, by node, in the order of their numbers.
    pub splits: BTreeMap<NodeId, Vec<AssignedSplit>>,
    /// Who feeds and reads which port.
    pub ports: BTreeMap<PortId, Port>,
    /// Who feeds which port.
    pub(crate) topology: Topology,
    /// By worker: the stages that never say anything.
    pub(crate) silent: Vec<BTreeSet<NodeId>>,
    /// The memory for the state of one worker.
    pub state_bytes: usize,
    /// Where workers and writers report to.
    pub events: Sender<Event>,
}

/// The receiving ends of queues, with the progress before anything is received.
pub type Ends<M> = Vec<(Arc<Channel<M>>, Progress)>;

impl RunContext {
    /// What a stage of a worker is known to have said before it says anything.
    fn first_progress(&self, node: NodeId, worker: usize) -> Progress {
        match self.silent.get(worker) {
            Some(silent) if silent.contains(&node) => Progress::Idle,
            _ => Progress::Watermark(Timestamp::MIN),
        }
    }

    /// Whether a worker has splits of a source.
    pub(crate) fn has_splits(splits: &[AssignedSplit], worker: usize) -> bool {
        splits.len() > worker
    }
}

/// Builds the nodes of one worker.
pub struct NodeBuilder<'a> {
    cx: &'a RunContext,
    /// Which worker.
    pub worker: usize,
    /// The edge that the node reads, if it begins at a port.
    pub input: Option<EdgeId>,
    /// The knobs.
    pub settings: &'a Settings,
    /// Barriers, stop, clock, counts.
    pub control: Arc<Control>,
}

impl<'a> NodeBuilder<'a> {
    /// A builder for one worker.
    pub fn new(cx: &'a RunContext, worker: usize) -> Self {
        NodeBuilder {
            cx,
            worker,
            input: None,
            settings: &cx.settings,
            control: cx.control.clone(),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.cx.workers
    }

    /// Where to report to.
    pub fn events(&self) -> Sender<Event> {
        self.cx.events.clone()
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.cx.hub
    }

    /// Wakes this worker.
    pub fn bell(&self) -> Bell {
        self.cx.hub.bells[self.worker].clone()
    }

    /// Wakes this worker, for readers.
    pub fn waker(&self) -> Waker {
        let bell = self.bell();
        Waker::new(move || bell.ring())
    }

    /// The splits that are dealt to this worker: in turn, by their number.
    pub fn splits(&self, source: NodeId) -> Vec<AssignedSplit> {
        let all = self.cx.splits.get(&source).map_or(&[][..], Vec::as_slice);
        let mine = all.iter().skip(self.worker).step_by(self.cx.workers);
        mine.cloned().collect()
    }

    /// The queues that a node which begins at `port` reads: one from each feeder.
    ///
    /// # Errors
    /// When the plan is inconsistent, which is a bug of the engine's.
    pub fn port_channels<T: Data>(&self, port: PortId) -> Result<Ends<Timed<T>>> {
        let edge = self
            .input
            .ok_or_else(|| Error::internal("a node begins at a port but reads no edge"))?;
        let feeders = self.cx.topology.feeders.get(&port);
        let feeders = feeders.map_or(&[][..], Vec::as_slice).iter().zip(0..);
        feeders
            .map(|(&node, feeder)| {
                let channel = self
                    .cx
                    .hub
                    .channel((edge, feeder, self.worker, self.worker))?;
                Ok((channel, self.cx.first_progress(node, self.worker)))
            })
            .collect()
    }

    /// The end of a port where this node, as its `feeder`, puts records in.
    ///
    /// # Errors
    /// When the plan is inconsistent.
    pub fn outlet<T: Data>(&self, port: PortId, feeder: u32) -> Result<Option<PortOutlet<T>>> {
        let edges = self
            .cx
            .ports
            .get(&port)
            .map_or(&[][..], |p| p.edges.as_slice());
        let channels = edges
            .iter()
            .map(|&edge| {
                self.cx
                    .hub
                    .channel((edge, feeder, self.worker, self.worker))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((!channels.is_empty()).then(|| PortOutlet::new(channels)))
    }

    /// Whether anybody reads a port.
    pub fn is_read(&self, port: PortId) -> bool {
        self.cx
            .ports
            .get(&port)
            .is_some_and(|p| !p.edges.is_empty())
    }

    /// An output that is the one feeder of a port.
    ///
    /// # Errors
    /// When the plan is inconsistent.
    pub fn output<T: Data>(&self, port: PortId) -> Result<Output<T>> {
        let outlet = self.outlet::<T>(port, 0)?;
        Ok(Output::new(
            outlet.map(|o| Box::new(o) as Box<dyn Outlet<T>>),
        ))
    }

    /// The queues into an exchange, one to each worker.
    ///
    /// # Errors
    /// When the plan is inconsistent.
    pub fn exchange_out<M: Data>(&self, edge: EdgeId) -> Result<Vec<Arc<Channel<M>>>> {
        (0..self.cx.workers)
            .map(|to| self.cx.hub.channel((edge, 0, self.worker, to)))
            .collect()
    }

    /// The queues out of an exchange that the stage `sender` of each worker fills.
    ///
    /// # Errors
    /// When the plan is inconsistent.
    pub fn exchange_in<M: Data>(&self, edge: EdgeId, sender: NodeId) -> Result<Ends<M>> {
        (0..self.cx.workers)
            .map(|from| {
                let channel = self.cx.hub.channel((edge, 0, from, self.worker))?;
                Ok((channel, self.cx.first_progress(sender, from)))
            })
            .collect()
    }

    /// The watermark that an operator had reached in the checkpoint.
    pub fn operator_watermark(&self, id: &str) -> Timestamp {
        let restored = self.cx.restored.as_ref().and_then(|m| m.operators.get(id));
        restored.and_then(|o| o.watermark).unwrap_or(Timestamp::MIN)
    }
    /// The epoch that the job goes on after; 0: it begins. The first barrier may be asked for while
    /// the nodes are still being built, so the control's epoch would be too late.
    pub fn restored_epoch(&self) -> u64 {
        self.cx.restored.as_ref().map_or(0, |m| m.epoch)
    }

    /// What writer `self.worker` of a sink had prepared in the checkpoint.
    pub fn restored_pending(&self, sink: &str) -> Option<&[u8]> {
        let restored = self.cx.restored.as_ref().and_then(|m| m.sinks.get(sink))?;
        restored.pending.get(self.worker).map(Vec::as_slice)
    }

    /// Builds an operator: its tables as the checkpoint left them, outputs that carry `T` at
    /// port 0 and `U` at port 1.
    ///
    /// # Errors
    /// As `open`, or when the plan is inconsistent.
    pub fn operator<T: Data, U: Data, O>(
        &self,
        id: &str,
        node: NodeId,
        open: impl FnOnce(&mut OperatorSetup<'_>) -> Result<O>,
    ) -> Result<O> {
        let mut first = self.outlet::<T>((node, 0), 0)?;
        let mut second = self.outlet::<U>((node, 1), 0)?;
        open(&mut OperatorSetup {
            tables: &mut |name, version| self.table(id, name, version),
            outlets: &mut |port| match port {
                0 => first.take().map(boxed),
                1 => second.take().map(boxed),
                _ => None,
            },
            watermark: self.operator_watermark(id),
        })
    }

    fn table(&self, operator: &str, name: &str, version: u8) -> TableContext {
        let restored = self
            .cx
            .restored
            .as_ref()
            .and_then(|m| m.operators.get(operator));
        let entry = restored.and_then(|o| o.tables.get(name));
        let share = |rows: u64| rows.div_ceil(self.cx.workers as u64);
        TableContext {
            column_family: column_family(operator, name),
            version,
            store: self.cx.store.clone(),
            groups: groups_of(self.worker, self.cx.workers),
            restored: entry.map_or_else(Vec::new, |e| {
                e.namespaces
                    .iter()
                    .map(|n| (n.namespace, share(n.rows)))
                    .collect()
            }),
            load_whole_bytes: LOAD_WHOLE_BYTES.min(self.cx.state_bytes / 4),
            warm_bytes: self.cx.state_bytes / 2,
        }
    }
}

/// The column family of an operator's table.
pub fn column_family(operator: &str, table: &str) -> String {
    format!("{operator}/{table}")
}

fn boxed<T: Data>(outlet: PortOutlet<T>) -> Box<dyn Any> {
    let outlet: Box<dyn Outlet<T>> = Box::new(outlet);
    Box::new(outlet)
}
