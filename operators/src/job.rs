//! A job: what a pipeline is built in and run from.

use std::cell::RefCell;
use std::panic::Location;

use millstream_engine::error::Result;
use millstream_engine::graph::source::{EventTime, Source, Timed};
use millstream_engine::runtime::job::{JobGraph, Part};
use millstream_engine::runtime::report::Report;
use millstream_engine::runtime::source_root::SourceRoot;
use millstream_engine::runtime::supervisor::{self, Environment};
use millstream_engine::settings::Settings;

use crate::stream::Stream;

/// A named job. It is built once; the same value can be checked, run, and run again.
pub struct Job {
    pub(crate) graph: RefCell<JobGraph>,
}

impl Job {
    /// An empty job. Its name ties it to its checkpoints.
    pub fn new(name: &str) -> Self {
        Job {
            graph: RefCell::new(JobGraph::new(name)),
        }
    }

    /// Reads from a source whose records have an event time. The id ties its positions to the
    /// checkpoint.
    #[track_caller]
    pub fn source<S, F>(
        &self,
        id: &str,
        source: Timed<S, F>,
    ) -> Stream<'_, S::Record, SourceRoot<S, F>>
    where
        S: Source,
        F: Fn(&S::Record) -> EventTime + Send + Sync + 'static,
    {
        let part = Part {
            id,
            kind: short_name::<S>(),
            made_at: Location::caller(),
        };
        let root = self.graph.borrow_mut().source(part, source);
        Stream::new(self, root)
    }

    /// Reports every mistake in the job at once, with the lines that made them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](millstream_engine::error::ErrorKind::Config) that lists them.
    pub fn check(&self) -> Result<()> {
        self.graph.borrow().check()
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// As [`run_in`](Job::run_in).
    pub fn run(&self, settings: &Settings) -> Result<Report> {
        self.run_in(settings, Environment::default())
    }

    /// Runs the job to its end, or until its environment asks it to stop.
    ///
    /// # Errors
    /// When the job is not set up right, its checkpoint is refused, or anything fails on the way:
    /// then nothing of the running epoch is visible, and the next run goes on from the last
    /// complete checkpoint.
    pub fn run_in(&self, settings: &Settings, environment: Environment<'_>) -> Result<Report> {
        supervisor::run(&self.graph.borrow(), settings, environment)
    }
}

/// A type's name without its path and parameters: what kind of source or sink it is.
pub(crate) fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}
