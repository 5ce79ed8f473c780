//! The flows of one address family: how packets are booked in them, and how they end.

use super::content::Content;
use super::expiry::Expiry;
use super::hot::{flow_bytes, Hot};
use super::initiators::{Initiators, Opened};
use super::key::Key;
use super::shared::{timeout, Arrival, Shared, LINGER};
use super::slot::{Ending, Slot, GROWN, IN, ON_DNS_PORT, OUT};
use super::table::{Table, NOBODY};
use super::update::{account, dns_datagram, segment, turns, udp};
use crate::counters::Counters;
use crate::decode::{protocol, tcp_flag};

/// Flows that are looked at to find one that may be evicted.
const EVICTION_LOOK: usize = 16;

/// Flows that are asked for together. Of more, more lines are asked for than a core waits for at once.
const TOGETHER: usize = 4;

/// One family's flows.
pub(super) struct Family<K> {
    pub(super) table: Table<K>,
    expiry: Expiry,
    /// Flows with a row in the open tick.
    dirty: Vec<u32>,
    /// The flow that came last.
    newest: u32,
}

impl<K: Key> Family<K> {
    /// Flows that take so many bytes at the most.
    pub(super) fn new(bytes: usize) -> Family<K> {
        // one more is there before another is evicted
        Family {
            table: Table::new(bytes / flow_bytes::<K>() + 1),
            expiry: Expiry::default(),
            dirty: Vec::new(),
            newest: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.len() * flow_bytes::<K>()
    }

    /// Give back the memory of places that flows have left.
    pub(super) fn compact(&mut self) {
        if self.table.left() == 0 {
            return;
        }
        let numbers = self.table.compact();
        let new = |old: u32| numbers.get(old as usize).copied().unwrap_or(NOBODY);
        self.expiry.renumber(&numbers);
        self.dirty.iter_mut().for_each(|number| *number = new(*number));
        self.dirty.retain(|number| *number != NOBODY);
        self.newest = new(self.newest);
    }

    fn remove(&mut self, number: u32, shared: &mut Shared) {
        let Some((_, slot)) = self.table.get(number) else { return };
        shared.held = shared.held.saturating_sub(flow_bytes::<K>() + usize::from(slot.extras));
        shared.inspections.end(slot.inspection.take());
        shared.left += flow_bytes::<K>();
        self.table.remove(number);
    }

    #[inline(always)]
    pub(super) fn book(
        &mut self,
        key: &K,
        (hash, likely): (u32, u32),
        arrival: Arrival<'_>,
        shared: &mut Shared,
        counters: &mut Counters,
    ) {
        let (number, (hot, slot)) = match self.table.open(key, likely) {
            Some(flow) => (likely, flow),
            None => {
                let number = self.begin(key, hash, &arrival.put(), shared);
                let Some(flow) = self.table.get(number) else { return };
                (number, flow)
            }
        };
        if !hot.is_dirty() {
            slot.first_seen = arrival.time;
            self.dirty.push(number);
        }
        let packet = arrival.packet;
        let outgoing = hot.local_is_low() == arrival.from_low;
        let direction = if outgoing { OUT } else { IN };
        // which packets are looked into is as good as random: one branch, and not one for each reason
        let wanted = hot.wants(direction, hot.packets[OUT].wrapping_add(1 + shared.sampled)) | turns(packet);
        hot.bytes[direction] += u64::from(packet.ip_bytes);
        hot.payload[direction] += packet.payload_bytes;
        hot.packets[direction] += 1;
        hot.flags |= packet.tcp_flags;
        if arrival.time >= hot.last_seen {
            hot.last_seen = arrival.time;
        } else {
            slot.first_seen = slot.first_seen.min(arrival.time);
        }
        account(hot.scope(), direction, arrival, counters);
        if hot.packets[direction] == u32::MAX {
            shared.cut(hot, slot);
        }
        if wanted {
            look(hot, slot, arrival, outgoing, shared, counters);
        }
    }

    /// The flow of a packet that is new, has ended, or was not known when it was asked for.
    #[inline(never)]
    fn begin(&mut self, key: &K, hash: u32, arrival: &Arrival<'_>, shared: &mut Shared) -> u32 {
        match self.table.find(key, hash) {
            Some(number) => {
                if self.table.hot(number).is_some_and(Hot::has_ended) {
                    self.renew(number, arrival, shared);
                }
                number
            }
            None => self.add(*key, hash, arrival, shared),
        }
    }

    /// Look at what a packet carried that came in fragments; they are booked.
    pub(super) fn read(
        &mut self,
        key: &K,
        hash: u32,
        arrival: Arrival<'_>,
        shared: &mut Shared,
        counters: &mut Counters,
    ) {
        let Some((hot, slot)) = self.table.find(key, hash).and_then(|number| self.table.get(number)) else { return };
        let outgoing = hot.local_is_low() == arrival.from_low;
        let sent = hot.packets[OUT].wrapping_add(shared.sampled);
        if hot.wants(if outgoing { OUT } else { IN }, sent) | turns(arrival.packet) {
            look(hot, slot, arrival, outgoing, shared, counters);
        }
    }

    /// A new connection between the same ends begins in the place of one that has ended.
    #[cold]
    fn renew(&mut self, number: u32, arrival: &Arrival<'_>, shared: &mut Shared) {
        let Some((hot, slot)) = self.table.get(number) else { return };
        let opening = arrival.packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        if !opening && arrival.time.saturating_sub(slot.ended_at) <= LINGER {
            return;
        }
        if hot.is_dirty() {
            shared.cut(hot, slot);
        }
        Content::release(slot.content.take(), &mut shared.budget);
        shared.inspections.end(slot.inspection.take());
        shared.held = shared.held.saturating_sub(usize::from(slot.extras));
        let (key, hash) = (hot.key, slot.hash);
        shared.begin(slot, &key, hash, arrival);
        *hot = Hot::new(key, slot, arrival.time);
        self.table.keep_dirty(&mut self.dirty);
    }

    #[inline(never)]
    fn add(&mut self, key: K, hash: u32, arrival: &Arrival<'_>, shared: &mut Shared) -> u32 {
        shared.held += flow_bytes::<K>();
        match self.table.left() {
            0 => shared.grow(),
            _ => shared.left -= flow_bytes::<K>(),
        }
        let number = self.table.reserve(hash);
        let Some((hot, slot)) = self.table.get(number) else { return number };
        shared.begin(slot, &key, hash, arrival);
        *hot = Hot::new(key, slot, arrival.time);
        let look = shared.next_look(hot, slot);
        self.expiry.add(look, number);
        self.newest = number;
        self.table.keep_dirty(&mut self.dirty);
        number
    }

    /// Make room: of the flows that are looked at next, the one whose time is up first goes.
    pub(super) fn evict(&mut self, shared: &mut Shared) {
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
                known.remember(&hot.key, by_low, confidence);
            }
            slot.ended = slot.ended.or(Some(Ending::Evicted));
            if open || hot.is_dirty() {
                shared.cut(hot, slot);
            }
            Content::release(slot.content.take(), &mut shared.budget);
            shared.evicted += u64::from(open);
        }
        // its number may stay in the list of dirty flows: `cut` asks the slot
        self.remove(chosen, shared);
    }

    /// Cut the records of the open tick until what waits weighs `most` rows; gives whether that was all.
    pub(super) fn cut(&mut self, shared: &mut Shared, most: usize) -> bool {
        let mut done = 0;
        self.ask_for_first(&self.dirty, shared);
        for numbers in self.dirty.chunks(TOGETHER) {
            if shared.builder.weight() >= most {
                break;
            }
            self.ask_ahead(&self.dirty, done, shared);
            done += numbers.len();
            for number in numbers {
                if let Some((hot, slot)) = self.table.get(*number).filter(|(hot, _)| hot.is_dirty()) {
                    shared.cut(hot, slot);
                }
            }
        }
        self.dirty.drain(..done);
        self.dirty.is_empty()
    }

    /// End flows that were silent for their timeout, and forget those that ended a while ago, until what
    /// waits weighs `most` rows; gives whether that was all.
    pub(super) fn expire(&mut self, shared: &mut Shared, most: usize) -> bool {
        while let Some((tick, due)) = self.expiry.take_due(shared.tick) {
            self.ask_for_first(&due, shared);
            for (place, numbers) in due.chunks(TOGETHER).enumerate() {
                if shared.builder.weight() >= most {
                    for number in due.iter().skip(place * TOGETHER) {
                        self.expiry.add(tick, *number);
                    }
                    return false;
                }
                self.ask_ahead(&due, place * TOGETHER, shared);
                for number in numbers {
                    self.expire_one(*number, shared);
                }
            }
            self.expiry.give_back(due);
        }
        true
    }

    fn expire_one(&mut self, number: u32, shared: &mut Shared) {
        let Some((hot, slot)) = self.table.get(number) else { return };
        let mut is_over = shared.is_over(hot, slot);
        if is_over && slot.ended.is_none() {
            slot.ended = Some(Ending::Idle);
            slot.ended_at = hot.last_seen.saturating_add(timeout(hot, slot));
            hot.follow(slot);
            shared.cut(hot, slot);
            is_over = shared.is_over(hot, slot);
        }
        if !is_over {
            self.expiry.add(shared.next_look(hot, slot), number);
            return;
        }
        if hot.is_dirty() {
            // ticks were merged for as long as it lingered
            shared.cut(hot, slot);
        }
        Content::release(slot.content.take(), &mut shared.budget);
        self.remove(number, shared);
    }

    pub(super) fn opened(&self, initiators: &Initiators, all: &mut Vec<Opened>) {
        let open = self.table.flows().filter(|(hot, slot)| hot.key.protocol() == protocol::TCP && slot.ended.is_none());
        for (hot, slot) in open {
            if let Some((by_low, confidence)) = slot.opened() {
                all.push(initiators.entry(&hot.key, by_low, confidence));
            }
        }
    }

    /// End flows until what waits weighs `most` rows; gives whether that was all.
    pub(super) fn shut_down(&mut self, shared: &mut Shared, most: usize) -> bool {
        // the order of deadlines depends on nothing but the packets, so it is the same in every run
        while let Some((tick, mut due)) = self.expiry.take_due(i64::MAX) {
            let mut done = 0;
            due.reverse();
            self.ask_for_first(&due, shared);
            'lot: for numbers in due.chunks(TOGETHER) {
                self.ask_ahead(&due, done, shared);
                for number in numbers {
                    if shared.builder.weight() >= most {
                        break 'lot;
                    }
                    self.shut_down_one(*number, shared);
                    done += 1;
                }
            }
            due.reverse();
            due.truncate(due.len() - done);
            if !due.is_empty() {
                self.expiry.put_back(tick, due);
                return false;
            }
            self.expiry.give_back(due);
        }
        self.dirty.clear();
        true
    }

    fn shut_down_one(&mut self, number: u32, shared: &mut Shared) {
        let Some((hot, slot)) = self.table.get(number) else { return };
        let quiet_end = slot.ended.is_some() && !hot.is_dirty();
        slot.ended = slot.ended.or(Some(Ending::Shutdown));
        if !quiet_end {
            shared.cut(hot, slot);
        }
        self.remove(number, shared);
    }

    /// Ask for what the first flows of a list need, before [`Family::ask_ahead`] asks for the others.
    fn ask_for_first(&self, numbers: &[u32], shared: &Shared) {
        let (first, rest) = numbers.split_at(numbers.len().min(TOGETHER));
        self.table.prefetch_all(first);
        self.table.prefetch_all(rest.get(..TOGETHER.min(rest.len())).unwrap_or_default());
        self.ask_for_rows(first, shared);
    }

    /// While the flows from `at` on are dealt with, ask for what the next ones' rows and ends need, and for the flows behind
    /// those: so that what is read to ask for more has come, and all of it is waited for together.
    fn ask_ahead(&self, numbers: &[u32], at: usize, shared: &Shared) {
        let lot = |ahead: usize| {
            let behind = numbers.get(at + ahead * TOGETHER..).unwrap_or_default();
            behind.get(..TOGETHER.min(behind.len())).unwrap_or_default()
        };
        self.table.prefetch_all(lot(2));
        self.ask_for_rows(lot(1), shared);
    }

    fn ask_for_rows(&self, numbers: &[u32], shared: &Shared) {
        self.table.prefetch_entries(numbers);
        for (hot, slot) in numbers.iter().filter_map(|number| self.table.both(*number)) {
            shared.builder.prefetch(hot, slot, &shared.inspections);
        }
    }
}

/// Look at what a packet carries that its flow wants to see.
#[inline(always)]
fn look<K: Key>(
    hot: &mut Hot<K>,
    slot: &mut Slot,
    arrival: Arrival<'_>,
    outgoing: bool,
    shared: &mut Shared,
    counters: &mut Counters,
) {
    let packet = arrival.packet;
    if packet.protocol == protocol::TCP {
        let nothing_new = packet.payload.is_empty() && slot.expected(usize::from(!outgoing)).is_some();
        if nothing_new && !turns(packet) {
            return;
        }
        segment(slot, &arrival.put(), outgoing, shared, counters);
    } else if packet.fragment {
        return;
    } else if slot.watch & ON_DNS_PORT != 0 {
        dns_datagram(slot, &arrival.put(), outgoing, shared, counters);
    } else {
        udp(slot, packet, outgoing, shared, counters);
    }
    if slot.watch & GROWN != 0 {
        shared.held += slot.count_extras();
    }
    hot.follow(slot);
}
