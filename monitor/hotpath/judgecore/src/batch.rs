//! One batch of rows, with what rules look at in it.

use crate::condition::Lists;
use crate::frame::Frame;
use crate::hash::Keys;
use crate::kinds::{self, Kinds};
use crate::lanes::Lanes;
use crate::matcher::Matcher;
use crate::row::{Common, Prepared};
use crate::row_batch::RowBatch;
use crate::row_groups::{OfTick, RowGroups};
use crate::sample::Sampler;
use crate::spec::Record;
use crate::turned_away::TurnedAway;

const SECOND: i64 = 1_000_000_000;

/// One batch, with the rules that each row matches.
pub(crate) struct Batch<'a> {
    pub(crate) record: Record,
    pub(crate) frame: Frame<'a>,
    pub(crate) found: Vec<Vec<u64>>,
    /// The ticks, each with the first row after it.
    ticks: Vec<(i64, usize)>,
}

/// What rules look at in a batch, found when the first row needs it.
pub(crate) struct View<'l, 'f, 'a> {
    pub(crate) common: Common<'f, 'a>,
    pub(crate) kinds: Kinds<'l, 'f, 'a>,
    pub(crate) groups: Vec<RowGroups<'l>>,
    /// For each rule.
    pub(crate) rules: Vec<(Option<Prepared<'f, 'a>>, TurnedAway)>,
}

/// The memory of a view, which serves one batch after the other: what is filled again costs no page faults.
#[derive(Default)]
pub(crate) struct Memory {
    /// Of the batch itself: for each lane.
    pub(crate) found: Vec<Vec<u64>>,
    kinds: kinds::Memory,
    groups: Vec<OfTick>,
    rules: Vec<TurnedAway>,
}

impl<'l, 'f, 'a> View<'l, 'f, 'a> {
    /// Look at a batch; `number` is its number (see [`crate::parts::Parts`]).
    pub(crate) fn new(
        batch: &'f Batch<'a>,
        lanes: &'l Lanes,
        keys: Keys,
        number: u32,
        mut memory: Memory,
    ) -> View<'l, 'f, 'a> {
        let is_common = |places: &[usize]| places.iter().all(|place| *place < lanes.common);
        let kinds = Kinds::new(&batch.frame, lanes, batch.record, keys, number, memory.kinds);
        memory.groups.resize_with(lanes.sets.len(), OfTick::default);
        memory.rules.resize_with(lanes.set_of.len(), TurnedAway::default);
        memory.rules.iter_mut().for_each(TurnedAway::clear);
        let groups =
            |(places, of_tick): (&'l Vec<usize>, _)| RowGroups::new(places, is_common(places), &kinds, of_tick);
        View {
            common: Common::new(&batch.frame, batch.record),
            groups: lanes.sets.iter().zip(memory.groups).map(groups).collect(),
            rules: memory.rules.into_iter().map(|away| (None, away)).collect(),
            kinds,
        }
    }

    /// Give the memory back.
    pub(crate) fn into_memory(self) -> Memory {
        Memory {
            found: Vec::new(),
            kinds: self.kinds.into_memory(),
            groups: self.groups.into_iter().map(RowGroups::into_memory).collect(),
            rules: self.rules.into_iter().map(|(_, away)| away).collect(),
        }
    }
}

impl<'a> Batch<'a> {
    /// Match all rows; `memory`: what an earlier batch found.
    pub(crate) fn new(
        record: Record,
        batch: &'a RowBatch,
        lanes: &Lanes,
        keys: Keys,
        lists: &Lists,
        now: i64,
        mut memory: Vec<Vec<u64>>,
    ) -> Batch<'a> {
        let frame = Frame::new(batch, keys);
        memory.resize_with(lanes.matchers.len(), Vec::new);
        let rows = |(matcher, found): (&Matcher, _)| matcher.rows(&frame, lists, found);
        let found = lanes.matchers.iter().zip(memory).map(rows).collect();
        let mut newest = now;
        let mut ticks: Vec<(i64, usize)> = Vec::new();
        for (time, behind) in frame.numbers("tick").runs(frame.rows) {
            // never less by the contract; a row that is late counts now
            newest = newest.max(time.div_euclid(SECOND));
            match ticks.last_mut() {
                Some((tick, end)) if *tick == newest => *end = behind,
                _ => ticks.push((newest, behind)),
            }
        }
        Batch { record, frame, found, ticks }
    }

    pub(crate) fn sampler(&self, keys: Keys) -> Sampler<'_, 'a> {
        Sampler::new(&self.frame, keys, self.record)
    }

    /// The tick of a row, and the first row after that tick.
    pub(crate) fn tick(&self, row: usize) -> Option<(i64, usize)> {
        self.ticks.get(self.ticks.partition_point(|(_, end)| *end <= row)).copied()
    }
}
