//! The flow stage: books packets in the tables, ends flows, and cuts their records at ticks.

use super::budget::Budget;
use super::family::Family;
use super::fragments::{Fragments, Frame};
use super::gather::Whole;
use super::hot::FLOW_BYTES;
use super::initiators::{Initiators, Opened, MAX_INITIATORS};
use super::inspect::Inspections;
use super::key::{of_packet, AnyKey, Key, KeyV4, KeyV6};
use super::questions::Questions;
use super::record::{Batch, Builder};
use super::shared::{look_after, sampled, Arrival, Limits, Shared, KEPT};
use super::sides::Sides;
use super::spare::Spare;
use super::table::{Numbers, NOBODY};
use crate::counters::Counters;
use crate::decode::quic::Opener;
use crate::decode::Packet;

/// The flow that a packet belongs to, as a key and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    key: AnyKey,
    from_low: bool,
    hash: u32,
    /// The number of the flow, as far as its hash tells before those that come first are booked.
    likely: u32,
}

impl Place {
    /// What [`FlowTables::place`] fills.
    pub const EMPTY: Place = Place { key: AnyKey::EMPTY, from_low: false, hash: 0, likely: NOBODY };

    /// A number that all packets of one direction of a flow have in common, and few others.
    #[inline]
    pub fn stream(&self) -> u32 {
        self.hash.rotate_left(1) ^ u32::from(self.from_low)
    }

    fn interface(&self) -> u8 {
        match &self.key {
            AnyKey::V4(key) => key.interface(),
            AnyKey::V6(key) => key.interface(),
        }
    }
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
            v4: Family::new(limits.flows),
            v6: Family::new(limits.flows),
            shared: Shared {
                sides,
                limits,
                tick_length,
                tick: i64::MIN,
                sampled: 0,
                look_after: look_after(tick_length),
                builder: Builder::new(),
                questions: Questions::new(limits.dns),
                budget: Budget { left: limits.content, refused: 0 },
                inspections: Inspections::new(limits.flows / FLOW_BYTES + 1),
                opener: Opener::default(),
                spare_hello: None,
                initiators: None,
                fragments: Fragments::new(limits.fragments),
                evicted: 0,
                held: 0,
                left: 0,
                most: limits.flows,
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
    #[inline(always)]
    pub fn place(&self, packet: &Packet<'_>, interface: u16, place: &mut Place) {
        place.from_low = of_packet(packet, interface as u8, &mut place.key);
        place.hash = match &place.key {
            AnyKey::V4(key) => self.v4.table.prefetch_index(key),
            AnyKey::V6(key) => self.v6.table.prefetch_index(key),
        };
    }

    /// Ask for all that is needed to book the packets that belong to these places: each flow, its rest and what is kept of
    /// its content where that will be looked at. The places were found by [`FlowTables::place`] just now.
    #[inline(never)]
    pub fn prefetch(&self, places: &mut [Place]) {
        let (mut four, mut six) = (Numbers::NONE, Numbers::NONE);
        for place in places.iter_mut() {
            match &place.key {
                AnyKey::V4(_) => {
                    place.likely = self.v4.table.prefetch_flow(place.hash);
                    four.note(place.likely, place.likely != NOBODY);
                }
                AnyKey::V6(_) => {
                    place.likely = self.v6.table.prefetch_flow(place.hash);
                    six.note(place.likely, place.likely != NOBODY);
                }
            }
        }
        self.v4.table.prefetch_watched(four.all(), &self.shared.inspections);
        self.v6.table.prefetch_watched(six.all(), &self.shared.inspections);
    }

    /// Book a packet that came at `time` in a frame of `wire` bytes.
    #[inline(always)]
    pub fn book(&mut self, packet: &Packet<'_>, place: &Place, time: i64, wire: u32, counters: &mut Counters) {
        if packet.fragments[0].is_some() {
            let interface = u16::from(place.interface());
            self.book_fragment(&mut Frame { packet: *packet, time, wire, interface }, counters);
        } else {
            self.book_at(packet, place, time, wire, counters);
        }
    }

    /// Book a fragment in the flow of its first one, and those that waited for it.
    #[cold]
    fn book_fragment(&mut self, frame: &mut Frame<'_>, counters: &mut Counters) {
        let mut placed = self.shared.fragments.place(frame, counters);
        // those that waited are the older ones
        while let Some(frame) = self.shared.fragments.take(&mut placed.released) {
            self.book_frame(&frame, counters);
        }
        if placed.waits {
            return;
        }
        self.book_frame(frame, counters);
        if let Some(whole) = placed.whole {
            self.read(frame, &whole, counters);
        }
    }

    /// Look at what a packet carried whose fragments have all been booked.
    #[inline(never)]
    fn read(&mut self, frame: &Frame<'_>, whole: &Whole, counters: &mut Counters) {
        let packet = Packet {
            payload: &whole.payload,
            payload_bytes: whole.payload.len() as u64,
            sequence: whole.sequence,
            fragment: false,
            continuation: false,
            tcp_flags: 0,
            ..frame.packet.detached()
        };
        let mut place = Place::EMPTY;
        self.place(&packet, frame.interface, &mut place);
        let arrival = Arrival { packet: &packet, time: frame.time, from_low: place.from_low, wire: frame.wire };
        match &place.key {
            AnyKey::V4(key) => self.v4.read(key, place.hash, arrival, &mut self.shared, counters),
            AnyKey::V6(key) => self.v6.read(key, place.hash, arrival, &mut self.shared, counters),
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
        let mut place = Place::EMPTY;
        self.place(&frame.packet, frame.interface, &mut place);
        self.book_at(&frame.packet, &place, frame.time, frame.wire, counters);
    }

    #[inline(always)]
    fn book_at(&mut self, packet: &Packet<'_>, place: &Place, time: i64, wire: u32, counters: &mut Counters) {
        let arrival = Arrival { packet, time, from_low: place.from_low, wire };
        match &place.key {
            AnyKey::V4(key) => self.v4.book(key, (place.hash, place.likely), arrival, &mut self.shared, counters),
            AnyKey::V6(key) => self.v6.book(key, (place.hash, place.likely), arrival, &mut self.shared, counters),
        }
        if self.shared.is_full() {
            self.make_room();
        }
    }

    /// Give back what flows that are gone have left, if that is much; evict flows of the larger table until the limit holds.
    /// The one that came just now stays.
    #[cold]
    fn make_room(&mut self) {
        let shared = &mut self.shared;
        let much = shared.limits.flows / KEPT;
        if shared.left > much {
            self.v4.compact();
            self.v6.compact();
            shared.left = 0;
        }
        shared.most = shared.limits.flows;
        if shared.inspections.idle() > much {
            let numbers = shared.inspections.compact();
            for slot in self.v4.table.slots_mut().chain(self.v6.table.slots_mut()) {
                slot.inspection = slot.inspection.and_then(|old| *numbers.get(old.get() as usize - 1)?);
            }
        }
        while shared.is_full() && self.v4.table.len() + self.v6.table.len() > 1 {
            if self.v4.bytes() >= self.v6.bytes() {
                self.v4.evict(shared);
            } else {
                self.v6.evict(shared);
            }
        }
    }

    /// Cut the records of the open tick, but no more once what waits weighs `most` rows; gives whether that was all.
    pub fn cut(&mut self, counters: &mut Counters, most: usize) -> bool {
        self.settle_fragments(counters);
        let all = self.v4.cut(&mut self.shared, most) && self.v6.cut(&mut self.shared, most);
        self.shared.builder.batch.ticks += u64::from(all);
        all
    }

    /// Begin a tick; [`FlowTables::expire`] then ends the flows whose time has come.
    pub fn begin(&mut self, tick: i64) {
        self.shared.tick = tick;
        self.shared.sampled = sampled(tick);
        self.shared.fragments.expire(tick.saturating_mul(self.shared.tick_length));
    }

    /// End the flows whose time has come, but no more once what waits weighs `most` rows; gives whether that was all.
    pub fn expire(&mut self, most: usize) -> bool {
        self.v4.expire(&mut self.shared, most) && self.v6.expire(&mut self.shared, most)
    }

    /// End every flow, but no more once what waits weighs `most` rows: the source is over. The records belong to the open
    /// tick. Gives whether that was all.
    pub fn shut_down(&mut self, counters: &mut Counters, most: usize) -> bool {
        self.settle_fragments(counters);
        self.v4.shut_down(&mut self.shared, most) && self.v6.shut_down(&mut self.shared, most)
    }

    /// Say what a batch may weigh. DNS rows weigh so that there is always room for them: as much as that when they fill
    /// three quarters of their room; a live source half of it, since twice as much may wait there.
    pub(crate) fn weigh_for(&mut self, most: usize, live: bool) {
        let dns = self.shared.limits.dns;
        self.shared.builder.weigh(if live { dns / 2 } else { dns / 4 * 3 }, most);
    }

    /// What waits, in flow rows: DNS rows and names weigh as much as they take.
    #[inline]
    pub fn weight(&self) -> usize {
        self.shared.builder.weight()
    }

    /// Interface and wire length of the frames that are in no flow yet: fragments that wait for their first.
    pub fn unbooked(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.shared.fragments.unbooked()
    }

    /// Whole ticks that wait.
    pub fn ticks(&self) -> u64 {
        self.shared.builder.batch.ticks
    }

    /// Change what counts as local for flows that begin from now on.
    pub fn set_sides(&mut self, sides: Sides) {
        self.shared.sides = sides;
    }

    /// Take the rows that wait; those to come stand in `spare`.
    pub fn take(&mut self, counters: &mut Counters, spare: Spare) -> Batch {
        counters.flows_open = (self.v4.table.len() + self.v6.table.len()) as u64;
        counters.flows_evicted = self.shared.evicted;
        counters.names_skipped = self.shared.budget.refused;
        counters.questions_evicted = self.shared.questions.evicted();
        counters.fragments_evicted = self.shared.fragments.evicted;
        counters.fragments_unplaced = self.shared.fragments.unplaced;
        counters.fragments_unread = self.shared.fragments.room.refused;
        counters.dns_rows_dropped = self.shared.questions.rows_dropped;
        self.shared.builder.take(spare)
    }
}
