//! Five stateless steps in a job of one worker against the same steps on an iterator.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 2_000_000;

fn make(n: u64) -> [u64; 4] {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [n, mixed, mixed >> 7, mixed >> 13]
}

fn scale(r: [u64; 4]) -> [u64; 4] {
    [r[0], r[1] >> 3, r[2] ^ r[3], r[3]]
}

fn most(r: &[u64; 4]) -> bool {
    !r[1].is_multiple_of(8)
}

fn pair(r: [u64; 4]) -> Option<(u64, u64)> {
    (!r[2].is_multiple_of(5)).then_some((r[0], r[1] ^ r[2]))
}

fn odd(r: &(u64, u64)) -> bool {
    r.1 % 2 == 1
}

fn steps(c: &mut Criterion) {
    let job = Job::new("steps");
    job.source(
        "numbers",
        generator::generate(RECORDS, 1, make).event_time(|r: &[u64; 4]| r[0] as i64, Lag::NONE),
    )
    .map(scale)
    .filter(most)
    .filter_map(pair)
    .filter(odd)
    .inspect(|r| {
        black_box(r);
    })
    .filter(|_| false)
    .to("out", memory::sink());
    let settings = Settings {
        workers: 1,
        memory_bytes: 64 << 20,
        ..Settings::default()
    };
    let mut group = c.benchmark_group("chain");
    group
        .throughput(Throughput::Elements(RECORDS))
        .sample_size(20);
    group.bench_function("job", |b| {
        b.iter(|| {
            let done = job.run(&settings);
            assert!(done.is_ok(), "{:?}", done.err());
        });
    });
    group.bench_function("iterator", |b| {
        b.iter(|| {
            let made = (0..RECORDS).map(make).map(scale).filter(most);
            for record in made.filter_map(pair).filter(odd) {
                black_box(record);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
