//! Named places in the commit protocol where tests let the process fail or die.
//!
//! Without the `failpoints` feature they compile to nothing.

use crate::error::Result;

/// Every point of the checkpoint directory and of the keeper, in the order of the protocol.
pub const FAIL_POINTS: [&str; 23] = [
    "rec.manifest.read",
    "rec.verify",
    "rec.live",
    "rec.changes.read",
    "ckpt.changes.write",
    "ckpt.changes.fsync",
    "rocks.write",
    "ckpt.mkdir",
    "rocks.flush",
    "ckpt.link",
    "ckpt.file.fsync",
    "ckpt.dir.fsync",
    "ckpt.manifest.write",
    "ckpt.manifest.fsync",
    "ckpt.manifest.rename",
    "ckpt.manifest.renamed",
    "ckpt.parent.fsync",
    "ckpt.identity.write",
    "ckpt.identity.fsync",
    "ckpt.identity.rename",
    "ckpt.identity.renamed",
    "gc.list",
    "gc.delete",
];

/// A place where a test may let things fail.
///
/// # Errors
/// When a test says so.
pub(crate) fn reach(point: &'static str) -> Result<()> {
    let _ = point;
    fail::fail_point!(point, |_| Err(crate::error::Error::io(
        point,
        std::io::Error::other("injected failure")
    )));
    Ok(())
}
