//! Files: [`csv()`] reads them, [`jsonl()`] writes them.
//!
//! Reading: `splits` lists the files, `position` proves that a file is still the one a
//! position was taken in, `input` decompresses, `first_row` says what the columns are, and
//! `csv_reader` makes records on the worker. Of a big file, `read_ahead` cuts `pieces` on a
//! thread of its own, and `decoders` decode some of them ahead of their turn. Writing: `part` names the files and publishes them,
//! `part_writer` fills them, `recovery` brings a folder to what a checkpoint says.

pub mod csv;
mod csv_reader;
mod decoders;
mod first_row;
mod input;
pub mod jsonl;
pub mod part;
pub mod part_writer;
mod pieces;
mod position;
mod read_ahead;
mod recovery;
mod splits;

pub use self::csv::csv;
pub use self::jsonl::jsonl;
pub use self::position::FilePosition;
