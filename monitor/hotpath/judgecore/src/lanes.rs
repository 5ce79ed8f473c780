//! All rules over one kind of row: the bits that they are matched by, and the fields that their groups are made of.

use crate::kinds;
use crate::matcher::{Clauses, Matcher, LANE};
use crate::parts;
use crate::row;
use crate::rule::RuleRun;
use crate::spec::Record;

/// The bits of rules of one record, in lanes.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) matchers: Vec<Matcher>,
    /// For each lane: the bits of rules, and for each bit the place of the rule; exceptions have none.
    pub(crate) owners: Vec<(u64, Vec<usize>)>,
    /// For each rule: the lane and bit of its exceptions.
    pub(crate) exceptions: Vec<Vec<(usize, u32)>>,
    /// The fields that groups and parts are made of, each once; first those of the parts, then
    /// others that rows of one kind agree in.
    pub(crate) fields: Vec<String>,
    /// How many those are.
    pub(crate) common: usize,
    /// The places of the parts' fields.
    pub(crate) parts: Vec<usize>,
    /// The sets of fields that groups are made of, each once, by the places of the fields.
    pub(crate) sets: Vec<Vec<usize>>,
    /// For each rule of the record: the place of its set.
    pub(crate) set_of: Vec<Option<usize>>,
}

impl Lanes {
    /// Those of the rules of a record.
    pub(crate) fn of(runs: &[RuleRun], record: Record) -> Lanes {
        let mut lanes = Lanes { exceptions: vec![Vec::new(); runs.len()], ..Lanes::default() };
        lanes.find_fields(runs, record);
        lanes.parts = parts::fields(record).iter().map(|field| lanes.place(field)).collect();
        for run in runs {
            if run.rule.record != record {
                lanes.set_of.push(None);
                continue;
            }
            let set: Vec<usize> = run.rule.group_fields().map(|field| lanes.place(field)).collect();
            let known = lanes.sets.iter().position(|known| *known == set);
            lanes.set_of.push(Some(known.unwrap_or(lanes.sets.len())));
            if known.is_none() {
                lanes.sets.push(set);
            }
        }
        let mut clauses: Vec<(Option<usize>, Clauses)> = Vec::new();
        for (place, run) in runs.iter().enumerate().filter(|(_, run)| run.rule.record == record) {
            let rule = &run.rule;
            let conditions = rule.conditions.clone();
            clauses.push((Some(place), Clauses { conditions, proven: false, counts: row::counts(rule) }));
            for exception in &rule.exceptions {
                let number = clauses.len();
                if let Some(mine) = lanes.exceptions.get_mut(place) {
                    mine.push((number / LANE, (number % LANE) as u32));
                }
                let conditions = exception.conditions.clone();
                clauses.push((None, Clauses { conditions, proven: true, counts: None }));
            }
        }
        for lane in clauses.chunks(LANE) {
            lanes.matchers.push(Matcher::new(lane.iter().map(|(_, one)| one.clone()).collect()));
            let rules = lane.iter().enumerate().filter(|(_, (owner, _))| owner.is_some());
            let bits = rules.fold(0, |bits, (bit, _)| bits | 1 << bit);
            lanes.owners.push((bits, lane.iter().map(|(owner, _)| owner.unwrap_or(usize::MAX)).collect()));
        }
        lanes
    }

    fn find_fields(&mut self, runs: &[RuleRun], record: Record) {
        let mine = runs.iter().filter(|run| run.rule.record == record);
        for field in parts::fields(record).iter().copied().chain(mine.flat_map(|run| run.rule.group_fields())) {
            if !self.fields.iter().any(|known| known == field) {
                self.fields.push(field.to_owned());
            }
        }
        // those of parts are common, and stay the first
        self.fields.sort_by_key(|field| !kinds::is_common(record, field));
        self.common = self.fields.partition_point(|field| kinds::is_common(record, field));
    }

    fn place(&self, name: &str) -> usize {
        self.fields.iter().position(|known| known == name).unwrap_or(usize::MAX)
    }
}
