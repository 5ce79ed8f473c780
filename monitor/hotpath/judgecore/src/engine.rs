//! All rules over all rows, tick by tick.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alert::{Alert, Event, Kind};
use crate::batch::{Batch, Memory, View};
use crate::condition::Lists;
use crate::direction::{Directions, Packets};
use crate::hash::Keys;
use crate::lanes::Lanes;
use crate::matcher::LANE;
use crate::parts::Parts;
use crate::room::Bounds;
use crate::row::{adds, prepare, Common};
use crate::row_batch::RowBatch;
use crate::rule::RuleRun;
use crate::sample::Sampler;
use crate::spec::{Record, Rule};
use crate::take::{Match, Rows};
use crate::tally::Tally;

/// Seconds of event time between two looks for what can be forgotten.
const TIDY_EVERY: i64 = 60;

/// What a batch came to.
#[derive(Default)]
pub struct Outcome {
    /// In the order of event time.
    pub events: Vec<Event>,
    /// Alerts that changed, as they are now.
    pub changed: Vec<Changed>,
}

/// An alert as it is now.
pub enum Changed {
    /// It is as the event at a place has it, which is the newest one of this alert.
    AsTold(usize),
    /// The place of its rule, and the alert.
    Now(usize, Box<Alert>),
}

/// The judge.
pub struct Engine {
    /// The rules at work, in their order.
    pub runs: Vec<RuleRun>,
    /// What tells which direction is captured.
    pub directions: Directions,
    /// Ticks before this are judged, seconds since 1970.
    pub now: i64,
    /// The parts of all windows.
    pub parts: Parts,
    /// The secret of the state.
    pub keys: Keys,
    /// How much each rule may hold.
    pub bounds: Bounds,
    /// How often a full set of `distinct` left a value out.
    pub values_left_out: u64,
    lists: Lists,
    learns: bool,
    lanes: [Lanes; 2],
    /// The rows of a tick that match some rule; empty between ticks.
    matches: Vec<Match>,
    /// For each bit of each lane: the places of those that match its rule; empty between ticks.
    matching: Vec<[Vec<u32>; LANE]>,
    tally: Tally,
    /// Of views, by record.
    memory: [Memory; 2],
    tidied: i64,
}

impl Engine {
    /// A judge without rules; `learns`: `novel` takes what groups use at first for known.
    pub fn new(keys: Keys, learns: bool, bounds: Bounds) -> Engine {
        Engine {
            runs: Vec::new(),
            directions: Directions::default(),
            now: 0,
            parts: Parts::default(),
            keys,
            bounds,
            values_left_out: 0,
            lists: Lists::new(),
            learns,
            lanes: Default::default(),
            matches: Vec::new(),
            matching: Vec::new(),
            tally: Tally::default(),
            memory: Default::default(),
            tidied: i64::MIN,
        }
    }

    /// Judge by these rules from now on; one that stays keeps windows and alerts.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        let mut before: Vec<RuleRun> = std::mem::take(&mut self.runs);
        for rule in rules {
            let rule = Arc::new(rule);
            let old = before.iter().position(|run| run.rule.id == rule.id).map(|place| before.swap_remove(place));
            self.runs.push(match old {
                Some(old) => old.with_rule(rule),
                None => RuleRun::new(rule),
            });
        }
        self.lanes = [Lanes::of(&self.runs, Record::Flows), Lanes::of(&self.runs, Record::Dns)];
        let most = self.lanes.iter().map(|lanes| lanes.owners.len()).max();
        self.matching.resize_with(most.unwrap_or(0), || std::array::from_fn(|_| Vec::new()));
    }

    /// Whether `novel` rules learn.
    pub fn learns(&self) -> bool {
        self.learns
    }

    /// Ask these lists from now on.
    pub fn set_lists(&mut self, lists: Lists) {
        self.lists = lists;
    }

    /// Judge the rows of whole ticks, each batch in the order of ticks, and go on to `clock` (seconds).
    pub fn judge(&mut self, flows: &RowBatch, dns: &RowBatch, clock: i64) -> Outcome {
        let mut outcome = Outcome::default();
        // what is asked of every row stands apart from what the rows change
        let lanes = std::mem::take(&mut self.lanes);
        let lists = std::mem::take(&mut self.lists);
        let [mut of_flows, mut of_dns] = std::mem::take(&mut self.memory);
        let found = [&mut of_flows, &mut of_dns].map(|memory| std::mem::take(&mut memory.found));
        let [found_flows, found_dns] = found;
        let batches = [
            Batch::new(Record::Flows, flows, &lanes[0], self.keys, &lists, self.now, found_flows),
            Batch::new(Record::Dns, dns, &lanes[1], self.keys, &lists, self.now, found_dns),
        ];
        let view = |(batch, lanes, memory)| View::new(batch, lanes, self.keys, self.parts.begin_batch(), memory);
        let [flows, dns] = &batches;
        let mut views = [(flows, &lanes[0], of_flows), (dns, &lanes[1], of_dns)].map(view);
        let samplers = batches.each_ref().map(|batch| batch.sampler(self.keys));
        let packets = Packets::new(&flows.frame);
        let mut next = [0, 0];
        let mut events = Vec::new();
        loop {
            let due = batches.each_ref().map(|batch| batch.tick(next[usize::from(batch.record == Record::Dns)]));
            let Some(tick) = due.iter().flatten().map(|(tick, _)| *tick).min() else { break };
            self.pass_time(tick, &mut outcome.events);
            for (place, batch) in batches.iter().enumerate() {
                let first = next[place];
                let rows = due[place].filter(|(mine, _)| *mine == tick).map_or(first, |(_, end)| end);
                if batch.record == Record::Flows {
                    self.directions.count(&packets, first..rows);
                }
                next[place] = rows;
                let sampler = &samplers[place];
                let view = &mut views[place];
                self.judge_tick(batch, &lanes[place], view, sampler, &lists, tick, first..rows, &mut events);
            }
            self.directions.decide(tick);
            self.now = self.now.max(tick);
            sort(&mut events);
            outcome.events.append(&mut events);
        }
        let limit = self.now.max(clock);
        self.pass_time(limit, &mut outcome.events);
        self.now = limit;
        self.memory = views.map(View::into_memory);
        drop(samplers);
        for (memory, batch) in self.memory.iter_mut().zip(batches) {
            memory.found = batch.found;
        }
        (self.lanes, self.lists) = (lanes, lists);
        self.tidy();
        outcome.changed = self.news(&outcome.events);
        outcome
    }

    /// Give each rule the rows of a tick that it matches, and ask it at the end of the tick: rule by rule, so
    /// that its groups stay near, and what a flood brought to one is given up before the next one's turn.
    #[allow(clippy::too_many_arguments)]
    fn judge_tick<'f, 'a>(
        &mut self,
        batch: &'f Batch<'a>,
        lanes: &Lanes,
        view: &mut View<'_, 'f, 'a>,
        sampler: &Sampler<'f, 'a>,
        lists: &Lists,
        tick: i64,
        rows: std::ops::Range<usize>,
        events: &mut Vec<Event>,
    ) {
        let View { common, kinds, groups, rules: of_rules } = view;
        let mut matching = std::mem::take(&mut self.matching);
        let mut matches = std::mem::take(&mut self.matches);
        for ((found, (rules, _)), matching) in batch.found.iter().zip(&lanes.owners).zip(&mut matching) {
            let found = found.get(rows.clone()).unwrap_or_default();
            for (row, bits) in (rows.start as u32..).zip(found) {
                let mut bits = bits & rules;
                if bits == 0 {
                    continue;
                }
                let (kind, of) = (kinds.of_row(row as usize), row as usize);
                let found = matches.len() as u32;
                matches.push(Match { row, kind, sent: common.sent(of), last: common.last.nanoseconds(of) });
                while bits != 0 {
                    matching[bits.trailing_zeros() as usize % LANE].push(found);
                    bits &= bits - 1;
                }
            }
        }
        kinds.look_ahead(&self.parts);
        let is_one_way = self.directions.is_one_way;
        let owners = lanes.owners.iter().flat_map(|(_, owners)| owners).copied();
        let all = owners.zip(matching.iter_mut().flatten());
        for (place, mine) in all.filter(|(_, mine)| !mine.is_empty()) {
            let set = lanes.set_of.get(place).copied().flatten();
            let (Some(run), Some((at, away)), Some(exceptions), Some(groups)) = (
                self.runs.get_mut(place),
                of_rules.get_mut(place),
                lanes.exceptions.get(place),
                set.and_then(|set| groups.get_mut(set)),
            ) else {
                continue;
            };
            groups.begin(&rows);
            if !(is_one_way && run.rule.two_way) {
                let excepted = |number: usize, row: usize| {
                    let (lane, bit) = exceptions.get(number).copied().unwrap_or_default();
                    batch.found.get(lane).and_then(|bits| bits.get(row)).is_some_and(|bits| bits >> bit & 1 == 1)
                };
                let mut taken_by = Rows {
                    tally: &mut self.tally,
                    groups,
                    away,
                    kinds,
                    at: at.get_or_insert_with(|| prepare(&run.rule, &batch.frame)),
                    common,
                    matches: &matches,
                    parts: &mut self.parts,
                    left_out: &mut self.values_left_out,
                    bounds: &self.bounds,
                    learns: self.learns,
                    tick,
                };
                run.take(&mut taken_by, mine, excepted);
                if run.is_touched() {
                    run.end_tick(place, tick, sampler, &self.parts, lists, &self.bounds, events);
                }
            }
            mine.clear();
        }
        matches.clear();
        (self.matches, self.matching) = (matches, matching);
    }

    /// Do what is due by `limit` without rows.
    fn pass_time(&mut self, limit: i64, events: &mut Vec<Event>) {
        let mut new = Vec::new();
        for (place, run) in self.runs.iter_mut().enumerate() {
            if run.next_timer().is_some_and(|due| due <= limit) {
                run.pass_time(place, limit, &mut new);
            }
        }
        sort(&mut new);
        events.append(&mut new);
    }

    fn tidy(&mut self) {
        let entries = self.runs.iter().map(|run| run.entries).sum();
        let is_full = self.parts.is_full(entries);
        if self.now < self.tidied.saturating_add(TIDY_EVERY) && !is_full {
            return;
        }
        self.tidied = self.now;
        for run in &mut self.runs {
            run.tidy(self.now);
        }
        if is_full {
            let entries = self.runs.iter().flat_map(|run| run.groups.values()).flat_map(|group| group.entries.iter());
            self.parts.keep(entries.map(|entry| entry.part));
        }
    }

    /// The alerts that changed since they were last told, after these events.
    fn news(&mut self, events: &[Event]) -> Vec<Changed> {
        let newest: HashMap<(usize, u64), usize> =
            events.iter().enumerate().map(|(place, event)| ((event.rule, event.alert.id), place)).collect();
        let mut told = Vec::new();
        for (place, run) in self.runs.iter_mut().enumerate() {
            let mut keys = std::mem::take(&mut run.news);
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let open = run.groups.get(&key).and_then(|group| group.alert.as_deref());
                if let Some(track) = open.or_else(|| run.ended.get(&key).map(|ended| &ended.track)) {
                    let event = newest.get(&(place, track.alert.id)).copied();
                    let is_as_told = |at: &usize| events.get(*at).is_some_and(|event| event.alert == track.alert);
                    told.push(match event.filter(is_as_told) {
                        Some(event) => Changed::AsTold(event),
                        None => Changed::Now(place, Box::new(track.alert.clone())),
                    });
                }
            }
        }
        told
    }
}

/// Which rows of a batch a rule counts: they match, add something, and no exception takes them out.
pub fn counted(rule: Rule, batch: &RowBatch, lists: Lists) -> Vec<bool> {
    let mut engine = Engine::new([1, 2], false, Bounds::default());
    let record = rule.record;
    engine.set_rules(vec![rule]);
    let lanes = Lanes::of(&engine.runs, record);
    let batch = Batch::new(record, batch, &lanes, engine.keys, &lists, i64::MIN, Vec::new());
    let common = Common::new(&batch.frame, record);
    let Some(run) = engine.runs.first() else { return Vec::new() };
    let at = prepare(&run.rule, &batch.frame);
    let is_set = |lane: usize, bit: u32, row: usize| {
        batch.found.get(lane).and_then(|bits| bits.get(row)).is_some_and(|bits| bits >> bit & 1 == 1)
    };
    let exceptions = lanes.exceptions.first().cloned().unwrap_or_default();
    let excepted = |row: usize, tick: i64| {
        let mut all = run.rule.exceptions.iter().zip(&exceptions);
        all.any(|(exception, (lane, bit))| tick < exception.ends && is_set(*lane, *bit, row))
    };
    let counts = |row: usize| {
        let tick = batch.tick(row).map_or(i64::MIN, |(tick, _)| tick);
        is_set(0, 0, row) && adds(&run.rule, &at, &common, row, common.sent(row)).is_some() && !excepted(row, tick)
    };
    (0..batch.frame.rows).map(counts).collect()
}

/// Bring events in order: what ended at a moment ended before what began in the tick that starts then.
fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| (event.time, event.kind != Kind::Ended, event.rule, event.alert.id));
}
