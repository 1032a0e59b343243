//! The file that holds what one epoch has changed, beside the last whole checkpoint.
//!
//! ```text
//! envelope | runs u32 | for each run:
//!     column family: length u32, bytes
//!     ranges u32 | for each: from, to: length u32, bytes
//!     rows u64   | for each: key length u32, value length u32 (all ones: deleted), key, value
//! ```
//! Integers are little-endian. Written anew for each epoch, listed in the epoch's manifest with
//! length and checksum, read back in order at a restart.

use crate::checkpoint::envelope::{self, REMEDY};
use crate::error::{Error, Result};
use crate::state::run::Run;

const MAGIC: [u8; 8] = *b"MILLCHNG";
const DELETED: u32 = u32::MAX;

/// The bytes of such a file.
pub fn encode(runs: &[Run]) -> Vec<u8> {
    let size: usize = runs.iter().map(|run| run.bytes() + 64).sum();
    let mut body = Vec::with_capacity(size);
    push_count(runs.len(), &mut body);
    for run in runs {
        push_bytes(run.column_family.as_bytes(), &mut body);
        push_count(run.ranges().len(), &mut body);
        for (from, to) in run.ranges() {
            push_bytes(from, &mut body);
            push_bytes(to, &mut body);
        }
        body.extend_from_slice(&(run.rows().len() as u64).to_le_bytes());
        for (key, value) in run.rows() {
            push_count(key.len(), &mut body);
            match value {
                Some(value) => push_count(value.len(), &mut body),
                None => body.extend_from_slice(&DELETED.to_le_bytes()),
            }
            body.extend_from_slice(key);
            body.extend_from_slice(value.unwrap_or_default());
        }
    }
    envelope::seal(MAGIC, &body)
}

fn push_count(count: usize, body: &mut Vec<u8>) {
    // Runs are closed long before 4 GiB.
    body.extend_from_slice(&(count as u32).to_le_bytes());
}

fn push_bytes(bytes: &[u8], body: &mut Vec<u8>) {
    push_count(bytes.len(), body);
    body.extend_from_slice(bytes);
}

/// Reads such a file back.
///
/// # Errors
/// When it is damaged or of another format version.
pub fn decode(bytes: &[u8]) -> Result<Vec<Run>> {
    let mut rest = Rest(envelope::open(MAGIC, bytes)?);
    let mut runs = Vec::new();
    for _ in 0..rest.count()? {
        let family = rest.sized()?;
        let family = std::str::from_utf8(family).map_err(|_| torn())?;
        let mut run = Run::new(family);
        for _ in 0..rest.count()? {
            let from = rest.sized()?.to_vec();
            run.delete_range((from, rest.sized()?.to_vec()));
        }
        let mut rows = [0; 8];
        rows.copy_from_slice(rest.take(8)?);
        for _ in 0..u64::from_le_bytes(rows) {
            let (key, value) = (rest.count()?, rest.count()?);
            let key = rest.take(key as usize)?;
            let value = match value {
                DELETED => None,
                len => Some(rest.take(len as usize)?),
            };
            run.push_bytes(key, value);
        }
        runs.push(run);
    }
    match rest.0 {
        [] => Ok(runs),
        _ => Err(torn()),
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(torn)?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn sized(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len as usize)
    }
}

#[cold]
fn torn() -> Error {
    Error::checkpoint("its lengths do not add up").remedy(REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(runs: &[Run]) -> String {
        let rows = |run: &Run| {
            let rows: Vec<_> = run.rows().collect();
            format!("{}: {:?} {rows:?}", run.column_family, run.ranges())
        };
        runs.iter().map(rows).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn reads_back_what_it_wrote_and_refuses_what_is_cut_or_flipped() {
        let mut first = Run::new("op/table");
        first.delete_range((vec![1], vec![2, 3]));
        first.push_bytes(b"key", Some(b"value"));
        first.push_bytes(b"gone", None);
        first.push_bytes(b"", Some(b""));
        let runs = [first, Run::new("empty")];
        let bytes = encode(&runs);
        assert_eq!(shown(&decode(&bytes).unwrap()), shown(&runs));
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(decode(&flipped).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let mut run = Run::new("t");
        run.push_bytes(b"key", Some(b"value"));
        let sealed = encode(&[run]);
        let body = &sealed[28..];
        for cut in 0..body.len() {
            assert!(
                decode(&envelope::seal(MAGIC, &body[..cut])).is_err(),
                "{cut}"
            );
        }
        let longer = [body, b"x"].concat();
        assert!(decode(&envelope::seal(MAGIC, &longer)).is_err());
    }
}
