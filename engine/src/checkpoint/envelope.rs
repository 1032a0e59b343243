//! The envelope of every small file that a checkpoint rests on: magic, version, length, checksum.
//!
//! ```text
//! magic 8 | format version u32 | body length u64 | body crc32 u32 | header crc32 u32 | body
//! ```
//! Integers are little-endian. What does not fit is refused with what was expected and found.

use crate::error::{Error, Result};

/// The version of the checkpoint format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 3;
pub(crate) const HEADER_BYTES: usize = 28;

/// Puts a body into an envelope.
pub(crate) fn seal(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&header(magic, body.len() as u64, crc32fast::hash(body)));
    bytes.extend_from_slice(body);
    bytes
}

/// What stands in front of a body of this length and checksum.
pub(crate) fn header(magic: [u8; 8], len: u64, crc32: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&crc32.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Takes the body out of an envelope.
///
/// # Errors
/// [`ErrorKind::Checkpoint`](crate::error::ErrorKind::Checkpoint): what was expected and found.
pub(crate) fn open(magic: [u8; 8], bytes: &[u8]) -> Result<&[u8]> {
    let (header, body) = bytes.split_at(bytes.len().min(HEADER_BYTES));
    let expected = open_header(magic, header, body.len() as u64)?;
    check_body(expected, crc32fast::hash(body))?;
    Ok(body)
}

/// Reads what stands in front of a body of this length. Returns the checksum that it should have.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_header(magic: [u8; 8], header: &[u8], body_len: u64) -> Result<u32> {
    if header.len() < HEADER_BYTES {
        return Err(damaged(format!(
            "it has {} bytes, its header alone has {HEADER_BYTES}",
            header.len()
        )));
    }
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
    if length != body_len {
        return Err(damaged(format!(
            "it should hold {length} bytes and holds {body_len}"
        )));
    }
    Ok(word(20))
}

/// Compares the checksum that a body should have with the one that it has.
///
/// # Errors
/// As [`open`].
pub(crate) fn check_body(expected: u32, found: u32) -> Result<()> {
    if expected != found {
        return Err(damaged(format!(
            "its checksum should be {expected:08x} and is {found:08x}"
        )));
    }
    Ok(())
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
