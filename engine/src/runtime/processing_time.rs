//! A step behind which time is the moment at which a record is handled.
//!
//! Windows and everything else that is driven by the watermark work as before: records carry the
//! clock's time, and the watermark follows it closely, also while nothing comes in. The clock is
//! read once for each batch and never seen to go back, across restarts too.

use std::sync::Arc;

use crate::data::{Progress, Timestamp};
use crate::error::Result;
use crate::runtime::build::NodeBuilder;
use crate::runtime::chain::{At, Pipe, Ran, Root, RootControl, Runner};
use crate::runtime::control::Control;

/// Gives each record of a pipe the time at which it is handled.
#[derive(Clone, Debug)]
pub struct ProcessingTime<P> {
    pipe: P,
}

impl<P> ProcessingTime<P> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P) -> Self {
        ProcessingTime { pipe }
    }
}

impl<P: Pipe> Pipe for ProcessingTime<P> {
    type Item = P::Item;
    type Runner = ProcessingTimeRunner<P::Runner>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(ProcessingTimeRunner {
            runner: self.pipe.open(builder)?,
            control: builder.control.clone(),
            told: Timestamp::MIN,
        })
    }
}

/// [`ProcessingTime`] on one worker.
pub struct ProcessingTimeRunner<R> {
    runner: R,
    control: Arc<Control>,
    told: Timestamp,
}

impl<R: Runner> Runner for ProcessingTimeRunner<R> {
    type Item = R::Item;

    #[inline]
    fn run(&mut self, mut take: impl FnMut(Self::Item, At)) -> Result<Ran> {
        let time = self.control.processing_time();
        // The next batch may be handled within the same millisecond.
        let watermark = time - 1;
        let ran = self.runner.run(|item, at| {
            let at = At {
                time,
                at: at.at,
                watermark,
            };
            take(item, at);
        })?;
        Ok(match ran {
            Ran::Barrier(barrier) => Ran::Barrier(barrier),
            Ran::Batch { origin, progress } => {
                // T8: the end of the input is the end here too.
                self.told = match progress {
                    Progress::Watermark(Timestamp::MAX) => Timestamp::MAX,
                    _ => self.told.max(watermark),
                };
                Ran::Batch {
                    origin,
                    progress: Progress::Watermark(self.told),
                }
            }
            Ran::Nothing if watermark > self.told => {
                self.told = watermark;
                Ran::Batch {
                    origin: None,
                    progress: Progress::Watermark(watermark),
                }
            }
            Ran::Nothing => Ran::Nothing,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}
