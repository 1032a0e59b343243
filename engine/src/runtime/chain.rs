//! Runs of stateless steps, fused where the record is made.
//!
//! A [`Pipe`] is what stands behind a stream: a root (a source, or a port that an operator or a
//! shared stream feeds) and the steps since. On each worker it becomes a [`Runner`], whose steps
//! compile into one loop with whatever takes the records at its end: nothing is materialised in
//! between, and no step costs a call.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::{Data, Origin, Progress, Timestamp};
use crate::error::Result;
use crate::graph::operator::Barrier;
use crate::graph::plan::{NodeId, PortId};
use crate::runtime::build::NodeBuilder;

/// Where a record stands: its time, and how far its split's watermark had come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Event time.
    pub time: Timestamp,
    /// The record's number within the batch's origin.
    pub at: u32,
    /// The watermark in front of it; `i64::MIN`: none yet.
    pub watermark: Timestamp,
}

/// Where a pipe begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A source, read by this pipe alone.
    Source(NodeId),
    /// A port, which others may read too.
    Port(PortId),
}

/// A root and the stateless steps behind it: a description, opened on each worker.
pub trait Pipe: Clone + Send + Sync + 'static {
    /// What comes out at the end.
    type Item: Data;
    /// The pipe on one worker.
    type Runner: Runner<Item = Self::Item>;

    /// Where it begins.
    fn root(&self) -> Root;

    /// Opens it on a worker.
    ///
    /// # Errors
    /// When the source cannot be opened.
    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner>;
}

/// Takes records one by one: the next step of a run, or its end. A trait of its own rather than
/// a closure, because the steps must become one loop wherever it is called from, and closures
/// cannot be told so.
pub trait Take<T> {
    /// Takes a record.
    fn take(&mut self, item: T, at: At);
}

/// A pipe on one worker.
pub trait Runner: 'static {
    /// What comes out.
    type Item;

    /// Runs some records through all steps into `take`.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran>;

    /// The root.
    fn root(&mut self) -> &mut dyn RootControl;
}

/// What a run of a [`Runner`] has come to.
#[derive(Clone, Copy, Debug)]
pub enum Ran {
    /// Records were run, or at least there is progress to pass on.
    Batch {
        /// Where they were read.
        origin: Option<Origin>,
        /// The progress behind the last one.
        progress: Progress,
    },
    /// An epoch ends here.
    Barrier(Barrier),
    /// Nothing at hand.
    Nothing,
}

/// What the runtime asks of a root.
pub trait RootControl {
    /// The worker had no room for more: time that passes now is not the input's silence (rule T5).
    fn paused(&mut self) {}

    /// What the last barrier found, to be stored with the checkpoint.
    fn snapshot(&mut self) -> Option<SourceSnapshot> {
        None
    }

    /// The record that is being handled: its origin and its number in that.
    fn current(&self) -> Option<(Origin, u32)> {
        None
    }

    /// Whether the input has ended: there will be no more records, only barriers.
    fn is_exhausted(&self) -> bool {
        false
    }
}

/// The positions of a source's splits on one worker at a barrier.
#[derive(Clone, Debug, Default)]
pub struct SourceSnapshot {
    /// The source's node.
    pub node: NodeId,
    /// By split name.
    pub splits: Vec<(String, crate::checkpoint::manifest::SplitEntry)>,
    /// What was counted since the start of the process.
    pub counters: Vec<(&'static str, u64)>,
}

/// Turns each record into another.
pub struct Map<P, F, U> {
    pipe: P,
    step: Arc<F>,
    made: PhantomData<fn() -> (U,)>,
}

impl<P, F, U> Map<P, F, U> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P, step: F) -> Self {
        Self {
            pipe,
            step: Arc::new(step),
            made: PhantomData,
        }
    }
}

impl<P: Clone, F, U> Clone for Map<P, F, U> {
    fn clone(&self) -> Self {
        Self {
            pipe: self.pipe.clone(),
            step: self.step.clone(),
            made: PhantomData,
        }
    }
}

/// [`Map`] on one worker.
pub struct MapRunner<R, F, U> {
    runner: R,
    step: Arc<F>,
    made: PhantomData<fn() -> (U,)>,
}

impl<P: Pipe, F, U: Data> Pipe for Map<P, F, U>
where
    F: Fn(P::Item) -> U + Send + Sync + 'static,
{
    type Item = U;
    type Runner = MapRunner<P::Runner, F, U>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(MapRunner {
            runner: self.pipe.open(builder)?,
            step: self.step.clone(),
            made: PhantomData,
        })
    }
}

impl<R: Runner, F, U: Data> Runner for MapRunner<R, F, U>
where
    F: Fn(R::Item) -> U + 'static,
{
    type Item = U;

    #[inline]
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran> {
        self.runner.run(&mut MapTake {
            step: &*self.step,
            next: take,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}

struct MapTake<'a, F, N> {
    step: &'a F,
    next: &'a mut N,
}

impl<T, U, F, N> Take<T> for MapTake<'_, F, N>
where
    F: Fn(T) -> U,
    N: Take<U>,
{
    #[inline(always)]
    fn take(&mut self, item: T, at: At) {
        self.next.take((self.step)(item), at);
    }
}

/// Keeps the records that pass.
pub struct Filter<P, F> {
    pipe: P,
    step: Arc<F>,
}

impl<P, F> Filter<P, F> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P, step: F) -> Self {
        Self {
            pipe,
            step: Arc::new(step),
        }
    }
}

impl<P: Clone, F> Clone for Filter<P, F> {
    fn clone(&self) -> Self {
        Self {
            pipe: self.pipe.clone(),
            step: self.step.clone(),
        }
    }
}

/// [`Filter`] on one worker.
pub struct FilterRunner<R, F> {
    runner: R,
    step: Arc<F>,
}

impl<P: Pipe, F> Pipe for Filter<P, F>
where
    F: Fn(&P::Item) -> bool + Send + Sync + 'static,
{
    type Item = P::Item;
    type Runner = FilterRunner<P::Runner, F>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(FilterRunner {
            runner: self.pipe.open(builder)?,
            step: self.step.clone(),
        })
    }
}

impl<R: Runner, F> Runner for FilterRunner<R, F>
where
    F: Fn(&R::Item) -> bool + 'static,
{
    type Item = R::Item;

    #[inline]
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran> {
        self.runner.run(&mut FilterTake {
            step: &*self.step,
            next: take,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}

struct FilterTake<'a, F, N> {
    step: &'a F,
    next: &'a mut N,
}

impl<T, F, N> Take<T> for FilterTake<'_, F, N>
where
    F: Fn(&T) -> bool,
    N: Take<T>,
{
    #[inline(always)]
    fn take(&mut self, item: T, at: At) {
        if (self.step)(&item) {
            self.next.take(item, at);
        }
    }
}

/// Turns each record into another, or drops it.
pub struct FilterMap<P, F, U> {
    pipe: P,
    step: Arc<F>,
    made: PhantomData<fn() -> (U,)>,
}

impl<P, F, U> FilterMap<P, F, U> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P, step: F) -> Self {
        Self {
            pipe,
            step: Arc::new(step),
            made: PhantomData,
        }
    }
}

impl<P: Clone, F, U> Clone for FilterMap<P, F, U> {
    fn clone(&self) -> Self {
        Self {
            pipe: self.pipe.clone(),
            step: self.step.clone(),
            made: PhantomData,
        }
    }
}

/// [`FilterMap`] on one worker.
pub struct FilterMapRunner<R, F, U> {
    runner: R,
    step: Arc<F>,
    made: PhantomData<fn() -> (U,)>,
}

impl<P: Pipe, F, U: Data> Pipe for FilterMap<P, F, U>
where
    F: Fn(P::Item) -> Option<U> + Send + Sync + 'static,
{
    type Item = U;
    type Runner = FilterMapRunner<P::Runner, F, U>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(FilterMapRunner {
            runner: self.pipe.open(builder)?,
            step: self.step.clone(),
            made: PhantomData,
        })
    }
}

impl<R: Runner, F, U: Data> Runner for FilterMapRunner<R, F, U>
where
    F: Fn(R::Item) -> Option<U> + 'static,
{
    type Item = U;

    #[inline]
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran> {
        self.runner.run(&mut FilterMapTake {
            step: &*self.step,
            next: take,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}

struct FilterMapTake<'a, F, N> {
    step: &'a F,
    next: &'a mut N,
}

impl<T, U, F, N> Take<T> for FilterMapTake<'_, F, N>
where
    F: Fn(T) -> Option<U>,
    N: Take<U>,
{
    #[inline(always)]
    fn take(&mut self, item: T, at: At) {
        if let Some(item) = (self.step)(item) {
            self.next.take(item, at);
        }
    }
}

/// Turns each record into any number of others.
pub struct FlatMap<P, F, U, I> {
    pipe: P,
    step: Arc<F>,
    made: PhantomData<fn() -> (U, I)>,
}

impl<P, F, U, I> FlatMap<P, F, U, I> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P, step: F) -> Self {
        Self {
            pipe,
            step: Arc::new(step),
            made: PhantomData,
        }
    }
}

impl<P: Clone, F, U, I> Clone for FlatMap<P, F, U, I> {
    fn clone(&self) -> Self {
        Self {
            pipe: self.pipe.clone(),
            step: self.step.clone(),
            made: PhantomData,
        }
    }
}

/// [`FlatMap`] on one worker.
pub struct FlatMapRunner<R, F, U, I> {
    runner: R,
    step: Arc<F>,
    made: PhantomData<fn() -> (U, I)>,
}

impl<P: Pipe, F, U: Data, I: IntoIterator<Item = U> + 'static> Pipe for FlatMap<P, F, U, I>
where
    F: Fn(P::Item) -> I + Send + Sync + 'static,
{
    type Item = U;
    type Runner = FlatMapRunner<P::Runner, F, U, I>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(FlatMapRunner {
            runner: self.pipe.open(builder)?,
            step: self.step.clone(),
            made: PhantomData,
        })
    }
}

impl<R: Runner, F, U: Data, I: IntoIterator<Item = U> + 'static> Runner
    for FlatMapRunner<R, F, U, I>
where
    F: Fn(R::Item) -> I + 'static,
{
    type Item = U;

    #[inline]
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran> {
        self.runner.run(&mut FlatMapTake {
            step: &*self.step,
            next: take,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}

struct FlatMapTake<'a, F, N> {
    step: &'a F,
    next: &'a mut N,
}

impl<T, I: IntoIterator, F, N> Take<T> for FlatMapTake<'_, F, N>
where
    F: Fn(T) -> I,
    N: Take<I::Item>,
{
    #[inline(always)]
    fn take(&mut self, item: T, at: At) {
        for item in (self.step)(item) {
            self.next.take(item, at);
        }
    }
}

/// Shows each record to a function.
pub struct Inspect<P, F> {
    pipe: P,
    step: Arc<F>,
}

impl<P, F> Inspect<P, F> {
    /// Appends the step to `pipe`.
    pub fn new(pipe: P, step: F) -> Self {
        Self {
            pipe,
            step: Arc::new(step),
        }
    }
}

impl<P: Clone, F> Clone for Inspect<P, F> {
    fn clone(&self) -> Self {
        Self {
            pipe: self.pipe.clone(),
            step: self.step.clone(),
        }
    }
}

/// [`Inspect`] on one worker.
pub struct InspectRunner<R, F> {
    runner: R,
    step: Arc<F>,
}

impl<P: Pipe, F> Pipe for Inspect<P, F>
where
    F: Fn(&P::Item) + Send + Sync + 'static,
{
    type Item = P::Item;
    type Runner = InspectRunner<P::Runner, F>;

    fn root(&self) -> Root {
        self.pipe.root()
    }

    fn open(&self, builder: &mut NodeBuilder<'_>) -> Result<Self::Runner> {
        Ok(InspectRunner {
            runner: self.pipe.open(builder)?,
            step: self.step.clone(),
        })
    }
}

impl<R: Runner, F> Runner for InspectRunner<R, F>
where
    F: Fn(&R::Item) + 'static,
{
    type Item = R::Item;

    #[inline]
    fn run(&mut self, take: &mut impl Take<Self::Item>) -> Result<Ran> {
        self.runner.run(&mut InspectTake {
            step: &*self.step,
            next: take,
        })
    }

    fn root(&mut self) -> &mut dyn RootControl {
        self.runner.root()
    }
}

struct InspectTake<'a, F, N> {
    step: &'a F,
    next: &'a mut N,
}

impl<T, F, N> Take<T> for InspectTake<'_, F, N>
where
    F: Fn(&T),
    N: Take<T>,
{
    #[inline(always)]
    fn take(&mut self, item: T, at: At) {
        (self.step)(&item);
        self.next.take(item, at);
    }
}
