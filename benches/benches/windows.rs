//! Windows and running aggregates in a job of one worker: a generator in front, nothing behind.
//! `none` is the same job without a window: what the others cost more is the window's.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 1_000_000;
const KEYS: u64 = 1000;

type Reading = (i64, u64, i64);

/// A hundred records in a second of event time, in order, the keys mixed.
fn reading(n: u64) -> Reading {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    ((n * 10) as i64, mixed % KEYS, (n % 97) as i64)
}

fn build(attach: impl Fn(Readings<'_>)) -> Job {
    let job = Job::new("windows");
    let readings = job
        .source(
            "readings",
            generator::generate(RECORDS, 1, reading).event_time(|r: &Reading| r.0, Lag::NONE),
        )
        .shared();
    attach(readings);
    job
}

type Readings<'j> = Stream<'j, Reading>;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

macro_rules! windowed {
    ($windows:expr) => {
        build(|readings| {
            readings
                .key_by(|r| r.1)
                .window($windows)
                .aggregate("window", sum(|r: &Reading| r.2))
                .results
                .filter(|_| false)
                .to("out", memory::sink());
        })
    };
}

fn windows(c: &mut Criterion) {
    let jobs = [
        (
            "none",
            build(|readings| readings.filter(|_| false).to("out", memory::sink())),
        ),
        ("tumbling", windowed!(Tumbling::of(secs(60)))),
        ("sliding of 6", windowed!(Sliding::of(secs(60), secs(10)))),
        ("session", windowed!(Session::gap(secs(30)))),
        // No two records of a key stand so near.
        ("session of one", windowed!(Session::gap(secs(1)))),
        ("count", windowed!(Count::of(10))),
        (
            "running",
            build(|readings| {
                readings
                    .key_by(|r| r.1)
                    .aggregate("running", sum(|r: &Reading| r.2))
                    .filter(|_| false)
                    .to("out", memory::sink());
            }),
        ),
    ];
    let settings = Settings {
        workers: 1,
        memory_bytes: 256 << 20,
        ..Settings::default()
    };
    let mut group = c.benchmark_group("windows");
    group
        .throughput(Throughput::Elements(RECORDS))
        .sample_size(10);
    for (name, job) in &jobs {
        group.bench_function(*name, |b| {
            b.iter(|| {
                let done = job.run(&settings);
                assert!(done.is_ok(), "{:?}", done.err());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, windows);
criterion_main!(benches);
