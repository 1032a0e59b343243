//! The windows that are still open: a few in a row.

use std::collections::VecDeque;

/// Values of consecutive windows, numbered from 0.
#[derive(Debug)]
pub(super) struct Open<T> {
    first: u64,
    values: VecDeque<T>,
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Open {
            first: 0,
            values: VecDeque::new(),
        }
    }
}

impl<T> Open<T> {
    /// The value of window `number`, which is not closed yet; made with `make` when it is new.
    #[inline]
    pub(super) fn at(&mut self, number: u64, mut make: impl FnMut() -> T) -> &mut T {
        let place = (number - self.first) as usize;
        if place >= self.values.len() {
            self.values.resize_with(place + 1, &mut make);
        }
        &mut self.values[place]
    }

    /// Closes one window with a number below `end`, the oldest first, until there is none.
    pub(super) fn close_below(&mut self, end: u64) -> Option<(u64, T)> {
        if self.first >= end {
            return None;
        }
        let Some(value) = self.values.pop_front() else {
            self.first = end;
            return None;
        };
        self.first += 1;
        Some((self.first - 1, value))
    }

    /// The values of the open windows with a number below `end`.
    pub(super) fn below(&self, end: u64) -> impl Iterator<Item = &T> {
        self.values
            .iter()
            .take(end.saturating_sub(self.first) as usize)
    }

    /// Whether no window is open.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_open_as_needed_and_close_in_order() {
        let mut open = Open::<u64>::default();
        *open.at(2, u64::default) += 20;
        *open.at(0, u64::default) += 1;
        *open.at(2, u64::default) += 2;
        assert!(open.below(1).eq(&[1]));
        assert!(open.below(9).eq(&[1, 0, 22]));
        let closed: Vec<_> = std::iter::from_fn(|| open.close_below(2)).collect();
        assert_eq!(closed, [(0, 1), (1, 0)]);
        assert_eq!(open.close_below(7), Some((2, 22)));
        assert_eq!(open.close_below(7), None);
        *open.at(7, u64::default) = 5;
        assert_eq!(open.close_below(u64::MAX), Some((7, 5)));
        assert!(open.is_empty());
    }
}
