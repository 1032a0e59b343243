//! A pipe that begins at a source: reads its splits on this worker, stamps event times, makes
//! watermarks, and cuts epochs.

use std::sync::Arc;

use crate::checkpoint::manifest::SplitEntry;
use crate::data::{Origin, Progress, Timestamp};
use crate::error::{Error, Result};
use crate::graph::operator::AnyOutput;
use crate::graph::plan::{NodeId, PortId};
use crate::graph::source::{EventTime, Read, Reader, Source, Timed, WhenAllIdle};
use crate::runtime::build::NodeBuilder;
use crate::runtime::chain::{Pipe, Ran, Root, RootControl, Runner, SourceSnapshot, Take};
use crate::runtime::control::Control;
use crate::runtime::feed::{Aside, Feed, Place, Rise, Times};
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
            aside: Aside::new(builder.output(quarantine)?),
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
    aside: Aside<S::Record>,
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
            self.aside.quarantine.barrier(barrier);
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
            self.aside.quarantine.progress(self.progress);
            self.aside.quarantine.flush();
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

    /// Reads from one split; false if it had nothing. Inlined, as a reader's loop may be: then the
    /// way from the record to the end of the steps is no chain of pointers.
    #[inline]
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
        let skew = self.source.watermarks.max_future_skew;
        let mut feed = Feed {
            time_of: &self.source.time,
            place: Place::new(max, current),
            times: Times::new(split.time.max_time, self.control.future_limit(skew)),
            watermark: self.watermark,
            rise: Rise {
                behind: split.time.behind(),
                floor: split.time.watermark(),
                others,
                passed: self.watermark,
            },
            aside: &mut self.aside,
            take,
        };
        let read = split.reader.read(&mut feed);
        let fed = feed.end();
        let count = fed.count;
        self.watermark = fed.watermark;
        if let Some(max_time) = fed.max_time {
            split.time.saw(max_time);
        }
        self.counts.read += u64::from(count);
        let place = |e: Error, number: u64| {
            e.at(format!(
                "source `{}`, split `{}`, record {number}",
                self.id, split.name
            ))
        };
        if let Some((at, failure)) = self.aside.failure.take() {
            return Err(place(failure, split.records + u64::from(at)));
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
            .skipped(self.aside.skipped - counts.told_skipped);
        counts.told_read = counts.read;
        counts.told_skipped = self.aside.skipped;
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
                ("skipped", self.aside.skipped),
                ("quarantined", self.aside.quarantined),
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
