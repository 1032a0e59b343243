//! A job that writes JSON lines, stopped at every step of its commits and of its recovery, once
//! and twice: in the end each record is there once. Needs the feature `failpoints`.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::path::Path;

use fail::FailScenario;
use millstream_connectors::file;
use millstream_connectors::file::jsonl::JsonLines;
use millstream_connectors::file::part::PartsPending;
use millstream_engine::error::Result;
use millstream_engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};

const POINTS: [&str; 5] = [
    "sink.part.write",
    "sink.part.fsync",
    "sink.dir.fsync",
    "sink.part.rename",
    "sink.part.renamed",
];
const EPOCHS: u64 = 5;
const RECORDS_PER_EPOCH: u64 = 6;

/// What survives a crash: the last complete checkpoint.
struct Job<'d> {
    dir: &'d Path,
    epoch: u64,
    pending: Option<Vec<PartsPending>>,
}

impl Job<'_> {
    fn sink(&self) -> JsonLines {
        file::jsonl(self.dir.join("out")).roll_bytes(5)
    }

    /// Runs until the end or the first error.
    fn run(&mut self, of: usize) -> Result<()> {
        let sink = self.sink();
        let pending = self.pending.clone();
        let start = match &pending {
            Some(pending) => SinkStart::Restored {
                pending,
                writers: of,
            },
            None => SinkStart::First,
        };
        Sink::<u64>::recover(&sink, &start)?;
        let pending = pending.unwrap_or_default();
        let open =
            |index| Sink::<u64>::open(&sink, WriterSlot { index, of }, pending.get(index).cloned());
        let mut writers = (0..of).map(open).collect::<Result<Vec<_>>>()?;
        while self.epoch < EPOCHS {
            let epoch = self.epoch + 1;
            for n in 0..RECORDS_PER_EPOCH {
                let mut chunk = Vec::new();
                Sink::<u64>::encode(&sink, self.epoch * RECORDS_PER_EPOCH + n, 0, &mut chunk)?;
                writers[n as usize % of].write(chunk)?;
            }
            let prepare = |writer: &mut <JsonLines as Sink<u64>>::Writer| {
                writer.prepare(epoch, epoch == EPOCHS)
            };
            let pending = writers
                .iter_mut()
                .map(prepare)
                .collect::<Result<Vec<_>>>()?;
            self.epoch = epoch;
            self.pending = Some(pending.clone());
            for (writer, pending) in writers.iter_mut().zip(&pending) {
                writer.commit(pending)?;
            }
        }
        Ok(())
    }

    fn output(&self) -> Vec<u64> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.dir.join("out")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("part-"), "`{name}` is left over");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.ends_with('\n'), "`{name}` is no whole part");
            records.extend(text.lines().map(|line| line.parse::<u64>().unwrap()));
        }
        records.sort_unstable();
        records
    }
}

/// Lets each point fail once, after it was passed some times. Returns how often the job was
/// started until it came to its end.
fn starts_until_done(faults: &[(&str, &str, u32)], writers: &[usize]) -> usize {
    let scenario = FailScenario::setup();
    for (point, action, passes) in faults {
        let before = if *passes == 0 {
            String::new()
        } else {
            format!("{passes}*off->")
        };
        fail::cfg(*point, &format!("{before}1*{action}->off")).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut job = Job {
        dir: dir.path(),
        epoch: 0,
        pending: None,
    };
    let mut starts = 0;
    while let Err(error) = job.run(writers[starts % writers.len()]) {
        assert!(
            error.to_string().contains("a fail point said so"),
            "{faults:?}: {error}"
        );
        starts += 1;
        assert!(starts <= faults.len(), "{faults:?}");
    }
    let all: Vec<u64> = (0..EPOCHS * RECORDS_PER_EPOCH).collect();
    assert_eq!(job.output(), all, "{faults:?} with {writers:?} writers");
    scenario.teardown();
    starts + 1
}

/// Fail points are the process's: everything that sets them is one test.
#[test]
fn each_record_is_there_once_wherever_the_job_stops() {
    assert_eq!(starts_until_done(&[], &[2]), 1);
    for point in POINTS {
        for passes in 0..8 {
            let starts = starts_until_done(&[(point, "return", passes)], &[2]);
            assert_eq!(starts, 2, "{point} was not reached {passes} times");
            starts_until_done(&[(point, "return", passes)], &[2, 1]);
            starts_until_done(&[(point, "return", passes)], &[1, 3]);
        }
    }
    for passes in 0..24 {
        starts_until_done(&[("sink.part.write", "return(torn)", passes)], &[2, 3]);
    }
    for first in POINTS {
        for second in POINTS.into_iter().filter(|second| *second != first) {
            for passes in [(0, 0), (1, 3), (3, 4), (5, 6)] {
                let faults = [(first, "return", passes.0), (second, "return", passes.1)];
                starts_until_done(&faults, &[3, 1, 2]);
            }
        }
    }
}
