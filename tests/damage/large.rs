//! State files too large to be read at the start: a damaged block stops the job when it is read,
//! or it is never needed.

use std::fs;
use std::path::{Path, PathBuf};

use millstream::prelude::*;
use millstream::{Environment, Outcome, Stopper};

use crate::{check_error, on_disk};

/// The engine reads files up to this length in full at the start.
const CHECKED_AT_START: usize = 1 << 20;
const KEYS: u64 = 60_000;
/// Of such rows an epoch has more than fits into files of changes, and a file of RocksDB is large.
const WORDS: usize = 16;

/// Bits that do not compress.
fn noise(n: u64) -> u64 {
    let x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Each key comes twice; the second time its state is read.
fn run(dir: &Path, stop: bool) -> Result<Outcome> {
    let job = Job::new("large");
    let numbers = generator::generate(2 * KEYS, 1, |n| n);
    job.source("numbers", numbers.event_time(|n| *n as i64, Lag::NONE))
        .key_by(|n| n % KEYS)
        .fold("noise", [0_u64; WORDS], |state: &mut [u64; WORDS], n| {
            for (at, word) in state.iter_mut().enumerate() {
                *word = word.wrapping_add(noise(n * WORDS as u64 + at as u64));
            }
        })
        .to("out", file::jsonl(dir.join("output")));
    let settings = Settings {
        workers: 2,
        checkpoint_dir: Some(dir.join("checkpoints")),
        checkpoint_interval: Duration::from_millis(if stop { 600 } else { 1000 }),
        memory_bytes: 64 << 20,
        throttle_rows_per_s: stop.then_some(KEYS),
        ..Settings::default()
    };
    let stopper = Stopper::default();
    let asked = stopper.clone();
    let environment = Environment {
        stopper,
        observe: Box::new(move |counted| {
            if stop && counted.checkpoints >= 2 && counted.read > KEYS {
                asked.stop();
            }
        }),
        ..Environment::default()
    };
    Ok(job.run_in(&settings, environment)?.outcome)
}

fn output(dir: &Path) -> Vec<String> {
    let mut rows = on_disk::rows(&dir.join("output"));
    rows.sort();
    rows
}

#[test]
fn a_damaged_block_stops_the_job_or_is_not_needed() {
    let whole = tempfile::tempdir().unwrap();
    assert_eq!(run(whole.path(), false).unwrap(), Outcome::Completed);
    let expected = output(whole.path());
    let stopped = tempfile::tempdir().unwrap();
    assert_eq!(run(stopped.path(), true).unwrap(), Outcome::Stopped);
    let files = on_disk::snapshot(&stopped.path().join("checkpoints"));
    let large: Vec<(PathBuf, Vec<u8>)> = files
        .into_iter()
        .filter(|(_, content)| content.len() > CHECKED_AT_START)
        .collect();
    assert!(!large.is_empty(), "no file is large enough");
    let mut refused = 0;
    for (path, content) in &large {
        let relative = path.strip_prefix(stopped.path()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        for sixteenth in 0..=16 {
            let at = (content.len() - 1) * sixteenth / 16;
            let what = format!("{} flipped at {at}", relative.display());
            let copy = tempfile::tempdir().unwrap();
            on_disk::copy(stopped.path(), copy.path());
            let mut flipped = content.clone();
            flipped[at] ^= 1 << (sixteenth % 8);
            fs::write(copy.path().join(relative), flipped).unwrap();
            match run(copy.path(), false) {
                Ok(outcome) => {
                    assert_eq!(outcome, Outcome::Completed, "{what}");
                    assert!(output(copy.path()) == expected, "{what}: wrong rows");
                }
                Err(error) => {
                    check_error(&error, &[&name], &what);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0, "no damage was found");
}
