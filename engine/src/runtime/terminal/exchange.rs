//! The end of a run of steps at an exchange: records go to the worker that owns their key.

use std::ops::Range;
use std::sync::Arc;

use crate::data::{Batch, Data, Key, Keyed, Mark, Origin, Progress, Timestamp};
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::graph::plan::EdgeId;
use crate::runtime::chain::At;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::port_root::differs;
use crate::runtime::terminal::Terminal;
use crate::runtime::terminal::combine::{Combine, Places};
use crate::state::key_group::{stable_hash, worker_of};

/// Takes the key and the payload out of each record and scatters them by key group. The key is
/// hashed once; the hash travels along.
pub struct ExchangeTerminal<K, P, F, G, C> {
    edge: EdgeId,
    key: Arc<F>,
    payload: Arc<G>,
    combine: Arc<C>,
    /// The stretch of time that the last record lay in.
    stretch: Range<Timestamp>,
    targets: Vec<Target<K, P>>,
    sent: u64,
}

struct Target<K, P> {
    channel: Arc<Channel<Keyed<K, P>>>,
    batch: Batch<Keyed<K, P>>,
    places: Places,
    watermark: Timestamp,
    told: Progress,
}

impl<K, P, F, G, C> ExchangeTerminal<K, P, F, G, C> {
    /// An exchange over `channels`, one to each worker.
    pub fn new(
        edge: EdgeId,
        channels: Vec<Arc<Channel<Keyed<K, P>>>>,
        key: Arc<F>,
        payload: Arc<G>,
        combine: Arc<C>,
    ) -> Self {
        let targets = channels.into_iter().map(|channel| Target {
            channel,
            batch: Batch::default(),
            places: Places::new(),
            watermark: Timestamp::MIN,
            told: Progress::Watermark(Timestamp::MIN),
        });
        ExchangeTerminal {
            edge,
            key,
            payload,
            combine,
            stretch: 0..0,
            targets: targets.collect(),
            sent: 0,
        }
    }
}

impl<K: Key, P: Data> Target<K, P> {
    /// Each target is told the marks that fall between its own records (rule T9).
    #[inline]
    fn push(&mut self, record: Keyed<K, P>, watermark: Timestamp) {
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

    /// And every target is told the last one. Returns how many records went into the batch.
    fn flush(&mut self, origin: Option<Origin>, progress: Progress) -> u64 {
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
        if self.batch.is_empty() {
            return 0;
        }
        let next = self.batch.with_same_room();
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.origin = origin;
        batch.combined = self.places.turn(batch.records.len());
        let sent = batch.records.len() as u64 + batch.combined;
        self.channel.push(Message::Batch(batch));
        sent
    }
}

impl<T, K, P, F, G, C> Terminal<T> for ExchangeTerminal<K, P, F, G, C>
where
    T: Data,
    K: Key,
    P: Data,
    F: Fn(&T) -> K + 'static,
    G: Fn(T) -> P + 'static,
    C: Combine<T, P>,
{
    #[inline(always)]
    fn accept(&mut self, item: T, at: At) {
        let key = (self.key)(&item);
        let hash = stable_hash(&key);
        // Nothing that is read of the only target has to wait for the hash.
        let target = match &mut self.targets[..] {
            [only] => only,
            targets => {
                let worker = worker_of(hash, targets.len());
                &mut targets[worker]
            }
        };
        // A record ahead of its watermark is late nowhere, so it may be seen a little earlier.
        if C::COMBINES && at.time > at.watermark && target.places.are_open() {
            if !self.stretch.contains(&at.time) {
                self.stretch = self.combine.stretch(at.time);
            }
            let records = &mut target.batch.records;
            if let Some(first) = target.places.find(records, hash, &key, &self.stretch) {
                let first = (&mut first.time, &mut first.payload);
                self.combine.combine(first, (at.time, item), &*self.payload);
                return;
            }
        }
        let record = Keyed {
            time: at.time,
            hash,
            at: at.at,
            key,
            payload: (self.payload)(item),
        };
        target.push(record, at.watermark);
    }

    fn finish(&mut self, origin: Option<Origin>, progress: Progress) -> Result<()> {
        for target in &mut self.targets {
            self.sent += target.flush(origin, progress);
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
