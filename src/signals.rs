//! SIGINT and SIGTERM: the first asks the job to stop, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream_engine::error::{Error, Result};
use millstream_engine::runtime::supervisor::Stopper;
use signal_hook::consts::TERM_SIGNALS;
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

/// What a process ends with when a second signal does not let it take its last checkpoint.
const KILLED_BY_SIGNAL: i32 = 130;

/// Lets signals stop a job.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn stop_on_signals(stopper: Stopper) -> Result<()> {
    let failed = |e| Error::io("signal handlers cannot be installed", e);
    let asked = Arc::new(AtomicBool::new(false));
    for &signal in TERM_SIGNALS {
        // Registered first: it sees the flag as the signal before left it.
        register_conditional_shutdown(signal, KILLED_BY_SIGNAL, asked.clone()).map_err(failed)?;
        signal_hook::flag::register(signal, asked.clone()).map_err(failed)?;
    }
    let mut signals = Signals::new(TERM_SIGNALS).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if signals.forever().next().is_some() {
                stopper.stop();
            }
        })
        .map_err(failed)?;
    Ok(())
}
