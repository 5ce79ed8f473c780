//! One batch of rows, with what rules look at in it.

use arrow_array::RecordBatch;

use crate::condition::Lists;
use crate::frame::Frame;
use crate::hash::Keys;
use crate::lanes::Lanes;
use crate::parts::RowParts;
use crate::row::{Common, Prepared, RowKeys};
use crate::sample::Sampler;
use crate::spec::Record;

const SECOND: i64 = 1_000_000_000;

/// One batch, with the rules that each row matches.
pub(crate) struct Batch<'a> {
    pub(crate) record: Record,
    pub(crate) frame: Frame<'a>,
    pub(crate) found: Vec<Vec<u64>>,
    pub(crate) ticks: Vec<i64>,
}

/// What rules look at in a batch, found when the first row needs it.
pub(crate) struct View<'f, 'a> {
    pub(crate) common: Common<'f, 'a>,
    pub(crate) parts: RowParts<'f, 'a>,
    pub(crate) groups: Vec<RowKeys<'f, 'a>>,
    pub(crate) prepared: Vec<Option<Prepared<'f, 'a>>>,
}

impl<'f, 'a> View<'f, 'a> {
    pub(crate) fn new(batch: &'f Batch<'a>, lanes: &Lanes, rules: usize, keys: Keys) -> View<'f, 'a> {
        let groups = lanes.fields.iter().map(|fields| RowKeys::new(&batch.frame, fields, keys));
        View {
            common: Common::new(&batch.frame, batch.record),
            parts: RowParts::new(&batch.frame, batch.record, keys),
            groups: groups.collect(),
            prepared: (0..rules).map(|_| None).collect(),
        }
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        record: Record,
        batch: &'a RecordBatch,
        lanes: &Lanes,
        keys: Keys,
        lists: &Lists,
        now: i64,
    ) -> Batch<'a> {
        let frame = Frame::new(batch, keys);
        let found = lanes.matchers.iter().map(|matcher| matcher.rows(&frame, lists)).collect();
        let times = frame.numbers("tick");
        let (mut newest, mut before) = (now, i64::MIN);
        let ticks = (0..frame.rows).map(|row| {
            let time = times.nanoseconds(row);
            if time != before {
                before = time;
                // never less by the contract; a row that is late counts now
                newest = newest.max(time.div_euclid(SECOND));
            }
            newest
        });
        let ticks = ticks.collect();
        Batch { record, frame, found, ticks }
    }

    pub(crate) fn sampler(&self, keys: Keys) -> Sampler<'_, 'a> {
        Sampler::new(&self.frame, keys, self.record)
    }

    /// The tick of a row.
    pub(crate) fn tick(&self, row: usize) -> Option<i64> {
        self.ticks.get(row).copied()
    }

    /// The first row after the rows of a tick that begin at `first`.
    pub(crate) fn until(&self, first: usize, tick: i64) -> usize {
        let rest = self.ticks.get(first..).unwrap_or_default();
        first + rest.partition_point(|one| *one <= tick)
    }
}
