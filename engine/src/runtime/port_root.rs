//! A pipe that begins at a port: at what an operator, a shared or a merged stream puts out.

use std::marker::PhantomData;

use crate::data::{Batch, Data, Origin, Progress, Timed, Timestamp};
use crate::error::Result;
use crate::graph::plan::PortId;
use crate::runtime::build::NodeBuilder;
use crate::runtime::chain::{At, Pipe, Ran, Root, RootControl, Runner, Take};
use crate::runtime::inputs::{Inputs, Received};

/// A port as the root of a pipe.
pub struct Port<T> {
    port: PortId,
    item: PhantomData<fn() -> T>,
}

impl<T> Port<T> {
    /// A port that carries `T`.
    pub fn new(port: PortId) -> Self {
        Port {
            port,
            item: PhantomData,
        }
    }
}

impl<T> Clone for Port<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Port<T> {}

impl<T: Data> Pipe for Port<T> {
    type Item = T;
    type Runner = PortRunner<T>;

    fn root(&self) -> Root {
        Root::Port(self.port)
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<PortRunner<T>> {
        let channels = builder.port_channels(self.port)?;
        Ok(PortRunner {
            inputs: Inputs::new(channels, Timestamp::MIN),
            origin: None,
            at: 0,
        })
    }
}

/// A [`Port`] on one worker.
pub struct PortRunner<T> {
    inputs: Inputs<Timed<T>>,
    /// Where the batch was read that is being worked through, and the number of the record.
    origin: Option<Origin>,
    at: u32,
}

impl<T: Data> Runner for PortRunner<T> {
    type Item = T;

    #[inline]
    fn run(&mut self, take: &mut impl Take<T>) -> Result<Ran> {
        match self.inputs.receive()? {
            Received::Nothing => Ok(Ran::Nothing),
            Received::Barrier(barrier) => Ok(Ran::Barrier(barrier)),
            Received::Batch(input, batch) => {
                let origin = batch.origin;
                self.walk(input, batch, take);
                Ok(Ran::Batch {
                    origin,
                    progress: self.inputs.progress(),
                })
            }
        }
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self
    }
}

impl<T> PortRunner<T> {
    fn walk(&mut self, input: usize, batch: Batch<Timed<T>>, take: &mut impl Take<T>) {
        self.origin = batch.origin;
        let count = batch.records.len();
        let mut records = batch.records.into_iter();
        let mut marks = batch.marks.into_iter();
        let mut mark = marks.next();
        let mut done = 0;
        while done < count {
            while let Some(due) = mark.filter(|mark| mark.index as usize <= done) {
                self.inputs.advance(input, due.progress);
                mark = marks.next();
            }
            let until = mark.map_or(count, |mark| (mark.index as usize).min(count));
            let watermark = self.inputs.watermark();
            for record in records.by_ref().take(until - done) {
                self.at = record.at;
                let at = At {
                    time: record.time,
                    at: record.at,
                    watermark,
                };
                take.take(record.value, at);
            }
            done = until;
        }
        for mark in mark.into_iter().chain(marks) {
            self.inputs.advance(input, mark.progress);
        }
    }
}

impl<T> RootControl for PortRunner<T> {
    fn current(&self) -> Option<(Origin, u32)> {
        self.origin.map(|origin| (origin, self.at))
    }
}

/// Whether a progress says anything new after another.
pub(crate) fn differs(progress: Progress, last: Progress) -> bool {
    progress != last && progress != Progress::Watermark(Timestamp::MIN)
}
