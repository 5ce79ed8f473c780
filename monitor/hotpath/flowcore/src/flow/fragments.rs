//! Fragments: later ones are led to the flow of the first, the only one that has ports.
//!
//! A fragment that comes before the first one waits, as far as its lengths go, until the first one comes;
//! at the end of the tick those that still wait are booked in a flow without ports. So every frame is in a
//! flow when a tick is handed over, and the rows depend on nothing but the packets and their times.
//!
//! What the fragments carry is put together beside that ([`super::gather`]), for names and DNS messages.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::gather::{Gathered, Room, Whole};
use super::key::Seed;
use crate::counters::Counters;
use crate::decode::{protocol, Addresses, Encapsulation, Fault, FragmentHead, FragmentKey, Packet, Piece};

/// Bytes that a fragmented packet takes at most, its share of those that wait included: to reckon limits with.
pub const FRAGMENT_BYTES: usize = 512;
/// Fragments of one packet may come this far apart: what Linux waits (`ipfrag_time`).
const TIMEOUT: i64 = 30_000_000_000;
/// Parts of a packet that are remembered apart; where there are more holes, overlaps may go unseen.
const MAX_PARTS: usize = 8;
/// One fragment may wait for each so many packets that are remembered.
const PACKETS_A_WAITING: usize = 4;
/// A packet's share of the memory for what packets carry.
const SHARE: usize = 4;
/// No other waits behind.
const NOBODY: u32 = u32::MAX;

/// A fragmented packet, and where it came.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    packet: FragmentKey,
    interface: u16,
}

/// Nobody outside chooses the interface.
impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packet.hash(state);
    }
}

/// A frame with what is needed to book it.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) time: i64,
    pub(super) wire: u32,
    pub(super) interface: u16,
}

/// Where a fragment goes.
#[derive(Default)]
pub(super) struct Placed {
    /// It waits for the first one, and is not to be booked.
    pub(super) waits: bool,
    /// Those that waited for it.
    pub(super) released: Released,
    /// What the packet carries, where this was the last of its fragments that came.
    pub(super) whole: Option<Whole>,
}

/// Chains of fragments whose first one has come: at most one for each layer.
#[derive(Default)]
pub(super) struct Released([Option<(u32, Target)>; 2]);

/// The flow that a first fragment has told.
#[derive(Clone, Copy)]
struct Target {
    addresses: Addresses,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    icmp_type: u8,
    encapsulation: Encapsulation,
    /// The fragmented packet is a tunnel's: its IP headers are no bytes of the flow.
    carrier: bool,
}

/// A fragment that waits.
struct Waiting {
    frame: Frame<'static>,
    key: Key,
    /// The next one of the same packet.
    next: u32,
    released: bool,
}

/// A fragmented packet.
struct Known {
    seen: i64,
    target: Option<Target>,
    parts: Parts,
    /// The first and the last of those that wait.
    waiting: Option<(u32, u32)>,
    gathered: Gathered,
}

/// What is known of a fragment's packet.
struct Met {
    key: Key,
    target: Option<Target>,
    /// The first of those that waited for the flow that it told.
    waiting: Option<u32>,
}

/// Which parts of a packet have come, in units of 8 bytes.
#[derive(Default)]
struct Parts {
    ranges: [(u16, u16); MAX_PARTS],
    count: usize,
    /// Where the last fragment ends.
    total: Option<u16>,
}

/// Fragmented packets, and fragments that wait for their first one.
pub(super) struct Fragments {
    packets: HashMap<Key, Known, Seed>,
    /// When to look at a packet again, about the oldest first. Each packet has one entry.
    order: VecDeque<(i64, Key)>,
    waiting: Vec<Waiting>,
    /// How many of those that wait have been given up already.
    given_up: usize,
    limit: usize,
    pub(super) room: Room,
    /// What the last fragment made whole.
    whole: Option<Whole>,
    pub(super) evicted: u64,
    pub(super) unplaced: u64,
}

impl Fragments {
    /// Remembers up to `limit` packets, less what a quarter of their memory holds of what they carry.
    pub(super) fn new(limit: usize) -> Fragments {
        let share = limit / SHARE;
        let limit = limit - share;
        Fragments {
            room: Room::new(share * FRAGMENT_BYTES),
            whole: None,
            packets: HashMap::default(),
            order: VecDeque::new(),
            waiting: Vec::new(),
            given_up: 0,
            limit: limit.max(1),
            evicted: 0,
            unplaced: 0,
        }
    }

    /// Find where a fragment goes, and remember what it tells. Its packet is addressed as the first one was, if that has come.
    pub(super) fn place(&mut self, frame: &mut Frame<'_>, counters: &mut Counters) -> Placed {
        let mut placed = Placed::default();
        let packet = &frame.packet;
        let (continuation, [outer, inner]) = (packet.continuation, packet.fragments);
        // the last one is the packet's own unless that is inside of it; what is around another is inside too
        let own = packet.encapsulation.key;
        let last = (if packet.carried { packet.outer_key } else { own }, packet.carried);
        let first = if inner.is_some() { (packet.outer_key, true) } else { last };
        let known = if continuation {
            inner.or(outer).and_then(|head| self.meet(&head, last.0, frame, None, counters))
        } else {
            None
        };
        match known {
            Some(Met { target: Some(target), .. }) => target.lead(&mut frame.packet),
            Some(Met { key, .. }) => placed.waits = self.wait(key, frame),
            None => placed.released.0[1] = inner.and_then(|head| self.tell(&head, last, frame, counters)),
        }
        // of two layers the outer one is a first fragment, or the inner one could not have been read
        if !continuation || inner.is_some() {
            placed.released.0[0] = outer.and_then(|head| self.tell(&head, first, frame, counters));
        }
        placed.whole = self.whole.take();
        placed
    }

    /// Take one of the released fragments out, addressed as the first one was.
    pub(super) fn take(&mut self, released: &mut Released) -> Option<Frame<'static>> {
        for chain in &mut released.0 {
            let Some((number, target)) = *chain else { continue };
            let Some(waiting) = self.waiting.get_mut(number as usize) else { continue };
            waiting.released = true;
            let mut frame = waiting.frame;
            target.lead(&mut frame.packet);
            *chain = (waiting.next != NOBODY).then_some((waiting.next, target));
            return Some(frame);
        }
        None
    }

    /// Take one of the fragments out that still wait at the end of a tick.
    pub(super) fn give_up(&mut self) -> Option<Frame<'static>> {
        while let Some(waiting) = self.waiting.get(self.given_up) {
            self.given_up += 1;
            if waiting.released {
                continue;
            }
            if let Some(known) = self.packets.get_mut(&waiting.key) {
                known.waiting = None;
            }
            self.unplaced += 1;
            return Some(waiting.frame);
        }
        self.waiting.clear();
        self.given_up = 0;
        None
    }

    /// Interface and wire length of the fragments that wait.
    pub(super) fn unbooked(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        let waiting = self.waiting.iter().skip(self.given_up).filter(|waiting| !waiting.released);
        waiting.map(|waiting| (waiting.frame.interface, waiting.frame.wire))
    }

    /// Forget the packets of which nothing came for the timeout.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some((time, key)) = self.order.front().copied() {
            if time.saturating_add(TIMEOUT) > now {
                break;
            }
            self.order.pop_front();
            let Entry::Occupied(entry) = self.packets.entry(key) else { continue };
            let seen = entry.get().seen;
            if seen.saturating_add(TIMEOUT) > now {
                self.order.push_back((seen, key));
            } else {
                entry.remove().gathered.give_up(&mut self.room);
            }
        }
    }

    /// Note which part of its packet a fragment is, and the flow that it tells if it is the first.
    fn meet(
        &mut self,
        head: &FragmentHead<'_>,
        tunnel: u32,
        frame: &Frame<'_>,
        told: Option<Target>,
        counters: &mut Counters,
    ) -> Option<Met> {
        let (packet, piece) = head.read(tunnel)?;
        let key = Key { packet, interface: frame.interface };
        if self.packets.len() >= self.limit && !self.packets.contains_key(&key) {
            self.make_room();
        }
        let known = match self.packets.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push_back((frame.time, key));
                entry.insert(Known {
                    seen: frame.time,
                    target: None,
                    parts: Parts::default(),
                    waiting: None,
                    gathered: Gathered::Nothing,
                })
            }
        };
        known.seen = known.seen.max(frame.time);
        if piece.start == 0 && known.parts.is_complete() {
            known.gathered = Gathered::Nothing;
        }
        let packet = &frame.packet;
        let overlaps = known.parts.add(&piece);
        if overlaps {
            counters.faults[Fault::FragmentOverlap.index()] += 1;
        }
        if packet.carried || packet.fragments[1].is_some() || overlaps {
            known.gathered.give_up(&mut self.room);
        } else if matches!(packet.protocol, protocol::UDP | protocol::TCP) {
            known.gathered.add(&piece, packet, &mut self.room);
            if known.parts.is_complete() {
                self.whole = known.gathered.finish(&mut self.room);
            }
        }
        let mut waiting = None;
        if told.is_some() {
            known.target = told;
            waiting = known.waiting.take();
        }
        Some(Met { key, target: known.target, waiting: waiting.map(|(first, _)| first) })
    }

    /// Note the flow that a first fragment tells; gives those that waited for it. Of its packet: the key of
    /// the tunnel around it, and whether the flow is inside of it.
    fn tell(
        &mut self,
        head: &FragmentHead<'_>,
        (tunnel, carrier): (u32, bool),
        frame: &Frame<'_>,
        counters: &mut Counters,
    ) -> Option<(u32, Target)> {
        let target = Target::of(&frame.packet, carrier);
        let met = self.meet(head, tunnel, frame, Some(target), counters)?;
        met.waiting.map(|first| (first, target))
    }

    /// Let a fragment wait, if there is room.
    fn wait(&mut self, key: Key, frame: &Frame<'_>) -> bool {
        if self.waiting.len() * PACKETS_A_WAITING >= self.limit {
            self.unplaced += 1;
            return false;
        }
        let number = self.waiting.len() as u32;
        let Some(known) = self.packets.get_mut(&key) else { return false };
        let (first, last) = known.waiting.unwrap_or((number, NOBODY));
        known.waiting = Some((first, number));
        if let Some(last) = self.waiting.get_mut(last as usize) {
            last.next = number;
        }
        let frame = Frame { packet: frame.packet.detached(), ..*frame };
        self.waiting.push(Waiting { frame, key, next: NOBODY, released: false });
        true
    }

    fn forget(&mut self, key: &Key) -> Option<Known> {
        let mut known = self.packets.remove(key)?;
        known.gathered.give_up(&mut self.room);
        Some(known)
    }

    fn make_room(&mut self) {
        while self.packets.len() >= self.limit {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            let gone = self.forget(&oldest);
            self.evicted += u64::from(gone.is_some_and(|known| !known.parts.is_complete()));
        }
    }
}

impl Target {
    fn of(packet: &Packet<'_>, carrier: bool) -> Target {
        Target {
            addresses: packet.addresses,
            source_port: packet.source_port,
            destination_port: packet.destination_port,
            protocol: packet.protocol,
            icmp_type: packet.icmp_type,
            encapsulation: packet.encapsulation,
            carrier,
        }
    }

    /// Address a later fragment as the first one was.
    fn lead(&self, packet: &mut Packet<'_>) {
        packet.addresses = self.addresses;
        packet.source_port = self.source_port;
        packet.destination_port = self.destination_port;
        packet.protocol = self.protocol;
        packet.icmp_type = self.icmp_type;
        packet.encapsulation = self.encapsulation;
        if self.carrier {
            // what it carries is the rest of the packet inside
            let inside = packet.payload_bytes as u32;
            packet.link_bytes += packet.ip_bytes.saturating_sub(inside);
            packet.ip_bytes = inside;
        }
    }
}

impl Parts {
    /// Add a fragment; true if some of it was there already.
    fn add(&mut self, piece: &Piece) -> bool {
        // the first fragment again, after all have come: the sender uses the id again, or it is a copy
        if piece.start == 0 && self.is_complete() {
            *self = Parts::default();
        }
        let (mut start, mut end) = ((piece.start / 8) as u16, piece.end.div_ceil(8).min(0xffff) as u16);
        if piece.last {
            self.total = Some(end);
        }
        if start >= end {
            return false;
        }
        let mut overlap = false;
        let mut kept = 0;
        for at in 0..self.count {
            let Some(range) = self.ranges.get(at).copied() else { break };
            if range.0 <= end && start <= range.1 {
                overlap |= range.0 < end && start < range.1;
                (start, end) = (start.min(range.0), end.max(range.1));
            } else if let Some(place) = self.ranges.get_mut(kept) {
                *place = range;
                kept += 1;
            }
        }
        if let Some(place) = self.ranges.get_mut(kept) {
            *place = (start, end);
            kept += 1;
        }
        self.count = kept;
        overlap
    }

    fn is_complete(&self) -> bool {
        self.count == 1 && self.total.is_some_and(|total| self.ranges[0] == (0, total))
    }
}
