//! The recent past on disk: packets in a bounded ring of pcapng files, and those of some flows taken out
//! of it again.
//!
//! A [`Recorder`] stands in each worker behind decode. It writes what is kept of a frame into a buffer, and
//! swaps full buffers for empty ones with the thread of the [`Ring`], which alone touches the disk. By
//! default only headers are kept, and what names come from ([`keep`]). Live, a disk that is slow or full
//! costs frames of the ring, which are counted, and nothing else; a replay waits.

mod block;
mod collect;
mod extract;
mod flight;
mod folder;
mod keep;
mod read;
mod recorder;
mod ring;
mod writer;

pub use extract::{extract, Extracted, Flow, Pass, Selection};
pub use recorder::Recorder;
pub use ring::{Ring, RingOptions, Tally};

/// What is kept of frames, and where: the names are the beginnings of file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Headers, and what names come from.
    Headers,
    /// All that was captured.
    Payload,
}

impl Lane {
    /// Both, in the order of their numbers.
    pub const ALL: [Lane; 2] = [Lane::Headers, Lane::Payload];

    /// What its files' names begin with.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Headers => "headers",
            Lane::Payload => "payload",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
