//! Traffic of a batch for the metrics: bytes by label values and by evidence, connections by who opened them.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use judgecore::column::Column;
use judgecore::frame::Frame;
use judgecore::hash::{self, Keys, Map};
use judgecore::value::Seen;

use crate::connections::{Columns, Connections};
use crate::{chance, labels, of_scope};

/// Who may have opened a connection, in the order of the counts of [`Sums::connections`].
pub const INITIATORS: [&str; 3] = ["local", "remote", "unknown"];

/// Values of a column whose labels are remembered.
const NEAR: usize = 1024;

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
}

impl Traffic {
    /// `undecided`: flows at most that wait until it is known who opened them.
    pub fn new(undecided: usize) -> Traffic {
        Traffic { keys: chance(), connections: Connections::new(undecided) }
    }

    /// Sum the flows with scope `egress` of one batch, in tick order.
    pub fn add(&mut self, flows: &RecordBatch) -> Sums {
        let frame = Frame::new(flows, self.keys);
        let mut workloads = Labels::new(frame.column("workload"), labels::workload);
        let mut providers = Labels::new(frame.column("provider"), labels::provider);
        let mut countries = Labels::new(frame.column("country"), labels::country);
        let evidence = frame.codes("evidence");
        let bytes = [frame.numbers("bytes_out"), frame.numbers("bytes_in")];
        let columns = Columns::new(&frame);
        let initiators = INITIATORS.map(|name| frame.codes("initiator").and_then(|codes| crate::code_of(codes, name)));
        let mut by_label: Groups<[u32; 3], 2> = Groups::new(self.keys);
        let mut by_pair: Groups<[u32; 2], 3> = Groups::new(self.keys);
        let mut by_evidence = vec![0_u64; evidence.map_or(1, |codes| codes.values().len())];
        self.connections.begin();
        for row in of_scope(&frame, "egress") {
            let label = [workloads.of(row), providers.of(row), countries.of(row)];
            let both = bytes.map(|numbers| numbers.or_zero(row));
            if both != [0, 0] {
                by_label.add(label, both);
            }
            let code = evidence.map_or(0, |codes| codes.of(row));
            if let Some(sum) = by_evidence.get_mut(code) {
                *sum = sum.saturating_add(both[0]).saturating_add(both[1]);
            }
            if self.connections.counts(&columns, row) {
                let initiator = Some(columns.initiator(row));
                by_pair.add([label[0], label[1]], initiators.map(|code| u64::from(code == initiator)));
            }
        }
        Sums {
            bytes: by_label.take(|[a, b, c]| [workloads.word(a), providers.word(b), countries.word(c)]),
            evidence: by_evidence
                .into_iter()
                .enumerate()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(code, bytes)| {
                    (evidence.and_then(|codes| text(codes.values().get(code)?)).map(str::to_owned), bytes)
                })
                .collect(),
            connections: by_pair.take(|[a, b]| [workloads.word(a), providers.word(b)]),
        }
    }
}

/// Label values of a column, numbered: there are few, however many values the column has.
struct Labels<'f, 'a> {
    column: Column<'f, 'a>,
    fold: fn(Option<&str>) -> &str,
    /// By the low bits of a value's number: that number, and the label; the newest.
    near: Vec<Option<(u64, u32)>>,
    words: Vec<&'a str>,
    known: HashMap<&'a str, u32>,
    last: u32,
}

impl<'f, 'a> Labels<'f, 'a> {
    fn new(column: Column<'f, 'a>, fold: fn(Option<&str>) -> &str) -> Labels<'f, 'a> {
        Labels { column, fold, near: vec![None; NEAR], words: Vec::new(), known: HashMap::new(), last: 0 }
    }

    fn of(&mut self, row: usize) -> u32 {
        let number = self.column.hash(row);
        let place = number as usize % NEAR;
        if let Some(Some((known, label))) = self.near.get(place) {
            if *known == number {
                return *label;
            }
        }
        let label = self.label((self.fold)(text(&self.column.seen(row))));
        if let Some(near) = self.near.get_mut(place) {
            *near = Some((number, label));
        }
        label
    }

    fn label(&mut self, word: &'a str) -> u32 {
        // most values of a long column fold to the same word
        if self.words.get(self.last as usize) != Some(&word) {
            self.last = *self.known.entry(word).or_insert(self.words.len() as u32);
            if self.last as usize == self.words.len() {
                self.words.push(word);
            }
        }
        self.last
    }

    fn word(&self, label: u32) -> String {
        self.words.get(label as usize).map_or(String::new(), |word| (*word).to_owned())
    }
}

fn text<'a>(value: &Seen<'a>) -> Option<&'a str> {
    match value {
        Seen::Text(text) => Some(text),
        _ => None,
    }
}

/// Sums by a few small numbers.
struct Groups<K, const N: usize> {
    keys: Keys,
    places: Map<usize>,
    sums: Vec<(K, [u64; N])>,
    last: usize,
}

impl<const M: usize, const N: usize> Groups<[u32; M], N> {
    fn new(keys: Keys) -> Groups<[u32; M], N> {
        Groups { keys, places: Map::default(), sums: Vec::new(), last: 0 }
    }

    fn add(&mut self, key: [u32; M], values: [u64; N]) {
        // neighbours are often of one group
        if self.sums.get(self.last).is_none_or(|(known, _)| *known != key) {
            let number = hash::mix(self.keys, key.iter().map(|part| u64::from(*part)));
            self.last = *self.places.entry(number).or_insert(self.sums.len());
            if self.last == self.sums.len() {
                self.sums.push((key, [0; N]));
            }
        }
        if let Some((_, sums)) = self.sums.get_mut(self.last) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
        }
    }

    fn take<W>(self, words: impl Fn([u32; M]) -> W) -> Vec<(W, [u64; N])> {
        self.sums.into_iter().map(|(key, sums)| (words(key), sums)).collect()
    }
}
