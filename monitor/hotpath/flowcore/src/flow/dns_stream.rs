//! DNS over TCP: messages out of a stream, each behind its length (RFC 1035 section 4.2.2).

use super::budget::Budget;

/// A message and its length field at most.
const MAX_MESSAGE: usize = 2 + 65_535;

/// The unread end of each direction of a DNS connection.
#[derive(Debug, Default)]
pub(super) struct DnsStream {
    pending: [Vec<u8>; 2],
    expected: [Option<u32>; 2],
    /// What was taken out of the budget.
    held: usize,
}

impl DnsStream {
    /// Take a segment in; `visit` gets each message that is now whole. A segment that was seen before
    /// is passed over; behind a hole, reading begins anew at the segment's start, where messages mostly
    /// begin.
    pub(super) fn take(
        &mut self,
        direction: usize,
        sequence: u32,
        segment: &[u8],
        budget: &mut Budget,
        mut visit: impl FnMut(&[u8]),
    ) {
        let (Some(pending), Some(expected)) = (self.pending.get_mut(direction), self.expected.get_mut(direction))
        else {
            return;
        };
        let ahead = expected.map_or(0, |expected| sequence.wrapping_sub(expected) as i32);
        let seen = usize::try_from(ahead.saturating_neg()).unwrap_or(0);
        if ahead > 0 {
            budget.give_back(&mut self.held, pending.len());
            pending.clear();
        }
        let Some(fresh) = segment.get(seen..).filter(|fresh| !fresh.is_empty()) else { return };
        *expected = Some(sequence.wrapping_add(segment.len() as u32));
        if pending.is_empty() {
            // mostly a segment holds whole messages: nothing is copied then
            let left = messages(fresh, &mut visit);
            keep(pending, left, budget, &mut self.held);
            return;
        }
        if !budget.take(&mut self.held, fresh.len()) {
            budget.give_back(&mut self.held, pending.len());
            pending.clear();
            return;
        }
        pending.extend_from_slice(fresh);
        let left = messages(pending, &mut visit).len();
        let read = pending.len() - left;
        budget.give_back(&mut self.held, read);
        pending.drain(..read);
        if read > 0 {
            pending.shrink_to_fit();
        }
    }

    /// What it holds, to be given back to the budget.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

/// Hand over the whole messages at the start; gives the rest.
fn messages<'a>(mut bytes: &'a [u8], visit: &mut impl FnMut(&[u8])) -> &'a [u8] {
    while let Some((&[high, low], rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(message) = rest.get(..length) else { break };
        visit(message);
        bytes = rest.get(length..).unwrap_or_default();
    }
    bytes
}

/// Keep the beginning of a message.
fn keep(pending: &mut Vec<u8>, left: &[u8], budget: &mut Budget, held: &mut usize) {
    if !left.is_empty() && left.len() < MAX_MESSAGE && budget.take(held, left.len()) {
        pending.extend_from_slice(left);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, DnsStream, MAX_MESSAGE};

    #[test]
    fn what_was_read_takes_no_memory() {
        let mut budget = Budget { left: 1 << 20, refused: 0 };
        let mut stream = DnsStream::default();
        let mut whole = vec![0xff, 0xff];
        whole.resize(MAX_MESSAGE, 0);
        // the beginning of the next one
        whole.extend([0, 9, 9]);
        let (mut sequence, mut messages) = (u32::MAX - 5000, 0);
        for segment in whole.chunks(1400) {
            stream.take(1, sequence, segment, &mut budget, |message| messages += message.len());
            sequence = sequence.wrapping_add(segment.len() as u32);
        }
        assert_eq!(messages, MAX_MESSAGE - 2);
        assert_eq!((stream.held(), budget.left), (3, (1 << 20) - 3));
        let room: usize = stream.pending.iter().map(Vec::capacity).sum();
        assert!(room <= 64, "{room} bytes of memory for {}", stream.held());
    }
}
