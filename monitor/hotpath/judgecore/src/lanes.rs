//! All rules over one kind of row: the bits that they are matched by, and the fields that their groups are made of.

use crate::matcher::{Clauses, Matcher, LANE};
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
    /// The fields that groups are made of, each set once.
    pub(crate) fields: Vec<Vec<String>>,
    /// For each rule: the place of its fields.
    pub(crate) sets: Vec<usize>,
}

impl Lanes {
    /// Those of the rules of a record.
    pub(crate) fn of(runs: &[RuleRun], record: Record) -> Lanes {
        let mut lanes = Lanes { exceptions: vec![Vec::new(); runs.len()], ..Lanes::default() };
        for run in runs {
            let fields: Vec<String> = run.rule.group_fields().map(str::to_owned).collect();
            let known = lanes.fields.iter().position(|known| *known == fields);
            lanes.sets.push(known.unwrap_or(lanes.fields.len()));
            if known.is_none() {
                lanes.fields.push(fields);
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
}
