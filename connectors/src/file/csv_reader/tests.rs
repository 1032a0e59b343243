//! What several decoders must not change: every row, skip, position and error is, in order, what
//! one pass over the whole file gives.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flate2::Compression;
use flate2::write::GzEncoder;
use millstream_engine::graph::source::Source;
use proptest::prelude::*;
use serde::{Deserialize, Deserializer};
use tempfile::TempDir;

use super::*;
use crate::conformance::{check_source, read_split};
use crate::file;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Row {
    id: i32,
    text: Option<String>,
}

/// Something that was handed on.
#[derive(Clone, Debug, PartialEq)]
enum Seen<T> {
    Record(T),
    Skip,
}

/// All that a reader says: what it hands on, where it stands behind each, and how it ends.
#[derive(Debug, PartialEq)]
struct Trace<T> {
    seen: Vec<(Seen<T>, FilePosition)>,
    end: FilePosition,
    error: Option<String>,
}

struct Taken<T> {
    seen: Vec<Seen<T>>,
    max: usize,
}

impl<T> Emit<T> for Taken<T> {
    fn emit(&mut self, record: T) -> bool {
        self.seen.push(Seen::Record(record));
        self.seen.len() < self.max
    }

    fn skip(&mut self) -> bool {
        self.seen.push(Seen::Skip);
        self.seen.len() < self.max
    }
}

fn open<T: DeserializeOwned + Data>(source: &CsvSource<T>) -> (CsvReader<T>, Receiver<()>) {
    let (wake, woken) = bounded(1);
    let waker = Waker::new(move || {
        let _ = wake.try_send(());
    });
    let split = source.splits().unwrap().remove(0);
    (source.open(&split, None, waker).unwrap(), woken)
}

/// Reads in steps of `max` rows; with `ahead`, everything that can be is decoded before each step.
/// Positions are known behind each step only. Says how many pieces came decoded, too.
fn trace<T: DeserializeOwned + Data>(
    source: &CsvSource<T>,
    max: usize,
    ahead: bool,
) -> (Trace<T>, u64) {
    let (mut reader, woken) = open(source);
    let mut seen = Vec::new();
    let mut batches = 0;
    let error = loop {
        if ahead && let Feed::Ahead(ahead) = &mut reader.feed {
            std::thread::yield_now();
            ahead.decode_all();
        }
        let mut taken = Taken {
            seen: Vec::new(),
            max,
        };
        let read = reader.read(&mut taken);
        batches += u64::from(reader.ready.is_some());
        let position = reader.position();
        seen.extend(taken.seen.into_iter().map(|seen| (seen, position)));
        match read {
            Ok(Read::More) => {}
            Ok(Read::Wait) => woken.recv_timeout(Duration::from_secs(30)).unwrap(),
            Ok(Read::End) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let end = reader.position();
    (Trace { seen, end, error }, batches)
}

fn write(folder: &TempDir, bytes: &[u8], gzip: bool) -> PathBuf {
    let path = folder.path().join("a.csv");
    let mut bytes = [b"id,text\n".as_slice(), bytes].concat();
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).unwrap();
        bytes = encoder.finish().unwrap();
    }
    fs::write(&path, bytes).unwrap();
    path
}

/// Rows that are sound, bad, or that make the ones behind them bad.
fn row() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        b"1,a\n".as_slice(),
        b"22,bc\r\n",
        b"333,\n",
        b"4,\"q\"\n",
        b"\"5\",\"two\nlines\"\r\n",
        b"6,\"\"\"\n\"\"\"\n",
        b"7,\"\r\n\r\n\"\n",
        b"8,5\" wide\n",
        b"9,\"x\"y\"\n",
        b"\n",
        b"\r\n",
        b"10,mac\r",
        b"x,bad\n",
        b"11\n",
        b"12,a,b\n",
        b"13,\xff\n",
        b"14,\"open\n",
        b"15,a long text that is longer than most pieces are in this test\n",
    ])
}

/// A file of such rows; its last row may lack its end.
fn file_bytes() -> impl Strategy<Value = Vec<u8>> {
    let rows = prop::collection::vec(row(), 0..40);
    (rows, 0usize..3).prop_map(|(rows, short)| {
        let mut bytes = rows.concat();
        bytes.truncate(bytes.len().saturating_sub(short));
        bytes
    })
}

fn policy() -> impl Strategy<Value = BadRows> {
    prop::sample::select(vec![BadRows::Fail, BadRows::Skip])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decoders_and_cuts_change_nothing(
        bytes in file_bytes(),
        policy in policy(),
        gzip in any::<bool>(),
        piece_bytes in 4usize..80,
        decoders in 1usize..5,
        ahead in any::<bool>(),
        max in prop::sample::select(vec![1usize, 3, usize::MAX]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let source = file::csv::<Row>(write(&folder, &bytes, gzip)).on_bad_row(policy);
        let (one_pass, _) = trace(&source.clone().decoders(1), max, false);
        let cut = source.decoders(decoders).piece_bytes(piece_bytes);
        let (several, _) = trace(&cut, max, ahead);
        let records = |trace: &Trace<Row>| {
            trace.seen.iter().map(|(seen, _)| seen.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(records(&several), records(&one_pass));
        prop_assert_eq!(several.end, one_pass.end);
        prop_assert_eq!(&several.error, &one_pass.error);
        if max == 1 {
            prop_assert_eq!(several, one_pass);
        }
    }

    #[test]
    fn reading_goes_on_from_every_position(
        bytes in file_bytes(),
        gzip in any::<bool>(),
        piece_bytes in 4usize..40,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let source = file::csv::<Row>(write(&folder, &bytes, gzip))
            .on_bad_row(BadRows::Skip)
            .piece_bytes(piece_bytes)
            .decoders(3);
        check_source(&source).unwrap();
    }
}

/// `count` rows of about 25 bytes, some quoted, some with line ends in them.
fn rows(count: i32) -> String {
    let row = |id: i32| match id % 5 {
        0 => format!("{id},\"a \"\"note\"\"\nof {id}\"\r\n"),
        1 => format!("{id},\n"),
        _ => format!("{id},a text of row {id}\n"),
    };
    (0..count).map(row).collect()
}

#[test]
fn what_was_decoded_ahead_is_what_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    for gzip in [false, true] {
        let text = rows(6000);
        let source = file::csv::<Row>(write(&folder, text.as_bytes(), gzip));
        let (one_pass, _) = trace(&source.clone().decoders(1), 1, false);
        let cut = source.decoders(4).piece_bytes(1000);
        let (several, batches) = trace(&cut, 1, true);
        assert_eq!(several, one_pass);
        assert_eq!(several.seen.len(), 6000);
        assert!(batches > 1000, "only {batches} rows came from batches");
    }
}

#[test]
fn a_row_greater_than_all_pieces_is_read_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x\n".repeat(20_000);
    let text = format!("{}7,\"{long}\"\n{}8,\"{long}", rows(50), rows(50));
    let source = file::csv::<Row>(write(&folder, text.as_bytes(), false)).on_bad_row(BadRows::Skip);
    let whole = trace(&source.clone().decoders(1), 1, false).0;
    assert_eq!(whole.seen.len(), 102);
    for piece_bytes in [64, 999, 4096] {
        let cut = source.clone().decoders(3).piece_bytes(piece_bytes);
        assert_eq!(trace(&cut, 1, true).0, whole);
    }
}

#[test]
fn small_files_have_no_threads() {
    let folder = tempfile::tempdir().unwrap();
    let is_here = |bytes: usize, gzip: bool| {
        let path = write(&folder, &vec![b'\n'; bytes], gzip);
        let (reader, _) = open(&file::csv::<Row>(path).piece_bytes(1000).decoders(2));
        matches!(reader.feed, Feed::Here { .. })
    };
    assert!(is_here(2000, false));
    assert!(!is_here(2001, false));
    assert!(is_here(20_000, true));
    assert!(!is_here(200_000, true));
}

#[test]
fn a_panic_of_the_record_is_the_workers_in_its_turn() {
    #[derive(Clone, Debug, PartialEq)]
    struct Touchy(i32);
    impl<'de> Deserialize<'de> for Touchy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let row = Row::deserialize(deserializer)?;
            assert!(row.id != 700, "seven hundred is more than I can take");
            Ok(Touchy(row.id))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, rows(1000).as_bytes(), false);
    for decoders in [1, 3] {
        let source = file::csv::<Touchy>(&path)
            .piece_bytes(500)
            .decoders(decoders);
        let (mut reader, woken) = open(&source);
        let mut taken = Taken {
            seen: Vec::new(),
            max: usize::MAX,
        };
        let caught = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match reader.read(&mut taken).unwrap() {
                    Read::End => break,
                    Read::Wait => woken.recv_timeout(Duration::from_secs(30)).unwrap(),
                    Read::More => {}
                }
            }
        }));
        assert!(caught.is_err());
        let all: Vec<_> = (0..700).map(|id| Seen::Record(Touchy(id))).collect();
        assert_eq!(taken.seen, all, "{decoders} decoders");
    }
}

/// Goes with each thread that decodes a [`Traced`].
static LIFE: Mutex<Option<Sender<()>>> = Mutex::new(None);
thread_local! {
    static MINE: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
}

#[derive(Clone, Debug)]
struct Traced;

impl<'de> Deserialize<'de> for Traced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        MINE.with_borrow_mut(|mine| *mine = LIFE.lock().unwrap().clone());
        Row::deserialize(deserializer).map(|_| Traced)
    }
}

#[test]
fn threads_end_with_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, rows(20_000).as_bytes(), false);
    let source = file::csv::<Traced>(path).piece_bytes(1000).decoders(4);
    let (life, ended) = bounded(0);
    *LIFE.lock().unwrap() = Some(life);
    let (mut reader, woken) = open(&source);
    let mut taken = Taken {
        seen: Vec::new(),
        max: 5000,
    };
    let mut with_batch = 0;
    while taken.seen.len() < 5000 || with_batch == 0 {
        taken.max = taken.seen.len() + 1;
        match reader.read(&mut taken).unwrap() {
            Read::End => panic!("the helpers never helped"),
            Read::Wait => woken.recv_timeout(Duration::from_secs(30)).unwrap(),
            Read::More => with_batch += u64::from(reader.ready.is_some()),
        }
    }
    drop(reader);
    *LIFE.lock().unwrap() = None;
    MINE.with_borrow_mut(Option::take);
    // The source is there still, and may open another file.
    assert_eq!(
        ended.recv_timeout(Duration::from_secs(30)),
        Err(RecvTimeoutError::Disconnected)
    );
    assert_eq!(
        read_split(&source, "a.csv", None).unwrap().records.len(),
        20_000
    );
}
