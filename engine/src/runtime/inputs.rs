//! The receiving end of a node's queues: the minimum of their watermarks (rule T2) and the
//! alignment of barriers.

use std::sync::Arc;

use crate::data::{Batch, Progress, Timestamp};
use crate::error::{Error, Result};
use crate::graph::operator::Barrier;
use crate::runtime::channel::{Channel, Message};

/// The queues that a node reads.
#[derive(Debug)]
pub struct Inputs<M> {
    inputs: Vec<Input<M>>,
    turn: usize,
    watermark: Timestamp,
}

#[derive(Debug)]
struct Input<M> {
    channel: Arc<Channel<M>>,
    progress: Progress,
    /// The barrier it waits behind for the others (the channel is held back, not the worker).
    barrier: Option<Barrier>,
}

/// What a node has received.
#[derive(Debug)]
pub enum Received<M> {
    /// A batch from the queue of this number.
    Batch(usize, Batch<M>),
    /// The barrier has come in on every queue.
    Barrier(Barrier),
    /// Nothing at hand.
    Nothing,
}

impl<M> Inputs<M> {
    /// The queues with their first progress, and the watermark that the checkpoint holds: nobody
    /// starts below it (rule T10).
    pub fn new(channels: Vec<(Arc<Channel<M>>, Progress)>, watermark: Timestamp) -> Self {
        let inputs = channels.into_iter().map(|(channel, progress)| Input {
            channel,
            progress,
            barrier: None,
        });
        Inputs {
            inputs: inputs.collect(),
            turn: 0,
            watermark,
        }
    }

    /// Takes the next message, from each queue in turn.
    ///
    /// # Errors
    /// When barriers come out of order, which is a bug of the engine's.
    pub fn receive(&mut self) -> Result<Received<M>> {
        for _ in 0..self.inputs.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.inputs.len();
            let input = &mut self.inputs[turn];
            if input.barrier.is_some() {
                continue;
            }
            match input.channel.pop() {
                Some(Message::Batch(batch)) => return Ok(Received::Batch(turn, batch)),
                Some(Message::Barrier(barrier)) => {
                    input.barrier = Some(barrier);
                    if self.inputs.iter().all(|i| i.barrier.is_some()) {
                        return self.aligned(barrier);
                    }
                }
                None => {}
            }
        }
        Ok(Received::Nothing)
    }

    fn aligned(&mut self, barrier: Barrier) -> Result<Received<M>> {
        for input in &mut self.inputs {
            let other = input.barrier.take();
            if other != Some(barrier) {
                return Err(Error::internal(format!(
                    "barriers out of step: {barrier:?}, {other:?}"
                )));
            }
        }
        Ok(Received::Barrier(barrier))
    }

    /// Notes the progress of one queue; true if this lifts the watermark of the node.
    pub fn advance(&mut self, input: usize, progress: Progress) -> bool {
        self.inputs[input].progress = progress;
        let lowest = self.inputs.iter().filter_map(|i| match i.progress {
            Progress::Watermark(watermark) => Some(watermark),
            Progress::Idle => None,
        });
        match lowest.min() {
            Some(lowest) if lowest > self.watermark => {
                self.watermark = lowest;
                true
            }
            _ => false,
        }
    }

    /// The watermark of the node: it never goes back (rule T3).
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// What the node tells those behind it.
    pub fn progress(&self) -> Progress {
        if self.inputs.iter().all(|i| i.progress == Progress::Idle) {
            Progress::Idle
        } else {
            Progress::Watermark(self.watermark)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::operator::BarrierKind;

    fn inputs(n: usize, watermark: Timestamp) -> (Vec<Arc<Channel<u64>>>, Inputs<u64>) {
        let channels: Vec<_> = (0..n)
            .map(|_| Arc::new(Channel::new(1 << 20, None, None)))
            .collect();
        let nothing_yet = Progress::Watermark(Timestamp::MIN);
        let inputs = channels
            .iter()
            .map(|channel| (channel.clone(), nothing_yet))
            .collect();
        (channels, Inputs::new(inputs, watermark))
    }

    #[test]
    fn t2_the_watermark_is_the_minimum_over_inputs_that_are_not_idle() {
        let (_, mut inputs) = inputs(3, Timestamp::MIN);
        assert!(!inputs.advance(0, Progress::Watermark(10)));
        assert!(!inputs.advance(1, Progress::Watermark(20)));
        assert!(inputs.advance(2, Progress::Idle));
        assert_eq!(inputs.watermark(), 10);
        assert!(inputs.advance(0, Progress::Idle));
        assert_eq!(inputs.watermark(), 20);
        assert!(!inputs.advance(1, Progress::Idle), "all idle: it holds");
        assert_eq!(inputs.progress(), Progress::Idle);
    }

    #[test]
    fn t3_t10_the_watermark_never_goes_back_nor_starts_below_the_checkpoint() {
        let (_, mut inputs) = inputs(2, 100);
        assert!(!inputs.advance(0, Progress::Watermark(50)));
        assert!(!inputs.advance(1, Progress::Watermark(60)));
        assert_eq!(inputs.watermark(), 100);
        assert!(!inputs.advance(0, Progress::Watermark(150)));
        assert!(inputs.advance(1, Progress::Watermark(120)));
        assert!(!inputs.advance(1, Progress::Watermark(110)));
        assert_eq!(inputs.watermark(), 120);
    }

    #[test]
    fn a_queue_behind_its_barrier_waits_for_the_others() {
        let (channels, mut inputs) = inputs(2, Timestamp::MIN);
        let barrier = Barrier {
            epoch: 1,
            kind: BarrierKind::Checkpoint,
        };
        let batch = |n: u64| {
            Message::Batch(Batch {
                records: vec![n],
                ..Batch::default()
            })
        };
        channels[0].push(Message::Barrier(barrier));
        channels[0].push(batch(2));
        channels[1].push(batch(1));
        assert!(matches!(inputs.receive().unwrap(), Received::Batch(1, b) if b.records == [1]));
        assert!(matches!(inputs.receive().unwrap(), Received::Nothing));
        channels[1].push(Message::Barrier(barrier));
        assert!(matches!(inputs.receive().unwrap(), Received::Barrier(b) if b == barrier));
        assert!(matches!(inputs.receive().unwrap(), Received::Batch(0, b) if b.records == [2]));
    }
}
