//! Threads that decode pieces of files, beside the workers.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use serde::de::DeserializeOwned;

use super::pieces::{By, Pieces};
use crate::format::csv::rows::Rows;

/// How many calls may wait. One that does not fit is no loss: the worker decodes what nobody else
/// has decoded.
const CALLS_MAX: usize = 256;

/// Decodes what it is called for. When nobody holds it any more, its threads end.
pub(crate) struct Decoders<T> {
    calls: Sender<Weak<Pieces<T>>>,
}

impl<T: DeserializeOwned + Data> Decoders<T> {
    fn start(threads: usize, delimiter: u8) -> Result<Self> {
        let (calls, called) = bounded(CALLS_MAX);
        for _ in 0..threads {
            let called = called.clone();
            thread::Builder::new()
                .name("csv-decoder".into())
                .spawn(move || run(&called, delimiter))
                .map_err(|cause| Error::io("cannot start a thread to decode files", cause))?;
        }
        Ok(Decoders { calls })
    }

    /// There is one more piece to decode.
    pub(crate) fn call(&self, pieces: &Arc<Pieces<T>>) {
        let _ = self.calls.try_send(Arc::downgrade(pieces));
    }
}

fn run<T: DeserializeOwned + Data>(called: &Receiver<Weak<Pieces<T>>>, delimiter: u8) {
    let mut rows = Rows::new(delimiter, 0);
    for pieces in called.iter().filter_map(|pieces| pieces.upgrade()) {
        pieces.decode_one(&mut rows, By::Helper);
    }
}

/// The decoders that all readers of a source share, as long as there are any.
pub(crate) struct Shared<T>(Mutex<Weak<Decoders<T>>>);

impl<T: DeserializeOwned + Data> Shared<T> {
    /// Those that run, or new ones.
    pub(crate) fn get(&self, threads: usize, delimiter: u8) -> Result<Arc<Decoders<T>>> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoders) = running.upgrade() {
            return Ok(decoders);
        }
        let decoders = Arc::new(Decoders::start(threads, delimiter)?);
        *running = Arc::downgrade(&decoders);
        Ok(decoders)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared(Mutex::new(Weak::new()))
    }
}

/// Another source, which may be set otherwise, has decoders of its own.
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
