//! Bytes of a capture file, decompressed where needed, in pieces that fit the second cache level.
//!
//! Files are read, not mapped: a mapped file costs a page fault and a dependent miss per record
//! (measured: 82 ns a packet read, 125 mapped).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::SourceError;

/// Piece that is read at a time: small enough to be still in the cache when it is parsed (measured: with
/// 1 MiB a packet costs 3 % more, the whole line counted).
const PIECE: usize = 1 << 18;

/// Largest single record that is believed; the buffer grows to hold it. Above the largest frame that
/// Linux can hand over (BIG TCP, 512 KiB) and libpcap's limit for any link type but USB.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// Counts what passes, for a progress bar: the compressed bytes of a compressed file.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// A window over a byte stream: `window()` is what is there, `consume` moves on, `fill` reads more.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Why reading stopped early, if it did (a compressed file that is cut off).
    fault: Option<String>,
    /// Bytes, unpacked, that may be read in all and that were.
    limit: u64,
    taken: u64,
}

impl Stream {
    /// Open a path, or standard input for `-`.
    pub(super) fn open(path: &str, read: &Arc<AtomicU64>) -> Result<Stream, SourceError> {
        let tell = |error: io::Error| SourceError(format!("{path}: {}", plain(&error)));
        let raw: Box<dyn Read + Send> = if path == "-" {
            Box::new(io::stdin())
        } else {
            if Path::new(path).is_dir() {
                return Err(SourceError(format!("{path}: is a folder, not a capture")));
            }
            Box::new(File::open(path).map_err(tell)?)
        };
        let counted = Counted { inner: raw, count: Arc::clone(read) };
        let mut buffered = BufReader::with_capacity(1 << 16, counted);
        let magic = buffered.fill_buf().map_err(tell)?;
        let reader: Box<dyn Read + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(buffered))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered).map_err(tell)?)
        } else {
            Box::new(buffered)
        };
        Ok(Stream {
            reader,
            buffer: vec![0; PIECE],
            start: 0,
            end: 0,
            ended: false,
            fault: None,
            limit: u64::MAX,
            taken: 0,
        })
    }

    /// Read at most so many bytes, unpacked: a small file may stand for gigabytes.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.limit = bytes;
        self.end_past_limit();
    }

    fn end_past_limit(&mut self) {
        if self.taken > self.limit {
            self.fault = Some(format!("larger than {} KiB unpacked", self.limit >> 10));
            self.ended = true;
            self.end = self.start;
        }
    }

    /// The bytes that are there and not yet consumed.
    pub(super) fn window(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The whole buffer and where the window starts in it: what offsets of frames point into.
    pub(super) fn memory(&self) -> (&[u8], usize) {
        (&self.buffer, self.start)
    }

    /// Move past bytes of the window.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Read until the window holds at least `wanted` bytes, and as much more as one piece has.
    /// Gives false where the stream ends before that.
    pub(super) fn fill(&mut self, wanted: usize) -> bool {
        if self.end - self.start >= wanted {
            return true;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted + PIECE, 0);
        }
        while self.end < self.buffer.len() && !self.ended {
            let Some(room) = self.buffer.get_mut(self.end..) else { break };
            let enough = room.len().min(1 << 16);
            match self.reader.read(room) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.end += n;
                    self.taken = self.taken.saturating_add(n as u64);
                    self.end_past_limit();
                    // a pipe gives little at a time: go on with what suffices
                    if self.end >= wanted && n < enough {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fault = Some(plain(&error));
                    self.ended = true;
                }
            }
        }
        self.end >= wanted
    }

    /// Why reading stopped before the end of the file, if it did.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// An error's text without Rust's `(os error 2)`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text.get(..end).unwrap_or(&text).to_string(),
        None => text,
    }
}
