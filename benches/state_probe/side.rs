//! One run of the job: its state is built, then records are counted for some seconds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use millstream::accumulator::Accumulator;
use millstream::prelude::*;
use millstream::{Clock, Counted, Environment, Stopper};
use millstream_benches::cpu_seconds;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::keys::{Keys, mixed};

/// How many records lie between two looks at the clock.
const LOOK_RECORDS: u64 = 1024;

/// What a run is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) keys: Keys,
    /// Rows of 104 bytes; else of 16: a number and a count.
    pub(crate) wide: bool,
    pub(crate) workers: usize,
    pub(crate) memory_bytes: usize,
    /// Where checkpoints go; `None`: there are none.
    pub(crate) checkpoints: Option<PathBuf>,
    pub(crate) interval: Duration,
    /// Before the measurement begins, with the state built.
    pub(crate) warm: Duration,
    pub(crate) measure: Duration,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) build_secs: f64,
    pub(crate) events: u64,
    pub(crate) secs: f64,
    pub(crate) cpu_secs: f64,
    pub(crate) events_per_sec: f64,
    pub(crate) cpu_ns_per_event: f64,
    pub(crate) checkpoints: u64,
    pub(crate) peak_rss_mib: f64,
    /// The longest time between two looks at the clock, on it and on the CPU of the worker.
    pub(crate) stall_max_ms: f64,
    pub(crate) stall_p999_ms: f64,
    pub(crate) stall_p50_ms: f64,
    pub(crate) stall_cpu_max_ms: f64,
    pub(crate) stall_cpu_p999_ms: f64,
}

/// Twelve numbers of an account, as wide rows hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    count: u64,
    figures: [u64; 11],
}

/// Keeps an [`Account`] for each key; its count comes out.
pub(crate) struct Accounts;

impl Accumulator<u64> for Accounts {
    type Input = u64;
    type State = Account;
    type Output = u64;

    fn input(&self, record: &u64) -> u64 {
        *record
    }

    fn init(&self) -> Account {
        Account {
            count: 0,
            figures: [0x0123_4567_89ab_cdef; 11],
        }
    }

    fn add(&self, state: &mut Account, record: u64) {
        state.count += 1;
        let at = (record % 11) as usize;
        state.figures[at] = mixed(record);
    }

    fn merge(&self, state: &mut Account, other: &Account) {
        state.count += other.count;
    }

    fn finish(&self, state: &Account) -> u64 {
        state.count
    }
}

/// Longer stalls count as this long: ten minutes.
const STALL_NANOS_MAX: u64 = 600_000_000_000;

const BUILDING: u8 = 0;
const WARMING: u8 = 1;
const MEASURING: u8 = 2;
const OVER: u8 = 3;

/// Times between two looks at the clock, in nanoseconds: of the wall, of the thread's CPU.
struct Gaps {
    phase: AtomicU8,
    of: Mutex<(Histogram<u64>, Histogram<u64>)>,
}

impl Gaps {
    fn new() -> Result<Self, Failure> {
        Ok(Gaps {
            phase: AtomicU8::new(BUILDING),
            of: Mutex::new((
                Histogram::new_with_max(STALL_NANOS_MAX, 3)?,
                Histogram::new_with_max(STALL_NANOS_MAX, 3)?,
            )),
        })
    }

    /// Runs on the worker, where the records are made.
    #[cold]
    fn look(&self) {
        thread_local! {
            static LAST: std::cell::Cell<Option<(u64, u64)>> = const { std::cell::Cell::new(None) };
        }
        let now = (nanos(ClockId::Monotonic), nanos(ClockId::ThreadCPUTime));
        let last = LAST.replace(Some(now));
        if let Some(last) = last
            && self.phase.load(Ordering::Relaxed) == MEASURING
        {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            of.0.saturating_record(now.0 - last.0);
            of.1.saturating_record(now.1 - last.1);
        }
    }
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The job of a plan: records are made, counted by key, and end there. `first` is called with
/// every record's number where it is made, `out` with every result.
pub(crate) fn job(
    plan: &Plan,
    made: impl Fn(u64) + Send + Sync + Clone + 'static,
    out: impl Fn(u64) + Send + Sync + 'static,
) -> Job {
    let job = Job::new("state-probe");
    let (keys, splits) = (plan.keys, plan.workers as u32);
    let source = generator::endless(splits, move |n| {
        if (n / u64::from(splits)).is_multiple_of(LOOK_RECORDS) {
            made(n);
        }
        n
    });
    let keyed = job
        .source(
            "records",
            source
                .event_time(|n: &u64| (*n / 1000) as i64, Lag::NONE)
                .max_future_skew(None),
        )
        .key_by(move |n| keys.key(*n));
    let counts = if plan.wide {
        keyed.aggregate("accounts", Accounts)
    } else {
        keyed.aggregate("counts", count())
    };
    counts
        .filter(move |(_, count)| {
            out(*count);
            false
        })
        .to("nowhere", memory::sink());
    job
}

impl Plan {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            workers: self.workers,
            checkpoint_dir: self.checkpoints.clone(),
            checkpoint_interval: self.interval,
            memory_bytes: self.memory_bytes,
            ..Settings::default()
        }
    }
}

/// A look at the clocks and counts while a job runs.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    us: u64,
    cpu: f64,
    counted: Counted,
}

/// Decides when which phase of a run begins.
struct Phases {
    plan: Plan,
    clock: Clock,
    began: Moment,
    built: Moment,
    warm: Moment,
    end: Moment,
}

impl Phases {
    fn observe(&mut self, counted: &Counted, phase: &AtomicU8) -> bool {
        let now = Moment {
            us: self.clock.monotonic_us(),
            cpu: cpu_seconds(),
            counted: *counted,
        };
        let lasted = |since: Moment| Duration::from_micros(now.us - since.us);
        let next = match phase.load(Ordering::Relaxed) {
            BUILDING if counted.read >= self.plan.keys.all => {
                self.built = now;
                WARMING
            }
            WARMING => {
                let checkpoints = counted.checkpoints - self.built.counted.checkpoints;
                let settled = self.plan.checkpoints.is_none() || checkpoints >= 2;
                if !settled || lasted(self.built) < self.plan.warm {
                    return false;
                }
                self.warm = now;
                MEASURING
            }
            MEASURING if lasted(self.warm) >= self.plan.measure => {
                self.end = now;
                OVER
            }
            _ => return false,
        };
        phase.store(next, Ordering::Relaxed);
        next == OVER
    }
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan) -> Result<Figures, Failure> {
    let gaps = Arc::new(Gaps::new()?);
    let looks = gaps.clone();
    let job = job(plan, move |_| looks.look(), |_| {});
    let clock = Clock::system();
    let mut phases = Phases {
        plan: plan.clone(),
        began: Moment {
            us: clock.monotonic_us(),
            ..Moment::default()
        },
        clock,
        built: Moment::default(),
        warm: Moment::default(),
        end: Moment::default(),
    };
    let stopper = Stopper::default();
    let environment = Environment {
        clock: Clock::system(),
        stopper: stopper.clone(),
        observe: Box::new(|counted: &Counted| {
            if phases.observe(counted, &gaps.phase) {
                stopper.stop();
            }
        }),
    };
    job.run_in(&plan.settings(), environment)?;
    let of = gaps.of.lock().unwrap_or_else(PoisonError::into_inner);
    let (from, to) = (phases.warm, phases.end);
    let events = to.counted.read - from.counted.read;
    let secs = (to.us - from.us) as f64 / 1e6;
    let cpu_secs = to.cpu - from.cpu;
    if events == 0 {
        return Err("no record was read in the time that was measured: measure longer".into());
    }
    let ms = |nanos: u64| nanos as f64 / 1e6;
    Ok(Figures {
        build_secs: (phases.built.us - phases.began.us) as f64 / 1e6,
        events,
        secs,
        cpu_secs,
        events_per_sec: events as f64 / secs,
        cpu_ns_per_event: cpu_secs * 1e9 / events as f64,
        checkpoints: to.counted.checkpoints - from.counted.checkpoints,
        peak_rss_mib: peak_rss_mib(),
        stall_max_ms: ms(of.0.max()),
        stall_p999_ms: ms(of.0.value_at_quantile(0.999)),
        stall_p50_ms: ms(of.0.value_at_quantile(0.5)),
        stall_cpu_max_ms: ms(of.1.max()),
        stall_cpu_p999_ms: ms(of.1.value_at_quantile(0.999)),
    })
}

/// The most memory that this process has had resident so far.
fn peak_rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
