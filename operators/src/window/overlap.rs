//! What the slices of overlapping windows come to, carried from one window to the next: the cost
//! of a window does not depend on how many slices it has.
//!
//! The two stacks of a queue that knows its aggregate (Tangwongsan, Hirzel, Schneider, "Low-latency
//! sliding-window aggregation", DEBS 2017), for all keys at once and kept by slice. A slice that
//! a window holds for the first time is *absorbed*: merged into the `back` of its keys, its states
//! kept as cells of a column. When the oldest column has to go and is not yet turned, all columns
//! are *turned*, from the newest to the oldest: the `front` of a key becomes what all its cells
//! come to, and each cell what is left of that once its slice is gone. So a column leaves by
//! writing its cells into the fronts. A window's value is front and back together: three merges
//! for each key and slice, whatever the length of the window, and none for a slice without the key.
//!
//! All of it is derived from the slices, and can be forgotten at any time between two windows.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashTable};
use millstream_engine::data::{Key, Timestamp, Wire};
use millstream_engine::state::codec;
use millstream_engine::state::table::Row;

/// Keys are dealt out to so many parts, whose columns are turned at different windows: else one
/// window in so many would take as long as all others together.
const PARTS: usize = 8;

/// So many keys that stand side by side are in one part: they mostly came one after the other, and
/// what is done for a part at a time then walks on through memory.
const PART_ROWS: usize = if cfg!(test) { 1 } else { 64 };

/// A front cell behind which its key has none: the front goes with it.
const LAST: u32 = 1 << 31;

/// How many states are between two whose size is looked at.
const SAMPLE: u64 = 1024;

/// Merges a state into another.
pub(super) trait Merge<S>: Fn(&mut S, &S) {}
impl<S, F: Fn(&mut S, &S)> Merge<S> for F {}

/// See the [module](self).
pub(super) struct Overlap<K, S> {
    /// How many slices a window has.
    slices: usize,
    index: HashTable<u32>,
    rows: Vec<Option<KeyRow<K, S>>>,
    free: Vec<u32>,
    /// Keys that are in no slice any more, until they are released together.
    gone: Vec<u32>,
    /// The numbers of the keys that are being absorbed, as far as they have one.
    known: Vec<Option<u32>>,
    /// By ascending slice.
    columns: VecDeque<Column<S>>,
    unused: Vec<Column<S>>,
    /// Memory for states that are being turned.
    turning: Vec<S>,
    /// Slices that begin below this are absorbed, if no window has left them behind.
    absorbed_below: Timestamp,
    /// Slices that begin below this are left behind.
    left_below: Timestamp,
    /// By part: columns below this are turned.
    turned_below: [Timestamp; PARTS],
    /// States of late records for columns that were turned before they came.
    late: HashMap<u32, Vec<(Timestamp, S)>>,
    cells: usize,
    sampled: u64,
    heap_bytes_per_cell: usize,
}

struct KeyRow<K, S> {
    key: K,
    hash: u32,
    /// What its cells in turned columns come to.
    front: Option<S>,
    /// What its cells in the other columns come to.
    back: Option<S>,
}

struct Column<S> {
    slice: Timestamp,
    parts: [Cells<S>; PARTS],
}

/// The keys of a part that a slice holds, a key that came late perhaps twice. Turned, there is no
/// state for the [`LAST`] cell of a key: it has become the key's front.
struct Cells<S> {
    rows: Vec<u32>,
    states: Vec<S>,
}

impl<S> Default for Cells<S> {
    fn default() -> Self {
        Cells {
            rows: Vec::new(),
            states: Vec::new(),
        }
    }
}

/// The index takes its bucket and its tag from these bits.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn part_of(row: u32) -> usize {
    row as usize / PART_ROWS % PARTS
}

impl<K: Key, S: Wire> Overlap<K, S> {
    /// Nothing is absorbed. Windows have at most `slices` slices.
    pub(super) fn new(slices: usize) -> Self {
        Overlap {
            slices,
            index: HashTable::new(),
            rows: Vec::new(),
            free: Vec::new(),
            gone: Vec::new(),
            known: Vec::new(),
            columns: VecDeque::new(),
            unused: Vec::new(),
            turning: Vec::new(),
            absorbed_below: Timestamp::MIN,
            left_below: Timestamp::MIN,
            turned_below: [Timestamp::MIN; PARTS],
            late: HashMap::new(),
            cells: 0,
            sampled: 0,
            heap_bytes_per_cell: 0,
        }
    }

    /// Forgets everything; the next window absorbs its slices anew.
    pub(super) fn forget(&mut self) {
        *self = Overlap {
            sampled: self.sampled,
            heap_bytes_per_cell: self.heap_bytes_per_cell,
            ..Overlap::new(self.slices)
        };
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * (size_of::<Option<KeyRow<K, S>>>() + size_of::<u64>())
            + self.cells * (size_of::<u32>() + size_of::<S>() + self.heap_bytes_per_cell)
    }

    /// Where slices begin that are to be absorbed for a window that begins at `start`.
    pub(super) fn absorb_from(&self, start: Timestamp) -> Timestamp {
        self.absorbed_below.max(start)
    }

    /// Begins to absorb a slice, later than all before.
    pub(super) fn begin_slice(&mut self, slice: Timestamp) {
        let column = self.new_column(slice);
        self.columns.push_back(column);
    }

    fn new_column(&mut self, slice: Timestamp) -> Column<S> {
        let mut column = self.unused.pop().unwrap_or_else(|| Column {
            slice,
            parts: Default::default(),
        });
        column.slice = slice;
        column
    }

    /// Absorbs some rows of the slice that was begun last, no key twice.
    pub(super) fn absorb(&mut self, rows: &[Row<'_, K, S>], merge: impl Merge<S>) {
        // These look-ups do not depend on each other, so the processor waits for several at once.
        let mut known = std::mem::take(&mut self.known);
        known.clear();
        known.extend(rows.iter().map(|row| self.find(row.hash, row.key)));
        let mut column = self.columns.pop_back();
        for (row, &number) in rows.iter().zip(&known) {
            let number = number.unwrap_or_else(|| self.insert(row.hash, row.key));
            self.sample(row.value);
            if let Some(column) = &mut column {
                column.push(number, row.value.clone());
            }
            if let Some(Some(key)) = self.rows.get_mut(number as usize) {
                key.add(row.value, &merge);
            }
        }
        self.known = known;
        self.cells += rows.len();
        self.columns.extend(column);
    }

    /// About what states own on the heap.
    fn sample(&mut self, state: &S) {
        if !std::mem::needs_drop::<S>() {
            return;
        }
        self.sampled += 1;
        if self.sampled % SAMPLE == 1 {
            let bytes = codec::encode(state).map_or(0, |bytes| bytes.len());
            self.heap_bytes_per_cell = (self.heap_bytes_per_cell * 15 + bytes * 2) / 16;
        }
    }

    #[inline]
    fn find(&self, hash: u32, key: &K) -> Option<u32> {
        let found = self.index.find(spread(hash), |&number| {
            let row = self.rows.get(number as usize).and_then(Option::as_ref);
            row.is_some_and(|row| row.hash == hash && row.key == *key)
        });
        found.copied()
    }

    /// A row for a key that has none.
    fn insert(&mut self, hash: u32, key: &K) -> u32 {
        let Overlap { index, rows, .. } = self;
        let number = self.free.pop().unwrap_or(rows.len() as u32);
        index.insert_unique(spread(hash), number, |&number| {
            let row = rows.get(number as usize).and_then(Option::as_ref);
            row.map_or(0, |row| spread(row.hash))
        });
        let row = KeyRow {
            key: key.clone(),
            hash,
            front: None,
            back: None,
        };
        match rows.get_mut(number as usize) {
            Some(place) => *place = Some(row),
            None => rows.push(Some(row)),
        }
        number
    }

    /// All slices that begin below `end` are absorbed; the window is the one that begins at
    /// `start`: what begins before is left behind.
    pub(super) fn advance(&mut self, start: Timestamp, end: Timestamp, merge: impl Merge<S>) {
        self.absorbed_below = end;
        self.left_below = start;
        for part in 0..PARTS {
            // For the first time each part is turned at another length.
            let turn_at = self.slices.saturating_mul(part + 1).div_ceil(PARTS);
            if self.turned_below[part] == Timestamp::MIN && self.columns.len() >= turn_at {
                self.turn(part, &merge);
            }
        }
        while self.columns.front().is_some_and(|c| c.slice < start) {
            for part in 0..PARTS {
                let oldest = self.columns.front().map_or(start, |c| c.slice);
                if self.turned_below[part] <= oldest {
                    self.turn(part, &merge);
                }
            }
            if let Some(column) = self.columns.pop_front() {
                self.leave(column);
            }
        }
        if !self.late.is_empty() {
            self.leave_late(start);
        }
        self.release();
    }

    /// Turns the columns of a part, none of which is turned yet.
    fn turn(&mut self, part: usize, merge: &impl Merge<S>) {
        self.turned_below[part] = self.absorbed_below;
        let Overlap {
            rows,
            columns,
            turning,
            ..
        } = self;
        for column in columns.iter_mut().rev() {
            let cells = &mut column.parts[part];
            std::mem::swap(&mut cells.states, turning);
            for (number, mut state) in cells.rows.iter_mut().zip(turning.drain(..)) {
                let Some(Some(row)) = rows.get_mut(*number as usize) else {
                    continue;
                };
                row.back = None;
                match &mut row.front {
                    Some(front) => {
                        merge(&mut state, front);
                        cells.states.push(std::mem::replace(front, state));
                    }
                    None => {
                        row.front = Some(state);
                        *number |= LAST;
                    }
                }
            }
        }
    }

    fn leave(&mut self, mut column: Column<S>) {
        let Overlap { rows, gone, .. } = self;
        for cells in &mut column.parts {
            self.cells -= cells.rows.len();
            // Backwards: of a key that is there twice, the cell that was turned first leaves last.
            let mut left = cells.states.drain(..).rev();
            for number in cells.rows.drain(..).rev() {
                let place = (number & !LAST) as usize;
                let Some(Some(row)) = rows.get_mut(place) else {
                    continue;
                };
                if number & LAST == 0 {
                    row.front = left.next();
                    continue;
                }
                row.front = None;
                if row.back.is_none() {
                    gone.push(number & !LAST);
                }
            }
        }
        if self.unused.is_empty() {
            self.unused.push(column);
        }
    }

    #[cold]
    fn leave_late(&mut self, start: Timestamp) {
        let Overlap { late, gone, .. } = self;
        let mut left = 0;
        late.retain(|&number, states| {
            let before = states.len();
            states.retain(|&(slice, _)| slice >= start);
            left += before - states.len();
            if states.is_empty() {
                gone.push(number);
            }
            !states.is_empty()
        });
        self.cells -= left;
    }

    /// Forgets keys that are in no slice any more.
    fn release(&mut self) {
        let mut gone = std::mem::take(&mut self.gone);
        let Overlap { rows, late, .. } = self;
        // Who has lost its cells may have late states, and the other way round.
        gone.retain(|&number| {
            let row = rows.get(number as usize).and_then(Option::as_ref);
            row.is_some_and(|row| row.front.is_none() && row.back.is_none())
                && (late.is_empty() || !late.contains_key(&number))
        });
        for &number in &gone {
            let place = self.rows.get_mut(number as usize);
            let Some(row) = place.and_then(Option::take) else {
                continue;
            };
            let entry = self.index.find_entry(spread(row.hash), |&n| n == number);
            if let Ok(entry) = entry {
                entry.remove();
            }
            self.free.push(number);
        }
        gone.clear();
        self.gone = gone;
    }

    /// A record has come for a slice that was absorbed: `state` is what it comes to alone.
    #[cold]
    pub(super) fn add_late(
        &mut self,
        slice: Timestamp,
        (hash, key): (u32, &K),
        state: S,
        merge: impl Merge<S>,
    ) {
        if slice >= self.absorbed_below || slice < self.left_below {
            return;
        }
        let number = match self.find(hash, key) {
            Some(number) => number,
            None => self.insert(hash, key),
        };
        let Some(Some(row)) = self.rows.get_mut(number as usize) else {
            return;
        };
        if slice >= self.turned_below[part_of(number)] {
            row.add(&state, merge);
            self.cells += 1;
            let column = self.column_of(slice);
            if let Some(column) = self.columns.get_mut(column) {
                column.push(number, state);
            }
            return;
        }
        let states = self.late.entry(number).or_default();
        match states.iter_mut().find(|(of, _)| *of == slice) {
            Some((_, known)) => merge(known, &state),
            None => {
                self.cells += 1;
                states.push((slice, state));
            }
        }
    }

    /// Where the column of a slice stands, made if there is none.
    fn column_of(&mut self, slice: Timestamp) -> usize {
        match self.columns.binary_search_by_key(&slice, |c| c.slice) {
            Ok(at) => at,
            Err(at) => {
                let column = self.new_column(slice);
                self.columns.insert(at, column);
                at
            }
        }
    }

    /// Shows keys with what they come to in the window: at most `limit` rows from number `from`
    /// on. Returns where to go on, if there is more.
    pub(super) fn values(
        &self,
        from: usize,
        limit: usize,
        merge: impl Merge<S>,
        mut each: impl FnMut(&K, &S),
    ) -> Option<usize> {
        let to = from.saturating_add(limit).min(self.rows.len());
        let rows = self.rows.get(from..to).unwrap_or_default();
        for (number, row) in (from..).zip(rows) {
            let Some(row) = row else {
                continue;
            };
            let late = if self.late.is_empty() {
                None
            } else {
                self.late.get(&(number as u32))
            };
            match (&row.front, &row.back, late) {
                (Some(only), None, None) | (None, Some(only), None) => each(&row.key, only),
                (Some(front), Some(back), None) => {
                    let mut value = front.clone();
                    merge(&mut value, back);
                    each(&row.key, &value);
                }
                (front, back, late) => {
                    let late = late.into_iter().flatten().map(|(_, state)| state);
                    let mut states = front.iter().chain(back).chain(late);
                    if let Some(mut value) = states.next().cloned() {
                        states.for_each(|state| merge(&mut value, state));
                        each(&row.key, &value);
                    }
                }
            }
        }
        (to < self.rows.len()).then_some(to)
    }
}

impl<K, S: Clone> KeyRow<K, S> {
    #[inline]
    fn add(&mut self, state: &S, merge: impl Merge<S>) {
        match &mut self.back {
            Some(back) => merge(back, state),
            None => self.back = Some(state.clone()),
        }
    }
}

impl<S> Column<S> {
    #[inline]
    fn push(&mut self, number: u32, state: S) {
        let cells = &mut self.parts[part_of(number)];
        cells.rows.push(number);
        cells.states.push(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    type Sums = BTreeMap<(Timestamp, u32), u64>;

    fn add(state: &mut u64, other: &u64) {
        *state += other;
    }

    /// What the window `[start, end)` holds, from all that was put into its slices.
    fn expected(sums: &Sums, start: Timestamp, end: Timestamp) -> BTreeMap<u32, u64> {
        let mut by_key = BTreeMap::new();
        for (&(slice, key), sum) in sums {
            if (start..end).contains(&slice) {
                *by_key.entry(key).or_default() += sum;
            }
        }
        by_key
    }

    fn shown(overlap: &Overlap<u32, u64>, limit: usize) -> BTreeMap<u32, u64> {
        let (mut values, mut next) = (BTreeMap::new(), Some(0));
        while let Some(from) = next {
            next = overlap.values(from, limit, add, |&key, &value| {
                assert_eq!(values.insert(key, value), None, "key {key} comes once");
            });
        }
        values
    }

    /// Fires a window.
    fn fire(overlap: &mut Overlap<u32, u64>, sums: &Sums, start: Timestamp, end: Timestamp) {
        let from = overlap.absorb_from(start);
        let mut begun = None;
        for (&(slice, key), value) in sums.range((from, 0)..(end, 0)) {
            if begun != Some(slice) {
                overlap.begin_slice(slice);
                begun = Some(slice);
            }
            let (hash, key) = (key % 5, &key);
            overlap.absorb(&[Row { hash, key, value }], add);
        }
        overlap.advance(start, end, add);
    }

    proptest! {
        /// Whatever comes, in time or late, and whatever is forgotten: each window shows what
        /// its slices come to.
        #[test]
        fn w2_f4_a_window_is_what_its_slices_come_to(
            slices in 1i64..20,
            step in 1i64..4,
            fires in prop::collection::vec(
                (
                    prop::collection::vec((0i64..4, 0u32..12, 1u64..1000), 0..12),
                    prop::collection::vec((0i64..24, 0u32..14, 1u64..1000), 0..4),
                    prop::bool::weighted(0.05),
                    1i64..6,
                ),
                1..60,
            ),
        ) {
            let mut overlap = Overlap::new(slices as usize);
            let (mut sums, mut end) = (Sums::new(), 0);
            for (on_time, late, forget, jump) in fires {
                if forget {
                    overlap.forget();
                }
                // Windows without a slice do not fire.
                let next = end + step * if jump == 1 { 7 } else { 1 };
                for (back, key, value) in on_time {
                    let slice = next - 1 - back.min(next - 1 - end);
                    *sums.entry((slice, key)).or_default() += value;
                }
                for (back, key, value) in late {
                    let slice = end - 1 - back;
                    *sums.entry((slice, key)).or_default() += value;
                    overlap.add_late(slice, (key % 5, &key), value, add);
                }
                end = next;
                fire(&mut overlap, &sums, end - slices, end);
                prop_assert_eq!(shown(&overlap, 3), expected(&sums, end - slices, end));
            }
            // Once all slices are left behind, nothing is kept.
            overlap.advance(end + slices, end + slices, add);
            prop_assert_eq!(shown(&overlap, 3), BTreeMap::new());
            prop_assert_eq!((overlap.cells, overlap.index.len()), (0, 0));
        }
    }
}
