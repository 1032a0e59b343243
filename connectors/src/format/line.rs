//! How a record is written as one line of text.

use std::fmt::Debug;
use std::io::Write;

use serde::Serialize;

use millstream_engine::error::{Error, Result};

/// Writes records as lines.
pub trait LineFormat<T>: Send + Sync + 'static {
    /// Appends `record` and a line end to `out`. After an error `out` is as it was before.
    ///
    /// # Errors
    /// When the record cannot be expressed in the format.
    fn append(&self, record: &T, out: &mut Vec<u8>) -> Result<()>;
}

/// One JSON value a line. A float that is not a number or infinite becomes `null`, as JSON has
/// no word for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize> LineFormat<T> for Json {
    fn append(&self, record: &T, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        if let Err(cause) = serde_json::to_writer(&mut *out, record) {
            out.truncate(before);
            return Err(Error::user(format!(
                "a record of type `{}` cannot be written as JSON",
                std::any::type_name::<T>()
            ))
            .caused_by(cause)
            .remedy(
                "map keys must be strings or numbers; map the record to something JSON can say",
            ));
        }
        out.push(b'\n');
        Ok(())
    }
}

/// What `{:?}` shows, one record a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugText;

impl<T: Debug> LineFormat<T> for DebugText {
    fn append(&self, record: &T, out: &mut Vec<u8>) -> Result<()> {
        writeln!(out, "{record:?}")
            .map_err(|cause| Error::user("a record's `Debug` failed").caused_by(cause))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn json_is_one_line_a_record() {
        let mut out = Vec::new();
        Json.append(&("a\nb", 1), &mut out).unwrap();
        Json.append(&f64::NAN, &mut out).unwrap();
        assert_eq!(out, b"[\"a\\nb\",1]\nnull\n");
    }

    #[test]
    fn what_json_cannot_say_leaves_no_half_line() {
        let mut out = b"before\n".to_vec();
        let odd = (1, BTreeMap::from([((1, 2), 3)]));
        let error = Json.append(&odd, &mut out).unwrap_err();
        assert!(
            error.to_string().contains("key must be a string"),
            "{error}"
        );
        assert_eq!(out, b"before\n");
    }
}
