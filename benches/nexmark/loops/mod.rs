//! The queries as loops written by hand: one thread, one event at a time, hash maps, no engine.
//!
//! They are what Millstream is compared with, and a second implementation to agree with it. Each
//! closes what is over as event time passes and frees it, as one would for a stream without end.

mod open;
mod q0;
mod q1;
mod q11;
mod q12;
mod q15;
mod q17;
mod q18;
mod q19;
mod q2;
mod q5;
mod q7;
mod watermark;

use millstream::{Clock, Result, Timestamp};

use crate::args::{Args, Query};
use crate::arrival::Cursor;
use crate::event::Event;
use crate::generator::Generator;
use crate::input::Input;
use crate::outcome::{Meter, Outcome};
use crate::output::Output;
use crate::rows::Row;

/// A query that is told one event after the other.
trait Loop {
    /// What it gives.
    type Row: Row;

    /// Takes an event; gives the rows that are complete.
    fn event(&mut self, event: Event, out: &mut impl FnMut(Self::Row));

    /// There are no more events; gives the other rows.
    fn end(self, out: &mut impl FnMut(Self::Row));
}

/// Runs a query.
///
/// # Errors
/// When the input cannot be read as asked, or rows cannot be written.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let input = Input {
        splits: 1,
        ..args.input()
    };
    input.check()?;
    // Smaller than 2^50: `Input::check` bounds it by the events of a block.
    let lag_ms: Timestamp = input.shuffle_ms.cast_signed();
    match args.query {
        Query::Q0 => drive(args, input, q0::Q0),
        Query::Q1 => drive(args, input, q1::Q1),
        Query::Q2 => drive(args, input, q2::Q2),
        Query::Q5 => drive(args, input, q5::Q5::new(lag_ms)),
        Query::Q7 => drive(args, input, q7::Q7::new(lag_ms)),
        Query::Q11 => drive(args, input, q11::Q11::new(lag_ms)),
        Query::Q12 => drive(args, input, q12::Q12::new(Clock::system())),
        Query::Q15 => drive(args, input, q15::Q15::new(lag_ms)),
        Query::Q17 => drive(args, input, q17::Q17::new(lag_ms)),
        Query::Q18 => drive(args, input, q18::Q18::default()),
        Query::Q19 => drive(args, input, q19::Q19::default()),
    }
}

fn drive<L: Loop>(args: &Args, input: Input, mut query: L) -> Result<Outcome> {
    let generator = Generator::new(&input);
    let mut output = Output::create(args.output.as_deref())?;
    let meter = Meter::start();
    let mut out = |row| output.add(&row);
    for number in Cursor::new(input, 0) {
        query.event(generator.event(number), &mut out);
    }
    query.end(&mut out);
    let tally = output.finish()?;
    Ok(meter.plain(args, tally))
}
