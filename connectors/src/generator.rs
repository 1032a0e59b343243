//! A source that makes its records: each is a function of its number.

use std::ops::Range;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Source, Waker};

/// Makes the records `make(0)` to `make(count - 1)`. Each of the splits makes a range of them of
/// its own, in order. `make` must give the same record for the same number each time.
///
/// ```
/// use millstream_connectors::generator;
///
/// let squares = generator::generate(1_000_000, 4, |n| n * n);
/// ```
pub fn generate<T, F>(count: u64, splits: u32, make: F) -> Generator<F>
where
    T: Data,
    F: Fn(u64) -> T + Send + Sync + Clone + 'static,
{
    Generator {
        count: Some(count),
        splits,
        make,
    }
}

/// Makes records without end. Split `s` of `n` makes the numbers `s`, `s + n`, `s + 2n` and so
/// on, so that the splits keep step.
pub fn endless<T, F>(splits: u32, make: F) -> Generator<F>
where
    T: Data,
    F: Fn(u64) -> T + Send + Sync + Clone + 'static,
{
    Generator {
        count: None,
        splits,
        make,
    }
}

/// A source that makes its records: see [`generate`] and [`endless`].
#[derive(Clone)]
pub struct Generator<F> {
    count: Option<u64>,
    splits: u32,
    make: F,
}

impl<F> std::fmt::Debug for Generator<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator")
            .field("count", &self.count)
            .field("splits", &self.splits)
            .finish_non_exhaustive()
    }
}

impl<F> Generator<F> {
    /// The first number of split `split`, the first that is not its, and the step between.
    fn numbers_of(&self, split: u32) -> (Range<u64>, u64) {
        let (split, splits) = (u64::from(split), u64::from(self.splits));
        let Some(count) = self.count else {
            return (split..u64::MAX, splits);
        };
        // The first `more` splits have one number more than the others.
        let (each, more) = (count / splits, count % splits);
        let start = each * split + split.min(more);
        (start..start + each + u64::from(split < more), 1)
    }
}

impl<T, F> Source for Generator<F>
where
    T: Data,
    F: Fn(u64) -> T + Send + Sync + Clone + 'static,
{
    type Record = T;
    type Reader = GeneratorReader<F>;

    fn splits(&self) -> Result<Vec<String>> {
        if self.splits == 0 {
            return Err(Error::config("a generator with 0 splits makes nothing")
                .remedy("give it at least one"));
        }
        Ok((0..self.splits).map(|s| s.to_string()).collect())
    }

    fn open(
        &self,
        split: &str,
        position: Option<u64>,
        _waker: Waker,
    ) -> Result<GeneratorReader<F>> {
        let number: Option<u32> = split.parse().ok().filter(|s| *s < self.splits);
        let (numbers, step) = match number {
            Some(number) => self.numbers_of(number),
            None => {
                return Err(Error::checkpoint(format!(
                    "the generator has no split `{split}`"
                )));
            }
        };
        let next = position.unwrap_or(numbers.start);
        if next < numbers.start
            || next > numbers.end
            || !(next - numbers.start).is_multiple_of(step)
        {
            return Err(Error::checkpoint(format!(
                "split `{split}` of the generator makes the numbers {numbers:?} by {step}, the checkpoint stands at {next}"
            ))
            .remedy("keep the count and the splits of a generator, or start again with `--fresh`"));
        }
        Ok(GeneratorReader {
            next,
            numbers,
            step,
            is_bounded: self.count.is_some(),
            make: self.make.clone(),
        })
    }

    fn is_bounded(&self) -> bool {
        self.count.is_some()
    }
}

/// Makes the records of one split. Its position is the number of the next record.
pub struct GeneratorReader<F> {
    next: u64,
    numbers: Range<u64>,
    step: u64,
    is_bounded: bool,
    make: F,
}

impl<T, F> Reader for GeneratorReader<F>
where
    T: Data,
    F: Fn(u64) -> T + 'static,
{
    type Record = T;
    type Position = u64;

    // The number lies in a local, where the loop can keep it in a register.
    #[inline]
    fn read<E: Emit<T>>(&mut self, emit: &mut E) -> Result<Read> {
        let mut next = self.next;
        let mut read = Read::End;
        while next < self.numbers.end {
            let record = (self.make)(next);
            next = next.saturating_add(self.step);
            if !emit.emit(record) {
                read = Read::More;
                break;
            }
        }
        self.next = next;
        Ok(read)
    }

    fn position(&self) -> u64 {
        self.next
    }

    /// Records.
    fn progress(&self) -> Option<(u64, u64)> {
        let all = self.numbers.end - self.numbers.start;
        self.is_bounded
            .then(|| (self.next - self.numbers.start, all))
    }
}

#[cfg(test)]
mod tests {
    use millstream_engine::error::ErrorKind;

    use super::*;
    use crate::conformance::{check_source, read_split};

    #[test]
    fn keeps_the_laws_of_sources() {
        for (count, splits) in [(0, 1), (1, 1), (10, 3), (2, 5), (1000, 4)] {
            check_source(&generate(count, splits, |n| n * 7)).unwrap();
        }
    }

    #[test]
    fn splits_share_the_numbers_out() {
        for (count, splits) in [(0, 1), (10, 1), (10, 3), (2, 5), (99, 10)] {
            let source = generate(count, splits, |n| n);
            let read = source
                .splits()
                .unwrap()
                .into_iter()
                .flat_map(|split| read_split(&source, &split, None).unwrap().records);
            assert!(read.eq(0..count), "{count} in {splits}");
        }
    }

    #[test]
    fn endless_splits_keep_step() {
        struct Four(Vec<u64>);
        impl Emit<u64> for Four {
            fn emit(&mut self, record: u64) -> bool {
                self.0.push(record);
                self.0.len() < 4
            }
            fn skip(&mut self) -> bool {
                true
            }
        }
        let source = endless(3, |n| n);
        assert!(!source.is_bounded());
        for (split, position, expect) in
            [("0", None, [0, 3, 6, 9]), ("2", Some(14), [14, 17, 20, 23])]
        {
            let mut reader = source.open(split, position, Waker::none()).unwrap();
            let mut four = Four(Vec::new());
            assert_eq!(reader.read(&mut four).unwrap(), Read::More);
            assert_eq!(four.0, expect);
        }
    }

    #[test]
    fn a_checkpoint_of_another_generator_is_refused() {
        let source = generate(10, 2, |n| n);
        for (split, position) in [("0", 6), ("1", 4), ("2", 0), ("x", 0)] {
            let error = source
                .open(split, Some(position), Waker::none())
                .map(|_| ())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{split} {position}");
        }
        assert_eq!(
            generate(1, 0, |n| n).splits().unwrap_err().kind(),
            ErrorKind::Config
        );
        assert!(endless(2, |n| n).open("0", Some(3), Waker::none()).is_err());
    }
}
