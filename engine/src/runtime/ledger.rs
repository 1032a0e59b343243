//! What a checkpoint says of sources, operators and sinks: gathered from the workers' snapshots,
//! checked, and added to what earlier runs had counted.

use std::collections::BTreeMap;

use crate::checkpoint::manifest::{
    Manifest, NamespaceEntry, OperatorEntry, SinkEntry, SourceEntry, StateEntry, TableEntry,
};
use crate::data::Timestamp;
use crate::error::{Error, Result};
use crate::runtime::build::column_family;
use crate::runtime::event::{NodeSnapshot, OperatorSnapshot};
use crate::runtime::job::JobGraph;
use crate::state::key_group::KEY_GROUPS;

type Counters = BTreeMap<String, u64>;

/// Builds the manifests of a run.
pub(crate) struct Ledger<'a> {
    graph: &'a JobGraph,
    restored: Option<Manifest>,
}

/// What has come in for one epoch.
#[derive(Default)]
pub(crate) struct EpochParts {
    pub(crate) nodes: Vec<NodeSnapshot>,
    /// By (sink, writer).
    pub(crate) pending: BTreeMap<(usize, usize), Vec<u8>>,
    pub(crate) state: StateEntry,
}

impl EpochParts {
    /// About how many rows all tables have.
    pub(crate) fn state_rows(&self) -> u64 {
        let operators = self.nodes.iter().filter_map(|node| node.operator.as_ref());
        let tables = operators.flat_map(|operator| &operator.tables);
        let namespaces = tables.flat_map(|table| &table.namespaces);
        namespaces.map(|&(_, rows)| rows).sum()
    }
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(graph: &'a JobGraph, restored: Option<Manifest>) -> Self {
        Ledger { graph, restored }
    }

    /// The manifest of an epoch.
    ///
    /// # Errors
    /// When records were lost or made up on the way: the job must not go on.
    pub(crate) fn manifest(
        &self,
        epoch: u64,
        finished: bool,
        created_ms: Timestamp,
        parts: EpochParts,
    ) -> Result<Manifest> {
        conserved(&parts.nodes)?;
        Ok(Manifest {
            job: self.graph.plan.name.clone(),
            epoch,
            finished,
            key_groups: KEY_GROUPS,
            sources: self.sources(&parts.nodes),
            operators: self.operators(&parts.nodes)?,
            sinks: self.sinks(&parts.nodes, &parts.pending),
            state: parts.state,
            created_ms,
        })
    }

    fn sources(&self, nodes: &[NodeSnapshot]) -> BTreeMap<String, SourceEntry> {
        let sources = self.graph.sources.iter().map(|part| {
            let before = self.restored.as_ref().and_then(|m| m.sources.get(&part.id));
            let mut entry = before.cloned().unwrap_or_default();
            for snapshot in nodes.iter().filter_map(|n| n.source.as_ref()) {
                if snapshot.node == part.node {
                    entry.splits.extend(snapshot.splits.iter().cloned());
                    add(&mut entry.counters, &snapshot.counters);
                }
            }
            (part.id.clone(), entry)
        });
        sources.collect()
    }

    fn operators(&self, nodes: &[NodeSnapshot]) -> Result<BTreeMap<String, OperatorEntry>> {
        let mut entries = BTreeMap::new();
        for part in &self.graph.operators {
            let mine = nodes.iter().filter(|n| n.node == part.node);
            let mine: Vec<&OperatorSnapshot> = mine.filter_map(|n| n.operator.as_ref()).collect();
            let before = self
                .restored
                .as_ref()
                .and_then(|m| m.operators.get(&part.id));
            let mut counters = before.map(|b| b.counters.clone()).unwrap_or_default();
            for snapshot in &mine {
                add(&mut counters, &snapshot.counters);
                add(&mut counters, &[("in", snapshot.received.1)]);
            }
            balanced(&part.id, &counters)?;
            let entry = OperatorEntry {
                kind: part.kind.clone(),
                version: 1,
                watermark: watermark(&part.id, &mine)?,
                tables: part
                    .tables
                    .iter()
                    .map(|&(name, version)| {
                        (name.to_owned(), table(&part.id, name, version, &mine))
                    })
                    .collect(),
                counters,
            };
            entries.insert(part.id.clone(), entry);
        }
        Ok(entries)
    }

    fn sinks(
        &self,
        nodes: &[NodeSnapshot],
        pending: &BTreeMap<(usize, usize), Vec<u8>>,
    ) -> BTreeMap<String, SinkEntry> {
        let sinks = self.graph.sinks.iter().enumerate().map(|(number, part)| {
            let before = self.restored.as_ref().and_then(|m| m.sinks.get(&part.id));
            let mut counters = before.map(|b| b.counters.clone()).unwrap_or_default();
            for (sink, written) in nodes.iter().filter_map(|n| n.written) {
                if sink == number {
                    add(&mut counters, &[("written", written)]);
                }
            }
            let pending = pending.range((number, 0)..(number + 1, 0));
            let entry = SinkEntry {
                pending: pending.map(|(_, bytes)| bytes.clone()).collect(),
                counters,
            };
            (part.id.clone(), entry)
        });
        sinks.collect()
    }
}

fn add(counters: &mut Counters, more: &[(&'static str, u64)]) {
    for &(name, count) in more {
        *counters.entry(name.to_owned()).or_default() += count;
    }
}

/// What went into each exchange must have come out of it: nothing is in flight at an aligned
/// barrier.
fn conserved(nodes: &[NodeSnapshot]) -> Result<()> {
    let mut balance: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for node in nodes {
        if let Some((edge, sent)) = node.sent {
            balance.entry(edge).or_default().0 += sent;
        }
        if let Some(operator) = &node.operator {
            balance.entry(operator.received.0).or_default().1 += operator.received.1;
        }
    }
    match balance
        .iter()
        .find(|(_, (sent, received))| sent != received)
    {
        None => Ok(()),
        Some((edge, (sent, received))) => Err(Error::internal(format!(
            "{sent} records were sent over edge {edge}, {received} arrived"
        ))),
    }
}

/// Records in = processed + late + those outside of every window.
fn balanced(operator: &str, counters: &Counters) -> Result<()> {
    let count = |name: &str| counters.get(name).copied().unwrap_or_default();
    let out = count("processed") + count("late") + count("outside");
    if count("in") == out {
        return Ok(());
    }
    Err(Error::internal(format!(
        "operator `{operator}` took {} records and accounts for {out}: {counters:?}",
        count("in")
    )))
}

/// T10: at an aligned barrier all workers hold the same watermark.
fn watermark(operator: &str, snapshots: &[&OperatorSnapshot]) -> Result<Option<Timestamp>> {
    let mut watermarks = snapshots.iter().map(|s| s.watermark);
    let first = watermarks.next().unwrap_or(Timestamp::MIN);
    if let Some(other) = watermarks.find(|w| *w != first) {
        return Err(Error::internal(format!(
            "the workers of operator `{operator}` hold different watermarks: {first}, {other}"
        )));
    }
    Ok((first != Timestamp::MIN).then_some(first))
}

fn table(operator: &str, name: &str, version: u8, snapshots: &[&OperatorSnapshot]) -> TableEntry {
    let column_family = column_family(operator, name);
    let mut namespaces: BTreeMap<i64, u64> = BTreeMap::new();
    for snapshot in snapshots {
        for table in snapshot
            .tables
            .iter()
            .filter(|t| t.column_family == column_family)
        {
            for &(namespace, rows) in &table.namespaces {
                *namespaces.entry(namespace).or_default() += rows;
            }
        }
    }
    let namespaces = namespaces.into_iter();
    TableEntry {
        column_family,
        version: u32::from(version),
        namespaces: namespaces
            .map(|(namespace, rows)| NamespaceEntry { namespace, rows })
            .collect(),
    }
}
