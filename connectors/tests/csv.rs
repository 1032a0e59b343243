//! What `file::csv` promises: whole files, bad rows, positions, threads.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use millstream_connectors::conformance::{Collected, check_source, read_split};
use millstream_connectors::file::csv::{BadRows, CsvSource};
use millstream_connectors::file::{self, FilePosition};
use millstream_engine::error::{Error, ErrorKind, Result};
use millstream_engine::graph::source::{Emit, Read, Reader, Source, Waker};
use proptest::prelude::*;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Trip {
    id: i64,
    fare: f64,
    note: Option<String>,
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// `count` trips of about 40 bytes; some notes are quoted, some have line ends in them.
fn trips(range: std::ops::Range<i64>) -> String {
    let row = |id: i64| match id % 3 {
        0 => format!("{id},{}.5,,x{id}\n", id * 2),
        1 => format!("{id},{}.25,\"a \"\"note\"\", of {id}\",\r\n", id * 3),
        _ => format!("{id},1e3,\"two\nlines of {id}\",yy\n"),
    };
    range.map(row).collect()
}

const HEADER: &str = "id,fare,note,unused\n";

fn read_all(source: &CsvSource<Trip>) -> Result<Collected<Trip, FilePosition>> {
    let splits = source.splits()?;
    assert_eq!(splits.len(), 1);
    read_split(source, &splits[0], None)
}

fn ids(read: &Collected<Trip, FilePosition>) -> Vec<i64> {
    read.records.iter().map(|t| t.id).collect()
}

fn error_of<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.unwrap_err()
}

#[test]
fn keeps_the_laws_of_sources() {
    let folder = Folder::new();
    let text = format!("\u{feff}{HEADER}\n{}", trips(0..20_000));
    folder.put("a.csv", &text);
    folder.put("b.csv.gz", gzip(&text));
    let (one, two) = text.split_at(text.len() / 3);
    folder.put("c.csv", [gzip(one), gzip(two), gzip("")].concat());
    folder.put("d.csv", "");
    folder.put("e.csv", HEADER);
    folder.put("f.csv", format!("{HEADER}1,2,3,4"));
    folder.put("g.csv", format!("{HEADER}1,2,3,4\r"));
    folder.put("h.csv", "\u{feff}");
    check_source(&file::csv::<Trip>(folder.path())).unwrap();
    check_source(&file::csv::<Trip>(folder.path().join("[a-c]*"))).unwrap();
}

#[test]
fn keeps_the_laws_of_sources_while_skipping() {
    let folder = Folder::new();
    let bad = "x,1,,\n1,1\n\"\"\"\n\n9223372036854775808,1,,\n";
    let text = format!(
        "{HEADER}{bad}{}{bad}{}{bad}",
        trips(0..500),
        trips(500..900)
    );
    folder.put("a.csv", &text);
    folder.put("b.csv.gz", gzip(&text));
    check_source(&file::csv::<Trip>(folder.path()).on_bad_row(BadRows::Skip)).unwrap();
}

#[test]
fn keeps_the_laws_of_sources_without_a_header() {
    let folder = Folder::new();
    folder.put(
        "a.csv",
        format!("\u{feff}{}", trips(0..300).replace(',', ";")),
    );
    let source = file::csv::<(i64, f64, String, String)>(folder.path())
        .no_header()
        .delimiter(b';');
    check_source(&source).unwrap();
    let read = read_split(&source, "a.csv", None).unwrap();
    assert_eq!(read.records.len(), 300);
    assert_eq!(read.records[0], (0, 0.5, String::new(), "x0".into()));
}

#[test]
fn plain_and_compressed_files_hold_the_same() {
    let folder = Folder::new();
    let text = format!("{HEADER}{}", trips(0..30_000));
    let plain = read_all(&file::csv(folder.put("a.csv", &text))).unwrap();
    let packed = read_all(&file::csv(folder.put("b.csv", gzip(&text)))).unwrap();
    assert_eq!(plain.records.len(), 30_000);
    assert_eq!(plain.records, packed.records);
    assert_eq!(plain.end.offset, packed.end.offset);
    assert_eq!(plain.end.offset, text.len() as u64);
    assert_eq!(plain.end.line, text.matches('\n').count() as u64 + 1);
    assert_eq!(plain.end.records, 30_000);
    assert_eq!(plain.records[1].note.as_deref(), Some("a \"note\", of 1"));
    assert_eq!(plain.records[2].note.as_deref(), Some("two\nlines of 2"));
}

/// One file of the corpus: its rows, which ids remain when bad rows are skipped, how many are
/// skipped, and what the error says otherwise.
struct Poison {
    rows: Vec<u8>,
    remain: &'static [i64],
    skipped: u64,
    says: &'static [&'static str],
}

fn poison(
    rows: impl Into<Vec<u8>>,
    remain: &'static [i64],
    skipped: u64,
    says: &'static [&'static str],
) -> Poison {
    Poison {
        rows: rows.into(),
        remain,
        skipped,
        says,
    }
}

fn corpus() -> Vec<Poison> {
    let huge = |bytes: usize| format!("1,1,,\n2,2,{},\n3,3,,\n", "x".repeat(bytes));
    vec![
        poison("1,1,,\n2,2,,\n", &[1, 2], 0, &[]),
        poison("1,1,,\r\n\r\n2,2,,\r\n", &[1, 2], 0, &[]),
        poison("\n\n\n1,1,,\n\n", &[1], 0, &[]),
        poison("1,1,a\0b,\n2,2,,\n", &[1, 2], 0, &[]),
        poison(
            "1\0,1,,\n2,2,,\n",
            &[2],
            1,
            &["line 2", "column `id`", "\"1\\0\"", "i64"],
        ),
        poison(
            b"1,1,\xff\xfe,\n2,2,,\n".to_vec(),
            &[2],
            1,
            &["line 2", "column `note`", "UTF-8"],
        ),
        poison(
            b"1,1,,\xc3\n2,2,,\n".to_vec(),
            &[2],
            1,
            &["line 2", "column `unused`", "UTF-8"],
        ),
        poison("1,1,a\"b,\n2,2,,\n", &[1, 2], 0, &[]),
        poison(
            "1,1,,\n2,2,\"abc,\n3,3,,\n",
            &[1],
            1,
            &["line 3", "quote", "never closed"],
        ),
        poison(
            "1,1,\"a,\n2,2,\"b,,\n3,3,,\n",
            &[3],
            1,
            &["line 2", "the row has 5 columns, the header has 4"],
        ),
        poison(
            "1,1e400,,\n2,-1e400,,\n3,1e300,,\n",
            &[3],
            2,
            &["line 2", "column `fare`", "\"1e400\"", "out of range"],
        ),
        poison(
            "9223372036854775808,1,,\n9223372036854775807,1,,\n",
            &[i64::MAX],
            1,
            &["line 2", "column `id`", "number too large"],
        ),
        poison(
            "-9223372036854775809,1,,\n",
            &[],
            1,
            &["line 2", "column `id`", "number too small"],
        ),
        poison(
            "1,1\n2,2,,\n",
            &[2],
            1,
            &["line 2", "the row has 2 columns, the header has 4"],
        ),
        poison(
            "1,1,,,,\n2,2,,\n",
            &[2],
            1,
            &["line 2", "the row has 6 columns"],
        ),
        poison(
            ",1,,\n2,,,\n3,3,,\n",
            &[3],
            2,
            &["line 2", "column `id`", "empty string"],
        ),
        poison(" 1,1,,\n", &[], 1, &["line 2", "column `id`", "\" 1\""]),
        poison(
            "id,fare,note,unused\n1,1,,\n",
            &[1],
            1,
            &["line 2", "column `id`", "\"id\""],
        ),
        poison(huge((1 << 20) - 7), &[1, 2, 3], 0, &[]),
        poison(
            huge(1 << 20),
            &[1, 3],
            1,
            &["line 3", "1048582 bytes", "1048576"],
        ),
        poison(huge(10 << 20), &[1, 3], 1, &["line 3", "bytes"]),
        poison(
            "\u{feff}1,1,,\n2,2,,\n",
            &[2],
            1,
            &["line 2", "column `id`", "i64"],
        ),
        poison("", &[], 0, &[]),
    ]
}

#[test]
fn bad_rows_fail_or_are_skipped_and_counted() {
    let folder = Folder::new();
    for (i, poison) in corpus().into_iter().enumerate() {
        let text = [HEADER.as_bytes(), &poison.rows].concat();
        for (name, bytes) in [("plain.csv", text.clone()), ("packed.csv", gzip(&text))] {
            let path = folder.put(name, bytes);
            let skipping = file::csv::<Trip>(&path).on_bad_row(BadRows::Skip);
            let read = read_all(&skipping).unwrap();
            assert_eq!(ids(&read), poison.remain, "corpus {i} {name}");
            assert_eq!(read.skipped, poison.skipped, "corpus {i} {name}");
            assert_eq!(
                read.end.offset,
                text.len() as u64 - trailing_lf(&text),
                "corpus {i} {name}"
            );
            let failing = read_all(&file::csv::<Trip>(&path));
            if poison.skipped == 0 {
                assert_eq!(ids(&failing.unwrap()), poison.remain, "corpus {i} {name}");
                continue;
            }
            let error = error_of(failing);
            assert_eq!(error.kind(), ErrorKind::Input, "corpus {i}: {error}");
            for words in [poison.says, &[name, "BadRows::Skip"]].concat() {
                assert!(
                    error.to_string().contains(words),
                    "corpus {i}: `{words}` is not in: {error}"
                );
            }
        }
    }
}

/// The position behind the last row: of `\r\n` it is behind the `\r`; empty lines do not count.
fn trailing_lf(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    let mut rest = 0;
    if text.ends_with("\r\n") || text.ends_with("\n\n") {
        rest = 1;
    }
    rest
}

#[test]
fn a_failing_reader_stands_before_the_bad_row() {
    let folder = Folder::new();
    let path = folder.put("a.csv", format!("{HEADER}1,1,,\nx,1,,\n"));
    let source = file::csv::<Trip>(&path);
    let mut taken = Vec::new();
    let mut reader = source.open("a.csv", None, Waker::none()).unwrap();
    let error = loop {
        match reader.read(&mut Gather(&mut taken)) {
            Ok(Read::End) => panic!("no error"),
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("line 3"), "{error}");
    assert_eq!(taken.len(), 1);
    assert_eq!(reader.position().offset, (HEADER.len() + 6) as u64);
    assert_eq!(reader.position().line, 3);
    assert_eq!(
        error_of(reader.read(&mut Gather(&mut taken))).kind(),
        ErrorKind::Internal
    );
}

struct Gather<'a>(&'a mut Vec<Trip>);

impl Emit<Trip> for Gather<'_> {
    fn emit(&mut self, record: Trip) -> bool {
        self.0.push(record);
        true
    }

    fn skip(&mut self) -> bool {
        true
    }
}

#[test]
fn damaged_gzip_always_fails_and_names_the_offset() {
    let folder = Folder::new();
    let text = format!("{HEADER}{}", trips(0..20_000));
    let whole = gzip(&text);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let mut wrong_sum = whole.clone();
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 1;
    let cases = [
        ("cut in the middle", whole[..middle].to_vec()),
        ("cut before the checksum", whole[..whole.len() - 8].to_vec()),
        ("cut in the checksum", whole[..whole.len() - 1].to_vec()),
        ("cut in the header", whole[..5].to_vec()),
        ("cut to one byte", whole[..1].to_vec()),
        ("cut to nothing", Vec::new()),
        ("a flipped byte", flipped),
        ("a wrong checksum", wrong_sum),
        (
            "rubbish behind",
            [whole.as_slice(), b"rubbish that is no gzip"].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let path = folder.put("a.csv.gz", bytes);
        let source = file::csv::<Trip>(&path).on_bad_row(BadRows::Skip);
        let error = error_of(read_all(&source));
        assert_eq!(error.kind(), ErrorKind::Input, "{what}: {error}");
        assert!(error.to_string().contains("a.csv.gz"), "{what}: {error}");
        assert!(error.to_string().contains("gzip -t"), "{what}: {error}");
    }
}

#[test]
fn columns_that_do_not_fit_the_record_always_fail() {
    let folder = Folder::new();
    let path = folder.put("a.csv", "id,price,note\n1,2,\n");
    let error = error_of(read_all(
        &file::csv::<Trip>(&path).on_bad_row(BadRows::Skip),
    ));
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(
        error.to_string().contains("there is no column `fare`"),
        "{error}"
    );
    let path = folder.put("b.csv", b"id,\xff\n1,2\n");
    let error = error_of(read_all(
        &file::csv::<Trip>(&path).on_bad_row(BadRows::Skip),
    ));
    assert!(
        error.to_string().contains("the header in line 1"),
        "{error}"
    );
    let error = error_of(file::csv::<Trip>(&path).delimiter(b'"').splits());
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// The position behind half of the file's rows.
fn half_way(source: &CsvSource<Trip>, split: &str, of: usize) -> FilePosition {
    struct Countdown(usize);
    impl Emit<Trip> for Countdown {
        fn emit(&mut self, _: Trip) -> bool {
            self.0 -= 1;
            self.0 > 0
        }
        fn skip(&mut self) -> bool {
            true
        }
    }
    let mut emit = Countdown(of / 2);
    let mut reader = source.open(split, None, Waker::none()).unwrap();
    while emit.0 > 0 {
        assert_ne!(reader.read(&mut emit).unwrap(), Read::End);
        std::thread::yield_now();
    }
    reader.position()
}

#[test]
fn a_position_is_refused_in_a_file_that_changed() {
    let folder = Folder::new();
    let text = format!("{HEADER}{}", trips(0..1000));
    type Change = fn(&[u8]) -> Vec<u8>;
    let changes: [(&str, Change, &str); 5] = [
        ("shrunk", |b| b[..b.len() - 1].to_vec(), "expected at least"),
        ("emptied", |_| Vec::new(), "expected at least"),
        (
            "begins otherwise",
            |b| [b"x".as_slice(), &b[1..]].concat(),
            "hash",
        ),
        (
            "other rows",
            |b| [&b[..b.len() / 4], b"0,0,,\n", &b[b.len() / 4..]].concat(),
            "the end of a row",
        ),
        ("other gzip", |b| [b, b"\n"].concat(), ""),
    ];
    for (what, change, says) in changes {
        let path = folder.put("a.csv", &text);
        let source = file::csv::<Trip>(&path);
        let position = half_way(&source, "a.csv", 1000);
        assert_eq!(position.records, 500);
        folder.put("a.csv", change(text.as_bytes()));
        let read = read_split(&source, "a.csv", Some(position));
        if says.is_empty() {
            assert_eq!(read.unwrap().records.len(), 500, "{what}: a file may grow");
            continue;
        }
        let error = error_of(read);
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{what}: {error}");
        for words in ["a.csv", says, "found", "--fresh"] {
            assert!(
                error.to_string().contains(words),
                "{what}: `{words}` is not in: {error}"
            );
        }
    }
}

#[test]
fn a_position_is_refused_when_the_gzip_holds_less() {
    let folder = Folder::new();
    let random = trips(0..5000);
    let path = folder.put("a.csv.gz", gzip(format!("{HEADER}{random}")));
    let source = file::csv::<Trip>(&path);
    let mut position = half_way(&source, "a.csv.gz", 5000);
    for offset in [random.len() + HEADER.len() + 1, random.len() * 2] {
        position.offset = offset as u64;
        let error = error_of(read_split(&source, "a.csv.gz", Some(position)));
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
    }
    fs::remove_file(&path).unwrap();
    let error = error_of(read_split(&source, "a.csv.gz", Some(position)));
    assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
}

#[test]
fn a_file_may_be_copied_and_may_grow() {
    let folder = Folder::new();
    let path = folder.put("a.csv", format!("{HEADER}1,1,,\n2,2,,\n"));
    let source = file::csv::<Trip>(&path);
    let end = read_split(&source, "a.csv", None).unwrap().end;
    fs::rename(&path, folder.path().join("b")).unwrap();
    fs::copy(folder.path().join("b"), &path).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"3,3,,\n")
        .unwrap();
    let grown = read_split(&source, "a.csv", Some(end)).unwrap();
    assert_eq!(ids(&grown), [3]);
    assert_eq!((grown.end.line, grown.end.records), (5, 3));
}

#[test]
fn a_file_that_was_empty_is_read_from_its_beginning_later() {
    let folder = Folder::new();
    let path = folder.put("a.csv", "");
    let source = file::csv::<Trip>(&path);
    let end = read_split(&source, "a.csv", None).unwrap().end;
    folder.put("a.csv", format!("{HEADER}1,1,,\n"));
    assert_eq!(ids(&read_split(&source, "a.csv", Some(end)).unwrap()), [1]);
}

#[test]
fn a_row_that_grew_after_it_was_read_is_found_out() {
    let folder = Folder::new();
    let path = folder.put("a.csv", format!("{HEADER}1,1,,a"));
    let source = file::csv::<Trip>(&path);
    let end = read_split(&source, "a.csv", None).unwrap().end;
    folder.put("a.csv", format!("{HEADER}1,1,,ab\n2,2,,\n"));
    let error = error_of(read_split(&source, "a.csv", Some(end)));
    assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
}

#[test]
fn progress_is_in_bytes_on_disk() {
    let folder = Folder::new();
    let packed = gzip(format!("{HEADER}{}", trips(0..50_000)));
    let path = folder.put("a.csv.gz", &packed);
    let source = file::csv::<Trip>(&path);
    let mut reader = source.open("a.csv.gz", None, Waker::none()).unwrap();
    let mut taken = Vec::new();
    let mut last = 0;
    while reader.read(&mut Gather(&mut taken)).unwrap() != Read::End {
        let (done, all) = reader.progress().unwrap();
        assert!(last <= done && done <= all && all == packed.len() as u64);
        last = done;
        std::thread::yield_now();
    }
    assert_eq!(
        reader.progress(),
        Some((packed.len() as u64, packed.len() as u64))
    );
}

#[test]
fn the_thread_that_reads_ahead_ends_with_its_reader() {
    let folder = Folder::new();
    let text = format!("{HEADER}{}", trips(0..200_000));
    assert!(text.len() > 6 * 256 * 1024, "more than the queue holds");
    let path = folder.put("a.csv", &text);
    let source = file::csv::<Trip>(&path);
    let (alive, gone) = crossbeam_channel::bounded::<()>(0);
    let mut reader = source.open(
        "a.csv",
        None,
        Waker::new(move || {
            let _ = &alive;
        }),
    );
    let mut one = Vec::new();
    while one.is_empty() {
        reader
            .as_mut()
            .unwrap()
            .read(&mut Gather(&mut one))
            .unwrap();
        std::thread::yield_now();
    }
    drop(reader);
    let ended = gone.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(
        ended,
        Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the bytes are: no panic, and a row is either read or skipped, in any order of
    /// stopping and going on.
    #[test]
    fn any_bytes_are_read_the_same_from_any_position(
        bytes in prop::collection::vec(prop::sample::select(b"1,2\"\n\r\xff".to_vec()), 0..300),
    ) {
        let folder = Folder::new();
        folder.put("a.csv", [b"id,fare,note\n".as_slice(), &bytes].concat());
        check_source(&file::csv::<Trip>(folder.path()).on_bad_row(BadRows::Skip)).unwrap();
    }
}
