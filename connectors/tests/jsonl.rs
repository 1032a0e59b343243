//! What `file::jsonl` promises: whole parts, exactly once, nothing damaged goes unnoticed.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_connectors::conformance::{Outside, check_sink};
use millstream_connectors::file;
use millstream_connectors::file::jsonl::JsonLines;
use millstream_connectors::file::part::PartsPending;
use millstream_connectors::file::part_writer::PartWriter;
use millstream_engine::error::{ErrorKind, Result};
use millstream_engine::graph::sink::{Sink, SinkStart, Writer, WriterSlot};
use millstream_engine::time::clock::Clock;
use tempfile::TempDir;

type Files = BTreeMap<String, String>;

/// Every file of a folder with what it holds.
fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

fn expect(files: &[(&str, &str)]) -> Files {
    files
        .iter()
        .map(|(name, text)| (name.to_string(), text.to_string()))
        .collect()
}

fn recover(sink: &JsonLines, start: &SinkStart<'_, PartsPending>) -> Result<()> {
    Sink::<u64>::recover(sink, start)
}

fn restore(sink: &JsonLines, pending: &[PartsPending], writers: usize) -> Result<()> {
    recover(sink, &SinkStart::Restored { pending, writers })
}

fn open(sink: &JsonLines, index: usize, restored: Option<PartsPending>) -> PartWriter {
    Sink::<u64>::open(sink, WriterSlot { index, of: 4 }, restored).unwrap()
}

fn write(writer: &mut PartWriter, numbers: std::ops::Range<u64>) {
    let mut chunk = Vec::new();
    for n in numbers {
        Sink::<u64>::encode(&file::jsonl(""), n, 0, &mut chunk).unwrap();
    }
    writer.write(chunk).unwrap();
}

fn commit(writer: &mut PartWriter, epoch: u64, last: bool) -> PartsPending {
    let pending = writer.prepare(epoch, last).unwrap();
    writer.commit(&pending).unwrap();
    pending
}

struct Dir {
    dir: TempDir,
    roll_bytes: u64,
}

impl Outside for Dir {
    type Record = u64;
    type Sink = JsonLines;

    fn sink(&self) -> JsonLines {
        file::jsonl(self.dir.path().join("made/by/the/sink")).roll_bytes(self.roll_bytes)
    }

    fn record(&self, n: u64) -> u64 {
        n
    }

    fn visible(&self) -> Result<Vec<u64>> {
        let parts = files(&self.dir.path().join("made/by/the/sink"));
        let visible = parts.iter().filter(|(name, _)| name.starts_with("part-"));
        assert!(
            visible.clone().all(|(_, text)| text.ends_with('\n')),
            "{parts:?}"
        );
        Ok(visible
            .flat_map(|(_, text)| text.lines())
            .map(|line| line.parse().unwrap())
            .collect())
    }
}

#[test]
fn keeps_the_laws_of_sinks() {
    for roll_bytes in [0, 8, u64::MAX] {
        check_sink(|| Dir {
            dir: tempfile::tempdir().unwrap(),
            roll_bytes,
        })
        .unwrap();
    }
}

#[test]
fn each_writer_has_its_parts_and_readers_see_whole_ones() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path()).roll_bytes(6);
    recover(&sink, &SinkStart::First).unwrap();
    let (mut zero, mut two) = (open(&sink, 0, None), open(&sink, 2, None));
    write(&mut zero, 0..2);
    write(&mut two, 10..12);
    commit(&mut zero, 1, false);
    commit(&mut two, 1, false);
    let begun = expect(&[
        (".part-000-000000.jsonl.tmp", "0\n1\n"),
        ("part-002-000000.jsonl", "10\n11\n"),
    ]);
    assert_eq!(files(dir.path()), begun);
    write(&mut zero, 2..4);
    write(&mut two, 12..13);
    commit(&mut zero, 2, false);
    commit(&mut two, 2, true);
    let all = expect(&[
        ("part-000-000000.jsonl", "0\n1\n2\n3\n"),
        ("part-002-000000.jsonl", "10\n11\n"),
        ("part-002-000001.jsonl", "12\n"),
    ]);
    assert_eq!(files(dir.path()), all);
}

#[test]
fn a_part_of_some_age_is_complete_even_if_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual(1_000);
    let sink = file::jsonl(dir.path())
        .clock(clock)
        .roll_after(Duration::from_secs(10));
    recover(&sink, &SinkStart::First).unwrap();
    let mut writer = open(&sink, 0, None);
    hand.advance_ms(60_000);
    write(&mut writer, 0..1);
    assert_eq!(commit(&mut writer, 1, false).finished, []);
    hand.advance_ms(9_999);
    assert_eq!(commit(&mut writer, 2, false).finished, []);
    hand.advance_ms(1);
    assert_eq!(commit(&mut writer, 3, false).finished.len(), 1);
    assert_eq!(
        files(dir.path()),
        expect(&[("part-000-000000.jsonl", "0\n")])
    );
}

#[test]
fn a_part_without_bytes_is_never_made() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path()).roll_bytes(0);
    recover(&sink, &SinkStart::First).unwrap();
    let mut writer = open(&sink, 0, None);
    commit(&mut writer, 1, false);
    writer.write(Vec::new()).unwrap();
    commit(&mut writer, 2, true);
    assert_eq!(files(dir.path()), expect(&[]));
}

#[test]
fn an_unfinished_part_is_cut_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path());
    recover(&sink, &SinkStart::First).unwrap();
    let mut writer = open(&sink, 0, None);
    write(&mut writer, 0..3);
    let pending = commit(&mut writer, 1, false);
    write(&mut writer, 100..103);
    writer.prepare(2, false).unwrap();
    drop(writer);
    assert_eq!(pending.open.unwrap().length, 6);
    assert_eq!(files(dir.path())[".part-000-000000.jsonl.tmp"].len(), 18);
    restore(&sink, std::slice::from_ref(&pending), 1).unwrap();
    assert_eq!(
        files(dir.path()),
        expect(&[(".part-000-000000.jsonl.tmp", "0\n1\n2\n")])
    );
    let mut writer = open(&sink, 0, Some(pending));
    write(&mut writer, 3..5);
    let whole = commit(&mut writer, 2, true);
    assert_eq!(whole.finished[0].crc, crc32fast::hash(b"0\n1\n2\n3\n4\n"));
    assert_eq!(
        files(dir.path()),
        expect(&[("part-000-000000.jsonl", "0\n1\n2\n3\n4\n")])
    );
}

#[test]
fn a_part_of_a_writer_that_is_no_more_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path());
    recover(&sink, &SinkStart::First).unwrap();
    let (mut zero, mut one) = (open(&sink, 0, None), open(&sink, 1, None));
    write(&mut zero, 0..1);
    write(&mut one, 1..2);
    let pending = [commit(&mut zero, 1, false), commit(&mut one, 1, false)];
    write(&mut one, 100..101);
    drop((zero, one));
    fs::write(dir.path().join(".part-007-000000.jsonl.tmp"), "stray").unwrap();
    for _ in 0..2 {
        restore(&sink, &pending, 1).unwrap();
        let left = [
            (".part-000-000000.jsonl.tmp", "0\n"),
            ("part-001-000000.jsonl", "1\n"),
        ];
        assert_eq!(files(dir.path()), expect(&left));
    }
    // Another start finds its part complete, and begins a new one.
    restore(&sink, &pending, 2).unwrap();
    let mut one = open(&sink, 1, Some(pending[1].clone()));
    write(&mut one, 2..3);
    commit(&mut one, 2, true);
    assert_eq!(files(dir.path())["part-001-000001.jsonl"], "2\n");
}

#[test]
fn output_that_is_not_as_promised_is_refused_and_left_alone() {
    type Damage = fn(&Path);
    let finished = "part-000-000000.jsonl";
    let open_part = ".part-000-000001.jsonl.tmp";
    let cases: [(&str, &str, Damage); 6] = [
        (finished, "no such file", |path| {
            fs::remove_file(path).unwrap();
        }),
        (finished, "found 3 bytes", |path| {
            fs::write(path, "0\n1").unwrap();
        }),
        (finished, "found 4 bytes", |path| {
            fs::write(path, "0\n2\n").unwrap();
        }),
        (open_part, "no such file", |path| {
            fs::remove_file(path).unwrap();
        }),
        (open_part, "found 1 bytes", |path| {
            fs::write(path, "2").unwrap();
        }),
        (open_part, "found 2 bytes", |path| {
            fs::write(path, "3\nmore").unwrap();
        }),
    ];
    for (name, says, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        let sink = file::jsonl(dir.path()).roll_bytes(4);
        recover(&sink, &SinkStart::First).unwrap();
        let mut writer = open(&sink, 0, None);
        write(&mut writer, 0..2);
        let first = commit(&mut writer, 1, false);
        write(&mut writer, 2..3);
        let mut pending = writer.prepare(2, false).unwrap();
        // As if the first commit had not been known of when the second epoch was prepared.
        pending.finished = first.finished;
        drop(writer);
        fs::write(dir.path().join(".part-009-000000.jsonl.tmp"), "stray").unwrap();
        damage(&dir.path().join(name));
        let before = files(dir.path());
        for writers in [1, 0] {
            let error = restore(&sink, std::slice::from_ref(&pending), writers).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
            // An open part that is gone is looked for under its final name.
            let name = name.trim_start_matches('.').trim_end_matches(".tmp");
            for words in [name, says, "--fresh"] {
                assert!(
                    error.to_string().contains(words),
                    "`{words}` is not in: {error}"
                );
            }
            assert_eq!(files(dir.path()), before);
        }
    }
}

#[test]
fn output_of_a_later_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path()).roll_bytes(0);
    recover(&sink, &SinkStart::First).unwrap();
    let mut writer = open(&sink, 0, None);
    write(&mut writer, 0..1);
    let one = commit(&mut writer, 1, false);
    write(&mut writer, 1..2);
    commit(&mut writer, 2, false);
    let error = restore(&sink, &[one], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(
        error.to_string().contains("part-000-000001.jsonl"),
        "{error}"
    );
}

#[test]
fn a_first_start_refuses_output_and_a_fresh_one_removes_only_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mine = [
        "part-000-000000.jsonl",
        "part-123-000007.jsonl",
        ".part-001-000001.jsonl.tmp",
    ];
    let foreign = [
        "part-000-000000.csv",
        "part-0-0.jsonl",
        "notes.txt",
        ".hidden",
        "part-000-000000.jsonl.tmp",
    ];
    for name in mine.iter().chain(&foreign) {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let sink = file::jsonl(dir.path());
    let before = files(dir.path());
    let error = recover(&sink, &SinkStart::First).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for words in ["2 files", "part-000-000000.jsonl", "--fresh"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(files(dir.path()), before);
    recover(&sink, &SinkStart::Fresh).unwrap();
    let left: Vec<_> = files(dir.path()).into_keys().collect();
    let mut expect: Vec<_> = foreign.to_vec();
    expect.sort_unstable();
    assert_eq!(left, expect);
    fs::write(dir.path().join(mine[2]), "stray").unwrap();
    recover(&sink, &SinkStart::First).unwrap();
    assert_eq!(files(dir.path()).len(), foreign.len());
}

#[test]
fn two_writers_of_one_part_are_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let sink = file::jsonl(dir.path());
    recover(&sink, &SinkStart::First).unwrap();
    let (mut one, mut other) = (open(&sink, 0, None), open(&sink, 0, None));
    write(&mut one, 0..1);
    let error = other.write(b"1\n".to_vec()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("a folder of its own"), "{error}");
    assert_eq!(
        other.prepare(1, true).unwrap_err().kind(),
        ErrorKind::Internal
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = recover(&file::jsonl(dir.path().join("file/out")), &SinkStart::First).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("file/out"), "{error}");
}
