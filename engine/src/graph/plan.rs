//! The plan of a job: which nodes there are and which edge joins which.
//!
//! The plan is built once and knows no types: how a node is made is a value of the runtime's
//! (`B`). So the same job can be checked, explained, run, restarted and rescaled.

use std::collections::BTreeMap;
use std::panic::Location;

use crate::error::{Error, Result};
use crate::id;

/// A node: what runs as one on each worker.
pub type NodeId = u32;
/// A place where records come out of a node.
pub type PortId = (NodeId, u32);
/// A queue from a port to a node, on each worker.
pub type EdgeId = u32;

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads from the outside.
    Source,
    /// Holds state.
    Operator,
    /// Writes to the outside.
    Sink,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Source => "source",
            Role::Operator => "operator",
            Role::Sink => "sink",
        })
    }
}

/// Something that the user gave an id to.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is.
    pub role: Role,
    /// The user's id.
    pub id: String,
    /// What kind: `tumbling`, `csv`...
    pub kind: String,
    /// The line that made it.
    pub made_at: &'static Location<'static>,
    /// The node that it is part of.
    pub node: NodeId,
}

/// A node of the plan.
pub struct Node<B> {
    /// Where the node stands, for messages: the ids around it.
    pub label: String,
    /// How it is made; `None` while nothing reads from a source.
    pub build: Option<B>,
}

/// A port that records come out of: who feeds it and who reads it.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// How many nodes feed it: several where streams were merged.
    pub feeders: u32,
    /// The edges that lead away from it.
    pub edges: Vec<EdgeId>,
}

/// The plan of a job.
pub struct Plan<B> {
    /// The job's name.
    pub name: String,
    /// Nodes, upstream before downstream.
    pub nodes: Vec<Node<B>>,
    /// Everything that has an id, in the order of the program.
    pub named: Vec<Named>,
    /// Ports that something feeds or reads.
    pub ports: BTreeMap<PortId, Port>,
    edges: EdgeId,
    problems: Vec<String>,
}

impl<B> Plan<B> {
    /// An empty plan.
    pub fn new(name: &str) -> Self {
        Plan {
            name: name.to_owned(),
            nodes: Vec::new(),
            named: Vec::new(),
            ports: BTreeMap::new(),
            edges: 0,
            problems: Vec::new(),
        }
    }

    /// Adds a node.
    pub fn node(&mut self, label: impl Into<String>, build: Option<B>) -> NodeId {
        self.nodes.push(Node {
            label: label.into(),
            build,
        });
        (self.nodes.len() - 1) as NodeId
    }

    /// Says how a node that was added before is made, and what it leads to.
    pub fn complete(&mut self, node: NodeId, leads_to: &str, build: B) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.label = format!("{} -> {leads_to}", node.label);
            node.build = Some(build);
        }
    }

    /// Gives something an id.
    pub fn name(&mut self, named: Named) {
        self.named.push(named);
    }

    /// Adds a feeder to a port; returns its number.
    pub fn feed(&mut self, port: PortId) -> u32 {
        let port = self.ports.entry(port).or_default();
        port.feeders += 1;
        port.feeders - 1
    }

    /// Adds a reader to a port; returns the edge it reads.
    pub fn read(&mut self, port: PortId) -> EdgeId {
        let edge = self.edge();
        self.ports.entry(port).or_default().edges.push(edge);
        edge
    }

    /// Adds an edge that belongs to no port: an exchange.
    pub fn edge(&mut self) -> EdgeId {
        self.edges += 1;
        self.edges - 1
    }

    /// Notes a mistake of the user's.
    pub fn problem(&mut self, made_at: &Location<'_>, what: impl std::fmt::Display) {
        self.problems.push(format!("{made_at}: {what}"));
    }

    /// All mistakes at once, with the lines where they were made.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) that lists them.
    pub fn check(&self) -> Result<()> {
        let mut problems = self.problems.clone();
        if let Some(problem) = id::problem_with(&self.name) {
            problems.push(format!("the job's name: {problem}"));
        }
        let mut first = BTreeMap::new();
        for named in &self.named {
            if let Some(problem) = id::problem_with(&named.id) {
                problems.push(format!("{}: {problem}", named.made_at));
            }
            if let Some(other) = first.insert((named.role, &named.id), named.made_at) {
                problems.push(format!(
                    "{}: the {} id `{}` is already taken at {other}",
                    named.made_at, named.role, named.id
                ));
            }
        }
        for named in self.named.iter().filter(|n| n.role == Role::Source) {
            if self
                .nodes
                .get(named.node as usize)
                .is_none_or(|n| n.build.is_none())
            {
                problems.push(format!(
                    "{}: nothing reads from the source `{}`",
                    named.made_at, named.id
                ));
            }
        }
        if !self.named.iter().any(|n| n.role == Role::Source) {
            problems.push("the job has no source".to_owned());
        }
        if !self.named.iter().any(|n| n.role == Role::Sink) {
            problems.push("the job has no sink: nothing of it would be seen".to_owned());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "job `{}` has {} problem{}:\n  - {}",
            self.name,
            problems.len(),
            if problems.len() == 1 { "" } else { "s" },
            problems.join("\n  - ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(role: Role, id: &str, node: NodeId) -> Named {
        Named {
            role,
            id: id.to_owned(),
            kind: String::new(),
            made_at: Location::caller(),
            node,
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_their_lines() {
        let mut plan: Plan<()> = Plan::new("Bad Name");
        let unread = plan.node("source", None);
        plan.name(named(Role::Source, "in", unread));
        let read = plan.node("source", Some(()));
        plan.name(named(Role::Source, "in", read));
        plan.name(named(Role::Operator, "in", read));
        let error = plan.check().unwrap_err().to_string();
        for part in [
            "Bad Name",
            "already taken",
            "nothing reads",
            "no sink",
            "plan.rs:",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert_eq!(error.matches("\n  - ").count(), 4, "{error}");
    }
}
