//! Five stateless steps in a job of one worker against the same steps on an iterator.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_benches::parts::chain;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 2_000_000;

fn steps(c: &mut Criterion) {
    let job = chain::job(RECORDS);
    let settings = chain::settings();
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
    group.bench_function("iterator", |b| b.iter(|| chain::fused(RECORDS)));
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
