//! Takes the packets of some flows out of the ring: one pass over it serves many capsules.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use super::collect::{around, Collector};
use super::read::{walk, Described, Packet};
use super::{Lane, Ring};
use crate::decode::{decode, Addresses};

/// A file that is longer was not written by a ring or capsule.
const MAX_FILE: u64 = 1 << 30;

/// An end of a flow: address (IPv4 mapped) and port.
type End = ([u8; 16], u16);
/// Both ends, the lower one first, and the protocol.
type Ends = (End, End, u8);

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

/// What is wanted for one capsule, and where it goes.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Whose packets.
    pub flows: Vec<Flow>,
    /// A file that was taken out before: all its packets are wanted too.
    pub earlier: Option<PathBuf>,
    /// The file to write; it must not be there.
    pub to: PathBuf,
    /// What the file says of itself.
    pub comments: Vec<String>,
    /// Bytes of packets at most; the newest are left out.
    pub limit: usize,
}

impl Selection {
    /// Times of the first packet of the first flow and of the last one of the last.
    pub(super) fn span(&self) -> (i64, i64) {
        let from = self.flows.iter().map(|flow| flow.from).min().unwrap_or(0);
        (from, self.flows.iter().map(|flow| flow.to).max().unwrap_or(0))
    }
}

/// How the ring is gone through.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Which files are read.
    pub lane: Lane,
    /// Who writes the capsules' files.
    pub application: String,
    /// How long to wait for what the workers have handed over already.
    pub patience: Duration,
    /// Bytes of memory for all that is found; the first selection has its `limit` even if that is more.
    pub room: usize,
}

/// What came of a selection.
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

/// Take out the packets of these flows, for each selection into its file.
///
/// Gives what came of each; `None` where there was no room for it beside those before it: it is to be asked
/// for again. Never so for the first.
///
/// # Errors
/// Of a selection: a file that cannot be written, an earlier one that cannot be read. One of the ring that
/// cannot be read is passed over.
pub fn extract(ring: Option<&Ring>, pass: &Pass, selections: &[Selection]) -> Vec<Option<io::Result<Extracted>>> {
    let mut index: HashMap<Ends, Vec<(usize, &Flow)>> = HashMap::new();
    for (number, selection) in selections.iter().enumerate() {
        for flow in &selection.flows {
            let [one, other] = flow.ends;
            index.entry(ends(one, other, flow.protocol)).or_default().push((number, flow));
        }
    }
    let mut shelf = Shelf { collectors: Vec::new(), room: pass.room, held: 0 };
    for selection in selections {
        shelf.add(selection);
    }
    let spans = selections.iter().filter(|one| !one.flows.is_empty()).map(Selection::span);
    let (from, to) = spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or((0, 0));
    let mut oldest = None;
    if let Some(ring) = ring {
        let files = ring.files(pass.lane, from, to, pass.patience);
        oldest = files.oldest;
        let (first, last) = around(from, to);
        for (file, bytes) in files.files {
            let Ok(data) = read_all(file, bytes) else { continue };
            walk(&data, |packet, on| {
                if (first..=last).contains(&packet.time) {
                    offer(&index, &mut shelf, &packet, on);
                }
            });
        }
    }
    let written = shelf.collectors.into_iter().zip(selections).map(|(place, selection)| match place {
        Place::Taken(collector) => Some(collector.write(selection, &pass.application)),
        Place::Failed(error) => Some(Err(error)),
        Place::PutOff => None,
    });
    written.map(|one| one.map(|told| told.map(|told| Extracted { oldest, ..told }))).collect()
}

/// Give a packet to those who want it.
fn offer(index: &HashMap<Ends, Vec<(usize, &Flow)>>, shelf: &mut Shelf, packet: &Packet<'_>, on: &Described<'_>) {
    let Ok(read) = decode(on.link, packet.data, packet.wire) else { return };
    let fragment = read.fragments.into_iter().flatten().last().and_then(|head| head.read(read.outer_key));
    let whole = fragment.map(|(key, _)| (key, on.link));
    if read.continuation {
        if let Some(whole) = whole {
            for number in 0..shelf.collectors.len() {
                shelf.give(number, |collector| collector.take_later(packet, on, whole));
            }
        }
        return;
    }
    let (source, destination) = match read.addresses {
        Addresses::V4 { source, destination } => (mapped(source), mapped(destination)),
        Addresses::V6 { source, destination } => (source, destination),
    };
    let both = ends((source, read.source_port), (destination, read.destination_port), read.protocol);
    let Some(flows) = index.get(&both) else { return };
    let mut given = None;
    for (number, flow) in flows {
        let is_wanted = given != Some(*number)
            && (flow.from..=flow.to).contains(&packet.time)
            && flow.tunnel.is_none_or(|id| id == read.encapsulation.key)
            && flow.interface.as_ref().is_none_or(|name| name.as_bytes() == on.name);
        if is_wanted {
            given = Some(*number);
            shelf.give(*number, |collector| collector.take(packet, on, whole));
        }
    }
}

/// Who is served in this pass.
enum Place {
    Taken(Collector),
    Failed(io::Error),
    PutOff,
}

/// The collectors of a pass, within the memory that they may take together.
struct Shelf {
    collectors: Vec<Place>,
    room: usize,
    held: usize,
}

impl Shelf {
    fn add(&mut self, selection: &Selection) {
        let mut collector = Collector::new(selection);
        let read = selection.earlier.as_ref().map(|path| read_all(File::open(path)?, MAX_FILE));
        let place = match read.transpose() {
            Ok(data) => {
                walk(&data.unwrap_or_default(), |packet, on| collector.take_earlier(&packet, on));
                self.held += collector.held();
                Place::Taken(collector)
            }
            Err(error) => Place::Failed(error),
        };
        self.collectors.push(place);
        self.make_room();
    }

    fn give(&mut self, number: usize, take: impl FnOnce(&mut Collector)) {
        let Some(Place::Taken(collector)) = self.collectors.get_mut(number) else { return };
        let before = collector.held();
        take(collector);
        self.held += collector.held() - before;
        self.make_room();
    }

    /// Put off the last of those that are served, until the others fit.
    fn make_room(&mut self) {
        while self.held > self.room {
            let mut served = self.collectors.iter_mut().filter(|place| matches!(place, Place::Taken(_)));
            if served.next().is_none() {
                return;
            }
            let Some(last) = served.next_back() else { return };
            if let Place::Taken(collector) = std::mem::replace(last, Place::PutOff) {
                self.held -= collector.held();
            }
        }
    }
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

/// IPv4 as IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut all = [0; 16];
    all[10] = 0xff;
    all[11] = 0xff;
    all[12..].copy_from_slice(&address);
    all
}
