//! The files of a ring: what an earlier run left, which one is written, which one goes next.
//!
//! A file is named `headers-03-0000000017.pcapng`: lane, worker, number. Files of other names are not
//! touched.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::read::walk;
use super::ring::{RingOptions, Tally};
use super::Lane;
use crate::source::SourceError;

/// Readable by the owner alone.
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// A file is not longer than this, nor than a part of the ring.
const SEGMENT: u64 = 16 << 20;
/// Files of a full ring, at least.
const PARTS: u64 = 16;
/// A file of a ring that an earlier run left is not read where it is longer: it is none of ours.
const MAX_SEGMENT: u64 = 1 << 30;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    lane: Lane,
    number: u64,
    /// Whole blocks that are written.
    pub(super) bytes: u64,
    /// Times of its oldest and its newest packet.
    pub(super) first: i64,
    pub(super) last: i64,
    /// It is still written to.
    open: bool,
}

/// Files to read, each with the bytes of it that count.
pub(super) struct Files {
    pub(super) files: Vec<(File, u64)>,
    /// The oldest packet of the whole lane; `None`: it holds none.
    pub(super) oldest: Option<i64>,
}

/// All files of a ring.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    sizes: [u64; 2],
    age: Option<i64>,
    segments: Vec<Segment>,
    number: u64,
    tally: Arc<Tally>,
}

impl Folder {
    pub(super) fn new(options: &RingOptions, tally: Arc<Tally>) -> Folder {
        let sizes = [options.size, options.payload];
        Folder { path: options.folder.clone(), sizes, age: options.age, segments: Vec::new(), number: 0, tally }
    }

    /// Length at which a file of this lane is full.
    pub(super) fn full_at(&self, lane: Lane) -> u64 {
        let size = self.sizes.get(lane.index()).copied().unwrap_or(0);
        (size / PARTS).clamp(64 << 10, SEGMENT.max(size / (4 * PARTS)))
    }

    /// Time span at which a file is full, whatever its length: what goes by age goes a file at a time.
    pub(super) fn full_after(&self) -> i64 {
        self.age.map_or(i64::MAX, |age| age / PARTS as i64)
    }

    /// Make the folder and take up the files of an earlier run: a block that was cut off at the end of a
    /// file is taken away, a file without a whole block goes. Gives warnings for people.
    pub(super) fn take_up(&mut self) -> Result<Vec<String>, SourceError> {
        let failed = |path: &Path, error: &io::Error| {
            let what = error.to_string();
            let plain = what.split(" (os error").next().unwrap_or_default();
            SourceError(format!("{}: {plain}", path.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(&self.path)
            .and_then(|()| fs::set_permissions(&self.path, fs::Permissions::from_mode(PRIVATE_FOLDER)))
            .map_err(|error| failed(&self.path, &error))?;
        let mut warnings = Vec::new();
        let entries = fs::read_dir(&self.path).map_err(|error| failed(&self.path, &error))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some((lane, number)) = name.to_str().and_then(parse_name) else { continue };
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            self.number = self.number.max(number);
            match take_up_one(&entry.path(), lane, number) {
                Ok(Some(segment)) => self.segments.push(segment),
                Ok(None) => {}
                Err(error) => warnings.push(failed(&entry.path(), &error).0),
            }
        }
        self.segments.sort_by_key(|segment| segment.number);
        self.trim(None);
        Ok(warnings)
    }

    /// Make a new file for a worker.
    pub(super) fn create(&mut self, lane: Lane, worker: usize) -> io::Result<(File, u64)> {
        self.number += 1;
        let path = self.path.join(format!("{}-{worker:02}-{:010}.pcapng", lane.name(), self.number));
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&path)?;
        let (first, last) = (i64::MAX, i64::MIN);
        self.segments.push(Segment { path, lane, number: self.number, bytes: 0, first, last, open: true });
        Ok((file, self.number))
    }

    /// More of a file is written.
    pub(super) fn grew(&mut self, number: u64, bytes: u64, first: i64, last: i64) {
        if let Some(segment) = self.segments.iter_mut().rev().find(|segment| segment.number == number) {
            segment.bytes = bytes;
            segment.first = segment.first.min(first);
            segment.last = segment.last.max(last);
        }
    }

    /// A file is written no longer; one that holds nothing goes.
    pub(super) fn close(&mut self, number: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) {
            segment.open = false;
        }
        self.segments.retain(|segment| {
            let empty = segment.number == number && segment.first > segment.last;
            if empty {
                // where it cannot go, the next run tries again
                let _ = fs::remove_file(&segment.path);
            }
            !empty
        });
    }

    /// Remove the oldest files that are beyond the bounds. `now`: event time, for the age.
    pub(super) fn trim(&mut self, now: Option<i64>) {
        if let (Some(age), Some(now)) = (self.age, now) {
            let before = now.saturating_sub(age);
            while let Some(at) = self.segments.iter().position(|segment| !segment.open && segment.last < before) {
                self.remove(at);
            }
        }
        for lane in Lane::ALL {
            let size = self.sizes.get(lane.index()).copied().unwrap_or(0);
            while self.held(lane) > size && self.make_room(lane) {}
        }
        self.count();
    }

    /// Remove the oldest file of a lane; false where there is none that may go.
    pub(super) fn make_room(&mut self, lane: Lane) -> bool {
        let closed = self.segments.iter().enumerate().filter(|(_, segment)| segment.lane == lane && !segment.open);
        let Some((at, _)) = closed.min_by_key(|(_, segment)| (segment.last, segment.number)) else { return false };
        self.remove(at);
        true
    }

    fn remove(&mut self, at: usize) {
        let segment = self.segments.remove(at);
        // one that is gone already is as good, and one that cannot go is found again by the next run
        let _ = fs::remove_file(segment.path);
    }

    fn held(&self, lane: Lane) -> u64 {
        self.segments.iter().filter(|segment| segment.lane == lane).map(|segment| segment.bytes).sum()
    }

    fn count(&self) {
        for lane in Lane::ALL {
            if let Some(held) = self.tally.held.get(lane.index()) {
                held.store(self.held(lane), Ordering::Relaxed);
            }
        }
        let oldest = self.oldest(Lane::Headers).unwrap_or(0);
        self.tally.oldest.store(oldest.max(0) as u64, Ordering::Relaxed);
    }

    fn oldest(&self, lane: Lane) -> Option<i64> {
        let written = self.segments.iter().filter(|segment| segment.lane == lane && segment.first <= segment.last);
        written.map(|segment| segment.first).min()
    }

    /// Open the files of a lane that may hold packets from one time to another.
    pub(super) fn files(&self, lane: Lane, from: i64, to: i64) -> Files {
        let hold = |segment: &&Segment| segment.lane == lane && segment.first <= to && segment.last >= from;
        let files = self.segments.iter().filter(hold).filter_map(|segment| {
            let file = File::open(&segment.path).ok()?;
            Some((file, segment.bytes))
        });
        Files { files: files.collect(), oldest: self.oldest(lane) }
    }
}

/// Lane and number out of a file's name.
fn parse_name(name: &str) -> Option<(Lane, u64)> {
    let mut parts = name.strip_suffix(".pcapng")?.split('-');
    let (lane, worker, number) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !digits(worker, 2) || !digits(number, 10) {
        return None;
    }
    let lane = Lane::ALL.into_iter().find(|known| known.name() == lane)?;
    Some((lane, number.parse().ok()?))
}

/// Read a file of an earlier run, and take away what was cut off at its end.
fn take_up_one(path: &Path, lane: Lane, number: u64) -> io::Result<Option<Segment>> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let length = file.metadata()?.len();
    if length > MAX_SEGMENT {
        return Err(io::Error::other("is longer than a file of the ring can be; it is left alone"));
    }
    file.set_permissions(fs::Permissions::from_mode(PRIVATE_FILE))?;
    let mut data = Vec::with_capacity(length as usize);
    (&file).read_to_end(&mut data)?;
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let whole = walk(&data, |packet, _| {
        first = first.min(packet.time);
        last = last.max(packet.time);
    }) as u64;
    if first > last {
        drop(file);
        fs::remove_file(path)?;
        return Ok(None);
    }
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(Some(Segment { path: path.to_path_buf(), lane, number, bytes: whole, first, last, open: false }))
}
