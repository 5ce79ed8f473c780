//! What a fragmented packet carries, put together for the names and DNS messages in it.
//!
//! Only what stands in no tunnel of its own: one layer of fragments. A packet of which any part came twice is
//! never read: which of the two the receiver takes is not known, and that is a known way to hide.

use crate::decode::{protocol, Packet, Piece};

/// Bytes of a packet that are put together at most: what EDNS resolvers offer is 4 096 and less (RFC 6891
/// section 6.2.5), a ClientHello in one segment of a tunnel's not larger.
const MAX_PACKET: usize = 8 << 10;

const UDP_HEADER: usize = 8;

/// What is there of a packet. Whether parts are missing its owner knows.
#[derive(Debug, Default)]
pub(super) enum Gathered {
    /// Nothing.
    #[default]
    Nothing,
    /// Some of it.
    Part(Part),
    /// It is not put together: too long, cut off, in two versions, or there was no room. Or it was read.
    GivenUp,
}

/// The IP payload as far as it came.
#[derive(Debug, Default)]
pub(super) struct Part {
    bytes: Vec<u8>,
    /// Bytes of the transport header, once the first fragment told.
    header: usize,
    sequence: u32,
}

/// A packet that was put together: what stands above its transport header.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) payload: Vec<u8>,
    /// TCP sequence number of its first byte.
    pub(super) sequence: u32,
}

/// Memory for all that are put together.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
    /// Packets that were not put together for want of it.
    pub(super) refused: u64,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Room {
        Room { left: bytes, refused: 0 }
    }
}

impl Gathered {
    /// Add a fragment.
    pub(super) fn add(&mut self, piece: &Piece, packet: &Packet<'_>, room: &mut Room) {
        let mut part = match std::mem::take(self) {
            Gathered::Nothing => Part::default(),
            Gathered::Part(part) => part,
            Gathered::GivenUp => {
                *self = Gathered::GivenUp;
                return;
            }
        };
        *self = if part.add(piece, packet, room) {
            Gathered::Part(part)
        } else {
            room.left += part.bytes.len();
            Gathered::GivenUp
        };
    }

    /// It is not to be read, or is forgotten.
    pub(super) fn give_up(&mut self, room: &mut Room) {
        if let Gathered::Part(part) = std::mem::replace(self, Gathered::GivenUp) {
            room.left += part.bytes.len();
        }
    }

    /// All parts have come: take it out.
    pub(super) fn finish(&mut self, room: &mut Room) -> Option<Whole> {
        let Gathered::Part(mut part) = std::mem::replace(self, Gathered::GivenUp) else { return None };
        room.left += part.bytes.len();
        part.bytes.drain(..part.header.min(part.bytes.len()));
        Some(Whole { payload: part.bytes, sequence: part.sequence })
    }
}

impl Part {
    /// Add a fragment; false where the packet can no longer be put together.
    fn add(&mut self, piece: &Piece, packet: &Packet<'_>, room: &mut Room) -> bool {
        let (start, end) = (piece.start as usize, piece.end as usize);
        let Some(place) = end.checked_sub(packet.payload.len()) else { return false };
        // the first one's payload begins behind the transport header; the capture may have cut either short
        if end > MAX_PACKET || (start == 0 && packet.payload_bytes != packet.payload.len() as u64) {
            return false;
        }
        if start == 0 {
            // of a datagram that claims to be shorter than this fragment only a part was taken
            if packet.protocol == protocol::UDP && place != UDP_HEADER {
                return false;
            }
            (self.header, self.sequence) = (place, packet.sequence);
        } else if place != start {
            return false;
        }
        let more = end.saturating_sub(self.bytes.len());
        if more > room.left {
            room.refused += 1;
            return false;
        }
        room.left -= more;
        self.bytes.reserve(more);
        if place >= self.bytes.len() {
            self.bytes.resize(place, 0);
            self.bytes.extend_from_slice(packet.payload);
            return true;
        }
        self.bytes.resize(self.bytes.len() + more, 0);
        match self.bytes.get_mut(place..end) {
            Some(target) => target.copy_from_slice(packet.payload),
            None => return false,
        }
        true
    }
}
