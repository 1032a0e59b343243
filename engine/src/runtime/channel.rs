//! Queues between nodes: in order, bounded in bytes, and no one ever blocks on them.
//!
//! Records, the watermark marks between them and barriers travel in the same queue. What runs
//! backwards is credit: a sender asks [`Channel::has_credit`] before it makes more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::data::Batch;
use crate::graph::operator::Barrier;

/// Wakes a worker. Cheap to clone; ringing one that is awake costs little.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// There is something to do.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Completes once the bell has rung since the last wait.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

/// What travels in a queue.
#[derive(Debug)]
pub enum Message<M> {
    /// Records and marks.
    Batch(Batch<M>),
    /// The end of an epoch.
    Barrier(Barrier),
}

/// A queue from one node to another.
#[derive(Debug)]
pub struct Channel<M> {
    queue: Mutex<VecDeque<Message<M>>>,
    bytes: AtomicUsize,
    bytes_max: usize,
    receiver: Option<Bell>,
    sender: Option<Bell>,
}

impl<M> Channel<M> {
    /// A queue for about `bytes_max`; the bells are those of the workers at its ends, if they
    /// are two.
    pub fn new(bytes_max: usize, sender: Option<Bell>, receiver: Option<Bell>) -> Self {
        Channel {
            queue: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            receiver,
            sender,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message<M>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. Who had credit may add one batch, however large.
    pub fn push(&self, message: Message<M>) {
        let bytes = weight(&message);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.lock().push_back(message);
        if let Some(bell) = &self.receiver {
            bell.ring();
        }
    }

    /// Takes the oldest message.
    pub fn pop(&self) -> Option<Message<M>> {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let message = self.lock().pop_front()?;
        let bytes = weight(&message);
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= self.bytes_max
            && before - bytes < self.bytes_max
            && let Some(bell) = &self.sender
        {
            bell.ring();
        }
        Some(message)
    }

    /// Whether there is room for more.
    pub fn has_credit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.bytes_max
    }
}

/// What a message counts against the bound; never 0, so that the count tells whether there is one.
fn weight<M>(message: &Message<M>) -> usize {
    const ENVELOPE_BYTES: usize = 64;
    match message {
        Message::Batch(batch) => batch.bytes() + ENVELOPE_BYTES,
        Message::Barrier(_) => ENVELOPE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Timed;

    fn batch(records: usize) -> Message<Timed<u64>> {
        let record = Timed {
            time: 0,
            at: 0,
            value: 0,
        };
        Message::Batch(Batch {
            records: vec![record; records],
            ..Batch::default()
        })
    }

    #[test]
    fn credit_ends_at_the_bound_and_comes_back() {
        let channel = Channel::new(1000, None, None);
        assert!(channel.has_credit() && channel.pop().is_none());
        channel.push(batch(100));
        assert!(!channel.has_credit());
        assert!(matches!(channel.pop(), Some(Message::Batch(b)) if b.records.len() == 100));
        assert!(channel.has_credit() && channel.pop().is_none());
    }
}
