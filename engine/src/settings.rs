//! The knobs of a job: data only.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a job runs. `Settings::default()` uses every core, half of the machine's memory, and
/// keeps no checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Worker threads; 0: one for each core. At most [`KEY_GROUPS`](crate::state::key_group::KEY_GROUPS).
    pub workers: usize,
    /// Where checkpoints are kept; `None`: nowhere, a restart begins anew.
    pub checkpoint_dir: Option<PathBuf>,
    /// The time from one checkpoint's start to the next one's.
    pub checkpoint_interval: Duration,
    /// Start over: what the checkpoint directory and the outputs hold of this job is removed.
    pub fresh: bool,
    /// The most records a source reads at a time.
    pub batch_records: usize,
    /// The memory for state, caches and queues; 0: half of the machine's. State that does not fit
    /// goes to disk. Some 32 MiB of it are the program's own, so below 64 MiB a job has room for few
    /// rows and takes more than it was told.
    pub memory_bytes: usize,
    /// How much may wait in one queue between two workers.
    pub queue_bytes: usize,
    /// The longest that results wait for others before they go to their sink's writer together.
    /// What a writer makes visible only with a checkpoint waits for that all the same.
    pub flush_interval: Duration,
    /// The most rows a second that all sources together read; `None`: as fast as can be.
    pub throttle_rows_per_s: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            workers: 0,
            checkpoint_dir: None,
            checkpoint_interval: Duration::from_secs(1),
            fresh: false,
            batch_records: 4096,
            memory_bytes: 0,
            queue_bytes: 2 << 20,
            flush_interval: Duration::from_millis(100),
            throttle_rows_per_s: None,
        }
    }
}
