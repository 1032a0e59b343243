//! A stream of records, and the stateless steps on it.

use std::marker::PhantomData;
use std::panic::Location;

use millstream_engine::data::{Data, Key};
use millstream_engine::graph::sink::Sink;
use millstream_engine::graph::source::Source;
use millstream_engine::runtime::chain::{Filter, FilterMap, FlatMap, Inspect, Map, Pipe};
use millstream_engine::runtime::job::Part;
use millstream_engine::runtime::port_root::Port;
use millstream_engine::runtime::processing_time::ProcessingTime;
use millstream_engine::runtime::source_root::{QUARANTINE_PORT, SourceRoot};

use crate::job::{Job, short_name};
use crate::keyed::KeyedStream;

/// A stream of `T`.
///
/// Steps on a stream run fused where its records are made, so a stream is consumed by the next
/// step. What is to be read several times, or passed around as plain `Stream<T>`, is first
/// [`shared`](Stream::shared): such a stream is `Copy`. `P` is the run of steps so far; it is
/// never written in a signature.
pub struct Stream<'j, T, P = Port<T>> {
    pub(crate) job: &'j Job,
    pub(crate) pipe: P,
    item: PhantomData<fn() -> T>,
}

impl<T, P: Copy> Clone for Stream<'_, T, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P: Copy> Copy for Stream<'_, T, P> {}

impl<'j, T: Data, P: Pipe<Item = T>> Stream<'j, T, P> {
    pub(crate) fn new(job: &'j Job, pipe: P) -> Self {
        Stream {
            job,
            pipe,
            item: PhantomData,
        }
    }

    fn then<U: Data, Q: Pipe<Item = U>>(self, step: impl FnOnce(P) -> Q) -> Stream<'j, U, Q> {
        Stream::new(self.job, step(self.pipe))
    }

    /// Turns each record into another.
    pub fn map<U: Data, F>(self, step: F) -> Stream<'j, U, Map<P, F, U>>
    where
        F: Fn(T) -> U + Send + Sync + 'static,
    {
        self.then(|pipe| Map::new(pipe, step))
    }

    /// Keeps the records that pass the test.
    pub fn filter<F>(self, test: F) -> Stream<'j, T, Filter<P, F>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.then(|pipe| Filter::new(pipe, test))
    }

    /// Turns each record into another, or drops it.
    pub fn filter_map<U: Data, F>(self, step: F) -> Stream<'j, U, FilterMap<P, F, U>>
    where
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        self.then(|pipe| FilterMap::new(pipe, step))
    }

    /// Turns each record into any number of others, which have its event time.
    pub fn flat_map<I, F>(self, step: F) -> Stream<'j, I::Item, FlatMap<P, F, I::Item, I>>
    where
        I: IntoIterator + 'static,
        I::Item: Data,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        self.then(|pipe| FlatMap::new(pipe, step))
    }

    /// Shows each record to a function. It may see a record again after a restart.
    pub fn inspect<F>(self, look: F) -> Stream<'j, T, Inspect<P, F>>
    where
        F: Fn(&T) + Send + Sync + 'static,
    {
        self.then(|pipe| Inspect::new(pipe, look))
    }

    /// From here on the time of a record is the moment at which it is handled: windows are of
    /// processing time, and fire by the clock, also while nothing comes in. Never late, but what
    /// falls into which window depends on the run; results are still given exactly once.
    ///
    /// ```
    /// use millstream_operators::{accumulator::count, stream::Stream, window::Tumbling};
    /// use std::time::Duration;
    ///
    /// fn clicks_by_the_clock(clicks: Stream<'_, u64>) {
    ///     let minutes = Tumbling::of(Duration::from_secs(60));
    ///     let by_user = clicks.processing_time().key_by(|user| *user).window(minutes);
    ///     let _ = by_user.aggregate("clicks-by-minute", count()).results;
    /// }
    /// ```
    pub fn processing_time(self) -> Stream<'j, T, ProcessingTime<P>> {
        self.then(ProcessingTime::new)
    }

    /// Ends the fused run of steps here, so that any number of others can read the stream. The
    /// records are gathered into batches; each reader but the last one gets clones.
    pub fn shared(self) -> Stream<'j, T> {
        let port = {
            let mut graph = self.job.graph.borrow_mut();
            let port = graph.port("shared");
            graph.feed(self.pipe, port, "shared");
            port
        };
        Stream::new(self.job, Port::new(port))
    }

    /// Joins two streams of one type into one. The watermark is the lower of theirs.
    pub fn merge<Q: Pipe<Item = T>>(self, other: Stream<'j, T, Q>) -> Stream<'j, T> {
        let port = {
            let mut graph = self.job.graph.borrow_mut();
            let port = graph.port("merged");
            graph.feed(self.pipe, port, "merged");
            graph.feed(other.pipe, port, "merged");
            port
        };
        Stream::new(self.job, Port::new(port))
    }

    /// Deals the records out to two streams: those that pass the test, and the others.
    pub fn branch<F>(self, test: F) -> Branch<'j, T>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        let (yes, no) = self.job.graph.borrow_mut().branch(self.pipe, test);
        Branch {
            yes: Stream::new(self.job, Port::new(yes)),
            no: Stream::new(self.job, Port::new(no)),
        }
    }

    /// Groups the records by a key. Those of one key stay in the order of their split.
    pub fn key_by<K: Key, F>(self, key: F) -> KeyedStream<'j, K, T, P, F>
    where
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        KeyedStream::new(self, key)
    }

    /// Writes the records to a sink. The id ties what it has committed to the checkpoint.
    #[track_caller]
    pub fn to<S: Sink<T>>(self, id: &str, sink: S) {
        let part = Part {
            id,
            kind: short_name::<S>(),
            made_at: Location::caller(),
        };
        self.job.graph.borrow_mut().sink(part, self.pipe, sink);
    }
}

impl<'j, S: Source, F> Stream<'j, S::Record, SourceRoot<S, F>> {
    /// The records whose event time lies too far beyond the clock (rule T7): they do not come
    /// out of the stream itself and do not move its watermark.
    pub fn quarantine(&self) -> Stream<'j, S::Record> {
        Stream {
            job: self.job,
            pipe: Port::new((self.pipe.node(), QUARANTINE_PORT)),
            item: PhantomData,
        }
    }
}

/// The two sides of a [`branch`](Stream::branch).
pub struct Branch<'j, T> {
    /// Records that pass the test.
    pub yes: Stream<'j, T>,
    /// The others.
    pub no: Stream<'j, T>,
}
