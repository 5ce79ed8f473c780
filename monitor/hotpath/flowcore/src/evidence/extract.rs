//! Takes the packets of some flows out of the ring, into one file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::block;
use super::read::{walk, Described, Packet};
use super::{Lane, Ring};
use crate::decode::{decode, Addresses, FragmentKey};

/// Later fragments that wait for a first one to tell whose they are.
const MAX_WAITING: usize = 1 << 16;
/// Nanoseconds that fragments of one packet may be apart, as the flow stage has it.
const AROUND: i64 = 30_000_000_000;
/// Bytes of a packet that tell it from others of the same time, length and interface.
const TELLING: usize = 40;
/// A file that is longer was not written by a ring or capsule.
const MAX_FILE: u64 = 1 << 30;

/// An end of a flow: address (IPv4 mapped) and port.
type End = ([u8; 16], u16);
/// Both ends, the lower one first, and the protocol.
type Ends = (End, End, u8);
/// What tells a packet in an earlier file from others.
type Telling = (i64, u32, u16, Vec<u8>, Vec<u8>);

/// A flow whose packets are wanted.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Address and port of its two ends, in any order.
    pub ends: [([u8; 16], u16); 2],
    /// IANA protocol number.
    pub protocol: u8,
    /// The id of a tunnel that is part of the flow's key; `None`: any.
    pub tunnel: Option<u32>,
    /// Name of its interface; `None`: any.
    pub interface: Option<String>,
    /// Time of its first packet, in nanoseconds.
    pub from: i64,
    /// Time of its last packet.
    pub to: i64,
}

/// What is wanted, and where it goes.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Which files are read.
    pub lane: Lane,
    /// Whose packets.
    pub flows: Vec<Flow>,
    /// A file that was taken out before: all its packets are wanted too.
    pub earlier: Option<PathBuf>,
    /// The file to write; it must not be there.
    pub to: PathBuf,
    /// What the file says of itself.
    pub comments: Vec<String>,
    /// Who writes it.
    pub application: String,
    /// Bytes of packets at most; the newest are left out.
    pub limit: usize,
    /// How long to wait for what the workers have handed over already.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Packets in the file.
    pub packets: u64,
    /// Their length on the wire.
    pub wire_bytes: u64,
    /// Times of the oldest and the newest of them.
    pub span: Option<(i64, i64)>,
    /// Packets that were found and had no room.
    pub left_out: u64,
    /// Time of the oldest packet in the ring; `None`: it held none.
    pub oldest: Option<i64>,
}

/// A packet that was found.
struct Found {
    time: i64,
    wire: u32,
    interface: u32,
    at: usize,
    length: usize,
    /// A later fragment, wanted only if its first one is.
    waits_for: Option<(FragmentKey, u16)>,
}

/// Takes in packets.
struct Collector<'s> {
    wanted: HashMap<Ends, Vec<&'s Flow>>,
    /// From the first packet of the first flow to the last of the last.
    span: (i64, i64),
    limit: usize,
    /// Link type and name of each interface, with its block.
    interfaces: Vec<(u16, Vec<u8>, Vec<u8>)>,
    found: Vec<Found>,
    bytes: Vec<u8>,
    earlier: HashMap<Telling, u32>,
    /// Fragmented packets whose first fragment was wanted.
    begun: HashMap<(FragmentKey, u16), ()>,
    waiting: usize,
    left_out: u64,
}

/// Take out the packets of these flows.
///
/// # Errors
/// A file that cannot be written; one of the ring that cannot be read is passed over.
pub fn extract(ring: Option<&Ring>, selection: &Selection) -> io::Result<Extracted> {
    let from = selection.flows.iter().map(|flow| flow.from).min().unwrap_or(0);
    let to = selection.flows.iter().map(|flow| flow.to).max().unwrap_or(0);
    let mut collector = Collector::new(selection, (from, to));
    if let Some(earlier) = &selection.earlier {
        let data = read_all(File::open(earlier)?, MAX_FILE)?;
        walk(&data, |packet, on| collector.take_earlier(&packet, on));
    }
    let mut oldest = None;
    if let Some(ring) = ring {
        let files = ring.files(selection.lane, from, to, selection.patience);
        oldest = files.oldest;
        for (file, bytes) in files.files {
            let Ok(data) = read_all(file, bytes) else { continue };
            walk(&data, |packet, on| collector.take(&packet, on));
        }
    }
    let told = collector.write(selection)?;
    Ok(Extracted { oldest, ..told })
}

/// The first bytes of a file.
fn read_all(file: File, bytes: u64) -> io::Result<Vec<u8>> {
    let bytes = bytes.min(file.metadata()?.len()).min(MAX_FILE);
    let mut data = Vec::with_capacity(bytes as usize);
    file.take(bytes).read_to_end(&mut data)?;
    Ok(data)
}

fn ends(one: End, other: End, protocol: u8) -> Ends {
    (one.min(other), one.max(other), protocol)
}

fn telling(packet: &Packet<'_>, on: &Described<'_>) -> Telling {
    let start = packet.data.get(..packet.data.len().min(TELLING)).unwrap_or_default();
    (packet.time, packet.wire, on.link, on.name.to_vec(), start.to_vec())
}

impl<'s> Collector<'s> {
    fn new(selection: &'s Selection, span: (i64, i64)) -> Collector<'s> {
        let mut wanted: HashMap<Ends, Vec<&Flow>> = HashMap::new();
        for flow in &selection.flows {
            let [one, other] = flow.ends;
            wanted.entry(ends(one, other, flow.protocol)).or_default().push(flow);
        }
        Collector {
            wanted,
            span,
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

    /// A packet of an earlier file.
    fn take_earlier(&mut self, packet: &Packet<'_>, on: &Described<'_>) {
        *self.earlier.entry(telling(packet, on)).or_default() += 1;
        self.keep(packet, on, None);
    }

    /// A packet of the ring.
    fn take(&mut self, packet: &Packet<'_>, on: &Described<'_>) {
        // later fragments may come before the first one, or after the last packet that the flow has
        let (first, last) = (self.span.0.saturating_sub(AROUND), self.span.1.saturating_add(AROUND));
        if !(first..=last).contains(&packet.time) {
            return;
        }
        let Ok(read) = decode(on.link, packet.data, packet.wire) else { return };
        let fragment = read.fragments.into_iter().flatten().last().and_then(|head| head.read(read.outer_key));
        let key = fragment.map(|(key, _)| (key, on.link));
        if read.continuation {
            if self.waiting < MAX_WAITING && key.is_some() {
                self.waiting += 1;
                self.keep(packet, on, key);
            }
            return;
        }
        let (source, destination) = match read.addresses {
            Addresses::V4 { source, destination } => (mapped(source), mapped(destination)),
            Addresses::V6 { source, destination } => (source, destination),
        };
        let both = ends((source, read.source_port), (destination, read.destination_port), read.protocol);
        let Some(flows) = self.wanted.get(&both) else { return };
        let is_wanted = flows.iter().any(|flow| {
            (flow.from..=flow.to).contains(&packet.time)
                && flow.tunnel.is_none_or(|id| id == read.encapsulation.key)
                && flow.interface.as_ref().is_none_or(|name| name.as_bytes() == on.name)
        });
        if !is_wanted {
            return;
        }
        if let Some(key) = key {
            self.begun.insert(key, ());
        }
        if !self.earlier.is_empty() {
            if let Some(times) = self.earlier.get_mut(&telling(packet, on)).filter(|times| **times > 0) {
                *times -= 1;
                return;
            }
        }
        self.keep(packet, on, None);
    }

    fn keep(&mut self, packet: &Packet<'_>, on: &Described<'_>, waits_for: Option<(FragmentKey, u16)>) {
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
    fn write(mut self, selection: &Selection) -> io::Result<Extracted> {
        let begun = std::mem::take(&mut self.begun);
        self.found.retain(|found| found.waits_for.as_ref().is_none_or(|key| begun.contains_key(key)));
        self.found.sort_by_key(|found| found.time);
        let mut told = Extracted { left_out: self.left_out, ..Extracted::default() };
        let mut blocks = Vec::with_capacity(self.bytes.len() + 64 * self.found.len());
        block::section(&mut blocks, &selection.application, &selection.comments);
        for (_, _, described) in &self.interfaces {
            blocks.extend_from_slice(described);
        }
        for found in &self.found {
            let data = self.bytes.get(found.at..found.at + found.length).unwrap_or_default();
            block::packet(&mut blocks, found.interface, found.time, found.wire, [data, &[], &[]]);
            told.packets += 1;
            told.wire_bytes += u64::from(found.wire);
        }
        told.span = self.found.first().zip(self.found.last()).map(|(first, last)| (first.time, last.time));
        write_new(&selection.to, &blocks)?;
        Ok(told)
    }
}

fn write_new(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(data)?;
    file.sync_all()
}

/// IPv4 as IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut all = [0; 16];
    all[10] = 0xff;
    all[11] = 0xff;
    all[12..].copy_from_slice(&address);
    all
}
