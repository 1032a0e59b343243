//! The bytes of everything that is stored: bincode's standard layout behind a version.
//!
//! A stored value begins with its version, so that a later program can tell what it reads.
//! The layout is bincode 2's `standard` configuration (little-endian, variable-length integers)
//! and is frozen: changing it is a change of the checkpoint format.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// No stored value may decode to more than this many bytes of claimed length: damaged bytes must
/// not make the decoder allocate.
const DECODED_BYTES_MAX: usize = 1 << 30;

fn config() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODED_BYTES_MAX>,
> {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

/// Appends the bytes of `value`.
///
/// # Errors
/// When the type's `Serialize` fails.
pub fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    bincode::serde::encode_into_std_write(value, bytes, config())
        .map(|_| ())
        .map_err(|e| unencodable::<T>(e))
}

/// The bytes of `value`.
///
/// # Errors
/// When the type's `Serialize` fails.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// Reads a value back; all bytes must belong to it.
///
/// # Errors
/// When the bytes are not those of a `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(Error::checkpoint(format!(
            "a stored `{}` has {} bytes, of which only {used} belong to it",
            std::any::type_name::<T>(),
            bytes.len()
        ))),
        Err(e) => Err(Error::checkpoint(format!(
            "{} bytes are no stored `{}`",
            bytes.len(),
            std::any::type_name::<T>()
        ))
        .caused_by(e)),
    }
}

/// Appends the version and the bytes of a stored value.
///
/// # Errors
/// When the type's `Serialize` fails.
pub fn encode_versioned<T: Serialize>(version: u8, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.push(version);
    encode_into(value, bytes)
}

/// Reads back a stored value of exactly this version.
///
/// # Errors
/// When the version differs or the bytes are not those of a `T`.
pub fn decode_versioned<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&found, rest)) if found == version => decode(rest),
        Some((&found, _)) => Err(Error::checkpoint(format!(
            "a stored `{}` has version {found}, this program reads version {version}",
            std::any::type_name::<T>()
        ))
        .remedy("run the program that wrote the checkpoint, or start afresh with --fresh")),
        None => Err(Error::checkpoint(format!(
            "a stored `{}` is empty",
            std::any::type_name::<T>()
        ))),
    }
}

#[cold]
fn unencodable<T>(e: bincode::error::EncodeError) -> Error {
    Error::user(format!(
        "a `{}` cannot be turned into bytes",
        std::any::type_name::<T>()
    ))
    .caused_by(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let value = (7u64, String::from("EWR"), vec![1i64, -2]);
        let mut bytes = Vec::new();
        encode_versioned(3, &value, &mut bytes).unwrap();
        assert_eq!(
            decode_versioned::<(u64, String, Vec<i64>)>(3, &bytes).unwrap(),
            value
        );
        assert!(decode_versioned::<(u64, String, Vec<i64>)>(4, &bytes).is_err());
        for cut in 0..bytes.len() {
            assert!(
                decode_versioned::<(u64, String, Vec<i64>)>(3, &bytes[..cut]).is_err(),
                "{cut}"
            );
        }
        bytes.push(0);
        assert!(decode_versioned::<(u64, String, Vec<i64>)>(3, &bytes).is_err());
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let huge = [253u8, 255, 255, 255, 255, 255, 255, 255, 127];
        assert!(decode::<Vec<u64>>(&huge).is_err());
    }
}
