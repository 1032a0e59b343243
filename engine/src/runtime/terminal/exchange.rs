//! The end of a run of steps at an exchange: records go to the worker that owns their key.

use std::sync::Arc;

use crate::data::{Batch, Data, Key, Keyed, Mark, Origin, Progress, Timestamp};
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::graph::plan::EdgeId;
use crate::runtime::chain::At;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::port_root::differs;
use crate::runtime::terminal::Terminal;
use crate::state::key_group::{stable_hash, worker_of};

/// Takes the key and the payload out of each record and scatters them by key group. The key is
/// hashed once; the hash travels along.
pub struct ExchangeTerminal<K, P, F, G> {
    edge: EdgeId,
    key: Arc<F>,
    payload: Arc<G>,
    targets: Vec<Target<Keyed<K, P>>>,
    sent: u64,
}

struct Target<M> {
    channel: Arc<Channel<M>>,
    batch: Batch<M>,
    watermark: Timestamp,
    told: Progress,
}

impl<K, P, F, G> ExchangeTerminal<K, P, F, G> {
    /// An exchange over `channels`, one to each worker.
    pub fn new(
        edge: EdgeId,
        channels: Vec<Arc<Channel<Keyed<K, P>>>>,
        key: Arc<F>,
        payload: Arc<G>,
    ) -> Self {
        let targets = channels.into_iter().map(|channel| Target {
            channel,
            batch: Batch::default(),
            watermark: Timestamp::MIN,
            told: Progress::Watermark(Timestamp::MIN),
        });
        ExchangeTerminal {
            edge,
            key,
            payload,
            targets: targets.collect(),
            sent: 0,
        }
    }
}

impl<M: Data> Target<M> {
    /// Each target is told the marks that fall between its own records (rule T9).
    #[inline]
    fn push(&mut self, record: M, watermark: Timestamp) {
        if watermark != self.watermark {
            self.watermark = watermark;
            self.told = Progress::Watermark(watermark);
            self.batch.marks.push(Mark {
                index: self.batch.records.len() as u32,
                progress: self.told,
            });
        }
        self.batch.records.push(record);
    }

    /// And every target is told the last one.
    fn flush(&mut self, origin: Option<Origin>, progress: Progress) {
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
        if !self.batch.is_empty() {
            let next = self.batch.with_same_room();
            let mut batch = std::mem::replace(&mut self.batch, next);
            batch.origin = origin;
            self.channel.push(Message::Batch(batch));
        }
    }
}

impl<T, K, P, F, G> Terminal<T> for ExchangeTerminal<K, P, F, G>
where
    T: Data,
    K: Key,
    P: Data,
    F: Fn(&T) -> K + 'static,
    G: Fn(T) -> P + 'static,
{
    #[inline]
    fn accept(&mut self, item: T, at: At) {
        let key = (self.key)(&item);
        let hash = stable_hash(&key);
        let record = Keyed {
            time: at.time,
            hash,
            at: at.at,
            key,
            payload: (self.payload)(item),
        };
        self.sent += 1;
        let worker = match self.targets.len() {
            1 => 0,
            workers => worker_of(hash, workers),
        };
        self.targets[worker].push(record, at.watermark);
    }

    fn finish(&mut self, origin: Option<Origin>, progress: Progress) -> Result<()> {
        for target in &mut self.targets {
            target.flush(origin, progress);
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        for target in &mut self.targets {
            target.channel.push(Message::Barrier(barrier));
        }
        Ok(())
    }

    fn has_credit(&self) -> bool {
        self.targets
            .iter()
            .all(|target| target.channel.has_credit())
    }

    fn sent(&self) -> Option<(EdgeId, u64)> {
        Some((self.edge, self.sent))
    }
}
