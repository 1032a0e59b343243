//! A job whose sources take longer to open than the time between checkpoints.

use std::sync::mpsc;
use std::time::Duration;

use millstream::Outcome;
use millstream::engine::graph::source::{Reader, Waker};
use millstream::prelude::*;

/// A source whose splits open slowly.
struct Slow<S>(S);

const OPENING: Duration = Duration::from_millis(50);
const HANGS_AFTER: Duration = Duration::from_secs(60);

impl<S: Source> Source for Slow<S> {
    type Record = S::Record;
    type Reader = S::Reader;

    fn splits(&self) -> Result<Vec<String>> {
        self.0.splits()
    }

    fn open(
        &self,
        split: &str,
        position: Option<<S::Reader as Reader>::Position>,
        waker: Waker,
    ) -> Result<S::Reader> {
        let (_silent, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(OPENING);
        self.0.open(split, position, waker)
    }
}

#[test]
fn a_checkpoint_that_is_due_before_the_sources_are_open_is_taken() {
    let (done, report) = mpsc::channel();
    std::thread::spawn(move || {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            workers: 2,
            checkpoint_dir: Some(dir.path().join("checkpoints")),
            checkpoint_interval: Duration::from_millis(1),
            memory_bytes: 64 << 20,
            ..Settings::default()
        };
        let rows = memory::sink();
        let job = Job::new("slow");
        let numbers = Slow(generator::generate(1000, 2, |n| n));
        job.source("numbers", numbers.event_time(|n| *n as i64, Lag::NONE))
            .to("rows", rows.clone());
        let report = job.run(&settings).unwrap();
        done.send((report.outcome, rows.rows().len())).unwrap();
    });
    let ended = report.recv_timeout(HANGS_AFTER);
    assert_eq!(ended, Ok((Outcome::Completed, 1000)));
}
