//! Five stateless steps, as a job of one worker and as one loop over the same records.

use std::hint::black_box;

use millstream::prelude::*;

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

/// The steps as a job over this many records.
pub fn job(records: u64) -> Job {
    let job = Job::new("steps");
    job.source(
        "numbers",
        generator::generate(records, 1, make).event_time(|r: &[u64; 4]| r[0] as i64, Lag::NONE),
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
    job
}

/// How the job runs.
pub fn settings() -> Settings {
    Settings {
        workers: 1,
        memory_bytes: 64 << 20,
        ..Settings::default()
    }
}

/// The steps as one loop.
pub fn fused(records: u64) {
    let made = (0..records).map(make).map(scale).filter(most);
    for record in made.filter_map(pair).filter(odd) {
        black_box(record);
    }
}
