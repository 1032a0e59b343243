//! An exchange: records are keyed, hashed, scattered into batches, and taken out of the queues.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_benches::parts::hop::{BATCH, hops};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn exchange(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(BATCH));
    for targets in [1, 2] {
        let mut round = hops(targets);
        group.bench_function(format!("{targets} targets"), |b| {
            b.iter(|| assert!(round().is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);
