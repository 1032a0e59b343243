//! The only reader of the wall clock. Everything that needs the time is handed a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::data::Timestamp;

/// Tells the time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { started: Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the clock"
    )]
    pub fn system() -> Self {
        Clock(Kind::System {
            started: Instant::now(),
        })
    }

    /// A clock that stands still until it is told to move.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let now = Arc::new(AtomicI64::new(start));
        (Clock(Kind::Manual(now.clone())), ManualClock(now))
    }

    /// Wall-clock time in milliseconds since the epoch. It may jump.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the clock"
    )]
    pub fn now_ms(&self) -> Timestamp {
        match &self.0 {
            Kind::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Kind::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Microseconds since this clock was made; never goes back.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the clock"
    )]
    pub fn monotonic_us(&self) -> u64 {
        match &self.0 {
            Kind::System { started } => {
                u64::try_from(Instant::now().duration_since(*started).as_micros())
                    .unwrap_or(u64::MAX)
            }
            Kind::Manual(now) => u64::try_from(now.load(Ordering::SeqCst))
                .unwrap_or(0)
                .saturating_mul(1000),
        }
    }
}

/// Moves a manual [`Clock`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Moves the clock forward by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}
