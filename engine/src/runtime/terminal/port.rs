//! The end of a run of steps at a port: what several may read.

use std::sync::Arc;

use crate::data::{Batch, Data, Mark, Origin, Progress, Timed, Timestamp};
use crate::error::Result;
use crate::graph::operator::{Barrier, Outlet};
use crate::runtime::chain::At;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::port_root::differs;
use crate::runtime::terminal::Terminal;

/// The sending end of a port: each reader gets every record, the last one without a copy.
#[derive(Debug)]
pub struct PortOutlet<T> {
    readers: Vec<Arc<Channel<Timed<T>>>>,
}

impl<T> PortOutlet<T> {
    /// A port with these readers on this worker.
    pub fn new(readers: Vec<Arc<Channel<Timed<T>>>>) -> Self {
        PortOutlet { readers }
    }
}

impl<T: Data> Outlet<T> for PortOutlet<T> {
    fn send(&mut self, batch: Batch<Timed<T>>) {
        if let Some((last, others)) = self.readers.split_last() {
            for reader in others {
                reader.push(Message::Batch(batch.clone()));
            }
            last.push(Message::Batch(batch));
        }
    }

    fn barrier(&mut self, barrier: Barrier) {
        for reader in &self.readers {
            reader.push(Message::Barrier(barrier));
        }
    }

    fn has_credit(&self) -> bool {
        self.readers.iter().all(|reader| reader.has_credit())
    }
}

/// Gathers records into batches for a port.
#[derive(Debug)]
pub struct PortTerminal<T> {
    outlet: Option<PortOutlet<T>>,
    batch: Batch<Timed<T>>,
    watermark: Timestamp,
    told: Progress,
}

impl<T: Data> PortTerminal<T> {
    /// A feeder of a port; `None`: nobody reads it.
    pub fn new(outlet: Option<PortOutlet<T>>) -> Self {
        PortTerminal {
            outlet,
            batch: Batch::default(),
            watermark: Timestamp::MIN,
            told: Progress::Watermark(Timestamp::MIN),
        }
    }
}

impl<T: Data> Terminal<T> for PortTerminal<T> {
    #[inline(always)]
    fn accept(&mut self, item: T, at: At) {
        if self.outlet.is_none() {
            return;
        }
        if at.watermark != self.watermark {
            self.watermark = at.watermark;
            self.told = Progress::Watermark(at.watermark);
            self.batch.marks.push(Mark {
                index: self.batch.records.len() as u32,
                progress: self.told,
            });
        }
        self.batch.records.push(Timed {
            time: at.time,
            at: at.at,
            value: item,
        });
    }

    fn finish(&mut self, origin: Option<Origin>, progress: Progress) -> Result<()> {
        if differs(progress, self.told) {
            self.told = progress;
            if let Progress::Watermark(watermark) = progress {
                self.watermark = watermark;
            }
            self.batch.marks.push(Mark {
                index: self.batch.records.len() as u32,
                progress,
            });
        }
        if let Some(outlet) = &mut self.outlet
            && !self.batch.is_empty()
        {
            let next = self.batch.with_same_room();
            let mut batch = std::mem::replace(&mut self.batch, next);
            batch.origin = origin;
            outlet.send(batch);
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        if let Some(outlet) = &mut self.outlet {
            outlet.barrier(barrier);
        }
        Ok(())
    }

    fn has_credit(&self) -> bool {
        self.outlet.as_ref().is_none_or(PortOutlet::has_credit)
    }
}
