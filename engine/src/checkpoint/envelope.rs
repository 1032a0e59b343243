//! The envelope of every small file that a checkpoint rests on: magic, version, length, checksum.
//!
//! ```text
//! magic 8 | format version u32 | body length u64 | body crc32 u32 | header crc32 u32 | body
//! ```
//! Integers are little-endian. What does not fit is refused with what was expected and found.

use crate::error::{Error, Result};

/// The version of the checkpoint format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;
const HEADER_BYTES: usize = 28;

/// Puts a body into an envelope.
pub(crate) fn seal(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Takes the body out of an envelope.
///
/// # Errors
/// [`ErrorKind::Checkpoint`](crate::error::ErrorKind::Checkpoint): what was expected and found.
pub(crate) fn open(magic: [u8; 8], bytes: &[u8]) -> Result<&[u8]> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| {
        damaged(format!(
            "it has {} bytes, its header alone has {HEADER_BYTES}",
            bytes.len()
        ))
    })?;
    if header[..8] != magic {
        return Err(damaged(format!(
            "it begins with {:?}, not with {:?}",
            String::from_utf8_lossy(&header[..8]),
            String::from_utf8_lossy(&magic)
        )));
    }
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if word(24) != crc32fast::hash(&header[..24]) {
        return Err(damaged(
            "its header does not match the header's checksum".to_owned(),
        ));
    }
    if word(8) != FORMAT_VERSION {
        return Err(Error::checkpoint(format!(
            "it is of format version {}, this program reads version {FORMAT_VERSION}",
            word(8)
        ))
        .remedy("use a program of the version that wrote it"));
    }
    let length = u64::from(word(12)) | u64::from(word(16)) << 32;
    if length != body.len() as u64 {
        return Err(damaged(format!(
            "it should hold {length} bytes and holds {}",
            body.len()
        )));
    }
    let (expected, found) = (word(20), crc32fast::hash(body));
    if expected != found {
        return Err(damaged(format!(
            "its checksum should be {expected:08x} and is {found:08x}"
        )));
    }
    Ok(body)
}

fn damaged(what: String) -> Error {
    Error::checkpoint(what).remedy(REMEDY)
}

/// What to do about a damaged checkpoint.
pub(crate) const REMEDY: &str =
    "nothing was changed; restore the checkpoint directory from a copy, or start over with --fresh";

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 8] = *b"TESTTEST";

    #[test]
    fn any_flipped_bit_and_any_cut_is_found() {
        let sealed = seal(MAGIC, b"a body of some bytes");
        assert_eq!(open(MAGIC, &sealed).unwrap(), b"a body of some bytes");
        for at in 0..sealed.len() {
            assert!(open(MAGIC, &sealed[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                assert!(open(MAGIC, &flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(open(*b"ANOTHER!", &sealed).is_err());
    }
}
