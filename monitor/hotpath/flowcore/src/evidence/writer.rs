//! The thread that writes: full buffers to the disk, and empty ones back to the workers.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::block;
use super::folder::Folder;
use super::recorder::{Buffer, Message};
use super::ring::{RingOptions, Tally};
use super::Lane;
use crate::source::clock;

/// How often files are looked at for their age while there is nothing to write.
const LOOK: Duration = Duration::from_secs(1);
/// How long a disk that refused is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// A file that is written.
struct Open {
    file: File,
    number: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

/// The files of one lane of one worker, one after the other.
struct Files {
    lane: Lane,
    worker: usize,
    give_back: Sender<Buffer>,
    /// Descriptions of all its interfaces so far: each file begins with them.
    interfaces: Vec<u8>,
    open: Option<Open>,
}

/// What runs on the ring's thread.
pub(super) struct Writer {
    filled: Receiver<Message>,
    folder: Arc<Mutex<Folder>>,
    tally: Arc<Tally>,
    version: String,
    /// What makes event time of boot time, where the ring is of a live capture: packets' times do not follow a clock that is
    /// set, so their age must not either.
    boot_to_event: Option<i64>,
    series: Vec<Files>,
    refused: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        filled: Receiver<Message>,
        folder: Arc<Mutex<Folder>>,
        tally: Arc<Tally>,
        options: &RingOptions,
    ) -> Writer {
        let boot_to_event = (!options.waits).then(|| clock::wall() - clock::boot());
        let version = options.version.clone();
        Writer { filled, folder, tally, version, boot_to_event, series: Vec::new(), refused: None }
    }

    /// Event time, where the ring is of a live capture.
    fn now(&self) -> Option<i64> {
        self.boot_to_event.map(|boot_to_event| clock::boot() + boot_to_event)
    }

    pub(super) fn add_series(&mut self, lane: Lane, worker: usize, give_back: Sender<Buffer>) {
        self.series.push(Files { lane, worker, give_back, interfaces: Vec::new(), open: None });
    }

    fn folder(&self) -> MutexGuard<'_, Folder> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Write until the order to stop comes, or all recorders are gone.
    pub(super) fn run(mut self) {
        loop {
            match self.filled.recv_timeout(LOOK) {
                Ok(Message::Full(buffer)) => self.take(buffer),
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for index in 0..self.series.len() {
            self.close(index);
        }
    }

    /// There is nothing to write: what is old may go.
    fn rest(&mut self) {
        let now = self.now();
        let full_after = self.folder().full_after();
        for index in 0..self.series.len() {
            let open = self.series.get(index).and_then(|series| series.open.as_ref());
            // a file that is written to does not go
            if now.zip(open).is_some_and(|(now, open)| now.saturating_sub(open.first) > full_after) {
                self.close(index);
            }
        }
        self.folder().trim(now);
    }

    /// Deal with one buffer and give it back.
    fn take(&mut self, mut buffer: Buffer) {
        let found = self.series.iter().position(|one| one.lane == buffer.lane && one.worker == buffer.worker);
        let Some(index) = found else { return };
        // a disk that is full costs time with each try
        let paused = self.refused.is_some_and(|since| since.elapsed() < PAUSE);
        if paused || self.write(index, &buffer).is_err() {
            if !paused {
                self.refused = Some(Instant::now());
                self.close(index);
            }
            self.tally.shed_disk.fetch_add(buffer.frames, Ordering::Relaxed);
            if let Some(series) = self.series.get_mut(index) {
                if paused {
                    series.interfaces.extend_from_slice(&buffer.interfaces);
                }
            }
        } else {
            self.refused = None;
            self.tally.kept_frames.fetch_add(buffer.frames, Ordering::Relaxed);
        }
        self.tally.written(1);
        buffer.clear();
        if let Some(series) = self.series.get(index) {
            // a worker that has gone needs none
            let _ = series.give_back.send(buffer);
        }
        self.folder().trim(self.now());
    }

    /// Write a buffer; where the disk is full the oldest file goes, and it is tried once more.
    fn write(&mut self, index: usize, buffer: &Buffer) -> io::Result<()> {
        if let Some(series) = self.series.get_mut(index) {
            series.interfaces.extend_from_slice(&buffer.interfaces);
        }
        let is_full = |error: &io::Error| error.raw_os_error() == Some(libc::ENOSPC);
        match self.append(index, buffer) {
            Err(error) if is_full(&error) => {
                self.close(index);
                if !self.folder().make_room(buffer.lane) {
                    return Err(error);
                }
                self.append(index, buffer)
            }
            done => done,
        }
    }

    fn append(&mut self, index: usize, buffer: &Buffer) -> io::Result<()> {
        let (full_at, full_after) = {
            let folder = self.folder();
            (folder.full_at(buffer.lane), folder.full_after())
        };
        let is_full = |open: &Open| {
            open.bytes > 0
                && (open.bytes + buffer.blocks().len() as u64 > full_at
                    || open.last.saturating_sub(open.first) > full_after)
        };
        if self.series.get(index).and_then(|series| series.open.as_ref()).is_some_and(is_full) {
            self.close(index);
        }
        let mut head = Vec::new();
        let fresh = self.series.get(index).is_some_and(|series| series.open.is_none());
        if fresh {
            let (file, number) = self.folder().create(buffer.lane, buffer.worker)?;
            let what = match buffer.lane {
                Lane::Headers => "the recent past: headers, and what names come from",
                Lane::Payload => "the recent past, with payload",
            };
            block::section(&mut head, &format!("egress-monitor {}", self.version), &[what.to_string()]);
            if let Some(series) = self.series.get_mut(index) {
                head.extend_from_slice(&series.interfaces);
                series.open = Some(Open { file, number, bytes: 0, first: i64::MAX, last: i64::MIN });
            }
        } else {
            head.extend_from_slice(&buffer.interfaces);
        }
        let Some(open) = self.series.get_mut(index).and_then(|series| series.open.as_mut()) else { return Ok(()) };
        let before = open.bytes;
        let written = open.file.write_all(&head).and_then(|()| open.file.write_all(buffer.blocks()));
        if let Err(error) = written {
            // half a block at the end would stop those who read the file; if this fails too, the next run does it
            let _ = open.file.set_len(before);
            return Err(error);
        }
        open.bytes += (head.len() + buffer.blocks().len()) as u64;
        open.first = open.first.min(buffer.first);
        open.last = open.last.max(buffer.last);
        let (number, bytes, first, last) = (open.number, open.bytes, buffer.first, buffer.last);
        self.tally.kept_bytes.fetch_add(bytes - before, Ordering::Relaxed);
        self.folder().grew(number, bytes, first, last);
        Ok(())
    }

    /// Write to this file no longer.
    fn close(&mut self, index: usize) {
        if let Some(open) = self.series.get_mut(index).and_then(|series| series.open.take()) {
            self.folder().close(open.number);
        }
    }
}
