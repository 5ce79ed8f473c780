//! What every packet of a flow touches: one cache line for IPv4, two for IPv6.
//!
//! The rest of a flow is its [`super::slot::Slot`], which an ordinary packet leaves alone.

use super::inspect::SAMPLE;
use super::key::Key;
use super::slot::{Slot, BOTH, INSPECTED, ON_DNS_PORT, SAMPLED};

/// Key of a flow, what it did in the open tick, and the bits that an ordinary packet asks for.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Hot<K> {
    pub(super) key: K,
    state: u8,
    /// TCP flags of the open tick.
    pub(super) flags: u8,
    pub(super) last_seen: i64,
    pub(super) bytes: [u64; 2],
    pub(super) payload: [u64; 2],
    /// A row is cut before one of them can run over.
    pub(super) packets: [u32; 2],
}

/// The low end of the key is the local one.
const LOCAL_IS_LOW: u8 = 1;
/// Two bits: the scope.
const SCOPE: u8 = 1;
/// Four bits: what is still looked at ([`Slot::watch`]).
const WATCH: u8 = 3;
const WATCHED: u8 = BOTH | INSPECTED | SAMPLED;
/// It has ended, and lingers.
const ENDED: u8 = 1 << 7;

// the point of this type
const _: () = assert!(size_of::<Hot<super::key::KeyV4>>() == 64);
const _: () = assert!(size_of::<Hot<super::key::KeyV6>>() == 128);

/// What the index and the expiry list take for one flow, the slack of a grown vector included.
const BOOKKEEPING: usize = 64;

/// Bytes that a flow takes in a table of keys like this, besides its name and what is half read of it.
pub(super) const fn flow_bytes<K>() -> usize {
    size_of::<Hot<K>>() + size_of::<Slot>() + BOOKKEEPING
}

/// Bytes that a flow takes in the table of IPv4, to reckon limits with.
pub const FLOW_BYTES: usize = flow_bytes::<super::key::KeyV4>();

impl<K: Key> Hot<K> {
    /// The hot part of a flow that begins.
    pub(super) fn new(key: K, slot: &Slot, time: i64) -> Hot<K> {
        let mut hot = Hot {
            key,
            state: ((slot.scope as u8) << SCOPE) | (LOCAL_IS_LOW * u8::from(slot.local_is_low)),
            flags: 0,
            last_seen: time,
            bytes: [0; 2],
            payload: [0; 2],
            packets: [0; 2],
        };
        hot.follow(slot);
        hot
    }

    /// Take over what changed in the rest of the flow.
    #[inline]
    pub(super) fn follow(&mut self, slot: &Slot) {
        let kept = self.state & !(ENDED | (WATCHED << WATCH));
        // on a port of DNS every packet is looked at
        let watch = if slot.watch & ON_DNS_PORT != 0 { slot.watch | BOTH } else { slot.watch };
        self.state = kept | ((watch & WATCHED) << WATCH) | (ENDED * u8::from(slot.ended.is_some()));
    }

    #[inline]
    pub(super) fn local_is_low(&self) -> bool {
        self.state & LOCAL_IS_LOW != 0
    }

    /// The two ends, ours first.
    #[inline]
    pub(super) fn ends(&self) -> ((u128, u16), (u128, u16)) {
        if self.local_is_low() {
            (self.key.low(), self.key.high())
        } else {
            (self.key.high(), self.key.low())
        }
    }

    /// Index of the scope.
    #[inline]
    pub(super) fn scope(&self) -> usize {
        usize::from((self.state >> SCOPE) & 0b11)
    }

    /// Whether nothing is looked for in any of its packets.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.state & (WATCHED << WATCH) == 0
    }

    /// Whether a packet is looked into: the first ones of each direction, on a port of DNS all of them; of what the local side
    /// sends all, or one of a sample. Only TCP and UDP flows ever want any. `sent`: packets of the local side, this one
    /// included, and what the tick's sample is ahead ([`super::shared::sampled`]); given by who asks, so that the answer does
    /// not wait for what the packet changes here.
    #[inline(always)]
    pub(super) fn wants(&self, direction: usize, sent: u32) -> bool {
        // out of a table, since a choice by direction becomes a branch that is wrong half of the time
        const WANTED: [[u8; 2]; 2] =
            [[(1 | INSPECTED) << WATCH, (1 | INSPECTED | SAMPLED) << WATCH], [2 << WATCH, 2 << WATCH]];
        self.state & WANTED[direction][usize::from(sent % SAMPLE == 0)] != 0
    }

    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.state & ENDED != 0
    }

    /// Whether it has packets in the open tick, and so stands in the list of flows that get a row.
    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        self.packets != [0; 2]
    }

    /// Bits of the directions in which the open tick has packets.
    pub(super) fn seen(&self) -> u8 {
        u8::from(self.packets[0] != 0) | (u8::from(self.packets[1] != 0) << 1)
    }

    /// Forget the tick's traffic: its row was cut.
    pub(super) fn clear(&mut self) {
        self.flags = 0;
        self.bytes = [0; 2];
        self.payload = [0; 2];
        self.packets = [0; 2];
    }
}
