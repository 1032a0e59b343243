//! Which stage begins where and feeds what; and so, which stage of which worker never says
//! anything because its source has no split there.
//!
//! Such a stage must not hold the watermark back, not even until it has said so (rule T5): whether
//! a record is late must not depend on how fast another worker starts (rule F7).

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::plan::{NodeId, PortId};
use crate::runtime::chain::Root;

/// The stages of a plan and the ports they feed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    /// Where each stage begins. Operators are not in it.
    pub(crate) roots: BTreeMap<NodeId, Root>,
    /// The nodes that feed a port, by their feeder number.
    pub(crate) feeders: BTreeMap<PortId, Vec<NodeId>>,
}

impl Topology {
    /// The stages that are silent on a worker on which `has_splits` says which sources have any.
    pub(crate) fn silent(&self, has_splits: impl Fn(NodeId) -> bool) -> BTreeSet<NodeId> {
        let mut silent = BTreeSet::new();
        // Upstream comes before downstream.
        for (&node, root) in &self.roots {
            let is_silent = match root {
                Root::Source(source) => !has_splits(*source),
                Root::Port(port) => self
                    .feeders
                    .get(port)
                    .is_some_and(|feeders| feeders.iter().all(|feeder| silent.contains(feeder))),
            };
            if is_silent {
                silent.insert(node);
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_a_stage_is_silent_when_all_that_feeds_it_is() {
        let mut topology = Topology::default();
        topology.roots.insert(0, Root::Source(0));
        topology.roots.insert(1, Root::Source(1));
        topology.feeders.insert((2, 0), vec![0]);
        topology.feeders.insert((3, 0), vec![0, 1]);
        topology.feeders.insert((4, 0), vec![4]);
        topology.roots.insert(5, Root::Port((2, 0)));
        topology.roots.insert(6, Root::Port((3, 0)));
        topology.roots.insert(7, Root::Port((4, 0)));
        assert_eq!(
            topology.silent(|source| source == 1),
            BTreeSet::from([0, 5])
        );
        assert_eq!(topology.silent(|_| false), BTreeSet::from([0, 1, 5, 6]));
        assert_eq!(topology.silent(|_| true), BTreeSet::new());
    }
}
