//! A keyed stream cut into windows: what `window` gives, and what `aggregate` makes of it.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::data::{Data, EVENT_TIME_MAX, Key};
use millstream_engine::runtime::chain::Pipe;
use millstream_engine::runtime::job::{Keying, Outputs, Part};
use millstream_engine::runtime::port_root::Port;
use millstream_engine::runtime::terminal::combine::Apart;

use crate::accumulator::Accumulator;
use crate::job::Job;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use crate::window::combine::{ByGap, BySlice};
use crate::window::count::{self, Counts};
use crate::window::result::{CountWindow, Late, SessionWindow, TimeWindow, WindowInput, Windowed};
use crate::window::session::{self, SessionInput, Sessions};
use crate::window::spec::{Count, Session, TimeCut, millis};
use crate::window::time::{self, TimeWindows};

/// A keyed stream cut into windows.
pub struct WindowedStream<'j, K, T, W, P = Port<T>, F = fn(&T) -> K> {
    keyed: KeyedStream<'j, K, T, P, F>,
    windows: W,
    lateness: Duration,
}

/// What comes out of windows.
pub struct WindowOut<'j, K, T, W, R> {
    /// A result for each key's window, with its bounds and its pane.
    pub results: Stream<'j, Windowed<K, W, R>>,
    /// Records that came too late for every window they belong to. They are counted whether
    /// anybody reads this or not.
    pub late: Stream<'j, Late<K, T>>,
}

impl<'j, K, T, P, F> KeyedStream<'j, K, T, P, F>
where
    K: Key,
    T: Data,
    P: Pipe<Item = T>,
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    /// Cuts the records of each key into windows.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use millstream_operators::{accumulator::count, keyed::KeyedStream, window::Tumbling};
    ///
    /// fn per_hour(visits: KeyedStream<'_, String, u64>) {
    ///     let hours = visits.window(Tumbling::of(Duration::from_secs(3600)));
    ///     let out = hours.aggregate("visits-by-hour", count());
    ///     let _ = out.results.map(|hour| (hour.key, hour.window.start, hour.value));
    /// }
    /// ```
    pub fn window<W: WindowSpec<T>>(self, windows: W) -> WindowedStream<'j, K, T, W, P, F> {
        WindowedStream {
            keyed: self,
            windows,
            lateness: Duration::ZERO,
        }
    }
}

impl<'j, K, T, W, P, F> WindowedStream<'j, K, T, W, P, F>
where
    K: Key,
    T: Data,
    W: WindowSpec<T>,
    P: Pipe<Item = T>,
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    /// Keeps windows for this long behind their end: a record that comes late by no more makes
    /// its window fire again (rule F4).
    #[must_use]
    pub fn allow_late(mut self, lateness: Duration) -> Self {
        self.lateness = lateness;
        self
    }

    /// Computes something over each window. The id ties its state to the checkpoint.
    #[track_caller]
    pub fn aggregate<A: Accumulator<T>>(
        self,
        id: &str,
        accumulator: A,
    ) -> WindowOut<'j, K, T, W::Bounds, A::Output> {
        let job = self.keyed.stream.job;
        let part = Part {
            id,
            kind: W::KIND,
            made_at: Location::caller(),
        };
        let lateness = millis(self.lateness);
        let too_late = (lateness > EVENT_TIME_MAX)
            .then(|| format!("the allowed lateness must be at most {EVENT_TIME_MAX} ms"));
        if let Some(problem) = self.windows.problem().or(too_late) {
            let mut graph = job.graph.borrow_mut();
            graph
                .plan
                .problem(part.made_at, format!("`{id}`: {problem}"));
        }
        self.windows.attach(self.keyed, part, lateness, accumulator)
    }
}

/// A way of cutting a keyed stream into windows.
pub trait WindowSpec<T: Data>: Sized {
    /// What its windows' bounds are.
    type Bounds: Data;
    /// Its name in the plan.
    const KIND: &'static str;

    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<String>;

    /// Adds its operator to the job.
    fn attach<'j, K, P, F, A>(
        self,
        keyed: KeyedStream<'j, K, T, P, F>,
        part: Part<'_>,
        lateness: i64,
        accumulator: A,
    ) -> WindowOut<'j, K, T, Self::Bounds, A::Output>
    where
        K: Key,
        P: Pipe<Item = T>,
        F: Fn(&T) -> K + Send + Sync + 'static,
        A: Accumulator<T>;
}

fn outs<'j, K: Key, T: Data, W: Data, R: Data>(
    job: &'j Job,
    ports: Outputs,
) -> WindowOut<'j, K, T, W, R> {
    WindowOut {
        results: Stream::new(job, Port::new(ports.first)),
        late: Stream::new(job, Port::new(ports.second)),
    }
}

#[inline]
fn input<T, A: Accumulator<T>>(accumulator: &A, record: T, keep: bool) -> WindowInput<A::Input, T> {
    let (input, whole) = if keep {
        (accumulator.input(&record), Some(Box::new(record)))
    } else {
        (accumulator.take(record), None)
    };
    WindowInput {
        input,
        records: 1,
        whole,
    }
}

impl<T: Data, S: TimeCut> WindowSpec<T> for S {
    type Bounds = TimeWindow;
    const KIND: &'static str = S::KIND;

    fn problem(&self) -> Option<String> {
        TimeCut::problem(self)
    }

    fn attach<'j, K, P, F, A>(
        self,
        keyed: KeyedStream<'j, K, T, P, F>,
        part: Part<'_>,
        lateness: i64,
        accumulator: A,
    ) -> WindowOut<'j, K, T, TimeWindow, A::Output>
    where
        K: Key,
        P: Pipe<Item = T>,
        F: Fn(&T) -> K + Send + Sync + 'static,
        A: Accumulator<T>,
    {
        let job = keyed.stream.job;
        let slices = self.slices();
        let accumulator = Arc::new(accumulator);
        let of_record = accumulator.clone();
        let keying = Keying {
            key: keyed.key,
            payload: move |record: T, keep| input(&*of_record, record, keep),
            combine: BySlice {
                slices,
                accumulator: accumulator.clone(),
            },
        };
        let ports = job.graph.borrow_mut().operator::<_, _, _, TimeWindows<K, T, A>, Windowed<K, TimeWindow, A::Output>, Late<K, T>>(
            part,
            keyed.stream.pipe,
            keying,
            &time::TABLES,
            move |setup| TimeWindows::open(setup, slices, lateness, accumulator.clone()),
        );
        outs(job, ports)
    }
}

impl<T: Data> WindowSpec<T> for Session<T> {
    type Bounds = SessionWindow;
    const KIND: &'static str = "session";

    fn problem(&self) -> Option<String> {
        Session::problem(self)
    }

    fn attach<'j, K, P, F, A>(
        self,
        keyed: KeyedStream<'j, K, T, P, F>,
        part: Part<'_>,
        lateness: i64,
        accumulator: A,
    ) -> WindowOut<'j, K, T, SessionWindow, A::Output>
    where
        K: Key,
        P: Pipe<Item = T>,
        F: Fn(&T) -> K + Send + Sync + 'static,
        A: Accumulator<T>,
    {
        let job = keyed.stream.job;
        let accumulator = Arc::new(accumulator);
        let of_record = accumulator.clone();
        let (gap, fixed_gap) = (self.usual_gap_ms(), self.fixed_gap_ms());
        let keying = Keying {
            key: keyed.key,
            payload: move |record: T, keep| {
                let gap = self.gap_ms(&record);
                SessionInput {
                    input: input(&*of_record, record, keep),
                    span: 0,
                    gap,
                }
            },
            combine: ByGap {
                gap: fixed_gap,
                accumulator: accumulator.clone(),
            },
        };
        let ports = job.graph.borrow_mut().operator::<_, _, _, Sessions<K, T, A>, Windowed<K, SessionWindow, A::Output>, Late<K, T>>(
            part,
            keyed.stream.pipe,
            keying,
            &session::TABLES,
            move |setup| Sessions::open(setup, gap, lateness, accumulator.clone()),
        );
        outs(job, ports)
    }
}

impl<T: Data> WindowSpec<T> for Count {
    type Bounds = CountWindow;
    const KIND: &'static str = "count";

    fn problem(&self) -> Option<String> {
        Count::problem(self)
    }

    fn attach<'j, K, P, F, A>(
        self,
        keyed: KeyedStream<'j, K, T, P, F>,
        part: Part<'_>,
        _lateness: i64,
        accumulator: A,
    ) -> WindowOut<'j, K, T, CountWindow, A::Output>
    where
        K: Key,
        P: Pipe<Item = T>,
        F: Fn(&T) -> K + Send + Sync + 'static,
        A: Accumulator<T>,
    {
        let job = keyed.stream.job;
        let accumulator = Arc::new(accumulator);
        let of_record = accumulator.clone();
        let spec = (self.n, self.every, self.partial);
        let keying = Keying {
            key: keyed.key,
            payload: move |record: T, _| of_record.take(record),
            combine: Apart,
        };
        let ports = job
            .graph
            .borrow_mut()
            .operator::<_, _, _, Counts<K, T, A>, Windowed<K, CountWindow, A::Output>, Late<K, T>>(
                part,
                keyed.stream.pipe,
                keying,
                &count::TABLES,
                move |setup| Counts::open(setup, spec, accumulator.clone()),
            );
        outs(job, ports)
    }
}
