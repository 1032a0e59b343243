//! The events as a source of a job.

use millstream::engine::graph::source::{Emit, Read, Reader, Source, Waker};
use millstream::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::arrival::Cursor;
use crate::event::Event;
use crate::generator::Generator;
use crate::input::Input;

/// A source of events; its splits are numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Nexmark {
    input: Input,
    generator: Generator,
}

impl Nexmark {
    /// Reads `input`.
    ///
    /// # Errors
    /// As [`Input::check`].
    pub(crate) fn new(input: Input) -> Result<Self> {
        input.check()?;
        Ok(Nexmark {
            input,
            generator: Generator::new(&input),
        })
    }
}

impl Source for Nexmark {
    type Record = Event;
    type Reader = NexmarkReader;

    fn splits(&self) -> Result<Vec<String>> {
        Ok((0..self.input.splits).map(|s| s.to_string()).collect())
    }

    fn open(&self, split: &str, position: Option<Position>, _: Waker) -> Result<NexmarkReader> {
        let number = split.parse().ok().filter(|s| *s < self.input.splits);
        let Some(number) = number else {
            return Err(Error::checkpoint(format!(
                "the events have no split `{split}`, there are {}",
                self.input.splits
            ))
            .remedy("keep `--splits` of the first run"));
        };
        let mut cursor = Cursor::new(self.input, number);
        if let Some(position) = position {
            if position.input != self.input {
                return Err(Error::checkpoint(format!(
                    "the checkpoint was taken of other events ({:?}) than these ({:?})",
                    position.input, self.input
                ))
                .remedy("keep the flags of the first run, or give another `--checkpoint-dir`"));
            }
            if position.next > cursor.len() {
                return Err(Error::checkpoint(format!(
                    "split `{split}` has {} events, the checkpoint stands at {}",
                    cursor.len(),
                    position.next
                )));
            }
            cursor.seek(position.next);
        }
        Ok(NexmarkReader {
            input: self.input,
            cursor,
            generator: self.generator.clone(),
        })
    }
}

/// How far a split has been read, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// How many events of the split have been read.
    next: u64,
    input: Input,
}

/// Makes the events of one split.
#[derive(Debug)]
pub(crate) struct NexmarkReader {
    input: Input,
    cursor: Cursor,
    generator: Generator,
}

impl Reader for NexmarkReader {
    type Record = Event;
    type Position = Position;

    #[inline]
    fn read<E: Emit<Event>>(&mut self, emit: &mut E) -> Result<Read> {
        for number in &mut self.cursor {
            if !emit.emit(self.generator.event(number)) {
                return Ok(Read::More);
            }
        }
        Ok(Read::End)
    }

    fn position(&self) -> Position {
        Position {
            next: self.cursor.at(),
            input: self.input,
        }
    }

    /// Events.
    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.cursor.at(), self.cursor.len()))
    }
}

#[cfg(test)]
mod tests {
    use millstream::ErrorKind;
    use millstream::engine::conformance::{check_source, read_split};

    use super::*;

    const INPUT: Input = Input {
        events: 1000,
        rate: 100_000,
        wide: false,
        splits: 1,
        shuffle_ms: 0,
    };

    #[test]
    #[rustfmt::skip]
    fn keeps_the_laws_of_sources() {
        for input in [
            INPUT,
            Input { events: 0, ..INPUT },
            Input { splits: 3, ..INPUT },
            Input { splits: 30, wide: true, ..INPUT },
            Input { splits: 2, shuffle_ms: 3, ..INPUT },
        ] {
            check_source(&Nexmark::new(input).unwrap()).unwrap();
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_checkpoint_of_other_events_is_refused() {
        let source = Nexmark::new(INPUT).unwrap();
        let end = read_split(&source, "0", None).unwrap().end;
        for (split, position) in [
            ("0", Position { next: 1001, ..end }),
            ("0", Position { input: Input { splits: 2, ..INPUT }, ..end }),
            ("0", Position { input: Input { rate: 1, ..INPUT }, ..end }),
            ("1", end),
            ("x", end),
        ] {
            let error = source.open(split, Some(position), Waker::none()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{split} {position:?}");
        }
        assert!(source.open("0", Some(end), Waker::none()).is_ok());
    }
}
