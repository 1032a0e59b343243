//! Looking at every row of a slice, also at those that are not in memory.

use std::ops::ControlFlow;

use crate::data::{Key, Wire};
use crate::error::Result;
use crate::state::codec;
use crate::state::key_group::stable_hash;
use crate::state::run::PREFIX_BYTES;
use crate::state::slice::{RowId, Slice};
use crate::state::slot::Slot;
use crate::state::table::{LOOK_AHEAD, Row, SliceId, Table};

/// How far a walk over a slice has come: see [`Table::walk`].
#[derive(Clone, Debug, Default)]
pub struct Walk {
    row: RowId,
    stored: Option<Vec<u8>>,
}

impl<K: Key, V: Wire> Table<K, V> {
    /// Reads up to `limit` stored rows behind `after`; hands those that are not in memory to
    /// `each`. Returns the key of the last one read, if there may be more.
    pub(super) fn scan_cold(
        &self,
        slice: &Slice<K, V>,
        after: Option<&[u8]>,
        limit: usize,
        mut each: impl FnMut(Slot<K, V>),
    ) -> Result<Option<Vec<u8>>> {
        let Some(store) = self.cx.store.as_ref().filter(|_| !slice.complete) else {
            return Ok(None);
        };
        let (mut left, mut last) = (limit, None);
        store.scan(
            &self.cx.column_family,
            slice.namespace,
            &self.cx.groups,
            after,
            |place, value| {
                let key: K = codec::decode(place.get(PREFIX_BYTES..).unwrap_or_default())
                    .map_err(|e| e.at(format!("state of `{}`", self.cx.column_family)))?;
                let hash = stable_hash(&key);
                if slice.find(hash, &key).is_none() {
                    each(self.stored_slot(hash, key, value)?);
                }
                left -= 1;
                if left > 0 {
                    return Ok(ControlFlow::Continue(()));
                }
                last = Some(place.to_vec());
                Ok(ControlFlow::Break(()))
            },
        )?;
        Ok(last)
    }

    /// Shows the living rows of a slice, in memory or not, without bringing them into memory: at
    /// most about `limit` with each call, going on where `walk` has come to. True if there may be
    /// more. Between the first call and the last one nothing may be put into the slice; nothing
    /// of it is evicted.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn walk(
        &mut self,
        id: SliceId,
        walk: &mut Walk,
        limit: usize,
        mut each: impl FnMut(Row<'_, K, V>),
    ) -> Result<bool> {
        let Some(mut slice) = self.slices[id.0].take() else {
            return Ok(false);
        };
        if !slice.complete {
            slice.reopen();
        }
        let more = self.walk_on(&slice, walk, limit, &mut each);
        slice.pinned = matches!(more, Ok(true));
        self.slices[id.0] = Some(slice);
        more
    }

    /// Shows all living rows of a slice, as [`walk`](Table::walk) does, some at a time: who looks
    /// something up for each of them can let the processor wait for several at once.
    ///
    /// # Errors
    /// When RocksDB cannot be read.
    pub fn walk_together(
        &mut self,
        id: SliceId,
        mut each: impl FnMut(&[Row<'_, K, V>]),
    ) -> Result<()> {
        let Some(mut slice) = self.slices[id.0].take() else {
            return Ok(());
        };
        if !slice.complete {
            slice.reopen();
        }
        let mut rows = Vec::with_capacity(LOOK_AHEAD);
        for slot in slice.living() {
            rows.push(Row::of(slot));
            if rows.len() == LOOK_AHEAD {
                each(&rows);
                rows.clear();
            }
        }
        each(&rows);
        let cold = self.scan_cold(&slice, None, usize::MAX, |slot| each(&[Row::of(&slot)]));
        drop(rows);
        self.slices[id.0] = Some(slice);
        cold.map(|_| ())
    }

    fn walk_on(
        &self,
        slice: &Slice<K, V>,
        walk: &mut Walk,
        limit: usize,
        each: &mut impl FnMut(Row<'_, K, V>),
    ) -> Result<bool> {
        let mut left = limit;
        while walk.row < slice.end() {
            if left == 0 {
                return Ok(true);
            }
            if let Some(slot) = slice.row(walk.row).filter(|slot| !slot.mark.is_removed()) {
                each(Row::of(slot));
                left -= 1;
            }
            walk.row += 1;
        }
        walk.stored = self.scan_cold(slice, walk.stored.as_deref(), left.max(1), |slot| {
            each(Row::of(&slot));
        })?;
        Ok(walk.stored.is_some())
    }
}
