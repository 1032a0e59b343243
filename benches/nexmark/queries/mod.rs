//! The queries as jobs of Millstream's.

use millstream::{Error, Result};

use crate::args::Args;
use crate::outcome::Outcome;

/// Runs a query as a job.
///
/// # Errors
/// Those of the job.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    Err(Error::config(format!(
        "query {} is not there yet for the engine",
        args.query
    ))
    .remedy("run the loop, with `--engine loop`"))
}
