//! An exchange: records are keyed, hashed, scattered into batches, and taken out of the queues.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::engine::data::Progress;
use millstream::engine::runtime::chain::At;
use millstream::engine::runtime::channel::{Channel, Message};
use millstream::engine::runtime::terminal::Terminal;
use millstream::engine::runtime::terminal::combine::Apart;
use millstream::engine::runtime::terminal::exchange::ExchangeTerminal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 2048;
const QUEUE_BYTES: usize = 2 << 20;

/// 64 bytes with its key.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: u64,
    rest: [u64; 7],
}

fn exchange(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(BATCH));
    for targets in [1, 2] {
        let channels: Vec<_> = (0..targets)
            .map(|_| Arc::new(Channel::new(QUEUE_BYTES, None, None)))
            .collect();
        let mut terminal = ExchangeTerminal::new(
            0,
            channels.clone(),
            Arc::new(|event: &Event| event.key),
            Arc::new(|event: Event| event.rest),
            None::<Arc<Apart>>,
        );
        let mut next = 0;
        group.bench_function(format!("{targets} targets"), |b| {
            b.iter(|| {
                for at in 0..BATCH as u32 {
                    let event = Event {
                        key: next,
                        rest: [next; 7],
                    };
                    let time = next as i64;
                    let watermark = i64::MIN;
                    terminal.accept(
                        event,
                        At {
                            time,
                            at,
                            watermark,
                        },
                    );
                    next += 1;
                }
                let done = terminal.finish(None, Progress::Watermark(next as i64));
                assert!(done.is_ok());
                for channel in &channels {
                    while let Some(message) = channel.pop() {
                        if let Message::Batch(batch) = message {
                            for record in batch.records {
                                black_box(record.payload);
                            }
                        }
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);
