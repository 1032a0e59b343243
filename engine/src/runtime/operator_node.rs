//! An operator on a worker: feeds it records and watermarks in their exact order.

use std::iter::Peekable;

use crate::data::{Batch, Data, Located, Mark, Origin, Progress};
use crate::error::{Error, Result};
use crate::graph::operator::{Flow, Operator, OperatorContext, Records};
use crate::graph::plan::{EdgeId, NodeId};
use crate::runtime::event::{NodeSnapshot, OperatorSnapshot};
use crate::runtime::inputs::{Inputs, Received};
use crate::runtime::node::{Node, Step};
use crate::state::table::StateTable;

/// An operator with its inputs.
pub struct OperatorNode<O: Operator> {
    node: NodeId,
    id: String,
    edge: EdgeId,
    operator: O,
    inputs: Inputs<O::In>,
    /// A batch that is not worked through: the operator had more to emit at a watermark.
    open: Option<OpenBatch<O::In>>,
    told: Progress,
    received: u64,
    current: (Option<Origin>, u32),
}

struct OpenBatch<M> {
    input: usize,
    records: std::vec::IntoIter<M>,
    marks: Peekable<std::vec::IntoIter<Mark>>,
    done: usize,
    count: usize,
    /// The watermark has risen, and the operator is not done with what that makes due.
    firing: bool,
}

impl<O: Operator> OperatorNode<O> {
    /// An operator that reads the exchange `edge`.
    pub fn new(node: NodeId, id: &str, edge: EdgeId, operator: O, inputs: Inputs<O::In>) -> Self {
        OperatorNode {
            node,
            id: id.to_owned(),
            edge,
            operator,
            inputs,
            open: None,
            told: Progress::Idle,
            received: 0,
            current: (None, 0),
        }
    }

    fn begin(&mut self, input: usize, batch: Batch<O::In>) {
        self.received += batch.records.len() as u64 + batch.combined;
        self.current = (batch.origin, 0);
        self.open = Some(OpenBatch {
            input,
            count: batch.records.len(),
            records: batch.records.into_iter(),
            marks: batch.marks.into_iter().peekable(),
            done: 0,
            firing: false,
        });
    }

    /// Works through the open batch as far as the operator goes.
    fn proceed(&mut self) -> Result<()> {
        let Some(mut batch) = self.open.take() else {
            return Ok(());
        };
        loop {
            let cx = OperatorContext {
                watermark: self.inputs.watermark(),
            };
            if batch.firing {
                if self.operator.on_watermark(&cx)? == Flow::Again {
                    self.open = Some(batch);
                    return Ok(());
                }
                batch.firing = false;
            }
            self.tell_progress();
            let until = batch
                .marks
                .peek()
                .map_or(batch.count, |mark| mark.index as usize);
            if until > batch.done {
                let records =
                    Records::new(&mut batch.records, until - batch.done, &mut self.current.1);
                self.operator.on_records(records, &cx)?;
                batch.done = until;
            }
            let Some(mark) = batch.marks.next() else {
                return Ok(());
            };
            if self.inputs.advance(batch.input, mark.progress) {
                batch.firing = self.inputs.watermark() >= self.operator.due();
            }
        }
    }

    /// T4: outputs hear of the watermark behind everything that it made due.
    fn tell_progress(&mut self) {
        let progress = self.inputs.progress();
        if progress != self.told {
            self.told = progress;
            self.operator
                .outputs(&mut |output| output.progress(progress));
        }
    }

    fn has_credit(&mut self) -> bool {
        let mut credit = true;
        self.operator
            .outputs(&mut |output| credit &= output.has_credit());
        credit
    }
}

impl<O: Operator> Node for OperatorNode<O>
where
    O::In: Data + Located,
{
    fn step(&mut self) -> Result<Step> {
        if !self.has_credit() {
            return Ok(Step::Blocked);
        }
        if self.open.is_none() {
            match self.inputs.receive()? {
                Received::Nothing => return Ok(Step::Idle),
                Received::Batch(input, batch) => self.begin(input, batch),
                Received::Barrier(barrier) => {
                    self.operator.tables(&mut |table| table.freeze());
                    self.operator.outputs(&mut |output| output.barrier(barrier));
                    return Ok(Step::Barrier(barrier));
                }
            }
        }
        self.proceed()
            .map_err(|e: Error| e.at(format!("operator `{}`", self.id)))?;
        self.operator.outputs(&mut |output| output.flush());
        Ok(Step::Worked)
    }

    fn snapshot(&mut self) -> NodeSnapshot {
        let mut tables = Vec::new();
        self.operator
            .tables(&mut |table| tables.push(table.inventory()));
        NodeSnapshot {
            node: self.node,
            operator: Some(OperatorSnapshot {
                watermark: self.inputs.watermark(),
                tables,
                counters: self.operator.counters(),
                received: (self.edge, self.received),
            }),
            ..NodeSnapshot::default()
        }
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn StateTable)) {
        self.operator.tables(visit);
    }

    fn current(&mut self) -> Option<(Origin, u32)> {
        self.current.0.map(|origin| (origin, self.current.1))
    }
}
