#![doc = include_str!("../README.md")]

pub use millstream_connectors::{file, generator, memory, stdout};
pub use millstream_engine::data::Timestamp;
pub use millstream_engine::error::{Error, ErrorKind, Result};
pub use millstream_engine::graph::source::{Lag, Source, WhenAllIdle};
pub use millstream_engine::runtime::control::Counted;
pub use millstream_engine::runtime::report::{Outcome, Report};
pub use millstream_engine::runtime::supervisor::{Environment, Stopper};
pub use millstream_engine::settings::Settings;
pub use millstream_engine::time::clock::{Clock, ManualClock};
pub use millstream_operators::job::Job;
pub use millstream_operators::{accumulator, keyed, stream, window};

/// For authors of connectors and operators: the engine's own interfaces.
pub mod engine {
    pub use millstream_connectors::conformance;
    pub use millstream_engine::*;
}

pub mod cli;
mod signals;

/// Everything a pipeline needs.
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::accumulator::{
        Accumulator, count, count_if, custom, distinct, last_by, max, max_by, mean, min, min_by,
        over, quantile, sum, top_n,
    };
    pub use crate::cli::JobArgs;
    pub use crate::keyed::KeyedStream;
    pub use crate::stream::Stream;
    pub use crate::window::{Change, Count, Global, Session, Sliding, Timing, Tumbling, Windowed};
    pub use crate::{
        Error, Job, Lag, Report, Result, Settings, Source, Timestamp, file, generator, memory,
        stdout,
    };
}
