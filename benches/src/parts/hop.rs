//! An exchange: records are keyed, hashed, scattered into batches, and taken out of the queues.

use std::hint::black_box;
use std::sync::Arc;

use millstream::Result;
use millstream::engine::data::Progress;
use millstream::engine::runtime::chain::At;
use millstream::engine::runtime::channel::{Channel, Message};
use millstream::engine::runtime::terminal::Terminal;
use millstream::engine::runtime::terminal::combine::Apart;
use millstream::engine::runtime::terminal::exchange::ExchangeTerminal;

/// How many records go through in one [`round`](hops).
pub const BATCH: u64 = 2048;
const QUEUE_BYTES: usize = 2 << 20;

/// 64 bytes with its key.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: u64,
    rest: [u64; 7],
}

/// An exchange to this many targets: each call sends a batch and takes it out again.
pub fn hops(targets: usize) -> impl FnMut() -> Result<()> {
    let channels: Vec<_> = (0..targets)
        .map(|_| Arc::new(Channel::new(QUEUE_BYTES, None, None)))
        .collect();
    let mut terminal = ExchangeTerminal::new(
        0,
        channels.clone(),
        Arc::new(|event: &Event| event.key),
        Arc::new(|event: Event| event.rest),
        Arc::new(Apart),
    );
    let mut next = 0;
    move || {
        for at in 0..BATCH as u32 {
            let event = Event {
                key: next,
                rest: [next; 7],
            };
            let at = At {
                time: next as i64,
                at,
                watermark: i64::MIN,
            };
            terminal.accept(event, at);
            next += 1;
        }
        terminal.finish(None, Progress::Watermark(next as i64))?;
        for channel in &channels {
            while let Some(message) = channel.pop() {
                if let Message::Batch(batch) = message {
                    for record in batch.records {
                        black_box(record.payload);
                    }
                }
            }
        }
        Ok(())
    }
}
