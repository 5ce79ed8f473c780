//! What is found for one capsule: its packets, and the file that they are written to.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::mem::size_of;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::block;
use super::extract::{Extracted, Selection};
use super::read::{Described, Packet};
use crate::decode::FragmentKey;

/// Later fragments that wait for a first one to tell whose they are.
const MAX_WAITING: usize = 1 << 16;
/// Nanoseconds that fragments of one packet may be apart, as the flow stage has it.
const AROUND: i64 = 30_000_000_000;
/// Bytes of a packet that tell it from others of the same time, length and interface.
const TELLING: usize = 40;
/// Bytes that go to the disk at once.
const WRITTEN_AT_ONCE: usize = 1 << 18;

/// What tells a packet in an earlier file from others.
type Telling = (i64, u32, u16, Vec<u8>, Vec<u8>);
/// A fragmented packet, with the link type that it came over.
pub(super) type Whole = (FragmentKey, u16);

/// A packet that was found.
struct Found {
    time: i64,
    wire: u32,
    interface: u32,
    at: usize,
    length: usize,
    /// A later fragment, wanted only if its first one is.
    waits_for: Option<Whole>,
}

/// Takes in the packets of one selection.
pub(super) struct Collector {
    /// From the first packet of the first flow to the last of the last, with the fragments around them.
    span: (i64, i64),
    limit: usize,
    /// Link type and name of each interface, with its block.
    interfaces: Vec<(u16, Vec<u8>, Vec<u8>)>,
    found: Vec<Found>,
    bytes: Vec<u8>,
    earlier: HashMap<Telling, u32>,
    /// Fragmented packets whose first fragment was wanted.
    begun: HashMap<Whole, ()>,
    waiting: usize,
    left_out: u64,
}

/// The span of some times, wider by what fragments of one packet may be apart.
pub(super) fn around(from: i64, to: i64) -> (i64, i64) {
    // later fragments may come before the first one, or after the last packet that the flow has
    (from.saturating_sub(AROUND), to.saturating_add(AROUND))
}

fn telling(packet: &Packet<'_>, on: &Described<'_>) -> Telling {
    let start = packet.data.get(..packet.data.len().min(TELLING)).unwrap_or_default();
    (packet.time, packet.wire, on.link, on.name.to_vec(), start.to_vec())
}

impl Collector {
    pub(super) fn new(selection: &Selection) -> Collector {
        let (from, to) = selection.span();
        Collector {
            span: around(from, to),
            limit: selection.limit,
            interfaces: Vec::new(),
            found: Vec::new(),
            bytes: Vec::new(),
            earlier: HashMap::new(),
            begun: HashMap::new(),
            waiting: 0,
            left_out: 0,
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        self.bytes.len() + self.found.len() * size_of::<Found>()
    }

    /// A packet of an earlier file.
    pub(super) fn take_earlier(&mut self, packet: &Packet<'_>, on: &Described<'_>) {
        *self.earlier.entry(telling(packet, on)).or_default() += 1;
        self.keep(packet, on, None);
    }

    /// A later fragment, which may be of a packet that is wanted.
    pub(super) fn take_later(&mut self, packet: &Packet<'_>, on: &Described<'_>, of: Whole) {
        if self.waiting < MAX_WAITING && (self.span.0..=self.span.1).contains(&packet.time) {
            self.waiting += 1;
            self.keep(packet, on, Some(of));
        }
    }

    /// A packet of a flow that is wanted; `begins`: it is the first fragment of this one.
    pub(super) fn take(&mut self, packet: &Packet<'_>, on: &Described<'_>, begins: Option<Whole>) {
        if let Some(whole) = begins {
            self.begun.insert(whole, ());
        }
        if !self.earlier.is_empty() {
            if let Some(times) = self.earlier.get_mut(&telling(packet, on)).filter(|times| **times > 0) {
                *times -= 1;
                return;
            }
        }
        self.keep(packet, on, None);
    }

    fn keep(&mut self, packet: &Packet<'_>, on: &Described<'_>, waits_for: Option<Whole>) {
        if self.bytes.len() + packet.data.len() > self.limit {
            self.left_out += 1;
            return;
        }
        let known = self.interfaces.iter().position(|(link, name, _)| *link == on.link && name == on.name);
        let interface = known.unwrap_or_else(|| {
            self.interfaces.push((on.link, on.name.to_vec(), on.block.to_vec()));
            self.interfaces.len() - 1
        });
        let (at, length) = (self.bytes.len(), packet.data.len());
        self.bytes.extend_from_slice(packet.data);
        let (time, wire) = (packet.time, packet.wire);
        self.found.push(Found { time, wire, interface: interface as u32, at, length, waits_for });
    }

    /// Write what was found, in the order of time.
    pub(super) fn write(mut self, selection: &Selection, application: &str) -> io::Result<Extracted> {
        let begun = std::mem::take(&mut self.begun);
        self.found.retain(|found| found.waits_for.as_ref().is_none_or(|key| begun.contains_key(key)));
        self.found.sort_by_key(|found| found.time);
        let mut told = Extracted { left_out: self.left_out, ..Extracted::default() };
        let mut file = BufWriter::with_capacity(WRITTEN_AT_ONCE, create(&selection.to)?);
        let mut blocks = Vec::new();
        block::section(&mut blocks, application, &selection.comments);
        for (_, _, described) in &self.interfaces {
            blocks.extend_from_slice(described);
        }
        for found in &self.found {
            let data = self.bytes.get(found.at..found.at + found.length).unwrap_or_default();
            let at = blocks.len();
            blocks.resize(at + block::packet_length(data.len()), 0);
            if let Some(place) = blocks.get_mut(at..) {
                block::packet(place, found.interface, found.time, found.wire, [data]);
            }
            file.write_all(&blocks)?;
            blocks.clear();
            told.packets += 1;
            told.wire_bytes += u64::from(found.wire);
        }
        file.write_all(&blocks)?;
        told.span = self.found.first().zip(self.found.last()).map(|(first, last)| (first.time, last.time));
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(told)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
