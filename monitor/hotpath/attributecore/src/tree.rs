//! The search tree: two records a node, each the next node, nothing, or where the data of a network stands.

use crate::section::{Fault, Head, Section, Walk};

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata stands in the last bytes of a file.
const MAX_METADATA: usize = 128 << 10;
/// Zeros between the tree and the data.
const SEPARATOR: usize = 16;

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
/// 64:ff9b::/96, RFC 6052 section 2.1.
const NAT64: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2002::/16, RFC 3056 section 2.
const SIX_TO_FOUR: [u8; 2] = [0x20, 0x02];

/// How many bits a record has.
#[derive(Clone, Copy)]
enum Width {
    Bits24,
    Bits28,
    Bits32,
}

/// A whole file in memory, checked once.
pub struct AddressTree<B> {
    bytes: B,
    nodes: u32,
    width: Width,
    is_six: bool,
    /// For the first bits of an IPv4 address, where they lead to: half of most walks.
    fours: Vec<u32>,
}

/// Of `fours`.
const FIRST_BITS: u32 = 12;

impl<B: AsRef<[u8]>> AddressTree<B> {
    /// Read the metadata, and check each record of the tree and each value that it leads to.
    pub fn new(bytes: B) -> Result<Self, Fault> {
        let file = bytes.as_ref();
        let near = file.len().saturating_sub(MAX_METADATA);
        let tail = file.get(near..).unwrap_or_default();
        let marker = tail.windows(MARKER.len()).rposition(|window| window == MARKER).ok_or(Fault::NoMetadata)?;
        let metadata = Section(tail.get(marker + MARKER.len()..).unwrap_or_default());
        let (nodes, bits, version) = shape(metadata).ok_or(Fault::BadMetadata)?;
        let width = match bits {
            24 => Width::Bits24,
            28 => Width::Bits28,
            32 => Width::Bits32,
            _ => return Err(Fault::BadMetadata),
        };
        if !matches!(version, 4 | 6) {
            return Err(Fault::BadMetadata);
        }
        let nodes = u32::try_from(nodes).ok().filter(|nodes| *nodes > 0).ok_or(Fault::BadMetadata)?;
        let mut tree = AddressTree { bytes, nodes, width, is_six: version == 6, fours: Vec::new() };
        tree.check(near + marker)?;
        // the IPv4 addresses begin at `::/96`
        let four = (0..if tree.is_six { 96 } else { 0 }).fold(0, |node, _| tree.step(node, false));
        let mut fours = vec![four];
        for _ in 0..FIRST_BITS {
            fours = fours.iter().flat_map(|node| [tree.step(*node, false), tree.step(*node, true)]).collect();
        }
        tree.fours = fours;
        Ok(tree)
    }

    /// Check that the tree leads to data only, and that the data can be read; `end` is where that ends.
    fn check(&self, end: usize) -> Result<(), Fault> {
        let start = self.tree_size().checked_add(SEPARATOR).filter(|start| *start <= end).ok_or(Fault::ShortTree)?;
        let data = Section(self.bytes.as_ref().get(start..end).unwrap_or_default());
        let (mut seen, mut walk) = (vec![false; data.0.len()], Walk::through(data.0.len()));
        for node in 0..self.nodes {
            for side in [false, true] {
                let record = self.record(node, side);
                if record > self.nodes {
                    let offset = (record - self.nodes) as usize;
                    let offset = offset.checked_sub(SEPARATOR).filter(|offset| *offset < data.0.len());
                    data.check(offset.ok_or(Fault::BadRecord)?, &mut seen, &mut walk)?;
                }
            }
        }
        Ok(())
    }

    fn tree_size(&self) -> usize {
        self.nodes as usize * self.node_size()
    }

    fn node_size(&self) -> usize {
        match self.width {
            Width::Bits24 => 6,
            Width::Bits28 => 7,
            Width::Bits32 => 8,
        }
    }

    /// Read one record of a node; a node that is not there has nothing.
    fn record(&self, node: u32, right: bool) -> u32 {
        let size = self.node_size();
        let start = node as usize * size;
        let Some(node) = self.bytes.as_ref().get(start..start + size) else { return self.nodes };
        match (self.width, node, right) {
            (Width::Bits24, &[a, b, c, ..], false) | (Width::Bits24, &[_, _, _, a, b, c], true) => {
                u32::from_be_bytes([0, a, b, c])
            }
            (Width::Bits28, &[a, b, c, high, ..], false) => u32::from_be_bytes([high >> 4, a, b, c]),
            (Width::Bits28, &[_, _, _, high, a, b, c], true) => u32::from_be_bytes([high & 0x0f, a, b, c]),
            (Width::Bits32, &[a, b, c, d, ..], false) | (Width::Bits32, &[_, _, _, _, a, b, c, d], true) => {
                u32::from_be_bytes([a, b, c, d])
            }
            _ => self.nodes,
        }
    }

    /// Go on from a node; what is none leads nowhere else.
    fn step(&self, node: u32, right: bool) -> u32 {
        if node < self.nodes {
            self.record(node, right)
        } else {
            node
        }
    }

    /// Find the data of the network around an address: the same number for the same data, 0 for none.
    ///
    /// IPv4 comes as IPv4-mapped. An address that carries an IPv4 address in itself (NAT64, 6to4) counts as
    /// that: there the bytes go.
    pub fn find(&self, address: &[u8; 16]) -> u32 {
        let (mut node, bits, mut left) = match embedded(address) {
            Some(four) => {
                let first = self.fours.get((four >> (32 - FIRST_BITS)) as usize);
                (first.copied().unwrap_or(self.nodes), u128::from(four), 32 - FIRST_BITS)
            }
            None if self.is_six => (0, u128::from_be_bytes(*address), 128),
            None => return 0,
        };
        while left > 0 && node < self.nodes {
            left -= 1;
            node = self.record(node, bits >> left & 1 == 1);
        }
        node.saturating_sub(self.nodes)
    }
}

/// Give the IPv4 address in an address, where there is one.
fn embedded(address: &[u8; 16]) -> Option<u32> {
    let [.., a, b, c, d] = *address;
    if address.starts_with(&MAPPED) || address.starts_with(&NAT64) {
        return Some(u32::from_be_bytes([a, b, c, d]));
    }
    let [_, _, a, b, c, d, ..] = *address;
    address.starts_with(&SIX_TO_FOUR).then_some(u32::from_be_bytes([a, b, c, d]))
}

/// Read what the metadata says of the tree: nodes, bits of a record, version of the addresses.
fn shape(metadata: Section<'_>) -> Option<(usize, usize, usize)> {
    let (Head::Map(pairs), mut next) = metadata.head(0)? else { return None };
    let (mut nodes, mut bits, mut version) = (None, None, None);
    let mut walk = Walk::through(metadata.0.len());
    for _ in 0..pairs {
        let (name, value) = metadata.text(next)?;
        let number = match metadata.head(value)? {
            (Head::Number(size), start) => metadata.number(start, size),
            _ => None,
        };
        match name {
            "node_count" => nodes = number,
            "record_size" => bits = number,
            "ip_version" => version = number,
            _ => {}
        }
        next = metadata.skip(value, 0, &mut walk).ok()?;
    }
    Some((nodes?, bits?, version?))
}
