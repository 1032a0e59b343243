//! Rows and the timers that are set for them, which know them by their numbers.

use millstream_engine::data::Key;
use millstream_engine::error::Result;
use millstream_engine::state::run::Run;
use millstream_engine::state::table::{Inventory, SliceId, StateTable, Table};

use crate::window::timers::{Deadline, Timers};

/// The rows that timers are set for.
pub(super) struct Rows<'a, K, V> {
    pub(super) table: &'a mut Table<K, V>,
    /// The one namespace of that.
    pub(super) slice: SliceId,
}

/// The rows as the runtime sees them: their timers hear first of what is to become of them.
pub(super) struct TimedRows<'a, K, V> {
    pub(super) rows: Rows<'a, K, V>,
    pub(super) timers: &'a mut Timers<K>,
}

impl<K: Key, V: Deadline> StateTable for TimedRows<'_, K, V> {
    fn freeze(&mut self) {
        self.timers.before_freeze(&self.rows);
        self.rows.table.freeze();
    }

    fn drain(&mut self, rows: usize) -> Result<bool> {
        self.rows.table.drain(rows)
    }

    fn take_runs(&mut self) -> Vec<Run> {
        self.rows.table.take_runs()
    }

    fn take_full_runs(&mut self) -> Vec<Run> {
        self.rows.table.take_full_runs()
    }

    fn settle(&mut self, written: bool) {
        self.rows.table.settle(written);
    }

    fn warm(&mut self, rows: usize) -> Result<bool> {
        self.rows.table.warm(rows)
    }

    fn evict(&mut self, bytes: usize) -> Result<usize> {
        let freed = self.timers.before_evict(&self.rows)?;
        Ok(freed + self.rows.table.evict(bytes.saturating_sub(freed))?)
    }

    fn bytes(&self) -> usize {
        self.rows.table.bytes()
    }

    fn inventory(&self) -> Inventory {
        self.rows.table.inventory()
    }
}
