//! The laws that every source and every exactly-once sink must keep, as checks that a connector's
//! tests call: [`check_source`] and [`check_sink`].

mod sink;
mod source;

pub use self::sink::{Outside, check_sink};
pub use self::source::{Collected, check_source, read_split};

use millstream_engine::error::{Error, Result};

/// A law that does not hold is an error that says which and how.
fn hold(law: &str, holds: bool, seen: impl FnOnce() -> String) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::internal(format!("conformance: {law}: {}", seen())))
    }
}

/// What a checkpoint would give back.
fn through_bytes<P: millstream_engine::data::Wire>(what: &P) -> Result<P> {
    let failed = |cause: serde_json::Error| {
        Error::internal("conformance: what is stored in a checkpoint survives it").caused_by(cause)
    };
    let bytes = serde_json::to_vec(what).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(failed)
}
