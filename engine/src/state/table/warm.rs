//! After a restart: what fits into memory is read back between batches, so that the first record
//! waits for no more than its own row.

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::table::Table;

/// How far a namespace is read back.
#[derive(Debug)]
pub(super) struct Warming {
    namespace: i64,
    after: Option<Vec<u8>>,
}

impl<K: Key, V: Wire> Table<K, V> {
    /// Puts the restored namespaces in line, as far as they fit.
    pub(super) fn plan_warming(&mut self, restored: &[(i64, u64)]) {
        let row_bytes = self.row_bytes() as u64;
        let mut left = self.cx.warm_bytes as u64;
        for &(namespace, rows) in restored {
            let Some(rest) = left.checked_sub(rows.saturating_mul(row_bytes)) else {
                continue;
            };
            left = rest;
            self.warming.push_back(Warming {
                namespace,
                after: None,
            });
        }
    }

    pub(super) fn warm_on(&mut self, rows: usize) -> Result<bool> {
        let Some(warming) = self.warming.pop_front() else {
            return Ok(true);
        };
        let Some(id) = self.find_slice(warming.namespace) else {
            return Ok(self.warming.is_empty());
        };
        let Some(mut slice) = self.slices[id.0].take() else {
            return Ok(self.warming.is_empty());
        };
        if slice.pinned {
            self.slices[id.0] = Some(slice);
            self.warming.push_back(warming);
            return Ok(false);
        }
        slice.reopen();
        let mut found = Vec::new();
        let last = self.scan_cold(&slice, warming.after.as_deref(), rows, |slot| {
            found.push(slot);
        });
        let last = match last {
            Ok(last) => last,
            Err(e) => {
                self.slices[id.0] = Some(slice);
                return Err(e);
            }
        };
        for slot in found {
            slice.insert(slot);
        }
        slice.complete |= last.is_none();
        self.slices[id.0] = Some(slice);
        if last.is_some() {
            self.warming.push_front(Warming {
                after: last,
                ..warming
            });
        }
        Ok(self.warming.is_empty())
    }
}
