//! Whether only one direction of the traffic is captured: a mirror of one side, or asymmetric routes.
//!
//! TCP answers: of a connection that carries data both directions have packets in the same second. Where
//! nearly all busy rows have packets in one direction only, the other is not seen.

use crate::frame::Frame;
use crate::numbers::Numbers;

const TCP: u64 = 6;
const ACK: u64 = 0x10;
/// Packets of a row from which an answer must have come.
const BUSY: u64 = 4;
/// Rows that are enough to tell.
const ENOUGH: u64 = 100;
const HOUR: i64 = 3600;

/// What the busy rows of the last hours were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directions {
    /// Rows with packets in one direction only.
    pub one: u64,
    /// Rows with both.
    pub both: u64,
    /// The hour, since 1970.
    pub hour: i64,
    /// Whether capture is found to be one-way.
    pub is_one_way: bool,
}

/// The columns of a batch that tell it.
pub struct Packets<'a> {
    protocols: Numbers<'a>,
    flags: Numbers<'a>,
    sent: Numbers<'a>,
    received: Numbers<'a>,
}

impl<'a> Packets<'a> {
    /// Find them.
    pub fn new(frame: &Frame<'a>) -> Packets<'a> {
        Packets {
            protocols: frame.numbers("protocol"),
            flags: frame.numbers("tcp_flags"),
            sent: frame.numbers("packets_out"),
            received: frame.numbers("packets_in"),
        }
    }
}

impl Directions {
    /// Count the rows of one tick.
    pub fn count<'a>(&mut self, packets: &Packets<'a>, rows: std::ops::Range<usize>) {
        let Packets { protocols, flags, sent, received } = packets;
        let mut count = |row: usize| {
            let (out, back) = (sent.or_zero(row), received.or_zero(row));
            if out.saturating_add(back) >= BUSY {
                if out == 0 || back == 0 {
                    self.one += 1;
                } else {
                    self.both += 1;
                }
            }
        };
        let bytes = |numbers: &Numbers<'a>| numbers.bytes().and_then(|bytes| bytes.get(rows.clone()));
        if let (Some(protocols), Some(flags)) = (bytes(protocols), bytes(flags)) {
            // as the hot path has them
            for ((row, protocol), flags) in rows.zip(protocols).zip(flags) {
                if u64::from(*protocol) == TCP && u64::from(*flags) & ACK != 0 {
                    count(row);
                }
            }
            return;
        }
        rows.filter(|row| protocols.or_zero(*row) == TCP && flags.or_zero(*row) & ACK != 0).for_each(count);
    }

    /// Decide at the end of a tick. What was seen in earlier hours counts half as much each hour.
    pub fn decide(&mut self, tick: i64) {
        if self.one + self.both >= ENOUGH {
            if self.one > 9 * self.both {
                self.is_one_way = true;
            } else if self.one < 2 * self.both {
                self.is_one_way = false;
            }
        }
        let hour = tick.div_euclid(HOUR);
        let passed = hour.saturating_sub(self.hour);
        if passed > 0 {
            let halves = u32::try_from(passed).unwrap_or(u32::MAX);
            self.one = self.one.checked_shr(halves).unwrap_or(0);
            self.both = self.both.checked_shr(halves).unwrap_or(0);
            self.hour = hour;
        }
    }
}
