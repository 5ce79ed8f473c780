//! Flow keys: the two ends in a fixed order, protocol, the tunnel's id where both directions have the same
//! ([`Encapsulation::key`](crate::decode::Encapsulation::key)), and on a live capture the interface.
//!
//! One type for IPv4 and one for IPv6, so that each has a table of its own with small slots.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::decode::{Addresses, Packet};

/// A key type: what a table needs of it.
pub(super) trait Key: Copy + Eq + Debug {
    /// A key that no packet has: its low end is above its high one.
    const NOBODY: Self;
    /// Hash under a seed; the same inputs give the same hash.
    fn hash(&self, seed: &Seed) -> u64;
    /// Hash for a table whose seed nobody knows, with a smaller multiplication than [`Key::hash`] at its end.
    fn spread(&self, seed: &Seed) -> u32;
    /// The end that sorts first, as an IPv6 address (IPv4-mapped, RFC 4291 section 2.5.5.2) in a number: bytes that are put
    /// together from pieces and then loaded as one word cost a stall.
    fn low(&self) -> (u128, u16);
    /// The other end.
    fn high(&self) -> (u128, u16);
    fn protocol(&self) -> u8;
    fn interface(&self) -> u8;
}

/// IPv4 key. Packed, so that it leaves room in the hot line for what else a packet needs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(2))]
pub(super) struct KeyV4 {
    /// Low and high address.
    addresses: u64,
    /// Low and high port.
    ports: u32,
    /// Protocol and interface.
    kind: u16,
}

impl PartialEq for KeyV4 {
    /// All at once: keys that are compared are the same for the most part.
    #[inline(always)]
    fn eq(&self, other: &KeyV4) -> bool {
        let differs = u64::from(self.ports ^ other.ports) | u64::from(self.kind ^ other.kind);
        (self.addresses ^ other.addresses) | differs == 0
    }
}

impl Eq for KeyV4 {}

/// IPv6 key. IPv4 in a tunnel that has an id has such a key too, of mapped addresses: in the cache line of
/// ordinary IPv4 there is no room for the id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(super) struct KeyV6 {
    low: u128,
    high: u128,
    /// Low and high port.
    ports: u32,
    tunnel: u32,
    /// Protocol and interface.
    kind: u16,
}

/// Either, as read from a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyKey {
    V4(KeyV4),
    V6(KeyV6),
}

impl AnyKey {
    pub(super) const EMPTY: AnyKey = AnyKey::V4(KeyV4 { addresses: 0, ports: 0, kind: 0 });
}

/// Set the key of a packet where it is to stand; gives whether its sender is the low end.
#[inline(always)]
pub(super) fn of_packet(packet: &Packet<'_>, interface: u8, key: &mut AnyKey) -> bool {
    let (sport, dport) = (packet.source_port, packet.destination_port);
    let kind = (u16::from(packet.protocol) << 8) | u16::from(interface);
    let tunnel = packet.encapsulation.key;
    match packet.addresses {
        Addresses::V4 { source, destination } if tunnel != 0 => {
            six((mapped(source), sport), (mapped(destination), dport), kind, tunnel, key)
        }
        Addresses::V4 { source, destination } => {
            // minimum and maximum of numbers: which end is the low one is as good as random, and a branch
            // on it would be predicted wrongly half of the time
            let sender = (u64::from(u32::from_be_bytes(source)) << 16) | u64::from(sport);
            let receiver = (u64::from(u32::from_be_bytes(destination)) << 16) | u64::from(dport);
            let (low, high) = (sender.min(receiver), sender.max(receiver));
            let addresses = ((low >> 16) << 32) | (high >> 16);
            let ports = ((low as u32) << 16) | (high as u32 & 0xffff);
            *key = AnyKey::V4(KeyV4 { addresses, ports, kind });
            sender <= receiver
        }
        Addresses::V6 { source, destination } => six((source, sport), (destination, dport), kind, tunnel, key),
    }
}

#[inline]
fn six(sender: ([u8; 16], u16), receiver: ([u8; 16], u16), kind: u16, tunnel: u32, key: &mut AnyKey) -> bool {
    let ((source, sport), (destination, dport)) = (sender, receiver);
    let (sender, receiver) = (u128::from_be_bytes(source), u128::from_be_bytes(destination));
    let from_low = (sender, sport) <= (receiver, dport);
    let (low, high) = (sender.min(receiver), sender.max(receiver));
    let (low_port, high_port) = if from_low { (sport, dport) } else { (dport, sport) };
    let ports = (u32::from(low_port) << 16) | u32::from(high_port);
    *key = AnyKey::V6(KeyV6 { low, high, ports, tunnel, kind });
    from_low
}

/// What stands before an IPv4 address in IPv6.
pub(super) const MAPPED: u128 = 0xffff << 32;

/// IPv4 as IPv4-mapped IPv6 address.
pub(super) fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut all = [0; 16];
    all[10] = 0xff;
    all[11] = 0xff;
    all[12..].copy_from_slice(&address);
    all
}

impl Key for KeyV4 {
    const NOBODY: KeyV4 = KeyV4 { addresses: (u32::MAX as u64) << 32, ports: 0, kind: 0 };

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        seed.two(self.addresses, rest(self.ports, self.kind))
    }

    #[inline]
    fn spread(&self, seed: &Seed) -> u32 {
        seed.spread(self.addresses, rest(self.ports, self.kind))
    }

    #[inline]
    fn low(&self) -> (u128, u16) {
        (MAPPED | u128::from(self.addresses >> 32), (self.ports >> 16) as u16)
    }

    #[inline]
    fn high(&self) -> (u128, u16) {
        (MAPPED | u128::from(self.addresses as u32), self.ports as u16)
    }

    fn protocol(&self) -> u8 {
        (self.kind >> 8) as u8
    }

    fn interface(&self) -> u8 {
        self.kind as u8
    }
}

impl Key for KeyV6 {
    const NOBODY: KeyV6 = KeyV6 { low: u128::MAX, high: 0, ports: 0, tunnel: 0, kind: 0 };

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let low = seed.two(self.low as u64, (self.low >> 64) as u64);
        let high = seed.two(low ^ self.high as u64, (self.high >> 64) as u64);
        // nobody can know what the tunnel's id is mixed with
        seed.two(high ^ u64::from(self.tunnel), rest(self.ports, self.kind))
    }

    #[inline]
    fn spread(&self, seed: &Seed) -> u32 {
        let low = seed.one(self.low as u64, (self.low >> 64) as u64);
        let high = seed.one(low ^ self.high as u64, (self.high >> 64) as u64);
        seed.spread(high ^ u64::from(self.tunnel), rest(self.ports, self.kind))
    }

    #[inline]
    fn low(&self) -> (u128, u16) {
        (self.low, (self.ports >> 16) as u16)
    }

    #[inline]
    fn high(&self) -> (u128, u16) {
        (self.high, self.ports as u16)
    }

    fn protocol(&self) -> u8 {
        (self.kind >> 8) as u8
    }

    fn interface(&self) -> u8 {
        self.kind as u8
    }
}

#[inline]
fn rest(ports: u32, kind: u16) -> u64 {
    (u64::from(ports) << 16) | u64::from(kind)
}

/// Key of a hash. A table draws one at random, so that nobody can aim at one bucket; flow ids use a
/// fixed one, so that they are the same in every run.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64, u64);

impl Seed {
    /// A key of this process.
    pub(super) fn random() -> Seed {
        let state = RandomState::new();
        Seed(state.hash_one(1_u8), state.hash_one(2_u8))
    }

    /// A key that was drawn elsewhere.
    pub(super) fn of(secret: [u64; 2]) -> Seed {
        Seed(secret[0], secret[1])
    }

    /// The key of flow ids: digits of pi, because it must be some number that hides nothing.
    pub(super) const FIXED: Seed = Seed(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

    /// Hash two words: a 128-bit product folded, twice.
    #[inline]
    pub(super) fn two(&self, a: u64, b: u64) -> u64 {
        fold(fold(a ^ self.0, b ^ self.1) ^ self.1, self.0 | 1)
    }

    /// Hash two words on the way to [`Seed::spread`]: a 128-bit product folded, once.
    #[inline]
    fn one(&self, a: u64, b: u64) -> u64 {
        fold(a ^ self.0, b ^ self.1)
    }

    /// Hash two words where the hash stays within a table.
    ///
    /// Where one word counts up, as ports of a client do, the folded product is a progression, whose step is a bad one under
    /// one seed of a hundred: look-ups then take 5 steps, and under one of a thousand 100. So its halves meet once more.
    #[inline]
    fn spread(&self, a: u64, b: u64) -> u32 {
        let hash = self.one(a, b);
        ((hash ^ (hash >> 32)).wrapping_mul(self.0 | 1) >> 32) as u32
    }

    /// Hash bytes, sixteen at a time.
    #[inline]
    pub(super) fn bytes(&self, start: u64, bytes: &[u8]) -> u64 {
        let mut state = start.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        while let Some((pair, behind)) = rest.split_first_chunk::<16>() {
            let both = u128::from_le_bytes(*pair);
            state = self.two(state ^ both as u64, (both >> 64) as u64);
            rest = behind;
        }
        if !rest.is_empty() {
            let (first, second) = rest.split_at(rest.len().min(8));
            state = self.two(state ^ word(first), word(second));
        }
        state
    }
}

/// At most eight bytes as a number, the first byte last; what lacks is zero. Pieces of a fixed size that overlap are
/// read, since a loop over bytes takes three times as long.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(whole), ..) => u64::from_le_bytes(*whole),
        (_, Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            first | last << (8 * (bytes.len() - 4))
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// [`Seed`] as the hasher of a `HashMap`: the standard one costs three times as much, and the seed is as
/// secret as its own.
#[derive(Clone, Copy, Debug)]
pub struct SeededHasher {
    seed: Seed,
    state: u64,
}

impl BuildHasher for Seed {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { seed: *self, state: 0 }
    }
}

impl Hasher for SeededHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        self.state = self.seed.bytes(self.state, bytes);
    }

    #[inline]
    fn write_u128(&mut self, number: u128) {
        self.state = self.seed.two(self.state ^ number as u64, (number >> 64) as u64);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.state = self.seed.two(self.state, number);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }
}

impl Default for Seed {
    fn default() -> Seed {
        Seed::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_its_bytes_filled_up_with_zeros() {
        let all: Vec<u8> = (0xf1..=0xf8).collect();
        for length in 0..=all.len() {
            let mut filled = [0; 8];
            filled[..length].copy_from_slice(&all[..length]);
            assert_eq!(word(&all[..length]), u64::from_le_bytes(filled), "{length} bytes");
        }
    }

    /// Steps past its own place that a look-up in an open table takes for its keys, on average: a sixth of one in a table of
    /// which a quarter is filled, if places are as good as random (Knuth, The Art of Computer Programming, section 6.4).
    fn steps(places: impl Iterator<Item = u32>, size: usize) -> f64 {
        let mut filled = vec![false; size];
        let (mut steps, mut count) = (0_u32, 0_u32);
        for place in places {
            let mut at = place as usize % size;
            while filled[at] {
                at = (at + 1) % size;
                steps += 1;
            }
            filled[at] = true;
            count += 1;
        }
        f64::from(steps) / f64::from(count)
    }

    /// What is counted up, and what a count makes.
    type Pattern<N, K> = (&'static str, fn(N) -> K);

    /// Whoever chooses addresses and ports does not know the seed: whatever he counts up, keys spread.
    #[test]
    fn keys_that_differ_in_a_pattern_spread_as_random_ones_do() {
        const COUNT: u32 = 1 << 13;
        let v4 = |addresses, ports| KeyV4 { addresses, ports, kind: 6 << 8 };
        let four: [Pattern<u64, (u64, u32)>; 6] = [
            ("ports of a client", |n| (0x0a00_0001_c633_6407, n as u32)),
            ("ports of a server", |n| (0x0a00_0001_c633_6407, (n as u32) << 16 | 443)),
            ("hosts of a network", |n| (0x0a00_0001_c600_0000 | n, 0x01bb_c000)),
            ("networks", |n| (0x0a00_0001_0000_0001 | n << 16, 0x01bb_c000)),
            ("clients", |n| ((0x0a00_0000 | n) << 32 | 0xc633_6407, 0x01bb_c000)),
            ("hosts and ports together", |n| (0x0a00_0001_c600_0000 | n, 0x01bb_0000 | n as u32)),
        ];
        let six: [Pattern<u128, u128>; 4] = [
            ("hosts", |n| n),
            ("networks", |n| n << 64),
            ("hosts and networks together", |n| n << 64 | n),
            ("far ends of all four words", |n| n << 115 | n << 32),
        ];
        for draw in 0..300_u64 {
            let seed = Seed::of([draw, !draw].map(|n| Seed::FIXED.two(n, n)));
            let mut found = Vec::new();
            for (what, key) in four {
                let keys = (0..u64::from(COUNT)).map(|n| v4(key(n).0, key(n).1));
                found.push((what, steps(keys.map(|key| key.spread(&seed)), 4 * COUNT as usize)));
            }
            for (what, high) in six {
                let key = |n| KeyV6 { low: 0xfd << 120, high: 0x2001 << 112 | high(n), ports: 443, ..KeyV6::default() };
                let keys = (0..u128::from(COUNT)).map(|n| key(n).spread(&seed));
                found.push((what, steps(keys, 4 * COUNT as usize)));
            }
            let key = |ports| KeyV6 { low: 0xfd << 120, high: 0x2001 << 112, ports, ..KeyV6::default() };
            let keys = (0..COUNT).map(|n| key(n << 16 | 443).spread(&seed));
            found.push(("ports over IPv6", steps(keys, 4 * COUNT as usize)));
            for (what, steps) in found {
                assert!(steps < 0.25, "{what}, draw {draw}: {steps}");
            }
        }
    }
}
