//! The flow stage: books packets in the tables, ends flows, and cuts their records at ticks.

use super::content::Budget;
use super::expiry::Expiry;
use super::key::{of_packet, AnyKey, Key, KeyV4, KeyV6, Seed};
use super::questions::{on_dns_port, Questions};
use super::record::{Batch, Builder, NONE};
use super::sides::Sides;
use super::slot::{Application, Confidence, Ending, Initiator, NameSource, Slot, Traffic, IN, OUT};
use super::table::Table;
use super::update::{account, dns, initiator_of_datagram, tcp};
use crate::counters::Counters;
use crate::decode::{protocol, tcp_flag, Packet};

const SECOND: i64 = 1_000_000_000;
/// A connection that was opened may be silent this long; what keeps a pool open speaks within it.
const TCP_IDLE: i64 = 3600 * SECOND;
/// A TCP flow of which nothing but its opening, or one direction, was seen.
const TCP_HALF_OPEN: i64 = 120 * SECOND;
/// RFC 4787 section 4.3 asks of a translator two minutes at least for UDP.
const OTHER_IDLE: i64 = 120 * SECOND;
/// Packets this long after the end of a flow are still its own (retransmissions, the last ACK).
const LINGER: i64 = 60 * SECOND;
/// Flows that are looked at to find one that may be evicted.
const EVICTION_LOOK: usize = 16;

/// Bounds of the flow stage.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Flows in each of the two tables (IPv4, IPv6); one takes some 350 bytes.
    pub flows: usize,
    /// Bytes of half-read streams in which a name is looked for.
    pub content: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { flows: 1 << 20, content: 64 << 20 }
    }
}

/// One family's flows.
struct Family<K> {
    table: Table<K>,
    expiry: Expiry,
    /// Flows with a row in the open tick.
    dirty: Vec<u32>,
}

/// What both families share.
pub(super) struct Shared {
    sides: Sides,
    limits: Limits,
    /// Nanoseconds in a tick.
    pub(super) tick_length: i64,
    /// The open tick, counted from 1970.
    pub(super) tick: i64,
    pub(super) builder: Builder,
    pub(super) questions: Questions,
    pub(super) budget: Budget,
    evicted: u64,
}

/// All flows of one worker.
pub struct FlowTables {
    v4: Family<KeyV4>,
    v6: Family<KeyV6>,
    shared: Shared,
}

/// A packet with what its frame says.
pub(super) struct Arrival<'p> {
    pub(super) packet: &'p Packet<'p>,
    pub(super) time: i64,
    from_low: bool,
    pub(super) wire: u32,
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
                questions: Questions::new(),
                budget: Budget { left: limits.content, refused: 0 },
                evicted: 0,
            },
        }
    }

    /// Book a packet that came at `time` in a frame of `wire` bytes.
    #[inline]
    pub fn book(&mut self, packet: &Packet<'_>, time: i64, wire: u32, interface: u16, counters: &mut Counters) {
        let (key, from_low) = of_packet(packet, interface);
        let arrival = Arrival { packet, time, from_low, wire };
        match key {
            AnyKey::V4(key) => self.v4.book(key, &arrival, &mut self.shared, counters),
            AnyKey::V6(key) => self.v6.book(key, &arrival, &mut self.shared, counters),
        }
    }

    /// Cut the records of the open tick.
    pub fn cut(&mut self) {
        self.v4.cut(&mut self.shared);
        self.v6.cut(&mut self.shared);
        self.shared.builder.batch.ticks += 1;
    }

    /// Begin a tick: end the flows whose time has come.
    pub fn begin(&mut self, tick: i64) {
        self.shared.tick = tick;
        self.v4.expire(&mut self.shared);
        self.v6.expire(&mut self.shared);
    }

    /// End every flow: the source is over. The records belong to the open tick.
    pub fn shut_down(&mut self) {
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
        counters.dns_rows_dropped = self.shared.questions.rows_dropped;
        self.shared.builder.take()
    }
}

impl<K: Key> Family<K> {
    fn new() -> Family<K> {
        Family { table: Table::new(), expiry: Expiry::default(), dirty: Vec::new() }
    }

    #[inline]
    fn book(&mut self, key: K, arrival: &Arrival<'_>, shared: &mut Shared, counters: &mut Counters) {
        let hash = self.table.hash(&key);
        let number = match self.table.find(&key, hash) {
            Some(number) => {
                self.renew(number, arrival, shared);
                number
            }
            None => self.add(key, hash, arrival, shared),
        };
        let Some(slot) = self.table.get(number) else { return };
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(number);
        }
        let packet = arrival.packet;
        let outgoing = slot.local_is_low == arrival.from_low || slot.key.low() == slot.key.high();
        let direction = if outgoing { OUT } else { IN };
        let traffic = &mut slot.traffic;
        if traffic.packets == [0, 0] {
            traffic.first_seen = arrival.time;
        }
        traffic.first_seen = traffic.first_seen.min(arrival.time);
        traffic.bytes[direction] += packet.ip_bytes;
        traffic.payload[direction] += packet.payload_bytes;
        traffic.packets[direction] += 1;
        traffic.flags |= packet.tcp_flags;
        slot.last_seen = slot.last_seen.max(arrival.time);
        account(slot.scope as usize, outgoing, arrival, counters);
        if packet.protocol == protocol::TCP {
            tcp(slot, arrival, outgoing, shared, counters);
        } else if packet.protocol == protocol::UDP
            && on_dns_port(packet.source_port, packet.destination_port)
            && !packet.fragment
        {
            dns(slot, arrival, outgoing, shared, counters);
        }
    }

    /// A new connection between the same ends begins in the place of one that has ended.
    #[inline]
    fn renew(&mut self, number: u32, arrival: &Arrival<'_>, shared: &mut Shared) {
        let Some(slot) = self.table.get(number) else { return };
        if slot.ended.is_none() {
            return;
        }
        let opening = arrival.packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        if !opening && arrival.time.saturating_sub(slot.ended_at) <= LINGER {
            return;
        }
        let listed = slot.dirty;
        if listed {
            shared.builder.cut(shared.tick * shared.tick_length, slot);
        }
        shared.budget.release(slot.content.take());
        *slot = shared.flow(slot.key, arrival);
        // the number is in the list of dirty flows already
        slot.dirty = listed;
    }

    fn add(&mut self, key: K, hash: u32, arrival: &Arrival<'_>, shared: &mut Shared) -> u32 {
        if self.table.len() >= shared.limits.flows {
            self.evict(shared);
        }
        let slot = shared.flow(key, arrival);
        let deadline = shared.deadline(&slot);
        let number = self.table.insert(slot, hash);
        self.expiry.add(deadline, number);
        number
    }

    /// Make room: of the flows whose deadlines come first, the one silent for the longest goes.
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
        let mut oldest: Option<(i64, u32)> = None;
        for number in looked {
            let Some(slot) = self.table.get(*number) else { continue };
            let seen = (slot.last_seen, *number);
            if oldest.is_none_or(|oldest| seen.0 < oldest.0) {
                oldest = Some(seen);
            }
        }
        let Some((_, chosen)) = oldest else { return };
        for number in looked.iter().filter(|number| **number != chosen) {
            let Some(slot) = self.table.get(*number) else { continue };
            self.expiry.add(shared.deadline(slot), *number);
        }
        if let Some(slot) = self.table.get(chosen) {
            let open = slot.ended.is_none();
            slot.ended = slot.ended.or(Some(Ending::Evicted));
            if open || slot.dirty {
                shared.builder.cut(shared.tick * shared.tick_length, slot);
            }
            shared.budget.release(slot.content.take());
            shared.evicted += u64::from(open);
        }
        // its number may stay in the list of dirty flows: `cut` asks the slot
        self.table.remove(chosen);
    }

    fn cut(&mut self, shared: &mut Shared) {
        for number in self.dirty.drain(..) {
            if let Some(slot) = self.table.get(number).filter(|slot| slot.dirty) {
                shared.builder.cut(shared.tick * shared.tick_length, slot);
            }
        }
    }

    /// End flows that were silent for their timeout, and forget those that ended a while ago.
    fn expire(&mut self, shared: &mut Shared) {
        let now = shared.tick.saturating_mul(shared.tick_length);
        while let Some(number) = self.expiry.pop_due(shared.tick) {
            let Some(slot) = self.table.get(number) else { continue };
            let deadline = shared.deadline(slot);
            if deadline > shared.tick {
                self.expiry.add(deadline, number);
                continue;
            }
            if slot.ended.is_none() {
                slot.ended = Some(Ending::Idle);
                slot.ended_at = slot.last_seen.saturating_add(timeout(slot));
                shared.builder.cut(now, slot);
                let deadline = shared.deadline(slot);
                if deadline > shared.tick {
                    self.expiry.add(deadline, number);
                    continue;
                }
            }
            shared.budget.release(slot.content.take());
            self.table.remove(number);
        }
    }

    fn shut_down(&mut self, shared: &mut Shared) {
        let mut open = Vec::with_capacity(self.table.len());
        while let Some(number) = self.expiry.pop_first() {
            open.push(number);
        }
        // the order of deadlines depends on nothing but the packets, so it is the same in every run
        for number in open {
            let Some(slot) = self.table.get(number) else { continue };
            let quiet_end = slot.ended.is_some() && !slot.dirty;
            slot.ended = slot.ended.or(Some(Ending::Shutdown));
            if !quiet_end {
                shared.builder.cut(shared.tick * shared.tick_length, slot);
            }
            self.table.remove(number);
        }
        self.dirty.clear();
    }
}

impl Shared {
    /// A flow that begins with this packet.
    fn flow<K: Key>(&self, key: K, arrival: &Arrival<'_>) -> Slot<K> {
        let (scope, sender_is_local) = self.sides.of(&arrival.packet.addresses);
        let base = Seed::FIXED.two(key.hash(&Seed::FIXED), arrival.time as u64);
        let mut slot = Slot {
            key,
            last_seen: arrival.time,
            traffic: Traffic::default(),
            dirty: false,
            local_is_low: sender_is_local == arrival.from_low,
            scope,
            fins: 0,
            watch: if arrival.packet.protocol == protocol::TCP { 0b11 } else { 0 },
            looked: [0, 0],
            initiator: Initiator::Unknown,
            confidence: Confidence::None,
            application: Application::Unknown,
            name_source: NameSource::Sni,
            ech: false,
            ended: None,
            vlan: arrival.packet.vlan,
            expected: [None, None],
            started: arrival.time,
            ended_at: 0,
            flow_id: base,
            name: None,
            content: None,
            batch: 0,
            remote_id: 0,
            name_id: NONE,
        };
        initiator_of_datagram(&mut slot, arrival.packet, sender_is_local);
        slot
    }

    /// The tick at whose beginning a flow is over.
    fn deadline<K: Key>(&self, slot: &Slot<K>) -> i64 {
        let time = match slot.ended {
            None => slot.last_seen.saturating_add(timeout(slot)),
            Some(_) => slot.ended_at.saturating_add(LINGER),
        };
        time.div_euclid(self.tick_length).saturating_add(1)
    }
}

fn timeout<K: Key>(slot: &Slot<K>) -> i64 {
    let settled = slot.expected.iter().all(Option::is_some);
    match slot.key.protocol() {
        protocol::TCP if settled => TCP_IDLE,
        protocol::TCP => TCP_HALF_OPEN,
        _ => OTHER_IDLE,
    }
}
