//! Traffic of a batch for the metrics: bytes by label values and by evidence, connections by who opened them.

use std::collections::HashMap;

use arrow_array::types::UInt64Type;
use judgecore::column::Column;
use judgecore::frame::Frame;
use judgecore::hash::{self, Keys, Map};
use judgecore::row_batch::RowBatch;

use crate::columns::{numbers, Index, Known, NONE};
use crate::connections::{Columns, Connections};
use crate::marks::{rows, Marks};
use crate::{chance, labels, text};

/// Who may have opened a connection, in the order of the counts of [`Sums::connections`].
pub const INITIATORS: [&str; 3] = ["local", "remote", "unknown"];

/// What a batch came to. Each key once, in the order of its first row.
#[derive(Default)]
pub struct Sums {
    /// Workload, provider and country as label values; bytes sent and received.
    pub bytes: Vec<([String; 3], [u64; 2])>,
    /// Bytes in both directions by evidence; `None`: it is missing.
    pub evidence: Vec<(Option<String>, u64)>,
    /// Workload and provider as label values; connections by initiator.
    pub connections: Vec<([String; 2], [u64; 3])>,
}

/// Sums batch by batch.
pub struct Traffic {
    keys: Keys,
    connections: Connections,
    /// Room for what is known of the numbers of a batch's workloads and cases.
    known: [Known<u32>; 2],
}

impl Traffic {
    /// `undecided`: flows at most that wait until it is known who opened them.
    pub fn new(undecided: usize) -> Traffic {
        Traffic { keys: chance(), connections: Connections::new(undecided), known: Default::default() }
    }

    /// Sum the flows with scope `egress` of one batch, in tick order.
    pub fn add(&mut self, flows: &RowBatch, marks: &Marks) -> Sums {
        let frame = Frame::new(flows, self.keys);
        let flows = flows.own();
        let [workload, provider, country, evidence] =
            ["workload", "provider", "country", "evidence"].map(|name| frame.column(name));
        let (mut workloads, mut providers, mut countries) = (Labels::default(), Labels::default(), Labels::default());
        let mut evidences = Labels::default();
        let [by_local, by_case] = &mut self.known;
        by_local.clear();
        by_case.clear();
        let mut cases: Vec<Case> = Vec::new();
        // the number of a row's workload, and the place of its case
        let indexes = ["local_id", "case_id"].map(|name| Index::new(flows, name));
        let mut told = |cases: &mut Vec<Case>, row: usize| {
            let [local, case] = indexes.map(|index| index.map_or(NONE, |index| index.of(row)));
            let workload = by_local.of(local, || workloads.number(labels::workload(word(&workload, row))));
            let case = by_case.of(case, || {
                let evidence = evidences.number(word(&evidence, row));
                let provider = providers.number(labels::provider(word(&provider, row)));
                let country = countries.number(labels::country(word(&country, row)));
                cases.push(Case { provider, country, evidence, label: Last::default(), pair: Last::default() });
                cases.len() as u32 - 1
            });
            (workload, case as usize)
        };
        let columns = Columns::new(flows);
        let initiators = INITIATORS.map(|name| columns.code_of(name));
        let mut by_label: Groups<[u32; 3], 2> = Groups::new(self.keys);
        let mut by_pair: Groups<[u32; 2], 3> = Groups::new(self.keys);
        let mut by_evidence: Vec<u64> = Vec::new();
        let bytes = ["bytes_out", "bytes_in"].map(|name| numbers::<UInt64Type>(flows, name));
        for row in rows(&marks.adding) {
            let both = [&bytes[0], &bytes[1]].map(|bytes| bytes.get(row).copied().unwrap_or_default());
            if both == [0, 0] {
                continue;
            }
            let (workload, case) = told(&mut cases, row);
            let Some(Case { provider, country, evidence, label, .. }) = cases.get_mut(case) else { continue };
            let place = label.place(workload, || by_label.place([workload, *provider, *country]));
            by_label.add(place, both);
            let evidence = *evidence as usize;
            if evidence >= by_evidence.len() {
                by_evidence.resize(evidence + 1, 0);
            }
            if let Some(sum) = by_evidence.get_mut(evidence) {
                *sum = sum.saturating_add(both[0]).saturating_add(both[1]);
            }
        }
        self.connections.counted(&columns, marks, |row| {
            let (workload, case) = told(&mut cases, row);
            let Some(Case { provider, pair, .. }) = cases.get_mut(case) else { return };
            let initiator = columns.initiator(row);
            let place = pair.place(workload, || by_pair.place([workload, *provider]));
            by_pair.add(place, initiators.map(|code| u64::from(code == initiator)));
        });
        let evidence = evidences.words.iter().zip(by_evidence).filter(|(_, bytes)| *bytes > 0);
        Sums {
            bytes: by_label.take(|[a, b, c]| [workloads.word(a), providers.word(b), countries.word(c)]),
            evidence: evidence.map(|(word, bytes)| (word.map(str::to_owned), bytes)).collect(),
            connections: by_pair.take(|[a, b]| [workloads.word(a), providers.word(b)]),
        }
    }
}

/// What a case of the batch counts under.
struct Case {
    provider: u32,
    country: u32,
    evidence: u32,
    /// Among the sums by label values.
    label: Last,
    /// Among the connections.
    pair: Last,
}

/// The place of the sums of a case with the workload that it came with last: most local sides fold to the same word.
#[derive(Default)]
struct Last(Option<(u32, usize)>);

impl Last {
    fn place(&mut self, workload: u32, find: impl FnOnce() -> usize) -> usize {
        match self.0 {
            Some((last, place)) if last == workload => place,
            _ => self.0.insert((workload, find())).1,
        }
    }
}

/// The text of a row.
fn word<'a>(column: &Column<'_, 'a>, row: usize) -> Option<&'a str> {
    text(&column.seen(row))
}

/// Words, numbered.
#[derive(Default)]
struct Labels<'a> {
    words: Vec<Option<&'a str>>,
    known: HashMap<Option<&'a str>, u32>,
    last: u32,
}

impl<'a> Labels<'a> {
    fn number(&mut self, word: impl Into<Option<&'a str>>) -> u32 {
        let word = word.into();
        // most values of a long column fold to the same word
        if self.words.get(self.last as usize) != Some(&word) {
            self.last = *self.known.entry(word).or_insert(self.words.len() as u32);
            if self.last as usize == self.words.len() {
                self.words.push(word);
            }
        }
        self.last
    }

    fn word(&self, number: u32) -> String {
        self.words.get(number as usize).copied().flatten().unwrap_or_default().to_owned()
    }
}

/// Sums by a few small numbers.
struct Groups<K, const N: usize> {
    keys: Keys,
    places: Map<usize>,
    sums: Vec<(K, [u64; N])>,
}

impl<const M: usize, const N: usize> Groups<[u32; M], N> {
    fn new(keys: Keys) -> Groups<[u32; M], N> {
        Groups { keys, places: Map::default(), sums: Vec::new() }
    }

    /// The place of a key's sums.
    fn place(&mut self, key: [u32; M]) -> usize {
        let number = hash::mix(self.keys, key.iter().map(|part| u64::from(*part)));
        let place = *self.places.entry(number).or_insert(self.sums.len());
        if place == self.sums.len() {
            self.sums.push((key, [0; N]));
        }
        place
    }

    fn add(&mut self, place: usize, values: [u64; N]) {
        if let Some((_, sums)) = self.sums.get_mut(place) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
        }
    }

    fn take<W>(self, words: impl Fn([u32; M]) -> W) -> Vec<(W, [u64; N])> {
        self.sums.into_iter().map(|(key, sums)| (words(key), sums)).collect()
    }
}
