//! The csv source against the bare loop of the csv crate, on the wall clock: 19 columns, 5 of them
//! read. The program `csv_ratio` compares CPU time too.

use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::engine::graph::source::{Emit, Read, Reader, Waker};
use millstream::prelude::*;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 200_000;

/// The fields have no text, so both sides measure reading rather than allocating.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    dead_code,
    reason = "the fields are read from the file, and that is all"
)]
struct Row {
    c2: i64,
    c5: i64,
    c9: f64,
    c12: u32,
    c18: i64,
}

fn write_file(path: &Path) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let names: Vec<String> = (0..19).map(|c| format!("c{c}")).collect();
    writeln!(out, "{}", names.join(","))?;
    for row in 0..ROWS {
        let cells: Vec<String> = (0..19)
            .map(|c| ((row * 31 + c * 17) % 5000).to_string())
            .collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    out.flush()
}

struct Count(u64);

impl Emit<Row> for Count {
    fn emit(&mut self, record: Row) -> bool {
        black_box(&record);
        self.0 += 1;
        true
    }

    fn skip(&mut self) -> bool {
        true
    }
}

fn read_source(path: &Path, decoders: usize) -> Result<u64> {
    let source = file::csv::<Row>(path).decoders(decoders);
    let reading = std::thread::current();
    let mut count = Count(0);
    for split in Source::splits(&source)? {
        let reading = reading.clone();
        let mut reader = source.open(&split, None, Waker::new(move || reading.unpark()))?;
        loop {
            match reader.read(&mut count)? {
                Read::End => break,
                Read::Wait => std::thread::park(),
                Read::More => {}
            }
        }
    }
    Ok(count.0)
}

fn read_bare(path: &Path) -> csv::Result<u64> {
    let mut reader = csv::Reader::from_path(path)?;
    let headers = reader.byte_headers()?.clone();
    let mut record = csv::ByteRecord::new();
    let mut count = 0;
    while reader.read_byte_record(&mut record)? {
        let row: Row = record.deserialize(Some(&headers))?;
        black_box(&row);
        count += 1;
    }
    Ok(count)
}

fn rows(c: &mut Criterion) {
    let folder = tempfile::tempdir();
    let written = folder.as_ref().map(|folder| {
        let path = folder.path().join("rows.csv");
        write_file(&path).map(|()| path)
    });
    let Ok(Ok(path)) = written else {
        return assert!(written.is_err(), "no file to measure with");
    };
    let mut group = c.benchmark_group("csv");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    for (name, decoders) in [("source, one decoder", 1), ("source, two decoders", 2)] {
        group.bench_function(name, |b| {
            b.iter(|| assert!(matches!(read_source(&path, decoders), Ok(ROWS))));
        });
    }
    group.bench_function("csv crate", |b| {
        b.iter(|| assert!(matches!(read_bare(&path), Ok(ROWS))));
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
