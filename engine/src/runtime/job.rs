//! A job as the runtime sees it: the plan, and how each of its parts is made.

use std::panic::Location;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::data::{Data, Key, Keyed, Origin};
use crate::error::{Error, Result};
use crate::graph::operator::{Operator, OperatorSetup};
use crate::graph::plan::{Named, NodeId, Plan, PortId, Role};
use crate::graph::sink::{Sink, SinkStart, WriterSlot};
use crate::graph::source::{Emit, EventTime, Read, Reader, Source, Timed, Waker};
use crate::runtime::build::NodeBuilder;
use crate::runtime::chain::{Pipe, Root, Runner};
use crate::runtime::inputs::Inputs;
use crate::runtime::node::{Node, Stage};
use crate::runtime::operator_node::OperatorNode;
use crate::runtime::source_root::{QUARANTINE_PORT, SourceRoot};
use crate::runtime::terminal::Terminal;
use crate::runtime::terminal::branch::BranchTerminal;
use crate::runtime::terminal::combine::{Apart, Combine};
use crate::runtime::terminal::exchange::ExchangeTerminal;
use crate::runtime::terminal::port::PortTerminal;
use crate::runtime::terminal::sink::SinkTerminal;
use crate::runtime::topology::Topology;
use crate::runtime::writer;
use crate::state::codec;

/// Makes a node on a worker.
pub type BuildNode = Arc<dyn Fn(&mut NodeBuilder<'_>) -> Result<Box<dyn Node>> + Send + Sync>;

/// A job: its plan and its parts.
pub struct JobGraph {
    /// The plan.
    pub plan: Plan<BuildNode>,
    pub(crate) sources: Vec<SourcePart>,
    pub(crate) operators: Vec<OperatorPart>,
    pub(crate) sinks: Vec<SinkPart>,
    pub(crate) topology: Topology,
}

/// Where a part of the job was made: its id, its kind, its line.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The user's id.
    pub id: &'a str,
    /// What kind: `tumbling`, `csv`...
    pub kind: &'a str,
    /// The line that made it.
    pub made_at: &'static Location<'static>,
}

type ListSplits = Box<dyn Fn() -> Result<Vec<String>> + Send + Sync>;
type DescribeRecord = Box<dyn Fn(&ReadAgain<'_>) -> Option<String> + Send + Sync>;
type RecoverPart = Box<dyn Fn(&RecoverSink<'_>) -> Result<()> + Send + Sync>;

pub(crate) struct SourcePart {
    pub(crate) id: String,
    pub(crate) node: NodeId,
    pub(crate) splits: ListSplits,
    pub(crate) describe: DescribeRecord,
}

/// A record to read once more, so that a failure can show it.
pub(crate) struct ReadAgain<'a> {
    pub(crate) split: &'a str,
    /// A position before it, and the number of the record there.
    pub(crate) from: Option<(&'a [u8], u64)>,
    pub(crate) number: u64,
}

pub(crate) struct OperatorPart {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) node: NodeId,
    /// Names of its tables, with the version of their values.
    pub(crate) tables: Vec<(&'static str, u8)>,
}

pub(crate) struct SinkPart {
    pub(crate) id: String,
    pub(crate) recover: RecoverPart,
    pub(crate) directory: Option<PathBuf>,
}

/// How a sink is brought to what the checkpoint says.
pub(crate) enum RecoverSink<'a> {
    Fresh,
    First,
    Restored {
        pending: &'a [Vec<u8>],
        writers: usize,
    },
}

impl JobGraph {
    /// An empty job.
    pub fn new(name: &str) -> Self {
        JobGraph {
            plan: Plan::new(name),
            sources: Vec::new(),
            operators: Vec::new(),
            sinks: Vec::new(),
            topology: Topology::default(),
        }
    }

    fn name(&mut self, role: Role, part: Part<'_>, node: NodeId) {
        self.plan.name(Named {
            role,
            id: part.id.to_owned(),
            kind: part.kind.to_owned(),
            made_at: part.made_at,
            node,
        });
    }

    /// Adds a source; the pipe that begins at it is to be attached to something.
    pub fn source<S, F>(&mut self, part: Part<'_>, source: Timed<S, F>) -> SourceRoot<S, F>
    where
        S: Source,
        F: Fn(&S::Record) -> EventTime + Send + Sync + 'static,
    {
        let node = self.plan.node(format!("source {}", part.id), None);
        self.name(Role::Source, part, node);
        self.feeds((node, QUARANTINE_PORT), node);
        let source = Arc::new(source);
        let (lister, reader) = (source.clone(), source.clone());
        self.sources.push(SourcePart {
            id: part.id.to_owned(),
            node,
            splits: Box::new(move || lister.source.splits()),
            describe: Box::new(move |wanted| describe(&reader.source, wanted)),
        });
        SourceRoot::new(node, part.id, source)
    }

    /// Attaches a terminal to a pipe: together they are a node.
    fn attach<P: Pipe, T: Terminal<P::Item>>(
        &mut self,
        pipe: P,
        leads_to: &str,
        terminal: impl Fn(&mut NodeBuilder<'_>, NodeId) -> Result<T> + Send + Sync + 'static,
    ) -> NodeId {
        self.attach_to(pipe, leads_to, move |builder, open| {
            let terminal = terminal(builder, open.node)?;
            Ok(open.end(terminal))
        })
    }

    /// Attaches what `end` puts at the end of a pipe.
    fn attach_to<P: Pipe>(
        &mut self,
        pipe: P,
        leads_to: &str,
        end: impl Fn(&mut NodeBuilder<'_>, OpenPipe<P::Runner>) -> Result<Box<dyn Node>>
        + Send
        + Sync
        + 'static,
    ) -> NodeId {
        let root = pipe.root();
        let (node, input) = match root {
            Root::Source(node) => (node, None),
            Root::Port(port) => {
                let label = self.plan.nodes[port.0 as usize].label.clone();
                let edge = self.plan.read(port);
                (self.plan.node(label, None), Some(edge))
            }
        };
        let build: BuildNode = Arc::new(move |builder| {
            builder.input = input;
            let runner = pipe.open(builder)?;
            let open = OpenPipe {
                node,
                is_source: input.is_none(),
                runner,
            };
            end(builder, open)
        });
        self.plan.complete(node, leads_to, build);
        self.topology.roots.insert(node, root);
        node
    }

    /// Notes that a node feeds a port; returns its number there.
    fn feeds(&mut self, port: PortId, node: NodeId) -> u32 {
        self.topology.feeders.entry(port).or_default().push(node);
        self.plan.feed(port)
    }

    /// A port that pipes can feed and any number of others may read. The node to its name does
    /// nothing on a worker.
    pub fn port(&mut self, label: &str) -> PortId {
        (self.plan.node(label, None), 0)
    }

    /// Lets a pipe feed a port.
    pub fn feed<P: Pipe>(&mut self, pipe: P, port: PortId, label: &str) {
        let feeder = self.plan.feed(port);
        let node = self.attach(pipe, label, move |builder, _| {
            Ok(PortTerminal::new(builder.outlet::<P::Item>(port, feeder)?))
        });
        self.topology.feeders.entry(port).or_default().push(node);
    }

    /// Deals what comes out of a pipe out to two ports: what passes the test, and the rest.
    pub fn branch<P, F>(&mut self, pipe: P, test: F) -> (PortId, PortId)
    where
        P: Pipe,
        F: Fn(&P::Item) -> bool + Send + Sync + 'static,
    {
        let node = self.plan.node("branch", None);
        let (yes, no) = ((node, 0), (node, 1));
        self.plan.feed(yes);
        self.plan.feed(no);
        let test = Arc::new(test);
        let feeder = self.attach(pipe, "branch", move |builder, _| {
            Ok(BranchTerminal {
                test: test.clone(),
                yes: PortTerminal::new(builder.outlet::<P::Item>(yes, 0)?),
                no: PortTerminal::new(builder.outlet::<P::Item>(no, 0)?),
            })
        });
        for port in [yes, no] {
            self.topology.feeders.entry(port).or_default().push(feeder);
        }
        (yes, no)
    }

    /// Writes what comes out of a pipe to a sink.
    pub fn sink<P, S>(&mut self, part: Part<'_>, pipe: P, sink: S)
    where
        P: Pipe,
        S: Sink<P::Item>,
    {
        let number = self.sinks.len();
        let sink = Arc::new(sink);
        let recover = sink.clone();
        self.sinks.push(SinkPart {
            id: part.id.to_owned(),
            recover: Box::new(move |start| recover_sink(&*recover, start)),
            directory: sink.directory(),
        });
        let id = part.id.to_owned();
        let node = self.attach(pipe, &format!("sink {id}"), move |builder, _| {
            let restored = match builder.restored_pending(&id) {
                Some(bytes) => Some(codec::decode(bytes)?),
                None => None,
            };
            let slot = WriterSlot {
                index: builder.worker,
                of: builder.workers(),
            };
            let writer = sink
                .open(slot, restored)
                .map_err(|e| e.at(format!("sink `{id}`")))?;
            let queue = writer::start(builder, &id, number, writer)?;
            Ok(SinkTerminal::new(
                number,
                sink.clone(),
                queue,
                builder.control.clock.clone(),
                builder.settings.flush_interval,
            ))
        });
        self.name(Role::Sink, part, node);
    }

    /// Keys what comes out of a pipe and hands it to an operator. Its outputs are port 0, which
    /// carries `T`, and port 1, which carries `U`. `tables` are the names of its tables with the
    /// version of their values.
    pub fn operator<P, K, M, O, T, U>(
        &mut self,
        part: Part<'_>,
        pipe: P,
        keyed: Keying<
            impl Fn(&P::Item) -> K + Send + Sync + 'static,
            impl Fn(P::Item, bool) -> M + Send + Sync + 'static,
            impl Combine<P::Item, M>,
        >,
        tables: &[(&'static str, u8)],
        open: impl Fn(&mut OperatorSetup<'_>) -> Result<O> + Send + Sync + 'static,
    ) -> Outputs
    where
        P: Pipe,
        K: Key,
        M: Data,
        O: Operator<In = Keyed<K, M>>,
        T: Data,
        U: Data,
    {
        let edge = self.plan.edge();
        let (key, payload) = (Arc::new(keyed.key), Arc::new(keyed.payload));
        let combine = Arc::new(keyed.combine);
        let side_output: Arc<OnceLock<PortId>> = Arc::default();
        let side = side_output.clone();
        let sender = self.attach_to(pipe, part.id, move |builder, open| {
            let channels = builder.exchange_out::<Keyed<K, M>>(edge)?;
            let (key, payload) = (key.clone(), payload.clone());
            // Two loops, so that the one of most jobs need not make what of a record only the
            // side output's readers would see. Those want each record by itself.
            Ok(if side.get().is_some_and(|&port| builder.is_read(port)) {
                let payload = Arc::new(move |record| payload(record, true));
                let apart = Arc::new(Apart);
                open.end(ExchangeTerminal::new(edge, channels, key, payload, apart))
            } else {
                let payload = Arc::new(move |record| payload(record, false));
                let combine = combine.clone();
                open.end(ExchangeTerminal::new(edge, channels, key, payload, combine))
            })
        });
        let id = part.id.to_owned();
        let node = self.plan.node(format!("operator {id}"), None);
        let build: BuildNode = Arc::new(move |builder| {
            let operator = builder.operator::<T, U, O>(&id, node, &open)?;
            let channels = builder.exchange_in::<Keyed<K, M>>(edge, sender)?;
            let inputs = Inputs::new(channels, builder.operator_watermark(&id));
            Ok(Box::new(OperatorNode::new(
                node, &id, edge, operator, inputs,
            )))
        });
        self.plan.nodes[node as usize].build = Some(build);
        self.name(Role::Operator, part, node);
        self.operators.push(OperatorPart {
            id: part.id.to_owned(),
            kind: part.kind.to_owned(),
            node,
            tables: tables.to_vec(),
        });
        let outputs = Outputs {
            first: (node, 0),
            second: (node, 1),
        };
        self.feeds(outputs.first, node);
        self.feeds(outputs.second, node);
        side_output.get_or_init(|| outputs.second);
        outputs
    }

    /// All mistakes in the job at once.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) that lists them.
    pub fn check(&self) -> Result<()> {
        self.plan.check()?;
        for (index, sink) in self.sinks.iter().enumerate() {
            let twin = self.sinks[..index]
                .iter()
                .find(|other| sink.directory.is_some() && other.directory == sink.directory);
            if let (Some(twin), Some(directory)) = (twin, &sink.directory) {
                return Err(Error::config(format!(
                    "the sinks `{}` and `{}` both write to {}",
                    twin.id,
                    sink.id,
                    directory.display()
                ))
                .remedy("give each sink a directory of its own"));
            }
        }
        Ok(())
    }

    /// Shows the record at a place of a source by reading it once more.
    pub(crate) fn show(&self, origin: Origin, wanted: &ReadAgain<'_>) -> Option<String> {
        let source = self.sources.iter().find(|s| s.node == origin.source)?;
        (source.describe)(wanted)
    }
}

/// A pipe that has been opened on a worker, without its end.
struct OpenPipe<R> {
    node: NodeId,
    is_source: bool,
    runner: R,
}

impl<R: Runner> OpenPipe<R> {
    fn end<T: Terminal<R::Item>>(self, terminal: T) -> Box<dyn Node> {
        let stage = Stage::new(self.node, self.is_source, self.runner, terminal);
        Box::new(stage)
    }
}

/// How records are keyed: what their key is, and what of them travels on.
pub struct Keying<F, G, C> {
    /// The key of a record.
    pub key: F,
    /// What the operator needs of it; and whether it needs the whole record, because its side
    /// output is read.
    pub payload: G,
    /// Which records of a key may become one on the way.
    pub combine: C,
}

/// The ports of an operator.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// Its results.
    pub first: PortId,
    /// Its side output.
    pub second: PortId,
}

fn recover_sink<T, S: Sink<T>>(sink: &S, start: &RecoverSink<'_>) -> Result<()> {
    match start {
        RecoverSink::Fresh => sink.recover(&SinkStart::Fresh),
        RecoverSink::First => sink.recover(&SinkStart::First),
        RecoverSink::Restored { pending, writers } => {
            let pending = pending
                .iter()
                .map(|bytes| codec::decode(bytes))
                .collect::<Result<Vec<_>>>()?;
            sink.recover(&SinkStart::Restored {
                pending: &pending,
                writers: *writers,
            })
        }
    }
}

/// Opens a split anew and reads up to a record.
fn describe<S: Source>(source: &S, wanted: &ReadAgain<'_>) -> Option<String> {
    let (position, first) = match wanted.from {
        Some((bytes, first)) => (Some(codec::decode(bytes).ok()?), first),
        None => (None, 0),
    };
    let (sender, rung) = crossbeam_channel::bounded(1);
    let waker = Waker::new(move || {
        let _ = sender.try_send(());
    });
    let mut reader = source.open(wanted.split, position, waker).ok()?;
    let mut seek = Seek {
        left: wanted.number.checked_sub(first)?,
        found: None,
    };
    while seek.found.is_none() {
        let before = seek.left;
        match reader.read(&mut seek).ok()? {
            Read::End => break,
            Read::Wait if seek.left == before => rung.recv_timeout(READ_AGAIN_WAIT).ok()?,
            Read::Wait | Read::More => {}
        }
    }
    seek.found
}

const READ_AGAIN_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

struct Seek {
    left: u64,
    found: Option<String>,
}

impl Seek {
    fn pass(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more && self.found.is_none()
    }
}

impl<T: Data> Emit<T> for Seek {
    fn emit(&mut self, record: T) -> bool {
        if self.left == 0 && self.found.is_none() {
            self.found = Some(format!("{record:?}"));
        }
        self.pass()
    }

    fn skip(&mut self) -> bool {
        self.pass()
    }
}
