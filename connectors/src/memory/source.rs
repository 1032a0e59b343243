//! A source that reads lists.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Source, Waker};

/// What stands in a split.
#[derive(Clone, Debug)]
pub enum Item<T> {
    /// A record.
    Record(T),
    /// The first time reading comes here it fails, as user code would. When the job is started
    /// again with the same source, it goes on as if nothing stood here.
    Crash,
    /// Reading waits here until the gate is opened.
    Pause(PauseGate),
}

impl<T> From<T> for Item<T> {
    fn from(record: T) -> Self {
        Item::Record(record)
    }
}

/// A source of these splits, named `0`, `1` and so on. Clones share which crash markers have
/// been passed.
///
/// ```
/// use millstream_connectors::memory::{self, Item};
///
/// let source = memory::source(vec![vec![Item::Record(1), Item::Crash, Item::Record(2)]]);
/// ```
pub fn source<T: Data>(splits: Vec<Vec<Item<T>>>) -> MemorySource<T> {
    let splits = splits.into_iter().map(|items| Split {
        crashed: items.iter().map(|_| AtomicBool::new(false)).collect(),
        items: Mutex::new(items),
    });
    MemorySource(splits.collect())
}

/// A source of one split that holds these records.
pub fn records<T: Data>(records: impl IntoIterator<Item = T>) -> MemorySource<T> {
    source(vec![records.into_iter().map(Item::Record).collect()])
}

/// A source in memory: see [`source`].
#[derive(Debug)]
pub struct MemorySource<T>(Arc<[Split<T>]>);

impl<T> Clone for MemorySource<T> {
    fn clone(&self) -> Self {
        MemorySource(self.0.clone())
    }
}

#[derive(Debug)]
struct Split<T> {
    items: Mutex<Vec<Item<T>>>,
    crashed: Arc<[AtomicBool]>,
}

impl<T: Data> Source for MemorySource<T> {
    type Record = T;
    type Reader = MemoryReader<T>;

    fn splits(&self) -> Result<Vec<String>> {
        Ok((0..self.0.len()).map(|i| i.to_string()).collect())
    }

    fn open(&self, split: &str, position: Option<u64>, waker: Waker) -> Result<MemoryReader<T>> {
        let found = split.parse().ok().and_then(|i: usize| self.0.get(i));
        let found = found
            .ok_or_else(|| Error::checkpoint(format!("there is no split `{split}` in memory")))?;
        let items = lock(&found.items).clone();
        let next = usize::try_from(position.unwrap_or(0)).unwrap_or(usize::MAX);
        if next > items.len() {
            return Err(Error::checkpoint(format!(
                "split `{split}` in memory has {} items, the checkpoint stands behind {next}",
                items.len()
            )));
        }
        Ok(MemoryReader {
            items,
            next,
            crashed: found.crashed.clone(),
            waker,
        })
    }
}

/// Reads a split in memory. Its position is how many items stand before it.
#[derive(Debug)]
pub struct MemoryReader<T> {
    items: Vec<Item<T>>,
    next: usize,
    crashed: Arc<[AtomicBool]>,
    waker: Waker,
}

impl<T: Data> Reader for MemoryReader<T> {
    type Record = T;
    type Position = u64;

    fn read<E: Emit<T>>(&mut self, emit: &mut E) -> Result<Read> {
        while let Some(item) = self.items.get(self.next) {
            let wanted = match item {
                Item::Record(record) => emit.emit(record.clone()),
                Item::Crash => {
                    let passed = self
                        .crashed
                        .get(self.next)
                        .is_none_or(|c| c.swap(true, Ordering::SeqCst));
                    if !passed {
                        return Err(Error::user("crash marker"));
                    }
                    true
                }
                Item::Pause(gate) => {
                    if !gate.pass(&self.waker) {
                        return Ok(Read::Wait);
                    }
                    true
                }
            };
            self.next += 1;
            if !wanted {
                return Ok(Read::More);
            }
        }
        Ok(Read::End)
    }

    fn position(&self) -> u64 {
        self.next as u64
    }

    /// Items.
    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.next as u64, self.items.len() as u64))
    }
}

/// Holds readers up until a test opens it. Clones are the same gate; once open, it stays so.
#[derive(Clone, Debug, Default)]
pub struct PauseGate(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    reached: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    is_reached: bool,
    waiting: Vec<Waker>,
}

impl PauseGate {
    /// A gate that is closed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets readers pass from now on.
    pub fn open(&self) {
        let waiting = {
            let mut state = lock(&self.0.state);
            state.open = true;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits until a reader has come to the gate; false if none has within `patience`.
    pub fn wait_until_reached(&self, patience: Duration) -> bool {
        let state = lock(&self.0.state);
        let waited = self
            .0
            .reached
            .wait_timeout_while(state, patience, |state| !state.is_reached);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_reached
    }

    fn pass(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.0.state);
        state.is_reached = true;
        self.0.reached.notify_all();
        if !state.open {
            // A reader that is polled again while it waits needs no second waker.
            state.waiting.truncate(MAX_WAITING - 1);
            state.waiting.push(waker.clone());
        }
        state.open
    }
}

/// How many readers may wait at a gate.
const MAX_WAITING: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use millstream_engine::error::ErrorKind;

    use super::*;
    use crate::conformance::{check_source, read_split};

    #[test]
    fn keeps_the_laws_of_sources() {
        let splits = vec![
            (0..100).map(Item::Record).collect(),
            vec![],
            vec![Item::Record(7)],
        ];
        check_source(&source(splits)).unwrap();
        check_source(&records(["a", "b"])).unwrap();
    }

    #[test]
    fn a_crash_marker_is_met_once() {
        let source = source(vec![vec![
            Item::Record(1),
            Item::Crash,
            Item::Record(2),
            Item::Crash,
        ]]);
        let error = read_split(&source.clone(), "0", None).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::User, "crash marker")
        );
        let error = read_split(&source, "0", Some(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User, "the second marker");
        assert_eq!(read_split(&source, "0", Some(1)).unwrap().records, [2]);
        assert_eq!(read_split(&source, "0", None).unwrap().records, [1, 2]);
    }

    #[test]
    fn a_gate_holds_the_reader_until_it_is_opened() {
        let gate = PauseGate::new();
        let source = source(vec![vec![
            Item::Record(1),
            Item::Pause(gate.clone()),
            Item::Record(2),
        ]]);
        assert!(!gate.wait_until_reached(Duration::from_millis(1)));
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| read_split(&source, "0", None));
            assert!(gate.wait_until_reached(Duration::from_secs(20)));
            assert!(!reading.is_finished());
            gate.open();
            reading.join().unwrap().unwrap()
        });
        assert_eq!(read.records, [1, 2]);
    }

    #[test]
    fn a_position_that_is_not_there_is_refused() {
        let source = records([1, 2]);
        for (split, position) in [("0", 3), ("1", 0), ("x", 0)] {
            let error = source
                .open(split, Some(position), Waker::none())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{split} {position}");
        }
    }
}
