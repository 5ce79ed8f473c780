//! When to look at a flow again: one entry a flow, in the order of deadlines.
//!
//! A packet does not touch its entry. When the entry comes up, the flow tells its real deadline; if
//! that is later, the entry moves there. So a packet costs nothing here, and a flow one move a timeout.

use std::collections::BTreeMap;

/// Deadlines in ticks, and the slots that have them.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// But for those of `open`.
    due: BTreeMap<i64, Vec<u32>>,
    /// A deadline and the slots that have it: the one that was added last, since those that come one after the other mostly
    /// have the same.
    open: Option<(i64, Vec<u32>)>,
    /// Emptied lists, kept for use again.
    spare: Vec<Vec<u32>>,
}

/// Emptied lists that are kept.
const SPARE: usize = 64;

impl Expiry {
    /// Note that a slot is to be looked at when `tick` begins.
    pub(super) fn add(&mut self, tick: i64, slot: u32) {
        if let Some((_, list)) = self.open.as_mut().filter(|open| open.0 == tick) {
            list.push(slot);
            return;
        }
        self.close();
        let mut list = self.due.remove(&tick).or_else(|| self.spare.pop()).unwrap_or_default();
        list.push(slot);
        self.open = Some((tick, list));
    }

    fn close(&mut self) {
        self.due.extend(self.open.take());
    }

    /// Take out slots that are due by `tick`: those of one deadline, and it. Their list comes back by
    /// [`Expiry::give_back`].
    pub(super) fn take_due(&mut self, tick: i64) -> Option<(i64, Vec<u32>)> {
        self.close();
        let entry = self.due.first_entry()?;
        (*entry.key() <= tick).then(|| entry.remove_entry())
    }

    /// Put back what is left of a list that was taken.
    pub(super) fn put_back(&mut self, tick: i64, list: Vec<u32>) {
        self.close();
        self.due.insert(tick, list);
    }

    /// Give back a list that was taken, to be used again.
    pub(super) fn give_back(&mut self, mut list: Vec<u32>) {
        if self.spare.len() < SPARE {
            list.clear();
            self.spare.push(list);
        }
    }

    /// Take out one slot with the earliest deadline.
    pub(super) fn pop_first(&mut self) -> Option<u32> {
        self.close();
        loop {
            let mut entry = self.due.first_entry()?;
            let slot = entry.get_mut().pop();
            if entry.get().is_empty() {
                let list = entry.remove();
                self.give_back(list);
            }
            if slot.is_some() {
                return slot;
            }
        }
    }
}
