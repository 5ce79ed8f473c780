//! Flow keys: the two ends in a fixed order, protocol, and on a live capture the interface.
//!
//! One type for IPv4 and one for IPv6, so that each has a table of its own with small slots.

use std::hash::{BuildHasher, RandomState};

use crate::decode::{Addresses, Packet};

/// A key type: what a table needs of it.
pub(super) trait Key: Copy + Eq + Default {
    /// Hash under a seed; the same inputs give the same hash.
    fn hash(&self, seed: &Seed) -> u64;
    /// The end that sorts first, as an IPv6 address (IPv4-mapped, RFC 4291 section 2.5.5.2).
    fn low(&self) -> ([u8; 16], u16);
    /// The other end.
    fn high(&self) -> ([u8; 16], u16);
    fn protocol(&self) -> u8;
    fn interface(&self) -> u8;
}

/// IPv4 key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct KeyV4 {
    low: [u8; 4],
    high: [u8; 4],
    low_port: u16,
    high_port: u16,
    protocol: u8,
    interface: u8,
}

/// IPv6 key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct KeyV6 {
    low: [u8; 16],
    high: [u8; 16],
    low_port: u16,
    high_port: u16,
    protocol: u8,
    interface: u8,
}

/// Either, as read from a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyKey {
    V4(KeyV4),
    V6(KeyV6),
}

/// The key of a packet, and whether its sender is the low end.
#[inline]
pub(super) fn of_packet(packet: &Packet<'_>, interface: u8) -> (AnyKey, bool) {
    let (sport, dport, protocol) = (packet.source_port, packet.destination_port, packet.protocol);
    match packet.addresses {
        Addresses::V4 { source: s, destination: d } => {
            let from_low = (u32::from_be_bytes(s), sport) <= (u32::from_be_bytes(d), dport);
            let (low, high, low_port, high_port) = if from_low { (s, d, sport, dport) } else { (d, s, dport, sport) };
            (AnyKey::V4(KeyV4 { low, high, low_port, high_port, protocol, interface }), from_low)
        }
        Addresses::V6 { source: s, destination: d } => {
            let from_low = (u128::from_be_bytes(s), sport) <= (u128::from_be_bytes(d), dport);
            let (low, high, low_port, high_port) = if from_low { (s, d, sport, dport) } else { (d, s, dport, sport) };
            (AnyKey::V6(KeyV6 { low, high, low_port, high_port, protocol, interface }), from_low)
        }
    }
}

/// IPv4 as IPv4-mapped IPv6 address.
pub(super) fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut all = [0; 16];
    all[10] = 0xff;
    all[11] = 0xff;
    all[12..].copy_from_slice(&address);
    all
}

impl Key for KeyV4 {
    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let ends = (u64::from(u32::from_be_bytes(self.low)) << 32) | u64::from(u32::from_be_bytes(self.high));
        seed.two(ends, self.rest())
    }

    fn low(&self) -> ([u8; 16], u16) {
        (mapped(self.low), self.low_port)
    }

    fn high(&self) -> ([u8; 16], u16) {
        (mapped(self.high), self.high_port)
    }

    fn protocol(&self) -> u8 {
        self.protocol
    }

    fn interface(&self) -> u8 {
        self.interface
    }
}

impl KeyV4 {
    #[inline]
    fn rest(&self) -> u64 {
        rest(self.low_port, self.high_port, self.interface, self.protocol)
    }
}

impl Key for KeyV6 {
    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let (low, high) = (u128::from_be_bytes(self.low), u128::from_be_bytes(self.high));
        let ends = seed.two(low as u64, (low >> 64) as u64);
        let other = seed.two(high as u64 ^ ends, (high >> 64) as u64);
        seed.two(other, rest(self.low_port, self.high_port, self.interface, self.protocol))
    }

    fn low(&self) -> ([u8; 16], u16) {
        (self.low, self.low_port)
    }

    fn high(&self) -> ([u8; 16], u16) {
        (self.high, self.high_port)
    }

    fn protocol(&self) -> u8 {
        self.protocol
    }

    fn interface(&self) -> u8 {
        self.interface
    }
}

#[inline]
fn rest(low_port: u16, high_port: u16, interface: u8, protocol: u8) -> u64 {
    (u64::from(low_port) << 48) | (u64::from(high_port) << 32) | (u64::from(interface) << 8) | u64::from(protocol)
}

/// Key of a hash. A table draws one at random, so that nobody can aim at one bucket; flow ids use a
/// fixed one, so that they are the same in every run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64, u64);

impl Seed {
    /// A key of this process.
    pub(super) fn random() -> Seed {
        let state = RandomState::new();
        Seed(state.hash_one(1_u8), state.hash_one(2_u8))
    }

    /// The key of flow ids: digits of pi, because it must be some number that hides nothing.
    pub(super) const FIXED: Seed = Seed(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

    /// Hash two words: a 128-bit product folded, twice.
    #[inline]
    pub(super) fn two(&self, a: u64, b: u64) -> u64 {
        fold(fold(a ^ self.0, b ^ self.1) ^ self.1, self.0 | 1)
    }

    /// Hash bytes.
    pub(super) fn bytes(&self, start: u64, bytes: &[u8]) -> u64 {
        let mut state = self.two(start, bytes.len() as u64);
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            state = self.two(state, u64::from_le_bytes(word));
        }
        state
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}
