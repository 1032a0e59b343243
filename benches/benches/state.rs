//! Keyed state: rows in memory, rows that come back from RocksDB, rows that go to a checkpoint.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::Result;
use millstream::engine::state::key_group::{KEY_GROUPS, stable_hash};
use millstream::engine::state::rocks::Store;
use millstream::engine::state::table::{StateTable, Table, TableContext};
use millstream::engine::time::clock::Clock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOUCHES: u64 = 10_000;
const FAMILY: &str = "bench";

fn count(table: &mut Table<u64, u64>, key: u64) -> Result<()> {
    let slice = table.slice(0);
    *table.upsert(slice, stable_hash(&key), &key, || 0)? += 1;
    Ok(())
}

fn scattered(n: u64, keys: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % keys
}

fn hot(c: &mut Criterion) {
    let mut group = c.benchmark_group("state hot");
    group.throughput(Throughput::Elements(TOUCHES));
    for keys in [1_000, 100_000, 1_000_000] {
        let mut table = Table::new(TableContext::in_memory(FAMILY));
        for key in 0..keys {
            assert!(count(&mut table, key).is_ok());
        }
        let mut n = 0;
        group.bench_function(format!("upsert, {keys} keys"), |b| {
            b.iter(|| {
                for _ in 0..TOUCHES {
                    n += 1;
                    assert!(count(&mut table, scattered(n, keys)).is_ok());
                }
            });
        });
    }
    group.finish();
}

/// Hands all rows over as a checkpoint does; returns how long that took.
fn checkpoint(table: &mut Table<u64, u64>, store: Option<&Store>) -> Result<Duration> {
    let clock = Clock::system();
    table.freeze();
    let from_us = clock.monotonic_us();
    while !table.drain(1024)? {}
    let took = Duration::from_micros(clock.monotonic_us() - from_us);
    let runs = table.take_runs();
    if let Some(store) = store {
        store.write(&runs)?;
    }
    table.settle(true);
    Ok(took)
}

fn stored(c: &mut Criterion) {
    const KEYS: u64 = 100_000;
    let folder = tempfile::tempdir().map_err(|e| e.to_string());
    let store = folder.as_ref().map(|folder| {
        Store::open(folder.path(), &[FAMILY.to_owned()], 64 << 20).map_err(|e| e.to_string())
    });
    let Ok(Ok(store)) = store else {
        return assert!(store.is_err(), "no store to measure with");
    };
    let store = Arc::new(store);
    let mut table = Table::new(TableContext {
        store: Some(store.clone()),
        groups: 0..KEY_GROUPS,
        ..TableContext::in_memory(FAMILY)
    });
    let mut group = c.benchmark_group("state stored");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("drain of dirty rows", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                for key in 0..KEYS {
                    assert!(count(&mut table, key).is_ok());
                }
                took += checkpoint(&mut table, None).unwrap_or(Duration::MAX);
            }
            took
        });
    });
    for key in 0..KEYS {
        assert!(count(&mut table, key).is_ok());
    }
    assert!(checkpoint(&mut table, Some(&store)).is_ok());
    group.throughput(Throughput::Elements(TOUCHES));
    let clock = Clock::system();
    let mut n = 0;
    group.bench_function("get of rows in RocksDB", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                assert!(table.evict(usize::MAX).is_ok());
                let slice = table.slice(0);
                assert_eq!(table.len(slice), 0, "rows are left in memory");
                let from_us = clock.monotonic_us();
                for _ in 0..TOUCHES {
                    n += 1;
                    let key = scattered(n, KEYS);
                    let row = table.get(slice, stable_hash(&key), &key);
                    assert!(matches!(row, Ok(Some(_))));
                }
                took += Duration::from_micros(clock.monotonic_us() - from_us);
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, hot, stored);
criterion_main!(benches);
