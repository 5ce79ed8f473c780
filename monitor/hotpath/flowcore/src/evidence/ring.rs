//! The ring as a whole: its recorders, its thread, its bounds, what it counts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::flight::Flights;
use super::folder::{Files, Folder};
use super::recorder::{Buffer, Message, Recorder, Series, Way, BUFFERS};
use super::writer::Writer;
use super::Lane;
use crate::source::SourceError;

/// Bounds of a ring.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Where its files are.
    pub folder: PathBuf,
    /// Bytes of all files of headers.
    pub size: u64,
    /// Bytes of all files with payload; 0: no payload is kept.
    pub payload: u64,
    /// Nanoseconds after which a packet may go; `None`: only the size counts.
    pub age: Option<i64>,
    /// A replay waits for the disk, a live capture sheds.
    pub waits: bool,
    /// Version of the monitor, for those who open a file.
    pub version: String,
}

/// What a ring counts; shared by all its threads.
#[derive(Debug, Default)]
pub struct Tally {
    /// Frames that are on disk, or were.
    pub kept_frames: AtomicU64,
    /// Bytes written for them.
    pub kept_bytes: AtomicU64,
    /// Frames that were not kept because the disk was slower than the traffic.
    pub shed_queue: AtomicU64,
    /// Frames that were not kept because the disk did not take them.
    pub shed_disk: AtomicU64,
    /// Bytes on disk now, by lane.
    pub held: [AtomicU64; 2],
    /// Time of the oldest packet that is held, in nanoseconds; 0: there is none.
    pub oldest: AtomicU64,
    pub(super) submitted: AtomicU64,
    done: Mutex<u64>,
    changed: Condvar,
}

impl Tally {
    /// So many buffers were dealt with.
    pub(super) fn written(&self, buffers: u64) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) += buffers;
        self.changed.notify_all();
    }

    /// Wait until all that was handed over so far is on disk; false where that took too long.
    pub fn settle(&self, patience: Duration) -> bool {
        let wanted = self.submitted.load(Ordering::Acquire);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(done, patience, |done| *done < wanted);
        *waited.unwrap_or_else(PoisonError::into_inner).0 >= wanted
    }
}

/// A ring on disk.
pub struct Ring {
    options: RingOptions,
    tally: Arc<Tally>,
    folder: Arc<Mutex<Folder>>,
    /// `None` once it has stopped.
    full: Mutex<Option<Sender<Message>>>,
    writer: Mutex<Option<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ring {
    /// A ring that has touched nothing yet.
    pub fn new(options: RingOptions) -> Ring {
        let (full, filled) = channel();
        let tally = Arc::new(Tally::default());
        let folder = Arc::new(Mutex::new(Folder::new(&options, Arc::clone(&tally))));
        let writer = Writer::new(filled, Arc::clone(&folder), Arc::clone(&tally), &options);
        Ring {
            options,
            tally,
            folder,
            full: Mutex::new(Some(full)),
            writer: Mutex::new(Some(writer)),
            thread: Mutex::default(),
        }
    }

    /// A recorder for a worker, behind a source of these interfaces.
    pub fn recorder(&self, worker: usize, interfaces: &[String]) -> Option<Recorder> {
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_mut()?;
        let mut series = Vec::new();
        for lane in Lane::ALL {
            if lane == Lane::Payload && self.options.payload == 0 {
                continue;
            }
            let (give_back, empty) = channel();
            for _ in 1..BUFFERS {
                // the other end is in this function
                let _ = give_back.send(Buffer::new(lane, worker));
            }
            writer.add_series(lane, worker, give_back);
            series.push(Series::new(lane, worker, empty));
        }
        let way = Way {
            full,
            tally: Arc::clone(&self.tally),
            waits: self.options.waits,
            names: interfaces.to_vec(),
            version: Arc::from(self.options.version.as_str()),
        };
        Some(Recorder { series, way, flights: Flights::new() })
    }

    /// Take up what an earlier run left, and begin to write. Recorders are to be made before.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn start(&self) -> Result<Vec<String>, SourceError> {
        let warnings = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take_up()?;
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(warnings);
        };
        let thread = std::thread::Builder::new().name("egress-ring".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| SourceError(format!("no thread for the ring: {error}")))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(warnings)
    }

    /// Write what waits and end; what a worker hands over after that is lost. A second call does nothing.
    pub fn stop(&self) {
        if let Some(full) = self.full.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // a writer that has gone needs no order
            let _ = full.send(Message::Stop);
        }
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // a writer that panicked has told so on standard error
            let _ = thread.join();
        }
    }

    /// What it counts.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Open the files that hold packets of a time, the oldest first, as far as they are written now.
    pub(super) fn files(&self, lane: Lane, from: i64, to: i64, patience: Duration) -> Files {
        self.tally.settle(patience);
        self.folder.lock().unwrap_or_else(PoisonError::into_inner).files(lane, from, to)
    }
}
