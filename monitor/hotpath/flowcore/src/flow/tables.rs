//! The flow stage: books packets in the tables, ends flows, and cuts their records at ticks.

use super::budget::Budget;
use super::content::Content;
use super::expiry::Expiry;
use super::fragments::{Fragments, Frame};
use super::hot::{flow_bytes, Hot};
use super::initiators::{Initiators, Opened, MAX_INITIATORS};
use super::key::{of_packet, AnyKey, Key, KeyV4, KeyV6};
use super::questions::Questions;
use super::record::{Batch, Builder};
use super::shared::{timeout, Arrival, Limits, Shared, LINGER};
use super::sides::Sides;
use super::slot::{Ending, IN, OUT};
use super::table::Table;
use super::update::{account, dns_datagram, tcp, udp};
use crate::counters::Counters;
use crate::decode::quic::Opener;
use crate::decode::{dns, protocol, tcp_flag, Packet};

/// Flows that are looked at to find one that may be evicted.
const EVICTION_LOOK: usize = 16;

/// Flows that are asked for together.
const TOGETHER: usize = 16;

/// The flow that a packet belongs to, as a key and its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    key: AnyKey,
    from_low: bool,
    hash: u32,
}

impl Place {
    fn interface(&self) -> u8 {
        match &self.key {
            AnyKey::V4(key) => key.interface(),
            AnyKey::V6(key) => key.interface(),
        }
    }
}

/// One family's flows.
struct Family<K> {
    table: Table<K>,
    expiry: Expiry,
    /// Flows with a row in the open tick.
    dirty: Vec<u32>,
    /// The flow that came last.
    newest: u32,
}

/// All flows of one worker.
pub struct FlowTables {
    v4: Family<KeyV4>,
    v6: Family<KeyV6>,
    shared: Shared,
}

impl FlowTables {
    /// Empty tables for ticks of `tick_length` nanoseconds.
    pub fn new(sides: Sides, limits: Limits, tick_length: i64) -> FlowTables {
        FlowTables {
            v4: Family::new(),
            v6: Family::new(),
            shared: Shared {
                sides,
                limits,
                tick_length,
                tick: i64::MIN,
                builder: Builder::new(),
                questions: Questions::new(limits.dns),
                budget: Budget { left: limits.content, refused: 0 },
                opener: Opener::default(),
                initiators: None,
                fragments: Fragments::new(limits.fragments),
                evicted: 0,
                held: 0,
            },
        }
    }

    /// Remember who opened flows, beginning with what an earlier run knew; `secret` keys the hashes.
    pub fn remember_initiators(&mut self, secret: [u64; 2], known: &[Opened]) {
        let mut initiators = Initiators::new(secret);
        initiators.load(known);
        self.shared.initiators = Some(initiators);
    }

    /// Who opened the flows that left while open, and those that are open: what the next run is to know.
    /// Empty where nobody keeps it.
    pub fn opened(&self) -> Vec<Opened> {
        let Some(initiators) = &self.shared.initiators else { return Vec::new() };
        let mut all: Vec<Opened> = initiators.entries().collect();
        self.v4.opened(initiators, &mut all);
        self.v6.opened(initiators, &mut all);
        let surplus = all.len().saturating_sub(MAX_INITIATORS);
        all.drain(..surplus);
        all
    }

    /// Find out where a packet belongs, and ask for that place. The key is hashed here, once.
    #[inline]
    pub fn place(&self, packet: &Packet<'_>, interface: u16) -> Place {
        let (key, from_low) = of_packet(packet, interface as u8);
        let hash = match &key {
            AnyKey::V4(key) => self.v4.table.expect(key),
            AnyKey::V6(key) => self.v6.table.expect(key),
        };
        Place { key, from_low, hash }
    }

    /// Ask for the flow of a packet that will be booked soon.
    #[inline]
    pub fn expect(&self, place: &Place) {
        match &place.key {
            AnyKey::V4(_) => self.v4.table.expect_flow(place.hash),
            AnyKey::V6(_) => self.v6.table.expect_flow(place.hash),
        }
    }

    /// Book a packet that came at `time` in a frame of `wire` bytes.
    #[inline]
    pub fn book(&mut self, packet: &Packet<'_>, place: &Place, time: i64, wire: u32, counters: &mut Counters) {
        if packet.fragments[0].is_some() {
            let interface = u16::from(place.interface());
            self.book_fragment(Frame { packet: *packet, time, wire, interface }, counters);
        } else {
            self.book_at(packet, place, time, wire, counters);
        }
    }

    /// Book a fragment in the flow of its first one, and those that waited for it.
    #[cold]
    fn book_fragment(&mut self, frame: Frame<'_>, counters: &mut Counters) {
        let mut placed = self.shared.fragments.place(frame, counters);
        // those that waited are the older ones
        while let Some(frame) = self.shared.fragments.take(&mut placed.released) {
            self.book_frame(&frame, counters);
        }
        if let Some(frame) = placed.frame {
            self.book_frame(&frame, counters);
        }
    }

    /// Book the fragments whose first one did not come within the tick: each in a flow without ports.
    fn settle_fragments(&mut self, counters: &mut Counters) {
        while let Some(frame) = self.shared.fragments.give_up() {
            self.book_frame(&frame, counters);
        }
    }

    #[inline(never)]
    fn book_frame(&mut self, frame: &Frame<'_>, counters: &mut Counters) {
        let place = self.place(&frame.packet, frame.interface);
        self.book_at(&frame.packet, &place, frame.time, frame.wire, counters);
    }

    #[inline]
    fn book_at(&mut self, packet: &Packet<'_>, place: &Place, time: i64, wire: u32, counters: &mut Counters) {
        let Place { key, from_low, hash } = *place;
        let arrival = Arrival { packet, time, from_low, wire };
        match key {
            AnyKey::V4(key) => self.v4.book(key, hash, &arrival, &mut self.shared, counters),
            AnyKey::V6(key) => self.v6.book(key, hash, &arrival, &mut self.shared, counters),
        }
        if self.shared.held > self.shared.limits.flows {
            self.make_room();
        }
    }

    /// Evict flows of the larger table until the limit holds; the one that came just now stays.
    #[cold]
    fn make_room(&mut self) {
        let shared = &mut self.shared;
        while shared.held > shared.limits.flows && self.v4.table.len() + self.v6.table.len() > 1 {
            if self.v4.bytes() >= self.v6.bytes() {
                self.v4.evict(shared);
            } else {
                self.v6.evict(shared);
            }
        }
    }

    /// Cut the records of the open tick.
    pub fn cut(&mut self, counters: &mut Counters) {
        self.settle_fragments(counters);
        self.v4.cut(&mut self.shared);
        self.v6.cut(&mut self.shared);
        self.shared.builder.batch.ticks += 1;
    }

    /// Begin a tick: end the flows whose time has come.
    pub fn begin(&mut self, tick: i64) {
        self.shared.tick = tick;
        self.shared.fragments.expire(tick.saturating_mul(self.shared.tick_length));
        self.v4.expire(&mut self.shared);
        self.v6.expire(&mut self.shared);
    }

    /// End every flow: the source is over. The records belong to the open tick.
    pub fn shut_down(&mut self, counters: &mut Counters) {
        self.settle_fragments(counters);
        self.v4.shut_down(&mut self.shared);
        self.v6.shut_down(&mut self.shared);
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.shared.builder.rows()
    }

    /// Whole ticks that wait.
    pub fn ticks(&self) -> u64 {
        self.shared.builder.batch.ticks
    }

    /// Change what counts as local for flows that begin from now on.
    pub fn set_sides(&mut self, sides: Sides) {
        self.shared.sides = sides;
    }

    /// Take the rows that wait.
    pub fn take(&mut self, counters: &mut Counters) -> Batch {
        counters.flows_open = (self.v4.table.len() + self.v6.table.len()) as u64;
        counters.flows_evicted = self.shared.evicted;
        counters.names_skipped = self.shared.budget.refused;
        counters.questions_evicted = self.shared.questions.evicted;
        counters.fragments_evicted = self.shared.fragments.evicted;
        counters.fragments_unplaced = self.shared.fragments.unplaced;
        counters.dns_rows_dropped = self.shared.questions.rows_dropped;
        self.shared.builder.take()
    }
}

impl<K: Key> Family<K> {
    fn new() -> Family<K> {
        Family { table: Table::new(), expiry: Expiry::default(), dirty: Vec::new(), newest: 0 }
    }

    fn bytes(&self) -> usize {
        self.table.len() * flow_bytes::<K>()
    }

    fn remove(&mut self, number: u32, shared: &mut Shared) {
        let texts = self.table.get(number).map_or(0, |(_, slot)| usize::from(slot.texts));
        self.table.remove(number);
        shared.held = shared.held.saturating_sub(flow_bytes::<K>() + texts);
    }

    #[inline]
    fn book(&mut self, key: K, hash: u32, arrival: &Arrival<'_>, shared: &mut Shared, counters: &mut Counters) {
        let number = match self.table.find(&key, hash) {
            Some(number) => {
                self.renew(number, arrival, shared);
                number
            }
            None => self.add(key, hash, arrival, shared),
        };
        let Some((hot, slot)) = self.table.get(number) else { return };
        if !hot.is_dirty() {
            hot.set_dirty(true);
            slot.first_seen = arrival.time;
            self.dirty.push(number);
        }
        let packet = arrival.packet;
        let outgoing = hot.local_is_low() == arrival.from_low;
        let direction = if outgoing { OUT } else { IN };
        hot.bytes[direction] += u64::from(packet.ip_bytes);
        hot.payload[direction] += packet.payload_bytes;
        hot.packets[direction] += 1;
        hot.flags |= packet.tcp_flags;
        if arrival.time >= hot.last_seen {
            hot.last_seen = arrival.time;
        } else {
            slot.first_seen = slot.first_seen.min(arrival.time);
        }
        account(hot.scope(), outgoing, arrival, counters);
        if hot.packets[direction] == u32::MAX {
            shared.builder.cut(shared.tick * shared.tick_length, hot, slot);
        }
        let on_dns_port = dns::on_port(packet.source_port, packet.destination_port);
        if packet.protocol == protocol::TCP {
            let turns = packet.tcp_flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST) != 0;
            if turns || hot.watches(direction) || on_dns_port {
                tcp(slot, arrival, outgoing, shared, counters);
                shared.held += slot.count_texts();
                hot.follow(slot);
            }
        } else if packet.protocol == protocol::UDP && !packet.fragment {
            if on_dns_port {
                dns_datagram(slot, arrival, outgoing, shared, counters);
            } else if hot.watches(direction) {
                udp(slot, packet, outgoing, shared, counters);
                shared.held += slot.count_texts();
                hot.follow(slot);
            }
        }
    }

    /// A new connection between the same ends begins in the place of one that has ended.
    #[inline]
    fn renew(&mut self, number: u32, arrival: &Arrival<'_>, shared: &mut Shared) {
        let Some((hot, slot)) = self.table.get(number) else { return };
        if !hot.has_ended() {
            return;
        }
        let opening = arrival.packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        if !opening && arrival.time.saturating_sub(slot.ended_at) <= LINGER {
            return;
        }
        if hot.is_dirty() {
            shared.builder.cut(shared.tick * shared.tick_length, hot, slot);
        }
        Content::release(slot.content.take(), &mut shared.budget);
        shared.held = shared.held.saturating_sub(usize::from(slot.texts));
        *slot = shared.flow(slot.key, slot.hash, arrival);
        *hot = Hot::new(slot, arrival.time);
    }

    fn add(&mut self, key: K, hash: u32, arrival: &Arrival<'_>, shared: &mut Shared) -> u32 {
        shared.held += flow_bytes::<K>();
        let slot = shared.flow(key, hash, arrival);
        let hot = Hot::new(&slot, arrival.time);
        let look = shared.next_look(&hot, &slot);
        let number = self.table.insert(hot, slot);
        self.expiry.add(look, number);
        self.newest = number;
        number
    }

    /// Make room: of the flows that are looked at next, the one whose time is up first goes.
    fn evict(&mut self, shared: &mut Shared) {
        let mut looked = [0_u32; EVICTION_LOOK];
        let mut count = 0;
        while count < EVICTION_LOOK {
            let Some(number) = self.expiry.pop_first() else { break };
            if let Some(place) = looked.get_mut(count) {
                *place = number;
            }
            count += 1;
        }
        let looked = looked.get(..count).unwrap_or_default();
        let mut first: Option<((bool, i64, i64), u32)> = None;
        for number in looked {
            let Some((hot, slot)) = self.table.get(*number) else { continue };
            let seen = (*number == self.newest, shared.deadline(hot, slot), hot.last_seen);
            // of the same time, the one that came first: it was looked at last
            if first.is_none_or(|(earliest, _)| seen <= earliest) {
                first = Some((seen, *number));
            }
        }
        let Some((_, chosen)) = first else { return };
        for number in looked.iter().filter(|number| **number != chosen) {
            let Some((hot, slot)) = self.table.get(*number) else { continue };
            self.expiry.add(shared.next_look(hot, slot), *number);
        }
        if let Some((hot, slot)) = self.table.get(chosen) {
            let open = slot.ended.is_none();
            if let (true, Some((by_low, confidence)), Some(known)) = (open, slot.opened(), &mut shared.initiators) {
                known.remember(&slot.key, by_low, confidence);
            }
            slot.ended = slot.ended.or(Some(Ending::Evicted));
            if open || hot.is_dirty() {
                shared.builder.cut(shared.tick * shared.tick_length, hot, slot);
            }
            Content::release(slot.content.take(), &mut shared.budget);
            shared.evicted += u64::from(open);
        }
        // its number may stay in the list of dirty flows: `cut` asks the slot
        self.remove(chosen, shared);
    }

    fn cut(&mut self, shared: &mut Shared) {
        for numbers in self.dirty.chunks(TOGETHER) {
            self.table.expect_all(numbers);
            for number in numbers {
                if let Some((hot, slot)) = self.table.get(*number).filter(|(hot, _)| hot.is_dirty()) {
                    shared.builder.cut(shared.tick * shared.tick_length, hot, slot);
                }
            }
        }
        self.dirty.clear();
    }

    /// End flows that were silent for their timeout, and forget those that ended a while ago.
    fn expire(&mut self, shared: &mut Shared) {
        while let Some(due) = self.expiry.take_due(shared.tick) {
            for numbers in due.chunks(TOGETHER) {
                self.table.expect_all(numbers);
                for number in numbers {
                    self.expire_one(*number, shared);
                }
            }
            self.expiry.give_back(due);
        }
    }

    fn expire_one(&mut self, number: u32, shared: &mut Shared) {
        let now = shared.tick.saturating_mul(shared.tick_length);
        let Some((hot, slot)) = self.table.get(number) else { return };
        let mut deadline = shared.deadline(hot, slot);
        if deadline <= shared.tick && slot.ended.is_none() {
            slot.ended = Some(Ending::Idle);
            slot.ended_at = hot.last_seen.saturating_add(timeout(hot, slot));
            hot.follow(slot);
            shared.builder.cut(now, hot, slot);
            deadline = shared.deadline(hot, slot);
        }
        if deadline > shared.tick {
            self.expiry.add(shared.next_look(hot, slot), number);
            return;
        }
        Content::release(slot.content.take(), &mut shared.budget);
        self.remove(number, shared);
    }

    fn opened(&self, initiators: &Initiators, all: &mut Vec<Opened>) {
        for slot in self.table.slots().filter(|slot| slot.key.protocol() == protocol::TCP && slot.ended.is_none()) {
            if let Some((by_low, confidence)) = slot.opened() {
                all.push(initiators.entry(&slot.key, by_low, confidence));
            }
        }
    }

    fn shut_down(&mut self, shared: &mut Shared) {
        let mut open = Vec::with_capacity(self.table.len());
        while let Some(number) = self.expiry.pop_first() {
            open.push(number);
        }
        // the order of deadlines depends on nothing but the packets, so it is the same in every run
        for number in open {
            let Some((hot, slot)) = self.table.get(number) else { continue };
            let quiet_end = slot.ended.is_some() && !hot.is_dirty();
            slot.ended = slot.ended.or(Some(Ending::Shutdown));
            if !quiet_end {
                shared.builder.cut(shared.tick * shared.tick_length, hot, slot);
            }
            self.remove(number, shared);
        }
        self.dirty.clear();
    }
}
