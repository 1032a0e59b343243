//! A keyed stream: what windows and running aggregates are built on.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use millstream_engine::data::{Data, Key, Wire};
use millstream_engine::runtime::chain::Pipe;
use millstream_engine::runtime::job::{Keying, Part};
use millstream_engine::runtime::port_root::Port;
use millstream_engine::runtime::terminal::combine::Apart;

use crate::accumulator::Accumulator;
use crate::running::{self, Running, Steps};
use crate::stream::Stream;

/// A stream whose records are grouped by a key of type `K`. Nothing has moved yet: the exchange
/// happens in front of the stateful step that follows.
pub struct KeyedStream<'j, K, T, P = Port<T>, F = fn(&T) -> K> {
    pub(crate) stream: Stream<'j, T, P>,
    pub(crate) key: F,
    made: PhantomData<fn() -> K>,
}

impl<'j, K, T, P, F> KeyedStream<'j, K, T, P, F> {
    pub(crate) fn new(stream: Stream<'j, T, P>, key: F) -> Self {
        KeyedStream {
            stream,
            key,
            made: PhantomData,
        }
    }
}

impl<'j, K, T, P, F> KeyedStream<'j, K, T, P, F>
where
    K: Key,
    T: Data,
    P: Pipe<Item = T>,
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    /// Keeps a value for each key and adds every record to it. Behind each record comes the key
    /// with its new value. The id ties the values to the checkpoint.
    #[track_caller]
    pub fn fold<S: Wire + Sync>(
        self,
        id: &str,
        init: S,
        add: impl Fn(&mut S, T) + Send + Sync + 'static,
    ) -> Stream<'j, (K, S)> {
        let part = Part {
            id,
            kind: "fold",
            made_at: Location::caller(),
        };
        let steps = Steps {
            init,
            add,
            finish: S::clone,
        };
        self.running(part, steps, |record, _| record)
    }

    /// Computes something over all records of each key so far. Behind each record comes the key
    /// with its new result. The id ties the state to the checkpoint.
    #[track_caller]
    pub fn aggregate<A: Accumulator<T>>(
        self,
        id: &str,
        accumulator: A,
    ) -> Stream<'j, (K, A::Output)>
    where
        A::State: Sync,
    {
        let part = Part {
            id,
            kind: "aggregate",
            made_at: Location::caller(),
        };
        let accumulator = Arc::new(accumulator);
        let (of_record, adding, finishing) = (
            accumulator.clone(),
            accumulator.clone(),
            accumulator.clone(),
        );
        let steps = Steps {
            init: accumulator.init(),
            add: move |state: &mut A::State, input| adding.add(state, input),
            finish: move |state: &A::State| finishing.finish(state),
        };
        self.running(part, steps, move |record, _| of_record.take(record))
    }

    fn running<M, S, R, G, H>(
        self,
        part: Part<'_>,
        steps: Steps<S, G, H>,
        payload: impl Fn(T, bool) -> M + Send + Sync + 'static,
    ) -> Stream<'j, (K, R)>
    where
        M: Data,
        S: Wire + Sync,
        R: Data,
        G: Fn(&mut S, M) + Send + Sync + 'static,
        H: Fn(&S) -> R + Send + Sync + 'static,
    {
        let job = self.stream.job;
        let steps = Arc::new(steps);
        let keying = Keying {
            key: self.key,
            payload,
            combine: Apart,
        };
        let ports = job
            .graph
            .borrow_mut()
            .operator::<_, _, _, Running<K, M, S, R, G, H>, (K, R), ()>(
                part,
                self.stream.pipe,
                keying,
                &running::TABLES,
                move |setup| Running::open(setup, steps.clone()),
            );
        Stream::new(job, Port::new(ports.first))
    }
}
