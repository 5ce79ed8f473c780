//! Handshakes of TLS that span segments: how much of a segment belongs to one.
//!
//! A small table remembers where the next segment of a flight begins. What comes out of order, or while
//! two flights fall on the same place, is kept as headers only.

use crate::decode::tls;

/// Flights that are followed at a time.
const PLACES: usize = 1 << 10;
/// Bytes of one flight that are kept.
const MOST: u32 = 16 << 10;
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 5;

/// A flight that goes on with the next segment.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    /// The flow and direction; 0: none.
    stream: u32,
    /// Sequence number of the next segment.
    next: u32,
    /// Bytes of the record that is not over.
    left: u32,
    kept: u32,
    /// A server's: more records may follow this one.
    server: bool,
}

/// Flights of one worker.
#[derive(Debug)]
pub(super) struct Flights {
    places: Vec<Flight>,
    /// Places that are taken; while none is, no segment goes on with a flight.
    taken: usize,
}

impl Flights {
    pub(super) fn new() -> Flights {
        Flights { places: vec![Flight::default(); PLACES], taken: 0 }
    }

    /// How many bytes of a segment belong to a handshake in clear: of the client its hello, of the server
    /// all records up to the first that is none. A client's certificate, which names a person, is not kept.
    #[inline]
    pub(super) fn of(&mut self, stream: u32, sequence: u32, segment: &[u8]) -> usize {
        if self.taken == 0 && segment.first() != Some(&HANDSHAKE) {
            return 0;
        }
        let stream = stream.max(1);
        let Some(place) = self.places.get_mut(stream as usize % PLACES) else { return 0 };
        let server = tls::is_server_hello(segment);
        let mut flight = if (server || tls::may_start(segment)) && is_hello(segment) {
            Flight { stream, next: sequence, left: 0, kept: 0, server }
        } else if place.stream == stream && place.next == sequence {
            *place
        } else {
            return 0;
        };
        let begins = flight.kept == 0;
        let kept = follow(&mut flight, segment, begins);
        flight.kept += kept as u32;
        flight.next = sequence.wrapping_add(segment.len() as u32);
        let goes_on = kept == segment.len() && flight.kept < MOST && (flight.left > 0 || flight.server);
        self.taken += usize::from(goes_on);
        self.taken = self.taken.saturating_sub(usize::from(place.stream != 0));
        *place = if goes_on { flight } else { Flight::default() };
        kept
    }
}

/// Whether a record that says so begins with a hello: of a length that one can have, and of a version (RFC 8446
/// section 4.1.2). Else anything that begins with the bytes of a record would be kept.
fn is_hello(segment: &[u8]) -> bool {
    matches!(segment.get(RECORD_HEADER..), Some([1 | 2, 0, 0..=0x3f, _, 3, 0..=4, ..]))
}

/// Walk over the records of a segment; gives how far they are a handshake's.
fn follow(flight: &mut Flight, segment: &[u8], begins: bool) -> usize {
    let mut at = (flight.left as usize).min(segment.len());
    flight.left -= at as u32;
    let mut first = begins;
    while flight.left == 0 && (flight.server || first) {
        let Some(&[HANDSHAKE, 3, _, high, low]) = segment.get(at..at + RECORD_HEADER) else { break };
        let record = RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
        let there = record.min(segment.len() - at);
        at += there;
        flight.left = (record - there) as u32;
        first = false;
    }
    at
}
