//! A pipe that begins at a source: reads its splits on this worker, stamps event times, makes
//! watermarks, and cuts epochs.

use std::sync::Arc;

use crate::checkpoint::manifest::SplitEntry;
use crate::data::{
    Data, EVENT_TIME_MAX, EVENT_TIME_MIN, Origin, Progress, Timestamp, check_event_time,
};
use crate::error::{Error, Result};
use crate::graph::operator::{AnyOutput, Output};
use crate::graph::plan::{NodeId, PortId};
use crate::graph::source::{Emit, EventTime, Read, Reader, Source, Timed, WhenAllIdle};
use crate::runtime::build::NodeBuilder;
use crate::runtime::chain::{At, Pipe, Ran, Root, RootControl, Runner, SourceSnapshot, Take};
use crate::runtime::control::Control;
use crate::runtime::port_root::differs;
use crate::runtime::split::SplitTime;
use crate::state::codec;

/// The port of a source's quarantine (rule T7).
pub const QUARANTINE_PORT: u32 = 1;

/// A source as the root of a pipe.
pub struct SourceRoot<S, F> {
    node: NodeId,
    id: Arc<str>,
    source: Arc<Timed<S, F>>,
}

impl<S, F> SourceRoot<S, F> {
    /// The source that the plan has at this node.
    pub fn new(node: NodeId, id: &str, source: Arc<Timed<S, F>>) -> Self {
        SourceRoot {
            node,
            id: id.into(),
            source,
        }
    }
}

impl<S, F> SourceRoot<S, F> {
    /// The source's node in the plan.
    pub fn node(&self) -> NodeId {
        self.node
    }
}

impl<S, F> Clone for SourceRoot<S, F> {
    fn clone(&self) -> Self {
        SourceRoot {
            node: self.node,
            id: self.id.clone(),
            source: self.source.clone(),
        }
    }
}

impl<S, F> Pipe for SourceRoot<S, F>
where
    S: Source,
    F: Fn(&S::Record) -> EventTime + Send + Sync + 'static,
{
    type Item = S::Record;
    type Runner = SourceRunner<S, F>;

    fn root(&self) -> Root {
        Root::Source(self.node)
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        let mut splits = Vec::new();
        for assigned in builder.splits(self.node) {
            let place = || format!("source `{}`, split `{}`", self.id, assigned.name);
            splits.push(
                self.open_split(&assigned, builder)
                    .map_err(|e| e.at(place()))?,
            );
        }
        let quarantine: PortId = (self.node, QUARANTINE_PORT);
        Ok(SourceRunner {
            node: self.node,
            id: self.id.clone(),
            source: self.source.clone(),
            splits,
            progress: Progress::Watermark(Timestamp::MIN),
            watermark: Timestamp::MIN,
            told: Progress::Watermark(Timestamp::MIN),
            epoch: builder.restored_epoch(),
            control: builder.control.clone(),
            batch_records: builder.settings.batch_records.max(1),
            quarantine: builder.output(quarantine)?,
            counts: Counts::default(),
            current: None,
            snapshot: None,
        })
    }
}

/// A split that was dealt to this worker.
#[derive(Clone, Debug)]
pub struct AssignedSplit {
    /// Its number in the source.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What the checkpoint holds of it.
    pub entry: Option<SplitEntry>,
}

struct OpenSplit<R> {
    number: u32,
    name: String,
    reader: R,
    time: SplitTime,
    /// Records handed on or skipped since its beginning.
    records: u64,
    reported: (u64, u64),
}

impl<S: Source, F> SourceRoot<S, F> {
    fn open_split(
        &self,
        assigned: &AssignedSplit,
        builder: &NodeBuilder<'_>,
    ) -> Result<OpenSplit<S::Reader>> {
        let entry = assigned.entry.as_ref();
        let position = match entry.and_then(|e| e.position.as_deref()) {
            Some(bytes) => Some(codec::decode(bytes)?),
            None => None,
        };
        let reader = self
            .source
            .source
            .open(&assigned.name, position, builder.waker())?;
        let mut time = SplitTime::new(
            &self.source.watermarks,
            entry.and_then(|e| e.max_time),
            entry.and_then(|e| e.watermark),
        );
        if entry.is_some_and(|e| e.finished) {
            time.finish();
        }
        Ok(OpenSplit {
            number: assigned.number,
            name: assigned.name.clone(),
            reader,
            time,
            records: entry.map_or(0, |e| e.records),
            reported: (0, 0),
        })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    read: u64,
    skipped: u64,
    quarantined: u64,
    told_read: u64,
    told_skipped: u64,
}

/// A [`SourceRoot`] on one worker.
pub struct SourceRunner<S: Source, F> {
    node: NodeId,
    id: Arc<str>,
    source: Arc<Timed<S, F>>,
    splits: Vec<OpenSplit<S::Reader>>,
    progress: Progress,
    /// The highest watermark passed on: it never goes back (rule T3).
    watermark: Timestamp,
    told: Progress,
    epoch: u64,
    control: Arc<Control>,
    batch_records: usize,
    quarantine: Output<S::Record>,
    counts: Counts,
    current: Option<(Origin, u32)>,
    snapshot: Option<SourceSnapshot>,
}

impl<S, F> Runner for SourceRunner<S, F>
where
    S: Source,
    F: Fn(&S::Record) -> EventTime + Send + Sync + 'static,
{
    type Item = S::Record;

    #[inline]
    fn run(&mut self, take: &mut impl Take<S::Record>) -> Result<Ran> {
        if let Some(barrier) = self.control.barrier_after(self.epoch) {
            self.epoch = barrier.epoch;
            self.snapshot = Some(self.take_snapshot()?);
            self.quarantine.barrier(barrier);
            return Ok(Ran::Barrier(barrier));
        }
        let permitted = self.control.permit(self.batch_records);
        let mut origin = None;
        for index in self.in_reading_order() {
            if permitted == 0 {
                break;
            }
            if self.read_split(index, permitted, take)? {
                origin = self.current.map(|(origin, _)| origin);
                break;
            }
        }
        self.tell_counts();
        self.update_progress();
        if origin.is_some() || differs(self.progress, self.told) {
            self.told = self.progress;
            self.quarantine.progress(self.progress);
            self.quarantine.flush();
            return Ok(Ran::Batch {
                origin,
                progress: self.progress,
            });
        }
        Ok(Ran::Nothing)
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self
    }
}

impl<S, F> SourceRunner<S, F>
where
    S: Source,
    F: Fn(&S::Record) -> EventTime + Send + Sync + 'static,
{
    /// The split that is furthest behind comes first: that keeps the state of windows small.
    fn in_reading_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.splits.len())
            .filter(|&i| !self.splits[i].time.is_finished())
            .collect();
        if order.len() > 1 {
            order.sort_by_key(|&i| self.splits[i].time.watermark());
        }
        order
    }

    /// Reads from one split; false if it had nothing.
    fn read_split(
        &mut self,
        index: usize,
        max: usize,
        take: &mut impl Take<S::Record>,
    ) -> Result<bool> {
        let others = self.lowest_of_others(index);
        let split = &mut self.splits[index];
        let origin = Origin {
            source: self.node,
            split: split.number,
            first: split.records,
        };
        let (_, current) = self.current.insert((origin, 0));
        let mut feed = Feed {
            time_of: &self.source.time,
            max_time: split.time.max_time.unwrap_or(Timestamp::MIN),
            behind: split.time.behind(),
            floor: split.time.watermark(),
            others,
            watermark: self.watermark,
            at: 0,
            // A batch holds at most 2^32 records.
            end: u32::try_from(max).unwrap_or(u32::MAX),
            current,
            skipped: &mut self.counts.skipped,
            failure: None,
            take,
        };
        let read = match self.source.watermarks.max_future_skew {
            None => split.reader.read(&mut feed),
            skew => split.reader.read(&mut Guarded {
                limit: self.control.future_limit(skew),
                quarantine: &mut self.quarantine,
                quarantined: &mut self.counts.quarantined,
                feed: &mut feed,
            }),
        };
        let (count, failure) = (feed.at, feed.failure.take());
        self.watermark = feed.watermark;
        let max_time = feed.max_time;
        if max_time != Timestamp::MIN {
            split.time.saw(max_time);
        }
        self.counts.read += u64::from(count);
        let place = |e: Error, number: u64| {
            e.at(format!(
                "source `{}`, split `{}`, record {number}",
                self.id, split.name
            ))
        };
        if let Some(failure) = failure {
            return Err(place(failure, split.records + u64::from(count) - 1));
        }
        split.records += u64::from(count);
        match read.map_err(|e| place(e, split.records))? {
            Read::End => split.time.finish(),
            Read::Wait if count == 0 => {
                split.time.was_silent(self.control.clock.monotonic_us());
                return Ok(false);
            }
            Read::More | Read::Wait => {}
        }
        if count > 0 {
            split.time.stirred();
        }
        let reported = split.reader.progress().unwrap_or_default();
        self.control
            .stats
            .source_progress(&mut split.reported, reported);
        Ok(true)
    }

    /// The lowest watermark among the other splits that are not idle.
    fn lowest_of_others(&self, index: usize) -> Timestamp {
        let others = self.splits.iter().enumerate().filter(|&(i, _)| i != index);
        let lowest = others.filter_map(|(_, split)| match split.time.progress() {
            Progress::Watermark(watermark) => Some(watermark),
            Progress::Idle => None,
        });
        lowest.min().unwrap_or(Timestamp::MAX)
    }

    /// T2, T5: the minimum over the splits that are not idle; what happens when all are is the
    /// user's policy. A worker without splits holds nobody back.
    fn update_progress(&mut self) {
        let watermarks = self
            .splits
            .iter()
            .filter_map(|split| match split.time.progress() {
                Progress::Watermark(watermark) => Some(watermark),
                Progress::Idle => None,
            });
        self.progress = match watermarks.min() {
            Some(watermark) => Progress::Watermark(self.lift(watermark)),
            None if self.splits.is_empty() && self.source.source.is_bounded() => {
                Progress::Watermark(self.lift(Timestamp::MAX))
            }
            None if self.splits.is_empty() => Progress::Idle,
            None => match self.source.watermarks.when_all_idle {
                WhenAllIdle::Hold => Progress::Idle,
                WhenAllIdle::AdvanceWithClock(behind) => {
                    let behind = i64::try_from(behind.as_millis()).unwrap_or(i64::MAX);
                    Progress::Watermark(
                        self.lift(self.control.clock.now_ms().saturating_sub(behind)),
                    )
                }
            },
        };
    }

    fn lift(&mut self, watermark: Timestamp) -> Timestamp {
        self.watermark = self.watermark.max(watermark);
        self.watermark
    }

    fn tell_counts(&mut self) {
        let counts = &mut self.counts;
        self.control.stats.read(counts.read - counts.told_read);
        self.control
            .stats
            .skipped(counts.skipped - counts.told_skipped);
        counts.told_read = counts.read;
        counts.told_skipped = counts.skipped;
    }

    fn take_snapshot(&self) -> Result<SourceSnapshot> {
        let mut splits = Vec::with_capacity(self.splits.len());
        for split in &self.splits {
            let watermark = split.time.watermark();
            let entry = SplitEntry {
                position: Some(codec::encode(&split.reader.position())?),
                records: split.records,
                watermark: (watermark != Timestamp::MIN).then_some(watermark),
                max_time: split.time.max_time,
                finished: split.time.is_finished(),
            };
            splits.push((split.name.clone(), entry));
        }
        Ok(SourceSnapshot {
            node: self.node,
            splits,
            counters: vec![
                ("read", self.counts.read),
                ("skipped", self.counts.skipped),
                ("quarantined", self.counts.quarantined),
            ],
        })
    }
}

impl<S: Source, F: 'static> RootControl for SourceRunner<S, F> {
    fn paused(&mut self) {
        for split in &mut self.splits {
            split.time.paused();
        }
    }

    fn snapshot(&mut self) -> Option<SourceSnapshot> {
        self.snapshot.take()
    }

    fn current(&self) -> Option<(Origin, u32)> {
        self.current
    }

    fn is_exhausted(&self) -> bool {
        self.source.source.is_bounded() && self.splits.iter().all(|s| s.time.is_finished())
    }
}

/// Takes records from a reader: stamps them, lifts the watermark behind each (rule T9), and
/// hands them to the fused steps. What changes with each record lies in here, where the loop of
/// the reader can keep it in registers.
struct Feed<'a, F, G> {
    time_of: &'a F,
    max_time: Timestamp,
    /// How far the split's watermark is behind its highest time, and below what it does not go.
    behind: i64,
    floor: Timestamp,
    others: Timestamp,
    watermark: Timestamp,
    at: u32,
    end: u32,
    current: &'a mut u32,
    skipped: &'a mut u64,
    failure: Option<Error>,
    take: &'a mut G,
}

impl<F, G> Feed<'_, F, G> {
    /// Counts one more record of the split; whether another is wanted.
    #[inline]
    fn next(&mut self) -> bool {
        self.at += 1;
        self.at < self.end
    }

    /// A record that has no time, or none that it may have. In a box, so that it need not be made
    /// in memory before it is known that it comes here.
    #[cold]
    fn turn_away<T>(&mut self, record: Box<T>, time: Option<Timestamp>) -> bool {
        drop(record);
        let Some(time) = time else {
            *self.skipped += 1;
            return self.next();
        };
        if let Err(e) = check_event_time(time) {
            self.failure = Some(e.remedy("let event_time return None for records to be skipped"));
        }
        self.at += 1;
        self.end = self.at;
        false
    }

    /// The watermark rises behind the record with the highest time so far.
    #[inline]
    fn lift(&mut self, time: Timestamp) {
        self.max_time = time;
        // Neither of them exceeds 2^61.
        let own = time.wrapping_sub(self.behind).max(self.floor);
        self.watermark = self.watermark.max(own.min(self.others));
    }
}

impl<T, F, G> Emit<T> for Feed<'_, F, G>
where
    F: Fn(&T) -> EventTime,
    G: Take<T>,
{
    // One loop with the reader's and all steps, or the record would be made in memory.
    #[inline(always)]
    fn emit(&mut self, record: T) -> bool {
        *self.current = self.at;
        let time = match (self.time_of)(&record).0 {
            Some(time) if (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&time) => time,
            other => return self.turn_away(Box::new(record), other),
        };
        let at = At {
            time,
            at: self.at,
            watermark: self.watermark,
        };
        self.take.take(record, at);
        if time > self.max_time {
            self.lift(time);
        }
        self.next()
    }

    #[inline]
    fn skip(&mut self) -> bool {
        *self.skipped += 1;
        self.next()
    }
}

/// A [`Feed`] behind the quarantine (rule T7).
struct Guarded<'f, 'a, T, F, G> {
    feed: &'f mut Feed<'a, F, G>,
    limit: Timestamp,
    quarantine: &'f mut Output<T>,
    quarantined: &'f mut u64,
}

impl<T, F, G> Emit<T> for Guarded<'_, '_, T, F, G>
where
    T: Data,
    F: Fn(&T) -> EventTime,
    G: Take<T>,
{
    // One loop with the reader's and all steps, or the record would be made in memory.
    #[inline(always)]
    fn emit(&mut self, record: T) -> bool {
        match (self.feed.time_of)(&record).0 {
            Some(time) if time > self.limit => {
                *self.feed.current = self.feed.at;
                *self.quarantined += 1;
                let record = Box::new(record);
                self.quarantine.emit(time, *record);
                self.feed.next()
            }
            _ => self.feed.emit(record),
        }
    }

    #[inline]
    fn skip(&mut self) -> bool {
        Emit::<T>::skip(self.feed)
    }
}
