//! Reads a file, and decompresses it, on a thread of its own, a few pieces ahead of the worker.

use std::sync::Arc;

use millstream_engine::data::Data;
use millstream_engine::error::{Error, Result};
use serde::de::DeserializeOwned;

use super::decoders::Decoders;
use super::input::Input;
use super::pieces::{By, Ending, Next, Piece, Pieces};
use crate::format::csv::batch::Batch;
use crate::format::csv::cut::last_row_end;
use crate::format::csv::rows::Rows;

/// The pieces of a file.
pub(crate) enum Feed<T> {
    /// Read when they are asked for: the file is too small for threads.
    Here { input: Input, piece_bytes: usize },
    /// Read ahead.
    Ahead(Box<ReadAhead<T>>),
}

impl<T: DeserializeOwned + Data> Feed<T> {
    /// The next piece; `block` and `batch` are used up.
    pub(crate) fn next(
        &mut self,
        mut block: Vec<u8>,
        batch: Option<Batch<T>>,
    ) -> Result<Next<Piece<T>>> {
        match self {
            Feed::Here { input, piece_bytes } => {
                input.fill(&mut block, 0, *piece_bytes)?;
                if block.is_empty() {
                    return Ok(Next::End);
                }
                Ok(Next::Piece(Piece {
                    data: block,
                    taken: input.taken(),
                    batch: None,
                }))
            }
            Feed::Ahead(ahead) => ahead.next(block, batch),
        }
    }
}

/// The worker's end of what is read ahead. When it is dropped, the thread ends.
pub(crate) struct ReadAhead<T> {
    pieces: Arc<Pieces<T>>,
    /// Held until the file has ended.
    decoders: Option<Arc<Decoders<T>>>,
    /// For pieces that the worker decodes out of turn.
    aside: Rows,
}

impl<T: DeserializeOwned + Data> ReadAhead<T> {
    /// Reads `input` from `offset` on, in pieces of about `piece_bytes`. If there are decoders,
    /// pieces end with a row where that can be seen.
    pub(crate) fn start(
        input: Input,
        offset: u64,
        piece_bytes: usize,
        pieces: Arc<Pieces<T>>,
        decoders: Option<Arc<Decoders<T>>>,
        aside: Rows,
    ) -> Result<Self> {
        let thread = Thread {
            pieces: pieces.clone(),
            decoders: decoders.clone(),
            piece_bytes,
            rest: Vec::new(),
        };
        std::thread::Builder::new()
            .name("read-ahead".into())
            .spawn(move || thread.run(input, offset))
            .map_err(|cause| Error::io("cannot start a thread to read files", cause))?;
        Ok(ReadAhead {
            pieces,
            decoders,
            aside,
        })
    }

    fn next(&mut self, block: Vec<u8>, batch: Option<Batch<T>>) -> Result<Next<Piece<T>>> {
        let mut next = self.pieces.next(block, batch)?;
        // One piece at most, so that the worker is not long away from its other work.
        if let Next::Wait = next
            && self.pieces.decode_one(&mut self.aside, By::Worker)
        {
            next = self.pieces.next(Vec::new(), None)?;
        }
        if let Next::End = next {
            self.decoders = None;
        }
        Ok(next)
    }
}

#[cfg(test)]
impl<T: DeserializeOwned + Data> ReadAhead<T> {
    /// Decodes whatever a helper may decode now.
    pub(crate) fn decode_all(&mut self) {
        while self.pieces.decode_one(&mut self.aside, By::Helper) {}
    }
}

impl<T> Drop for ReadAhead<T> {
    fn drop(&mut self) {
        self.pieces.close();
    }
}

struct Thread<T> {
    pieces: Arc<Pieces<T>>,
    decoders: Option<Arc<Decoders<T>>>,
    piece_bytes: usize,
    /// What was read behind the last row that ended.
    rest: Vec<u8>,
}

impl<T: DeserializeOwned + Data> Thread<T> {
    fn run(mut self, mut input: Input, offset: u64) {
        let ending = Ending(self.pieces.clone());
        let end = self.read_all(&mut input, offset);
        ending.0.finish(end);
    }

    fn read_all(&mut self, input: &mut Input, offset: u64) -> Result<()> {
        if !input.skip_to(offset, || !self.pieces.is_closed())? {
            return Ok(());
        }
        loop {
            let mut data = self.pieces.block();
            data.clear();
            data.append(&mut self.rest);
            let kept = data.len();
            input.fill(&mut data, kept, self.piece_bytes)?;
            if data.is_empty() {
                return Ok(());
            }
            // At the end there is nothing that a rest could wait for.
            if self.decoders.is_some() && data.len() > kept {
                self.cut(&mut data);
            }
            if !self.pieces.push(data, input.taken()) {
                return Ok(());
            }
            if let Some(decoders) = &self.decoders {
                decoders.call(&self.pieces);
            }
        }
    }

    fn cut(&mut self, data: &mut Vec<u8>) {
        if let Some(end) = last_row_end(data) {
            let rest = data.get(end..).unwrap_or_default();
            // A row without an end is not gathered: the worker reads it as it comes.
            if rest.len() <= self.piece_bytes {
                self.rest.extend_from_slice(rest);
                data.truncate(end);
            }
        }
    }
}
