//! What the two families' tables share: sides, bounds, the open tick, the batch; and how a flow begins
//! and when it is over.

use super::budget::Budget;
use super::datagrams::HalfHello;
use super::fragments::Fragments;
use super::hot::Hot;
use super::initiators::Initiators;
use super::inspect::{Inspections, SAMPLE};
use super::key::Key;
use super::questions::Questions;
use super::record::Builder;
use super::sides::Sides;
use super::slot::{Scope, Slot, BOTH, INSPECTED, ON_DNS_PORT};
use crate::decode::quic::Opener;
use crate::decode::{dns, protocol, tcp_flag, Application, Packet};

const SECOND: i64 = 1_000_000_000;
/// A connection that was opened may be silent this long; what keeps a pool open speaks within it.
const TCP_IDLE: i64 = 3600 * SECOND;
/// A TCP flow of which nothing but its opening, or one direction, was seen.
const TCP_HALF_OPEN: i64 = 120 * SECOND;
/// RFC 4787 section 4.3 asks of a translator two minutes at least for UDP.
const OTHER_IDLE: i64 = 120 * SECOND;
/// Packets this long after the end of a flow are still its own (retransmissions, the last ACK).
pub(super) const LINGER: i64 = 60 * SECOND;
/// Bytes of each flow that are looked at by default ([`Limits::inspected`]).
pub const INSPECTED_BYTES: usize = 64 << 10;
/// Of the memory of flows, one part in so many may be kept of those that are gone, where others cannot use it.
pub(super) const KEPT: usize = 8;
/// Bounds of the flow stage.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of flows in the tables, their names included; an IPv4 flow takes
    /// [`FLOW_BYTES`](super::FLOW_BYTES), an IPv6 flow a quarter more.
    pub flows: usize,
    /// Bytes of half-read streams in which a name is looked for.
    pub content: usize,
    /// Bytes of DNS rows in a batch; what is beyond is counted.
    pub dns: usize,
    /// Fragmented packets whose later fragments are led to their flow; one takes
    /// [`FRAGMENT_BYTES`](super::FRAGMENT_BYTES).
    pub fragments: usize,
    /// Bytes that each flow sends in clear and that are all looked at for what must not go out, before a sample is;
    /// 0 where nobody wants that.
    pub inspected: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { flows: 128 << 20, content: 16 << 20, dns: 32 << 20, fragments: 1 << 14, inspected: INSPECTED_BYTES }
    }
}

/// What both families share.
pub(super) struct Shared {
    pub(super) sides: Sides,
    pub(super) limits: Limits,
    /// Nanoseconds in a tick.
    pub(super) tick_length: i64,
    /// The open tick, counted from 1970.
    pub(super) tick: i64,
    /// Which of the packets that a flow sends in it are the sample ([`sampled`]).
    pub(super) sampled: u32,
    /// Ticks after which a flow is looked at again at the latest: [`look_after`].
    pub(super) look_after: i64,
    pub(super) builder: Builder,
    pub(super) questions: Questions,
    pub(super) budget: Budget,
    pub(super) inspections: Inspections,
    pub(super) opener: Opener,
    /// Memory of a half-read hello that was read.
    pub(super) spare_hello: Option<Box<HalfHello>>,
    /// `None` where nobody keeps them.
    pub(super) initiators: Option<Initiators>,
    pub(super) fragments: Fragments,
    pub(super) evicted: u64,
    /// Bytes of the flows in the tables.
    pub(super) held: usize,
    /// Bytes of places that flows have left; each family uses its own again.
    pub(super) left: usize,
    /// Bytes from which on there must be room made: those of [`Limits::flows`], or none where what was left has to be given
    /// back first.
    pub(super) most: usize,
}

/// A packet with what its frame says.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'p> {
    pub(super) packet: &'p Packet<'p>,
    pub(super) time: i64,
    pub(super) from_low: bool,
    pub(super) wire: u32,
}

impl Arrival<'_> {
    /// The same where it is asked for: what is handed on by reference has to stand in memory, and an ordinary packet hands
    /// nothing on.
    #[inline(always)]
    pub(super) fn put(&self) -> Self {
        Arrival { packet: self.packet, time: self.time, from_low: self.from_low, wire: self.wire }
    }
}

impl Shared {
    /// Make a slot that of a flow that begins with this packet. Where it stands: to be copied as a whole, what was just
    /// written in parts would be waited for.
    #[inline(always)]
    pub(super) fn begin<K: Key>(&self, slot: &mut Slot, key: &K, hash: u32, arrival: &Arrival<'_>) {
        let (scope, sender_is_local) = self.sides.of(&arrival.packet.addresses);
        *slot = Slot {
            hash,
            first_seen: arrival.time,
            // both ends the same: all of it is sent, whichever end the key puts first
            local_is_low: sender_is_local == arrival.from_low || key.low() == key.high(),
            scope,
            watch: self.watch(arrival.packet, scope),
            application: by_protocol(arrival.packet.protocol),
            tunnel: arrival.packet.encapsulation.tunnel,
            tunnel_id: arrival.packet.encapsulation.id,
            started: arrival.time,
            ..Slot::EMPTY
        };
        slot.guess_initiator(arrival.packet, sender_is_local);
        if arrival.packet.tcp_flags & tcp_flag::SYN == 0 {
            if let Some((by_low, confidence)) = self.initiators.as_ref().and_then(|known| known.recall(key)) {
                slot.opened_by(by_low == slot.local_is_low, confidence);
            }
        }
    }

    /// Whether flows take more than they may: what was kept of those that are gone stays, to be used again, and counts.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.held + self.inspections.idle() > self.most
    }

    /// A table grows, since it has no place that was left: what the other one has is given back if that is much.
    #[inline]
    pub(super) fn grow(&mut self) {
        if self.left > self.limits.flows / KEPT {
            self.most = 0;
        }
    }

    /// Add the row of a flow in the open tick.
    #[inline]
    pub(super) fn cut<K: Key>(&mut self, hot: &mut Hot<K>, slot: &mut Slot) {
        let tick = self.tick.saturating_mul(self.tick_length);
        self.builder.cut(tick, hot, slot, &mut self.inspections);
    }

    /// What is looked at of a flow that begins.
    fn watch(&self, packet: &Packet<'_>, scope: Scope) -> u8 {
        if !matches!(packet.protocol, protocol::TCP | protocol::UDP) {
            return 0;
        }
        let inspected = self.limits.inspected > 0 && scope == Scope::Egress;
        let on_dns_port = dns::on_port(packet.source_port, packet.destination_port);
        BOTH | if inspected { INSPECTED } else { 0 } | if on_dns_port { ON_DNS_PORT } else { 0 }
    }

    /// The tick at which a flow is looked at again: when it is over, but no later than the shortest timeout
    /// from now. So the slot of a connection that has ended is free soon, and one that begins anew in it
    /// is looked at in time.
    pub(super) fn next_look<K: Key>(&self, hot: &Hot<K>, slot: &Slot) -> i64 {
        let latest = self.tick.saturating_add(self.look_after);
        let time = over(hot, slot);
        // mostly it is not over by then, and to see that takes no division
        if time >= latest.saturating_sub(1).saturating_mul(self.tick_length) {
            return latest;
        }
        self.behind(time).min(latest)
    }

    /// Whether a flow is over when the open tick begins.
    pub(super) fn is_over<K: Key>(&self, hot: &Hot<K>, slot: &Slot) -> bool {
        over(hot, slot) < self.tick.saturating_mul(self.tick_length)
    }

    /// The tick at whose beginning a flow is over.
    pub(super) fn deadline<K: Key>(&self, hot: &Hot<K>, slot: &Slot) -> i64 {
        self.behind(over(hot, slot))
    }

    /// The tick behind that of a time.
    fn behind(&self, time: i64) -> i64 {
        time.div_euclid(self.tick_length).saturating_add(1)
    }
}

/// Packets that a sample of those in a tick is ahead of every sixteenth one. A flow counts its packets anew in each tick, so
/// that of one that sends fewer than that there would never be one: the golden ratio spreads them over ticks (Knuth, The Art
/// of Computer Programming, section 6.4).
pub(super) fn sampled(tick: i64) -> u32 {
    ((tick as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SAMPLE.trailing_zeros())) as u32
}

/// Ticks that the shortest timeout takes.
pub(super) fn look_after(tick_length: i64) -> i64 {
    TCP_HALF_OPEN.div_euclid(tick_length).saturating_add(1)
}

/// The last moment of a flow.
fn over<K: Key>(hot: &Hot<K>, slot: &Slot) -> i64 {
    match slot.ended {
        None => hot.last_seen.saturating_add(timeout(hot, slot)),
        Some(_) => slot.ended_at.saturating_add(LINGER),
    }
}

pub(super) fn timeout<K: Key>(hot: &Hot<K>, slot: &Slot) -> i64 {
    match hot.key.protocol() {
        protocol::TCP if (slot.seen | hot.seen()) == 0b11 => TCP_IDLE,
        protocol::TCP => TCP_HALF_OPEN,
        _ => OTHER_IDLE,
    }
}

/// What a flow speaks by its protocol number alone.
fn by_protocol(number: u8) -> Application {
    match number {
        protocol::ICMP | protocol::ICMPV6 => Application::Icmp,
        _ => Application::Unknown,
    }
}
