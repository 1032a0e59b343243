//! Kills a program at random times until enough is enough.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::child::Program;
use crate::on_disk::snapshot;

/// Kills come this late in a run at the most.
const LATEST_KILL_MS: u64 = 1500;
/// A third of the kills come so early that they hit the start and the recovery.
const EARLY_KILL_MS: u64 = 60;
/// A run that is killed more often than this may be killed early only, and never ends.
const KILLS_PER_RUN: u64 = 8;

/// How many kills there are to be in all.
pub(crate) fn kills_wanted() -> u64 {
    match std::env::var("MILLSTREAM_KILLS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 40,
    }
}

fn seed() -> u64 {
    match std::env::var("MILLSTREAM_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => millstream::Clock::system().now_ms() as u64,
    }
}

/// Numbers that look random (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % bound
    }

    fn delay_ms(&mut self) -> u64 {
        match self.below(3) {
            0 => self.below(EARLY_KILL_MS),
            _ => self.below(LATEST_KILL_MS),
        }
    }
}

#[derive(Default)]
struct Tally {
    kills: u64,
    /// Before the killed process had saved anything: at its start, or while it recovered.
    in_recovery: u64,
    runs: u64,
}

/// Kills the program until it was killed so often; each time it has ended by itself in between,
/// `check` looks at its output, and it begins anew.
pub(crate) fn torture(program: &Program, kills: u64, stream: u64, check: impl Fn(&Path)) {
    let seed = seed();
    let name = program.name();
    eprintln!("{name}: {kills} kills, MILLSTREAM_SEED={seed}");
    let mut random = Random::new(seed ^ stream << 32);
    let mut tally = Tally::default();
    while tally.kills < kills {
        let dir = tempfile::tempdir().unwrap();
        let most = (kills - tally.kills).min(KILLS_PER_RUN);
        run_with_kills(program, dir.path(), most, &mut random, &mut tally);
        tally.runs += 1;
        check(&dir.path().join("output"));
        check_complete(program, dir.path());
    }
    eprintln!(
        "{name}: {} kills, {} of them at the start or in the recovery; {} jobs came to their end, all results once",
        tally.kills, tally.in_recovery, tally.runs
    );
}

fn run_with_kills(
    program: &Program,
    dir: &Path,
    most: u64,
    random: &mut Random,
    tally: &mut Tally,
) {
    let mut visible = BTreeMap::new();
    for kill in 0..=most {
        let mut run = program.start(dir, 1 + random.below(4));
        let ended = match kill {
            kill if kill < most => run.wait_at_most(random.delay_ms()),
            _ => true,
        };
        if ended {
            let (status, stderr) = run.wait();
            assert!(status.success(), "{status}: {stderr}");
            check_kept(&visible, &visible_parts(dir));
            return;
        }
        let pid = run.pid();
        if run.kill() {
            tally.kills += 1;
            tally.in_recovery += u64::from(!has_saved(dir, pid));
        }
        let now = visible_parts(dir);
        check_kept(&visible, &now);
        visible = now;
    }
}

/// Whether the process has come as far as saving the state of an epoch.
fn has_saved(dir: &Path, pid: u32) -> bool {
    let mine = format!("-{pid}");
    let entries = fs::read_dir(dir.join("checkpoints")).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .any(|name| name.starts_with("epoch-") && name.ends_with(&mine))
}

/// What a reader of the results sees.
fn visible_parts(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = snapshot(&dir.join("output"));
    files.retain(|path, _| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("part-")
    });
    files
}

/// A part that a reader has seen stays as it was.
fn check_kept(before: &BTreeMap<PathBuf, Vec<u8>>, now: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, content) in before {
        assert!(
            now.get(path) == Some(content),
            "{} was changed or removed after it was visible",
            path.display()
        );
    }
}

/// Another start says that all is done, and changes nothing.
fn check_complete(program: &Program, dir: &Path) {
    let before = snapshot(dir);
    let (status, stderr) = program.start(dir, 2).wait();
    assert!(status.success(), "{status}: {stderr}");
    assert!(stderr.contains("This job is complete"), "{stderr}");
    assert!(snapshot(dir) == before, "a complete job was changed");
}
