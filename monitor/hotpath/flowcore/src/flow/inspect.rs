//! What a flow sends in clear, looked at for what must not go out: where, how far, and over segments' borders.
//!
//! Only what the local side of an egress flow sends, only where its protocol is none that encrypts, and only
//! what may be text. All of the first bytes, then one packet of sixteen. What is found is counted in the row.

use std::num::NonZeroU32;

use super::slot::{Slot, FOUND, GROWN, INSPECTED, SAMPLED};
use crate::decode::sensitive::{count, may_be_clear, may_be_text, Findings};
use crate::decode::{protocol, tcp_flag, Application, Packet};
use crate::source::huge_pages;
use crate::source::prefetch::prefetch;

/// Past the first bytes one packet of so many is looked at: a power of two.
pub(super) const SAMPLE: u32 = 16;
/// Bytes at the end of a segment that are kept for the next, and of the next that are joined to them: what
/// is longer than this and split is not found.
const BORDER: usize = 64;

/// What is known of what a flow sends. In two cache lines: the second is of what goes on over a border.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Inspection {
    /// Bytes looked at.
    looked: usize,
    /// Sequence number of what comes next.
    next: u32,
    /// Of `kept`.
    length: u8,
    /// In the open row.
    pub(super) findings: Findings,
    /// The end of what was looked at last, where its successor may go on.
    kept: [u8; BORDER],
}

impl Inspection {
    /// Bytes that one takes, its number in the list of free ones and the slack of that included.
    pub(super) const BYTES: usize = size_of::<Inspection>() + 8;

    fn add(&mut self, found: Findings) {
        self.findings.iter_mut().zip(found).for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }

    /// Keep the end of what is there now, if what comes next can belong to it.
    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.last().is_some_and(goes_on) {
            self.length = 0;
            return;
        }
        let new = bytes.get(bytes.len().saturating_sub(BORDER)..).unwrap_or_default();
        let old = usize::from(self.length).min(BORDER - new.len());
        let from = usize::from(self.length) - old;
        self.kept.copy_within(from..from + old, 0);
        if let Some(place) = self.kept.get_mut(old..old + new.len()) {
            place.copy_from_slice(new);
        }
        self.length = (old + new.len()) as u8;
    }
}

/// The number of an inspection, plus one: a flow has one or none in four bytes.
pub(super) type Number = Option<NonZeroU32>;

/// Where it stands; for none, where none is: no branch, since which flows have one is as good as random.
#[inline]
fn place(number: Number) -> usize {
    number.map_or(0, NonZeroU32::get).wrapping_sub(1) as usize
}

/// All inspections, of flows and of none: no flow asks the allocator for its own.
#[derive(Debug)]
pub(super) struct Inspections {
    all: Vec<Inspection>,
    /// Numbers of those whose flows are gone.
    free: Vec<NonZeroU32>,
}

impl Inspections {
    /// Those of so many flows at the most; the room is only laid out.
    pub(super) fn new(most: usize) -> Inspections {
        Inspections { all: huge_pages::reserve(most), free: Vec::new() }
    }

    /// One of a flow whose next byte has this sequence number.
    fn begin(&mut self, next: u32) -> Number {
        let Some(number) = self.free.pop() else {
            self.all.push(Inspection { looked: 0, next, kept: [0; BORDER], length: 0, findings: Findings::default() });
            return NonZeroU32::new(self.all.len() as u32);
        };
        // the next one was left long ago
        prefetch(self.get(self.free.last().copied()));
        let spare = self.get_mut(Some(number))?;
        // what is kept is as long as `length` says
        (spare.looked, spare.next, spare.length, spare.findings) = (0, next, 0, Findings::default());
        Some(number)
    }

    /// Take that of a flow that is gone.
    pub(super) fn end(&mut self, number: Number) {
        self.free.extend(number);
    }

    /// Bytes of those that no flow has.
    #[inline]
    pub(super) fn idle(&self) -> usize {
        self.free.len() * Inspection::BYTES
    }

    /// Give back the memory of those that no flow has: the others move together. Gives the new number of each by the old
    /// one; what no flow had has none.
    pub(super) fn compact(&mut self) -> Vec<Number> {
        let mut numbers = vec![NonZeroU32::new(1); self.all.len()];
        for number in self.free.drain(..) {
            if let Some(left) = numbers.get_mut(place(Some(number))) {
                *left = None;
            }
        }
        self.free = Vec::new();
        let mut count = 0;
        for (old, number) in numbers.iter_mut().enumerate().filter(|(_, number)| number.is_some()) {
            self.all.swap(count, old);
            count += 1;
            *number = NonZeroU32::new(count as u32);
        }
        self.all.truncate(count);
        huge_pages::give_back(&mut self.all);
        numbers
    }

    #[inline]
    pub(super) fn get(&self, number: Number) -> Option<&Inspection> {
        self.all.get(place(number))
    }

    #[inline]
    fn get_mut(&mut self, number: Number) -> Option<&mut Inspection> {
        self.all.get_mut(place(number))
    }

    /// Take what was found since the last row.
    pub(super) fn take(&mut self, number: Number) -> Option<Findings> {
        self.get_mut(number).map(|inspection| std::mem::take(&mut inspection.findings))
    }
}

/// Whether something that is looked for can have this byte inside.
fn goes_on(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b'_' | b'-' | b'+' | b'%' | b'@' | b':' | b'/' | b'=')
}

/// Look at a packet with payload that the local side of a flow sent. `most`: bytes that are all looked at.
#[inline(never)]
pub(super) fn inspect(slot: &mut Slot, packet: &Packet<'_>, all: &mut Inspections, most: usize) {
    // behind STARTTLS or CONNECT the application is what came first
    if !may_be_clear(slot.application) || slot.ja4.is_some() {
        slot.watch &= !(INSPECTED | SAMPLED);
        return;
    }
    let is_stream = packet.protocol == protocol::TCP;
    // data in a SYN (RFC 7413) stands behind the SYN itself
    let sequence = packet.sequence.wrapping_add(u32::from(packet.tcp_flags & tcp_flag::SYN != 0));
    if slot.inspection.is_none() {
        slot.watch |= GROWN;
        slot.inspection = all.begin(sequence);
    }
    let Some(state) = all.get_mut(slot.inspection) else { return };
    let end = sequence.wrapping_add(packet.payload_bytes as u32);
    let mut payload = packet.payload;
    if is_stream {
        let known = state.next.wrapping_sub(sequence) as i32;
        if known > 0 {
            // repeated: only what is new counts
            payload = payload.get(known as usize..).unwrap_or_default();
            if (end.wrapping_sub(state.next) as i32) <= 0 {
                return;
            }
        } else if known < 0 {
            state.length = 0;
        }
        state.next = end;
    }
    state.looked = state.looked.saturating_add(payload.len());
    if state.looked > most {
        slot.watch = (slot.watch & !INSPECTED) | SAMPLED;
    }
    if !may_be_text(payload) {
        state.length = 0;
        return;
    }
    let mut found = Findings::default();
    count(payload, slot.application, &mut found);
    if is_stream {
        over_border(state, payload, slot.application, &mut found);
        state.keep(payload);
        if (packet.payload.len() as u64) < packet.payload_bytes {
            // the capture has cut off what follows
            state.length = 0;
        }
    }
    if found != Findings::default() {
        state.add(found);
        slot.watch |= FOUND;
    }
}

/// What begins in one segment and ends in the next: what is in both together and in neither alone.
fn over_border(state: &Inspection, payload: &[u8], application: Application, found: &mut Findings) {
    let Some(kept) = state.kept.get(..usize::from(state.length)).filter(|kept| !kept.is_empty()) else { return };
    if !payload.first().is_some_and(goes_on) {
        return;
    }
    let begin = payload.get(..payload.len().min(BORDER)).unwrap_or_default();
    let mut both = [0; 2 * BORDER];
    let (first, rest) = both.split_at_mut(kept.len());
    first.copy_from_slice(kept);
    rest.iter_mut().zip(begin).for_each(|(to, byte)| *to = *byte);
    let (mut joined, mut apart) = (Findings::default(), Findings::default());
    count(both.get(..kept.len() + begin.len()).unwrap_or_default(), application, &mut joined);
    count(kept, application, &mut apart);
    count(begin, application, &mut apart);
    for ((sum, joined), apart) in found.iter_mut().zip(joined).zip(apart) {
        *sum = (*sum + joined).saturating_sub(apart);
    }
}

#[cfg(test)]
mod tests {
    use super::Inspections;

    #[test]
    fn what_a_flow_leaves_is_given_to_the_next_as_new() {
        let mut all = Inspections::new(4);
        let (first, second) = (all.begin(1), all.begin(2));
        assert_ne!(first, second);
        let left = all.get_mut(first).map(|inspection| {
            (inspection.looked, inspection.length, inspection.findings[0]) = (1000, 3, 5);
            inspection.findings
        });
        assert_eq!(all.take(first), left);
        assert_eq!(all.take(first), Some(Default::default()));
        all.end(None);
        assert_eq!(all.idle(), 0);
        all.end(first);
        assert!(all.idle() >= size_of::<super::Inspection>());
        assert_eq!(all.begin(7), first);
        assert_eq!(all.idle(), 0);
        let again = all.get(first).map(|inspection| (inspection.looked, inspection.next, inspection.length));
        assert_eq!(again, Some((0, 7, 0)));
        assert_eq!(all.get(second).map(|inspection| inspection.next), Some(2));
        assert!(all.get(None).is_none() && all.take(None).is_none());
        // nothing is left, so that this is another one
        assert!(![first, second].contains(&all.begin(3)));
    }
}
